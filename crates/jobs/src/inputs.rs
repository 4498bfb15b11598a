//! Inputs: objects of buckets become files in a job's folder.
//!
//! An address is an object, a folder of objects, or the beginning of their keys, as with AWS. A manifest lists its objects
//! below a common beginning. Where instances share objects out, each has every n-th in the order of their keys.
//!
//! Invariant: a file is written below the folder of its input and nowhere else; bytes and objects are bounded.
//! Refuses to: read anything but `s3://` addresses.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use captura_archive::{StoreError, Stores};
use captura_names::S3Uri;
use captura_wire::hosting::{DataDistribution, InputCompression, InputDataType, ProcessingS3Input};
use flate2::write::MultiGzDecoder;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt as _};
use serde::Deserialize;
use std::io::Write as _;
use tokio::io::AsyncWriteExt as _;

use crate::limits::{INPUT_OBJECTS_MAX, MANIFEST_MAX_BYTES};

/// Objects that are fetched at a time.
const AT_A_TIME: usize = 8;
/// As much of a packed object is unpacked at a time, bytes: it becomes a thousand times as much at most.
const PACKED_PIECE_BYTES: usize = 16 << 10;

/// Why inputs cannot be had. The words go to whoever asked for the job.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    /// Nothing is there.
    #[error(
        "ClientError: No S3 objects found under S3 URL \"{0}\" given in input data source. Please ensure that the bucket exists \
         and that objects exist under that S3 prefix."
    )]
    Nothing(String),
    /// There is more than one job may have.
    #[error("ClientError: {0} has more than {INPUT_OBJECTS_MAX} objects.")]
    TooMany(String),
    /// There is not that much room.
    #[error("ClientError: The inputs have more than {0} bytes. Ask for more by VolumeSizeInGB, or narrow the inputs.")]
    TooLarge(u64),
    /// It is no manifest.
    #[error("ClientError: {address} is no manifest: {reason}.")]
    Manifest {
        /// The object.
        address: String,
        /// What it should be.
        reason: String,
    },
    /// The key cannot be the name of a file.
    #[error("ClientError: The key {0:?} cannot be the name of a file.")]
    Name(String),
    /// A packed object is not what its first bytes say.
    #[error("ClientError: {0} is not the gzip that its S3CompressionType says: {1}.")]
    Gzip(String, std::io::Error),
    /// The bucket cannot be used.
    #[error("ClientError: {0}.")]
    Store(#[from] StoreError),
    /// The store refuses it.
    #[error("ClientError: {address} cannot be read: {reason}.")]
    Read {
        /// Object or prefix.
        address: String,
        /// What the store says.
        reason: object_store::Error,
    },
    /// The disk refuses it.
    #[error("InternalServerError: {path} cannot be written: {reason}.", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: std::io::Error,
    },
}

/// Which objects of an input an instance has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    pub(crate) index: usize,
    pub(crate) of: usize,
}

/// Room for the inputs of an instance.
#[derive(Debug)]
pub(crate) struct Room {
    limit_bytes: u64,
    left_bytes: AtomicU64,
}

impl Room {
    pub(crate) fn new(limit_bytes: u64) -> Self {
        Self { limit_bytes, left_bytes: AtomicU64::new(limit_bytes) }
    }

    fn take(&self, bytes: usize) -> Result<(), InputError> {
        let take = |left: u64| left.checked_sub(bytes as u64);
        match self.left_bytes.try_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => Ok(()),
            Err(_) => Err(InputError::TooLarge(self.limit_bytes)),
        }
    }
}

/// An object and the file that it becomes.
#[derive(Debug, Clone)]
struct Wanted {
    store: Arc<dyn ObjectStore>,
    key: Key,
    address: String,
    /// Below the folder of the input.
    file: String,
}

