//! What S3's clients want to know of an object beyond its bytes: entity tag, content type, metadata, checksums, tags.
//!
//! Objects of local buckets are plain files, which other rooms and programs read and write as well. So the facts lie
//! beside the buckets, in `DATA_DIR/bucket-metadata/<bucket>/<hh>/<hash of the key>-<modified>-<size>.json`, one file for
//! each *version* of an object: they are written before the object is placed, and hold for no other. An object that came
//! without them, or was changed since, is told by its time and size.
//!
//! Invariant: facts are never told of bytes that they were not written for.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::digest::{Checksum, hex};
use crate::disk;
use crate::key::Key;

/// Below the data directory.
const FOLDER: &str = "bucket-metadata";
/// What the files say of their own form.
const FORMAT: u32 = 1;
/// The suffix that tells clients that an entity tag is no MD5, as S3 itself marks objects that came in parts.
const NO_MD5: &str = "-1";

/// What a caller says of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Described {
    pub(crate) content_type: Option<String>,
    pub(crate) content_encoding: Option<String>,
    pub(crate) content_language: Option<String>,
    pub(crate) content_disposition: Option<String>,
    pub(crate) cache_control: Option<String>,
    /// Seconds since 1970.
    pub(crate) expires: Option<i64>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) tags: BTreeMap<String, String>,
}

/// Everything that is told of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// Without quotes.
    pub(crate) e_tag: String,
    #[serde(default)]
    pub(crate) described: Described,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) checksum: Option<Checksum>,
    /// Sizes of the parts that it came in, bytes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) part_sizes: Vec<u64>,
    /// The upload that it came by, so that completing that twice answers twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) upload_id: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Written {
    format: u32,
    key: String,
    #[serde(flatten)]
    facts: Facts,
}

/// Which content of an object: no two that follow each other have the same time and size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    /// Nanoseconds since 1970.
    pub(crate) modified_ns: i64,
    pub(crate) size_bytes: u64,
}

impl Version {
    /// Of a folder that is an object: the only one that it has.
    pub(crate) const FOLDER: Self = Self { modified_ns: 0, size_bytes: 0 };

    /// Of a file.
    pub(crate) fn of(metadata: &Metadata) -> Self {
        let modified_ns = metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
        Self { modified_ns, size_bytes: metadata.len() }
    }

    /// What can be told of an object that came without facts.
    pub(crate) fn facts(self) -> Facts {
        let mut hasher = Sha256::new();
        hasher.update(self.modified_ns.to_le_bytes());
        hasher.update(self.size_bytes.to_le_bytes());
        Facts { e_tag: hex(&hasher.finalize()[..16]) + NO_MD5, ..Facts::default() }
    }
}

/// Where facts lie.
#[derive(Debug, Clone)]
pub(crate) struct FactStore {
    root: PathBuf,
}

impl FactStore {
    /// Facts below this data directory.
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self { root: data_dir.join(FOLDER) }
    }

    /// Writes what holds for a version that is about to be placed.
    pub(crate) fn write(&self, bucket: &str, key: &Key, version: Version, facts: Facts) -> io::Result<()> {
        let written = Written { format: FORMAT, key: key.as_str().to_owned(), facts };
        disk::write_json(&self.path(bucket, key.as_str(), version), &written)
    }

    /// Reads what holds for a version, if it came with facts. Side data that cannot be read costs the side data, not the
    /// object.
    pub(crate) fn read(&self, bucket: &str, key: &str, version: Version) -> Option<Facts> {
        let path = self.path(bucket, key, version);
        match disk::read_json::<Written>(&path) {
            Ok(Some(written)) if written.format == FORMAT && written.key == key => Some(written.facts),
            Ok(None) => None,
            Ok(Some(_)) => {
                tracing::warn!(path = %path.display(), "facts of an object are of another form or object; left out");
                None
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "facts of an object cannot be read; left out");
                None
            }
        }
    }

    /// Removes what held for a version that is gone. Left behind, it only takes room.
    pub(crate) fn remove(&self, bucket: &str, key: &Key, version: Version) {
        if let Err(error) = disk::remove_file(&self.path(bucket, key.as_str(), version)) {
            tracing::warn!(%error, "facts of an object that is gone stay behind");
        }
    }

    /// Removes everything about a bucket that is gone.
    pub(crate) fn remove_bucket(&self, bucket: &str) -> io::Result<()> {
        disk::remove_folder(&self.root.join(bucket))
    }

    fn path(&self, bucket: &str, key: &str, version: Version) -> PathBuf {
        let hash = hex(&Sha256::digest(key.as_bytes()));
        let name = format!("{hash}-{}-{}.json", version.modified_ns, version.size_bytes);
        self.root.join(bucket).join(&hash[..2]).join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_hold_for_one_version_and_damage_costs_only_them() {
        let dir = tempfile::tempdir().unwrap();
        let store = FactStore::new(dir.path());
        let key = Key::parse("a/b").unwrap();
        let version = Version { modified_ns: 1, size_bytes: 2 };
        let facts = Facts { e_tag: "x".into(), ..Facts::default() };
        store.write("bucket", &key, version, facts.clone()).unwrap();
        assert_eq!(store.read("bucket", "a/b", version), Some(facts));
        assert_eq!(store.read("bucket", "a/b", Version { modified_ns: 2, ..version }), None);
        std::fs::write(store.path("bucket", "a/b", version), "{").unwrap();
        assert_eq!(store.read("bucket", "a/b", version), None);
        store.remove("bucket", &key, version);
        store.remove("bucket", &key, version);
        store.remove_bucket("bucket").unwrap();
    }
}
