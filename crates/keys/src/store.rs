//! Where the keys are kept: `keys/` below the data directory.
//!
//! `keys.json` holds the keys with their sealed secrets, or their digests, `master.key` what they are sealed with, `lock` keeps two command
//! lines from changing them at one time.
//!
//! Invariant: the file is replaced whole and synced before a change is reported; a reader sees the old keys or the new.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use captura_names::Timestamp;
use captura_wire::sigv4::Secret;
use serde::{Deserialize, Serialize};

use crate::key::{Key, Kind, NewKey, Proof};
use crate::policy::Policy;
use crate::private::{self, Lock, Version};
use crate::seal::Master;

/// Name of the folder below the data directory.
pub const FOLDER: &str = "keys";
const KEYS_FILE: &str = "keys.json";
const MASTER_FILE: &str = "master.key";
const LOCK_FILE: &str = "lock";
/// What the first start leaves for the operator, in the form of AWS's credentials files.
const ADMIN_FILE: &str = "admin-credentials";
/// Most keys in one store.
const KEYS_MAX: usize = 10_000;
/// Longest description, bytes.
const DESCRIPTION_MAX_BYTES: usize = 1_024;
/// Version of the file's form.
const FORM: u32 = 2;
/// The version before there were API keys, which is still read.
const FORM_WITHOUT_API_KEYS: u32 = 1;

/// Why keys cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file cannot be used.
    #[error("cannot use {path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The keys' file is not one.
    #[error("{path} is no file of keys: {why}", path = path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// No key has that id.
    #[error("there is no key {0}; `captura keys list` shows those there are")]
    NoSuchKey(String),
    /// The store is full.
    #[error("there are as many keys as there may be, {KEYS_MAX}")]
    TooMany,
    /// A description that is too long, or a policy that is too large.
    #[error("the {0} is too long")]
    TooLong(&'static str),
}

/// A key that was just made: the only moment at which its secret can be read.
#[derive(Debug)]
pub struct Created {
    /// The key.
    pub key: Key,
    /// Its secret.
    pub secret: Secret,
}

/// The keys of one data directory.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

/// `keys.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    version: u32,
    keys: Vec<KeyForm>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyForm {
    id: String,
    consumer: String,
    #[serde(default)]
    description: String,
    created: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked: Option<String>,
    policy: Policy,
    /// Of an access key: nonce, ciphertext and tag of AES-256-GCM, in base 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// Of an API key: SHA-256 of its text, in base 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
}

