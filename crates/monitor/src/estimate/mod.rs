//! Performance that is estimated while labels are still missing.
//!
//! At a baseline with labels an [`Estimator`] is learned: of classifiers what their probabilities stand for, of
//! regression models which errors rows have. Later it says what is to be expected of rows without labels.
//!
//! Invariant: every estimate stands beside its limits, and beside what labels say where there are some. Refuses to: give
//! a number where the baseline had too few labelled rows to learn from.

mod confidence;
mod features;
mod loss;
mod trees;

use serde::{Deserialize, Serialize};

use crate::calibration::{Forecast, Isotonic, forecasts};
use crate::quality::{Metric, Outcomes, ProblemType, lenient};

pub use confidence::{Confidence, of_binary, of_multiclass};
pub use features::{FeatureRows, Features, MAX_FEATURE_ROWS};
pub use loss::{ExpectedLosses, LossModel};
pub use trees::Boosted;

/// Labelled rows of a baseline below which nothing is learned.
pub const MIN_ROWS_TO_LEARN: usize = 500;
/// Rows behind each point of what scores are learned to stand for.
const ROWS_PER_POINT: usize = 50;
/// Quantile of the normal distribution for an interval of 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// What no estimate of a classifier can see.
const LIMITS_OF_CONFIDENCE: [&str; 3] = [
    "holds only while a probability stands for what it stood for at the baseline: when the same inputs come to mean other \
     labels (concept drift), the estimate stays as it is",
    "holds only for rows like those of the baseline; nothing was learned about others",
    "intervals have the chance of the coming labels in them, not the error of what was learned",
];
/// What no estimate of a regression model can see.
const LIMITS_OF_LOSSES: [&str; 3] = [
    "holds only while rows have the errors that such rows had at the baseline: when the same inputs come to mean other \
     numbers (concept drift), the estimate stays as it is",
    "holds only for rows like those of the baseline; losses are not extrapolated, and columns of text are not looked at",
    "intervals have the chance of the coming labels in them, not the error of what was learned",
];

/// A metric as it is to be expected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimated {
    /// Its name.
    pub metric: &'static str,
    /// The expectation.
    pub value: f64,
    /// By how much labels may turn out otherwise; NaN where that is not known.
    pub standard_error: f64,
}

/// What was learned at a baseline: the file `estimator.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimator {
    /// Of which problem, as in the names of its sections.
    problem: String,
    /// Labelled rows it was learned from.
    rows: u64,
    /// Of classifiers: scores to probabilities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    calibration: Option<Isotonic>,
    /// Of regression models: rows to losses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    losses: Option<LossModel>,
}

/// Estimates, and what they are worth.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EstimateReport {
    /// How they were made.
    pub method: &'static str,
    /// Rows that they are about, labelled or not.
    pub rows: u64,
    /// Labelled rows of the baseline.
    pub learned_from: u64,
    /// One per metric.
    pub estimates: Vec<Estimate>,
    /// Share of the rows with a number outside what the baseline had.
    pub beyond_baseline: f64,
    /// What they cannot see.
    pub limits: [&'static str; 3],
}

/// An estimate beside what labels say.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// Name of the metric.
    pub metric: &'static str,
    /// Expected over all rows.
    #[serde(serialize_with = "lenient")]
    pub value: f64,
    /// An interval of 95 % around it; NaN where it is not known.
    #[serde(serialize_with = "lenient")]
    pub low: f64,
    /// Its upper end.
    #[serde(serialize_with = "lenient")]
    pub high: f64,
    /// Expected over those rows that have a label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_labelled_rows: Option<f64>,
    /// What their labels say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realized: Option<f64>,
}

