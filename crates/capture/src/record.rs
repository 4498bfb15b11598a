//! What is kept of one exchange.
//!
//! The bytes of a record are drawn in `record/codec.rs`.

pub(crate) mod codec;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use captura_names::{EventId, InferenceId, Timestamp};
use captura_route::CapturePolicy;
use serde::{Deserialize, Serialize};

/// What a record was captured under; here too, because records are read in rooms that know no routes.
pub use captura_route::CapturePolicy as Policy;
/// What a record says of its caller; here for the same reason.
pub use captura_route::{Caller, Consumer, Principal, UserAgent};
/// What a policy says of the model's inputs and outputs; here for the same reason.
pub use captura_route::{Field, FieldType, Signature};

/// Position of a record in the log of one node. `n` has no gaps within an epoch; the epoch grows at every start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Lsn {
    /// Which node, a number drawn once per data directory.
    pub node: u32,
    /// Which run of the server on that node.
    pub epoch: u32,
    /// Which record of that run, from 0.
    pub n: u64,
}

/// `node-epoch-n`: node in eight hexadecimal digits, the rest decimal.
impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{}-{}", self.node, self.epoch, self.n)
    }
}

/// How an invocation ended, as the record tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Outcome {
    /// The model answered.
    Ok = 0,
    /// The model refused the request (4xx).
    ClientError = 1,
    /// The model failed (5xx).
    ServerError = 2,
    /// The model did not answer in time.
    TimedOut = 3,
    /// The model was loading or could not be reached.
    Unavailable = 4,
    /// The caller hung up before the answer.
    ClientGone = 5,
}

/// One side of an exchange, as it travelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// Media type with parameters, verbatim; absent when none was sent.
    pub content_type: Option<Box<str>>,
    /// The bytes.
    pub body: Bytes,
}

/// How an invocation ended: what the gateway hands to capture when it has finished with the model.
#[derive(Debug, Clone)]
pub struct Conclusion {
    /// How it ended.
    pub outcome: Outcome,
    /// HTTP status of the reply.
    pub status: u16,
    /// What the model answered, or the words of its error.
    pub response: Payload,
    /// Bytes of the answer that are not in `response`, because it was longer than is kept of a stream.
    pub response_cut_bytes: u64,
    /// Time in the model, microseconds.
    pub model_latency_us: u64,
    /// Time from the arrival of the head to the conclusion, microseconds, the model's time included.
    pub total_latency_us: u64,
}

/// An exchange in the capture log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Position in the log.
    pub lsn: Lsn,
    /// Identity of the invocation.
    pub event_id: EventId,
    /// The policy it was captured under: endpoint, variant, model, destination, encodings, sampling.
    pub policy: Arc<CapturePolicy>,
    /// When the call arrived.
    pub arrived_at: Timestamp,
    /// Who called.
    pub consumer: Consumer,
    /// From where, and by which credentials; all of it absent in records that an older captura wrote.
    pub caller: Caller,
    /// How it ended.
    pub outcome: Outcome,
    /// HTTP status of the reply.
    pub status: u16,
    /// The caller's own id.
    pub inference_id: Option<InferenceId>,
    /// `X-Amzn-SageMaker-Custom-Attributes` of the request, verbatim.
    pub custom_attributes: Option<Box<str>>,
    /// Key of the model that was asked, where one endpoint has many.
    pub target_model: Option<Box<str>>,
    /// What was sent; absent when the policy keeps no input.
    pub request: Option<Payload>,
    /// What was answered; absent when the policy keeps no output or there was no answer.
    pub response: Option<Payload>,
    /// Size of what was sent, bytes, kept or not.
    pub request_size_bytes: u64,
    /// Size of what was answered, bytes, kept or not.
    pub response_size_bytes: u64,
    /// Time in the model, microseconds.
    pub model_latency_us: u64,
    /// Time from arrival to conclusion, microseconds.
    pub total_latency_us: u64,
}

impl Record {
    /// Whether only the begin of the answer was kept, because it was longer than is kept of a stream. Nothing is kept of
    /// such an answer under rules of redaction, which cannot be applied to a part.
    #[must_use]
    pub fn is_response_cut(&self) -> bool {
        let kept = self.response.as_ref().filter(|_| self.policy.redaction.is_none());
        kept.is_some_and(|kept| (kept.body.len() as u64) < self.response_size_bytes)
    }

    /// Whether nothing is kept of what was sent, because the rules of redaction say so or could not be applied.
    #[must_use]
    pub fn is_request_withheld(&self) -> bool {
        self.is_withheld(self.request.as_ref(), self.request_size_bytes)
    }

    /// As [`Record::is_request_withheld`], of what was answered.
    #[must_use]
    pub fn is_response_withheld(&self) -> bool {
        self.is_withheld(self.response.as_ref(), self.response_size_bytes)
    }

    fn is_withheld(&self, side: Option<&Payload>, size_bytes: u64) -> bool {
        let emptied = side.is_some_and(|side| side.body.is_empty()) && size_bytes > 0;
        emptied && self.policy.redaction.is_some()
    }
}

/// `node-epoch-n`, as displayed, is not the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a log sequence number like 0a1b2c3d-3-17")]
pub struct InvalidLsn(pub String);

impl std::str::FromStr for Lsn {
    type Err = InvalidLsn;

    fn from_str(text: &str) -> Result<Self, InvalidLsn> {
        let parse = || {
            let (node, rest) = text.split_once('-')?;
            let (epoch, n) = rest.split_once('-')?;
            let node = u32::from_str_radix(node, 16).ok()?;
            Some(Self { node, epoch: epoch.parse().ok()?, n: n.parse().ok()? })
        };
        parse().filter(|lsn| lsn.to_string() == text).ok_or_else(|| InvalidLsn(text.to_owned()))
    }
}
