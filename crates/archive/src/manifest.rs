//! The durable proof that a segment may go.
//!
//! In `DATA_DIR/journal/manifest/`, two files per segment, JSON:
//!
//! ```text
//! {segment}.plan.json   how the segment is cut into objects; written before the first put, removed after the manifest
//! {segment}.json        written when every object is confirmed, before the segment is freed; never changed
//!   { "version": 1, "segment": "…", "node": 170, "epoch": 3, "firstN": 0, "endN": 5, "missing": [],
//!     "confirmedAt": "2026-…Z", "lastAt": "2026-…Z", "plan": {…},
//!     "objects": [ { "uri": "s3://…", "endpoint": "…", "variant": "…", "sizeBytes": 1, "sha256": "…", "records": 2,
//!                    "firstN": 0, "lastN": 3, "runs": [0,1,2,1] } ],
//!     "damaged": [ { "firstN": 4, "lastN": 4, "reason": "…" } ],
//!     "accounts": [ { "endpoint": "…", "variant": "…", "uploaded": 2 } ] }
//! ```
//! Parts of tables that were made of the segment stand in `"tables"` like objects, and those that were not, because their
//! destination failed for too long, in `"owed"`; both are left out where there are none.
//!
//! Parts that were made later of the captured objects stand in `{segment}.refilled.json`, a list like `"tables"`; whoever reads
//! the manifest finds them there, and no longer among the owed.
//!
//! A segment that goes while a destination fails has moreover `"carried": { "part": "…", "numbers": […] }`: the part of it
//! that stays, with a manifest of its own one day; or `"evicted": […]`, the records that were given up.
//!
//! `runs` is the set of the object's record numbers, see [`crate::runs`]. Each file is written under another name, synced,
//! renamed, and the folder synced.
//!
//! Invariant: a manifest that can be read is whole.
//! Refuses to: be updated.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use captura_capture::record::Signature;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::batch::Plan;
use crate::runs::Runs;

/// Below the journal: the folder of manifests.
pub const MANIFEST_FOLDER: &str = "manifest";
/// Version of the format.
pub const MANIFEST_VERSION: u32 = 1;
const SUFFIX: &str = ".json";
const PLAN_SUFFIX: &str = ".plan.json";
const REFILLED_SUFFIX: &str = ".refilled.json";

/// What became of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    /// [`MANIFEST_VERSION`].
    pub version: u32,
    /// Name of the segment.
    pub segment: String,
    /// Node that wrote it.
    pub node: u32,
    /// Epoch of its records.
    pub epoch: u32,
    /// Number of its first record.
    pub first_n: u64,
    /// One past the number of its last record.
    pub end_n: u64,
    /// Numbers in between that no record has, because they were given out and dropped before anything was written; in a
    /// part of a segment also those that went before.
    pub missing: Runs,
    /// When the last object was confirmed, RFC 3339.
    pub confirmed_at: String,
    /// When the latest of its calls arrived, RFC 3339; older manifests do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_at: Option<String>,
    /// How it was cut.
    pub plan: Plan,
    /// Its objects, in the order of their uris.
    pub objects: Vec<ManifestObject>,
    /// Confirmed parts of tables, in the order of their uris; their records are in `objects` too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<ManifestObject>,
    /// Parts of tables that were given up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owed: Vec<ManifestObject>,
    /// Why tables were not made any further, which is a bug of ours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmade: Vec<String>,
    /// Records that could not be read.
    pub damaged: Vec<ManifestDamage>,
    /// Records per account, in the order of their names.
    pub accounts: Vec<ManifestAccount>,
    /// What stays in the journal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carried: Option<ManifestPart>,
    /// Numbers of records that were given up to make room.
    #[serde(default, skip_serializing_if = "Runs::is_empty")]
    pub evicted: Runs,
}

/// The part of a segment that stays in the journal when the rest goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ManifestPart {
    /// Name of the part.
    pub part: String,
    /// Numbers of its records.
    pub numbers: Runs,
}

/// A confirmed object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ManifestObject {
    /// Address, `s3://bucket/key`.
    pub uri: String,
    /// Endpoint of its records.
    pub endpoint: String,
    /// Variant of its records.
    pub variant: String,
    /// Size, bytes.
    pub size_bytes: u64,
    /// SHA-256 of its bytes, hexadecimal.
    pub sha256: String,
    /// How many records.
    pub records: u64,
    /// Number of its first record.
    pub first_n: u64,
    /// Number of its last record.
    pub last_n: u64,
    /// Numbers of all its records.
    pub runs: Runs,
    /// Key of its server-side encryption, where one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
    /// Of an owed part of a table: the signature of the model whose answers it has, where that has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
}

