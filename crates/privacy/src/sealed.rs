//! The master key as a key management service keeps it: sealed on the disk, and opened by the service at every start.
//!
//! ```text
//! master.key.sealed   { "version": 1, "sealed": "<base 64, as the service gave it>" }
//! ```
//! A key that lay open in a file before is sealed as it is, so that what it sealed opens on. The file stays until somebody
//! removes it, because nobody else can say that the service will open the key tomorrow.
//!
//! Invariant: the key is used only after the service has opened what is written down.
//! Refuses to: know how the service is spoken to; fall back to the open file when the service fails.

use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::files;
use crate::master::{KEY_BYTES, Master, MasterError, random};

const VERSION: u32 = 1;

/// A service that seals and opens keys and never gives its own away.
pub trait KeyService {
    /// Seals a key.
    ///
    /// # Errors
    /// What the service says, without the key.
    fn seal(&self, key: &[u8]) -> Result<Vec<u8>, String>;

    /// Opens a key that it sealed.
    ///
    /// # Errors
    /// As `seal`.
    fn open(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, String>;

    /// Makes a key: open and sealed.
    ///
    /// # Errors
    /// As `seal`.
    fn generate(&self) -> Result<(Zeroizing<Vec<u8>>, Vec<u8>), String> {
        let key = random::<KEY_BYTES>().map_err(|error| error.to_string())?;
        let sealed = self.seal(&*key)?;
        Ok((Zeroizing::new(key.to_vec()), sealed))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    sealed: String,
}

impl Master {
    /// The master key that `service` seals in the file `sealed`; made, or taken over from the open file `before`, where
    /// there is none.
    ///
    /// # Errors
    /// When the file cannot be read or written, or the service does not open it.
    pub fn open_or_seal(sealed: &Path, before: &Path, service: &dyn KeyService) -> Result<Self, MasterError> {
        let open = || {
            if let Some(bytes) = files::read(sealed)? {
                return Self::of(&service.open(&sealed_of(&bytes)?).map_err(io::Error::other)?);
            }
            let (key, bytes) = match files::read(before)? {
                Some(key) => {
                    Self::of(&key)?;
                    let bytes = service.seal(&key).map_err(io::Error::other)?;
                    (key, bytes)
                }
                None => service.generate().map_err(io::Error::other)?,
            };
            // What cannot be opened again must not seal anything.
            if service.open(&bytes).map_err(io::Error::other)? != key {
                return Err(io::Error::other("the service opens another key than it sealed"));
            }
            if let Some(folder) = sealed.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                files::create_folder(folder)?;
            }
            let file = File { version: VERSION, sealed: STANDARD.encode(bytes) };
            files::replace(sealed, &serde_json::to_vec(&file)?)?;
            Self::of(&key)
        };
        open().map_err(|source| MasterError::new(sealed, source))
    }
}

fn sealed_of(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let no_key = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
    let file: File = serde_json::from_slice(bytes).map_err(|_| no_key("it is no sealed key"))?;
    if file.version > VERSION {
        return Err(no_key("a newer captura wrote it"));
    }
    STANDARD.decode(file.sealed).map_err(|_| no_key("it is no sealed key"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns every byte around; refuses everything when it is off.
    struct Mirror {
        on: bool,
    }

    impl KeyService for Mirror {
        fn seal(&self, key: &[u8]) -> Result<Vec<u8>, String> {
            if self.on { Ok(key.iter().rev().map(|byte| !byte).collect()) } else { Err("AccessDenied".into()) }
        }

        fn open(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, String> {
            self.seal(sealed).map(Zeroizing::new)
        }
    }

    #[test]
    fn the_key_is_on_the_disk_only_sealed_and_only_the_service_opens_it() {
        let folder = tempfile::tempdir().unwrap();
        let (sealed, before) = (folder.path().join("p/master.key.sealed"), folder.path().join("p/master.key"));
        let first = Master::open_or_seal(&sealed, &before, &Mirror { on: true }).unwrap();
        let again = Master::open_or_seal(&sealed, &before, &Mirror { on: true }).unwrap();
        assert_eq!(first.subject("maria"), again.subject("maria"));
        assert!(!before.exists());
        let refused = Master::open_or_seal(&sealed, &before, &Mirror { on: false }).unwrap_err().to_string();
        assert!(refused.contains("AccessDenied"), "{refused}");
        std::fs::write(&sealed, "{}").unwrap();
        assert!(
            Master::open_or_seal(&sealed, &before, &Mirror { on: true }).is_err(),
            "no new key in place of a damaged one"
        );
    }

    #[test]
    fn a_key_that_lay_open_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let (sealed, before) = (folder.path().join("master.key.sealed"), folder.path().join("master.key"));
        let open = Master::open_or_create(&before).unwrap();
        let taken = Master::open_or_seal(&sealed, &before, &Mirror { on: true }).unwrap();
        assert_eq!(open.subject("maria"), taken.subject("maria"));
        std::fs::remove_file(&before).unwrap();
        let without = Master::open_or_seal(&sealed, &before, &Mirror { on: true }).unwrap();
        assert_eq!(open.subject("maria"), without.subject("maria"));
    }
}
