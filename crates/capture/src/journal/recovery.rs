//! What a start finds in the folder of a journal, and what it makes of it.
//!
//! The survey only reads; the running journal then does what is to be done (unlink what is booked as freed, seal what
//! was left open), with the same code that seals segments every day. So recovery can be cut off at any point and simply
//! happens again, and an offline tool sees exactly what a start would see.
//!
//! Invariant: damage is reported and walked around, never a reason not to start. The journal's records are the truth for
//! `captured`; the difference to what was invoked is booked as `lost_unclean`. Memory is one frame and the counts.
//! Refuses to: read sealed segments through; their footers tell, and damage inside them is found when they are archived.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::book::{self, Book, Found, Identity};
use super::digest::Hasher;
use super::disk::{Disk, DiskFile, read_full_at};
use super::frame::{BadHeader, FrameKind, SEGMENT_HEADER_BYTES, SegmentHeader, Stamp};
use super::keeper::segment_seed;
use super::reader::{Damage, ReadError, SegmentReader, Why};
use super::scan::{Scanned, Scanner, Source};
use super::segment::{AccountRecords, SealedSegment, SegmentName, Tally, decode_policy};
use crate::ledger::frame::{decode as decode_accounts, merge};
use crate::ledger::{
    Account, AccountKey, CAPTURED, COUNTERS, Counters, DROPPED, DropReason, INVOKED, MAX_ACCOUNTS, Opening, Page,
    QUARANTINED, SAMPLED_OUT, Snapshot, UPLOADED,
};
use crate::record::Lsn;
use crate::record::codec;
use crate::sampler::Salt;

/// Counters and epochs from here on were not counted but are damage: the page of counters has no checksums over them.
const IMPLAUSIBLE_COUNT: u64 = 1 << 56;
const IMPLAUSIBLE_EPOCH: u32 = 1 << 31;
/// Damages listed in a report; further ones are only counted.
const LISTED_DAMAGES: usize = 1_000;

/// What a start found and did.
#[derive(Debug, Clone, Default)]
pub struct RecoveryReport {
    /// Number of the node.
    pub node: u32,
    /// Number of the run that starts now.
    pub epoch: u32,
    /// The last run ended without `close`.
    pub unclean: bool,
    /// The machine went down under the last run: calls between the last ledger frame and the end may be counted nowhere.
    pub unknown_window: bool,
    /// Calls booked as `lost_unclean` now.
    pub lost_unclean: u64,
    /// Records found in segments that were not sealed.
    pub recovered_records: u64,
    /// Sealed segments that wait to be archived, without those sealed now.
    pub sealed_segments: usize,
    /// Bytes cut off behind the last whole frame.
    pub torn_bytes: u64,
    /// Damage inside segments, at most a thousand; the segments stay and give what is whole.
    pub damages: Vec<(SegmentName, Damage)>,
    /// Damages that are not listed.
    pub damages_unlisted: u64,
    /// Sealed segments that the book names and the folder does not have; their records are booked as quarantined.
    pub missing_segments: Vec<SegmentName>,
    /// Other things a person should know, one sentence each.
    pub notes: Vec<String>,
}

/// Why a journal cannot be read at all. Damage is no reason.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// An older captura must not touch what it does not understand.
    #[error("{path} has format {version}; start the captura that wrote it, or a newer one")]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its format.
        version: u32,
    },
    /// The folder cannot be listed.
    #[error("cannot list {path}: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// An unsealed segment and what is whole in it.
#[derive(Debug)]
pub(crate) struct OpenSegment {
    pub(crate) name: SegmentName,
    pub(crate) stamp: Stamp,
    pub(crate) tally: Tally,
    pub(crate) good_end: u64,
    pub(crate) digest: Hasher,
    pub(crate) file: Box<dyn DiskFile>,
}

/// Everything in the folder.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) identity: Option<Identity>,
    pub(crate) epoch_before: u32,
    pub(crate) freed: Vec<SegmentName>,
    pub(crate) sealed: BTreeMap<SegmentName, SealedSegment>,
    pub(crate) open: Vec<OpenSegment>,
    /// Files that mean nothing any more.
    pub(crate) leftovers: Vec<PathBuf>,
    pub(crate) openings: BTreeMap<AccountKey, Opening>,
    pub(crate) report: RecoveryReport,
    /// Whether a book was there and whole: without one nobody knows the last epoch for sure.
    pub(crate) book_whole: bool,
}

