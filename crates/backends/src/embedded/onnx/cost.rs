//! What a row costs, so that cheap calls run where they are and costly ones where they may block.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Longest that a call may keep the thread of other calls, by estimate.
const INLINE_NS: u64 = 500_000;
/// Share of a new measurement in the running mean is one over this.
const WEIGHT: u64 = 8;

/// Running mean of the time of one row, nanoseconds; 0 as long as nothing was measured.
#[derive(Debug, Default)]
pub(super) struct Cost(AtomicU64);

impl Cost {
    /// Notes that a run of `rows` rows took `elapsed`. Measurements that cross may get lost; it is an estimate.
    pub(super) fn note(&self, rows: usize, elapsed: Duration) {
        let measured = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX) / (rows as u64).max(1);
        let mean = match self.0.load(Ordering::Relaxed) {
            0 => measured,
            mean => mean - mean / WEIGHT + measured / WEIGHT,
        };
        self.0.store(mean.max(1), Ordering::Relaxed);
    }

    /// Whether a run of `rows` rows is short enough not to be felt by others. Unknown is not.
    pub(super) fn is_cheap(&self, rows: usize) -> bool {
        match self.0.load(Ordering::Relaxed) {
            0 => false,
            mean => mean.saturating_mul(rows as u64) <= INLINE_NS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_costs_are_not_cheap_and_known_ones_count_by_the_row() {
        let cost = Cost::default();
        assert!(!cost.is_cheap(1));
        cost.note(10, Duration::from_micros(100));
        assert!(cost.is_cheap(50) && !cost.is_cheap(51));
        for _ in 0..100 {
            cost.note(1, Duration::from_millis(2));
        }
        assert!(!cost.is_cheap(1));
    }
}
