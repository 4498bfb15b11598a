//! Models as containers, through Docker's Engine API.
//!
//! Any image that speaks SageMaker's container contract runs here: it is started with `serve`, finds its model below
//! `/opt/ml/model`, and answers `/ping` and `/invocations`.
//!
//! Invariant: a container has the least that it needs (`specification.rs`); every container carries the name of its
//! server's data directory, and those that an earlier run left behind are removed before the first new one starts.
//! Refuses to: run anything for which the operator's Docker is not there, or let a model resource ask for more rights.

mod batch;
mod engine;
mod error;
mod image;
mod instance;
mod network;
mod output;
mod settings;
mod specification;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use captura_route::Extras;
use futures_util::future::join_all;
use tokio::sync::{OnceCell, watch};

pub use self::batch::ContainerBatch;
pub use self::error::ContainerError;
use self::image::Image;
use self::instance::{Container, Start};
use self::network::Reach;
pub use self::settings::{Capability, ContainerSettings, Pull};
use self::specification::{MODELS_FOLDER, MULTI_MODEL_LABEL, PORT_VARIABLE, Wanted};
use crate::artifact::Artifact;
use crate::http_contract::{AnswerLimits, CONTAINER_PORT, ContractSettings};
use crate::logs::LogSink;
use crate::multi_model::ManyModels;
use crate::replicas::{Instance, InstanceFactory, Pending};
use crate::{Launch, LoadError, ModelSpec};

/// How long a container may take to be healthy, when nobody says otherwise.
const STARTUP_TIMEOUT: Duration = Duration::from_secs(240);

/// How long the server's end waits for Docker: a container's own time to stop, and some for its removal.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(40);

/// Docker, and the containers of this server in it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Containers {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: ContainerSettings,
    answers: AnswerLimits,
    /// Set once Docker was reached and what an earlier run left there is gone.
    docker: OnceCell<Docker>,
    /// Has receivers as long as a container exists or is being made.
    alive: watch::Sender<()>,
}

/// Everything that it takes to start one more container of a model.
#[derive(Debug)]
pub(crate) struct Mould {
    containers: Arc<Inner>,
    docker: Docker,
    settings: ContainerSettings,
    image: Image,
    environment: BTreeMap<String, String>,
    network: String,
    port: u16,
    startup_timeout: Duration,
    answers: AnswerLimits,
    log: LogSink,
    /// Mounted into every container, so it lives as long as they.
    artifact: Option<Artifact>,
    /// Mounted as well, by their names.
    channels: Vec<(String, Artifact)>,
    /// Set when the containers have many models, which each of them loads for itself.
    many: Option<ManyModels>,
}

impl Containers {
    /// Answers of containers may have so many bytes. Nothing is connected yet.
    #[must_use]
    pub fn new(settings: ContainerSettings, answers: AnswerLimits) -> Self {
        Self { inner: Arc::new(Inner { settings, answers, docker: OnceCell::new(), alive: watch::Sender::new(()) }) }
    }

    /// Removes the containers that an earlier run of this server left behind, when Docker is there.
    pub async fn recover(&self) {
        if let Err(reason) = self.docker().await {
            tracing::debug!(reason, "no containers on this machine");
        }
    }

    /// Looks the image up, or fetches it, and prepares all that the model's containers have in common.
    pub(crate) async fn mould(&self, spec: &ModelSpec, launch: &Launch) -> Result<Mould, ContainerError> {
        let port = port(&spec.environment)?;
        let no_engine = |reason| ContainerError::NoEngine { image: spec.image.clone(), reason };
        let docker = self.docker().await.map_err(no_engine)?.clone();
        let settings = self.inner.settings.clone();
        let image = image::resolve(&docker, &spec.image, settings.pull).await?;
        tracing::info!(image = image.name, resolved = image.resolved, "the image is here");
        if spec.multi_model.is_some() && image.labels.get(MULTI_MODEL_LABEL).is_none_or(|value| value != "true") {
            return Err(ContainerError::NotMultiModel { image: spec.image.clone() });
        }
        let reach = if spec.is_isolated { Reach::Isolated } else { Reach::Outside };
        Ok(Mould {
            containers: Arc::clone(&self.inner),
            network: network::network(&docker, reach).await?,
            docker,
            settings,
            image,
            environment: spec.environment.clone(),
            port,
            startup_timeout: launch.startup_timeout.unwrap_or(STARTUP_TIMEOUT),
            answers: self.inner.answers.clone(),
            log: launch.log.clone(),
            artifact: None,
            channels: Vec::new(),
            many: None,
        })
    }

