//! What chance alone makes of a distance.
//!
//! Three laws: of the area between two cumulative curves ([`Noise`]), of the sum of squares over cells ([`Spread`]), and
//! of the largest difference of shares ([`Shares`]). The first two are gamma laws with the true mean and variance, which
//! at no drift is exact for the second (chi-square is a gamma) and within a few percent for the first; the simulation of
//! `docs/drift.md` measures both.

use std::collections::{BTreeMap, BTreeSet};

use super::cells::Cells;
use super::each_step;
use super::sample::Numbers;
use super::special::{falling_root, gamma_quantile, gamma_tail, ln_gamma, normal_quantile, normal_tail};

/// Pieces of the curve that the law of the area is computed from.
const PIECES: usize = 48;

/// Rows that a category must expect on the smaller side for the normal law to hold.
const FEW_EXPECTED: f64 = 5.0;

/// The area between two cumulative curves, and the law of the part that chance has in it.
///
/// The curves of two samples differ from those of their populations by a Gaussian process with covariance
/// `F(s)(1−F(t))/n + G(s)(1−G(t))/m` for `s ≤ t`; its area has mean `√(2/π)·∫σ` and the variance
/// `∬ (2/π)·σσ'·(√(1−ρ²) + ρ·asin ρ − 1)`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Noise {
    area: f64,
    mean: f64,
    variance: f64,
}

/// A stretch between two neighbouring values: its length and the cumulative shares on it.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    length: f64,
    then: f64,
    now: f64,
}

impl Noise {
    pub(super) fn between(then: &Numbers, now: &Numbers, unit: f64) -> Self {
        let stretches = stretches(then, now);
        let area = stretches.iter().map(|stretch| stretch.length * (stretch.then - stretch.now).abs()).sum::<f64>();
        let rows = [then.effective_rows(), now.effective_rows()];
        let covariance = |s: &Stretch, t: &Stretch| s.then * (1.0 - t.then) / rows[0] + s.now * (1.0 - t.now) / rows[1];
        let pieces = pieces(&stretches, |stretch| covariance(stretch, stretch).max(0.0).sqrt());
        let deviations: Vec<f64> = pieces.iter().map(|piece| covariance(piece, piece).max(0.0).sqrt()).collect();
        let two_over_pi = std::f64::consts::FRAC_2_PI;
        let (mut mean, mut variance) = (0.0, 0.0);
        for (i, s) in pieces.iter().enumerate() {
            mean += s.length * deviations[i] * two_over_pi.sqrt();
            for (j, t) in pieces.iter().enumerate().skip(i) {
                let scale = deviations[i] * deviations[j];
                if scale > 0.0 {
                    let rho = (covariance(s, t) / scale).clamp(-1.0, 1.0);
                    let shared = (1.0 - rho * rho).sqrt() + rho * rho.asin() - 1.0;
                    let times = if i == j { 1.0 } else { 2.0 };
                    variance += times * s.length * t.length * two_over_pi * scale * shared;
                }
            }
        }
        Self { area: area / unit, mean: mean / unit, variance: variance / unit / unit }
    }

    pub(super) fn area(&self) -> f64 {
        self.area
    }

    #[cfg(test)]
    pub(super) fn mean(&self) -> f64 {
        self.mean
    }

    pub(super) fn tail(&self, area: f64) -> f64 {
        gamma_tail(area, self.mean, self.variance)
    }

    pub(super) fn quantile(&self, level: f64) -> f64 {
        gamma_quantile(level, self.mean, self.variance)
    }
}

fn stretches(then: &Numbers, now: &Numbers) -> Vec<Stretch> {
    let mut stretches = Vec::with_capacity(then.weighted.len() + now.weighted.len());
    let mut last: Option<(f64, [u64; 2])> = None;
    each_step(&then.weighted, &now.weighted, |next, below| {
        if let Some((from, below)) = last.filter(|&(from, _)| from < next) {
            let share = |below: u64, rows: u64| below as f64 / rows as f64;
            let (then, now) = (share(below[0], then.rows), share(below[1], now.rows));
            stretches.push(Stretch { length: next - from, then, now });
        }
        last = Some((next, below));
    });
    stretches
}

