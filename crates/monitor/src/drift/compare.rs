//! A window held against a reference: a verdict on every column.
//!
//! A column has *drifted* when its distance is beyond the tolerance of the rule even with chance taken off, and stays so
//! when all columns are judged together (see [`super::discovery`]). It has *changed* when it surely differs, but not
//! surely beyond the tolerance. It is *stable* only when a distance as large as the tolerance could not have hidden
//! behind chance: otherwise there is *not enough data*, which is no pass.
//!
//! Invariant: verdicts depend on the two samples and the rule only, not on the order of rows, and rows without a value
//! are not compared (completeness is told beside).

use std::collections::HashMap;

use serde::Serialize;

use super::discovery::{Dependence, adjusted};
use super::measure::{Measure, Measured, measured};
use super::sample::Sample;
use crate::artefact::{FeatureStatistics, Statistics};
use crate::profile::{ColumnProfile, DatasetProfile};

/// Rows below which nothing is said of a column, whatever the tolerance.
pub const MIN_ROWS: u64 = 30;

/// What counts as drift.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// Distance that is still fine. 0 asks for any change at all.
    pub tolerance: f64,
    /// Expected share of false ones among the columns called drifted.
    pub false_discovery_rate: f64,
    /// Of intervals.
    pub confidence: f64,
    /// What is assumed of how columns hang together.
    pub dependence: Dependence,
    /// By which measure columns of numbers are judged.
    pub numbers_by: Measure,
    /// By which measure categories are judged.
    pub categories_by: Measure,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            tolerance: 0.1,
            false_discovery_rate: 0.05,
            confidence: 0.95,
            dependence: Dependence::Positive,
            numbers_by: Measure::KolmogorovSmirnov,
            categories_by: Measure::LInfinity,
        }
    }
}

/// What is said of a column. The order is that of alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Beyond the tolerance.
    Drifted,
    /// Different, but not surely beyond the tolerance.
    Changed,
    /// Too few rows to call it stable.
    NotEnoughData,
    /// No distributions to compare.
    NotComparable,
    /// Within the tolerance.
    Stable,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Numbers.
    Numbers,
    /// Few different texts.
    Categories,
    /// Texts that are not compared, or nothing.
    Unknown,
}

/// Rows of a column on one side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Presence {
    /// With a value.
    pub present: u64,
    /// Without.
    pub missing: u64,
}

/// One column, compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ColumnDrift {
    /// Its name.
    pub feature: String,
    /// What it holds in the reference.
    pub kind: Kind,
    /// What is said of it.
    pub verdict: Verdict,
    /// Rows of the reference.
    pub reference: Presence,
    /// Rows of the window.
    pub current: Presence,
    /// Every measure that suits it, the one it is judged by first.
    pub measured: Vec<Measured>,
    /// How likely so large a distance is when the true one is within the tolerance, all columns taken together.
    pub adjusted_p_value: Option<f64>,
    /// Rows of the window that would be enough; `None` when they are, or when no number would be.
    pub rows_needed: Option<u64>,
}

impl ColumnDrift {
    /// The measure it is judged by.
    #[must_use]
    pub fn decisive(&self) -> Option<&Measured> {
        self.measured.first()
    }
}

/// Every column, compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DatasetDrift {
    /// What counts as drift.
    pub rule: Rule,
    /// In the order of the reference.
    pub columns: Vec<ColumnDrift>,
    /// Columns of the reference that the window does not have.
    pub missing_columns: Vec<String>,
    /// Columns of the window that the reference does not have.
    pub new_columns: Vec<String>,
}

impl DatasetDrift {
    /// How many columns have this verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.columns.iter().filter(|column| column.verdict == verdict).count()
    }

    /// The columns, the most alarming first: by verdict, then by the least distance that they surely have.
    #[must_use]
    pub fn worst_first(&self) -> Vec<&ColumnDrift> {
        let key = |column: &ColumnDrift| {
            let decisive = column.decisive();
            (
                decisive.and_then(|measured| measured.interval).map_or(0.0, |[low, _]| low),
                decisive.map_or(0.0, |m| m.value),
            )
        };
        let mut columns: Vec<&ColumnDrift> = self.columns.iter().collect();
        columns.sort_by(|a, b| {
            let ((low_a, value_a), (low_b, value_b)) = (key(a), key(b));
            a.verdict.cmp(&b.verdict).then(low_b.total_cmp(&low_a)).then(value_b.total_cmp(&value_a))
        });
        columns
    }
}

/// What the window is held against.
#[derive(Debug, Clone, Copy)]
pub enum Reference<'a> {
    /// `statistics.json` of a baseline.
    File(&'a Statistics),
    /// A profile of other data.
    Profile(&'a DatasetProfile),
}

/// One column of a reference.
#[derive(Debug, Clone, Copy)]
pub enum ReferenceColumn<'a> {
    /// Of a file.
    File(&'a FeatureStatistics),
    /// Of a profile.
    Profile(&'a ColumnProfile),
}

impl<'a> Reference<'a> {
    /// Its columns, in order.
    #[must_use]
    pub fn columns(&self) -> Vec<ReferenceColumn<'a>> {
        match self {
            Self::File(statistics) => statistics.features.iter().map(ReferenceColumn::File).collect(),
            Self::Profile(profile) => profile.columns.iter().map(ReferenceColumn::Profile).collect(),
        }
    }
}

impl<'a> ReferenceColumn<'a> {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'a str {
        match self {
            Self::File(feature) => &feature.name,
            Self::Profile(column) => &column.name,
        }
    }

    /// Its values.
    #[must_use]
    pub fn sample(&self) -> Sample<'a> {
        match self {
            Self::File(feature) => Sample::of_statistics(feature),
            Self::Profile(column) => Sample::of_profile(column),
        }
    }

    /// Its rows.
    #[must_use]
    pub fn presence(&self) -> Presence {
        match self {
            Self::File(feature) => {
                let numbers = feature.numerical_statistics.as_ref().map(|numbers| numbers.common);
                let common = numbers.or(feature.string_statistics.as_ref().map(|texts| texts.common));
                common.map_or_else(Presence::default, |common| Presence {
                    present: common.num_present,
                    missing: common.num_missing,
                })
            }
            Self::Profile(column) => Presence { present: column.present(), missing: column.missing },
        }
    }
}

