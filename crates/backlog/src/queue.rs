//! The queue's door: accepts calls, hands them to the work, and tells how it stands.
//!
//! Invariant: a call is in memory exactly as long as it is on the shelf and not settled. One that was taken and is dropped
//! on the way (the server stops, a bug panics) goes back to its place, with its file as it was. One under which the model
//! or the server has ended twice is run alone, so that it takes no other call of its endpoint with it again.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use captura_names::{EndpointName, Timestamp};
use captura_route::{Clock, Deferred};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinHandle;

use crate::disk::Disk;
use crate::figures::{EndpointFigures, Figures};
use crate::settings::{Doors, Lanes, Settings};
use crate::shelf::{Name, Shelf};
use crate::work::Work;

/// Memory for payloads is counted in these, bytes.
pub(crate) const MEMORY_UNIT_BYTES: u64 = 1024;
/// How often the whole queue is searched for calls that have waited too long.
const EXPIRY_EVERY_US: i64 = 1_000_000;
/// How often a call is begun in company of others without coming to an end.
const STARTS_IN_COMPANY: u32 = 2;

/// Why the queue does not open.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {} as a queue of asynchronous invocations: {source}", path.display())]
pub struct OpenError {
    path: PathBuf,
    source: io::Error,
}

/// Why a call is not kept.
#[derive(Debug, thiserror::Error)]
pub enum NotKept {
    /// As many calls or bytes as may be are waiting.
    #[error("the backlog is full")]
    Full,
    /// The server is about to stop.
    #[error("the server is stopping")]
    Stopping,
    /// The disk does not take it.
    #[error("the disk does not take it: {0}")]
    Disk(io::Error),
}

/// A queue of asynchronous invocations. Clones are handles on the same queue.
#[derive(Clone)]
pub struct Backlog(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) settings: Settings,
    pub(crate) shelf: Shelf,
    pub(crate) clock: Clock,
    /// For payloads out of stores, in units of [`MEMORY_UNIT_BYTES`].
    pub(crate) memory: Arc<Semaphore>,
    pub(crate) changed: Notify,
    state: Mutex<State>,
    opened_at: Timestamp,
    stop: watch::Sender<Option<Duration>>,
    working: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct State {
    queues: BTreeMap<EndpointName, Queue>,
    /// Calls on the shelf or on their way there.
    entries: usize,
    bytes: u64,
    totals: Figures,
    expired_at: Option<Timestamp>,
}

#[derive(Default)]
struct Queue {
    waiting: BTreeMap<u64, Waiting>,
    /// How many of those that wait are to run alone.
    suspects: usize,
    working: usize,
    /// The call at work runs alone.
    alone: bool,
    /// This server has seen the endpoint in service.
    seen: bool,
    absent_since: Option<Timestamp>,
    without_capacity: bool,
}

/// A call on the shelf.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    pub(crate) name: Name,
    bytes: u64,
    accepted_at: Timestamp,
    expires_at: Timestamp,
    ready_at: Timestamp,
    attempts: u32,
}

/// What is to be done with a call that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Run it.
    Run,
    /// It has waited too long.
    Expired,
    /// Its endpoint is gone.
    Gone,
}

/// How a call left the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    Completed,
    Failed,
    Expired,
    Damaged,
}

impl Backlog {
    /// Opens the queue and finds what an earlier server left in it. Nothing is worked off before [`Backlog::start`].
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn open(settings: Settings, disk: Arc<dyn Disk>, clock: Clock) -> Result<Self, OpenError> {
        let failed = |source| OpenError { path: settings.dir.clone(), source };
        let (shelf, found) = Shelf::open(&settings.dir, disk).map_err(failed)?;
        let mut state = State::default();
        state.totals.damaged = found.damaged;
        for (name, deferred, bytes) in found.calls {
            state.entries += 1;
            state.bytes += bytes;
            state.queues.entry(deferred.endpoint.clone()).or_default().put(Waiting::new(name, &deferred, bytes));
        }
        let units = usize::try_from(settings.memory_max_bytes / MEMORY_UNIT_BYTES).unwrap_or(Semaphore::MAX_PERMITS);
        Ok(Self(Arc::new(Inner {
            memory: Arc::new(Semaphore::new(units.clamp(1, u32::MAX as usize))),
            opened_at: clock.now(),
            settings,
            shelf,
            clock,
            changed: Notify::new(),
            state: Mutex::new(state),
            stop: watch::channel(None).0,
            working: Mutex::new(None),
        })))
    }

