//! Processing jobs, run: inputs are fetched into a folder, a program works on it, outputs are sent.
//!
//! ```text
//! order → folder per instance → inputs → config files → program | built-in | container → outputs → end
//! FOLDER/opt/ml/processing/…                inputs and outputs, at their LocalPath
//! FOLDER/opt/ml/config/*.json               what SageMaker's containers find there
//! FOLDER/opt/ml/output/message              what becomes the ExitMessage
//! FOLDER/opt/ml/output/metrics/cloudwatch   metrics to be published, a line each
//! ```
//!
//! Images of the analyser, of the merger of ground truth and of Clarify run this program itself, as a child with a bound on
//! its memory and below everything that answers callers; other images are programs of the operator's, or containers.
//!
//! Invariant: a job reads and writes its own folder, and of the buckets what its order names; what is run is the operator's
//! to say, but for containers. Whatever way a job ends, nothing of it is left running, and its folder is gone.
//! Refuses to: keep the state of jobs; that is control's. To judge what a program found.

mod clarify;
mod config_files;
mod files;
mod inputs;
mod limits;
mod metrics;
mod outputs;
mod run;
mod way;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use captura_archive::Stores;
use captura_backends::container::Containers;
use captura_backends::{ImageRule, LogSink};
use captura_control::{Halt, JobOrder, JobRunner, RunningJob};
use captura_route::Clock;
use tokio::sync::{oneshot, watch};

pub use crate::limits::{EXIT_MESSAGE_MAX_BYTES, INPUT_OBJECTS_MAX, INSTANCES_MAX};
pub use crate::metrics::{Datum, Statistics};
pub use crate::way::{ANALYSER_IMAGE, BUILT_IN_IMAGES, CLARIFY_IMAGE, MERGER_IMAGE};

/// Makes the sink of a stream in the group of processing jobs.
pub type JobLogs = Arc<dyn Fn(&str) -> LogSink + Send + Sync>;
/// Takes metrics of a job.
pub type MetricsSink = Arc<dyn Fn(Datum) + Send + Sync>;

/// Opens the way to this server's models in a job's folder. What comes back attends to it until it is told to stop, and takes
/// away what was made for the job.
pub type ModelsDoor = Arc<dyn Fn(Errand) -> io::Result<Attending> + Send + Sync>;
/// Somebody attends.
pub type Attending = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A job that asks models of this server.
#[derive(Debug)]
pub struct Errand {
    /// Its folder.
    pub folder: PathBuf,
    /// Its name.
    pub job: String,
    /// Region of the request that made it.
    pub region: String,
    /// When this comes, or its sender is gone, the job's program has ended.
    pub until: oneshot::Receiver<()>,
}

/// What the operator decides about jobs, and the doors to rooms that this one must not know.
#[derive(Clone)]
pub struct Settings {
    /// Below it lie the folders of jobs.
    pub folder: PathBuf,
    /// The command that is the built-in analyser; the folder of the job is added to it.
    pub built_in: Vec<String>,
    /// Most memory of the built-in analyser, bytes.
    pub built_in_memory_max_bytes: u64,
    /// Most bytes of the inputs of one instance; VolumeSizeInGB bounds them as well.
    pub inputs_max_bytes: u64,
    /// Images that the operator says how to run; the first that matches decides.
    pub images: Vec<ImageRule>,
    /// What programs find in their environment besides what the job says.
    pub inherited: BTreeMap<String, String>,
    /// Where programs say things.
    pub logs: JobLogs,
    /// Where their metrics go.
    pub metrics: MetricsSink,
    /// What time it is.
    pub clock: Clock,
    /// The way to this server's models, for jobs that explain their answers.
    pub models: ModelsDoor,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("folder", &self.folder)
            .field("built_in", &self.built_in)
            .finish_non_exhaustive()
    }
}

/// Runs processing jobs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Jobs(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    stores: Stores,
    containers: Containers,
}

impl Jobs {
    /// Nothing runs yet, and no folder is made.
    #[must_use]
    pub fn new(settings: Settings, stores: Stores, containers: Containers) -> Self {
        Self(Arc::new(Inner { settings, stores, containers }))
    }
}

impl JobRunner for Jobs {
    fn run(&self, order: JobOrder, halt: watch::Receiver<Halt>) -> RunningJob {
        let jobs = Arc::clone(&self.0);
        Box::pin(async move { run::run(&jobs, &order, halt).await })
    }

    fn is_repeatable(&self, image: &str) -> bool {
        matches!(way::way(&self.0.settings.images, image), way::Way::BuiltIn)
    }
}