/// Fetches the objects of an input into a folder.
pub(crate) async fn fetch(
    stores: &Stores,
    input: &ProcessingS3Input,
    folder: &Path,
    (share, room): (Share, &Room),
) -> Result<(), InputError> {
    let uri = S3Uri::parse(&input.s3_uri).map_err(StoreError::from)?;
    let mut wanted = below(stores, &uri).await?;
    if input.s3_data_type == InputDataType::ManifestFile {
        let manifests = std::mem::take(&mut wanted);
        for manifest in manifests {
            wanted.extend(listed(stores, &manifest).await?);
        }
    }
    if wanted.is_empty() {
        return Err(InputError::Nothing(input.s3_uri.clone()));
    }
    if wanted.len() > INPUT_OBJECTS_MAX {
        return Err(InputError::TooMany(input.s3_uri.clone()));
    }
    if input.s3_data_distribution_type == Some(DataDistribution::ShardedByS3Key) {
        wanted.sort_by(|a, b| a.address.cmp(&b.address));
        wanted =
            wanted.into_iter().enumerate().filter(|(n, _)| n % share.of == share.index).map(|(_, one)| one).collect();
    }
    create_folder(folder).await?;
    let unpack = input.s3_compression_type == Some(InputCompression::Gzip);
    futures_util::stream::iter(wanted.into_iter().map(Ok))
        .try_for_each_concurrent(AT_A_TIME, |one| async move { copy(&one, folder, unpack, room).await })
        .await
}

/// The objects that an address means.
async fn below(stores: &Stores, uri: &S3Uri) -> Result<Vec<Wanted>, InputError> {
    let (store, path) = match stores.resolve_existing(uri) {
        Ok(found) => found,
        Err(StoreError::NoSuchBucket { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let wanted = |key: Key, file: &str| Wanted {
        store: Arc::clone(&store),
        address: format!("s3://{}/{key}", uri.bucket()),
        key,
        file: file.to_owned(),
    };
    if !path.as_ref().is_empty() && store.head(&path).await.is_ok() {
        let name = path.filename().unwrap_or_default().to_owned();
        return Ok(vec![wanted(path, &name)]);
    }
    let list = async |from: Option<&Key>, beginning: String| {
        let mut all = Vec::new();
        let mut listing = store.list(from);
        let failed = |reason| InputError::Read { address: uri.to_string(), reason };
        while let Some(found) = listing.try_next().await.map_err(failed)? {
            if found.location.as_ref().starts_with(&beginning) {
                all.push(found.location);
            }
            if all.len() > INPUT_OBJECTS_MAX {
                return Err(InputError::TooMany(uri.to_string()));
            }
        }
        Ok(all)
    };
    let folder = Some(&path).filter(|path| !path.as_ref().is_empty());
    let inside = folder.map_or_else(String::new, |path| format!("{path}/"));
    let found = list(folder, inside.clone()).await?;
    if !found.is_empty() {
        return Ok(found
            .into_iter()
            .map(|key| (key.as_ref()[inside.len()..].to_owned(), key))
            .map(|(file, key)| wanted(key, &file))
            .collect());
    }
    // The beginning of keys that ends inside a name.
    let Some((parent, _)) = path.as_ref().rsplit_once('/').or(Some(("", ""))).filter(|_| folder.is_some()) else {
        return Ok(Vec::new());
    };
    let parent_key = Key::from(parent);
    let found = list(Some(&parent_key).filter(|key| !key.as_ref().is_empty()), path.to_string()).await?;
    let skip = if parent.is_empty() { 0 } else { parent.len() + 1 };
    Ok(found
        .into_iter()
        .map(|key| (key.as_ref()[skip..].to_owned(), key))
        .map(|(file, key)| wanted(key, &file))
        .collect())
}

/// What a manifest holds: where all begins, then each object's rest.
#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Prefix { prefix: String },
    Object(String),
}

async fn listed(stores: &Stores, manifest: &Wanted) -> Result<Vec<Wanted>, InputError> {
    let bad = |reason: String| InputError::Manifest { address: manifest.address.clone(), reason };
    let failed = |reason| InputError::Read { address: manifest.address.clone(), reason };
    let found = manifest.store.get(&manifest.key).await.map_err(failed)?;
    if found.meta.size > MANIFEST_MAX_BYTES {
        return Err(bad(format!("it has more than {MANIFEST_MAX_BYTES} bytes")));
    }
    let bytes = found.bytes().await.map_err(failed)?;
    let entries: Vec<Entry> = serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))?;
    let mut entries = entries.into_iter();
    let Some(Entry::Prefix { prefix }) = entries.next() else {
        return Err(bad("its first entry is not {\"prefix\": \"s3://…\"}".to_owned()));
    };
    let object = |entry: Entry| {
        let Entry::Object(file) = entry else { return Err(bad("it has a second prefix".to_owned())) };
        let uri = S3Uri::parse(&format!("{prefix}{file}")).map_err(|error| bad(error.to_string()))?;
        let (store, key) = stores.resolve_existing(&uri)?;
        Ok(Wanted { store, key, address: uri.to_string(), file })
    };
    entries.map(object).collect()
}

