//! Makes what is served follow what the catalog says of endpoints.
//!
//! ```text
//! Creating → InService | Failed          the table has the endpoint before the row says InService
//! Updating → InService                   with the new deployment, or with the old one and a reason: `traffic`,
//!                                        `rollback`; when only weights and counts change: `scaling`
//! RollingBack → InService                counts that could not be reached go back: `scaling`
//! Updating → UpdateRollbackFailed        the way back could not be gone either: what serves goes on serving
//! Deleting → gone                        the table lacks the endpoint before the row goes
//! InService, but not loaded (restart)    loaded again, or Failed; tried again later, as the reason may pass
//! OutOfService                           a restart did not wait any longer; InService or Failed when the load ends
//! ```
//!
//! Invariant: a row says InService only while the table has the endpoint, except between the start of the process and
//! the end of [`EndpointReconciler::recover`]; old models serve until the table with the new ones is out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use captura_names::{ResourceKind, Timestamp};
use captura_route::Clock;
use captura_wire::hosting::EndpointStatus;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::loads::{LoadKey, Loads, Progress, Wanted};
use crate::alarms::Alarms;
use crate::catalog::{Catalog, CatalogError, EndpointRow, StateChange};
use crate::deployment::Deployment;
use crate::fleet::{LoadedFleet, Served, ServedFleet, Standing};
use crate::publish::Publisher;
use crate::rollout::{Capacity, Rollout};

/// Longest failure reason, characters.
const FAILURE_REASON_MAX_LENGTH: usize = 1_024;

/// The reconciler of endpoints.
pub(crate) struct EndpointReconciler {
    pub(crate) catalog: Catalog,
    pub(crate) clock: Clock,
    pub(crate) alarms: Alarms,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) nudge: Arc<Notify>,
    /// Longest time for instances to start, where the endpoint configuration states none.
    pub(crate) load_timeout: Duration,
    pub(crate) actual: tokio::sync::Mutex<Actual>,
}

/// What is.
pub(crate) struct Actual {
    pub(super) standing: Standing,
    /// Loaded fleets that a status makes worth keeping, whether or not they take calls.
    loaded: BTreeMap<LoadKey, LoadedFleet>,
    loads: Loads,
    /// When the clock will have something new to say.
    wake_in: Option<Duration>,
}

/// What a pass leaves open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Open {
    /// Endpoints that were in service before and are still being loaded.
    pub(crate) recovering: usize,
    /// When something failed may be tried again.
    pub(crate) retry_at: Option<Instant>,
    /// When a wait is over, or alarms are looked at again.
    pub(crate) wake_in: Option<Duration>,
}

/// What an endpoint's row says from now on, beside its status.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) reason: Option<String>,
    pub(super) current: Option<Deployment>,
    pub(super) pending: Option<Deployment>,
    pub(super) rollout: Option<Rollout>,
}

/// What the old deployment does during an update.
pub(super) enum Old {
    Serving,
    Loading,
    Failed(String),
}

impl Actual {
    pub(crate) fn new(loads: Loads) -> Self {
        Self { standing: Standing::new(), loaded: BTreeMap::new(), loads, wake_in: None }
    }

    /// Asks for another pass no later than in that time.
    pub(super) fn wake_in(&mut self, wait: Duration) {
        self.wake_in = Some(self.wake_in.map_or(wait, |sooner| sooner.min(wait)));
    }
}

impl EndpointReconciler {
    /// One pass.
    pub(crate) async fn reconcile(&self) -> Result<Open, CatalogError> {
        let mut actual = self.actual.lock().await;
        actual.wake_in = None;
        let rows = self.catalog.run(|work| work.endpoints()).await?;
        let wanted: Vec<_> = rows.iter().flat_map(wanted_loads).collect();
        actual.loads.keep_only(&wanted);
        actual.loaded.retain(|key, _| wanted.contains(key));
        let mut open = Open { recovering: 0, retry_at: None, wake_in: None };
        let mut returning = BTreeSet::new();
        for row in &rows {
            self.reconcile_one(&mut actual, row).await?;
            let Some(current) = &row.current else { continue };
            if !actual.standing.contains_key(&row.id) && actual.loads.is_running(row.id) {
                returning.insert(row.name.clone());
            }
            if row.status == EndpointStatus::Failed {
                let retry_at = actual.loads.retry_at((row.id, current.id));
                open.retry_at = open.retry_at.into_iter().chain(retry_at).min();
            }
        }
        open.recovering = returning.len();
        self.publisher.publish_returning(returning);
        open.wake_in = actual.wake_in;
        Ok(open)
    }

