//! The leader who writes for everyone at the [line](super::line), and what callers and the keeper share.
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

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::Thread;
use std::time::Instant;

use bytes::Bytes;
use captura_route::{CapturePolicy, Clock, Held, Holder};
use tokio::sync::watch;

use super::book::BookKeeping;
use super::commit::Commit;
use super::disk::{Disk, write_all_at};
use super::frame::{FRAME_HEAD_BYTES, FRAME_OVERHEAD_BYTES, FrameHead, Stamp};
use super::line::{Batch, Entering, Line, Piece, put_payload};
use super::segment::Tally;
use super::space::Space;
use crate::destination::Destinations;
use crate::ledger::{DropReason, Ledger};
use crate::record::Lsn;
use crate::sampler::Salt;
use crate::settings::Settings;

/// Frames up to this size share a buffer; larger ones are put together before the lock is taken.
const SHARED_FRAME_MAX_BYTES: usize = 64 << 10;
/// Batches that one caller writes before the keeper takes over, so that no caller serves the others for ever.
const LEADER_ROUNDS: usize = 4;
/// Unsynced bytes beyond this many times `sync_bytes` stop writing until a sync is through.
const UNSYNCED_FACTOR: u64 = 4;
/// How far a segment may grow beyond `seal_bytes` while the next one is not ready.
const OVERSHOOT_MAX_BYTES: u64 = 64 << 20;
/// Pending bytes that are written at once although nobody waits for them.
const GATHER_MAX_BYTES: u64 = 256 << 10;

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while holding a lock is our bug; the counters and buffers behind it are valid at every step all the same.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes that were written.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) unsynced: Vec<Piece>,
    pub(crate) unsynced_bytes: u64,
    pub(crate) since: Option<Instant>,
    pub(crate) commits: Vec<Arc<Commit>>,
    /// Memory of the unsynced bytes.
    pub(crate) held: Option<Held>,
    pub(crate) ring: VecDeque<Recent>,
    pub(crate) ring_bytes: u64,
}

/// Bytes of a segment that were written not long ago, kept for `tail`: whole frames.
#[derive(Debug, Clone)]
pub(crate) struct Recent {
    pub(crate) stamp: Stamp,
    /// Where they stand in their segment, bytes.
    pub(crate) offset: u64,
    pub(crate) bytes: Bytes,
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
    pub(crate) space: Space,
    pub(crate) books: Mutex<BookKeeping>,
    pub(crate) sealed_changed: watch::Sender<u64>,
    pub(crate) keeper: Mutex<Option<Thread>>,
    pub(crate) nudged: AtomicBool,
    /// Something is pending that nobody waits for.
    pub(crate) gathering: AtomicBool,
    pub(crate) stop: AtomicBool,
    pub(crate) requests: Mutex<Vec<super::keeper::Request>>,
    /// Memory of the recent records.
    pub(crate) _recent: Held,
    pub(crate) _lock: File,
}

/// What [`Shared::append`] gives back.
pub(crate) struct Appended {
    pub(crate) lsn: Lsn,
    pub(crate) commit: Arc<Commit>,
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
            match reason {
                // Part of every orderly end: calls are drained before, so none is likely to be lost to it.
                DropReason::ShutdownDeadline => tracing::debug!("the journal takes no more records"),
                _ => tracing::warn!(reason = reason.as_str(), "capture is unavailable"),
            }
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

    /// Lets the keeper write what is pending when some more has come together; nobody waits for it.
    pub(crate) fn nudge_soon(&self) {
        if self.queue_bytes.load(Ordering::Relaxed) >= GATHER_MAX_BYTES {
            self.nudge();
        } else if !self.gathering.swap(true, Ordering::AcqRel)
            && let Some(keeper) = &*lock(&self.keeper)
        {
            keeper.unpark();
        }
    }

