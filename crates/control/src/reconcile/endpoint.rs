//! Makes what is served follow what the catalog says of endpoints.
//!
//! ```text
//! Creating → InService | Failed          the table has the endpoint before the row says InService
//! Updating → InService                   with the new deployment, or with the old one and a reason
//! Deleting → gone                        the table lacks the endpoint before the row goes
//! InService, but not loaded (restart)    loaded again, or Failed; tried again later, as the reason may pass
//! OutOfService                           a restart did not wait any longer; InService or Failed when the load ends
//! ```
//!
//! Invariant: a row says InService only while the table has the endpoint, except between the start of the process and
//! the end of [`EndpointReconciler::recover`]; old models serve until the table with the new ones is out.

use std::collections::BTreeMap;
use std::sync::Arc;

use captura_route::{Clock, Variant};
use captura_wire::hosting::EndpointStatus;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::loads::{LoadKey, Loads, Progress};
use crate::catalog::{Catalog, CatalogError, EndpointRow, StateChange};
use crate::deployment::Deployment;
use crate::publish::{Publisher, Served};

/// Longest failure reason, characters.
const FAILURE_REASON_MAX_LENGTH: usize = 1_024;

/// The reconciler of endpoints.
pub(crate) struct EndpointReconciler {
    pub(crate) catalog: Catalog,
    pub(crate) clock: Clock,
    pub(crate) publisher: Publisher,
    pub(crate) nudge: Arc<Notify>,
    pub(crate) actual: tokio::sync::Mutex<Actual>,
}

/// What is.
pub(crate) struct Actual {
    served: BTreeMap<i64, Served>,
    loads: Loads,
}

/// What a pass leaves open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Open {
    /// Endpoints that were in service before and are still being loaded.
    pub(crate) recovering: usize,
    /// When something failed may be tried again.
    pub(crate) retry_at: Option<Instant>,
}

/// What the old deployment does during an update.
enum Old {
    Serving,
    Loading,
    Failed(String),
}

impl Actual {
    pub(crate) fn new(loads: Loads) -> Self {
        Self { served: BTreeMap::new(), loads }
    }

    fn is_serving(&self, id: i64, deployment: &Deployment) -> bool {
        self.served.get(&id).is_some_and(|served| served.deployment == deployment.id)
    }
}

