//! What comes next on the way, as a function of the clock, the alarms and the instances that are up.
//!
//! Endpoints and inference components go the same way; each carries out what is said here with its own models. Nothing
//! here sleeps, stores or publishes.

use std::time::Duration;

use captura_names::Timestamp;

use super::plan::instances_of;
use super::{Plan, Rollout, Stage};
use crate::alarms::Alarms;

/// How often alarms, and instances that start, are looked at.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What is to be done at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// The step's instances start: look again.
    Launch,
    /// They did not start in time: go back.
    Late,
    /// They are up: the step's traffic goes on, which makes this the place.
    Share(Rollout),
    /// The step's traffic stays on for so long still.
    Bake(Duration),
    /// The next step begins, which makes this the place.
    Step(Rollout),
    /// Everything has moved.
    Finish,
}

impl Plan {
    /// What is to be done at a place; `are_up` says whether the instances of its step are, `start_max` how long they may
    /// take.
    pub(crate) fn next(&self, place: &Rollout, are_up: bool, start_max: Duration, now: Timestamp) -> Next {
        let is_last = place.step + 1 >= self.steps.len();
        let wait_s = self.steps.get(place.step).map_or(0, |step| step.wait_s);
        let left = left_of(Duration::from_secs(wait_s.into()), place.since, now);
        match place.stage {
            Stage::Launching if !are_up && left_of(start_max, place.since, now).is_zero() => Next::Late,
            Stage::Launching if !are_up => Next::Launch,
            Stage::Launching if is_last && wait_s == 0 => Next::Finish,
            Stage::Launching => Next::Share(Rollout::baking(place.step, now)),
            Stage::Baking if !left.is_zero() => Next::Bake(left),
            Stage::Baking if is_last => Next::Finish,
            Stage::Baking => Next::Step(Rollout::launching(place.step + 1, now)),
        }
    }

    /// Why traffic must go back now, when it must: an alarm that is raised, or no more time for what began then.
    pub(crate) fn turns_back(&self, alarms: &Alarms, began: Timestamp, now: Timestamp) -> Option<String> {
        let raised = alarms.raised(&self.alarms);
        if !raised.is_empty() {
            return Some(format!("these alarms are in state ALARM: {}", raised.join(", ")));
        }
        self.overdue(began, now)
    }

    /// Why there is no more time for what began then, when there is none.
    pub(crate) fn overdue(&self, began: Timestamp, now: Timestamp) -> Option<String> {
        let longest_s = self.longest_s?;
        self.time_left(began, now).filter(Duration::is_zero)?;
        Some(format!("it took longer than {longest_s} seconds (MaximumExecutionTimeoutInSeconds)"))
    }

    /// How much time there is for the whole, when it is bounded.
    pub(crate) fn time_left(&self, began: Timestamp, now: Timestamp) -> Option<Duration> {
        self.longest_s.map(|longest_s| left_of(Duration::from_secs(longest_s.into()), began, now))
    }

    /// When to look again while a step's traffic stays on for `left`.
    pub(crate) fn look_in(&self, left: Duration, began: Timestamp, now: Timestamp) -> Duration {
        let look = if self.alarms.is_empty() { left } else { left.min(LOOK_AGAIN) };
        self.time_left(began, now).map_or(look, |all| all.min(look))
    }

    /// How many of `wanted` old instances are asked for on the way back, when `up` of them are.
    pub(crate) fn way_back(&self, up: i64, wanted: i64) -> i64 {
        let batch = self.rollback_batch.map_or(wanted, |size| instances_of(size, wanted));
        wanted.min(up + batch)
    }
}

/// What is left of a time. A clock that was set back makes it longer, by no more than that.
pub(crate) fn left_of(whole: Duration, since: Timestamp, now: Timestamp) -> Duration {
    let passed = u64::try_from(now.unix_us().saturating_sub(since.unix_us())).unwrap_or(0);
    whole.saturating_sub(Duration::from_micros(passed))
}
