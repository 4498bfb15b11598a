//! Metrics of binary classification.
//!
//! The best constant classifier is the one that always says the more frequent class (checked against an answer of AWS);
//! of two equally frequent ones the negative. Precision and F of a model that never says "positive" are 0; rates of a
//! class that never occurs are NaN.

use super::{BinarySample, Named, area_under_curve, f_beta, ratio};

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    tp: u64,
    tn: u64,
    fp: u64,
    r#fn: u64,
}

impl Counts {
    fn rows(self) -> u64 {
        self.tp + self.tn + self.fp + self.r#fn
    }

    fn recall(self) -> f64 {
        ratio(self.tp, self.tp + self.r#fn, f64::NAN)
    }

    fn precision(self) -> f64 {
        ratio(self.tp, self.tp + self.fp, 0.0)
    }

    fn accuracy(self) -> f64 {
        ratio(self.tp + self.tn, self.rows(), f64::NAN)
    }

    fn f(self, beta: f64) -> f64 {
        f_beta(beta, self.precision(), self.recall())
    }

    fn of_best_constant(self) -> Self {
        let (positives, negatives) = (self.tp + self.r#fn, self.tn + self.fp);
        if positives > negatives {
            Self { tp: positives, fp: negatives, ..Self::default() }
        } else {
            Self { tn: negatives, r#fn: positives, ..Self::default() }
        }
    }
}

/// All metrics of the rows in `keep`, or of all. Without scores there is no area under the curve.
pub(super) fn metrics(sample: &BinarySample, keep: Option<&[u32]>) -> Named {
    let every: Vec<u32>;
    let rows: &[u32] = match keep {
        Some(rows) => rows,
        None => {
            every = (0..sample.actual.len() as u32).collect();
            &every
        }
    };
    let mut counts = Counts::default();
    for &row in rows {
        *match (sample.actual[row as usize], sample.predicted[row as usize]) {
            (true, true) => &mut counts.tp,
            (true, false) => &mut counts.r#fn,
            (false, true) => &mut counts.fp,
            (false, false) => &mut counts.tn,
        } += 1;
    }
    let constant = counts.of_best_constant();
    let mut metrics = vec![
        ("recall", counts.recall()),
        ("precision", counts.precision()),
        ("accuracy", counts.accuracy()),
        ("recall_best_constant_classifier", constant.recall()),
        ("precision_best_constant_classifier", constant.precision()),
        ("accuracy_best_constant_classifier", constant.accuracy()),
        ("true_positive_rate", counts.recall()),
        ("true_negative_rate", ratio(counts.tn, counts.tn + counts.fp, f64::NAN)),
        ("false_positive_rate", ratio(counts.fp, counts.tn + counts.fp, f64::NAN)),
        ("false_negative_rate", ratio(counts.r#fn, counts.tp + counts.r#fn, f64::NAN)),
    ];
    if let Some(scores) = &sample.scores {
        let pairs = rows.iter().map(|&row| (scores[row as usize], sample.actual[row as usize]));
        metrics.push(("auc", area_under_curve(pairs.collect())));
    }
    metrics.extend([
        ("f0_5", counts.f(0.5)),
        ("f1", counts.f(1.0)),
        ("f2", counts.f(2.0)),
        ("f0_5_best_constant_classifier", constant.f(0.5)),
        ("f1_best_constant_classifier", constant.f(1.0)),
        ("f2_best_constant_classifier", constant.f(2.0)),
    ]);
    metrics
}
