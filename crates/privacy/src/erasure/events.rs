//! Erasure of single calls by their event ids: their lines become tombstones, their rows leave the tables.
//!
//! It is the way for endpoints without `encrypt`, and for a caller who knows which call it was and not whose.
//!
//! Invariant: as of a person's: noted before it begins, taken up by the next start, booked when the store has it. What of the
//! calls still waits in the journal is erased when its store has taken it, and the certificate says so until then.
//! Refuses to: erase where a hold may be about the call.

use std::collections::BTreeSet;

use captura_archive::manifest::{Manifest, ManifestObject};
use captura_archive::removal::RemovalError;
use captura_archive::runs::Runs;
use captura_names::{EndpointName, EventId};
use serde_json::Value;

use super::{EraseError, Eraser, Erasure, State, VERSION, certificate};
use crate::master::{hex, random};
use crate::retention::is_held;

/// Calls that one erasure names at most.
pub const EVENTS_MAX: usize = 1_000;

impl Eraser {
    /// Erases calls, of one endpoint or wherever they are; answers the certificate.
    ///
    /// # Errors
    /// When one of them may be held, none is found, or a disk or store fails. What was noted is gone on with by
    /// [`Eraser::go_on`].
    pub async fn erase_events(
        &self,
        events: &BTreeSet<EventId>,
        endpoint: Option<&EndpointName>,
    ) -> Result<Value, EraseError> {
        let _turn = self.turn.lock().await;
        let (_, waiting) = self.followed(self.drained().await);
        let found = self.endpoints_of(events, endpoint).await?;
        let holds = self.holds.active()?;
        for endpoint in &found {
            if is_held(self, endpoint, &holds)?
                && let Some(hold) = holds.iter().find(|hold| hold.is_about(endpoint))
            {
                return Err(hold.refusal().into());
            }
        }
        // Whose the calls are that wait in the journal is not known before they are archived.
        let unknown = || holds.iter().find(|hold| endpoint.is_none_or(|endpoint| hold.is_about(endpoint)));
        if !waiting.is_empty()
            && let Some(hold) = unknown()
        {
            return Err(hold.refusal().into());
        }
        if found.is_empty() && waiting.is_empty() {
            return Err(EraseError::NoCalls);
        }
        self.capture.forget_recent();
        let id = random::<8>().map_err(|error| self.failed("a new one", &error))?;
        let mut erasure = Erasure {
            version: VERSION,
            id: hex(&*id),
            subject: String::new(),
            events: events.iter().map(ToString::to_string).collect(),
            endpoint: endpoint.map(ToString::to_string),
            requested_at: self.clock.now().to_string(),
            destroyed_at: None,
            keys: Vec::new(),
            state: State::Begun,
            objects: Vec::new(),
            pending: Vec::new(),
        };
        self.save(&erasure)?;
        self.carry_out(&mut erasure).await?;
        Ok(certificate(&erasure, self.vault.master()))
    }

    /// Endpoints that have one of the calls in an object.
    async fn endpoints_of(
        &self,
        events: &BTreeSet<EventId>,
        endpoint: Option<&EndpointName>,
    ) -> Result<BTreeSet<EndpointName>, EraseError> {
        let mut found = BTreeSet::new();
        for manifest in self.removing.manifests().all().map_err(RemovalError::from)? {
            let manifest = manifest.map_err(RemovalError::from)?;
            for object in manifest.objects.iter().filter(|object| is_of(object, endpoint.map(EndpointName::as_str))) {
                let name = EndpointName::parse(&object.endpoint).ok();
                if self.is_older(&manifest, None) || name.as_ref().is_some_and(|name| found.contains(name)) {
                    continue;
                }
                let numbers = self.removing.find(&manifest, object, &|line| events.contains(&line.event_id)).await?;
                found.extend(name.filter(|_| numbers.count() > 0));
            }
        }
        Ok(found)
    }

    /// Takes the calls of an object out of it, and out of the tables.
    pub(super) async fn take_out(
        &self,
        manifest: &Manifest,
        (object, numbers): (&ManifestObject, &Runs),
        events: &BTreeSet<EventId>,
    ) -> Result<(), EraseError> {
        if let Some(tables) = &self.tables {
            self.removing.rewrite_tables(manifest, (&object.endpoint, numbers), (&**tables, events)).await?;
        }
        self.removing.rewrite(manifest, object, numbers).await?;
        Ok(())
    }
}

pub(super) fn is_of(object: &ManifestObject, endpoint: Option<&str>) -> bool {
    endpoint.is_none_or(|endpoint| endpoint == object.endpoint)
}
