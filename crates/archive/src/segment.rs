//! One attempt to archive one sealed segment.
//!
//! The segment is read and rendered on a blocking thread, object by object through a channel of one, and each object is put
//! as it comes. A destination that is closed, or fails on the way, costs only its own objects; the attempt goes on with
//! the others, and the next attempt renders the same objects again and puts what is missing.
//!
//! Invariant: an object is in `confirmed` only after the store answered for it. Memory is the batcher's bound plus two
//! objects.
//! Refuses to: wait, and to decide when to try again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use captura_capture::SealedSegment;
use captura_capture::journal::reader::Damage;
use captura_names::S3Uri;
use tokio::sync::mpsc;

use crate::batch::{Batcher, Plan, Rendered, Spare};
use crate::journal::Journal;
use crate::manifest::{ManifestDamage, ManifestObject};
use crate::put::{Placed, PutError, Wanted, in_time, place};
use crate::runs::{Run, Runs};
use crate::stores::Stores;

/// What reading the segment to its end told.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) damaged: Vec<ManifestDamage>,
    /// Numbers that came out, as records or inside damage.
    pub(crate) seen: Runs,
}

impl Read {
    /// Numbers between `first_n` and `end_n` that no record has: given out and dropped before they were written.
    pub(crate) fn missing(&self, first_n: u64, end_n: u64) -> Runs {
        let mut missing = Runs::default();
        for gap in self.seen.gaps_from(first_n) {
            missing.insert_run(gap);
        }
        let next = self.seen.last().map_or(first_n, |last| last.saturating_add(1));
        if next < end_n {
            missing.insert_run(Run { first: next, last: end_n - 1 });
        }
        missing
    }
}

/// What an attempt achieved.
#[derive(Debug, Default)]
pub(crate) struct Attempt {
    /// What was read; `None` when the segment could not be opened.
    pub(crate) read: Option<Read>,
    /// Destinations whose objects are not all confirmed.
    pub(crate) waiting: BTreeSet<S3Uri>,
    /// Addresses of all objects that the segment makes.
    produced: BTreeSet<String>,
    /// Destinations that failed now.
    pub(crate) failed: BTreeMap<S3Uri, PutError>,
    /// Destinations that took an object now.
    pub(crate) took: BTreeSet<S3Uri>,
    /// Why the segment could not be opened, or the reading broke off.
    pub(crate) unreadable: Option<String>,
    /// How the objects of this attempt were placed.
    pub(crate) placed: Vec<(Placed, u64, u64)>,
}

/// How attempts are made.
pub(crate) struct Way<'a> {
    pub(crate) journal: &'a Arc<dyn Journal>,
    pub(crate) stores: &'a Stores,
    pub(crate) plan: Plan,
    pub(crate) spare: &'a Spare,
    pub(crate) read_back: bool,
    pub(crate) answer_within: Duration,
    /// Whether a destination may be tried now.
    pub(crate) is_open: &'a (dyn Fn(&S3Uri) -> bool + Sync),
}

/// Makes one attempt; `confirmed` holds what earlier ones achieved, by address.
pub(crate) async fn attempt(
    way: &Way<'_>,
    segment: &SealedSegment,
    confirmed: &mut BTreeMap<String, ManifestObject>,
) -> Attempt {
    let mut attempt = Attempt::default();
    let (send, mut rendered) = mpsc::channel(1);
    let (journal, segment) = (Arc::clone(way.journal), segment.clone());
    let batcher = Batcher::new(way.plan, way.spare.clone());
    let reading = tokio::task::spawn_blocking(move || render(&*journal, &segment, batcher, &send));
    while let Some(object) = rendered.recv().await {
        put(way, &object, confirmed, &mut attempt).await;
        way.spare.give_back(object.bytes);
    }
    match reading.await {
        Ok(Ok(read)) => attempt.read = Some(read),
        Ok(Err(reason)) => attempt.unreadable = Some(reason),
        Err(panic) => attempt.unreadable = Some(format!("reading the segment broke off: {panic}")),
    }
    // A disk that read differently this time made other objects; what it does not make now proves nothing.
    confirmed.retain(|uri, _| attempt.produced.contains(uri));
    attempt
}

