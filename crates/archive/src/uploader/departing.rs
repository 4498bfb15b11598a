//! How a segment leaves the journal: its manifest, then the freeing; and what happens to the records of destinations that
//! fail while the others' are confirmed.
//!
//! ```text
//! part written ─ plan of the part written ─ manifest written, naming the part ─ segment freed, and the part counts
//! ```
//! Cut off before the manifest, the part is a leftover that a start removes; after it, the same part is made again.
//!
//! Invariant: a manifest is never changed, and says of every number of its segment what became of it.
//! Refuses to: carry over or evict anything of a destination that works.

use std::collections::BTreeMap;
use std::sync::Arc;

use captura_capture::{AccountRecords, Departure, SealedSegment, SegmentName};
use tokio::time::Instant;

use super::{Left, Uploader, Waiting};
use crate::batch::Plan;
use crate::manifest::{MANIFEST_VERSION, Manifest, ManifestAccount, ManifestObject, ManifestPart};
use crate::runs::Runs;
use crate::segment::{LeftObject, Read};

/// What of a segment is in no object when it goes.
#[derive(Debug, Clone)]
pub(super) enum Stays {
    Nothing,
    /// In the journal, as a part.
    Carried(Vec<LeftObject>),
    /// Nowhere.
    Evicted(Vec<LeftObject>),
}

impl Stays {
    fn objects(&self) -> &[LeftObject] {
        match self {
            Self::Nothing => &[],
            Self::Carried(left) | Self::Evicted(left) => left,
        }
    }

    fn numbers(&self) -> Runs {
        let runs = self.objects().iter().flat_map(|left| left.runs.runs().to_vec());
        Runs::gather(runs.collect()).0
    }
}

impl Uploader {
    /// Lets segments go that only failing destinations hold up, and makes room where the operator wants it.
    pub(super) async fn part_with_the_failing(&mut self) {
        let now = Instant::now();
        let long = self.settings.carry_after;
        let is_lost = |waiting: &Waiting, long| {
            waiting.waits_for.as_ref().is_some_and(|destinations| {
                !destinations.is_empty()
                    && destinations.iter().all(|destination| self.destinations.is_failing_for(destination, long, now))
            })
        };
        let shared = self.waiting.iter().filter(|(_, waiting)| {
            let tables = &waiting.left.waiting_tables;
            let without_tables = tables.is_empty() || self.gives_tables_up(tables);
            waiting.left.read.is_some() && without_tables && is_lost(waiting, long)
        });
        for name in shared.map(|(name, _)| *name).collect::<Vec<_>>() {
            self.carry_over(&name).await;
        }
        while self.settings.evict_when_full && self.is_full() {
            let zero = std::time::Duration::ZERO;
            let now = Instant::now();
            let oldest = self.waiting.iter().find(|(_, waiting)| {
                waiting.waits_for.as_ref().is_some_and(|destinations| {
                    !destinations.is_empty()
                        && destinations.iter().all(|place| self.destinations.is_failing_for(place, zero, now))
                })
            });
            let Some(name) = oldest.map(|(name, _)| *name) else { break };
            if !self.evict(&name).await {
                break;
            }
        }
    }

    /// Nearly: failing destinations get no more records from here on.
    fn is_full(&self) -> bool {
        let backlog = self.journal.backlog();
        backlog.bytes >= backlog.limit_bytes - backlog.limit_bytes / 8
    }

    async fn carry_over(&mut self, name: &SegmentName) {
        let Some(waiting) = self.waiting.get_mut(name) else { return };
        let Left { objects, owed, read: Some(read), .. } = std::mem::take(&mut waiting.left) else { return };
        let gone = match waiting.believe(&read) {
            Ok(()) => self.depart(name, (read, owed), Stays::Carried(objects)).await,
            Err(reason) => Err(reason),
        };
        // The next attempt reads anew what is left.
        self.told(name, gone);
    }

    /// Gives up what is left of a segment; whether that made room.
    async fn evict(&mut self, name: &SegmentName) -> bool {
        let evicted = match self.attempt(name, &|_| false).await {
            Ok(attempt) => match (attempt.read, attempt.unreadable, self.waiting.get_mut(name)) {
                (Some(read), None, Some(waiting)) => match waiting.believe(&read) {
                    Ok(()) => self.depart(name, (read, attempt.owed), Stays::Evicted(attempt.left)).await,
                    Err(reason) => Err(reason),
                },
                (_, reason, _) => Err(reason.unwrap_or_default()),
            },
            Err(reason) => Err(reason),
        };
        let made_room = evicted.is_ok();
        if made_room {
            tracing::warn!(segment = %name, "the journal is full; the oldest records of a failing destination were given up");
        }
        self.told(name, evicted);
        made_room
    }

    /// Writes the manifest of a segment that was read to its end, and lets it go.
    /// Parts of tables that are `owed` are given up.
    pub(super) async fn depart(
        &mut self,
        name: &SegmentName,
        (read, owed): (Read, Vec<ManifestObject>),
        stays: Stays,
    ) -> Result<(), String> {
        let plan = self.plan(name)?;
        let part = match &stays {
            Stays::Carried(_) => Some(self.carry(name, stays.numbers()).await?),
            _ => None,
        };
        if let Some(part) = &part {
            let cuts: Vec<u64> = stays.objects().iter().filter_map(|left| left.runs.last()).collect();
            // Its records are in the tables of the whole segment already.
            let plan = Plan { cuts: Some(runs_of(cuts)), tables: Vec::new(), ..plan.clone() };
            self.manifests.set_plan(&part.name.to_string(), &plan).map_err(|error| error.to_string())?;
        }
        let Some(waiting) = self.waiting.get(name) else { return Ok(()) };
        let manifest = self.manifest(waiting, plan, (read, owed), &stays);
        self.manifests.write(&manifest).map_err(|error| error.to_string())?;
        let given_up = (manifest.owed.len() + manifest.unmade.len()) as u64;
        self.figures.change(|figures| figures.table_parts_given_up += given_up);
        if !manifest.owed.is_empty() {
            tracing::error!(segment = %name, parts = manifest.owed.len(), "parts of tables are given up; the captured objects have their records, and the manifest names the parts");
        }
        self.let_go(name, &manifest, part).await
    }

