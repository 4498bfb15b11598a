//! Replies: a body in one piece or piece by piece, and the headers that every reply has.
//!
//! Invariant: a connection whose reply is still being sent counts as at work, however long the next piece takes to come;
//! a caller that does not take pieces is cut off by the connection's timer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use captura_names::EventId;
use captura_route::Held;
use captura_wire::denial::Dialect;
use captura_wire::runtime;
use futures_core::Stream;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use crate::pulse::{Phase, Pulse};

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static(runtime::REQUEST_ID);
/// The same where S3's clients look for it.
const S3_REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");
pub(crate) const ERROR_TYPE: HeaderName = HeaderName::from_static(runtime::ERROR_TYPE);
pub(crate) const CUSTOM_ATTRIBUTES: HeaderName = HeaderName::from_static(runtime::CUSTOM_ATTRIBUTES);
pub(crate) const INVOKED_VARIANT: HeaderName = HeaderName::from_static(runtime::INVOKED_PRODUCTION_VARIANT);
pub(crate) const MODEL_CONTENT_TYPE: HeaderName = HeaderName::from_static(runtime::MODEL_CONTENT_TYPE);
pub(crate) const NEW_SESSION_ID: HeaderName = HeaderName::from_static(runtime::NEW_SESSION_ID);
pub(crate) const CLOSED_SESSION_ID: HeaderName = HeaderName::from_static(runtime::CLOSED_SESSION_ID);
/// Identity of the invocation, as it stands in its record.
pub(crate) const EVENT_ID: HeaderName = HeaderName::from_static("x-captura-event-id");
/// What happened to the capture: `durable`, `written`, `queued`, `sampled-out` or `dropped`, with particulars.
pub(crate) const CAPTURE: HeaderName = HeaderName::from_static("x-captura-capture");

/// Room for the headers of an invocation's reply, so that the map is allocated once.
const HEADERS_EXPECTED: usize = 8;

/// Pieces of a body, and what is told at its end. An error breaks the connection off, so that no caller takes a part for the whole.
pub(crate) type Pieces = Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, BrokenOff>> + Send>>;

/// A reply that cannot be sent to its end; the connection is closed in the middle of it.
#[derive(Debug, thiserror::Error)]
#[error("the reply broke off: {0}")]
pub(crate) struct BrokenOff(pub(crate) String);

/// The body of a reply.
pub(crate) enum ReplyBody {
    /// In one piece, with what must be kept until the piece is handed over.
    Whole { bytes: Bytes, _held: Option<Held> },
    /// Piece by piece.
    Streamed { pieces: Pieces, size_bytes: Option<u64>, at_work: Option<AtWork> },
}

impl ReplyBody {
    /// Keeps the connection at work until the last piece is sent; gives whether there are pieces to come.
    pub(crate) fn stay_at_work(&mut self, pulse: &Arc<Pulse>) -> bool {
        match self {
            Self::Whole { .. } => false,
            Self::Streamed { at_work, .. } => {
                *at_work = Some(AtWork(Arc::clone(pulse)));
                true
            }
        }
    }
}

/// A connection is at work for as long as this lives.
pub(crate) struct AtWork(Arc<Pulse>);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.enter(Phase::Idle, Instant::now());
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match &mut *self {
            Self::Whole { bytes, .. } => {
                let bytes = std::mem::take(bytes);
                Poll::Ready(if bytes.is_empty() { None } else { Some(Ok(Frame::data(bytes))) })
            }
            Self::Streamed { pieces, .. } => pieces.as_mut().poll_next(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole { bytes, .. } => bytes.is_empty(),
            Self::Streamed { size_bytes, .. } => *size_bytes == Some(0),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole { bytes, .. } => SizeHint::with_exact(bytes.len() as u64),
            Self::Streamed { size_bytes, .. } => size_bytes.map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}

pub(crate) type Reply = Response<ReplyBody>;

/// A reply with that body and no headers yet.
pub(crate) fn reply(status: StatusCode, bytes: Bytes, held: Option<Held>) -> Reply {
    let mut reply = Response::new(ReplyBody::Whole { bytes, _held: held });
    *reply.status_mut() = status;
    reply.headers_mut().reserve(HEADERS_EXPECTED);
    reply
}

/// A reply whose body comes piece by piece, of that size if it is known, and no headers yet.
pub(crate) fn streamed(status: StatusCode, pieces: Pieces, size_bytes: Option<u64>) -> Reply {
    let mut reply = Response::new(ReplyBody::Streamed { pieces, size_bytes, at_work: None });
    *reply.status_mut() = status;
    reply
}

/// A reply of text of that type.
pub(crate) fn text(status: StatusCode, content_type: &'static str, text: impl Into<Bytes>) -> Reply {
    let mut reply = reply(status, text.into(), None);
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

/// Says which request this reply belongs to, where that is not said yet.
pub(crate) fn identify(reply: &mut Reply, dialect: Dialect) {
    let fresh = || header_value(EventId::from_random_bytes(rand::random()));
    let id = reply.headers_mut().entry(REQUEST_ID).or_insert_with(fresh);
    if dialect == Dialect::S3 {
        let id = id.clone();
        reply.headers_mut().insert(S3_REQUEST_ID, id);
    }
}

/// A header value of something whose text form is visible ASCII.
pub(crate) fn header_value(value: impl std::fmt::Display) -> HeaderValue {
    use std::fmt::Write;

    let mut text = String::with_capacity(HEADER_VALUE_EXPECTED_BYTES);
    write!(text, "{value}").expect("our bug: a String takes everything");
    HeaderValue::from_maybe_shared(Bytes::from(text)).expect("our bug: ids, numbers and reasons are visible ASCII")
}

/// Longest usual value of `header_value`: a capture with its log sequence number.
const HEADER_VALUE_EXPECTED_BYTES: usize = 48;
