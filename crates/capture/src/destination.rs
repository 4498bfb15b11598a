//! Where records are to go, and whether they can.
//!
//! The archive finds out that a destination cannot be written and says so here; from then on its calls are served and
//! their records booked as `destination_unwritable`, until the archive says that it heals. A destination that merely fails
//! keeps its records in the journal, and is the first to get no more of them when that is nearly full.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use captura_names::{EndpointName, S3Uri};
use tokio::sync::watch;

use crate::ledger::DropReason;

/// A destination that streams use or used, or an endpoint's place in one: `{destination}/{endpoint}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Where.
    pub uri: S3Uri,
    /// Whether a stream uses it now; never so of an endpoint's place in a destination.
    pub active: bool,
    /// Why it cannot be written; `None` while it can.
    pub unwritable: Option<String>,
    /// Whether it fails now, so that its records stay in the journal.
    pub failing: bool,
    /// Whether the journal takes no more records for it, because it fails and the journal is nearly full.
    pub held_back: bool,
}

const UNWRITABLE: u8 = 1;
const HELD_BACK: u8 = 2;

/// Seen by every record on its way: one load.
#[derive(Debug, Default)]
pub(crate) struct Gate(AtomicU8);

impl Gate {
    /// Why no record passes, if so; `full` says what it is that is nearly full.
    pub(crate) fn shut(&self, full: impl FnOnce() -> DropReason) -> Option<DropReason> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            bits if bits & UNWRITABLE != 0 => Some(DropReason::DestinationUnwritable),
            _ => Some(full()),
        }
    }

    fn set(&self, bit: u8, shut: bool) {
        if shut {
            self.0.fetch_or(bit, Ordering::Relaxed)
        } else {
            self.0.fetch_and(!bit, Ordering::Relaxed)
        };
    }
}

#[derive(Debug, Default)]
struct Known {
    gate: Arc<Gate>,
    unwritable: Option<String>,
    failing: bool,
    /// Whether it is one endpoint's place in a destination.
    is_place: bool,
}

impl Known {
    fn is_of_interest(&self) -> bool {
        Arc::strong_count(&self.gate) > 1 || self.unwritable.is_some() || self.failing
    }
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

    /// The gates of a destination and of an endpoint's place in it, for a stream to keep.
    pub(crate) fn gates(&self, uri: &S3Uri, endpoint: &EndpointName) -> Vec<Arc<Gate>> {
        let place = uri.join(endpoint.as_str()).ok().map(|place| self.gate(&place, true));
        std::iter::once(self.gate(uri, false)).chain(place).collect()
    }

    fn gate(&self, uri: &S3Uri, is_place: bool) -> Arc<Gate> {
        let mut known = self.known();
        // Those that nobody uses and nobody complained about are forgotten, so the map stays as large as the table.
        known.retain(|_, destination| destination.is_of_interest());
        let destination = known.entry(uri.clone()).or_insert_with(|| Known { is_place, ..Known::default() });
        // What is somebody's place may be somebody else's destination.
        destination.is_place &= is_place;
        let gate = Arc::clone(&destination.gate);
        drop(known);
        self.changed.send_modify(|version| *version += 1);
        gate
    }

    pub(crate) fn mark(&self, uri: &S3Uri, unwritable: Option<String>) {
        let mut known = self.known();
        let destination = known.entry(uri.clone()).or_default();
        destination.gate.set(UNWRITABLE, unwritable.is_some());
        destination.unwritable = unwritable;
    }

    pub(crate) fn mark_failing(&self, uri: &S3Uri, failing: bool) {
        let mut known = self.known();
        let destination = known.entry(uri.clone()).or_default();
        destination.failing = failing;
        if !failing {
            destination.gate.set(HELD_BACK, false);
        }
    }

    /// Holds the records of failing destinations back, or no longer.
    pub(crate) fn hold_back(&self, held_back: bool) {
        for (uri, destination) in &*self.known() {
            let now = held_back && destination.failing;
            let before = destination.gate.0.load(Ordering::Relaxed) & HELD_BACK != 0;
            destination.gate.set(HELD_BACK, now);
            match (before, now) {
                (false, true) => {
                    tracing::warn!(destination = %uri, "the journal is nearly full; no more records are taken for a destination that fails")
                }
                (true, false) => tracing::info!(destination = %uri, "records are taken again"),
                _ => {}
            }
        }
    }

    pub(crate) fn list(&self) -> Vec<Destination> {
        let known = self.known();
        let listed = known.iter().map(|(uri, destination)| Destination {
            uri: uri.clone(),
            active: !destination.is_place && Arc::strong_count(&destination.gate) > 1,
            unwritable: destination.unwritable.clone(),
            failing: destination.failing,
            held_back: destination.gate.0.load(Ordering::Relaxed) & HELD_BACK != 0,
        });
        let mut listed: Vec<_> = listed.collect();
        listed.sort_by(|a, b| a.uri.cmp(&b.uri));
        listed
    }

    pub(crate) fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}
