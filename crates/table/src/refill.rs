//! Parts of tables that were given up, made of the captured objects once their destination takes them.
//!
//! Captured lines tell whole seconds, so that is what `event_time` has in these parts; everything else is as the journal
//! would have made it, since the manifest keeps the signature of what it owes. A part gets the name that it would have had.
//!
//! ```text
//! part put and confirmed ─ noted beside the manifest, which then no longer owes it
//! ```
//! Invariant: a part has the records that its manifest says, but for those that were erased since, or nothing is put.
//! Refuses to: work while files are merged; make parts of objects that are not what their manifest says.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use captura_archive::batch::sha256_hex;
use captura_archive::line::Line;
use captura_archive::manifest::{Manifest, ManifestError, ManifestObject, Manifests};
use captura_archive::merges::Merges;
use captura_archive::put::{PutError, Wanted, place};
use captura_archive::removal::{RemovalError, Removals, RemovedObject};
use captura_archive::rendering::TablePlan;
use captura_archive::{StoreError, Stores};
use captura_names::S3Uri;
use object_store::ObjectStoreExt as _;
use parquet::errors::ParquetError;
use serde::Serialize;

use crate::call::{Call, hour_of};
use crate::layout::Partition;
use crate::renderer::Gathered;

/// Why nothing is refilled, or not one part.
#[derive(Debug, thiserror::Error)]
pub enum RefillError {
    /// A manifest or a note cannot be read or written.
    #[error(transparent)]
    Notes(#[from] ManifestError),
    /// Notes on what was removed cannot be read.
    #[error(transparent)]
    Removed(#[from] RemovalError),
    /// No store for the address.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The part is not known to be in its store.
    #[error(transparent)]
    Put(#[from] PutError),
    /// A captured object cannot be read.
    #[error("cannot read {uri}: {source}")]
    Read {
        /// The object.
        uri: String,
        /// What the store says.
        source: object_store::Error,
    },
    /// A captured object is not what was written, or has expired.
    #[error("{0}")]
    Gone(String),
    /// The part cannot be made.
    #[error("{uri}: {source}")]
    Make {
        /// The part.
        uri: String,
        /// What is wrong.
        source: ParquetError,
    },
    /// Another process merges or refills.
    #[error("another process works on the tables of this data directory; try again when it is done")]
    Busy,
}

/// What a pass did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Refilled {
    /// Parts that were owed.
    pub owed: u64,
    /// Of them, parts that are there now.
    pub parts: u64,
    /// Records in these; a record counts once for each half of a table.
    pub records: u64,
    /// Why others are not.
    pub errors: Vec<String>,
}

/// Refills the tables of a journal (`DATA_DIR/journal`).
#[derive(Debug, Clone)]
pub struct Refiller {
    stores: Stores,
    journal: PathBuf,
}

impl Refiller {
    /// A refiller that has not begun.
    #[must_use]
    pub fn new(stores: Stores, journal: PathBuf) -> Self {
        Self { stores, journal }
    }

    /// Makes what is owed, as far as stores allow.
    ///
    /// # Errors
    /// When another process works on the tables, or notes cannot be read. What fails for one part is in the answer.
    pub async fn pass(&self) -> Result<Refilled, RefillError> {
        let manifests = Manifests::at(&self.journal);
        let owing: Vec<Manifest> =
            manifests.all()?.into_iter().filter_map(Result::ok).filter(|manifest| !manifest.owed.is_empty()).collect();
        let mut done = Refilled::default();
        if owing.is_empty() {
            return Ok(done);
        }
        let Some(_lock) = Merges::create(&self.journal)?.lock()? else { return Err(RefillError::Busy) };
        let removed = Removals::at(&self.journal);
        for manifest in &owing {
            let removed = removed.read(&manifest.segment)?.map(|note| note.objects).unwrap_or_default();
            for part in &manifest.owed {
                done.owed += 1;
                match self.part(manifest, part, &removed).await {
                    Ok(made) => {
                        (done.parts, done.records) = (done.parts + 1, done.records + made.records);
                        manifests.refill(&manifest.segment, made)?;
                    }
                    Err(error) => done.errors.push(error.to_string()),
                }
            }
        }
        Ok(done)
    }

    async fn part(
        &self,
        manifest: &Manifest,
        part: &ManifestObject,
        removed: &BTreeMap<String, RemovedObject>,
    ) -> Result<ManifestObject, RefillError> {
        let gone = |why: &str| RefillError::Gone(format!("{}: {why}", part.uri));
        let (partition, _) = Partition::parse(&part.uri).ok_or_else(|| gone("it has no name of a part"))?;
        let plan = manifest.plan.tables.iter().find(|table| part.uri.starts_with(&table.to.to_string()));
        let plan = plan.ok_or_else(|| gone("no table has such a part"))?;
        let mut gathered = Gathered::new(plan, part.signature.as_ref());
        let mut records = 0;
        let sources =
            manifest.objects.iter().filter(|object| object.endpoint == part.endpoint && object.variant == part.variant);
        for source in sources.filter(|object| object.runs.numbers().any(|n| part.runs.contains(n))) {
            let noted = removed.get(&source.uri);
            if noted.is_some_and(RemovedObject::is_expired) {
                return Err(gone("its records have expired"));
            }
            let bytes = self.fetch(source, noted).await?;
            let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            for (text, _) in lines.zip(source.runs.numbers()).filter(|(_, n)| part.runs.contains(*n)) {
                let line = Line::parse(text).map_err(|error| gone(&format!("{}: {error}", source.uri)))?;
                records += 1;
                let call = Call::of_line(&line, &source.variant);
                if hour_of(call.arrived_at) != partition.hour {
                    return Err(gone("its records are of another hour"));
                }
                if !line.is_erased {
                    gathered.push(&call);
                }
            }
        }
        if records != part.records {
            return Err(gone(&format!("it is owed {} records, and {records} are in captured objects", part.records)));
        }
        let make = |source| RefillError::Make { uri: part.uri.clone(), source };
        let halves = gathered.finish(&part.endpoint).map_err(make)?;
        let bytes = halves.into_iter().find(|(kind, _)| *kind == partition.kind).map(|(_, bytes)| bytes);
        let bytes = bytes.ok_or_else(|| gone("the table has no such half"))?;
        self.put(part, plan, &bytes).await
    }

    async fn fetch(&self, object: &ManifestObject, noted: Option<&RemovedObject>) -> Result<Bytes, RefillError> {
        let uri = S3Uri::parse(&object.uri).map_err(StoreError::from)?;
        let (store, path) = self.stores.resolve_existing(&uri)?;
        let failed = |source| RefillError::Read { uri: object.uri.clone(), source };
        let bytes = store.get(&path).await.map_err(failed)?.bytes().await.map_err(failed)?;
        let sha256 = sha256_hex(&bytes);
        if noted.map_or(sha256 == object.sha256, |noted| noted.may_be(&sha256, &object.sha256)) {
            Ok(bytes)
        } else {
            Err(RefillError::Gone(format!("{} is not the object that was written", object.uri)))
        }
    }

    async fn put(&self, part: &ManifestObject, plan: &TablePlan, bytes: &Bytes) -> Result<ManifestObject, RefillError> {
        let uri = S3Uri::parse(&part.uri).map_err(StoreError::from)?;
        let (store, path) = self.stores.resolve_encrypted(&uri, plan.kms_key_id.as_deref())?;
        let sha256 = sha256_hex(bytes);
        place(&*store, Wanted { path: &path, bytes, sha256: &sha256, read_back: true }).await?;
        Ok(ManifestObject { size_bytes: bytes.len() as u64, sha256, signature: None, ..part.clone() })
    }
}
