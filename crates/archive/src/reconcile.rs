//! The proof that the book, the journal, the manifests and the objects tell the same story.
//!
//! Checked: (a) both identities of every account, and the account against what is really there; (b) every record number of
//! every run of the server at most once, and no number missing that the book counts; (c) every object as its manifest
//! says, and every part of a table or the file that it was merged into; (d) deep: every record's checksum and every line; (e) every record that a client was told about, byte for byte.
//!
//! Invariant: only reads. What cannot be looked at makes the answer "cannot tell", never "balanced"; what is merely
//! unfinished (a segment not yet uploaded, objects put before a kill) is no finding.
//! Refuses to: repair.

mod books;
mod objects;
mod oracle;
mod scope;
mod segments;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use captura_capture::ledger::Snapshot;
use captura_capture::ledger::minutes::MinuteRow;
use captura_capture::{AccountRecords, Inspection, SegmentName};
use serde::Serialize;

pub use books::AccountProof;
pub use oracle::{Oracle, OracleError};
pub use scope::Scope;
pub use tables::TablesProof;

use crate::manifest::{Manifest, ManifestObject, Manifests};
use crate::merges::Merges;
use crate::removal::{Removals, RemovedObject};
use crate::runs::{Run, Runs};
use crate::stores::Stores;

/// What is known of a stopped journal before anything in it is read through.
#[derive(Debug, Clone, Default)]
pub struct JournalState {
    /// The account book, as the next start would have it.
    pub ledger: Snapshot,
    /// Node of the data directory.
    pub node: u32,
    /// Segments that are not booked as uploaded, sealed or open.
    pub segments: Vec<SegmentFile>,
    /// Segments that the book names and the folder does not have.
    pub missing: Vec<SegmentName>,
    /// Why the book cannot be relied on, e.g. the machine went down; makes the answer "cannot tell".
    pub doubts: Vec<String>,
}

/// A segment file.
#[derive(Debug, Clone)]
pub struct SegmentFile {
    /// Its name, `seg-…`, without ending.
    pub name: String,
    /// Run of the server that wrote it.
    pub epoch: u32,
    /// Where it lies.
    pub path: PathBuf,
    /// Whether it is sealed; the end of an unsealed one may be torn.
    pub sealed: bool,
    /// Its records by account, as booked.
    pub accounts: Vec<AccountRecords>,
}

impl From<Inspection> for JournalState {
    fn from(inspection: Inspection) -> Self {
        let sealed = inspection.sealed.into_iter().map(|segment| SegmentFile {
            name: segment.name.to_string(),
            epoch: segment.name.epoch,
            path: segment.path,
            sealed: true,
            accounts: segment.accounts,
        });
        let mut segments: Vec<SegmentFile> = sealed.collect();
        segments.extend(inspection.open.into_iter().filter_map(|(path, accounts)| {
            let name = path.file_stem()?.to_str()?.to_owned();
            let epoch = name.strip_prefix("seg-")?.split('-').next()?.parse().ok()?;
            Some(SegmentFile { name, epoch, path, sealed: false, accounts })
        }));
        let mut doubts = inspection.report.notes;
        if inspection.report.unknown_window {
            doubts.push(
                "the machine went down while the server ran: calls just before may be counted nowhere; start the server once and stop it, then reconcile again"
                    .to_owned(),
            );
        }
        Self {
            ledger: inspection.ledger,
            node: inspection.node.unwrap_or_default(),
            segments,
            missing: inspection.report.missing_segments,
            doubts,
        }
    }
}

/// How much is checked.
#[derive(Debug, Default)]
pub struct Depth {
    /// Read every line of every object.
    pub deep: bool,
    /// What clients were told.
    pub oracle: Option<Oracle>,
    /// Of what.
    pub scope: Scope,
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything is accounted for.
    Balanced,
    /// Something is missing, doubled or changed.
    Imbalance,
    /// Something could not be looked at.
    CannotTell,
}

impl Verdict {
    /// Exit code of the command: 0, 2 or 3.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Balanced => 0,
            Self::Imbalance => 2,
            Self::CannotTell => 3,
        }
    }
}

