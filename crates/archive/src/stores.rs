//! Which object store an address means.
//!
//! `s3://bucket/key` is a folder below the data directory unless the settings map the bucket somewhere else:
//!
//! ```toml
//! [stores.captures]                 # s3://captures/… goes to a real bucket
//! url = "s3://acme-captures/prod"
//! options = { region = "eu-west-1" }
//! [stores.archive]                  # … to a folder
//! url = "/srv/archive"
//! [stores."*"]                      # … and every other bucket to a service that speaks S3
//! url = "s3://{bucket}"
//! options = { endpoint = "https://minio.example:9000" }
//! ```
//!
//! Invariant: one bucket is one store for the life of the process. Plain paths and `file://` are for the command line
//! only and never come from the API.
//! Refuses to: print options, which may hold secrets.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use captura_names::{InvalidS3Uri, S3Uri};
use object_store::ObjectStore;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use serde::Deserialize;

use crate::folder::Folder;

/// Below the data directory: the folder of local buckets.
pub const BUCKETS_FOLDER: &str = "buckets";
/// Key of the mapping for every bucket that has none of its own.
const EVERY_BUCKET: &str = "*";
/// Stands for the bucket's name in a mapping's url.
const BUCKET_PLACE: &str = "{bucket}";

/// Where one bucket really is.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreMapping {
    /// A folder (`/srv/x`, `file:///srv/x`), `s3://…`, `gs://…`, `az://…` or an https address of one of those services.
    #[serde(deserialize_with = "usable_url")]
    pub url: String,
    /// Options of the service's client, e.g. `region`, `endpoint`, `access_key_id`, `secret_access_key`.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

/// Options may hold secrets, so only their names are shown.
impl fmt::Debug for StoreMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.options.keys().map(String::as_str).collect();
        f.debug_struct("StoreMapping").field("url", &self.url).field("options", &names).finish()
    }
}

/// Settings of the stores.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    /// The server's data directory; local buckets are folders in its `buckets`.
    pub data_dir: PathBuf,
    /// Bucket to place, `*` for all others.
    pub mappings: BTreeMap<String, StoreMapping>,
}

/// What a machine's environment says of credentials and regions, by the names of the clients' options. Options of a mapping
/// win over it.
#[derive(Clone, Default)]
pub struct StoreEnvironment {
    /// For S3.
    pub aws: BTreeMap<String, String>,
    /// For Google Cloud Storage.
    pub gcs: BTreeMap<String, String>,
    /// For Azure.
    pub azure: BTreeMap<String, String>,
}

/// Secrets are not shown.
impl fmt::Debug for StoreEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.aws.keys().chain(self.gcs.keys()).chain(self.azure.keys()).collect();
        f.debug_tuple("StoreEnvironment").field(&names).finish()
    }
}

/// Keys of AWS (id, secret, session token) for another service, by the same chain as those of stores.
///
/// # Errors
/// When there are none, or this captura has no clients of clouds.
pub async fn aws_keys(environment: &StoreEnvironment) -> Result<(String, String, Option<String>), String> {
    #[cfg(feature = "cloud")]
    return crate::cloud::aws_keys(environment).await;
    #[cfg(not(feature = "cloud"))]
    {
        let key = |name: &str| environment.aws.get(name).cloned();
        let keys = key("aws_access_key_id").zip(key("aws_secret_access_key"));
        let (id, secret) = keys.ok_or("the environment has no AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")?;
        Ok((id, secret, key("aws_session_token")))
    }
}

