//! Models behind programs of this machine: supervised processes that speak the container contract.
//!
//! Each instance is a process with a port, a folder and a log of its own, in a process group of its own; it is pinged
//! for its whole life, and dies with the server however that ends.
//!
//! Invariant: what is run comes from the operator's configuration; a model chooses its data and its environment only.
//! The server's own environment, files and descriptors stay with the server.
//! Refuses to: start anything outside the sandbox that the rule asks for.

mod batch;
mod bounds;
mod command;
mod identity;
mod orphans;
mod rule;
mod sandbox;
pub mod script;
mod spawner;
mod supervisor;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use captura_route::Extras;
use tokio::sync::watch;

pub use self::batch::{Batch, BatchEnd, JobFolder};
use self::bounds::Bounds;
use self::command::Start;
use self::identity::Identity;
pub(crate) use self::orphans::kill_orphans;
pub use self::rule::{ProcessRule, Sandbox};
use self::supervisor::{ProcessInstance, with_last_words};
use crate::artifact::{Artifact, ArtifactError, Scratch};
use crate::http_contract::{Address, AnswerLimits, ContractClient, ContractSettings};
use crate::multi_model::{ManyModels, MultiModel};
use crate::replicas::{Instance, InstanceFactory, Pending};
use crate::{LoadError, LogSink};

/// Longest time until an instance answers `/ping` when the endpoint configuration says nothing: SageMaker's own.
pub(crate) const STARTUP_TIMEOUT: Duration = Duration::from_secs(4 * 60);
/// How often a starting instance is asked for its health.
const STARTUP_PING_PERIOD: Duration = Duration::from_millis(100);
/// Ports tried before a start is given up because others take them.
const PORTS_TRIED_MAX: u32 = 3;
/// Variables of a model by which it would choose what is run.
const RESERVED_PREFIX: &str = "LD_";

/// Starts instances of one model.
pub(crate) struct ProcessFactory {
    pub(crate) name: String,
    pub(crate) rule: Arc<ProcessRule>,
    pub(crate) identity: Option<Arc<IdentityHeld>>,
    pub(crate) model: Option<Arc<Artifact>>,
    /// Set when each instance loads many models for itself.
    pub(crate) many: Option<ManyModels>,
    /// Below it lie the folders of instances.
    pub(crate) folder: PathBuf,
    pub(crate) inherited: BTreeMap<String, String>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) startup_timeout: Duration,
    pub(crate) answers: AnswerLimits,
    pub(crate) log: LogSink,
    pub(crate) closing: watch::Receiver<bool>,
}

/// The user that a deployment's instances run as.
pub(crate) struct IdentityHeld(Identity);

impl IdentityHeld {
    /// The user that the rule names, else one of its own when this is root, else ours.
    pub(crate) fn of(rule: &ProcessRule) -> Result<Option<Arc<Self>>, LoadError> {
        Ok(Identity::of(rule.user.as_deref())?.map(|identity| Arc::new(Self(identity))))
    }

    /// The group that may read the model.
    pub(crate) fn gid(&self) -> u32 {
        self.0.gid
    }
}

/// The folder below which instances have theirs: ours, open to be passed through and closed to be looked into.
pub(crate) fn prepare_folder(folder: &Path) -> Result<PathBuf, LoadError> {
    const PASS_THROUGH: u32 = 0o711;
    let failed = |error: std::io::Error| LoadError::Start { reason: format!("{}: {error}", folder.display()) };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let found = std::fs::symlink_metadata(folder).map_err(failed)?;
    if !found.is_dir() || found.uid() != rustix::process::geteuid().as_raw() {
        return Err(LoadError::Start { reason: format!("{} is not a folder of this server's user", folder.display()) });
    }
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(PASS_THROUGH)).map_err(failed)?;
    // What this server makes there sweeps away the folders of dead ones, and with them what tells their processes.
    kill_orphans(folder);
    folder.canonicalize().map_err(failed)
}

/// Refuses variables by which a model would choose what is run.
pub(crate) fn check_environment(environment: &BTreeMap<String, String>) -> Result<(), LoadError> {
    match environment.keys().find(|name| name.starts_with(RESERVED_PREFIX)) {
        Some(name) => Err(LoadError::Start {
            reason: format!("the model's environment has {name}, which decides what the program loads; leave it out"),
        }),
        None => Ok(()),
    }
}

/// Why a start did not succeed.
enum Failed {
    /// Another program has the port.
    PortTaken(String),
    Otherwise(String),
}

