//! A stream of events in its folder.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::generation::{self, Event};

const LOG: &str = "log";
const LOG_BEFORE: &str = "log.1";
const BIRTH: &str = "birth.json";

/// Longest message that is kept, bytes; the rest of a longer one is cut off.
pub(crate) const MESSAGE_MAX_BYTES: usize = 256 * 1024;

/// When a group or a stream began.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Birth {
    /// Milliseconds.
    pub(crate) created_ms: i64,
}

impl Birth {
    /// Reads it out of its folder.
    pub(crate) fn read(folder: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&std::fs::read(folder.join(BIRTH))?)?)
    }

    /// Makes the folder and writes it there.
    pub(crate) fn write(self, folder: &Path) -> io::Result<()> {
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join(BIRTH), serde_json::to_vec(&self)?)
    }
}

/// A stream.
#[derive(Debug)]
pub(crate) struct Stream {
    folder: PathBuf,
    pub(crate) birth: Birth,
    /// Read from the files when somebody first asks.
    figures: Option<Figures>,
}

/// What is told of a stream without reading it again.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Figures {
    pub(crate) first_ms: Option<i64>,
    pub(crate) last_ms: Option<i64>,
    pub(crate) last_ingestion_ms: Option<i64>,
    pub(crate) next_sequence: u64,
    pub(crate) log_bytes: u64,
    pub(crate) before_bytes: u64,
}

impl Stream {
    pub(crate) fn create(folder: PathBuf, birth: Birth) -> io::Result<Self> {
        birth.write(&folder)?;
        Ok(Self { folder, birth, figures: Some(Figures::default()) })
    }

    pub(crate) fn open(folder: PathBuf) -> io::Result<Self> {
        let birth = Birth::read(&folder)?;
        Ok(Self { folder, birth, figures: None })
    }

    /// Figures, read from the files the first time; a torn line is then cut off.
    pub(crate) fn figures(&mut self) -> io::Result<Figures> {
        if let Some(figures) = self.figures {
            return Ok(figures);
        }
        let before = generation::read(&self.folder.join(LOG_BEFORE))?;
        let log = generation::read(&self.folder.join(LOG))?;
        generation::cut(&self.folder.join(LOG), log.whole_bytes)?;
        let mut figures =
            Figures { log_bytes: log.whole_bytes, before_bytes: before.whole_bytes, ..Figures::default() };
        for event in before.events.iter().chain(&log.events) {
            figures.note(event);
        }
        self.figures = Some(figures);
        Ok(figures)
    }

    /// Adds what was said.
    pub(crate) fn append(&mut self, said: &[(i64, &str)], now_ms: i64, generation_max_bytes: u64) -> io::Result<()> {
        let mut figures = self.figures()?;
        let mut lines = Vec::new();
        for (timestamp_ms, message) in said {
            let kept = &message[..message.floor_char_boundary(MESSAGE_MAX_BYTES)];
            let event = Event {
                sequence: figures.next_sequence,
                timestamp_ms: *timestamp_ms,
                ingestion_ms: now_ms,
                message: kept.to_owned(),
            };
            lines.extend(generation::line(&event));
            figures.note(&event);
        }
        let log = self.folder.join(LOG);
        if figures.log_bytes > 0 && figures.log_bytes + lines.len() as u64 > generation_max_bytes {
            std::fs::rename(&log, self.folder.join(LOG_BEFORE))?;
            figures.before_bytes = std::mem::take(&mut figures.log_bytes);
            figures.first_ms = None;
        }
        // Were the write torn, the figures would be wrong; they are read again then.
        self.figures = None;
        generation::append(&log, &lines)?;
        figures.log_bytes += lines.len() as u64;
        // The first moment of what is left is only known to the files once a generation went.
        if figures.first_ms.is_some() {
            self.figures = Some(figures);
        }
        Ok(())
    }

    /// Everything that is kept, in the order in which it came.
    pub(crate) fn events(&mut self) -> io::Result<Vec<Event>> {
        self.figures()?;
        let mut events = generation::read(&self.folder.join(LOG_BEFORE))?.events;
        events.extend(generation::read(&self.folder.join(LOG))?.events);
        Ok(events)
    }

    pub(crate) fn remove(&self) -> io::Result<()> {
        std::fs::remove_dir_all(&self.folder)
    }
}

impl Figures {
    fn note(&mut self, event: &Event) {
        self.first_ms = Some(self.first_ms.map_or(event.timestamp_ms, |first| first.min(event.timestamp_ms)));
        self.last_ms = Some(self.last_ms.map_or(event.timestamp_ms, |last| last.max(event.timestamp_ms)));
        self.last_ingestion_ms = Some(event.ingestion_ms);
        self.next_sequence = event.sequence + 1;
    }
}
