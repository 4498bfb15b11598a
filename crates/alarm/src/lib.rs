//! Points to state changes: a metric alarm is a function of (rule, state, points, now), so it can be back-tested.
//!
//! Also the arithmetic between metrics that alarms and graphs are written in ([`math`]).
//!
//! Invariant: same rule, state and points, same verdict and same words, in CloudWatch's style.
//! Refuses to: fetch points, keep state, know a clock, tell anyone.

mod evaluate;
pub mod math;
mod reason;
mod rule;
mod state;

pub use evaluate::{Judgement, Point, Verdict, evaluate};
pub use rule::{Comparison, MissingData, Rule};
pub use state::State;
