//! The question at the door and its answer: the seam between who serves requests and who knows the keys.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

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
    /// The other end of its connection.
    pub source: IpAddr,
    /// Whose certificate its connection was opened with, and verified: `URI:…`, `DNS:…` or `CN=…`.
    pub certificate: Option<&'a str>,
    /// When.
    pub now: Timestamp,
}

/// A request that may come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// Name of the consumer.
    pub user: String,
    /// What its credentials have proved, in one text that begins with their kind; absent when there were none.
    pub principal: Option<String>,
    /// Where it comes from, proxies that are believed left out.
    pub source: IpAddr,
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

    /// What to wait for before a request is asked about once more that was turned away with [`Denial::TokenKeyUnknown`]:
    /// its issuer may have other keys by now. Nothing when they were looked at a moment ago.
    fn renewal(&self, _asked: &Asked<'_>) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        None
    }
}
