//! Uploads in parts: parts wait on the disk, outside of every bucket, until they become an object.
//!
//! `DATA_DIR/bucket-uploads/<upload>/upload.json`, and for each part `<number>.json` and the file of bytes that it names.
//!
//! Invariant: a part is there with all its bytes or not at all; nothing of an upload is seen in a bucket before it is
//! completed. Uploads that nobody completes are removed after [`ABANDONED_AFTER`].
//! Everything here blocks.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use captura_names::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::digest::{Algorithm, Checksum, Digested};
use crate::disk;
use crate::facts::Described;
use crate::key::Key;
use crate::object::Take;
use crate::refusal::{Refusal, Result};

/// An upload that was not completed so long after it was begun is given up.
pub const ABANDONED_AFTER: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Highest number of a part, as S3 has it.
pub(crate) const PART_NUMBER_MAX: i32 = 10_000;
const UPLOAD: &str = "upload.json";

/// An upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Upload {
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) described: Described,
    /// The checksum that its parts have.
    pub(crate) algorithm: Option<Algorithm>,
    /// Whether the object's checksum is one of its parts' checksums.
    pub(crate) composite: bool,
    pub(crate) created: Timestamp,
}

/// A part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) number: i32,
    pub(crate) size_bytes: u64,
    pub(crate) md5: [u8; 16],
    pub(crate) checksum: Option<Checksum>,
    pub(crate) modified: Timestamp,
    file: String,
}

/// A part that is being written; dropped, it is gone.
pub(crate) struct PartDraft {
    file: File,
    path: PathBuf,
    kept: bool,
}

impl Take for PartDraft {
    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }
}

impl Drop for PartDraft {
    fn drop(&mut self) {
        if !self.kept {
            // An upload that is removed takes it along.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Where uploads wait.
#[derive(Debug, Clone)]
pub(crate) struct Uploads {
    root: PathBuf,
}

impl Uploads {
    /// Uploads in this folder.
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Begins an upload; gives its id.
    pub(crate) fn create(&self, upload: &Upload) -> Result<String> {
        let id = Uuid::new_v4().simple().to_string();
        disk::write_json(&self.root.join(&id).join(UPLOAD), upload)?;
        Ok(id)
    }

    /// An upload of that key.
    pub(crate) fn find(&self, id: &str, bucket: &str, key: &str) -> Result<Upload> {
        let upload: Option<Upload> = disk::read_json(&self.folder(id)?.join(UPLOAD))?;
        upload.filter(|upload| upload.bucket == bucket && upload.key == key).ok_or(Refusal::NoSuchUpload)
    }

    /// Ids lead to folders, so only what could be one of ours does.
    fn folder(&self, id: &str) -> Result<PathBuf> {
        let id = Uuid::try_parse(id).map_err(|_| Refusal::NoSuchUpload)?;
        Ok(self.root.join(id.simple().to_string()))
    }

    /// Begins to write a part.
    pub(crate) fn draft(&self, id: &str) -> Result<PartDraft> {
        let path = self.folder(id)?.join(format!("{}.part", Uuid::new_v4().simple()));
        match File::create_new(&path) {
            Ok(file) => Ok(PartDraft { file, path, kept: false }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Refusal::NoSuchUpload),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a part of what was written, in the place of one of the same number.
    pub(crate) fn keep(
        &self,
        id: &str,
        number: i32,
        mut draft: PartDraft,
        about: (Digested, Timestamp),
    ) -> Result<Part> {
        let folder = self.folder(id)?;
        let (digested, modified) = about;
        draft.file.sync_all()?;
        let file = draft.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let part = Part {
            number,
            size_bytes: digested.size_bytes,
            md5: digested.md5,
            checksum: digested.checksum,
            modified,
            file,
        };
        let place = folder.join(format!("{number}.json"));
        let before: Option<Part> = disk::read_json(&place)?;
        if !folder.is_dir() {
            return Err(Refusal::NoSuchUpload);
        }
        disk::write_json(&place, &part)?;
        draft.kept = true;
        if let Some(before) = before {
            disk::remove_file(&folder.join(before.file))?;
        }
        Ok(part)
    }

    /// The parts of an upload, in order.
    pub(crate) fn parts(&self, id: &str) -> Result<Vec<Part>> {
        let mut parts: Vec<Part> = Vec::new();
        for name in names(&self.folder(id)?)? {
            if name.strip_suffix(".json").is_some_and(|number| number.parse::<i32>().is_ok()) {
                parts.extend(disk::read_json::<Part>(&self.folder(id)?.join(name))?);
            }
        }
        parts.sort_by_key(|part| part.number);
        Ok(parts)
    }

    /// The bytes of a part.
    pub(crate) fn open(&self, id: &str, part: &Part) -> Result<File> {
        match File::open(self.folder(id)?.join(&part.file)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Refusal::NoSuchUpload),
            opened => Ok(opened?),
        }
    }

    /// Removes an upload, completed or given up.
    pub(crate) fn remove(&self, id: &str) -> Result<()> {
        Ok(disk::remove_folder(&self.folder(id)?)?)
    }

    /// The uploads into a bucket, by key and then by time.
    pub(crate) fn list(&self, bucket: &str) -> Result<Vec<(String, Upload)>> {
        let mut uploads = self.all()?;
        uploads.retain(|(_, upload)| upload.bucket == bucket);
        uploads.sort_by(|(a_id, a), (b_id, b)| (&a.key, a_id).cmp(&(&b.key, b_id)));
        Ok(uploads)
    }

    fn all(&self) -> Result<Vec<(String, Upload)>> {
        let mut uploads = Vec::new();
        for id in names(&self.root)?.into_iter().filter(|id| Uuid::try_parse(id).is_ok()) {
            match disk::read_json::<Upload>(&self.root.join(&id).join(UPLOAD)) {
                Ok(upload) => uploads.extend(upload.map(|upload| (id, upload))),
                Err(error) => tracing::warn!(id, %error, "an upload cannot be read; left out"),
            }
        }
        Ok(uploads)
    }

    /// Removes the uploads that were given up, and gives how many.
    pub(crate) fn sweep(&self, now: Timestamp) -> Result<usize> {
        let patience_us = i64::try_from(ABANDONED_AFTER.as_micros()).unwrap_or(i64::MAX);
        let mut removed = 0;
        for (id, upload) in self.all()? {
            if upload.created.plus_us(patience_us) < now {
                self.remove(&id)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Removes the uploads into a bucket that is gone.
    pub(crate) fn remove_bucket(&self, bucket: &str) -> Result<()> {
        self.list(bucket)?.into_iter().try_for_each(|(id, _)| self.remove(&id))
    }
}

fn names(folder: &Path) -> Result<Vec<String>> {
    match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => {
            let names = entries?.map(|entry| Ok(entry?.file_name().into_string().ok()));
            Ok(names.filter_map(io::Result::transpose).collect::<io::Result<_>>()?)
        }
    }
}

/// The key of an upload, which was checked when it was begun.
pub(crate) fn key_of(upload: &Upload) -> Result<Key> {
    Key::parse(&upload.key)
}
