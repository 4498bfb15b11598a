//! The listener: accepts connections within a limit, and lets them go in order when the server stops.
//!
//! Shutdown: the listener closes first, so that no call comes in; idle connections close at once; calls in flight are
//! finished, each with `Connection: close`; what is left at the deadline is dropped, and capture books it.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use captura_capture::Capture;
use captura_route::{Clock, RouteTable};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::certificate;
use crate::connection::{self, Peer};
use crate::hosts::Hosts;
use crate::premises::Premises;
use crate::{Doors, Meters, Runner, Settings};

/// How long the listener rests after an error that is about the machine and not about one caller, such as a lack of
/// file descriptors: trying at once would fail at once, for ever.
const ACCEPT_ERROR_REST: Duration = Duration::from_millis(50);

/// The answer to a connection too many. It is written without a task of its own, so that a flood costs little.
const TOO_MANY_CONNECTIONS: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nx-amzn-errortype: ServiceUnavailable\r\n\
    content-type: application/json\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 59\r\n\r\n\
    {\"Message\":\"The server has as many connections as it may.\"}";

/// How far the server's life has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Connections come and go.
    Serving,
    /// Requests in flight are finished, no new ones begun.
    Draining,
    /// Nothing is waited for any more.
    Ended,
}

/// The data plane's front door.
pub struct Gateway {
    premises: Arc<Premises>,
    meters: Meters,
}

impl Gateway {
    /// A front door that serves what `table` holds, captures through `capture`, and sends everything that is not the
    /// runtime through `doors`.
    #[must_use]
    pub fn new(
        settings: Settings,
        table: watch::Receiver<Arc<RouteTable>>,
        capture: Capture,
        clock: Clock,
        doors: Doors,
    ) -> Self {
        let premises = Arc::new(Premises::new(settings, table, capture, (clock, doors)));
        let meters = Meters::default();
        meters.show(&premises.preparer.means.gates);
        Self { premises, meters }
    }

    /// A way to the meters, for those who publish them.
    #[must_use]
    pub fn meters(&self) -> Meters {
        self.meters.clone()
    }

    /// What runs deferred invocations; it works before the gateway listens, and until its last clone is gone.
    #[must_use]
    pub fn runner(&self) -> Runner {
        Runner(Arc::clone(&self.premises))
    }

    /// Serves until `shutdown` resolves, then drains; returns when the last connection is closed, at the latest
    /// `drain_timeout` later.
    ///
    /// # Errors
    /// When the listener cannot say which address it listens on.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let premises = self.premises;
        premises.listen(Hosts::new(&premises.settings.allowed_hosts, listener.local_addr()?));
        let connections_max = u32::try_from(premises.settings.connections_max).unwrap_or(u32::MAX);
        let places = Arc::new(Semaphore::new(connections_max as usize));
        let (stage, _) = watch::channel(Stage::Serving);

        let mut shutdown = pin!(shutdown);
        let mut watch = premises.settings.tasks.watch("listener");
        while watch.survive(accept(&listener, &premises, &places, &stage, shutdown.as_mut())).await.is_none() {
            if watch.is_closing() {
                break;
            }
        }
        drop(listener);

        stage.send_replace(Stage::Draining);
        let drained_at = tokio::time::Instant::now() + premises.settings.drain_timeout;
        let all_gone = places.acquire_many(connections_max);
        if tokio::time::timeout(premises.settings.drain_timeout, all_gone).await.is_err() {
            tracing::warn!(
                connections = premises.meters.connections.load(Ordering::Relaxed),
                "requests were still in flight at the end of the drain and are dropped"
            );
            stage.send_replace(Stage::Ended);
            // Connections are only dropped from here on; that cannot take long, and is not hurried.
            let _ = places.acquire_many(connections_max).await;
        }
        premises.copies.finish(drained_at.saturating_duration_since(tokio::time::Instant::now())).await;
        Ok(())
    }
}

/// Accepts connections until `shutdown`.
async fn accept(
    listener: &TcpListener,
    premises: &Arc<Premises>,
    places: &Arc<Semaphore>,
    stage: &watch::Sender<Stage>,
    mut shutdown: Pin<&mut impl Future<Output = ()>>,
) {
    let mut table = premises.table.clone();
    let mut published = true;
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => return,
            // Prepared before anyone asks, so that models that left the table are let go even when nobody calls.
            changed = table.changed(), if published => match changed {
                Ok(()) => drop(premises.preparer.prepare(Arc::clone(&table.borrow_and_update()))),
                Err(_) => published = false,
            },
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => welcome(stream, peer.ip(), premises, places, stage),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    if !is_about_one_caller(&error) {
                        tokio::time::sleep(ACCEPT_ERROR_REST).await;
                    }
                }
            },
        }
    }
}

fn is_about_one_caller(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

fn welcome(
    stream: TcpStream,
    source: IpAddr,
    premises: &Arc<Premises>,
    places: &Arc<Semaphore>,
    stage: &watch::Sender<Stage>,
) {
    let Ok(place) = Arc::clone(places).try_acquire_owned() else {
        premises.meters.connections_refused.fetch_add(1, Ordering::Relaxed);
        if premises.settings.tls.is_none() {
            // What does not fit into the socket's empty buffer at once is not worth waiting for.
            let _ = stream.try_write(TOO_MANY_CONNECTIONS);
        }
        return;
    };
    // Replies are written whole; waiting for more to send would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "the caller was gone before it was served");
        return;
    }
    let premises = Arc::clone(premises);
    let stage = stage.subscribe();
    tokio::spawn(async move {
        let _place = place;
        let _counted = Counted::new(&premises);
        let Some(tls) = &premises.settings.tls else {
            return connection::drive(stream, Peer::new(source, None), Arc::clone(&premises), stage).await;
        };
        let handshake = tokio::time::timeout(premises.settings.head_timeout, tls.accept(stream));
        let shaken = tokio::select! {
            shaken = handshake => shaken,
            // Nothing was asked yet.
            () = connection::reached(stage.clone(), Stage::Draining) => return,
        };
        match shaken {
            Ok(Ok(stream)) => {
                let peer = Peer::new(source, certificate::name_of_peer(&stream));
                connection::drive(stream, peer, Arc::clone(&premises), stage).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, %source, "a caller and this server found no common TLS"),
            Err(_) => drop(premises.meters.connections_cut.fetch_add(1, Ordering::Relaxed)),
        }
    });
}

/// Counts a connection as open for as long as it lives, panics included.
struct Counted(Arc<Premises>);

impl Counted {
    fn new(premises: &Arc<Premises>) -> Self {
        premises.meters.connections.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(premises))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.meters.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
