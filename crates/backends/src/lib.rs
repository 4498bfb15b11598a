//! Ways to run a model.
//!
//! [`Backends`] turns what a model resource says (an image, the address of its data, its environment) into a
//! [`captura_route::Backend`] that is loaded and ready to answer.
//!
//! Invariant: a backend answers every call once, or says why not; a request that does not suit the model is refused in
//! words that name the column. Refuses to: know which endpoint it serves, capture, or speak AWS.

pub mod artifact;
pub mod container;
pub mod echo;
pub mod embedded;
mod explainer;
pub mod http_contract;
mod image;
mod load_error;
mod logs;
mod multi_model;
pub mod payload;
mod pipeline;
pub mod process;
pub mod remote;
pub mod replicas;
mod settings;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use captura_names::{ContainerHostname, S3Uri};
use captura_route::Backend;
use futures_util::future::try_join_all;
use object_store::ObjectStore;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub use crate::artifact::DataForm;
use crate::artifact::{Artifact, ArtifactError, Fetcher};
use crate::container::Containers;
pub use crate::embedded::onnx::LibraryError as OnnxLibraryError;
use crate::explainer::Explained;
pub use crate::explainer::{Explainer, ExplainerSpec, ExplainerSpecError};
pub use crate::image::{BackendKind, ImageRule};
pub use crate::load_error::LoadError;
pub use crate::logs::{LogLine, LogSink, LogStream};
use crate::multi_model::{MULTI_MODEL_VARIABLE, ManyModels, MultiModel, NativeLibrary};
pub use crate::multi_model::{MultiModelLimits, MultiModelSpec};
pub use crate::pipeline::PipelineMode;
use crate::pipeline::{Pipeline, Stage};
use crate::process::{IdentityHeld, ProcessFactory, ProcessRule};
use crate::remote::{RemoteFactory, RemoteHost, RemoteRule, RemoteUrl};
use crate::replicas::Keeping;
pub use crate::replicas::{Replicas, Routing};
pub use crate::settings::Settings;

/// Finds the store and the path inside it that an `s3://` address stands for; `None` when there is no such bucket.
/// Otherwise says why the bucket cannot be used.
pub type StoreResolver =
    Arc<dyn Fn(&S3Uri) -> Result<Option<(Arc<dyn ObjectStore>, object_store::path::Path)>, String> + Send + Sync>;

/// Most bytes that the files of one container's models may have on disk; their memory is the container's affair.
const MODEL_FILES_MAX_BYTES: u64 = 64 << 30;

/// Makes a backend of a model's files. Blocks.
type Loader = fn(&Artifact, &ModelSpec, &Settings) -> Result<Arc<dyn Backend>, LoadError>;

/// What a model resource says about how it wants to be run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelSpec {
    /// The container image, which picks the backend.
    pub image: String,
    /// Where the model's files are; absent for images that need none.
    pub model_data_url: Option<String>,
    /// Environment of the container; embedded backends read `CAPTURA_*` keys of it.
    pub environment: BTreeMap<String, String>,
    /// `EnableNetworkIsolation`: a container reaches nothing but captura.
    pub is_isolated: bool,
    /// Set for many models behind one name: `model_data_url` is then the prefix below which they lie.
    pub multi_model: Option<MultiModelSpec>,
    /// What the address of the data means.
    pub data_form: DataForm,
    /// The SHA-256 that the data must have, which is then one object or file; 64 hexadecimal digits.
    pub sha256: Option<String>,
    /// Data beside the model's own, which containers find in folders of their own.
    pub additional_data: Vec<AdditionalData>,
}

/// Data beside the model's own: one of `AdditionalModelDataSources`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdditionalData {
    /// Name of its folder.
    pub channel: String,
    /// Where it is.
    pub url: String,
    /// What the address means.
    pub form: DataForm,
}

/// How a model is to be brought up.
#[derive(Debug, Clone)]
pub struct Launch {
    /// How many instances; [`Replicas::scale`] changes it later.
    pub instances: usize,
    /// How calls are spread over them.
    pub routing: Routing,
    /// Longest time until an instance answers `/ping`: `ContainerStartupHealthCheckTimeoutInSeconds`. The backend's own
    /// when nothing is said.
    pub startup_timeout: Option<Duration>,
    /// Who gets what the instances write, line by line.
    pub log: LogSink,
}

