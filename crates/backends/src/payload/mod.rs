//! What callers send and what they get back, apart from any model: request bodies become a [`Table`], predictions become
//! a body of the media type asked for.
//!
//! Request bodies by content type (parameters are read, case does not matter):
//!
//! | content type | body |
//! | --- | --- |
//! | `text/csv`, `csv`, none, `application/octet-stream` | rows of cells; `; header=present` names the columns by the first line |
//! | `application/json`, `json` | `{"instances": …}`, `{"inputs": …}`, `{"dataframe_split": {"columns", "data"}}`, `{"dataframe_records": […]}`, `{"features": […]}`, plain arrays |
//! | `application/jsonlines` and its aliases | one row a line: an array, an object of named columns, `{"features": […]}` |
//!
//! libsvm ([`SparseRows`]) and Python's notation ([`PythonValue`]) are there for models that stand for SageMaker's own
//! XGBoost container.
//!
//! A call without a content type is CSV. `application/octet-stream` means the same,
//! because that is what some SDKs send when the caller names no type.
//!
//! Answers by `Accept`: `text/csv` (also for `*/*` and none), `application/json`, `application/jsonlines`.
//!
//! Invariant: decoding takes any bytes without panicking, and what it allocates is bounded by the size of the body.
//! Refuses to: know models, guess at misspelt columns, or answer in a type that was not asked for.

mod csv;
mod encode;
mod json;
mod json_rows;
mod libsvm;
mod media;
mod number;
mod python;
mod refusal;
mod table;
#[cfg(test)]
mod tests;

pub use encode::{Output, Predictions, Values, encode};
pub use libsvm::SparseRows;
pub use media::{ContentType, Format};
pub use python::PythonValue;
pub use refusal::Refusal;
pub use table::{Cell, Cells, Table};

/// Cells that a body may leave out (sparse records) before its size in bytes sets the limit.
const SPARSE_CELLS: usize = 1 << 20;

/// Decodes a request body by its content type.
///
/// # Errors
/// 415 for a content type that is not in the table above, 400 for a body that does not keep to it.
pub fn decode(body: &[u8], content_type: Option<&str>, cells: Cells) -> Result<Table, Refusal> {
    match ContentType::parse(content_type)? {
        ContentType::Csv { header } => csv::decode(body, header, cells),
        ContentType::Json => json::decode(body, cells),
        ContentType::JsonLines => json::decode_lines(body, cells),
    }
}

/// Most cells that a table decoded from `body` may have: a cell that is there takes a byte at least, so an honest dense
/// body never meets this limit, and a few bytes of sparse records cannot ask for gigabytes.
fn cell_limit(body: &[u8]) -> usize {
    body.len().max(SPARSE_CELLS)
}
