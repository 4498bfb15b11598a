//! The weighted least-squares fit whose coefficients add up to the whole gain.

use super::Coalitions;

/// First ridge that is put on a matrix that cannot be solved, as a share of its largest diagonal; each try takes more.
const RIDGE_FIRST: f64 = 1e-12;
/// How much more each further try takes.
const RIDGE_STEP: f64 = 100.0;

/// What each feature adds, `features × outputs`, row by row.
///
/// `gains` holds for each subset, and `whole` for all features together, how much each output differs from the baseline's.
pub fn attributions(coalitions: &Coalitions, gains: &[f64], whole: &[f64]) -> Vec<f64> {
    let (features, outputs) = (coalitions.features(), whole.len());
    if features <= 1 {
        return whole[..outputs * features].to_vec();
    }
    let (normal, right) = normal_equations(coalitions, gains, outputs);
    let factor = factorized(&normal, features);
    // With A the normal matrix: the unconstrained solution, moved along A⁻¹1 until it adds up.
    let ones = solved(&factor, features, &vec![1.0; features]);
    let along: f64 = ones.iter().sum();
    let mut added = vec![0.0; features * outputs];
    for (output, whole) in whole.iter().enumerate() {
        let free = solved(&factor, features, &right[output * features..(output + 1) * features]);
        let excess = (free.iter().sum::<f64>() - whole) / along;
        let fitted: Vec<f64> = free.iter().zip(&ones).map(|(free, one)| free - one * excess).collect();
        // What rounding left over is shared out, so that the sum is as near as doubles are.
        let left = (whole - fitted.iter().sum::<f64>()) / features as f64;
        for (feature, value) in fitted.iter().enumerate() {
            added[feature * outputs + output] = value + left;
        }
    }
    added
}

/// `Σ w z zᵀ` in full, and `Σ w z gain` for each output one after the other.
fn normal_equations(coalitions: &Coalitions, gains: &[f64], outputs: usize) -> (Vec<f64>, Vec<f64>) {
    let features = coalitions.features();
    let (mut normal, mut right) = (vec![0.0; features * features], vec![0.0; features * outputs]);
    let mut members = Vec::with_capacity(features);
    for (subset, gain) in gains.chunks_exact(outputs).enumerate() {
        let weight = coalitions.weight(subset);
        members.clear();
        members.extend(coalitions.members(subset));
        for (place, &one) in members.iter().enumerate() {
            for &other in &members[..=place] {
                normal[one * features + other] += weight;
            }
            for (output, gain) in gain.iter().enumerate() {
                right[output * features + one] += weight * gain;
            }
        }
    }
    (normal, right)
}

/// The lower triangle of the Cholesky factor, of the matrix itself where it can be had. Subsets that do not tell all
/// features apart leave no single best fit; the ridge takes the one that spreads the gain most evenly.
fn factorized(normal: &[f64], size: usize) -> Vec<f64> {
    let largest = (0..size).map(|at| normal[at * size + at]).fold(f64::MIN_POSITIVE, f64::max);
    let mut ridge = 0.0;
    loop {
        if let Some(factor) = cholesky(normal, size, ridge * largest) {
            return factor;
        }
        ridge = if ridge == 0.0 { RIDGE_FIRST } else { ridge * RIDGE_STEP };
    }
}

/// Nothing when the matrix is as good as singular.
fn cholesky(normal: &[f64], size: usize, ridge: f64) -> Option<Vec<f64>> {
    let mut factor = vec![0.0; size * size];
    for row in 0..size {
        for column in 0..=row {
            let (above, below) = (&factor[row * size..][..column], &factor[column * size..][..column]);
            let taken: f64 = above.iter().zip(below).map(|(one, other)| one * other).sum();
            let left = normal[row * size + column] - taken;
            factor[row * size + column] = if row == column {
                let pivot = left + ridge;
                if pivot <= normal[row * size + row] * f64::EPSILON * size as f64 {
                    return None;
                }
                pivot.sqrt()
            } else {
                left / factor[column * size + column]
            };
        }
    }
    Some(factor)
}

fn solved(factor: &[f64], size: usize, right: &[f64]) -> Vec<f64> {
    let mut values = right.to_vec();
    for row in 0..size {
        let taken: f64 = (0..row).map(|at| factor[row * size + at] * values[at]).sum();
        values[row] = (values[row] - taken) / factor[row * size + row];
    }
    for row in (0..size).rev() {
        let taken: f64 = (row + 1..size).map(|at| factor[at * size + row] * values[at]).sum();
        values[row] = (values[row] - taken) / factor[row * size + row];
    }
    values
}
