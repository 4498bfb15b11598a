//! What models and jobs say, kept in files and read as CloudWatch Logs.
//!
//! ```text
//! DATA_DIR/logs/<group>/group.json              name and birth of a group
//! DATA_DIR/logs/<group>/<stream>/log            events, a line each, the newest generation
//! DATA_DIR/logs/<group>/<stream>/log.1          the generation before it
//! ```
//!
//! Folders are named by the group's and the stream's names, percent-encoded. A line is JSON:
//! `[sequence, timestamp_ms, ingestion_ms, "message"]`; a torn last line is cut off when the stream is opened.
//!
//! Invariant: a stream holds at most two generations of [`Settings::generation_max_bytes`]; older events are gone. Lines are
//! written as they come and not synced: they outlive the process, not a power cut.
//! Refuses to: know who speaks, keep secrets out of what is said, or run metric filters.

mod generation;
mod name;
mod ops;
mod pattern;
mod speaker;
mod store;
mod stream;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use captura_route::Clock;
use captura_tasks::Tasks;
use captura_wire::aws_json::Reply;

pub use crate::speaker::{Speaker, Writing};
pub use crate::store::OpenError;
use crate::store::Store;

/// What the operator decides about logs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Folder of the groups.
    pub folder: PathBuf,
    /// Account in ARNs, twelve digits.
    pub account: String,
    /// A generation of a stream ends at this size, bytes.
    pub generation_max_bytes: u64,
}

impl Settings {
    /// Size of a generation, when nobody says otherwise.
    pub const DEFAULT_GENERATION_MAX_BYTES: u64 = 8 * 1024 * 1024;
}

/// A request.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The header `X-Amz-Target`, e.g. `Logs_20140328.GetLogEvents`.
    pub target: &'a str,
    /// Region of the credential scope.
    pub region: &'a str,
    /// The body, JSON.
    pub body: Bytes,
}

/// The logs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Logs {
    store: Arc<Store>,
}

impl Logs {
    /// Opens the folder, making it where it is not there.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn open(settings: Settings, clock: Clock) -> Result<Self, OpenError> {
        Ok(Self { store: Arc::new(Store::open(settings, clock)?) })
    }

    /// Adds what was said to a stream, which comes into being with its group. Blocks for one write; what cannot be written
    /// is counted and told in the server's own log, because whoever speaks must not wait for it.
    pub fn say(&self, group: &str, stream: &str, message: &str) {
        self.store.say(group, stream, message);
    }

    /// Starts the thread that writes for speakers who must not wait.
    ///
    /// # Errors
    /// When there is no place for another thread.
    pub fn start(&self, tasks: Tasks) -> std::io::Result<Writing> {
        Writing::start(Arc::clone(&self.store), tasks)
    }

    /// Answers a request, whatever it is. Blocks for reading files.
    #[must_use]
    pub fn answer(&self, request: &Request<'_>) -> Reply {
        let request_id = uuid::Uuid::new_v4().to_string();
        match ops::answer(&self.store, request) {
            Ok(output) => Reply::output(&output, &request_id),
            Err(fault) => Reply::fault(&fault, &request_id),
        }
    }
}
