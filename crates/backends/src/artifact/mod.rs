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
mod limits;
mod meter;
mod place;
mod scratch;
mod source;
mod tar_extension;

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

pub use self::choose::ModelFileError;
pub use self::error::ArtifactError;
pub use self::extract::{ExtractError, Extracted, extract};
pub use self::fetch::Fetcher;
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

    /// Whether the files are a copy of ours, and nothing else is in their folder.
    fn is_copy(&self) -> bool {
        self.scratch.is_some()
    }

    /// A file's name for a person: relative to the model's folder.
    #[must_use]
    pub fn name_of(&self, file: &Path) -> String {
        file.strip_prefix(&self.root).unwrap_or(file).display().to_string()
    }

    /// Lets the members of a group read a copy of ours, and nobody else.
    pub(crate) fn share_with(&self, gid: u32) -> io::Result<()> {
        const OWNER_AND_GROUP: u32 = 0o750;
        let Some(scratch) = &self.scratch else { return Ok(()) };
        chown(scratch.path(), None, Some(gid))?;
        fs::set_permissions(scratch.path(), Permissions::from_mode(OWNER_AND_GROUP))
    }
}
