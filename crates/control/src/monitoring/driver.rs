//! Runs the reconciler of monitors: after each pass of the other driver, when an execution is due, and now and then in any
//! case. It is a driver of its own because a store that does not answer must hold up no endpoint.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::reconcile::monitoring::MonitoringReconciler;

/// Longest time without a pass; clocks of machines are set, and timers do not notice.
const IDLE: Duration = Duration::from_secs(15);
/// Shortest time between two passes.
const REST: Duration = Duration::from_millis(100);
/// Wait after a pass that failed, e.g. because the disk is full.
const BACK_OFF: Duration = Duration::from_secs(5);

/// Everything that it runs with.
pub(crate) struct MonitorDriver {
    pub(crate) reconciler: Arc<MonitoringReconciler>,
    pub(crate) nudge: Arc<Notify>,
    pub(crate) stop: watch::Receiver<bool>,
}

impl MonitorDriver {
    /// Runs until `stop` becomes true.
    pub(crate) async fn run(&mut self) {
        let Self { reconciler, nudge, stop } = self;
        loop {
            // A pass may be left at any point: what it writes is written whole, and a store may take its time.
            let pass = tokio::select! {
                pass = reconciler.reconcile() => pass,
                _ = stop.wait_for(|stopped| *stopped) => return,
            };
            let wait = match pass {
                Ok(look_at) => {
                    let now = reconciler.clock.now().unix_us();
                    let until = look_at.map(|at| u64::try_from(at.unix_us() - now).unwrap_or(0));
                    until.map_or(IDLE, |us| Duration::from_micros(us).clamp(REST, IDLE))
                }
                Err(error) => {
                    tracing::error!(%error, "a pass over the monitoring schedules failed");
                    BACK_OFF
                }
            };
            tokio::select! {
                () = nudge.notified() => {}
                () = tokio::time::sleep(wait) => {}
                // An error means that control is gone, which is a reason to stop as well.
                _ = stop.wait_for(|stopped| *stopped) => return,
            }
        }
    }
}
