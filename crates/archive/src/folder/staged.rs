//! An object on its way into a folder, written piece by piece.
//!
//! Invariant: nothing of it is listed before it is placed; what is dropped without that leaves neither the file nor the
//! empty folders that were made for it.
//! Refuses to: wait; every call here blocks, and belongs on a thread that may.

use std::fs::{File, FileTimes, Metadata};
use std::io::{self, ErrorKind};
use std::path::{Path as FilePath, PathBuf};
use std::sync::PoisonError;
use std::time::SystemTime;

use object_store::path::Path;
use object_store::{PutMode, Result};

use super::{Folder, Inner, failed, sync_folder};
use crate::direct;

/// An object that is being written.
#[derive(Debug)]
pub struct Staged {
    folder: Folder,
    file: File,
    staged: PathBuf,
    path: PathBuf,
    size_bytes: u64,
}

/// The hidden name beside `path` under which its next content is written. Listings hide a name with one `#` before
/// digits, so a `#` of the object's own name must not come first.
pub(super) fn beside(path: &FilePath, attempt: u64) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy().replace('#', "%23");
    path.with_file_name(format!("{name}#{attempt}"))
}

impl Folder {
    /// Begins to write an object.
    ///
    /// # Errors
    /// When the folder cannot hold such a key, or a file is where one of its folders would be.
    pub fn stage(&self, location: &Path) -> Result<Staged> {
        let path = self.path_of(location)?;
        let (file, staged) = self.0.stage(&path).map_err(|source| failed(&path, source))?;
        Ok(Staged { folder: self.clone(), file, staged, path, size_bytes: 0 })
    }

    /// Where an object lies.
    ///
    /// # Errors
    /// When the folder cannot hold such a key.
    pub fn path_of(&self, location: &Path) -> Result<PathBuf> {
        self.0.files.path_to_filesystem(location)
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &FilePath {
        &self.0.root
    }

    /// Removes an object, and the folders that are empty without it.
    ///
    /// # Errors
    /// When it is not there or cannot be removed.
    pub fn remove(&self, location: &Path) -> Result<()> {
        let path = self.path_of(location)?;
        let removed = std::fs::remove_file(&path).and_then(|()| path.parent().map_or(Ok(()), sync_folder));
        removed.map_err(|source| failed(&path, source))?;
        self.0.prune(&path);
        Ok(())
    }
}

impl Inner {
    /// Removes the empty folders above `path`. Whoever is about to write there makes them again.
    fn prune(&self, path: &FilePath) {
        for folder in path.ancestors().skip(1).take_while(|folder| *folder != self.root) {
            if std::fs::remove_dir(folder).is_err() {
                break;
            }
            self.synced.lock().unwrap_or_else(PoisonError::into_inner).remove(folder);
        }
    }
}

impl Staged {
    /// Appends.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        direct::write_at(&self.file, &self.staged, bytes, self.size_bytes)?;
        self.size_bytes += bytes.len() as u64;
        Ok(())
    }

    /// Bytes written so far.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Says when the object counts as modified, and makes its bytes durable. Gives what the file system made of that.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn sync(&self, modified: SystemTime) -> io::Result<Metadata> {
        self.file.set_times(FileTimes::new().set_modified(modified))?;
        self.file.sync_all()?;
        self.file.metadata()
    }

    /// Puts the object in its place; it is there, whole and for good, when this returns.
    ///
    /// # Errors
    /// `AlreadyExists` in [`PutMode::Create`] when another is there; when objects lie below this key.
    pub fn place(self, mode: &PutMode) -> Result<()> {
        let put = || match mode {
            PutMode::Create => std::fs::hard_link(&self.staged, &self.path),
            PutMode::Overwrite | PutMode::Update(_) => std::fs::rename(&self.staged, &self.path),
        };
        let placed = put().or_else(|error| match error.kind() {
            // A put that was given up may have left an empty folder of this name.
            ErrorKind::IsADirectory | ErrorKind::AlreadyExists if std::fs::remove_dir(&self.path).is_ok() => put(),
            _ => Err(error),
        });
        placed.and_then(|()| self.folder.0.sync_way_to(&self.path)).map_err(|source| failed(&self.path, source))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Gone already when it was renamed into place. Left behind by a crash, it stays hidden.
        let _ = std::fs::remove_file(&self.staged);
        self.folder.0.prune(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt as _;
    use object_store::{ObjectStore as _, ObjectStoreExt as _};

    use super::*;

    async fn keys(folder: &Folder) -> Vec<String> {
        folder.list(None).map_ok(|meta| meta.location.to_string()).try_collect().await.unwrap()
    }

    #[tokio::test]
    async fn nothing_is_listed_before_it_is_placed_whatever_its_name() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::create(root.path()).unwrap();
        for name in ["e/plain", "e/with#sharp", "e/#", "e/a b%é"] {
            let key = Path::parse(name).unwrap();
            let mut staged = folder.stage(&key).unwrap();
            staged.write(b"one").unwrap();
            staged.write(b"two").unwrap();
            assert_eq!(keys(&folder).await, [""; 0], "{name}");
            staged.sync(SystemTime::UNIX_EPOCH).unwrap();
            staged.place(&PutMode::Create).unwrap();
            assert_eq!(keys(&folder).await, [name]);
            assert_eq!(folder.get(&key).await.unwrap().bytes().await.unwrap(), "onetwo");
            folder.remove(&key).unwrap();
            assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0, "{name} leaves no folder");
        }
    }

    #[tokio::test]
    async fn what_is_given_up_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::create(root.path()).unwrap();
        drop(folder.stage(&Path::parse("a/b/c").unwrap()).unwrap());
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn an_empty_folder_gives_way_and_a_full_one_does_not() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::create(root.path()).unwrap();
        let key = Path::parse("a").unwrap();
        for mode in [PutMode::Create, PutMode::Overwrite] {
            std::fs::create_dir(root.path().join("a")).unwrap();
            folder.stage(&key).unwrap().place(&mode).unwrap();
            folder.remove(&key).unwrap();
            folder.put(&Path::parse("a/b").unwrap(), "x".into()).await.unwrap();
            assert!(folder.stage(&key).unwrap().place(&mode).is_err());
            folder.remove(&Path::parse("a/b").unwrap()).unwrap();
        }
    }
}
