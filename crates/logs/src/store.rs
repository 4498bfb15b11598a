//! All groups with their streams. What it remembers is an index of the folders; the files are the truth.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use captura_route::Clock;

use crate::Settings;
use crate::name;
use crate::stream::{Birth, Stream};

/// Most streams in all groups together; whoever would begin another one is refused.
pub(crate) const STREAMS_MAX: usize = 100_000;

/// Most groups; whoever would begin another one is refused.
pub(crate) const GROUPS_MAX: usize = 10_000;

/// Why the logs cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder cannot be made.
    #[error("the folder of logs {path} cannot be made: {source}", path = path.display())]
    Create {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The folder cannot be read.
    #[error("the folder of logs {path} cannot be read: {source}", path = path.display())]
    List {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// A group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) birth: Birth,
    pub(crate) streams: BTreeMap<String, Stream>,
}

/// All groups, by name.
pub(crate) type Groups = BTreeMap<String, Group>;

#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) settings: Settings,
    clock: Clock,
    groups: Mutex<Groups>,
    /// Messages that could not be written.
    lost: AtomicU64,
}

impl Store {
    pub(crate) fn open(settings: Settings, clock: Clock) -> Result<Self, OpenError> {
        let folder = &settings.folder;
        std::fs::create_dir_all(folder).map_err(|source| OpenError::Create { path: folder.clone(), source })?;
        let groups = groups(folder).map_err(|source| OpenError::List { path: folder.clone(), source })?;
        Ok(Self { settings, clock, groups: Mutex::new(groups), lost: AtomicU64::new(0) })
    }

    pub(crate) fn groups(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now().unix_us() / 1_000
    }

    pub(crate) fn folder(&self, group: &str) -> PathBuf {
        self.settings.folder.join(name::folder(group))
    }

    /// Begins a group; false when it is there.
    pub(crate) fn create_group(&self, groups: &mut Groups, group: &str) -> io::Result<bool> {
        if groups.contains_key(group) {
            return Ok(false);
        }
        if groups.len() >= GROUPS_MAX {
            return Err(io::Error::other(format!("there are {GROUPS_MAX} log groups already")));
        }
        let birth = Birth { created_ms: self.now_ms() };
        birth.write(&self.folder(group))?;
        groups.insert(group.to_owned(), Group { birth, streams: BTreeMap::new() });
        Ok(true)
    }

    /// Begins a stream in a group that is there; false when the stream is there too.
    pub(crate) fn create_stream(&self, groups: &mut Groups, group: &str, stream: &str) -> io::Result<bool> {
        let Some(found) = groups.get(group) else { return Err(io::ErrorKind::NotFound.into()) };
        if found.streams.contains_key(stream) {
            return Ok(false);
        }
        if groups.values().map(|group| group.streams.len()).sum::<usize>() >= STREAMS_MAX {
            return Err(io::Error::other(format!("there are {STREAMS_MAX} log streams already")));
        }
        let folder = self.folder(group).join(name::folder(stream));
        let new = Stream::create(folder, Birth { created_ms: self.now_ms() })?;
        let group = groups.get_mut(group).expect("our bug: the group was just found");
        group.streams.insert(stream.to_owned(), new);
        Ok(true)
    }

    pub(crate) fn say(&self, group: &str, stream: &str, message: &str) {
        let now_ms = self.now_ms();
        let said = || {
            let mut groups = self.groups();
            self.create_group(&mut groups, group)?;
            self.create_stream(&mut groups, group, stream)?;
            let stream = groups.get_mut(group).and_then(|group| group.streams.get_mut(stream));
            let stream = stream.expect("our bug: the stream was just made");
            stream.append(&[(now_ms, message)], now_ms, self.settings.generation_max_bytes)
        };
        if let Err(error) = said() {
            self.lose(group, stream, &error.to_string());
        }
    }

    /// Counts a message that is not kept.
    pub(crate) fn lose(&self, group: &str, stream: &str, why: &str) {
        let lost = self.lost.fetch_add(1, Ordering::Relaxed) + 1;
        // The first of each power of two, so that a full disk does not fill the server's own log too.
        if lost.is_power_of_two() {
            tracing::error!(why, group, stream, lost, "what a model said cannot be kept");
        }
    }
}

fn groups(folder: &Path) -> io::Result<Groups> {
    let mut groups = Groups::new();
    for (group, path) in named_folders(folder)? {
        // Without its birth a folder is one whose creation was cut short.
        let Ok(birth) = Birth::read(&path) else { continue };
        let mut streams = BTreeMap::new();
        for (stream, path) in named_folders(&path)? {
            if let Ok(opened) = Stream::open(path) {
                streams.insert(stream, opened);
            }
        }
        groups.insert(group, Group { birth, streams });
    }
    Ok(groups)
}

fn named_folders(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let named = entry.file_name().to_str().and_then(name::of_folder);
        if let Some(named) = named.filter(|_| entry.path().is_dir()) {
            found.push((named, entry.path()));
        }
    }
    Ok(found)
}
