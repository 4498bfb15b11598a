//! An object as it is told of, and bytes on their way in and out.
//!
//! Invariant: what is poured is hashed as it is written, so digests are of what is on the disk.

use std::io::ErrorKind;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};

use crate::arrival::{BodyError, Broken};
use crate::digest::{Digested, Digests};
use crate::disk::blocking;
use crate::facts::Facts;
use crate::refusal::{Refusal, Result};

/// Largest body of one request, bytes, as S3 has it; larger objects come in parts.
pub(crate) const BODY_MAX_BYTES: u64 = 5 << 30;
/// How much is gathered before it is written, bytes.
const WRITE_BYTES: usize = 1 << 20;

/// An object without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) size_bytes: u64,
    /// Nanoseconds since 1970.
    pub(crate) modified_ns: i64,
    pub(crate) facts: Facts,
}

/// Bytes on their way.
pub(crate) type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// Something that takes bytes; each call may block.
pub(crate) trait Take: Send + 'static {
    /// Appends.
    fn take(&mut self, bytes: &[u8]) -> std::io::Result<()>;
}

/// Takes the bytes of what has none.
pub(crate) struct Nothing;

impl Take for Nothing {
    fn take(&mut self, _: &[u8]) -> std::io::Result<()> {
        Ok(())
    }
}

/// The bytes of a request.
pub(crate) fn pieces(body: Option<s3s::dto::StreamingBlob>) -> Pieces {
    match body {
        Some(body) => Box::pin(body.map(|piece| piece.map_err(|error| broken(&error)))),
        None => Box::pin(futures_util::stream::empty()),
    }
}

/// A body that broke off without saying why did not come to its end. One that came whole and is invalid was held against its
/// signed digest on the way.
fn broken(error: &BodyError) -> Refusal {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error.as_ref());
    while let Some(error) = cause {
        if let Some(broken) = error.downcast_ref::<Broken>() {
            return broken.clone().into();
        }
        if error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::InvalidData) {
            return Broken::Hash.into();
        }
        cause = error.source();
    }
    Broken::Short.into()
}

/// Writes everything that comes, up to the limit of one request.
///
/// # Errors
/// When the bytes break off or the disk does not take them; what was written is dropped then.
pub(crate) async fn pour<T: Take>(
    mut from: Pieces,
    mut into: T,
    mut digests: Digests,
    max_bytes: u64,
) -> Result<(T, Digested)> {
    let mut size_bytes = 0_u64;
    loop {
        let mut gathered: Vec<Bytes> = Vec::new();
        let mut gathered_bytes = 0;
        let ended = loop {
            match from.next().await {
                Some(piece) => {
                    let piece = piece?;
                    gathered_bytes += piece.len();
                    gathered.push(piece);
                }
                None => break true,
            }
            if gathered_bytes >= WRITE_BYTES {
                break false;
            }
        };
        size_bytes += gathered_bytes as u64;
        if size_bytes > max_bytes {
            return Err(Refusal::TooLarge);
        }
        if !gathered.is_empty() {
            (into, digests) = blocking(move || {
                for piece in &gathered {
                    digests.update(piece);
                    into.take(piece)?;
                }
                std::io::Result::Ok((into, digests))
            })
            .await?;
        }
        if ended {
            return Ok((into, digests.finish()));
        }
    }
}
