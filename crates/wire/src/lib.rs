//! AWS on the wire, without IO: shapes, awsJson, REST headers, signatures' scopes and fault bodies.
//!
//! Invariant: what AWS's clients parse or compare is written here verbatim, once.
//! Refuses to: open sockets or files, know tokio, know captura's own concepts.

pub mod aws_json;
pub mod hosting;
pub mod runtime;
pub mod scope;
pub mod validation;
