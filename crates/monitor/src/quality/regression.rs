//! Metrics of predicted numbers: mean absolute and squared error, its root, and the coefficient of determination.

use super::{Named, RegressionSample};

/// All metrics of the rows in `keep`, or of all.
pub(super) fn metrics(sample: &RegressionSample, keep: Option<&[u32]>) -> Named {
    match keep {
        Some(rows) => of(rows.iter().map(|&row| (sample.actual[row as usize], sample.predicted[row as usize]))),
        None => of(sample.actual.iter().copied().zip(sample.predicted.iter().copied())),
    }
}

fn of(rows: impl Iterator<Item = (f64, f64)> + Clone) -> Named {
    let (mut count, mut sum, mut absolute, mut squared) = (0.0, 0.0, 0.0, 0.0);
    for (actual, predicted) in rows.clone() {
        let error = actual - predicted;
        count += 1.0;
        sum += actual;
        absolute += error.abs();
        squared += error * error;
    }
    // Without rows all of this is 0/0, which is what is meant.
    let mean = sum / count;
    let spread: f64 = rows.map(|(actual, _)| (actual - mean).powi(2)).sum();
    let mse = squared / count;
    let r2 = if spread == 0.0 { f64::NAN } else { 1.0 - squared / spread };
    vec![("mae", absolute / count), ("mse", mse), ("rmse", mse.sqrt()), ("r2", r2)]
}
