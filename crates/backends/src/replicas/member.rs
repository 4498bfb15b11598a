//! The instances that take calls, and the choice among them.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use captura_route::{Backend, BackendError, Chunks, InstanceFigures};
use futures_core::Stream;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::patience::mixed;
use super::sessions::Sessions;
use super::tally::Tally;
use super::{Instance, Routing};

/// How long a member that did not answer is asked last.
const SUSPECTED_FOR: Duration = Duration::from_secs(1);

/// An instance with the calls that it has.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) instance: Arc<dyn Instance>,
    pub(super) since: Instant,
    pub(super) tally: Tally,
    outstanding: AtomicUsize,
    /// Tells that there are no calls any more.
    idle: Notify,
    /// Tells its watcher that there is nothing to watch any more.
    pub(super) retired: Notify,
    /// Until when it is asked last, milliseconds on the set's own clock.
    suspect_until_ms: AtomicU64,
}

impl Member {
    pub(super) fn new(instance: Arc<dyn Instance>) -> Arc<Self> {
        Arc::new(Self {
            instance,
            since: Instant::now(),
            tally: Tally::default(),
            outstanding: AtomicUsize::new(0),
            idle: Notify::new(),
            retired: Notify::new(),
            suspect_until_ms: AtomicU64::new(0),
        })
    }

    pub(super) fn id(&self) -> &str {
        self.instance.id()
    }

    pub(super) fn outstanding(&self) -> usize {
        self.outstanding.load(Ordering::Acquire)
    }

    /// Waits until it has no calls.
    pub(super) async fn drained(&self) {
        let mut idle = std::pin::pin!(self.idle.notified());
        loop {
            idle.as_mut().enable();
            if self.outstanding() == 0 {
                return;
            }
            idle.as_mut().await;
            idle.set(self.idle.notified());
        }
    }
}

/// The members that take calls.
#[derive(Debug)]
pub(super) struct Set {
    members: RwLock<Arc<[Arc<Member>]>>,
    living: watch::Sender<usize>,
    routing: Routing,
    /// Where the next choice begins, so that equals take turns; the dice of the random choice.
    turn: AtomicU64,
    seed: u64,
    born: Instant,
    trouble: Mutex<Option<String>>,
    pub(super) sessions: Sessions,
}

impl Set {
    pub(super) fn new(routing: Routing, seed: u64) -> Self {
        Self {
            members: RwLock::new(Arc::from([])),
            living: watch::Sender::new(0),
            routing,
            turn: AtomicU64::new(0),
            seed,
            born: Instant::now(),
            trouble: Mutex::new(None),
            sessions: Sessions::default(),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.members.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(super) fn figures(&self) -> Vec<InstanceFigures> {
        let members = self.members.read().unwrap_or_else(PoisonError::into_inner);
        members.iter().map(|member| member.tally.read(member.id())).collect()
    }

    pub(super) fn living(&self) -> watch::Receiver<usize> {
        self.living.subscribe()
    }

    /// Only the keeper changes the members.
    pub(super) fn replace(&self, members: Vec<Arc<Member>>) {
        let count = members.len();
        *self.members.write().unwrap_or_else(PoisonError::into_inner) = members.into();
        self.living.send_replace(count);
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// Asks this one last for a while: its own watcher takes a moment to see that it is dead.
    pub(super) fn suspect(&self, member: &Member) {
        member.suspect_until_ms.store(self.now_ms() + SUSPECTED_FOR.as_millis() as u64, Ordering::Relaxed);
    }

    /// The member for a call that was not `asked` already.
    pub(super) fn choose(&self, asked: &[Arc<Member>]) -> Option<Arc<Member>> {
        let members = self.members.read().unwrap_or_else(PoisonError::into_inner);
        let count = members.len() as u64;
        if count == 0 {
            return None;
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let start = match self.routing {
            Routing::LeastOutstanding => turn % count,
            Routing::Random => mixed(self.seed ^ turn) % count,
        };
        let now_ms = self.now_ms();
        let mut best: Option<(bool, usize, &Arc<Member>)> = None;
        for step in 0..count {
            let member = &members[((start + step) % count) as usize];
            if asked.iter().any(|other| Arc::ptr_eq(other, member)) {
                continue;
            }
            let suspect = member.suspect_until_ms.load(Ordering::Relaxed) > now_ms;
            let load = match self.routing {
                Routing::LeastOutstanding => member.outstanding(),
                Routing::Random => 0,
            };
            if best.is_none_or(|(suspect_best, load_best, _)| (suspect, load) < (suspect_best, load_best)) {
                best = Some((suspect, load, member));
            }
        }
        best.map(|(_, _, member)| Arc::clone(member))
    }

    fn now_ms(&self) -> u64 {
        self.born.elapsed().as_millis() as u64
    }
}

/// A call at work in a member.
#[derive(Debug)]
pub(super) struct Turn(Arc<Member>);

impl Turn {
    pub(super) fn begin(member: Arc<Member>) -> Self {
        member.outstanding.fetch_add(1, Ordering::AcqRel);
        Self(member)
    }

    pub(super) fn member(&self) -> &Arc<Member> {
        &self.0
    }

    pub(super) fn backend(&self) -> &dyn Backend {
        self.0.instance.backend()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.0.outstanding.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

/// Pieces of an answer; the call is at work until they end.
pub(super) struct Held {
    chunks: Chunks,
    turn: Option<Turn>,
    begun: Instant,
}

impl Held {
    pub(super) fn new(chunks: Chunks, turn: Turn, begun: Instant) -> Self {
        Self { chunks, turn: Some(turn), begun }
    }
}

impl Stream for Held {
    type Item = Result<Bytes, BackendError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.chunks.as_mut().poll_next(context);
        let error = match &polled {
            Poll::Ready(Some(Err(error))) => Some(error),
            Poll::Ready(None) => None,
            _ => return polled,
        };
        let begun = self.begun;
        if let Some(turn) = self.turn.take() {
            turn.member().tally.ended(error, begun.elapsed());
        }
        polled
    }
}
