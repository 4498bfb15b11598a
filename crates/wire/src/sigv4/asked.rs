//! The question at the door and its answer: the seam between who serves requests and who knows the keys.

use std::net::IpAddr;

use captura_names::Timestamp;

use super::{ChunkChain, Head};
use crate::denial::Denial;

/// A request that wants in.
#[derive(Debug)]
pub struct Asked<'a> {
    /// Its head.
    pub head: &'a Head<'a>,
    /// Its whole body; absent where it is passed on piece by piece.
    pub body: Option<&'a [u8]>,
    /// Where it comes from.
    pub source: IpAddr,
    /// When.
    pub now: Timestamp,
}

/// A request that may come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// Name of the user whose key signed it.
    pub user: String,
    /// What its credentials have proved, in one text that begins with their kind.
    pub principal: String,
    /// The digest that a body must have that is passed on piece by piece.
    pub body_sha256: Option<[u8; 32]>,
    /// What the chunks of such a body are signed with, where they are.
    pub chunks: Option<ChunkChain>,
}

/// Who is asked before any request is routed. It must not block.
pub trait Verifier: Send + Sync {
    /// Whether a request may come in, and whose it is.
    ///
    /// # Errors
    /// Why not.
    fn admit(&self, asked: &Asked<'_>) -> Result<Admitted, Denial>;
}
