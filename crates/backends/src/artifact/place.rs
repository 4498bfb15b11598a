//! An address in an object store, and what can be read there.

use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use captura_names::S3Uri;
use futures_core::Stream;
use futures_core::stream::BoxStream;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use tokio::io::AsyncWriteExt;

use super::entry_name::relative_path;
use super::{ArtifactError, Limits};

/// An address in an object store: an object, or a prefix of objects.
pub(super) struct Place {
    pub(super) uri: S3Uri,
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) path: object_store::path::Path,
}

impl Place {
    /// What the store knows about the object; `None` when the address is a prefix or nothing.
    pub(super) async fn head(&self) -> Result<Option<ObjectMeta>, ArtifactError> {
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
    pub(super) fn list(&self) -> Listing<'_> {
        let prefix = Some(&self.path).filter(|path| !path.as_ref().is_empty());
        Listing { place: self, objects: self.store.list(prefix) }
    }

    /// Copies one object into a new file; more than `max_bytes` are refused. Answers how many there were.
    pub(super) async fn download(&self, meta: &ObjectMeta, file: &Path, max_bytes: u64) -> Result<u64, ArtifactError> {
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

    pub(super) fn relative_path(&self, name: &str, limits: &Limits) -> Result<PathBuf, ArtifactError> {
        relative_path(name.as_bytes(), limits)
            .map_err(|reason| ArtifactError::Address { url: self.uri.to_string(), reason })
    }

    pub(super) fn too_large(&self, reason: String) -> ArtifactError {
        ArtifactError::TooLarge { url: self.uri.to_string(), reason }
    }

    fn store_error(&self, error: &object_store::Error) -> ArtifactError {
        ArtifactError::Store { url: self.uri.to_string(), reason: error.to_string() }
    }
}

/// The objects below a prefix, as they come.
pub(super) struct Listing<'a> {
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

/// The next item of a stream.
pub(super) async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}