    /// Stops and removes all containers of this server that are still there.
    pub async fn close(&self) {
        let Some(docker) = self.inner.docker.get() else { return };
        let closed = tokio::time::timeout(CLOSE_TIMEOUT, async {
            match engine::owned(docker, &self.inner.settings.owner).await {
                Ok(containers) => drop(join_all(containers.iter().map(|id| engine::stop(docker, id))).await),
                Err(error) => tracing::warn!("containers may be left: {error}"),
            }
            // And those whose start was given up while Docker was at it.
            self.inner.alive.closed().await;
        });
        if closed.await.is_err() {
            tracing::warn!("Docker is busy and containers may be left; the next start removes them");
        }
    }

    async fn docker(&self) -> Result<&Docker, String> {
        let Inner { settings, docker, .. } = &*self.inner;
        docker
            .get_or_try_init(|| async {
                let docker = engine::connect(&settings.socket).await?;
                let orphans = engine::owned(&docker, &settings.owner).await.map_err(|error| error.to_string())?;
                for orphan in &orphans {
                    tracing::info!(container = orphan, "removing a container that an earlier run left behind");
                }
                drop(join_all(orphans.iter().map(|id| engine::remove(&docker, id))).await);
                Ok(docker)
            })
            .await
    }
}

impl Mould {
    /// With these files below `/opt/ml/model`.
    pub(crate) fn with(self, artifact: Artifact) -> Self {
        Self { artifact: Some(artifact), ..self }
    }

    /// With many models below `/opt/ml/models`, which each container loads for itself.
    pub(crate) fn with_many(self, many: ManyModels) -> Self {
        Self { many: Some(many), ..self }
    }

    /// The same, with data beside the model's own.
    pub(crate) fn with_channels(self, channels: Vec<(String, Artifact)>) -> Self {
        Self { channels, ..self }
    }
}

impl InstanceFactory for Mould {
    fn start(&self) -> Pending<'_, Result<Arc<dyn Instance>, LoadError>> {
        Box::pin(async {
            let folder = match &self.many {
                Some(many) => Some(Arc::new(many.folder(Some(MODELS_FOLDER), None)?)),
                None => None,
            };
            let channels: Vec<(&str, &Path)> =
                self.channels.iter().map(|(name, artifact)| (name.as_str(), artifact.root())).collect();
            let wanted = Wanted {
                image: &self.image,
                environment: &self.environment,
                model_folder: match &folder {
                    Some(folder) => Some(folder.path()),
                    None => self.artifact.as_ref().map(Artifact::root),
                },
                has_many: folder.is_some(),
                channels: &channels,
                network: &self.network,
                port: self.port,
            };
            let answers = self.answers.clone();
            let contract = ContractSettings { answers, ..ContractSettings::default() };
            let start = Start {
                timeout: self.startup_timeout,
                contract,
                log: self.log.clone(),
                token: self.containers.alive.subscribe(),
            };
            let mut container = Container::launch(&self.docker, wanted, &self.settings, start).await?;
            if let (Some(many), Some(folder)) = (&self.many, folder) {
                container.serve_many(|client| many.served_by(client, folder));
            }
            Ok(Arc::new(container) as Arc<dyn Instance>)
        })
    }

    fn extras(&self) -> Extras {
        Extras { sessions: true, target_model: self.many.is_some(), ..Extras::default() }
    }

    fn resolved_image(&self) -> Option<&str> {
        Some(&self.image.resolved)
    }
}

/// The port that the model's environment wants, else the contract's.
fn port(environment: &BTreeMap<String, String>) -> Result<u16, ContainerError> {
    let Some(said) = environment.get(PORT_VARIABLE) else { return Ok(CONTAINER_PORT) };
    let port = said.parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| ContainerError::Port(said.clone()))
}

#[cfg(test)]
mod tests;
