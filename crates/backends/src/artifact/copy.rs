//! Copies of local files, for those who may not be shown the originals.
//!
//! A container's engine runs as root, and would read through a mounted folder what this process may not read. So what it
//! gets to see are files that this process has read: plain files and folders, followed no link.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{ArtifactError, Limits};

const FILE_MODE: u32 = 0o644;
const FOLDER_MODE: u32 = 0o755;

/// How much may still be copied.
pub(super) struct Budget<'a> {
    url: &'a str,
    limits: &'a Limits,
    bytes: u64,
    entries: u64,
}

impl<'a> Budget<'a> {
    pub(super) fn new(url: &'a str, limits: &'a Limits) -> Self {
        Self { url, limits, bytes: limits.max_bytes, entries: limits.max_entries }
    }

    fn refuse(&self, reason: String) -> ArtifactError {
        ArtifactError::TooLarge { url: self.url.to_owned(), reason }
    }
}

/// Copies what is in the folder `from` into the folder `to`, which is there.
pub(super) fn copy_folder(from: &Path, to: &Path, budget: &mut Budget<'_>) -> Result<(), ArtifactError> {
    copy_level(from, to, budget, 1)
}

fn copy_level(from: &Path, to: &Path, budget: &mut Budget<'_>, depth: usize) -> Result<(), ArtifactError> {
    if depth > budget.limits.max_depth {
        return Err(budget.refuse(format!("folders are nested deeper than {}", budget.limits.max_depth)));
    }
    let failed = |source| ArtifactError::File { path: from.to_owned(), source };
    for entry in fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() {
            make_folder(&target)?;
            copy_level(&path, &target, budget, depth + 1)?;
        } else if kind.is_file() {
            copy_file(&path, &target, budget)?;
        } else {
            let reason = format!("{} is neither a plain file nor a folder", path.display());
            return Err(ArtifactError::Address { url: budget.url.to_owned(), reason });
        }
    }
    Ok(())
}

/// Copies one file.
pub(super) fn copy_file(from: &Path, to: &Path, budget: &mut Budget<'_>) -> Result<(), ArtifactError> {
    let Some(entries) = budget.entries.checked_sub(1) else {
        return Err(budget.refuse(format!("more than {} files", budget.limits.max_entries)));
    };
    budget.entries = entries;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| ArtifactError::File { path, source }
    };
    // One byte more than may come shows that there is more.
    let mut source = File::open(from).map_err(failed(from))?.take(budget.bytes.saturating_add(1));
    let mut target = File::create_new(to).map_err(failed(to))?;
    let copied = io::copy(&mut source, &mut target).map_err(failed(to))?;
    let Some(bytes) = budget.bytes.checked_sub(copied) else {
        return Err(budget.refuse(format!("more than {} bytes", budget.limits.max_bytes)));
    };
    budget.bytes = bytes;
    target.set_permissions(Permissions::from_mode(FILE_MODE)).map_err(failed(to))
}

fn make_folder(folder: &Path) -> Result<(), ArtifactError> {
    make_open_folder(folder).map_err(|source| ArtifactError::File { path: folder.to_owned(), source })
}

/// Makes a folder that every user may read.
pub(crate) fn make_open_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir(folder).and_then(|()| open_up(folder))
}

/// Lets every user read the folder.
pub(crate) fn open_up(folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, Permissions::from_mode(FOLDER_MODE))
}