    /// Runs until everything that was in service serves again or is known to have failed, but not beyond the
    /// deadline: what then still loads is out of service until it has loaded.
    pub(crate) async fn recover(&self, deadline: Instant) -> Result<(), CatalogError> {
        while self.reconcile().await?.recovering > 0 {
            if tokio::time::timeout_at(deadline, self.nudge.notified()).await.is_err() {
                return self.admit_unrecovered().await;
            }
        }
        Ok(())
    }

    async fn admit_unrecovered(&self) -> Result<(), CatalogError> {
        let actual = self.actual.lock().await;
        for row in self.catalog.run(|work| work.endpoints()).await? {
            if row.status == EndpointStatus::InService && !actual.standing.contains_key(&row.id) {
                let reason = Some("After a restart the endpoint is still being loaded.".to_owned());
                let told = Told { reason, current: row.current.clone(), ..Told::default() };
                self.change(&row, EndpointStatus::OutOfService, told).await?;
            }
        }
        Ok(())
    }

    async fn reconcile_one(&self, actual: &mut Actual, row: &EndpointRow) -> Result<(), CatalogError> {
        match (row.status, row.current.clone(), row.pending.clone()) {
            (EndpointStatus::Deleting, _, _) => self.remove(actual, row).await,
            (EndpointStatus::Creating, _, Some(pending)) => self.create(actual, row, pending).await,
            (EndpointStatus::Updating, Some(current), Some(pending)) if pending.models_of == Some(current.id) => {
                self.adjust(actual, row, (current, pending)).await
            }
            (EndpointStatus::Updating, Some(current), Some(pending)) => {
                self.move_traffic(actual, row, (current, pending)).await
            }
            (EndpointStatus::RollingBack, Some(current), _) => self.readjust(actual, row, current).await,
            (EndpointStatus::InService, Some(current), _) if self.is_served(actual, row, &current) => {
                self.follow_counts(actual, row, &current);
                Ok(())
            }
            (EndpointStatus::InService | EndpointStatus::OutOfService | EndpointStatus::Failed, Some(current), _) => {
                self.restore(actual, row, current).await
            }
            (EndpointStatus::UpdateRollbackFailed, Some(current), _) => {
                // After the failure old and new go on serving side by side; a restart brings back the old.
                self.restore_old(actual, row, &current, Capacity::new());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn remove(&self, actual: &mut Actual, row: &EndpointRow) -> Result<(), CatalogError> {
        if actual.standing.remove(&row.id).is_some() {
            self.publisher.publish(&actual.standing);
        }
        let name = row.name.clone();
        self.catalog.run(move |work| work.delete(ResourceKind::Endpoint, name.as_str())).await?;
        tracing::info!(endpoint = %row.name, "the endpoint is gone");
        Ok(())
    }

    async fn create(&self, actual: &mut Actual, row: &EndpointRow, pending: Deployment) -> Result<(), CatalogError> {
        match self.load(actual, row, &pending, Capacity::new()) {
            Progress::Loading => Ok(()),
            Progress::Loaded(fleet) => {
                self.serve(actual, row, &pending, fleet);
                let told = Told { current: Some(pending), ..Told::default() };
                self.change(row, EndpointStatus::InService, told).await
            }
            Progress::Failed(reason) => {
                let told = Told { reason: Some(reason), pending: Some(pending), ..Told::default() };
                self.change(row, EndpointStatus::Failed, told).await
            }
        }
    }

    /// What the old deployment does during an update: it serves, and after a restart it is loaded to serve again.
    pub(super) fn restore_old(
        &self,
        actual: &mut Actual,
        row: &EndpointRow,
        current: &Deployment,
        capacity: Capacity,
    ) -> Old {
        if actual.standing.contains_key(&row.id) {
            return Old::Serving;
        }
        match self.load(actual, row, current, capacity) {
            Progress::Loaded(fleet) => {
                self.serve(actual, row, current, fleet);
                Old::Serving
            }
            Progress::Loading => Old::Loading,
            Progress::Failed(reason) => Old::Failed(reason),
        }
    }

    /// Whether exactly that deployment takes all calls.
    pub(super) fn is_served(&self, actual: &Actual, row: &EndpointRow, current: &Deployment) -> bool {
        actual.standing.get(&row.id).is_some_and(|served| served.is_only(current.id))
    }

    /// Brings back what was in service before a restart.
    async fn restore(&self, actual: &mut Actual, row: &EndpointRow, current: Deployment) -> Result<(), CatalogError> {
        let served = actual.standing.get(&row.id).and_then(|served| served.fleet(current.id));
        let progress = match served {
            // The table had it, and the row did not get to say so.
            Some(fleet) => Progress::Loaded(fleet.loaded.clone()),
            None => {
                let wanted = Wanted { endpoint: &row.name, deployment: &current, capacity: Capacity::new() };
                actual.loads.retry((row.id, current.id), wanted)
            }
        };
        match (progress, row.status) {
            (Progress::Loaded(fleet), status) => {
                self.serve(actual, row, &current, fleet);
                if status == EndpointStatus::InService {
                    return Ok(());
                }
                let told = Told { current: Some(current), ..Told::default() };
                self.change(row, EndpointStatus::InService, told).await
            }
            (Progress::Failed(reason), EndpointStatus::InService | EndpointStatus::OutOfService) => {
                let reason = Some(format!("After a restart the endpoint could not be loaded again. {reason}"));
                let told = Told { reason, current: Some(current), ..Told::default() };
                self.change(row, EndpointStatus::Failed, told).await
            }
            _ => Ok(()),
        }
    }

    /// How far a deployment is: loaded, made of models that are loaded, or loading.
    pub(super) fn load(
        &self,
        actual: &mut Actual,
        row: &EndpointRow,
        deployment: &Deployment,
        capacity: Capacity,
    ) -> Progress {
        let key = (row.id, deployment.id);
        if let Some(fleet) = actual.loaded.get(&key) {
            return Progress::Loaded(fleet.clone());
        }
        let served = actual.standing.get(&row.id);
        if let Some(fleet) = served.and_then(|served| served.fleet(deployment.id)) {
            return Progress::Loaded(fleet.loaded.clone());
        }
        let same_models = deployment.models_of.and_then(|before| served?.fleet(before)?.loaded.as_in(deployment));
        if let Some(fleet) = same_models {
            return Progress::Loaded(fleet);
        }
        let progress = actual.loads.progress(key, Wanted { endpoint: &row.name, deployment, capacity });
        if let Progress::Loaded(fleet) = &progress {
            actual.loaded.insert(key, fleet.clone());
        }
        progress
    }

    /// Lets one deployment take all calls.
    pub(super) fn serve(&self, actual: &mut Actual, row: &EndpointRow, deployment: &Deployment, loaded: LoadedFleet) {
        let fleet = ServedFleet { deployment: deployment.id, weight: 1.0, loaded };
        self.serve_fleets(actual, row, deployment, vec![fleet]);
        tracing::info!(endpoint = %row.name, config = %deployment.config_name, "the endpoint serves");
    }

    /// Lets fleets share the calls; `settled` is the deployment that says how calls are taken.
    pub(super) fn serve_fleets(
        &self,
        actual: &mut Actual,
        row: &EndpointRow,
        settled: &Deployment,
        fleets: Vec<ServedFleet>,
    ) {
        let served = Served {
            name: row.name.clone(),
            region: row.region.clone(),
            fleets,
            async_inference: settled.asynchronous().map(Arc::new),
            metrics: settled.metrics(),
        };
        actual.standing.insert(row.id, served);
        self.publisher.publish(&actual.standing);
    }

    pub(super) async fn change(&self, row: &EndpointRow, to: EndpointStatus, told: Told) -> Result<(), CatalogError> {
        if let Some(reason) = &told.reason {
            tracing::warn!(endpoint = %row.name, status = to.as_str(), %reason, "the endpoint is not as it was asked for");
        }
        let change = StateChange {
            id: row.id,
            from: row.status,
            to,
            failure_reason: told.reason.map(|reason| bounded(&reason)),
            current: told.current,
            pending: told.pending,
            rollout: told.rollout,
            at: self.now(),
        };
        // When an operation was faster, the row is in another state now, and its nudge brings the next pass.
        self.catalog.run(move |work| work.change_endpoint(&change)).await?;
        self.nudge.notify_one();
        Ok(())
    }

    /// Now, in the precision in which clients see it.
    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_unix_us(self.clock.now().unix_us() / 1_000 * 1_000)
    }
}

/// The deployments of an endpoint that its status makes worth loading.
fn wanted_loads(row: &EndpointRow) -> Vec<LoadKey> {
    let deployments = match row.status {
        EndpointStatus::Deleting => [None, None],
        EndpointStatus::Creating | EndpointStatus::Updating => [row.current.as_ref(), row.pending.as_ref()],
        _ => [row.current.as_ref(), None],
    };
    deployments.into_iter().flatten().map(|deployment| (row.id, deployment.id)).collect()
}

pub(super) fn bounded(reason: &str) -> String {
    if reason.chars().count() <= FAILURE_REASON_MAX_LENGTH {
        return reason.to_owned();
    }
    reason.chars().take(FAILURE_REASON_MAX_LENGTH - 1).chain(['…']).collect()
}