impl ProcessFactory {
    async fn start_one(&self) -> Result<Arc<dyn Instance>, LoadError> {
        let mut tried = 1;
        loop {
            match self.try_once().await {
                Ok(instance) => return Ok(instance),
                Err(Failed::PortTaken(_)) if tried < PORTS_TRIED_MAX => tried += 1,
                Err(Failed::PortTaken(reason) | Failed::Otherwise(reason)) => {
                    return Err(LoadError::Start { reason: format!("{}: {reason}", self.name) });
                }
            }
        }
    }

    async fn try_once(&self) -> Result<Arc<dyn Instance>, Failed> {
        let program = self.rule.command.first().map_or("", String::as_str);
        let other =
            |error: std::io::Error| Failed::Otherwise(format!("it cannot be started with {program:?}: {error}"));
        let port = Port::free().map_err(other)?;
        let folder = Scratch::new(&self.folder).map_err(other)?;
        let id = folder.name().to_owned();
        let bounds = Bounds::of(&self.rule, folder.path()).map_err(Failed::Otherwise)?;
        // The sandbox lets it read this folder before there is anything in it.
        let models = match &self.many {
            None => None,
            Some(many) => {
                let unusable = |error: ArtifactError| Failed::Otherwise(error.to_string());
                let folder = many.folder(None, self.identity.as_ref().map(|held| held.gid())).map_err(unusable)?;
                Some(Arc::new(folder))
            }
        };
        let start = Start {
            rule: &self.rule,
            identity: self.identity.as_ref().map(|held| &held.0),
            model: match &models {
                Some(models) => Some(models.path()),
                None => self.model.as_ref().map(|model| model.root()),
            },
            folder: folder.path(),
            bounds: &bounds,
            port: Some(port.0),
            inherited: &self.inherited,
            environment: &self.environment,
            niceness: 0,
        };
        let recipe = start.recipe().map_err(Failed::Otherwise)?;
        let child = spawner::spawn(recipe).await.map_err(other)?;
        let settings = ContractSettings { answers: self.answers.clone(), ..ContractSettings::default() };
        let address = Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port.0)));
        let client = ContractClient::new(address, settings).map_err(|error| Failed::Otherwise(error.to_string()))?;
        let instance = ProcessInstance::of((id, child, (folder, bounds)), client, &self.log, self.closing.clone());
        tokio::select! {
            // Whoever answers on the port of a dead process is somebody else.
            biased;
            why = instance.exited() => {
                let taken = why.to_lowercase().contains("already in use");
                return Err(if taken { Failed::PortTaken(why) } else { Failed::Otherwise(why) });
            }
            () = instance.client().healthy(STARTUP_PING_PERIOD) => {}
            () = tokio::time::sleep(self.startup_timeout) => {
                let seconds = self.startup_timeout.as_secs();
                let last = instance.client().ping().await.err().map(|why| format!(" ({why})")).unwrap_or_default();
                let what = format!("it did not answer /ping within {seconds} s{last}");
                return Err(Failed::Otherwise(with_last_words(&what, &instance.tail)));
            }
        }
        let models =
            self.many.as_ref().zip(models).map(|(many, folder)| many.served_by(instance.client().clone(), folder));
        Ok(Arc::new(Kept {
            models,
            instance,
            _port: port,
            _model: self.model.clone(),
            _identity: self.identity.clone(),
        }))
    }
}

impl InstanceFactory for ProcessFactory {
    fn start(&self) -> Pending<'_, Result<Arc<dyn Instance>, LoadError>> {
        Box::pin(self.start_one())
    }

    fn extras(&self) -> Extras {
        Extras { sessions: true, target_model: self.many.is_some(), ..Extras::default() }
    }
}

/// An instance with everything that it needs to stay.
struct Kept {
    /// Set when it has many models.
    models: Option<MultiModel>,
    instance: ProcessInstance,
    _port: Port,
    _model: Option<Arc<Artifact>>,
    _identity: Option<Arc<IdentityHeld>>,
}

impl Instance for Kept {
    fn id(&self) -> &str {
        self.instance.id()
    }

    fn backend(&self) -> &dyn captura_route::Backend {
        match &self.models {
            Some(models) => models,
            None => self.instance.backend(),
        }
    }

    fn ended(&self) -> Pending<'_, String> {
        self.instance.ended()
    }

    fn stop(&self) -> Pending<'_, ()> {
        self.instance.stop()
    }
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.instance.fmt(f)
    }
}

/// A port that no other instance of this server gets.
struct Port(u16);

static PORTS: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

impl Port {
    /// One that was free a moment ago; whoever takes it first has it.
    fn free() -> std::io::Result<Self> {
        const TRIES_MAX: u32 = 100;
        for _ in 0..TRIES_MAX {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
            if PORTS.lock().unwrap_or_else(PoisonError::into_inner).insert(port) {
                return Ok(Self(port));
            }
        }
        Err(std::io::Error::other("every free port is promised to another instance"))
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        PORTS.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

#[cfg(test)]
mod tests;
