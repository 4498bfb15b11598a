//! The local buckets as S3's clients see them.
//!
//! What an SDK writes through here is a plain file below `DATA_DIR/buckets`, and what other rooms put there (captures,
//! models) an SDK reads. Requests and answers are the `s3s` library's, made from AWS's own model; what operations do is
//! this room's, over the same stores that everything else uses, so that buckets mapped to services work the same way.
//! Its companion for folders is not used: it keeps metadata among the objects, knows no conditional writes, and answers
//! before what it wrote is on the disk.
//!
//! Invariant: an object is seen whole or not at all; what was answered survives power loss; entity tags and checksums are
//! those of the bytes that came.
//! Refuses to: verify signatures or decide who may do what. Requests are let in before they come here.

mod arrival;
mod bucket;
mod chunked;
mod condition;
mod counted;
mod desk;
mod digest;
mod disk;
mod door;
mod facts;
mod key;
mod listing;
mod local;
mod object;
mod refusal;
mod remote;
mod uploads;
mod words;

pub use arrival::{BodyError, PiecewiseBody};
pub use door::{Buckets, Settings};
pub use local::Now;
pub use uploads::ABANDONED_AFTER;

#[cfg(test)]
mod tests;