    /// A manifest is there already: only the freeing is left.
    pub(super) async fn go_on(&mut self, name: &SegmentName, manifest: Manifest, retrying: bool) -> Result<(), String> {
        let part = match &manifest.carried {
            None => None,
            Some(carried) => match self.carry(name, carried.numbers.clone()).await {
                Ok(part) => Some(part),
                // What it promised to keep cannot be read any more: all of the segment is gone through again.
                Err(reason) => {
                    self.figures.failed(&reason);
                    return self.archive(name, retrying).await;
                }
            },
        };
        self.let_go(name, &manifest, part).await
    }

    async fn carry(&self, name: &SegmentName, numbers: Runs) -> Result<SealedSegment, String> {
        let (journal, name) = (Arc::clone(&self.journal), *name);
        let carried = tokio::task::spawn_blocking(move || journal.carry(&name, &numbers)).await;
        carried.map_err(|panic| format!("carrying over broke off: {panic}"))?
    }

    fn manifest(
        &self,
        waiting: &Waiting,
        plan: Plan,
        (read, owed): (Read, Vec<ManifestObject>),
        stays: &Stays,
    ) -> Manifest {
        let segment = &waiting.segment;
        let mut accounts: BTreeMap<(&str, &str), ManifestAccount> = BTreeMap::new();
        let mut enter = |endpoint, variant, enter: &dyn Fn(&mut ManifestAccount)| {
            let account = accounts.entry((endpoint, variant)).or_insert_with(|| ManifestAccount {
                endpoint: endpoint.to_owned(),
                variant: variant.to_owned(),
                uploaded: 0,
                carried: 0,
                evicted: 0,
            });
            enter(account);
        };
        for object in waiting.confirmed.objects.values() {
            enter(&object.endpoint, &object.variant, &|account| account.uploaded += object.records);
        }
        for left in stays.objects() {
            let records = left.runs.count();
            enter(&left.endpoint, &left.variant, &|account| match stays {
                Stays::Evicted(_) => account.evicted += records,
                _ => account.carried += records,
            });
        }
        let numbers = stays.numbers();
        let part = segment.name.next_part().to_string();
        let (carried, evicted) = match stays {
            Stays::Nothing => (None, Runs::default()),
            Stays::Carried(_) => (Some(ManifestPart { part, numbers }), Runs::default()),
            Stays::Evicted(_) => (None, numbers),
        };
        Manifest {
            version: MANIFEST_VERSION,
            segment: segment.name.to_string(),
            node: segment.node,
            epoch: segment.name.epoch,
            first_n: segment.first_n,
            end_n: segment.end_n,
            missing: read.missing(segment.first_n, segment.end_n),
            confirmed_at: (self.settings.now)().to_string(),
            last_at: read.last_at.map(|at| at.to_string()),
            plan,
            objects: waiting.confirmed.objects.values().cloned().collect(),
            tables: waiting.confirmed.tables.values().cloned().collect(),
            owed,
            unmade: read.unmade.clone(),
            damaged: read.damaged,
            accounts: accounts.into_values().collect(),
            carried,
            evicted,
        }
    }

    async fn let_go(
        &mut self,
        name: &SegmentName,
        manifest: &Manifest,
        part: Option<SealedSegment>,
    ) -> Result<(), String> {
        let (journal, segment) = (Arc::clone(&self.journal), *name);
        let (uploaded, evicted) = (records(manifest, |account| account.uploaded), records(manifest, |a| a.evicted));
        let given_up = evicted.iter().map(|account| account.records).sum::<u64>();
        let staying = part.clone();
        let gone = tokio::task::spawn_blocking(move || {
            let carried = staying.as_ref();
            journal.let_go(&segment, &Departure { uploaded: &uploaded, evicted: &evicted, carried })
        });
        gone.await.map_err(|panic| format!("freeing broke off: {panic}"))??;
        self.manifests.forget_plan(&manifest.segment);
        let waited_for = self.waiting.remove(name).and_then(|waiting| waiting.waits_for);
        self.worked_at = Instant::now();
        let is_carried = part.is_some();
        self.figures.change(|figures| {
            figures.records_evicted += given_up;
            if is_carried { figures.segments_carried += 1 } else { figures.segments_archived += 1 }
        });
        if let Some(part) = part {
            tracing::info!(segment = %name, part = %part.name, records = part.records, "records of a failing destination were carried over");
            let backoff = self.backoff(&part.name);
            self.waiting.insert(part.name, Waiting { waits_for: waited_for, ..Waiting::new(part, backoff) });
        }
        Ok(())
    }
}

fn runs_of(mut numbers: Vec<u64>) -> Runs {
    numbers.sort_unstable();
    let mut runs = Runs::default();
    for n in numbers {
        runs.insert(n);
    }
    runs
}

fn records(manifest: &Manifest, of: impl Fn(&ManifestAccount) -> u64) -> Vec<AccountRecords> {
    let records = |account: &ManifestAccount| AccountRecords {
        endpoint: account.endpoint.clone(),
        variant: account.variant.clone(),
        records: of(account),
    };
    manifest.accounts.iter().map(records).filter(|account| account.records > 0).collect()
}
