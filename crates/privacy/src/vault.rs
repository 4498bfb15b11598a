//! Keys of subjects: one data key for each person and endpoint, sealed under the master key, in small files that are
//! replaced as a whole.
//!
//! ```text
//! privacy/keys/3fa.json   subjects whose name begins with 3fa
//!   { "version": 1, "keys": [ { "subject": "3fa…", "endpoint": "…", "id": "…", "sealed": "…", "created": "…" } ] }
//! ```
//! A subject is written as a keyed hash, never as it is. Files are small because each new subject replaces one.
//!
//! Invariant: a key that was given out is on the disk. A key that was destroyed is in no file of the vault, and neither is
//! an older copy of one: there is no log and no free page that could keep it.
//! Refuses to: know what is sealed, and to give a destroyed key again.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use captura_names::Timestamp;
use captura_route::Clock;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::files;
use crate::master::{KEY_BYTES, Master, hex, random};

/// Below the folder of the vault.
const KEYS_FOLDER: &str = "keys";
const VERSION: u32 = 1;
/// Letters of a subject's name that name its file: 4,096 files.
const SHARD_LETTERS: usize = 3;
/// Keys in memory; beyond them all are read again.
const CACHED_MAX: usize = 65_536;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The disk failed.
    #[error("the table of keys {path}: {source}")]
    File {
        /// The file.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// Not what a vault writes, or sealed under another master key.
    #[error("the table of keys {path} cannot be read: {why}")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong.
        why: &'static str,
    },
}

/// A data key, ready to seal.
pub(crate) struct DataKey {
    id: String,
    key: LessSafeKey,
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("DataKey").field(&self.id).finish()
    }
}

const OPEN_TOKEN: &str = "[ENCRYPTED k=";
const INNER_TOKEN: &str = " v=";

impl DataKey {
    fn new(id: String, bytes: &[u8]) -> Option<Self> {
        Some(Self { id, key: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).ok()?) })
    }

    /// Seals bytes: `[ENCRYPTED k=<id of the key> v=<nonce, ciphertext and tag>]`, base64url, without anything that CSV or
    /// JSON would have to quote. The id of the key is bound in.
    pub(crate) fn seal(&self, value: &[u8]) -> Option<String> {
        let nonce = random::<NONCE_LEN>().ok()?;
        let mut sealed = value.to_vec();
        let unique = Nonce::assume_unique_for_key(*nonce);
        self.key.seal_in_place_append_tag(unique, Aad::from(self.id.as_bytes()), &mut sealed).ok()?;
        let sealed = URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat());
        Some(format!("{OPEN_TOKEN}{}{INNER_TOKEN}{sealed}]", self.id))
    }

    fn open(&self, sealed: &str) -> Option<Vec<u8>> {
        let mut bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, text) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        Some(self.key.open_in_place(nonce, Aad::from(self.id.as_bytes()), text).ok()?.to_vec())
    }
}

/// A sealed value in a text: where it lies, which key, and what.
pub(crate) struct Token<'t> {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) key: &'t str,
    sealed: &'t str,
}

/// The sealed values of a text, in order.
pub(crate) fn tokens(text: &str) -> impl Iterator<Item = Token<'_>> {
    text.match_indices(OPEN_TOKEN).filter_map(|(start, open)| {
        let rest = &text[start + open.len()..];
        let end = rest.find(']')?;
        let (key, sealed) = rest[..end].split_once(INNER_TOKEN)?;
        Some(Token { start, end: start + open.len() + end + 1, key, sealed })
    })
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shard {
    version: u32,
    keys: Vec<Entry>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    subject: String,
    endpoint: String,
    id: String,
    /// Nonce, sealed key and tag, base 64.
    sealed: String,
    created: String,
}

/// A key that there is, without the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyFact {
    /// Its id, as sealed values name it.
    pub id: String,
    /// The endpoint whose values it seals.
    pub endpoint: String,
    /// When it was made, RFC 3339: no sealed value is older.
    pub created: String,
}

type Name = (String, String);

