//! What the journal asks of a file system, so that every single call can be made to fail in a test.
//!
//! Invariant: each method is one system call (or one fixed group, named in its words), so that "the N-th call fails"
//! covers every place where a disk can fail. Writes are positioned: repeating one is harmless.
//! Refuses to: retry, buffer, or know what the bytes mean.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;

use crate::sabotage::{self, Sabotage};

/// A file system, as far as the journal needs one.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Creates a file that must not exist yet (`O_EXCL`), readable and writable by the owner only.
    ///
    /// # Errors
    /// Whatever the system says.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    /// Whatever the system says.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Renames a file, replacing the target.
    ///
    /// # Errors
    /// Whatever the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Unlinks a file.
    ///
    /// # Errors
    /// Whatever the system says.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the entries of a folder durable (`fsync` of the folder).
    ///
    /// # Errors
    /// Whatever the system says.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// The files of a folder, in no order.
    ///
    /// # Errors
    /// Whatever the system says.
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;
    /// Free space for this user, bytes.
    ///
    /// # Errors
    /// Whatever the system says.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;
    /// What this user's files, others' and free space make together, bytes; `None` where nobody knows.
    ///
    /// # Errors
    /// Whatever the system says.
    fn size_bytes(&self, dir: &Path) -> io::Result<Option<u64>> {
        let _ = dir;
        Ok(None)
    }
}

/// An open file.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Writes at most all of `bytes` at `offset`; answers how many were taken.
    ///
    /// # Errors
    /// Whatever the system says.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Reads at most `buffer.len()` bytes at `offset`; 0 at the end.
    ///
    /// # Errors
    /// Whatever the system says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// `fdatasync`.
    ///
    /// # Errors
    /// Whatever the system says. The file must not be synced again after one.
    fn sync_data(&self) -> io::Result<()>;
    /// Reserves space up to `length_bytes` and makes the file that long. File systems without reservation get a longer file only.
    ///
    /// # Errors
    /// Whatever the system says, above all that the disk is full.
    fn allocate(&self, length_bytes: u64) -> io::Result<()>;
    /// Cuts or extends the file.
    ///
    /// # Errors
    /// Whatever the system says.
    fn set_len(&self, length_bytes: u64) -> io::Result<()>;
    /// Length, bytes.
    ///
    /// # Errors
    /// Whatever the system says.
    fn length_bytes(&self) -> io::Result<u64>;
}

/// Makes the bytes of a file durable.
///
/// # Errors
/// Whatever the system says. The file must not be synced again after one.
pub(crate) fn sync_file(file: &dyn DiskFile) -> io::Result<()> {
    if sabotage::is(Sabotage::SkipFsync) {
        return Ok(());
    }
    match file.sync_data() {
        Err(_) if sabotage::is(Sabotage::RetryFsync) => file.sync_data(),
        synced => synced,
    }
}

/// Makes the names in a folder durable.
///
/// # Errors
/// Whatever the system says.
pub(crate) fn sync_folder(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    if sabotage::is(Sabotage::SkipDirectoryFsync) { Ok(()) } else { disk.sync_dir(dir) }
}

/// Writes all of `bytes`, going on after short writes and interruptions.
///
/// # Errors
/// The first error that is not an interruption; bytes before it may have been written.
pub fn write_all_at(file: &dyn DiskFile, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(taken) => {
                bytes = bytes.get(taken..).ok_or_else(|| io::Error::other("the system took more bytes than given"))?;
                offset += taken as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads until the buffer is full or the file ends; answers how many bytes came.
///
/// # Errors
/// The first error that is not an interruption.
pub fn read_full_at(file: &dyn DiskFile, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Reads a whole small file, at most `limit_bytes` of it.
///
/// # Errors
/// Whatever the system says.
pub(crate) fn read_small(disk: &dyn Disk, path: &Path, limit_bytes: usize) -> io::Result<Vec<u8>> {
    let file = disk.open(path)?;
    let length = usize::try_from(file.length_bytes()?).unwrap_or(usize::MAX).min(limit_bytes);
    let mut bytes = vec![0; length];
    let filled = read_full_at(&*file, &mut bytes, 0)?;
    bytes.truncate(filled);
    Ok(bytes)
}

/// Replaces `dir/name` so that a reader finds the old or the new content, never a mixture, whatever is cut off when.
///
/// # Errors
/// Whatever the system says; the old content is then still there.
pub(crate) fn replace_file(disk: &dyn Disk, dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let new = dir.join(format!("{name}.new"));
    match disk.remove(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.create_new(&new)?;
    write_all_at(&*file, bytes, 0)?;
    sync_file(&*file)?;
    disk.rename(&new, &dir.join(name))?;
    sync_folder(disk, dir)
}

/// The machine's file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Box::new(RealFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        match File::options().read(true).write(true).open(path) {
            Ok(file) => Ok(Box::new(RealFile(file))),
            // Reconciling a copy on a read-only medium needs no more than reading.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) =>
            {
                Ok(Box::new(RealFile(File::open(path)?)))
            }
            Err(error) => Err(error),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        std::fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.path())).collect()
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn size_bytes(&self, dir: &Path) -> io::Result<Option<u64>> {
        let stat = rustix::fs::statvfs(dir)?;
        // As `df` counts: what is kept for root is neither used nor free.
        let used = stat.f_blocks.saturating_sub(stat.f_bfree);
        Ok(Some(used.saturating_add(stat.f_bavail).saturating_mul(stat.f_frsize)))
    }
}

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.0.write_at(bytes, offset)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        // One call, never repeated by the library: an interrupted or failed sync is for the journal to judge.
        Ok(rustix::fs::fdatasync(&self.0)?)
    }

    fn allocate(&self, length_bytes: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.0, FallocateFlags::empty(), 0, length_bytes) {
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => self.0.set_len(length_bytes),
            other => Ok(other?),
        }
    }

    fn set_len(&self, length_bytes: u64) -> io::Result<()> {
        self.0.set_len(length_bytes)
    }

    fn length_bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}
