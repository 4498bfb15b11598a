//! The rules of `[[privacy]]` and the secrets they need, opened for the server and for those verbs that work without one.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use captura_archive::removal::Removing;
use captura_archive::{Overdue, Stores};
use captura_capture::Capture;
use captura_gateway::Redactions;
use captura_privacy::{Eraser, Master, Moment, Redactor, Retention, RuleSet, Secrets, Terms, Vault, rules_of};
use captura_route::{Clock, Redaction};
use captura_tasks::Tasks;
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::folders;
use crate::kms::KeyManagement;

/// Below the data directory: keys of subjects, and the master key where it lies nowhere else.
const FOLDER: &str = "privacy";
const MASTER_KEY_FILE: &str = "master.key";
const SEALED_KEY_FILE: &str = "master.key.sealed";
/// How often retention looks what is due.
const RETENTION_EVERY: Duration = Duration::from_secs(60);

/// Rules and secrets.
#[derive(Clone)]
pub(crate) struct Privacy {
    rules: Arc<Vec<RuleSet>>,
    /// Where captures expire.
    terms: Option<Arc<Terms>>,
    secrets: Option<Secrets>,
}

/// Folder of the vault.
pub(crate) fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join(FOLDER)
}

/// The vault of a data directory; its master key is made where there is none.
pub(crate) fn vault(config: &Config, clock: &Clock) -> anyhow::Result<Arc<Vault>> {
    let folder = folder(&config.server.data_dir);
    let master_key = master_key(config);
    let master = match &config.vault.kms {
        None => {
            let sealed = sealed(&folder);
            anyhow::ensure!(
                !sealed.exists(),
                "the master key is sealed in {} by a key management service; [vault.kms] must name it",
                sealed.display()
            );
            Master::open_or_create(&master_key)?
        }
        Some(kms) => {
            let master = Master::open_or_seal(&sealed(&folder), &master_key, &KeyManagement::open(kms)?)?;
            if master_key.exists() {
                tracing::warn!(file = %master_key.display(), "the master key is sealed by the key management service now; remove the file that still has it open");
            }
            master
        }
    };
    Ok(Arc::new(Vault::new(&folder, Arc::new(master), clock.clone())))
}

/// Where the master key lies open, or lay before a service sealed it.
fn master_key(config: &Config) -> PathBuf {
    let default = || folder(&config.server.data_dir).join(MASTER_KEY_FILE);
    config.vault.master_key.clone().unwrap_or_else(default)
}

/// Where the master key lies sealed.
fn sealed(folder: &Path) -> PathBuf {
    folder.join(SEALED_KEY_FILE)
}

impl Privacy {
    /// The master key comes into being with the first rule that needs it.
    pub(crate) fn open(config: &Config, clock: &Clock) -> anyhow::Result<Self> {
        let needed = config.privacy.iter().any(RuleSet::needs_key);
        let there = folder(&config.server.data_dir).exists();
        let secrets = if needed || there { Some(Secrets(vault(config, clock)?)) } else { None };
        let rules = Arc::new(config.privacy.clone());
        Ok(Self { terms: Terms::new(&rules), rules, secrets })
    }

    /// What the gateway asks for each variant that it prepares; nothing where no rule redacts.
    pub(crate) fn redactions(&self) -> Option<Redactions> {
        if !self.rules.iter().any(RuleSet::redacts) {
            return None;
        }
        let Self { rules, secrets, .. } = self.clone();
        Some(Arc::new(move |endpoint, signature| {
            let set = rules_of(&rules, endpoint)?;
            let redactor = Redactor::new(set, endpoint, signature, secrets.clone())?;
            Some(Arc::new(redactor) as Arc<dyn Redaction>)
        }))
    }

    /// What erases, of an open journal. It comes into being when the first erasure is asked for, with a master key where
    /// there is none yet.
    pub(crate) fn erasers(
        &self,
        config: &Arc<Config>,
        (capture, stores): (&Capture, &Stores),
        clock: &Clock,
    ) -> Erasers {
        let (secrets, capture, stores, clock) = (self.secrets.clone(), capture.clone(), stores.clone(), clock.clone());
        let config = Arc::clone(config);
        Erasers::new(move || {
            let data_dir = &config.server.data_dir;
            let vault = match &secrets {
                Some(Secrets(vault)) => Arc::clone(vault),
                None => vault(&config, &clock)?,
            };
            let removing = Removing::new(&data_dir.join(folders::JOURNAL), stores.clone());
            let eraser = Eraser::new(&folder(data_dir), vault, (removing, capture.clone()), clock.clone());
            Ok(Arc::new(eraser.with_tables(Arc::new(captura_table::Parquet))))
        })
    }

