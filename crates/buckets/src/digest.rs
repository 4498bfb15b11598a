//! MD5 and the checksums that S3's clients send and ask for, taken while bytes pass.
//!
//! Invariant: a [`Checksum`] is what its bytes have; what a caller claims is compared with it, never kept.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256};
use serde::{Deserialize, Serialize};

use crate::refusal::{Refusal, Result};

/// A checksum that S3 knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

impl Algorithm {
    pub(crate) const ALL: [Self; 5] = [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    /// As it is written in requests.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// By its name, in any case.
    ///
    /// # Errors
    /// When S3 has none of that name.
    pub(crate) fn parse(name: &str) -> Result<Self> {
        let known = Self::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name));
        known.ok_or_else(|| Refusal::Request("Checksum algorithm provided is unsupported.".into()))
    }

    /// By the header or trailer that carries its value.
    pub(crate) fn of_header(name: &str) -> Option<Self> {
        Self::parse(name.strip_prefix("x-amz-checksum-")?).ok()
    }

    /// The header or trailer that carries its value.
    pub(crate) fn header(self) -> String {
        format!("x-amz-checksum-{}", self.name().to_ascii_lowercase())
    }

    /// Whether the checksum of a whole can be had of uploads in parts.
    pub(crate) fn spans_parts(self) -> bool {
        matches!(self, Self::Crc32 | Self::Crc32c | Self::Crc64Nvme)
    }
}

/// A checksum of an object or a part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checksum {
    pub(crate) algorithm: Algorithm,
    /// BASE64; with `-N` behind it where it is a checksum of the checksums of N parts.
    pub(crate) value: String,
}

impl Checksum {
    /// `FULL_OBJECT` or `COMPOSITE`.
    pub(crate) fn kind(&self) -> &'static str {
        if self.value.contains('-') { s3s::dto::ChecksumType::COMPOSITE } else { s3s::dto::ChecksumType::FULL_OBJECT }
    }
}

enum Hasher {
    Crc32(Crc32),
    Crc32c(Crc32c),
    Crc64Nvme(Crc64Nvme),
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Hasher {
    fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Crc32 => Self::Crc32(Crc32::new()),
            Algorithm::Crc32c => Self::Crc32c(Crc32c::new()),
            Algorithm::Crc64Nvme => Self::Crc64Nvme(Crc64Nvme::new()),
            Algorithm::Sha1 => Self::Sha1(Sha1::new()),
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc32(hasher) => hasher.update(bytes),
            Self::Crc32c(hasher) => hasher.update(bytes),
            Self::Crc64Nvme(hasher) => hasher.update(bytes),
            Self::Sha1(hasher) => hasher.update(bytes),
            Self::Sha256(hasher) => hasher.update(bytes),
        }
    }

    fn finish(self) -> String {
        match self {
            Self::Crc32(hasher) => STANDARD.encode(hasher.finalize()),
            Self::Crc32c(hasher) => STANDARD.encode(hasher.finalize()),
            Self::Crc64Nvme(hasher) => STANDARD.encode(hasher.finalize()),
            Self::Sha1(hasher) => STANDARD.encode(hasher.finalize()),
            Self::Sha256(hasher) => STANDARD.encode(hasher.finalize()),
        }
    }
}

/// Takes digests of bytes that pass.
pub(crate) struct Digests {
    md5: Md5,
    checksum: Option<(Algorithm, Hasher)>,
    size_bytes: u64,
}

/// The digests of what has passed.
#[derive(Debug, Clone)]
pub(crate) struct Digested {
    pub(crate) md5: [u8; 16],
    pub(crate) checksum: Option<Checksum>,
    pub(crate) size_bytes: u64,
}

impl Digests {
    pub(crate) fn new(algorithm: Option<Algorithm>) -> Self {
        let checksum = algorithm.map(|algorithm| (algorithm, Hasher::new(algorithm)));
        Self { md5: Md5::new(), checksum, size_bytes: 0 }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        if let Some((_, hasher)) = &mut self.checksum {
            hasher.update(bytes);
        }
        self.size_bytes += bytes.len() as u64;
    }

    pub(crate) fn finish(self) -> Digested {
        let checksum = self.checksum.map(|(algorithm, hasher)| Checksum { algorithm, value: hasher.finish() });
        Digested { md5: self.md5.finalize(), checksum, size_bytes: self.size_bytes }
    }
}

/// The entity tag of an object that came in one piece.
pub(crate) fn e_tag(md5: [u8; 16]) -> String {
    hex(&md5)
}

/// The entity tag of an object that came in parts: the MD5 of their MD5s, and how many there were.
pub(crate) fn e_tag_of_parts(md5s: &[[u8; 16]]) -> String {
    format!("{}-{}", hex(&Md5::checksum(&md5s.concat())), md5s.len())
}

/// The checksum of the checksums of parts.
///
/// # Errors
/// When a part's value is no BASE64.
pub(crate) fn composite(algorithm: Algorithm, values: &[&str]) -> Result<Checksum> {
    let mut hasher = Hasher::new(algorithm);
    for value in values {
        hasher.update(&STANDARD.decode(value).map_err(|_| Refusal::Part)?);
    }
    Ok(Checksum { algorithm, value: format!("{}-{}", hasher.finish(), values.len()) })
}

/// Reads a `Content-MD5`.
///
/// # Errors
/// When it is not the BASE64 of sixteen bytes.
pub(crate) fn md5_of_header(value: &str) -> Result<[u8; 16]> {
    let bytes = STANDARD.decode(value).map_err(|_| Refusal::DigestForm)?;
    bytes.try_into().map_err(|_| Refusal::DigestForm)
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_have_the_known_values() {
        let values = [
            (Algorithm::Crc32, "y/Q5Jg=="),
            (Algorithm::Crc32c, "4waSgw=="),
            (Algorithm::Crc64Nvme, "rosUhgp5mIg="),
            (Algorithm::Sha1, "98O8HYCOBHMq32eZZczDTKeuNEE="),
            (Algorithm::Sha256, "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="),
        ];
        for (algorithm, value) in values {
            let mut digests = Digests::new(Some(algorithm));
            digests.update(b"12345");
            digests.update(b"6789");
            let digested = digests.finish();
            assert_eq!(e_tag(digested.md5), "25f9e794323b453885f5181f1b624d0b");
            assert_eq!(digested.checksum.unwrap().value, value, "{algorithm:?}");
            assert_eq!(Algorithm::of_header(&algorithm.header()), Some(algorithm));
        }
    }

    #[test]
    fn a_composite_is_the_checksum_of_checksums() {
        // Of two parts `hello` and `world`: CRC32 of the eight bytes 3610a686 3a771143.
        let checksum = composite(Algorithm::Crc32, &["NhCmhg==", "OncRQw=="]).unwrap();
        assert!(checksum.value.ends_with("-2"), "{}", checksum.value);
        assert_eq!(checksum.kind(), "COMPOSITE");
    }
}
