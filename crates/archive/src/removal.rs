//! What was taken out of the archive on purpose: objects whose retention is over, and records of people who asked.
//!
//! In `DATA_DIR/journal/removed/`, one file per segment, JSON, beside the manifest that it takes from:
//!
//! ```text
//! {segment}.json
//!   { "version": 1, "segment": "…", "node": 170,
//!     "objects": { "s3://…": { "endpoint": "…", "variant": "…", "records": 5, "erased": [0,2],
//!                              "expired": { "at": "2026-…Z", "gone": true } } } }
//! ```
//! The manifest stays as it was: it proves what there has been, and no number of a record goes missing with its object.
//! `erased` is the set of numbers whose content is gone though their line may stand; where single records were taken out,
//! `"rewritten": { "sizeBytes": 1, "sha256": "…", "before": "…", "done": true }` says what the object is since; an object that is `gone` is in no store.
//!
//! ```text
//! note written: expired ─ object deleted ─ note written: gone ─ book settled
//! ```
//! Records whose store has been down for longer than they may be kept never come to it: their object is in the manifest as
//! any other, is noted as `unsent`, and is deleted all the same when the store answers again, as a put may have arrived
//! whose answer was lost.
//!
//! Every arrow may be cut by a kill: what is noted and not gone is deleted again, and the book is set to what the notes sum
//! up to, so doing it twice changes nothing.
//!
//! Invariant: an object is deleted only after the note that says so is durable; the book follows the notes.
//! Refuses to: decide what is to go.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use captura_capture::RemovedRecords;
use captura_names::{S3Uri, Timestamp};
use object_store::ObjectStoreExt as _;
use serde::{Deserialize, Serialize};

use crate::line::Line;
use crate::manifest::{Manifest, ManifestError, ManifestObject, Manifests};
use crate::merges::{Merge, Merges};
use crate::profiles::forget;
use crate::runs::Runs;
use crate::stores::{StoreError, Stores};

/// Below the journal: the folder of notes.
pub const REMOVED_FOLDER: &str = "removed";
const VERSION: u32 = 1;
const SUFFIX: &str = ".json";
/// Names notes on merged files, which belong to several segments.
const MERGED_PREFIX: &str = "merged-";

/// What was taken out of the objects of one segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Removed {
    version: u32,
    /// Name of the segment.
    pub segment: String,
    /// Node that wrote it.
    pub node: u32,
    /// By address, parts of tables included; files that parts were merged into have a note of their own.
    pub objects: BTreeMap<String, RemovedObject>,
}

/// What was taken out of one object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RemovedObject {
    /// Endpoint of its records.
    pub endpoint: String,
    /// Variant of its records.
    pub variant: String,
    /// How many records it has, or had; 0 for a part of a table, whose records are in other objects too.
    pub records: u64,
    /// Records whose content is gone for good.
    #[serde(default)]
    pub erased: Runs,
    /// Set when its retention was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired: Option<Expired>,
    /// Set when single records, or rows of a table, were taken out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewritten: Option<Rewritten>,
}

/// What an object is since records were taken out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rewritten {
    /// Size, bytes.
    pub size_bytes: u64,
    /// SHA-256 of its bytes, hexadecimal.
    pub sha256: String,
    /// SHA-256 of what it was before.
    pub before: String,
    /// Whether the store has confirmed it; until then it may be as before.
    pub done: bool,
}

/// The end of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expired {
    /// When it was decided, RFC 3339.
    pub at: String,
    /// Whether the store has confirmed that it is not there.
    pub gone: bool,
    /// Whether no store has ever confirmed it: its records expired while they waited in the journal.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsent: bool,
}

/// Why nothing could be taken out.
#[derive(Debug, thiserror::Error)]
pub enum RemovalError {
    /// The disk failed.
    #[error("cannot {act} {}: {source}", path.display())]
    File {
        /// What was tried.
        act: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Not what is written here.
    #[error("{} is no note of removals: {why}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The manifests cannot be read.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Parts of the table are being merged.
    #[error("{0} cannot be rewritten while parts of its table are merged")]
    Busy(String),
    /// The store cannot be asked.
    #[error("{uri}: {why}")]
    Store {
        /// The object.
        uri: String,
        /// What the store says.
        why: String,
    },
}

impl Removed {
    /// Nothing taken out yet.
    #[must_use]
    pub fn of(manifest: &Manifest) -> Self {
        Self::of_segment(manifest.segment.clone(), manifest.node)
    }

