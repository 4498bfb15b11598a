//! InvokeEndpointWithResponseStream: the model's answer goes on piece by piece, framed, as it comes.
//!
//! The reply's head leaves when the model's head is there; errors before that are ordinary replies. What fails later is
//! told in a last frame. A caller that takes no pieces holds the model up, because no piece is asked for before the last
//! one has been taken. The stream's end waits for its record to be as durable as the policy asks, and a trailer tells what
//! became of it, for clients that say `TE: trailers`.
//!
//! Invariant: the call keeps its permit to the end; it ends in the same kind of record as every other, with the answer up
//! to [`crate::Settings::stream_captured_max_bytes`], and one whose caller hung up holds what had come until then.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use captura_capture::record::{Conclusion, Outcome, Payload};
use captura_capture::{Captured, Ticket};
use captura_route::{BackendError, Chunks, Held, StreamedAnswer};
use captura_wire::event_stream::{self, PAYLOAD_MAX_BYTES, StreamFault};
use futures_util::stream;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::body::Frame;
use tokio::time::Instant;

use crate::body::Gathered;
use crate::fault::{Failed, Refused};
use crate::invoke::place;
use crate::life::{Life, Passable, Run, guarded, us, within};
use crate::premises::Premises;
use crate::prepared::{PreparedEndpoint, PreparedVariant};
use crate::reply::{
    self, BrokenOff, CAPTURE, CLOSED_SESSION_ID, CUSTOM_ATTRIBUTES, EVENT_ID, INVOKED_VARIANT, MODEL_CONTENT_TYPE,
    NEW_SESSION_ID, REQUEST_ID, Reply,
};

/// What `x-captura-capture` says in the head of a stream whose record can only be drawn up at its end.
const PENDING: HeaderValue = HeaderValue::from_static("pending");
/// Status of a record whose caller hung up.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// Asks the model, and replies as soon as the head of its answer is there.
pub(crate) async fn reply(
    premises: &Premises,
    route: &PreparedEndpoint,
    variant: &PreparedVariant,
    (life, held): (Life, Held),
) -> Result<Reply, Refused> {
    let settings = &premises.settings;
    let invocation = life.begun.invocation();
    let event_id = invocation.event_id;
    let asked = Instant::now();
    let answered = within(|| variant.backend.invoke_streaming(&invocation.request), settings.model_timeout).await;
    let answered =
        answered.and_then(|StreamedAnswer { head, chunks }| Passable::of(head).map(|passable| (passable, chunks)));

    let mut reply = match answered {
        Ok((passable, chunks)) => {
            let limits = Limits {
                first: settings.model_timeout,
                idle: settings.stream_idle_timeout,
                whole: settings.stream_timeout,
                captured_max_bytes: settings.stream_captured_max_bytes,
            };
            let foreseen = life.begun.foreseen().map_or(PENDING, reply::header_value);
            let keeps = life.begun.keeps_response();
            let content_type = passable.answer.content_type.clone();
            let answer = Answer { kept: Gathered::Nothing, kept_bytes: 0, total_bytes: 0, keeps, content_type };
            let going = Going { life: Some(life), chunks, rest: Bytes::new(), answer, asked, limits, held };
            let mut reply = streamed(passable, going);
            reply.headers_mut().insert(CAPTURE, foreseen);
            reply
        }
        Err(failed) => {
            let (status, arrived) = (failed.status(), life.arrived);
            let run = Run { answered: Err(failed), in_model: asked.elapsed() };
            let (ticket, permit) = life.conclude(&run);
            let captured = ticket.captured().await;
            permit.end(status, arrived.elapsed(), run.in_model);
            let failed = run.answered.expect_err("our bug: this run has failed");
            let mut reply = failed.reply(place(route));
            reply.headers_mut().insert(CAPTURE, reply::header_value(captured));
            reply
        }
    };
    let headers = reply.headers_mut();
    let id = reply::header_value(event_id);
    headers.insert(REQUEST_ID, id.clone());
    headers.insert(EVENT_ID, id);
    headers.insert(INVOKED_VARIANT, variant.header.clone());
    Ok(reply)
}

fn streamed(passable: Passable, going: Going) -> Reply {
    let pieces = stream::unfold(Step::Going(Box::new(going)), Step::next);
    let mut reply = reply::streamed(StatusCode::OK, Box::pin(pieces), None);
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(event_stream::CONTENT_TYPE));
    headers.insert(header::TRAILER, HeaderValue::from_static("x-captura-capture"));
    for (name, value) in [
        (MODEL_CONTENT_TYPE, passable.content_type),
        (CUSTOM_ATTRIBUTES, passable.custom_attributes),
        (NEW_SESSION_ID, passable.new_session_id),
        (CLOSED_SESSION_ID, passable.closed_session_id),
    ] {
        if let Some(value) = value {
            headers.insert(name, value);
        }
    }
    reply
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    /// From the question to the first piece.
    first: Duration,
    /// From a piece that was taken to the next.
    idle: Duration,
    /// From the question to the last piece.
    whole: Duration,
    captured_max_bytes: u64,
}

/// What has come of the answer so far.
struct Answer {
    kept: Gathered,
    kept_bytes: u64,
    total_bytes: u64,
    keeps: bool,
    content_type: Option<Box<str>>,
}

impl Answer {
    /// Adds a piece; gives how many of its bytes are kept for the record.
    fn add(&mut self, piece: &Bytes, captured_max_bytes: u64) -> u64 {
        self.total_bytes += piece.len() as u64;
        let room = captured_max_bytes.saturating_sub(self.kept_bytes).min(piece.len() as u64);
        if !self.keeps || room == 0 {
            return 0;
        }
        let kept = piece.slice(..usize::try_from(room).unwrap_or(piece.len()));
        self.kept = std::mem::replace(&mut self.kept, Gathered::Nothing).and(kept, None);
        self.kept_bytes += room;
        room
    }
}

