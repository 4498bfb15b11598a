//! What is counted of an instance's calls: its answers, its errors, its time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use captura_route::{BackendError, InstanceFigures, Latency};

/// Counters of one instance.
#[derive(Debug, Default)]
pub(super) struct Tally {
    invocations: AtomicU64,
    errors_4xx: AtomicU64,
    errors_5xx: AtomicU64,
    model_errors: AtomicU64,
    latency: Latency,
}

impl Tally {
    /// Counts a call that ended.
    pub(super) fn ended(&self, error: Option<&BackendError>, took: Duration) {
        let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        count(&self.invocations);
        self.latency.observe(took);
        let Some(error) = error else { return };
        count(&self.model_errors);
        match error.parts().1 {
            BackendError::Model { status: ..500, .. } => drop(count(&self.errors_4xx)),
            BackendError::Model { .. } => drop(count(&self.errors_5xx)),
            _ => {}
        }
    }

    pub(super) fn read(&self, id: &str) -> InstanceFigures {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        InstanceFigures {
            id: id.into(),
            invocations: read(&self.invocations),
            errors_4xx: read(&self.errors_4xx),
            errors_5xx: read(&self.errors_5xx),
            model_errors: read(&self.model_errors),
            model_latency: self.latency.read(),
        }
    }
}