/// The keys of subjects.
pub struct Vault {
    /// Nowhere: keys are made and forgotten.
    folder: Option<PathBuf>,
    master: Arc<Master>,
    clock: Clock,
    cache: Mutex<HashMap<Name, Arc<DataKey>>>,
    /// Held while a file is replaced.
    writing: Mutex<()>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Vault {
    /// The vault in `folder`, which comes into being with the first key. Whoever has the data directory to himself may write.
    #[must_use]
    pub fn new(folder: &Path, master: Arc<Master>, clock: Clock) -> Self {
        Self::at(Some(folder.join(KEYS_FOLDER)), master, clock)
    }

    /// A vault whose keys are written nowhere.
    #[must_use]
    pub fn ephemeral(master: Arc<Master>, clock: Clock) -> Self {
        Self::at(None, master, clock)
    }

    fn at(folder: Option<PathBuf>, master: Arc<Master>, clock: Clock) -> Self {
        Self { folder, master, clock, cache: Mutex::default(), writing: Mutex::default() }
    }

    /// The master key.
    #[must_use]
    pub fn master(&self) -> &Arc<Master> {
        &self.master
    }

    /// The key of a subject at an endpoint; a new one is on the disk when this returns, which takes two syncs.
    pub(crate) fn key(&self, endpoint: &str, subject: &str) -> Result<Arc<DataKey>, VaultError> {
        let name = (endpoint.to_owned(), self.master.subject(subject));
        if let Some(key) = self.cache().get(&name) {
            return Ok(Arc::clone(key));
        }
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        // Another call may have come first.
        if let Some(key) = self.cache().get(&name) {
            return Ok(Arc::clone(key));
        }
        let mut shard = self.shard(&name.1)?;
        let known = shard.keys.iter().find(|entry| entry.subject == name.1 && entry.endpoint == name.0);
        let key = match known {
            Some(entry) => self.unwrap(entry)?,
            None => {
                let (entry, key) = self.fresh(&name)?;
                shard.keys.push(entry);
                self.save(&name.1, &shard)?;
                key
            }
        };
        let key = Arc::new(key);
        let mut cache = self.cache();
        if cache.len() >= CACHED_MAX {
            cache.clear();
        }
        cache.insert(name, Arc::clone(&key));
        Ok(key)
    }

    /// The keys of a subject, without the keys; of one endpoint, or of all.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub fn keys_of(&self, subject: &str, endpoint: Option<&str>) -> Result<Vec<KeyFact>, VaultError> {
        let subject = self.master.subject(subject);
        let shard = self.shard(&subject)?;
        Ok(shard.keys.into_iter().filter(|entry| is_meant(entry, &subject, endpoint)).map(fact).collect())
    }

