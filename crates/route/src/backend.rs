//! The seam behind which a model runs.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use captura_names::ContainerHostname;
use futures_core::Stream;

use crate::{InstanceFigures, ModelRequest, Signature};

/// A model at work: embedded in this process, or somewhere behind it.
///
/// Implementations own their concurrency and their blocking work; `invoke` may be called from any number of tasks at
/// once and must not block the thread for longer than about a millisecond.
pub trait Backend: Send + Sync + fmt::Debug {
    /// Runs the model once. Dropping the future gives the call up.
    fn invoke<'a>(&'a self, request: &'a ModelRequest) -> Invoking<'a>;

    /// Runs the model once and passes its answer on piece by piece, as it comes. A model that answers in one piece needs
    /// nothing of its own here. Dropping the future or the pieces gives the call up.
    fn invoke_streaming<'a>(&'a self, request: &'a ModelRequest) -> Streaming<'a> {
        Box::pin(async move { self.invoke(request).await.map(StreamedAnswer::whole) })
    }

    /// Names and types of inputs and outputs, where the model tells.
    fn signature(&self) -> Option<&Signature> {
        None
    }

    /// What the model takes of a call beside its payload. A call that asks for more is refused before it gets here.
    /// Whoever wraps a model passes this on.
    fn extras(&self) -> Extras {
        Extras::default()
    }

    /// Instances that take calls at this moment.
    fn instances(&self) -> usize {
        1
    }

    /// What was counted of each of its instances that are up; nothing where calls cannot be told apart by instance.
    fn figures(&self) -> Vec<InstanceFigures> {
        Vec::new()
    }

    /// What the image of the model's `container`, counted from 0, names at this moment: `repository@sha256:…`. Nothing
    /// where no image with content of its own runs.
    fn resolved_image(&self, container: usize) -> Option<Arc<str>> {
        let _ = container;
        None
    }
}

/// What a model takes of a call beside its payload; nothing by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extras {
    /// `TargetModel`: one of many models behind one name.
    pub target_model: bool,
    /// `TargetContainerHostname`: one of several containers that are called directly.
    pub target_container: bool,
    /// `SessionId`: calls that belong together.
    pub sessions: bool,
    /// `EnableExplanations`: an explainer stands by.
    pub explanations: bool,
}

/// A running call of a model.
pub type Invoking<'a> = Pin<Box<dyn Future<Output = Result<Answer, BackendError>> + Send + 'a>>;

/// A running call of a model whose answer comes in pieces.
pub type Streaming<'a> = Pin<Box<dyn Future<Output = Result<StreamedAnswer, BackendError>> + Send + 'a>>;

/// The pieces of an answer; an error ends them.
pub type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, BackendError>> + Send>>;

/// The begin of an answer, and its payload piece by piece.
pub struct StreamedAnswer {
    /// What stands in the head of the answer; its body is empty.
    pub head: Answer,
    /// The payload.
    pub chunks: Chunks,
}

impl StreamedAnswer {
    /// An answer that is there already, in one piece.
    #[must_use]
    pub fn whole(mut answer: Answer) -> Self {
        let body = std::mem::take(&mut answer.body);
        Self { head: answer, chunks: Box::pin(Once(Some(body).filter(|body| !body.is_empty()))) }
    }
}

impl fmt::Debug for StreamedAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamedAnswer").field("head", &self.head).finish_non_exhaustive()
    }
}

/// A payload in one piece.
struct Once(Option<Bytes>);

impl Stream for Once {
    type Item = Result<Bytes, BackendError>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.take().map(Ok))
    }
}

/// What a model answered.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The payload, shared.
    pub body: Bytes,
    /// Media type, verbatim.
    pub content_type: Option<Box<str>>,
    /// Attributes that the model sends back.
    pub custom_attributes: Option<Box<str>>,
    /// `X-Amzn-SageMaker-New-Session-Id`, verbatim: a stateful session began with this call.
    pub new_session_id: Option<Box<str>>,
    /// `X-Amzn-SageMaker-Closed-Session-Id`, verbatim: a stateful session ended with this call.
    pub closed_session_id: Option<Box<str>>,
}

/// Why a model did not answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BackendError {
    /// The model answered with an error of its own: 4xx when the request does not suit it, 5xx when it failed.
    #[error("the model answered {status}: {message}")]
    Model {
        /// Status that the model gave, 400 to 599.
        status: u16,
        /// Its words, for the caller.
        message: String,
        /// Its answer as it came, for the log; equal to the message for embedded models.
        body: Bytes,
    },
    /// The model did not answer in time.
    #[error("the model did not answer within {timeout_ms} ms")]
    TimedOut {
        /// The limit, milliseconds.
        timeout_ms: u64,
    },
    /// The model is still being loaded.
    #[error("the model is not ready: {0}")]
    NotReady(String),
    /// The model cannot be reached.
    #[error("the model is unavailable: {0}")]
    Unavailable(String),
    /// The model was given the call and went away before a byte of an answer came: the call may be why.
    #[error("the model went away while it had the call: {0}")]
    WentAway(String),
    /// The call names a model or a container that is not there; in words for the caller.
    #[error("{0}")]
    NoSuchTarget(String),
    /// One of several containers did not answer.
    #[error("container {hostname}: {error}")]
    InContainer {
        /// Which one.
        hostname: ContainerHostname,
        /// Why not.
        error: Box<Self>,
    },
}

impl BackendError {
    /// The request does not suit the model; `message` says what to change.
    pub fn refused(message: impl Into<String>) -> Self {
        let message = message.into();
        Self::Model { status: 400, body: Bytes::copy_from_slice(message.as_bytes()), message }
    }

    /// The container that it happened in, where there are several, and what happened.
    #[must_use]
    pub fn parts(&self) -> (Option<&ContainerHostname>, &Self) {
        match self {
            Self::InContainer { hostname, error } => (Some(hostname), error.parts().1),
            error => (None, error),
        }
    }
}