/// Why an address leads to no store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The address is none.
    #[error(transparent)]
    Address(#[from] InvalidS3Uri),
    /// The bucket is local and has no folder yet; only reading says so, writing makes the folder.
    #[error("bucket {bucket:?} does not exist: there is no folder {}, and [stores] maps it nowhere", folder.display())]
    NoSuchBucket {
        /// The bucket.
        bucket: String,
        /// Where its folder would be.
        folder: PathBuf,
    },
    /// The folder of a bucket cannot be made or opened.
    #[error("cannot use folder {} for bucket {bucket:?}: {source}", folder.display())]
    Folder {
        /// The bucket.
        bucket: String,
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The mapping needs a client that this build does not have.
    #[error(
        "[stores.{bucket:?}] maps to {url:?}, which needs a client for {service}, and this build has none: build captura with the feature `cloud`, or map the bucket to a folder"
    )]
    CloudOff {
        /// The bucket.
        bucket: String,
        /// The mapping's url.
        url: String,
        /// The service it means.
        service: &'static str,
    },
    /// The mapping cannot be used as it stands.
    #[error("[stores.{bucket:?}] cannot be used: {reason}")]
    Mapping {
        /// The bucket.
        bucket: String,
        /// What is wrong and what to write instead.
        reason: String,
    },
    /// A path on this machine that is not there.
    #[error("cannot open {}: {source}", path.display())]
    LocalPath {
        /// The path.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

/// A store and a place in it: an object or a prefix of objects.
#[derive(Debug, Clone)]
pub struct Place {
    /// The store.
    pub store: Arc<dyn ObjectStore>,
    /// The key or prefix; empty for the whole store.
    pub path: Path,
    /// The address as a person would write it.
    pub address: String,
    /// Base that turns a key of the store back into an address: `{base}{key}`.
    pub base: String,
}

/// Finds stores by address; cheap to clone, shares its stores.
#[derive(Debug, Clone)]
pub struct Stores(Arc<Inner>);

/// Bucket and encryption key.
type Known = (String, Option<String>);

/// A store that is open, and the folder that it is, where it is one.
type Opened = (Arc<dyn ObjectStore>, Option<Folder>);

#[derive(Debug)]
struct Inner {
    settings: StoreSettings,
    environment: StoreEnvironment,
    open: Mutex<HashMap<Known, Opened>>,
}

impl Stores {
    /// Stores by these settings. Nothing is opened yet.
    #[must_use]
    pub fn new(settings: StoreSettings) -> Self {
        Self::with_environment(settings, StoreEnvironment::default())
    }

    /// Stores by these settings, whose clients also use what the environment says of credentials.
    #[must_use]
    pub fn with_environment(settings: StoreSettings, environment: StoreEnvironment) -> Self {
        Self(Arc::new(Inner { settings, environment, open: Mutex::default() }))
    }

    /// The store of an address and the key in it, for writing: a local bucket comes into being.
    ///
    /// # Errors
    /// When the bucket's folder cannot be made or its mapping cannot be used.
    pub fn resolve(&self, uri: &S3Uri) -> Result<(Arc<dyn ObjectStore>, Path), StoreError> {
        self.resolve_encrypted(uri, None)
    }

    /// As [`Stores::resolve`], with server-side encryption under `kms_key_id` where the store is S3; elsewhere the key
    /// is not used.
    ///
    /// # Errors
    /// As [`Stores::resolve`].
    pub fn resolve_encrypted(
        &self,
        uri: &S3Uri,
        kms_key_id: Option<&str>,
    ) -> Result<(Arc<dyn ObjectStore>, Path), StoreError> {
        let (store, _) = self.open(uri.bucket(), kms_key_id)?;
        Ok((store, key_path(uri)?))
    }

    /// The folder that a bucket is, for writing: a local bucket comes into being. `None` where the settings map the
    /// bucket to a service.
    ///
    /// # Errors
    /// As [`Stores::resolve`].
    pub fn folder(&self, uri: &S3Uri) -> Result<Option<Folder>, StoreError> {
        self.open(uri.bucket(), None).map(|(_, folder)| folder)
    }

    fn open(&self, bucket: &str, kms_key_id: Option<&str>) -> Result<Opened, StoreError> {
        let mapping = self.mapping(bucket);
        let kms_key_id = kms_key_id.filter(|_| mapping.is_some());
        let known = (bucket.to_owned(), kms_key_id.map(str::to_owned));
        let mut open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = open.get(&known) {
            return Ok(opened.clone());
        }
        let opened = match mapping {
            Some(mapping) => mapped(bucket, mapping, &self.0.environment, kms_key_id)?,
            None => folder(bucket, &self.local_bucket(bucket))?,
        };
        open.insert(known, opened.clone());
        Ok(opened)
    }

    /// As [`Stores::resolve`], for reading: nothing is made.
    ///
    /// # Errors
    /// As [`Stores::resolve`], and when the bucket is local and does not exist.
    pub fn resolve_existing(&self, uri: &S3Uri) -> Result<(Arc<dyn ObjectStore>, Path), StoreError> {
        let bucket = uri.bucket();
        let folder = self.local_bucket(bucket);
        if self.mapping(bucket).is_none() && !folder.is_dir() {
            return Err(StoreError::NoSuchBucket { bucket: bucket.to_owned(), folder });
        }
        self.resolve(uri)
    }

    /// The place that a command-line argument means: `s3://…`, `file://…` or a path of a file or folder.
    ///
    /// # Errors
    /// When nothing is there, or the bucket cannot be used.
    pub fn place(&self, text: &str) -> Result<Place, StoreError> {
        if text.starts_with("s3://") {
            let uri = S3Uri::parse(text)?;
            let (store, path) = self.resolve_existing(&uri)?;
            return Ok(Place { store, path, address: uri.to_string(), base: format!("s3://{}/", uri.bucket()) });
        }
        local_place(FilePath::new(text.strip_prefix("file://").unwrap_or(text)))
    }

    /// Whether the settings place this bucket; all others are local.
    #[must_use]
    pub fn is_mapped(&self, bucket: &str) -> bool {
        self.mapping(bucket).is_some()
    }

    /// The buckets that the settings name, without the one that stands for all others.
    pub fn mapped_buckets(&self) -> impl Iterator<Item = &str> {
        self.0.settings.mappings.keys().map(String::as_str).filter(|bucket| *bucket != EVERY_BUCKET)
    }

    /// The folder of local buckets; each is a folder in it.
    #[must_use]
    pub fn local_buckets(&self) -> PathBuf {
        self.0.settings.data_dir.join(BUCKETS_FOLDER)
    }

    /// Forgets an open bucket, whose folder was removed; the next use makes it again.
    pub fn forget(&self, bucket: &str) {
        let mut open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(name, _), _| name != bucket);
    }

    /// Puts a store of the test's own under a bucket.
    #[cfg(test)]
    pub(crate) fn put_in(&self, bucket: &str, store: Arc<dyn ObjectStore>) {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner).insert((bucket.to_owned(), None), (store, None));
        let _ = std::fs::create_dir_all(self.local_bucket(bucket));
    }

    fn mapping(&self, bucket: &str) -> Option<&StoreMapping> {
        let mappings = &self.0.settings.mappings;
        mappings.get(bucket).or_else(|| mappings.get(EVERY_BUCKET))
    }

    fn local_bucket(&self, bucket: &str) -> PathBuf {
        self.local_buckets().join(bucket)
    }
}

