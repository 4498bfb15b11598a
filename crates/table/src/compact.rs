//! Small files of an hour that is over become one.
//!
//! ```text
//! merged file put under a hidden name and read back ─ note written ─ parts removed ─ file put under its own name ─ note closed
//! ```
//! No reader sees a row twice: the file gets its name only when its parts are gone. Between the two the rows are in the
//! hidden file and not to be seen, for as long as a few requests to the store take; a kill in between makes that last
//! until the next start, which goes on where the note says. Whoever cannot have that turns compaction off.
//!
//! Only parts whose segment has a manifest in this journal are merged: they are never put again, so that none comes back.
//! Files of other nodes and of anybody else stay as they are.
//!
//! Invariant: a part is removed only after a note names the confirmed file that holds its rows.
//! Refuses to: touch hours that are not over; know what columns mean.

mod background;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

pub use background::Compacting;
use bytes::Bytes;
use captura_archive::batch::sha256_hex;
use captura_archive::manifest::{ManifestError, Manifests};
use captura_archive::merges::{MERGE_VERSION, Merge, MergedFile, Merges};
use captura_archive::put::{PutError, Wanted, place};
use captura_archive::removal::{RemovalError, Removals, Rewritten};
use captura_archive::rendering::TablePlan;
use captura_archive::uploader::Now;
use captura_archive::{StoreError, Stores};
use captura_names::{S3Uri, Timestamp};
use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use parquet::errors::ParquetError;
use serde::Serialize;

use crate::call::{HOUR_US, hour_of};
use crate::layout::{Kind, Partition, SUFFIX, segment_of_part};
use crate::merging::Merging;
use crate::refill::Refiller;

/// Files of this size and above are left alone, bytes.
const SMALL_MAX_BYTES: u64 = 32 << 20;
/// Parts of this size together make a file, bytes.
const MERGED_MAX_BYTES: u64 = 64 << 20;
/// How long after its end an hour is taken for over: its last segment is sealed and archived by then.
pub const CLOSED_AFTER_US: i64 = 15 * 60 * 1_000_000;
/// Days that are looked at again in the background.
const DAYS_BACK: i64 = 7;
const DAY_HOURS: i64 = 24;

/// Why a table cannot be compacted.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// A manifest or a note cannot be read or written.
    #[error(transparent)]
    Notes(#[from] ManifestError),
    /// Notes on rows that were taken out cannot be read.
    #[error(transparent)]
    Removed(#[from] RemovalError),
    /// No store for the table.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file is not known to be in its store.
    #[error(transparent)]
    Put(#[from] PutError),
    /// The store refused or failed.
    #[error("cannot {act} {place}: {source}")]
    Failed {
        /// What was tried.
        act: &'static str,
        /// Where.
        place: String,
        /// What the store says.
        source: object_store::Error,
    },
    /// A file is not what was written.
    #[error("{0} is not the file that was written; it stays as it is")]
    Altered(String),
    /// A file cannot be read or written as Parquet.
    #[error("{place}: {source}")]
    Parquet {
        /// The file.
        place: String,
        /// What is wrong.
        source: ParquetError,
    },
    /// Another process merges.
    #[error("another process compacts the tables of this data directory; try again when it is done")]
    Busy,
}

/// What a pass did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Files that were made.
    pub merged: u64,
    /// Parts that are gone.
    pub parts: u64,
    /// Hours that were looked at.
    pub hours: u64,
    /// What did not go well; the rest went on.
    pub errors: Vec<String>,
}

/// Which hours a pass looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hours {
    /// Those of the last days that are over.
    Recent,
    /// All that are over.
    Closed,
    /// All, the one under way too.
    All,
}

/// Merges files of tables.
#[derive(Clone)]
pub struct Compactor {
    stores: Stores,
    journal: PathBuf,
    now: Now,
}

/// What is known of the files of a table.
struct Known {
    manifests: Manifests,
    /// Confirmed parts by address, and segments that were looked up.
    parts: BTreeMap<String, MergedFile>,
    segments: BTreeSet<String>,
    merges: Merges,
    /// Parts of merges that could not be finished: they are in a merged file already.
    held: BTreeSet<String>,
    /// Files out of which rows were taken, by address.
    rewritten: BTreeMap<String, Rewritten>,
}

