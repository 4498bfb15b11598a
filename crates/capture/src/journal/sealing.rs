//! How a segment becomes durable, and how it ends.
//!
//! Invariant: a file whose sync failed is never synced again. What was durable is read back from it, what was not comes
//! from memory, and both go to a new inode under the same name. A segment is sealed only when all of it is durable.
//! Refuses to: give a segment the name `.seg` before its footer is on the disk.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use sha2::Digest as _;

use super::disk::{DiskFile, read_full_at, write_all_at};
use super::frame::{FrameKind, frame};
use super::keeper::{HEAL_INTERVAL, Keeper};
use super::line::{Piece, Progress, Segment};
use super::segment::{SealedSegment, SegmentName, encode_trailer};
use super::writer::lock;
use crate::ledger::DropReason;

impl Keeper {
    /// Makes written pieces of one segment durable; `false` when they are still in memory only.
    pub(super) fn sync_segment(&mut self, pieces: &[Piece]) -> bool {
        let Some(segment) = pieces.first().map(|piece| Arc::clone(&piece.segment)) else { return true };
        if !segment.progress().suspect {
            match segment.file().sync_data() {
                Ok(()) => {
                    advance_digest(&mut segment.progress(), pieces);
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
        let (open, new) = (segment.name.path(dir, SegmentName::OPEN), segment.name.path(dir, "rewrite"));
        match disk.remove(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = disk.create_new(&new)?;
        file.allocate(self.shared.settings.seal_bytes)?;
        let old = segment.file();
        old.forget_cache();
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
        file.sync_data()?;
        disk.rename(&new, &open)?;
        disk.sync_dir(dir)?;
        segment.replace_file(file);
        let mut progress = segment.progress();
        advance_digest(&mut progress, pieces);
        progress.suspect = false;
        Ok(())
    }

    fn retire_current(&self, segment: &Arc<Segment>) {
        let mut line = lock(&self.shared.line);
        if line.current.as_ref().is_some_and(|current| Arc::ptr_eq(&current.segment, segment)) {
            line.rotate();
        }
    }

    /// Seals the retired segments whose bytes have all arrived. `true` when none is left.
    pub(super) fn seal_retired(&mut self) -> bool {
        let waiting: Vec<Arc<Segment>> = {
            let mut line = lock(&self.shared.line);
            let (waiting, ready) =
                std::mem::take(&mut line.retired).into_iter().partition(|segment| line.awaits(segment));
            line.retired = waiting;
            ready
        };
        if waiting.is_empty() {
            return lock(&self.shared.line).retired.is_empty();
        }
        self.sync();
        for segment in waiting {
            if let Err(error) = self.seal(&segment) {
                tracing::error!(%error, segment = %segment.name, "the segment cannot be sealed yet");
                self.retry_at.get_or_insert_with(|| Instant::now() + HEAL_INTERVAL);
                lock(&self.shared.line).retired.push(segment);
            }
        }
        lock(&self.shared.line).retired.is_empty()
    }

    fn seal(&mut self, segment: &Arc<Segment>) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let dir = &shared.settings.dir;
        let (open, sealed) = (segment.name.path(dir, SegmentName::OPEN), segment.name.path(dir, SegmentName::SEALED));
        let (records, whole) = {
            let progress = segment.progress();
            (progress.tally.records, progress.synced_end == progress.written_end && !progress.suspect)
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
        let file = segment.file();
        write_all_at(&*file, &piece.bytes, footer_at)?;
        file.set_len(size_bytes)?;
        if let Err(error) = file.sync_data() {
            tracing::error!(%error, segment = %segment.name, "a sync failed; rewriting the segment");
            segment.progress().suspect = true;
            self.rewrite_to(segment, &piece)?;
        }
        shared.disk.rename(&open, &sealed)?;
        shared.disk.sync_dir(dir)?;
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
        let sha256 = progress.digest.clone().finalize().into();
        let footer = progress.tally.footer(sha256);
        let footer_at = progress.written_end;
        let mut bytes = frame(FrameKind::Footer, &footer.encode(), segment.stamp, footer.end_n);
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
                node: shared.node,
                size_bytes,
                records: tally.records,
                first_n: tally.first_n,
                end_n: tally.end_n,
                accounts: tally.account_records(),
            }
        };
        lock(&shared.books).sealed.insert(segment.name, sealed);
        self.save_book(false);
        shared.sealed_changed.send_modify(|version| *version += 1);
    }
}

/// The digest goes on over pieces that became durable, which are in the order of the file.
fn advance_digest(progress: &mut Progress, pieces: &[Piece]) {
    for piece in pieces {
        debug_assert_eq!(piece.offset, progress.synced_end, "our bug: pieces are synced in the order of the file");
        progress.digest.update(&piece.bytes);
        progress.synced_end = piece.offset + piece.bytes.len() as u64;
    }
}

/// Copies the first bytes of a file; blocks that cannot be read become zeros, which no checksum believes.
fn copy(from: &dyn DiskFile, to: &dyn DiskFile, length: u64) -> io::Result<()> {
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
