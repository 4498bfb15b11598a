//! The journal's own thread: everything that may take long.
//!
//! It makes written bytes durable, prepares the next segment before it is needed, seals full and old ones, watches the
//! space, and heals: whatever the disk did, it goes on trying until records can be taken again.
//!
//! Invariant: a file whose sync failed is never synced again; its bytes go to a new inode (2.3.6 of the write protocol).
//! Callers are held only for that rewriting.
//! Refuses to: give up. Its only ends are `close` and the last handle going away.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

use super::digest::Hasher;
use super::disk::{read_full_at, sync_file, sync_folder, write_all_at};
use super::frame::{FrameKind, SEGMENT_HEADER_BYTES, SegmentHeader, Stamp, frame};
use super::line::{Current, Piece, Progress, Segment};
use super::reader::UNKNOWN_N;
use super::segment::{SealedSegment, SegmentName, Tally, encode_trailer};
use super::writer::{Shared, lock, reason_of};
use crate::ledger::minutes::{Minutes, minute_of};
use crate::ledger::{DropReason, frame as ledger_frame};

/// How often a journal that cannot write looks whether it can again.
const HEAL_INTERVAL: Duration = Duration::from_millis(250);
/// How often the space is measured.
const SPACE_INTERVAL: Duration = Duration::from_secs(1);
/// How long records that nobody waits for are gathered, so that one write serves many.
const GATHER_INTERVAL: Duration = Duration::from_millis(2);
/// Longest nap when there is nothing to do.
const IDLE_INTERVAL: Duration = Duration::from_secs(1);
/// How often `close` tries to seal what the disk refuses before it leaves it to the next start.
const CLOSE_ATTEMPTS: usize = 3;

/// What a handle asks of the keeper.
#[derive(Debug)]
pub(crate) enum Request {
    /// Seal everything that holds records.
    Seal(oneshot::Sender<()>),
    /// Sync, seal, close the book, end.
    Close(oneshot::Sender<io::Result<()>>),
}

pub(crate) struct Keeper {
    shared: Arc<Shared>,
    sequence: u64,
    space_at: Option<Instant>,
    retry_at: Option<Instant>,
    sync_retry_at: Option<Instant>,
    seal_retry_at: Option<Instant>,
    book_stale: bool,
    /// The book by the minute; absent while its files cannot be opened.
    minutes: Option<Minutes>,
}

/// Held by the keeper's thread: when that dies of a bug, nobody waits for it for ever. Calls go on, their records are
/// counted as dropped, and the next start recovers what was written.
pub(crate) struct LastWord(pub(crate) Arc<Shared>);

impl Drop for LastWord {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let shared = &self.0;
        shared.block(DropReason::IoError);
        {
            let mut requests = lock(&shared.requests);
            shared.stop.store(true, Ordering::Release);
            requests.clear();
        }
        shared.leave(DropReason::IoError);
    }
}

