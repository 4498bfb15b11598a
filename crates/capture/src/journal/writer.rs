//! The line at which callers hand in their records, and the leader who writes for all of them.
//!
//! A caller copies its frame into the pending buffer under a short lock. Whoever then finds nobody writing becomes the
//! leader: it takes everything pending and writes it with one `write` per contiguous piece into the page cache, books
//! it, and wakes the callers of that batch; they wait without a thread. Nothing else happens on a caller's thread:
//! syncing, sealing, preparing segments and healing belong to the [keeper](super::keeper). When a write was slow, the
//! keeper writes too, until the disk is quick again, so that a stalled disk holds one caller's thread once.
//!
//! Invariant: at most one leader; bytes reach a segment in the order of their numbers; written bytes stay in memory until
//! a sync that covers them succeeded; a record is booked as captured after its bytes are written and never otherwise.
//! Refuses to: sync, or wait for space.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::Thread;
use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes, BytesMut};
use captura_route::{CapturePolicy, Clock};
use sha2::Sha256;
use tokio::sync::watch;

use super::book::BookKeeping;
use super::commit::Commit;
use super::disk::{Disk, DiskFile, write_all_at};
use super::frame::{FRAME_HEAD_BYTES, FRAME_OVERHEAD_BYTES, FrameHead, FrameKind, Stamp, frame};
use super::segment::{SegmentName, Tally, encode_gap, encode_policy};
use crate::destination::Destinations;
use crate::ledger::{AccountId, DropReason, Ledger};
use crate::record::Lsn;
use crate::record::codec::Encoded;
use crate::sampler::Salt;
use crate::settings::Settings;

/// Frames up to this size share a buffer; larger ones are put together before the lock is taken.
const SHARED_FRAME_MAX_BYTES: usize = 64 << 10;
/// Size of a shared buffer.
const BUFFER_BYTES: usize = 256 << 10;
/// A write slower than this hands writing to the keeper.
const SLOW_WRITE: Duration = Duration::from_millis(5);
/// As many quick writes in a row give writing back to the callers.
const QUICK_WRITES: u32 = 8;
/// Batches that one caller writes before the keeper takes over, so that no caller serves the others for ever.
const LEADER_ROUNDS: usize = 4;
/// Unsynced bytes beyond this many times `sync_bytes` stop writing until a sync is through.
const UNSYNCED_FACTOR: u64 = 4;
/// How far a segment may grow beyond `seal_bytes` while the next one is not ready.
const OVERSHOOT_MAX_BYTES: u64 = 64 << 20;

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while holding a lock is our bug; the counters and buffers behind it are valid at every step all the same.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

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
    /// SHA-256 of the bytes up to `synced_end`.
    pub(crate) digest: Sha256,
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
struct Entry {
    account: AccountId,
    n: u64,
    offset: u64,
    /// Index into the batch's segments.
    segment: usize,
}

/// What one leader writes at once.
#[derive(Debug, Default)]
struct Batch {
    pieces: Vec<Piece>,
    entries: Vec<Entry>,
    policies: Vec<(usize, Arc<CapturePolicy>)>,
    segments: Vec<Arc<Segment>>,
    commit: Arc<Commit>,
    bytes: u64,
}

/// State at the line.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) next_n: u64,
    pub(crate) current: Option<Current>,
    pub(crate) next: Option<Current>,
    /// Segments that take no more records and wait to be sealed.
    pub(crate) retired: Vec<Arc<Segment>>,
    /// First number of a run that was given out and dropped, told by a gap frame in the next segment.
    gap_from: Option<u64>,
    pending: Batch,
    tail: BytesMut,
    tail_at: u64,
    writing: bool,
    keeper_waits: bool,
    by_keeper: bool,
    quick_writes: u32,
}

/// Bytes that were written.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) unsynced: Vec<Piece>,
    pub(crate) unsynced_bytes: u64,
    pub(crate) since: Option<Instant>,
    pub(crate) commits: Vec<Arc<Commit>>,
    pub(crate) ring: VecDeque<(Stamp, Bytes)>,
    ring_bytes: u64,
}