impl Identity {
    pub(crate) fn new(node: u32, salt: &Salt) -> Self {
        let salt = salt.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { format: book::FORMAT, node: format!("{node:08x}"), salt }
    }

    pub(crate) fn parse(&self) -> Option<(u32, Salt)> {
        let mut salt = Salt::default();
        if self.salt.len() != salt.len() * 2 || !self.salt.is_ascii() {
            return None;
        }
        for (index, byte) in salt.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&self.salt[index * 2..index * 2 + 2], 16).ok()?;
        }
        Some((u32::from_str_radix(&self.node, 16).ok()?, salt))
    }
}

struct Surveyor<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    salt: Option<(u32, Salt)>,
    report: RecoveryReport,
    openings: BTreeMap<AccountKey, Opening>,
}

/// Reads the folder of a journal.
pub(crate) fn survey(disk: &dyn Disk, dir: &Path, page: Option<&Page>, boot: &str) -> Result<Survey, Unreadable> {
    let mut report = RecoveryReport::default();
    let identity = small_file::<Identity>(disk, dir, book::IDENTITY_FILE, &mut report)?;
    let salt = identity.as_ref().and_then(Identity::parse);
    let identity = identity.filter(|_| salt.is_some());
    let book = small_file::<Book>(disk, dir, book::BOOK_FILE, &mut report)?;
    let book_whole = book.is_some();
    let mut surveyor = Surveyor { disk, dir, salt, report, openings: BTreeMap::new() };
    let page = page.filter(|page| page.is_sound());
    let page_epoch = page.and_then(|page| u32::try_from(page.epoch()).ok());
    let page_epoch = page_epoch.filter(|epoch| *epoch < IMPLAUSIBLE_EPOCH).unwrap_or(0);
    surveyor.take_counters(page, book.as_ref());

    let book = book.unwrap_or_default();
    let freed: HashSet<SegmentName> = book.freed.iter().copied().collect();
    // Without the list every record would look lost; such a folder is not usable, and nothing may be booked.
    let paths = disk.list(dir).map_err(|source| Unreadable::Folder { path: dir.to_owned(), source })?;
    let (names, leftovers) = surveyor.sort(paths, &freed);
    let mut sealed = BTreeMap::new();
    let mut open = Vec::new();
    for (name, ending) in &names {
        if ending == SegmentName::SEALED {
            if let Some(segment) = surveyor.sealed(*name, &book, !book_whole)? {
                sealed.insert(*name, segment);
            }
        } else if let Some(segment) = surveyor.open(*name)? {
            open.push(segment);
        }
    }
    let here: HashSet<SegmentName> = names.iter().map(|(name, _)| *name).collect();
    let missing = book.sealed.iter().filter(|segment| !here.contains(&segment.name) && !freed.contains(&segment.name));
    for segment in missing {
        surveyor.report.missing_segments.push(segment.name);
        for account in &segment.accounts {
            surveyor.openings.entry(account.key()).or_default().counters[QUARANTINED] += account.records;
        }
    }
    let epoch_before = names.iter().map(|(name, _)| name.epoch).max().unwrap_or(0).max(book.epoch).max(page_epoch);
    surveyor.report.unclean = epoch_before > 0 && !book.closed;
    surveyor.report.unknown_window = surveyor.report.unclean && book.boot_id != boot;
    surveyor.report.sealed_segments = sealed.len();
    surveyor.balance(&sealed, &open);
    let Surveyor { report, openings, .. } = surveyor;
    let freed = freed.into_iter().collect();
    Ok(Survey { identity, epoch_before, freed, sealed, open, leftovers, openings, report, book_whole })
}

fn small_file<T: serde::de::DeserializeOwned>(
    disk: &dyn Disk,
    dir: &Path,
    name: &str,
    report: &mut RecoveryReport,
) -> Result<Option<T>, Unreadable> {
    match book::read(disk, dir, name) {
        Found::Whole(content) => Ok(Some(content)),
        Found::Missing => Ok(None),
        Found::Damaged(why) => {
            report.notes.push(format!("the file {name} of the journal is damaged and is made anew: {why}"));
            Ok(None)
        }
        Found::Newer(version) => Err(Unreadable::Newer { path: dir.join(name), version }),
    }
}

