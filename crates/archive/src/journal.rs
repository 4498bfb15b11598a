//! What the uploader needs of the journal, as a seam that tests can break.
//!
//! Invariant: `let_go` is the only way in which a segment leaves the journal.

use captura_capture::journal::reader::{Damage, SegmentReader};
use captura_capture::record::Record;
use captura_capture::{Capture, Departure, SealedSegment, SegmentName};
use captura_names::S3Uri;
use tokio::sync::watch;

use crate::runs::Runs;

/// Records of a segment in log order, and what of it cannot be read.
pub type Items = Box<dyn Iterator<Item = Result<Record, Damage>>>;

/// How much of the journal waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// What the journal holds, sealed or not, bytes.
    pub bytes: u64,
    /// What it may hold before it drops records, bytes.
    pub limit_bytes: u64,
}

/// The journal, seen from the archive.
pub trait Journal: Send + Sync {
    /// Segments that are sealed and not freed.
    fn sealed(&self) -> Vec<SealedSegment>;
    /// Changes whenever `sealed` does.
    fn sealed_changed(&self) -> watch::Receiver<u64>;
    /// How much waits, and how much may.
    fn backlog(&self) -> Backlog;
    /// Reads a sealed segment.
    ///
    /// # Errors
    /// When it cannot be opened.
    fn read(&self, segment: &SealedSegment) -> Result<Items, String>;
    /// Makes a part of a sealed segment with these records; it counts once `let_go` names it. Safe to repeat.
    ///
    /// # Errors
    /// When the segment does not give them, or the disk fails.
    fn carry(&self, segment: &SegmentName, numbers: &Runs) -> Result<SealedSegment, String>;
    /// Lets a segment go: its manifest is durable and says what became of its records. Safe to repeat.
    ///
    /// # Errors
    /// When the disk fails.
    fn let_go(&self, segment: &SegmentName, departure: &Departure<'_>) -> Result<(), String>;
    /// Destinations that calls are captured for now.
    fn destinations(&self) -> Vec<S3Uri>;
    /// Says that a destination cannot be written and why, or with `None` that it can again.
    fn mark_destination(&self, destination: &S3Uri, unwritable: Option<String>);
    /// Says whether a destination fails now: its records stay in the journal for a while.
    fn mark_failing(&self, destination: &S3Uri, failing: bool);
}

impl Journal for Capture {
    fn sealed(&self) -> Vec<SealedSegment> {
        Self::sealed(self)
    }

    fn sealed_changed(&self) -> watch::Receiver<u64> {
        Self::sealed_changed(self)
    }

    fn backlog(&self) -> Backlog {
        Backlog { bytes: self.journal_bytes(), limit_bytes: self.journal_max_bytes() }
    }

    fn read(&self, segment: &SealedSegment) -> Result<Items, String> {
        let reader = SegmentReader::open(&segment.path).map_err(|error| error.to_string())?;
        Ok(Box::new(reader))
    }

    fn carry(&self, segment: &SegmentName, numbers: &Runs) -> Result<SealedSegment, String> {
        Self::carry(self, segment, numbers).map_err(|error| error.to_string())
    }

    fn let_go(&self, segment: &SegmentName, departure: &Departure<'_>) -> Result<(), String> {
        Self::let_go(self, segment, departure).map_err(|error| error.to_string())
    }

    fn destinations(&self) -> Vec<S3Uri> {
        let all = Self::destinations(self);
        all.into_iter().filter(|destination| destination.active).map(|destination| destination.uri).collect()
    }

    fn mark_destination(&self, destination: &S3Uri, unwritable: Option<String>) {
        match unwritable {
            Some(why) => self.mark_unwritable(destination, why),
            None => self.mark_writable(destination),
        }
    }

    fn mark_failing(&self, destination: &S3Uri, failing: bool) {
        Self::mark_failing(self, destination, failing);
    }
}
