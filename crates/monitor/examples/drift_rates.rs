//! How often the verdicts on drift err, by simulation: false alarms, coverage of intervals, power, months of windows.
//!
//! ```text
//! cargo run --release -p captura-monitor --example drift_rates
//! ```
//! prints the tables of `docs/drift.md`; `-- alarms`, `coverage`, `power` or `windows` one of them. Same seeds, same figures on every machine. Refuses to: be a test; tests with
//! limits are beside the code.
#![expect(clippy::print_stdout, reason = "its output is a page that people read")]

use std::collections::BTreeMap;

use captura_monitor::dice::Dice;
use captura_monitor::drift::discovery::{Dependence, adjusted};
use captura_monitor::drift::measure::{Measure, measured};
use captura_monitor::drift::sample::{Numbers, Sample};

#[path = "drift_rates/windows.rs"]
mod windows;

/// Columns of a simulated data set: a third normal, a third lognormal, a third of categories.
const COLUMNS: usize = 30;
/// Values of a column of categories, with their shares.
const COLORS: [(&str, f64); 5] = [("red", 0.5), ("blue", 0.25), ("green", 0.15), ("grey", 0.08), ("gold", 0.02)];

fn main() {
    let wanted = std::env::args().nth(1);
    let parts: [(&str, &str, fn()); 4] = [
        ("alarms", "False alarms of one window", || false_alarms(400)),
        ("coverage", "Coverage of 95 % intervals", || coverage(600)),
        ("power", "Power", || power(200)),
        ("windows", "Windows with a budget", windows::months),
    ];
    for (name, title, part) in parts {
        if wanted.as_deref().is_none_or(|wanted| wanted == name) {
            println!("## {title}\n");
            part();
            println!();
        }
    }
}

/// Rows of a data set, column by column. `together` is the correlation of all columns.
fn table(rows: usize, together: f64, shifts: &[f64], dice: &mut Dice) -> Vec<Vec<f64>> {
    let mut columns = vec![Vec::new(); COLUMNS];
    for _ in 0..rows {
        let common = dice.normal();
        for (place, column) in columns.iter_mut().enumerate() {
            let own = dice.normal();
            let shift = shifts.get(place).copied().unwrap_or(0.0);
            column.push(together.sqrt() * common + (1.0 - together).sqrt() * own + shift);
        }
    }
    columns
}

/// A standard normal number as a column of this place shows it.
fn sample(place: usize, values: &[f64]) -> Sample<'static> {
    match place % 3 {
        0 => Sample::Numbers(Numbers::of_values(values)),
        1 => Sample::Numbers(Numbers::of_values(&values.iter().map(|value| value.exp()).collect::<Vec<_>>())),
        _ => {
            let mut counts = BTreeMap::new();
            for value in values {
                *counts.entry(color(*value)).or_default() += 1;
            }
            Sample::Categories(counts)
        }
    }
}

/// The category that holds a standard normal number, by the shares of [`COLORS`].
fn color(value: f64) -> &'static str {
    let mut share = captura_monitor::drift::special::normal_tail(-value);
    for (name, part) in COLORS {
        if share < part {
            return name;
        }
        share -= part;
    }
    COLORS[COLORS.len() - 1].0
}

/// Nothing has changed: how often is anything called drifted, at no tolerance?
fn false_alarms(runs: u32) {
    println!("| rows then, now | columns | any column at 5 % alone | Benjamini–Hochberg | Benjamini–Yekutieli |");
    println!("| --- | --- | --- | --- | --- |");
    for (then, now) in [(2_000, 60), (2_000, 500), (2_000, 2_000)] {
        for (name, together) in [("independent", 0.0), ("correlated (0.8)", 0.8)] {
            let mut dice = Dice::seeded(then as u64 + now as u64);
            let mut alarms = [0_u32; 3];
            for _ in 0..runs {
                let (before, after) = (table(then, together, &[], &mut dice), table(now, together, &[], &mut dice));
                let p_values: Vec<f64> = before
                    .iter()
                    .zip(&after)
                    .enumerate()
                    .map(|(place, (a, b))| measured(&sample(place, a), &sample(place, b), 0.95)[0].p_value)
                    .collect();
                let alarm = |p_values: &[f64]| u32::from(p_values.iter().any(|&p| p <= 0.05));
                alarms[0] += alarm(&p_values);
                alarms[1] += alarm(&adjusted(&p_values, Dependence::Positive));
                alarms[2] += alarm(&adjusted(&p_values, Dependence::Any));
            }
            let [alone, bh, by] = alarms.map(|count| 100.0 * f64::from(count) / f64::from(runs));
            println!("| {then}, {now} | {name} | {alone:.1} % | {bh:.1} % | {by:.1} % |");
        }
    }
}