    fn of_segment(segment: String, node: u32) -> Self {
        Self { version: VERSION, segment, node, objects: BTreeMap::new() }
    }

    /// The note on an object, begun where there is none.
    fn note(&mut self, object: &ManifestObject, is_table: bool) -> &mut RemovedObject {
        self.objects.entry(object.uri.clone()).or_insert_with(|| RemovedObject {
            endpoint: object.endpoint.clone(),
            variant: object.variant.clone(),
            records: if is_table { 0 } else { object.records },
            ..RemovedObject::default()
        })
    }
}

impl RemovedObject {
    /// Whether it is in no store, or must not be.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        self.expired.is_some()
    }

    /// Whether bytes with this digest may be in the store, where `noted` is what was put there first.
    #[must_use]
    pub fn may_be(&self, sha256: &str, noted: &str) -> bool {
        match &self.rewritten {
            None => sha256 == noted,
            Some(rewritten) => sha256 == rewritten.sha256 || !rewritten.done && sha256 == rewritten.before,
        }
    }

    /// Records that retention took, beside those that were erased before.
    pub(crate) fn expired_records(&self) -> u64 {
        let is_gone = self.expired.as_ref().is_some_and(|expired| expired.gone || expired.unsent);
        if is_gone { self.records.saturating_sub(self.erased.count()) } else { 0 }
    }
}

/// The folder of notes.
#[derive(Debug, Clone)]
pub struct Removals(PathBuf);

impl Removals {
    /// The folder as it is; it comes into being with the first note.
    #[must_use]
    pub fn at(journal: &Path) -> Self {
        Self(journal.join(REMOVED_FOLDER))
    }

    /// The note on a segment, if anything was taken out of it.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn read(&self, segment: &str) -> Result<Option<Removed>, RemovalError> {
        let path = self.0.join(format!("{segment}{SUFFIX}"));
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(RemovalError::File { act: "read", path, source }),
        };
        let removed: Removed = serde_json::from_slice(&bytes)
            .map_err(|error| RemovalError::Content { path: path.clone(), why: error.to_string() })?;
        if removed.version > VERSION {
            return Err(RemovalError::Content { path, why: "a newer captura wrote it".into() });
        }
        Ok(Some(removed))
    }

    /// All notes, by segment name.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn all(&self) -> Result<Vec<Removed>, RemovalError> {
        let failed = |source| RemovalError::File { act: "list", path: self.0.clone(), source };
        let entries = match std::fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            names.extend(name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).map(str::to_owned));
        }
        names.sort();
        names.iter().filter_map(|name| self.read(name).transpose()).collect()
    }

    /// Files of tables and objects that were rewritten, by address.
    ///
    /// # Errors
    /// As [`Removals::all`].
    pub fn rewritten(&self) -> Result<BTreeMap<String, Rewritten>, RemovalError> {
        let objects = self.all()?.into_iter().flat_map(|note| note.objects);
        Ok(objects.filter_map(|(uri, object)| Some((uri, object.rewritten?))).collect())
    }

    /// Writes a note durably.
    ///
    /// # Errors
    /// When the disk fails; the note is then as it was.
    pub fn write(&self, removed: &Removed) -> Result<(), RemovalError> {
        let path = self.0.join(format!("{}{SUFFIX}", removed.segment));
        let staged = self.0.join(format!("{}{SUFFIX}.new", removed.segment));
        let write = || {
            std::fs::create_dir_all(&self.0)?;
            let mut file = File::create(&staged)?;
            file.write_all(&serde_json::to_vec(removed)?)?;
            file.sync_all()?;
            std::fs::rename(&staged, &path)?;
            File::open(&self.0)?.sync_all()?;
            File::open(self.0.parent().unwrap_or(Path::new(".")))?.sync_all()
        };
        write().map_err(|source| RemovalError::File { act: "write", path: path.clone(), source })
    }
}