    /// Keeps a call. When this says yes, it survives the server, and power loss as far as the disk keeps its word.
    ///
    /// # Errors
    /// When it is not kept; then it is not run.
    pub async fn accept(&self, deferred: Deferred, body: Bytes) -> Result<(), NotKept> {
        let inner = Arc::clone(&self.0);
        if inner.stop.borrow().is_some() {
            return Err(NotKept::Stopping);
        }
        let bytes = body.len() as u64;
        inner.lock().reserve(bytes, &inner.settings)?;
        // A task of its own: whoever hangs up now does not leave a call on the shelf that nobody knows.
        let keeping = tokio::task::spawn_blocking(move || {
            let put = inner.shelf.put(&deferred, &body);
            let mut state = inner.lock();
            match put {
                Ok((name, size_bytes)) => {
                    state.bytes += size_bytes - bytes;
                    state.totals.accepted += 1;
                    let waiting = Waiting::new(name, &deferred, size_bytes);
                    state.queues.entry(deferred.endpoint.clone()).or_default().put(waiting);
                    drop(state);
                    inner.changed.notify_one();
                    Ok(())
                }
                Err(error) => {
                    state.release(bytes);
                    Err(NotKept::Disk(error))
                }
            }
        });
        keeping.await.unwrap_or_else(|error| Err(NotKept::Disk(io::Error::other(error))))
    }

    /// Begins to work the queue off.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(&self, doors: Doors) {
        let work = Work::new(Arc::clone(&self.0), doors, self.0.stop.subscribe());
        let worker = self.0.settings.tasks.spawn("backlog", work, |work| Box::pin(work.run()));
        *self.0.working.lock().unwrap_or_else(PoisonError::into_inner) = Some(worker);
    }

    /// Takes no more calls and begins none; those under way get `grace` to end, and otherwise are begun again at the next
    /// start.
    pub async fn stop(&self, grace: Duration) {
        self.0.stop.send_replace(Some(grace));
        let worker = self.0.working.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(worker) = worker {
            // A panic was told by the panic hook; what it left is begun again.
            let _ = worker.await;
        }
    }

    /// How the queue stands.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let now = self.0.clock.now();
        let state = self.0.lock();
        let endpoints = state.queues.iter().filter(|(_, queue)| queue.size() > 0).map(|(endpoint, queue)| {
            let oldest = queue.waiting.values().next().map(|waiting| waiting.accepted_at);
            EndpointFigures {
                endpoint: endpoint.clone(),
                backlog_size: queue.size(),
                working: queue.working,
                oldest_age_seconds: oldest.map(|at| (now.unix_us() - at.unix_us()).max(0) as f64 / 1e6),
                without_capacity: queue.without_capacity && !queue.waiting.is_empty(),
            }
        });
        Figures { endpoints: endpoints.collect(), ..state.totals.clone() }
    }
}

impl State {
    fn reserve(&mut self, bytes: u64, settings: &Settings) -> Result<(), NotKept> {
        if self.entries >= settings.entries_max || self.bytes + bytes > settings.bytes_max {
            return Err(NotKept::Full);
        }
        self.entries += 1;
        self.bytes += bytes;
        Ok(())
    }

    fn release(&mut self, bytes: u64) {
        self.entries -= 1;
        self.bytes -= bytes;
    }
}

impl Queue {
    fn size(&self) -> usize {
        self.waiting.len() + self.working
    }

    fn put(&mut self, waiting: Waiting) {
        self.suspects += usize::from(waiting.is_suspect());
        self.waiting.insert(waiting.name.number, waiting);
    }

    fn take(&mut self, ready: impl Fn(&Waiting) -> bool) -> Option<Waiting> {
        let number = self.waiting.iter().find(|(_, waiting)| ready(waiting)).map(|(number, _)| *number)?;
        let waiting = self.waiting.remove(&number)?;
        self.working += 1;
        self.suspects -= usize::from(waiting.is_suspect());
        Some(waiting)
    }

    /// Whether a call is there that is to run alone, and whose time has come.
    fn has_suspect(&self, now: Timestamp) -> bool {
        self.suspects > 0 && self.waiting.values().any(|waiting| waiting.is_suspect() && waiting.ready_at <= now)
    }
}

impl Waiting {
    fn new(name: Name, deferred: &Deferred, bytes: u64) -> Self {
        let Deferred { accepted_at, expires_at, .. } = *deferred;
        Self { name, bytes, accepted_at, expires_at, ready_at: accepted_at, attempts: 0 }
    }
}

impl Waiting {
    fn is_suspect(&self) -> bool {
        self.name.starts >= STARTS_IN_COMPANY
    }