/// How often an interval holds the distance of the populations, taken from two samples of a million rows.
fn coverage(runs: u32) {
    println!("| measure | populations | rows then, now | distance | held by | called different at 5 % |");
    println!("| --- | --- | --- | --- | --- | --- |");
    let cases = [("the same", 0.0), ("half a deviation apart", 0.5)];
    for (name, shift) in cases {
        for place in [0, 2] {
            let mut dice = Dice::seeded(77);
            let truth = truth(place, shift, &mut dice);
            for (then, now) in [(2_000, 200), (1_000, 1_000)] {
                let mut held: BTreeMap<usize, (Measure, u32, u32)> = BTreeMap::new();
                for _ in 0..runs {
                    let mut draw =
                        |rows: usize, shift: f64| -> Vec<f64> { (0..rows).map(|_| dice.normal() + shift).collect() };
                    let (a, b) = (draw(then, 0.0), draw(now, shift));
                    for (i, one) in measured(&sample(place, &a), &sample(place, &b), 0.95).iter().enumerate() {
                        let entry = held.entry(i).or_insert((one.measure, 0, 0));
                        entry.1 +=
                            u32::from(one.interval.is_none_or(|[low, high]| low <= truth[i] && truth[i] <= high));
                        entry.2 += u32::from(one.p_value <= 0.05);
                    }
                }
                for (i, (measure, inside, different)) in held {
                    let percent = |count: u32| 100.0 * f64::from(count) / f64::from(runs);
                    let inside =
                        if measure == Measure::ChiSquare { "–".into() } else { format!("{:.1} %", percent(inside)) };
                    let distance =
                        if measure == Measure::ChiSquare { "–".into() } else { format!("{:.3}", truth[i]) };
                    println!(
                        "| {measure} | {name} | {then}, {now} | {distance} | {inside} | {:.1} % |",
                        percent(different)
                    );
                }
            }
        }
    }
}

/// The measures of two samples so large that they are their populations; of the same population, none.
fn truth(place: usize, shift: f64, dice: &mut Dice) -> Vec<f64> {
    let mut draw = |shift: f64| -> Vec<f64> { (0..1_000_000).map(|_| dice.normal() + shift).collect() };
    let (a, b) = (draw(0.0), draw(shift));
    let found = measured(&sample(place, &a), &sample(place, &b), 0.95);
    found.iter().map(|one| if shift == 0.0 { 0.0 } else { one.value }).collect()
}

/// One column in ten has shifted: how often is it found, and how often another?
fn power(runs: u32) {
    println!("| rows now (then 2,000) | shift, deviations | tolerance | found | false ones among the named |");
    println!("| --- | --- | --- | --- | --- |");
    for now in [200, 1_000] {
        for (shift, tolerance) in [(0.25, 0.0), (0.5, 0.0), (0.25, 0.1), (0.5, 0.1), (1.0, 0.1)] {
            let mut dice = Dice::seeded(now as u64);
            let (mut found, mut wrong_share) = (0_u32, 0.0);
            let shifts = [shift, shift, shift];
            for _ in 0..runs {
                let (before, after) = (table(2_000, 0.3, &[], &mut dice), table(now, 0.3, &shifts, &mut dice));
                let p_values =
                    before.iter().zip(&after).enumerate().map(|(place, (a, b))| {
                        measured(&sample(place, a), &sample(place, b), 0.95)[0].p_beyond(tolerance)
                    });
                let adjusted = adjusted(&p_values.collect::<Vec<_>>(), Dependence::Positive);
                let named = |from: usize, to: usize| adjusted[from..to].iter().filter(|&&p| p <= 0.05).count() as u32;
                let (right, wrong) = (named(0, 3), named(3, COLUMNS));
                found += right;
                wrong_share += f64::from(wrong) / f64::from((right + wrong).max(1));
            }
            let runs = f64::from(runs);
            let (found, wrong) = (100.0 * f64::from(found) / 3.0 / runs, 100.0 * wrong_share / runs);
            println!("| {now} | {shift} | {tolerance} | {found:.1} % | {wrong:.1} % |");
        }
    }
}
