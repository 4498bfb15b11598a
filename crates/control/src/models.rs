//! How models are reached: through [`captura_backends::Backends`], or through a stand-in that fails and waits on command.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use captura_backends::{Backends, ExplainerSpec, Launch, LoadError, ModelSpec, PipelineMode, Replicas};
use captura_names::ContainerHostname;
use captura_route::Backend;

use crate::deployment::DeployedModel;

/// A boxed future of an owned value.
pub(crate) type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Loads one model, as many instances of it as asked for.
type Load = dyn Fn(Wanted, Launch) -> Pending<Result<LoadedModel, String>> + Send + Sync;
/// Looks whether there is anything at an address.
type Look = dyn Fn(String) -> Pending<Result<bool, String>> + Send + Sync;

/// What a model is loaded from.
pub(crate) struct Wanted {
    /// Its containers with their names, in their order; there is one at least.
    pub(crate) containers: Vec<(ContainerHostname, ModelSpec)>,
    /// How calls go through them; nothing where there is only one to go to.
    pub(crate) mode: Option<PipelineMode>,
    /// What explains its answers, if anything does.
    pub(crate) explainer: Option<ExplainerSpec>,
}

/// A model that answers.
#[derive(Clone)]
pub(crate) struct LoadedModel {
    pub(crate) backend: Arc<dyn Backend>,
    /// Its instances; how many there are, the backend tells.
    pub(crate) instances: Arc<dyn Instances>,
}

/// The instances of a model.
pub(crate) trait Instances: Send + Sync {
    /// Says how many there shall be. They come and go in their own time; a model inside this process takes what calls
    /// come, and has any number as soon as it is asked for.
    fn scale(&self, count: usize);

    /// Why one does not start, in words for a person.
    fn trouble(&self) -> Option<String>;

    /// Whether they stay when nobody calls; others than serverless ones always do.
    fn keep_awake(&self, _always: bool) {}
}

impl Instances for Replicas {
    fn scale(&self, count: usize) {
        Self::scale(self, count);
    }

    fn trouble(&self) -> Option<String> {
        Self::trouble(self)
    }
}

impl fmt::Debug for LoadedModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadedModel").field("backend", &self.backend).finish_non_exhaustive()
    }
}

/// Loads models and looks for their data. Reasons are in words for a person.
#[derive(Clone)]
pub(crate) struct Models {
    load: Arc<Load>,
    exists: Arc<Look>,
}

impl Models {
    /// Through the backends.
    pub(crate) fn of(backends: Backends) -> Self {
        let backends = Arc::new(backends);
        let looker = Arc::clone(&backends);
        Self {
            load: Arc::new(move |wanted, launch| {
                let backends = Arc::clone(&backends);
                Box::pin(async move { load(&backends, &wanted, launch).await.map_err(|error| error.to_string()) })
            }),
            exists: Arc::new(move |url| {
                let backends = Arc::clone(&looker);
                Box::pin(async move { backends.model_data_exists(&url).await.map_err(|error| error.to_string()) })
            }),
        }
    }

    /// Loads a model, ready to answer.
    pub(crate) async fn load(
        &self,
        model: &DeployedModel,
        explainer: Option<ExplainerSpec>,
        launch: Launch,
    ) -> Result<LoadedModel, String> {
        let wanted = Wanted { containers: model.specs(), mode: model.pipeline_mode(), explainer };
        (self.load)(wanted, launch).await
    }

    /// Whether there is anything at the address of a model's data.
    pub(crate) async fn data_exists(&self, url: &str) -> Result<bool, String> {
        (self.exists)(url.to_owned()).await
    }
}

async fn load(backends: &Backends, wanted: &Wanted, launch: Launch) -> Result<LoadedModel, LoadError> {
    // The explainer first: where its baseline cannot be had, no model need be started.
    let explainer = match &wanted.explainer {
        Some(spec) => Some(backends.explainer(spec).await?),
        None => None,
    };
    let replicas: Arc<Replicas> = match (wanted.mode, wanted.containers.as_slice()) {
        (None, [(_, spec)]) => backends.load(spec, launch).await?,
        (mode, containers) => backends.load_pipeline(containers, mode.unwrap_or_default(), launch).await?,
    };
    let model = Arc::clone(&replicas) as Arc<dyn Backend>;
    let backend = match explainer {
        Some(explainer) => Backends::explained(model, explainer),
        None => model,
    };
    Ok(LoadedModel { backend, instances: replicas })
}

#[cfg(test)]
pub(crate) mod stand_in;