async fn copy(one: &Wanted, folder: &Path, unpack: bool, room: &Room) -> Result<(), InputError> {
    let mut name = Path::new(&one.file).to_owned();
    if name.as_os_str().is_empty() || !name.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(InputError::Name(one.file.clone()));
    }
    let failed = |reason| InputError::Read { address: one.address.clone(), reason };
    let mut pieces = one.store.get(&one.key).await.map_err(failed)?.into_stream();
    let mut first = pieces.try_next().await.map_err(failed)?;
    let packed = unpack && first.as_ref().is_some_and(|piece| piece.starts_with(&[0x1f, 0x8b]));
    if packed && name.extension().is_some_and(|ending| ending == "gz") {
        name.set_extension("");
    }
    let path = folder.join(name);
    if let Some(parent) = path.parent() {
        create_folder(parent).await?;
    }
    let unwritable = |reason| InputError::Write { path: path.clone(), reason };
    let mut file = tokio::fs::File::create(&path).await.map_err(unwritable)?;
    let mut unpacker = packed.then(|| MultiGzDecoder::new(Vec::new()));
    let bad = |reason| InputError::Gzip(one.address.clone(), reason);
    while let Some(piece) = first.take() {
        match &mut unpacker {
            None => {
                room.take(piece.len())?;
                file.write_all(&piece).await.map_err(unwritable)?;
            }
            Some(unpacker) => {
                for part in piece.chunks(PACKED_PIECE_BYTES) {
                    unpacker.write_all(part).map_err(bad)?;
                    let plain = std::mem::take(unpacker.get_mut());
                    room.take(plain.len())?;
                    file.write_all(&plain).await.map_err(unwritable)?;
                }
            }
        }
        first = pieces.next().await.transpose().map_err(failed)?;
    }
    if let Some(unpacker) = unpacker {
        let plain = unpacker.finish().map_err(bad)?;
        room.take(plain.len())?;
        file.write_all(&plain).await.map_err(unwritable)?;
    }
    file.flush().await.map_err(unwritable)
}

