//! How long to wait before trying again: full jitter, i.e. uniform between zero and a bound that doubles up to a cap
//! (Brooker, "Exponential Backoff And Jitter", 2015), so that many uploaders do not come back together.
//!
//! Invariant: a function of seed and attempts, without clock or hidden chance.

use std::time::Duration;

/// A sequence of waits.
#[derive(Debug, Clone)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    attempts: u32,
    state: u64,
}

impl Backoff {
    /// Waits bounded by `base`, 2·`base`, 4·`base`, … up to `cap`.
    #[must_use]
    pub fn new(base: Duration, cap: Duration, seed: u64) -> Self {
        Self { base, cap, attempts: 0, state: seed }
    }

    /// Attempts since the last success.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The next wait.
    pub fn next_wait(&mut self) -> Duration {
        let doubled = self.base.saturating_mul(1_u32.checked_shl(self.attempts).unwrap_or(u32::MAX).max(1));
        self.attempts = self.attempts.saturating_add(1);
        let bound_us = u64::try_from(doubled.min(self.cap).as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.chance() % bound_us.saturating_add(1).max(1))
    }

    /// It worked: the next wait is short again.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }

    /// SplitMix64 (Steele, Lea, Flood 2014).
    fn chance(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_cap_and_never_beyond() {
        let (base, cap) = (Duration::from_millis(500), Duration::from_secs(60));
        let mut longest = [Duration::ZERO; 100];
        for seed in 0..200 {
            let mut backoff = Backoff::new(base, cap, seed);
            for (attempt, longest) in longest.iter_mut().enumerate() {
                let wait = backoff.next_wait();
                let bound = base.saturating_mul(1 << attempt.min(20)).min(cap);
                assert!(wait <= bound, "attempt {attempt}: {wait:?}");
                *longest = wait.max(*longest);
            }
            backoff.reset();
            assert!(backoff.next_wait() <= base);
        }
        assert!(longest[0] > base.mul_f64(0.9) && longest[99] > cap.mul_f64(0.9), "jitter uses the whole range");
    }
}
