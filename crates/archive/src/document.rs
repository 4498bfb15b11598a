//! A single file at an address: the artefacts of analysis, written as a whole.
//!
//! Invariant: whoever reads sees the old bytes or the new ones, never a part; in a folder they are synced.
//! Refuses to: append.

use std::sync::Arc;

use bytes::Bytes;
use captura_names::{InvalidS3Uri, S3Uri};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, WriteMultipart};

use crate::stores::{StoreError, Stores};

/// Why a file cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The address is none.
    #[error(transparent)]
    Address(#[from] InvalidS3Uri),
    /// The path ends in no file name.
    #[error("{0} names no file")]
    NoName(String),
    /// The address leads to no store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The folder cannot be made.
    #[error("cannot make folder {folder}: {source}")]
    Folder {
        /// The folder.
        folder: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The store refuses it.
    #[error("cannot write {address}: {source}")]
    Put {
        /// The file.
        address: String,
        /// What the store says.
        source: object_store::Error,
    },
}

/// Writes `bytes` at `s3://…`, `file://…` or a plain path; buckets and folders on the way come into being.
///
/// # Errors
/// When the address leads nowhere or the store refuses.
pub async fn write(stores: &Stores, address: &str, bytes: Bytes) -> Result<(), WriteError> {
    let (store, path) = place(stores, address)?;
    store.put(&path, bytes.into()).await.map_err(put_failed(address))?;
    Ok(())
}

/// Parts of a draft on their way to the store at once; each has 5 MiB, which S3 asks for.
const PARTS_ON_THEIR_WAY: usize = 2;

/// A file that is too large to be held, on its way: nobody sees it before it is finished.
pub struct Draft {
    address: String,
    upload: WriteMultipart,
}

impl Draft {
    /// Begins a file, with addresses as those of [`write()`].
    ///
    /// # Errors
    /// When the address leads nowhere or the store refuses.
    pub async fn begin(stores: &Stores, address: &str) -> Result<Self, WriteError> {
        let (store, path) = place(stores, address)?;
        let upload = store.put_multipart(&path).await.map_err(put_failed(address))?;
        Ok(Self { address: address.to_owned(), upload: WriteMultipart::new(upload) })
    }

    /// Adds to it.
    ///
    /// # Errors
    /// When the store refuses a part.
    pub async fn push(&mut self, bytes: Bytes) -> Result<(), WriteError> {
        self.upload.wait_for_capacity(PARTS_ON_THEIR_WAY).await.map_err(put_failed(&self.address))?;
        self.upload.put(bytes);
        Ok(())
    }

    /// Puts the file in the place of what was there.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn finish(self) -> Result<(), WriteError> {
        self.upload.finish().await.map(drop).map_err(put_failed(&self.address))
    }

    /// Gives it up: what was there stays.
    ///
    /// # Errors
    /// When the store refuses to forget the parts.
    pub async fn abandon(self) -> Result<(), WriteError> {
        self.upload.abort().await.map_err(put_failed(&self.address))
    }
}

fn put_failed(address: &str) -> impl Fn(object_store::Error) -> WriteError {
    move |source| WriteError::Put { address: address.to_owned(), source }
}

/// Where a file is written; its folder is there afterwards.
fn place(stores: &Stores, address: &str) -> Result<(Arc<dyn ObjectStore>, Path), WriteError> {
    if address.starts_with("s3://") {
        return Ok(stores.resolve(&S3Uri::parse(address)?)?);
    }
    let file = std::path::Path::new(address.strip_prefix("file://").unwrap_or(address));
    let name = file.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| WriteError::NoName(address.to_owned()))?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(std::path::Path::new(".")).display().to_string();
    std::fs::create_dir_all(&folder).map_err(|source| WriteError::Folder { folder: folder.clone(), source })?;
    let place = stores.place(&folder)?;
    Ok((place.store, place.path.join(name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::StoreSettings;

    #[tokio::test]
    async fn files_are_replaced_in_folders_and_buckets() {
        let dir = tempfile::tempdir().unwrap();
        let stores = Stores::new(StoreSettings { data_dir: dir.path().to_owned(), mappings: Default::default() });
        let local = dir.path().join("a/b/c.json").display().to_string();
        for text in ["first, and longer", "second"] {
            write(&stores, &local, text.into()).await.unwrap();
            write(&stores, "s3://reports/x/c.json", text.into()).await.unwrap();
        }
        assert_eq!(std::fs::read_to_string(local).unwrap(), "second");
        assert_eq!(std::fs::read_to_string(dir.path().join("buckets/reports/x/c.json")).unwrap(), "second");
    }

    #[tokio::test]
    async fn a_draft_takes_the_place_of_a_file_when_it_is_finished_and_leaves_nothing_when_it_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let stores = Stores::new(StoreSettings { data_dir: dir.path().to_owned(), mappings: Default::default() });
        let local = dir.path().join("a/c.json");
        for address in [&local.display().to_string(), "s3://reports/x/c.json"] {
            write(&stores, address, "old".into()).await.unwrap();
            let file =
                if address.starts_with("s3") { dir.path().join("buckets/reports/x/c.json") } else { local.clone() };
            let mut draft = Draft::begin(&stores, address).await.unwrap();
            let part: Bytes = vec![b'7'; 3 << 20].into();
            for _ in 0..5 {
                draft.push(part.clone()).await.unwrap();
            }
            assert_eq!(std::fs::read(&file).unwrap(), b"old");
            draft.abandon().await.unwrap();
            assert_eq!(std::fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
            let mut draft = Draft::begin(&stores, address).await.unwrap();
            draft.push("new".into()).await.unwrap();
            draft.push(part).await.unwrap();
            draft.finish().await.unwrap();
            assert_eq!(std::fs::read(&file).unwrap().len(), 3 + (3 << 20));
        }
    }

    #[tokio::test]
    async fn addresses_without_a_name_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let stores = Stores::new(StoreSettings { data_dir: dir.path().to_owned(), mappings: Default::default() });
        assert!(matches!(write(&stores, "/", Bytes::new()).await, Err(WriteError::NoName(_))));
        assert!(matches!(write(&stores, "s3://B/x", Bytes::new()).await, Err(WriteError::Address(_))));
    }
}
