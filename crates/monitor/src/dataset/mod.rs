//! Captured JSON lines and CSV to Arrow batches.
//!
//! Rows are output columns first, then input columns, as SageMaker's analyser lays them. Invariant: bad records are
//! counted and described, never fatal; the same bytes give the same batches. Refuses to: do IO, interpret values.

mod batch;
mod body;
mod cell;
mod column;
mod csv_rows;
mod digits;
mod explained;
pub mod fuzz;
mod header;
mod json_rows;
mod kept;
mod layout;
mod marks;
mod naming;
mod open_inference;
mod parquet;
mod plain_json;
mod reader;
pub mod record;
mod scanner;
mod scope;
mod sink;
mod staging;
mod table_rows;
mod tally;

pub(crate) use batch::number_text;
pub use batch::{BATCH_ROWS, Batch, Call, Columns, Kinds};
pub use body::{Body, Pair, Row, pairs};
pub use cell::Cell;
pub(crate) use cell::{Parsed, number};
pub(crate) use csv_rows::{closing_quote, each_row as each_csv_row, opening_quote};
pub use header::Header;
pub use naming::{InvalidNaming, Naming};
pub use plain_json::{is_captured, plain_row};
pub use reader::{Plan, Reader};
pub(crate) use scope::is_own;
pub use scope::{OWN_INFERENCE_ID, Scope};
pub use sink::Sink;
pub use table_rows::{TableForm, each_table_row};
pub use tally::{BadRecord, MAX_DESCRIBED, Matching, Tally};

/// Longest row that is taken in, bytes of its text.
pub const MAX_ROW_BYTES: usize = 64 << 20;
/// Most columns a data set may have.
pub const MAX_COLUMNS: usize = 100_000;

#[cfg(test)]
mod tests;
