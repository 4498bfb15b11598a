//! The flip test: what the model says of rows with the facet, against what it says of their nearest neighbours without.
//!
//! Of each row with the facet the five nearest rows without it vote (the one nearest, where there are fewer than ten).
//! FT = (rows that the model accepts and the vote does not − the other way round) / rows with the facet.
//!
//! Invariant: equally near rows count in their order. Refuses to: measure distances between texts.

use std::cmp::Ordering;

/// Rows of each side that are looked at; of more every n-th.
pub const MAX_FLIP_ROWS: usize = 2_000;
const NEIGHBOURS: usize = 5;
/// Rows without the facet from which on there are five neighbours.
const MIN_ROWS_FOR_NEIGHBOURS: usize = 10;

/// Rows by whether they have the facet: their numbers, and whether the model accepts them.
#[derive(Debug, Clone, Default)]
pub struct FlipRows<'a> {
    /// Without the facet.
    pub without: Vec<(&'a [f64], bool)>,
    /// With it.
    pub with: Vec<(&'a [f64], bool)>,
}

/// The test; `None` where a side has no rows.
#[must_use]
pub fn flip_test(rows: &FlipRows<'_>) -> Option<f64> {
    let (without, with) = (thin(&rows.without), thin(&rows.with));
    if without.is_empty() || with.is_empty() {
        return None;
    }
    let neighbours = if without.len() >= MIN_ROWS_FOR_NEIGHBOURS { NEIGHBOURS } else { 1 };
    let mut flipped = 0_i64;
    for (row, accepted) in &with {
        let mut near: Vec<(f64, usize)> =
            without.iter().enumerate().map(|(place, other)| (distance(row, other.0), place)).collect();
        let order = |a: &(f64, usize), b: &(f64, usize)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        near.select_nth_unstable_by(neighbours - 1, order);
        let votes = near[..neighbours].iter().filter(|(_, place)| without[*place].1).count();
        flipped += match accepted.cmp(&(2 * votes > neighbours)) {
            Ordering::Greater => 1,
            Ordering::Less => -1,
            Ordering::Equal => 0,
        };
    }
    Some(flipped as f64 / with.len() as f64)
}

fn thin<'a>(rows: &[(&'a [f64], bool)]) -> Vec<(&'a [f64], bool)> {
    rows.iter().copied().step_by(rows.len().div_ceil(MAX_FLIP_ROWS).max(1)).collect()
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}