/// Everything that callers and the keeper share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Clock,
    pub(crate) ledger: Ledger,
    pub(crate) salt: Salt,
    pub(crate) node: u32,
    pub(crate) epoch: u32,
    pub(crate) destinations: Destinations,
    pub(crate) policies: RwLock<HashMap<u64, Arc<CapturePolicy>>>,
    pub(crate) line: Mutex<Line>,
    pub(crate) writer_left: Condvar,
    pub(crate) written: Mutex<Written>,
    /// One bit per [`DropReason`]: why no record is taken now.
    pub(crate) blocked: AtomicU32,
    pub(crate) queue_bytes: AtomicU64,
    pub(crate) spool_bytes: AtomicU64,
    pub(crate) headroom_bytes: AtomicU64,
    pub(crate) reserved_bytes: AtomicU64,
    pub(crate) books: Mutex<BookKeeping>,
    pub(crate) sealed_changed: watch::Sender<u64>,
    pub(crate) keeper: Mutex<Option<Thread>>,
    pub(crate) nudged: AtomicBool,
    pub(crate) stop: AtomicBool,
    pub(crate) requests: Mutex<Vec<super::keeper::Request>>,
    pub(crate) _lock: File,
}

/// What [`Shared::append`] gives back.
pub(crate) struct Appended {
    pub(crate) lsn: Lsn,
    pub(crate) commit: Arc<Commit>,
}

/// A record on its way into the line.
pub(crate) struct Entering<'a> {
    pub(crate) encoded: Encoded,
    pub(crate) account: AccountId,
    pub(crate) policy: &'a Arc<CapturePolicy>,
    pub(crate) policy_id: u64,
    pub(crate) wants_sync: bool,
}