impl Store {
    /// The keys below that data directory, which need not be there yet.
    #[must_use]
    pub fn new(data_dir: &Path) -> Self {
        Self { folder: data_dir.join(FOLDER) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Which version of the keys is there now.
    pub(crate) fn version(&self) -> Option<Version> {
        private::version(&self.path(KEYS_FILE))
    }

    /// All keys, in the order in which they were made, and which version of them this is.
    pub(crate) fn read(&self) -> Result<(Vec<Key>, Option<Version>), StoreError> {
        let path = self.path(KEYS_FILE);
        let (bytes, version) = match private::read(&path) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), None)),
            Err(source) => return Err(StoreError::File { path, source }),
        };
        let damaged = |why: String| StoreError::Damaged { path: path.clone(), why };
        let form: Form = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if !(FORM_WITHOUT_API_KEYS..=FORM).contains(&form.version) {
            return Err(damaged(format!(
                "its form is version {}, and this captura knows versions up to {FORM}",
                form.version
            )));
        }
        let master_path = self.path(MASTER_FILE);
        let master = Master::open(&master_path).map_err(|source| StoreError::File { path: master_path, source })?;
        let keys = form.keys.into_iter().map(|key| key.read(&master)).collect::<Result<_, _>>().map_err(damaged)?;
        Ok((keys, Some(version)))
    }

    /// All keys, in the order in which they were made.
    ///
    /// # Errors
    /// When the files cannot be read, others can read them, or they are damaged.
    pub fn keys(&self) -> Result<Vec<Key>, StoreError> {
        Ok(self.read()?.0)
    }

    /// Makes a key.
    ///
    /// # Errors
    /// When the files cannot be used, or what is wished is too large.
    pub fn create(&self, wished: NewKey, now: Timestamp) -> Result<Created, StoreError> {
        if wished.description.len() > DESCRIPTION_MAX_BYTES {
            return Err(StoreError::TooLong("description"));
        }
        if !wished.policy.is_bounded() {
            return Err(StoreError::TooLong("policy"));
        }
        let no_chance = |_| StoreError::File {
            path: self.folder.clone(),
            source: io::Error::other("the system gives no randomness"),
        };
        let (key, secret) = Key::make(wished, now).map_err(no_chance)?;
        self.change(|keys| {
            if keys.len() >= KEYS_MAX {
                return Err(StoreError::TooMany);
            }
            keys.push(key.clone());
            Ok(())
        })?;
        Ok(Created { key, secret })
    }

    /// Revokes a key; a running server lets it in no more within a second. A key that is revoked already stays so.
    ///
    /// # Errors
    /// When there is no such key, or the files cannot be used.
    pub fn revoke(&self, id: &str, now: Timestamp) -> Result<Key, StoreError> {
        let mut revoked = None;
        self.change(|keys| {
            let key = keys.iter_mut().find(|key| key.id == id).ok_or_else(|| StoreError::NoSuchKey(id.to_owned()))?;
            key.revoked.get_or_insert(now);
            revoked = Some(key.clone());
            Ok(())
        })?;
        Ok(revoked.expect("our bug: a change that succeeded has found its key"))
    }

    /// The first key, for whoever starts a server that has none: it may do everything, and is written to a file that
    /// only its owner can read, in the form of AWS's credentials files. Gives the file; nothing when there are keys.
    ///
    /// # Errors
    /// When the files cannot be used.
    pub fn create_admin_if_empty(&self, now: Timestamp) -> Result<Option<PathBuf>, StoreError> {
        if !self.keys()?.is_empty() {
            return Ok(None);
        }
        let wished = NewKey {
            kind: Kind::AccessKey,
            consumer: Some("admin".parse().expect("our bug: admin is a name")),
            description: "made at the first start".into(),
            expires: None,
            policy: Policy::default(),
        };
        let Created { key, secret } = self.create(wished, now)?;
        let text = zeroize::Zeroizing::new(format!(
            "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
            key.id,
            secret.expose()
        ));
        let path = self.path(ADMIN_FILE);
        private::replace(&path, text.as_bytes()).map_err(|source| StoreError::File { path: path.clone(), source })?;
        Ok(Some(path))
    }

    /// Reads, changes and writes the keys, while nobody else does.
    fn change(&self, act: impl FnOnce(&mut Vec<Key>) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let at = |name: &str| {
            let path = self.path(name);
            move |source| StoreError::File { path, source }
        };
        private::create_folder(&self.folder)
            .map_err(|source| StoreError::File { path: self.folder.clone(), source })?;
        let _lock = Lock::take(&self.path(LOCK_FILE)).map_err(at(LOCK_FILE))?;
        let (mut keys, _) = self.read()?;
        act(&mut keys)?;
        let master = Master::open_or_create(&self.path(MASTER_FILE)).map_err(at(MASTER_FILE))?;
        let forms =
            keys.iter().map(|key| KeyForm::of(key, &master)).collect::<Result<_, _>>().map_err(at(KEYS_FILE))?;
        let mut text =
            serde_json::to_vec_pretty(&Form { version: FORM, keys: forms }).expect("our bug: keys are text and lists");
        text.push(b'\n');
        private::replace(&self.path(KEYS_FILE), &text).map_err(at(KEYS_FILE))
    }
}

impl KeyForm {
    fn of(key: &Key, master: &Master) -> io::Result<Self> {
        let (secret, digest) = match &key.proof {
            Proof::Secret(secret) => (Some(master.seal(secret, &key.id)?), None),
            Proof::Digest(digest) => (None, Some(STANDARD.encode(digest))),
        };
        Ok(Self {
            id: key.id.clone(),
            consumer: key.consumer.to_string(),
            description: key.description.clone(),
            created: key.created.to_string(),
            expires: key.expires.map(|at| at.to_string()),
            revoked: key.revoked.map(|at| at.to_string()),
            policy: key.policy.clone(),
            secret,
            digest,
        })
    }

