//! Loads of models under way, so that one slow model holds up no other endpoint.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use captura_backends::{ExplainerSpec, Launch};
use captura_names::EndpointName;
use captura_route::Variant;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use uuid::Uuid;

use crate::deployment::{DeployedModel, DeployedVariant, Deployment};
use crate::fleet::{LoadedFleet, LoadedVariant};
use crate::models::{LoadedModel, Models};
use crate::rollout::Capacity;
use crate::serverless::{Serverless, Sleep};
use crate::settings::Settings;

/// Deployments that load at the same time; the rest wait their turn.
const LOADS_AT_ONCE: usize = 4;
/// First wait before an endpoint that had been in service is tried again.
const RETRY_FIRST: Duration = Duration::from_secs(5);
/// Longest such wait.
const RETRY_MAX: Duration = Duration::from_secs(300);

/// A deployment of one endpoint: the catalog row and the deployment's identity.
pub(crate) type LoadKey = (i64, Uuid);

/// What to load.
#[derive(Clone)]
pub(crate) struct Wanted<'a> {
    pub(crate) endpoint: &'a EndpointName,
    pub(crate) deployment: &'a Deployment,
    /// Instances to begin with, where they differ from what the deployment asks for.
    pub(crate) capacity: Capacity,
}

/// How far the load of a deployment is.
pub(crate) enum Progress {
    /// Not done yet.
    Loading,
    /// Every model answers. Told once.
    Loaded(LoadedFleet),
    /// A model cannot be loaded; in words for a person.
    Failed(String),
}

enum Load {
    Running { task: AbortHandle, outcome: oneshot::Receiver<Outcome> },
    Failed { reason: String, retry_at: Instant },
}

type Outcome = Result<LoadedFleet, String>;

/// The loads.
pub(crate) struct Loads {
    models: Models,
    settings: Settings,
    nudge: Arc<Notify>,
    slots: Arc<Semaphore>,
    loads: BTreeMap<LoadKey, Load>,
    /// Failures in a row, for the waits between them.
    failures: BTreeMap<LoadKey, u32>,
}

impl Loads {
    pub(crate) fn new(models: Models, settings: Settings, nudge: Arc<Notify>) -> Self {
        let slots = Arc::new(Semaphore::new(LOADS_AT_ONCE));
        Self { models, settings, nudge, slots, loads: BTreeMap::new(), failures: BTreeMap::new() }
    }

    /// How far this deployment is; begins to load it, with so many instances, when nothing is known of it.
    pub(crate) fn progress(&mut self, key: LoadKey, wanted: Wanted<'_>) -> Progress {
        let outcome = match self.loads.get_mut(&key) {
            None => {
                self.begin(key, wanted);
                return Progress::Loading;
            }
            Some(Load::Failed { reason, .. }) => return Progress::Failed(reason.clone()),
            Some(Load::Running { outcome, .. }) => match outcome.try_recv() {
                Err(TryRecvError::Empty) => return Progress::Loading,
                Err(TryRecvError::Closed) => {
                    Err("loading ended in a bug of captura; the server's log says where".to_owned())
                }
                Ok(outcome) => outcome,
            },
        };
        self.loads.remove(&key);
        match outcome {
            Ok(fleet) => {
                self.failures.remove(&key);
                Progress::Loaded(fleet)
            }
            Err(reason) => self.note_failure(key, reason),
        }
    }

    /// As [`Loads::progress`], but a failed load begins again when its wait is over.
    pub(crate) fn retry(&mut self, key: LoadKey, wanted: Wanted<'_>) -> Progress {
        if let Some(Load::Failed { retry_at, .. }) = self.loads.get(&key)
            && *retry_at <= Instant::now()
        {
            self.loads.remove(&key);
        }
        self.progress(key, wanted)
    }

    /// Whether anything of that endpoint is being loaded.
    pub(crate) fn is_running(&self, id: i64) -> bool {
        self.loads.iter().any(|(key, load)| key.0 == id && matches!(load, Load::Running { .. }))
    }

    /// When this load, if it failed, may be tried again.
    pub(crate) fn retry_at(&self, key: LoadKey) -> Option<Instant> {
        match self.loads.get(&key) {
            Some(Load::Failed { retry_at, .. }) => Some(*retry_at),
            _ => None,
        }
    }

    /// Gives up every load that is not among these.
    pub(crate) fn keep_only(&mut self, wanted: &[LoadKey]) {
        self.loads.retain(|key, load| {
            let is_wanted = wanted.contains(key);
            if !is_wanted && let Load::Running { task, .. } = load {
                task.abort();
            }
            is_wanted
        });
        self.failures.retain(|key, _| wanted.contains(key));
    }

    fn note_failure(&mut self, key: LoadKey, reason: String) -> Progress {
        let failures = self.failures.entry(key).or_default();
        let wait = RETRY_FIRST.saturating_mul(1 << (*failures).min(10)).min(RETRY_MAX);
        *failures += 1;
        self.loads.insert(key, Load::Failed { reason: reason.clone(), retry_at: Instant::now() + wait });
        Progress::Failed(reason)
    }