fn key_path(uri: &S3Uri) -> Result<Path, StoreError> {
    Path::parse(uri.key()).map_err(|_| InvalidS3Uri::Key(uri.key().to_owned()).into())
}

fn folder(bucket: &str, path: &FilePath) -> Result<Opened, StoreError> {
    match Folder::create(path) {
        Ok(folder) => Ok((Arc::new(folder.clone()), Some(folder))),
        Err(source) => Err(StoreError::Folder { bucket: bucket.to_owned(), folder: path.to_owned(), source }),
    }
}

fn mapped(
    bucket: &str,
    mapping: &StoreMapping,
    environment: &StoreEnvironment,
    kms_key_id: Option<&str>,
) -> Result<Opened, StoreError> {
    let url = mapping.url.replace(BUCKET_PLACE, bucket);
    if let Some(path) = url.strip_prefix("file://").or_else(|| url.starts_with('/').then_some(url.as_str())) {
        return match mapping.options.keys().next() {
            Some(option) => Err(StoreError::Mapping {
                bucket: bucket.to_owned(),
                reason: format!("a folder has no options, and there is {option:?}"),
            }),
            None => folder(bucket, FilePath::new(path)),
        };
    }
    let (service, prefix) = service_of(&url)
        .ok_or_else(|| StoreError::Mapping { bucket: bucket.to_owned(), reason: no_such_place(&url) })?;
    let store = cloud(bucket, (&url, service), mapping, environment, kms_key_id)?;
    if prefix.is_empty() {
        return Ok((store, None));
    }
    let prefix = Path::parse(prefix).map_err(|error| StoreError::Mapping {
        bucket: bucket.to_owned(),
        reason: format!("the path of {url:?} is no key: {error}"),
    })?;
    Ok((Arc::new(PrefixStore::new(store, prefix)), None))
}

