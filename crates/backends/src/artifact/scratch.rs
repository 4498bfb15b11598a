//! A folder for a model's files while it is loaded, gone afterwards, and swept by the next server if this one dies.
//!
//! ```text
//! models/
//!   loading-Xa81Qz/        the files
//!   loading-Xa81Qz.lock    locked as long as its process lives
//! ```
//! A lock file that can be locked belongs to nobody any more, so several servers can share the folder.

use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempDir};

const PREFIX: &str = "loading-";
const LOCK_SUFFIX: &str = ".lock";

/// A folder of our own.
#[derive(Debug)]
pub(crate) struct Scratch {
    /// Declared first, so that it is gone before its lock is.
    folder: TempDir,
    _lock: NamedTempFile,
}

impl Scratch {
    /// What the names of all begin with.
    pub(crate) const PREFIX: &str = PREFIX;

    /// A new, empty folder below `parent`, which is made; what dead processes left there is removed.
    pub(crate) fn new(parent: &Path) -> io::Result<Self> {
        fs::create_dir_all(parent)?;
        sweep(parent);
        let lock = tempfile::Builder::new().prefix(PREFIX).suffix(LOCK_SUFFIX).tempfile_in(parent)?;
        // A sweeper that comes between these two steps holds the lock only for as long as it takes to remove nothing.
        lock.as_file().lock()?;
        let name = lock.path().file_stem().unwrap_or_default();
        let folder = tempfile::Builder::new().prefix(name).rand_bytes(0).tempdir_in(parent)?;
        Ok(Self { folder, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Lets the members of a group read it, and nobody else.
    pub(crate) fn share_with(&self, gid: u32) -> io::Result<()> {
        const OWNER_AND_GROUP: u32 = 0o750;
        chown(self.path(), None, Some(gid))?;
        fs::set_permissions(self.path(), Permissions::from_mode(OWNER_AND_GROUP))
    }

    /// Its name, which no other one has.
    pub(crate) fn name(&self) -> &str {
        self.path().file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// Folders below `parent` whose process is gone.
    pub(crate) fn abandoned(parent: &Path) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
        let is_free = |path: &PathBuf| File::open(path).is_ok_and(|lock| lock.try_lock().is_ok());
        let locks = entries.flatten().filter(|entry| is_lock(&entry.file_name())).map(|entry| entry.path());
        locks.filter(is_free).map(|path| path.with_extension("")).collect()
    }
}

fn is_lock(name: &std::ffi::OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(LOCK_SUFFIX))
}

/// Removes folders whose process is gone. What cannot be removed now will be tried again by the next one.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let Some(lock) = is_lock(&entry.file_name()).then(|| File::open(&path).ok()).flatten() else { continue };
        match lock.try_lock() {
            Ok(()) => {
                let _ = fs::remove_dir_all(path.with_extension(""));
                let _ = fs::remove_file(&path);
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => tracing::debug!(?path, "cannot be locked: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn living_folders_stay_and_dead_ones_go() {
        let parent = tempfile::tempdir().unwrap();
        let parent = parent.path().join("models");
        let living = Scratch::new(&parent).unwrap();
        fs::write(living.path().join("model.onnx"), "x").unwrap();
        fs::create_dir(parent.join("loading-dead")).unwrap();
        fs::write(parent.join("loading-dead/model.onnx"), "x").unwrap();
        fs::write(parent.join("loading-dead.lock"), "").unwrap();
        fs::write(parent.join("other"), "").unwrap();

        let next = Scratch::new(&parent).unwrap();
        assert!(living.path().join("model.onnx").exists());
        assert!(!parent.join("loading-dead").exists() && !parent.join("loading-dead.lock").exists());
        drop((living, next));
        assert_eq!(names(&parent), ["other"]);
    }
}
