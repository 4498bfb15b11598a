//! A folder as an object store whose objects are on the disk when a put returns.
//!
//! `object_store`'s own `LocalFileSystem` (0.13.2) never syncs. Here an object is written beside its place under a name
//! that listings hide (`name#n`), synced, then linked or renamed into place, then every folder on the way up to the
//! store's root is synced that has not been since it was made.
//!
//! Invariant: an object that can be listed is whole on the disk; one whose put has returned survives power loss.
//! Refuses to: keep attributes or tags, which a plain file cannot carry.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};

use crate::direct;

mod staged;

pub use staged::Staged;

const STORE: &str = "folder";
/// Remembered folders whose entries are known to be synced; above it the memory starts anew, which costs only syncs.
const SYNCED_MAX: usize = 4096;

/// A folder as a durable object store.
#[derive(Debug, Clone)]
pub struct Folder(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    files: LocalFileSystem,
    root: PathBuf,
    synced: Mutex<HashSet<PathBuf>>,
}

impl Folder {
    /// Opens an existing folder.
    ///
    /// # Errors
    /// When the folder does not exist or cannot be read.
    pub fn open(root: &FilePath) -> Result<Self> {
        let files = LocalFileSystem::new_with_prefix(root)?;
        let root = root.canonicalize().map_err(|source| failed(root, source))?;
        Ok(Self(Arc::new(Inner { files, root, synced: Mutex::default() })))
    }

    /// Opens a folder, making it and its parents durable first where they are missing.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(root: &FilePath) -> io::Result<Self> {
        std::fs::create_dir_all(root)?;
        let root = root.canonicalize()?;
        for folder in root.ancestors().take(3) {
            // The bucket, the folder of buckets and the data directory; what is above was there before.
            sync_folder(folder)?;
        }
        Self::open(&root).map_err(io::Error::other)
    }
}

fn failed(path: &FilePath, source: io::Error) -> Error {
    let location = path.display().to_string();
    match source.kind() {
        ErrorKind::NotFound => Error::NotFound { path: location, source: source.into() },
        ErrorKind::AlreadyExists => Error::AlreadyExists { path: location, source: source.into() },
        ErrorKind::PermissionDenied
        | ErrorKind::ReadOnlyFilesystem
        | ErrorKind::NotADirectory
        | ErrorKind::IsADirectory
        | ErrorKind::DirectoryNotEmpty => Error::PermissionDenied { path: location, source: source.into() },
        _ => Error::Generic { store: STORE, source: source.into() },
    }
}

fn sync_folder(folder: &FilePath) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

impl Inner {
    /// Syncs the folder of `path`, and the entries of all folders above it up to the root, once each.
    fn sync_way_to(&self, path: &FilePath) -> io::Result<()> {
        let mut folder = path.parent().unwrap_or(&self.root);
        sync_folder(folder)?;
        while folder != self.root {
            let Some(parent) = folder.parent() else { break };
            if self.synced.lock().unwrap_or_else(PoisonError::into_inner).contains(folder) {
                break;
            }
            sync_folder(parent)?;
            folder = parent;
        }
        let mut synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        if synced.len() >= SYNCED_MAX {
            synced.clear();
        }
        for folder in path.ancestors().skip(1).take_while(|folder| *folder != self.root) {
            synced.insert(folder.to_owned());
        }
        Ok(())
    }

    fn stage(&self, path: &FilePath) -> io::Result<(File, PathBuf)> {
        let mut attempt = 1_u64;
        loop {
            let staged = staged::beside(path, attempt);
            match OpenOptions::new().write(true).create_new(true).open(&staged) {
                Ok(file) => return Ok((file, staged)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => attempt += 1,
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    let folder = path.parent().unwrap_or(&self.root);
                    self.synced
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .retain(|known| !folder.starts_with(known) || known.is_dir());
                    std::fs::create_dir_all(folder)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn put(&self, path: &FilePath, payload: &PutPayload, mode: &PutMode) -> io::Result<()> {
        let (file, staged) = self.stage(path)?;
        let mut end = 0;
        let written = payload.iter().try_for_each(|part| {
            direct::write_at(&file, &staged, part, end)?;
            end += part.len() as u64;
            Ok(())
        });
        let placed = written.and_then(|()| file.sync_all()).and_then(|()| match mode {
            PutMode::Create => std::fs::hard_link(&staged, path),
            PutMode::Overwrite | PutMode::Update(_) => std::fs::rename(&staged, path),
        });
        if placed.is_err() || matches!(mode, PutMode::Create) {
            // Left behind, it would only be a hidden file; the put itself is decided.
            let _ = std::fs::remove_file(&staged);
        }
        placed?;
        self.sync_way_to(path)
    }

    fn sync_placed(&self, path: &FilePath) -> io::Result<()> {
        File::open(path)?.sync_all()?;
        self.sync_way_to(path)
    }
}

impl Folder {
    async fn blocking<T: Send + 'static>(
        &self,
        path: PathBuf,
        act: impl FnOnce(&Inner, &FilePath) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let inner = Arc::clone(&self.0);
        let run = move || act(&inner, &path).map_err(|source| failed(&path, source));
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => runtime.spawn_blocking(run).await?,
            Err(_) => run(),
        }
    }
}

impl std::fmt::Display for Folder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "folder {}", self.0.root.display())
    }
}

