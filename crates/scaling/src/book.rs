//! Targets, policies and activities, in one file.
//!
//! Invariant: what was answered is on the disk: written beside, synced, renamed, and the folder synced. Alarms that fire
//! are kept in memory only; after a restart they are told again.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use captura_names::Timestamp;
use captura_wire::autoscaling::{StepScaling, SuspendedState, Target, TargetTracking};
use serde::{Deserialize, Serialize};

use crate::activity::{Activity, Status};
use crate::tracking::History;

/// Activities that are kept, the latest ones.
const ACTIVITIES_MAX: usize = 1_000;
/// Version of the file's format.
const VERSION: u32 = 1;

/// Why the book cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// The file cannot be read.
    #[error("the book of scalable targets {path} cannot be read: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file does not hold a book.
    #[error("the book of scalable targets {path} holds something else: {reason}; move it away to begin a new one", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file cannot be written.
    #[error("the book of scalable targets {path} cannot be written: {source}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// A scalable target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Registered {
    pub(crate) target: Target,
    pub(crate) id: String,
    pub(crate) region: String,
    pub(crate) min: i64,
    pub(crate) max: i64,
    pub(crate) role_arn: Option<String>,
    pub(crate) suspended: SuspendedState,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) created_us: i64,
}

/// What a policy does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Conduct {
    Steps(StepScaling),
    Tracking(TargetTracking),
}

/// A scaling policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Policy {
    pub(crate) target: Target,
    pub(crate) name: String,
    pub(crate) arn: String,
    pub(crate) conduct: Conduct,
    pub(crate) created_us: i64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Pages {
    version: u32,
    targets: Vec<Registered>,
    policies: Vec<Policy>,
    activities: Vec<Activity>,
}

/// Policies by their ARNs, each with the distances of its firing alarms from their thresholds.
pub(crate) type Firing = BTreeMap<String, Vec<f64>>;

/// The book.
#[derive(Debug)]
pub(crate) struct Book {
    pages: Pages,
    /// Policies of which alarms fire, with the distance of each from its threshold.
    firing: Firing,
}

impl Book {
    pub(crate) fn open(path: &Path) -> Result<Self, BookError> {
        let unreadable = |reason: String| BookError::Unreadable { path: path.to_owned(), reason };
        let pages = match std::fs::read(path) {
            Ok(bytes) => {
                let pages: Pages = serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))?;
                if pages.version > VERSION {
                    return Err(unreadable(format!("version {} of a newer captura", pages.version)));
                }
                pages
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Pages { version: VERSION, ..Pages::default() }
            }
            Err(source) => return Err(BookError::Read { path: path.to_owned(), source }),
        };
        Ok(Self { pages, firing: Firing::new() })
    }

    /// The file's content.
    pub(crate) fn content(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(&self.pages).expect("our bug: the pages are plain data")
    }

    /// Makes a content outlive the process and a power cut. Blocks.
    pub(crate) fn write(path: &Path, content: &[u8]) -> Result<(), BookError> {
        let write = || {
            let folder = path.parent().unwrap_or(Path::new("."));
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(content)?;
            file.as_file().sync_all()?;
            file.persist(path)?;
            std::fs::File::open(folder)?.sync_all()
        };
        write().map_err(|source| BookError::Write { path: path.to_owned(), source })
    }

    pub(crate) fn targets(&self) -> &[Registered] {
        &self.pages.targets
    }

    pub(crate) fn target(&self, target: &Target) -> Option<&Registered> {
        self.pages.targets.iter().find(|one| one.target == *target)
    }

    pub(crate) fn target_of_arn(&mut self, is_arn_of: impl Fn(&Registered) -> bool) -> Option<&mut Registered> {
        self.pages.targets.iter_mut().find(|one| is_arn_of(one))
    }

    pub(crate) fn put_target(&mut self, new: Registered) {
        match self.pages.targets.iter_mut().find(|one| one.target == new.target) {
            Some(old) => *old = new,
            None => self.pages.targets.push(new),
        }
    }

    /// Forgets a target with its policies; false when there was none.
    pub(crate) fn remove_target(&mut self, target: &Target) -> bool {
        let before = self.pages.targets.len();
        self.pages.targets.retain(|one| one.target != *target);
        self.pages.policies.retain(|one| one.target != *target);
        self.pages.targets.len() < before
    }

    pub(crate) fn policies(&self) -> &[Policy] {
        &self.pages.policies
    }

    pub(crate) fn policy(&self, target: &Target, name: &str) -> Option<&Policy> {
        self.pages.policies.iter().find(|one| one.target == *target && one.name == name)
    }

    pub(crate) fn put_policy(&mut self, new: Policy) {
        match self.pages.policies.iter_mut().find(|one| one.target == new.target && one.name == new.name) {
            Some(old) => *old = new,
            None => self.pages.policies.push(new),
        }
    }

    pub(crate) fn remove_policy(&mut self, target: &Target, name: &str) -> bool {
        let before = self.pages.policies.len();
        self.pages.policies.retain(|one| !(one.target == *target && one.name == name));
        self.pages.policies.len() < before
    }

    /// Latest first.
    pub(crate) fn activities(&self) -> impl Iterator<Item = &Activity> {
        self.pages.activities.iter().rev()
    }

    /// The latest activity of a target.
    pub(crate) fn latest_activity(&mut self, target: &Target) -> Option<&mut Activity> {
        self.pages.activities.iter_mut().rev().find(|one| one.target == *target)
    }

    pub(crate) fn note(&mut self, activity: Activity) {
        self.pages.activities.push(activity);
        let surplus = self.pages.activities.len().saturating_sub(ACTIVITIES_MAX);
        self.pages.activities.drain(..surplus);
    }

    /// What the cooldowns of a target need to know.
    pub(crate) fn history(&self, target: &Target) -> History {
        let mut done = self.activities().filter(|one| one.target == *target && one.status == Status::Successful);
        let ended = |one: &Activity| Timestamp::from_unix_us(one.ended_us.unwrap_or(one.started_us));
        let changed_at = self
            .activities()
            .find(|one| one.target == *target && matches!(one.status, Status::Successful | Status::Overridden))
            .map(ended);
        let grown = done.find(|one| one.to > one.from).map(|one| (ended(one), one.to - one.from));
        History { changed_at, grown }
    }

    /// Takes in which policies act now; whether that is news.
    pub(crate) fn fire(&mut self, firing: Firing) -> bool {
        std::mem::replace(&mut self.firing, firing) != self.firing
    }

    /// Distances of the alarms that make a policy act; none when none does.
    pub(crate) fn breaches(&self, policy_arn: &str) -> &[f64] {
        self.firing.get(policy_arn).map(Vec::as_slice).unwrap_or_default()
    }
}