/// A stream under way.
struct Going {
    /// Taken by the conclusion.
    life: Option<Life>,
    chunks: Chunks,
    /// What is left of a piece that is longer than a frame.
    rest: Bytes,
    answer: Answer,
    asked: Instant,
    limits: Limits,
    held: Held,
}

/// How a stream went on.
enum Next {
    Piece(Bytes),
    End,
    Failed(Failed),
}

impl Going {
    /// The next piece, within its time.
    async fn piece(&mut self) -> Next {
        if !self.rest.is_empty() {
            return Next::Piece(self.rest.split_to(self.rest.len().min(PAYLOAD_MAX_BYTES)));
        }
        let end = self.asked + self.limits.whole;
        let now = Instant::now();
        if now >= end {
            return Next::Failed(Failed::timed_out(self.limits.whole));
        }
        let (limit, until) = match self.answer.total_bytes {
            0 => (self.limits.first, self.asked + self.limits.first),
            _ => (self.limits.idle, now + self.limits.idle),
        };
        loop {
            let chunks = &mut self.chunks;
            let chunk = poll_fn(|context| guarded(|| chunks.as_mut().poll_next(context)));
            match tokio::time::timeout_at(until.min(end), chunk).await {
                Ok(Some(Some(Ok(chunk)))) if chunk.is_empty() => {}
                Ok(Some(Some(Ok(chunk)))) => {
                    self.held.count(self.answer.add(&chunk, self.limits.captured_max_bytes));
                    self.rest = chunk;
                    return Next::Piece(self.rest.split_to(self.rest.len().min(PAYLOAD_MAX_BYTES)));
                }
                Ok(Some(None)) => return Next::End,
                Ok(Some(Some(Err(error)))) => return Next::Failed(Failed::Backend(error)),
                Ok(None) => return Next::Failed(Failed::Panicked),
                Err(_) => return Next::Failed(Failed::timed_out(if until <= end { limit } else { self.limits.whole })),
            }
        }
    }

    /// Books how the stream ended, with what had come of it. The record's status is the reply's, which left long ago; the
    /// meters count what went wrong.
    fn conclude(&mut self, outcome: Outcome, (status, counted): (u16, u16)) -> Option<Ticket> {
        let Life { begun, permit, arrived } = self.life.take()?;
        let in_model = self.asked.elapsed();
        let answer = &mut self.answer;
        let cut_bytes = answer.total_bytes - answer.kept_bytes;
        if answer.keeps && cut_bytes > 0 {
            permit.meters().captured_cut();
        }
        let body = std::mem::replace(&mut answer.kept, Gathered::Nothing).whole();
        let conclusion = Conclusion {
            outcome,
            status,
            response: Payload { content_type: answer.content_type.take(), body },
            response_cut_bytes: cut_bytes,
            model_latency_us: us(in_model),
            total_latency_us: us(arrived.elapsed()),
        };
        permit.meters().model_ended(outcome);
        let ticket = begun.conclude(conclusion);
        if outcome == Outcome::ClientGone {
            drop(permit);
        } else {
            permit.end(counted, arrived.elapsed(), in_model);
        }
        Some(ticket)
    }
}

/// A stream that is dropped before its end has lost its caller.
impl Drop for Going {
    fn drop(&mut self) {
        // Nobody waits; the ticket's drop has the record written.
        drop(self.conclude(Outcome::ClientGone, (CLIENT_CLOSED_REQUEST, CLIENT_CLOSED_REQUEST)));
    }
}

/// Where a stream is.
enum Step {
    Going(Box<Going>),
    /// Everything is sent but the end.
    Concluded(Ticket),
    Over,
}

type Piece = Result<Frame<Bytes>, BrokenOff>;

impl Step {
    async fn next(self) -> Option<(Piece, Self)> {
        let ticket = match self {
            Self::Going(mut going) => match going.piece().await {
                Next::Piece(piece) => {
                    let frame = Frame::data(event_stream::payload_part(&piece).into());
                    return Some((Ok(frame), Self::Going(going)));
                }
                Next::Failed(failed) => {
                    let ticket = going.conclude(failed.told().0, (200, failed.status()))?;
                    let (fault, message) = failed.in_stream();
                    let frame = Frame::data(event_stream::exception(fault, &message).into());
                    return Some((Ok(frame), Self::Concluded(ticket)));
                }
                Next::End => going.conclude(Outcome::Ok, (200, 200))?,
            },
            Self::Concluded(ticket) => ticket,
            Self::Over => return None,
        };
        Some((Ok(Frame::trailers(trailers(ticket.captured().await))), Self::Over))
    }
}

fn trailers(captured: Captured) -> HeaderMap {
    HeaderMap::from_iter([(CAPTURE, reply::header_value(captured))])
}

impl Failed {
    /// How the failure is told in the middle of a stream.
    fn in_stream(&self) -> (StreamFault, String) {
        match self {
            Self::Backend(error) if matches!(error.parts().1, BackendError::TimedOut { .. }) => {
                (StreamFault::ModelInvocationTimeExceeded, format!("The stream was ended: {error}."))
            }
            Self::Backend(error) => {
                let words = error.to_string();
                (StreamFault::StreamBroken, format!("The model broke its answer off: {}", crate::fault::kept(&words)))
            }
            Self::Panicked | Self::UnusableAnswer(_) => {
                (StreamFault::Internal, "The server failed while the model ran.".to_owned())
            }
        }
    }
}
