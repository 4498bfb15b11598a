//! Where signatures count: the one check that every request passes before it is routed, but for `/ping`.
//!
//! The gateway knows no keys. It puts the question to a [`Verifier`] that the binary gives it, with the whole body, because
//! the body is signed too; only S3's bodies, which are not held, are compared with their declared digest while they pass.
//!
//! Invariant: there is one place where the question is put, so that no route can lack it.

use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use captura_route::{Consumer, Holder, Principal};
use captura_wire::denial::{Denial, Dialect};
use captura_wire::scope::Scope;
use captura_wire::sigv4::{Admitted, Asked, ChunkWatch, Head, RunningDigest, Verifier};
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, Method, Uri};
use hyper::body::{Body, Frame, SizeHint};

use crate::body::{self, Collected, Memory, RequestBody};
use crate::connection::Line;
use crate::fault::Refused;
use crate::settings::BodyError;

/// A request that may come in.
pub(crate) struct Verified {
    pub(crate) consumer: Consumer,
    pub(crate) principal: Option<Principal>,
    /// Where it comes from, proxies that are believed left out.
    pub(crate) source: IpAddr,
    pub(crate) body: RequestBody,
    /// What a body must be that is passed on piece by piece.
    pub(crate) held_to: HeldTo,
}

/// What a body must be that is passed on piece by piece.
#[derive(Debug, Default)]
pub(crate) enum HeldTo {
    /// Anything.
    #[default]
    Nothing,
    /// Of this digest.
    Digest([u8; 32], RunningDigest),
    /// In these chunks.
    Chunks(Box<ChunkWatch>),
}

impl HeldTo {
    /// Looks at a piece that passes; whether it may.
    fn passes(&mut self, piece: &[u8]) -> bool {
        match self {
            Self::Nothing => true,
            Self::Digest(_, digest) => {
                digest.update(piece);
                true
            }
            Self::Chunks(watch) => watch.feed(piece).is_ok(),
        }
    }

    /// Whether what has passed is the whole of it.
    fn is_fulfilled(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Digest(expected, digest) => digest.is(expected),
            Self::Chunks(watch) => watch.is_done(),
        }
    }
}

/// Reads a body, unless it is passed on piece by piece, and asks whether the request may come in.
pub(crate) async fn verify(
    line: &Line,
    verifier: &dyn Verifier,
    parts: &Parts,
    body: RequestBody,
    streams: bool,
) -> Result<Verified, Refused> {
    let premises = &*line.premises;
    let body = if streams {
        body
    } else {
        let limit_bytes = premises.settings.body_max_bytes;
        let memory = Memory { budget: &premises.settings.memory, is_verified: false };
        RequestBody::Whole(body::collect(body, limit_bytes, memory, &line.pulse).await?)
    };
    let head = head_of(&parts.method, &parts.uri, &parts.headers);
    let whole = match &body {
        RequestBody::Whole(collected) => Some(&*collected.bytes),
        RequestBody::Arriving(_) => None,
    };
    let certificate = line.peer.certificate.as_deref();
    let mut asked =
        Asked { head: &head, body: whole, source: line.peer.address, certificate, now: premises.clock.now() };
    let mut admitted = verifier.admit(&asked);
    if admitted == Err(Denial::TokenKeyUnknown)
        && let Some(renewed) = verifier.renewal(&asked)
    {
        renewed.await;
        asked.now = premises.clock.now();
        admitted = verifier.admit(&asked);
    }
    match admitted {
        Ok(Admitted { user, principal, source, body_sha256, chunks }) => {
            let held_to = match (body_sha256, chunks) {
                (Some(digest), _) => HeldTo::Digest(digest, RunningDigest::default()),
                (None, Some(chain)) => HeldTo::Chunks(Box::new(ChunkWatch::new(chain))),
                (None, None) => HeldTo::Nothing,
            };
            let body = match body {
                RequestBody::Whole(Collected { bytes, held }) => {
                    RequestBody::Whole(Collected { bytes, held: held.passed_to(Holder::Requests) })
                }
                arriving @ RequestBody::Arriving(_) => arriving,
            };
            let principal = principal.as_deref().and_then(Principal::new);
            Ok(Verified { consumer: Consumer::new(&user), principal, source, body, held_to })
        }
        // Who is passed on to the buckets speaks S3, signed or not.
        Err(denial) if streams => Err(Refused::Denied(Box::new((denial, Dialect::S3)))),
        Err(denial) => Err(denied(denial, &head)),
    }
}

pub(crate) fn head_of<'a>(method: &'a Method, uri: &'a Uri, headers: &'a HeaderMap) -> Head<'a> {
    Head {
        method: method.as_str(),
        path: uri.path(),
        query: uri.query().unwrap_or_default(),
        headers: headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect(),
    }
}

