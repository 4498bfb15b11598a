//! One generation of a stream: a file of lines.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

/// Something that was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its place in the stream; without gaps, and never used twice.
    pub(crate) sequence: u64,
    /// When it happened, milliseconds.
    pub(crate) timestamp_ms: i64,
    /// When it was taken in, milliseconds.
    pub(crate) ingestion_ms: i64,
    /// What was said.
    pub(crate) message: String,
}

/// What a file of lines holds.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) events: Vec<Event>,
    /// Where the last whole line ends, bytes.
    pub(crate) whole_bytes: u64,
}

/// The line of an event.
pub(crate) fn line(event: &Event) -> Vec<u8> {
    let members = (event.sequence, event.timestamp_ms, event.ingestion_ms, &event.message);
    let mut line = serde_json::to_vec(&members).expect("our bug: numbers and text are JSON");
    line.push(b'\n');
    line
}

/// Reads a file; one that is not there holds nothing. Lines that are not ours are passed over.
pub(crate) fn read(path: &Path) -> io::Result<Read> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Read::default()),
        Err(error) => return Err(error),
    };
    let mut read = Read::default();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let Some(text) = line.strip_suffix(b"\n") else { break };
        read.whole_bytes += line.len() as u64;
        if let Ok((sequence, timestamp_ms, ingestion_ms, message)) = serde_json::from_slice(text) {
            read.events.push(Event { sequence, timestamp_ms, ingestion_ms, message });
        }
    }
    Ok(read)
}

/// Adds lines to a file, which comes into being.
pub(crate) fn append(path: &Path, lines: &[u8]) -> io::Result<()> {
    File::options().create(true).append(true).open(path)?.write_all(lines)
}

/// Cuts a torn last line off, so that the next one begins a line.
pub(crate) fn cut(path: &Path, whole_bytes: u64) -> io::Result<()> {
    match File::options().write(true).open(path) {
        Ok(file) if file.metadata()?.len() > whole_bytes => file.set_len(whole_bytes),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
