//! One connection, driven by whoever waits for its answer: no task of its own, no hop between tasks.
//!
//! hyper splits a client connection in two: a sender, and a driver that somebody must poll. Here the caller polls the
//! driver first and then looks whether what it waits for has come, which can only have happened in that poll; so the
//! second look needs no waker.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use captura_route::{Holder, MemoryBudget};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::address::{Attentive, Stream};

/// Longest head of an answer, and most bytes read ahead of its reader. Longer heads break the answer off.
const READ_AHEAD_MAX_BYTES: usize = 256 * 1024;
/// Most headers of an answer.
const HEADERS_MAX: usize = 100;

/// A connection to a server, for one call at a time.
pub(super) struct Link {
    sender: http1::SendRequest<Full<Bytes>>,
    /// Absent when the connection has ended.
    driver: Option<http1::Connection<TokioIo<Attentive>, Full<Bytes>>>,
    /// Whether a byte came since the request was sent.
    heard: Arc<AtomicBool>,
    /// Since when nobody uses it.
    pub(super) idle_since: Instant,
}

/// Why there is no answer, or not the whole of it.
#[derive(Debug)]
pub(super) enum Broken {
    /// There is no connection.
    Unreached(String),
    /// The request was sent and nothing came back.
    Unanswered(String),
    /// Something came back, and it is no whole answer.
    Garbled(String),
    /// The answer is too large.
    TooLarge { limit_bytes: usize },
    /// There is no memory for the answer now.
    NoMemory,
}

impl Link {
    /// A connection over an open stream.
    pub(super) async fn over(stream: Stream) -> Result<Self, Broken> {
        let heard = Arc::new(AtomicBool::new(false));
        let io = TokioIo::new(Attentive { stream, heard: Arc::clone(&heard) });
        let builder = {
            let mut builder = http1::Builder::new();
            builder.max_buf_size(READ_AHEAD_MAX_BYTES).max_headers(HEADERS_MAX);
            builder
        };
        let (sender, driver) = builder.handshake(io).await.map_err(|error| Broken::Unreached(error.to_string()))?;
        Ok(Self { sender, driver: Some(driver), heard, idle_since: Instant::now() })
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Broken> {
        self.heard.store(false, Ordering::Relaxed);
        let mut answer = pin!(self.sender.send_request(request));
        let answered = poll_fn(|context| {
            let end = self.drive(context);
            match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(answered) => Poll::Ready(answered.map_err(|error| chain(&error))),
                Poll::Pending => match end {
                    Poll::Ready(why) => Poll::Ready(Err(why)),
                    Poll::Pending => Poll::Pending,
                },
            }
        });
        answered.await.map_err(|why| self.broken(why))
    }

    /// The whole body of an answer.
    pub(super) async fn collect(
        &mut self,
        body: &mut Incoming,
        limit_bytes: usize,
        memory: &MemoryBudget,
    ) -> Result<Bytes, Broken> {
        let too_large = Broken::TooLarge { limit_bytes };
        let announced = body.size_hint().exact();
        if announced.is_some_and(|bytes| bytes > limit_bytes as u64) {
            return Err(too_large);
        }
        // Taken before it is read; whoever gets the answer counts it on.
        let mut held = memory.take(Holder::Answers, announced.unwrap_or(0)).ok_or(Broken::NoMemory)?;
        let Some(first) = self.piece(body).await.transpose()? else { return Ok(Bytes::new()) };
        if announced == Some(first.len() as u64) {
            return Ok(first);
        }
        if announced.is_none() && !held.grow(first.len() as u64) {
            return Err(Broken::NoMemory);
        }
        let mut whole = BytesMut::from(first);
        while let Some(piece) = self.piece(body).await.transpose()? {
            if whole.len() + piece.len() > limit_bytes {
                return Err(too_large);
            }
            if announced.is_none() && !held.grow(piece.len() as u64) {
                return Err(Broken::NoMemory);
            }
            whole.extend_from_slice(&piece);
        }
        if whole.len() > limit_bytes {
            return Err(too_large);
        }
        Ok(whole.freeze())
    }

    async fn piece(&mut self, body: &mut Incoming) -> Option<Result<Bytes, Broken>> {
        poll_fn(|context| self.poll_piece(body, context)).await
    }

    /// The next piece of a body.
    pub(super) fn poll_piece(
        &mut self,
        body: &mut Incoming,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Broken>>> {
        if body.is_end_stream() {
            return Poll::Ready(None);
        }
        // Asking the body tells the driver that somebody reads, and only then does it pass a piece on.
        let mut found = poll_frame(body);
        let mut end = Poll::Pending;
        if found.is_none() {
            end = self.drive(context);
            found = poll_frame(body);
        }
        match (found, end) {
            (Some(piece), _) => Poll::Ready(piece.map(|piece| piece.map_err(|why| self.broken(why)))),
            (None, Poll::Ready(why)) => Poll::Ready(Some(Err(self.broken(why)))),
            (None, Poll::Pending) => Poll::Pending,
        }
    }

    /// Whether the connection can take another request.
    pub(super) fn is_ready(&mut self) -> bool {
        let end = self.drive(&mut Context::from_waker(Waker::noop()));
        end.is_pending() && self.sender.is_ready()
    }

    /// Moves bytes. Ready when the connection has ended, with the reason.
    fn drive(&mut self, context: &mut Context<'_>) -> Poll<String> {
        let ended = match &mut self.driver {
            None => Ok(()),
            Some(driver) => match Pin::new(driver).poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(ended) => ended,
            },
        };
        self.driver = None;
        Poll::Ready(ended.map_or_else(|error| chain(&error), |()| "the connection was closed".to_owned()))
    }

    fn broken(&self, why: String) -> Broken {
        if self.heard.load(Ordering::Relaxed) { Broken::Garbled(why) } else { Broken::Unanswered(why) }
    }
}

/// What a body has at hand: nothing yet, its end, a piece, or why there is none.
fn poll_frame(body: &mut Incoming) -> Option<Option<Result<Bytes, String>>> {
    let mut context = Context::from_waker(Waker::noop());
    loop {
        match Pin::new(&mut *body).poll_frame(&mut context) {
            Poll::Pending => return None,
            Poll::Ready(None) => return Some(None),
            Poll::Ready(Some(Err(error))) => return Some(Some(Err(chain(&error)))),
            Poll::Ready(Some(Ok(frame))) => {
                // Trailers are no part of the contract.
                if let Ok(piece) = frame.into_data() {
                    return Some(Some(Ok(piece)));
                }
            }
        }
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}
