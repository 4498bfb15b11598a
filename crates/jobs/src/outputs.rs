//! Outputs: files of a job's folder become objects.
//!
//! Invariant: a file is sent as a whole or not at all, and only regular files below the output's own folder are; links are
//! not followed, so that a program cannot have this server send what it may not read itself.
//! Refuses to: take objects away that are there already.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use captura_archive::{StoreError, Stores};
use captura_names::{InvalidS3Uri, S3Uri};
use captura_wire::hosting::UploadMode;
use object_store::{ObjectStoreExt as _, PutPayload};
use tokio::io::AsyncReadExt as _;

use crate::files::open_below;
use crate::limits::{OUTPUT_FILES_MAX, PART_BYTES};

/// Why an output cannot be sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    /// There are too many files.
    #[error("ClientError: {0} has more than {OUTPUT_FILES_MAX} files.")]
    TooMany(String),
    /// The name of a file cannot be a key.
    #[error("ClientError: {0}.")]
    Name(#[from] InvalidS3Uri),
    /// The bucket cannot be used.
    #[error("ClientError: {0}.")]
    Store(#[from] StoreError),
    /// The store refuses it.
    #[error("ClientError: {address} cannot be written: {reason}.")]
    Put {
        /// The object.
        address: String,
        /// What the store says.
        reason: object_store::Error,
    },
    /// A file cannot be read.
    #[error("InternalServerError: {path} cannot be read: {reason}.", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: std::io::Error,
    },
}

/// One output of an instance.
#[derive(Debug)]
pub(crate) struct Output {
    /// The folder, as the program sees it.
    pub(crate) name: String,
    /// The same, on this machine.
    pub(crate) folder: PathBuf,
    /// Where it goes.
    pub(crate) uri: S3Uri,
    pub(crate) mode: UploadMode,
    pub(crate) kms_key_id: Option<String>,
    /// What was sent: size and time of change of each file, in nanoseconds.
    pub(crate) sent: HashMap<PathBuf, (u64, i128)>,
}

impl Output {
    /// Sends every file that is new or has changed since it was sent.
    pub(crate) async fn send(&mut self, stores: &Stores) -> Result<(), OutputError> {
        let folder = self.folder.clone();
        let found = tokio::task::spawn_blocking(move || files(&folder)).await;
        let found = found.unwrap_or_else(|_| Ok(Vec::new()));
        let found = found.map_err(|reason| OutputError::Read { path: self.folder.clone(), reason })?;
        if found.len() > OUTPUT_FILES_MAX {
            return Err(OutputError::TooMany(self.name.clone()));
        }
        for (path, version) in found {
            if self.sent.get(&path) == Some(&version) {
                continue;
            }
            if self.send_file(stores, &path).await? {
                self.sent.insert(path, version);
            }
        }
        Ok(())
    }

    /// Sends a file; `false` when it is no longer one.
    async fn send_file(&self, stores: &Stores, path: &Path) -> Result<bool, OutputError> {
        let unreadable = |reason| OutputError::Read { path: path.to_owned(), reason };
        let below = path.strip_prefix(&self.folder).unwrap_or(path);
        let Some(file) = open_below(&self.folder, below).map_err(unreadable)? else { return Ok(false) };
        let name = below.to_str().ok_or_else(|| InvalidS3Uri::Key(below.display().to_string()))?;
        let uri = self.uri.join(name)?;
        let (store, key) = stores.resolve_encrypted(&uri, self.kms_key_id.as_deref())?;
        let refused = |reason| OutputError::Put { address: uri.to_string(), reason };
        let mut file = tokio::fs::File::from_std(file);
        let first = part(&mut file).await.map_err(unreadable)?;
        if first.len() < PART_BYTES {
            store.put(&key, PutPayload::from(first)).await.map_err(refused)?;
            return Ok(true);
        }
        let mut upload = store.put_multipart(&key).await.map_err(refused)?;
        let mut next = first;
        let sent = async {
            while !next.is_empty() {
                upload.put_part(PutPayload::from(std::mem::take(&mut next))).await.map_err(refused)?;
                next = part(&mut file).await.map_err(unreadable)?;
            }
            upload.complete().await.map_err(refused)
        };
        let sent = sent.await;
        if sent.is_err() {
            // Parts that stay are swept by their store.
            let _ = upload.abort().await;
        }
        sent.map(|_| true)
    }
}

async fn part(file: &mut tokio::fs::File) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(PART_BYTES as u64).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

/// The regular files below a folder with size and time of change, in the order of their names. No links.
fn files(folder: &Path) -> std::io::Result<Vec<(PathBuf, (u64, i128))>> {
    let (mut open, mut found) = (vec![folder.to_owned()], Vec::new());
    while let Some(at) = open.pop() {
        let entries = match std::fs::read_dir(&at) {
            Ok(entries) => entries,
            // The program may take away what it made.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let Ok(seen) = entry.metadata() else { continue };
            if seen.is_dir() {
                open.push(entry.path());
            } else if seen.is_file() {
                let changed = i128::from(seen.mtime()) * 1_000_000_000 + i128::from(seen.mtime_nsec());
                found.push((entry.path(), (seen.len(), changed)));
            }
        }
        if found.len() > OUTPUT_FILES_MAX {
            break;
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use captura_archive::StoreSettings;

    use super::*;

    #[tokio::test]
    async fn what_is_new_or_changed_is_sent_and_links_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let stores = Stores::new(StoreSettings { data_dir: dir.path().join("data"), mappings: BTreeMap::new() });
        let folder = dir.path().join("out");
        std::fs::create_dir_all(folder.join("deep")).unwrap();
        std::fs::write(dir.path().join("secret"), "secret").unwrap();
        std::os::unix::fs::symlink(dir.path().join("secret"), folder.join("link")).unwrap();
        std::os::unix::fs::symlink(dir.path(), folder.join("link-to-folder")).unwrap();
        std::fs::write(folder.join("a.json"), "first").unwrap();
        let large = vec![7_u8; PART_BYTES + 1];
        std::fs::write(folder.join("deep/large.bin"), &large).unwrap();
        let mut output = Output {
            name: "/opt/ml/processing/output".into(),
            folder: folder.clone(),
            uri: S3Uri::parse("s3://reports/x").unwrap(),
            mode: UploadMode::Continuous,
            kms_key_id: None,
            sent: HashMap::new(),
        };
        output.send(&stores).await.unwrap();
        let bucket = dir.path().join("data/buckets/reports");
        let read = |name: &str| std::fs::read(bucket.join(name)).ok();
        assert_eq!(read("x/a.json"), Some(b"first".to_vec()));
        assert_eq!(read("x/deep/large.bin"), Some(large));
        assert_eq!((read("x/link"), read("x/link-to-folder/secret")), (None, None));

        std::fs::remove_file(bucket.join("x/deep/large.bin")).unwrap();
        std::fs::write(folder.join("a.json"), "second!").unwrap();
        output.send(&stores).await.unwrap();
        assert_eq!(read("x/a.json"), Some(b"second!".to_vec()));
        assert_eq!(read("x/deep/large.bin"), None, "it had not changed");
    }
}
