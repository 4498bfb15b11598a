//! The control plane: intents become rows, reconcilers make reality follow, and a new route table is published.
//!
//! [`Control::answer`] takes requests of SageMaker's control plane. `http` finds the operation, `ops` validates, writes
//! a row and answers; the driver wakes the reconciler, which loads models and publishes a whole new
//! [`captura_route::RouteTable`]; the gateway reads it.
//!
//! One server has one set of names: the region of a request goes into the ARNs of what it creates, and is not looked
//! at when something is looked up, because the routing table knows endpoints by name alone.
//!
//! Invariant: an answered intent is in the catalog; a reconciler takes no arguments and is safe to run twice.
//! Refuses to: sit in the path of an invocation, import the gateway, keep rules in the HTTP layer.

mod alarms;
mod catalog;
mod deployment;
mod driver;
mod fleet;
mod guarantee;
mod http;
mod instance_type;
mod jobs;
mod models;
mod monitoring;
mod notice;
mod ops;
mod publish;
mod reconcile;
mod rollout;
mod scaling;
mod serverless;
mod settings;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use alarms::{AlarmState, AlarmStates};
use bytes::Bytes;
use captura_backends::Backends;
use captura_route::{Clock, RouteTable};
use captura_tasks::Tasks;
pub use captura_wire::aws_json::Reply as Response;
pub use catalog::{CatalogError, OpenError};
pub use guarantee::{CaptureGuarantee, Guarantees};
pub use jobs::{Halt, JobEnd, JobOrder, JobOutcome, JobRunner, RunningJob};
pub use monitoring::folders::{Folder, Folders, Looking};
pub use notice::{Notice, NoticeBell};
pub use scaling::{InstanceCounts, ScalingError};
pub use settings::{Arrivals, ColdStarts, Jobs, LogSinks, Monitors, Settings};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::alarms::Alarms;
use crate::catalog::Catalog;
use crate::fleet::StandingView;
use crate::models::Models;
use crate::monitoring::driver::MonitorDriver;
use crate::notice::Notices;
use crate::ops::Desk;
use crate::publish::{ComponentsView, Publisher};
use crate::reconcile::endpoint::{Actual, EndpointReconciler};
use crate::reconcile::inference_component::{ComponentReconciler, Components};
use crate::reconcile::loads::Loads;
use crate::reconcile::managed::InstanceReconciler;
use crate::reconcile::monitoring::MonitoringReconciler;
use crate::reconcile::processing_job::JobReconciler;

/// A request of the control plane.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The header `X-Amz-Target`, e.g. `SageMaker.CreateModel`.
    pub target: &'a str,
    /// Region of the credential scope, e.g. `us-east-1`.
    pub region: &'a str,
    /// The body, JSON.
    pub body: Bytes,
}

/// The control plane. Cheap to clone.
#[derive(Clone)]
pub struct Control {
    inner: Arc<Inner>,
}

struct Inner {
    catalog: Catalog,
    models: Models,
    alarms: Alarms,
    standing: StandingView,
    clock: Clock,
    account: String,
    recovery_timeout: Duration,
    nudge: Arc<Notify>,
    reconciler: Arc<EndpointReconciler>,
    components: Arc<ComponentReconciler>,
    jobs: Arc<JobReconciler>,
    monitors: Arc<MonitoringReconciler>,
    monitor_nudge: Arc<Notify>,
    served_components: ComponentsView,
    stop: watch::Sender<bool>,
    tasks: Tasks,
    drivers: Mutex<Vec<JoinHandle<()>>>,
}

impl Control {
    /// Opens the catalog, creating or migrating it. Nothing is loaded or published yet; see [`Control::recover`].
    ///
    /// # Errors
    /// When the file cannot be opened, a newer captura wrote it, or the SQLite in this program is too old.
    pub fn open(
        settings: Settings,
        backends: Backends,
        table: watch::Sender<Arc<RouteTable>>,
        clock: Clock,
    ) -> Result<Self, OpenError> {
        Self::open_with(settings, Models::of(backends), table, clock)
    }

