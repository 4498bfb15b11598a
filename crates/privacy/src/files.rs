//! Small private files, replaced as a whole.
//!
//! Invariant: a file has mode 0600 and appears whole and durable or not at all; one that others may read is not opened.
//! What a file held before is overwritten on the disk as far as the file system writes in place.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use zeroize::Zeroizing;

/// Largest file that is read, bytes.
const FILE_MAX_BYTES: u64 = 64 << 20;
const MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;
const OF_OTHERS: u32 = 0o077;
/// Ending of a file on its way into its place.
const STAGED: &str = "new";

/// Makes a folder that only its owner can enter, with the folders above it.
pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path)?;
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(above)?.sync_all()
}

/// Reads a file; nothing when there is none.
pub(crate) fn read(path: &Path) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let no_links = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).expect("our bug: the flag fits an int");
    let file = match OpenOptions::new().read(true).custom_flags(no_links).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is no regular file"));
    }
    if found.mode() & OF_OTHERS != 0 {
        let why = format!("others may read it (mode {:04o}); chmod 600 it", found.mode() & 0o7777);
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    let mut bytes = Zeroizing::new(Vec::new());
    if file.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes)? as u64 > FILE_MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is too large"));
    }
    Ok(Some(bytes))
}

/// Puts a file in place, whole and synced, and wipes the one that was there.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let staged = path.with_extension(STAGED);
    remove(&staged)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&staged)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    let before = OpenOptions::new().write(true).open(path).ok();
    std::fs::rename(&staged, path)?;
    File::open(folder)?.sync_all()?;
    wipe(before);
    Ok(())
}

/// Removes a file durably, if it is there, and wipes what it held.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    let before = OpenOptions::new().write(true).open(path).ok();
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        removed => removed?,
    }
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
    wipe(before);
    Ok(())
}

/// Waits for a lock, which is held until what this answers is dropped.
pub(crate) fn lock(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(MODE).open(path)?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)?;
    Ok(file)
}

/// Overwrites a file that has no name any more. Failing is no failure: what counts is that the name is gone, and a disk may
/// keep old blocks whatever is written.
fn wipe(before: Option<File>) {
    let Some(mut file) = before else { return };
    let length = file.metadata().map_or(0, |found| found.len());
    let zeros = vec![0; usize::try_from(length).unwrap_or(0)];
    let _ = file.rewind().and_then(|()| file.write_all(&zeros)).and_then(|()| file.sync_data());
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_a_file_held_before_is_wiped_and_what_others_may_read_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        assert!(read(&path).unwrap().is_none());
        replace(&path, b"the old secret").unwrap();
        let mut before = File::open(&path).unwrap();
        replace(&path, b"new").unwrap();
        let mut held = Vec::new();
        before.read_to_end(&mut held).unwrap();
        assert_eq!(held, vec![0; b"the old secret".len()]);
        assert_eq!(&**read(&path).unwrap().unwrap(), b"new");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(read(&path).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert!(!path.exists());
    }
}
