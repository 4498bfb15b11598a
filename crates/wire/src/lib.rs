//! AWS on the wire, without IO: shapes, awsJson, REST headers, signatures' scopes and fault bodies.
//!
//! Invariant: what AWS's clients parse or compare is written here verbatim, once.
//! Refuses to: open sockets or files, know tokio, know captura's own concepts.

pub mod action;
pub mod autoscaling;
pub mod aws_json;
pub mod cloudwatch;
pub mod denial;
pub mod event_stream;
pub mod hosting;
pub mod logs;
pub mod runtime;
pub mod scope;
pub mod sigv4;
pub mod sts;
pub mod validation;