/// A mapping that leads nowhere is refused when the configuration is read, not when the first record is lost.
fn usable_url<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let url = String::deserialize(deserializer)?;
    if url.starts_with('/') || url.starts_with("file:///") || service_of(&url).is_some() {
        return Ok(url);
    }
    Err(serde::de::Error::custom(no_such_place(&url)))
}

fn no_such_place(url: &str) -> String {
    format!("{url:?} is no folder (/…, file://…) and no s3://, gs://, az:// address")
}

/// A service that `object_store` has a client for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    S3,
    Gcs,
    Azure,
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Self::S3 => "S3",
            Self::Gcs => "Google Cloud Storage",
            Self::Azure => "Azure Blob Storage",
        }
    }
}

/// The service of a url and the prefix inside the bucket.
fn service_of(url: &str) -> Option<(Service, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let service = match scheme {
        "s3" | "s3a" => Service::S3,
        "gs" => Service::Gcs,
        "az" | "abfs" | "abfss" | "azure" => Service::Azure,
        _ => return None,
    };
    Some((service, rest.split_once('/').map_or("", |(_, prefix)| prefix.trim_end_matches('/'))))
}

#[cfg(not(feature = "cloud"))]
fn cloud(
    bucket: &str,
    (url, service): (&str, Service),
    _mapping: &StoreMapping,
    _environment: &StoreEnvironment,
    _kms_key_id: Option<&str>,
) -> Result<Arc<dyn ObjectStore>, StoreError> {
    Err(StoreError::CloudOff { bucket: bucket.to_owned(), url: url.to_owned(), service: service.name() })
}

#[cfg(feature = "cloud")]
fn cloud(
    bucket: &str,
    (url, service): (&str, Service),
    mapping: &StoreMapping,
    environment: &StoreEnvironment,
    kms_key_id: Option<&str>,
) -> Result<Arc<dyn ObjectStore>, StoreError> {
    crate::cloud::connect((service, url), &mapping.options, environment, kms_key_id).map_err(|reason| {
        StoreError::Mapping { bucket: bucket.to_owned(), reason: format!("{}: {reason}", service.name()) }
    })
}

fn local_place(path: &FilePath) -> Result<Place, StoreError> {
    let failed = |source| StoreError::LocalPath { path: path.to_owned(), source };
    let full = path.canonicalize().map_err(failed)?;
    let (root, key) = if full.is_dir() {
        (full.as_path(), Path::default())
    } else {
        let name = full.file_name().and_then(|name| name.to_str()).and_then(|name| Path::parse(name).ok());
        let bad_name = || failed(std::io::Error::new(std::io::ErrorKind::InvalidInput, "the name is not plain text"));
        (full.parent().unwrap_or(FilePath::new("/")), name.ok_or_else(bad_name)?)
    };
    let store = Folder::open(root).map_err(|error| failed(std::io::Error::other(error)))?;
    Ok(Place {
        store: Arc::new(store),
        path: key,
        address: path.display().to_string(),
        base: format!("{}/", root.display().to_string().trim_end_matches('/')),
    })
}

#[cfg(test)]
mod tests;