impl Surveyor<'_> {
    /// Counters from the page and the book. What left the journal is as the book says, where there is one: freeing a
    /// segment is the replacement of the book.
    fn take_counters(&mut self, page: Option<&Page>, book: Option<&Book>) {
        if let Some(page) = page {
            let slots = (0..page.used()).filter_map(|slot| Some((page.key(slot)?, page.counters(slot))));
            let (sound, damaged): (Vec<_>, Vec<_>) = slots.partition(|(_, counters): &(AccountKey, Counters)| {
                counters.iter().all(|count| *count < IMPLAUSIBLE_COUNT)
            });
            for (key, _) in damaged {
                let (endpoint, variant) = (key.endpoint, key.variant);
                self.report.notes.push(format!("the counters of {endpoint}/{variant} are damaged and are made anew"));
            }
            merge(&mut self.openings, sound);
        }
        let Some(book) = book else { return };
        let booked: HashMap<AccountKey, _> = book.accounts.iter().map(book::counters_of).collect();
        merge(&mut self.openings, booked.iter().map(|(key, counters)| (key.clone(), *counters)).collect());
        self.keep_booked(&booked);
    }

    fn keep_booked(&mut self, booked: &HashMap<AccountKey, crate::ledger::Counters>) {
        for (key, opening) in &mut self.openings {
            let counters = booked.get(key).copied().unwrap_or([0; COUNTERS]);
            opening.counters[UPLOADED..UPLOADED + 5].copy_from_slice(&counters[UPLOADED..UPLOADED + 5]);
        }
    }

    /// The segments of the folder, in the order they were written, and what can go.
    fn sort(&self, paths: Vec<PathBuf>, freed: &HashSet<SegmentName>) -> (Vec<(SegmentName, String)>, Vec<PathBuf>) {
        let mut endings: BTreeMap<SegmentName, Vec<String>> = BTreeMap::new();
        let mut leftovers = Vec::new();
        for path in paths {
            let parsed = SegmentName::parse(&path).map(|(name, ending)| (name, ending.to_owned()));
            match parsed {
                Some((name, _)) if freed.contains(&name) => leftovers.push(path),
                // A copy of a folder may hold both; the sealed one is complete.
                Some((name, ending)) if ending == SegmentName::SEALED || ending == SegmentName::OPEN => {
                    endings.entry(name).or_default().push(ending);
                }
                Some((_, ending)) if ending == SegmentName::REWRITE => leftovers.push(path),
                _ if path.extension().is_some_and(|ending| ending == "new") => leftovers.push(path),
                _ => {}
            }
        }
        // A part counts when what it was made from is freed, which the book says; until then that one has its records too.
        let mut before: Option<SegmentName> = None;
        endings.retain(|name, endings| {
            // In the order of names the parts of a segment follow it.
            let counts = !before.is_some_and(|before| name.is_part_of(before));
            if counts {
                before = Some(*name);
            } else {
                leftovers.extend(endings.iter().map(|ending| name.path(self.dir, ending)));
            }
            counts
        });
        let names = endings.into_iter().map(|(name, endings)| {
            let sealed = endings.iter().any(|ending| ending == SegmentName::SEALED);
            if sealed && endings.len() > 1 {
                leftovers.push(name.path(self.dir, SegmentName::OPEN));
            }
            (name, if sealed { SegmentName::SEALED } else { SegmentName::OPEN }.to_owned())
        });
        (names.collect(), leftovers)
    }

    fn expected_stamp(&self, name: SegmentName) -> Option<Stamp> {
        let (node, salt) = self.salt?;
        Some(Stamp { node, epoch: name.epoch, seed: segment_seed(&salt, name) })
    }

    fn damaged(&mut self, name: SegmentName, damage: Damage) {
        tracing::error!(segment = %name, %damage, "damage in the journal");
        if self.report.damages.len() < LISTED_DAMAGES {
            self.report.damages.push((name, damage));
        } else {
            self.report.damages_unlisted += 1;
        }
    }

    /// What a sealed segment holds: from its footer, else from a walk through it.
    fn sealed(
        &mut self,
        name: SegmentName,
        book: &Book,
        wants_ledger: bool,
    ) -> Result<Option<SealedSegment>, Unreadable> {
        let path = name.path(self.dir, SegmentName::SEALED);
        let booked = book.sealed.iter().find(|segment| segment.name == name).map(|segment| segment.accounts.clone());
        let reader = match SegmentReader::open_on(self.disk, &path, self.expected_stamp(name)) {
            Ok(reader) => reader,
            Err(ReadError::Newer { path, version }) => return Err(Unreadable::Newer { path, version: version.into() }),
            Err(error) => {
                self.report.notes.push(format!("a segment is left aside: {error}"));
                // As long as the file is there its records are pending: it may be readable again tomorrow.
                return Ok(booked.map(|accounts| unreadable(name, path, accounts)));
            }
        };
        let size_bytes = self.disk.open(&path).and_then(|file| file.length_bytes()).unwrap_or(0);
        let node = reader.stamp().node;
        if let Some(footer) = reader.footer() {
            let (records, first_n, end_n) = (footer.records, footer.first_n, footer.end_n);
            let accounts = footer.accounts.clone();
            if wants_ledger {
                self.walk(name, &path)?;
            }
            return Ok(Some(SealedSegment { name, path, node, size_bytes, records, first_n, end_n, accounts }));
        }
        let Some(walked) = self.walk(name, &path)? else { return Ok(None) };
        let tally = walked.tally;
        let accounts = booked.unwrap_or_else(|| tally.account_records());
        let records = accounts.iter().map(|account| account.records).sum();
        let (first_n, end_n) = (tally.first_n, tally.end_n);
        Ok(Some(SealedSegment { name, path, node, size_bytes, records, first_n, end_n, accounts }))
    }

    fn open(&mut self, name: SegmentName) -> Result<Option<OpenSegment>, Unreadable> {
        let path = name.path(self.dir, SegmentName::OPEN);
        let Some(mut segment) = self.walk(name, &path)? else { return Ok(None) };
        self.report.recovered_records += segment.tally.records;
        segment.digest = digest_of(&*segment.file, segment.good_end);
        Ok(Some(segment))
    }

    /// Walks through all frames of a segment, takes the ledger frames, counts the records.
    fn walk(&mut self, name: SegmentName, path: &Path) -> Result<Option<OpenSegment>, Unreadable> {
        let opened = self.disk.open(path).and_then(|file| Ok((file, self.disk.open(path)?)));
        let (file, again) = match opened {
            Ok(files) => files,
            Err(error) => {
                self.report.notes.push(format!("the segment {name} cannot be opened and is left aside: {error}"));
                return Ok(None);
            }
        };
        let length = file.length_bytes().unwrap_or(0);
        let mut head = [0; SEGMENT_HEADER_BYTES];
        let read = read_full_at(&*file, &mut head, 0).unwrap_or(0);
        let stamp = match (SegmentHeader::parse(&head[..read]), self.expected_stamp(name)) {
            (Ok(header), _) => header.stamp,
            (Err(BadHeader::Newer(version)), _) => {
                return Err(Unreadable::Newer { path: path.to_owned(), version: version.into() });
            }
            (Err(BadHeader::Damaged), Some(stamp)) => stamp,
            (Err(BadHeader::Damaged), None) => {
                self.report.notes.push(format!("the segment {name} has no readable head and is left aside"));
                return Ok(None);
            }
        };
        let scanner = Scanner::new(Source::File(again), stamp, SEGMENT_HEADER_BYTES as u64, length);
        let mut walk = Walk::new(stamp);
        for scanned in scanner {
            walk.meet(scanned, &mut self.openings);
        }
        let Walk { tally, good_end, torn, damages, .. } = walk;
        self.report.torn_bytes += torn.map_or(0, |(_, length)| length);
        damages.into_iter().for_each(|damage| self.damaged(name, damage));
        let digest = Hasher::new();
        Ok(Some(OpenSegment { name, stamp, tally, good_end, digest, file }))
    }

    /// Makes both identities hold, from what the journal really has.
    fn balance(&mut self, sealed: &BTreeMap<SegmentName, SealedSegment>, open: &[OpenSegment]) {
        let in_sealed = sealed.values().flat_map(|segment| segment.accounts.iter().map(|a| (a.key(), a.records)));
        let in_open = open.iter().flat_map(|segment| segment.tally.accounts.iter().map(|(key, n)| (key.clone(), *n)));
        for (key, records) in in_sealed.chain(in_open) {
            self.openings.entry(key).or_default().local_pending += records;
        }
        for opening in self.openings.values_mut() {
            let counters = &mut opening.counters;
            counters[CAPTURED] = opening.local_pending + counters[UPLOADED..UPLOADED + 5].iter().sum::<u64>();
            let ended = counters[CAPTURED] + counters[SAMPLED_OUT] + counters[DROPPED..].iter().sum::<u64>();
            if !self.report.unknown_window {
                find_again(counters, ended.saturating_sub(counters[INVOKED]));
            }
            let ended = counters[CAPTURED] + counters[SAMPLED_OUT] + counters[DROPPED..].iter().sum::<u64>();
            // After a power loss the page may be older than the journal: then the calls are counted from the records.
            counters[INVOKED] = counters[INVOKED].max(ended);
            let lost = counters[INVOKED] - ended;
            counters[DROPPED + DropReason::LostUnclean as usize] += lost;
            self.report.lost_unclean += lost;
        }
        if self.openings.len() > MAX_ACCOUNTS {
            self.report.notes.push("the book has no room for all accounts; some calls are booked as *".into());
        }
    }
}

