//! N instances of one model behind one [`Backend`]: which of them takes a call, and how many there are.
//!
//! ```text
//! Replicas ── invoke ──▶ the living member with the fewest calls at work
//!    │ scale(n)
//!    ▼
//! keeper (a task): starts what is missing, drains what is too many, replaces what died, waits longer after each failure
//! ```
//! A model inside this process takes what calls come, so any number of its instances is the one loaded model.
//!
//! Invariant: a call is asked again of another member only when the one before it was unavailable before a byte of an
//! answer came. An instance that is drained gets no new calls, and is stopped when it has none, or after
//! [`DRAIN_TIMEOUT`].
//! Refuses to: queue calls while nobody lives.

mod instance;
mod keeper;
mod member;
mod patience;
mod sessions;
mod tally;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use captura_route::{
    Answer, Backend, BackendError, Extras, IN_PROCESS, InstanceFigures, Invoking, ModelRequest, Signature,
    StreamedAnswer, Streaming,
};
use captura_tasks::Tasks;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::keeper::Keeper;
use self::member::{Held, Member, Set, Turn};
use self::tally::Tally;
use crate::LoadError;
use crate::pipeline::Pipeline;

pub use self::instance::{Instance, InstanceFactory, Pending};
pub use self::patience::Patience;

/// Longest time that a removed instance may go on with the calls that it has.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(60);
/// Most members that one call asks: a second one where the first died under it, and no third, as a call that kills whoever
/// takes it must not end them all.
const ATTEMPTS_MAX: usize = 2;

/// How calls are spread: `RoutingConfig.RoutingStrategy` of a production variant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Routing {
    /// `LEAST_OUTSTANDING_REQUESTS`: to the instance with the fewest calls at work.
    #[default]
    LeastOutstanding,
    /// `RANDOM`.
    Random,
}

/// Everything that keeping instances needs besides the model.
#[derive(Debug, Clone)]
pub struct Keeping {
    /// How many there shall be.
    pub instances: usize,
    /// How calls are spread.
    pub routing: Routing,
    /// How long to wait after failures.
    pub patience: Patience,
    /// Begins the keeping again when it panics.
    pub(crate) tasks: Tasks,
    /// Turns true when the server stops.
    pub(crate) closing: watch::Receiver<bool>,
}

/// Number of the next model in this process.
static NEXT_IN_PROCESS: AtomicUsize = AtomicUsize::new(1);

/// Most instances of one model that are programs or containers: whoever asks for more asks for the whole machine.
pub const INSTANCES_MAX: usize = 256;

/// The instances of one model.
pub struct Replicas {
    kind: Kind,
}

enum Kind {
    /// One model in this process, under any number of names.
    Shared { id: String, model: Arc<dyn Backend>, instances: AtomicUsize, tally: Box<Tally> },
    /// Instances with lives of their own.
    Kept { set: Arc<Set>, desired: watch::Sender<usize>, extras: Extras, resolved_image: Option<Arc<str>> },
    /// Several containers, each with replicas of its own.
    Pipeline(Pipeline),
}

impl Replicas {
    /// A model in this process. Its instances share it.
    #[must_use]
    pub fn shared(model: Arc<dyn Backend>, instances: usize) -> Self {
        Self {
            kind: Kind::Shared {
                id: format!("{IN_PROCESS}-{}", NEXT_IN_PROCESS.fetch_add(1, Ordering::Relaxed)),
                model,
                instances: AtomicUsize::new(instances),
                tally: Box::default(),
            },
        }
    }

    /// A model of several containers. Its instances are those of the containers.
    #[must_use]
    pub fn pipeline(pipeline: Pipeline) -> Self {
        Self { kind: Kind::Pipeline(pipeline) }
    }

