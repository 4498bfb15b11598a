//! What waits to be sent to one webhook: a file per notice, in the order in which they were told.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use captura_names::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;

use crate::webhook::Webhook;

/// Most notices that wait for one webhook; the next one is dropped.
pub const WAITING_MAX: usize = 10_000;

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the folder of notices {path} cannot be used: {source}", path = path.display())]
pub struct OpenError {
    /// The folder.
    pub path: PathBuf,
    /// Why not.
    pub source: io::Error,
}

/// A notice on its way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Notice {
    pub(crate) topic: String,
    /// `Notification` or `Event`.
    pub(crate) kind: String,
    pub(crate) told_us: i64,
    pub(crate) body: Value,
}

/// What waits for one webhook.
#[derive(Debug)]
pub(crate) struct Outbox {
    pub(crate) webhook: Webhook,
    pub(crate) keep: Duration,
    pub(crate) delivered: AtomicU64,
    pub(crate) dropped: AtomicU64,
    /// Rings when something was put in.
    pub(crate) bell: Notify,
    folder: PathBuf,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Numbers of the files, oldest first.
    numbers: VecDeque<u64>,
    next: u64,
}

impl Outbox {
    /// The folder is named by the address, so that each webhook finds its own again; of several with one address, each
    /// but the first by its `turn` too, so that none takes another's files for its own.
    pub(crate) fn open(folder: &Path, (webhook, turn): (Webhook, usize), keep: Duration) -> Result<Self, OpenError> {
        let digest = Sha256::digest(webhook.url.as_str().as_bytes());
        let name: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let folder = folder.join(if turn == 0 { name } else { format!("{name}-{turn}") });
        let open = || {
            std::fs::create_dir_all(&folder)?;
            let mut numbers = Vec::new();
            for entry in std::fs::read_dir(&folder)? {
                let name = entry?.file_name();
                let stem = name.to_str().and_then(|name| name.strip_suffix(".json"));
                let number: Option<u64> = stem.and_then(|stem| stem.parse().ok());
                numbers.extend(number);
            }
            numbers.sort_unstable();
            Ok(numbers)
        };
        let numbers: Vec<u64> = open().map_err(|source| OpenError { path: folder.clone(), source })?;
        let next = numbers.last().map_or(0, |last| last + 1);
        Ok(Self {
            webhook,
            keep,
            delivered: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            bell: Notify::new(),
            folder,
            waiting: Mutex::new(Waiting { numbers: numbers.into(), next }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:020}.json"))
    }

    pub(crate) fn waiting(&self) -> usize {
        self.lock().numbers.len()
    }

    /// Puts a notice on the disk. Blocks.
    pub(crate) fn put(&self, topic: &str, kind: &str, body: &Value, at: Timestamp) {
        let notice = Notice { topic: topic.into(), kind: kind.into(), told_us: at.unix_us(), body: body.clone() };
        let mut waiting = self.lock();
        if waiting.numbers.len() >= WAITING_MAX {
            self.drop_one(topic, "too many notices wait for this webhook");
            return;
        }
        let number = waiting.next;
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
            file.write_all(&serde_json::to_vec(&notice)?)?;
            file.as_file().sync_data()?;
            file.persist(self.file(number))?;
            std::fs::File::open(&self.folder)?.sync_all()
        };
        if let Err(error) = write() {
            self.drop_one(topic, &format!("it cannot be written: {error}"));
            return;
        }
        waiting.next += 1;
        waiting.numbers.push_back(number);
        drop(waiting);
        self.bell.notify_one();
    }

    /// The oldest notice; one that cannot be read is dropped. Blocks.
    pub(crate) fn first(&self) -> Option<(u64, Notice)> {
        loop {
            let number = *self.lock().numbers.front()?;
            let read = std::fs::read(self.file(number)).and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
            match read {
                Ok(notice) => return Some((number, notice)),
                Err(error) => {
                    self.drop_one("", &format!("it cannot be read: {error}"));
                    self.remove(number);
                }
            }
        }
    }

    /// Takes a notice out: it was delivered, or never will be. Blocks.
    pub(crate) fn remove(&self, number: u64) {
        self.lock().numbers.retain(|one| *one != number);
        if let Err(error) = std::fs::remove_file(self.file(number)) {
            tracing::warn!(%error, "a notice that is done with cannot be removed; it may be sent again after a restart");
        }
    }

    pub(crate) fn drop_one(&self, topic: &str, why: &str) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        tracing::error!(topic, host = self.webhook.url.host_str(), why, "a notice is dropped");
    }
}
