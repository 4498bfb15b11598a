//! Sealed segments become objects, and are freed when that is proven.
//!
//! ```text
//! sealed segment ─ plan written ─ objects put and confirmed ─ manifest written ─ segment freed ─ plan forgotten
//! ```
//! Every arrow may be cut by a kill: the next start finds the segment and goes through the same steps again, with the same
//! keys and bytes; a manifest that is there already means that only the freeing is left.
//!
//! Invariant: the journal's `free` is called only after the segment's manifest is durable, and the manifest is written only when
//! every readable record of the segment is in a confirmed object, or in a part of the segment that stays, or evicted as
//! the operator allows. A destination that fails keeps its records and nobody else's: when it has failed for a while, they
//! are carried over into a part (`departing.rs`), so that the segment can go.
//! Refuses to: give up, and to free what it could not read to the end.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use captura_capture::{SealedSegment, SegmentName};
use captura_names::{S3Uri, Timestamp};
use captura_tasks::{Tasks, Watch};
use tokio::time::Instant;

use crate::archiving::Pace;
use crate::backoff::Backoff;
use crate::batch::{Plan, Spare};
use crate::destinations::{Destinations, Patience, Turn};
use crate::figures::Figures;
use crate::journal::{Backlog, Journal};
use crate::manifest::{Manifest, ManifestDamage, ManifestError, ManifestObject, Manifests};
use crate::put::{PutError, in_time, probe};
use crate::rendering::TableFormat;
use crate::segment::{Attempt, Confirmed, LeftObject, Read, Way, attempt};
use crate::stores::Stores;

/// Wall time, handed in.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Settings of the uploader.
#[derive(Clone)]
pub struct UploaderSettings {
    /// The journal's folder, `DATA_DIR/journal`; manifests go into its `manifest`.
    pub journal: PathBuf,
    /// How segments are cut into objects.
    pub plan: Plan,
    /// What makes the tables of the plan.
    pub tables: Option<Arc<dyn TableFormat>>,
    /// Whether objects are read back and compared after they were written; else only their size is asked for.
    pub read_back: bool,
    /// Time that a store has to take an object, beside a second for each MiB of it.
    pub answer_within: Duration,
    /// Patience with destinations and with the local disk.
    pub patience: Patience,
    /// How long a destination fails before its records are carried over and the segments they share with others go.
    pub carry_after: Duration,
    /// Whether the oldest records of failing destinations are given up when the journal is full.
    pub evict_when_full: bool,
    /// Wall time, for the manifests.
    pub now: Now,
    /// Counts panics, and says how long to pause after each.
    pub tasks: Tasks,
}

/// Default of [`UploaderSettings::carry_after`].
pub const CARRY_AFTER: Duration = Duration::from_secs(30);

/// Its name among the tasks.
const TASK: &str = "archive";
/// How often streams are looked through for new destinations when nothing else happens.
const DESTINATIONS_LOOKED_AT_EVERY: Duration = Duration::from_secs(1);

/// Default of [`UploaderSettings::answer_within`].
pub const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How long the memory of objects is kept when no segment follows.
const SPARE_KEPT: Duration = Duration::from_secs(5);
/// Above this share of what the journal may hold, segments do not wait for tables.
const TABLES_GIVEN_UP_ABOVE: u64 = 2;
/// Shortest pause between two rounds that nothing asked for.
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// A segment on its way.
struct Waiting {
    segment: SealedSegment,
    confirmed: Confirmed,
    /// Destinations whose objects are missing; `None` before the first attempt.
    waits_for: Option<BTreeSet<S3Uri>>,
    /// What the last attempt left.
    left: Left,
    /// Damage that the last attempt met; it is believed when the next one meets the same, since a read may also fail for
    /// a moment.
    damage: Vec<ManifestDamage>,
    /// After a failure that is no destination's.
    backoff: Backoff,
    not_before: Option<Instant>,
}

/// What an attempt left undone.
#[derive(Default)]
struct Left {
    objects: Vec<LeftObject>,
    /// Destinations of tables whose parts are missing.
    waiting_tables: BTreeSet<S3Uri>,
    /// Those parts.
    owed: Vec<ManifestObject>,
    /// What was read, where other objects of the segment are confirmed.
    read: Option<Read>,
    /// When the latest of the segment's calls arrived, once it was read to its end.
    last_at: Option<Timestamp>,
}

impl Waiting {
    fn new(segment: SealedSegment, backoff: Backoff) -> Self {
        Self {
            segment,
            confirmed: Confirmed::default(),
            waits_for: None,
            left: Left::default(),
            damage: Vec::new(),
            backoff,
            not_before: None,
        }
    }

