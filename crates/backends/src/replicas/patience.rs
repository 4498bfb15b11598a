//! How long to wait before the next try.

use std::time::Duration;

/// How long to wait before the next try: twice as long after each failure in a row, up to a longest wait, and a part of
/// that which the seed decides, so that many do not try in step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// After the second failure; the first is followed by a try at once.
    pub first: Duration,
    /// Longest wait.
    pub longest: Duration,
    /// An instance that lived this long did not fail in a row.
    pub proven_after: Duration,
    /// Decides about the waits' last half.
    pub seed: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(60),
            proven_after: Duration::from_secs(60),
            seed: 0,
        }
    }
}

impl Patience {
    /// The wait after so many failures in a row.
    #[must_use]
    pub fn wait_after(&self, failures: u32) -> Duration {
        let Some(doublings) = failures.checked_sub(2) else { return Duration::ZERO };
        let whole = self.first.saturating_mul(1 << doublings.min(16)).min(self.longest);
        // 1/2 to 1 of the wait.
        let share = 0.5 + mixed(self.seed ^ u64::from(failures)) as f64 / u64::MAX as f64 / 2.0;
        whole.mul_f64(share)
    }
}

/// splitmix64 (Steele, Lea, Flood 2014).
pub(super) fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_the_first_try_comes_at_once() {
        let patience = Patience::default();
        assert_eq!(patience.wait_after(1), Duration::ZERO);
        for (failures, whole_ms) in [(2, 1_000), (3, 2_000), (4, 4_000), (12, 60_000), (u32::MAX, 60_000)] {
            let wait = patience.wait_after(failures);
            let whole = Duration::from_millis(whole_ms);
            assert!(wait >= whole / 2 && wait <= whole, "{failures}: {wait:?}");
        }
        assert_ne!(patience.wait_after(9), Patience { seed: 1, ..patience }.wait_after(9));
    }
}
