//! Signature Version 4: how a caller proves that it holds a secret key, checked as AWS checks it.
//!
//! A signature stands in the `Authorization` header or in the query of a presigned address. [`Presented::of`] reads it,
//! [`Presented::check`] holds it against the clock and against the rules that need no key, and
//! [`Presented::is_signed_with`] computes it again with the secret.
//!
//! Invariant: what is compared is computed from the request as it came, once; nothing of a signature is believed before
//! it is compared, and the comparison takes the same time wherever it fails.
//! Refuses to: read clocks, keep keys, know who may do what.

mod asked;
mod canonical;
mod chunks;
mod date;
mod payload;
mod presented;
mod sign;

#[cfg(test)]
mod suite;
#[cfg(test)]
mod tests;

pub use asked::{Admitted, Asked, Verifier};
pub use canonical::{Head, PathRule};
pub use chunks::{ChunkChain, ChunkWatch, WrongChunk};
pub use payload::{Payload, RunningDigest, sha256, sha256_hex};
pub use presented::{Presented, same};
pub use sign::{Credentials, amz_date, sign};

use std::fmt;

/// How far a request's time may lie from the server's, microseconds: AWS's 15 minutes.
pub const SKEW_MAX_US: i64 = 15 * 60 * 1_000_000;
/// Longest life of a presigned address, seconds: AWS's 7 days.
pub const PRESIGNED_MAX_SECONDS: u64 = 7 * 24 * 60 * 60;
/// Signing name of S3, whose rules differ from every other service's.
pub const S3: &str = "s3";

/// A secret access key. It is never printed, and wiped when it is dropped.
#[derive(Clone)]
pub struct Secret(zeroize::Zeroizing<String>);

impl Secret {
    /// Takes a secret.
    #[must_use]
    pub fn new(secret: String) -> Self {
        Self(zeroize::Zeroizing::new(secret))
    }

    /// The secret itself, for those who encrypt it or show it once.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
