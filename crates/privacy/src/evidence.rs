//! Whether the clock on the wall can be believed, before anything is deleted by it.
//!
//! Two clocks are read together: the wall's, which people and networks set, and the machine's uptime, which nobody sets.
//! As long as both go on alike, the wall is believed. When they part, it must go on alike again for a while: ten minutes
//! after a start of the machine, when the network may still be setting it, and a day after it leapt forward by more than
//! an hour, since by then somebody would have seen to a clock that is wrong.
//!
//! Invariant: a leap of the wall's clock deletes nothing; a clock that is slow or set back only delays.

use captura_names::Timestamp;
use serde::{Deserialize, Serialize};

/// Both clocks at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Which start of the machine; uptimes of different starts cannot be compared.
    pub boot: String,
    /// Since then, microseconds.
    pub uptime_us: i64,
    /// The clock on the wall, microseconds since 1970.
    pub wall_us: i64,
}

/// How long a clock must hold after the machine was started, or after a small step, microseconds.
const SETTLED_US: i64 = 10 * 60 * 1_000_000;
/// How long after it leapt forward.
const LEAPT_US: i64 = 24 * 60 * 60 * 1_000_000;
/// A leap is more than this.
const LEAP_MIN_US: i64 = 60 * 60 * 1_000_000;
/// Both clocks may differ by this between two looks; what keeps them right slews by less.
const TOLERANCE_US: i64 = 5 * 1_000_000;

/// What has been seen of the clocks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    last: Option<Moment>,
    held_us: i64,
    needed_us: i64,
}

impl Evidence {
    /// Takes both clocks down; answers the time, when it is believed.
    pub fn observe(&mut self, now: Moment) -> Option<Timestamp> {
        let passed = self.last.as_ref().filter(|last| last.boot == now.boot && last.uptime_us <= now.uptime_us);
        let passed = passed.map(|last| (now.uptime_us - last.uptime_us, now.wall_us.saturating_sub(last.wall_us)));
        match passed {
            Some((uptime_us, wall_us)) if uptime_us.abs_diff(wall_us) <= TOLERANCE_US.unsigned_abs() => {
                self.held_us = self.held_us.saturating_add(uptime_us);
            }
            Some((uptime_us, wall_us)) => {
                self.held_us = 0;
                let leapt = wall_us.saturating_sub(uptime_us) > LEAP_MIN_US;
                self.needed_us = if leapt { LEAPT_US } else { self.needed_us.max(SETTLED_US) };
            }
            // The machine was off, for nobody knows how long.
            None => (self.held_us, self.needed_us) = (0, SETTLED_US),
        }
        let believed = self.held_us >= self.needed_us;
        if believed {
            self.needed_us = SETTLED_US;
        }
        let at = Timestamp::from_unix_us(now.wall_us);
        self.last = Some(now);
        believed.then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_US: i64 = 60 * 1_000_000;
    const HOUR_US: i64 = 60 * MINUTE_US;

    /// Two clocks that are looked at.
    struct Clocks {
        evidence: Evidence,
        now: Moment,
    }

    impl Clocks {
        fn new() -> Self {
            let now = Moment { boot: "a".into(), uptime_us: 0, wall_us: 1_700_000_000_000_000 };
            let mut evidence = Evidence::default();
            assert_eq!(evidence.observe(now.clone()), None);
            Self { evidence, now }
        }

        /// Minutes pass, and the wall's clock is set by so much more.
        fn pass(&mut self, minutes: i64, set_us: i64) -> bool {
            self.now.uptime_us += minutes * MINUTE_US;
            self.now.wall_us += minutes * MINUTE_US + set_us;
            self.evidence.observe(self.now.clone()).is_some()
        }
    }

    #[test]
    fn a_clock_that_holds_is_believed_after_ten_minutes_and_across_restarts_of_the_server() {
        let mut clocks = Clocks::new();
        assert!(!clocks.pass(9, 0));
        let text = serde_json::to_string(&clocks.evidence).unwrap();
        clocks.evidence = serde_json::from_str(&text).unwrap();
        assert!(clocks.pass(1, 0), "the server was gone for a minute, the machine was not");
        assert!(clocks.pass(60 * 24 * 3, 2_000_000), "and slewing is no step");
    }

    #[test]
    fn a_leap_forward_is_not_believed_for_a_day_and_never_when_it_is_taken_back() {
        let mut clocks = Clocks::new();
        assert!(clocks.pass(20, 0));
        assert!(!clocks.pass(1, 24 * 365 * HOUR_US), "a year in a minute");
        assert!(!clocks.pass(60, 0));
        assert!(!clocks.pass(1, -24 * 365 * HOUR_US), "taken back");
        assert!(!clocks.pass(60 * 23, 0));
        assert!(clocks.pass(60, 0), "and then it holds again");
    }

    #[test]
    fn a_clock_set_right_by_a_leap_is_believed_in_the_end() {
        let mut clocks = Clocks::new();
        clocks.pass(20, 0);
        assert!(!clocks.pass(1, 50 * HOUR_US));
        assert!(!clocks.pass(60 * 23, 0));
        assert!(clocks.pass(60, 0));
    }

    #[test]
    fn a_start_of_the_machine_and_a_step_back_cost_ten_minutes() {
        let mut clocks = Clocks::new();
        clocks.pass(20, 0);
        assert!(!clocks.pass(1, -2 * HOUR_US));
        assert!(clocks.pass(10, 0));
        clocks.now.boot = "b".into();
        clocks.now.uptime_us = 0;
        assert!(!clocks.pass(1, 48 * HOUR_US), "two days off");
        assert!(!clocks.pass(9, 0));
        assert!(clocks.pass(1, 0));
    }
}
