//! One attempt to archive one sealed segment.
//!
//! The segment is read and rendered on a blocking thread, object by object through a channel of one, and each object is put
//! as it comes. A destination that is closed, or fails on the way, costs only its own objects; the attempt goes on with
//! the others, and the next attempt renders the same objects again and puts what is missing. Tables are made on the same
//! way, from the same records; one whose format fails is left out for good, as captured lines must not wait for it.
//!
//! When a captured object fails, the destination is asked whether it takes anything at all: if so, only this endpoint's place
//! in it is what fails.
//!
//! Invariant: an object is in `confirmed` only after the store answered for it. Memory is the renderers' bounds plus two
//! objects.
//! Refuses to: wait, and to decide when to try again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use captura_capture::SealedSegment;
use captura_capture::journal::reader::Damage;
use captura_capture::record::Record;
use captura_capture::sabotage::{self, Sabotage};
use captura_names::{S3Uri, Timestamp};
use tokio::sync::mpsc;

use crate::batch::{Batcher, Plan, Rendered, Spare};
use crate::journal::Journal;
use crate::manifest::{ManifestDamage, ManifestObject};
use crate::put::{Placed, PutError, Wanted, in_time, place, probe};
use crate::rendering::{Renderer, TableFormat};
use crate::runs::{Run, Runs};
use crate::stores::Stores;

/// What reading the segment to its end told.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) damaged: Vec<ManifestDamage>,
    /// Numbers that came out, as records or inside damage.
    pub(crate) seen: Runs,
    /// When the latest of its calls arrived.
    pub(crate) last_at: Option<Timestamp>,
    /// Why tables were left out.
    pub(crate) unmade: Vec<String>,
}

/// What is known to be in its store, by address.
#[derive(Debug, Clone, Default)]
pub(crate) struct Confirmed {
    pub(crate) objects: BTreeMap<String, ManifestObject>,
    pub(crate) tables: BTreeMap<String, ManifestObject>,
}

impl Confirmed {
    fn side(&mut self, object: &Rendered) -> &mut BTreeMap<String, ManifestObject> {
        if object.is_table { &mut self.tables } else { &mut self.objects }
    }
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
    /// Destinations, or endpoints' places in them, whose objects are not all confirmed.
    pub(crate) waiting: BTreeSet<S3Uri>,
    /// Objects that are not confirmed.
    pub(crate) left: Vec<LeftObject>,
    /// Those of tables.
    pub(crate) waiting_tables: BTreeSet<S3Uri>,
    /// Parts of tables that are not confirmed.
    pub(crate) owed: Vec<ManifestObject>,
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

/// An object that waits for its destination.
#[derive(Debug, Clone)]
pub(crate) struct LeftObject {
    pub(crate) endpoint: String,
    pub(crate) variant: String,
    pub(crate) runs: Runs,
    /// As it is when its store takes it.
    pub(crate) object: ManifestObject,
}

/// How attempts are made.
pub(crate) struct Way<'a> {
    pub(crate) journal: &'a Arc<dyn Journal>,
    pub(crate) stores: &'a Stores,
    pub(crate) plan: &'a Plan,
    /// What makes tables; without it none are made.
    pub(crate) tables: Option<&'a Arc<dyn TableFormat>>,
    pub(crate) spare: &'a Spare,
    pub(crate) read_back: bool,
    pub(crate) answer_within: Duration,
    /// Whether a destination may be tried now.
    pub(crate) is_open: &'a (dyn Fn(&S3Uri) -> bool + Sync),
}

/// Makes one attempt; `confirmed` holds what earlier ones achieved, by address.
pub(crate) async fn attempt(way: &Way<'_>, segment: &SealedSegment, confirmed: &mut Confirmed) -> Attempt {
    let mut attempt = Attempt::default();
    let (send, mut rendered) = mpsc::channel(1);
    let batcher = Batcher::new(way.plan.clone(), way.spare.clone());
    let tables =
        way.tables.iter().flat_map(|format| way.plan.tables.iter().map(|table| format.renderer(table, segment.name)));
    let rendering = Rendering { batcher, tables: tables.collect(), send };
    let (journal, segment) = (Arc::clone(way.journal), segment.clone());
    let reading = tokio::task::spawn_blocking(move || rendering.run(&*journal, &segment));
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
    for side in [&mut confirmed.objects, &mut confirmed.tables] {
        side.retain(|uri, _| attempt.produced.contains(uri));
    }
    attempt
}

struct Rendering {
    batcher: Batcher,
    tables: Vec<Box<dyn Renderer>>,
    send: mpsc::Sender<Rendered>,
}