/// Holds a window against a reference, column by column of the same name.
#[must_use]
pub fn compare(reference: Reference<'_>, current: &DatasetProfile, rule: Rule) -> DatasetDrift {
    let by_name: HashMap<&str, &ColumnProfile> =
        current.columns.iter().map(|column| (column.name.as_str(), column)).collect();
    let promised = reference.columns();
    let names: std::collections::HashSet<&str> = promised.iter().map(ReferenceColumn::name).collect();
    let mut drift = DatasetDrift {
        rule,
        columns: Vec::new(),
        missing_columns: Vec::new(),
        new_columns: current.names().filter(|name| !names.contains(name)).map(str::to_owned).collect(),
    };
    for column in promised {
        match by_name.get(column.name()) {
            Some(now) => drift.columns.push(compare_column(&column, now, &rule)),
            None => drift.missing_columns.push(column.name().to_owned()),
        }
    }
    judge(&mut drift.columns, &rule);
    drift
}

/// One column, not judged yet.
pub(crate) fn compare_column(reference: &ReferenceColumn<'_>, current: &ColumnProfile, rule: &Rule) -> ColumnDrift {
    let then = reference.sample();
    let now = Sample::like(current, &then);
    compare_samples((reference.presence(), &then), (current, &now), rule)
}

/// The same of samples that are there already.
pub(crate) fn compare_samples(
    (reference, then): (Presence, &Sample<'_>),
    (current, now): (&ColumnProfile, &Sample<'_>),
    rule: &Rule,
) -> ColumnDrift {
    let mut measured = measured(then, now, rule.confidence);
    let (kind, by) = match then {
        Sample::Numbers(_) => (Kind::Numbers, Some(rule.numbers_by)),
        Sample::Categories(_) => (Kind::Categories, Some(rule.categories_by)),
        Sample::Unknown => (Kind::Unknown, None),
    };
    if let Some(place) = measured.iter().position(|one| Some(one.measure) == by) {
        measured[..=place].rotate_right(1);
    }
    ColumnDrift {
        feature: current.name.clone(),
        kind,
        verdict: Verdict::NotComparable,
        reference,
        current: Presence { present: current.present(), missing: current.missing },
        measured,
        adjusted_p_value: None,
        rows_needed: None,
    }
}

/// Judges all columns together.
pub(crate) fn judge(columns: &mut [ColumnDrift], rule: &Rule) {
    let enough = |column: &ColumnDrift| column.reference.present.min(column.current.present) >= MIN_ROWS;
    let judged: Vec<usize> =
        (0..columns.len()).filter(|&i| columns[i].decisive().is_some() && enough(&columns[i])).collect();
    let together = |tolerance: f64| {
        let p_values = judged.iter().filter_map(|&i| Some(columns[i].decisive()?.p_beyond(tolerance)));
        adjusted(&p_values.collect::<Vec<f64>>(), rule.dependence)
    };
    let (beyond, different) = (together(rule.tolerance), together(0.0));
    for ((&place, beyond), different) in judged.iter().zip(beyond).zip(different) {
        let column = &mut columns[place];
        let decisive = &column.measured[0];
        let reach = decisive.reach(1.0 - rule.confidence);
        column.adjusted_p_value = Some(beyond);
        column.verdict = if beyond <= rule.false_discovery_rate {
            Verdict::Drifted
        } else if rule.tolerance > 0.0 && reach > rule.tolerance {
            Verdict::NotEnoughData
        } else if different <= rule.false_discovery_rate {
            Verdict::Changed
        } else {
            Verdict::Stable
        };
        if column.verdict == Verdict::NotEnoughData {
            let rows = [column.reference.present, column.current.present];
            column.rows_needed = rows_needed(rows, decisive.shrinks_by(rule.tolerance / reach));
        }
    }
    for column in columns.iter_mut().filter(|column| column.adjusted_p_value.is_none()) {
        if column.kind != Kind::Unknown && !enough(column) {
            column.verdict = Verdict::NotEnoughData;
            column.rows_needed = if column.reference.present >= MIN_ROWS { enough_of(column, rule) } else { None };
        }
    }
}

/// Rows of a window that has fewer than [`MIN_ROWS`] that would be enough.
fn enough_of(column: &ColumnDrift, rule: &Rule) -> Option<u64> {
    let Some(decisive) = column.decisive() else { return Some(MIN_ROWS) };
    let reach = decisive.reach(1.0 - rule.confidence);
    if rule.tolerance <= 0.0 || reach <= rule.tolerance {
        return Some(MIN_ROWS);
    }
    let rows = [column.reference.present, column.current.present];
    Some(rows_needed(rows, decisive.shrinks_by(rule.tolerance / reach))?.max(MIN_ROWS))
}

/// Rows of the window with which `1/n + 1/m` shrinks to this share of what it is; `None` when the reference is too small.
fn rows_needed([then, now]: [u64; 2], share: f64) -> Option<u64> {
    let (then, now) = (1.0 / then as f64, 1.0 / now as f64);
    let left = (then + now) * share - then;
    (left > 0.0).then(|| (1.0 / left).ceil() as u64)
}

#[cfg(test)]
mod tests;
