//! T10: segments that rot: flipped bits, blocks of zeros, cut, deleted, swapped and misdirected pieces.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use captura_capture::Capture;
use captura_capture::RecoveryReport;
use captura_capture::journal::frame::{FRAME_HEAD_BYTES, FrameHead, FrameKind, SEGMENT_HEADER_BYTES, SegmentHeader};
use captura_capture::journal::reader::SegmentReader;
use captura_capture::record::Record;

use crate::order::{Figures, Order, Told, in_parallel};
use crate::room::{self, answered, invocation, policy};
use crate::seeded::Seeded;
use crate::sim_disk::SimDisk;

/// Records in the journal that is mutated.
const RECORDS: u64 = 48;
/// A start that takes longer hangs.
const START_LIMIT: Duration = Duration::from_secs(30);
const BLOCK_BYTES: usize = 4096;
const SECTOR_BYTES: usize = 512;

/// A journal as a kill leaves it: sealed segments, and one that was being written.
struct Journal {
    dir: tempfile::TempDir,
    files: BTreeMap<PathBuf, Vec<u8>>,
    frames: Vec<Frame>,
    records: BTreeMap<u64, Record>,
}

/// Where a frame lies.
struct Frame {
    path: PathBuf,
    bytes: Range<usize>,
    kind: FrameKind,
    /// Of a record.
    number: Option<u64>,
}

impl Journal {
    fn new() -> Self {
        let (dir, disk) = (room::folder(), SimDisk::default());
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let (capture, _) = room::open(dir.path(), &disk).expect("a sound disk opens");
            for number in 0..RECORDS {
                let mode = usize::try_from(number).unwrap_or(0) % 2;
                let size = 30 + usize::try_from(number * number * 7 % 2_500).unwrap_or(0);
                let begun =
                    capture.stream(&policy(mode)).begin(invocation(mode, number, size)).expect("nothing refuses");
                begun.conclude(answered()).captured().await;
                if number % 16 == 15 && number + 1 < RECORDS {
                    capture.seal().await;
                }
            }
        });
        disk.kill();
        let files = disk.files();
        let mut journal = Self { dir, files, frames: Vec::new(), records: BTreeMap::new() };
        journal.look();
        journal
    }

    fn segments(&self) -> Vec<PathBuf> {
        let is_segment = |path: &&PathBuf| path.extension().is_some_and(|ending| ending == "seg" || ending == "open");
        self.files.keys().filter(is_segment).cloned().collect()
    }

    /// Those that are worth damaging: a prepared one that holds nothing is thrown away unread.
    fn segments_with_records(&self) -> Vec<PathBuf> {
        let holds = |path: &PathBuf| self.frames.iter().any(|frame| frame.path == *path && frame.number.is_some());
        self.segments().into_iter().filter(holds).collect()
    }

    /// Notes where every frame lies and what the records are.
    fn look(&mut self) {
        for path in self.segments() {
            let bytes = &self.files[&path];
            let reader = SegmentReader::from_bytes(bytes.clone().into()).expect("a sound segment");
            let mut records = reader.map(|record| record.expect("a sound record"));
            let stamp = SegmentHeader::parse(bytes).expect("a sound head").stamp;
            let mut at = SEGMENT_HEADER_BYTES;
            while let Some(head) = FrameHead::parse(&bytes[at.min(bytes.len())..], stamp, at as u64) {
                let end = at + FRAME_HEAD_BYTES + head.payload_bytes as usize + 4;
                let mut number = None;
                if head.kind == FrameKind::Record {
                    let record = records.next().expect("our bug: as many records as record frames");
                    let of = room::number_of(&record).expect("a sound record");
                    number = Some(of);
                    self.records.insert(of, record);
                }
                self.frames.push(Frame { path: path.clone(), bytes: at..end, kind: head.kind, number });
                at = end;
            }
        }
        assert_eq!(self.records.len() as u64, RECORDS, "our bug: every record is in the journal");
    }

    /// Numbers of the records that a mutation leaves as they were, and what they need to be read.
    fn untouched(&self, mutated: &BTreeMap<PathBuf, Vec<u8>>) -> Vec<u64> {
        let whole = |frame: &Frame| {
            let same = |files: &BTreeMap<PathBuf, Vec<u8>>| {
                files.get(&frame.path).and_then(|bytes| bytes.get(frame.bytes.clone()).map(<[u8]>::to_vec))
            };
            same(mutated).is_some() && same(mutated) == same(&self.files)
        };
        let sealed = |path: &Path| path.extension().is_some_and(|ending| ending == "seg");
        // An open segment has each policy once, before its records; a sealed one again in its footer.
        let policies_whole = |path: &Path| {
            let policies = self.frames.iter().filter(|frame| frame.path == path && frame.kind == FrameKind::Policy);
            let footer =
                self.frames.iter().any(|frame| frame.path == path && frame.kind == FrameKind::Footer && whole(frame));
            policies.into_iter().all(whole) || (sealed(path) && footer && trailer_is_whole(path, &self.files, mutated))
        };
        let untouched = self.frames.iter().filter(|frame| whole(frame) && policies_whole(&frame.path));
        untouched.filter_map(|frame| frame.number).collect()
    }
}

