//! Metrics of classification into several classes: per class, weighted by how often the class was right.
//!
//! A class that is never predicted has precision 0. The best constant classifier always says the most frequent class, of
//! equally frequent ones the first by name.

use super::{MulticlassSample, Named, f_beta, ratio};

const BETAS: [f64; 3] = [0.5, 1.0, 2.0];

#[derive(Debug, Clone, Copy, Default)]
struct Class {
    right: u64,
    predicted: u64,
    actual: u64,
}

/// All metrics of the rows in `keep`, or of all.
pub(super) fn metrics(sample: &MulticlassSample, keep: Option<&[u32]>) -> Named {
    let mut classes = vec![Class::default(); sample.classes.len()];
    let mut count = |row: usize| {
        let (actual, predicted) = (sample.actual[row] as usize, sample.predicted[row] as usize);
        classes[actual].actual += 1;
        classes[predicted].predicted += 1;
        classes[actual].right += u64::from(actual == predicted);
    };
    match keep {
        Some(rows) => rows.iter().for_each(|&row| count(row as usize)),
        None => (0..sample.actual.len()).for_each(count),
    }
    let rows: u64 = classes.iter().map(|class| class.actual).sum();
    let best = (0..classes.len()).rev().max_by_key(|&place| classes[place].actual).unwrap_or(0);
    let mut values = of(&classes, rows);
    values.extend(of(&constant(&classes, best, rows), rows));
    let names = [
        "accuracy",
        "weighted_recall",
        "weighted_precision",
        "weighted_f0_5",
        "weighted_f1",
        "weighted_f2",
        "accuracy_best_constant_classifier",
        "weighted_recall_best_constant_classifier",
        "weighted_precision_best_constant_classifier",
        "weighted_f0_5_best_constant_classifier",
        "weighted_f1_best_constant_classifier",
        "weighted_f2_best_constant_classifier",
    ];
    names.into_iter().zip(values).collect()
}

/// What the classes would be if `best` were always predicted.
fn constant(classes: &[Class], best: usize, rows: u64) -> Vec<Class> {
    let class = |(place, class): (usize, &Class)| {
        let chosen = place == best;
        Class {
            right: if chosen { class.actual } else { 0 },
            predicted: if chosen { rows } else { 0 },
            actual: class.actual,
        }
    };
    classes.iter().enumerate().map(class).collect()
}

/// Accuracy, and the weighted means of recall, precision and F by [`BETAS`].
fn of(classes: &[Class], rows: u64) -> Vec<f64> {
    let weighted = |value: &dyn Fn(&Class) -> f64| {
        let sum: f64 =
            classes.iter().filter(|class| class.actual > 0).map(|class| class.actual as f64 * value(class)).sum();
        if rows == 0 { f64::NAN } else { sum / rows as f64 }
    };
    let recall = |class: &Class| ratio(class.right, class.actual, 0.0);
    let precision = |class: &Class| ratio(class.right, class.predicted, 0.0);
    let right = classes.iter().map(|class| class.right).sum();
    let mut values = vec![ratio(right, rows, f64::NAN), weighted(&recall), weighted(&precision)];
    values.extend(BETAS.map(|beta| weighted(&|class| f_beta(beta, precision(class), recall(class)))));
    values
}
