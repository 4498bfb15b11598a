//! One level of a store: which folders and which objects lie directly below an address.
//!
//! Refuses to: say anything of what lies deeper, or of an object's bytes.

use captura_names::S3Uri;
use object_store::ObjectStore as _;

use crate::reader::ReadError;
use crate::stores::{StoreError, Stores};

/// What lies directly below an address, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Level {
    /// Folders, which hold something.
    pub folders: Vec<String>,
    /// Objects.
    pub objects: Vec<String>,
}

/// What lies directly below `address`. Where nothing is, a bucket that is not there included, nothing is found.
///
/// # Errors
/// When the address is none, or the store does not answer.
pub async fn level(stores: &Stores, address: &str) -> Result<Level, ReadError> {
    let uri = S3Uri::parse(address).map_err(StoreError::from)?;
    let (store, path) = match stores.resolve_existing(&uri) {
        Ok(found) => found,
        Err(StoreError::NoSuchBucket { .. }) => return Ok(Level::default()),
        Err(error) => return Err(error.into()),
    };
    let prefix = Some(&path).filter(|path| !path.as_ref().is_empty());
    let listed = store.list_with_delimiter(prefix).await;
    let listed = listed.map_err(|source| ReadError::List { address: address.to_owned(), source })?;
    let name = |path: &object_store::path::Path| path.filename().unwrap_or_default().to_owned();
    let mut level = Level {
        folders: listed.common_prefixes.iter().map(name).collect(),
        objects: listed.objects.iter().map(|object| name(&object.location)).collect(),
    };
    level.folders.sort_unstable();
    level.objects.sort_unstable();
    Ok(level)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::document;
    use crate::stores::StoreSettings;

    #[tokio::test]
    async fn a_level_has_its_folders_and_objects_and_nothing_deeper() {
        let folder = tempfile::TempDir::new().unwrap();
        let stores = Stores::new(StoreSettings { data_dir: folder.path().to_owned(), mappings: Default::default() });
        for object in ["a/e/v/2026/x.jsonl", "a/e/y.jsonl", "a/z"] {
            document::write(&stores, &format!("s3://bucket/{object}"), Bytes::from_static(b"x")).await.unwrap();
        }
        let at = async |address: &str| level(&stores, address).await.unwrap();
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(at("s3://bucket/a").await, Level { folders: owned(&["e"]), objects: owned(&["z"]) });
        assert_eq!(at("s3://bucket/a/e/").await, Level { folders: owned(&["v"]), objects: owned(&["y.jsonl"]) });
        assert_eq!(at("s3://bucket/none").await, Level::default());
        assert_eq!(at("s3://other/none").await, Level::default());
        assert!(level(&stores, "no address").await.is_err());
    }
}
