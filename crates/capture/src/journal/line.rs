//! The line at which records queue up: one buffer that all callers copy into, and the segment they are bound for.
//!
//! Invariant: a record's number, segment and offset are given in one step under one lock, so numbers and offsets grow
//! together; a policy stands in a segment before the first record that was kept under it.
//! Refuses to: do IO.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes, BytesMut};
use captura_route::{CapturePolicy, Held};

use super::commit::Commit;
use super::digest::Hasher;
use super::disk::DiskFile;
use super::frame::{FRAME_HEAD_BYTES, FrameHead, FrameKind, Stamp, frame};
use super::segment::{SegmentName, Tally, encode_gap, encode_policy};
use super::writer::lock;
use crate::ledger::AccountId;
use crate::record::Lsn;
use crate::record::codec::Encoded;

/// Size of a shared buffer.
const BUFFER_BYTES: usize = 256 << 10;
/// A write slower than this hands writing to the keeper.
const SLOW_WRITE: Duration = Duration::from_millis(5);
/// As many quick writes in a row give writing back to the callers.
const QUICK_WRITES: u32 = 8;

/// A segment that is being written.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) name: SegmentName,
    pub(crate) stamp: Stamp,
    file: RwLock<Arc<dyn DiskFile>>,
    pub(crate) progress: Mutex<Progress>,
}

/// How far a segment has come.
#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) tally: Tally,
    pub(crate) accounts: Vec<(AccountId, u64)>,
    pub(crate) written_end: u64,
    pub(crate) synced_end: u64,
    /// Digest of the bytes up to `synced_end`.
    pub(crate) digest: Hasher,
    /// A sync failed: the file must be rewritten to a new inode and never be synced again.
    pub(crate) suspect: bool,
}

impl Segment {
    pub(crate) fn new(name: SegmentName, stamp: Stamp, file: Box<dyn DiskFile>, progress: Progress) -> Arc<Self> {
        Arc::new(Self { name, stamp, file: RwLock::new(file.into()), progress: Mutex::new(progress) })
    }

    pub(crate) fn file(&self) -> Arc<dyn DiskFile> {
        Arc::clone(&self.file.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn replace_file(&self, file: Box<dyn DiskFile>) {
        *self.file.write().unwrap_or_else(PoisonError::into_inner) = file.into();
    }

    pub(crate) fn progress(&self) -> MutexGuard<'_, Progress> {
        lock(&self.progress)
    }
}

/// The segment that takes records, seen from the line.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) segment: Arc<Segment>,
    /// Where the next frame goes.
    pub(crate) end: u64,
    pub(crate) records: u64,
    pub(crate) first_record_at: Option<Instant>,
    policies: HashSet<u64>,
}

impl Current {
    pub(crate) fn new(segment: Arc<Segment>) -> Self {
        let end = segment.progress().written_end;
        Self { segment, end, records: 0, first_record_at: None, policies: HashSet::new() }
    }
}

/// Bytes at their place.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) segment: Arc<Segment>,
    pub(crate) offset: u64,
    pub(crate) bytes: Bytes,
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) account: AccountId,
    pub(super) n: u64,
    pub(super) offset: u64,
    /// Index into the batch's segments.
    pub(super) segment: usize,
}

/// What one leader writes at once.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(super) pieces: Vec<Piece>,
    pub(super) entries: Vec<Entry>,
    pub(super) policies: Vec<(usize, Arc<CapturePolicy>)>,
    pub(super) segments: Vec<Arc<Segment>>,
    pub(super) commit: Arc<Commit>,
    pub(super) bytes: u64,
    /// Its part of the memory budget.
    pub(super) held: Option<Held>,
}

/// State at the line.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) next_n: u64,
    pub(crate) current: Option<Current>,
    pub(crate) next: Option<Current>,
    /// Segments that take no more records and wait to be sealed.
    pub(crate) retired: Vec<Arc<Segment>>,
    /// Segments that are being sealed: neither in here any more, nor in the books yet.
    pub(crate) sealing: Vec<SegmentName>,
    /// First number of a run that was given out and dropped, told by a gap frame in the next segment.
    pub(super) gap_from: Option<u64>,
    pub(super) pending: Batch,
    tail: BytesMut,
    tail_at: u64,
    pub(super) writing: bool,
    pub(super) keeper_waits: bool,
    pub(super) by_keeper: bool,
    quick_writes: u32,
}

/// A record on its way into the line.
pub(crate) struct Entering<'a> {
    pub(crate) encoded: Encoded,
    pub(crate) account: AccountId,
    pub(crate) policy: &'a Arc<CapturePolicy>,
    pub(crate) policy_id: u64,
    pub(crate) wants_sync: bool,
    /// Whether space was set aside for it before the model ran.
    pub(crate) is_reserved: bool,
}

impl Line {
    pub(crate) fn new(first_n: u64) -> Self {
        Self {
            next_n: first_n,
            current: None,
            next: None,
            retired: Vec::new(),
            sealing: Vec::new(),
            gap_from: None,
            pending: Batch::default(),
            tail: BytesMut::new(),
            tail_at: 0,
            writing: false,
            keeper_waits: false,
            by_keeper: false,
            quick_writes: 0,
        }
    }