    fn begin(&mut self, key: LoadKey, wanted: Wanted<'_>) {
        let (models, slots, nudge) = (self.models.clone(), Arc::clone(&self.slots), Arc::clone(&self.nudge));
        let (endpoint, deployment, capacity) = (wanted.endpoint.clone(), wanted.deployment.clone(), wanted.capacity);
        let settings = self.settings.clone();
        let (sender, outcome) = oneshot::channel();
        let report = Report { sender: Some(sender), nudge };
        let task = tokio::spawn(async move {
            let loaded = match slots.acquire().await {
                Ok(_slot) => Loading { models, endpoint, deployment, capacity, settings }.run().await,
                Err(_) => Err("the server is shutting down".to_owned()),
            };
            report.send(loaded);
        });
        self.loads.insert(key, Load::Running { task: task.abort_handle(), outcome });
    }
}

impl Drop for Loads {
    fn drop(&mut self) {
        self.keep_only(&[]);
    }
}

/// Tells the outcome and only then wakes the driver, however the load ends: by panic too.
struct Report {
    sender: Option<oneshot::Sender<Outcome>>,
    nudge: Arc<Notify>,
}

impl Report {
    fn send(mut self, outcome: Outcome) {
        if let Some(sender) = self.sender.take() {
            // Nobody listens any more when the load was given up.
            drop(sender.send(outcome));
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        drop(self.sender.take());
        self.nudge.notify_one();
    }
}

/// The load of one deployment.
struct Loading {
    models: Models,
    endpoint: EndpointName,
    deployment: Deployment,
    capacity: Capacity,
    settings: Settings,
}

impl Loading {
    async fn run(self) -> Outcome {
        let variants = self.all(&self.deployment.variants).await?;
        Ok(LoadedFleet { variants, shadows: self.all(&self.deployment.shadows).await? })
    }

    async fn all(&self, wanted: &[DeployedVariant]) -> Result<Vec<LoadedVariant>, String> {
        let mut loaded = Vec::new();
        for variant in wanted {
            loaded.extend(self.one(variant).await?);
        }
        Ok(loaded)
    }

    /// Nothing where inference components bring the models.
    async fn one(&self, variant: &DeployedVariant) -> Result<Option<LoadedVariant>, String> {
        let Some((name, model)) = variant.model() else { return Ok(None) };
        let instances = self.capacity.get(&variant.name).copied().unwrap_or(variant.instance_count);
        let log = (self.settings.logs)(&self.endpoint, &variant.name);
        let begin = Begin {
            models: self.models.clone(),
            model: model.clone(),
            explainer: self.deployment.explainer()?,
            launch: Launch { log, ..variant.launch(instances) },
            timeout: variant.load_timeout(self.settings.load_timeout),
        };
        let loaded = begin.clone().run().await;
        let model = loaded.map_err(|reason| format!("Variant {}, model {name}: {reason}", variant.name))?;
        let model = match variant.serverless {
            Some(_) => Serverless::around(model, self.sleep(variant, begin)),
            None => model,
        };
        let capture = self.deployment.capture_policy(&self.endpoint, variant, name, &self.settings.guarantees);
        let variant = Variant {
            name: variant.name.clone(),
            weight: variant.weight,
            backend: Arc::clone(&model.backend),
            capture: Arc::new(capture.with_signature(model.backend.signature())),
            concurrency_max: variant.concurrency_max(),
        };
        Ok(Some(LoadedVariant { model, variant }))
    }

    fn sleep(&self, variant: &DeployedVariant, begin: Begin) -> Sleep {
        let (endpoint, told) = (self.endpoint.clone(), variant.name.clone());
        let cold_starts = Arc::clone(&self.settings.cold_starts);
        Sleep {
            idle_after: self.settings.serverless_idle_after,
            stays_awake: variant.stays_awake(),
            containers: begin.model.containers().count(),
            name: format!("{endpoint}/{told}"),
            reload: Box::new(move || Box::pin(begin.clone().run())),
            woken: Box::new(move |took| cold_starts(&endpoint, &told, took)),
            tasks: self.settings.tasks.clone(),
        }
    }
}

/// Everything that bringing up one model needs.
#[derive(Clone)]
struct Begin {
    models: Models,
    model: DeployedModel,
    explainer: Option<ExplainerSpec>,
    launch: Launch,
    timeout: Duration,
}

impl Begin {
    async fn run(self) -> Result<LoadedModel, String> {
        let Self { models, model, explainer, launch, timeout } = self;
        let late = || Err(format!("it did not load within {} s", timeout.as_secs()));
        tokio::time::timeout(timeout, models.load(&model, explainer, launch)).await.unwrap_or_else(|_| late())
    }
}