impl Line {
    pub(crate) fn new(first_n: u64) -> Self {
        Self {
            next_n: first_n,
            current: None,
            next: None,
            retired: Vec::new(),
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
    fn cut_tail(&mut self) {
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

    fn put(&mut self, bytes: &[u8]) {
        self.tail_for(bytes.len()).put_slice(bytes);
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

    fn take_batch(&mut self) -> Option<Batch> {
        self.cut_tail();
        if self.pending.pieces.is_empty() {
            return None;
        }
        Some(std::mem::take(&mut self.pending))
    }

    fn enter(&mut self, entering: &Entering<'_>, big: Option<Vec<u8>>) -> Option<Lsn> {
        let current = self.current.as_ref()?;
        let (segment, stamp, n) = (Arc::clone(&current.segment), current.segment.stamp, self.next_n);
        if let Some(from) = self.gap_from.take() {
            self.put(&frame(FrameKind::Gap, &encode_gap(from, n), stamp, n));
        }
        let index = self.segment_index(&segment);
        if self.current.as_mut().is_some_and(|current| current.policies.insert(entering.policy_id)) {
            self.put(&frame(FrameKind::Policy, &encode_policy(entering.policy_id, entering.policy), stamp, n));
            self.pending.policies.push((index, Arc::clone(entering.policy)));
        }
        let encoded = &entering.encoded;
        let offset = self.current.as_ref().map_or(0, |current| current.end);
        let head = FrameHead { kind: FrameKind::Record, payload_bytes: encoded.payload_bytes, epoch: stamp.epoch, n };
        let length = head.frame_bytes();
        if let Some(mut big) = big {
            head.put(stamp.seed, &mut &mut big[..FRAME_HEAD_BYTES]);
            self.cut_tail();
            self.pending.pieces.push(Piece { segment, offset, bytes: big.into() });
        } else {
            let tail = self.tail_for(length as usize);
            head.put(stamp.seed, tail);
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
            self.put(&frame(kind, payload, stamp, self.next_n));
        }
    }
}

fn put_payload(encoded: &Encoded, out: &mut impl bytes::BufMut) {
    out.put_slice(&encoded.head);
    out.put_slice(&encoded.bodies[0]);
    out.put_slice(&encoded.bodies[1]);
    out.put_u32_le(encoded.checksum);
}

/// The reason that an error of the disk is booked under.
pub(crate) fn reason_of(error: &io::Error) -> DropReason {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => DropReason::DiskFull,
        // The system took a part and then nothing: it has no room.
        io::ErrorKind::WriteZero => DropReason::DiskFull,
        _ => DropReason::IoError,
    }
}

impl Shared {
    pub(crate) fn block(&self, reason: DropReason) {
        if self.blocked.fetch_or(1 << reason as u32, Ordering::AcqRel) & (1 << reason as u32) == 0 {
            tracing::warn!(reason = reason.as_str(), "capture is unavailable");
        }
    }

    pub(crate) fn unblock(&self, reason: DropReason) {
        if self.blocked.fetch_and(!(1 << reason as u32), Ordering::AcqRel) & (1 << reason as u32) != 0 {
            tracing::info!(reason = reason.as_str(), "capture is available again");
        }
    }

    /// Why no record is taken now, if so.
    pub(crate) fn blocked(&self) -> Option<DropReason> {
        let bits = self.blocked.load(Ordering::Acquire);
        DropReason::ALL.into_iter().find(|reason| bits & (1 << *reason as u32) != 0)
    }

    /// Wakes the keeper, once until it has looked.
    pub(crate) fn nudge(&self) {
        if !self.nudged.swap(true, Ordering::AcqRel)
            && let Some(keeper) = &*lock(&self.keeper)
        {
            keeper.unpark();
        }
    }

    /// Hands a record in. It is booked by whoever writes it; an error is for the caller to book.
    pub(crate) fn append(&self, entering: &Entering<'_>) -> Result<Appended, DropReason> {
        if let Some(reason) = self.blocked() {
            return Err(reason);
        }
        let frame_bytes = FRAME_OVERHEAD_BYTES + entering.encoded.payload_bytes as usize;
        let big = (frame_bytes > SHARED_FRAME_MAX_BYTES).then(|| {
            let mut buffer = Vec::with_capacity(frame_bytes);
            buffer.resize(FRAME_HEAD_BYTES, 0);
            put_payload(&entering.encoded, &mut buffer);
            buffer
        });
        let mut line = lock(&self.line);
        if line.pending.bytes > 0 && line.pending.bytes + frame_bytes as u64 > self.settings.queue_max_bytes {
            return Err(DropReason::QueueFull);
        }
        self.make_room(&mut line, frame_bytes as u64)?;
        let lsn = line.enter(entering, big).ok_or(DropReason::IoError)?;
        self.queue_bytes.store(line.pending.bytes, Ordering::Relaxed);
        Ok(Appended { lsn, commit: Arc::clone(&line.pending.commit) })
    }

    /// Rotates when the frame does not fit. While the keeper is late with the next segment, the current one may grow.
    fn make_room(&self, line: &mut Line, frame_bytes: u64) -> Result<(), DropReason> {
        let Some(current) = &line.current else {
            // The keeper says why by blocking; until it has, the disk it is waiting for is the reason.
            return Err(self.blocked().unwrap_or(DropReason::IoError));
        };
        let full = current.end + frame_bytes + Tally::footer_bytes_at_most(current.records + 1);
        if current.records == 0 || full <= self.settings.seal_bytes {
            if line.next.is_none() && full > self.settings.seal_bytes / 2 {
                self.nudge();
            }
            return Ok(());
        }
        if line.next.is_some() {
            line.rotate();
            self.nudge();
            return Ok(());
        }
        self.nudge();
        let limit = self.settings.seal_bytes.saturating_add(OVERSHOOT_MAX_BYTES);
        if full > limit { Err(DropReason::QueueFull) } else { Ok(()) }
    }

    /// Writes what is pending, unless somebody does already.
    pub(crate) fn lead(&self, as_keeper: bool) {
        let mut line = lock(&self.line);
        if line.writing {
            return;
        }
        if line.by_keeper && !as_keeper {
            drop(line);
            return self.nudge();
        }
        for round in 0.. {
            let crowded = lock(&self.written).unsynced_bytes > self.settings.sync_bytes.saturating_mul(UNSYNCED_FACTOR);
            if crowded || (round == LEADER_ROUNDS && !as_keeper) {
                break;
            }
            let Some(batch) = line.take_batch() else { break };
            self.queue_bytes.store(0, Ordering::Relaxed);
            line.writing = true;
            drop(line);
            let started = Instant::now();
            let outcome = write(&batch);
            let took = started.elapsed();
            let failed = match outcome {
                Ok(()) => {
                    self.settle(batch);
                    None
                }
                Err(error) => Some((batch, error)),
            };
            line = lock(&self.line);
            line.pace(took);
            if let Some((batch, error)) = failed {
                self.fail(&mut line, &batch, &error);
            }
            line.writing = false;
            if line.keeper_waits {
                line.keeper_waits = false;
                self.writer_left.notify_all();
                break;
            }
            if line.by_keeper && !as_keeper {
                break;
            }
        }
        let left_over = line.has_pending();
        drop(line);
        if left_over {
            self.nudge();
        }
    }

    /// Books a written batch and tells its callers.
    fn settle(&self, batch: Batch) {
        let Batch { pieces, entries, policies, segments, commit, bytes } = batch;
        for (index, segment) in segments.iter().enumerate() {
            let mut progress = segment.progress();
            for entry in entries.iter().filter(|entry| entry.segment == index) {
                progress.tally.add(entry.n, entry.offset);
                match progress.accounts.iter_mut().find(|(account, _)| *account == entry.account) {
                    Some((_, records)) => *records += 1,
                    None => progress.accounts.push((entry.account, 1)),
                }
            }
            let new = policies.iter().filter(|(of, _)| *of == index).map(|(_, policy)| Arc::clone(policy));
            progress.tally.policies.extend(new);
            for piece in pieces.iter().filter(|piece| Arc::ptr_eq(&piece.segment, segment)) {
                progress.written_end = progress.written_end.max(piece.offset + piece.bytes.len() as u64);
            }
        }
        for run in entries.chunk_by(|a, b| a.account == b.account) {
            self.ledger.captured(run[0].account, run.len() as u64);
        }
        self.spool_bytes.fetch_add(bytes, Ordering::Relaxed);
        let nudge = {
            let mut written = lock(&self.written);
            written.remember(&pieces, self.settings.tail_max_bytes);
            let first = written.unsynced.is_empty();
            written.unsynced.extend(pieces);
            written.unsynced_bytes += bytes;
            written.since.get_or_insert_with(Instant::now);
            if commit.wants_sync() {
                written.commits.push(Arc::clone(&commit));
            }
            first || commit.wants_sync() || written.unsynced_bytes >= self.settings.sync_bytes
        };
        commit.written();
        if nudge {
            self.nudge();
        }
    }

    /// The disk refused a batch: the segment is cut back and retired, and everybody who waits is told.
    fn fail(&self, line: &mut Line, batch: &Batch, error: &io::Error) {
        let reason = reason_of(error);
        tracing::error!(%error, reason = reason.as_str(), "the journal cannot be written");
        self.block(reason);
        line.rotate();
        // What was handed in meanwhile stands behind the hole; it goes the same way. A prepared segment that got none of
        // it is retired too: its place for policies is already taken by frames that are not there.
        line.rotate();
        let behind = std::mem::take(&mut line.pending);
        line.gap_from = line.gap_from.or(batch.entries.first().or(behind.entries.first()).map(|entry| entry.n));
        for segment in batch.segments.iter().chain(&behind.segments) {
            let good_end = segment.progress().written_end;
            if let Err(error) = segment.file().set_len(good_end) {
                tracing::error!(%error, segment = %segment.name, "cannot cut the segment back");
            }
        }
        for entry in batch.entries.iter().chain(&behind.entries) {
            self.ledger.dropped(entry.account, reason, 1);
        }
        self.queue_bytes.store(0, Ordering::Relaxed);
        batch.commit.failed(reason);
        behind.commit.failed(reason);
        self.nudge();
    }

    /// Waits until nobody writes and keeps it so; for the keeper only. Ended by [`Shared::let_write`].
    pub(crate) fn hold_writers(&self) -> MutexGuard<'_, Line> {
        let mut line = lock(&self.line);
        while line.writing {
            line.keeper_waits = true;
            line = self.writer_left.wait(line).unwrap_or_else(PoisonError::into_inner);
        }
        line.writing = true;
        line
    }

    pub(crate) fn let_write(&self) {
        lock(&self.line).writing = false;
        self.nudge();
    }

    /// Counts the journal's bytes anew.
    pub(crate) fn count_spool(&self) -> u64 {
        let sealed: u64 = lock(&self.books).sealed.values().map(|segment| segment.size_bytes).sum();
        let line = lock(&self.line);
        let current = line.current.as_ref().map(|current| &current.segment);
        let open: u64 = line.retired.iter().chain(current).map(|segment| segment.progress().written_end).sum();
        self.spool_bytes.store(sealed + open, Ordering::Relaxed);
        sealed + open
    }
}

impl Line {
    fn pace(&mut self, took: Duration) {
        if took > SLOW_WRITE {
            self.by_keeper = true;
            self.quick_writes = 0;
        } else if self.by_keeper {
            self.quick_writes += 1;
            self.by_keeper = self.quick_writes < QUICK_WRITES;
        }
    }
}

fn write(batch: &Batch) -> Result<(), io::Error> {
    for piece in &batch.pieces {
        write_all_at(&*piece.segment.file(), &piece.bytes, piece.offset)?;
    }
    Ok(())
}

impl Written {
    /// Keeps the newest pieces for `tail`, whole frames only, within the bound.
    fn remember(&mut self, pieces: &[Piece], limit: u64) {
        for piece in pieces {
            self.ring_bytes += piece.bytes.len() as u64;
            self.ring.push_back((piece.segment.stamp, piece.bytes.clone()));
        }
        while self.ring_bytes > limit {
            let Some((stamp, bytes)) = self.ring.front_mut() else { break };
            let excess = self.ring_bytes - limit;
            let length = bytes.len() as u64;
            let mut cut = 0;
            // Frame by frame, so that one large batch does not empty the ring.
            while cut < length.min(excess) {
                let head = FrameHead::parse(&bytes[cut as usize..], stamp.seed, stamp.epoch);
                cut = head.map_or(length, |head| cut + head.frame_bytes()).min(length);
            }
            self.ring_bytes -= cut;
            if cut == length {
                self.ring.pop_front();
            } else {
                *bytes = bytes.slice(cut as usize..);
            }
        }
    }
}
