//! Many models behind one name: `Mode=MultiModel`. Calls name the model they mean; it is loaded on its first use.
//!
//! ```text
//! call ── key ──▶ Shelf ── at hand ──▶ the model
//!                   │ else: one load per model, however many calls wait for it
//!                   ▼
//!                 Library: fetches and loads; what was used least recently makes room
//! ```
//! A [`Library`] knows how one model is loaded: into this process ([`native`]), or by a server that speaks the
//! `/models` part of the container contract ([`contract`]).
//!
//! Invariant: a model with calls at work is never unloaded. A load goes on when its callers have gone.
//! Refuses to: look outside the prefix, and to load more at once than the limits say.

mod contract;
mod key;
mod native;
mod shelf;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use captura_route::{Backend, BackendError, Extras, Invoking, ModelRequest, StreamedAnswer, Streaming};

pub(crate) use self::contract::ManyModels;
use self::key::ModelKey;
pub(crate) use self::native::NativeLibrary;
use self::shelf::{Lease, Shelf};
use crate::artifact::ArtifactError;
use crate::replicas::Pending;

/// Longest time that a call waits for its model. SageMaker answers after a minute; a call that reached its own end at the
/// same moment would be told that the model timed out.
const LOADING_PATIENCE: Duration = Duration::from_secs(55);
/// Longest time that a load goes on.
const LOADING_TIMEOUT: Duration = Duration::from_secs(360);
/// Models that load at the same time; further ones wait their turn.
const LOADS_AT_ONCE: usize = 4;
/// Models that load or wait for it; calls for further ones are refused until one is done.
const LOADS_MAX: usize = 64;

/// How many models may be loaded at the same time, and how large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MultiModelLimits {
    /// Most models, of one multi-model endpoint's variant.
    pub models_max: usize,
    /// Most bytes of their files together. Embedded models take about as much memory as their files.
    pub bytes_max: u64,
}

impl Default for MultiModelLimits {
    fn default() -> Self {
        Self { models_max: 1_000, bytes_max: 2 << 30 }
    }
}

/// What a multi-model container is told: `MultiModelConfig`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MultiModelSpec {
    /// Whether models stay loaded between calls: `ModelCacheSetting`.
    pub is_cached: bool,
}

/// Tells a server that it has many models.
pub(crate) const MULTI_MODEL_VARIABLE: &str = "SAGEMAKER_MULTI_MODEL";

/// A model that is loaded.
#[derive(Debug, Clone)]
pub(crate) struct Volume {
    pub(crate) backend: Arc<dyn Backend>,
    /// What it takes, as near as that can be told.
    pub(crate) bytes: u64,
}

/// Why a model is not loaded.
#[derive(Debug, Clone)]
pub(crate) enum NotLoaded {
    /// There is no room for it; others may be unloaded for it.
    NoRoom(BackendError),
    /// It cannot be loaded.
    Failed(BackendError),
}

/// How one model of many is loaded and unloaded.
pub(crate) trait Library: Send + Sync + fmt::Debug {
    /// Loads one. Dropping the future gives the load up.
    fn load<'a>(&'a self, key: &'a ModelKey) -> Pending<'a, Result<Volume, NotLoaded>>;

    /// Unloads one that has no calls.
    fn unload<'a>(&'a self, key: &'a ModelKey) -> Pending<'a, ()>;
}

/// Many models behind one name.
#[derive(Debug)]
pub(crate) struct MultiModel {
    shelf: Arc<Shelf>,
}

impl MultiModel {
    /// Models of a library; none is loaded yet.
    pub(crate) fn new(library: Arc<dyn Library>, spec: MultiModelSpec, limits: MultiModelLimits) -> Self {
        Self { shelf: Arc::new(Shelf::new(library, spec, limits)) }
    }

    async fn model(&self, request: &ModelRequest) -> Result<Lease, BackendError> {
        let key = request.target_model.as_deref().unwrap_or_default();
        let key = ModelKey::parse(key).map_err(|why| BackendError::NoSuchTarget(why.to_string()))?;
        self.shelf.lend(&key).await
    }

    async fn pieces(&self, request: &ModelRequest) -> Result<StreamedAnswer, BackendError> {
        let lease = self.model(request).await?;
        let StreamedAnswer { head, chunks } = lease.backend().invoke_streaming(request).await?;
        Ok(StreamedAnswer { head, chunks: Box::pin(shelf::Lent::new(chunks, lease)) })
    }
}

impl Backend for MultiModel {
    fn invoke<'a>(&'a self, request: &'a ModelRequest) -> Invoking<'a> {
        Box::pin(async move {
            let lease = self.model(request).await?;
            lease.backend().invoke(request).await
        })
    }

    fn invoke_streaming<'a>(&'a self, request: &'a ModelRequest) -> Streaming<'a> {
        Box::pin(self.pieces(request))
    }

    fn extras(&self) -> Extras {
        Extras { target_model: true, ..Extras::default() }
    }
}

/// What the caller hears of a model whose files cannot be had, in SageMaker's words where there are none of them.
fn not_fetched(url: &str, error: &ArtifactError) -> BackendError {
    let ArtifactError::Missing { .. } = error else {
        return failed(500, format!("The model cannot be loaded: {error}"));
    };
    let (bucket, key) = url.strip_prefix("s3://").and_then(|rest| rest.split_once('/')).unwrap_or(("-", url));
    BackendError::NoSuchTarget(format!(
        "Failed to download model data(bucket: {bucket}, key: {key}). Please ensure that there is an object located at the \
         URL and that the role passed to CreateModel has permissions to download the model."
    ))
}

fn failed(status: u16, message: String) -> BackendError {
    BackendError::Model { status, body: bytes::Bytes::copy_from_slice(message.as_bytes()), message }
}
