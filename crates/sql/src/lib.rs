//! SQL over captures, the invocation table, and plain files: DataFusion, fed by the archive's reader.
//!
//! ```text
//! addresses → source (what is there) → inference (columns, of a sample) → provider (a table) → scan (objects to batches)
//!                                                                            ↑ pruning: keys that the question excludes
//! ```
//! Captured lines have the columns of the invocation table (`docs/table.md`), so one question works on both.
//!
//! Invariant: nothing but the named addresses is read and nothing is written; a record that cannot be read is counted, never
//! fatal; an object that cannot be fetched is an error, never a hole in the answer.
//! Refuses to: change anything. This is the only room that knows DataFusion.

mod account;
mod decoding;
mod error;
mod inference;
mod listing;
pub mod output;
mod pieces;
mod provider;
mod pruning;
mod question;
mod scan;
mod source;
mod tables;
mod trouble;

pub use account::{Account, Tally};
pub use error::SqlError;
pub use inference::{SAMPLE_RECORDS, Sample};
pub use question::{Answer, MEMORY_BYTES, Question, ask};
pub use source::From;

#[cfg(test)]
mod tests;
