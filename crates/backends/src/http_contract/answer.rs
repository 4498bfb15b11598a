//! What comes back, turned into an answer or the model's error.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use captura_route::{Answer, BackendError};
use futures_core::Stream;
use http::header::CONTENT_TYPE;
use http::response::Parts;
use http::{HeaderMap, HeaderName};
use hyper::body::Incoming;

use super::ContractClient;
use super::link::{Broken, Link};
use super::request::{CLOSED_SESSION_ID, CUSTOM_ATTRIBUTES, NEW_SESSION_ID};

/// What is said of an answer that is no HTTP.
const BAD_GATEWAY: u16 = 502;
/// What is said of an answer that is too large.
const TOO_LARGE: u16 = 413;

/// An answer, or the model's error when the status says so.
pub(super) fn judge(parts: &Parts, body: Bytes) -> Result<Answer, BackendError> {
    let status = parts.status.as_u16();
    match status {
        200..=299 => Ok(Answer {
            body,
            content_type: text(&parts.headers, &CONTENT_TYPE)?,
            custom_attributes: text(&parts.headers, &CUSTOM_ATTRIBUTES)?,
            new_session_id: text(&parts.headers, &NEW_SESSION_ID)?,
            closed_session_id: text(&parts.headers, &CLOSED_SESSION_ID)?,
        }),
        400..=599 => Err(BackendError::Model { status, message: String::from_utf8_lossy(&body).into_owned(), body }),
        _ => Err(garbled(format!("it has status {status}, which the container contract does not know"))),
    }
}

/// A header as it came; anything but visible ASCII must not travel on.
fn text(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Box<str>>, BackendError> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    value.to_str().map(|value| Some(value.into())).map_err(|_| garbled(format!("its {name} is not visible ASCII")))
}

/// The error of an answer that is none.
pub(super) fn garbled(why: impl AsRef<str>) -> BackendError {
    let message = format!("The answer of the model's server cannot be used: {}.", why.as_ref());
    BackendError::Model { status: BAD_GATEWAY, body: Bytes::copy_from_slice(message.as_bytes()), message }
}

/// The error of an answer that is not read to its end.
pub(super) fn too_large(limit_bytes: usize) -> BackendError {
    let message = format!("could not load the entire response body: it is larger than {limit_bytes} bytes");
    BackendError::Model { status: TOO_LARGE, body: Bytes::copy_from_slice(message.as_bytes()), message }
}

/// The payload of an answer, piece by piece; its connection is kept when all of it was read.
pub(super) struct Pieces {
    client: ContractClient,
    /// Absent when the payload has ended.
    at_work: Option<(Link, Incoming)>,
}

impl Pieces {
    pub(super) fn new(client: ContractClient, link: Link, body: Incoming) -> Self {
        Self { client, at_work: Some((link, body)) }
    }
}

impl Stream for Pieces {
    type Item = Result<Bytes, BackendError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some((link, body)) = &mut self.at_work else { return Poll::Ready(None) };
        let polled = link.poll_piece(body, context);
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(piece))) => Poll::Ready(Some(Ok(piece))),
            Poll::Ready(Some(Err(broken))) => {
                self.at_work = None;
                // The head of the answer has come; what is missing is the model's fault, however the connection ended.
                let error = match broken {
                    Broken::Unanswered(why) => garbled(why),
                    broken => broken.into(),
                };
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => {
                if let Some((link, body)) = self.at_work.take() {
                    drop(body);
                    self.client.inner.pool.give_back(link);
                }
                Poll::Ready(None)
            }
        }
    }
}
