//! Erasure of a person: the keys that seal what is kept of him are destroyed, the records are counted as erased, and a
//! certificate says so.
//!
//! ```text
//! erasure noted: begun ─ keys destroyed ─ noted: destroyed ─ records found and noted ─ book settled ─ noted: done
//! ```
//! Every arrow may be cut by a kill: the next start takes up what is not done, and the keys it destroys are those that were
//! noted, never those that a later call made.
//!
//! Invariant: once the keys are destroyed nothing brings back what they sealed; everything after is counting. The note names
//! no person: a keyed hash does.
//! Refuses to: erase what is held.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use captura_archive::line::{Line, Side};
use captura_archive::manifest::Manifest;
use captura_archive::removal::{RemovalError, Removing, totals};
use captura_archive::rendering::TableFormat;
use captura_capture::Capture;
use captura_names::{EndpointName, EventId, Timestamp};
use captura_route::Clock;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::files;
use crate::holds::{Held, HoldError, Holds};
use crate::master::{Master, hex, random};
use crate::vault::{KeyFact, Opener, Vault, VaultError, tokens};

/// Below the folder of the vault: notes on erasures.
const FOLDER: &str = "erasures";
const VERSION: u32 = 1;
/// How long an erasure waits for the archive to take what the journal holds, before it counts without.
const DRAIN_MAX: Duration = Duration::from_secs(20);
/// A manifest that was written so long before a key was made holds nothing of that key, whatever clocks did, microseconds.
const CLOCK_SLACK_US: i64 = 86_400_000_000;

/// How far an erasure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Noted; the keys may be there.
    Begun,
    /// The keys are gone.
    Destroyed,
    /// Counted and booked, but for what waits in the journal.
    Done,
}

/// One erasure, as it is noted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Erasure {
    version: u32,
    /// Its id.
    pub id: String,
    /// Keyed hash of the person; empty when calls are named.
    pub subject: String,
    /// Event ids of calls that are named instead of a person.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
    /// The endpoint that was named; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// When it was asked for, RFC 3339.
    pub requested_at: String,
    /// When its keys were destroyed, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroyed_at: Option<String>,
    /// Keys that it destroys.
    pub keys: Vec<KeyFact>,
    /// How far it is.
    pub state: State,
    /// Objects with records that the keys sealed.
    pub objects: Vec<ErasedObject>,
    /// Segments of the journal that were not archived when it was counted; their records are counted when they are.
    pub pending: Vec<String>,
}

/// Records in one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ErasedObject {
    /// Its address.
    pub uri: String,
    /// Records with a value that is gone.
    pub records: u64,
}