/// Records that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ManifestDamage {
    /// Number of the first.
    pub first_n: u64,
    /// Number of the last.
    pub last_n: u64,
    /// What is wrong with them.
    pub reason: String,
}

/// An account's part of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ManifestAccount {
    /// Endpoint.
    pub endpoint: String,
    /// Variant.
    pub variant: String,
    /// Records confirmed in the store.
    pub uploaded: u64,
    /// Records that stay in the part.
    #[serde(default, skip_serializing_if = "is_none")]
    pub carried: u64,
    /// Records that were given up.
    #[serde(default, skip_serializing_if = "is_none")]
    pub evicted: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

/// The folder of manifests.
#[derive(Debug, Clone)]
pub struct Manifests(PathBuf);

/// Why a manifest or plan cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file system failed.
    #[error("cannot {act} {}: {source}", path.display())]
    File {
        /// What was tried.
        act: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("{} is no manifest: {source}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
}

impl Manifests {
    /// Makes the folder where it is missing.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(journal: &Path) -> Result<Self, ManifestError> {
        let folder = journal.join(MANIFEST_FOLDER);
        let make = || {
            std::fs::create_dir_all(&folder)?;
            File::open(journal)?.sync_all()
        };
        make().map_err(|source| ManifestError::File { act: "make", path: folder.clone(), source })?;
        Ok(Self(folder))
    }

    /// The folder as it is, for reading.
    #[must_use]
    pub fn at(journal: &Path) -> Self {
        Self(journal.join(MANIFEST_FOLDER))
    }

    /// The manifest of a segment, if it was confirmed.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn read(&self, segment: &str) -> Result<Option<Manifest>, ManifestError> {
        let Some(mut manifest) = self.load::<Manifest>(&format!("{segment}{SUFFIX}"))? else { return Ok(None) };
        if !manifest.owed.is_empty() {
            let refilled = self.refilled(segment)?;
            manifest.owed.retain(|owed| !refilled.iter().any(|part| part.uri == owed.uri));
            manifest.tables.extend(refilled);
            manifest.tables.sort_by(|a, b| a.uri.cmp(&b.uri));
        }
        Ok(Some(manifest))
    }

    fn refilled(&self, segment: &str) -> Result<Vec<ManifestObject>, ManifestError> {
        Ok(self.load(&format!("{segment}{REFILLED_SUFFIX}"))?.unwrap_or_default())
    }

    /// Notes durably that a part of a table, which was owed, is in its store now.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn refill(&self, segment: &str, part: ManifestObject) -> Result<(), ManifestError> {
        let mut refilled = self.refilled(segment)?;
        refilled.retain(|known| known.uri != part.uri);
        refilled.push(part);
        self.store(&format!("{segment}{REFILLED_SUFFIX}"), &refilled)
    }

    /// All manifests, by segment name; those that cannot be read come as errors.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn all(&self) -> Result<Vec<Result<Manifest, ManifestError>>, ManifestError> {
        Ok(self.names()?.iter().filter_map(|segment| self.read(segment).transpose()).collect())
    }

    /// Names of all segments that have a manifest, in order.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn names(&self) -> Result<Vec<String>, ManifestError> {
        let mut names: Vec<String> = Vec::new();
        let failed = |source| ManifestError::File { act: "list", path: self.0.clone(), source };
        match std::fs::read_dir(&self.0) {
            Ok(entries) => {
                for entry in entries {
                    names.extend(entry.map_err(failed)?.file_name().into_string());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        }
        let is_other = |name: &str| [PLAN_SUFFIX, REFILLED_SUFFIX].iter().any(|suffix| name.ends_with(suffix));
        names.retain(|name| name.ends_with(SUFFIX) && !is_other(name));
        names.sort();
        Ok(names.iter().filter_map(|name| name.strip_suffix(SUFFIX)).map(str::to_owned).collect())
    }

    /// Writes the manifest durably.
    ///
    /// # Errors
    /// When the disk fails; the segment must then stay.
    pub fn write(&self, manifest: &Manifest) -> Result<(), ManifestError> {
        self.store(&format!("{}{SUFFIX}", manifest.segment), manifest)
    }

    /// The plan of a segment: the one written down by an earlier attempt, else `fresh`, written down now.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn plan(&self, segment: &str, fresh: &Plan) -> Result<Plan, ManifestError> {
        let name = format!("{segment}{PLAN_SUFFIX}");
        match self.load(&name) {
            Ok(Some(plan)) => return Ok(plan),
            // Bits rot. Objects of another plan may be left then, which reconciling finds; a stuck segment helps nobody.
            Ok(None) | Err(ManifestError::Content { .. }) => {}
            Err(error) => return Err(error),
        }
        self.store(&name, fresh)?;
        Ok(fresh.clone())
    }

    /// Writes down the plan of a part, whatever an earlier attempt thought of.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn set_plan(&self, segment: &str, plan: &Plan) -> Result<(), ManifestError> {
        self.store(&format!("{segment}{PLAN_SUFFIX}"), plan)
    }

    /// The plan of a segment that an upload has begun with, for reading.
    #[must_use]
    pub fn plan_of(&self, segment: &str) -> Option<Plan> {
        self.load(&format!("{segment}{PLAN_SUFFIX}")).ok().flatten()
    }

    /// Forgets the plan of a freed segment. Failing is harmless: the file is small and names a segment that is gone.
    pub fn forget_plan(&self, segment: &str) {
        let _ = std::fs::remove_file(self.0.join(format!("{segment}{PLAN_SUFFIX}")));
    }

    fn load<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, ManifestError> {
        load_json(&self.0, name)
    }

    fn store<T: Serialize>(&self, name: &str, content: &T) -> Result<(), ManifestError> {
        store_json(&self.0, name, content)
    }
}

