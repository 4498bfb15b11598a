//! A bucket that is a folder: objects are files, and what else is told of them lies elsewhere.
//!
//! Other rooms and programs put files into the same folder meanwhile. What they place whole is an object here.
//!
//! Invariant: an object is told with the facts of exactly its bytes; of two conditional writes to one key, one sees the
//! other. Everything here blocks.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use captura_archive::folder::{Folder, Staged};
use captura_names::Timestamp;
use futures_util::stream;
use object_store::PutMode;

use crate::condition::WriteCondition;
use crate::disk::{blocking, make_folder};
use crate::facts::{FactStore, Facts, Version};
use crate::key::Key;
use crate::listing::{Flow, Gather};
use crate::object::{Object, Pieces, Take};
use crate::refusal::{Refusal, Result, of_folder};

/// How much of a file is read at once, bytes.
const READ_BYTES: u64 = 256 << 10;
/// Keys share locks; more locks than writers at one time.
const LOCKS: usize = 64;
/// An object that is replaced while it is looked at is looked at again, so often.
const LOOKS_MAX: usize = 8;

/// The wall time.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What all local buckets share.
pub(crate) struct Shared {
    pub(crate) facts: FactStore,
    locks: [Mutex<()>; LOCKS],
    now: Now,
    last_ns: AtomicI64,
}

impl Shared {
    pub(crate) fn new(facts: FactStore, now: Now) -> Self {
        Self { facts, locks: [const { Mutex::new(()) }; LOCKS], now, last_ns: AtomicI64::new(0) }
    }

    /// The time of a new object, later than that of every other.
    fn stamp_ns(&self) -> i64 {
        let now_ns = (self.now)().unix_us().saturating_mul(1_000);
        let later = |last: i64| now_ns.max(last.saturating_add(1));
        let before = self.last_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(later(last)));
        later(before.unwrap_or_else(|last| last))
    }

    fn lock(&self, path: &Path) -> MutexGuard<'_, ()> {
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};

        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        let at = usize::try_from(hasher.finish() % LOCKS as u64).expect("our bug: there are few locks");
        self.locks[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A bucket that is a folder.
#[derive(Clone)]
pub(crate) struct Local {
    pub(crate) name: String,
    pub(crate) folder: Folder,
    pub(crate) shared: Arc<Shared>,
}

impl Take for Staged {
    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write(bytes)
    }
}

impl Local {
    fn path(&self, key: &Key) -> Result<PathBuf> {
        self.folder.path_of(key.path()).map_err(of_folder)
    }

    /// An object and its bytes, which stay these even when it is replaced.
    pub(crate) fn open(&self, key: &Key) -> Result<(Object, File)> {
        let path = self.path(key)?;
        self.consistent(key.as_str(), &path, || {
            let file = File::open(&path)?;
            Ok((file.metadata()?, file))
        })
    }

    /// An object.
    pub(crate) fn look(&self, key: &Key) -> Result<Object> {
        self.look_at(key.as_str(), &self.path(key)?)
    }

    fn look_at(&self, key: &str, path: &Path) -> Result<Object> {
        self.consistent(key, path, || Ok((std::fs::metadata(path)?, ()))).map(|(object, ())| object)
    }

    /// Facts are removed with the version that they hold for: where none are found, that version may just be gone.
    fn consistent<T>(
        &self,
        key: &str,
        path: &Path,
        open: impl Fn() -> io::Result<(std::fs::Metadata, T)>,
    ) -> Result<(Object, T)> {
        let mut looks = 1;
        loop {
            let (metadata, opened) = open().map_err(absent)?;
            if key.ends_with('/') {
                return Ok((self.look_at_folder(key, &metadata)?, opened));
            }
            if !metadata.is_file() {
                return Err(Refusal::NoSuchKey);
            }
            let version = Version::of(&metadata);
            let facts = self.shared.facts.read(&self.name, key, version);
            let settled = || std::fs::metadata(path).is_ok_and(|metadata| Version::of(&metadata) == version);
            if facts.is_some() || looks == LOOKS_MAX || settled() {
                let facts = facts.unwrap_or_else(|| version.facts());
                return Ok((
                    Object { size_bytes: version.size_bytes, modified_ns: version.modified_ns, facts },
                    opened,
                ));
            }
            looks += 1;
        }
    }

