//! Captured objects as a user finds them in a bucket's folder: JSON lines, read without captura's help.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// One captured line.
#[derive(Debug, Clone)]
pub struct Captured {
    /// The object it was found in.
    pub object: PathBuf,
    /// The line's own bytes, without its end.
    pub line: String,
    /// The same, read.
    pub json: Value,
}

impl Captured {
    /// `eventMetadata.eventId`
    pub fn event_id(&self) -> &str {
        self.json["eventMetadata"]["eventId"].as_str().unwrap_or_default()
    }

    /// The log sequence number in captura's own key.
    pub fn lsn(&self) -> String {
        match &self.json["captura"]["lsn"] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }

    /// The endpoint, by the folder of the object: `…/{endpoint}/{variant}/yyyy/mm/dd/hh/name` below the bucket.
    pub fn endpoint(&self, bucket: &Path) -> String {
        let below: Vec<_> = self.object.strip_prefix(bucket).unwrap_or(&self.object).iter().collect();
        let at = below.len().checked_sub(7).map(|at| below[at].to_string_lossy().into_owned());
        at.unwrap_or_default()
    }

    /// The request's bytes as they were captured; nothing when the input was not.
    pub fn request(&self) -> Option<Vec<u8>> {
        bytes(&self.json["captureData"]["endpointInput"])
    }

    /// The answer's bytes as they were captured; nothing when the output was not.
    pub fn response(&self) -> Option<Vec<u8>> {
        bytes(&self.json["captureData"]["endpointOutput"])
    }
}

fn bytes(side: &Value) -> Option<Vec<u8>> {
    let data = side["data"].as_str()?;
    match side["encoding"].as_str()? {
        "BASE64" => Some(STANDARD.decode(data).expect("data under BASE64 is base64")),
        _ => Some(data.as_bytes().to_vec()),
    }
}

/// Every captured line under a folder, in the order of object names and lines. A folder that is not there holds none.
///
/// # Panics
/// When a line is no JSON or an object does not end with a line end.
pub fn read(folder: &Path) -> Vec<Captured> {
    let mut found = Vec::new();
    each(folder, |line| found.push(line));
    found
}

/// The same, one line at a time, for more than memory should hold.
///
/// # Panics
/// As [`read`].
pub fn each(folder: &Path, mut see: impl FnMut(Captured)) {
    for object in objects(folder) {
        let text = std::fs::read_to_string(&object).expect("captured objects are UTF-8");
        assert!(text.is_empty() || text.ends_with('\n'), "{} ends within a line", object.display());
        for line in text.lines() {
            let json =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{}: {error}: {line}", object.display()));
            see(Captured { object: object.clone(), line: line.to_owned(), json });
        }
    }
}

/// How many lines there are, counted without reading them as JSON.
///
/// # Panics
/// When an object cannot be read.
pub fn count(folder: &Path) -> usize {
    let lines = |object: PathBuf| -> usize {
        let bytes = std::fs::read(object).expect("captured objects can be read");
        bytes.iter().map(|byte| usize::from(*byte == b'\n')).sum()
    };
    objects(folder).into_iter().map(lines).sum()
}

fn objects(folder: &Path) -> Vec<PathBuf> {
    let mut objects = Vec::new();
    collect(folder, &mut objects);
    objects.sort();
    objects
}

fn collect(folder: &Path, objects: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("the folder can be listed").path();
        if path.is_dir() {
            collect(&path, objects);
        } else if path.extension().is_some_and(|extension| extension == "jsonl") {
            objects.push(path);
        }
    }
}
