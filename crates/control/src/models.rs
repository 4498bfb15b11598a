//! How models are reached: through [`captura_backends::Backends`], or through a stand-in that fails and waits on command.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use captura_backends::{Backends, Launch, ModelSpec};
use captura_route::Backend;

use crate::deployment::DeployedModel;

/// A boxed future of an owned value.
pub(crate) type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Loads one model, as many instances of it as asked for.
type Load = dyn Fn(ModelSpec, Launch) -> Pending<Result<Arc<dyn Backend>, String>> + Send + Sync;
/// Looks whether there is anything at an address.
type Look = dyn Fn(String) -> Pending<Result<bool, String>> + Send + Sync;

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
            load: Arc::new(move |spec, launch| {
                let backends = Arc::clone(&backends);
                Box::pin(async move {
                    let loaded = backends.load(&spec, launch).await;
                    loaded.map(|replicas| replicas as Arc<dyn Backend>).map_err(|error| error.to_string())
                })
            }),
            exists: Arc::new(move |url| {
                let backends = Arc::clone(&looker);
                Box::pin(async move { backends.model_data_exists(&url).await.map_err(|error| error.to_string()) })
            }),
        }
    }

    /// Loads a model, ready to answer.
    pub(crate) async fn load(&self, model: &DeployedModel, launch: Launch) -> Result<Arc<dyn Backend>, String> {
        let spec = ModelSpec {
            image: model.image.clone(),
            model_data_url: model.model_data_url.clone(),
            environment: model.environment.clone(),
            is_isolated: model.is_isolated,
        };
        (self.load)(spec, launch).await
    }

    /// Whether there is anything at the address of a model's data.
    pub(crate) async fn data_exists(&self, url: &str) -> Result<bool, String> {
        (self.exists)(url.to_owned()).await
    }
}

#[cfg(test)]
pub(crate) mod stand_in;