/// What kind of thing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// An identity of an account does not hold, or the account differs from what is there.
    Account,
    /// A record is in two places.
    Duplicate,
    /// A record that must be somewhere is nowhere.
    Missing,
    /// A segment or record in the journal is damaged.
    Damaged,
    /// An object is not what its manifest says.
    Altered,
    /// An object holds records of this node and no manifest knows it.
    Stray,
    /// A manifest contradicts itself.
    Manifest,
    /// A record differs from what its client was told.
    Oracle,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// What kind of thing.
    pub kind: FindingKind,
    /// Records it touches, `node-epoch-n` or `node-epoch-n..n`; empty when it touches none in particular.
    pub lsns: Vec<String>,
    /// Where: an object's address, a segment, an account.
    pub place: String,
    /// What is wrong there.
    pub reason: String,
}

/// Result of reconciling.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The answer.
    pub verdict: Verdict,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What could not be looked at.
    pub doubts: Vec<String>,
    /// What a person should know and what is no reason to doubt: destinations that cannot be read and hold nothing yet.
    pub notes: Vec<String>,
    /// Every account that was asked for, as it stands, and what was really found of the time that was asked for.
    pub accounts: Vec<AccountProof>,
    /// What the book counted in the minutes of the time that was asked for; empty when all was.
    pub minutes: Vec<MinuteRow>,
    /// Objects that were compared with their manifest.
    pub objects_checked: u64,
    /// Records that were read in the journal.
    pub records_read: u64,
    /// Records that clients were told about and that were found as told.
    pub acknowledged_found: u64,
    /// Objects under the same prefixes that are not this node's.
    pub foreign_objects: u64,
    /// What was found of tables.
    pub tables: TablesProof,
}

/// Why nothing could be reconciled at all.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The manifests cannot be listed.
    #[error(transparent)]
    Manifests(#[from] crate::manifest::ManifestError),
    /// The server runs on this data directory.
    #[error("a server is running on {}; stop it first, then reconcile", .0.display())]
    Running(PathBuf),
    /// There is no journal.
    #[error("there is no journal in {}: {source}", path.display())]
    NoJournal {
        /// The data directory.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A newer captura wrote the journal, or its folder cannot be listed.
    #[error(transparent)]
    Journal(#[from] captura_capture::Unreadable),
}

/// Numbers of one run of the server, and where they were found.
#[derive(Debug, Default)]
pub(crate) struct EpochNumbers {
    /// In objects or segments, as records or as known damage.
    pub(crate) seen: Runs,
    /// Given out and dropped.
    pub(crate) dropped: Runs,
    /// Given up to make room, as the operator allows.
    pub(crate) evicted: Runs,
}

/// The work in progress.
pub(crate) struct Proof<'a> {
    pub(crate) stores: &'a Stores,
    pub(crate) state: &'a JournalState,
    pub(crate) deep: bool,
    pub(crate) oracle: Option<Oracle>,
    pub(crate) scope: Scope,
    pub(crate) manifests: BTreeMap<String, Manifest>,
    /// What was taken out on purpose, by address.
    pub(crate) removed: BTreeMap<String, RemovedObject>,
    pub(crate) epochs: BTreeMap<u32, EpochNumbers>,
    /// Found records by endpoint and variant.
    pub(crate) found: BTreeMap<(String, String), books::Found>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) doubts: Vec<String>,
    pub(crate) notes: Vec<String>,
    pub(crate) objects_checked: u64,
    pub(crate) records_read: u64,
    /// Records in damage that lies outside of what is asked for: of whose account they are is not known.
    pub(crate) damaged_elsewhere: u64,
    pub(crate) foreign_objects: u64,
    /// Prefixes `s3://…/{endpoint}/{variant}` under which objects of this node may be, and whether confirmed ones are.
    pub(crate) prefixes: BTreeMap<String, bool>,
    /// Addresses that an unconfirmed upload may have written.
    pub(crate) unconfirmed: BTreeSet<String>,
}