/// Why nothing is erased, or not to the end.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// A hold forbids it.
    #[error(transparent)]
    Held(#[from] Held),
    /// Nothing is sealed under a key of this person.
    #[error(
        "there is no key of this subject{}: nothing that is kept is sealed for them, or it was erased before",
        .0.as_ref().map(|endpoint| format!(" at {endpoint}")).unwrap_or_default()
    )]
    NoKeys(Option<String>),
    /// No captured call has such an event id.
    #[error("no captured call has this event id: it was not kept, has expired, or is another server's")]
    NoCalls,
    /// The holds cannot be read.
    #[error(transparent)]
    Holds(#[from] HoldError),
    /// The table of keys.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// Objects and their notes.
    #[error(transparent)]
    Removal(#[from] RemovalError),
    /// The note on the erasure.
    #[error("the note {path}: {why}")]
    Note {
        /// The file.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// The account book.
    #[error("the book cannot be settled: {0}")]
    Book(std::io::Error),
}

/// Removes, and keeps book of it.
pub struct Eraser {
    folder: PathBuf,
    vault: Arc<Vault>,
    holds: Holds,
    pub(crate) removing: Removing,
    pub(crate) capture: Capture,
    pub(crate) clock: Clock,
    /// What takes rows out of tables.
    tables: Option<Arc<dyn TableFormat>>,
    /// Whoever removes and settles does so alone.
    pub(crate) turn: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Eraser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Eraser").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Eraser {
    /// Removes from the data directory whose vault lies in `folder`.
    #[must_use]
    pub fn new(folder: &Path, vault: Arc<Vault>, (removing, capture): (Removing, Capture), clock: Clock) -> Self {
        let holds = Holds::new(folder);
        let (turn, tables) = (tokio::sync::Mutex::new(()), None);
        Self { folder: folder.to_owned(), vault, holds, removing, capture, clock, tables, turn }
    }

    /// With what takes rows out of tables, when single calls are erased.
    #[must_use]
    pub fn with_tables(self, tables: Arc<dyn TableFormat>) -> Self {
        Self { tables: Some(tables), ..self }
    }

    /// The holds.
    #[must_use]
    pub fn holds(&self) -> &Holds {
        &self.holds
    }

    pub(crate) fn vault(&self) -> &Vault {
        &self.vault
    }

    /// Erases a person; answers the certificate.
    ///
    /// # Errors
    /// When it is held, nothing is sealed for them, or a disk or store fails. Once the keys are gone, what is left to do is
    /// done by [`Eraser::go_on`].
    pub async fn erase(&self, subject: &str, endpoint: Option<&EndpointName>) -> Result<Value, EraseError> {
        let _turn = self.turn.lock().await;
        let name = endpoint.map(EndpointName::as_str);
        let keys = self.vault.keys_of(subject, name)?;
        let subject = self.vault.master().subject(subject);
        let endpoints: Vec<EndpointName> = match endpoint {
            Some(endpoint) => vec![endpoint.clone()],
            None => keys.iter().filter_map(|key| EndpointName::parse(&key.endpoint).ok()).collect(),
        };
        for hold in self.holds.active()? {
            let is_meant = hold.subject.as_ref().is_none_or(|held| *held == subject);
            let is_there = endpoints.iter().any(|endpoint| hold.is_about(endpoint)) || hold.endpoint.is_none();
            if is_meant && is_there {
                return Err(hold.refusal().into());
            }
        }
        if keys.is_empty() {
            return Err(EraseError::NoKeys(name.map(str::to_owned)));
        }
        let id = random::<8>().map_err(|error| self.failed("a new one", &error))?;
        let mut erasure = Erasure {
            version: VERSION,
            id: hex(&*id),
            subject,
            events: Vec::new(),
            endpoint: name.map(str::to_owned),
            requested_at: self.clock.now().to_string(),
            destroyed_at: None,
            keys,
            state: State::Begun,
            objects: Vec::new(),
            pending: Vec::new(),
        };
        self.save(&erasure)?;
        self.carry_out(&mut erasure).await?;
        Ok(certificate(&erasure, self.vault.master()))
    }

    /// Takes up erasures that a kill or a failing store has cut off, and counts what has been archived since.
    ///
    /// # Errors
    /// As [`Eraser::erase`]; the next call goes on.
    pub async fn go_on(&self) -> Result<(), EraseError> {
        let _turn = self.turn.lock().await;
        for mut erasure in self.all()? {
            let archived =
                |segment: &String| self.removing.manifests().read(segment).is_ok_and(|found| found.is_some());
            if erasure.state != State::Done || erasure.pending.iter().any(archived) {
                self.carry_out(&mut erasure).await?;
            }
        }
        self.settle()
    }

    /// The certificate of an erasure, as far as it is.
    ///
    /// # Errors
    /// When there is none of that id, or it cannot be read.
    pub fn certificate(&self, id: &str) -> Result<Option<Value>, EraseError> {
        let erasure = self.all()?.into_iter().find(|erasure| erasure.id == id);
        Ok(erasure.map(|erasure| certificate(&erasure, self.vault.master())))
    }

    async fn carry_out(&self, erasure: &mut Erasure) -> Result<(), EraseError> {
        let ids: Vec<String> = erasure.keys.iter().map(|key| key.id.clone()).collect();
        if erasure.state == State::Begun && erasure.events.is_empty() {
            self.vault.destroy(&erasure.subject, &ids)?;
            erasure.state = State::Destroyed;
            erasure.destroyed_at = Some(self.clock.now().to_string());
            self.save(erasure)?;
            tracing::info!(erasure = %erasure.id, keys = ids.len(), "keys of a subject are destroyed");
        }
        let counted_before: BTreeSet<String> = erasure.objects.iter().map(|object| object.uri.clone()).collect();
        // What was done before waits only for those segments that it could not look into.
        let late: Option<BTreeSet<String>> =
            (erasure.state == State::Done).then(|| erasure.pending.iter().cloned().collect());
        let late = late.map(|late| self.followed(late));
        erasure.pending = match &late {
            None => self.followed(self.drained().await).1,
            Some((_, waiting)) => waiting.clone(),
        };
        let events: BTreeSet<EventId> = erasure.events.iter().filter_map(|event_id| EventId::parse(event_id)).collect();
        let oldest = erasure.keys.iter().filter_map(|key| Timestamp::parse(&key.created).ok()).min();
        for manifest in self.removing.manifests().all().map_err(RemovalError::from)? {
            let manifest = manifest.map_err(RemovalError::from)?;
            let is_meant = late.as_ref().is_none_or(|(archived, _)| archived.contains(&manifest.segment));
            if !is_meant || self.is_older(&manifest, oldest) {
                continue;
            }
            for object in &manifest.objects {
                let is_here = match events.is_empty() {
                    true => erasure.keys.iter().any(|key| key.endpoint == object.endpoint),
                    false => events::is_of(object, erasure.endpoint.as_deref()),
                };
                if !is_here || counted_before.contains(&object.uri) {
                    continue;
                }
                let is_meant = |line: &Line| events.contains(&line.event_id) || holds_any(line, &ids);
                let found = self.removing.find(&manifest, object, &is_meant).await?;
                if found.count() > 0 {
                    if events.is_empty() {
                        self.removing.erase(&manifest, object, &found)?;
                    } else {
                        self.take_out(&manifest, (object, &found), &events).await?;
                    }
                    let (uri, records) = (object.uri.clone(), found.count());
                    erasure.objects.push(ErasedObject { uri, records });
                }
            }
        }
        self.settle()?;
        erasure.state = State::Done;
        self.save(erasure)
    }

    /// Has the journal archived, as far as that goes in a short time; answers the segments that it was asked to archive.
    async fn drained(&self) -> Vec<String> {
        self.capture.seal().await;
        let mut changed = self.capture.sealed_changed();
        let sealed = || self.capture.sealed().iter().map(|segment| segment.name.to_string()).collect::<BTreeSet<_>>();
        let wanted = sealed();
        let drained = async {
            while !sealed().is_disjoint(&wanted) {
                if changed.changed().await.is_err() {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(DRAIN_MAX, drained).await;
        wanted.into_iter().collect()
    }

    /// What became of segments: those that are archived, and what still waits of them. Of a segment whose destinations did
    /// not all take their records, the rest waits as a part, which has a name of its own.
    fn followed(&self, segments: impl IntoIterator<Item = String>) -> (BTreeSet<String>, Vec<String>) {
        let (mut archived, mut waiting) = (BTreeSet::new(), Vec::new());
        for mut segment in segments {
            loop {
                // What cannot be read now is looked for again.
                let Ok(Some(manifest)) = self.removing.manifests().read(&segment) else {
                    waiting.push(segment);
                    break;
                };
                archived.insert(segment);
                match manifest.carried {
                    Some(carried) => segment = carried.part,
                    None => break,
                }
            }
        }
        (archived, waiting)
    }

    fn is_older(&self, manifest: &Manifest, oldest: Option<Timestamp>) -> bool {
        let is_foreign = manifest.node != self.capture.node_and_epoch().0;
        let confirmed = Timestamp::parse(&manifest.confirmed_at).ok();
        let is_older = confirmed.zip(oldest).is_some_and(|(at, oldest)| at < oldest.plus_us(-CLOCK_SLACK_US));
        is_foreign || is_older
    }

    /// Has the book say what the notes say, of segments that it knows as uploaded.
    pub(crate) fn settle(&self) -> Result<(), EraseError> {
        let waiting: BTreeSet<String> = self.capture.sealed().iter().map(|segment| segment.name.to_string()).collect();
        let node = self.capture.node_and_epoch().0;
        let notes = self.removing.removals().all()?;
        let own = notes.iter().filter(|note| note.node == node && !waiting.contains(&note.segment));
        self.capture.settle_removed(&totals(own)).map_err(EraseError::Book)
    }

    fn failed(&self, name: &str, why: &dyn std::fmt::Display) -> EraseError {
        let path = self.folder.join(FOLDER).join(name).display().to_string();
        EraseError::Note { path, why: why.to_string() }
    }

    fn save(&self, erasure: &Erasure) -> Result<(), EraseError> {
        let name = format!("{}.json", erasure.id);
        let path = self.folder.join(FOLDER).join(&name);
        let json = serde_json::to_vec(erasure).expect("our bug: a note holds text and numbers");
        let write = || {
            files::create_folder(&self.folder.join(FOLDER))?;
            files::replace(&path, &json)
        };
        write().map_err(|error: std::io::Error| self.failed(&name, &error))
    }

    /// All erasures, by id.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn all(&self) -> Result<Vec<Erasure>, EraseError> {
        let folder = self.folder.join(FOLDER);
        let entries = match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| self.failed("", &error))?,
        };
        let mut all = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| self.failed("", &error))?.path();
            if path.extension().is_none_or(|ending| ending != "json") {
                continue;
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let bytes = files::read(&path).map_err(|error| self.failed(&name, &error))?;
            let Some(bytes) = bytes else { continue };
            let erasure: Erasure = serde_json::from_slice(&bytes).map_err(|error| self.failed(&name, &error))?;
            all.push(erasure);
        }
        all.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(all)
    }
}

/// Whether a line has a value that one of the keys sealed.
fn holds_any(line: &Line, ids: &[String]) -> bool {
    let sealed = |text: &str| tokens(text).any(|token| ids.iter().any(|id| id == token.key));
    let side =
        |side: &Option<Side>| side.as_ref().is_some_and(|side| std::str::from_utf8(&side.body).is_ok_and(&sealed));
    side(&line.input)
        || side(&line.output)
        || line.custom_attributes.iter().flatten().any(|attributes| sealed(attributes))
}

const SEAL: &str = "seal";
const SHREDDED: &str =
    "the AES-256-GCM keys that sealed the values were destroyed; the values cannot be opened by anybody";
const REWRITTEN: &str =
    "the objects were written again with tombstones in the place of these calls, and the tables without their rows";

/// What an erasure has done, for whoever asked, sealed under the master key.
fn certificate(erasure: &Erasure, master: &Master) -> Value {
    let records: u64 = erasure.objects.iter().map(|object| object.records).sum();
    let is_of_calls = !erasure.events.is_empty();
    let mut told = json!({
        "document": "captura erasure certificate",
        "version": VERSION,
        "id": erasure.id,
        "subject": erasure.subject,
        "endpoint": erasure.endpoint,
        "requestedAt": erasure.requested_at,
        "keysDestroyedAt": erasure.destroyed_at,
        "state": erasure.state,
        "events": erasure.events,
        "method": if is_of_calls { REWRITTEN } else { SHREDDED },
        "keys": erasure.keys,
        "records": records,
        "objects": erasure.objects,
        "pendingSegments": erasure.pending,
        "remains": if is_of_calls { "event id, position in the log, time, sizes, status and model of the calls" } else {
            "values of the same records that no rule encrypts, consumer, times and sizes; pseudonyms (hmac)"
        },
        "backups": if is_of_calls {
            "older versions of these objects, where the store keeps any, and copies hold the calls until they are deleted"
        } else {
            "copies of DATA_DIR/privacy/keys made before keysDestroyedAt hold the keys until they are deleted; \
            the erasure is complete when the last of them is"
        },
        "verify": [
            "captura erase --verify FILE: the seal holds, and the keys are in no table",
            "captura privacy reveal URI: the values of these objects stay closed",
            "captura ledger, captura reconcile: the records are booked as erased, and everything balances"
        ],
    });
    let seal = master.seal_of(told.to_string().as_bytes());
    told[SEAL] = json!(seal);
    told
}

/// What speaks against a certificate.
///
/// # Errors
/// What is wrong with it, in words.
pub fn verify(certificate: &Value, master: &Master, keys: &Opener) -> Result<(), String> {
    let mut told = certificate.clone();
    let seal = told.as_object_mut().and_then(|members| members.shift_remove(SEAL));
    let seal = seal.as_ref().and_then(Value::as_str).ok_or("it has no seal")?;
    if master.seal_of(told.to_string().as_bytes()) != seal {
        return Err("its seal does not hold: it was changed, or another server gave it".into());
    }
    let ids = told["keys"].as_array().into_iter().flatten().filter_map(|key| key["id"].as_str());
    for id in ids {
        if keys.has(id) {
            return Err(format!("key {id} is in the table of keys: a backup was put back, or the erasure was cut off"));
        }
    }
    if told["state"] != "done" {
        return Err("the erasure is not done yet".into());
    }
    Ok(())
}

mod events;

pub use events::EVENTS_MAX;

#[cfg(test)]
pub(crate) mod tests;
