//! Where the reader leaves what it has read.
//!
//! Invariant: a sink hears of a call before the batch with its rows, and all rows of a call are in one batch.

use super::batch::{Batch, Call};

/// Takes batches, and hears of the calls that their rows come from.
pub trait Sink {
    /// Whether it wants to hear of calls; who does not is not told the time of them.
    const HEARS: bool = false;

    /// Takes the rows of the calls that it heard of since the last batch.
    fn batch(&mut self, batch: Batch);

    /// Hears of a call, or of a row of a file, with this many rows in the batch that comes next.
    fn call(&mut self, call: &Call<'_>, rows: u32) {
        let _ = (call, rows);
    }
}

impl<F: FnMut(Batch)> Sink for F {
    fn batch(&mut self, batch: Batch) {
        self(batch);
    }
}
