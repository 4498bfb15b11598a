//! Payloads out of stores, answers and failures into them.
//!
//! Invariant: under a name that was drawn for one call, an object is made once and never replaced, so a repeat of the call
//! finds it and leaves it. Under a name that the caller chose, the latest call wins, as everywhere in S3.

use std::time::Duration;

use bytes::Bytes;
use captura_names::S3Uri;
use captura_route::{Answer, Deferred};
use object_store::{
    Attribute, Attributes, Error, GetOptions, ObjectMeta, ObjectStore, PutMode, PutOptions, PutPayload,
};

use crate::settings::{Resolve, Use};

/// How long a store may take for one request.
const STORE_TIMEOUT: Duration = Duration::from_secs(300);

/// Why something could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreFailed {
    /// It will be the same next time.
    #[error("{0}")]
    ForGood(String),
    /// It may be otherwise next time.
    #[error("{0}")]
    ForNow(String),
}

/// The stores, as calls need them.
pub(crate) struct Places<'a>(pub(crate) &'a Resolve);

impl Places<'_> {
    /// Size of a payload; nothing more is read yet.
    pub(crate) async fn size(&self, at: &S3Uri, limit_bytes: u64) -> Result<u64, StoreFailed> {
        let meta = self.head(at).await?.ok_or_else(|| StoreFailed::ForGood(format!("There is no input at {at}.")))?;
        if meta.size > limit_bytes {
            let text = format!("The input at {at} has {} bytes; at most {limit_bytes} are read.", meta.size);
            return Err(StoreFailed::ForGood(text));
        }
        Ok(meta.size)
    }

    /// A payload of the size that was said before; one that has grown since is refused.
    pub(crate) async fn read(&self, at: &S3Uri, size_bytes: u64) -> Result<Bytes, StoreFailed> {
        let (store, path) = (self.0)(at, None, Use::Read).map_err(StoreFailed::ForGood)?;
        let options = GetOptions { range: None, ..GetOptions::default() };
        let reading = async {
            let result = store.get_opts(&path, options).await?;
            if result.meta.size > size_bytes {
                return Ok(None);
            }
            result.bytes().await.map(Some)
        };
        match in_time(reading, at).await? {
            Some(bytes) => Ok(bytes),
            None => Err(StoreFailed::ForNow(format!("The input at {at} changed while it was read."))),
        }
    }

    /// Whether an earlier run of the call has left its outcome.
    pub(crate) async fn exists(&self, at: &S3Uri) -> Result<bool, StoreFailed> {
        Ok(self.head(at).await?.is_some())
    }

    /// What an earlier run has left there, unless it is larger than that or cannot be read.
    pub(crate) async fn left(&self, at: &S3Uri, limit_bytes: usize) -> Option<Answer> {
        let (store, path) = (self.0)(at, None, Use::Read).ok()?;
        let reading = async {
            let result = store.get_opts(&path, GetOptions::default()).await?;
            if result.meta.size > limit_bytes as u64 {
                return Ok(None);
            }
            let content_type = result.attributes.get(&Attribute::ContentType).map(|text| text.as_ref().into());
            Ok(Some(Answer { body: result.bytes().await?, content_type, ..Answer::default() }))
        };
        in_time(reading, at).await.ok().flatten()
    }

    async fn head(&self, at: &S3Uri) -> Result<Option<ObjectMeta>, StoreFailed> {
        let Ok((store, path)) = (self.0)(at, None, Use::Read) else { return Ok(None) };
        let options = GetOptions { head: true, ..GetOptions::default() };
        let looking = async {
            match store.get_opts(&path, options).await {
                Ok(result) => Ok(Some(result.meta)),
                Err(Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        };
        in_time(looking, at).await
    }

    /// Writes an outcome of the call.
    pub(crate) async fn write(
        &self,
        deferred: &Deferred,
        at: &S3Uri,
        body: &Bytes,
        content_type: Option<&str>,
    ) -> Result<(), StoreFailed> {
        let kms_key_id = deferred.settings.kms_key_id.as_deref();
        let (store, path) = (self.0)(at, kms_key_id, Use::Write).map_err(StoreFailed::ForNow)?;
        let mode = if deferred.output_named { PutMode::Overwrite } else { PutMode::Create };
        let attributes = content_type.map(|text| (Attribute::ContentType, text.to_owned()));
        let attributes = Attributes::from_iter(attributes);
        let writing = async {
            let options = PutOptions { mode: mode.clone(), attributes, ..PutOptions::default() };
            match store.put_opts(&path, body.clone().into(), options).await {
                // A folder keeps no content types.
                Err(Error::NotSupported { .. } | Error::NotImplemented { .. }) => {
                    bare(&*store, &path, body, mode).await
                }
                put => put.map(drop),
            }
        };
        match in_time(writing, at).await {
            Err(StoreFailed::ForGood(_)) if !deferred.output_named && self.exists(at).await? => Ok(()),
            written => written,
        }
    }
}

async fn bare(
    store: &dyn ObjectStore,
    path: &object_store::path::Path,
    body: &Bytes,
    mode: PutMode,
) -> Result<(), Error> {
    store.put_opts(path, PutPayload::from(body.clone()), mode.into()).await.map(drop)
}

async fn in_time<T>(act: impl Future<Output = Result<T, Error>>, at: &S3Uri) -> Result<T, StoreFailed> {
    match tokio::time::timeout(STORE_TIMEOUT, act).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error @ (Error::NotFound { .. } | Error::AlreadyExists { .. }))) => {
            Err(StoreFailed::ForGood(format!("The store says of {at}: {error}")))
        }
        Ok(Err(error)) => Err(StoreFailed::ForNow(format!("The store says of {at}: {error}"))),
        Err(_) => Err(StoreFailed::ForNow(format!("The store did not answer about {at} in time."))),
    }
}
