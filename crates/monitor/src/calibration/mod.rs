//! Calibration: whether what is given a probability of 70 % comes true seven times of ten.
//!
//! A forecast is a probability and whether it came true: of two classes, that the positive one was right; of several,
//! that the predicted one was. Invariant: forecasts in any order give the same bins; the parts of the Brier score add up
//! to it. Refuses to: judge fewer than [`MIN_ROWS`] forecasts.

mod isotonic;
mod reliability;

use std::collections::BTreeMap;

use serde::Serialize;

pub use isotonic::Isotonic;
pub use reliability::{Bin, Brier, Reliability, equal_mass, equal_width};

use crate::quality::{Outcomes, ProblemType, Segment};

/// Forecasts below which nothing is said.
pub const MIN_ROWS: usize = 100;
/// Values of a segment that are shown, those with most rows first.
pub const MAX_GROUPS: usize = 50;

/// A probability, and whether it came true.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    /// In 0 to 1.
    pub probability: f64,
    /// Whether it did.
    pub came_true: bool,
}

/// How far the forecasts of some rows can be trusted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    /// Forecasts.
    pub rows: u64,
    /// Their mean.
    pub mean_probability: f64,
    /// The share that came true.
    pub observed: f64,
    /// Bins of equal width.
    pub equal_width: Reliability,
    /// Bins of (nearly) equal numbers of forecasts.
    pub equal_mass: Reliability,
    /// Mean squared distance of probability and outcome, and its parts.
    pub brier: Brier,
}

/// Calibration of the rows with one value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Group {
    /// The value.
    pub value: String,
    /// Its forecasts with labels.
    pub rows: u64,
    /// Absent where there are too few of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
}

/// Calibration by the values of a column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BySegment {
    /// The column; `consumer` for who called.
    pub column: String,
    /// Most rows first; at most [`MAX_GROUPS`].
    pub groups: Vec<Group>,
    /// Values that are not shown.
    pub more: u64,
}

/// Everything about the calibration of a job's rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CalibrationReport {
    /// What a probability is about, in words.
    pub probability_of: String,
    /// Of all labelled rows; absent where there are too few of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overall: Option<Calibration>,
    /// By consumer, and by the columns that were asked for.
    pub by_segment: Vec<BySegment>,
}

impl Calibration {
    /// Of forecasts; `None` for fewer than [`MIN_ROWS`].
    #[must_use]
    pub fn of(forecasts: &[Forecast]) -> Option<Self> {
        if forecasts.len() < MIN_ROWS {
            return None;
        }
        let rows = forecasts.len() as f64;
        let equal_width = equal_width(forecasts);
        Some(Self {
            rows: forecasts.len() as u64,
            mean_probability: forecasts.iter().map(|forecast| forecast.probability).sum::<f64>() / rows,
            observed: forecasts.iter().filter(|forecast| forecast.came_true).count() as f64 / rows,
            equal_mass: equal_mass(forecasts),
            brier: Brier::of(forecasts, &equal_width),
            equal_width,
        })
    }
}

impl CalibrationReport {
    /// Of all judged rows; `None` where the rows have no probabilities.
    ///
    /// # Errors
    /// In words, when what should be probabilities is none.
    pub fn of(outcomes: &Outcomes) -> Result<Option<Self>, String> {
        if outcomes.problem == ProblemType::Regression || outcomes.scores.is_none() {
            return Ok(None);
        }
        if !outcomes.scores_are_probabilities() {
            return Err("scores lie outside 0 to 1, so they are no probabilities and have no calibration".into());
        }
        let rows: Vec<(usize, Forecast)> = forecasts(outcomes).collect();
        let all: Vec<Forecast> = rows.iter().map(|row| row.1).collect();
        let told = |segment: &&Segment| segment.column != "consumer" || segment.values.len() > 1;
        Ok(Some(Self {
            probability_of: match outcomes.problem {
                ProblemType::BinaryClassification => format!("class {:?}", outcomes.classes[1]),
                _ => "the predicted class".to_owned(),
            },
            overall: Calibration::of(&all),
            by_segment: outcomes.segments.iter().filter(told).map(|segment| by_segment(segment, &rows)).collect(),
        }))
    }
}

/// The forecasts of the judged rows that have a probability, with their rows.
pub(crate) fn forecasts(outcomes: &Outcomes) -> impl Iterator<Item = (usize, Forecast)> + '_ {
    let scores = outcomes.scores.as_deref().unwrap_or_default();
    outcomes.judged().filter_map(move |row| {
        let probability = *scores.get(row).filter(|score| !score.is_nan())?;
        Some((row, Forecast { probability, came_true: outcomes.came_true(row) }))
    })
}

fn by_segment(segment: &Segment, rows: &[(usize, Forecast)]) -> BySegment {
    let mut of_value: BTreeMap<u32, Vec<Forecast>> = BTreeMap::new();
    for (row, forecast) in rows {
        of_value.entry(segment.of_row[*row]).or_default().push(*forecast);
    }
    let mut groups: Vec<(String, Vec<Forecast>)> =
        of_value.into_iter().map(|(value, forecasts)| (segment.values[value as usize].clone(), forecasts)).collect();
    groups.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then_with(|| a.0.cmp(&b.0)));
    let more = groups.len().saturating_sub(MAX_GROUPS) as u64;
    let group = |(value, forecasts): (String, Vec<Forecast>)| Group {
        value,
        rows: forecasts.len() as u64,
        calibration: Calibration::of(&forecasts),
    };
    BySegment { column: segment.column.clone(), groups: groups.into_iter().take(MAX_GROUPS).map(group).collect(), more }
}

#[cfg(test)]
mod tests;
