//! The master key: one secret of 32 bytes in a file of its own, and what is made from it.
//!
//! - pseudonyms, by HMAC-SHA-256 under a key derived for them;
//! - names of subjects in the table of keys, by another one, so that a pseudonym in a record is not the name in the table;
//! - the key that data keys are sealed under.
//!
//! Invariant: neither the secret nor a derived key appears in a log, an error or a `Debug`.

use std::io;
use std::path::Path;

use ring::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use crate::files;

pub(crate) const KEY_BYTES: usize = 32;

/// What the master key is for.
pub struct Master {
    pseudonyms: hmac::Key,
    subjects: hmac::Key,
    certificates: hmac::Key,
    pub(crate) wrapping: LessSafeKey,
}

/// The file of the master key cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the master key {path} cannot be used: {source}")]
pub struct MasterError {
    path: String,
    source: io::Error,
}

impl MasterError {
    pub(crate) fn new(path: &Path, source: io::Error) -> Self {
        Self { path: path.display().to_string(), source }
    }
}

impl Master {
    /// Reads the master key, or makes one where there is none.
    ///
    /// # Errors
    /// When the file cannot be read or made, others may read it, or it holds no key.
    pub fn open_or_create(path: &Path) -> Result<Self, MasterError> {
        let open = || match files::read(path)? {
            Some(bytes) => Self::of(&bytes),
            None => {
                let bytes = random::<KEY_BYTES>()?;
                if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                    files::create_folder(folder)?;
                }
                files::replace(path, &*bytes)?;
                Self::of(&*bytes)
            }
        };
        open().map_err(|source| MasterError::new(path, source))
    }

    /// A master key that is written nowhere, to show what rules do.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn ephemeral() -> io::Result<Self> {
        Self::of(&*random::<KEY_BYTES>()?)
    }

    pub(crate) fn of(bytes: &[u8]) -> io::Result<Self> {
        let no_key = || io::Error::new(io::ErrorKind::InvalidData, "it is no key of 32 bytes");
        if bytes.len() != KEY_BYTES {
            return Err(no_key());
        }
        let root = hmac::Key::new(hmac::HMAC_SHA256, bytes);
        let derived = |purpose: &[u8]| hmac::sign(&root, purpose);
        let hmac_key = |purpose: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, derived(purpose).as_ref());
        let wrapping = UnboundKey::new(&AES_256_GCM, derived(b"captura/privacy/wrap/1").as_ref());
        Ok(Self {
            pseudonyms: hmac_key(b"captura/privacy/pseudonym/1"),
            subjects: hmac_key(b"captura/privacy/subject/1"),
            certificates: hmac_key(b"captura/privacy/certificate/1"),
            wrapping: LessSafeKey::new(wrapping.map_err(|_| no_key())?),
        })
    }

    /// The pseudonym of a value, sixteen hexadecimal digits: among four billion values, two share one with odds of a half,
    /// so that joins on it hold; and it says nothing of the value to who has not the key.
    pub(crate) fn pseudonym(&self, value: &str) -> String {
        hex(&hmac::sign(&self.pseudonyms, value.as_bytes()).as_ref()[..8])
    }

    /// The name of a subject in the table of keys, and in what is told of erasures.
    #[must_use]
    pub fn subject(&self, subject: &str) -> String {
        hex(&hmac::sign(&self.subjects, subject.as_bytes()).as_ref()[..16])
    }

    /// A seal on a certificate.
    #[must_use]
    pub fn seal_of(&self, text: &[u8]) -> String {
        hex(hmac::sign(&self.certificates, text).as_ref())
    }
}

impl std::fmt::Debug for Master {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Master(…)")
    }
}

pub(crate) fn random<const N: usize>() -> io::Result<Zeroizing<[u8; N]>> {
    let mut bytes = Zeroizing::new([0; N]);
    SystemRandom::new().fill(&mut *bytes).map_err(|_| io::Error::other("the system gives no randomness"))?;
    Ok(bytes)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}