    /// A folder is an object where it was made one.
    fn look_at_folder(&self, key: &str, metadata: &std::fs::Metadata) -> Result<Object> {
        let made = || self.shared.facts.read(&self.name, key, Version::FOLDER);
        let facts = metadata.is_dir().then(made).flatten().ok_or(Refusal::NoSuchKey)?;
        Ok(Object { size_bytes: 0, modified_ns: Version::of(metadata).modified_ns, facts })
    }

    /// Makes a folder an object.
    pub(crate) fn place_folder(&self, key: &Key, facts: Facts, condition: &WriteCondition) -> Result<Object> {
        let path = self.path(key)?;
        let _one_at_a_time = self.shared.lock(&path);
        condition.check(self.there(key)?.as_ref())?;
        match make_folder(&path) {
            Ok(()) if path.is_dir() => {}
            Err(error) if error.kind() != ErrorKind::NotADirectory => return Err(error.into()),
            Ok(()) | Err(_) => return Err(Refusal::Clash),
        }
        self.shared.facts.write(&self.name, key, Version::FOLDER, facts)?;
        self.look(key)
    }

    fn there(&self, key: &Key) -> Result<Option<Object>> {
        match self.look(key) {
            Ok(object) => Ok(Some(object)),
            Err(Refusal::NoSuchKey) => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    /// Begins to write an object.
    pub(crate) fn stage(&self, key: &Key) -> Result<Staged> {
        self.folder.stage(key.path()).map_err(of_folder)
    }

    /// Puts a written object in its place.
    pub(crate) fn place(&self, staged: Staged, key: &Key, facts: Facts, condition: &WriteCondition) -> Result<Object> {
        let path = self.path(key)?;
        let stamp_ns = u64::try_from(self.shared.stamp_ns()).unwrap_or_default();
        let version = Version::of(&staged.sync(SystemTime::UNIX_EPOCH + Duration::from_nanos(stamp_ns))?);
        self.shared.facts.write(&self.name, key, version, facts.clone())?;
        let placed = {
            let _one_at_a_time = self.shared.lock(&path);
            self.replace(staged, key, &path, condition)
        };
        match placed {
            Ok(before) => {
                let before = before.map(|object| object.version()).filter(|before| *before != version);
                before.into_iter().for_each(|before| self.shared.facts.remove(&self.name, key, before));
                Ok(Object { size_bytes: version.size_bytes, modified_ns: version.modified_ns, facts })
            }
            Err(refusal) => {
                self.shared.facts.remove(&self.name, key, version);
                Err(refusal)
            }
        }
    }

    fn replace(&self, staged: Staged, key: &Key, path: &Path, condition: &WriteCondition) -> Result<Option<Object>> {
        let before = self.there(key)?;
        condition.check(before.as_ref())?;
        // Rooms that do not come through here must not slip in between either.
        let mode = if *condition == WriteCondition::Absent { PutMode::Create } else { PutMode::Overwrite };
        match staged.place(&mode).map_err(of_folder) {
            Ok(()) => Ok(before),
            Err(Refusal::Precondition) if path.is_dir() => Err(Refusal::Clash),
            Err(refusal) => Err(refusal),
        }
    }

    /// Writes other facts of an object that stays as it is.
    pub(crate) fn describe(&self, key: &Key, change: impl FnOnce(&mut Facts)) -> Result<()> {
        let _one_at_a_time = self.shared.lock(&self.path(key)?);
        let mut object = self.look(key)?;
        change(&mut object.facts);
        let version = if key.is_folder() { Version::FOLDER } else { object.version() };
        Ok(self.shared.facts.write(&self.name, key, version, object.facts)?)
    }

    /// Removes an object; one that is not there is gone already.
    pub(crate) fn remove(&self, key: &Key, condition: &WriteCondition) -> Result<()> {
        let _one_at_a_time = self.shared.lock(&self.path(key)?);
        let there = self.there(key)?;
        condition.check(there.as_ref())?;
        let Some(object) = there else { return Ok(()) };
        if key.is_folder() {
            self.shared.facts.remove(&self.name, key, Version::FOLDER);
            // With objects in it, it stays as their folder.
            let _ = std::fs::remove_dir(self.path(key)?);
            return Ok(());
        }
        match self.folder.remove(key.path()).map_err(of_folder) {
            Ok(()) | Err(Refusal::NoSuchKey) => {}
            Err(refusal) => return Err(refusal),
        }
        self.shared.facts.remove(&self.name, key, object.version());
        self.keep_made_folder(key)
    }

    /// Folders go with their last object, but those that are objects themselves.
    fn keep_made_folder(&self, removed: &Key) -> Result<()> {
        let is_made = |folder: &str| self.shared.facts.read(&self.name, folder, Version::FOLDER).is_some();
        let folders = removed.as_str().rmatch_indices('/').map(|(at, slash)| &removed.as_str()[..at + slash.len()]);
        match folders.into_iter().find(|folder| is_made(folder)) {
            Some(folder) => Ok(make_folder(&self.path(&Key::parse_any(folder)?)?)?),
            None => Ok(()),
        }
    }

    /// Offers the bucket's keys in order, until enough were taken.
    pub(crate) fn walk(&self, gather: &mut Gather) -> Result<()> {
        self.walk_folder(self.folder.root(), "", gather, &mut None)?;
        Ok(())
    }

    /// Gives whether to go on.
    fn walk_folder(&self, folder: &Path, base: &str, gather: &mut Gather, skip: &mut Option<String>) -> Result<bool> {
        for (name, is_folder) in names_in(folder)? {
            let full = format!("{base}{name}");
            if skip.as_deref().is_some_and(|skip| full.starts_with(skip)) {
                continue;
            }
            let path = folder.join(name.trim_end_matches('/'));
            if is_folder && !gather.may_hold(&full) {
                continue;
            }
            // A page has room for an object; a folder is hardly ever one, so that is asked first.
            let is_object = if is_folder { self.look_at(&full, &path).is_ok() } else { Key::parse(&full).is_ok() };
            if is_object {
                match gather.offer(&full, || self.look_at(&full, &path).ok()) {
                    Flow::Next => {}
                    Flow::Skip(group) => *skip = Some(group),
                    Flow::Stop => return Ok(false),
                }
            }
            let is_skipped = skip.as_deref().is_some_and(|skip| full.starts_with(skip));
            if is_folder && !is_skipped && !self.walk_folder(&path, &full, gather, skip)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Object {
    fn version(&self) -> Version {
        Version { modified_ns: self.modified_ns, size_bytes: self.size_bytes }
    }
}

/// What lies in a folder, in the order of keys; folders with a slash.
fn names_in(folder: &Path) -> Result<Vec<(String, bool)>> {
    let entries = match std::fs::read_dir(folder).map_err(absent) {
        // Folders go with their last object.
        Err(Refusal::NoSuchKey) => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Ok(mut name) = entry.file_name().into_string() else { continue };
        let kind = entry.file_type()?;
        let is_folder = kind.is_dir() || (kind.is_symlink() && entry.path().is_dir());
        if is_folder {
            name.push('/');
        }
        names.push((name, is_folder));
    }
    names.sort_unstable();
    Ok(names)
}

/// What is no file is not there; nor is what a link that leads to itself names.
fn absent(error: io::Error) -> Refusal {
    let is_loop = error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename => Refusal::NoSuchKey,
        _ if is_loop => Refusal::NoSuchKey,
        _ => Refusal::Disk(error),
    }
}

/// The bytes of a file from one place to another.
pub(crate) fn read(file: File, range: std::ops::Range<u64>) -> Pieces {
    let file = Arc::new(file);
    Box::pin(stream::try_unfold((file, range), async |(file, range)| {
        if range.is_empty() {
            return Ok(None);
        }
        let length = READ_BYTES.min(range.end - range.start);
        let (source, start) = (Arc::clone(&file), range.start);
        let piece = blocking(move || {
            let mut piece = vec![0; usize::try_from(length).unwrap_or_default()];
            source.read_exact_at(&mut piece, start).map(|()| Bytes::from(piece))
        })
        .await?;
        Ok(Some((piece, (file, start + length..range.end))))
    }))
}
