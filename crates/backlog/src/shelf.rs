//! The folder of the queue: one file per call.
//!
//! `{number}-{starts}.call`: the number orders the calls and is never used twice; `starts` says how often the call was begun
//! without an end, so that a call which kills the server is not begun for ever. `.part` files are calls that were never
//! accepted; `.damaged` files are set aside for people.
//!
//! Invariant: a file has its `.call` name only when its bytes are synced, and [`Shelf::put`] says yes only when its name is.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use captura_route::Deferred;

use crate::disk::Disk;
use crate::entry;

const CALL: &str = "call";
const PART: &str = "part";
const DAMAGED: &str = "damaged";

/// Which call on the shelf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) number: u64,
    pub(crate) starts: u32,
}

impl Name {
    fn parse(path: &Path) -> Option<Self> {
        let stem = path.file_stem()?.to_str().filter(|_| path.extension() == Some(OsStr::new(CALL)))?;
        let (number, starts) = stem.split_once('-')?;
        Some(Self { number: u64::from_str_radix(number, 16).ok()?, starts: starts.parse().ok()? })
    }
}

/// What was found on the shelf.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// In the order of their numbers, with their sizes.
    pub(crate) calls: Vec<(Name, Deferred, u64)>,
    pub(crate) damaged: u64,
}

#[derive(Debug)]
pub(crate) struct Shelf {
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    next: AtomicU64,
}

impl Shelf {
    /// Opens the folder and reads what lies there.
    pub(crate) fn open(dir: &Path, disk: Arc<dyn Disk>) -> io::Result<(Self, Found)> {
        std::fs::create_dir_all(dir)?;
        let shelf = Self { dir: dir.to_owned(), disk, next: AtomicU64::new(0) };
        let mut found = Found::default();
        for file in std::fs::read_dir(dir)? {
            let path = file?.path();
            if path.extension() == Some(OsStr::new(PART)) {
                // Was never accepted; one that cannot be removed is overwritten some day.
                let _ = shelf.disk.remove(&path);
            }
            let Some(name) = Name::parse(&path) else { continue };
            shelf.next.fetch_max(name.number + 1, Ordering::Relaxed);
            let bytes = Bytes::from(std::fs::read(&path)?);
            match entry::decode(&bytes) {
                Ok((deferred, _)) => found.calls.push((name, deferred, bytes.len() as u64)),
                Err(error) => {
                    tracing::error!(path = %path.display(), %error, "a damaged call is set aside");
                    found.damaged += 1;
                    shelf.set_aside(name)?;
                }
            }
        }
        found.calls.sort_by_key(|(name, ..)| *name);
        // A rename that a crash undid half may leave both names of a call.
        found.calls.dedup_by_key(|(name, ..)| name.number);
        Ok((shelf, found))
    }

    /// Puts a call on the shelf. When this says yes it survives everything that the disk survives.
    pub(crate) fn put(&self, deferred: &Deferred, body: &[u8]) -> io::Result<(Name, u64)> {
        let name = Name { number: self.next.fetch_add(1, Ordering::Relaxed), starts: 0 };
        let (fixed, head) = entry::encode(deferred, body);
        let (part, call) = (self.dir.join(format!("{:016x}.{PART}", name.number)), self.path(name));
        let placed = self.disk.write(&part, &[&fixed, &head, body]).and_then(|()| {
            self.disk.rename(&part, &call)?;
            self.disk.sync_folder(&self.dir)
        });
        if let Err(error) = placed {
            // Refused, so it should not be run either; a file that cannot be removed may be, which is no harm.
            let _ = self.disk.remove(&part);
            let _ = self.disk.remove(&call);
            return Err(error);
        }
        Ok((name, (fixed.len() + head.len() + body.len()) as u64))
    }

    /// Reads a call with its payload.
    pub(crate) fn read(&self, name: Name) -> io::Result<(Deferred, Bytes)> {
        let bytes = Bytes::from(std::fs::read(self.path(name))?);
        entry::decode(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Says on the disk how often the call was begun. It need not survive power loss: what it guards against is a server
    /// that dies of the call, and the system keeps names that a dead process gave.
    pub(crate) fn begun(&self, name: Name, starts: u32) -> io::Result<Name> {
        let begun = Name { starts, ..name };
        self.disk.rename(&self.path(name), &self.path(begun))?;
        Ok(begun)
    }

    /// Takes a call off the shelf.
    pub(crate) fn remove(&self, name: Name) -> io::Result<()> {
        self.disk.remove(&self.path(name))
    }

    /// Keeps a damaged call for people.
    pub(crate) fn set_aside(&self, name: Name) -> io::Result<()> {
        let path = self.path(name);
        self.disk.rename(&path, &path.with_extension(DAMAGED))
    }

    fn path(&self, name: Name) -> PathBuf {
        self.dir.join(format!("{:016x}-{}.{CALL}", name.number, name.starts))
    }
}