    /// Damage is believed when it is met twice.
    fn believe(&mut self, read: &Read) -> Result<(), String> {
        if read.damaged == self.damage {
            return Ok(());
        }
        self.damage.clone_from(&read.damaged);
        Err(format!("{} parts are damaged; read once more before that is believed", self.damage.len()))
    }
}

/// Uploads sealed segments until it is told to stop.
pub struct Uploader {
    journal: Arc<dyn Journal>,
    stores: Stores,
    settings: UploaderSettings,
    manifests: Manifests,
    destinations: Destinations,
    waiting: BTreeMap<SegmentName, Waiting>,
    figures: Figures,
    /// The pace of the thread that works; `None` when it is all the same.
    pace: Option<Pace>,
    spare: Spare,
    /// When a segment was last freed.
    worked_at: Instant,
    overdue: Overdue,
    /// When what waits was last looked through for what has expired.
    expired_at: Option<Instant>,
}

/// Why a shift ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was told to finish, and has.
    Finished,
    /// The journal's backlog asks for another pace.
    Pace,
}

impl Uploader {
    /// An uploader that has not begun.
    ///
    /// # Errors
    /// When the folder of manifests cannot be made.
    pub fn new(journal: Arc<dyn Journal>, stores: Stores, settings: UploaderSettings) -> Result<Self, ManifestError> {
        let manifests = Manifests::create(&settings.journal)?;
        let destinations = Destinations::new(settings.patience);
        Ok(Self {
            journal,
            stores,
            settings,
            manifests,
            destinations,
            waiting: BTreeMap::new(),
            figures: Figures::default(),
            pace: None,
            spare: Spare::default(),
            worked_at: Instant::now(),
            overdue: Overdue::default(),
            expired_at: None,
        })
    }

    /// Where it can be told later what records may not wait any longer.
    #[must_use]
    pub fn overdue(&self) -> Overdue {
        self.overdue.clone()
    }