impl Default for Launch {
    fn default() -> Self {
        Self { instances: 1, routing: Routing::default(), startup_timeout: None, log: LogSink::default() }
    }
}

/// Loads models. Cheap to clone.
#[derive(Clone)]
pub struct Backends {
    settings: Arc<Settings>,
    fetcher: Fetcher,
    containers: Containers,
    /// Turns true when the server stops; whoever holds a receiver still has something running.
    closing: Arc<watch::Sender<bool>>,
}

impl Backends {
    /// A loader with these settings; `stores` finds the object store behind an `s3://` address.
    /// Processes that an earlier server left running are ended.
    #[must_use]
    pub fn new(settings: Settings, stores: StoreResolver) -> Self {
        let fetcher = Fetcher::new(&settings, stores);
        process::kill_orphans(&settings.process_dir);
        let containers = Containers::new(settings.containers.clone(), settings.answers.clone());
        Self { settings: Arc::new(settings), fetcher, containers, closing: Arc::new(watch::Sender::new(false)) }
    }

    /// Loads a model: every instance is ready to answer its first call.
    ///
    /// # Errors
    /// Says in words for a person why the model cannot be served; the text is the endpoint's `FailureReason`. Nothing is
    /// left running then, nor when the future is dropped.
    pub async fn load(&self, spec: &ModelSpec, launch: Launch) -> Result<Arc<Replicas>, LoadError> {
        if RemoteUrl::is_meant_by(&spec.image) {
            return self.load_named_remote(spec, launch).await;
        }
        let rule = image::rule_of(&self.settings.images, &spec.image)?;
        if rule.backend != BackendKind::Docker && !spec.additional_data.is_empty() {
            return Err(LoadError::AdditionalData { image: spec.image.clone() });
        }
        let model = match rule.backend {
            BackendKind::Onnx => self.load_native(spec, embedded::onnx::load).await?,
            BackendKind::Echo if spec.multi_model.is_none() => {
                Arc::new(echo::Echo::from_environment(&spec.environment)?)
            }
            BackendKind::Echo => self.load_native(spec, echo::load).await?,
            BackendKind::Trees => self.load_native(spec, embedded::trees::load).await?,
            BackendKind::Process => {
                return self.load_process(spec, rule.process.clone().unwrap_or_default(), launch).await;
            }
            BackendKind::Remote => {
                let remote =
                    rule.remote.as_ref().ok_or_else(|| LoadError::RemoteNotAllowed { image: spec.image.clone() })?;
                return self.load_remote(spec, (remote, false), launch).await;
            }
            BackendKind::Docker => return self.load_container(spec, &launch).await,
        };
        Ok(Arc::new(Replicas::shared(model, launch.instances)))
    }

    /// Loads a model of several containers, all at the same time.
    ///
    /// # Errors
    /// As [`Backends::load`], with the container that cannot be served.
    pub async fn load_pipeline(
        &self,
        containers: &[(ContainerHostname, ModelSpec)],
        mode: PipelineMode,
        launch: Launch,
    ) -> Result<Arc<Replicas>, LoadError> {
        let stages = containers.iter().map(|(hostname, spec)| {
            let launch = launch.clone();
            async move {
                match self.load(spec, launch).await {
                    Ok(replicas) => Ok(Stage { hostname: hostname.clone(), replicas }),
                    Err(error) => Err(LoadError::InContainer { hostname: hostname.clone(), error: Box::new(error) }),
                }
            }
        });
        let stages = try_join_all(stages).await?;
        Ok(Arc::new(Replicas::pipeline(Pipeline::new(stages, mode))))
    }

    /// Gets an explainer ready: its baseline is fetched where it is not part of the configuration.
    ///
    /// # Errors
    /// Says in words for a person why nothing can be explained with it.
    pub async fn explainer(&self, spec: &ExplainerSpec) -> Result<Explainer, LoadError> {
        Ok(Explainer::load(spec, &self.fetcher).await?)
    }

    /// A model of any kind whose answers are explained.
    #[must_use]
    pub fn explained(model: Arc<dyn Backend>, explainer: Explainer) -> Arc<dyn Backend> {
        Arc::new(Explained::new(model, explainer))
    }