/// Reads a file of the folder, where there is one.
pub(crate) fn load_json<T: DeserializeOwned>(folder: &Path, name: &str) -> Result<Option<T>, ManifestError> {
    let path = folder.join(name);
    match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|source| ManifestError::Content { path, source }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ManifestError::File { act: "read", path, source }),
    }
}

/// Writes a file of the folder durably.
pub(crate) fn store_json<T: Serialize>(folder: &Path, name: &str, content: &T) -> Result<(), ManifestError> {
    let path = folder.join(name);
    let staged = folder.join(format!("{name}.new"));
    let write = || {
        let mut file = File::create(&staged)?;
        file.write_all(&serde_json::to_vec(content)?)?;
        file.sync_all()?;
        std::fs::rename(&staged, &path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|source| ManifestError::File { act: "write", path: path.clone(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_once_written_down_stays() {
        let journal = tempfile::tempdir().unwrap();
        let manifests = Manifests::create(journal.path()).unwrap();
        let first = Plan { extension: false, ..Plan::default() };
        assert_eq!(manifests.plan("seg-1", &first).unwrap(), first);
        assert_eq!(manifests.plan("seg-1", &Plan::default()).unwrap(), first);
        manifests.forget_plan("seg-1");
        assert_eq!(manifests.plan("seg-1", &Plan::default()).unwrap(), Plan::default());
        assert!(manifests.all().unwrap().is_empty(), "plans are no manifests");
    }

    #[test]
    fn manifests_round_trip_and_damage_is_an_error() {
        let journal = tempfile::tempdir().unwrap();
        assert!(Manifests::at(journal.path()).all().unwrap().is_empty(), "no folder, no manifests");
        let manifests = Manifests::create(journal.path()).unwrap();
        let manifest = Manifest {
            version: MANIFEST_VERSION,
            segment: "seg-1".into(),
            node: 1,
            epoch: 2,
            first_n: 0,
            end_n: 3,
            missing: Runs::default(),
            confirmed_at: "2026-01-01T00:00:00Z".into(),
            last_at: Some("2026-01-01T00:00:00Z".into()),
            plan: Plan::default(),
            objects: Vec::new(),
            tables: Vec::new(),
            owed: Vec::new(),
            unmade: Vec::new(),
            damaged: vec![ManifestDamage { first_n: 1, last_n: 2, reason: "checksum".into() }],
            accounts: Vec::new(),
            carried: Some(ManifestPart { part: "seg-1-01".into(), numbers: Runs::default() }),
            evicted: Runs::default(),
        };
        manifests.write(&manifest).unwrap();
        assert_eq!(manifests.read("seg-1").unwrap(), Some(manifest));
        assert_eq!(manifests.read("seg-2").unwrap(), None);
        std::fs::write(journal.path().join("manifest/seg-2.json"), "{").unwrap();
        let all = manifests.all().unwrap();
        assert!(all[0].is_ok() && matches!(all[1], Err(ManifestError::Content { .. })));
    }
}
