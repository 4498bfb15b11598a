//! Loads of models under way, so that one slow model holds up no other endpoint.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use captura_backends::Launch;
use captura_names::EndpointName;
use captura_route::Variant;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use uuid::Uuid;

use crate::deployment::{DeployedVariant, Deployment};
use crate::fleet::{LoadedFleet, LoadedVariant};
use crate::guarantee::Guarantees;
use crate::models::Models;
use crate::rollout::Capacity;
use crate::settings::LogSinks;

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

/// What all loads have in common.
#[derive(Clone)]
pub(crate) struct LoadSettings {
    /// Longest time for one model, where its configuration states none.
    pub(crate) timeout: Duration,
    pub(crate) logs: LogSinks,
    pub(crate) guarantees: Arc<Guarantees>,
}

/// The loads.
pub(crate) struct Loads {
    models: Models,
    settings: LoadSettings,
    nudge: Arc<Notify>,
    slots: Arc<Semaphore>,
    loads: BTreeMap<LoadKey, Load>,
    /// Failures in a row, for the waits between them.
    failures: BTreeMap<LoadKey, u32>,
}

impl Loads {
    pub(crate) fn new(models: Models, settings: LoadSettings, nudge: Arc<Notify>) -> Self {
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
    settings: LoadSettings,
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
        let timeout = variant.load_timeout(self.settings.timeout);
        let instances = self.capacity.get(&variant.name).copied().unwrap_or(variant.instance_count);
        let launch = Launch { log: (self.settings.logs)(&self.endpoint, &variant.name), ..variant.launch(instances) };
        let explainer = self.deployment.explainer()?;
        let loading = self.models.load(model, explainer, launch);
        let model = tokio::time::timeout(timeout, loading)
            .await
            .unwrap_or_else(|_| Err(format!("it did not load within {} s", timeout.as_secs())))
            .map_err(|reason| format!("Variant {}, model {name}: {reason}", variant.name))?;
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
}
