//! What a signature says of the body that follows it.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::canonical::Head;
use crate::denial::Denial;

/// Header that carries the digest of the body, or the word for a body that is not, or otherwise, covered.
const HEADER: &str = "x-amz-content-sha256";
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
/// Bodies in chunks that carry their own signatures or none; the word itself is signed.
const STREAMING: [&str; 3] = [
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
];

/// What a signature says of the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload<'a> {
    /// Nothing: its digest must be computed, and goes into the signature.
    OfBody,
    /// Its digest, in lower-case hexadecimal digits as it was sent; the body must have it.
    Declared(&'a str),
    /// It is not covered. S3 only.
    Unsigned,
    /// It comes in chunks, framed as the word says. S3 only.
    Streaming(&'a str),
}

impl<'a> Payload<'a> {
    /// Reads it out of the head of a request for that service.
    ///
    /// # Errors
    /// When the word is not allowed for the service, is no digest, or S3's is missing.
    pub(super) fn of(head: &Head<'a>, service: &str, presigned: bool) -> Result<Self, Denial> {
        let is_s3 = service == super::S3;
        let mut values = head.all(HEADER);
        let (value, more) = (values.next(), values.next());
        if more.is_some() {
            return Err(Denial::malformed("there is more than one x-amz-content-sha256 header"));
        }
        let value = match value.map(std::str::from_utf8) {
            None if is_s3 && presigned => return Ok(Self::Unsigned),
            None if is_s3 => return Err(Denial::PayloadHashMissing),
            None => return Ok(Self::OfBody),
            Some(value) => value.unwrap_or_default(),
        };
        let is_digest = value.len() == 64 && value.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        match value {
            digest if is_digest => Ok(Self::Declared(digest)),
            UNSIGNED if is_s3 => Ok(Self::Unsigned),
            word if is_s3 && STREAMING.contains(&word) => Ok(Self::Streaming(word)),
            _ => Err(Denial::PayloadHashUnusable),
        }
    }

    /// Whether the body's chunks are signed, and if so, whether trailers are too.
    pub(super) fn signed_chunks(&self) -> Option<bool> {
        match self {
            Self::Streaming(word) if *word == STREAMING[0] => Some(false),
            Self::Streaming(word) if *word == STREAMING[1] => Some(true),
            _ => None,
        }
    }

    /// The digest that the body must have, where one was declared.
    #[must_use]
    pub fn digest(&self) -> Option<[u8; 32]> {
        if let Self::Declared(digits) = self { digest_of(digits) } else { None }
    }

    /// The word that is signed; `None` when the body must be read first.
    pub(super) fn word(&self) -> Option<&'a str> {
        match self {
            Self::OfBody => None,
            Self::Declared(word) | Self::Streaming(word) => Some(word),
            Self::Unsigned => Some(UNSIGNED),
        }
    }
}

/// The digest of bytes that come piece by piece.
#[derive(Debug, Clone, Default)]
pub struct RunningDigest(Sha256);

impl RunningDigest {
    /// Takes the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// Whether all pieces together have that digest.
    #[must_use]
    pub fn is(&self, expected: &[u8; 32]) -> bool {
        super::presented::same(&self.value(), expected)
    }

    /// The digest of all pieces so far.
    #[must_use]
    pub fn value(&self) -> [u8; 32] {
        self.0.clone().finalize().into()
    }
}

/// The digest of bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The digest of bytes in lower-case hexadecimal digits.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hexadecimal(&sha256(bytes))
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("our bug: a String takes everything");
    }
    text
}

/// A digest out of 64 lower-case hexadecimal digits.
pub(super) fn digest_of(text: &str) -> Option<[u8; 32]> {
    let bytes = text.as_bytes();
    if bytes.len() != 64 || !bytes.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let mut digest = [0; 32];
    for (place, pair) in digest.iter_mut().zip(bytes.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *place = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
    }
    Some(digest)
}
