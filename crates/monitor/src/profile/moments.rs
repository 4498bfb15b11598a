//! Count, sum, mean, spread and extremes of numbers.
//!
//! Sums are compensated (Neumaier), spreads merged by Chan, Golub and LeVeque's formula. Invariant: merging in any
//! order gives the same count and extremes, and sums within a few units in the last place.

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
    /// Of a slice, in two passes: sum first, then differences from the mean.
    #[must_use]
    pub fn of(values: &[f64]) -> Self {
        let mut moments = Self { count: values.len() as u64, ..Self::default() };
        for &value in values {
            moments.add_to_sum(value);
            moments.min = moments.min.min(value);
            moments.max = moments.max.max(value);
        }
        if let Some(mean) = moments.mean() {
            moments.squares = values.iter().map(|value| (value - mean) * (value - mean)).sum();
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

    fn add_to_sum(&mut self, value: f64) {
        let sum = self.sum + value;
        self.carry += if self.sum.abs() >= value.abs() { (self.sum - sum) + value } else { (value - sum) + self.sum };
        self.sum = sum;
    }
}
