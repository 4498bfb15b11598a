//! Runs the reconcilers: at a nudge, when something may be tried again, and now and then in any case.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::catalog::CatalogError;
use crate::reconcile::endpoint::{EndpointReconciler, Open};
use crate::reconcile::inference_component::ComponentReconciler;
use crate::reconcile::managed::InstanceReconciler;
use crate::reconcile::processing_job::JobReconciler;

/// Longest time without a pass, in case a nudge was lost to a bug.
const IDLE: Duration = Duration::from_secs(60);
/// First wait after a pass that failed, e.g. because the disk is full.
const BACK_OFF_FIRST: Duration = Duration::from_millis(250);
/// Longest such wait.
const BACK_OFF_MAX: Duration = Duration::from_secs(30);

/// What is run.
pub(crate) struct Reconcilers {
    pub(crate) endpoints: Arc<EndpointReconciler>,
    pub(crate) components: Arc<ComponentReconciler>,
    pub(crate) instances: InstanceReconciler,
    pub(crate) jobs: Arc<JobReconciler>,
    /// Wakes the driver of monitors, whose executions wait for jobs.
    pub(crate) monitors: Arc<Notify>,
}

impl Reconcilers {
    /// One pass of each; components come after the endpoints that they share.
    async fn reconcile(&self) -> Result<Open, CatalogError> {
        let mut open = self.endpoints.reconcile().await?;
        self.components.reconcile().await?;
        self.instances.reconcile().await?;
        self.jobs.reconcile().await?;
        self.monitors.notify_one();
        open.retry_at = open.retry_at.into_iter().chain(self.components.look_at().await).min();
        Ok(open)
    }
}

/// Everything that it runs with.
pub(crate) struct Driver {
    pub(crate) reconcilers: Reconcilers,
    pub(crate) nudge: Arc<Notify>,
    pub(crate) stop: watch::Receiver<bool>,
}

impl Driver {
    /// Runs until `stop` becomes true.
    pub(crate) async fn run(&mut self) {
        let Self { reconcilers, nudge, stop } = self;
        let mut back_off = BACK_OFF_FIRST;
        loop {
            let wake_at = match reconcilers.reconcile().await {
                Ok(open) => {
                    back_off = BACK_OFF_FIRST;
                    let now = Instant::now();
                    let looks = [open.retry_at, open.wake_in.map(|wait| now + wait), Some(now + IDLE)];
                    let soonest = looks.into_iter().flatten().min().unwrap_or(now + IDLE);
                    // Never at once: a pass that leaves something open must not spin.
                    soonest.max(now + BACK_OFF_FIRST)
                }
                Err(error) => {
                    tracing::error!(%error, retry_in_ms = back_off.as_millis() as u64, "a pass over the endpoints failed");
                    let wake_at = Instant::now() + back_off;
                    back_off = (back_off * 2).min(BACK_OFF_MAX);
                    wake_at
                }
            };
            tokio::select! {
                () = nudge.notified() => {}
                () = tokio::time::sleep_until(wake_at) => {}
                // An error means that control is gone, which is a reason to stop as well.
                _ = stop.wait_for(|stopped| *stopped) => return,
            }
        }
    }
}