    /// The shared buffer becomes a piece of the pending batch.
    pub(super) fn cut_tail(&mut self) {
        if self.tail.is_empty() {
            return;
        }
        let Some(current) = &self.current else { return self.tail.clear() };
        let bytes = self.tail.split().freeze();
        self.pending.pieces.push(Piece { segment: Arc::clone(&current.segment), offset: self.tail_at, bytes });
    }

    /// Makes room in the shared buffer, and answers it.
    fn tail_for(&mut self, length: usize) -> &mut BytesMut {
        if self.tail.capacity() - self.tail.len() < length {
            self.cut_tail();
            self.tail = BytesMut::with_capacity(BUFFER_BYTES.max(length));
        }
        if self.tail.is_empty() {
            self.tail_at = self.current.as_ref().map_or(0, |current| current.end);
        }
        &mut self.tail
    }

    fn put(&mut self, kind: FrameKind, payload: &[u8], stamp: Stamp, n: u64) {
        let offset = self.current.as_ref().map_or(0, |current| current.end);
        let bytes = frame(kind, payload, stamp, n, offset);
        self.tail_for(bytes.len()).put_slice(&bytes);
        self.advance(bytes.len() as u64);
    }

    fn advance(&mut self, length: u64) {
        self.pending.bytes += length;
        if let Some(current) = &mut self.current {
            current.end += length;
        }
    }

    /// Index of the current segment among the segments of the pending batch.
    fn segment_index(&mut self, segment: &Arc<Segment>) -> usize {
        match self.pending.segments.last() {
            Some(last) if Arc::ptr_eq(last, segment) => {}
            _ => self.pending.segments.push(Arc::clone(segment)),
        }
        self.pending.segments.len() - 1
    }

    /// The next segment takes over; without one, none takes records.
    pub(crate) fn rotate(&mut self) {
        self.cut_tail();
        if let Some(current) = self.current.take() {
            self.retired.push(current.segment);
        }
        self.current = self.next.take();
    }

    pub(crate) fn has_pending(&self) -> bool {
        self.pending.bytes > 0
    }

    /// Whether frames of a segment are still on their way to it.
    pub(crate) fn awaits(&self, segment: &Arc<Segment>) -> bool {
        self.writing || self.pending.pieces.iter().any(|piece| Arc::ptr_eq(&piece.segment, segment))
    }

    pub(super) fn take_batch(&mut self) -> Option<Batch> {
        self.cut_tail();
        if self.pending.pieces.is_empty() {
            return None;
        }
        Some(std::mem::take(&mut self.pending))
    }

    pub(super) fn enter(&mut self, entering: &Entering<'_>, big: Option<Vec<u8>>) -> Option<Lsn> {
        let current = self.current.as_ref()?;
        let (segment, stamp, n) = (Arc::clone(&current.segment), current.segment.stamp, self.next_n);
        if let Some(from) = self.gap_from.take() {
            self.put(FrameKind::Gap, &encode_gap(from, n), stamp, n);
        }
        let index = self.segment_index(&segment);
        if self.current.as_mut().is_some_and(|current| current.policies.insert(entering.policy_id)) {
            self.put(FrameKind::Policy, &encode_policy(entering.policy_id, entering.policy), stamp, n);
            self.pending.policies.push((index, Arc::clone(entering.policy)));
        }
        let encoded = &entering.encoded;
        let offset = self.current.as_ref().map_or(0, |current| current.end);
        let head = FrameHead { kind: FrameKind::Record, payload_bytes: encoded.payload_bytes, epoch: stamp.epoch, n };
        let length = head.frame_bytes();
        if let Some(mut big) = big {
            head.put(stamp.seed, offset, &mut &mut big[..FRAME_HEAD_BYTES]);
            self.cut_tail();
            self.pending.pieces.push(Piece { segment, offset, bytes: big.into() });
        } else {
            let tail = self.tail_for(length as usize);
            head.put(stamp.seed, offset, tail);
            put_payload(encoded, tail);
        }
        self.advance(length);
        self.pending.entries.push(Entry { account: entering.account, n, offset, segment: index });
        if entering.wants_sync {
            self.pending.commit.want_sync();
        }
        self.next_n += 1;
        if let Some(current) = &mut self.current {
            current.records += 1;
            current.first_record_at.get_or_insert_with(Instant::now);
        }
        Some(Lsn { node: stamp.node, epoch: stamp.epoch, n })
    }

    /// A frame that is no record, into the current segment if there is one.
    pub(crate) fn note(&mut self, kind: FrameKind, payload: &[u8]) {
        if let Some(current) = &self.current {
            let (segment, stamp) = (Arc::clone(&current.segment), current.segment.stamp);
            self.segment_index(&segment);
            self.put(kind, payload, stamp, self.next_n);
        }
    }

    pub(super) fn pace(&mut self, took: Duration) {
        if took > SLOW_WRITE {
            self.by_keeper = true;
            self.quick_writes = 0;
        } else if self.by_keeper {
            self.quick_writes += 1;
            self.by_keeper = self.quick_writes < QUICK_WRITES;
        }
    }
}

pub(super) fn put_payload(encoded: &Encoded, out: &mut impl bytes::BufMut) {
    out.put_slice(&encoded.head);
    out.put_slice(&encoded.bodies[0]);
    out.put_slice(&encoded.bodies[1]);
    out.put_u32_le(encoded.checksum);
}
