//! What Model Monitor's analyser, its merger of ground truth and Clarify's container do, for one processing job: files in a
//! folder in, files in a folder out.
//!
//! ```text
//! ROOT/opt/ml/config/processingjobconfig.json   the request: image, environment, inputs, outputs
//! ROOT/opt/ml/processing/…                      what the environment's paths name
//! ROOT/opt/ml/output/message                    how it ended, in the words of those containers
//! ROOT/opt/ml/output/metrics/cloudwatch         metrics to be published
//! ```
//!
//! Invariant: the containers' contract is read from the job's file, never from the process' own environment; the same folder
//! gives the same files. Refuses to: reach anything outside the folder but the model that is explained or
//! whose predictions are measured, or pretend what it cannot do.

mod bias;
mod captures;
mod clarify;
mod data_quality;
mod dataset;
mod documents;
mod explain;
mod job;
mod merge;
mod metrics;
mod model_quality;
mod predictions;
mod table;

use std::path::Path;

use captura_monitor::job::{AttributionError, JobError, QualityError};

pub use crate::data_quality::Scripts;
pub use crate::explain::{Later, Models, OpenModel, Target};
use crate::job::{Job, Kind};

/// Names a script of the user's that each record goes through before an analysis.
const BEFORE: &str = "record_preprocessor_script";
/// Names one that runs when the findings are written.
const AFTER: &str = "post_analytics_processor_script";
/// What is added where captures of the window may be missing.
const INCOMPLETE: &str = "Some calls of the window may be missing: when the execution began, not all that was captured had reached its bucket.";

/// Why an analysis failed, in words for whoever asked for it.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The job's file is not what it should be.
    #[error("{0}")]
    Request(String),
    /// The built-in analyser has no such analysis.
    #[error("{0}")]
    Unsupported(String),
    /// There is nothing to analyse.
    #[error("Job inputs had no data")]
    NoData,
    /// The analysis failed.
    #[error(transparent)]
    Job(#[from] JobError),
    /// The analysis failed.
    #[error(transparent)]
    Quality(#[from] QualityError),
    /// The analysis failed.
    #[error(transparent)]
    Attribution(#[from] AttributionError),
    /// A file failed.
    #[error("{path}: {reason}")]
    File {
        /// The file, as the job names it.
        path: String,
        /// What the system says.
        reason: std::io::Error,
    },
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Violations of a baseline; none where there was none.
    pub violations: usize,
    /// What a person should know, for the job's log.
    pub notes: Vec<String>,
    /// Of what nothing can be said; a person should not take that for a pass.
    untold: Option<String>,
    /// How the container would say it.
    message: String,
}

impl Found {
    /// The analyser's words.
    fn new(violations: usize, notes: Vec<String>) -> Self {
        let message = match violations {
            0 => "Completed: Job completed successfully with no violations.".to_owned(),
            count => format!("CompletedWithViolations: Job completed successfully with {count} violations."),
        };
        Self { violations, notes, untold: None, message }
    }

    /// What stands in the message file.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// Does the job whose folder this is, and leaves the message that becomes its ExitMessage. Explanations ask
/// `models`, and scripts of the user's are run by `scripts`.
///
/// # Errors
/// Why it cannot be done; the message says it too.
pub async fn run(root: &Path, models: &dyn Models, scripts: &dyn Scripts) -> Result<Found, Failure> {
    let job = Job::read(root)?;
    let found = analyse(&job, models, scripts).await;
    let message = match &found {
        // Its window is over, and some of it had not reached its bucket.
        Ok(found) if job.variable("captura_captures_incomplete").is_some() => format!("{} {INCOMPLETE}", found.message),
        Ok(found) => found.message.clone(),
        Err(failure) => format!("Error: {failure}"),
    };
    job.leave_message(&message)?;
    found
}

async fn analyse(job: &Job, models: &dyn Models, scripts: &dyn Scripts) -> Result<Found, Failure> {
    let kind = job.kind()?;
    let after = job.variable(AFTER);
    if !matches!(kind, Kind::DataQuality | Kind::ModelQuality) {
        for (script, asked) in [(BEFORE, job.variable(BEFORE)), (AFTER, after)] {
            if asked.is_some() {
                return Err(Failure::Unsupported(format!(
                    "the built-in analyser runs {script} for data quality and model quality only"
                )));
            }
        }
    }
    let found = match kind {
        Kind::DataQuality => data_quality::analyse(job, scripts).await,
        Kind::ModelQuality => model_quality::analyse(job, scripts).await,
        Kind::Clarify => clarify::analyse(job, models).await,
        Kind::Merge => merge::merge(job).await,
    }?;
    if let Some(script) = after {
        scripts.postprocess(&job.path(script)?, job.environment_with_paths()).map_err(Failure::Request)?;
    }
    Ok(found)
}
