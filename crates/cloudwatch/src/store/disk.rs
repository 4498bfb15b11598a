//! The metrics on disk: a snapshot, and a log of what came after it.
//!
//! `metrics-7.snapshot` holds everything up to its moment, `metrics-7.log` everything since. When the log has grown, a
//! new pair is begun: the snapshot is written beside, synced, renamed into place, and only then are the older files
//! removed. So whatever moment a crash picks, the pair of the highest whole snapshot tells all.
//!
//! Invariant: a file that was damaged costs what follows the damage, never the start. What was recorded since the last
//! [`Disk::append`] is lost with the process; what was appended survives kill -9, and power loss once it is synced.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use captura_wire::cloudwatch::UNITS;

use super::frame::{Frame, Frames};
use super::{MetricId, Spot, Store, Summary};

/// A log of this size is replaced by a snapshot.
const LOG_MAX_BYTES: u64 = 32 * 1024 * 1024;
/// Largest file that is read at the start; a snapshot of the largest store is below.
const FILE_MAX_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// The metrics' files failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {act} {path}: {source}", path = path.display())]
pub struct DiskError {
    act: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl DiskError {
    pub(crate) fn new(act: &'static str, path: &Path, source: io::Error) -> Self {
        Self { act, path: path.to_owned(), source }
    }
}

/// The open pair of files.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: PathBuf,
    generation: u64,
    log: File,
    log_bytes: u64,
    /// Numbers of the metrics that the log has named.
    named: HashMap<(Arc<MetricId>, &'static str), u32>,
    buffer: Vec<u8>,
}

impl Disk {
    /// Opens the folder and reads what it holds into the store.
    pub(crate) fn open(folder: &Path, store: &mut Store) -> Result<Self, DiskError> {
        fs::create_dir_all(folder).map_err(|source| DiskError::new("create", folder, source))?;
        let found = generations(folder)?;
        let whole = found.iter().rev().find_map(|generation| {
            let frames = whole_snapshot(&path(folder, *generation, "snapshot"))?;
            Some((*generation, frames))
        });
        let (generation, snapshot) = whole.unwrap_or_else(|| (found.first().copied().unwrap_or(0), Vec::new()));
        restore(snapshot.into_iter(), store);
        let log_path = path(folder, generation, "log");
        let bytes = read(&log_path)?.unwrap_or_default();
        let mut frames = Frames::new(&bytes);
        restore(frames.by_ref(), store);
        let whole_bytes = frames.read_bytes as u64;
        if whole_bytes < bytes.len() as u64 {
            let lost_bytes = bytes.len() as u64 - whole_bytes;
            tracing::warn!(path = %log_path.display(), lost_bytes, "the end of the metrics' log was not whole");
        }
        let log = File::options().create(true).truncate(false).write(true).open(&log_path);
        let log = log.map_err(|source| DiskError::new("open", &log_path, source))?;
        log.set_len(whole_bytes).map_err(|source| DiskError::new("cut", &log_path, source))?;
        let mut disk = Self {
            folder: folder.to_owned(),
            generation,
            log,
            log_bytes: whole_bytes,
            named: HashMap::new(),
            buffer: Vec::new(),
        };
        disk.seek_to_end()?;
        disk.remove_others();
        Ok(disk)
    }

    fn seek_to_end(&mut self) -> Result<(), DiskError> {
        let sought = io::Seek::seek(&mut self.log, io::SeekFrom::Start(self.log_bytes));
        sought
            .map(drop)
            .map_err(|source| DiskError::new("seek in", &path(&self.folder, self.generation, "log"), source))
    }

    /// Appends samples and syncs them.
    pub(crate) fn append(&mut self, samples: HashMap<Spot, Summary>) -> Result<(), DiskError> {
        if samples.is_empty() {
            return Ok(());
        }
        self.buffer.clear();
        for (spot, summary) in samples {
            let number = self.number(&spot.metric, spot.unit);
            let Spot { at_s, high_resolution, .. } = spot;
            Frame::Samples { number, at_s, high_resolution, summary }.write(&mut self.buffer);
        }
        let written = self.log.write_all(&self.buffer).and_then(|()| self.log.sync_data());
        if let Err(source) = written {
            // The next append begins where the last whole one ended.
            let _ = self.seek_to_end();
            self.named.clear();
            return Err(DiskError::new("write", &path(&self.folder, self.generation, "log"), source));
        }
        self.log_bytes += self.buffer.len() as u64;
        Ok(())
    }