fn render(
    journal: &dyn Journal,
    segment: &SealedSegment,
    mut batcher: Batcher,
    send: &mpsc::Sender<Rendered>,
) -> Result<Read, String> {
    let mut read = Read::default();
    for item in journal.read(segment)? {
        match item {
            Ok(record) => {
                read.seen.insert(record.lsn.n);
                if let Some(object) = batcher.push(&record) {
                    send.blocking_send(object).map_err(|_| "nobody takes the objects".to_owned())?;
                }
            }
            Err(damage) => {
                if let Some(run) = damaged_run(&damage) {
                    read.seen.insert_run(run);
                    let reason = damage.why.to_string();
                    read.damaged.push(ManifestDamage { first_n: run.first, last_n: run.last, reason });
                }
            }
        }
    }
    while let Some(object) = batcher.finish() {
        send.blocking_send(object).map_err(|_| "nobody takes the objects".to_owned())?;
    }
    Ok(read)
}

/// The numbers that a damage is known to cost; `None` when it costs none or nothing tells.
pub(crate) fn damaged_run(damage: &Damage) -> Option<Run> {
    let lsns = damage.lsns.as_ref()?;
    (lsns.end.n > lsns.start.n).then(|| Run { first: lsns.start.n, last: lsns.end.n - 1 })
}

async fn put(
    way: &Way<'_>,
    object: &Rendered,
    confirmed: &mut BTreeMap<String, ManifestObject>,
    attempt: &mut Attempt,
) {
    // A policy without destination leaves no records; should one appear, it waits under a name of its own.
    let Some(destination) = object.destination.clone() else {
        attempt.unreadable = Some(format!("the policy of {} names no destination", object.key));
        return;
    };
    let uri = match destination.join(&object.key) {
        Ok(uri) => uri,
        Err(error) => {
            attempt.waiting.insert(destination.clone());
            attempt.failed.insert(destination, PutError::Store(error.into()));
            return;
        }
    };
    attempt.produced.insert(uri.to_string());
    if confirmed.get(&uri.to_string()).is_some_and(|known| known.sha256 == object.sha256) {
        return;
    }
    if attempt.failed.contains_key(&destination) || !(way.is_open)(&destination) {
        attempt.waiting.insert(destination);
        return;
    }
    let kms_key_id = object.policy.settings.as_ref().and_then(|settings| settings.kms_key_id.as_deref());
    let placed = match way.stores.resolve_encrypted(&uri, kms_key_id) {
        Ok((store, path)) => {
            let (bytes, sha256) = (&object.bytes, object.sha256.as_str());
            let wanted = Wanted { path: &path, bytes, sha256, read_back: way.read_back };
            in_time(way.answer_within, path.as_ref(), bytes.len(), place(&*store, wanted)).await
        }
        Err(error) => Err(error.into()),
    };
    match placed {
        Ok(placed) => {
            if placed == Placed::Replaced {
                tracing::warn!(%uri, "something else was under the object's key and was replaced");
            }
            attempt.placed.push((placed, object.bytes.len() as u64, object.runs.count()));
            attempt.took.insert(destination);
            confirmed.insert(uri.to_string(), describe(&uri, object));
        }
        Err(error) => {
            attempt.waiting.insert(destination.clone());
            attempt.failed.insert(destination, error);
        }
    }
}

fn describe(uri: &S3Uri, object: &Rendered) -> ManifestObject {
    ManifestObject {
        uri: uri.to_string(),
        endpoint: object.policy.endpoint.to_string(),
        variant: object.policy.variant.to_string(),
        size_bytes: object.bytes.len() as u64,
        sha256: object.sha256.clone(),
        records: object.runs.count(),
        first_n: object.runs.first().unwrap_or_default(),
        last_n: object.runs.last().unwrap_or_default(),
        runs: object.runs.clone(),
    }
}