impl Keeper {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            sequence: 0,
            space_at: None,
            retry_at: None,
            sync_retry_at: None,
            seal_retry_at: None,
            book_stale: false,
            minutes: None,
        }
    }

    /// The first round, before anyone can hand in a record.
    pub(crate) fn start(&mut self) {
        self.measure_space();
        self.seal_retired();
        self.save_book(false);
        self.ensure_segment();
        self.take_up_minutes();
    }

    /// What the last process counted and did not write belongs to the minute in which it ended.
    fn take_up_minutes(&mut self) {
        let shared = Arc::clone(&self.shared);
        let now = minute_of(shared.clock.now());
        let ended = match shared.ledger.minute() {
            0 => now,
            minute => minute.min(now),
        };
        self.write_minute(ended);
        shared.ledger.set_minute(now);
    }

    /// Writes the minute that is over.
    fn turn_the_minute(&mut self) {
        let now = minute_of(self.shared.clock.now());
        let minute = self.shared.ledger.minute();
        // A clock that goes back makes no minute twice.
        if now > minute {
            self.write_minute(minute);
            self.shared.ledger.set_minute(now);
        }
    }

    fn write_minute(&mut self, minute: i64) {
        let shared = &self.shared;
        if self.minutes.is_none() {
            match Minutes::open(&shared.settings.dir) {
                Ok(minutes) => self.minutes = Some(minutes),
                Err(error) => return tracing::warn!(%error, "the ledger's minutes cannot be opened"),
            }
        }
        let book = shared.ledger.snapshot();
        if book.imbalance() > 0 {
            tracing::error!(imbalance = book.imbalance(), "our bug: the ledger is out of balance");
        }
        let accounts = book.accounts;
        let Some(minutes) = &mut self.minutes else { return };
        if let Err(error) = minutes.write(minute, &accounts) {
            tracing::warn!(%error, "a minute of the ledger cannot be written; its counts go to the next one");
            // What was half-written is cut off when it is opened again.
            self.minutes = None;
        }
    }

    /// The thread.
    pub(crate) fn run(mut self) {
        while !self.shared.stop.load(Ordering::Acquire) {
            self.shared.nudged.store(false, Ordering::Release);
            self.round();
            if self.answer_requests() {
                let mut requests = lock(&self.shared.requests);
                self.shared.stop.store(true, Ordering::Release);
                requests.clear();
                drop(requests);
                return self.shared.leave(DropReason::ShutdownDeadline);
            }
            self.rest();
        }
    }

    /// Until there is something to do.
    fn rest(&self) {
        let shared = &self.shared;
        let is_nudged = || shared.nudged.load(Ordering::Acquire);
        if !is_nudged() && !shared.gathering.load(Ordering::Acquire) {
            std::thread::park_timeout(self.nap());
        }
        if shared.gathering.load(Ordering::Acquire) {
            let until = Instant::now() + GATHER_INTERVAL;
            // Waking up early is what the first of those that are gathered does.
            while let left = until.saturating_duration_since(Instant::now())
                && !left.is_zero()
                && !is_nudged()
            {
                std::thread::park_timeout(left);
            }
        }
        // Before the round looks at what is pending: who comes after this wakes the keeper again.
        shared.gathering.store(false, Ordering::Release);
    }

    fn nap(&self) -> Duration {
        let shared = &self.shared;
        if shared.blocked().is_some() || self.retry_at.is_some() || self.book_stale {
            return HEAL_INTERVAL;
        }
        let now = Instant::now();
        let mut nap = IDLE_INTERVAL;
        if let Some(since) = lock(&shared.written).since {
            nap = nap.min((since + shared.settings.sync_interval).saturating_duration_since(now));
        }
        let first = {
            let line = lock(&shared.line);
            if !line.retired.is_empty() {
                return HEAL_INTERVAL;
            }
            line.current.as_ref().and_then(|current| current.first_record_at)
        };
        if let Some(due) = first.and_then(|first| first.checked_add(shared.settings.seal_after)) {
            nap = nap.min(due.saturating_duration_since(now));
        }
        nap
    }

    fn round(&mut self) {
        self.shared.lead(true);
        if self.sync_is_due() {
            self.sync();
            self.shared.lead(true);
        }
        if self.space_at.is_none_or(|at| at.elapsed() >= SPACE_INTERVAL) || self.shared.blocked().is_some() {
            self.measure_space();
        }
        self.ensure_segment();
        self.rotate_by_age();
        // A failed try wakes the keeper itself: without the wait it would go round as fast as the disk fails.
        if self.seal_retry_at.is_none_or(|at| at <= Instant::now()) {
            self.seal_retired();
        }
        if self.book_stale {
            self.save_book(false);
        }
        self.turn_the_minute();
    }

    fn sync_is_due(&self) -> bool {
        if self.sync_retry_at.is_some_and(|at| at > Instant::now()) {
            return false;
        }
        let written = lock(&self.shared.written);
        let settings = &self.shared.settings;
        !written.commits.is_empty()
            || written.unsynced_bytes >= settings.sync_bytes
            || written.since.is_some_and(|since| since.elapsed() >= settings.sync_interval)
    }

    /// Makes everything written so far durable, with the accounts as they stand.
    fn sync(&mut self) {
        let shared = Arc::clone(&self.shared);
        let changed = shared.ledger.changed(false);
        if !changed.is_empty() {
            lock(&shared.line).note(FrameKind::Ledger, &ledger_frame::encode(&changed));
            shared.lead(true);
        }
        let (pieces, commits, bytes, held) = {
            let mut written = lock(&shared.written);
            written.since = None;
            let pieces = std::mem::take(&mut written.unsynced);
            (pieces, std::mem::take(&mut written.commits), written.unsynced_bytes, written.held.take())
        };
        let mut failed = Vec::new();
        for run in pieces.chunk_by(|a, b| Arc::ptr_eq(&a.segment, &b.segment)) {
            if !self.sync_segment(run) {
                failed.extend_from_slice(run);
            }
        }
        // Given back before anybody hears of it: a caller's next record finds the memory of its last one.
        let held = held.filter(|_| !failed.is_empty());
        for commit in &commits {
            if failed.is_empty() { commit.durable() } else { commit.failed(DropReason::IoError) }
        }
        let kept: u64 = failed.iter().map(|piece| piece.bytes.len() as u64).sum();
        let mut written = lock(&shared.written);
        written.unsynced_bytes = (written.unsynced_bytes + kept).saturating_sub(bytes);
        self.sync_retry_at = (!failed.is_empty()).then(|| Instant::now() + HEAL_INTERVAL);
        if !failed.is_empty() {
            written.hold(held);
            failed.append(&mut written.unsynced);
            written.unsynced = failed;
            written.since.get_or_insert_with(Instant::now);
            drop(written);
            // Nothing more is written until this is over, and nobody knows when that is.
            if shared.is_crowded() {
                drop(shared.drop_pending(&mut lock(&shared.line), DropReason::IoError));
            }
        }
    }

    /// Makes written pieces of one segment durable; `false` when they are still in memory only.
    fn sync_segment(&mut self, pieces: &[Piece]) -> bool {
        let Some(segment) = pieces.first().map(|piece| Arc::clone(&piece.segment)) else { return true };
        if !segment.progress().suspect {
            match sync_file(&*segment.file()) {
                Ok(()) => {
                    advance_digest(&segment, pieces);
                    return true;
                }
                Err(error) => {
                    tracing::error!(%error, segment = %segment.name, "a sync failed; rewriting the segment");
                    segment.progress().suspect = true;
                }
            }
        }
        match self.rewrite(&segment, pieces) {
            Ok(()) => {
                self.shared.unblock(DropReason::IoError);
                true
            }
            Err(error) => {
                tracing::error!(%error, segment = %segment.name, "the segment cannot be rewritten");
                self.shared.block(DropReason::IoError);
                self.retire_current(&segment);
                false
            }
        }
    }

    /// Puts the segment's bytes into a new inode under the same name: what was durable is read back from the old one,
    /// the rest comes from memory.
    fn rewrite(&mut self, segment: &Arc<Segment>, pieces: &[Piece]) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        drop(shared.hold_writers());
        let rewritten = self.rewrite_held(segment, pieces);
        shared.let_write();
        rewritten
    }

    fn rewrite_held(&self, segment: &Arc<Segment>, pieces: &[Piece]) -> io::Result<()> {
        let (disk, dir) = (&*self.shared.disk, &self.shared.settings.dir);
        let (open, new) = (segment.name.path(dir, SegmentName::OPEN), segment.name.path(dir, SegmentName::REWRITE));
        match disk.remove(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = disk.create_new(&new)?;
        file.allocate(self.shared.settings.seal_bytes)?;
        let old = segment.file();
        // As the system still shows it: written bytes of the old file may be nowhere else, should the process be killed now.
        let synced_end = segment.progress().synced_end;
        copy(&*old, &*file, synced_end)?;
        // Written after the failed sync was started, by callers that knew nothing of it.
        let later: Vec<Piece> = {
            let written = lock(&self.shared.written);
            written.unsynced.iter().filter(|piece| Arc::ptr_eq(&piece.segment, segment)).cloned().collect()
        };
        for piece in pieces.iter().chain(&later) {
            write_all_at(&*file, &piece.bytes, piece.offset)?;
        }
        sync_file(&*file)?;
        disk.rename(&new, &open)?;
        // From here on the name stands for the new inode, and so must every later write.
        segment.replace_file(file);
        sync_folder(disk, dir)?;
        advance_digest(segment, pieces);
        segment.progress().suspect = false;
        Ok(())
    }

    fn retire_current(&self, segment: &Arc<Segment>) {
        let mut line = lock(&self.shared.line);
        if line.current.as_ref().is_some_and(|current| Arc::ptr_eq(&current.segment, segment)) {
            line.rotate();
        }
    }

    fn measure_space(&mut self) {
        self.space_at = Some(Instant::now());
        self.shared.measure_space();
    }

    /// Keeps a current segment, and a next one when the current one is half full.
    fn ensure_segment(&mut self) {
        let (has_current, wants_next) = {
            let line = lock(&self.shared.line);
            let half = self.shared.settings.seal_bytes / 2;
            let filled = line.current.as_ref().is_some_and(|current| {
                line.next.is_none() && current.end + Tally::footer_bytes_at_most(current.records) > half
            });
            (line.current.is_some(), filled)
        };
        if has_current && !wants_next {
            self.retry_at = None;
            return;
        }
        if self.retry_at.is_some_and(|at| at > Instant::now()) {
            return;
        }
        match self.prepare() {
            Ok(current) => {
                self.retry_at = None;
                let mut line = lock(&self.shared.line);
                if line.current.is_none() {
                    line.current = Some(current);
                    drop(line);
                    // A failed write or creation is over when a new segment could be written and synced.
                    self.shared.unblock(DropReason::IoError);
                    self.shared.unblock(DropReason::DiskFull);
                    self.measure_space();
                } else {
                    line.next = Some(current);
                }
            }
            Err(error) => {
                // Told once; the tries go on several times a second for as long as the disk is full.
                if self.retry_at.replace(Instant::now() + HEAL_INTERVAL).is_none() {
                    tracing::warn!(%error, "the next segment cannot be prepared; trying again until it can");
                }
                if !has_current {
                    self.shared.block(reason_of(&error));
                }
            }
        }
    }

    /// Creates a segment that can take records: reserved, with head and accounts, durable, and so is its name.
    fn prepare(&mut self) -> io::Result<Current> {
        let shared = Arc::clone(&self.shared);
        if !lock(&shared.books).epoch_durable {
            self.try_save_book(false)?;
        }
        if shared.disk.free_bytes(&shared.settings.dir).is_ok_and(|free| free < shared.settings.min_free_bytes) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.sequence += 1;
        let name = SegmentName::whole(shared.epoch, self.sequence);
        let path = name.path(&shared.settings.dir, SegmentName::OPEN);
        let created = self.create(name);
        if created.is_err() {
            // Whatever was made of it holds no record.
            let _ = shared.disk.remove(&path);
        }
        created.map(Current::new)
    }

    fn create(&self, name: SegmentName) -> io::Result<Arc<Segment>> {
        let shared = &self.shared;
        let path = name.path(&shared.settings.dir, SegmentName::OPEN);
        let file = shared.disk.create_new(&path)?;
        file.allocate(shared.settings.seal_bytes)?;
        let stamp = Stamp { node: shared.node, epoch: shared.epoch, seed: segment_seed(&shared.salt, name) };
        let created_unix_us = shared.clock.now().unix_us();
        let mut bytes = SegmentHeader { stamp, sequence: name.sequence, created_unix_us }.encode().to_vec();
        let accounts = ledger_frame::encode(&shared.ledger.counters());
        let offset = bytes.len() as u64;
        bytes.extend(frame(FrameKind::Ledger, &accounts, stamp, UNKNOWN_N, offset));
        debug_assert!(bytes.len() >= SEGMENT_HEADER_BYTES);
        write_all_at(&*file, &bytes, 0)?;
        sync_file(&*file)?;
        sync_folder(&*shared.disk, &shared.settings.dir)?;
        let mut digest = Hasher::new();
        digest.update(&bytes);
        let end = bytes.len() as u64;
        let progress = Progress {
            tally: Tally::default(),
            accounts: Vec::new(),
            written_end: end,
            synced_end: end,
            digest,
            suspect: false,
        };
        Ok(Segment::new(name, stamp, file, progress))
    }

    fn rotate_by_age(&mut self) {
        let due = {
            let line = lock(&self.shared.line);
            let first = line.current.as_ref().and_then(|current| current.first_record_at);
            first.is_some_and(|first| first.elapsed() >= self.shared.settings.seal_after)
        };
        if due {
            self.rotate();
        }
    }

    /// Retires the current segment. It is retired even when there is no next one, so that a full spool can drain.
    fn rotate(&mut self) {
        let (segment, wants_next) = {
            let line = lock(&self.shared.line);
            (line.current.as_ref().map(|current| Arc::clone(&current.segment)), line.next.is_none())
        };
        let next = if wants_next { self.prepare().ok() } else { None };
        {
            let mut line = lock(&self.shared.line);
            if next.is_some() {
                line.next = next;
            }
            // A caller may have come first; the segment it began is not to be retired, least of all without a next one.
            if line
                .current
                .as_ref()
                .map(|current| &current.segment)
                .zip(segment.as_ref())
                .is_some_and(|(a, b)| Arc::ptr_eq(a, b))
            {
                line.rotate();
            }
        }
        self.ensure_segment();
    }

    /// Seals the retired segments whose bytes have all arrived. `true` when none is left.
    fn seal_retired(&mut self) -> bool {
        let waiting: Vec<Arc<Segment>> = {
            let mut line = lock(&self.shared.line);
            let (waiting, ready) =
                std::mem::take(&mut line.retired).into_iter().partition(|segment| line.awaits(segment));
            line.retired = waiting;
            line.sealing = ready.iter().map(|segment: &Arc<Segment>| segment.name).collect();
            ready
        };
        if waiting.is_empty() {
            return lock(&self.shared.line).retired.is_empty();
        }
        self.sync();
        self.seal_retry_at = None;
        for segment in waiting {
            if let Err(error) = self.seal(&segment) {
                tracing::error!(%error, segment = %segment.name, "the segment cannot be sealed yet");
                self.seal_retry_at = Some(Instant::now() + HEAL_INTERVAL);
                lock(&self.shared.line).retired.push(segment);
            }
        }
        let mut line = lock(&self.shared.line);
        line.sealing.clear();
        line.retired.is_empty()
    }

    fn seal(&mut self, segment: &Arc<Segment>) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let dir = &shared.settings.dir;
        let (open, sealed) = (segment.name.path(dir, SegmentName::OPEN), segment.name.path(dir, SegmentName::SEALED));
        let (records, whole, suspect) = {
            let progress = segment.progress();
            (progress.tally.records, progress.synced_end == progress.written_end, progress.suspect)
        };
        if records == 0 {
            return match shared.disk.remove(&open) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        if !whole {
            return Err(io::Error::other("its bytes are not durable"));
        }
        let (footer_at, ending) = self.ending(segment);
        let piece = Piece { segment: Arc::clone(segment), offset: footer_at, bytes: ending.into() };
        let size_bytes = footer_at + piece.bytes.len() as u64;
        // Suspect, when an earlier try to seal it came to a failed sync and the rewriting failed too.
        if suspect {
            self.rewrite_to(segment, &piece)?;
        } else {
            let file = segment.file();
            write_all_at(&*file, &piece.bytes, footer_at)?;
            file.set_len(size_bytes)?;
            if let Err(error) = sync_file(&*file) {
                tracing::error!(%error, segment = %segment.name, "a sync failed; rewriting the segment");
                segment.progress().suspect = true;
                self.rewrite_to(segment, &piece)?;
            }
        }
        match shared.disk.rename(&open, &sealed) {
            // An earlier try came as far as this, and the folder could not be synced.
            Err(error) if error.kind() == io::ErrorKind::NotFound && shared.disk.open(&sealed).is_ok() => {}
            renamed => renamed?,
        }
        sync_folder(&*shared.disk, dir)?;
        self.enter_sealed(segment, size_bytes);
        Ok(())
    }

    /// As [`Self::rewrite`], for a retired segment and its ending; nobody writes to it any more.
    fn rewrite_to(&self, segment: &Arc<Segment>, ending: &Piece) -> io::Result<()> {
        let digest = segment.progress().digest.clone();
        let rewritten = self.rewrite_held(segment, std::slice::from_ref(ending));
        let mut progress = segment.progress();
        // The ending is no part of what the digest covers, nor of the bytes that records are in.
        progress.digest = digest;
        progress.synced_end = ending.offset;
        drop(progress);
        rewritten?;
        segment.file().set_len(ending.offset + ending.bytes.len() as u64)
    }

    fn ending(&self, segment: &Arc<Segment>) -> (u64, Vec<u8>) {
        let mut progress = segment.progress();
        let accounts = progress.accounts.clone();
        progress.tally.accounts =
            accounts.iter().map(|(account, records)| (self.shared.ledger.key(*account), *records)).collect();
        let footer = progress.tally.footer(progress.digest.digest());
        let footer_at = progress.written_end;
        let mut bytes = frame(FrameKind::Footer, &footer.encode(), segment.stamp, footer.end_n, footer_at);
        bytes.extend(encode_trailer(footer_at, segment.stamp));
        (footer_at, bytes)
    }

    fn enter_sealed(&mut self, segment: &Arc<Segment>, size_bytes: u64) {
        let shared = Arc::clone(&self.shared);
        let path = segment.name.path(&shared.settings.dir, SegmentName::SEALED);
        let sealed = {
            let progress = segment.progress();
            let tally = &progress.tally;
            SealedSegment {
                name: segment.name,
                path,
                node: segment.stamp.node,
                size_bytes,
                records: tally.records,
                first_n: tally.first_n,
                end_n: tally.end_n,
                accounts: tally.account_records(),
            }
        };
        lock(&shared.books).sealed.insert(segment.name, sealed);
        self.save_book(false);
        // Heads and footers take room too.
        self.measure_space();
        shared.sealed_changed.send_modify(|version| *version += 1);
    }

    /// Saves the book; a failure is made good in a later round, the book is only a copy until then.
    fn save_book(&mut self, closed: bool) {
        self.book_stale = match self.try_save_book(closed) {
            Ok(()) => false,
            Err(error) => {
                if !self.book_stale {
                    tracing::warn!(%error, "the book cannot be saved; trying again until it can");
                }
                true
            }
        };
    }

    fn try_save_book(&self, closed: bool) -> io::Result<()> {
        let shared = &self.shared;
        let mut books = lock(&shared.books);
        let accounts = shared.ledger.snapshot().accounts;
        books.save(&*shared.disk, &shared.settings.dir, accounts, closed)
    }

    /// `true` when the thread is to end.
    fn answer_requests(&mut self) -> bool {
        let requests = std::mem::take(&mut *lock(&self.shared.requests));
        let mut closing = None;
        for request in requests {
            match request {
                Request::Seal(done) => {
                    self.seal_all();
                    // Nobody may be waiting any more.
                    let _ = done.send(());
                }
                Request::Close(done) => closing = Some(done),
            }
        }
        let Some(done) = closing else { return false };
        let _ = done.send(self.close());
        true
    }

    /// Writes what was handed in, after whoever is writing now.
    fn write_pending(&self) {
        drop(self.shared.hold_writers());
        self.shared.let_write();
        self.shared.lead(true);
    }

    fn seal_all(&mut self) {
        self.write_pending();
        let holds_records = lock(&self.shared.line).current.as_ref().is_some_and(|current| current.records > 0);
        if holds_records {
            self.rotate();
        }
        self.seal_retired();
    }

    fn close(&mut self) -> io::Result<()> {
        self.shared.block(DropReason::ShutdownDeadline);
        for attempt in 1.. {
            self.write_pending();
            self.sync();
            {
                let mut line = lock(&self.shared.line);
                line.rotate();
                line.rotate();
            }
            if self.seal_retired() && !lock(&self.shared.line).has_pending() {
                break;
            }
            if attempt == CLOSE_ATTEMPTS {
                return Err(io::Error::other("some records could not be sealed; the next start takes them up"));
            }
        }
        self.write_minute(self.shared.ledger.minute());
        self.try_save_book(true)
    }
}