    /// Stops every instance, and waits until all are gone, for `deadline` at most. Calls in flight are waited for.
    /// Processes that are still there end with this one, and containers are removed at the next start.
    pub async fn close(&self, deadline: Duration) {
        self.closing.send_replace(true);
        let all_gone = async {
            self.closing.closed().await;
            self.containers.close().await;
        };
        if tokio::time::timeout(deadline, all_gone).await.is_err() {
            let deadline_ms = deadline.as_millis() as u64;
            tracing::warn!(deadline_ms, "instances of models are still there and are waited for no longer");
        }
    }

    /// The containers of this server, for whoever runs others than models.
    #[must_use]
    pub fn containers(&self) -> Containers {
        self.containers.clone()
    }

    /// Removes what an earlier run of this server left running. Nothing waits for it but models that run as containers.
    pub async fn recover(&self) {
        self.containers.recover().await;
    }

    /// Starts the programs of a rule, with the model's files at hand.
    async fn load_process(
        &self,
        spec: &ModelSpec,
        rule: Arc<ProcessRule>,
        launch: Launch,
    ) -> Result<Arc<Replicas>, LoadError> {
        process::check_environment(&spec.environment)?;
        let rule = match spec.is_isolated {
            true => Arc::new(rule.isolated().ok_or_else(|| LoadError::NotIsolated {
                image: spec.image.clone(),
                where_it_runs: "as a process whose sandbox is not \"strict\"",
            })?),
            false => rule,
        };
        let folder = process::prepare_folder(&self.settings.process_dir)?;
        let identity = IdentityHeld::of(&rule)?;
        let fetcher = self.fetcher.below(folder.clone());
        let mut environment = spec.environment.clone();
        let (model, many) = match (&spec.model_data_url, spec.multi_model) {
            (None, None) => (None, None),
            (None, Some(_)) => return Err(LoadError::NoModelData { image: spec.image.clone() }),
            (Some(url), None) => {
                (Some(fetcher.of_form(spec.data_form).pinned(spec.sha256.as_deref()).fetch_copy(url).await?), None)
            }
            (Some(url), Some(many)) => {
                environment.insert(MULTI_MODEL_VARIABLE.to_owned(), "true".to_owned());
                (None, Some(ManyModels { fetcher, ..self.many_models(url, many) }))
            }
        };
        if let (Some(model), Some(identity)) = (&model, &identity) {
            let failed = |error: std::io::Error| LoadError::Start { reason: format!("the model's folder: {error}") };
            model.share_with(identity.gid()).map_err(failed)?;
        }
        let keeping = self.keeping(&launch);
        let factory = ProcessFactory {
            name: format!("the process of the image {:?}", spec.image),
            rule,
            identity,
            model: model.map(Arc::new),
            folder,
            inherited: self.settings.process_environment.clone(),
            environment,
            many,
            startup_timeout: launch.startup_timeout.unwrap_or(process::STARTUP_TIMEOUT),
            answers: self.settings.answers.clone(),
            log: launch.log,
            closing: self.closing.subscribe(),
        };
        Ok(Arc::new(Replicas::start(Arc::new(factory), keeping).await?))
    }

    /// A model that names its server by URL, where the operator allows the host.
    async fn load_named_remote(&self, spec: &ModelSpec, launch: Launch) -> Result<Arc<Replicas>, LoadError> {
        let url: RemoteUrl = spec.image.parse()?;
        let allowing: Vec<&RemoteHost> = self.settings.remote_hosts.iter().filter(|host| host.allows(&url)).collect();
        if allowing.is_empty() {
            return Err(LoadError::RemoteNotAllowed { image: spec.image.clone() });
        }
        let public_only = !allowing.iter().any(|host| host.is_exact());
        drop(allowing);
        self.load_remote(spec, (&RemoteRule { url, ping: None }, public_only), launch).await
    }

    async fn load_remote(
        &self,
        spec: &ModelSpec,
        (rule, public_only): (&RemoteRule, bool),
        launch: Launch,
    ) -> Result<Arc<Replicas>, LoadError> {
        if spec.multi_model.is_some() {
            return Err(LoadError::ManyModelsElsewhere { image: spec.image.clone() });
        }
        if spec.is_isolated {
            let where_it_runs = "on a server of somebody else";
            return Err(LoadError::NotIsolated { image: spec.image.clone(), where_it_runs });
        }
        let startup_timeout = launch.startup_timeout.unwrap_or(remote::STARTUP_TIMEOUT);
        let factory = RemoteFactory::new(rule, public_only, startup_timeout, self.settings.answers.clone())?;
        Ok(Arc::new(Replicas::start(Arc::new(factory), self.keeping(&launch)).await?))
    }

