//! Records of a sealed segment that wait for a failing destination, carried over into a segment of their own, so that the
//! segment they share with others can go.
//!
//! The part is a sealed segment like any other: `seg-…-…-01.seg` has what was left of `seg-…-….seg`, with the same numbers
//! and bytes of records; gap frames stand for the numbers that it does not have. It is made under another name, synced, and
//! gets its name; it counts only when the segment that it was made from is freed, which is the replacement of the book.
//! Cut off anywhere before, a start finds both files, keeps the older one and removes the part.
//!
//! Invariant: of a segment and its part exactly one counts, whenever it is looked at.
//! Refuses to: decide what is carried; to carry what it cannot read.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use captura_route::CapturePolicy;

use super::digest::Hasher;
use super::disk::{Disk, DiskFile, write_all_at};
use super::frame::{FrameHead, FrameKind, SEGMENT_HEADER_BYTES, SegmentHeader, Stamp, frame};
use super::keeper::segment_seed;
use super::reader::{ReadError, SegmentReader};
use super::scan::{Scanned, Scanner, Source};
use super::segment::{SealedSegment, SegmentName, Tally, decode_policy, encode_gap, encode_policy, encode_trailer};
use crate::ledger::AccountKey;
use crate::record::codec;
use crate::sampler::Salt;

/// Bytes that are gathered before they are written.
const BUFFER_BYTES: usize = 1 << 20;

/// Why no part of a segment is carried over. The segment stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum CarryError {
    /// There is no such sealed segment.
    #[error("{0} is not a sealed segment of this journal")]
    Unknown(SegmentName),
    /// The segment cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A record that is to be carried was not found whole.
    #[error("{segment} gave {found} of the {wanted} records that are to be carried over")]
    Incomplete {
        /// The segment.
        segment: SegmentName,
        /// Records found.
        found: u64,
        /// Records wanted.
        wanted: u64,
    },
    /// The part cannot be written.
    #[error("cannot write the part {}: {source}", path.display())]
    Write {
        /// The part.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Which records are carried.
pub trait Numbers {
    /// Whether record `n` is.
    fn has(&self, n: u64) -> bool;
    /// How many are.
    fn count(&self) -> u64;
}

/// Where a part is made.
pub(crate) struct Place<'a> {
    pub(crate) disk: &'a dyn Disk,
    pub(crate) dir: &'a Path,
    pub(crate) salt: &'a Salt,
    pub(crate) created_unix_us: i64,
}

impl Place<'_> {
    /// Makes the part of `held` that has the records `wanted`; durable when this returns, and not yet in any book.
    pub(crate) fn carry(&self, held: &SealedSegment, wanted: &dyn Numbers) -> Result<SealedSegment, CarryError> {
        let name = held.name.next_part();
        let (staged, path) = (name.path(self.dir, SegmentName::REWRITE), name.path(self.dir, SegmentName::SEALED));
        let failed = |source| CarryError::Write { path: path.clone(), source };
        let reader = SegmentReader::open_on(self.disk, &held.path, None)?;
        let from = reader.stamp();
        let stamp = Stamp { seed: segment_seed(self.salt, name), ..from };
        let file = self.staged(&staged).map_err(failed)?;
        let head = SegmentHeader { stamp, sequence: name.sequence, created_unix_us: self.created_unix_us };
        let mut part = Part::new(&*file, stamp, &head);
        part.known = reader.footer().iter().flat_map(|footer| &footer.policies).map(known).collect();
        let source =
            self.disk.open(&held.path).map_err(|source| ReadError::Open { path: held.path.clone(), source })?;
        let end = reader.records_end();
        for scanned in Scanner::new(Source::File(source), from, SEGMENT_HEADER_BYTES as u64, end) {
            if let Scanned::Frame { head, payload, .. } = scanned {
                part.meet(head, &payload, wanted).map_err(failed)?;
            }
        }
        let (found, wanted) = (part.tally.records, wanted.count());
        if found != wanted {
            return Err(CarryError::Incomplete { segment: held.name, found, wanted });
        }
        let (tally, size_bytes) = part.end().map_err(failed)?;
        file.sync_data().map_err(failed)?;
        self.disk.rename(&staged, &path).map_err(failed)?;
        self.disk.sync_dir(self.dir).map_err(failed)?;
        Ok(SealedSegment {
            name,
            path,
            node: stamp.node,
            size_bytes,
            records: tally.records,
            first_n: tally.first_n,
            end_n: tally.end_n,
            accounts: tally.account_records(),
        })
    }

    /// A new file, whatever an earlier try left; one whose sync failed is never synced again.
    fn staged(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        match self.disk.remove(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.disk.create_new(path)
    }
}

