//! JSON that is one document, `{"json": {"lines": false}}`: a list's items become the lines that everything else reads.
//!
//! Invariant: an item is a row; a document that is no list is one row. Refuses to: hold documents that are too large to be held.

use std::io::{BufReader, Write as _};
use std::path::Path;

use serde_json::Value;

use crate::Failure;
use crate::job::Job;

/// Largest document, bytes.
const DOCUMENT_MAX_BYTES: u64 = 256 << 20;

/// The files with a line for each row.
pub(crate) fn as_lines(job: &Job, files: &[String]) -> Result<Vec<String>, Failure> {
    let folder = job.scratch("documents")?;
    let mut made = Vec::new();
    for (number, file) in files.iter().enumerate() {
        let path = folder.join(format!("{number:08}.jsonl"));
        write_lines(file, &path)?;
        made.push(path.display().to_string());
    }
    Ok(made)
}

fn write_lines(file: &str, path: &Path) -> Result<(), Failure> {
    let failed = |reason| Failure::File { path: file.to_owned(), reason };
    let opened = std::fs::File::open(file).map_err(failed)?;
    if opened.metadata().map_err(failed)?.len() > DOCUMENT_MAX_BYTES {
        return Err(Failure::Request(format!(
            "{file} is larger than {} MiB, which is too large for one JSON document; write JSON Lines",
            DOCUMENT_MAX_BYTES >> 20
        )));
    }
    let mut out = std::io::BufWriter::new(std::fs::File::create(path).map_err(failed)?);
    for document in serde_json::Deserializer::from_reader(BufReader::new(opened)).into_iter::<Value>() {
        let document = document.map_err(|error| Failure::Request(format!("{file} is no JSON: {error}")))?;
        let rows = match document {
            Value::Array(rows) => rows,
            one => vec![one],
        };
        for row in rows {
            writeln!(out, "{row}").map_err(failed)?;
        }
    }
    out.flush().map_err(failed)
}