    /// The number of a metric; the first time, a frame that gives it goes before.
    fn number(&mut self, metric: &Arc<MetricId>, unit: &'static str) -> u32 {
        let next = u32::try_from(self.named.len()).unwrap_or(u32::MAX);
        let number = *self.named.entry((Arc::clone(metric), unit)).or_insert(next);
        if number == next {
            Frame::Metric { number, unit: unit.to_owned(), metric: (**metric).clone() }.write(&mut self.buffer);
        }
        number
    }

    /// Whether it is time for [`Disk::begin_anew`].
    pub(crate) fn is_long(&self) -> bool {
        self.log_bytes > LOG_MAX_BYTES
    }

    /// Begins a new pair with this snapshot, which must hold everything that was appended.
    pub(crate) fn begin_anew(&mut self, snapshot: &[u8]) -> Result<(), DiskError> {
        let generation = self.generation + 1;
        let snapshot_path = path(&self.folder, generation, "snapshot");
        let log_path = path(&self.folder, generation, "log");
        // A log that a failed attempt left behind must not be read with this snapshot.
        let log = File::create(&log_path).map_err(|source| DiskError::new("create", &log_path, source))?;
        write_synced(&snapshot_path, snapshot)?;
        self.generation = generation;
        self.log = log;
        self.log_bytes = 0;
        self.named.clear();
        self.remove_others();
        Ok(())
    }

    /// Removes pairs that are no longer read; what cannot be removed is in nobody's way.
    fn remove_others(&self) {
        for generation in generations(&self.folder).unwrap_or_default() {
            if generation != self.generation {
                let _ = fs::remove_file(path(&self.folder, generation, "snapshot"));
                let _ = fs::remove_file(path(&self.folder, generation, "log"));
            }
        }
    }
}

/// Everything in the store, as a snapshot.
pub(crate) fn snapshot(store: &Store) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, (metric, unit, series)) in (0u32..).zip(store.all()) {
        Frame::Metric { number, unit: unit.to_owned(), metric: (**metric).clone() }.write(&mut bytes);
        for (level, at_s, summary) in series.all() {
            Frame::Kept { number, at_s, level: level as u8, summary: summary.clone() }.write(&mut bytes);
        }
    }
    Frame::End.write(&mut bytes);
    bytes
}