impl Removals {
    /// Notes that objects of a segment of `node` expire before any store has them.
    ///
    /// # Errors
    /// When the note cannot be read or written.
    pub(crate) fn expire_unsent(
        &self,
        (segment, node): (&str, u32),
        objects: &[ManifestObject],
        at: Timestamp,
    ) -> Result<(), RemovalError> {
        let mut note = self.read(segment)?.filter(|note| note.node == node);
        let note = note.get_or_insert_with(|| Removed::of_segment(segment.to_owned(), node));
        for object in objects {
            let expired = || Expired { at: at.to_string(), gone: false, unsent: true };
            note.note(object, false).expired.get_or_insert_with(expired);
        }
        self.write(note)
    }
}

/// What notes sum up to, per account, for the book.
#[must_use]
pub fn totals<'a>(notes: impl IntoIterator<Item = &'a Removed>) -> Vec<RemovedRecords> {
    let mut accounts: BTreeMap<(&str, &str), (u64, u64)> = BTreeMap::new();
    let all = notes.into_iter().flat_map(|note| note.objects.values());
    // Files of tables belong to no account.
    for object in all.filter(|object| object.records > 0) {
        let (expired, erased) = accounts.entry((&object.endpoint, &object.variant)).or_default();
        *expired += object.expired_records();
        *erased += object.erased.count();
    }
    let account = |((endpoint, variant), (expired, erased)): ((&str, &str), (u64, u64))| RemovedRecords {
        endpoint: endpoint.to_owned(),
        variant: variant.to_owned(),
        expired,
        erased,
    };
    accounts.into_iter().map(account).collect()
}

/// Manifests, notes and stores of one data directory.
#[derive(Debug, Clone)]
pub struct Removing {
    manifests: Manifests,
    removals: Removals,
    merges: Merges,
    journal: PathBuf,
    stores: Stores,
}

impl Removing {
    /// Those of the journal in `journal` (`DATA_DIR/journal`).
    #[must_use]
    pub fn new(journal: &Path, stores: Stores) -> Self {
        let (manifests, removals, merges) = (Manifests::at(journal), Removals::at(journal), Merges::at(journal));
        Self { manifests, removals, merges, journal: journal.to_owned(), stores }
    }

    /// The manifests.
    #[must_use]
    pub fn manifests(&self) -> &Manifests {
        &self.manifests
    }

    /// The notes.
    #[must_use]
    pub fn removals(&self) -> &Removals {
        &self.removals
    }

    fn note(&self, manifest: &Manifest) -> Result<Removed, RemovalError> {
        Ok(self.removals.read(&manifest.segment)?.unwrap_or_else(|| Removed::of(manifest)))
    }

    /// Deletes those objects of a segment, parts of tables included, that are wanted; answers how many records went with
    /// them, and what could not be deleted now.
    ///
    /// # Errors
    /// When the notes cannot be read or written; then nothing was deleted that they do not name.
    pub async fn expire(
        &self,
        manifest: &Manifest,
        wants: impl Fn(&ManifestObject) -> bool,
        at: Timestamp,
    ) -> Result<(u64, Vec<RemovalError>), RemovalError> {
        let mut note = self.note(manifest)?;
        let mut going = Vec::new();
        for (is_table, object) in manifest
            .tables
            .iter()
            .map(|object| (true, object))
            .chain(manifest.objects.iter().map(|object| (false, object)))
            .filter(|(_, object)| wants(object))
        {
            let noted = note.note(object, is_table);
            if noted.expired.as_ref().is_some_and(|expired| expired.gone) {
                continue;
            }
            noted.expired.get_or_insert_with(|| Expired { at: at.to_string(), gone: false, unsent: false });
            going.push(object.uri.clone());
        }
        if going.is_empty() {
            return Ok((0, Vec::new()));
        }
        self.removals.write(&note)?;
        let (mut records, mut failed) = (0, Vec::new());
        for uri in going {
            match self.delete(&uri).await {
                Ok(()) => {
                    let noted = note.objects.get_mut(&uri).expect("our bug: what goes was noted");
                    noted.expired.as_mut().expect("our bug: what goes was noted").gone = true;
                    records += noted.expired_records();
                }
                Err(error) => failed.push(error),
            }
        }
        self.removals.write(&note)?;
        Ok((records, failed))
    }