    /// Starts instances, all at the same time, and keeps them alive as long as this is. Ready when every one is healthy.
    ///
    /// # Errors
    /// When one of them cannot be started; then none is left running.
    pub async fn start(factory: Arc<dyn InstanceFactory>, keeping: Keeping) -> Result<Self, LoadError> {
        if keeping.instances > INSTANCES_MAX {
            return Err(LoadError::TooManyInstances { wanted: keeping.instances, most: INSTANCES_MAX });
        }
        let (extras, resolved_image) = (factory.extras(), factory.resolved_image().map(Arc::from));
        let mut starting = JoinSet::new();
        for _ in 0..keeping.instances {
            let factory = Arc::clone(&factory);
            starting.spawn(async move { factory.start().await });
        }
        let mut members = Vec::new();
        while let Some(started) = starting.join_next().await {
            match started {
                Ok(started) => members.push(started?),
                Err(join) if join.is_panic() => std::panic::resume_unwind(join.into_panic()),
                Err(_) => return Err(LoadError::ShuttingDown),
            }
        }
        let (desired, wanted) = watch::channel(keeping.instances);
        let tasks = keeping.tasks.clone();
        let set = Arc::new(Set::new(keeping.routing, keeping.patience.seed));
        let keeper = Keeper::new(Arc::clone(&set), factory, wanted, keeping, members);
        tasks.spawn("instances", keeper, |keeper| Box::pin(keeper.run()));
        Ok(Self { kind: Kind::Kept { set, desired, extras, resolved_image } })
    }

    /// Says how many instances there shall be, at least one; they come and go in their own time. See
    /// [`Replicas::reached`].
    pub fn scale(&self, count: usize) {
        let count = count.max(1);
        match &self.kind {
            Kind::Shared { instances, .. } => instances.store(count, Ordering::Relaxed),
            Kind::Kept { desired, .. } => drop(desired.send_replace(count.min(INSTANCES_MAX))),
            Kind::Pipeline(pipeline) => pipeline.scale(count),
        }
    }

    /// How many instances there shall be.
    #[must_use]
    pub fn desired(&self) -> usize {
        match &self.kind {
            Kind::Shared { instances, .. } => instances.load(Ordering::Relaxed),
            Kind::Kept { desired, .. } => *desired.borrow(),
            Kind::Pipeline(pipeline) => pipeline.desired(),
        }
    }

    /// Waits until as many instances take calls as there shall be. Whoever waits bounds the waiting; what stands in the
    /// way meanwhile, [`Replicas::trouble`] tells.
    pub async fn reached(&self) {
        if let Kind::Pipeline(pipeline) = &self.kind {
            return pipeline.reached().await;
        }
        if let Kind::Kept { set, desired, .. } = &self.kind {
            let (mut living, mut desired) = (set.living(), desired.subscribe());
            while *living.borrow_and_update() != *desired.borrow_and_update() {
                let ended = tokio::select! {
                    changed = living.changed() => changed.is_err(),
                    changed = desired.changed() => changed.is_err(),
                };
                if ended {
                    return;
                }
            }
        }
    }

    /// Why the last start of an instance failed, if it did and none succeeded since.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        match &self.kind {
            Kind::Shared { .. } => None,
            Kind::Kept { set, .. } => set.trouble(),
            Kind::Pipeline(pipeline) => pipeline.trouble(),
        }
    }
}

impl Backend for Replicas {
    fn invoke<'a>(&'a self, request: &'a ModelRequest) -> Invoking<'a> {
        match &self.kind {
            Kind::Shared { model, tally, .. } => Box::pin(async move {
                let begun = Instant::now();
                let answered = model.invoke(request).await;
                tally.ended(answered.as_ref().err(), begun.elapsed());
                answered
            }),
            Kind::Kept { set, .. } => Box::pin(invoke(set, request)),
            Kind::Pipeline(pipeline) => pipeline.invoke(request),
        }
    }

    fn invoke_streaming<'a>(&'a self, request: &'a ModelRequest) -> Streaming<'a> {
        match &self.kind {
            Kind::Shared { model, tally, .. } => Box::pin(async move {
                let begun = Instant::now();
                let answered = model.invoke_streaming(request).await;
                tally.ended(answered.as_ref().err(), begun.elapsed());
                answered
            }),
            Kind::Kept { set, .. } => Box::pin(invoke_streaming(set, request)),
            Kind::Pipeline(pipeline) => pipeline.invoke_streaming(request),
        }
    }

    fn signature(&self) -> Option<&Signature> {
        match &self.kind {
            Kind::Shared { model, .. } => model.signature(),
            Kind::Kept { .. } => None,
            Kind::Pipeline(pipeline) => pipeline.signature(),
        }
    }

    fn extras(&self) -> Extras {
        match &self.kind {
            Kind::Shared { model, .. } => model.extras(),
            Kind::Kept { extras, .. } => *extras,
            Kind::Pipeline(pipeline) => pipeline.extras(),
        }
    }

