//! Wrong signatures, counted per source address and per key, so that guessing is told off and seen.
//!
//! Invariant: the memory is bounded, whoever comes from wherever, and a right signature is never counted.

use std::collections::HashMap;
use std::net::IpAddr;

use captura_names::Timestamp;

/// The span in which failures are counted, microseconds.
const WINDOW_US: i64 = 60_000_000;
/// Failures of one source or of one key in a window that are answered with their reason.
const FAILURES_MAX: u32 = 60;
/// Most sources that are told apart in a window; those beyond count as one.
const SOURCES_MAX: usize = 8_192;
/// Most keys that are told apart; ids that exist, so the store's own limit is the bound that matters.
const KEYS_MAX: usize = 10_000;

/// Failures of this window.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    window: i64,
    sources: HashMap<IpAddr, u32>,
    other_sources: u32,
    keys: HashMap<String, u32>,
}

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Tell the reason.
    Tell,
    /// It is one too many, the first of this window.
    FirstTooMany,
    /// It is one too many.
    TooMany,
}

impl Attempts {
    /// Counts a failure from that address, for that key where it is one.
    pub(crate) fn failed(&mut self, source: IpAddr, key: Option<&str>, now: Timestamp) -> Verdict {
        let window = now.unix_us() / WINDOW_US;
        if window != self.window {
            *self = Self { window, ..Self::default() };
        }
        let of_source = if self.sources.len() < SOURCES_MAX || self.sources.contains_key(&source) {
            self.sources.entry(source).or_default()
        } else {
            &mut self.other_sources
        };
        *of_source = of_source.saturating_add(1);
        let mut worst = *of_source;
        if let Some(key) = key
            && (self.keys.len() < KEYS_MAX || self.keys.contains_key(key))
        {
            let of_key = self.keys.entry(key.to_owned()).or_default();
            *of_key = of_key.saturating_add(1);
            worst = worst.max(*of_key);
        }
        match worst {
            0..=FAILURES_MAX => Verdict::Tell,
            count if count == FAILURES_MAX + 1 => Verdict::FirstTooMany,
            _ => Verdict::TooMany,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(number: u32) -> IpAddr {
        IpAddr::from(number.to_be_bytes())
    }

    #[test]
    fn a_source_is_told_off_after_sixty_failures_a_minute_and_forgiven_in_the_next() {
        let mut attempts = Attempts::default();
        let now = Timestamp::from_unix_us(600_000_000);
        let verdicts: Vec<_> = (0..1_000).map(|_| attempts.failed(source(1), None, now)).collect();
        assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Tell).count(), 60);
        assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::FirstTooMany).count(), 1);
        assert_eq!(attempts.failed(source(2), None, now), Verdict::Tell, "another source is not");
        assert_eq!(attempts.failed(source(1), None, now.plus_us(WINDOW_US)), Verdict::Tell);
    }

    #[test]
    fn a_key_is_told_off_from_wherever_it_is_tried() {
        let mut attempts = Attempts::default();
        let now = Timestamp::from_unix_us(0);
        let told = (0..100).filter(|one| attempts.failed(source(*one), Some("AKIA"), now) == Verdict::Tell).count();
        assert_eq!(told, 60);
    }

    #[test]
    fn a_million_sources_take_no_more_memory_than_the_table() {
        let mut attempts = Attempts::default();
        let now = Timestamp::from_unix_us(0);
        let told = (0..100_000).filter(|one| attempts.failed(source(*one), None, now) == Verdict::Tell).count();
        assert_eq!((attempts.sources.len(), told), (SOURCES_MAX, SOURCES_MAX + FAILURES_MAX as usize));
    }
}