    /// A view of the figures that outlives the uploader.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.figures.clone()
    }

    /// Forgets what it knew of segments, after a panic: the next round finds it again, as a next start would. What is known
    /// of destinations stays, since the journal was told of it.
    pub(crate) fn begin_anew(&mut self) {
        self.waiting.clear();
        self.spare.clear();
    }

    /// Watches the uploader for whoever lets it work.
    pub(crate) fn watch(&self) -> Watch {
        self.settings.tasks.watch(TASK)
    }

    /// Uploads until `finish` resolves, then once more what is sealed by then, without waiting for failing destinations;
    /// or until the journal asks for another pace. Dropping the future at any point loses nothing.
    pub(crate) async fn shift(&mut self, pace: Pace, finish: impl Future<Output = ()>) -> Ended {
        self.pace = Some(pace);
        let mut sealed_changed = self.journal.sealed_changed();
        let mut finish = std::pin::pin!(finish);
        loop {
            sealed_changed.borrow_and_update();
            self.round().await;
            if self.pace_is_over() {
                return Ended::Pace;
            }
            if self.worked_at.elapsed() > SPARE_KEPT {
                self.spare.clear();
            }
            let wake = self.next_wake();
            tokio::select! {
                () = &mut finish => break,
                changed = sealed_changed.changed() => if changed.is_err() { break },
                () = tokio::time::sleep_until(wake) => {}
            }
        }
        // The calls are over and nobody is in the way: whatever the pace, it ends here.
        self.pace = None;
        self.round().await;
        Ended::Finished
    }

    fn pace_is_over(&self) -> bool {
        self.pace.is_some_and(|pace| pace.after(self.journal.backlog()) != pace)
    }

    /// One look at everything there is to do.
    pub(crate) async fn round(&mut self) {
        self.probe_destinations().await;
        self.take_stock();
        // Destinations that failed last time come after all work for the others: they may take their time to fail.
        for retrying in [false, true] {
            for name in self.waiting.keys().copied().collect::<Vec<_>>() {
                if self.pace_is_over() {
                    return;
                }
                if self.may_try(&name, retrying) {
                    self.advance(&name, retrying).await;
                }
            }
        }
        self.part_with_the_overdue().await;
        self.part_with_the_failing().await;
        self.take_stock();
    }

    fn next_wake(&self) -> Instant {
        let soon = Instant::now() + DESTINATIONS_LOOKED_AT_EVERY;
        let segments = self.waiting.values().filter_map(|waiting| waiting.not_before);
        let due = segments.chain(self.destinations.next_due()).min().unwrap_or(soon).min(soon);
        due.max(Instant::now() + PAUSE_MIN)
    }

    fn take_stock(&mut self) {
        let sealed: BTreeMap<SegmentName, SealedSegment> =
            self.journal.sealed().into_iter().map(|segment| (segment.name, segment)).collect();
        self.waiting.retain(|name, _| sealed.contains_key(name));
        for (name, segment) in sealed {
            let backoff = self.backoff(&name);
            self.waiting.entry(name).or_insert_with(|| Waiting::new(segment, backoff));
        }
        let oldest = self.waiting.values().filter_map(|waiting| sealed_at(&waiting.segment)).min();
        self.figures.change(|figures| {
            figures.segments_waiting = self.waiting.len() as u64;
            figures.waiting_since = oldest;
            figures.destinations = self.destinations.health();
        });
    }

    /// Destinations that calls are captured for are tried before the first record needs them. Failing ones are tried again
    /// and again, because a given-up destination gets no records that could prove it healed; where segments wait, their
    /// objects are the better proof.
    async fn probe_destinations(&mut self) {
        let now = Instant::now();
        let tables = self.settings.plan.tables.iter().map(|table| table.to.clone());
        let active = self.journal.destinations().into_iter().chain(tables);
        let new = active.filter(|destination| !self.destinations.is_known(destination));
        let waited_for = |destination: &S3Uri| {
            let mut sets = self.waiting.values().filter_map(|waiting| waiting.waits_for.as_ref());
            sets.any(|waits_for| waits_for.contains(destination))
        };
        let failing = self.destinations.due(now).into_iter().filter(|destination| !waited_for(destination));
        let due: BTreeSet<S3Uri> = new.chain(failing).collect();
        for destination in due {
            let probed = match self.stores.resolve(&destination) {
                Ok((store, path)) => {
                    in_time(self.settings.answer_within, path.as_ref(), 0, probe(&*store, &path)).await
                }
                Err(error) => Err(PutError::Store(error)),
            };
            match probed {
                Ok(()) => self.took(&destination),
                Err(error) => self.failed(&destination, &error),
            }
        }
    }

    fn took(&mut self, destination: &S3Uri) {
        let was_failing = self.destinations.is_failing(destination);
        if self.destinations.took(destination) == Turn::Healed && !self.is_of_tables(destination) {
            tracing::info!(%destination, "the destination can be written again; calls are captured");
            self.journal.mark_destination(destination, None);
        }
        if was_failing && !self.is_of_tables(destination) {
            self.journal.mark_failing(destination, false);
        }
    }

    fn failed(&mut self, destination: &S3Uri, error: &PutError) {
        self.figures.failed(&error.to_string());
        if !self.is_of_tables(destination) {
            self.journal.mark_failing(destination, true);
        }
        match self.destinations.failed(destination, error, Instant::now()) {
            Turn::Unwritable => {
                if self.is_of_tables(destination) {
                    tracing::error!(%destination, %error, "the table cannot be written; parts are given up until it can");
                    return;
                }
                tracing::error!(%destination, %error, "the destination cannot be written; its calls are dropped until it can");
                self.journal.mark_destination(destination, Some(error.to_string()));
            }
            _ => tracing::warn!(%destination, %error, "the destination failed; its records stay in the journal"),
        }
    }

    /// Whether only tables go there, so that no call is dropped for it.
    fn is_of_tables(&self, destination: &S3Uri) -> bool {
        let is_table = self.settings.plan.tables.iter().any(|table| table.to == *destination);
        is_table && !self.journal.destinations().contains(destination)
    }

    fn may_try(&self, name: &SegmentName, retrying: bool) -> bool {
        let Some(waiting) = self.waiting.get(name) else { return false };
        let now = Instant::now();
        waiting.not_before.is_none_or(|at| at <= now)
            && waiting.waits_for.as_ref().is_none_or(|destinations| {
                // Empty when all objects are confirmed and only the local steps are left.
                destinations.is_empty()
                    || destinations.iter().any(|destination| self.destinations.is_open(destination, now, retrying))
            })
    }

    /// Takes one segment as far as it goes now.
    async fn advance(&mut self, name: &SegmentName, retrying: bool) {
        let text = name.to_string();
        let done = match self.manifests.read(&text) {
            Ok(Some(manifest)) if self.is_about(name, &manifest) => self.go_on(name, manifest, retrying).await,
            Ok(_) => self.archive(name, retrying).await,
            // A manifest that cannot be read proves nothing; the objects are confirmed again and it is rewritten.
            Err(error) => {
                self.figures.failed(&error.to_string());
                self.archive(name, retrying).await
            }
        };
        self.told(name, done);
    }

    fn told(&mut self, name: &SegmentName, done: Result<(), String>) {
        if let Err(reason) = done {
            tracing::warn!(segment = %name, reason, "the segment stays in the journal");
            self.figures.failed(&reason);
            if let Some(waiting) = self.waiting.get_mut(name) {
                waiting.not_before = Some(Instant::now() + waiting.backoff.next_wait());
            }
        }
    }

    fn backoff(&self, name: &SegmentName) -> Backoff {
        let Patience { retry_base, retry_cap, seed, .. } = self.settings.patience;
        Backoff::new(retry_base, retry_cap, seed ^ name.sequence)
    }

    /// Whether the manifest proves anything for this segment. Names begin anew with a new node, as when the journal was
    /// emptied by hand and its manifests stayed. A segment that cannot be opened tells no node; its name must do.
    fn is_about(&self, name: &SegmentName, manifest: &Manifest) -> bool {
        let node = self.waiting.get(name).map_or(0, |waiting| waiting.segment.node);
        node == 0 || node == manifest.node
    }

    async fn archive(&mut self, name: &SegmentName, retrying: bool) -> Result<(), String> {
        let now = Instant::now();
        let open: BTreeMap<S3Uri, bool> = self.destinations.open(now, retrying);
        let attempt = self.attempt(name, &|destination| open.get(destination).is_none_or(|open| *open)).await?;
        let tables_wait = !attempt.waiting_tables.is_empty() && !self.gives_tables_up(&attempt.waiting_tables);
        let Some(waiting) = self.waiting.get_mut(name) else { return Ok(()) };
        let captured = attempt.waiting.is_empty();
        let shared = !captured && !waiting.confirmed.objects.is_empty();
        waiting.waits_for = Some(attempt.waiting.union(&attempt.waiting_tables).cloned().collect());
        waiting.left = Left {
            objects: attempt.left,
            waiting_tables: attempt.waiting_tables,
            owed: attempt.owed,
            read: None,
            last_at: attempt.read.as_ref().and_then(|read| read.last_at),
        };
        if let Some(reason) = attempt.unreadable {
            return Err(reason);
        }
        let Some(read) = attempt.read else { return Ok(()) };
        if captured && !tables_wait {
            waiting.believe(&read)?;
            let owed = std::mem::take(&mut waiting.left.owed);
            return self.depart(name, (read, owed), Stays::Nothing).await;
        }
        waiting.left.read = Some(read).filter(|_| shared);
        Ok(())
    }

    /// One attempt; what it confirmed is remembered.
    async fn attempt(
        &mut self,
        name: &SegmentName,
        is_open: &(dyn Fn(&S3Uri) -> bool + Sync),
    ) -> Result<Attempt, String> {
        let plan = self.plan(name)?;
        let waiting = self.waiting.get_mut(name).ok_or("the segment is gone")?;
        let segment = waiting.segment.clone();
        let mut confirmed = std::mem::take(&mut waiting.confirmed);
        let way = Way {
            journal: &self.journal,
            stores: &self.stores,
            plan: &plan,
            tables: self.settings.tables.as_ref(),
            spare: &self.spare,
            read_back: self.settings.read_back,
            answer_within: self.settings.answer_within,
            is_open,
        };
        let attempt = attempt(&way, &segment, &mut confirmed).await;
        self.book(&attempt);
        if let Some(waiting) = self.waiting.get_mut(name) {
            waiting.confirmed = confirmed;
        }
        Ok(attempt)
    }

    fn plan(&self, name: &SegmentName) -> Result<Plan, String> {
        self.manifests.plan(&name.to_string(), &self.settings.plan).map_err(|error| error.to_string())
    }

    /// A table must not hold up the log: its parts are given up when its destination refuses to be written, or when what
    /// waits for it fills the journal. All records are in confirmed objects then.
    fn gives_tables_up(&self, waiting: &BTreeSet<S3Uri>) -> bool {
        let Backlog { bytes, limit_bytes } = self.journal.backlog();
        bytes > limit_bytes / TABLES_GIVEN_UP_ABOVE
            || waiting.iter().all(|destination| self.destinations.is_unwritable(destination))
    }

    fn book(&mut self, attempt: &Attempt) {
        for reason in attempt.read.iter().flat_map(|read| &read.unmade) {
            tracing::error!(reason, "our bug: a table could not be made of records; they are in captured objects");
            self.figures.failed(reason);
        }
        for &(placed, bytes, records) in &attempt.placed {
            self.figures.placed(placed, bytes, records);
        }
        for destination in attempt.took.iter().filter(|took| !attempt.failed.contains_key(took)) {
            self.took(destination);
        }
        for (destination, error) in &attempt.failed {
            self.failed(destination, error);
        }
    }
}

/// When a segment got its last byte, by its file.
fn sealed_at(segment: &SealedSegment) -> Option<Timestamp> {
    let modified = std::fs::metadata(&segment.path).and_then(|metadata| metadata.modified()).ok()?;
    let since_1970 = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_unix_us(i64::try_from(since_1970.as_micros()).ok()?))
}

mod departing;
mod expiring;

use departing::Stays;
pub use expiring::Overdue;

#[cfg(test)]
mod tests;