#[async_trait]
impl ObjectStore for Folder {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let refused = match options.mode {
            PutMode::Update(_) => Some("conditional replacement"),
            _ if !options.attributes.is_empty() => Some("object attributes"),
            _ => None,
        };
        if let Some(operation) = refused {
            return Err(Error::NotImplemented { operation: operation.into(), implementer: self.to_string() });
        }
        let path = self.0.files.path_to_filesystem(location)?;
        self.blocking(path, move |inner, path| inner.put(path, &payload, &options.mode)).await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let path = self.0.files.path_to_filesystem(location)?;
        let parts = self.0.files.put_multipart_opts(location, options).await?;
        Ok(Box::new(SyncedUpload { folder: self.clone(), path, parts }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.files.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.0.files.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.files.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.files.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.files.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.files.copy_opts(from, to, options).await?;
        self.blocking(self.0.files.path_to_filesystem(to)?, Inner::sync_placed).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.0.files.rename_opts(from, to, options).await?;
        self.blocking(self.0.files.path_to_filesystem(to)?, Inner::sync_placed).await
    }
}

#[derive(Debug)]
struct SyncedUpload {
    folder: Folder,
    path: PathBuf,
    parts: Box<dyn MultipartUpload>,
}

#[async_trait]
impl MultipartUpload for SyncedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.parts.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let result = self.parts.complete().await?;
        self.folder.blocking(self.path.clone(), Inner::sync_placed).await?;
        Ok(result)
    }

    async fn abort(&mut self) -> Result<()> {
        self.parts.abort().await
    }
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt as _;
    use object_store::ObjectStoreExt as _;

    use super::*;

    async fn keys(folder: &Folder) -> Vec<String> {
        let mut keys: Vec<String> =
            folder.list(None).map_ok(|meta| meta.location.to_string()).try_collect().await.unwrap();
        keys.sort();
        keys
    }

    #[tokio::test]
    async fn creating_twice_is_refused_and_leaves_the_first() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::create(&root.path().join("buckets/captures")).unwrap();
        let key = Path::parse("a b/é%2F/x.jsonl").unwrap();
        let create = || PutOptions::from(PutMode::Create);
        folder.put_opts(&key, "one".into(), create()).await.unwrap();
        let again = folder.put_opts(&key, "two".into(), create()).await;
        assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
        assert_eq!(folder.get(&key).await.unwrap().bytes().await.unwrap(), "one");
        folder.put(&key, "three".into()).await.unwrap();
        assert_eq!(folder.get(&key).await.unwrap().bytes().await.unwrap(), "three");
        assert_eq!(keys(&folder).await, ["a b/é%2F/x.jsonl"], "nothing staged is left");
    }

    #[tokio::test]
    async fn staged_leftovers_of_a_killed_put_are_invisible_and_do_not_disturb() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::create(root.path()).unwrap();
        std::fs::write(root.path().join("x.jsonl#1"), "half").unwrap();
        assert_eq!(keys(&folder).await, [""; 0]);
        let key = Path::parse("x.jsonl").unwrap();
        folder.put_opts(&key, "whole".into(), PutMode::Create.into()).await.unwrap();
        assert_eq!(keys(&folder).await, ["x.jsonl"]);
    }

    #[tokio::test]
    async fn folders_that_vanish_are_made_again() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::create(root.path()).unwrap();
        for name in ["e/v/1.jsonl", "e/v/2.jsonl"] {
            folder.put(&Path::parse(name).unwrap(), "x".into()).await.unwrap();
            std::fs::remove_dir_all(root.path().join("e")).unwrap();
        }
        folder.put(&Path::parse("e/v/3.jsonl").unwrap(), "x".into()).await.unwrap();
        assert_eq!(keys(&folder).await, ["e/v/3.jsonl"]);
    }

    #[tokio::test]
    async fn a_file_in_the_way_is_a_refusal() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::create(root.path()).unwrap();
        std::fs::write(root.path().join("e"), "file").unwrap();
        let refused = folder.put(&Path::parse("e/v/1.jsonl").unwrap(), "x".into()).await;
        assert!(matches!(refused, Err(Error::PermissionDenied { .. })), "{refused:?}");
    }

    #[tokio::test]
    async fn uploads_in_parts_arrive_whole() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::create(root.path()).unwrap();
        let key = Path::parse("big.bin").unwrap();
        let mut upload = folder.put_multipart(&key).await.unwrap();
        upload.put_part("one".into()).await.unwrap();
        upload.put_part("two".into()).await.unwrap();
        upload.complete().await.unwrap();
        assert_eq!(folder.get(&key).await.unwrap().bytes().await.unwrap(), "onetwo");
    }
}
