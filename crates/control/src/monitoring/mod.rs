//! Monitors: when executions begin, which time they look at, and which jobs they are.
//!
//! An execution is a row, claimed before anything is done for it; a window and a copy of the job definition stand in that
//! row, so that whoever takes it up does the same. Its work is one processing job, or two where labels are merged first
//! (`requests.rs`); their names are a function of schedule and scheduled time, so a job that was begun before a crash is
//! found again and never begun twice.
//!
//! Refuses to: analyse anything. That is the jobs' work.

pub(crate) mod claims;
pub(crate) mod driver;
pub(crate) mod expression;
pub(crate) mod folders;
pub(crate) mod offset;
pub(crate) mod requests;
pub(crate) mod window;

/// The alert that every schedule has. SageMaker makes one for each schedule too; how it calls it is not documented.
pub(crate) const ALERT_NAME: &str = "violations";
/// Why an execution failed that had nothing to look at, in SageMaker's words.
pub(crate) const NO_DATA: &str = "Job inputs had no data";
