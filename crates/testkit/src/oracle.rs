//! What the clients know: every reply that acknowledged a capture, kept outside the server.
//!
//! One JSON line for each acknowledged reply, as `captura reconcile --oracle FILE` reads it:
//!
//! ```text
//! {"eventId":"…","lsn":"…","capture":"written;lsn=…","endpoint":"…","variant":"…","requestSha256":"hex","responseSha256":"hex"}
//! ```
//!
//! Invariant: a line is written only after the whole reply was read, so it is a promise that somebody received.
//! It is not synced to disk: the server is killed here, not the machine.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::connection::Reply;

/// One promise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Acknowledged {
    /// Header `x-captura-event-id`.
    pub event_id: String,
    /// Log sequence number out of the capture header.
    pub lsn: String,
    /// Header `x-captura-capture`, whole.
    pub capture: String,
    /// Endpoint called.
    pub endpoint: String,
    /// Header `x-amzn-Invoked-Production-Variant`.
    pub variant: String,
    /// Of the bytes sent, hexadecimal.
    pub request_sha256: String,
    /// Of the bytes received, hexadecimal.
    pub response_sha256: String,
}

impl Acknowledged {
    /// The promise in a reply; nothing when the capture was not acknowledged as durable or written.
    pub fn from_reply(endpoint: &str, request: &[u8], reply: &Reply) -> Option<Self> {
        let capture = reply.header("x-captura-capture")?;
        let word = capture.split(';').next().unwrap_or_default().trim();
        if !matches!(word, "durable" | "written") {
            return None;
        }
        let lsn = capture.split(';').find_map(|part| part.trim().strip_prefix("lsn="))?;
        Some(Self {
            event_id: reply.header("x-captura-event-id")?.to_owned(),
            lsn: lsn.to_owned(),
            capture: capture.to_owned(),
            endpoint: endpoint.to_owned(),
            variant: reply.header("x-amzn-invoked-production-variant").unwrap_or_default().to_owned(),
            request_sha256: sha256(request),
            response_sha256: sha256(&reply.body),
        })
    }
}

/// Hexadecimal SHA-256.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The oracle's file, shared by clients.
pub struct Oracle {
    path: PathBuf,
    file: Mutex<BufWriter<File>>,
}

impl Oracle {
    /// Begins a new file.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn create(path: &Path) -> Self {
        let file = File::create(path).expect("the oracle's file can be made");
        Self { path: path.to_owned(), file: Mutex::new(BufWriter::new(file)) }
    }

    /// Its path, after everything noted so far is in it.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn path(&self) -> &Path {
        self.file.lock().expect("no client panicked").flush().expect("the oracle is written");
        &self.path
    }

    /// Notes one promise.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn note(&self, acknowledged: &Acknowledged) {
        let mut line = serde_json::to_vec(acknowledged).expect("our bug: a promise is JSON");
        line.push(b'\n');
        self.file.lock().expect("no client panicked").write_all(&line).expect("the oracle is written");
    }

    /// All promises by event id.
    ///
    /// # Panics
    /// When the file is damaged, or two replies carried the same event id.
    pub fn read(&self) -> HashMap<String, Acknowledged> {
        let text = std::fs::read_to_string(self.path()).expect("the oracle can be read");
        let mut promises = HashMap::new();
        for line in text.lines() {
            let promise: Acknowledged = serde_json::from_str(line).expect("our bug: a line of the oracle");
            let twice = promises.insert(promise.event_id.clone(), promise);
            assert!(twice.is_none(), "two replies carried the event id of {line}");
        }
        promises
    }
}
