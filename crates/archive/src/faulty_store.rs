//! A store in memory that fails on purpose, for this crate's tests.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The call fails and does nothing.
    Fails,
    /// The call never ends.
    Hangs,
    /// The call is refused for want of permission.
    Refuses,
    /// The call is done and its answer lost.
    ReplyLost,
    /// Half the bytes are stored, and the call fails.
    Partial,
    /// Half the bytes are stored, and the call claims success.
    PartialSilently,
}

type Script = dyn Fn(usize, &Path) -> Option<Fault> + Send + Sync;

/// A store whose calls (puts and gets alike, counted from 0) go wrong by a script.
#[derive(Clone)]
pub(crate) struct FaultyStore {
    inner: Arc<InMemory>,
    calls: Arc<AtomicUsize>,
    script: Arc<Script>,
    conditional: bool,
}

impl FaultyStore {
    pub(crate) fn scripted(script: impl Fn(usize, &Path) -> Option<Fault> + Send + Sync + 'static) -> Self {
        Self { inner: Arc::default(), calls: Arc::default(), script: Arc::new(script), conditional: true }
    }

    pub(crate) fn sound() -> Self {
        Self::scripted(|_, _| None)
    }

    pub(crate) fn at(call: usize, fault: Fault) -> Self {
        Self::scripted(move |now, _| (now == call).then_some(fault))
    }

    pub(crate) fn unconditional() -> Self {
        Self { conditional: false, ..Self::sound() }
    }

    pub(crate) fn inner(&self) -> &InMemory {
        &self.inner
    }

    fn fault(&self, location: &Path) -> Option<Fault> {
        (self.script)(self.calls.fetch_add(1, Ordering::SeqCst), location)
    }
}

fn error(fault: Fault, location: &Path) -> Error {
    let source = format!("{fault:?} on purpose").into();
    match fault {
        Fault::Refuses => Error::PermissionDenied { path: location.to_string(), source },
        _ => Error::Generic { store: "faulty", source },
    }
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyStore")
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyStore")
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        if matches!(options.mode, PutMode::Create) && !self.conditional {
            return Err(Error::NotImplemented { operation: "create".into(), implementer: self.to_string() });
        }
        let bytes = Bytes::from(payload.clone());
        let half = bytes.slice(..bytes.len() / 2);
        match self.fault(location) {
            None => self.inner.put_opts(location, payload, options).await,
            Some(fault @ (Fault::Fails | Fault::Refuses)) => Err(error(fault, location)),
            Some(Fault::Hangs) => std::future::pending().await,
            Some(fault @ Fault::ReplyLost) => {
                self.inner.put_opts(location, payload, options).await?;
                Err(error(fault, location))
            }
            Some(fault @ Fault::Partial) => {
                self.inner.put(location, half.into()).await?;
                Err(error(fault, location))
            }
            Some(Fault::PartialSilently) => self.inner.put(location, half.into()).await,
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        match self.fault(location) {
            None => self.inner.get_opts(location, options).await,
            Some(Fault::Hangs) => std::future::pending().await,
            Some(fault) => Err(error(fault, location)),
        }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
