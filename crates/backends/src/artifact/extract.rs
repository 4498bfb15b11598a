//! Unpacking a `model.tar.gz` that anyone may have made.
//!
//! Only plain files and folders come out, with modes 0644 and 0755, owned by this process. Everything else that tar can
//! express is refused, and so is every archive that two readers could understand differently: a PAX size that
//! contradicts its header, two entries of one name (also when they differ in case only), sparse files, nested
//! extension headers. The archive is unpacked beside its destination and renamed when all of it was good, checksum of
//! the gzip stream included, so a broken archive leaves nothing.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, Permissions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use tar::{Archive, Entry, EntryType};

use super::Limits;
use super::entry_name::relative_path;
use super::meter::{Breach, Meter};
use super::tar_extension::{Extension, read_extension};

const FILE_MODE: u32 = 0o644;
const FOLDER_MODE: u32 = 0o755;

/// What an archive held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extracted {
    /// Files and folders.
    pub entries: u64,
    /// Bytes of all files together.
    pub bytes: u64,
}

/// Why an archive was not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// The archive holds something that must not be unpacked.
    #[error("UnsafeArchive: {0}")]
    Unsafe(String),
    /// The archive holds more than the limits allow.
    #[error("UnsafeArchive: {0}")]
    TooLarge(Breach),
    /// The bytes are not a whole gzip-compressed tar archive.
    #[error("the archive is damaged or not a gzip-compressed tar: {0}")]
    Damaged(#[source] io::Error),
    /// The unpacked files could not be written.
    #[error("{path} could not be written: {source}")]
    Write {
        /// Where to.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Unpacks a gzip-compressed tar archive into the folder `into`, which must not exist or be empty; its parent must
/// exist. Blocks.
///
/// # Errors
/// On anything but a whole archive of plain files and folders within `limits`; then nothing is left behind.
pub fn extract(archive: impl Read, into: &Path, limits: &Limits) -> Result<Extracted, ExtractError> {
    let parent = into.parent().unwrap_or(Path::new("."));
    let failed = |source| ExtractError::Write { path: into.to_owned(), source };
    let partial = tempfile::Builder::new().prefix(".extracting-").tempdir_in(parent).map_err(failed)?;
    let extracted = unpack(archive, partial.path(), limits)?;
    fs::set_permissions(partial.path(), Permissions::from_mode(FOLDER_MODE)).map_err(failed)?;
    fs::rename(partial.path(), into).map_err(failed)?;
    // Renamed away: nothing is left for the guard to remove.
    let _ = partial.keep();
    Ok(extracted)
}

fn unpack(archive: impl Read, root: &Path, limits: &Limits) -> Result<Extracted, ExtractError> {
    let meter = Meter::new(*limits);
    let tar = meter.unpacked(MultiGzDecoder::new(meter.packed(archive)));
    let mut archive = Archive::new(tar);
    let refine = |error: ExtractError| match (meter.breach(), error) {
        (Some(breach), _) => ExtractError::TooLarge(breach),
        (None, error) => error,
    };
    let mut unpacking = Unpacking::new(root, limits);
    // Raw entries: extension headers are read here, bounded, instead of by the library, unbounded.
    for entry in archive.entries().map_err(ExtractError::Damaged)?.raw(true) {
        let entry = entry.map_err(|error| refine(ExtractError::Damaged(error)))?;
        unpacking.take(entry).map_err(refine)?;
    }
    unpacking.finish()?;
    // To the end of the gzip stream, where its checksum is.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(|error| refine(ExtractError::Damaged(error)))?;
    Ok(unpacking.extracted)
}

/// One archive on its way into a folder.
struct Unpacking<'a> {
    root: &'a Path,
    limits: &'a Limits,
    extracted: Extracted,
    /// What the extension headers before the next entry say about it.
    extension: Option<Extension>,
    /// Hashes of lower-cased file names: a set of names would let an archive choose how much memory it costs.
    names: HashSet<u64>,
    hasher: RandomState,
}

impl<'a> Unpacking<'a> {
    fn new(root: &'a Path, limits: &'a Limits) -> Self {
        let (names, hasher) = (HashSet::new(), RandomState::new());
        Self { root, limits, extracted: Extracted::default(), extension: None, names, hasher }
    }

    fn take(&mut self, mut entry: Entry<'_, impl Read>) -> Result<(), ExtractError> {
        self.extracted.entries += 1;
        if self.extracted.entries > self.limits.max_entries {
            return Err(ExtractError::TooLarge(Breach::Entries { max: self.limits.max_entries }));
        }
        let kind = entry.header().entry_type();
        if let EntryType::GNULongName | EntryType::XHeader | EntryType::XGlobalHeader = kind {
            let extension = read_extension(&mut entry)?;
            return match (&self.extension, extension) {
                (_, None) => Ok(()),
                (None, read) => {
                    self.extension = read;
                    Ok(())
                }
                (Some(_), Some(_)) => Err(ExtractError::Unsafe("two extension headers describe one entry".into())),
            };
        }
        let Extension { name, size } = self.extension.take().unwrap_or_default();
        let name = name.unwrap_or_else(|| entry.path_bytes().into_owned());
        if size.is_some_and(|size| size != entry.size()) {
            let name = String::from_utf8_lossy(&name).escape_debug().to_string();
            return Err(ExtractError::Unsafe(format!("\"{name}\" has two different sizes")));
        }
        let path = relative_path(&name, self.limits).map_err(ExtractError::Unsafe)?;
        match kind {
            EntryType::Directory => self.make_folder(&path),
            EntryType::Regular | EntryType::Continuous if name.ends_with(b"/") => self.make_folder(&path),
            EntryType::Regular | EntryType::Continuous => self.write_file(&path, &mut entry),
            other => Err(ExtractError::Unsafe(format!(
                "{path:?} is {}; only plain files and folders are unpacked",
                describe(other)
            ))),
        }
    }

    fn finish(&self) -> Result<(), ExtractError> {
        match self.extension {
            Some(_) => Err(ExtractError::Unsafe("the last extension header describes no entry".into())),
            None => Ok(()),
        }
    }

    fn make_folder(&self, path: &Path) -> Result<(), ExtractError> {
        let mut folder = self.root.to_owned();
        for part in path {
            folder.push(part);
            match fs::create_dir(&folder) {
                Ok(()) => fs::set_permissions(&folder, Permissions::from_mode(FOLDER_MODE))
                    .map_err(|source| ExtractError::Write { path: folder.clone(), source })?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    return Err(ExtractError::Unsafe(format!("{path:?} is a file and a folder")));
                }
                Err(source) => return Err(ExtractError::Write { path: folder, source }),
            }
        }
        Ok(())
    }

    fn write_file(&mut self, path: &Path, content: &mut impl Read) -> Result<(), ExtractError> {
        if path.as_os_str().is_empty() {
            return Err(ExtractError::Unsafe("a file has no name".into()));
        }
        let lower_case = path.to_string_lossy().to_lowercase();
        if !self.names.insert(self.hasher.hash_one(lower_case)) {
            return Err(ExtractError::Unsafe(format!("there are two files named {path:?}, letter case aside")));
        }
        self.make_folder(path.parent().unwrap_or(Path::new("")))?;
        let target = self.root.join(path);
        let mut file = match OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&target) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(ExtractError::Unsafe(format!("{path:?} is a file and a folder")));
            }
            Err(source) => return Err(ExtractError::Write { path: target, source }),
        };
        self.extracted.bytes += copy(content, &mut file, &target)?;
        file.set_permissions(Permissions::from_mode(FILE_MODE))
            .map_err(|source| ExtractError::Write { path: target, source })
    }
}

/// Copies, and tells a damaged archive from a disk that does not take its content.
fn copy(content: &mut impl Read, file: &mut File, target: &Path) -> Result<u64, ExtractError> {
    let mut buffer = [0; 16 * 1024];
    let mut bytes = 0;
    loop {
        let read = content.read(&mut buffer).map_err(ExtractError::Damaged)?;
        if read == 0 {
            return Ok(bytes);
        }
        io::Write::write_all(file, &buffer[..read])
            .map_err(|source| ExtractError::Write { path: target.to_owned(), source })?;
        bytes += read as u64;
    }
}

fn describe(kind: EntryType) -> &'static str {
    match kind {
        EntryType::Symlink => "a symbolic link",
        EntryType::Link | EntryType::GNULongLink => "a hard link",
        EntryType::Char | EntryType::Block => "a device",
        EntryType::Fifo => "a named pipe",
        EntryType::GNUSparse => "a sparse file",
        _ => "of a kind that is not known here",
    }
}

#[cfg(test)]
#[path = "extract_tests.rs"]
mod tests;