    /// What removes, for the server. Work that was cut off is taken up beside the boot.
    pub(crate) fn remover(
        &self,
        config: &Arc<Config>,
        (capture, stores, overdue): (&Capture, &Stores, &Overdue),
        (clock, tasks): (&Clock, &Tasks),
    ) -> anyhow::Result<Remover> {
        let erasers = Arc::new(self.erasers(config, (capture, stores), clock));
        let folder = folder(&config.server.data_dir);
        // Retention without secrets still needs a name for subjects that are held.
        if self.secrets.is_some() || self.terms.is_some() {
            erasers.get()?;
        }
        let retention = match (&self.terms, erasers.known()) {
            (Some(terms), Some(eraser)) => Some(Retention::new(Arc::clone(terms), eraser, &folder)),
            _ => None,
        };
        if let Some(retention) = &retention {
            overdue.decide(retention.overdue());
        }
        let state = (Arc::clone(&erasers), retention, clock.clone());
        let work = tasks.spawn("removal", state, |state| Box::pin(work(state)));
        Ok(Remover { erasers, work })
    }

    /// Where captures expire; nothing when they never do.
    pub(crate) fn terms(&self) -> Option<Arc<Terms>> {
        self.terms.clone()
    }
}

/// What erases, made when it is needed.
pub(crate) struct Erasers {
    made: OnceLock<Arc<Eraser>>,
    making: Mutex<()>,
    make: Box<dyn Fn() -> anyhow::Result<Arc<Eraser>> + Send + Sync>,
}

impl Erasers {
    fn new(make: impl Fn() -> anyhow::Result<Arc<Eraser>> + Send + Sync + 'static) -> Self {
        Self { made: OnceLock::new(), making: Mutex::default(), make: Box::new(make) }
    }

    /// The one that there is.
    fn known(&self) -> Option<Arc<Eraser>> {
        self.made.get().cloned()
    }

    /// The one that there is, made where there is none.
    pub(crate) fn get(&self) -> anyhow::Result<Arc<Eraser>> {
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if self.made.get().is_none() {
            let _ = self.made.set((self.make)()?);
        }
        Ok(self.known().expect("our bug: it was made"))
    }
}

/// Erases on request, and lets captures expire.
pub(crate) struct Remover {
    erasers: Arc<Erasers>,
    work: JoinHandle<()>,
}

impl Remover {
    /// What erases.
    pub(crate) fn erasers(&self) -> Arc<Erasers> {
        Arc::clone(&self.erasers)
    }

    /// Ends the work; what is cut off is taken up by the next start.
    pub(crate) fn stop(&self) {
        self.work.abort();
    }
}

async fn work((erasers, retention, clock): &mut (Arc<Erasers>, Option<Retention>, Clock)) {
    let mut turn = tokio::time::interval(RETENTION_EVERY);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turn.tick().await;
        let Some(eraser) = erasers.known() else { continue };
        if let Err(error) = eraser.go_on().await {
            tracing::warn!(%error, "an erasure is not done to its end yet; the keys are gone if it says so");
        }
        let (Some(retention), Some(now)) = (&mut *retention, moment(clock)) else { continue };
        match retention.round(now).await {
            Ok(round) => {
                if round.records > 0 {
                    tracing::info!(records = round.records, "captures have expired and are deleted");
                }
                for why in round.failed {
                    tracing::warn!(why, "an expired object cannot be deleted yet");
                }
            }
            Err(error) => tracing::warn!(%error, "nothing expires now"),
        }
    }
}

/// Both clocks of the machine.
fn moment(clock: &Clock) -> Option<Moment> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let seconds: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    Some(Moment { boot, uptime_us: (seconds * 1e6) as i64, wall_us: clock.now().unix_us() })
}

/// The master key and the keys of subjects, to check or to open.
pub(crate) fn opened(config: &Config) -> anyhow::Result<(Arc<Vault>, captura_privacy::Opener)> {
    let (open, sealed) = (master_key(config), sealed(&folder(&config.server.data_dir)));
    anyhow::ensure!(open.exists() || sealed.exists(), "there is no master key in {}", open.display());
    let vault = vault(config, &Clock::system())?;
    let opener = vault.opener().context("the keys of subjects")?;
    Ok((vault, opener))
}