impl Rendering {
    fn run(mut self, journal: &dyn Journal, segment: &SealedSegment) -> Result<Read, String> {
        let mut read = Read::default();
        for item in journal.read(segment)? {
            match item {
                Ok(record) => {
                    read.seen.insert(record.lsn.n);
                    read.last_at = read.last_at.max(Some(record.arrived_at));
                    if let Some(object) = self.batcher.push(&record) {
                        self.send(object)?;
                    }
                    self.push_to_tables(&record, &mut read)?;
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
        while let Some(object) = self.batcher.finish() {
            self.send(object)?;
        }
        for mut table in std::mem::take(&mut self.tables) {
            loop {
                match table.finish() {
                    Ok(Some(object)) => self.send(object)?,
                    Ok(None) => break,
                    Err(reason) => {
                        read.unmade.push(reason);
                        break;
                    }
                }
            }
        }
        Ok(read)
    }

    fn push_to_tables(&mut self, record: &Record, read: &mut Read) -> Result<(), String> {
        let mut at = 0;
        while let Some(table) = self.tables.get_mut(at) {
            match table.push(record) {
                Ok(objects) => {
                    at += 1;
                    for object in objects {
                        self.send(object)?;
                    }
                }
                Err(reason) => {
                    read.unmade.push(reason);
                    self.tables.remove(at);
                }
            }
        }
        Ok(())
    }

    fn send(&self, object: Rendered) -> Result<(), String> {
        self.send.blocking_send(object).map_err(|_| "nobody takes the objects".to_owned())
    }
}

/// The numbers that a damage is known to cost; `None` when it costs none or nothing tells.
pub(crate) fn damaged_run(damage: &Damage) -> Option<Run> {
    let lsns = damage.lsns.as_ref()?;
    (lsns.end.n > lsns.start.n).then(|| Run { first: lsns.start.n, last: lsns.end.n - 1 })
}

async fn put(way: &Way<'_>, object: &Rendered, confirmed: &mut Confirmed, attempt: &mut Attempt) {
    // A policy without destination leaves no records; should one appear, it waits under a name of its own.
    let Some(destination) = object.destination.clone() else {
        attempt.unreadable = Some(format!("the policy of {} names no destination", object.key));
        return;
    };
    let endpoint = object.policy.endpoint.as_str();
    let (uri, at_place) = match (destination.join(&object.key), destination.join(endpoint)) {
        (Ok(uri), Ok(place)) => (uri, place),
        (Err(error), _) | (_, Err(error)) => {
            let nowhere = destination.clone();
            return attempt.fail(object, &nowhere, destination, PutError::Store(error.into()));
        }
    };
    attempt.produced.insert(uri.to_string());
    let confirmed = confirmed.side(object);
    if confirmed.get(&uri.to_string()).is_some_and(|known| known.sha256 == object.sha256) {
        return;
    }
    let is_closed = |key: &S3Uri| attempt.failed.contains_key(key) || !(way.is_open)(key);
    let places = if object.is_table { vec![&destination] } else { vec![&destination, &at_place] };
    if let Some(closed) = places.into_iter().find(|key| is_closed(key)).cloned() {
        return attempt.leave(object, &uri, closed);
    }
    if sabotage::is(Sabotage::FreeUnconfirmed) {
        confirmed.insert(uri.to_string(), describe(&uri, object));
        return;
    }
    let placed = match way.stores.resolve_encrypted(&uri, object.kms_key_id.as_deref()) {
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
            // Records are counted once, with their captured objects.
            let records = if object.is_table { 0 } else { object.runs.count() };
            attempt.placed.push((placed, object.bytes.len() as u64, records));
            attempt.took.insert(destination);
            attempt.took.extend((!object.is_table).then_some(at_place));
            confirmed.insert(uri.to_string(), describe(&uri, object));
        }
        Err(error) => {
            let may_be_only_here = !object.is_table && !matches!(error, PutError::TimedOut { .. });
            let only_here = may_be_only_here && takes_anything(way, &destination).await;
            attempt.fail(object, &uri, if only_here { at_place } else { destination }, error);
        }
    }
}

impl Attempt {
    fn leave(&mut self, object: &Rendered, uri: &S3Uri, waits_for: S3Uri) {
        if object.is_table {
            self.waiting_tables.insert(waits_for);
            self.owed.push(ManifestObject { signature: object.policy.signature.clone(), ..describe(uri, object) });
            return;
        }
        self.waiting.insert(waits_for);
        self.left.push(LeftObject {
            endpoint: object.policy.endpoint.to_string(),
            variant: object.policy.variant.to_string(),
            runs: object.runs.clone(),
            object: describe(uri, object),
        });
    }

    fn fail(&mut self, object: &Rendered, uri: &S3Uri, failing: S3Uri, error: PutError) {
        self.leave(object, uri, failing.clone());
        self.failed.insert(failing, error);
    }
}

async fn takes_anything(way: &Way<'_>, destination: &S3Uri) -> bool {
    match way.stores.resolve(destination) {
        Ok((store, path)) => in_time(way.answer_within, path.as_ref(), 0, probe(&*store, &path)).await.is_ok(),
        Err(_) => false,
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
        kms_key_id: object.kms_key_id.clone(),
        signature: None,
    }
}