    /// Deletes merged files of tables whose parts have all expired, merged once or again; answers what could not be deleted
    /// now.
    ///
    /// # Errors
    /// When notes cannot be read or written.
    pub async fn expire_merged(&self, at: Timestamp) -> Result<Vec<RemovalError>, RemovalError> {
        let notes = self.removals.all()?;
        // By address, with the node whose part it was.
        let mut gone: BTreeMap<String, u32> = BTreeMap::new();
        for note in &notes {
            let over = note.objects.iter().filter(|(_, object)| object.expired.as_ref().is_some_and(|end| end.gone));
            gone.extend(over.map(|(uri, _)| (uri.clone(), note.node)));
        }
        let mut failed = Vec::new();
        let mut merges = self.merges.all()?;
        loop {
            let is_over = |merge: &Merge| {
                let all_gone = merge.sources.iter().all(|source| gone.contains_key(&source.uri));
                merge.done && all_gone && !gone.contains_key(&merge.target.uri)
            };
            let (over, left): (Vec<Merge>, Vec<Merge>) = merges.into_iter().partition(is_over);
            merges = left;
            if over.is_empty() {
                return Ok(failed);
            }
            for merge in over {
                if let Err(error) = self.delete(&merge.target.uri).await {
                    failed.push(error);
                    continue;
                }
                let expired = Some(Expired { at: at.to_string(), gone: true, unsent: false });
                let object = RemovedObject { expired, ..RemovedObject::default() };
                let objects = BTreeMap::from([(merge.target.uri.clone(), object)]);
                let segment = format!("{MERGED_PREFIX}{}", Merge::id_of(&merge.sources));
                let node = merge.sources.first().and_then(|source| gone.get(&source.uri)).copied().unwrap_or_default();
                self.removals.write(&Removed { version: VERSION, segment, node, objects })?;
                gone.insert(merge.target.uri, node);
            }
        }
    }

    /// Notes records of an object as erased; answers how many were not before.
    ///
    /// # Errors
    /// When the notes cannot be read or written.
    pub fn erase(&self, manifest: &Manifest, object: &ManifestObject, numbers: &Runs) -> Result<u64, RemovalError> {
        let mut note = self.note(manifest)?;
        let noted = note.note(object, false);
        if noted.is_expired() {
            return Ok(0);
        }
        let before = noted.erased.count();
        for run in numbers.runs() {
            noted.erased.insert_run(*run);
        }
        let fresh = noted.erased.count() - before;
        if fresh > 0 {
            self.removals.write(&note)?;
        }
        Ok(fresh)
    }

    /// Numbers of those records of an object that are meant; none of an object that has expired.
    ///
    /// # Errors
    /// When the object cannot be read.
    pub async fn find(
        &self,
        manifest: &Manifest,
        object: &ManifestObject,
        is_meant: &(dyn Fn(&Line) -> bool + Sync),
    ) -> Result<Runs, RemovalError> {
        let failed = |why: String| RemovalError::Store { uri: object.uri.clone(), why };
        let note = self.removals.read(&manifest.segment)?;
        let noted = note.as_ref().and_then(|note| note.objects.get(&object.uri));
        if noted.is_some_and(RemovedObject::is_expired) {
            return Ok(Runs::default());
        }
        let (store, path) = self.resolve(&object.uri).map_err(|error| failed(error.to_string()))?;
        let bytes = match store.get(&path).await {
            Ok(found) => found.bytes().await,
            Err(error) => Err(error),
        };
        let bytes = bytes.map_err(|error| failed(error.to_string()))?;
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let mut found = Runs::default();
        for (text, n) in lines.zip(object.runs.numbers()) {
            let line = Line::parse(text).map_err(|error| failed(error.to_string()))?;
            if is_meant(&line) {
                found.insert(n);
            }
        }
        Ok(found)
    }

    fn resolve(
        &self,
        uri: &str,
    ) -> Result<(std::sync::Arc<dyn object_store::ObjectStore>, object_store::path::Path), StoreError> {
        self.stores.resolve_existing(&S3Uri::parse(uri)?)
    }

    async fn delete(&self, uri: &str) -> Result<(), RemovalError> {
        let failed = |why: String| RemovalError::Store { uri: uri.to_owned(), why };
        let (store, path) = match self.resolve(uri) {
            Ok(found) => found,
            // A bucket that is gone has nothing.
            Err(StoreError::NoSuchBucket { .. }) => return Ok(()),
            Err(error) => return Err(failed(error.to_string())),
        };
        match store.delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(failed(error.to_string())),
        }
        forget(&*store, &path).await.map_err(|error| failed(error.to_string()))
    }
}

mod rewriting;

#[cfg(test)]
mod tests;
