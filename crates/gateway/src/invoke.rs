//! The life of one invocation. Its order is known here and nowhere else.
//!
//! Invariant: once capture has begun with a call, the call is booked however it ends: concluded, or by the drop of
//! `Begun` when the caller hangs up and hyper drops this future with it.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use captura_capture::record::{Conclusion, Outcome, Payload};
use captura_names::{EventId, Timestamp};
use captura_route::{Answer, Backend, BackendError, Consumer, Invocation, ModelRequest};
use captura_wire::runtime::ModelPlace;
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use tokio::time::Instant;

use crate::body::{self, Collected, RequestBody};
use crate::connection::Line;
use crate::fault::{Failed, Refused};
use crate::head;
use crate::pulse::Phase;
use crate::reply::{self, CAPTURE, CUSTOM_ATTRIBUTES, EVENT_ID, INVOKED_VARIANT, REQUEST_ID, Reply};

/// A request to invoke, as it passed the door.
pub(crate) struct Call<'a> {
    pub(crate) endpoint: &'a str,
    pub(crate) head: &'a Parts,
    pub(crate) body: RequestBody,
    pub(crate) consumer: Consumer,
    pub(crate) arrived_at: Timestamp,
    pub(crate) arrived: Instant,
}

/// Takes a call through its life: whole request, variant, permit, begin, model, conclusion, capture, reply.
pub(crate) async fn invoke(line: &Line, call: Call<'_>) -> Result<Reply, Refused> {
    let premises = &*line.premises;
    let Call { endpoint, head, body, consumer, arrived_at, arrived } = call;

    let (endpoint, members) = head::parse(endpoint, &head.headers)?;
    let Collected { bytes, mut held } =
        body::collect(body, premises.settings.body_max_bytes, &premises.bodies, &line.pulse).await?;
    line.pulse.enter(Phase::Work, arrived);

    let routes = line.routes();
    let Some(route) = routes.endpoint(&endpoint) else {
        return Err(Refused::EndpointNotFound { endpoint, account: premises.settings.account.clone() });
    };
    let variant = match route.pick(members.target_variant.as_ref(), rand::random()) {
        Ok(variant) => variant,
        Err(why) => return Err(Refused::NoVariant { endpoint, why }),
    };
    let Some(permit) = variant.gate.admit() else {
        return Err(Refused::AtCapacity { endpoint, variant: variant.name.clone() });
    };

    let event_id = EventId::from_random_bytes(rand::random());
    let begun = variant.stream.begin(Invocation {
        event_id,
        arrived_at,
        consumer,
        endpoint,
        target_variant: members.target_variant,
        inference_id: members.inference_id,
        request: ModelRequest { body: bytes, ..members.request },
    });
    let begun = match begun {
        Ok(begun) => begun,
        Err(refused) => {
            return Err(Refused::CaptureUnavailable { endpoint: refused.invocation.endpoint, reason: refused.reason });
        }
    };

    let asked = Instant::now();
    let answered = run(&*variant.backend, &begun.invocation().request, premises.settings.model_timeout).await;
    let answered = answered.and_then(Passable::of);
    let concluded = Instant::now();

    let in_model = concluded.saturating_duration_since(asked);
    let (status, conclusion) = conclusion(&answered, in_model, concluded.saturating_duration_since(arrived));
    let captured = begun.conclude(conclusion).captured().await;

    let mut reply = match answered {
        Ok(passable) => {
            held.count(passable.answer.body.len() as u64);
            passable.reply(held)
        }
        Err(failed) => {
            let at = &route.endpoint;
            failed.reply(ModelPlace { region: &at.region, account: &at.account, endpoint: at.name.as_str() })
        }
    };
    let headers = reply.headers_mut();
    let id = reply::header_value(event_id);
    headers.insert(REQUEST_ID, id.clone());
    headers.insert(EVENT_ID, id);
    headers.insert(INVOKED_VARIANT, variant.header.clone());
    headers.insert(CAPTURE, reply::header_value(captured));
    permit.end(status, arrived.elapsed(), in_model);
    Ok(reply)
}

/// Runs the model once, within its time. A model that answers at its first poll costs no timer.
async fn run(backend: &dyn Backend, request: &ModelRequest, limit: Duration) -> Result<Answer, Failed> {
    let guarded = |act: &mut dyn FnMut() -> Poll<Result<Answer, BackendError>>| {
        // What the model has broken inside itself stays behind its seam; nothing of ours is half-done here.
        let outcome = catch_unwind(AssertUnwindSafe(act));
        outcome.map_or(Poll::Ready(Err(Failed::Panicked)), |poll| poll.map_err(Failed::Backend))
    };
    let mut running = catch_unwind(AssertUnwindSafe(|| backend.invoke(request))).map_err(|_| Failed::Panicked)?;
    let mut answer = poll_fn(move |context| guarded(&mut || running.as_mut().poll(context)));
    let first = poll_fn(|context| Poll::Ready(std::pin::Pin::new(&mut answer).poll(context))).await;
    match first {
        Poll::Ready(answered) => answered,
        Poll::Pending => tokio::time::timeout(limit, answer).await.unwrap_or_else(|_| {
            let timeout_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
            Err(Failed::Backend(BackendError::TimedOut { timeout_ms }))
        }),
    }
}

/// An answer whose headers can travel.
#[derive(Debug)]
struct Passable {
    answer: Answer,
    content_type: Option<HeaderValue>,
    custom_attributes: Option<HeaderValue>,
}

/// Longest header value that a model may send back, bytes: the API's own limit of both members.
const ANSWER_HEADER_MAX_BYTES: usize = 1_024;

impl Passable {
    fn of(answer: Answer) -> Result<Self, Failed> {
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
        Ok(Self { answer, content_type, custom_attributes })
    }

    fn reply(self, held: crate::admission::Reservation) -> Reply {
        let mut reply = reply::reply(StatusCode::OK, self.answer.body, Some(held));
        let headers = reply.headers_mut();
        if let Some(content_type) = self.content_type {
            headers.insert(header::CONTENT_TYPE, content_type);
        }
        if let Some(custom_attributes) = self.custom_attributes {
            headers.insert(CUSTOM_ATTRIBUTES, custom_attributes);
        }
        reply
    }
}

/// What capture is told, and the status of the reply.
fn conclusion(answered: &Result<Passable, Failed>, in_model: Duration, total: Duration) -> (u16, Conclusion) {
    let words = |text: &str| Payload { content_type: None, body: Bytes::copy_from_slice(text.as_bytes()) };
    let (status, outcome, response) = match answered {
        Ok(Passable { answer, .. }) => {
            let response = Payload { content_type: answer.content_type.clone(), body: answer.body.clone() };
            (200, Outcome::Ok, response)
        }
        Err(failed) => {
            let (outcome, response) = match failed {
                Failed::Backend(BackendError::Model { status, body, .. }) => {
                    let client = (400..500).contains(status);
                    let outcome = if client { Outcome::ClientError } else { Outcome::ServerError };
                    (outcome, Payload { content_type: None, body: body.clone() })
                }
                Failed::Backend(error @ BackendError::TimedOut { .. }) => {
                    (Outcome::TimedOut, words(&error.to_string()))
                }
                Failed::Backend(error) => (Outcome::Unavailable, words(&error.to_string())),
                Failed::Panicked => (Outcome::ServerError, words("the server failed while the model ran")),
                Failed::UnusableAnswer(what) => (Outcome::ServerError, words(what)),
            };
            (failed.status(), outcome, response)
        }
    };
    let us = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    (status, Conclusion { outcome, status, response, model_latency_us: us(in_model), total_latency_us: us(total) })
}
