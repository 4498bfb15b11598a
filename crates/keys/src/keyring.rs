//! The keys as a running server knows them: read at the start, and again when the file has changed.
//!
//! Invariant: a file that cannot be read leaves the keys as they were, loudly: an unreadable file locks nobody out and
//! lets nobody in.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use captura_names::Timestamp;

use crate::key::Key;
use crate::private::Version;
use crate::store::{Store, StoreError};

/// How often the file is looked at while nobody asks for an unknown key, microseconds.
const LOOK_INTERVAL_US: i64 = 500_000;

/// Keys by their ids.
pub(crate) type Keys = HashMap<String, Arc<Key>>;

/// The keys as a running server knows them.
#[derive(Debug)]
pub struct Keyring {
    store: Store,
    keys: RwLock<Arc<Keys>>,
    /// Version of the file that was last tried, readable or not.
    tried: Mutex<Option<Version>>,
    looked_at_us: AtomicI64,
}

impl Keyring {
    /// Reads the keys.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn open(store: Store) -> Result<Self, StoreError> {
        let (keys, version) = store.read()?;
        Ok(Self {
            store,
            keys: RwLock::new(Arc::new(by_id(keys))),
            tried: Mutex::new(version),
            looked_at_us: AtomicI64::new(0),
        })
    }

    /// The keys, at most half a second old.
    pub(crate) fn current(&self, now: Timestamp) -> Arc<Keys> {
        let (now, looked) = (now.unix_us(), self.looked_at_us.load(Ordering::Relaxed));
        // A clock that was set back looks at once.
        if !(looked..looked.saturating_add(LOOK_INTERVAL_US)).contains(&now) {
            self.looked_at_us.store(now, Ordering::Relaxed);
            self.look();
        }
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at the file; whether it was another one than before.
    pub(crate) fn look(&self) -> bool {
        let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        let found = self.store.version();
        if *tried == found {
            return false;
        }
        match self.store.read() {
            Ok((keys, version)) => {
                *tried = version;
                tracing::info!(keys = keys.len(), "the access keys have changed");
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(by_id(keys));
                true
            }
            Err(error) => {
                *tried = found;
                tracing::error!(%error, "the access keys have changed and cannot be read; the ones before stay");
                false
            }
        }
    }
}

fn by_id(keys: Vec<Key>) -> Keys {
    keys.into_iter().map(|key| (key.id.clone(), Arc::new(key))).collect()
}
