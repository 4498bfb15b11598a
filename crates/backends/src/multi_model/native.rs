//! Models that are loaded into this process.

use std::sync::Arc;

use super::{Library, ModelKey, NotLoaded, Volume, failed, not_fetched};
use crate::artifact::Fetcher;
use crate::replicas::Pending;
use crate::{Loader, ModelSpec, Settings};

/// Models of one embedded backend, below a prefix.
pub(crate) struct NativeLibrary {
    pub(crate) fetcher: Fetcher,
    pub(crate) settings: Arc<Settings>,
    /// What the models have in common; its data is the prefix.
    pub(crate) spec: ModelSpec,
    /// The prefix.
    pub(crate) prefix: String,
    pub(crate) load: Loader,
}

impl NativeLibrary {
    async fn load(&self, key: &ModelKey) -> Result<Volume, NotLoaded> {
        let url = key.below(&self.prefix);
        let artifact = self.fetcher.fetch(&url).await;
        let artifact = artifact.map_err(|error| NotLoaded::Failed(not_fetched(&url, &error)))?;
        let (load, settings) = (self.load, Arc::clone(&self.settings));
        let spec = ModelSpec { model_data_url: Some(url), ..self.spec.clone() };
        let work = move || {
            let bytes = artifact.bytes();
            load(&artifact, &spec, &settings).map(|backend| Volume { backend, bytes })
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok(volume)) => Ok(volume),
            Ok(Err(error)) => Err(NotLoaded::Failed(failed(500, format!("The model {key} cannot be loaded: {error}")))),
            Err(join) if join.is_panic() => std::panic::resume_unwind(join.into_panic()),
            Err(_) => Err(NotLoaded::Failed(failed(500, "The server shuts down.".to_owned()))),
        }
    }
}

impl Library for NativeLibrary {
    fn load<'a>(&'a self, key: &'a ModelKey) -> Pending<'a, Result<Volume, NotLoaded>> {
        Box::pin(self.load(key))
    }

    fn unload<'a>(&'a self, _: &'a ModelKey) -> Pending<'a, ()> {
        // It is gone when the last who holds it lets go.
        Box::pin(async {})
    }
}

impl std::fmt::Debug for NativeLibrary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NativeLibrary").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