/// Records that were booked as dropped, because the disk would not say that it has them, and are there all the same.
fn find_again(counters: &mut Counters, mut records: u64) {
    for reason in [DropReason::LostUnclean, DropReason::IoError, DropReason::DiskFull] {
        let dropped = &mut counters[DROPPED + reason as usize];
        let found = records.min(*dropped);
        *dropped -= found;
        records -= found;
    }
}

fn unreadable(name: SegmentName, path: PathBuf, accounts: Vec<AccountRecords>) -> SealedSegment {
    let records = accounts.iter().map(|account| account.records).sum();
    SealedSegment { name, path, node: 0, size_bytes: 0, records, first_n: 0, end_n: 0, accounts }
}

fn digest_of(file: &dyn DiskFile, length: u64) -> Hasher {
    let mut digest = Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    let mut at = 0;
    while at < length {
        let part = buffer.len().min(usize::try_from(length - at).unwrap_or(usize::MAX));
        match read_full_at(file, &mut buffer[..part], at) {
            Ok(read) if read > 0 => {
                digest.update(&buffer[..read]);
                at += read as u64;
            }
            // The digest will not match, which is the truth.
            _ => break,
        }
    }
    digest
}

/// Counting state of a walk through one segment.
struct Walk {
    stamp: Stamp,
    tally: Tally,
    good_end: u64,
    torn: Option<(u64, u64)>,
    expected: Option<u64>,
    policies: HashMap<u64, AccountKey>,
    damages: Vec<Damage>,
}

