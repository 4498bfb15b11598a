//! Bodies of requests, whole and within limits.
//!
//! Invariant: what a body says of its length is believed only to refuse it; bytes are counted while they come, and
//! taken out of the memory budget before they are read (declared length) or kept (chunked). The rate is watched by the
//! connection's timer, which cuts a slow caller off.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use captura_route::{Held, Holder, MemoryBudget};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::Instant;

use crate::fault::Refused;
use crate::pulse::{Phase, Pulse};
use crate::settings::BodyError;

/// Bodies up to this size are copied out of the connection's read buffer. hyper hands out slices of that buffer; a
/// record that holds one keeps all of it in memory, and hyper must allocate the next.
const COPIED_MAX_BYTES: usize = 4 * 1024;

/// A whole body and its share of the memory budget.
#[derive(Debug)]
pub(crate) struct Collected {
    pub(crate) bytes: Bytes,
    pub(crate) held: Held,
}

/// A body of a request, before anybody asks for all of it.
pub(crate) enum RequestBody {
    /// It still arrives.
    Arriving(Incoming),
    /// It was read to its end, for its signature.
    Whole(Collected),
}

/// A body that is passed on while it arrives. Its rate is watched until its last byte, or until nobody reads it any more.
pub(crate) struct Arriving {
    body: Incoming,
    pulse: Arc<Pulse>,
}

impl Arriving {
    pub(crate) fn new(body: Incoming, pulse: Arc<Pulse>) -> Self {
        if !body.is_end_stream() {
            pulse.enter(Phase::Body, Instant::now());
        }
        Self { body, pulse }
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none() || self.body.is_end_stream() {
            self.pulse.enter(Phase::Work, Instant::now());
        }
        Poll::Ready(frame.map(|frame| frame.map_err(BodyError::from)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if !self.body.is_end_stream() {
            self.pulse.enter(Phase::Work, Instant::now());
            // Whoever still sends is to hear the answer.
            self.pulse.refuse(true);
        }
    }
}

/// Of a budget's memory, the part that bodies may have whose signature is not verified: anybody can send those.
const UNVERIFIED_SHARE: u64 = 4;

/// Where the memory for a body comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory<'a> {
    pub(crate) budget: &'a MemoryBudget,
    /// Whether it is known who sends it, or nobody asks.
    pub(crate) is_verified: bool,
}

impl Memory<'_> {
    fn take(self, bytes: u64) -> Option<Held> {
        if self.is_verified {
            return self.budget.take(Holder::Requests, bytes);
        }
        self.budget.take_within(Holder::Unverified, bytes, self.budget.limit_bytes() / UNVERIFIED_SHARE)
    }
}

/// Reads a body to its end.
///
/// # Errors
/// When it is larger than `limit_bytes`, breaks off, or does not fit into the budget.
pub(crate) async fn collect(
    body: RequestBody,
    limit_bytes: u64,
    memory: Memory<'_>,
    pulse: &Pulse,
) -> Result<Collected, Refused> {
    let mut body = match body {
        RequestBody::Arriving(body) => body,
        RequestBody::Whole(collected) => return Ok(collected),
    };
    let declared_bytes = body.size_hint().exact();
    if declared_bytes.is_some_and(|declared| declared > limit_bytes) {
        return Err(Refused::BodyTooLarge { limit_bytes });
    }
    let mut held = memory.take(declared_bytes.unwrap_or(0)).ok_or(Refused::MemoryExhausted)?;
    if declared_bytes == Some(0) {
        return Ok(Collected { bytes: Bytes::new(), held });
    }
    pulse.enter(Phase::Body, Instant::now());
    let mut gathered = Gathered::Nothing;
    let mut received_bytes = 0_u64;
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(data) = frame.map_err(|_| Refused::BodyBroken)?.into_data() else { continue };
        received_bytes += data.len() as u64;
        if declared_bytes.is_none() {
            if received_bytes > limit_bytes {
                return Err(Refused::BodyTooLarge { limit_bytes });
            }
            if !held.grow(data.len() as u64) {
                return Err(Refused::MemoryExhausted);
            }
        }
        gathered = gathered.and(data, declared_bytes);
        if declared_bytes == Some(received_bytes) {
            break;
        }
    }
    Ok(Collected { bytes: gathered.whole(), held })
}

/// Frames so far. Most bodies are one frame, which then is passed on as it came.
pub(crate) enum Gathered {
    Nothing,
    One(Bytes),
    Many(BytesMut),
}

impl Gathered {
    pub(crate) fn and(self, data: Bytes, declared_bytes: Option<u64>) -> Self {
        match self {
            Self::Nothing => Self::One(data),
            Self::One(first) => {
                let declared = usize::try_from(declared_bytes.unwrap_or(0)).unwrap_or(0);
                let mut many = BytesMut::with_capacity(declared.max(first.len() + data.len()));
                many.extend_from_slice(&first);
                many.extend_from_slice(&data);
                Self::Many(many)
            }
            Self::Many(mut many) => {
                many.extend_from_slice(&data);
                Self::Many(many)
            }
        }
    }

    pub(crate) fn whole(self) -> Bytes {
        match self {
            Self::Nothing => Bytes::new(),
            Self::One(one) if one.len() <= COPIED_MAX_BYTES => Bytes::copy_from_slice(&one),
            Self::One(one) => one,
            Self::Many(many) => many.freeze(),
        }
    }
}
