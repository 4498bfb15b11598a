//! Distances between a baseline's distribution and a current one.
//!
//! Numbers: largest difference of the two cumulative distributions (two-sample Kolmogorov–Smirnov) read from sketches.
//! Categories: largest difference of proportions, or the p-value of a chi-square test. *Robust* takes off what two
//! samples of n and m rows differ by chance: `1.8·√((n+m)/(n·m))`, the asymptotic 0.3 % point (open-source Deequ,
//! `analyzers/Distance.scala`).
//!
//! That is what AWS's file and verdict say. What a data scientist wants to know beyond it, a distance with its interval,
//! a verdict that knows when there is not enough data, many columns at once and window after window, is in [`compare`],
//! [`measure`] and [`watch`]; `docs/drift.md` tells what it is worth.
//!
//! Invariant: a distribution has distance 0 to itself, and every distance of this module lies in 0..=1.

pub mod bursts;
pub mod cells;
mod chi_square;
pub mod compare;
pub mod discovery;
pub mod measure;
mod noise;
pub mod outline;
#[cfg(test)]
mod reference;
pub mod sample;
pub mod special;
pub mod watch;
pub mod windows;

use std::collections::{BTreeMap, BTreeSet};

pub use chi_square::chi_square_p_value;

use crate::constraints::ComparisonMethod;

/// Quantile of the Kolmogorov distribution at 0.3 %, as Deequ rounds it.
const ROBUST_FACTOR: f64 = 1.8;

/// Largest difference between two cumulative distributions. Each is a list of values with their weights, ascending.
/// `None` when one of them is empty.
#[must_use]
pub fn numeric_distance(a: &[(f64, u64)], b: &[(f64, u64)]) -> Option<f64> {
    let total = |side: &[(f64, u64)]| side.iter().map(|pair| pair.1).sum::<u64>();
    let (total_a, total_b) = (total(a), total(b));
    if total_a == 0 || total_b == 0 {
        return None;
    }
    let mut worst = 0.0_f64;
    each_step(a, b, |_, below| {
        worst = worst.max((below[0] as f64 / total_a as f64 - below[1] as f64 / total_b as f64).abs());
    });
    Some(worst)
}

/// Walks up both sides at once: each value that either has, and the rows of each side up to it.
fn each_step(a: &[(f64, u64)], b: &[(f64, u64)], mut see: impl FnMut(f64, [u64; 2])) {
    let (mut i, mut j, mut below) = (0, 0, [0_u64; 2]);
    while i < a.len() || j < b.len() {
        let next = match (a.get(i), b.get(j)) {
            (Some(x), Some(y)) => x.0.min(y.0),
            (Some(x), None) | (None, Some(x)) => x.0,
            (None, None) => break,
        };
        while i < a.len() && a[i].0 <= next {
            below[0] += a[i].1;
            i += 1;
        }
        while j < b.len() && b[j].0 <= next {
            below[1] += b[j].1;
            j += 1;
        }
        see(next, below);
    }
}

/// Largest difference of proportions over all categories. `None` when one side has no rows.
#[must_use]
pub fn categorical_distance(a: &BTreeMap<&str, u64>, b: &BTreeMap<&str, u64>) -> Option<f64> {
    let (total_a, total_b) = (total(a), total(b));
    if total_a == 0 || total_b == 0 {
        return None;
    }
    let share = |side: &BTreeMap<&str, u64>, total: u64, value: &str| {
        side.get(value).copied().unwrap_or(0) as f64 / total as f64
    };
    let values: BTreeSet<&str> = a.keys().chain(b.keys()).copied().collect();
    Some(
        values.into_iter().map(|value| (share(a, total_a, value) - share(b, total_b, value)).abs()).fold(0.0, f64::max),
    )
}

/// Rows behind counts. Counts from a file may be absurd; they saturate.
#[must_use]
pub fn total(counts: &BTreeMap<&str, u64>) -> u64 {
    counts.values().fold(0, |sum, &count| sum.saturating_add(count))
}

/// What two samples of `n` and `m` rows of one distribution may differ by chance.
#[must_use]
pub fn chance(n: u64, m: u64) -> f64 {
    let (n, m) = (n as f64, m as f64);
    ROBUST_FACTOR * ((n + m) / (n * m)).sqrt()
}

/// A distance as the comparison method judges it.
#[must_use]
pub fn judged(distance: f64, method: ComparisonMethod, n: u64, m: u64) -> f64 {
    match method {
        ComparisonMethod::Simple => distance,
        ComparisonMethod::Robust => (distance - chance(n, m)).max(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sketch::Kll;

    fn weighted(values: &[f64]) -> Vec<(f64, u64)> {
        values.iter().map(|&value| (value, 1)).collect()
    }

    #[test]
    fn distances_of_small_samples_are_those_of_the_textbook() {
        let (a, b) = (weighted(&[1.0, 2.0, 3.0, 4.0]), weighted(&[3.0, 4.0, 5.0, 6.0]));
        assert_eq!(numeric_distance(&a, &b), Some(0.5));
        assert_eq!(numeric_distance(&a, &a), Some(0.0));
        assert_eq!(
            numeric_distance(&weighted(&[1.0, 1.0, 2.0]), &weighted(&[1.0, 2.0, 2.0])),
            Some(2.0 / 3.0 - 1.0 / 3.0)
        );
        assert_eq!(numeric_distance(&a, &[]), None);
        let (x, y) = (BTreeMap::from([("a", 3), ("b", 1)]), BTreeMap::from([("a", 1), ("c", 1)]));
        assert_eq!(categorical_distance(&x, &y), Some(0.5));
    }

    #[test]
    fn sixty_rows_against_ten_thousand_may_differ_by_a_quarter() {
        assert!((chance(60, 9_999) - 0.233).abs() < 5e-4);
        assert_eq!(judged(0.2, ComparisonMethod::Robust, 60, 9_999), 0.0);
        assert_eq!(judged(0.2, ComparisonMethod::Simple, 60, 9_999), 0.2);
    }

    #[test]
    fn random_subsamples_of_the_baseline_never_drift_by_the_robust_method() {
        let mut state = 7_u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let population: Vec<f64> = (0..10_000).map(|_| (uniform() + uniform() + uniform()) * 10.0).collect();
        let mut baseline = Kll::default();
        population.iter().for_each(|&value| baseline.insert(value));
        let baseline = baseline.weighted();
        for _ in 0..150 {
            let mut sample = Kll::default();
            (0..60).for_each(|_| sample.insert(population[(uniform() * 10_000.0) as usize]));
            let distance = numeric_distance(&baseline, &sample.weighted()).unwrap();
            let judged = judged(distance, ComparisonMethod::Robust, 10_000, 60);
            assert!(judged < 0.1, "{distance} {judged}");
        }
    }
}