    async fn load_container(&self, spec: &ModelSpec, launch: &Launch) -> Result<Arc<Replicas>, LoadError> {
        // The image first: where there is no Docker, nothing need be fetched.
        let mut mould = self.containers.mould(spec, launch).await?;
        match (&spec.model_data_url, spec.multi_model) {
            (None, None) => {}
            (None, Some(_)) => return Err(LoadError::NoModelData { image: spec.image.clone() }),
            (Some(url), None) => {
                mould = mould
                    .with(self.fetcher.of_form(spec.data_form).pinned(spec.sha256.as_deref()).fetch_copy(url).await?)
            }
            (Some(url), Some(many)) => mould = mould.with_many(self.many_models(url, many)),
        }
        let mut channels = Vec::new();
        for AdditionalData { channel, url, form } in &spec.additional_data {
            channels.push((channel.clone(), self.fetcher.of_form(*form).fetch_copy(url).await?));
        }
        mould = mould.with_channels(channels);
        Ok(Arc::new(Replicas::start(Arc::new(mould), self.keeping(launch)).await?))
    }

    fn many_models(&self, prefix: &str, spec: MultiModelSpec) -> ManyModels {
        let limits = MultiModelLimits { bytes_max: MODEL_FILES_MAX_BYTES, ..self.settings.multi_model };
        ManyModels { fetcher: self.fetcher.clone(), prefix: prefix.to_owned(), spec, limits }
    }

    /// What keeping instances needs.
    fn keeping(&self, launch: &Launch) -> Keeping {
        Keeping {
            instances: launch.instances,
            routing: launch.routing,
            patience: replicas::Patience { seed: self.settings.seed, ..replicas::Patience::default() },
            tasks: self.settings.tasks.clone(),
            closing: self.closing.subscribe(),
        }
    }

    /// A model of this process, or many.
    async fn load_native(&self, spec: &ModelSpec, load: Loader) -> Result<Arc<dyn Backend>, LoadError> {
        let Some(many) = spec.multi_model else { return self.load_with(spec, load).await };
        let prefix = spec.model_data_url.clone();
        let library = NativeLibrary {
            fetcher: self.fetcher.clone(),
            settings: Arc::clone(&self.settings),
            spec: spec.clone(),
            prefix: prefix.ok_or_else(|| LoadError::NoModelData { image: spec.image.clone() })?,
            load,
        };
        Ok(Arc::new(MultiModel::new(Arc::new(library), many, self.settings.multi_model)))
    }

    /// Fetches the model's files and loads them where it may block.
    async fn load_with(&self, spec: &ModelSpec, load: Loader) -> Result<Arc<dyn Backend>, LoadError> {
        let artifact = self.fetch(spec).await?;
        let (spec, settings) = (spec.clone(), Arc::clone(&self.settings));
        match tokio::task::spawn_blocking(move || load(&artifact, &spec, &settings)).await {
            Ok(loaded) => loaded,
            Err(join) if join.is_panic() => std::panic::resume_unwind(join.into_panic()),
            Err(_) => Err(LoadError::ShuttingDown),
        }
    }

    /// Whether there is anything at the address of a model's data.
    ///
    /// # Errors
    /// When the address cannot be read here, or its store does not answer.
    pub async fn model_data_exists(&self, url: &str) -> Result<bool, ArtifactError> {
        self.fetcher.exists(url).await
    }

    async fn fetch(&self, spec: &ModelSpec) -> Result<Artifact, LoadError> {
        let url = spec.model_data_url.as_deref();
        let url = url.ok_or_else(|| LoadError::NoModelData { image: spec.image.clone() })?;
        Ok(self.fetcher.of_form(spec.data_form).pinned(spec.sha256.as_deref()).fetch(url).await?)
    }
}

impl std::fmt::Debug for Backends {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backends").field("settings", &self.settings).finish_non_exhaustive()
    }
}
