//! How the destinations fare: which may be tried, which is given up for now.
//!
//! A failing destination is closed and tried again after a wait with full jitter, for ever. One that *refuses* (no such
//! bucket, no permission, a mapping that cannot be used) is moreover marked unwritable, so that later calls are counted
//! as dropped instead of filling the journal: at once when it never took anything, after a grace period when it did, since
//! credentials also expire for a moment. The first thing it takes heals it.
//!
//! Where only one endpoint's objects are refused at a destination that takes others, e.g. because a file is in the way of
//! its folder, the place `{destination}/{endpoint}` is what fails, and is kept here like a destination of its own.
//!
//! Invariant: a destination is marked at most once per refusal and unmarked as soon as it takes something.
//! Refuses to: know what is uploaded; time is handed in.

use std::collections::BTreeMap;
use std::time::Duration;

use captura_names::S3Uri;
use serde::Serialize;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::put::PutError;

/// Patience with destinations.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Bound of the first wait.
    pub retry_base: Duration,
    /// Bound of all waits.
    pub retry_cap: Duration,
    /// How long a destination that has taken objects may refuse before calls are dropped.
    pub unwritable_after: Duration,
    /// Seed of the chance in waits.
    pub seed: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            retry_base: Duration::from_millis(500),
            retry_cap: Duration::from_secs(60),
            unwritable_after: Duration::from_secs(300),
            seed: 0,
        }
    }
}

/// A destination as people and metrics see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DestinationHealth {
    /// The destination.
    pub destination: String,
    /// Whether the last attempt failed.
    pub failing: bool,
    /// Whether calls are dropped because of it.
    pub unwritable: bool,
    /// Attempts since it last took something.
    pub attempts: u32,
    /// What the last failure said.
    pub last_error: Option<String>,
    /// What kind of failure it was, in a word: one of [`PutError::kind`]'s.
    pub reason: Option<&'static str>,
}

#[derive(Debug)]
struct State {
    backoff: Backoff,
    failing_since: Option<Instant>,
    reason: Option<&'static str>,
    closed_until: Option<Instant>,
    refusing_since: Option<Instant>,
    has_taken: bool,
    unwritable: bool,
    last_error: Option<String>,
}

impl State {
    fn is_open(&self, now: Instant, retrying: bool) -> bool {
        self.closed_until.is_none_or(|until| retrying && until <= now)
    }
}

/// What changed for the calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing.
    Same,
    /// Calls are to be dropped from now on.
    Unwritable,
    /// Calls are to be captured again.
    Healed,
}

#[derive(Debug)]
pub(crate) struct Destinations {
    patience: Patience,
    states: BTreeMap<S3Uri, State>,
}

impl Destinations {
    pub(crate) fn new(patience: Patience) -> Self {
        Self { patience, states: BTreeMap::new() }
    }

    fn state(&mut self, destination: &S3Uri) -> &mut State {
        let Patience { retry_base, retry_cap, seed, .. } = self.patience;
        let salt = self.states.len() as u64;
        self.states.entry(destination.clone()).or_insert_with(|| State {
            backoff: Backoff::new(retry_base, retry_cap, seed ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            failing_since: None,
            reason: None,
            closed_until: None,
            refusing_since: None,
            has_taken: false,
            unwritable: false,
            last_error: None,
        })
    }

    pub(crate) fn is_known(&self, destination: &S3Uri) -> bool {
        self.states.contains_key(destination)
    }

    /// Whether it may be tried: always while it works, and when its wait is over if one is `retrying`.
    pub(crate) fn is_open(&self, destination: &S3Uri, now: Instant, retrying: bool) -> bool {
        self.states.get(destination).is_none_or(|state| state.is_open(now, retrying))
    }

    /// Which known destinations may be tried.
    pub(crate) fn open(&self, now: Instant, retrying: bool) -> BTreeMap<S3Uri, bool> {
        self.states.iter().map(|(destination, state)| (destination.clone(), state.is_open(now, retrying))).collect()
    }

    /// Whether the last attempt failed.
    pub(crate) fn is_failing(&self, destination: &S3Uri) -> bool {
        self.states.get(destination).is_some_and(|state| state.failing_since.is_some())
    }

    pub(crate) fn is_unwritable(&self, destination: &S3Uri) -> bool {
        self.states.get(destination).is_some_and(|state| state.unwritable)
    }

    /// Destinations that failed last time and may be tried now.
    pub(crate) fn due(&self, now: Instant) -> Vec<S3Uri> {
        let due = |state: &State| state.closed_until.is_some_and(|until| until <= now);
        self.states.iter().filter(|(_, state)| due(state)).map(|(destination, _)| destination.clone()).collect()
    }

    /// Whether it has failed at every attempt for so long; at once when calls are dropped because of it.
    pub(crate) fn is_failing_for(&self, destination: &S3Uri, long: Duration, now: Instant) -> bool {
        let Some(state) = self.states.get(destination) else { return false };
        state.unwritable || state.failing_since.is_some_and(|since| now.duration_since(since) >= long)
    }

    /// When the next closed destination may be tried.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.states.values().filter_map(|state| state.closed_until).min()
    }