impl Walk {
    fn new(stamp: Stamp) -> Self {
        Self {
            stamp,
            tally: Tally::default(),
            good_end: SEGMENT_HEADER_BYTES as u64,
            torn: None,
            expected: None,
            policies: HashMap::new(),
            damages: Vec::new(),
        }
    }

    fn lsn(&self, n: u64) -> Lsn {
        Lsn { node: self.stamp.node, epoch: self.stamp.epoch, n }
    }

    fn meet(&mut self, scanned: Scanned, openings: &mut BTreeMap<AccountKey, Opening>) {
        match scanned {
            Scanned::Damage { offset, length_bytes } => {
                let from = self.torn.map_or(offset, |(from, _)| from);
                self.torn = Some((from, offset + length_bytes - from));
            }
            // Sealing was cut off between footer and rename; it is done again.
            Scanned::Frame { head, .. } if head.kind == FrameKind::Footer => {}
            Scanned::Frame { offset, head, payload } => {
                self.good_end = offset + head.frame_bytes();
                match head.kind {
                    FrameKind::Policy => {
                        if let Some((id, policy)) = decode_policy(&payload) {
                            self.policies.insert(id, AccountKey::new(&policy.endpoint, &policy.variant));
                            self.tally.policies.push(policy);
                        }
                    }
                    FrameKind::Ledger => merge_frame(openings, &payload),
                    FrameKind::Gap => {
                        if let Some((from, end)) = super::segment::decode_gap(&payload) {
                            self.reach(from, offset);
                            self.expected = Some(end);
                        }
                    }
                    FrameKind::Record => self.meet_record(offset, head.n, head.frame_bytes(), &payload),
                    FrameKind::Footer => {}
                }
            }
        }
    }

    /// A whole frame stands behind what was damaged: the damage is inside the segment.
    fn reach(&mut self, n: u64, offset: u64) {
        let missing = self.expected.filter(|expected| *expected < n).map(|expected| self.lsn(expected)..self.lsn(n));
        match (self.torn.take(), missing) {
            (Some((offset, length_bytes)), lsns) => {
                self.damages.push(Damage { lsns, offset, length_bytes, why: Why::Checksum });
            }
            (None, Some(lsns)) => {
                self.damages.push(Damage { lsns: Some(lsns), offset, length_bytes: 0, why: Why::Missing });
            }
            (None, None) => {}
        }
    }

