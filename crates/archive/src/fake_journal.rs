//! A journal in memory whose freeing can be made to fail, for this crate's tests.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use captura_capture::journal::reader::{Damage, Why};
use captura_capture::record::{Lsn, Record};
use captura_capture::{AccountRecords, Departure, SealedSegment, SegmentName};
use captura_names::S3Uri;
use tokio::sync::watch;

use crate::journal::{Backlog, Items, Journal};
use crate::runs::Runs;

type Content = (SealedSegment, Vec<Result<Record, Damage>>);
type Freed = (SegmentName, Vec<AccountRecords>);
type CheckBeforeFree = Box<dyn Fn(&SegmentName) + Send + Sync>;

pub(crate) struct FakeJournal {
    segments: Mutex<BTreeMap<SegmentName, Content>>,
    pub(crate) freed: Mutex<Vec<Freed>>,
    /// So many calls of `free` fail.
    pub(crate) free_failures: AtomicUsize,
    /// Of a limit of 800 bytes.
    pub(crate) backlog_bytes: AtomicU64,
    pub(crate) destinations: Mutex<Vec<S3Uri>>,
    pub(crate) marks: Mutex<Vec<(S3Uri, bool)>>,
    pub(crate) before_free: Mutex<CheckBeforeFree>,
    pub(crate) evicted: Mutex<Vec<AccountRecords>>,
    pub(crate) failing: Mutex<Vec<(S3Uri, bool)>>,
    /// Parts that count once their segment goes.
    parts: Mutex<BTreeMap<SegmentName, Content>>,
    changed: watch::Sender<u64>,
}

impl FakeJournal {
    pub(crate) fn new() -> Self {
        Self {
            segments: Mutex::default(),
            freed: Mutex::default(),
            free_failures: AtomicUsize::default(),
            backlog_bytes: AtomicU64::default(),
            destinations: Mutex::default(),
            marks: Mutex::default(),
            before_free: Mutex::new(Box::new(|_| {})),
            evicted: Mutex::default(),
            failing: Mutex::default(),
            parts: Mutex::default(),
            changed: watch::channel(0).0,
        }
    }

    /// Seals a segment of these items; records are those of epoch 3.
    pub(crate) fn seal(&self, sequence: u64, items: Vec<Result<Record, Damage>>) -> SegmentName {
        let name = SegmentName::whole(3, sequence);
        let numbers: Vec<(u64, u64)> = items
            .iter()
            .map(|item| match item {
                Ok(record) => (record.lsn.n, record.lsn.n + 1),
                Err(damage) => damage.lsns.as_ref().map_or((u64::MAX, 0), |lsns| (lsns.start.n, lsns.end.n)),
            })
            .collect();
        let segment = SealedSegment {
            name,
            path: "(memory)".into(),
            node: 0xaa,
            size_bytes: 0,
            records: items.len() as u64,
            first_n: numbers.iter().map(|(first, _)| *first).min().unwrap_or(0),
            end_n: numbers.iter().map(|(_, end)| *end).max().unwrap_or(0),
            accounts: Vec::new(),
        };
        self.segments.lock().unwrap().insert(name, (segment, items));
        self.changed.send_modify(|version| *version += 1);
        name
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.segments.lock().unwrap().is_empty()
    }
}

/// Record `n` cannot be read.
pub(crate) fn damage(n: u64) -> Damage {
    let lsn = |n| Lsn { node: 0xaa, epoch: 3, n };
    Damage { lsns: Some(lsn(n)..lsn(n + 1)), offset: 64, length_bytes: 100, why: Why::Checksum }
}

impl Journal for FakeJournal {
    fn sealed(&self) -> Vec<SealedSegment> {
        self.segments.lock().unwrap().values().map(|(segment, _)| segment.clone()).collect()
    }

    fn sealed_changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn backlog(&self) -> Backlog {
        Backlog { bytes: self.backlog_bytes.load(Ordering::SeqCst), limit_bytes: 800 }
    }

    fn read(&self, segment: &SealedSegment) -> Result<Items, String> {
        let segments = self.segments.lock().unwrap();
        let (_, items) = segments.get(&segment.name).ok_or("the segment is gone")?;
        Ok(Box::new(items.clone().into_iter()))
    }

    fn carry(&self, segment: &SegmentName, numbers: &Runs) -> Result<SealedSegment, String> {
        let segments = self.segments.lock().unwrap();
        let (whole, items) = segments.get(segment).ok_or("the segment is gone")?;
        let carried = |item: &&Result<Record, Damage>| item.as_ref().is_ok_and(|record| numbers.contains(record.lsn.n));
        let items: Vec<_> = items.iter().filter(carried).cloned().collect();
        let part = SealedSegment {
            name: segment.next_part(),
            records: items.len() as u64,
            first_n: numbers.first().unwrap(),
            end_n: numbers.last().unwrap() + 1,
            ..whole.clone()
        };
        self.parts.lock().unwrap().insert(part.name, (part.clone(), items));
        Ok(part)
    }

    fn let_go(&self, segment: &SegmentName, departure: &Departure<'_>) -> Result<(), String> {
        let uploaded = departure.uploaded;
        (self.before_free.lock().unwrap())(segment);
        let failures = &self.free_failures;
        if failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Err("freeing fails on purpose".into());
        }
        self.segments.lock().unwrap().remove(segment);
        if let Some(part) = departure.carried {
            let content = self.parts.lock().unwrap().remove(&part.name).ok_or("the part was not made")?;
            self.segments.lock().unwrap().insert(part.name, content);
        }
        self.evicted.lock().unwrap().extend_from_slice(departure.evicted);
        self.freed.lock().unwrap().push((*segment, uploaded.to_vec()));
        self.changed.send_modify(|version| *version += 1);
        Ok(())
    }

    fn destinations(&self) -> Vec<S3Uri> {
        self.destinations.lock().unwrap().clone()
    }

    fn mark_destination(&self, destination: &S3Uri, unwritable: Option<String>) {
        self.marks.lock().unwrap().push((destination.clone(), unwritable.is_some()));
    }

    fn mark_failing(&self, destination: &S3Uri, failing: bool) {
        self.failing.lock().unwrap().push((destination.clone(), failing));
    }
}
