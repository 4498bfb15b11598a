//! A model's files, from wherever they are to a folder that a backend can read.
//!
//! Sources: an `s3://` object (one model file, or a `model.tar.gz`), an `s3://` prefix, and where the operator allows it
//! a file, an archive or a folder of this machine. An archive is told by its first two bytes, not by its name.
//!
//! Invariant: nothing that comes from an archive or a store is written outside the [`Artifact`]'s own folder, which is
//! gone when the artifact is dropped. Backends read their model into memory and drop it.
//! Refuses to: run, import or unpickle anything it finds.

mod choose;
mod copy;
mod entry_name;
mod error;
mod extract;
mod fetch;
mod form;
mod limits;
mod meter;
mod place;
mod scratch;
mod source;
mod tar_extension;

use std::io;
use std::path::{Path, PathBuf};

pub use self::choose::ModelFileError;
pub(crate) use self::copy::{make_open_folder, open_up};
pub use self::error::ArtifactError;
pub use self::extract::{ExtractError, Extracted, extract};
pub use self::fetch::Fetcher;
pub use self::form::DataForm;
pub use self::limits::Limits;
pub use self::meter::Breach;
pub(crate) use self::scratch::Scratch;

/// A model's files, readable until this is dropped.
#[derive(Debug)]
pub struct Artifact {
    root: PathBuf,
    /// Set when the source was one bare file: nothing else in `root` belongs to the model.
    only: Option<PathBuf>,
    /// Set when the files are a copy of ours.
    scratch: Option<Scratch>,
}

impl Artifact {
    /// The folder that the model's files are in.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The file, when the source was one bare file.
    pub(crate) fn only(&self) -> Option<&Path> {
        self.only.as_deref()
    }

    /// Whether the files are a copy of ours, and nothing else is in their folder.
    fn is_copy(&self) -> bool {
        self.scratch.is_some()
    }

    /// How many bytes the files have. A folder that cannot be read counts as empty.
    pub(crate) fn bytes(&self) -> u64 {
        match &self.only {
            Some(only) => std::fs::metadata(only).map_or(0, |found| found.len()),
            None => bytes_in(&self.root, Limits::default().max_depth),
        }
    }

    /// A file's name for a person: relative to the model's folder.
    #[must_use]
    pub fn name_of(&self, file: &Path) -> String {
        file.strip_prefix(&self.root).unwrap_or(file).display().to_string()
    }

    /// Lets the members of a group read a copy of ours, and nobody else.
    pub(crate) fn share_with(&self, gid: u32) -> io::Result<()> {
        self.scratch.as_ref().map_or(Ok(()), |scratch| scratch.share_with(gid))
    }
}

fn bytes_in(folder: &Path, depth_left: usize) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let bytes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() && depth_left > 0 => bytes_in(&entry.path(), depth_left - 1),
        Ok(found) if found.is_file() => found.len(),
        _ => 0,
    });
    bytes.sum()
}
