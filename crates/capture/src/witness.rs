//! Whoever wants to see how each invocation has ended, whether it left a record or not.

use std::fmt;

use captura_route::Invocation;

use crate::record::{Lsn, Outcome};

/// An invocation that has ended.
#[derive(Debug)]
pub struct Seen<'a> {
    /// The call.
    pub invocation: &'a Invocation,
    /// How it ended.
    pub outcome: Outcome,
    /// Size of what was answered, bytes.
    pub response_size_bytes: u64,
    /// Where its record stands in the log; nothing where it left none.
    pub lsn: Option<Lsn>,
}

/// Whoever wants to see. It is asked in the way of the call, so it must be quick and must not block.
pub trait Witness: fmt::Debug + Send + Sync {
    /// An invocation has ended; each is told once, after its record was handed in.
    fn saw(&self, seen: &Seen<'_>);
}