    fn instances(&self) -> usize {
        match &self.kind {
            Kind::Shared { instances, .. } => instances.load(Ordering::Relaxed),
            Kind::Kept { set, .. } => set.count(),
            Kind::Pipeline(pipeline) => pipeline.instances(),
        }
    }

    fn figures(&self) -> Vec<InstanceFigures> {
        match &self.kind {
            Kind::Shared { id, tally, .. } => vec![tally.read(id)],
            Kind::Kept { set, .. } => set.figures(),
            // A call goes through an instance of each container.
            Kind::Pipeline(_) => Vec::new(),
        }
    }

    fn resolved_image(&self, container: usize) -> Option<Arc<str>> {
        match &self.kind {
            Kind::Shared { model, .. } => model.resolved_image(container),
            Kind::Kept { resolved_image, .. } => resolved_image.clone(),
            Kind::Pipeline(pipeline) => pipeline.resolved_image(container),
        }
    }
}

async fn invoke(set: &Set, request: &ModelRequest) -> Result<Answer, BackendError> {
    let mut asking = Asking::new(set, request);
    loop {
        let turn = asking.next()?;
        let begun = Instant::now();
        let answered = turn.backend().invoke(request).await;
        match answered {
            Err(gone @ (BackendError::Unavailable(_) | BackendError::WentAway(_))) => asking.give_up(&turn, gone),
            answered => {
                turn.member().tally.ended(answered.as_ref().err(), begun.elapsed());
                if let Ok(answer) = &answered {
                    set.sessions.note(answer, turn.member());
                }
                return answered;
            }
        }
    }
}

async fn invoke_streaming(set: &Set, request: &ModelRequest) -> Result<StreamedAnswer, BackendError> {
    let mut asking = Asking::new(set, request);
    loop {
        let turn = asking.next()?;
        let begun = Instant::now();
        match turn.backend().invoke_streaming(request).await {
            Err(gone @ (BackendError::Unavailable(_) | BackendError::WentAway(_))) => asking.give_up(&turn, gone),
            Ok(StreamedAnswer { head, chunks }) => {
                set.sessions.note(&head, turn.member());
                return Ok(StreamedAnswer { head, chunks: Box::pin(Held::new(chunks, turn, begun)) });
            }
            Err(error) => {
                turn.member().tally.ended(Some(&error), begun.elapsed());
                return Err(error);
            }
        }
    }
}

/// One call on its way from member to member.
struct Asking<'a> {
    set: &'a Set,
    request: &'a ModelRequest,
    /// Members that were unavailable.
    asked: Vec<Arc<Member>>,
    /// What the last of them said, or the one that went away with the call.
    gone: Option<BackendError>,
}

impl<'a> Asking<'a> {
    fn new(set: &'a Set, request: &'a ModelRequest) -> Self {
        Self { set, request, asked: Vec::new(), gone: None }
    }

    fn next(&mut self) -> Result<Turn, BackendError> {
        if self.asked.len() < ATTEMPTS_MAX {
            if self.asked.is_empty()
                && let Some(member) = self.set.sessions.member_of(self.request)
            {
                return Ok(Turn::begin(member));
            }
            if let Some(member) = self.set.choose(&self.asked) {
                return Ok(Turn::begin(member));
            }
        }
        Err(self.gone.take().unwrap_or_else(|| {
            BackendError::Unavailable(match self.set.trouble() {
                Some(trouble) => format!("no instance of the model is alive; the last start failed: {trouble}"),
                None => "no instance of the model is alive; a new one is being started".to_owned(),
            })
        }))
    }

    fn give_up(&mut self, turn: &Turn, gone: BackendError) {
        self.set.suspect(turn.member());
        tracing::debug!(instance = turn.member().id(), %gone, "an instance did not answer; another one is asked");
        self.asked.push(Arc::clone(turn.member()));
        if !matches!(self.gone, Some(BackendError::WentAway(_))) {
            self.gone = Some(gone);
        }
    }
}

impl fmt::Debug for Replicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Replicas");
        match &self.kind {
            Kind::Shared { model, .. } => drop(shown.field("model", model)),
            Kind::Kept { .. } => {}
            Kind::Pipeline(pipeline) => drop(shown.field("pipeline", pipeline)),
        }
        shown.field("desired", &self.desired()).field("instances", &self.instances()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
