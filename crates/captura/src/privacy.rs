//! The rules of `[[privacy]]` and the secrets they need, opened for the server and for those verbs that work without one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use captura_archive::Stores;
use captura_archive::removal::Removing;
use captura_capture::Capture;
use captura_gateway::Redactions;
use captura_privacy::{Eraser, Master, Moment, Redactor, Retention, RuleSet, Secrets, Terms, Vault, rules_of};
use captura_route::{Clock, Redaction};
use captura_tasks::Tasks;
use tokio::task::JoinHandle;

use crate::config::Config;

/// Below the data directory: keys of subjects, and the master key where it lies nowhere else.
const FOLDER: &str = "privacy";
const MASTER_KEY_FILE: &str = "master.key";
const JOURNAL_FOLDER: &str = "journal";
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
    let master_key = config.vault.master_key.clone().unwrap_or_else(|| folder.join(MASTER_KEY_FILE));
    let master = Master::open_or_create(&master_key)?;
    Ok(Arc::new(Vault::new(&folder, Arc::new(master), clock.clone())))
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

    /// What removes, for the server. Work that was cut off is taken up beside the boot.
    pub(crate) fn remover(
        &self,
        config: &Config,
        (capture, stores): (&Capture, &Stores),
        (clock, tasks): (&Clock, &Tasks),
    ) -> anyhow::Result<Remover> {
        let data_dir = &config.server.data_dir;
        // Retention without secrets still needs a name for subjects that are held.
        let vault = match &self.secrets {
            Some(Secrets(vault)) => Arc::clone(vault),
            None if self.terms.is_none() => return Ok(Remover { eraser: None, work: None }),
            None => vault(config, clock)?,
        };
        let removing = Removing::new(&data_dir.join(JOURNAL_FOLDER), stores.clone());
        let folder = folder(data_dir);
        let eraser = Arc::new(Eraser::new(&folder, vault, (removing, capture.clone()), clock.clone()));
        let retention = |terms: &Arc<Terms>| Retention::new(Arc::clone(terms), Arc::clone(&eraser), &folder);
        let retention = self.terms.as_ref().map(retention);
        let state = (Arc::clone(&eraser), retention, clock.clone());
        let work = tasks.spawn("removal", state, |state| Box::pin(work(state)));
        Ok(Remover { eraser: Some(eraser), work: Some(work) })
    }
}

/// Erases on request, and lets captures expire.
pub(crate) struct Remover {
    eraser: Option<Arc<Eraser>>,
    work: Option<JoinHandle<()>>,
}

impl Remover {
    /// What erases; nothing where nothing was ever sealed.
    pub(crate) fn eraser(&self) -> Option<Arc<Eraser>> {
        self.eraser.clone()
    }

    /// Ends the work; what is cut off is taken up by the next start.
    pub(crate) fn stop(&self) {
        if let Some(work) = &self.work {
            work.abort();
        }
    }
}

async fn work((eraser, retention, clock): &mut (Arc<Eraser>, Option<Retention>, Clock)) {
    let mut turn = tokio::time::interval(RETENTION_EVERY);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turn.tick().await;
        if let Err(error) = eraser.go_on().await {
            tracing::warn!(%error, "an erasure is not counted to its end yet; its keys are gone if it says so");
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
    let folder = folder(&config.server.data_dir);
    let default = folder.join(MASTER_KEY_FILE);
    let master_key = config.vault.master_key.as_deref().unwrap_or(&default);
    anyhow::ensure!(master_key.exists(), "there is no master key in {}", master_key.display());
    let vault = vault(config, &Clock::system())?;
    let opener = vault.opener().context("the keys of subjects")?;
    Ok((vault, opener))
}