impl Compactor {
    /// A compactor of the journal's tables (`DATA_DIR/journal`).
    #[must_use]
    pub fn new(stores: Stores, journal: PathBuf, now: Now) -> Self {
        Self { stores, journal, now }
    }

    /// What makes parts that are owed, of the same journal.
    #[must_use]
    pub fn refiller(&self) -> Refiller {
        Refiller::new(self.stores.clone(), self.journal.clone())
    }

    /// Finishes what an earlier pass left, then merges the small files of each hour.
    ///
    /// # Errors
    /// When another process does it already, or notes cannot be read. What fails for one hour is in the summary.
    pub async fn pass(&self, tables: &[TablePlan], hours: Hours) -> Result<Summary, CompactError> {
        let merges = Merges::create(&self.journal)?;
        let Some(_lock) = merges.lock()? else { return Err(CompactError::Busy) };
        let mut summary = Summary::default();
        let mut known = Known {
            manifests: Manifests::at(&self.journal),
            parts: BTreeMap::new(),
            segments: BTreeSet::new(),
            merges: merges.clone(),
            held: BTreeSet::new(),
            rewritten: Removals::at(&self.journal).rewritten()?,
        };
        for mut merge in merges.open()? {
            let key = tables.iter().find(|table| merge.target.uri.starts_with(&table.to.to_string()));
            let key = key.and_then(|table| table.kms_key_id.as_deref());
            match self.finish(&merges, &mut merge, key).await {
                Ok(()) => summary.merged += 1,
                Err(error) => {
                    summary.errors.push(error.to_string());
                    known.held.extend(merge.sources.into_iter().map(|source| source.uri));
                }
            }
        }
        for table in tables {
            for kind in Kind::ALL {
                if let Err(error) = self.half(table, (kind, hours), (&merges, &mut known), &mut summary).await {
                    summary.errors.push(error.to_string());
                }
            }
        }
        Ok(summary)
    }