fn trailer_is_whole(path: &Path, files: &BTreeMap<PathBuf, Vec<u8>>, mutated: &BTreeMap<PathBuf, Vec<u8>>) -> bool {
    let end = |files: &BTreeMap<PathBuf, Vec<u8>>| {
        files.get(path).map(|bytes| bytes[bytes.len().saturating_sub(32)..].to_vec())
    };
    end(files) == end(mutated)
}

/// What is done to a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mutation {
    Flip,
    Burst,
    Zeros,
    Cut,
    Delete,
    Swap,
    Misdirected,
}

const MUTATIONS: [Mutation; 10] = [
    Mutation::Flip,
    Mutation::Flip,
    Mutation::Flip,
    Mutation::Flip,
    Mutation::Burst,
    Mutation::Zeros,
    Mutation::Cut,
    Mutation::Delete,
    Mutation::Swap,
    Mutation::Misdirected,
];

/// Bytes of a segment that were ever written; behind them an open one has reserved space.
fn written(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

fn mutate(journal: &Journal, numbers: &mut Seeded) -> (Mutation, BTreeMap<PathBuf, Vec<u8>>) {
    loop {
        let mutation = *numbers.pick(&MUTATIONS);
        let mut files = journal.files.clone();
        let segments = journal.segments_with_records();
        let path = numbers.pick(&segments);
        let other = numbers.pick(&segments);
        let bytes = files.get_mut(path).expect("our bug: the segment is among the files");
        let end = written(bytes);
        match mutation {
            Mutation::Flip => {
                let at = numbers.index(end);
                bytes[at] ^= 1 << numbers.between(0, 8);
            }
            Mutation::Burst => {
                let (at, length) = (numbers.index(end), 1 + numbers.index(40));
                bytes[at..(at + length).min(end)].fill_with(|| numbers.number() as u8);
            }
            Mutation::Zeros => {
                let at = numbers.index(end) / BLOCK_BYTES * BLOCK_BYTES;
                let to = (at + BLOCK_BYTES).min(bytes.len());
                bytes[at..to].fill(0);
            }
            Mutation::Cut => bytes.truncate(numbers.index(end)),
            Mutation::Delete => drop(files.remove(path)),
            Mutation::Swap => {
                let (one, two) = (journal.files[path].clone(), journal.files[other].clone());
                files.insert(path.clone(), two);
                files.insert(other.clone(), one);
            }
            Mutation::Misdirected => {
                let from = numbers.index(journal.files[other].len()) / SECTOR_BYTES * SECTOR_BYTES;
                let to = numbers.index(end) / SECTOR_BYTES * SECTOR_BYTES;
                let length = SECTOR_BYTES.min(journal.files[other].len() - from).min(bytes.len() - to);
                bytes[to..to + length].copy_from_slice(&journal.files[other][from..from + length]);
            }
        }
        if files != journal.files {
            return (mutation, files);
        }
    }
}

pub(super) fn run(order: &Order) -> Told {
    let journal = Journal::new();
    in_parallel(order, 4, |seed| {
        let (mutation, files) = mutate(&journal, &mut Seeded::new(seed));
        let mut figures = Figures { units: 1, ..Figures::default() };
        let lost = recover(&journal, mutation, &files).map_err(|what| format!("{mutation:?}: {what}"))?;
        figures.add("records lost, all of them touched", lost);
        Ok(figures)
    })
}

/// Recovers a mutated journal and reads it through. Gives how many records are lost.
fn recover(journal: &Journal, mutation: Mutation, files: &BTreeMap<PathBuf, Vec<u8>>) -> Result<u64, String> {
    let dir = room::folder();
    let moved = |path: &PathBuf| dir.path().join(path.strip_prefix(journal.dir.path()).unwrap_or(path));
    let disk = SimDisk::with_files(&files.iter().map(|(path, bytes)| (moved(path), bytes.clone())).collect());
    std::fs::copy(journal.dir.path().join("counters"), dir.path().join("counters")).expect("the counters are copied");
    let began = Instant::now();
    let (capture, report) = room::open(dir.path(), &disk).map_err(|error| format!("no start: {error}"))?;
    if began.elapsed() > START_LIMIT {
        return Err(format!("a start took {:?}", began.elapsed()));
    }
    if capture.ledger().imbalance() != 0 {
        return Err(format!("the book does not balance: {:?}", capture.ledger()));
    }
    let mut found: BTreeMap<u64, Record> = BTreeMap::new();
    let seen = read(&capture, &disk, &mut found)? || tells(&report);
    for (number, record) in &found {
        if journal.records.get(number) != Some(record) {
            return Err(format!("the record of call {number} is another: {record:?}"));
        }
    }
    let lost: Vec<u64> = journal.untouched(files).into_iter().filter(|number| !found.contains_key(number)).collect();
    if !lost.is_empty() && mutation != Mutation::Swap {
        return Err(format!("untouched records are lost: {lost:?}, {report:?}"));
    }
    let missing = journal.records.len() - found.len();
    if !seen && (missing > 0 || !may_be_silent(journal, mutation, files)) {
        let places = places(journal, files);
        return Err(format!("nobody tells of the damage at {places:?}; {missing} records are lost, {report:?}"));
    }
    Ok(missing as u64)
}

/// Where no record is lost, two mutations leave nothing to tell: segments that were swapped are whole, each under the
/// other's name; and an open segment that lost its last frame of counters is one in which it was not yet written.
fn may_be_silent(journal: &Journal, mutation: Mutation, files: &BTreeMap<PathBuf, Vec<u8>>) -> bool {
    let changed = journal.files.iter().filter(|(path, bytes)| files.get(*path) != Some(bytes));
    let only_open = changed.into_iter().all(|(path, _)| path.extension().is_some_and(|ending| ending == "open"));
    mutation == Mutation::Swap || (only_open && matches!(mutation, Mutation::Zeros | Mutation::Cut))
}

/// Where files differ first.
fn places(journal: &Journal, files: &BTreeMap<PathBuf, Vec<u8>>) -> Vec<(String, usize)> {
    let differ = |(path, bytes): (&PathBuf, &Vec<u8>)| {
        let mutated = files.get(path)?;
        let at = bytes.iter().zip(mutated).position(|(a, b)| a != b)?;
        Some((path.file_name()?.to_string_lossy().into_owned(), at))
    };
    journal.files.iter().filter_map(differ).collect()
}

fn tells(report: &RecoveryReport) -> bool {
    !report.damages.is_empty()
        || !report.missing_segments.is_empty()
        || !report.notes.is_empty()
        || report.torn_bytes > 0
        || report.lost_unclean > 0
}

/// Reads every sealed segment; whether any of them tells of damage.
fn read(capture: &Capture, disk: &SimDisk, found: &mut BTreeMap<u64, Record>) -> Result<bool, String> {
    let mut seen = false;
    for segment in capture.sealed() {
        let Some(bytes) = disk.read(&segment.path) else { return Err(format!("{} is not there", segment.name)) };
        let Ok(mut reader) = SegmentReader::from_bytes(bytes.into()) else {
            seen = true;
            continue;
        };
        seen |= reader.header_damaged() || reader.footer().is_none() || reader.digest_matches() != Some(true);
        for item in reader {
            let Ok(record) = item else {
                seen = true;
                continue;
            };
            let number = room::number_of(&record)?;
            if found.insert(number, record).is_some() {
                return Err(format!("the record of call {number} stands twice"));
            }
        }
    }
    Ok(seen)
}
