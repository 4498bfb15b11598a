//! What the operator decides about the control plane, and the doors to rooms that it must not know.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use captura_backends::LogSink;
use captura_names::{EndpointName, Timestamp, VariantName};
use captura_tasks::Tasks;

use crate::alarms::AlarmStates;
use crate::guarantee::Guarantees;
use crate::jobs::{JobRunner, NoJobs};
use crate::monitoring::folders::Folders;
use crate::notice::NoticeBell;

/// What the operator decides about the control plane.
#[derive(Clone)]
pub struct Settings {
    /// The catalog's file; its folder must exist.
    pub catalog_path: PathBuf,
    /// Account in ARNs, twelve digits.
    pub account: String,
    /// Longest time for loading one model, where the endpoint configuration states none.
    pub load_timeout: Duration,
    /// Longest time that a start waits for endpoints to be loaded again.
    pub recovery_timeout: Duration,
    /// States of the alarms that deployments name; without it there are no alarms.
    pub alarms: AlarmStates,
    /// Rings when there are notices of endpoints that change; see [`crate::Control::untold`].
    pub bell: NoticeBell,
    /// Takes what the instances of a variant say; without it their words go to the server's own log.
    pub logs: LogSinks,
    /// A serverless variant without provisioned concurrency gives its model up when nobody called for so long.
    pub serverless_idle_after: Duration,
    /// Told of every cold start of a serverless variant, and how long it took.
    pub cold_starts: ColdStarts,
    /// Begins the driver again when it panics.
    pub tasks: Tasks,
    /// How surely captures are kept where tags do not say.
    pub guarantees: Guarantees,
    /// What monitoring schedules need of the rooms around.
    pub monitors: Monitors,
    /// Who runs processing jobs.
    pub jobs: Jobs,
}

/// Who runs processing jobs.
#[derive(Debug, Clone)]
pub struct Jobs {
    /// What runs one.
    pub runner: Arc<dyn JobRunner>,
    /// How many run at a time; others wait in the order in which they were asked for.
    pub at_a_time: usize,
}

impl Default for Jobs {
    /// Nobody does.
    fn default() -> Self {
        Self { runner: Arc::new(NoJobs), at_a_time: Settings::DEFAULT_JOBS_AT_A_TIME }
    }
}

/// What monitoring schedules need of the rooms around.
#[derive(Debug, Clone, Default)]
pub struct Monitors {
    /// Looks for captures and labels in their stores.
    pub folders: Folders,
    /// Whether what was captured until a moment has arrived in its store.
    pub arrivals: Arrivals,
}

/// Whether everything that callers of an endpoint did until a moment has arrived in its store, as far as this server
/// captured it.
#[derive(Clone)]
pub struct Arrivals(Arc<HasArrived>);

type HasArrived = dyn Fn(&str, Timestamp) -> bool + Send + Sync;

impl Arrivals {
    /// Arrivals that this function tells, of an endpoint and a moment.
    pub fn new(arrived: impl Fn(&str, Timestamp) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(arrived))
    }

    /// Whether it has.
    pub(crate) fn are_complete(&self, endpoint: &str, until: Timestamp) -> bool {
        (self.0)(endpoint, until)
    }
}

impl Default for Arrivals {
    /// Nothing is ever under way.
    fn default() -> Self {
        Self::new(|_, _| true)
    }
}

impl fmt::Debug for Arrivals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Arrivals")
    }
}

/// Who is told of cold starts.
pub type ColdStarts = Arc<dyn Fn(&EndpointName, &VariantName, Duration) + Send + Sync>;
/// Where the instances of a variant say things.
pub type LogSinks = Arc<dyn Fn(&EndpointName, &VariantName) -> LogSink + Send + Sync>;

impl Settings {
    /// Longest time for loading one model, when nobody says otherwise.
    pub const DEFAULT_LOAD_TIMEOUT: Duration = Duration::from_secs(600);

    /// How many processing jobs run at a time, when nobody says otherwise.
    pub const DEFAULT_JOBS_AT_A_TIME: usize = 2;

    /// When a serverless variant sleeps, when nobody says otherwise.
    pub const DEFAULT_SERVERLESS_IDLE_AFTER: Duration = Duration::from_secs(600);

    /// Longest time that a start waits, when nobody says otherwise.
    pub const DEFAULT_RECOVERY_TIMEOUT: Duration = Duration::from_secs(10);

    /// Settings with the default times, without alarms, and with nobody who takes notices.
    pub fn new(catalog_path: impl Into<PathBuf>, account: impl Into<String>) -> Self {
        Self {
            catalog_path: catalog_path.into(),
            account: account.into(),
            load_timeout: Self::DEFAULT_LOAD_TIMEOUT,
            recovery_timeout: Self::DEFAULT_RECOVERY_TIMEOUT,
            alarms: Arc::new(|_| None),
            bell: Arc::new(|| {}),
            logs: Arc::new(|_, _| LogSink::default()),
            serverless_idle_after: Self::DEFAULT_SERVERLESS_IDLE_AFTER,
            cold_starts: Arc::new(|_, _, _| {}),
            tasks: Tasks::default(),
            guarantees: Guarantees::default(),
            jobs: Jobs::default(),
            monitors: Monitors::default(),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("catalog_path", &self.catalog_path)
            .field("account", &self.account)
            .field("load_timeout", &self.load_timeout)
            .field("recovery_timeout", &self.recovery_timeout)
            .finish_non_exhaustive()
    }
}
