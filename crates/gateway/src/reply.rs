//! Replies: a body that is handed to hyper in one piece, and the headers that every reply has.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use captura_names::EventId;
use captura_wire::runtime;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use hyper::body::{Body, Frame, SizeHint};

use crate::admission::Reservation;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static(runtime::REQUEST_ID);
pub(crate) const ERROR_TYPE: HeaderName = HeaderName::from_static(runtime::ERROR_TYPE);
pub(crate) const CUSTOM_ATTRIBUTES: HeaderName = HeaderName::from_static(runtime::CUSTOM_ATTRIBUTES);
pub(crate) const INVOKED_VARIANT: HeaderName = HeaderName::from_static(runtime::INVOKED_PRODUCTION_VARIANT);
/// Identity of the invocation, as it stands in its record.
pub(crate) const EVENT_ID: HeaderName = HeaderName::from_static("x-captura-event-id");
/// What happened to the capture: `durable`, `written`, `queued`, `sampled-out` or `dropped`, with particulars.
pub(crate) const CAPTURE: HeaderName = HeaderName::from_static("x-captura-capture");

/// Room for the headers of an invocation's reply, so that the map is allocated once.
const HEADERS_EXPECTED: usize = 8;

/// A body in one piece; it holds what must be kept until the piece is handed over.
#[derive(Debug, Default)]
pub(crate) struct ReplyBody {
    bytes: Bytes,
    _held: Option<Reservation>,
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = std::mem::take(&mut self.bytes);
        Poll::Ready(if bytes.is_empty() { None } else { Some(Ok(Frame::data(bytes))) })
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}

pub(crate) type Reply = Response<ReplyBody>;

/// A reply with that body and no headers yet.
pub(crate) fn reply(status: StatusCode, bytes: Bytes, held: Option<Reservation>) -> Reply {
    let mut reply = Response::new(ReplyBody { bytes, _held: held });
    *reply.status_mut() = status;
    reply.headers_mut().reserve(HEADERS_EXPECTED);
    reply
}

/// A reply of text of that type.
pub(crate) fn text(status: StatusCode, content_type: &'static str, text: impl Into<Bytes>) -> Reply {
    let mut reply = reply(status, text.into(), None);
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

/// Says which request this reply belongs to, where that is not said yet.
pub(crate) fn identify(reply: &mut Reply) {
    if !reply.headers().contains_key(REQUEST_ID) {
        let id = header_value(EventId::from_random_bytes(rand::random()));
        reply.headers_mut().insert(REQUEST_ID, id);
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
