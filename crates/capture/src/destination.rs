//! Where records are to go, and whether they can.
//!
//! The archive finds out that a destination cannot be written and says so here; from then on its calls are served and
//! their records booked as `destination_unwritable`, until the archive says that it heals.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use captura_names::S3Uri;
use tokio::sync::watch;

/// A destination that streams use or used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Where.
    pub uri: S3Uri,
    /// Whether a stream uses it now.
    pub active: bool,
    /// Why it cannot be written; `None` while it can.
    pub unwritable: Option<String>,
}

/// Seen by every record on its way: one load.
#[derive(Debug, Default)]
pub(crate) struct Gate(AtomicBool);

impl Gate {
    pub(crate) fn is_shut(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
struct Known {
    gate: Arc<Gate>,
    unwritable: Option<String>,
}

/// All destinations of a journal.
#[derive(Debug)]
pub(crate) struct Destinations {
    known: Mutex<HashMap<S3Uri, Known>>,
    changed: watch::Sender<u64>,
}

impl Destinations {
    pub(crate) fn new() -> Self {
        Self { known: Mutex::default(), changed: watch::channel(0).0 }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<S3Uri, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The gate of a destination, for a stream to keep.
    pub(crate) fn gate(&self, uri: &S3Uri) -> Arc<Gate> {
        let mut known = self.known();
        // Those that nobody uses and nobody complained about are forgotten, so the map stays as large as the table.
        known.retain(|_, destination| Arc::strong_count(&destination.gate) > 1 || destination.unwritable.is_some());
        let gate = Arc::clone(&known.entry(uri.clone()).or_default().gate);
        drop(known);
        self.changed.send_modify(|version| *version += 1);
        gate
    }

    pub(crate) fn mark(&self, uri: &S3Uri, unwritable: Option<String>) {
        let mut known = self.known();
        let destination = known.entry(uri.clone()).or_default();
        destination.gate.0.store(unwritable.is_some(), Ordering::Relaxed);
        destination.unwritable = unwritable;
    }

    pub(crate) fn list(&self) -> Vec<Destination> {
        let known = self.known();
        let listed = known.iter().map(|(uri, destination)| Destination {
            uri: uri.clone(),
            active: Arc::strong_count(&destination.gate) > 1,
            unwritable: destination.unwritable.clone(),
        });
        let mut listed: Vec<_> = listed.collect();
        listed.sort_by(|a, b| a.uri.cmp(&b.uri));
        listed
    }

    pub(crate) fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}
