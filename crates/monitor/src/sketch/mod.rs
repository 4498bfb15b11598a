//! Small summaries that can be merged: quantiles and distinct counts.
//!
//! Invariant: no randomness and no process-dependent hashing, so the same values in the same order give the same bytes.

mod hyperloglog;
mod kll;
mod order;
mod quartering;

pub use hyperloglog::HyperLogLog;
pub(crate) use kll::MANY_ROWS;
pub use kll::{Bucket, InvalidSketch, Kll, SHRINKING_FACTOR, SKETCH_SIZE};
