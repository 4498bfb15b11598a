//! Whether what was captured until a moment has left the journal: asked by those who look at objects and must not look
//! too early.
//!
//! Invariant: what was handed in before a mark's moment lies before the mark. A mark may say of a few later records that they
//! lie before it; that costs a moment, and no record.
//! Refuses to: wait.

use std::time::Duration;

use crate::capture::Capture;
use crate::journal::segment::SegmentName;
use crate::journal::writer::lock;

/// A place in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The last segment that may hold records of before; none where nothing does.
    last: Option<(u32, u64)>,
}

impl Mark {
    fn covers(self, segment: SegmentName) -> bool {
        self.last.is_some_and(|last| (segment.epoch, segment.sequence) <= last)
    }
}

impl Capture {
    /// A mark behind everything that was handed in that long ago or before; of all that is handed in so far when it is
    /// zero.
    #[must_use]
    pub fn mark(&self, ago: Duration) -> Mark {
        let shared = &self.0.shared;
        let line = lock(&shared.line);
        let filled = |name: SegmentName| (name.epoch, name.sequence);
        let current = line.current.as_ref().and_then(|current| {
            let first = current.first_record_at?;
            (current.records > 0 && first.elapsed() >= ago).then(|| filled(current.segment.name))
        });
        let leaving = line.retired.iter().map(|segment| segment.name).chain(line.sealing.iter().copied());
        let last = current.into_iter().chain(leaving.map(filled)).max();
        drop(line);
        let sealed = lock(&shared.books).sealed.keys().copied().map(filled).max();
        Mark { last: last.max(sealed) }
    }

    /// Whether the journal still has records of an endpoint from before the mark, or cannot tell that it has none.
    #[must_use]
    pub fn holds_before(&self, mark: Mark, endpoint: &str) -> bool {
        let shared = &self.0.shared;
        // The line first: what leaves it is in the books before.
        let line = lock(&shared.line);
        let open = line.current.as_ref().filter(|current| current.records > 0).map(|current| current.segment.name);
        let leaving = line.retired.iter().map(|segment| segment.name).chain(line.sealing.iter().copied());
        if open.into_iter().chain(leaving).any(|name| mark.covers(name)) {
            return true;
        }
        drop(line);
        let books = lock(&shared.books);
        let mut sealed = books.sealed.values().filter(|segment| mark.covers(segment.name));
        sealed.any(|segment| segment.accounts.iter().any(|account| account.endpoint == endpoint))
    }
}