/// Writes a file beside, syncs it, and renames it into place.
pub(crate) fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let error = |source| DiskError::new("write", path, source);
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(error)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(error)?;
    file.persist(path).map_err(|failed| error(failed.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(error)
}

fn path(folder: &Path, generation: u64, kind: &str) -> PathBuf {
    folder.join(format!("metrics-{generation}.{kind}"))
}

/// Numbers of the pairs in the folder, ascending.
fn generations(folder: &Path) -> Result<Vec<u64>, DiskError> {
    let entries = fs::read_dir(folder).map_err(|source| DiskError::new("list", folder, source))?;
    let number = |name: &str| {
        let rest = name.strip_prefix("metrics-")?;
        rest.strip_suffix(".log").or_else(|| rest.strip_suffix(".snapshot"))?.parse().ok()
    };
    let mut found: Vec<u64> = entries.filter_map(|entry| number(entry.ok()?.file_name().to_str()?)).collect();
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, DiskError> {
    let error = |source| DiskError::new("read", path, source);
    match fs::metadata(path) {
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(error(source)),
        Ok(found) if found.len() > FILE_MAX_BYTES => Err(error(io::Error::other("it is too large to be ours"))),
        Ok(_) => fs::read(path).map(Some).map_err(error),
    }
}

/// The frames of a snapshot that is there and whole.
fn whole_snapshot(path: &Path) -> Option<Vec<Frame>> {
    let frames: Vec<Frame> = Frames::new(&read(path).ok()??).collect();
    (frames.last() == Some(&Frame::End)).then_some(frames)
}

fn restore(frames: impl Iterator<Item = Frame>, store: &mut Store) {
    let mut named: HashMap<u32, (Arc<MetricId>, &'static str)> = HashMap::new();
    for frame in frames {
        match frame {
            Frame::Metric { number, unit, metric } => {
                let unit = UNITS.iter().find(|known| **known == unit).copied().unwrap_or("None");
                named.insert(number, (Arc::new(metric), unit));
            }
            Frame::Samples { number, at_s, high_resolution, summary } => {
                if let Some((metric, unit)) = named.get(&number) {
                    store.restore(metric, unit, |series| series.add(at_s, high_resolution, &summary));
                }
            }
            Frame::Kept { number, at_s, level, summary } => {
                if let Some((metric, unit)) = named.get(&number) {
                    store.restore(metric, unit, |series| series.add_at(usize::from(level), at_s, &summary));
                }
            }
            Frame::End => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Limits, Window};

    fn spot(name: &str, at_s: i64) -> Spot {
        Spot { metric: Arc::new(MetricId::new("N", name, Vec::new())), unit: "Count", at_s, high_resolution: true }
    }

    struct Life {
        store: Store,
        disk: Disk,
    }

    impl Life {
        fn begin(folder: &Path) -> Self {
            let mut store = Store::new(Limits::default());
            let disk = Disk::open(folder, &mut store).unwrap();
            Self { store, disk }
        }

        fn record(&mut self, name: &str, at_s: i64) {
            self.store.record(spot(name, at_s), &Summary::of_value(1.0, 1.0));
            self.disk.append(self.store.take_unsaved()).unwrap();
        }

        fn sum(&self, name: &str) -> f64 {
            let window = Window { start_s: 0, end_s: 3_600, period_s: 3_600 };
            self.store.collect(&spot(name, 0).metric, None, window, 3_600).values().map(|summary| summary.sum).sum()
        }
    }

    #[test]
    fn a_restart_keeps_what_was_appended() {
        let folder = tempfile::tempdir().unwrap();
        let mut life = Life::begin(folder.path());
        (0..5).for_each(|second| life.record("a", second));
        let mut life = Life::begin(folder.path());
        life.record("b", 7);
        life.record("a", 8);
        let life = Life::begin(folder.path());
        assert_eq!((life.sum("a"), life.sum("b")), (6.0, 1.0));
    }

    #[test]
    fn a_new_pair_replaces_the_old_one_and_counts_nothing_twice() {
        let folder = tempfile::tempdir().unwrap();
        let mut life = Life::begin(folder.path());
        life.record("a", 1);
        let bytes = snapshot(&life.store);
        life.disk.begin_anew(&bytes).unwrap();
        life.record("a", 2);
        assert_eq!(generations(folder.path()).unwrap(), [1]);
        assert_eq!(Life::begin(folder.path()).sum("a"), 2.0);
    }

    #[test]
    fn a_crash_between_the_steps_of_a_new_pair_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut life = Life::begin(folder.path());
        life.record("a", 1);
        let bytes = snapshot(&life.store);
        // The new log is there and the snapshot is not, or not whole.
        fs::write(path(folder.path(), 1, "log"), b"").unwrap();
        assert_eq!(Life::begin(folder.path()).sum("a"), 1.0);
        fs::write(path(folder.path(), 1, "snapshot"), &bytes[..bytes.len() - 1]).unwrap();
        assert_eq!(Life::begin(folder.path()).sum("a"), 1.0);
        // The snapshot is whole and the old pair is still there.
        fs::write(path(folder.path(), 1, "snapshot"), &bytes).unwrap();
        fs::write(path(folder.path(), 1, "log"), b"").unwrap();
        assert_eq!(Life::begin(folder.path()).sum("a"), 1.0);
        assert_eq!(generations(folder.path()).unwrap(), [1]);
    }

    #[test]
    fn a_log_with_a_torn_end_is_cut_there_and_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let mut life = Life::begin(folder.path());
        life.record("a", 1);
        life.log_tail(folder.path());
        let mut life = Life::begin(folder.path());
        assert_eq!(life.sum("a"), 1.0);
        life.record("a", 2);
        assert_eq!(Life::begin(folder.path()).sum("a"), 2.0);
    }

    impl Life {
        fn log_tail(&self, folder: &Path) {
            let mut log = File::options().append(true).open(path(folder, 0, "log")).unwrap();
            log.write_all(&[42, 0, 0, 0, 1, 2, 3]).unwrap();
        }
    }
}
