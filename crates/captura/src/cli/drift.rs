//! `captura drift`: has the data changed, by how much, through whom, and since when. No server is needed.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use captura_monitor::counted;
use captura_monitor::drift::compare::{ColumnDrift, DatasetDrift, Rule, Verdict};
use captura_monitor::drift::discovery::Dependence;
use captura_monitor::drift::measure::{Measure, Measured};
use captura_monitor::drift::windows::{Budget, TimedColumn, Watched};
use captura_monitor::job::{self, Against, Examination, Examine};
use clap::{Args, ValueEnum};

use super::analysis::{Input, Keeping, Opened, Wanted, or_cannot_tell, tell, with_standing};
use super::scripts::Scripts;
use super::{Outcome, say, table};

/// Columns that the table shows; the JSON has all of them.
const SHOWN: usize = 40;

/// What data is held against, and what counts as drift: shared by `drift` and `report`.
#[derive(Debug, Args)]
pub(super) struct Question {
    /// Folder with the baseline's statistics.json (and constraints.json)
    #[arg(long, value_name = "DIR", conflicts_with = "reference")]
    baseline: Option<String>,
    /// Instead of a baseline, other data: captures of another time, or the table the model was trained with
    #[arg(long, value_name = "URI")]
    reference: Vec<String>,
    /// The captures that the baseline was made from: they tell who called then
    #[arg(long, value_name = "URI", requires = "baseline")]
    history: Vec<String>,
    /// Distance that is still fine, in the measure that decides; 0 asks for any change at all
    #[arg(long, default_value_t = 0.1)]
    tolerance: f64,
    /// Expected share of false ones among the columns called drifted
    #[arg(long, value_name = "SHARE", default_value_t = 0.05)]
    false_discovery_rate: f64,
    /// Assume nothing of how columns hang together (Benjamini–Yekutieli instead of Benjamini–Hochberg)
    #[arg(long)]
    any_dependence: bool,
    /// Measure that decides on columns of numbers
    #[arg(long, value_enum, default_value_t = NumbersBy::KolmogorovSmirnov)]
    numbers_by: NumbersBy,
    /// Measure that decides on categories
    #[arg(long, value_enum, default_value_t = CategoriesBy::LInfinity)]
    categories_by: CategoriesBy,
    /// Watch the data window by window of this length, e.g. 1h
    #[arg(long, value_name = "TIME")]
    window: Option<String>,
    /// The budget of the watch: one false alarm in this time, on average, at the most
    #[arg(long, value_name = "TIME", default_value = "30d", requires = "window")]
    false_alarm_every: String,
    #[command(flatten)]
    keeping: Keeping,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum NumbersBy {
    KolmogorovSmirnov,
    Wasserstein,
    Psi,
    JensenShannon,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum CategoriesBy {
    LInfinity,
    Psi,
    JensenShannon,
}

impl Question {
    /// The question, asked of these addresses.
    pub(super) fn about(&self, addresses: &[String], wanted: &Wanted, input: &Input) -> anyhow::Result<Examine> {
        if !(0.0..1.0).contains(&self.tolerance) {
            bail!("--tolerance is from 0 to below 1, not {}", self.tolerance);
        }
        if !(self.false_discovery_rate > 0.0 && self.false_discovery_rate < 1.0) {
            bail!("--false-discovery-rate is above 0 and below 1, not {}", self.false_discovery_rate);
        }
        let against = match &self.baseline {
            Some(folder) => Against::Baseline { folder: folder.clone(), history: self.history.clone() },
            None if self.reference.is_empty() => Against::Nothing,
            None => Against::Data(self.keeping.of(wanted.of_any_time(&self.reference, input)?)),
        };
        let rule = Rule {
            tolerance: self.tolerance,
            false_discovery_rate: self.false_discovery_rate,
            dependence: if self.any_dependence { Dependence::Any } else { Dependence::Positive },
            numbers_by: match self.numbers_by {
                NumbersBy::KolmogorovSmirnov => Measure::KolmogorovSmirnov,
                NumbersBy::Wasserstein => Measure::Wasserstein,
                NumbersBy::Psi => Measure::PopulationStability,
                NumbersBy::JensenShannon => Measure::JensenShannon,
            },
            categories_by: match self.categories_by {
                CategoriesBy::LInfinity => Measure::LInfinity,
                CategoriesBy::Psi => Measure::PopulationStability,
                CategoriesBy::JensenShannon => Measure::JensenShannon,
            },
            ..Rule::default()
        };
        let budget = self.window.as_deref().map(|window| self.budget(window)).transpose()?;
        let source = self.keeping.of(wanted.source(addresses, input)?);
        Ok(Examine { source, against, rule, budget, is_pictured: false })
    }

    fn budget(&self, window: &str) -> anyhow::Result<Budget> {
        let window_us = duration_us(window).context("--window")?;
        let false_alarm_every_us = duration_us(&self.false_alarm_every).context("--false-alarm-every")?;
        if false_alarm_every_us < window_us {
            bail!("--false-alarm-every must not be shorter than --window");
        }
        Ok(Budget { window_us, false_alarm_every_us })
    }
}

/// `30s`, `15m`, `1h`, `30d`.
pub(super) fn duration_us(text: &str) -> anyhow::Result<i64> {
    let unit_us: i64 = match text.chars().last() {
        Some('s') => 1_000_000,
        Some('m') => 60_000_000,
        Some('h') => 3_600_000_000,
        Some('d') => 86_400_000_000,
        _ => bail!("{text:?} is no time: write a whole number and s, m, h or d, such as 1h"),
    };
    let count: i64 = text[..text.len() - 1].parse().with_context(|| format!("{text:?} is no time"))?;
    count.checked_mul(unit_us).filter(|us| *us > 0).with_context(|| format!("{text:?} is no time above zero"))
}

/// Has the data changed, by how much, through whom, since when; exits 2 on drift, 3 when there is not enough data
#[derive(Debug, Args)]
pub(crate) struct Drift {
    /// Captures, or tables as CSV, JSON Lines or Parquet: s3:// addresses, folders, files
    #[arg(required = true)]
    addresses: Vec<String>,
    #[command(flatten)]
    question: Question,
    #[command(flatten)]
    wanted: Wanted,
    #[command(flatten)]
    scripts: Scripts,
    #[command(flatten)]
    input: Input,
}

impl Drift {
    pub(crate) async fn run(self) -> anyhow::Result<Outcome> {
        let mut request = self.question.about(&self.addresses, &self.wanted, &self.input)?;
        let asked = request.source.clone();
        if matches!(request.against, Against::Nothing) {
            bail!("name what the data is held against: --baseline DIR or --reference URI");
        }
        let opened = self.input.open()?;
        request = named(&opened, request).await?;
        let (mut prepared, _before) = match self.scripts.prepare_examination(&opened.stores, &mut request).await? {
            Ok(prepared) => prepared,
            Err(outcome) => return Ok(outcome),
        };
        let mut found = match or_cannot_tell(job::examine(&opened.stores, &request).await)? {
            Ok(found) => found,
            Err(outcome) => return Ok(outcome),
        };
        prepared.count(&mut found.data);
        let standing = opened.standing(&asked, found.data.records).await;
        if self.input.json {
            say(&with_standing(&found, &standing)?);
        } else {
            tell(&found.data, &standing, false)?;
            say(&in_words(&found));
        }
        Ok(outcome(&found))
    }
}

/// The request with columns called as the endpoint's models call them, where a server tells.
pub(super) async fn named(opened: &Opened, request: Examine) -> anyhow::Result<Examine> {
    let against = match request.against {
        Against::Data(source) => Against::Data(opened.named(source).await?),
        other => other,
    };
    Ok(Examine { source: opened.named(request.source).await?, against, ..request })
}

/// 2 when something drifted or rang, 3 when not one column could be judged.
pub(super) fn outcome(found: &Examination) -> Outcome {
    let rang = found.watched.as_ref().is_some_and(|watched| !watched.alarms.is_empty());
    match () {
        () if found.drift.count(Verdict::Drifted) > 0 || rang => Outcome::Violates,
        () if found.cannot_tell() => Outcome::CannotTell,
        () => Outcome::Fine,
    }
}

fn in_words(found: &Examination) -> String {
    let mut lines = vec![format!("held against {} rows", found.reference_rows), String::new()];
    lines.push(columns(&found.drift));
    lines.push(String::new());
    lines.push(headline(&found.drift));
    for (kind, names) in [("missing", &found.drift.missing_columns), ("new", &found.drift.new_columns)] {
        if !names.is_empty() {
            lines.push(format!("{kind} columns: {}", some_of(names)));
        }
    }
    lines.extend(found.causes.iter().filter(|cause| cause.is_telling()).map(|cause| format!("  {cause}")));
    lines.extend(found.splits.iter().map(|split| format!("  {split}")));
    lines.extend(found.watched.iter().flat_map(alarms));
    lines.join("\n")
}

fn some_of(names: &[String]) -> String {
    let more = names.len().saturating_sub(SHOWN);
    let shown = names[..names.len() - more].join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

fn headline(drift: &DatasetDrift) -> String {
    let count = |verdict: Verdict| drift.count(verdict);
    let mut text = format!("{} of {} columns drifted", count(Verdict::Drifted), drift.columns.len());
    for (verdict, what) in [
        (Verdict::Changed, "changed within the tolerance"),
        (Verdict::Stable, "stable"),
        (Verdict::NotEnoughData, "without enough data to tell"),
        (Verdict::NotComparable, "not comparable"),
    ] {
        if count(verdict) > 0 {
            text += &format!(", {} {what}", count(verdict));
        }
    }
    text
}

fn columns(drift: &DatasetDrift) -> String {
    let mut table = table(&["column", "verdict", "distance", "95 % interval", "PSI", "JS", "rows", "p"]);
    let worst = drift.worst_first();
    for column in worst.iter().take(SHOWN) {
        table.add_row(row(column));
    }
    let more = worst.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!("\n… and {more} more columns; --json has them") } else { String::new() };
    let rule = &drift.rule;
    let mut key = format!("\ndistance: {} of numbers, {} of categories", rule.numbers_by, rule.categories_by);
    if worst.iter().any(|column| column.rows_needed.is_some()) {
        key += "\nrows: so many there are, of so many that would be enough";
    }
    format!("{table}{more}{key}")
}

fn row(column: &ColumnDrift) -> Vec<String> {
    let decisive = column.decisive();
    let of = |measure: Measure| {
        let found = column.measured.iter().find(|one| one.measure == measure);
        found.map_or_else(String::new, |one| format!("{:.3}", one.value))
    };
    let interval = |one: &Measured| one.interval.map(|[low, high]| format!("{low:.3} to {high:.3}"));
    vec![
        column.feature.clone(),
        verdict(column),
        decisive.map(|one| format!("{:.3}", one.value)).unwrap_or_default(),
        decisive.and_then(interval).unwrap_or_default(),
        of(Measure::PopulationStability),
        of(Measure::JensenShannon),
        match column.rows_needed {
            Some(needed) => format!("{} of {needed}", column.current.present),
            None => column.current.present.to_string(),
        },
        column.adjusted_p_value.map(p_value).unwrap_or_default(),
    ]
}

fn p_value(p: f64) -> String {
    if p < 0.0001 { "< 0.0001".to_owned() } else { format!("{p:.4}") }
}

fn verdict(column: &ColumnDrift) -> String {
    match column.verdict {
        Verdict::Drifted => "drifted".to_owned(),
        Verdict::Changed => "changed".to_owned(),
        Verdict::Stable => "stable".to_owned(),
        Verdict::NotComparable => "not comparable".to_owned(),
        Verdict::NotEnoughData if column.rows_needed.is_none() => "reference too small".to_owned(),
        Verdict::NotEnoughData => "not enough data".to_owned(),
    }
}

/// A time as `--window` takes it, such as 1h.
fn time_in_words(seconds: f64) -> String {
    let units = [(86_400.0, "d"), (3600.0, "h"), (60.0, "m")];
    let unit = units.into_iter().find(|(length, _)| seconds >= *length && seconds % length == 0.0);
    let (length, unit) = unit.unwrap_or((1.0, "s"));
    format!("{} {unit}", seconds / length)
}

fn alarms(watched: &Watched) -> Vec<String> {
    let mut lines = vec![format!(
        "watched {} in {} of {}, one false alarm in {} at the most: {}",
        counted(watched.columns as u64, "column"),
        counted(watched.windows, "window"),
        time_in_words(watched.window_seconds),
        time_in_words(watched.false_alarm_every_seconds),
        counted(watched.alarms.len() as u64, "alarm")
    )];
    if watched.small_windows > 0 {
        lines.push(format!("  {} windows have too few rows to say anything", watched.small_windows));
    }
    if watched.untimed_rows > 0 {
        lines.push(format!("  {} rows do not say when they were, so they are in no window", watched.untimed_rows));
    }
    let mut by_column: BTreeMap<&str, Vec<(&str, &TimedColumn)>> = BTreeMap::new();
    for alarm in &watched.alarms {
        for column in &alarm.columns {
            by_column.entry(&column.feature).or_default().push((&alarm.at, column));
        }
    }
    for (feature, rung) in by_column.iter().take(SHOWN) {
        let ((first, began), (last, _)) = (rung[0], rung[rung.len() - 1]);
        let again = match rung.len() {
            1 => String::new(),
            times => format!(", {times} times until {last}"),
        };
        lines.push(format!("  {feature}: rang at {first}{again}; began in the window of {}", began.since));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_nonsense_is_refused() {
        assert_eq!(duration_us("90s").unwrap(), 90_000_000);
        assert_eq!((duration_us("2h").unwrap(), duration_us("30d").unwrap()), (7_200_000_000, 2_592_000_000_000));
        for text in ["", "1", "h", "0h", "-1h", "1.5h", "99999999999999999d", "1µ"] {
            assert!(duration_us(text).is_err(), "{text}");
        }
    }
}
