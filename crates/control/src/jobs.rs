//! The door to whatever runs processing jobs. Control keeps what was asked for and how far it has come; fetching inputs,
//! running and sending outputs is another room's work.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use captura_wire::hosting::CreateProcessingJob;
use tokio::sync::watch;

/// A job to be run.
#[derive(Debug, Clone, PartialEq)]
pub struct JobOrder {
    /// What was asked for, checked.
    pub request: CreateProcessingJob,
    /// ARN of the job.
    pub arn: String,
    /// Region of the request.
    pub region: String,
    /// The monitoring schedule that asked for it.
    pub schedule_arn: Option<String>,
    /// It is ended when it has run so long.
    pub max_runtime: Duration,
}

/// Whether a running job shall end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Halt {
    /// It shall go on.
    #[default]
    No,
    /// Somebody asked for its end; what it has written so far is kept.
    Stop,
    /// The server ends; nobody waits for the job.
    Close,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobEnd {
    /// What became of it.
    pub outcome: JobOutcome,
    /// What the program left in `/opt/ml/output/message`.
    pub exit_message: Option<String>,
}

/// What became of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobOutcome {
    /// It did what was asked.
    Completed,
    /// It did not, and why.
    Failed(String),
    /// It was ended early, and why where nobody asked for it.
    Stopped(Option<String>),
}

impl JobEnd {
    /// A job that could not be run.
    pub fn failed(reason: impl Into<String>) -> Self {
        Self { outcome: JobOutcome::Failed(reason.into()), exit_message: None }
    }
}

/// A job under way.
pub type RunningJob = Pin<Box<dyn Future<Output = JobEnd> + Send>>;

/// Runs processing jobs.
pub trait JobRunner: Send + Sync + fmt::Debug {
    /// Runs a job to its end, or until it shall halt.
    fn run(&self, order: JobOrder, halt: watch::Receiver<Halt>) -> RunningJob;

    /// Whether a job that the server's end cut off may be run once more from the beginning: nothing but its outputs tells
    /// that it ran before, and the same inputs give the same outputs.
    fn is_repeatable(&self, image: &str) -> bool;
}

/// Runs none.
#[derive(Debug)]
pub(crate) struct NoJobs;

impl JobRunner for NoJobs {
    fn run(&self, _: JobOrder, _: watch::Receiver<Halt>) -> RunningJob {
        Box::pin(async { JobEnd::failed("This server runs no processing jobs.") })
    }

    fn is_repeatable(&self, _: &str) -> bool {
        false
    }
}
