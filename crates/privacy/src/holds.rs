//! Legal holds: what must not be erased and must not expire, and why.
//!
//! `privacy/holds.json` in the data directory. The command line writes it, with or without a server at work; whoever is about
//! to remove something reads it first.
//!
//! Invariant: a hold is released, never forgotten. A subject is written as a keyed hash.

use std::path::{Path, PathBuf};

use captura_names::{EndpointName, EndpointPattern, Timestamp};
use serde::{Deserialize, Serialize};

use crate::files;
use crate::master::{hex, random};

const FILE: &str = "holds.json";
const LOCK_FILE: &str = "holds.lock";
const VERSION: u32 = 1;
/// Longest reason, bytes.
const REASON_MAX_BYTES: usize = 4_096;

/// One hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hold {
    /// Its id.
    pub id: String,
    /// Keyed hash of the person that it is about; everybody when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Endpoints that it is about; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<EndpointPattern>,
    /// Why.
    pub reason: String,
    /// Since when, RFC 3339.
    pub since: String,
    /// Set when it was released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<Released>,
}

/// The end of a hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Released {
    /// When, RFC 3339.
    pub at: String,
    /// Why.
    pub reason: String,
}

/// What cannot be held or released.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// The file cannot be used.
    #[error("the holds in {path}: {why}")]
    File {
        /// The file.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// A hold on everything would stop retention for good.
    #[error("say what is held: a subject, an endpoint, or both")]
    OnNothing,
    /// Somebody must be able to judge it later.
    #[error("say why, in 1 to {REASON_MAX_BYTES} bytes")]
    NoReason,
    /// There is none.
    #[error("there is no hold {0}, or it was released before")]
    Unknown(String),
}

/// Something is held.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("hold {id} since {since} forbids it: {reason}")]
pub struct Held {
    /// The hold.
    pub id: String,
    /// Since when.
    pub since: String,
    /// Why.
    pub reason: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u32,
    holds: Vec<Hold>,
}

/// The holds of a data directory.
#[derive(Debug, Clone)]
pub struct Holds(PathBuf);

impl Holds {
    /// Those in `folder` (`DATA_DIR/privacy`).
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    fn failed(&self, why: impl std::fmt::Display) -> HoldError {
        HoldError::File { path: self.0.join(FILE).display().to_string(), why: why.to_string() }
    }

    /// All of them, released ones too, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read; nothing may be removed then.
    pub fn all(&self) -> Result<Vec<Hold>, HoldError> {
        let bytes = files::read(&self.0.join(FILE)).map_err(|error| self.failed(error))?;
        let Some(bytes) = bytes else { return Ok(Vec::new()) };
        let content: Content = serde_json::from_slice(&bytes).map_err(|error| self.failed(error))?;
        if content.version > VERSION {
            return Err(self.failed("a newer captura wrote them"));
        }
        Ok(content.holds)
    }

    /// Those in force.
    ///
    /// # Errors
    /// As [`Holds::all`].
    pub fn active(&self) -> Result<Vec<Hold>, HoldError> {
        Ok(self.all()?.into_iter().filter(|hold| hold.released.is_none()).collect())
    }

    /// Holds a subject, by its keyed hash, or endpoints, or a subject at endpoints.
    ///
    /// # Errors
    /// When nothing or no reason is given, or the file cannot be written.
    pub fn add(
        &self,
        subject: Option<String>,
        endpoint: Option<EndpointPattern>,
        reason: &str,
        now: Timestamp,
    ) -> Result<Hold, HoldError> {
        if subject.is_none() && endpoint.is_none() {
            return Err(HoldError::OnNothing);
        }
        check(reason)?;
        let id = hex(&*random::<4>().map_err(|error| self.failed(error))?);
        let (reason, since) = (reason.to_owned(), now.to_string());
        let hold = Hold { id, subject, endpoint, reason, since, released: None };
        self.change(|holds| {
            holds.push(hold.clone());
            Ok(hold.clone())
        })
    }

    /// Lets a hold go.
    ///
    /// # Errors
    /// When there is none in force of that id, no reason is given, or the file cannot be written.
    pub fn release(&self, id: &str, reason: &str, now: Timestamp) -> Result<Hold, HoldError> {
        check(reason)?;
        self.change(|holds| {
            let hold = holds.iter_mut().find(|hold| hold.id == id && hold.released.is_none());
            let hold = hold.ok_or_else(|| HoldError::Unknown(id.to_owned()))?;
            hold.released = Some(Released { at: now.to_string(), reason: reason.to_owned() });
            Ok(hold.clone())
        })
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Hold>) -> Result<Hold, HoldError>) -> Result<Hold, HoldError> {
        files::create_folder(&self.0).map_err(|error| self.failed(error))?;
        let lock = files::lock(&self.0.join(LOCK_FILE)).map_err(|error| self.failed(error))?;
        let mut holds = self.all()?;
        let changed = change(&mut holds)?;
        let json = serde_json::to_vec(&Content { version: VERSION, holds }).expect("our bug: holds are text");
        files::replace(&self.0.join(FILE), &json).map_err(|error| self.failed(error))?;
        drop(lock);
        Ok(changed)
    }
}

fn check(reason: &str) -> Result<(), HoldError> {
    if reason.trim().is_empty() || reason.len() > REASON_MAX_BYTES { Err(HoldError::NoReason) } else { Ok(()) }
}

impl Hold {
    /// Whether the hold is about calls of the endpoint, whoever they are about.
    #[must_use]
    pub fn is_about(&self, endpoint: &EndpointName) -> bool {
        self.endpoint.as_ref().is_none_or(|pattern| pattern.matches(endpoint))
    }

    /// The hold, as a refusal.
    #[must_use]
    pub fn refusal(&self) -> Held {
        Held { id: self.id.clone(), since: self.since.clone(), reason: self.reason.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_stands_until_it_is_released_and_is_not_forgotten_then() {
        let folder = tempfile::tempdir().unwrap();
        let holds = Holds::new(&folder.path().join("privacy"));
        let now = Timestamp::from_unix_us(0);
        assert!(holds.all().unwrap().is_empty());
        assert!(matches!(holds.add(None, None, "court", now), Err(HoldError::OnNothing)));
        let churn = EndpointPattern::parse("churn-*").unwrap();
        assert!(matches!(holds.add(None, Some(churn.clone()), " ", now), Err(HoldError::NoReason)));
        let hold = holds.add(None, Some(churn), "case 12/2026", now).unwrap();
        let of = |name: &str| EndpointName::parse(name).unwrap();
        assert!(hold.is_about(&of("churn-eu")) && !hold.is_about(&of("other")));
        assert_eq!(holds.active().unwrap(), std::slice::from_ref(&hold));
        assert!(hold.refusal().to_string().contains("case 12/2026"));
        assert!(matches!(holds.release("nope", "over", now), Err(HoldError::Unknown(_))));
        holds.release(&hold.id, "case closed", now).unwrap();
        assert!(matches!(holds.release(&hold.id, "again", now), Err(HoldError::Unknown(_))));
        assert!(holds.active().unwrap().is_empty());
        assert_eq!(holds.all().unwrap()[0].released.as_ref().unwrap().reason, "case closed");
    }
}
