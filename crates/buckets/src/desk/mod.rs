//! What S3's operations do: each takes its input apart, asks the stores, and puts its answer together.
//!
//! Operations that are not here are answered by the library with `NotImplemented`, each by its name.
//!
//! Refuses to: accept what would not be done: encryption with the caller's own key, locks, access lists, versions.

mod answers;
mod buckets;
mod lists;
mod objects;
mod parts;
mod service;
mod tags;

use std::path::PathBuf;
use std::sync::Arc;

use captura_archive::{StoreError, Stores};

pub(crate) use service::Service;

use crate::arrival::Arrival;
use crate::bucket::{Bucket, Room};
use crate::disk::blocking;
use crate::key;
use crate::local::{Local, Now, Shared};
use crate::object::BODY_MAX_BYTES;
use crate::refusal::{Refusal, Result};
use crate::remote::Remote;
use crate::uploads::Uploads;

/// Uploads share locks; more locks than completions at one time.
const COMPLETIONS: usize = 16;

/// Everything that operations work with.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) stores: Stores,
    pub(crate) shared: Arc<Shared>,
    pub(crate) uploads: Uploads,
    pub(crate) spool: PathBuf,
    pub(crate) region: String,
    pub(crate) account: String,
    pub(crate) now: Now,
    completing: Arc<[tokio::sync::Mutex<()>; COMPLETIONS]>,
}

/// What a desk is made of.
pub(crate) struct Furniture {
    pub(crate) stores: Stores,
    pub(crate) shared: Shared,
    pub(crate) uploads: Uploads,
    pub(crate) spool: PathBuf,
    pub(crate) region: String,
    pub(crate) account: String,
    pub(crate) now: Now,
}

impl Desk {
    pub(crate) fn new(furniture: Furniture) -> Self {
        let Furniture { stores, shared, uploads, spool, region, account, now } = furniture;
        let completing = Arc::new([const { tokio::sync::Mutex::const_new(()) }; COMPLETIONS]);
        Self { stores, shared: Arc::new(shared), uploads, spool, region, account, now, completing }
    }

    /// A bucket that is to be read.
    async fn existing(&self, name: &str) -> Result<Bucket> {
        let uri = key::bucket(name)?;
        let desk = self.clone();
        blocking(move || {
            let (store, _) = desk.stores.resolve_existing(&uri).map_err(of_stores)?;
            match desk.stores.folder(&uri).map_err(of_stores)? {
                Some(folder) => Ok(desk.local(uri.bucket(), folder)),
                None => Ok(Bucket::Remote(Remote { store })),
            }
        })
        .await
    }

    /// A bucket that is to be written: a local one comes into being on first use.
    async fn made(&self, name: &str) -> Result<Bucket> {
        let uri = key::bucket(name)?;
        let desk = self.clone();
        blocking(move || match desk.stores.folder(&uri).map_err(of_stores)? {
            Some(folder) => Ok(desk.local(uri.bucket(), folder)),
            None => desk.stores.resolve(&uri).map(|(store, _)| Bucket::Remote(Remote { store })).map_err(of_stores),
        })
        .await
    }

    fn local(&self, name: &str, folder: captura_archive::folder::Folder) -> Bucket {
        Bucket::Local(Local { name: name.to_owned(), folder, shared: Arc::clone(&self.shared) })
    }

    fn room(&self) -> Room<'_> {
        Room { spool: &self.spool, max_bytes: BODY_MAX_BYTES }
    }

    /// Only one completes an upload at one time; another waits, and then finds it done.
    async fn completing(&self, id: &str) -> tokio::sync::MutexGuard<'_, ()> {
        let sum: usize = id.bytes().map(usize::from).sum();
        self.completing[sum % COMPLETIONS].lock().await
    }
}

fn of_stores(error: StoreError) -> Refusal {
    match error {
        StoreError::NoSuchBucket { .. } => Refusal::NoSuchBucket,
        StoreError::Address(_) => Refusal::BucketName,
        StoreError::Folder { source, .. } => Refusal::Disk(source),
        other => Refusal::Mapping(other.to_string()),
    }
}

fn arrival<T>(request: &s3s::S3Request<T>) -> Arrival {
    request.extensions.get::<Arrival>().cloned().unwrap_or_default()
}

/// There are no versions: the only one there is has the id `null`.
fn only_version(id: Option<&str>) -> Result<()> {
    match id {
        None | Some("null" | "") => Ok(()),
        Some(_) => Err(Refusal::Argument("Invalid version id specified: buckets here keep one version".into())),
    }
}
