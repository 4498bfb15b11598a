//! Model quality: metrics of predictions against what turned out to be right, as Model Monitor computes them.
//!
//! Invariant: metrics are functions of the rows, their standard deviations of the rows and a seed. What cannot be
//! computed (a recall without positives) is NaN, printed `"NaN"`, and never violates anything. Refuses to: read files.

mod artefact;
mod attributes;
mod binary;
mod by_segment;
mod curves;
mod multiclass;
mod outcomes;
mod regression;
mod resample;
mod sample;
mod violations;

use serde::Serialize;

pub(crate) use artefact::lenient;
pub use artefact::{Entry, MetricValue, QualityStatistics, When};
pub use attributes::{Attribute, Attributes, resolve};
pub use by_segment::{GroupQuality, MIN_ROWS_OF_GROUP, SegmentQuality, by_segment};
pub use curves::{Curves, area_under_curve};
pub use outcomes::{Outcomes, Segment};
pub use sample::{Left, MAX_ROWS_HELD, Sampler};
pub use violations::{Operator, QualityConstraint, QualityConstraints, QualityViolation, QualityViolations};

/// Rows below which no standard deviation is given.
pub const MIN_ROWS_FOR_DEVIATION: usize = 200;

/// Classes of a problem that is judged; what has more is no classification.
pub const MAX_JUDGED_CLASSES: usize = 1_000;

/// What the model predicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum ProblemType {
    /// One of two classes.
    BinaryClassification,
    /// One of several classes.
    MulticlassClassification,
    /// A number.
    Regression,
}

impl ProblemType {
    /// The beginning of the names of its sections: `binary_classification` of `binary_classification_metrics`.
    #[must_use]
    pub fn section(self) -> &'static str {
        match self {
            Self::BinaryClassification => "binary_classification",
            Self::MulticlassClassification => "multiclass_classification",
            Self::Regression => "regression",
        }
    }
}

/// Rows with their right answers, ready to be judged. All lists of one sample have the same length.
#[derive(Debug, Clone, PartialEq)]
pub enum Sample {
    /// Two classes.
    Binary(BinarySample),
    /// Several classes.
    Multiclass(MulticlassSample),
    /// Numbers.
    Regression(RegressionSample),
}

/// Rows of a binary problem.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BinarySample {
    /// Names of the negative and the positive class.
    pub classes: [String; 2],
    /// Whether the positive class was right.
    pub actual: Vec<bool>,
    /// Whether it was predicted.
    pub predicted: Vec<bool>,
    /// The model's score of the positive class, where it gives one.
    pub scores: Option<Vec<f64>>,
}

/// Rows of a multiclass problem; classes are places in `classes`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MulticlassSample {
    /// Names of the classes, sorted.
    pub classes: Vec<String>,
    /// The right class.
    pub actual: Vec<u32>,
    /// The predicted one.
    pub predicted: Vec<u32>,
}

/// Rows of a regression problem.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RegressionSample {
    /// The right number.
    pub actual: Vec<f64>,
    /// The predicted one.
    pub predicted: Vec<f64>,
}

/// Metrics with their names.
type Named = Vec<(&'static str, f64)>;

/// One number about a sample, with its name in Model Monitor's files.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Its value; NaN where it is not defined.
    #[serde(serialize_with = "artefact::lenient")]
    pub value: f64,
    /// Standard deviation over resamples; NaN below [`MIN_ROWS_FOR_DEVIATION`] rows.
    #[serde(serialize_with = "artefact::lenient")]
    pub standard_deviation: f64,
}

impl Sample {
    /// Rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        match self {
            Self::Binary(sample) => sample.actual.len(),
            Self::Multiclass(sample) => sample.actual.len(),
            Self::Regression(sample) => sample.actual.len(),
        }
    }

    /// Of which problem.
    #[must_use]
    pub fn problem(&self) -> ProblemType {
        match self {
            Self::Binary(_) => ProblemType::BinaryClassification,
            Self::Multiclass(_) => ProblemType::MulticlassClassification,
            Self::Regression(_) => ProblemType::Regression,
        }
    }

    /// All metrics, in the order of Model Monitor's file.
    #[must_use]
    pub fn metrics(&self, seed: u64) -> Vec<Metric> {
        let deviations = resample::deviations(self.rows(), seed, &|keep| self.values(keep));
        let mut metrics = self.metrics_without_deviations();
        for (metric, deviation) in metrics.iter_mut().zip(deviations) {
            metric.standard_deviation = deviation;
        }
        metrics
    }

    /// All metrics, their deviations NaN.
    #[must_use]
    pub fn metrics_without_deviations(&self) -> Vec<Metric> {
        let metric = |(name, value)| Metric { name, value, standard_deviation: f64::NAN };
        self.values(None).into_iter().map(metric).collect()
    }

    fn values(&self, keep: Option<&[u32]>) -> Named {
        match self {
            Self::Binary(sample) => binary::metrics(sample, keep),
            Self::Multiclass(sample) => multiclass::metrics(sample, keep),
            Self::Regression(sample) => regression::metrics(sample, keep),
        }
    }

    /// Counts by right and by predicted class, names of classes in order; empty for numbers.
    #[must_use]
    pub fn confusion_matrix(&self) -> Vec<(String, Vec<(String, u64)>)> {
        let (names, pairs): (Vec<&String>, Vec<(usize, usize)>) = match self {
            Self::Binary(sample) => {
                let pairs = sample.actual.iter().zip(&sample.predicted);
                (sample.classes.iter().collect(), pairs.map(|(&a, &p)| (usize::from(a), usize::from(p))).collect())
            }
            Self::Multiclass(sample) => {
                let pairs = sample.actual.iter().zip(&sample.predicted);
                (sample.classes.iter().collect(), pairs.map(|(&a, &p)| (a as usize, p as usize)).collect())
            }
            Self::Regression(_) => return Vec::new(),
        };
        let mut counts = vec![vec![0_u64; names.len()]; names.len()];
        for (actual, predicted) in pairs {
            counts[actual][predicted] += 1;
        }
        let row = |counts: Vec<u64>| names.iter().map(|&name| name.clone()).zip(counts).collect();
        let mut matrix: Vec<(String, Vec<(String, u64)>)> =
            names.iter().map(|&name| name.clone()).zip(counts.into_iter().map(row)).collect();
        matrix.sort_by(|a, b| a.0.cmp(&b.0));
        matrix.iter_mut().for_each(|(_, row)| row.sort_by(|a, b| a.0.cmp(&b.0)));
        matrix
    }
}

/// Harmonic mean of precision and recall, recall counting `beta` times as much; 0 when both are.
fn f_beta(beta: f64, precision: f64, recall: f64) -> f64 {
    let squared = beta * beta;
    let denominator = squared * precision + recall;
    if denominator == 0.0 { 0.0 } else { (1.0 + squared) * precision * recall / denominator }
}

/// `part / whole`, `otherwise` of nothing.
fn ratio(part: u64, whole: u64, otherwise: f64) -> f64 {
    if whole == 0 { otherwise } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests;