impl Proof<'_> {
    pub(crate) fn find(&mut self, kind: FindingKind, lsns: Vec<String>, place: &str, reason: impl Into<String>) {
        self.findings.push(Finding { kind, lsns, place: place.to_owned(), reason: reason.into() });
    }

    /// Runs as people read them, at most [`LSNS_LISTED_MAX`].
    pub(crate) fn lsns(&self, epoch: u32, runs: &[Run]) -> Vec<String> {
        let listed = runs.iter().take(LSNS_LISTED_MAX);
        let mut lsns: Vec<String> = listed.map(|run| format!("{:08x}-{epoch}-{run}", self.state.node)).collect();
        if runs.len() > LSNS_LISTED_MAX {
            lsns.push(format!("and {} more", runs.len() - LSNS_LISTED_MAX));
        }
        lsns
    }

    /// Enters numbers, in any order, as seen; those that were seen before are a finding where they may have been asked for.
    pub(crate) fn enter(&mut self, epoch: u32, runs: Vec<Run>, place: &str, may_belong: bool) {
        let (all, twice) = Runs::gather(runs);
        let seen = &mut self.epochs.entry(epoch).or_default().seen;
        let known = all.runs().iter().flat_map(|run| seen.insert_run(*run).runs().to_vec());
        let again: Vec<Run> = known.chain(twice.runs().iter().copied()).collect();
        if !again.is_empty() && may_belong {
            let lsns = self.lsns(epoch, &again);
            self.find(FindingKind::Duplicate, lsns, place, "these records are twice here, or also somewhere else");
        }
    }
}

/// Below the data directory: the journal.
pub const JOURNAL_FOLDER: &str = "journal";
/// Runs of records listed in one finding; more are only counted.
const LSNS_LISTED_MAX: usize = 100;
/// In the journal: the file that a running server holds locked.
const LOCK_FILE: &str = "lock";

/// Reconciles the data directory of a stopped server, and keeps a server from starting meanwhile.
///
/// # Errors
/// When a server runs there, or there is no journal that this captura can read.
pub async fn reconcile_data_dir(data_dir: &Path, stores: &Stores, depth: Depth) -> Result<Report, ReconcileError> {
    let journal = data_dir.join(JOURNAL_FOLDER);
    let no_journal = |source| ReconcileError::NoJournal { path: data_dir.to_owned(), source };
    let lock = File::open(journal.join(LOCK_FILE)).map_err(no_journal)?;
    match lock.try_lock_shared() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(ReconcileError::Running(data_dir.to_owned())),
        Err(TryLockError::Error(source)) => return Err(no_journal(source)),
    }
    let state = captura_capture::inspect(&journal)?.into();
    let report = reconcile(&journal, &state, stores, depth).await;
    drop(lock);
    report
}

/// Reconciles the journal in `journal` (`DATA_DIR/journal`), whose state was read by capture, with its objects.
///
/// # Errors
/// When the manifests cannot be listed; everything else is in the report.
pub async fn reconcile(
    journal: &Path,
    state: &JournalState,
    stores: &Stores,
    depth: Depth,
) -> Result<Report, ReconcileError> {
    let mut proof = Proof {
        stores,
        state,
        deep: depth.deep,
        oracle: depth.oracle.map(|oracle| oracle.narrowed(&depth.scope)),
        scope: depth.scope,
        manifests: BTreeMap::new(),
        removed: BTreeMap::new(),
        epochs: BTreeMap::new(),
        found: BTreeMap::new(),
        findings: Vec::new(),
        doubts: state.doubts.clone(),
        notes: Vec::new(),
        objects_checked: 0,
        records_read: 0,
        damaged_elsewhere: 0,
        foreign_objects: 0,
        prefixes: BTreeMap::new(),
        unconfirmed: BTreeSet::new(),
    };
    proof.take_removed(&Removals::at(journal));
    let manifests = Manifests::at(journal);
    for manifest in manifests.all()? {
        match manifest {
            Ok(manifest) => proof.take_manifest(manifest),
            Err(error) => proof.suspect(FindingKind::Manifest, Vec::new(), "manifests", error.to_string()),
        }
    }
    proof.find_lost_parts();
    proof.read_segments(&manifests);
    proof.check_objects().await;
    proof.find_strays().await;
    let tables = proof.check_tables(Merges::at(journal).all()).await;
    let accounts = proof.compare_books();
    let minutes = proof.count_minutes(journal);
    let acknowledged_found = proof.close_oracle();
    proof.findings.sort();
    let verdict = match (proof.findings.is_empty(), proof.doubts.is_empty()) {
        (false, _) => Verdict::Imbalance,
        (true, false) => Verdict::CannotTell,
        (true, true) => Verdict::Balanced,
    };
    Ok(Report {
        verdict,
        findings: proof.findings,
        doubts: proof.doubts,
        notes: proof.notes,
        accounts,
        minutes,
        objects_checked: proof.objects_checked,
        records_read: proof.records_read,
        acknowledged_found,
        foreign_objects: proof.foreign_objects,
        tables,
    })
}