    /// Hands a record in. It is booked by whoever writes it; an error is for the caller to book.
    pub(crate) fn append(&self, entering: &Entering<'_>) -> Result<Appended, DropReason> {
        if let Some(reason) = self.blocked().filter(|reason| !(entering.is_reserved && reason.is_want_of_space())) {
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
        if !entering.is_reserved {
            self.space.check(frame_bytes as u64)?;
        }
        self.make_room(&mut line, frame_bytes as u64)?;
        self.hold(&mut line, frame_bytes as u64, entering.is_reserved)?;
        let lsn = line.enter(entering, big).ok_or(DropReason::IoError)?;
        if self.space.used(frame_bytes as u64) {
            self.destinations.hold_back(true);
        }
        self.queue_bytes.store(line.pending.bytes, Ordering::Relaxed);
        Ok(Appended { lsn, commit: Arc::clone(&line.pending.commit) })
    }

    /// Takes memory for a record. What has its room on the disk set aside is not refused for want of memory: it is counted.
    fn hold(&self, line: &mut Line, bytes: u64, is_reserved: bool) -> Result<(), DropReason> {
        let memory = &self.settings.memory;
        let more = if is_reserved {
            memory.count(Holder::Records, bytes)
        } else {
            memory.take(Holder::Records, bytes).ok_or(DropReason::MemBudget)?
        };
        match &mut line.pending.held {
            Some(held) => held.absorb(more),
            held => *held = Some(more),
        }
        Ok(())
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

    /// Whether writing waits for a sync to come through.
    pub(crate) fn is_crowded(&self) -> bool {
        lock(&self.written).unsynced_bytes > self.settings.sync_bytes.saturating_mul(UNSYNCED_FACTOR)
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
            if self.is_crowded() || (round == LEADER_ROUNDS && !as_keeper) {
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
        let Batch { pieces, entries, policies, segments, commit, bytes, held } = batch;
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
            written.hold(held);
            written.since.get_or_insert_with(Instant::now);
            if commit.wants_sync() {
                written.commits.push(Arc::clone(&commit));
            }
            first || commit.wants_sync() || written.unsynced_bytes >= self.settings.sync_bytes
        };
        commit.written();
        if self.stop.load(Ordering::Acquire) {
            self.tell_nothing_is_synced(DropReason::ShutdownDeadline);
        }
        if nudge {
            self.nudge();
        }
    }

    /// What the keeper leaves behind at its end: nobody writes or syncs any more. `stop` must be set before, so that a
    /// caller who is just writing sees it.
    pub(crate) fn leave(&self, reason: DropReason) {
        drop(self.drop_pending(&mut lock(&self.line), reason));
        self.tell_nothing_is_synced(reason);
    }

    fn tell_nothing_is_synced(&self, reason: DropReason) {
        let commits = std::mem::take(&mut lock(&self.written).commits);
        commits.into_iter().for_each(|commit| commit.failed(reason));
    }

    /// What was handed in and not written is given up: the segments it was bound for take no more records, it is booked
    /// as dropped, and its callers are told.
    pub(crate) fn drop_pending(&self, line: &mut Line, reason: DropReason) -> Batch {
        // A prepared segment that got none of it is retired too: its place for policies is already taken by frames that
        // are not there.
        line.rotate();
        line.rotate();
        let pending = std::mem::take(&mut line.pending);
        line.gap_from = line.gap_from.or(pending.entries.first().map(|entry| entry.n));
        for entry in &pending.entries {
            self.ledger.dropped(entry.account, reason, 1);
        }
        self.queue_bytes.store(0, Ordering::Relaxed);
        pending.commit.failed(reason);
        pending
    }

    /// The disk refused a batch: the segment is cut back and retired, and everybody who waits is told.
    fn fail(&self, line: &mut Line, batch: &Batch, error: &io::Error) {
        let reason = reason_of(error);
        tracing::error!(%error, reason = reason.as_str(), "the journal cannot be written");
        self.block(reason);
        line.gap_from = line.gap_from.or(batch.entries.first().map(|entry| entry.n));
        // What was handed in meanwhile stands behind the hole; it goes the same way.
        let behind = self.drop_pending(line, reason);
        for segment in batch.segments.iter().chain(&behind.segments) {
            let good_end = segment.progress().written_end;
            if let Err(error) = segment.file().set_len(good_end) {
                tracing::error!(%error, segment = %segment.name, "cannot cut the segment back");
            }
        }
        for entry in &batch.entries {
            self.ledger.dropped(entry.account, reason, 1);
        }
        batch.commit.failed(reason);
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
        let retired: u64 = line.retired.iter().map(|segment| segment.progress().written_end).sum();
        // With what is handed in and on its way.
        let open = line.current.as_ref().map_or(0, |current| current.end);
        let spool = sealed + retired + open;
        self.spool_bytes.store(spool, Ordering::Relaxed);
        spool
    }
}

fn write(batch: &Batch) -> Result<(), io::Error> {
    for piece in &batch.pieces {
        write_all_at(&*piece.segment.file(), &piece.bytes, piece.offset)?;
    }
    Ok(())
}

impl Written {
    pub(crate) fn hold(&mut self, more: Option<Held>) {
        match (&mut self.held, more) {
            (Some(held), Some(more)) => held.absorb(more),
            (held @ None, more) => *held = more,
            (Some(_), None) => {}
        }
    }

    /// Keeps the newest pieces for `tail`, whole frames only, within the bound.
    fn remember(&mut self, pieces: &[Piece], limit: u64) {
        for piece in pieces {
            self.ring_bytes += piece.bytes.len() as u64;
            self.ring.push_back(Recent {
                stamp: piece.segment.stamp,
                offset: piece.offset,
                bytes: piece.bytes.clone(),
            });
        }
        while self.ring_bytes > limit {
            let Some(Recent { stamp, offset, bytes }) = self.ring.front_mut() else { break };
            let excess = self.ring_bytes - limit;
            let length = bytes.len() as u64;
            let mut cut = 0;
            // Frame by frame, so that one large batch does not empty the ring.
            while cut < length.min(excess) {
                let head = FrameHead::parse(&bytes[cut as usize..], *stamp, *offset + cut);
                cut = head.map_or(length, |head| cut + head.frame_bytes()).min(length);
            }
            self.ring_bytes -= cut;
            if cut == length {
                self.ring.pop_front();
            } else {
                *bytes = bytes.slice(cut as usize..);
                *offset += cut;
            }
        }
    }
}
