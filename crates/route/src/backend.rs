//! The seam behind which a model runs.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;

use crate::{ModelRequest, Signature};

/// A model at work: embedded in this process, or somewhere behind it.
///
/// Implementations own their concurrency and their blocking work; `invoke` may be called from any number of tasks at
/// once and must not block the thread for longer than about a millisecond.
pub trait Backend: Send + Sync + fmt::Debug {
    /// Runs the model once. Dropping the future gives the call up.
    fn invoke<'a>(&'a self, request: &'a ModelRequest) -> Invoking<'a>;

    /// Names and types of inputs and outputs, where the model tells.
    fn signature(&self) -> Option<&Signature> {
        None
    }
}

/// A running call of a model.
pub type Invoking<'a> = Pin<Box<dyn Future<Output = Result<Answer, BackendError>> + Send + 'a>>;

/// What a model answered.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The payload, shared.
    pub body: Bytes,
    /// Media type, verbatim.
    pub content_type: Option<Box<str>>,
    /// Attributes that the model sends back.
    pub custom_attributes: Option<Box<str>>,
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
}

impl BackendError {
    /// The request does not suit the model; `message` says what to change.
    pub fn refused(message: impl Into<String>) -> Self {
        let message = message.into();
        Self::Model { status: 400, body: Bytes::copy_from_slice(message.as_bytes()), message }
    }
}
