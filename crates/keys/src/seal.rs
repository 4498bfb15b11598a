//! Secrets encrypted on the disk: AES-256-GCM under a master key in a file of its own.
//!
//! A backup or a copy of the keys' file alone is worth nothing. Whoever has both files has the secrets: signatures can
//! only be checked by those who can make them.
//!
//! Invariant: each secret is sealed with a fresh nonce and bound to the id of its key, so that no two can be exchanged.

use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use captura_wire::sigv4::Secret;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use crate::private;

const KEY_BYTES: usize = 32;

/// The master key.
pub(crate) struct Master(LessSafeKey);

impl Master {
    /// Reads the master key, or makes one where there is none.
    pub(crate) fn open_or_create(path: &Path) -> io::Result<Self> {
        match Self::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut bytes = Zeroizing::new([0; KEY_BYTES]);
                SystemRandom::new()
                    .fill(&mut *bytes)
                    .map_err(|_| io::Error::other("the system gives no randomness"))?;
                private::replace(path, &*bytes)?;
                Self::of(&*bytes)
            }
            opened => opened,
        }
    }

    /// Reads the master key.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let (bytes, _) = private::read(path)?;
        Self::of(&bytes)
    }

    fn of(bytes: &[u8]) -> io::Result<Self> {
        let key = UnboundKey::new(&AES_256_GCM, bytes)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no key of 32 bytes"))?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// Seals a secret: nonce, ciphertext and tag, in base 64.
    pub(crate) fn seal(&self, secret: &Secret, id: &str) -> io::Result<String> {
        let mut nonce = [0; NONCE_LEN];
        let failed = |_| io::Error::other("the secret could not be encrypted");
        SystemRandom::new().fill(&mut nonce).map_err(failed)?;
        let mut text = secret.expose().as_bytes().to_vec();
        let bound = Aad::from(id.as_bytes());
        self.0.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), bound, &mut text).map_err(failed)?;
        Ok(STANDARD.encode([&nonce[..], &text].concat()))
    }

    /// Opens a sealed secret; `None` when it was sealed with another key, for another id, or is damaged.
    pub(crate) fn unseal(&self, sealed: &str, id: &str) -> Option<Secret> {
        let mut bytes = Zeroizing::new(STANDARD.decode(sealed).ok()?);
        let (nonce, text) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let text = self.0.open_in_place(nonce, Aad::from(id.as_bytes()), text).ok()?;
        Some(Secret::new(std::str::from_utf8(text).ok()?.to_owned()))
    }
}

impl std::fmt::Debug for Master {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Master(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_with_its_master_key_for_its_own_id_only() {
        let folder = tempfile::tempdir().unwrap();
        let master = Master::open_or_create(&folder.path().join("master.key")).unwrap();
        let sealed = master.seal(&Secret::new("canary".into()), "AKIAONE").unwrap();
        assert!(!sealed.contains("canary"));
        let again = Master::open_or_create(&folder.path().join("master.key")).unwrap();
        assert_eq!(again.unseal(&sealed, "AKIAONE").unwrap().expose(), "canary");
        assert!(again.unseal(&sealed, "AKIATWO").is_none());
        let other = Master::open_or_create(&folder.path().join("other.key")).unwrap();
        assert!(other.unseal(&sealed, "AKIAONE").is_none());
        assert!(again.unseal("", "AKIAONE").is_none() && again.unseal("AAAA", "AKIAONE").is_none());
        assert_ne!(master.seal(&Secret::new("canary".into()), "AKIAONE").unwrap(), sealed, "a fresh nonce each time");
    }
}
