//! What every call has in common, however it came and wherever its answer goes: a permit, a place in the book, one run
//! of the model within its time, and a conclusion.
//!
//! Invariant: once [`Life::begin`] gave a life, the call is booked however it ends: concluded, or by the drop of `Begun`
//! when its future is dropped because the caller hung up. Refuses to: know requests and replies.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use captura_capture::record::{Conclusion, Outcome, Payload};
use captura_capture::{Begun, Ticket};
use captura_route::{Answer, BackendError, Invocation};
use http::HeaderValue;
use tokio::time::Instant;

use crate::admission::Permit;
use crate::fault::{Failed, Refused};
use crate::prepared::PreparedVariant;

/// A call that has a permit and is counted.
pub(crate) struct Life {
    pub(crate) begun: Begun,
    pub(crate) permit: Permit,
    pub(crate) arrived: Instant,
}

impl Life {
    /// A permit, or an immediate refusal; then capture counts the call, before the model runs.
    ///
    /// # Errors
    /// When as many calls as may be are in flight, or the policy allows no call without a record and none can be kept.
    pub(crate) fn begin(variant: &PreparedVariant, invocation: Invocation, arrived: Instant) -> Result<Self, Refused> {
        let Some(permit) = variant.gate.admit() else {
            return Err(Refused::AtCapacity { endpoint: invocation.endpoint, variant: variant.name.clone() });
        };
        match variant.stream.begin(invocation) {
            Ok(begun) => Ok(Self { begun, permit, arrived }),
            Err(refused) => {
                Err(Refused::CaptureUnavailable { endpoint: refused.invocation.endpoint, reason: refused.reason })
            }
        }
    }

    /// Runs the model once.
    pub(crate) async fn run(&self, variant: &PreparedVariant, limit: Duration) -> Run {
        let asked = Instant::now();
        let request = &self.begun.invocation().request;
        let answered = within(|| variant.backend.invoke(request), limit).await.and_then(Passable::of);
        Run { answered, in_model: asked.elapsed() }
    }

    /// Books how the call ended; the permit is given back when its holder ends it.
    pub(crate) fn conclude(self, run: &Run) -> (Ticket, Permit) {
        let conclusion = run.conclusion(self.arrived.elapsed());
        self.permit.meters().model_ended(conclusion.outcome);
        (self.begun.conclude(conclusion), self.permit)
    }
}

/// How the model was run.
pub(crate) struct Run {
    pub(crate) answered: Result<Passable, Failed>,
    pub(crate) in_model: Duration,
}

impl Run {
    /// Status of the reply.
    pub(crate) fn status(&self) -> u16 {
        self.answered.as_ref().map_or_else(Failed::status, |_| 200)
    }

    fn conclusion(&self, total: Duration) -> Conclusion {
        let (outcome, response) = match &self.answered {
            Ok(Passable { answer, .. }) => {
                (Outcome::Ok, Payload { content_type: answer.content_type.clone(), body: answer.body.clone() })
            }
            Err(failed) => failed.told(),
        };
        Conclusion {
            outcome,
            status: self.status(),
            response,
            response_cut_bytes: 0,
            model_latency_us: us(self.in_model),
            total_latency_us: us(total),
        }
    }
}

impl Failed {
    /// What the record says of it: the model's own words where it had some.
    pub(crate) fn told(&self) -> (Outcome, Payload) {
        let words = |text: &str| Payload { content_type: None, body: Bytes::copy_from_slice(text.as_bytes()) };
        match self {
            Self::Backend(error) => match error.parts().1 {
                BackendError::Model { status, body, .. } => {
                    let client = (400..500).contains(status);
                    let outcome = if client { Outcome::ClientError } else { Outcome::ServerError };
                    (outcome, Payload { content_type: None, body: body.clone() })
                }
                BackendError::TimedOut { .. } => (Outcome::TimedOut, words(&error.to_string())),
                BackendError::NoSuchTarget(why) => (Outcome::ClientError, words(why)),
                _ => (Outcome::Unavailable, words(&error.to_string())),
            },
            Self::Panicked => (Outcome::ServerError, words("the server failed while the model ran")),
            Self::UnusableAnswer(what) => (Outcome::ServerError, words(what)),
        }
    }

    /// The model did not answer within `limit`.
    pub(crate) fn timed_out(limit: Duration) -> Self {
        Self::Backend(BackendError::TimedOut { timeout_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX) })
    }
}

pub(crate) fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Waits for what a model does, within its time. A model that answers at its first poll costs no timer.
pub(crate) async fn within<T, F>(start: impl FnOnce() -> Pin<Box<F>>, limit: Duration) -> Result<T, Failed>
where
    F: Future<Output = Result<T, BackendError>> + ?Sized,
{
    let mut running = catch_unwind(AssertUnwindSafe(start)).map_err(|_| Failed::Panicked)?;
    let mut answer = poll_fn(move |context| {
        guarded(|| running.as_mut().poll(context))
            .map(|polled| polled.map_or(Err(Failed::Panicked), |answered| answered.map_err(Failed::Backend)))
    });
    let first = poll_fn(|context| Poll::Ready(Pin::new(&mut answer).poll(context))).await;
    match first {
        Poll::Ready(answered) => answered,
        Poll::Pending => tokio::time::timeout(limit, answer).await.unwrap_or_else(|_| Err(Failed::timed_out(limit))),
    }
}

/// A poll of a model's; nothing when it panicked. What the model has broken inside itself stays behind its seam; nothing
/// of ours is half-done here.
pub(crate) fn guarded<T>(poll: impl FnOnce() -> Poll<T>) -> Poll<Option<T>> {
    match catch_unwind(AssertUnwindSafe(poll)) {
        Ok(poll) => poll.map(Some),
        Err(_) => Poll::Ready(None),
    }
}

/// An answer whose headers can travel.
#[derive(Debug)]
pub(crate) struct Passable {
    pub(crate) answer: Answer,
    pub(crate) content_type: Option<HeaderValue>,
    pub(crate) custom_attributes: Option<HeaderValue>,
    pub(crate) new_session_id: Option<HeaderValue>,
    pub(crate) closed_session_id: Option<HeaderValue>,
}

/// Longest header value that a model may send back, bytes: the API's own limit of these members.
const ANSWER_HEADER_MAX_BYTES: usize = 1_024;

impl Passable {
    pub(crate) fn of(answer: Answer) -> Result<Self, Failed> {
        let header = |value: &Option<Box<str>>, unusable| match value.as_deref() {
            None => Ok(None),
            Some(value) if value.len() > ANSWER_HEADER_MAX_BYTES => Err(Failed::UnusableAnswer(unusable)),
            Some(value) => HeaderValue::from_str(value).map(Some).map_err(|_| Failed::UnusableAnswer(unusable)),
        };
        let content_type = header(
            &answer.content_type,
            "The content type of the model's answer is longer than 1024 bytes or not visible ASCII.",
        )?;
        let custom_attributes = header(
            &answer.custom_attributes,
            "The custom attributes of the model's answer are longer than 1024 bytes or not visible ASCII.",
        )?;
        let session = "The session id of the model's answer is longer than 1024 bytes or not visible ASCII.";
        let new_session_id = header(&answer.new_session_id, session)?;
        let closed_session_id = header(&answer.closed_session_id, session)?;
        Ok(Self { answer, content_type, custom_attributes, new_session_id, closed_session_id })
    }
}