fn known(policy: &Arc<CapturePolicy>) -> (u64, Arc<CapturePolicy>) {
    (policy.id(), Arc::clone(policy))
}

/// A part in the making.
struct Part<'a> {
    file: &'a dyn DiskFile,
    stamp: Stamp,
    buffer: Vec<u8>,
    written: u64,
    digest: Hasher,
    tally: Tally,
    known: HashMap<u64, Arc<CapturePolicy>>,
    /// Policies that stand in the part.
    told: HashMap<u64, AccountKey>,
    /// The number after the last record that was passed, carried or not.
    passed: Option<u64>,
}

impl<'a> Part<'a> {
    fn new(file: &'a dyn DiskFile, stamp: Stamp, head: &SegmentHeader) -> Self {
        Self {
            file,
            stamp,
            buffer: head.encode().to_vec(),
            written: 0,
            digest: Hasher::new(),
            tally: Tally::default(),
            known: HashMap::new(),
            told: HashMap::new(),
            passed: None,
        }
    }

    fn meet(&mut self, head: FrameHead, payload: &Bytes, wanted: &dyn Numbers) -> io::Result<()> {
        match head.kind {
            FrameKind::Policy => self.known.extend(decode_policy(payload)),
            // As a reader has it: a number that was passed already is no record.
            FrameKind::Record if self.passed.is_none_or(|passed| head.n >= passed) && head.n < u64::MAX => {
                self.passed = Some(head.n + 1);
                if wanted.has(head.n) {
                    self.take(head.n, payload)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn take(&mut self, n: u64, payload: &Bytes) -> io::Result<()> {
        let Some(id) = codec::policy_id(payload) else { return Ok(()) };
        let Some(policy) = self.known.get(&id).cloned() else { return Ok(()) };
        if self.tally.records > 0 && self.tally.end_n < n {
            self.put(FrameKind::Gap, &encode_gap(self.tally.end_n, n), n)?;
        }
        if !self.told.contains_key(&id) {
            self.put(FrameKind::Policy, &encode_policy(id, &policy), n)?;
            self.told.insert(id, AccountKey::new(&policy.endpoint, &policy.variant));
            self.tally.policies.push(policy);
        }
        let offset = self.written + self.buffer.len() as u64;
        self.put(FrameKind::Record, payload, n)?;
        self.tally.add(n, offset);
        if let Some(account) = self.told.get(&id) {
            *self.tally.accounts.entry(account.clone()).or_default() += 1;
        }
        Ok(())
    }

    fn put(&mut self, kind: FrameKind, payload: &[u8], n: u64) -> io::Result<()> {
        let offset = self.written + self.buffer.len() as u64;
        self.buffer.extend(frame(kind, payload, self.stamp, n, offset));
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        write_all_at(self.file, &self.buffer, self.written)?;
        self.digest.update(&self.buffer);
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Footer and trailer; answers what the part holds and its length.
    fn end(mut self) -> io::Result<(Tally, u64)> {
        self.flush()?;
        let footer = self.tally.footer(self.digest.digest());
        let mut ending = frame(FrameKind::Footer, &footer.encode(), self.stamp, footer.end_n, self.written);
        ending.extend(encode_trailer(self.written, self.stamp));
        write_all_at(self.file, &ending, self.written)?;
        Ok((self.tally, self.written + ending.len() as u64))
    }
}