    /// The error tells what is wrong with it.
    fn read(self, master: &Master) -> Result<Key, String> {
        let moment = |text: &str| Timestamp::parse(text).map_err(|error| error.to_string());
        let proof = match (&self.secret, &self.digest) {
            (Some(sealed), None) => master.unseal(sealed, &self.id).map(Proof::Secret),
            (None, Some(digest)) => {
                STANDARD.decode(digest).ok().and_then(|bytes| bytes.try_into().ok()).map(Proof::Digest)
            }
            _ => None,
        };
        Ok(Key {
            consumer: self.consumer.parse().map_err(|error: crate::InvalidConsumerName| error.to_string())?,
            created: moment(&self.created)?,
            expires: self.expires.as_deref().map(moment).transpose()?,
            revoked: self.revoked.as_deref().map(moment).transpose()?,
            proof: proof.ok_or_else(|| format!("the secret of {} does not open with {MASTER_FILE}", self.id))?,
            id: self.id,
            description: self.description,
            policy: self.policy,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn wished() -> NewKey {
        NewKey {
            kind: Kind::AccessKey,
            consumer: Some("billing".parse().unwrap()),
            description: "nightly".into(),
            expires: None,
            policy: Policy::default(),
        }
    }

    fn now() -> Timestamp {
        Timestamp::parse("2026-01-31T12:00:00Z").unwrap()
    }

    #[test]
    fn a_key_is_kept_sealed_and_comes_back_whole() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        assert!(store.keys().unwrap().is_empty());
        let created = store.create(wished(), now()).unwrap();
        let kept = Store::new(dir.path()).keys().unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!((kept[0].id.as_str(), kept[0].consumer.as_str()), (created.key.id.as_str(), "billing"));
        assert_eq!(kept[0].secret().unwrap().expose(), created.secret.expose());
        for name in [KEYS_FILE, MASTER_FILE, LOCK_FILE] {
            let path = dir.path().join(FOLDER).join(name);
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{name}");
            let bytes = std::fs::read(&path).unwrap();
            let secret = created.secret.expose().as_bytes();
            assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{name} holds the secret");
        }
        assert_eq!(dir.path().join(FOLDER).metadata().unwrap().permissions().mode() & 0o777, 0o700);

        let revoked = store.revoke(&created.key.id, now()).unwrap();
        assert_eq!(revoked.revoked, Some(now()));
        assert_eq!(store.keys().unwrap()[0].revoked, Some(now()));
        assert!(matches!(store.revoke("AKIANOBODY", now()), Err(StoreError::NoSuchKey(_))));
    }

    #[test]
    fn of_an_api_key_the_disk_holds_nothing_that_opens() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        let created = store.create(NewKey { kind: Kind::ApiKey, ..wished() }, now()).unwrap();
        let text = std::fs::read_to_string(dir.path().join(FOLDER).join(KEYS_FILE)).unwrap();
        let chance = created.secret.expose().split_once('.').unwrap().1;
        assert!(!text.contains(chance) && text.contains("\"digest\""), "{text}");
        let kept = store.keys().unwrap().remove(0);
        assert!(kept.opens(created.secret.expose()) && !kept.opens(chance));
    }

    #[test]
    fn keys_of_before_there_were_api_keys_are_still_read() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        let created = store.create(wished(), now()).unwrap();
        let path = dir.path().join(FOLDER).join(KEYS_FILE);
        let text = std::fs::read_to_string(&path).unwrap();
        private::replace(&path, text.replace("\"version\": 2", "\"version\": 1").as_bytes()).unwrap();
        assert_eq!(store.keys().unwrap()[0].secret().unwrap().expose(), created.secret.expose());
    }

    #[test]
    fn files_that_others_can_read_are_not_opened() {
        for name in [KEYS_FILE, MASTER_FILE] {
            for mode in [0o640, 0o604, 0o660, 0o644] {
                let dir = tempfile::tempdir().unwrap();
                let store = Store::new(dir.path());
                store.create(wished(), now()).unwrap();
                let path = dir.path().join(FOLDER).join(name);
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
                let error = store.keys().unwrap_err().to_string();
                assert!(error.contains("others may read it") && error.contains(name), "{error}");
                assert!(store.create(wished(), now()).is_err(), "nor written over");
            }
        }
    }

    #[test]
    fn a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        store.create(wished(), now()).unwrap();
        let (path, moved) = (dir.path().join(FOLDER).join(KEYS_FILE), dir.path().join("elsewhere"));
        std::fs::rename(&path, &moved).unwrap();
        std::os::unix::fs::symlink(&moved, &path).unwrap();
        assert!(matches!(store.keys(), Err(StoreError::File { .. })));
    }

    #[test]
    fn what_is_damaged_is_told_and_not_taken_for_an_empty_store() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        store.create(wished(), now()).unwrap();
        let path = dir.path().join(FOLDER).join(KEYS_FILE);
        let text = std::fs::read_to_string(&path).unwrap();
        for damaged in [&text[..40], &text.replace("\"version\": 2", "\"version\": 3"), &text.replace("AKIA", "AKIB")] {
            private::replace(&path, damaged.as_bytes()).unwrap();
            assert!(matches!(store.keys(), Err(StoreError::Damaged { .. })), "{damaged}");
            assert!(store.create_admin_if_empty(now()).is_err());
        }
    }

    #[test]
    fn the_first_start_leaves_one_admin_in_a_file_of_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        let path = store.create_admin_if_empty(now()).unwrap().unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(&path).unwrap();
        let key = &store.keys().unwrap()[0];
        assert!(text.contains(&key.id) && text.contains(key.secret().unwrap().expose()), "usable as it is");
        assert_eq!(store.create_admin_if_empty(now()).unwrap(), None);
        assert_eq!(store.keys().unwrap().len(), 1);
    }

    #[test]
    fn two_command_lines_at_one_time_lose_no_key() {
        let dir = tempfile::tempdir().unwrap();
        let making = |_| {
            let store = Store::new(dir.path());
            move || (0..5).for_each(|_| drop(store.create(wished(), now()).unwrap()))
        };
        std::thread::scope(|scope| (0..4).map(making).for_each(|make| drop(scope.spawn(make))));
        assert_eq!(Store::new(dir.path()).keys().unwrap().len(), 20);
    }
}