    fn meet_record(&mut self, offset: u64, n: u64, length_bytes: u64, payload: &bytes::Bytes) {
        if n == u64::MAX || self.expected.is_some_and(|expected| n < expected) {
            return self.damages.push(Damage { lsns: None, offset, length_bytes, why: Why::OutOfOrder });
        }
        self.reach(n, offset);
        self.expected = Some(n + 1);
        let key = codec::policy_id(payload).and_then(|id| self.policies.get(&id));
        let Some(key) = key else {
            let id = codec::policy_id(payload).unwrap_or(0);
            let why = codec::BadRecord::PolicyMissing(id).into();
            let lsns = Some(self.lsn(n)..self.lsn(n + 1));
            return self.damages.push(Damage { lsns, offset, length_bytes, why });
        };
        *self.tally.accounts.entry(key.clone()).or_default() += 1;
        self.tally.add(n, offset);
    }
}

/// Ledger frames tell everything but what left the journal, which only the book tells.
fn merge_frame(openings: &mut BTreeMap<AccountKey, Opening>, payload: &[u8]) {
    let Some(mut accounts) = decode_accounts(payload) else { return };
    for (key, counters) in &mut accounts {
        let known = openings.get(key).map_or([0; COUNTERS], |opening| opening.counters);
        counters[UPLOADED..UPLOADED + 5].copy_from_slice(&known[UPLOADED..UPLOADED + 5]);
    }
    merge(openings, accounts);
}

/// A journal seen from outside, without a running server.
#[derive(Debug)]
pub struct Inspection {
    /// Number of the node; `None` before the first start.
    pub node: Option<u32>,
    /// Accounts as the next start would book them.
    pub ledger: Snapshot,
    /// Sealed segments.
    pub sealed: Vec<SealedSegment>,
    /// Segments that the next start will seal: path, records by account.
    pub open: Vec<(PathBuf, Vec<AccountRecords>)>,
    /// What the next start would report.
    pub report: RecoveryReport,
}

/// Reads the journal of a stopped server; nothing is written.
///
/// # Errors
/// When the folder cannot be listed, or is of a newer format.
pub fn inspect(dir: &Path) -> Result<Inspection, Unreadable> {
    let page = Page::open_read_only(&dir.join(super::PAGE_FILE)).ok();
    let survey = survey(&super::disk::RealDisk, dir, page.as_ref(), &super::boot_id())?;
    let accounts = survey.openings.iter().filter(|(key, opening)| {
        **key != AccountKey::overflow() || opening.counters.iter().any(|counter| *counter > 0)
    });
    let accounts = accounts.map(|(key, opening)| Account::new(key, &opening.counters, 0, opening.local_pending));
    let open = survey.open.iter().filter(|segment| segment.tally.records > 0);
    let open = open.map(|segment| (segment.name.path(dir, SegmentName::OPEN), segment.tally.account_records()));
    Ok(Inspection {
        node: survey.identity.as_ref().and_then(Identity::parse).map(|(node, _)| node),
        ledger: Snapshot { accounts: accounts.collect() },
        sealed: survey.sealed.into_values().collect(),
        open: open.collect(),
        report: survey.report,
    })
}

/// Sixteen random bytes for a salt and four for a node.
pub(crate) fn draw() -> io::Result<(u32, Salt)> {
    use std::io::Read as _;
    let mut bytes = [0; 20];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let (node, salt) = bytes.split_at(4);
    let node = u32::from_le_bytes(node.try_into().expect("our bug: four bytes were split off"));
    Ok((node, salt.try_into().expect("our bug: sixteen bytes are left")))
}

impl OpenSegment {
    /// As a segment of the running journal that takes no more records.
    ///
    /// `suspect` when a sync of it may have failed under the last run: what is seen of it is then not what is durable, and
    /// another sync would say that it is. Such a segment is sealed as a new file.
    pub(crate) fn retire(self, ledger: &crate::ledger::Ledger, suspect: bool) -> Arc<super::line::Segment> {
        let accounts = self.tally.accounts.iter().map(|(key, records)| (ledger.account(key), *records)).collect();
        let progress = super::line::Progress {
            tally: self.tally,
            accounts,
            written_end: self.good_end,
            synced_end: self.good_end,
            digest: self.digest,
            suspect,
        };
        super::line::Segment::new(self.name, self.stamp, self.file, progress)
    }
}
