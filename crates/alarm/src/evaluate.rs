//! From points to a verdict.
//!
//! The newest N points that exist decide. When fewer exist in the evaluation range, missing ones are filled in as the
//! rule says, only as many as are needed. An alarm that takes missing points as missing rings early, when its oldest
//! breaching point is M periods old and nothing speaks against it; it must not wait for points that never come.

use captura_names::Timestamp;

use crate::reason;
use crate::rule::{MissingData, Rule};
use crate::state::State;

/// The value of one period.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Start of the period.
    pub at: Timestamp,
    /// The statistic.
    pub value: f64,
    /// How many samples it was made of; expressions have none.
    pub sample_count: Option<f64>,
}

/// What the points say.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The state.
    pub state: State,
    /// Why, as one sentence.
    pub reason: String,
    /// The points that decided, newest first.
    pub evaluated: Vec<Point>,
}

/// Whether an alarm changes.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The state stays, and so do its reason and its time.
    Stay,
    /// Another state than before.
    Change(Judgement),
}

/// Evaluates a rule over the periods of its range, oldest first; a period without a point is `None`.
#[must_use]
pub fn evaluate(rule: &Rule, state: State, periods: &[Option<Point>]) -> Verdict {
    match judge(rule, periods) {
        Some(next) if next != state => {
            let evaluated = newest(rule, periods);
            let reason = reason::sentence(rule, (state, next), &evaluated, missing(rule, &evaluated));
            Verdict::Change(Judgement { state: next, reason, evaluated })
        }
        _ => Verdict::Stay,
    }
}

/// The newest N points, newest first.
fn newest(rule: &Rule, periods: &[Option<Point>]) -> Vec<Point> {
    periods.iter().rev().flatten().take(rule.evaluation_periods as usize).copied().collect()
}

fn missing(rule: &Rule, points: &[Point]) -> u32 {
    rule.evaluation_periods.saturating_sub(u32::try_from(points.len()).unwrap_or(u32::MAX))
}

/// The state that the points call for; `None` keeps the present one.
fn judge(rule: &Rule, periods: &[Option<Point>]) -> Option<State> {
    let points = newest(rule, periods);
    let breaches = |point: &Point| rule.comparison.breaches(point.value, rule.threshold);
    let breaching = u32::try_from(points.iter().filter(|point| breaches(point)).count()).unwrap_or(u32::MAX);
    let missing = missing(rule, &points);
    let of_count = |count| Some(if count >= rule.datapoints_to_alarm { State::Alarm } else { State::Ok });
    if missing == 0 || breaching >= rule.datapoints_to_alarm {
        return of_count(breaching);
    }
    let some_within = points.len() > breaching as usize;
    match rule.missing_data {
        MissingData::Breaching => of_count(breaching + missing),
        MissingData::NotBreaching => of_count(breaching),
        _ if some_within => Some(State::Ok),
        MissingData::Ignore => None,
        MissingData::Missing => {
            // There are fewer points than N, so the oldest of all decides.
            let age = periods.iter().rev().rposition(Option::is_some).map_or(0, |position| position + 1);
            let early = breaching > 0 && age >= rule.datapoints_to_alarm as usize;
            Some(if early { State::Alarm } else { State::InsufficientData })
        }
    }
}

#[cfg(test)]
#[path = "evaluate_tests.rs"]
mod tests;
