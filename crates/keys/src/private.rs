//! Files that only their owner can read.
//!
//! Invariant: a private file is created with mode 0600, appears whole or not at all, and is not opened when others may
//! read it, when another user owns it, or when it is a link.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use zeroize::Zeroizing;

/// Largest private file that is read, bytes.
const FILE_MAX_BYTES: u64 = 16 * 1024 * 1024;
const MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;
/// Permissions of group and others.
const OF_OTHERS: u32 = 0o077;

/// Which version of a file was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

/// The version of a file that is there now.
pub(crate) fn version(path: &Path) -> Option<Version> {
    let found = std::fs::symlink_metadata(path).ok()?;
    Some(version_of(&found))
}

fn version_of(found: &std::fs::Metadata) -> Version {
    Version { inode: found.ino(), length: found.len(), modified: (found.mtime(), found.mtime_nsec()) }
}

/// Makes a folder that only its owner can enter, with the folders above it.
pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
    if let Some(above) = path.parent() {
        std::fs::create_dir_all(above)?;
    }
    match std::fs::DirBuilder::new().mode(FOLDER_MODE).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => give_to_owner(&File::open(path)?, path),
    }
}

/// What root makes in a folder of somebody else's is theirs: the command line may be root's, the server seldom is.
fn give_to_owner(file: &File, path: &Path) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let owner = std::fs::metadata(folder)?;
    std::os::unix::fs::fchown(file, Some(owner.uid()), Some(owner.gid()))
}

/// Opens a private file and refuses one that is not.
fn open(path: &Path) -> io::Result<File> {
    let no_links = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).expect("our bug: the flag fits an int");
    let file = OpenOptions::new().read(true).custom_flags(no_links).open(path)?;
    let found = file.metadata()?;
    let refuse = |why: String| Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    if !found.is_file() {
        return refuse("it is no regular file".into());
    }
    if found.mode() & OF_OTHERS != 0 {
        let mode = found.mode() & 0o7777;
        return refuse(format!("others may read it (mode {mode:04o}); chmod 600, and think of who has read it"));
    }
    let reader = rustix::process::geteuid();
    if !reader.is_root() && found.uid() != reader.as_raw() {
        return refuse(format!("it belongs to another user ({})", found.uid()));
    }
    Ok(file)
}

/// Reads a private file, and says which version it was.
pub(crate) fn read(path: &Path) -> io::Result<(Zeroizing<Vec<u8>>, Version)> {
    let file = open(path)?;
    let version = version_of(&file.metadata()?);
    let mut bytes = Zeroizing::new(Vec::new());
    let read = file.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if read as u64 > FILE_MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is too large"));
    }
    Ok((bytes, version))
}

/// Puts a private file in place, whole and synced, over one that may be there.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let staged = path.with_extension("new");
    // Of a life that ended between the two steps; the lock says that nobody is at it now.
    let _ = std::fs::remove_file(&staged);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&staged)?;
    give_to_owner(&file, path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&staged, path)?;
    File::open(folder)?.sync_all()
}

/// Holds the lock of a folder until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "the lock lives as long as the file is open")] File);

impl Lock {
    /// Waits for the lock.
    pub(crate) fn take(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(MODE).open(path)?;
        give_to_owner(&file, path)?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)?;
        Ok(Self(file))
    }
}
