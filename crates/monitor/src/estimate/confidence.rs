//! Performance of a classifier from its own probabilities (confidence-based performance estimation).
//!
//! Where probabilities are calibrated, a row that is predicted positive with probability p is a true positive p times
//! and a false one 1 − p times. Summed over rows this gives the confusion matrix that labels would give on average, and
//! the metrics of it. For several classes the probability is that of the predicted class, which gives the accuracy.
//!
//! Invariant: rows in any order give the same numbers up to rounding. Refuses to: estimate without probabilities.

use super::Estimated;

/// A row: its score, the calibrated probability, and whether the positive class was predicted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Confidence {
    /// What the model said.
    pub score: f64,
    /// What that stands for.
    pub probability: f64,
    /// Of a binary problem.
    pub predicted_positive: bool,
}

/// The estimates of a binary problem. Their errors are those of the labels that chance will bring, by the delta method;
/// that of the area under the curve is not known.
#[must_use]
pub fn of_binary(rows: &[Confidence]) -> Vec<Estimated> {
    // True positives and false negatives: expected numbers and variances; predicted positives and negatives: counts.
    let (mut tp, mut fn_, mut tp_variance, mut fn_variance, mut positives) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for row in rows {
        let variance = row.probability * (1.0 - row.probability);
        if row.predicted_positive {
            positives += 1.0;
            tp += row.probability;
            tp_variance += variance;
        } else {
            fn_ += row.probability;
            fn_variance += variance;
        }
    }
    let all = rows.len() as f64;
    let (tn, fp) = (all - positives - fn_, positives - tp);
    let estimated = |metric, value: f64, by_tp: f64, by_fn: f64| Estimated {
        metric,
        value,
        standard_error: (by_tp * by_tp * tp_variance + by_fn * by_fn * fn_variance).sqrt(),
    };
    let (actual, denied, f_denominator) = (tp + fn_, tn + fp, positives + tp + fn_);
    vec![
        estimated("accuracy", (tp + tn) / all, 1.0 / all, -1.0 / all),
        estimated("precision", if positives == 0.0 { 0.0 } else { tp / positives }, 1.0 / positives.max(1.0), 0.0),
        estimated("recall", tp / actual, fn_ / actual.powi(2), -tp / actual.powi(2)),
        estimated("true_negative_rate", tn / denied, tn / denied.powi(2), -fp / denied.powi(2)),
        estimated(
            "f1",
            2.0 * tp / f_denominator,
            2.0 * (positives + fn_) / f_denominator.powi(2),
            -2.0 * tp / f_denominator.powi(2),
        ),
        Estimated { metric: "auc", value: area(rows), standard_error: f64::NAN },
    ]
}

/// The estimate of a problem with several classes.
#[must_use]
pub fn of_multiclass(rows: &[Confidence]) -> Vec<Estimated> {
    let all = rows.len() as f64;
    let right: f64 = rows.iter().map(|row| row.probability).sum();
    let variance: f64 = rows.iter().map(|row| row.probability * (1.0 - row.probability)).sum();
    vec![Estimated { metric: "accuracy", value: right / all, standard_error: variance.sqrt() / all }]
}

/// The expected area under the receiver operating characteristic: every row is a positive as far as its probability
/// goes, and a negative for the rest.
fn area(rows: &[Confidence]) -> f64 {
    let mut sorted: Vec<(f64, f64)> = rows.iter().map(|row| (row.score, row.probability)).collect();
    sorted.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1)));
    let (mut above, mut negatives, mut area) = (0.0, 0.0, 0.0);
    for group in sorted.chunk_by(|a, b| a.0 == b.0) {
        let positives_here: f64 = group.iter().map(|row| row.1).sum();
        let negatives_here = group.len() as f64 - positives_here;
        area += negatives_here * (above + positives_here / 2.0);
        above += positives_here;
        negatives += negatives_here;
    }
    area / (above * negatives)
}
