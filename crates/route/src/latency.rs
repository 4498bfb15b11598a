//! Durations counted finely enough for percentiles: eight buckets for every doubling.
//!
//! Finding the bucket is a shift, so counting costs two atomic additions. A percentile is off by less than an eighth.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets of one doubling, as a power of two.
const SUBBUCKET_BITS: u32 = 3;
const SUBBUCKETS: u64 = 1 << SUBBUCKET_BITS;
/// Doublings beyond the first buckets, which are one microsecond wide: up to 71 minutes.
const DOUBLINGS: usize = 29;
const BUCKETS: usize = SUBBUCKETS as usize * (DOUBLINGS + 1);

/// A histogram of durations.
#[derive(Debug)]
pub struct Latency {
    counts: [AtomicU64; BUCKETS],
    sum_us: AtomicU64,
}

impl Default for Latency {
    fn default() -> Self {
        Self { counts: [const { AtomicU64::new(0) }; BUCKETS], sum_us: AtomicU64::new(0) }
    }
}

impl Latency {
    /// Counts one.
    pub fn observe(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.counts[bucket(us)].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// Sum in microseconds, and the buckets that are not empty: lower bound, upper bound (both in microseconds), count.
    #[must_use]
    pub fn read(&self) -> (u64, Vec<(u64, u64, u64)>) {
        let buckets = self.counts.iter().enumerate().map(|(index, count)| {
            let (low_us, high_us) = bounds(index);
            (low_us, high_us, count.load(Ordering::Relaxed))
        });
        (self.sum_us.load(Ordering::Relaxed), buckets.collect())
    }
}

fn bucket(us: u64) -> usize {
    if us < SUBBUCKETS {
        return us as usize;
    }
    let doubling = us.ilog2() - SUBBUCKET_BITS;
    let subbucket = (us >> doubling) & (SUBBUCKETS - 1);
    ((u64::from(doubling + 1) * SUBBUCKETS + subbucket) as usize).min(BUCKETS - 1)
}

fn bounds(index: usize) -> (u64, u64) {
    let index = index as u64;
    if index < SUBBUCKETS {
        return (index, index + 1);
    }
    let width = 1 << (index / SUBBUCKETS - 1);
    let low = (SUBBUCKETS + index % SUBBUCKETS) * width;
    (low, low + width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_lies_within_its_bucket() {
        for us in (0..5_000).chain((0..32).map(|power| (1_u64 << power) - 1)).chain([60_000_000, 4_000_000_000]) {
            let (low_us, high_us) = bounds(bucket(us));
            assert!((low_us..high_us).contains(&us), "{us} in {low_us}..{high_us}");
            assert!(high_us - low_us <= 1 + low_us / 8);
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn what_was_observed_is_read() {
        let latency = Latency::default();
        latency.observe(Duration::from_micros(3));
        latency.observe(Duration::from_micros(100));
        let (sum_us, buckets) = latency.read();
        let filled: Vec<_> = buckets.into_iter().filter(|(.., count)| *count > 0).collect();
        assert_eq!((sum_us, filled), (103, vec![(3, 4, 1), (96, 104, 1)]));
    }
}
