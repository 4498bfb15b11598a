//! The samples of one metric in one stretch of time, summed up so that stretches can be put together.
//!
//! Count, sum, minimum and maximum are exact. Percentiles come out of counts in logarithmic buckets and are within one
//! percent of a sample's value.
//!
//! Invariant: merging is associative and commutative up to rounding; a summary never grows beyond [`BUCKETS_MAX`].

/// Relative width of a bucket: a percentile is off by half of it at most.
const GROWTH: f64 = 1.02;
/// Buckets of one summary; with more, neighbours are put together.
pub(crate) const BUCKETS_MAX: usize = 512;
/// Shifts the logarithms of all values that CloudWatch takes (2^-360 to 2^360) to positive numbers.
const SHIFT: f64 = 16_000.0;
/// Largest magnitude of a value: CloudWatch's own limit.
pub(crate) const VALUE_MAX: f64 = 2.348_542_582_773_833e108;

/// What is known of how samples are spread.
#[derive(Debug, Clone, PartialEq)]
pub enum Spread {
    /// All have the same value.
    Equal,
    /// Counts by bucket, in the order of values.
    Known(Vec<(i16, f64)>),
    /// They came summed up.
    Unknown,
}

/// Samples, summed up.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// How many; need not be whole.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// The smallest.
    pub minimum: f64,
    /// The largest.
    pub maximum: f64,
    /// How they are spread.
    pub spread: Spread,
}

impl Summary {
    /// `count` samples of one value.
    #[must_use]
    pub fn of_value(value: f64, count: f64) -> Self {
        Self { count, sum: value * count, minimum: value, maximum: value, spread: Spread::Equal }
    }

    /// Samples by value; `None` when there are none.
    #[must_use]
    pub fn of_values(values: impl IntoIterator<Item = (f64, f64)>) -> Option<Self> {
        let counted = values.into_iter().filter(|(_, count)| *count > 0.0);
        counted.map(|(value, count)| Self::of_value(value, count)).reduce(|mut whole, one| {
            whole.merge(&one);
            whole
        })
    }

    /// Samples that someone else summed up.
    #[must_use]
    pub fn of_set(count: f64, sum: f64, (minimum, maximum): (f64, f64)) -> Self {
        let spread = if minimum == maximum { Spread::Equal } else { Spread::Unknown };
        Self { count, sum, minimum, maximum, spread }
    }

    /// With an exact sum, for samples whose values are known by bucket only.
    #[must_use]
    pub fn with_sum(mut self, sum: f64) -> Self {
        self.sum = sum;
        let mean = sum / self.count;
        self.minimum = self.minimum.min(mean);
        self.maximum = self.maximum.max(mean);
        self
    }

    /// Adds the samples of another summary.
    pub fn merge(&mut self, other: &Self) {
        if other.count <= 0.0 {
            return;
        }
        self.spread = match (&self.spread, &other.spread) {
            (Spread::Unknown, _) | (_, Spread::Unknown) => Spread::Unknown,
            (Spread::Equal, Spread::Equal) if self.minimum == other.minimum => Spread::Equal,
            _ => Spread::Known(merged(self.buckets(), other.buckets())),
        };
        self.count += other.count;
        self.sum += other.sum;
        self.minimum = self.minimum.min(other.minimum);
        self.maximum = self.maximum.max(other.maximum);
    }

    fn buckets(&self) -> Vec<(i16, f64)> {
        match &self.spread {
            Spread::Equal => vec![(bucket(self.minimum), self.count)],
            Spread::Known(buckets) => buckets.clone(),
            Spread::Unknown => Vec::new(),
        }
    }

    /// The mean.
    #[must_use]
    pub fn average(&self) -> f64 {
        self.sum / self.count
    }

    /// The value below which `percent` of the samples lie; `None` when their spread is not known.
    #[must_use]
    pub fn percentile(&self, percent: f64) -> Option<f64> {
        let buckets = match &self.spread {
            Spread::Unknown => return None,
            Spread::Equal => return Some(self.minimum),
            Spread::Known(buckets) => buckets,
        };
        if percent <= 0.0 {
            return Some(self.minimum);
        }
        let rank = percent / 100.0 * buckets.iter().map(|(_, count)| count).sum::<f64>();
        let mut below = 0.0;
        for (bucket, count) in buckets {
            below += count;
            // Sums of counts round; a rank that is met but for the last digits is met.
            if below * (1.0 + 1e-12) >= rank {
                return Some(middle(*bucket).clamp(self.minimum, self.maximum));
            }
        }
        Some(self.maximum)
    }