    async fn half(
        &self,
        table: &TablePlan,
        (kind, hours): (Kind, Hours),
        (merges, known): (&Merges, &mut Known),
        summary: &mut Summary,
    ) -> Result<(), CompactError> {
        let (store, path) = match self.stores.resolve_existing(&table.to) {
            Ok(found) => found,
            Err(StoreError::NoSuchBucket { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for day in days(&*store, &path.join(kind.as_str()), self.since(hours)).await? {
            for (partition, files) in files_by_hour(&*store, &day).await? {
                if hours != Hours::All && !self.is_over(&partition) {
                    continue;
                }
                summary.hours += 1;
                for sources in known.batches(table, &partition, &files)? {
                    match self.merge(table, &partition, (merges, sources)).await {
                        Ok(parts) => {
                            summary.merged += u64::from(parts > 0);
                            summary.parts += parts;
                        }
                        Err(error) => summary.errors.push(error.to_string()),
                    }
                }
            }
        }
        Ok(())
    }

    fn since(&self, hours: Hours) -> i64 {
        let now = hour_of((self.now)());
        if hours == Hours::Recent { now - now.rem_euclid(DAY_HOURS) - DAYS_BACK * DAY_HOURS } else { i64::MIN }
    }

    fn is_over(&self, partition: &Partition) -> bool {
        let end_us = (partition.hour + 1) * HOUR_US;
        (self.now)() >= Timestamp::from_unix_us(end_us.saturating_add(CLOSED_AFTER_US))
    }

    /// Merges the files whose columns go together, from the first; answers how many there were.
    async fn merge(
        &self,
        table: &TablePlan,
        partition: &Partition,
        (merges, mut sources): (&Merges, Vec<MergedFile>),
    ) -> Result<u64, CompactError> {
        let mut merging = Merging::default();
        let mut fit = 0;
        for source in &sources {
            let bytes = self.fetch(source).await?;
            let parquet = |error| CompactError::Parquet { place: source.uri.clone(), source: error };
            if !merging.takes(bytes).map_err(parquet)? {
                break;
            }
            fit += 1;
        }
        sources.truncate(fit);
        if fit < 2 {
            return Ok(0);
        }
        let mut writer = merging.writer(partition).map_err(|source| self.parquet(table, source))?;
        for source in &sources {
            let bytes = self.fetch(source).await?;
            merging.copy(bytes, &mut writer).map_err(|error| self.parquet(table, error))?;
        }
        let bytes = writer.finish().map_err(|source| self.parquet(table, source))?;
        let (id, node) = (Merge::id_of(&sources), node_of(&sources));
        let at = |name: String| table.to.join(&format!("{}/{name}", partition.folder())).map_err(StoreError::from);
        let target = MergedFile {
            uri: at(format!("merged-{node}-{id}{SUFFIX}"))?.to_string(),
            size_bytes: bytes.len() as u64,
            sha256: sha256_hex(&bytes),
            records: sources.iter().map(|source| source.records).sum(),
        };
        let staged = at(format!("_merging-{node}-{id}.tmp"))?;
        let key = table.kms_key_id.as_deref();
        self.put(&staged, (&bytes, &target.sha256), key).await?;
        let merged_at = (self.now)().to_string();
        let parts = sources.len() as u64;
        let (version, staged) = (MERGE_VERSION, staged.to_string());
        let mut merge = Merge { version, staged, target, sources, merged_at, done: false };
        merges.write(&merge)?;
        self.finish(merges, &mut merge, key).await?;
        Ok(parts)
    }

    #[expect(clippy::unused_self, reason = "reads as what it is at the call")]
    fn parquet(&self, table: &TablePlan, source: ParquetError) -> CompactError {
        CompactError::Parquet { place: table.to.to_string(), source }
    }

    /// From the note on: removes the parts, gives the file its name, closes the note.
    async fn finish(&self, merges: &Merges, merge: &mut Merge, key: Option<&str>) -> Result<(), CompactError> {
        for source in &merge.sources {
            let uri = S3Uri::parse(&source.uri).map_err(StoreError::from)?;
            let (store, path) = self.stores.resolve(&uri)?;
            match store.delete(&path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(failed("remove", &source.uri, error)),
            }
        }
        let staged = S3Uri::parse(&merge.staged).map_err(StoreError::from)?;
        let target = S3Uri::parse(&merge.target.uri).map_err(StoreError::from)?;
        let (store, path) = self.stores.resolve(&staged)?;
        match store.get(&path).await {
            Ok(found) => {
                let bytes = found.bytes().await.map_err(|error| failed("read", &merge.staged, error))?;
                if sha256_hex(&bytes) != merge.target.sha256 {
                    return Err(CompactError::Altered(merge.staged.clone()));
                }
                self.put(&target, (&bytes, &merge.target.sha256), key).await?;
            }
            // An earlier try came as far as removing it.
            Err(object_store::Error::NotFound { .. }) => {
                self.fetch(&merge.target).await?;
            }
            Err(error) => return Err(failed("read", &merge.staged, error)),
        }
        match store.delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(failed("remove", &merge.staged, error)),
        }
        merge.done = true;
        Ok(merges.write(merge)?)
    }

    async fn fetch(&self, file: &MergedFile) -> Result<Bytes, CompactError> {
        let uri = S3Uri::parse(&file.uri).map_err(StoreError::from)?;
        let (store, path) = self.stores.resolve_existing(&uri)?;
        let found = store.get(&path).await.map_err(|error| failed("read", &file.uri, error))?;
        let bytes = found.bytes().await.map_err(|error| failed("read", &file.uri, error))?;
        if sha256_hex(&bytes) == file.sha256 { Ok(bytes) } else { Err(CompactError::Altered(file.uri.clone())) }
    }

    async fn put(&self, uri: &S3Uri, (bytes, sha256): (&Bytes, &str), key: Option<&str>) -> Result<(), CompactError> {
        let (store, path) = self.stores.resolve_encrypted(uri, key)?;
        place(&*store, Wanted { path: &path, bytes, sha256, read_back: true }).await?;
        Ok(())
    }
}

impl Known {
    /// Files of an hour that may be merged, in the order of their names, as many at a time as make a file.
    fn batches(
        &mut self,
        table: &TablePlan,
        partition: &Partition,
        files: &[(String, u64)],
    ) -> Result<Vec<Vec<MergedFile>>, CompactError> {
        let mut batches: Vec<Vec<MergedFile>> = Vec::new();
        let mut full = true;
        let mut bytes = 0;
        for (name, size_bytes) in files.iter().filter(|(_, size_bytes)| *size_bytes < SMALL_MAX_BYTES) {
            let uri = table.to.join(&format!("{}/{name}", partition.folder())).map_err(StoreError::from)?.to_string();
            if self.held.contains(&uri) {
                continue;
            }
            let Some(file) = self.file(&uri, name)? else { continue };
            if full || bytes + size_bytes > MERGED_MAX_BYTES {
                batches.push(Vec::new());
                (full, bytes) = (false, 0);
            }
            bytes += size_bytes;
            batches.last_mut().expect("our bug: there is a batch").push(file);
        }
        batches.retain(|batch| batch.len() > 1);
        Ok(batches)
    }

    /// What is known of a file, when it may be merged: a part whose segment has its manifest here, or a merged file.
    fn file(&mut self, uri: &str, name: &str) -> Result<Option<MergedFile>, CompactError> {
        let file = self.made(uri, name)?;
        Ok(match (file, self.rewritten.get(uri)) {
            (Some(file), Some(Rewritten { size_bytes, sha256, done: true, .. })) => {
                Some(MergedFile { size_bytes: *size_bytes, sha256: sha256.clone(), ..file })
            }
            // Which it is will be known when the rewriting has gone on.
            (Some(_), Some(_)) => None,
            (file, None) | (file @ None, _) => file,
        })
    }

    /// A file as it was made.
    fn made(&mut self, uri: &str, name: &str) -> Result<Option<MergedFile>, CompactError> {
        if let Some(id) = name.strip_prefix("merged-").and_then(|rest| rest.strip_suffix(SUFFIX)?.split('-').nth(1)) {
            let merge = self.merges.done(id)?;
            return Ok(merge.map(|merge| merge.target).filter(|target| target.uri == uri));
        }
        let Some((_, segment)) = segment_of_part(name) else { return Ok(None) };
        if self.segments.insert(segment.clone())
            && let Some(manifest) = self.manifests.read(&segment)?
        {
            self.parts.extend(manifest.tables.iter().map(|part| (part.uri.clone(), MergedFile::from(part))));
        }
        Ok(self.parts.get(uri).cloned())
    }
}

/// Node that made the first file, as it stands in its name.
fn node_of(sources: &[MergedFile]) -> &str {
    let name = sources.first().and_then(|source| source.uri.rsplit('/').next());
    name.and_then(|name| name.split('-').nth(1)).unwrap_or("0")
}

fn failed(act: &'static str, place: &str, source: object_store::Error) -> CompactError {
    CompactError::Failed { act, place: place.to_owned(), source }
}

/// Folders of days below one half of a table, from the one of hour `since` on.
async fn days(store: &dyn ObjectStore, half: &Path, since: i64) -> Result<Vec<Path>, CompactError> {
    let folders = async |of: &Path| {
        let listed = store.list_with_delimiter(Some(of)).await;
        listed.map(|listed| listed.common_prefixes).map_err(|error| failed("list", of.as_ref(), error))
    };
    let mut days = Vec::new();
    for endpoint in folders(half).await? {
        days.extend(folders(&endpoint).await?.into_iter().filter(|day| {
            let date = day.filename().and_then(|name| name.strip_prefix("date="));
            let midnight = date.and_then(|date| Timestamp::parse(&format!("{date}T00:00:00Z")).ok());
            midnight.is_some_and(|midnight| hour_of(midnight) >= since)
        }));
    }
    days.sort();
    Ok(days)
}

/// Files of a day by hour, in the order of their names, with their sizes.
async fn files_by_hour(
    store: &dyn ObjectStore,
    day: &Path,
) -> Result<BTreeMap<Partition, Vec<(String, u64)>>, CompactError> {
    let mut hours: BTreeMap<Partition, Vec<(String, u64)>> = BTreeMap::new();
    let mut listing = store.list(Some(day));
    while let Some(meta) = listing.try_next().await.map_err(|error| failed("list", day.as_ref(), error))? {
        if let Some((partition, name)) = Partition::parse(meta.location.as_ref())
            && name.ends_with(SUFFIX)
        {
            hours.entry(partition).or_default().push((name.to_owned(), meta.size));
        }
    }
    for files in hours.values_mut() {
        files.sort();
    }
    Ok(hours)
}

/// A clock for compactors.
#[must_use]
pub fn clock(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Now {
    Arc::new(now)
}

#[cfg(test)]
mod tests;
