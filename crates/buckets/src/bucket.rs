//! A bucket, wherever it is, and an object on its way into it.
//!
//! Invariant: an object is placed whole, once, and after everything about it was checked.

use std::ops::Range;
use std::path::{Path, PathBuf};

use captura_archive::folder::Staged;

use crate::condition::WriteCondition;
use crate::digest::{Digested, Digests};
use crate::disk::blocking;
use crate::facts::Facts;
use crate::key::Key;
use crate::listing::{Gather, Page, Query};
use crate::local::{Local, read};
use crate::object::{Object, Pieces, Take, pour};
use crate::refusal::{Refusal, Result};
use crate::remote::{Remote, Spool};

/// A bucket.
#[derive(Clone)]
pub(crate) enum Bucket {
    Local(Local),
    Remote(Remote),
}

/// An object whose bytes are open: they stay these, whatever happens to its key.
pub(crate) enum Opened {
    File(std::fs::File),
    Remote { bucket: Remote, key: Key, e_tag: String },
}

impl Opened {
    /// Its bytes from one place to another.
    pub(crate) async fn read(self, range: Range<u64>) -> Result<Pieces> {
        match self {
            Self::File(file) => Ok(read(file, range)),
            Self::Remote { bucket, key, e_tag } => bucket.read(&key, range, &e_tag).await,
        }
    }
}

/// An object that is being written.
pub(crate) enum Draft {
    Staged(Staged),
    Spool(Spool),
}

impl Take for Draft {
    fn take(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Staged(staged) => staged.take(bytes),
            Self::Spool(spool) => spool.take(bytes),
        }
    }
}

impl Bucket {
    /// Opens an object.
    pub(crate) async fn open(&self, key: &Key) -> Result<(Object, Opened)> {
        match self {
            Self::Local(local) => {
                let (local, key) = (local.clone(), key.clone());
                blocking(move || local.open(&key)).await.map(|(object, file)| (object, Opened::File(file)))
            }
            Self::Remote(_) if key.is_folder() => Err(Refusal::NoSuchKey),
            Self::Remote(bucket) => {
                let object = bucket.look(key).await?;
                let e_tag = object.facts.e_tag.clone();
                Ok((object, Opened::Remote { bucket: bucket.clone(), key: key.clone(), e_tag }))
            }
        }
    }

    /// Looks at an object.
    pub(crate) async fn look(&self, key: &Key) -> Result<Object> {
        match self {
            Self::Local(local) => {
                let (local, key) = (local.clone(), key.clone());
                blocking(move || local.look(&key)).await
            }
            Self::Remote(_) if key.is_folder() => Err(Refusal::NoSuchKey),
            Self::Remote(bucket) => bucket.look(key).await,
        }
    }

    /// Writes bytes, which are no object yet. `spool` is a folder for those of services.
    pub(crate) async fn draft(
        &self,
        key: &Key,
        from: Pieces,
        digests: Digests,
        room: Room<'_>,
    ) -> Result<(Draft, Digested)> {
        let draft = match self {
            Self::Local(local) => {
                let (local, key) = (local.clone(), key.clone());
                Draft::Staged(blocking(move || local.stage(&key)).await?)
            }
            Self::Remote(_) => {
                let folder = room.spool.to_owned();
                Draft::Spool(blocking(move || Spool::create(&folder)).await?)
            }
        };
        pour(from, draft, digests, room.max_bytes).await
    }

    /// Makes an object of what was written.
    pub(crate) async fn place(
        &self,
        draft: Draft,
        key: &Key,
        facts: Facts,
        condition: WriteCondition,
    ) -> Result<Object> {
        match (self, draft) {
            (Self::Local(local), Draft::Staged(staged)) => {
                let (local, key) = (local.clone(), key.clone());
                blocking(move || local.place(staged, &key, facts, &condition)).await
            }
            (Self::Remote(bucket), Draft::Spool(spool)) => bucket.place(spool, key, facts, &condition).await,
            _ => unreachable!("our bug: a draft belongs to the bucket that made it"),
        }
    }

    /// Makes a folder an object without bytes.
    pub(crate) async fn place_folder(&self, key: &Key, facts: Facts, condition: WriteCondition) -> Result<Object> {
        let (local, key) = (self.local("folders that are objects")?.clone(), key.clone());
        blocking(move || local.place_folder(&key, facts, &condition)).await
    }

    /// Removes an object; one that is not there is gone already.
    pub(crate) async fn remove(&self, key: &Key, condition: WriteCondition) -> Result<()> {
        match self {
            Self::Local(local) => {
                let (local, key) = (local.clone(), key.clone());
                blocking(move || local.remove(&key, &condition)).await
            }
            Self::Remote(_) if key.is_folder() => Ok(()),
            Self::Remote(bucket) => bucket.remove(key, &condition).await,
        }
    }

    /// A page of its listing.
    pub(crate) async fn list(&self, query: Query) -> Result<Page> {
        let mut gather = Gather::new(query);
        match self {
            Self::Local(local) => {
                let local = local.clone();
                blocking(move || local.walk(&mut gather).map(|()| gather.page())).await
            }
            Self::Remote(bucket) => {
                bucket.walk(&mut gather).await?;
                Ok(gather.page())
            }
        }
    }

    /// The local bucket.
    ///
    /// # Errors
    /// When it is at a service, which does not do `what` through here.
    pub(crate) fn local(&self, what: &str) -> Result<&Local> {
        match self {
            Self::Local(local) => Ok(local),
            Self::Remote(_) => Err(Refusal::NotThere(format!("{what} of a bucket that is mapped to a service"))),
        }
    }
}

/// How much may be written, and where what cannot be written in place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room<'a> {
    pub(crate) spool: &'a Path,
    pub(crate) max_bytes: u64,
}

/// Below the data directory: what is on its way into buckets.
pub(crate) fn uploads_folder(data_dir: &Path) -> PathBuf {
    data_dir.join("bucket-uploads")
}