/// Neighbouring stretches put together until about [`PIECES`] are left, each with as much noise as the others.
fn pieces(stretches: &[Stretch], deviation: impl Fn(&Stretch) -> f64) -> Vec<Stretch> {
    let noise = |stretch: &Stretch| stretch.length * deviation(stretch);
    let share = stretches.iter().map(noise).sum::<f64>() / PIECES as f64;
    let mut pieces = Vec::with_capacity(PIECES + 1);
    let (mut sum, mut held) = (Stretch { length: 0.0, then: 0.0, now: 0.0 }, 0.0);
    for (place, stretch) in stretches.iter().enumerate() {
        sum.length += stretch.length;
        sum.then += stretch.length * stretch.then;
        sum.now += stretch.length * stretch.now;
        held += noise(stretch);
        if (held >= share || place + 1 == stretches.len()) && sum.length > 0.0 {
            pieces.push(Stretch { length: sum.length, then: sum.then / sum.length, now: sum.now / sum.length });
            (sum, held) = (Stretch { length: 0.0, then: 0.0, now: 0.0 }, 0.0);
        }
    }
    pieces
}

/// A sum over cells whose multiple by `scale` is chi-square when nothing has changed, and gamma when something has: with
/// the mean `degrees + scale·truth` and the variance of both parts (the delta method for the second).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Spread {
    value: f64,
    degrees: f64,
    scale: f64,
    /// Variance of the value, as a share of the value, where the truth is the value.
    variance_share: f64,
}

impl Spread {
    /// `term` gives a cell's part of the sum and the sum's derivatives by its two shares.
    pub(super) fn of(cells: &Cells, shares: &[[f64; 2]], factor: f64, term: impl Fn([f64; 2]) -> [f64; 3]) -> Self {
        let [n, m] = cells.effective;
        let terms: Vec<[f64; 3]> = shares.iter().map(|&share| term(share)).collect();
        let value = terms.iter().map(|term| term[0]).sum::<f64>().max(0.0);
        let variance_of = |side: usize| {
            let mean: f64 = shares.iter().zip(&terms).map(|(share, term)| share[side] * term[side + 1]).sum();
            let square = |(share, term): (&[f64; 2], &[f64; 3])| share[side] * (term[side + 1] - mean).powi(2);
            shares.iter().zip(&terms).map(square).sum::<f64>()
        };
        let scale = factor / (1.0 / n + 1.0 / m);
        let variance = variance_of(0) / n + variance_of(1) / m;
        let variance_share = if value > 0.0 { variance / value } else { 0.0 };
        Self { value, degrees: (shares.len() - 1) as f64, scale, variance_share }
    }

    pub(super) fn value(&self) -> f64 {
        self.value
    }

    pub(super) fn statistic(&self) -> f64 {
        self.value * self.scale
    }

    /// How likely the value or more is when the truth is `truth`.
    pub(super) fn tail(&self, truth: f64) -> f64 {
        if self.degrees == 0.0 {
            return 1.0;
        }
        let mean = self.degrees + self.scale * truth;
        let variance = 2.0 * self.degrees + self.scale * self.scale * self.variance_share * truth;
        gamma_tail(self.statistic(), mean, variance)
    }

    /// The value that chance alone exceeds at this level.
    pub(super) fn reach(&self, level: f64) -> f64 {
        if self.degrees == 0.0 { 0.0 } else { gamma_quantile(level, self.degrees, 2.0 * self.degrees) / self.scale }
    }

    pub(super) fn interval(&self, level: f64) -> (f64, f64) {
        let farthest = self.value * 4.0 + 40.0 * (self.degrees + 1.0) / self.scale;
        let truth_of = |tail: f64| falling_root(|truth| tail - self.tail(truth), 0.0, farthest);
        let low = if self.tail(0.0) >= level / 2.0 { 0.0 } else { truth_of(level / 2.0) };
        let high = if self.degrees == 0.0 { 0.0 } else { truth_of(1.0 - level / 2.0) };
        (low, high)
    }
}

/// The shares of every category on both sides.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shares {
    counts: Vec<[f64; 2]>,
    rows: [f64; 2],
}

impl Shares {
    pub(super) fn of(then: &BTreeMap<&str, u64>, now: &BTreeMap<&str, u64>) -> Self {
        let values: BTreeSet<&str> = then.keys().chain(now.keys()).copied().collect();
        let count = |side: &BTreeMap<&str, u64>, value: &str| side.get(value).copied().unwrap_or(0) as f64;
        let counts: Vec<[f64; 2]> = values.into_iter().map(|value| [count(then, value), count(now, value)]).collect();
        let rows = [0, 1].map(|side| counts.iter().map(|cell| cell[side]).sum());
        Self { counts, rows }
    }

