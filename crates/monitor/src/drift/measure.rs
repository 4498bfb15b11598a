//! Six ways to measure how far two samples lie apart, each with what chance makes of it.
//!
//! | measure | of | law of chance |
//! | --- | --- | --- |
//! | Kolmogorov–Smirnov | numbers | exact for small samples, else Kolmogorov's limit |
//! | Wasserstein ÷ deviation of the reference | numbers | gamma with the mean and variance of `∫ \|noise\|`, see `Noise` |
//! | population stability index | both | `PSI/(1/n+1/m)` is chi-square with cells − 1 degrees |
//! | Jensen–Shannon distance (base 2) | both | `8·ln 2·JS²/(1/n+1/m)` likewise |
//! | chi-square of two samples | both | chi-square |
//! | L-infinity | categories | score intervals of each share, held together by Bonferroni |
//!
//! An interval holds the distance of the two *populations*. It stands on the triangle inequality: what two samples are
//! off from their populations is at most the noise of both, whatever the true distance is. So the same law gives
//! [`Measured::p_beyond`], how likely so large a distance is when the true one is no larger than a tolerance.
//! Refuses to: measure what has no rows.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::cells::Cells;
use super::noise::{Noise, Shares, Spread};
use super::numeric_distance;
use super::sample::{Numbers, Sample};
use super::special::{kolmogorov_quantile, kolmogorov_tail, two_sample_tail};

/// Lattice steps up to which the law of Kolmogorov–Smirnov is computed exactly.
const EXACT_STEPS: u64 = 100_000;
/// Added to both counts of a cell, so that an empty one has a finite index.
const HALF_A_ROW: f64 = 0.5;

/// A way to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Largest difference of the cumulative shares.
    KolmogorovSmirnov,
    /// Mean way that a value must go, in standard deviations of the reference.
    Wasserstein,
    /// Population stability index over deciles or values.
    PopulationStability,
    /// Square root of the divergence in bits, over deciles or values.
    JensenShannon,
    /// Statistic of the test of homogeneity, over deciles or values.
    ChiSquare,
    /// Largest difference of a value's share.
    LInfinity,
}

/// Its name, as people write it.
impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KolmogorovSmirnov => "Kolmogorov–Smirnov",
            Self::Wasserstein => "Wasserstein",
            Self::PopulationStability => "PSI",
            Self::JensenShannon => "Jensen–Shannon",
            Self::ChiSquare => "chi-square",
            Self::LInfinity => "L-infinity",
        })
    }
}

/// A measured distance.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// How it was measured.
    pub measure: Measure,
    /// The distance of the samples.
    pub value: f64,
    /// Where the distance of the populations lies with the confidence that was asked for; `None` of the chi-square
    /// statistic, which grows with the rows and has no population's value.
    pub interval: Option<[f64; 2]>,
    /// How likely a distance this large is when both samples come from one population.
    pub p_value: f64,
    #[serde(skip)]
    law: Law,
}

#[derive(Debug, Clone, PartialEq)]
enum Law {
    /// Noise is at most Kolmogorov's limit, over the root of this.
    Kolmogorov(f64),
    Lengths(Noise),
    Spread(Spread),
    /// As [`Law::Spread`] of the square.
    RootOfSpread(Spread),
    Shares(Shares),
    Test,
}

impl Measured {
    /// How likely a distance this large is when that of the populations is at most `tolerance`. Of chi-square, whatever
    /// the tolerance, the p-value.
    #[must_use]
    pub fn p_beyond(&self, tolerance: f64) -> f64 {
        if tolerance <= 0.0 {
            return self.p_value;
        }
        match &self.law {
            Law::Kolmogorov(rows) => kolmogorov_tail((self.value - tolerance) * rows.sqrt()),
            Law::Lengths(noise) => noise.tail(self.value - tolerance),
            Law::Spread(spread) => spread.tail(tolerance),
            Law::RootOfSpread(spread) => spread.tail(tolerance * tolerance),
            Law::Shares(shares) => shares.p_beyond(tolerance),
            Law::Test => self.p_value,
        }
    }

    /// How far chance alone takes the measure at this level when nothing has changed; of chi-square, 0.
    #[must_use]
    pub fn reach(&self, level: f64) -> f64 {
        match &self.law {
            Law::Kolmogorov(rows) => kolmogorov_quantile(level) / rows.sqrt(),
            Law::Lengths(noise) => noise.quantile(level),
            Law::Spread(spread) => spread.reach(level),
            Law::RootOfSpread(spread) => spread.reach(level).sqrt(),
            Law::Shares(shares) => shares.reach(level),
            Law::Test => 0.0,
        }
    }

    /// To which share `1/n + 1/m` must shrink for the reach to shrink to this share.
    pub(super) fn shrinks_by(&self, share: f64) -> f64 {
        if matches!(self.law, Law::Spread(_)) { share } else { share * share }
    }
}