impl Estimator {
    /// Learns from the labelled rows of a baseline.
    ///
    /// # Errors
    /// In words, why nothing can be learned.
    pub fn learn(outcomes: &Outcomes) -> Result<Self, String> {
        let problem = outcomes.problem.section().to_owned();
        if outcomes.problem == ProblemType::Regression {
            let rows = outcomes.judged().count() as u64;
            return Ok(Self { problem, rows, calibration: None, losses: Some(LossModel::learn(outcomes)?) });
        }
        if outcomes.scores.is_none() {
            return Err("without a probability of each row nothing can be estimated before labels arrive".into());
        }
        let rows: Vec<Forecast> = forecasts(outcomes).map(|row| row.1).collect();
        if rows.len() < MIN_ROWS_TO_LEARN {
            return Err(format!(
                "{} labelled rows are too few to learn what probabilities stand for; it takes {MIN_ROWS_TO_LEARN}",
                rows.len()
            ));
        }
        Ok(Self {
            problem,
            rows: rows.len() as u64,
            calibration: Isotonic::fit_points(&rows, ROWS_PER_POINT),
            losses: None,
        })
    }

    /// What is to be expected of these rows. `metrics` are those of the labelled ones, empty when there are none.
    ///
    /// # Errors
    /// In words, why this estimator does not fit the rows.
    pub fn estimate(&self, outcomes: &Outcomes, metrics: &[Metric]) -> Result<EstimateReport, String> {
        if self.problem != outcomes.problem.section() {
            return Err(format!("it was learned for another problem: {}", self.problem));
        }
        let predicted = |row: usize| !outcomes.predicted[row].is_nan();
        let labelled = |row: usize| predicted(row) && !outcomes.actual[row].is_nan();
        let (method, limits, all, some) = match (&self.calibration, &self.losses) {
            (Some(calibration), _) if calibration.is_sound() => {
                let of = |wanted: &dyn Fn(usize) -> bool| of_classifier(calibration, outcomes, wanted);
                ("confidence-based", LIMITS_OF_CONFIDENCE, of(&predicted)?, of(&labelled).ok())
            }
            (None, Some(losses)) if losses.is_sound() => {
                let of = |wanted: &dyn Fn(usize) -> bool| {
                    let rows = (0..outcomes.predicted.len()).filter(|&row| wanted(row)).count();
                    if rows == 0 {
                        return Err("no row has a prediction".to_owned());
                    }
                    losses.expect(&outcomes.features, rows, wanted)
                };
                ("direct loss estimation", LIMITS_OF_LOSSES, of(&predicted)?, of(&labelled).ok())
            }
            _ => return Err("estimator.json holds nothing that was learned, or is damaged".into()),
        };
        let estimate = |(place, estimated): (usize, &Estimated)| {
            let half = Z * estimated.standard_error;
            let Estimated { metric, value, .. } = *estimated;
            Estimate {
                metric,
                value,
                low: value - half,
                high: value + half,
                on_labelled_rows: some.as_ref().filter(|_| !metrics.is_empty()).map(|some| some.estimates[place].value),
                realized: metrics.iter().find(|found| found.name == metric).map(|found| found.value),
            }
        };
        Ok(EstimateReport {
            method,
            rows: (0..outcomes.predicted.len()).filter(|&row| predicted(row)).count() as u64,
            learned_from: self.rows,
            estimates: all.estimates.iter().enumerate().map(estimate).collect(),
            beyond_baseline: all.beyond,
            limits,
        })
    }
}

fn of_classifier(
    calibration: &Isotonic,
    outcomes: &Outcomes,
    wanted: &dyn Fn(usize) -> bool,
) -> Result<ExpectedLosses, String> {
    let scores = outcomes.scores.as_deref().ok_or("the rows have no probabilities")?;
    let of_row = |row: usize| Confidence {
        score: scores[row],
        probability: calibration.probability(scores[row]),
        predicted_positive: outcomes.predicted[row] == 1.0,
    };
    let rows: Vec<Confidence> =
        (0..scores.len()).filter(|&row| wanted(row) && !scores[row].is_nan()).map(of_row).collect();
    if rows.is_empty() {
        return Err("no row has a prediction and a probability".into());
    }
    let beyond = rows.iter().filter(|row| !calibration.has_seen(row.score)).count();
    let estimates = match outcomes.problem {
        ProblemType::BinaryClassification => of_binary(&rows),
        _ => of_multiclass(&rows),
    };
    Ok(ExpectedLosses { estimates, beyond: beyond as f64 / rows.len() as f64 })
}

#[cfg(test)]
mod tests;
