//! One connection: hyper in the middle, a watch on the bytes below it, one timer beside it.
//!
//! Invariant: a connection ends by itself. Callers that owe bytes, or do not take theirs, are cut off by the timer
//! ([`crate::pulse`]); callers that were answered before they had sent everything get time to read the answer, because
//! closing a socket with unread bytes in it would destroy the answer on its way.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::dispatch;
use crate::premises::Premises;
use crate::prepared::{Prepared, Routes};
use crate::pulse::Pulse;
use crate::server::Stage;

/// How long a caller may take to read an answer that came before it had sent everything.
const LINGER_TIMEOUT: Duration = Duration::from_secs(5);
/// How much of what it still sends is read and thrown away meanwhile, bytes.
const LINGER_MAX_BYTES: usize = 64 * 1024 * 1024;
const LINGER_BUFFER_BYTES: usize = 16 * 1024;

/// The other end of a connection.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Its address; what headers say of that is not known here.
    pub(crate) address: IpAddr,
    /// Whose certificate it has shown, which was verified.
    pub(crate) certificate: Option<Box<str>>,
}

impl Peer {
    pub(crate) fn new(address: IpAddr, certificate: Option<Box<str>>) -> Self {
        // A listener for both families sees IPv4 in IPv6; a caller has one address, however it was reached.
        Self { address: address.to_canonical(), certificate }
    }
}

/// What a connection's requests need.
pub(crate) struct Line {
    pub(crate) premises: Arc<Premises>,
    /// Shared with the body of a reply that is still being sent.
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) peer: Peer,
    routes: Mutex<Routes>,
}

impl Line {
    fn new(premises: Arc<Premises>, peer: Peer) -> Self {
        let routes = Mutex::new(Routes::new(premises.table.clone(), &premises.preparer));
        Self { pulse: Arc::new(Pulse::new(&premises.settings)), peer, routes, premises }
    }

    /// The current route table, prepared. The lock has no rival but the connection's own timer.
    pub(crate) fn routes(&self) -> Arc<Prepared> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(routes.current(&self.premises.preparer))
    }
}

/// How a connection came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// By HTTP's rules, or because the caller left.
    Closed,
    /// By HTTP's rules, while the caller may still be sending.
    Refused,
    /// The caller overran a limit.
    TooSlow,
    /// The server does not wait any longer.
    Abandoned,
}

/// Serves a connection to its end.
pub(crate) async fn drive<S>(stream: S, peer: Peer, premises: Arc<Premises>, stage: watch::Receiver<Stage>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let line = Arc::new(Line::new(Arc::clone(&premises), peer));
    let watched = Watched { stream, line: Arc::clone(&line), at_end: false };
    let service = {
        let line = Arc::clone(&line);
        service_fn(move |request| {
            let line = Arc::clone(&line);
            async move { Ok::<_, Infallible>(dispatch::answer(&line, request).await) }
        })
    };
    // Without `pipeline_flush`: with it hyper 1.12 keeps its 400 and 431 in the buffer when bytes follow the bad head.
    let mut http = http1::Builder::new()
        .header_read_timeout(None)
        .max_header_size(premises.settings.head_max_bytes)
        .serve_connection(TokioIo::new(watched), service);

    let mut timer = pin!(tokio::time::sleep(line.pulse.interval()));
    let mut draining = pin!(reached(stage.clone(), Stage::Draining));
    let mut ended = pin!(reached(stage, Stage::Ended));
    let mut is_draining = false;
    let end = poll_fn(|context| {
        loop {
            if let Poll::Ready(ended) = Pin::new(&mut http).poll(context) {
                // An error is a head that hyper could not parse, or a caller that is gone.
                let all_read = ended.is_ok() && !line.pulse.has_refused();
                return Poll::Ready(if all_read { End::Closed } else { End::Refused });
            }
            while timer.as_mut().poll(context).is_ready() {
                // An idle connection must not keep the models of a table alive that is no longer served.
                drop(line.routes());
                match line.pulse.check(Instant::now()) {
                    Some(next) => timer.as_mut().reset(next),
                    None => return Poll::Ready(End::TooSlow),
                }
            }
            if is_draining {
                return ended.as_mut().poll(context).map(|()| End::Abandoned);
            }
            if draining.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            is_draining = true;
            if line.pulse.is_idle() {
                return Poll::Ready(End::Closed);
            }
            Pin::new(&mut http).graceful_shutdown();
        }
    })
    .await;

    match end {
        End::Refused => linger(http.into_parts().io.into_inner()).await,
        End::TooSlow => {
            premises.meters.connections_cut.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        End::Closed | End::Abandoned => {}
    }
}

pub(crate) async fn reached(mut stage: watch::Receiver<Stage>, awaited: Stage) {
    // A sender that is gone means a server that is gone.
    let _ = stage.wait_for(|stage| *stage >= awaited).await;
}

/// Throws away what the caller still sends, until it has read its answer and closes.
async fn linger<S: AsyncRead + Unpin>(mut watched: Watched<S>) {
    if watched.at_end {
        return;
    }
    let discard = async {
        let mut buffer = vec![0; LINGER_BUFFER_BYTES];
        let mut discarded_bytes = 0;
        while let Ok(read @ 1..) = watched.stream.read(&mut buffer).await {
            discarded_bytes += read;
            if discarded_bytes > LINGER_MAX_BYTES {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(LINGER_TIMEOUT, discard).await;
}

/// A stream whose progress the pulse is told of.
struct Watched<S> {
    stream: S,
    line: Arc<Line>,
    /// The caller has sent everything it will ever send.
    at_end: bool,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(cx, buffer);
        match &poll {
            Poll::Ready(Ok(())) if buffer.filled().len() > before => {
                self.line.pulse.took(buffer.filled().len() - before)
            }
            Poll::Ready(_) => self.at_end = true,
            Poll::Pending => {}
        }
        poll
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.line.pulse.wrote(poll.is_ready());
        poll
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.line.pulse.wrote(poll.is_ready());
        poll
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What was encrypted and is not yet sent waits here.
        let poll = Pin::new(&mut self.stream).poll_flush(cx);
        self.line.pulse.wrote(poll.is_ready());
        poll
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
