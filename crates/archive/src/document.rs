//! A single file at an address: the artefacts of analysis, written as a whole.
//!
//! Invariant: whoever reads sees the old bytes or the new ones, never a part; in a folder they are synced.
//! Refuses to: append.

use bytes::Bytes;
use captura_names::{InvalidS3Uri, S3Uri};
use object_store::ObjectStoreExt as _;

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
    let (store, path) = if address.starts_with("s3://") {
        stores.resolve(&S3Uri::parse(address)?)?
    } else {
        let file = std::path::Path::new(address.strip_prefix("file://").unwrap_or(address));
        let name = file.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| WriteError::NoName(address.to_owned()))?;
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(std::path::Path::new(".")).display().to_string();
        std::fs::create_dir_all(&folder).map_err(|source| WriteError::Folder { folder: folder.clone(), source })?;
        let place = stores.place(&folder)?;
        (place.store, place.path.join(name))
    };
    let failed = |source| WriteError::Put { address: address.to_owned(), source };
    store.put(&path, bytes.into()).await.map_err(failed)?;
    Ok(())
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
    async fn addresses_without_a_name_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let stores = Stores::new(StoreSettings { data_dir: dir.path().to_owned(), mappings: Default::default() });
        assert!(matches!(write(&stores, "/", Bytes::new()).await, Err(WriteError::NoName(_))));
        assert!(matches!(write(&stores, "s3://B/x", Bytes::new()).await, Err(WriteError::Address(_))));
    }
}
