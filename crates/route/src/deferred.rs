//! One asynchronous invocation, from its acceptance to its end. The gateway accepts and runs it; in between it lies in a
//! queue that the gateway does not know.

use captura_names::{EndpointName, InferenceId, S3Uri, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Answer, AsyncInference, Caller};

/// An invocation that is answered in its own time: everything that outlives the server which accepted it, but its body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deferred {
    /// Which endpoint.
    pub endpoint: EndpointName,
    /// Region of the endpoint when the call was accepted.
    pub region: String,
    /// Who calls.
    pub consumer: String,
    /// From where, and by which credentials; unknown of calls that an older captura accepted.
    #[serde(default)]
    pub caller: Caller,
    /// The caller's own id for this inference, or one that was drawn for it.
    pub inference_id: InferenceId,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When it is no longer worth an answer.
    pub expires_at: Timestamp,
    /// How long the model may take, seconds.
    pub timeout_seconds: u64,
    /// Media type of the payload, verbatim.
    pub content_type: Option<Box<str>>,
    /// Media type asked for.
    pub accept: Option<Box<str>>,
    /// `X-Amzn-SageMaker-Custom-Attributes`, verbatim.
    pub custom_attributes: Option<Box<str>>,
    /// Where the payload is; absent when it came with the call.
    pub input: Option<S3Uri>,
    /// Where the answer goes.
    pub output: S3Uri,
    /// Whether the caller chose the answer's name, so that an older object may be there under it.
    pub output_named: bool,
    /// Where the words of a failure go.
    pub failure: Option<S3Uri>,
    /// How the endpoint worked off its calls when this one was accepted.
    pub settings: AsyncInference,
}

/// How a run of a deferred invocation ended.
#[derive(Debug, Clone)]
pub enum Served {
    /// The model answered.
    Answered(Answer),
    /// There is no answer, and there will be none.
    Failed(String),
    /// There is no answer now; the same call may have one later.
    NotNow(String),
    /// The model went away while it had the call. Another attempt may have an answer, or end the model again.
    WentAway(String),
}
