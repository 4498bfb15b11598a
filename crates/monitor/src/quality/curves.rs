//! Curves over all thresholds of a score, and the area under one of them.
//!
//! Rows with the same score pass a threshold together, so the order of rows does not matter. Invariant: the receiver
//! operating characteristic begins at (0, 0) and ends at (1, 1); the precision–recall curve begins at recall 0 with
//! precision 1 and ends where recall reaches 1. Refuses to: print a point per row of millions.

/// Points of a printed curve; of longer ones every n-th is kept, and both ends.
pub(super) const MAX_CURVE_POINTS: usize = 1_000;

/// Both curves of a sample.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Curves {
    /// Shares of the negatives above each threshold, thresholds falling.
    pub false_positive_rates: Vec<f64>,
    /// Shares of the positives above it.
    pub true_positive_rates: Vec<f64>,
    /// Shares of positives among those above each threshold, thresholds falling.
    pub precisions: Vec<f64>,
    /// Shares of the positives above it.
    pub recalls: Vec<f64>,
}

/// Area under the receiver operating characteristic: the chance that a positive has a higher score than a negative,
/// equal scores counting half. NaN when a class is missing.
#[must_use]
pub fn area_under_curve(rows: Vec<(f64, bool)>) -> f64 {
    let (mut area, mut above, mut negatives) = (0.0, 0_u64, 0_u64);
    each_threshold(rows, |positives_here, negatives_here| {
        area += negatives_here as f64 * (above as f64 + positives_here as f64 / 2.0);
        above += positives_here;
        negatives += negatives_here;
    });
    if above == 0 || negatives == 0 { f64::NAN } else { area / (above as f64 * negatives as f64) }
}

impl Curves {
    /// Of scores and whether the positive class was right; `None` when a class is missing.
    #[must_use]
    pub fn of(rows: Vec<(f64, bool)>) -> Option<Self> {
        let positives = rows.iter().filter(|row| row.1).count() as f64;
        let negatives = rows.len() as f64 - positives;
        if positives == 0.0 || negatives == 0.0 {
            return None;
        }
        let mut curves = Self {
            false_positive_rates: vec![0.0],
            true_positive_rates: vec![0.0],
            precisions: vec![1.0],
            recalls: vec![0.0],
        };
        let (mut tp, mut fp) = (0_u64, 0_u64);
        each_threshold(rows, |positives_here, negatives_here| {
            let complete = tp as f64 == positives;
            (tp, fp) = (tp + positives_here, fp + negatives_here);
            curves.false_positive_rates.push(fp as f64 / negatives);
            curves.true_positive_rates.push(tp as f64 / positives);
            if !complete {
                curves.precisions.push(tp as f64 / (tp + fp) as f64);
                curves.recalls.push(tp as f64 / positives);
            }
        });
        for list in [
            &mut curves.false_positive_rates,
            &mut curves.true_positive_rates,
            &mut curves.precisions,
            &mut curves.recalls,
        ] {
            thin(list);
        }
        Some(curves)
    }
}

/// Calls `step` with the positives and negatives of each score, highest first.
fn each_threshold(mut rows: Vec<(f64, bool)>, mut step: impl FnMut(u64, u64)) {
    rows.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    for group in rows.chunk_by(|a, b| a.0 == b.0) {
        let positives = group.iter().filter(|row| row.1).count() as u64;
        step(positives, group.len() as u64 - positives);
    }
}

fn thin(points: &mut Vec<f64>) {
    let count = points.len();
    if count > MAX_CURVE_POINTS {
        let last = MAX_CURVE_POINTS - 1;
        *points = (0..MAX_CURVE_POINTS).map(|place| points[place * (count - 1) / last]).collect();
    }
}