    /// Waits before it is taken again, longer each time.
    fn pause(&mut self, inner: &Inner) -> Duration {
        let settings = &inner.settings;
        let pause = settings.pause_min.saturating_mul(1 << self.attempts.min(16)).min(settings.pause_max);
        self.attempts += 1;
        self.ready_at = inner.clock.now().plus_us(i64::try_from(pause.as_micros()).unwrap_or(i64::MAX));
        pause
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes at most `most` calls whose time has come, oldest first in each endpoint.
    pub(crate) fn take(self: &Arc<Self>, lanes: &Lanes, most: usize) -> Vec<(Taken, Fate)> {
        let now = self.clock.now();
        // Before the lock, so that a door that panics leaves calls that can go back to their places.
        let mut taken = Vec::new();
        let mut state = self.lock();
        let looks = state.expired_at.is_none_or(|at| now.unix_us() - at.unix_us() >= EXPIRY_EVERY_US);
        if looks {
            state.expired_at = Some(now);
        }
        for (endpoint, queue) in &mut state.queues {
            let mut next = |queue: &mut Queue, fate: Fate, ready: &dyn Fn(&Waiting) -> bool| {
                if taken.len() >= most {
                    return false;
                }
                let Some(waiting) = queue.take(ready) else { return false };
                let (inner, endpoint) = (Arc::clone(self), endpoint.clone());
                taken.push((Taken { inner, endpoint, begun: waiting.name, waiting: Some(waiting) }, fate));
                true
            };
            if looks {
                while next(queue, Fate::Expired, &|waiting| waiting.expires_at <= now) {}
            }
            let open = lanes(endpoint);
            queue.without_capacity = open.is_none_or(|lanes| lanes == 0);
            match open {
                Some(lanes) => {
                    (queue.seen, queue.absent_since) = (true, None);
                    let ready = |waiting: &Waiting| waiting.ready_at <= now;
                    if !queue.has_suspect(now) {
                        while !queue.alone && queue.working < lanes && next(queue, Fate::Run, &ready) {}
                    } else if queue.working == 0 && lanes > 0 {
                        queue.alone = next(queue, Fate::Run, &|waiting| waiting.is_suspect() && ready(waiting));
                    }
                }
                None if self.is_gone(queue, now) => while next(queue, Fate::Gone, &|_| true) {},
                None => {}
            }
        }
        state.queues.retain(|_, queue| queue.size() > 0);
        taken
    }

    /// Whether an endpoint that is not served now will not be served again.
    fn is_gone(&self, queue: &mut Queue, now: Timestamp) -> bool {
        let since = *queue.absent_since.get_or_insert(now);
        let (since, limit) = match queue.seen {
            true => (since, self.settings.gone_after),
            false => (self.opened_at.max(since), self.settings.unseen_after),
        };
        now.unix_us() - since.unix_us() >= i64::try_from(limit.as_micros()).unwrap_or(i64::MAX)
    }
}

/// A call that is being worked on. Dropping it puts it back.
pub(crate) struct Taken {
    pub(crate) inner: Arc<Inner>,
    endpoint: EndpointName,
    /// Its name on the shelf.
    begun: Name,
    /// Taken by the end.
    waiting: Option<Waiting>,
}

impl Taken {
    pub(crate) fn name(&self) -> Name {
        self.begun
    }

    /// Says on the shelf that it is begun.
    pub(crate) fn begin(&mut self) -> io::Result<()> {
        self.begun = self.inner.shelf.begun(self.begun, self.begun.starts + 1)?;
        Ok(())
    }

    /// This start counts against it, though the server lived on.
    pub(crate) fn keep_start(&mut self) {
        if let Some(waiting) = &mut self.waiting {
            waiting.name = self.begun;
        }
    }

    /// It has its end: off the shelf.
    pub(crate) fn settle(mut self, how: Settled) {
        let Some(waiting) = self.waiting.take() else { return };
        let off = match how {
            Settled::Damaged => self.inner.shelf.set_aside(self.begun),
            _ => self.inner.shelf.remove(self.begun),
        };
        if let Err(error) = off {
            tracing::warn!(%error, "a call that has its end stays in the queue's folder and will be looked at again");
        }
        let mut state = self.inner.lock();
        state.release(waiting.bytes);
        let totals = &mut state.totals;
        match how {
            Settled::Completed => totals.completed += 1,
            Settled::Failed => totals.failed += 1,
            Settled::Expired => (totals.failed, totals.expired) = (totals.failed + 1, totals.expired + 1),
            Settled::Damaged => totals.damaged += 1,
        }
        state.left(&self.endpoint);
        drop(state);
        self.inner.changed.notify_one();
    }

    /// It could not be served now: back to its place, after a pause.
    pub(crate) fn again(mut self, why: &str) {
        let Some(waiting) = &mut self.waiting else { return };
        let pause = waiting.pause(&self.inner);
        tracing::debug!(endpoint = %self.endpoint, ?pause, why, "a call is tried again");
    }
}

impl State {
    fn left(&mut self, endpoint: &EndpointName) {
        if let Some(queue) = self.queues.get_mut(endpoint) {
            queue.working -= 1;
            queue.alone &= queue.working > 0;
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let Some(mut waiting) = self.waiting.take() else { return };
        if std::thread::panicking() {
            // What made the work panic would do so again at once.
            waiting.pause(&self.inner);
        }
        // The server lives, so this start does not count against the call.
        if self.begun != waiting.name {
            waiting.name = self.inner.shelf.begun(self.begun, waiting.name.starts).unwrap_or(self.begun);
        }
        let mut state = self.inner.lock();
        state.left(&self.endpoint);
        state.queues.entry(self.endpoint.clone()).or_default().put(waiting);
        drop(state);
        self.inner.changed.notify_one();
    }
}
