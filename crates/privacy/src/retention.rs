//! Retention: objects whose records are older than an endpoint may keep them are deleted, and counted as expired.
//!
//! A round looks at every manifest that has something left. An object is due when the latest call of its segment is older
//! than the endpoint's span; calls of one segment are minutes apart, so with a round every minute each record goes in the
//! hour after its time.
//!
//! Invariant: nothing is deleted before its time by the wall's clock, which must have held beside the machine's
//! ([`crate::Evidence`]); nothing that is held is deleted.
//! Refuses to: delete what no manifest names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use captura_archive::manifest::Manifest;
use captura_archive::removal::RemovalError;
use captura_names::{EndpointName, Timestamp};

use crate::erasure::{EraseError, Eraser};
use crate::evidence::{Evidence, Moment};
use crate::files;
use crate::holds::Hold;
use crate::rules::{RuleSet, rules_of};

/// Beside the vault: what has been seen of the clocks.
const CLOCK_FILE: &str = "clock.json";
/// Times of manifests are whole seconds, cut off.
const CUT_OFF_US: i64 = 1_000_000;

/// What a round did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Whether the clock could be believed; otherwise nothing was looked at.
    pub believed: bool,
    /// Records that expired.
    pub records: u64,
    /// What could not be deleted now.
    pub failed: Vec<String>,
}

/// What is left of a segment.
#[derive(Debug)]
struct Left {
    last_at: Timestamp,
    endpoints: Vec<EndpointName>,
}

/// When captures of which endpoints are over.
#[derive(Debug)]
pub struct Terms {
    rules: Arc<Vec<RuleSet>>,
}

impl Terms {
    /// The terms of these rules; nothing when no rule has any.
    #[must_use]
    pub fn new(rules: &Arc<Vec<RuleSet>>) -> Option<Arc<Self>> {
        let any = rules.iter().any(|set| set.retain.is_some());
        any.then(|| Arc::new(Self { rules: Arc::clone(rules) }))
    }

    /// When what arrives at that time is over; nothing when it never is.
    #[must_use]
    pub fn end_of(&self, endpoint: &EndpointName, arrived_at: Timestamp) -> Option<Timestamp> {
        Some(arrived_at.plus_us(self.span_us(endpoint)?))
    }

    fn span_us(&self, endpoint: &EndpointName) -> Option<i64> {
        let retain = rules_of(&self.rules, endpoint)?.retain?;
        i64::try_from(retain.as_micros()).ok()
    }

    /// Whether records of that time are over at that endpoint.
    fn is_over(&self, endpoint: &EndpointName, last_at: Timestamp, now: Timestamp) -> bool {
        let span_us = self.span_us(endpoint).unwrap_or(i64::MAX);
        now.unix_us().saturating_sub(last_at.unix_us()) > span_us.saturating_add(CUT_OFF_US)
    }
}

/// Deletes what is due.
#[derive(Debug)]
pub struct Retention {
    terms: Arc<Terms>,
    eraser: Arc<Eraser>,
    clock_file: PathBuf,
    evidence: Evidence,
    /// The time of the last round, where the clock could be believed.
    believed: Arc<Mutex<Option<Timestamp>>>,
    /// Segments that were looked at and have objects of endpoints with retention.
    left: BTreeMap<String, Left>,
    /// Segments that have nothing more to expire.
    over: std::collections::BTreeSet<String>,
}

impl Retention {
    /// Retention on these terms; what was seen of the clocks lies in `folder` (`DATA_DIR/privacy`).
    #[must_use]
    pub fn new(terms: Arc<Terms>, eraser: Arc<Eraser>, folder: &Path) -> Self {
        let clock_file = folder.join(CLOCK_FILE);
        let seen = files::read(&clock_file).ok().flatten();
        // What cannot be read has seen nothing, which only delays.
        let evidence = seen.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        let (left, over) = Default::default();
        Self { terms, eraser, clock_file, evidence, believed: Arc::default(), left, over }
    }

    /// Deletes what is due at this moment.
    ///
    /// # Errors
    /// When holds, notes, manifests or the book fail; what was not done is done by the next round.
    pub async fn round(&mut self, now: Moment) -> Result<Round, EraseError> {
        let believed = self.evidence.observe(now);
        self.remember();
        *self.believed.lock().unwrap_or_else(PoisonError::into_inner) = believed;
        let Some(now) = believed else {
            return Ok(Round::default());
        };
        let eraser = Arc::clone(&self.eraser);
        let _turn = eraser.turn.lock().await;
        self.take_stock()?;
        let holds = eraser.holds().active()?;
        let mut round = Round { believed: true, ..Round::default() };
        let segments: Vec<String> = self.left.keys().cloned().collect();
        for segment in segments {
            self.look_at(&segment, now, &holds, &mut round).await?;
        }
        if round.records > 0 {
            eraser.settle()?;
            let failed = eraser.removing.expire_merged(now).await?;
            round.failed.extend(failed.iter().map(ToString::to_string));
        }
        Ok(round)
    }

