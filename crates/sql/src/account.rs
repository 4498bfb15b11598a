//! The account of what a question read.
//!
//! Invariant: every record is counted once, as used or as bad, whichever thread reads it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Bad records that are described one by one; all are counted.
const DESCRIBED_MAX: usize = 100;

/// What was read so far; shared by all threads of a question.
#[derive(Debug, Default)]
pub struct Account {
    objects: AtomicU64,
    bytes: AtomicU64,
    records: AtomicU64,
    bad: AtomicU64,
    unread: AtomicU64,
    described: Mutex<Vec<String>>,
    first_unread: Mutex<Option<String>>,
}

/// A state of the account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Objects that were fetched, or a part of them.
    pub objects: u64,
    /// Bytes that were fetched.
    pub bytes: u64,
    /// Records: captured lines, or rows of files.
    pub records: u64,
    /// Records that could not be read.
    pub bad: u64,
    /// The first of them, by address and byte.
    pub described: Vec<String>,
    /// Rows that hold a value which their columns could not take; it is null there.
    pub unread: u64,
    /// Why, of one of them.
    pub first_unread: Option<String>,
}

impl Account {
    /// How things stand.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        let mut described = self.described.lock().unwrap_or_else(PoisonError::into_inner).clone();
        described.sort();
        Tally {
            objects: count(&self.objects),
            bytes: count(&self.bytes),
            records: count(&self.records),
            bad: count(&self.bad),
            described,
            unread: count(&self.unread),
            first_unread: self.first_unread.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    pub(crate) fn object(&self) {
        self.objects.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn records(&self, records: u64) {
        self.records.fetch_add(records, Ordering::Relaxed);
    }

    pub(crate) fn bad(&self, address: &str, at: u64, reason: &str) {
        self.bad.fetch_add(1, Ordering::Relaxed);
        let mut described = self.described.lock().unwrap_or_else(PoisonError::into_inner);
        if described.len() < DESCRIBED_MAX {
            described.push(format!("{address} byte {at}: {reason}"));
        }
    }

    pub(crate) fn unread(&self, rows: u64, first: Option<&str>) {
        self.unread.fetch_add(rows, Ordering::Relaxed);
        if let Some(first) = first {
            let mut known = self.first_unread.lock().unwrap_or_else(PoisonError::into_inner);
            known.get_or_insert_with(|| first.to_owned());
        }
    }
}