    pub(super) fn largest(&self) -> f64 {
        self.counts.iter().map(|cell| self.difference(cell).abs()).fold(0.0, f64::max)
    }

    fn difference(&self, cell: &[f64; 2]) -> f64 {
        cell[1] / self.rows[1] - cell[0] / self.rows[0]
    }

    /// Newcombe's interval of each difference from Wilson's score intervals, all of them together at the level.
    pub(super) fn interval(&self, level: f64) -> (f64, f64) {
        let z = normal_quantile(level / 2.0 / self.counts.len() as f64);
        let (mut low, mut high) = (0.0_f64, 0.0_f64);
        for cell in &self.counts {
            let [then, now] = [0, 1].map(|side| wilson(cell[side], self.rows[side], z));
            let [p, q] = [0, 1].map(|side| cell[side] / self.rows[side]);
            let below = (q - p) - (q - now[0]).hypot(then[1] - p);
            let above = (q - p) + (now[1] - q).hypot(p - then[0]);
            low = low.max(below).max(-above);
            high = high.max(below.abs()).max(above.abs());
        }
        (low, high.min(1.0))
    }

    /// The difference that chance alone exceeds at this level.
    pub(super) fn reach(&self, level: f64) -> f64 {
        let z = normal_quantile(level / 2.0 / self.counts.len() as f64);
        let [n, m] = self.rows;
        let deviation = |cell: &[f64; 2]| {
            let share = (cell[0] + cell[1]) / (n + m);
            (share * (1.0 - share) * (1.0 / n + 1.0 / m)).sqrt()
        };
        self.counts.iter().map(|cell| z * deviation(cell)).fold(0.0, f64::max)
    }

    /// The smallest p-value of a category, times their number. Against no tolerance, a category that expects few rows is
    /// tested exactly (Fisher), so that one row of a value that was never seen is not called certain; against a
    /// tolerance a row is added to each share (Agresti and Caffo).
    pub(super) fn p_beyond(&self, tolerance: f64) -> f64 {
        let [n, m] = self.rows;
        let smallest = self.counts.iter().map(|cell| {
            let difference = self.difference(cell).abs();
            let variance = |count: f64, rows: f64| count / rows * (1.0 - count / rows);
            if tolerance > 0.0 {
                let [then, now] =
                    [0, 1].map(|side| variance(cell[side] + 1.0, self.rows[side] + 2.0) / self.rows[side]);
                return 2.0 * normal_tail((difference - tolerance) / (then + now).sqrt());
            }
            let together = cell[0] + cell[1];
            if together / (n + m) * n.min(m) < FEW_EXPECTED {
                return 2.0 * hypergeometric_tail(cell, self.rows);
            }
            let deviation = (variance(together, n + m) * (1.0 / n + 1.0 / m)).sqrt();
            if deviation > 0.0 { 2.0 * normal_tail(difference / deviation) } else { 1.0 }
        });
        (smallest.fold(1.0, f64::min) * self.counts.len() as f64).min(1.0)
    }
}

/// How likely the rows of a category lie as unevenly on the two sides or more, in the direction they do.
fn hypergeometric_tail(cell: &[f64; 2], rows: [f64; 2]) -> f64 {
    let more = usize::from(cell[1] / rows[1] > cell[0] / rows[0]);
    let (together, here, there) = (cell[0] + cell[1], rows[more], rows[1 - more]);
    let choose = |n: f64, k: f64| ln_gamma(n + 1.0) - ln_gamma(k + 1.0) - ln_gamma(n - k + 1.0);
    let all = choose(here + there, together);
    let (mut count, mut sum) = (cell[more], 0.0);
    while count <= together.min(here) {
        let term = (choose(here, count) + choose(there, together - count) - all).exp();
        sum += term;
        if term < sum * 1e-12 {
            break;
        }
        count += 1.0;
    }
    sum.min(1.0)
}

/// Wilson's score interval of a share.
fn wilson(count: f64, rows: f64, z: f64) -> [f64; 2] {
    let share = count / rows;
    let (square, denominator) = (z * z, 1.0 + z * z / rows);
    let centre = (share + square / (2.0 * rows)) / denominator;
    let reach = z * (share * (1.0 - share) / rows + square / (4.0 * rows * rows)).sqrt() / denominator;
    [(centre - reach).max(0.0), (centre + reach).min(1.0)]
}