/// All measures that suit the samples; none when a side has no rows or they are of different kinds.
#[must_use]
pub fn measured(reference: &Sample<'_>, current: &Sample<'_>, confidence: f64) -> Vec<Measured> {
    if reference.rows() == 0 || current.rows() == 0 {
        return Vec::new();
    }
    let level = 1.0 - confidence;
    match (reference, current) {
        (Sample::Numbers(then), Sample::Numbers(now)) => {
            let cells = Cells::of_numbers(then, now);
            let first = [kolmogorov_smirnov(then, now, level)].into_iter().chain(wasserstein(then, now, level));
            first.chain(over_cells(&cells, level)).collect()
        }
        (Sample::Categories(then), Sample::Categories(now)) => {
            let shares = Shares::of(then, now);
            let (low, high) = shares.interval(level);
            let first = Measured {
                measure: Measure::LInfinity,
                value: shares.largest(),
                interval: Some([low, high]),
                p_value: shares.p_beyond(0.0),
                law: Law::Shares(shares),
            };
            std::iter::once(first).chain(over_cells(&Cells::of_categories(then, now), level)).collect()
        }
        _ => Vec::new(),
    }
}

/// The largest difference of cumulative shares.
fn kolmogorov_smirnov(then: &Numbers, now: &Numbers, level: f64) -> Measured {
    let value = numeric_distance(&then.weighted, &now.weighted).expect("our bug: both sides have rows");
    let rows = 1.0 / (1.0 / then.effective_rows() + 1.0 / now.effective_rows());
    let noise = kolmogorov_quantile(level) / rows.sqrt();
    let exact = then.is_exact() && now.is_exact() && then.rows.saturating_mul(now.rows) <= EXACT_STEPS;
    let p_value =
        if exact { two_sample_tail(then.rows, now.rows, value) } else { kolmogorov_tail(value * rows.sqrt()) };
    Measured {
        measure: Measure::KolmogorovSmirnov,
        value,
        interval: Some([(value - noise).max(0.0), (value + noise).min(1.0)]),
        p_value,
        law: Law::Kolmogorov(rows),
    }
}

/// The area between the cumulative shares, in deviations of the reference; `None` when the reference has none.
fn wasserstein(then: &Numbers, now: &Numbers, level: f64) -> Option<Measured> {
    let deviation = then.mean_and_deviation().1;
    if deviation <= 0.0 || !deviation.is_finite() {
        return None;
    }
    let noise = Noise::between(then, now, deviation);
    let (value, reach) = (noise.area(), noise.quantile(level));
    if !value.is_finite() {
        return None;
    }
    Some(Measured {
        measure: Measure::Wasserstein,
        value,
        interval: Some([(value - reach).max(0.0), value + reach]),
        p_value: noise.tail(value),
        law: Law::Lengths(noise),
    })
}

/// The measures that compare shares of cells.
fn over_cells(cells: &Cells, level: f64) -> [Measured; 3] {
    let rows = [cells.rows(0), cells.rows(1)];
    let shares: Vec<[f64; 2]> = cells.counts.iter().map(|cell| [cell[0] / rows[0], cell[1] / rows[1]]).collect();
    let count = cells.counts.len() as f64;
    let smoothed: Vec<[f64; 2]> = cells
        .counts
        .iter()
        .map(|cell| [0, 1].map(|side| (cell[side] + HALF_A_ROW) / (rows[side] + HALF_A_ROW * count)))
        .collect();
    let stability = Spread::of(cells, &smoothed, 1.0, |[p, q]| {
        let ratio = (q / p).ln();
        [(q - p) * ratio, 1.0 - ratio - q / p, 1.0 + ratio - p / q]
    });
    let divergence = Spread::of(cells, &shares, 8.0 * std::f64::consts::LN_2, |[p, q]| {
        let half = |x: f64| if x > 0.0 { (2.0 * x / (p + q)).log2() / 2.0 } else { 0.0 };
        [p * half(p) + q * half(q), half(p), half(q)]
    });
    let square = Spread::of(cells, &shares, 1.0, |[p, q]| {
        let together = (p * rows[0] + q * rows[1]) / (rows[0] + rows[1]);
        [(p - q) * (p - q) / together, 0.0, 0.0]
    });
    let (low, high) = stability.interval(level);
    let (root_low, root_high) = divergence.interval(level);
    [
        Measured {
            measure: Measure::PopulationStability,
            value: stability.value(),
            interval: Some([low, high]),
            p_value: stability.tail(0.0),
            law: Law::Spread(stability),
        },
        Measured {
            measure: Measure::JensenShannon,
            value: divergence.value().sqrt(),
            interval: Some([root_low.sqrt(), root_high.sqrt().min(1.0)]),
            p_value: divergence.tail(0.0),
            law: Law::RootOfSpread(divergence),
        },
        Measured {
            measure: Measure::ChiSquare,
            value: square.statistic(),
            interval: None,
            p_value: square.tail(0.0),
            law: Law::Test,
        },
    ]
}

#[cfg(test)]
mod tests;
