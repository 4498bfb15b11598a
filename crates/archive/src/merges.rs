//! Notes of merged parts of tables: what replaced what.
//!
//! In `DATA_DIR/journal/merged/`, a JSON file for each merge, written when the merged file is in its store under a hidden
//! name and before the first part is removed, and once more when it has its own name:
//!
//! ```text
//! open/{id}.json, then {id}.json
//!            { "version": 1, "staged": "s3://…", "target": { "uri": "s3://…", "sizeBytes": 1, "sha256": "…", "records": 2 },
//!              "sources": [ { "uri": … } ], "mergedAt": "2026-…Z", "done": true }
//! ```
//! Invariant: where a note is, its merged file holds all rows of its sources, so they may go; a part that a note names is
//! found by following notes.
//! Refuses to: know columns.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::batch::sha256_hex;
use crate::manifest::{ManifestError, ManifestObject, load_json, store_json};

/// Below the journal: the folder of notes.
pub const MERGED_FOLDER: &str = "merged";
/// Version of the format.
pub const MERGE_VERSION: u32 = 1;
/// In it: the folder of those that are not done.
const OPEN_FOLDER: &str = "open";
const SUFFIX: &str = ".json";
const LOCK_FILE: &str = "lock";
/// Hexadecimal digits of an id.
const ID_LENGTH: usize = 16;

/// Parts that became one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Merge {
    /// [`MERGE_VERSION`].
    pub version: u32,
    /// Where the file is until its parts are gone.
    pub staged: String,
    /// The file.
    pub target: MergedFile,
    /// Its parts, in order.
    pub sources: Vec<MergedFile>,
    /// When it was merged, RFC 3339.
    pub merged_at: String,
    /// Whether the parts are gone and the file has its name.
    pub done: bool,
}

/// A file of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MergedFile {
    /// Address, `s3://bucket/key`.
    pub uri: String,
    /// Size, bytes.
    pub size_bytes: u64,
    /// SHA-256 of its bytes, hexadecimal.
    pub sha256: String,
    /// How many records of the journal.
    pub records: u64,
}

impl From<&ManifestObject> for MergedFile {
    fn from(object: &ManifestObject) -> Self {
        let ManifestObject { uri, size_bytes, sha256, records, .. } = object.clone();
        Self { uri, size_bytes, sha256, records }
    }
}

impl Merge {
    /// Identity of a merge of these parts.
    #[must_use]
    pub fn id_of(sources: &[MergedFile]) -> String {
        let uris: Vec<&str> = sources.iter().map(|source| source.uri.as_str()).collect();
        let mut id = sha256_hex(uris.join("\n").as_bytes());
        id.truncate(ID_LENGTH);
        id
    }
}

/// The folder of notes.
#[derive(Debug, Clone)]
pub struct Merges(PathBuf);

impl Merges {
    /// Makes the folder where it is missing.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(journal: &Path) -> Result<Self, ManifestError> {
        let folder = journal.join(MERGED_FOLDER);
        let make = || {
            std::fs::create_dir_all(folder.join(OPEN_FOLDER))?;
            File::open(&folder)?.sync_all()?;
            File::open(journal)?.sync_all()
        };
        make().map_err(|source| ManifestError::File { act: "make", path: folder.clone(), source })?;
        Ok(Self(folder))
    }

    /// The folder as it is, for reading.
    #[must_use]
    pub fn at(journal: &Path) -> Self {
        Self(journal.join(MERGED_FOLDER))
    }

    /// Takes the right to merge, until the answer is dropped; `None` while somebody else has it.
    ///
    /// # Errors
    /// When the file of the lock cannot be made.
    pub fn lock(&self) -> Result<Option<File>, ManifestError> {
        let path = self.0.join(LOCK_FILE);
        let failed = |source| ManifestError::File { act: "lock", path: path.clone(), source };
        let file = File::create(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// Writes a note durably.
    ///
    /// # Errors
    /// When the disk fails; the parts must then stay.
    pub fn write(&self, merge: &Merge) -> Result<(), ManifestError> {
        let name = format!("{}{SUFFIX}", Merge::id_of(&merge.sources));
        let open = self.0.join(OPEN_FOLDER);
        if !merge.done {
            return store_json(&open, &name, merge);
        }
        store_json(&self.0, &name, merge)?;
        // The other note wins; what is left of this one is only looked at in vain.
        let _ = std::fs::remove_file(open.join(name));
        Ok(())
    }

    /// The note of a merge that is done.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn done(&self, id: &str) -> Result<Option<Merge>, ManifestError> {
        load_json(&self.0, &format!("{id}{SUFFIX}"))
    }

    /// Notes of merges that are not done.
    ///
    /// # Errors
    /// When one cannot be read: nothing that it may have named can be judged then.
    pub fn open(&self) -> Result<Vec<Merge>, ManifestError> {
        let mut open = Vec::new();
        for id in ids(&self.0.join(OPEN_FOLDER))? {
            if self.done(&id)?.is_none() {
                open.extend(load_json::<Merge>(&self.0.join(OPEN_FOLDER), &format!("{id}{SUFFIX}"))?);
            }
        }
        Ok(open)
    }

    /// All notes.
    ///
    /// # Errors
    /// As [`Merges::open`].
    pub fn all(&self) -> Result<Vec<Merge>, ManifestError> {
        let mut all = self.open()?;
        for id in ids(&self.0)? {
            all.extend(self.done(&id)?);
        }
        Ok(all)
    }
}

/// Names of the notes in a folder, in order; none where there is no folder.
fn ids(folder: &Path) -> Result<BTreeSet<String>, ManifestError> {
    let failed = |source| ManifestError::File { act: "list", path: folder.to_owned(), source };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut ids = BTreeSet::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        ids.extend(name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).map(str::to_owned));
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_round_trip_and_one_at_a_time_may_merge() {
        let journal = tempfile::tempdir().unwrap();
        assert!(Merges::at(journal.path()).all().unwrap().is_empty(), "no folder, no notes");
        let merges = Merges::create(journal.path()).unwrap();
        let file = |name: &str| MergedFile { uri: name.into(), size_bytes: 1, sha256: "00".into(), records: 1 };
        let mut merge = Merge {
            version: MERGE_VERSION,
            staged: "s3://b/_x".into(),
            target: file("s3://b/merged"),
            sources: vec![file("s3://b/1"), file("s3://b/2")],
            merged_at: "2026-01-01T00:00:00Z".into(),
            done: false,
        };
        merges.write(&merge).unwrap();
        assert_eq!(merges.open().unwrap(), [merge.clone()]);
        assert_eq!(merges.all().unwrap(), [merge.clone()]);
        let id = Merge::id_of(&merge.sources);
        assert_eq!(merges.done(&id).unwrap(), None);
        merge.done = true;
        merges.write(&merge).unwrap();
        assert_eq!((merges.open().unwrap(), merges.done(&id).unwrap()), (vec![], Some(merge.clone())));
        assert_eq!(merges.all().unwrap(), [merge]);
        let held = merges.lock().unwrap();
        assert!(held.is_some() && merges.lock().unwrap().is_none());
        drop(held);
        assert!(merges.lock().unwrap().is_some());
        std::fs::write(journal.path().join("merged/0.json"), "{").unwrap();
        assert!(merges.all().is_err());
    }
}