impl EndpointReconciler {
    /// One pass.
    pub(crate) async fn reconcile(&self) -> Result<Open, CatalogError> {
        let mut actual = self.actual.lock().await;
        let rows = self.catalog.run(|work| work.endpoints()).await?;
        actual.loads.keep_only(&rows.iter().flat_map(wanted_loads).collect::<Vec<_>>());
        let mut open = Open { recovering: 0, retry_at: None };
        for row in &rows {
            self.reconcile_one(&mut actual, row).await?;
            let Some(current) = &row.current else { continue };
            let is_served = actual.served.contains_key(&row.id);
            open.recovering += usize::from(!is_served && actual.loads.is_running(row.id));
            if row.status == EndpointStatus::Failed {
                let retry_at = actual.loads.retry_at((row.id, current.id));
                open.retry_at = open.retry_at.into_iter().chain(retry_at).min();
            }
        }
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
            if row.status == EndpointStatus::InService && !actual.served.contains_key(&row.id) {
                let reason = "After a restart the endpoint is still being loaded.".to_owned();
                self.change(&row, EndpointStatus::OutOfService, (Some(reason), row.current.clone(), None)).await?;
            }
        }
        Ok(())
    }

    async fn reconcile_one(&self, actual: &mut Actual, row: &EndpointRow) -> Result<(), CatalogError> {
        match (row.status, row.current.clone(), row.pending.clone()) {
            (EndpointStatus::Deleting, _, _) => self.remove(actual, row).await,
            (EndpointStatus::Creating, _, Some(pending)) => self.create(actual, row, pending).await,
            (EndpointStatus::Updating, Some(current), Some(pending)) => {
                self.update(actual, row, (current, pending)).await
            }
            (EndpointStatus::InService | EndpointStatus::OutOfService | EndpointStatus::Failed, Some(current), _) => {
                self.restore(actual, row, current).await
            }
            _ => Ok(()),
        }
    }

    async fn remove(&self, actual: &mut Actual, row: &EndpointRow) -> Result<(), CatalogError> {
        if actual.served.remove(&row.id).is_some() {
            self.publisher.publish(&actual.served);
        }
        let name = row.name.clone();
        self.catalog.run(move |work| work.delete(captura_names::ResourceKind::Endpoint, name.as_str())).await?;
        tracing::info!(endpoint = %row.name, "the endpoint is gone");
        Ok(())
    }

    async fn create(&self, actual: &mut Actual, row: &EndpointRow, pending: Deployment) -> Result<(), CatalogError> {
        match self.load(actual, row, &pending) {
            Progress::Loading => Ok(()),
            Progress::Loaded(variants) => {
                self.serve(actual, row, &pending, variants);
                self.change(row, EndpointStatus::InService, (None, Some(pending), None)).await
            }
            Progress::Failed(reason) => {
                self.change(row, EndpointStatus::Failed, (Some(reason), None, Some(pending))).await
            }
        }
    }

    /// Loads the new deployment beside the old one.
    async fn update(
        &self,
        actual: &mut Actual,
        row: &EndpointRow,
        (current, pending): (Deployment, Deployment),
    ) -> Result<(), CatalogError> {
        let old = self.restore_old(actual, row, &current);
        if matches!(old, Old::Loading) && pending.models_of == Some(current.id) {
            return Ok(());
        }
        match (self.load(actual, row, &pending), old) {
            (Progress::Loading, _) => Ok(()),
            (Progress::Loaded(variants), _) => {
                self.serve(actual, row, &pending, variants);
                let pending = Deployment { models_of: None, ..pending };
                self.change(row, EndpointStatus::InService, (None, Some(pending), None)).await
            }
            (Progress::Failed(reason), Old::Serving) => {
                let reason = format!(
                    "The update to endpoint configuration {} failed, and the endpoint goes on with {}. {reason}",
                    pending.config_name, current.config_name
                );
                self.change(row, EndpointStatus::InService, (Some(reason), Some(current), None)).await
            }
            (Progress::Failed(_), Old::Loading) => Ok(()),
            (Progress::Failed(new), Old::Failed(old)) => {
                let reason = format!("Neither the new nor the old configuration can be served. {new} / {old}");
                self.change(row, EndpointStatus::Failed, (Some(reason), Some(current), None)).await
            }
        }
    }

    /// What the old deployment does during an update: it serves, and after a restart it is loaded to serve again.
    fn restore_old(&self, actual: &mut Actual, row: &EndpointRow, current: &Deployment) -> Old {
        if actual.served.contains_key(&row.id) {
            return Old::Serving;
        }
        match self.load(actual, row, current) {
            Progress::Loaded(variants) => {
                self.serve(actual, row, current, variants);
                Old::Serving
            }
            Progress::Loading => Old::Loading,
            Progress::Failed(reason) => Old::Failed(reason),
        }
    }

    /// Brings back what was in service before a restart.
    async fn restore(&self, actual: &mut Actual, row: &EndpointRow, current: Deployment) -> Result<(), CatalogError> {
        if actual.is_serving(row.id, &current) && row.status == EndpointStatus::InService {
            return Ok(());
        }
        let progress = match actual.served.get(&row.id).filter(|served| served.deployment == current.id) {
            // The table had it, and the row did not get to say so.
            Some(served) => Progress::Loaded(served.variants.clone()),
            None => actual.loads.retry((row.id, current.id), &row.name, &current),
        };
        match (progress, row.status) {
            (Progress::Loaded(variants), status) => {
                self.serve(actual, row, &current, variants);
                if status == EndpointStatus::InService {
                    return Ok(());
                }
                self.change(row, EndpointStatus::InService, (None, Some(current), None)).await
            }
            (Progress::Failed(reason), EndpointStatus::InService | EndpointStatus::OutOfService) => {
                let reason = format!("After a restart the endpoint could not be loaded again. {reason}");
                self.change(row, EndpointStatus::Failed, (Some(reason), Some(current), None)).await
            }
            _ => Ok(()),
        }
    }

    /// How far a deployment is: already serving, made of models that serve, or loading.
    fn load(&self, actual: &mut Actual, row: &EndpointRow, deployment: &Deployment) -> Progress {
        if let Some(served) = actual.served.get(&row.id) {
            if served.deployment == deployment.id {
                return Progress::Loaded(served.variants.clone());
            }
            if deployment.models_of == Some(served.deployment)
                && let Some(variants) = with_new_weights(&served.variants, deployment)
            {
                return Progress::Loaded(variants);
            }
        }
        actual.loads.progress((row.id, deployment.id), &row.name, deployment)
    }

    fn serve(&self, actual: &mut Actual, row: &EndpointRow, deployment: &Deployment, variants: Vec<Variant>) {
        let served = Served { deployment: deployment.id, name: row.name.clone(), region: row.region.clone(), variants };
        actual.served.insert(row.id, served);
        self.publisher.publish(&actual.served);
        tracing::info!(endpoint = %row.name, config = %deployment.config_name, "the endpoint serves");
    }

    async fn change(
        &self,
        row: &EndpointRow,
        to: EndpointStatus,
        (reason, current, pending): (Option<String>, Option<Deployment>, Option<Deployment>),
    ) -> Result<(), CatalogError> {
        if let Some(reason) = &reason {
            tracing::warn!(endpoint = %row.name, status = to.as_str(), %reason, "the endpoint could not be brought up");
        }
        let change = StateChange {
            id: row.id,
            from: row.status,
            to,
            failure_reason: reason.map(|reason| bounded(&reason)),
            current,
            pending,
            at: captura_names::Timestamp::from_unix_us(self.clock.now().unix_us() / 1_000 * 1_000),
        };
        // When an operation was faster, the row is in another state now, and its nudge brings the next pass.
        self.catalog.run(move |work| work.change_endpoint(&change)).await?;
        self.nudge.notify_one();
        Ok(())
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

/// The same models under other weights; `None` when a variant has no model there.
fn with_new_weights(variants: &[Variant], deployment: &Deployment) -> Option<Vec<Variant>> {
    let with_weight = |wanted: &crate::deployment::DeployedVariant| {
        let variant = variants.iter().find(|variant| variant.name == wanted.name)?;
        Some(Variant { weight: wanted.weight, ..variant.clone() })
    };
    deployment.variants.iter().map(with_weight).collect()
}

fn bounded(reason: &str) -> String {
    if reason.chars().count() <= FAILURE_REASON_MAX_LENGTH {
        return reason.to_owned();
    }
    reason.chars().take(FAILURE_REASON_MAX_LENGTH - 1).chain(['…']).collect()
}