/// The digest goes on over pieces that became durable, which are in the order of the file. Only the keeper changes it, so
/// it is taken out for the hashing: writers, who book what they wrote under the same lock, must not wait for that.
fn advance_digest(segment: &Segment, pieces: &[Piece]) {
    let (mut digest, mut synced_end) = {
        let progress = segment.progress();
        (progress.digest.clone(), progress.synced_end)
    };
    for piece in pieces {
        debug_assert_eq!(piece.offset, synced_end, "our bug: pieces are synced in the order of the file");
        digest.update(&piece.bytes);
        synced_end = piece.offset + piece.bytes.len() as u64;
    }
    let mut progress = segment.progress();
    progress.digest = digest;
    progress.synced_end = synced_end;
}

/// Copies the first bytes of a file; blocks that cannot be read become zeros, which no checksum believes.
fn copy(from: &dyn super::disk::DiskFile, to: &dyn super::disk::DiskFile, length: u64) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    let mut at = 0;
    while at < length {
        let part = buffer.len().min(usize::try_from(length - at).unwrap_or(usize::MAX));
        let block = &mut buffer[..part];
        match read_full_at(from, block, at) {
            Ok(read) => block[read..].fill(0),
            Err(error) => {
                tracing::error!(%error, offset = at, "a durable block cannot be read back");
                block.fill(0);
            }
        }
        write_all_at(to, block, at)?;
        at += part as u64;
    }
    Ok(())
}

/// Seed of a segment's checksums: a secret, because it follows from the salt, and another one for every segment.
pub(crate) fn segment_seed(salt: &crate::sampler::Salt, name: SegmentName) -> u32 {
    let digest = Sha256::new_with_prefix(salt).chain_update(name.to_string()).finalize();
    u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]])
}