/// The words of the service that was called, as far as the request says which.
pub(crate) fn dialect(head: &Head<'_>) -> Dialect {
    let header = head.text(AUTHORIZATION.as_str());
    let scope = header.map_or_else(|| Scope::of_query(head.query), Scope::of_authorization);
    Dialect::of(head, scope.as_ref().map(Scope::service))
}

fn denied(denial: Denial, head: &Head<'_>) -> Refused {
    Refused::Denied(Box::new((denial, dialect(head))))
}

/// A body that is compared, while it passes, with the digest that was signed. Its last piece is only handed on when all of
/// it was right: whoever reads it sees it break off otherwise.
pub(crate) struct HeldBody<B> {
    body: B,
    held_to: HeldTo,
    refused: bool,
}

/// What a reader of such a body sees instead of its end.
#[derive(Debug, thiserror::Error)]
enum NotTheSignedBody {
    #[error("the body is not the one that was signed")]
    Digest,
    #[error("a chunk of the body is not the one that was signed")]
    Chunk,
}

impl NotTheSignedBody {
    /// In a form that rooms know which do not know this one: whole, and invalid.
    fn told(held_to: &HeldTo) -> BodyError {
        match held_to {
            HeldTo::Digest(..) => Box::new(std::io::Error::new(std::io::ErrorKind::InvalidData, Self::Digest)),
            HeldTo::Nothing | HeldTo::Chunks(_) => Box::new(Self::Chunk),
        }
    }
}

impl<B: Body<Data = Bytes, Error = BodyError> + Unpin> HeldBody<B> {
    pub(crate) fn new(body: B, held_to: HeldTo) -> Self {
        Self { body, held_to, refused: false }
    }

    /// Whether the body is at its end and wrong.
    fn is_wrong(&self) -> bool {
        self.body.is_end_stream() && !self.held_to.is_fulfilled()
    }
}

impl<B: Body<Data = Bytes, Error = BodyError> + Unpin> Body for HeldBody<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.refused {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let this = &mut *self;
        let passes = match &frame {
            Some(Ok(frame)) => frame.data_ref().is_none_or(|data| this.held_to.passes(data)),
            // It has broken off by itself, and says so.
            Some(Err(_)) => return Poll::Ready(frame),
            None => this.held_to.is_fulfilled(),
        };
        if !passes || this.is_wrong() {
            this.refused = true;
            return Poll::Ready(Some(Err(NotTheSignedBody::told(&this.held_to))));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        // A body that ends wrongly has its error still to come.
        self.refused || self.body.is_end_stream() && !self.is_wrong()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use captura_wire::sigv4::sha256;
    use http_body_util::{BodyExt as _, Full, StreamBody};

    use super::*;

    fn whole(bytes: &'static [u8]) -> impl Body<Data = Bytes, Error = BodyError> + Unpin {
        Full::new(Bytes::from_static(bytes)).map_err(|never| match never {})
    }

    fn digest(bytes: &[u8]) -> HeldTo {
        HeldTo::Digest(sha256(bytes), RunningDigest::default())
    }

    #[tokio::test]
    async fn a_body_that_was_signed_passes_and_another_breaks_off_before_its_last_piece() {
        let right = HeldBody::new(whole(b"object"), digest(b"object"));
        assert_eq!(right.collect().await.unwrap().to_bytes(), "object");
        let unheld = HeldBody::new(whole(b"object"), HeldTo::Nothing);
        assert_eq!(unheld.collect().await.unwrap().to_bytes(), "object");

        let mut wrong = HeldBody::new(whole(b"object"), digest(b"other"));
        let told = wrong.frame().await.unwrap().unwrap_err();
        let kind = told.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        assert_eq!(kind, Some(std::io::ErrorKind::InvalidData), "whole, and not what was signed");
        assert!(wrong.frame().await.is_none() && wrong.is_end_stream());

        let empty = HeldBody::new(whole(b""), digest(b"other"));
        assert!(!empty.is_end_stream(), "there is an error to be read");
        assert!(empty.collect().await.is_err());
        let empty = HeldBody::new(whole(b""), digest(b""));
        assert!(empty.is_end_stream() && empty.collect().await.is_ok());
    }

    #[tokio::test]
    async fn a_body_of_many_pieces_without_a_known_end_is_compared_at_its_end() {
        let pieces = |signed: &[u8]| {
            let frames = [&b"ob"[..], b"ject"].map(|piece| Ok(Frame::data(Bytes::from_static(piece))));
            let frames = frames.into_iter().collect::<std::collections::VecDeque<_>>();
            HeldBody::new(StreamBody::new(Pieces(frames)), digest(signed))
        };
        assert_eq!(pieces(b"object").collect().await.unwrap().to_bytes(), "object");
        assert!(pieces(b"objects").collect().await.is_err());
    }

    struct Pieces(std::collections::VecDeque<Result<Frame<Bytes>, BodyError>>);

    impl futures_core::Stream for Pieces {
        type Item = Result<Frame<Bytes>, BodyError>;

        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            Poll::Ready(self.0.pop_front())
        }
    }
}
