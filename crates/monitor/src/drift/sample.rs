//! What is known of the values of one column in one window: a sketch of its numbers, or counts of its categories.
//!
//! A sketch that has compacted knows ranks no better than a random sample would: its rank error at 99 % is taken as that
//! of [`Numbers::effective_rows`] rows. Every law of chance in this room counts with effective rows, so a distance that
//! comes from two sketches of a billion rows is not called certain to the fifth digit.
//!
//! Invariant: `rows` are rows with a value; no value is NaN.

use std::collections::BTreeMap;

use crate::artefact::FeatureStatistics;
use crate::profile::{ColumnProfile, InferredType};
use crate::sketch::Kll;

/// Rank error of a KLL sketch at 99 % confidence is this, divided by `k` to the power of [`RANK_ERROR_POWER`]
/// (measured constants of Apache DataSketches; the test below holds our sketch to them).
const RANK_ERROR_FACTOR: f64 = 2.296;
/// See [`RANK_ERROR_FACTOR`].
const RANK_ERROR_POWER: f64 = 0.9021;
/// Two-sided 99 % point of the normal distribution.
const NORMAL_99: f64 = 2.575_829;

/// The values of a column in a window.
#[derive(Debug, Clone, PartialEq)]
pub enum Sample<'a> {
    /// Compared by order and distance.
    Numbers(Numbers),
    /// Compared by share.
    Categories(BTreeMap<&'a str, u64>),
    /// Texts of too many different values to be compared, or a file that does not say.
    Unknown,
}

/// Numbers, sorted, with the rows that each stands for.
#[derive(Debug, Clone, PartialEq)]
pub struct Numbers {
    /// Ascending.
    pub weighted: Vec<(f64, u64)>,
    /// Rows behind them.
    pub rows: u64,
    /// Size of the sketch; `None` while it holds every row.
    sketched: Option<f64>,
}

impl Numbers {
    /// Of a sketch.
    #[must_use]
    pub fn of_sketch(sketch: &Kll) -> Self {
        let compacted = sketch.levels().skip(1).any(|level| !level.is_empty());
        Self { weighted: sketch.weighted(), rows: sketch.rows(), sketched: compacted.then_some(sketch.parameters().1) }
    }

    /// Of single values.
    #[must_use]
    pub fn of_values(values: &[f64]) -> Self {
        let mut weighted: Vec<(f64, u64)> = values.iter().map(|&value| (value, 1)).collect();
        weighted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        Self { weighted, rows: values.len() as u64, sketched: None }
    }

    /// Whether every row is there, none only represented.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.sketched.is_none()
    }

    /// Rows of a random sample that knows as much: `1/(1/n + 4·(rank error / 2.58)²)`.
    #[must_use]
    pub fn effective_rows(&self) -> f64 {
        let rows = self.rows as f64;
        let Some(k) = self.sketched else { return rows };
        let deviation = RANK_ERROR_FACTOR / k.powf(RANK_ERROR_POWER) / NORMAL_99;
        1.0 / (1.0 / rows + 4.0 * deviation * deviation)
    }

    /// Mean and standard deviation of what is there.
    #[must_use]
    pub fn mean_and_deviation(&self) -> (f64, f64) {
        let rows = self.rows.max(1) as f64;
        // Counted from one of the values, so that a constant has no deviation, however large it is.
        let base = self.weighted.first().map_or(0.0, |pair| pair.0);
        let offset = self.weighted.iter().map(|&(value, weight)| (value - base) * (weight as f64 / rows)).sum::<f64>();
        let square = |&(value, weight): &(f64, u64)| (value - base - offset).powi(2) * (weight as f64 / rows);
        (base + offset, self.weighted.iter().map(square).sum::<f64>().sqrt())
    }
}

impl<'a> Sample<'a> {
    /// Of a profile, by the column's own type.
    #[must_use]
    pub fn of_profile(column: &'a ColumnProfile) -> Self {
        match column.inferred_type() {
            InferredType::Integral | InferredType::Fractional => Self::numbers_of(column),
            InferredType::String => column.categories.counts().map_or(Self::Unknown, Self::Categories),
            InferredType::Unknown => Self::Unknown,
        }
    }

    /// Of a profile, seen as `reference` sees the column: the numbers of it, or its texts.
    #[must_use]
    pub fn like(column: &'a ColumnProfile, reference: &Sample<'_>) -> Self {
        match reference {
            Sample::Numbers(_) => Self::numbers_of(column),
            Sample::Categories(_) => column.categories.counts().map_or(Self::Unknown, Self::Categories),
            Sample::Unknown => Self::Unknown,
        }
    }

    /// Of a baseline's file. A sketch that is none counts as unknown.
    #[must_use]
    pub fn of_statistics(feature: &'a FeatureStatistics) -> Self {
        match feature.sketch() {
            Ok(Some(sketch)) => Self::Numbers(Numbers::of_sketch(&sketch)),
            _ => feature.categories().map_or(Self::Unknown, Self::Categories),
        }
    }

    fn numbers_of(column: &ColumnProfile) -> Self {
        Self::Numbers(Numbers::of_sketch(&column.quantiles))
    }

    /// Rows with a value.
    #[must_use]
    pub fn rows(&self) -> u64 {
        match self {
            Self::Numbers(numbers) => numbers.rows,
            Self::Categories(counts) => super::total(counts),
            Self::Unknown => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;
    use crate::drift::numeric_distance;
    use crate::drift::special::kolmogorov_quantile;

    #[test]
    fn a_sketch_knows_ranks_at_least_as_well_as_its_effective_rows() {
        for (rows, seed) in [(3_000, 1), (20_000, 2), (120_000, 3), (25_000, 4), (1_000_000, 5)] {
            let mut dice = Dice::seeded(seed);
            let values: Vec<f64> = (0..rows).map(|_| dice.normal()).collect();
            let mut sketch = Kll::default();
            let mut parts = Kll::default();
            values.iter().for_each(|&value| sketch.insert(value));
            for part in values.chunks(7_777) {
                let mut one = Kll::default();
                part.iter().for_each(|&value| one.insert(value));
                parts.merge(&one);
            }
            let exact = Numbers::of_values(&values);
            for sketch in [sketch, parts] {
                let numbers = Numbers::of_sketch(&sketch);
                assert!(!numbers.is_exact());
                let known = 1.0 / (1.0 / numbers.effective_rows() - 1.0 / rows as f64);
                let distance = numeric_distance(&exact.weighted, &numbers.weighted).unwrap();
                assert!(distance < kolmogorov_quantile(0.01) / known.sqrt(), "{rows}: {distance}");
            }
        }
    }

    #[test]
    fn few_rows_count_as_they_are() {
        let numbers = Numbers::of_values(&[3.0, 1.0, 2.0]);
        assert_eq!((numbers.weighted[0].0, numbers.effective_rows(), numbers.is_exact()), (1.0, 3.0, true));
        let (mean, deviation) = numbers.mean_and_deviation();
        assert!((mean - 2.0).abs() < 1e-15 && (deviation - (2.0_f64 / 3.0).sqrt()).abs() < 1e-15);
    }
}