    fn remember(&self) {
        let json = serde_json::to_vec(&self.evidence).expect("our bug: evidence is numbers");
        let folder = self.clock_file.parent().unwrap_or(Path::new("."));
        let written = files::create_folder(folder).and_then(|()| files::replace(&self.clock_file, &json));
        if let Err(error) = written {
            tracing::warn!(%error, "what was seen of the clocks is not written down; the next start begins anew");
        }
    }

    /// Finds manifests that are new.
    fn take_stock(&mut self) -> Result<(), EraseError> {
        let node = self.eraser.capture.node_and_epoch().0;
        let removing = &self.eraser.removing;
        for segment in removing.manifests().names().map_err(RemovalError::from)? {
            if self.left.contains_key(&segment) || self.over.contains(&segment) {
                continue;
            }
            let Some(manifest) = removing.manifests().read(&segment).map_err(RemovalError::from)? else { continue };
            let note = removing.removals().read(&segment)?;
            let is_gone = |uri: &String| {
                let noted = note.as_ref().and_then(|note| note.objects.get(uri));
                noted.and_then(|object| object.expired.as_ref()).is_some_and(|expired| expired.gone)
            };
            let there = manifest.objects.iter().chain(&manifest.tables).filter(|object| !is_gone(&object.uri));
            let mut endpoints: Vec<EndpointName> =
                there.filter_map(|object| EndpointName::parse(&object.endpoint).ok()).collect();
            endpoints.retain(|endpoint| self.terms.span_us(endpoint).is_some());
            endpoints.sort();
            endpoints.dedup();
            match last_at(&manifest) {
                Some(last_at) if !endpoints.is_empty() && manifest.node == node => {
                    self.left.insert(segment, Left { last_at, endpoints });
                }
                _ => {
                    self.over.insert(segment);
                }
            }
        }
        Ok(())
    }

    async fn look_at(
        &mut self,
        segment: &str,
        now: Timestamp,
        holds: &[Hold],
        round: &mut Round,
    ) -> Result<(), EraseError> {
        let Some(left) = self.left.get(segment) else { return Ok(()) };
        let is_due = |endpoint: &&EndpointName| self.terms.is_over(endpoint, left.last_at, now);
        let mut due = Vec::new();
        for endpoint in left.endpoints.iter().filter(is_due) {
            if !is_held(&self.eraser, endpoint, holds)? {
                due.push(endpoint.clone());
            }
        }
        if due.is_empty() {
            return Ok(());
        }
        let removing = &self.eraser.removing;
        let manifest = removing.manifests().read(segment).map_err(RemovalError::from)?;
        let Some(manifest) = manifest else { return Ok(()) };
        let wants = |object: &captura_archive::manifest::ManifestObject| {
            due.iter().any(|endpoint| endpoint.as_str() == object.endpoint)
        };
        let (records, failed) = removing.expire(&manifest, wants, now).await?;
        round.records += records;
        let finished = failed.is_empty();
        round.failed.extend(failed.iter().map(ToString::to_string));
        if finished && let Some(left) = self.left.get_mut(segment) {
            left.endpoints.retain(|endpoint| !due.contains(endpoint));
            if left.endpoints.is_empty() {
                self.left.remove(segment);
                self.over.insert(segment.to_owned());
            }
        }
        Ok(())
    }

    /// Whether records of an endpoint that arrived until a time are over, for whoever keeps records that no store has taken
    /// yet. It goes by the clock of the last round.
    pub fn overdue(&self) -> impl Fn(&str, Timestamp) -> bool + Send + Sync + use<> {
        let (terms, eraser, believed) = (Arc::clone(&self.terms), Arc::clone(&self.eraser), Arc::clone(&self.believed));
        move |endpoint, last_at| {
            let now = *believed.lock().unwrap_or_else(PoisonError::into_inner);
            let (Some(now), Ok(endpoint)) = (now, EndpointName::parse(endpoint)) else { return false };
            // Holds that cannot be read hold everything.
            let is_free =
                || matches!(eraser.holds().active().map(|holds| is_held(&eraser, &endpoint, &holds)), Ok(Ok(false)));
            terms.is_over(&endpoint, last_at, now) && is_free()
        }
    }
}

/// Whether a hold is about the endpoint, or about a person whose values are sealed there.
pub(crate) fn is_held(eraser: &Eraser, endpoint: &EndpointName, holds: &[Hold]) -> Result<bool, EraseError> {
    for hold in holds.iter().filter(|hold| hold.is_about(endpoint)) {
        let Some(subject) = &hold.subject else { return Ok(true) };
        let keys = eraser.vault().keys_named(subject)?;
        // Without a key nobody knows where the person is.
        if keys.is_empty() || keys.iter().any(|key| key.endpoint == endpoint.as_str()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// When the latest call of a segment arrived, at the latest.
fn last_at(manifest: &Manifest) -> Option<Timestamp> {
    Timestamp::parse(manifest.last_at.as_deref().unwrap_or(&manifest.confirmed_at)).ok()
}

#[cfg(test)]
mod tests;