    fn open_with(
        settings: Settings,
        models: Models,
        table: watch::Sender<Arc<RouteTable>>,
        clock: Clock,
    ) -> Result<Self, OpenError> {
        let common = settings.clone();
        let Settings {
            catalog_path,
            account,
            load_timeout,
            recovery_timeout,
            alarms,
            bell,
            tasks,
            guarantees,
            jobs,
            monitors,
            ..
        } = settings;
        let guarantees = Arc::new(guarantees);
        let catalog = Catalog::open(&catalog_path, Notices { bell, account: account.clone() })?;
        let alarms = Alarms(alarms);
        let nudge = Arc::new(Notify::new());
        let loads = || Loads::new(models.clone(), common.clone(), Arc::clone(&nudge));
        let publisher = Arc::new(Publisher::new(table, account.clone()));
        let components = Arc::new(ComponentReconciler {
            catalog: catalog.clone(),
            clock: clock.clone(),
            alarms: alarms.clone(),
            publisher: Arc::clone(&publisher),
            standing: publisher.view(),
            nudge: Arc::clone(&nudge),
            load_timeout,
            guarantees: Arc::clone(&guarantees),
            actual: tokio::sync::Mutex::new(Components::new(loads())),
        });
        let jobs = Arc::new(JobReconciler {
            catalog: catalog.clone(),
            clock: clock.clone(),
            nudge: Arc::clone(&nudge),
            account: account.clone(),
            runner: jobs.runner,
            jobs_max: jobs.at_a_time,
            running: tokio::sync::Mutex::default(),
            ends: Arc::default(),
        });
        let monitors = Arc::new(MonitoringReconciler {
            catalog: catalog.clone(),
            clock: clock.clone(),
            nudge: Arc::clone(&nudge),
            account: account.clone(),
            folders: monitors.folders,
            arrivals: monitors.arrivals,
        });
        let served_components = publisher.components();
        let standing = publisher.view();
        let reconciler = Arc::new(EndpointReconciler {
            catalog: catalog.clone(),
            clock: clock.clone(),
            alarms: alarms.clone(),
            publisher,
            nudge: Arc::clone(&nudge),
            load_timeout,
            actual: tokio::sync::Mutex::new(Actual::new(loads())),
        });
        let (stop, _) = watch::channel(false);
        let inner = Inner {
            catalog,
            models,
            alarms,
            standing,
            clock,
            account,
            recovery_timeout,
            nudge,
            reconciler,
            components,
            jobs,
            monitors,
            monitor_nudge: Arc::default(),
            served_components,
            stop,
            tasks,
            drivers: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Loads every endpoint that was in service when the process last ended, and publishes them. Returns when each of
    /// them serves or has failed, or when [`Settings::recovery_timeout`] is over; what then still loads is told as
    /// OutOfService until it has loaded. To be awaited before a listener opens and before [`Control::start`].
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn recover(&self) -> Result<(), CatalogError> {
        let deadline = tokio::time::Instant::now() + self.inner.recovery_timeout;
        self.inner.reconciler.recover(deadline).await?;
        while self.inner.components.reconcile().await? > 0 {
            if tokio::time::timeout_at(deadline, self.inner.nudge.notified()).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Starts the drivers, which make reality follow the catalog until [`Control::close`]. A second start is none.
    pub fn start(&self) {
        let mut drivers = self.inner.drivers.lock().unwrap_or_else(PoisonError::into_inner);
        if drivers.is_empty() {
            let (reconciler, nudge) = (Arc::clone(&self.inner.reconciler), Arc::clone(&self.inner.nudge));
            let reconcilers = driver::Reconcilers {
                endpoints: reconciler,
                components: Arc::clone(&self.inner.components),
                instances: self.instances(),
                jobs: Arc::clone(&self.inner.jobs),
                monitors: Arc::clone(&self.inner.monitor_nudge),
            };
            let work = driver::Driver { reconcilers, nudge, stop: self.inner.stop.subscribe() };
            drivers.push(self.inner.tasks.spawn("driver", work, |driver| Box::pin(driver.run())));
            let work = MonitorDriver {
                reconciler: Arc::clone(&self.inner.monitors),
                nudge: Arc::clone(&self.inner.monitor_nudge),
                stop: self.inner.stop.subscribe(),
            };
            drivers.push(self.inner.tasks.spawn("monitors", work, |driver| Box::pin(driver.run())));
        }
    }

    /// The reconciler of managed instances, which keeps nothing.
    fn instances(&self) -> InstanceReconciler {
        let Inner { catalog, clock, nudge, .. } = &*self.inner;
        InstanceReconciler { catalog: catalog.clone(), clock: clock.clone(), nudge: Arc::clone(nudge) }
    }

    /// Answers a request, whatever it is.
    pub async fn answer(&self, request: Request<'_>) -> Response {
        http::answer(self.desk(request.region), &request).await
    }

    /// Has an execution of a monitoring schedule begin out of turn, which SageMaker's API has no word for.
    pub async fn run_monitor(&self, name: &str, region: &str) -> Response {
        http::answer_run_monitor(self.desk(region), name).await
    }

    /// What operations work with, for a request of that region.
    fn desk(&self, region: &str) -> Desk {
        Desk {
            catalog: self.inner.catalog.clone(),
            models: self.inner.models.clone(),
            alarms: self.inner.alarms.clone(),
            standing: self.inner.standing.clone(),
            components: self.inner.served_components.clone(),
            clock: self.inner.clock.clone(),
            nudge: Arc::clone(&self.inner.nudge),
            account: self.inner.account.clone(),
            region: region.to_owned(),
        }
    }

    /// The oldest notices that nobody was told of for certain, those of an earlier process too; none when all are told.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn untold(&self) -> Result<Vec<Notice>, CatalogError> {
        self.inner.catalog.run(|work| work.untold()).await
    }

    /// The notices up to this one were told, and that outlives this process: nobody is told again.
    ///
    /// # Errors
    /// When the catalog fails; they are told again then.
    pub async fn told(&self, last: i64) -> Result<(), CatalogError> {
        self.inner.catalog.run(move |work| work.told(last)).await
    }

    /// Stops the driver, ends processing jobs and closes the catalog; requests that come later are answered with 503. What is published
    /// stays published.
    pub async fn close(&self) {
        self.inner.stop.send_replace(true);
        let drivers = std::mem::take(&mut *self.inner.drivers.lock().unwrap_or_else(PoisonError::into_inner));
        for driver in drivers {
            if let Err(error) = driver.await {
                tracing::error!(%error, "a driver of the control plane had ended in a bug");
            }
        }
        self.inner.jobs.close().await;
        self.inner.catalog.close().await;
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("catalog", &self.inner.catalog).finish_non_exhaustive()
    }
}
