//! Bringing a model's files here.

use std::fs::{self, File};
use std::future::poll_fn;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use captura_names::S3Uri;
use futures_core::Stream;
use futures_core::stream::BoxStream;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;

use super::entry_name::relative_path;
use super::extract::{ExtractError, extract};
use super::source::Source;
use super::{Artifact, Limits};
use crate::{Settings, StoreResolver};

/// The first two bytes of every gzip stream.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Why a model's files cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The address has a scheme that is not read here.
    #[error("the model data {url:?} cannot be read: only s3:// addresses are read here, and local files where allowed")]
    Scheme {
        /// The address.
        url: String,
    },
    /// The address is not well formed.
    #[error("the model data {url:?} cannot be read: {reason}")]
    Address {
        /// The address.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Local paths are not allowed on this server.
    #[error("the model data {url:?} cannot be read: this server does not read local paths; put the model into s3://")]
    LocalNotAllowed {
        /// The address.
        url: String,
    },
    /// Nothing is there.
    #[error("there is no model data at {url}")]
    Missing {
        /// The address.
        url: String,
    },
    /// The object store does not answer, or there is none for the bucket.
    #[error("the model data at {url} cannot be read: {reason}")]
    Store {
        /// The address.
        url: String,
        /// What the store said.
        reason: String,
    },
    /// More than the limits allow.
    #[error("the model data at {url} is larger than the limits of this server: {reason}")]
    TooLarge {
        /// The address.
        url: String,
        /// Which limit.
        reason: String,
    },
    /// The archive was not unpacked.
    #[error("the model archive at {url} was not unpacked: {source}")]
    Extract {
        /// The address.
        url: String,
        /// Why not.
        source: ExtractError,
    },
    /// The server stops.
    #[error("the server shuts down")]
    ShuttingDown,
    /// A local file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Brings models' files here. Cheap to clone.
#[derive(Clone)]
pub struct Fetcher {
    stores: StoreResolver,
    limits: Limits,
    allow_file_urls: bool,
    /// Copies live below this folder while a model is loaded.
    scratch: PathBuf,
}

impl Fetcher {
    /// A fetcher with the limits and leaves of `settings`.
    #[must_use]
    pub fn new(settings: &Settings, stores: StoreResolver) -> Self {
        let (limits, allow_file_urls) = (settings.limits, settings.allow_file_urls);
        Self { stores, limits, allow_file_urls, scratch: settings.cache_dir.join("models") }
    }

    /// Whether there is anything at the address.
    ///
    /// # Errors
    /// When the address cannot be read here, or its store does not answer.
    pub async fn exists(&self, url: &str) -> Result<bool, ArtifactError> {
        match Source::parse(url, self.allow_file_urls)? {
            Source::Local(path) => Ok(tokio::fs::try_exists(&path).await.unwrap_or(false)),
            Source::Store(uri) => {
                let place = self.resolve(uri)?;
                Ok(place.head().await?.is_some() || next(&mut place.list()).await.transpose()?.is_some())
            }
        }
    }

    /// Makes the files at the address readable here.
    ///
    /// # Errors
    /// Says which address, and why its files cannot be had.
    pub async fn fetch(&self, url: &str) -> Result<Artifact, ArtifactError> {
        match Source::parse(url, self.allow_file_urls)? {
            Source::Local(path) => self.fetch_local(url, path).await,
            Source::Store(uri) => self.fetch_objects(self.resolve(uri)?).await,
        }
    }

    async fn fetch_local(&self, url: &str, path: PathBuf) -> Result<Artifact, ArtifactError> {
        let (fetcher, url) = (self.clone(), url.to_owned());
        blocking(move || {
            let metadata = match fs::metadata(&path) {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(ArtifactError::Missing { url }),
                Err(source) => return Err(ArtifactError::File { path, source }),
            };
            if metadata.is_dir() {
                return Ok(Artifact { root: path, only: None, _scratch: None });
            }
            if is_gzip(&path)? {
                return fetcher.unpack(&url, &path, fetcher.scratch()?);
            }
            let root = path.parent().unwrap_or(Path::new(".")).to_owned();
            Ok(Artifact { root, only: Some(path), _scratch: None })
        })
        .await
    }

    async fn fetch_objects(&self, place: Place) -> Result<Artifact, ArtifactError> {
        let fetcher = self.clone();
        let scratch = blocking(move || fetcher.scratch()).await?;
        let Some(meta) = place.head().await? else {
            self.fetch_prefix(&place, scratch.path()).await?;
            return Ok(Artifact { root: scratch.path().to_owned(), only: None, _scratch: Some(scratch) });
        };
        let name = place.path.filename().unwrap_or("model");
        let file = scratch.path().join(place.relative_path(name, &self.limits)?);
        place.download(&meta, &file, self.limits.max_bytes).await?;
        let (fetcher, url) = (self.clone(), place.uri.to_string());
        blocking(move || {
            if is_gzip(&file)? {
                return fetcher.unpack(&url, &file, scratch);
            }
            Ok(Artifact { root: scratch.path().to_owned(), only: Some(file), _scratch: Some(scratch) })
        })
        .await
    }

    /// Copies all objects below a prefix into a folder.
    async fn fetch_prefix(&self, place: &Place, folder: &Path) -> Result<(), ArtifactError> {
        let mut listing = place.list();
        let (mut entries, mut left) = (0, self.limits.max_bytes);
        while let Some(meta) = next(&mut listing).await {
            let meta = meta?;
            entries += 1;
            if entries > self.limits.max_entries {
                return Err(place.too_large(format!("more than {} objects", self.limits.max_entries)));
            }
            let name = meta.location.as_ref();
            let name = name.strip_prefix(place.path.as_ref()).unwrap_or(name).trim_start_matches('/');
            let file = folder.join(place.relative_path(name, &self.limits)?);
            if let Some(folder) = file.parent() {
                let made = tokio::fs::create_dir_all(folder).await;
                made.map_err(|source| ArtifactError::File { path: folder.to_owned(), source })?;
            }
            left -= place.download(&meta, &file, left).await?;
        }
        if entries == 0 {
            return Err(ArtifactError::Missing { url: place.uri.to_string() });
        }
        Ok(())
    }

    fn unpack(&self, url: &str, archive: &Path, scratch: TempDir) -> Result<Artifact, ArtifactError> {
        let file = File::open(archive).map_err(|source| ArtifactError::File { path: archive.to_owned(), source })?;
        // The folder's name is our own: an archive's object could be called the same.
        let root = scratch.path().join(".unpacked");
        extract(io::BufReader::new(file), &root, &self.limits)
            .map_err(|source| ArtifactError::Extract { url: url.to_owned(), source })?;
        Ok(Artifact { root, only: None, _scratch: Some(scratch) })
    }

    fn scratch(&self) -> Result<TempDir, ArtifactError> {
        let failed = |source| ArtifactError::File { path: self.scratch.clone(), source };
        fs::create_dir_all(&self.scratch).map_err(failed)?;
        tempfile::Builder::new().prefix("loading-").tempdir_in(&self.scratch).map_err(failed)
    }

    fn resolve(&self, uri: S3Uri) -> Result<Place, ArtifactError> {
        match (self.stores)(&uri) {
            Ok((store, path)) => Ok(Place { uri, store, path }),
            Err(reason) => Err(ArtifactError::Store { url: uri.to_string(), reason }),
        }
    }
}

/// An address in an object store: an object, or a prefix of objects.
struct Place {
    uri: S3Uri,
    store: Arc<dyn ObjectStore>,
    path: object_store::path::Path,
}

impl Place {
    /// What the store knows about the object; `None` when the address is a prefix or nothing.
    async fn head(&self) -> Result<Option<ObjectMeta>, ArtifactError> {
        if self.uri.key().is_empty() {
            return Ok(None);
        }
        match self.store.head(&self.path).await {
            Ok(meta) => Ok(Some(meta)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.store_error(&error)),
        }
    }

    /// The objects below the prefix.
    fn list(&self) -> Listing<'_> {
        let prefix = Some(&self.path).filter(|path| !path.as_ref().is_empty());
        Listing { place: self, objects: self.store.list(prefix) }
    }

    /// Copies one object into a new file; more than `max_bytes` are refused. Answers how many there were.
    async fn download(&self, meta: &ObjectMeta, file: &Path, max_bytes: u64) -> Result<u64, ArtifactError> {
        let too_large =
            || self.too_large(format!("{} is larger than the {max_bytes} bytes left for it", meta.location));
        if meta.size > max_bytes {
            return Err(too_large());
        }
        let failed = |source| ArtifactError::File { path: file.to_owned(), source };
        let object = self.store.get(&meta.location).await.map_err(|error| self.store_error(&error))?;
        let mut content = object.into_stream();
        let mut copy = tokio::fs::File::create_new(file).await.map_err(failed)?;
        let mut bytes = 0;
        while let Some(chunk) = next(&mut content).await {
            let chunk = chunk.map_err(|error| self.store_error(&error))?;
            bytes += chunk.len() as u64;
            // The listing's size is a claim; what arrives is counted.
            if bytes > max_bytes {
                return Err(too_large());
            }
            copy.write_all(&chunk).await.map_err(failed)?;
        }
        copy.flush().await.map_err(failed)?;
        Ok(bytes)
    }

    fn relative_path(&self, name: &str, limits: &Limits) -> Result<PathBuf, ArtifactError> {
        relative_path(name.as_bytes(), limits)
            .map_err(|reason| ArtifactError::Address { url: self.uri.to_string(), reason })
    }

    fn too_large(&self, reason: String) -> ArtifactError {
        ArtifactError::TooLarge { url: self.uri.to_string(), reason }
    }

    fn store_error(&self, error: &object_store::Error) -> ArtifactError {
        ArtifactError::Store { url: self.uri.to_string(), reason: error.to_string() }
    }
}

/// The objects below a prefix, as they come.
struct Listing<'a> {
    place: &'a Place,
    objects: BoxStream<'static, object_store::Result<ObjectMeta>>,
}

impl Stream for Listing<'_> {
    type Item = Result<ObjectMeta, ArtifactError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let place = self.place;
        let polled = self.objects.as_mut().poll_next(context);
        polled.map(|next| next.map(|meta| meta.map_err(|error| place.store_error(&error))))
    }
}

async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}

fn is_gzip(path: &Path) -> Result<bool, ArtifactError> {
    let failed = |source| ArtifactError::File { path: path.to_owned(), source };
    let mut magic = Vec::with_capacity(GZIP_MAGIC.len());
    File::open(path).map_err(failed)?.take(GZIP_MAGIC.len() as u64).read_to_end(&mut magic).map_err(failed)?;
    Ok(magic == GZIP_MAGIC)
}

/// Runs file work where it may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ArtifactError> + Send + 'static,
) -> Result<T, ArtifactError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(join) if join.is_panic() => std::panic::resume_unwind(join.into_panic()),
        Err(_) => Err(ArtifactError::ShuttingDown),
    }
}

#[cfg(test)]
#[path = "fetch_tests.rs"]
mod tests;
