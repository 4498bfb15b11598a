//! Count, sum, mean, spread and extremes of numbers.
//!
//! Sums are compensated (Neumaier), spreads merged by Chan, Golub and LeVeque's formula. Invariant: merging in any
//! order gives the same count and extremes, and sums within a few units in the last place.

use crate::instructions::vectorised;
use crate::stored::{Writer, Written};

/// Sums that are made side by side.
const LANES: usize = 8;

/// Moments of the numbers seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moments {
    count: u64,
    sum: f64,
    /// What rounding took from `sum`.
    carry: f64,
    /// Sum of squared differences from the mean.
    squares: f64,
    min: f64,
    max: f64,
}

impl Default for Moments {
    fn default() -> Self {
        Self { count: 0, sum: 0.0, carry: 0.0, squares: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY }
    }
}

impl Moments {
    /// Of a slice, in two passes: sums first, then differences from the mean. Both go in lanes that do not wait for each
    /// other.
    #[must_use]
    pub fn of(values: &[f64]) -> Self {
        let mut moments = Self { count: values.len() as u64, ..Self::default() };
        let Lanes { sums, carries, least, most } = lanes(values);
        let rest = values.chunks_exact(LANES).remainder();
        for value in sums.into_iter().chain(rest.iter().copied()) {
            moments.add_to_sum(value);
        }
        carries.into_iter().for_each(|carry| moments.add_to_sum(carry));
        moments.min = least.into_iter().chain(rest.iter().copied()).fold(moments.min, f64::min);
        moments.max = most.into_iter().chain(rest.iter().copied()).fold(moments.max, f64::max);
        if let Some(mean) = moments.mean() {
            moments.squares = squared_differences(values, mean);
        }
        moments
    }

    /// Adds the numbers of `other`.
    pub fn merge(&mut self, other: &Self) {
        let (Some(mine), Some(theirs)) = (self.mean(), other.mean()) else {
            if self.count == 0 {
                *self = *other;
            }
            return;
        };
        let (n, m) = (self.count as f64, other.count as f64);
        self.squares += other.squares + (theirs - mine) * (theirs - mine) * (n / (n + m)) * m;
        self.count += other.count;
        self.add_to_sum(other.sum);
        self.add_to_sum(other.carry);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// How many numbers.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their sum.
    #[must_use]
    pub fn sum(&self) -> f64 {
        // Past the largest double the carry is meaningless.
        if self.sum.is_finite() { self.sum + self.carry } else { self.sum }
    }

    /// Their mean; `None` of no numbers.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum() / self.count as f64)
    }

    /// Their population standard deviation (÷ n); `None` of no numbers.
    #[must_use]
    pub fn standard_deviation(&self) -> Option<f64> {
        (self.count > 0).then(|| (self.squares / self.count as f64).sqrt())
    }

    /// The smallest; `None` of no numbers.
    #[must_use]
    pub fn min(&self) -> Option<f64> {
        (self.count > 0).then_some(self.min)
    }

    /// The largest; `None` of no numbers.
    #[must_use]
    pub fn max(&self) -> Option<f64> {
        (self.count > 0).then_some(self.max)
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.number(self.count);
        [self.sum, self.carry, self.squares, self.min, self.max].into_iter().for_each(|value| out.double(value));
    }

    pub(crate) fn read(written: &mut Written<'_>) -> Option<Self> {
        let count = written.rows()?;
        let [sum, carry, squares, min, max] =
            [written.double()?, written.double()?, written.double()?, written.double()?, written.double()?];
        Some(Self { count, sum, carry, squares, min, max })
    }

    fn add_to_sum(&mut self, value: f64) {
        let sum = self.sum + value;
        self.carry += lost(self.sum, value, sum);
        self.sum = sum;
    }
}

/// Sums and extremes of every eighth number.
struct Lanes {
    sums: [f64; LANES],
    /// What rounding took from the sums.
    carries: [f64; LANES],
    least: [f64; LANES],
    most: [f64; LANES],
}

vectorised! {
    fn lanes(values: &[f64]) -> Lanes {
        let (mut sums, mut carries) = ([0.0; LANES], [0.0; LANES]);
        let (mut least, mut most) = ([f64::INFINITY; LANES], [f64::NEG_INFINITY; LANES]);
        for chunk in values.chunks_exact(LANES) {
            for lane in 0..LANES {
                let value = chunk[lane];
                let sum = sums[lane] + value;
                carries[lane] += lost(sums[lane], value, sum);
                sums[lane] = sum;
                least[lane] = if value < least[lane] { value } else { least[lane] };
                most[lane] = if value > most[lane] { value } else { most[lane] };
            }
        }
        Lanes { sums, carries, least, most }
    }
}

/// What rounding took when `sum` was made of these two.
#[inline(always)]
fn lost(before: f64, value: f64, sum: f64) -> f64 {
    let (large, small) = if before.abs() >= value.abs() { (before, value) } else { (value, before) };
    (large - sum) + small
}

vectorised! {
    fn squared_differences(values: &[f64], mean: f64) -> f64 {
        let square = |value: f64| (value - mean) * (value - mean);
        let mut sums = [0.0; LANES];
        let chunks = values.chunks_exact(LANES);
        let rest: f64 = chunks.remainder().iter().map(|&value| square(value)).sum();
        for chunk in chunks {
            for lane in 0..LANES {
                sums[lane] += square(chunk[lane]);
            }
        }
        sums.into_iter().sum::<f64>() + rest
    }
}
