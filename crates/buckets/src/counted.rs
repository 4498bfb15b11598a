//! A body whose bytes are counted while the library reads it, for the library does not tell why it gave up.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;

use crate::arrival::{BodyError, PiecewiseBody};

/// How much of a body has been read.
#[derive(Debug, Clone, Default)]
pub(crate) struct PassedBytes(Arc<AtomicU64>);

impl PassedBytes {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

struct Counted {
    body: PiecewiseBody,
    passed: PassedBytes,
}

/// The same body, and how much of it has been read.
pub(crate) fn count(body: PiecewiseBody) -> (PassedBytes, PiecewiseBody) {
    let passed = PassedBytes::default();
    (passed.clone(), Counted { body, passed }.boxed_unsync())
}

impl Body for Counted {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            let size_bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
            self.passed.0.fetch_add(size_bytes, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