async fn create_folder(folder: &Path) -> Result<(), InputError> {
    let unwritable = |reason| InputError::Write { path: folder.to_owned(), reason };
    tokio::fs::create_dir_all(folder).await.map_err(unwritable)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use captura_archive::StoreSettings;
    use captura_archive::document::write;

    use super::*;

    struct Place {
        dir: tempfile::TempDir,
        stores: Stores,
    }

    impl Place {
        async fn with(objects: &[(&str, &[u8])]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let stores = Stores::new(StoreSettings { data_dir: dir.path().join("data"), mappings: BTreeMap::new() });
            for (address, bytes) in objects {
                write(&stores, address, bytes.to_vec().into()).await.unwrap();
            }
            Self { dir, stores }
        }

        async fn fetch(&self, input: ProcessingS3Input, share: Share) -> Result<Vec<(String, String)>, String> {
            let folder = self.dir.path().join(format!("in-{}-{}", share.index, share.of));
            let _ = std::fs::remove_dir_all(&folder);
            let done = fetch(&self.stores, &input, &folder, (share, &Room::new(1_000))).await;
            done.map_err(|error| error.to_string())?;
            let (mut open, mut files) = (vec![folder.clone()], Vec::new());
            while let Some(at) = open.pop() {
                for entry in std::fs::read_dir(at).unwrap().map(Result::unwrap) {
                    if entry.path().is_dir() {
                        open.push(entry.path());
                    } else {
                        let name = entry.path().strip_prefix(&folder).unwrap().display().to_string();
                        files.push((name, std::fs::read_to_string(entry.path()).unwrap()));
                    }
                }
            }
            files.sort();
            Ok(files)
        }
    }

    const WHOLE: Share = Share { index: 0, of: 1 };

    fn input(uri: &str, kind: InputDataType) -> ProcessingS3Input {
        ProcessingS3Input {
            s3_uri: uri.to_owned(),
            local_path: None,
            s3_data_type: kind,
            s3_input_mode: None,
            s3_data_distribution_type: None,
            s3_compression_type: None,
        }
    }

    fn files(expected: &[(&str, &str)]) -> Result<Vec<(String, String)>, String> {
        Ok(expected.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
    }

    #[tokio::test]
    async fn an_address_is_an_object_a_folder_or_the_beginning_of_keys() {
        let place = Place::with(&[
            ("s3://bucket/data/a.csv", b"a"),
            ("s3://bucket/data/deep/b.csv", b"b"),
            ("s3://bucket/data-2/c.csv", b"c"),
        ])
        .await;
        let prefix = |uri: &str| input(uri, InputDataType::S3Prefix);
        assert_eq!(place.fetch(prefix("s3://bucket/data/a.csv"), WHOLE).await, files(&[("a.csv", "a")]));
        let folder = files(&[("a.csv", "a"), ("deep/b.csv", "b")]);
        assert_eq!(place.fetch(prefix("s3://bucket/data/"), WHOLE).await, folder);
        let beginning = files(&[("data-2/c.csv", "c")]);
        assert_eq!(place.fetch(prefix("s3://bucket/data-"), WHOLE).await, beginning);
        assert_eq!(place.fetch(prefix("s3://bucket/data/deep/b"), WHOLE).await, files(&[("b.csv", "b")]));
        for nothing in ["s3://bucket/other/", "s3://nowhere/data"] {
            let why = place.fetch(prefix(nothing), WHOLE).await.unwrap_err();
            let nothing = nothing.trim_end_matches('/');
            assert!(
                why.starts_with("ClientError: No S3 objects found under S3 URL \"") && why.contains(nothing),
                "{why}"
            );
        }
    }

    #[tokio::test]
    async fn instances_share_the_objects_of_a_manifest_out() {
        let manifest = br#"[{"prefix": "s3://bucket/data/"}, "a.csv", "deep/b.csv", "c.csv"]"#;
        let place = Place::with(&[
            ("s3://bucket/data/a.csv", b"a"),
            ("s3://bucket/data/deep/b.csv", b"b"),
            ("s3://bucket/data/c.csv", b"c"),
            ("s3://bucket/data/unlisted.csv", b"u"),
            ("s3://bucket/manifests/one.json", manifest),
            ("s3://bucket/bad.json", br#"["a.csv"]"#),
        ])
        .await;
        let whole = input("s3://bucket/manifests/one.json", InputDataType::ManifestFile);
        let all = files(&[("a.csv", "a"), ("c.csv", "c"), ("deep/b.csv", "b")]);
        assert_eq!(place.fetch(whole.clone(), Share { index: 1, of: 2 }).await, all, "fully replicated");
        let sharded = ProcessingS3Input { s3_data_distribution_type: Some(DataDistribution::ShardedByS3Key), ..whole };
        assert_eq!(
            place.fetch(sharded.clone(), Share { index: 0, of: 2 }).await,
            files(&[("a.csv", "a"), ("deep/b.csv", "b")])
        );
        assert_eq!(place.fetch(sharded, Share { index: 1, of: 2 }).await, files(&[("c.csv", "c")]));
        let why = place.fetch(input("s3://bucket/bad.json", InputDataType::ManifestFile), WHOLE).await.unwrap_err();
        assert!(why.contains("s3://bucket/bad.json is no manifest: its first entry is not"), "{why}");
    }

    #[tokio::test]
    async fn packed_objects_are_unpacked_where_that_is_asked_for_and_never_beyond_the_room() {
        let pack = |text: &[u8]| {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            packer.write_all(text).unwrap();
            packer.finish().unwrap()
        };
        let (small, bomb) = (pack(b"small"), pack(&vec![b'0'; 50_000_000]));
        let place = Place::with(&[
            ("s3://bucket/in/a.csv.gz", &small),
            ("s3://bucket/in/plain.csv", b"plain"),
            ("s3://bucket/bomb.gz", &bomb),
            ("s3://bucket/torn.gz", &small[..10]),
        ])
        .await;
        let unpacked = |uri: &str| ProcessingS3Input {
            s3_compression_type: Some(InputCompression::Gzip),
            ..input(uri, InputDataType::S3Prefix)
        };
        let expected = files(&[("a.csv", "small"), ("plain.csv", "plain")]);
        assert_eq!(place.fetch(unpacked("s3://bucket/in"), WHOLE).await, expected);
        let why = place.fetch(unpacked("s3://bucket/bomb.gz"), WHOLE).await.unwrap_err();
        assert_eq!(
            why,
            "ClientError: The inputs have more than 1000 bytes. Ask for more by VolumeSizeInGB, or narrow the inputs."
        );
        let why = place.fetch(unpacked("s3://bucket/torn.gz"), WHOLE).await.unwrap_err();
        assert!(why.contains("is not the gzip that its S3CompressionType says"), "{why}");
    }
}
