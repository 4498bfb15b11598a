//! Serverless variants: the model goes when nobody calls for a while, and comes back with the next call, which waits.
//!
//! ```text
//! awake ── nobody calls for idle_after ──▶ asleep ── a call ──▶ waking ──▶ awake
//!                                            ▲                   │ the model cannot be loaded: whoever waits is told why
//!                                            └───────────────────┘
//! ```
//! A variant with provisioned concurrency stays awake.
//!
//! Invariant: a model with a call in it is not put to sleep; of many calls that find it asleep one wakes it and all wait.
//! A load goes on when the call that asked for it is given up. Refuses to: count instances, of which there is one.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use captura_route::{
    Backend, BackendError, Chunks, Extras, Invoking, ModelRequest, Signature, StreamedAnswer, Streaming,
};
use captura_tasks::Tasks;
use futures_core::Stream;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::models::{Instances, LoadedModel, Pending};

/// After a load that failed, calls are told the same for so long before the next one tries again.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Loads the model once more.
pub(crate) type Reload = Box<dyn Fn() -> Pending<Result<LoadedModel, String>> + Send + Sync>;
/// Is told how long a cold start took.
pub(crate) type Woken = Box<dyn Fn(Duration) + Send + Sync>;

/// How a serverless variant sleeps.
pub(crate) struct Sleep {
    pub(crate) idle_after: Duration,
    /// To begin with; see [`Instances::keep_awake`].
    pub(crate) stays_awake: bool,
    pub(crate) reload: Reload,
    pub(crate) woken: Woken,
    pub(crate) tasks: Tasks,
    /// Containers of the model.
    pub(crate) containers: usize,
    /// For the log.
    pub(crate) name: String,
}

/// A model that sleeps when nobody calls.
pub(crate) struct Serverless {
    inner: Arc<Inner>,
    extras: Extras,
    signature: Option<Signature>,
}

struct Inner {
    sleep: Sleep,
    stays_awake: AtomicBool,
    state: Mutex<State>,
    /// Of each container, as the last load found them: a model that sleeps has them too.
    resolved_images: Mutex<Vec<Option<Arc<str>>>>,
}

enum State {
    Awake {
        model: LoadedModel,
        uses: usize,
        idle_since: Instant,
    },
    Asleep {
        failed: Option<(Instant, String)>,
    },
    /// Closes when it is over.
    Waking(watch::Receiver<()>),
}

/// A call in the model.
struct Use {
    inner: Arc<Inner>,
    backend: Arc<dyn Backend>,
}

/// What a caller finds.
enum Found {
    Awake(Use),
    Waking(watch::Receiver<()>),
    Failed(String),
}