    /// Memory that it takes beyond its own size, bytes.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        match &self.spread {
            Spread::Known(buckets) => buckets.capacity() * size_of::<(i16, f64)>(),
            _ => 0,
        }
    }
}

fn bucket(value: f64) -> i16 {
    if value == 0.0 {
        return 0;
    }
    let shifted = (value.abs().ln() / GROWTH.ln()).floor() + SHIFT;
    let position = shifted.clamp(1.0, f64::from(i16::MAX)) as i16;
    if value > 0.0 { position } else { -position }
}

fn middle(bucket: i16) -> f64 {
    if bucket == 0 {
        return 0.0;
    }
    let size = GROWTH.powf(f64::from(bucket.unsigned_abs()) - SHIFT + 0.5);
    if bucket > 0 { size } else { -size }
}

fn merged(mut one: Vec<(i16, f64)>, other: Vec<(i16, f64)>) -> Vec<(i16, f64)> {
    one.extend(other);
    one.sort_by_key(|(bucket, _)| *bucket);
    one.dedup_by(|later, kept| {
        let same = later.0 == kept.0;
        if same {
            kept.1 += later.1;
        }
        same
    });
    while one.len() > BUCKETS_MAX {
        one = one.chunks(2).map(|pair| (pair[0].0, pair.iter().map(|(_, count)| count).sum())).collect();
    }
    one.shrink_to_fit();
    one
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn percentiles_are_within_one_percent() {
        let summary = Summary::of_values((1..=1_000).map(|value| (f64::from(value), 1.0))).unwrap();
        for (percent, expected) in
            [(0.0, 1.0), (50.0, 500.0), (90.0, 900.0), (99.0, 990.0), (99.9, 999.0), (100.0, 1_000.0)]
        {
            let found = summary.percentile(percent).unwrap();
            assert!((found / expected - 1.0).abs() <= 0.010_1, "p{percent} is {found}");
        }
        assert_eq!((summary.count, summary.sum, summary.average()), (1_000.0, 500_500.0, 500.5));
    }

    #[test]
    fn samples_that_came_summed_up_have_no_percentiles() {
        let mut summary = Summary::of_set(4.0, 10.0, (1.0, 4.0));
        assert_eq!(summary.percentile(50.0), None);
        summary.merge(&Summary::of_value(2.0, 1.0));
        assert_eq!(summary.percentile(50.0), None);
        assert_eq!(Summary::of_set(3.0, 6.0, (2.0, 2.0)).percentile(50.0), Some(2.0));
    }

    #[test]
    fn a_summary_has_a_largest_size() {
        let wide = (0..20_000).map(|step| (GROWTH.powi(step - 10_000), 1.0));
        let summary = Summary::of_values(wide).unwrap();
        assert!(summary.heap_bytes() <= BUCKETS_MAX * size_of::<(i16, f64)>());
        assert_eq!(summary.count, 20_000.0);
    }

    proptest! {
        #[test]
        fn the_order_of_merging_does_not_matter(values in proptest::collection::vec(-1e6f64..1e6, 1..50), cut in 0usize..50) {
            let whole = Summary::of_values(values.iter().map(|value| (*value, 1.0))).unwrap();
            let (left, right) = values.split_at(cut.min(values.len()));
            let mut parts = [right, left].into_iter().filter_map(|part| Summary::of_values(part.iter().map(|value| (*value, 1.0))));
            let mut merged = parts.next().unwrap();
            parts.for_each(|part| merged.merge(&part));
            prop_assert_eq!(merged.count, whole.count);
            prop_assert_eq!((merged.minimum, merged.maximum), (whole.minimum, whole.maximum));
            prop_assert_eq!(merged.percentile(50.0), whole.percentile(50.0));
        }

        #[test]
        fn a_percentile_is_near_a_sample(values in proptest::collection::vec(-1e9f64..1e9, 1..50), percent in 0.1f64..100.0) {
            let summary = Summary::of_values(values.iter().map(|value| (*value, 1.0))).unwrap();
            let found = summary.percentile(percent).unwrap();
            let near = |value: &f64| (found - value).abs() <= value.abs() * 0.010_1;
            prop_assert!(values.iter().any(near), "{} of {:?}", found, values);
        }
    }
}