    pub(crate) fn took(&mut self, destination: &S3Uri) -> Turn {
        let state = self.state(destination);
        state.backoff.reset();
        (state.closed_until, state.refusing_since, state.failing_since) = (None, None, None);
        (state.last_error, state.reason) = (None, None);
        state.has_taken = true;
        if std::mem::take(&mut state.unwritable) { Turn::Healed } else { Turn::Same }
    }

    pub(crate) fn failed(&mut self, destination: &S3Uri, error: &PutError, now: Instant) -> Turn {
        let grace = self.patience.unwritable_after;
        let state = self.state(destination);
        state.closed_until = Some(now + state.backoff.next_wait());
        state.failing_since.get_or_insert(now);
        (state.last_error, state.reason) = (Some(error.to_string()), Some(error.kind()));
        if !error.is_refusal() {
            state.refusing_since = None;
            return Turn::Same;
        }
        let since = *state.refusing_since.get_or_insert(now);
        let given_up = !state.has_taken || now.duration_since(since) >= grace;
        if given_up && !std::mem::replace(&mut state.unwritable, true) { Turn::Unwritable } else { Turn::Same }
    }

    pub(crate) fn health(&self) -> Vec<DestinationHealth> {
        let health = |(destination, state): (&S3Uri, &State)| DestinationHealth {
            destination: destination.to_string(),
            failing: state.last_error.is_some(),
            unwritable: state.unwritable,
            attempts: state.backoff.attempts(),
            last_error: state.last_error.clone(),
            reason: state.reason,
        };
        self.states.iter().map(health).collect()
    }
}

#[cfg(test)]
mod tests {
    use object_store::path::Path;

    use super::*;

    fn error(refusal: bool) -> PutError {
        let source = "on purpose".into();
        let source = match refusal {
            true => object_store::Error::PermissionDenied { path: "p".into(), source },
            false => object_store::Error::Generic { store: "s", source },
        };
        PutError::Failed { act: "write", path: Path::from("p"), source }
    }

    fn uri(text: &str) -> S3Uri {
        S3Uri::parse(text).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_destination_that_refuses_is_given_up_at_once_and_healed_by_the_first_success() {
        let mut destinations = Destinations::new(Patience::default());
        let (bad, good) = (uri("s3://bad-bucket"), uri("s3://good-bucket"));
        let now = Instant::now();
        assert_eq!(destinations.failed(&bad, &error(true), now), Turn::Unwritable);
        assert_eq!(destinations.failed(&bad, &error(true), now), Turn::Same, "said once");
        assert_eq!(destinations.took(&good), Turn::Same);
        assert!(destinations.is_open(&good, now, false) && !destinations.is_known(&uri("s3://new-bucket")));
        let later = destinations.next_due().unwrap();
        assert_eq!(destinations.due(later), std::slice::from_ref(&bad));
        assert!(destinations.health()[0].unwritable);
        assert_eq!(destinations.took(&bad), Turn::Healed);
        assert_eq!(destinations.health()[0].last_error, None);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_has_taken_objects_gets_the_grace_period() {
        let patience = Patience::default();
        let mut destinations = Destinations::new(patience);
        let destination = uri("s3://bucket");
        destinations.took(&destination);
        let start = Instant::now();
        assert_eq!(destinations.failed(&destination, &error(true), start), Turn::Same);
        let later = start + patience.unwritable_after;
        assert_eq!(destinations.failed(&destination, &error(false), later), Turn::Same, "an outage is no refusal");
        assert_eq!(destinations.failed(&destination, &error(true), later), Turn::Same, "the grace begins anew");
        assert_eq!(
            destinations.failed(&destination, &error(true), later + patience.unwritable_after),
            Turn::Unwritable
        );
    }

    #[tokio::test(start_paused = true)]
    async fn outages_never_drop_calls() {
        let mut destinations = Destinations::new(Patience::default());
        let destination = uri("s3://bucket");
        let mut now = Instant::now();
        for _ in 0..1000 {
            assert_eq!(destinations.failed(&destination, &error(false), now), Turn::Same);
            assert!(destinations.next_due().unwrap() <= now + Patience::default().retry_cap);
            now += Duration::from_secs(60);
        }
    }
}
