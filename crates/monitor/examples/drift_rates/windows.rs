//! Months of hourly windows: false alarms, and how long a shift stays unseen.

use captura_monitor::dice::Dice;
use captura_monitor::drift::bursts::{Blocks, Marks};
use captura_monitor::drift::compare::ReferenceColumn;
use captura_monitor::drift::numeric_distance;
use captura_monitor::drift::sample::{Numbers, Sample};
use captura_monitor::drift::special::kolmogorov_tail;
use captura_monitor::drift::watch::Watch;
use captura_monitor::profile::{ColumnProfile, DatasetProfile};

/// Hourly windows of a month.
const MONTH: u64 = 720;
/// Columns watched.
const WATCHED: usize = 10;
/// Rows of the reference.
const REFERENCE_ROWS: usize = 20_000;

pub(crate) fn months() {
    println!(
        "Ten columns, 200 rows an hour, a reference of 20,000 rows, a budget of one false alarm in 720 windows.\n"
    );
    println!("| what is true | tolerance | months | alarms a month | 5 % an hour and column instead |");
    println!("| --- | --- | --- | --- | --- |");
    let cases = [
        ("nothing has changed", 0.0, 0.0, Bursts::NONE),
        (
            "nothing has changed, rows in bursts of five calls",
            0.0,
            0.0,
            Bursts { rows: 5, of_one_call: false, known: true },
        ),
        ("the same, rows taken as independent", 0.0, 0.0, Bursts { rows: 5, of_one_call: false, known: false }),
        (
            "nothing has changed, calls of forty like rows",
            0.0,
            0.0,
            Bursts { rows: 40, of_one_call: true, known: true },
        ),
        ("the same, rows taken as independent", 0.0, 0.0, Bursts { rows: 40, of_one_call: true, known: false }),
        (
            "nothing has changed, rows in bursts of five calls",
            0.0,
            0.1,
            Bursts { rows: 5, of_one_call: false, known: true },
        ),
        ("the same, rows taken as independent", 0.0, 0.1, Bursts { rows: 5, of_one_call: false, known: false }),
        ("a shift within the tolerance", 0.25, 0.1, Bursts::NONE),
    ];
    for (name, shift, tolerance, bursts) in cases {
        let months = 40;
        let (mut alarms, mut naive) = (0, 0);
        for month in 0..months {
            let mut dice = Dice::seeded(1_000 + month);
            let (found, peeked) = month_of(MONTH, shift, tolerance, bursts, &mut dice);
            alarms += found.len();
            naive += peeked;
        }
        let a_month = |count: usize| count as f64 / months as f64;
        println!("| {name} | {tolerance} | {months} | {:.2} | {:.0} |", a_month(alarms), a_month(naive));
    }
    println!("\n| shift of one column, deviations | tolerance | hours until the alarm: median, 9 of 10 |");
    println!("| --- | --- | --- |");
    for (shift, tolerance) in [(0.15, 0.0), (0.25, 0.0), (0.5, 0.0), (1.0, 0.0), (0.5, 0.1), (0.75, 0.1), (1.0, 0.1)] {
        let mut hours: Vec<u64> = (0..60)
            .map(|run| {
                let mut dice = Dice::seeded(9_000 + run);
                let (found, _) = month_of(MONTH, shift, tolerance, Bursts::NONE, &mut dice);
                found.first().map_or(MONTH, |window| window + 1)
            })
            .collect();
        hours.sort_unstable();
        let told = |hours: u64| if hours == MONTH { "more than 720".to_owned() } else { hours.to_string() };
        println!("| {shift} | {tolerance} | {}, {} |", told(hours[30]), told(hours[54]));
    }
}

/// How like rows come.
#[derive(Clone, Copy)]
struct Bursts {
    rows: usize,
    /// As rows of one call, not as calls one after the other.
    of_one_call: bool,
    /// Whether the watch is told how rows came.
    known: bool,
}

impl Bursts {
    const NONE: Self = Self { rows: 1, of_one_call: false, known: true };
}

/// The windows of a month that ring, and how often a test at 5 % would; every column shifted when the tolerance holds it,
/// else only the first.
fn month_of(windows: u64, shift: f64, tolerance: f64, bursts: Bursts, dice: &mut Dice) -> (Vec<u64>, usize) {
    let reference = reference(dice);
    let columns: Vec<ReferenceColumn<'_>> = reference.columns.iter().map(ReferenceColumn::Profile).collect();
    let mut watch = Watch::new(&columns, tolerance, MONTH as f64);
    let baselines: Vec<Sample<'_>> = reference.columns.iter().map(Sample::of_profile).collect();
    let marks: Vec<Marks> = watch.marks();
    let (mut ringing, mut naive) = (Vec::new(), 0);
    let within = tolerance > 0.0 && shift <= 0.25;
    for window in 0..windows {
        let mut blocks = vec![Blocks::default(); WATCHED];
        let samples: Vec<Sample<'_>> = (0..WATCHED)
            .map(|place| {
                let shift = if within || place == 0 { shift } else { 0.0 };
                let mut values = Vec::with_capacity(200);
                while values.len() < 200 {
                    let value = dice.normal() + shift;
                    values.extend(std::iter::repeat_n(value, bursts.rows));
                    for row in (0..bursts.rows).filter(|_| bursts.known) {
                        blocks[place].number(&marks[place], value, row == 0 || !bursts.of_one_call);
                    }
                }
                Sample::Numbers(Numbers::of_values(&values))
            })
            .collect();
        if let Some(alarm) = watch.window(&samples, blocks) {
            ringing.push(alarm.window);
        }
        // The classical way, on every tenth window.
        if window % 10 == 0 {
            naive += 10 * baselines.iter().zip(&samples).filter(|(then, now)| differs(then, now)).count();
        }
        let is_wrong = shift > 0.0 && !within;
        if is_wrong && !ringing.is_empty() {
            break;
        }
    }
    (ringing, naive)
}

/// A test of two samples at the 5 % level.
fn differs(then: &Sample<'_>, now: &Sample<'_>) -> bool {
    let (Sample::Numbers(then), Sample::Numbers(now)) = (then, now) else { return false };
    let distance = numeric_distance(&then.weighted, &now.weighted).unwrap_or(0.0);
    let rows = 1.0 / (1.0 / then.effective_rows() + 1.0 / now.effective_rows());
    kolmogorov_tail(distance * rows.sqrt()) <= 0.05
}

fn reference(dice: &mut Dice) -> DatasetProfile {
    let names: Vec<String> = (0..WATCHED).map(|place| format!("c{place}")).collect();
    let mut profile = DatasetProfile::of_columns(&names);
    for column in &mut profile.columns {
        fill(column, dice);
    }
    profile
}

fn fill(column: &mut ColumnProfile, dice: &mut Dice) {
    for _ in 0..REFERENCE_ROWS {
        column.quantiles.insert(dice.normal());
    }
    column.kinds.fractional = REFERENCE_ROWS as u64;
}
