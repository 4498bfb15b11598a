//! What the archive has done and how far it is behind, for metrics and people.

use std::sync::{Arc, Mutex, PoisonError};

use captura_names::Timestamp;
use serde::Serialize;

use crate::destinations::DestinationHealth;
use crate::put::Placed;

/// The archive at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ArchiveFigures {
    /// Sealed segments whose objects are not all confirmed.
    pub segments_waiting: u64,
    /// When the oldest of them was sealed; the archive's lag counts from here. `None` when nothing waits.
    pub waiting_since: Option<Timestamp>,
    /// Segments confirmed and freed since the start.
    pub segments_archived: u64,
    /// Segments that went while a part of each stayed for a failing destination, since the start.
    pub segments_carried: u64,
    /// Records given up to make room since the start.
    pub records_evicted: u64,
    /// Objects written since the start.
    pub objects_created: u64,
    /// Objects that an earlier attempt had already written.
    pub objects_found: u64,
    /// Objects that replaced something else under their key.
    pub objects_replaced: u64,
    /// Bytes of confirmed objects since the start.
    pub bytes_uploaded: u64,
    /// Records in confirmed objects since the start.
    pub records_uploaded: u64,
    /// Parts of tables that were given up since the start; the captured objects have their records.
    pub table_parts_given_up: u64,
    /// Attempts that failed since the start: of a destination, a segment, the manifest or the freeing.
    pub errors: u64,
    /// What the last failure said.
    pub last_error: Option<String>,
    /// Destinations, by address.
    pub destinations: Vec<DestinationHealth>,
}

impl ArchiveFigures {
    /// Seconds that the oldest waiting segment has waited; 0 when nothing waits.
    #[must_use]
    pub fn lag_seconds(&self, now: Timestamp) -> f64 {
        self.waiting_since.map_or(0.0, |since| (now.unix_us() - since.unix_us()).max(0) as f64 / 1e6)
    }
}

/// Shared view of the figures of a running uploader.
#[derive(Debug, Clone, Default)]
pub struct Figures(Arc<Mutex<ArchiveFigures>>);

impl Figures {
    /// The figures now.
    #[must_use]
    pub fn snapshot(&self) -> ArchiveFigures {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut ArchiveFigures)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn placed(&self, placed: Placed, bytes: u64, records: u64) {
        self.change(|figures| {
            match placed {
                Placed::Created => figures.objects_created += 1,
                Placed::AlreadyThere => figures.objects_found += 1,
                Placed::Replaced => figures.objects_replaced += 1,
            }
            figures.bytes_uploaded += bytes;
            figures.records_uploaded += records;
        });
    }

    pub(crate) fn failed(&self, error: &str) {
        self.change(|figures| {
            figures.errors += 1;
            figures.last_error = Some(error.to_owned());
        });
    }
}