    /// The keys of a subject by the subject's name in the table.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub fn keys_named(&self, subject: &str) -> Result<Vec<KeyFact>, VaultError> {
        Ok(self.shard(subject)?.keys.into_iter().filter(|entry| entry.subject == subject).map(fact).collect())
    }

    /// Destroys keys of a subject by the subject's name in the table and their ids, as far as they are there. When this
    /// returns they are on the disk no more; what they sealed is noise.
    ///
    /// # Errors
    /// When the table cannot be read or replaced; then the keys are as they were.
    pub fn destroy(&self, subject: &str, ids: &[String]) -> Result<(), VaultError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut shard = self.shard(subject)?;
        let before = shard.keys.len();
        shard.keys.retain(|entry| entry.subject != subject || !ids.contains(&entry.id));
        if shard.keys.len() < before {
            self.save(subject, &shard)?;
        }
        self.cache().retain(|_, key| !ids.contains(&key.id));
        Ok(())
    }

    /// All keys by their ids, to open what they sealed.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn opener(&self) -> Result<Opener, VaultError> {
        let mut keys = HashMap::new();
        let Some(folder) = &self.folder else { return Ok(Opener(keys)) };
        let failed = |source| VaultError::File { path: folder.display().to_string(), source };
        let entries = match std::fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Opener(keys)),
            entries => entries.map_err(failed)?,
        };
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|ending| ending == "json") {
                for entry in load(&path)?.keys {
                    keys.insert(entry.id.clone(), self.unwrap(&entry)?);
                }
            }
        }
        Ok(Opener(keys))
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, HashMap<Name, Arc<DataKey>>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, subject: &str) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(format!("{}.json", subject.get(..SHARD_LETTERS).unwrap_or(subject))))
    }

    fn shard(&self, subject: &str) -> Result<Shard, VaultError> {
        self.path(subject).map_or_else(|| Ok(Shard { version: VERSION, keys: Vec::new() }), |path| load(&path))
    }

    fn save(&self, subject: &str, shard: &Shard) -> Result<(), VaultError> {
        let Some(path) = self.path(subject) else { return Ok(()) };
        let json = Zeroizing::new(serde_json::to_vec(shard).expect("our bug: a shard holds only text"));
        let write = || {
            files::create_folder(path.parent().unwrap_or(Path::new(".")))?;
            files::replace(&path, &json)
        };
        write().map_err(|source| VaultError::File { path: path.display().to_string(), source })
    }

    fn fresh(&self, (endpoint, subject): &Name) -> Result<(Entry, DataKey), VaultError> {
        let failed = |source| VaultError::File { path: "a new key".into(), source };
        let bytes = random::<KEY_BYTES>().map_err(failed)?;
        let id = hex(&*random::<8>().map_err(failed)?);
        let nonce = random::<NONCE_LEN>().map_err(failed)?;
        let mut sealed = Zeroizing::new(bytes.to_vec());
        let unique = Nonce::assume_unique_for_key(*nonce);
        let bound = bound(subject, endpoint, &id);
        self.master
            .wrapping
            .seal_in_place_append_tag(unique, Aad::from(bound.as_bytes()), &mut *sealed)
            .map_err(|_| failed(io::Error::other("it could not be sealed")))?;
        let key = DataKey::new(id.clone(), &*bytes).ok_or_else(|| failed(io::Error::other("it is none")))?;
        let entry = Entry {
            subject: subject.clone(),
            endpoint: endpoint.clone(),
            id,
            sealed: STANDARD.encode([&nonce[..], &sealed].concat()),
            created: now(&self.clock),
        };
        Ok((entry, key))
    }

    fn unwrap(&self, entry: &Entry) -> Result<DataKey, VaultError> {
        let open = || {
            let mut bytes = Zeroizing::new(STANDARD.decode(&entry.sealed).ok()?);
            let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN)?;
            let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
            let bound = bound(&entry.subject, &entry.endpoint, &entry.id);
            let key = self.master.wrapping.open_in_place(nonce, Aad::from(bound.as_bytes()), sealed).ok()?;
            DataKey::new(entry.id.clone(), key)
        };
        open().ok_or_else(|| {
            let path = self.path(&entry.subject).unwrap_or_default().display().to_string();
            VaultError::Damaged { path, why: "a key was sealed under another master key, or is damaged" }
        })
    }
}

fn is_meant(entry: &Entry, subject: &str, endpoint: Option<&str>) -> bool {
    entry.subject == subject && endpoint.is_none_or(|endpoint| endpoint == entry.endpoint)
}

fn fact(entry: Entry) -> KeyFact {
    KeyFact { id: entry.id, endpoint: entry.endpoint, created: entry.created }
}

/// What a sealed key is bound to, so that no two can be exchanged.
fn bound(subject: &str, endpoint: &str, id: &str) -> String {
    format!("{subject}/{endpoint}/{id}")
}

fn now(clock: &Clock) -> String {
    let now: Timestamp = clock.now();
    now.to_string()
}

fn load(path: &Path) -> Result<Shard, VaultError> {
    let shown = || path.display().to_string();
    let bytes = files::read(path).map_err(|source| VaultError::File { path: shown(), source })?;
    let Some(bytes) = bytes else { return Ok(Shard { version: VERSION, keys: Vec::new() }) };
    let damaged = |why| VaultError::Damaged { path: shown(), why };
    let shard: Shard = serde_json::from_slice(&bytes).map_err(|_| damaged("it is no table of keys"))?;
    if shard.version > VERSION { Err(damaged("a newer captura wrote it")) } else { Ok(shard) }
}

/// Opens sealed values.
#[derive(Debug)]
pub struct Opener(HashMap<String, DataKey>);

