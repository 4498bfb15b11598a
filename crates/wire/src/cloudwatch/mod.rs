//! CloudWatch on the wire: one set of shapes, three protocols.
//!
//! The service model lists `smithy-rpc-v2-cbor`, `json` and `query`, and every client picks its own: botocore takes JSON
//! 1.0 with `x-amzn-query-mode`, the newest SDKs take CBOR, older ones the form-encoded query protocol. An input is read
//! into one JSON object whatever it came in, checked against one schema, and an output is written from one tree.
//!
//! Invariant: what a client sends in one protocol means the same in the others, errors included: the old codes of the
//! query protocol travel in `x-amzn-query-error` beside the names of the model.
//! Refuses to: know what a metric or an alarm means.

mod cbor;
mod fault;
mod json;
mod operation;
mod output;
mod protocol;
mod query;
mod schema;
pub mod shapes;

pub use fault::{Code, Fault};
pub use operation::Operation;
pub use output::{Output, Structure};
pub use protocol::{Call, Protocol, Reply, Request, is_ours};
pub use schema::UNITS;

/// What stands before the operation in `X-Amz-Target`, dot included.
pub const TARGET_PREFIX: &str = "GraniteServiceVersion20100801.";
/// What stands before the operation in the path of smithy-rpc-v2-cbor.
pub const PATH_PREFIX: &str = "/service/GraniteServiceVersion20100801/operation/";
/// The service that requests are signed for.
pub const SIGNING_NAME: &str = "monitoring";
/// Largest body after decompression, bytes: a few bytes of gzip can stand for gigabytes.
pub const DECOMPRESSED_MAX_BYTES: u64 = 4 * 1024 * 1024;
/// Deepest nesting of an input, in every protocol.
pub const DEPTH_MAX: usize = 32;
