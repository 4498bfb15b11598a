//! Which models are at hand, and which of them makes room for another.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use captura_route::{Backend, BackendError, Chunks};
use futures_core::Stream;
use tokio::sync::{Semaphore, watch};

use super::{
    LOADING_PATIENCE, LOADING_TIMEOUT, LOADS_AT_ONCE, LOADS_MAX, Library, ModelKey, MultiModelLimits, MultiModelSpec,
    NotLoaded, Volume, failed,
};

/// Said of a model for which others cannot make room: what containers say of it too.
const NO_ROOM: u16 = 507;

/// The models at hand.
#[derive(Debug)]
pub(super) struct Shelf {
    library: Arc<dyn Library>,
    spec: MultiModelSpec,
    limits: MultiModelLimits,
    turns: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    places: HashMap<ModelKey, Place>,
    /// Counts uses; the smallest number is the one used least recently.
    uses: u64,
}

#[derive(Debug)]
enum Place {
    /// Being loaded; the channel tells how that ended.
    Loading(watch::Receiver<Option<Result<(), BackendError>>>),
    /// At hand. Nobody else holds the volume while it has no calls.
    AtHand { volume: Arc<Volume>, used: u64 },
    /// Being unloaded; the channel closes when that is done.
    Leaving(watch::Receiver<()>),
}

/// A model that a call uses.
#[derive(Debug)]
pub(super) struct Lease {
    volume: Option<Arc<Volume>>,
    /// Set when the model is unloaded after its calls.
    borrowed: Option<(Arc<Shelf>, ModelKey)>,
}

impl Lease {
    pub(super) fn backend(&self) -> &dyn Backend {
        &*self.volume.as_ref().expect("our bug: a lease has its volume until it is dropped").backend
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        drop(self.volume.take());
        if let Some((shelf, key)) = self.borrowed.take()
            && let Some(leaving) = shelf.lock().dismiss(&key)
        {
            shelf.unload(vec![leaving]);
        }
    }
}

/// What a call finds when it looks for its model.
enum Found {
    AtHand(Arc<Volume>),
    Loading(watch::Receiver<Option<Result<(), BackendError>>>),
    Leaving(watch::Receiver<()>),
    TooMany,
}

/// A model on its way out; dropping it says that it has gone.
struct Leaving {
    key: ModelKey,
    gone: watch::Sender<()>,
}

impl Shelf {
    pub(super) fn new(library: Arc<dyn Library>, spec: MultiModelSpec, limits: MultiModelLimits) -> Self {
        Self { library, spec, limits, turns: Semaphore::new(LOADS_AT_ONCE), state: Mutex::default() }
    }

    /// The model of that key, loaded first if it must be.
    pub(super) async fn lend(self: &Arc<Self>, key: &ModelKey) -> Result<Lease, BackendError> {
        let found = tokio::time::timeout(LOADING_PATIENCE, self.find(key)).await;
        let volume = found.unwrap_or_else(|_| Err(BackendError::NotReady(format!("{key} is still being loaded"))))?;
        let borrowed = (!self.spec.is_cached).then(|| (Arc::clone(self), key.clone()));
        Ok(Lease { volume: Some(volume), borrowed })
    }

    async fn find(self: &Arc<Self>, key: &ModelKey) -> Result<Arc<Volume>, BackendError> {
        loop {
            match self.look(key) {
                Found::AtHand(volume) => return Ok(volume),
                Found::TooMany => {
                    let why = format!("{LOADS_MAX} models are being loaded; {key} has to wait");
                    return Err(BackendError::NotReady(why));
                }
                // An error says that it has gone, which is what is waited for.
                Found::Leaving(mut gone) => drop(gone.changed().await),
                Found::Loading(mut outcome) => match outcome.wait_for(Option::is_some).await {
                    Ok(ended) => ended.clone().expect("our bug: just waited for")?,
                    Err(_) => {
                        let message = "Loading ended in a bug of captura; the server's log says where.".to_owned();
                        return Err(failed(500, message));
                    }
                },
            }
        }
    }

    /// What is known of the model; begins to load it when that is nothing.
    fn look(self: &Arc<Self>, key: &ModelKey) -> Found {
        let mut state = self.lock();
        state.uses += 1;
        let now = state.uses;
        match state.places.get_mut(key) {
            Some(Place::AtHand { volume, used }) => {
                *used = now;
                return Found::AtHand(Arc::clone(volume));
            }
            Some(Place::Loading(outcome)) => return Found::Loading(outcome.clone()),
            Some(Place::Leaving(gone)) => return Found::Leaving(gone.clone()),
            None => {}
        }
        if state.loading() >= LOADS_MAX {
            return Found::TooMany;
        }
        let (tell, outcome) = watch::channel(None);
        state.places.insert(key.clone(), Place::Loading(outcome.clone()));
        drop(state);
        let load = Load { shelf: Arc::clone(self), key: key.clone(), tell };
        tokio::spawn(load.run());
        Found::Loading(outcome)
    }