impl Opener {
    /// Whether there is a key of that id.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        self.0.contains_key(id)
    }

    /// The text with every sealed value opened whose key there is; how many were opened, and how many stay closed.
    #[must_use]
    pub fn open(&self, text: &str) -> (String, u64, u64) {
        let (mut out, mut copied) = (String::with_capacity(text.len()), 0);
        let (mut opened, mut closed) = (0, 0);
        for token in tokens(text) {
            let value = self.0.get(token.key).and_then(|key| key.open(token.sealed));
            let Some(value) = value.and_then(|value| String::from_utf8(value).ok()) else {
                closed += 1;
                continue;
            };
            opened += 1;
            out.push_str(&text[copied..token.start]);
            out.push_str(&value);
            copied = token.end;
        }
        out.push_str(&text[copied..]);
        (out, opened, closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(folder: &Path) -> Vault {
        let master = Arc::new(Master::open_or_create(&folder.join("master.key")).unwrap());
        Vault::new(folder, master, Clock::fixed(Timestamp::from_unix_us(1_700_000_000_000_000)))
    }

    fn files_of(folder: &Path) -> Vec<u8> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(folder.join(KEYS_FOLDER)).unwrap() {
            all.extend(std::fs::read(entry.unwrap().path()).unwrap());
        }
        all
    }

    #[test]
    fn a_key_is_on_the_disk_before_it_is_used_and_opens_what_it_sealed_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let first = vault(folder.path());
        let sealed = first.key("churn", "maria@example.org").unwrap().seal("né,\"x".as_bytes()).unwrap();
        assert!(!sealed.contains([',', '"', '\n']), "{sealed}");
        let again = vault(folder.path());
        let (text, opened, closed) = again.opener().unwrap().open(&format!("1,{sealed},2"));
        assert_eq!((text.as_str(), opened, closed), ("1,né,\"x,2", 1, 0));
        assert_eq!(
            again.key("churn", "maria@example.org").unwrap().id,
            first.key("churn", "maria@example.org").unwrap().id
        );
        assert_ne!(
            again.key("other", "maria@example.org").unwrap().id,
            first.key("churn", "maria@example.org").unwrap().id
        );
        let on_disk = files_of(folder.path());
        assert!(!String::from_utf8_lossy(&on_disk).contains("maria"), "subjects are written as keyed hashes");
    }

    #[test]
    fn a_destroyed_key_is_in_no_file_and_its_values_stay_closed_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let vault = vault(folder.path());
        let (churn, other) = (vault.key("churn", "maria").unwrap(), vault.key("other", "maria").unwrap());
        let bystander = vault.key("churn", "jose").unwrap();
        let sealed = [churn.seal(b"a").unwrap(), other.seal(b"b").unwrap(), bystander.seal(b"c").unwrap()].join(",");
        let name = vault.master().subject("maria");
        let meant = vault.keys_of("maria", Some("churn")).unwrap();
        assert_eq!(meant.iter().map(|key| key.id.as_str()).collect::<Vec<_>>(), [churn.id.as_str()]);
        vault.destroy(&name, std::slice::from_ref(&churn.id)).unwrap();
        vault.destroy(&name, std::slice::from_ref(&churn.id)).unwrap();
        assert!(!String::from_utf8_lossy(&files_of(folder.path())).contains(&churn.id));
        let (text, opened, closed) = vault.opener().unwrap().open(&sealed);
        assert_eq!((opened, closed), (2, 1), "{text}");
        assert!(text.ends_with(",b,c"));
        assert_ne!(vault.key("churn", "maria").unwrap().id, churn.id, "a later call has a key of its own");
        assert_eq!(vault.keys_named(&name).unwrap().len(), 2, "and an erasure that goes on leaves that one alone");
    }

    #[test]
    fn another_master_key_opens_nothing() {
        let folder = tempfile::tempdir().unwrap();
        vault(folder.path()).key("churn", "maria").unwrap();
        std::fs::remove_file(folder.path().join("master.key")).unwrap();
        let changed = vault(folder.path());
        assert!(matches!(changed.opener(), Err(VaultError::Damaged { .. })));
    }
}