impl Proof<'_> {
    fn take_removed(&mut self, removals: &Removals) {
        match removals.all() {
            // Names begin anew with a new node.
            Ok(notes) => {
                let own = notes.into_iter().filter(|note| note.node == self.state.node);
                self.removed.extend(own.flat_map(|note| note.objects));
            }
            Err(error) => self.find(FindingKind::Manifest, Vec::new(), "removed", error.to_string()),
        }
    }

    fn take_manifest(&mut self, manifest: Manifest) {
        let segment = manifest.segment.clone();
        let may_belong = self.scope.may_have_segment(&manifest);
        let mut held: Vec<Run> = Vec::new();
        for object in &manifest.objects {
            if object.runs.count() != object.records && may_belong {
                let reason = format!("{} numbers for {} records", object.runs.count(), object.records);
                self.find(FindingKind::Manifest, Vec::new(), &object.uri, reason);
            }
            held.extend(object.runs.runs());
            if let Some(prefix) = prefix_of(object) {
                let is_there = !self.removed.get(&object.uri).is_some_and(RemovedObject::is_expired);
                *self.prefixes.entry(prefix).or_default() |= is_there;
            }
        }
        let damage = manifest.damaged.iter().filter(|damage| damage.first_n <= damage.last_n);
        held.extend(damage.map(|damage| Run { first: damage.first_n, last: damage.last_n }));
        // What stays in a part is entered where the part is.
        let elsewhere = manifest.carried.as_ref().map_or(&[][..], |carried| carried.numbers.runs());
        let gone = [manifest.missing.runs(), elsewhere, manifest.evicted.runs()].concat();
        let (whole, _) = Runs::gather([&held[..], &gone].concat());
        let expected = manifest.end_n.saturating_sub(manifest.first_n);
        let in_range = whole.first().is_none_or(|first| first >= manifest.first_n)
            && whole.last().is_none_or(|last| last < manifest.end_n);
        if (whole.count() != expected || !in_range) && may_belong {
            let (count, first_n, end_n) = (whole.count(), manifest.first_n, manifest.end_n);
            let reason = format!("it covers {count} numbers of the {expected} from {first_n} up to but not {end_n}");
            self.find(FindingKind::Manifest, Vec::new(), &segment, reason);
        }
        self.enter(manifest.epoch, held, &segment, may_belong);
        let numbers = self.epochs.entry(manifest.epoch).or_default();
        // A part also misses what went before it; that is told by the manifest of its segment.
        let dropped = if is_part(&segment) { &[][..] } else { manifest.missing.runs() };
        for run in dropped.iter().chain(manifest.evicted.runs()) {
            numbers.dropped.insert_run(*run);
        }
        for run in manifest.evicted.runs() {
            numbers.evicted.insert_run(*run);
        }
        self.manifests.insert(segment, manifest);
    }
}

/// Whether a name is that of a part of a segment: `seg-…-…-01`.
fn is_part(segment: &str) -> bool {
    segment.split('-').count() > 3
}

/// `s3://…/{endpoint}/{variant}` of an object's address.
fn prefix_of(object: &ManifestObject) -> Option<String> {
    let end = format!("/{}/{}/", object.endpoint, object.variant);
    object.uri.rfind(&end).map(|at| object.uri[..at + end.len() - 1].to_owned())
}

#[cfg(test)]
mod tests;