impl Serverless {
    /// Around a model that is awake.
    pub(crate) fn around(model: LoadedModel, sleep: Sleep) -> LoadedModel {
        let (extras, signature) = (model.backend.extras(), model.backend.signature().cloned());
        let resolved_images = Mutex::new(images_of(&model, sleep.containers));
        let state = Mutex::new(State::Awake { model, uses: 0, idle_since: Instant::now() });
        let stays_awake = AtomicBool::new(sleep.stays_awake);
        let inner = Arc::new(Inner { stays_awake, sleep, state, resolved_images });
        inner.watch_idleness();
        let serverless = Arc::new(Self { inner, extras, signature });
        LoadedModel { backend: Arc::clone(&serverless) as Arc<dyn Backend>, instances: serverless }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn images(&self) -> MutexGuard<'_, Vec<Option<Arc<str>>>> {
        self.resolved_images.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The model, woken where it sleeps.
    async fn awake(self: &Arc<Self>) -> Result<Use, BackendError> {
        loop {
            let mut waking = match self.find() {
                Found::Awake(found) => return Ok(found),
                Found::Failed(why) => return Err(BackendError::Unavailable(why)),
                Found::Waking(waking) => waking,
            };
            // An error is the end of the waking; what came of it, the state tells.
            while waking.changed().await.is_ok() {}
        }
    }

    fn find(self: &Arc<Self>) -> Found {
        let mut state = self.lock();
        match &mut *state {
            State::Awake { model, uses, .. } => {
                *uses += 1;
                Found::Awake(Use { inner: Arc::clone(self), backend: Arc::clone(&model.backend) })
            }
            State::Waking(waking) => Found::Waking(waking.clone()),
            State::Asleep { failed: Some((at, why)) } if at.elapsed() < REST_AFTER_FAILURE => {
                Found::Failed(why.clone())
            }
            State::Asleep { .. } => {
                let (over, waking) = watch::channel(());
                *state = State::Waking(waking.clone());
                let waker = Waker { inner: Arc::clone(self), _over: over, outcome: None };
                // A task of its own: the caller may give up, and the next one is glad of what was begun.
                tokio::spawn(waker.wake());
                Found::Waking(waking)
            }
        }
    }

    fn watch_idleness(self: &Arc<Self>) {
        let watched = Arc::downgrade(self);
        drop(self.sleep.tasks.spawn("serverless", watched, |watched| Box::pin(until_asleep(watched))));
    }

    /// Puts the model to sleep if its time has come; else says when to look again. Nothing when it is not awake.
    fn put_to_sleep(&self) -> Option<Duration> {
        let idle_after = self.sleep.idle_after;
        let left = {
            let mut state = self.lock();
            let State::Awake { uses, idle_since, .. } = &*state else { return None };
            let is_kept = *uses > 0 || self.stays_awake.load(Ordering::Relaxed);
            let idle = if is_kept { Duration::ZERO } else { idle_since.elapsed() };
            match idle_after.checked_sub(idle).filter(|left| !left.is_zero()) {
                Some(left) => return Some(left),
                None => std::mem::replace(&mut *state, State::Asleep { failed: None }),
            }
        };
        tracing::info!(variant = self.sleep.name, "nobody called for a while: the serverless variant goes to sleep");
        drop(left);
        None
    }
}

/// What each container's image names.
fn images_of(model: &LoadedModel, containers: usize) -> Vec<Option<Arc<str>>> {
    (0..containers).map(|container| model.backend.resolved_image(container)).collect()
}

async fn until_asleep(watched: &Weak<Inner>) {
    // Not held while nothing is to be done, so that a variant that is gone takes its model with it.
    while let Some(left) = watched.upgrade().and_then(|inner| inner.put_to_sleep()) {
        tokio::time::sleep(left).await;
    }
}

/// Wakes the model; however that ends, by panic too, whoever waits is told.
struct Waker {
    inner: Arc<Inner>,
    outcome: Option<Result<LoadedModel, String>>,
    /// Dropped last, when the state tells what came of it.
    _over: watch::Sender<()>,
}

impl Waker {
    async fn wake(mut self) {
        let begun_at = Instant::now();
        let outcome = (self.inner.sleep.reload)().await;
        let took = begun_at.elapsed();
        let (variant, took_ms) = (&self.inner.sleep.name, took.as_millis() as u64);
        match &outcome {
            Ok(_) => {
                tracing::info!(variant, took_ms, "a cold start: the serverless variant is awake");
                (self.inner.sleep.woken)(took);
            }
            Err(why) => tracing::warn!(variant, took_ms, why, "the serverless variant could not be woken"),
        }
        self.outcome = Some(outcome);
    }
}

impl Drop for Waker {
    fn drop(&mut self) {
        let outcome = self.outcome.take();
        let outcome = outcome.unwrap_or_else(|| Err("waking ended in a bug of captura; the log says where".to_owned()));
        let is_awake = outcome.is_ok();
        if let Ok(model) = &outcome {
            *self.inner.images() = images_of(model, self.inner.sleep.containers);
        }
        *self.inner.lock() = match outcome {
            Ok(model) => State::Awake { model, uses: 0, idle_since: Instant::now() },
            Err(why) => State::Asleep { failed: Some((Instant::now(), why)) },
        };
        if is_awake {
            self.inner.watch_idleness();
        }
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        if let State::Awake { uses, idle_since, .. } = &mut *self.inner.lock() {
            *uses -= 1;
            *idle_since = Instant::now();
        }
    }
}

impl Backend for Serverless {
    fn invoke<'a>(&'a self, request: &'a ModelRequest) -> Invoking<'a> {
        Box::pin(async move {
            let held = self.inner.awake().await?;
            held.backend.invoke(request).await
        })
    }

    fn invoke_streaming<'a>(&'a self, request: &'a ModelRequest) -> Streaming<'a> {
        Box::pin(async move {
            let held = self.inner.awake().await?;
            let StreamedAnswer { head, chunks } = held.backend.invoke_streaming(request).await?;
            Ok(StreamedAnswer { head, chunks: Box::pin(HeldChunks { chunks, _held: held }) })
        })
    }

    fn signature(&self) -> Option<&Signature> {
        self.signature.as_ref()
    }

    fn extras(&self) -> Extras {
        self.extras
    }

    fn resolved_image(&self, container: usize) -> Option<Arc<str>> {
        self.inner.images().get(container)?.clone()
    }
}

impl Instances for Serverless {
    fn scale(&self, _: usize) {}

    fn keep_awake(&self, always: bool) {
        self.inner.stays_awake.store(always, Ordering::Relaxed);
        let sleeps = matches!(*self.inner.lock(), State::Asleep { .. });
        if always && sleeps {
            drop(self.inner.find());
        }
    }

    fn trouble(&self) -> Option<String> {
        match &*self.inner.lock() {
            State::Asleep { failed: Some((_, why)) } => Some(why.clone()),
            _ => None,
        }
    }
}

impl fmt::Debug for Serverless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serverless").field("name", &self.inner.sleep.name).finish_non_exhaustive()
    }
}

/// The pieces of an answer, which keep the model awake.
struct HeldChunks {
    chunks: Chunks,
    _held: Use,
}

impl Stream for HeldChunks {
    type Item = Result<Bytes, BackendError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.chunks.as_mut().poll_next(context)
    }
}