    /// Unloads, in a task of its own.
    fn unload(self: &Arc<Self>, leaving: Vec<Leaving>) {
        let shelf = Arc::clone(self);
        // Without a runtime the whole server is going down.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { shelf.unload_all(leaving).await });
        }
    }

    async fn unload_all(&self, leaving: Vec<Leaving>) {
        for Leaving { key, gone } in leaving {
            self.library.unload(&key).await;
            tracing::info!(model = %key, "a model was unloaded");
            self.lock().places.remove(&key);
            drop(gone);
        }
    }

    /// Models that are being loaded.
    #[cfg(test)]
    pub(super) fn loading(&self) -> usize {
        self.lock().loading()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Begins to unload a model, if it has no calls.
    fn dismiss(&mut self, key: &ModelKey) -> Option<Leaving> {
        let place = self.places.get_mut(key)?;
        let Place::AtHand { volume, .. } = place else { return None };
        if Arc::strong_count(volume) > 1 {
            return None;
        }
        let (gone, left) = watch::channel(());
        *place = Place::Leaving(left);
        Some(Leaving { key: key.clone(), gone })
    }

    /// Begins to unload the model without calls that was used least recently.
    fn dismiss_oldest(&mut self) -> Option<Leaving> {
        let idle = self.places.iter().filter_map(|(key, place)| match place {
            Place::AtHand { volume, used } if Arc::strong_count(volume) == 1 => Some((*used, key)),
            _ => None,
        });
        let (_, oldest) = idle.min()?;
        let oldest = oldest.clone();
        self.dismiss(&oldest)
    }

    fn loading(&self) -> usize {
        self.places.values().filter(|place| matches!(place, Place::Loading(_))).count()
    }

    fn loaded(&self) -> (usize, u64) {
        let volumes = self.places.values().filter_map(|place| match place {
            Place::AtHand { volume, .. } => Some(volume.bytes),
            _ => None,
        });
        volumes.fold((0, 0), |(models, bytes), more| (models + 1, bytes.saturating_add(more)))
    }
}

/// One model on its way in. However it ends, by panic too, its place is free or filled afterwards.
struct Load {
    shelf: Arc<Shelf>,
    key: ModelKey,
    tell: watch::Sender<Option<Result<(), BackendError>>>,
}

impl Load {
    async fn run(self) {
        let loaded = match self.shelf.turns.acquire().await {
            Ok(_turn) => tokio::time::timeout(LOADING_TIMEOUT, self.load()).await.unwrap_or_else(|_| {
                let text = format!("The model {} did not load within {} s.", self.key, LOADING_TIMEOUT.as_secs());
                Err(failed(500, text))
            }),
            Err(_) => Err(BackendError::Unavailable("the server shuts down".into())),
        };
        let outcome = loaded.map(|volume| {
            tracing::info!(model = %self.key, bytes = volume.bytes, "a model was loaded");
            let mut state = self.shelf.lock();
            state.uses += 1;
            let used = state.uses;
            state.places.insert(self.key.clone(), Place::AtHand { volume: Arc::new(volume), used });
        });
        if let Err(error) = &outcome {
            tracing::warn!(model = %self.key, "a model was not loaded: {error}");
            self.shelf.lock().places.remove(&self.key);
        }
        self.tell.send_replace(Some(outcome));
    }

    /// Loads; where there is no room, what was used least recently goes first.
    async fn load(&self) -> Result<Volume, BackendError> {
        let volume = loop {
            match self.shelf.library.load(&self.key).await {
                Ok(volume) => break volume,
                Err(NotLoaded::Failed(error)) => return Err(error),
                Err(NotLoaded::NoRoom(error)) => {
                    let oldest = self.shelf.lock().dismiss_oldest();
                    self.shelf.unload_all(vec![oldest.ok_or(error)?]).await;
                }
            }
        };
        let limits = self.shelf.limits;
        if volume.bytes > limits.bytes_max {
            self.shelf.library.unload(&self.key).await;
            let (bytes, most) = (volume.bytes, limits.bytes_max);
            let text = format!("The model {} has {bytes} bytes, and all models together may have {most}.", self.key);
            return Err(failed(NO_ROOM, text));
        }
        loop {
            let oldest = {
                let mut state = self.shelf.lock();
                let (models, bytes) = state.loaded();
                let fits = models < limits.models_max && bytes.saturating_add(volume.bytes) <= limits.bytes_max;
                // Where all have calls, this one comes on top until one of them is done.
                if fits { None } else { state.dismiss_oldest() }
            };
            match oldest {
                None => return Ok(volume),
                Some(oldest) => self.shelf.unload_all(vec![oldest]).await,
            }
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let mut state = self.shelf.lock();
        if let Some(Place::Loading(outcome)) = state.places.get(&self.key)
            && outcome.same_channel(&self.tell.subscribe())
        {
            state.places.remove(&self.key);
        }
    }
}

/// The pieces of an answer, with the model that they come from.
pub(super) struct Lent {
    chunks: Chunks,
    _lease: Lease,
}

impl Lent {
    pub(super) fn new(chunks: Chunks, lease: Lease) -> Self {
        Self { chunks, _lease: lease }
    }
}

impl Stream for Lent {
    type Item = Result<Bytes, BackendError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.chunks.as_mut().poll_next(context)
    }
}
