//! Reads the records out of a segment, sealed or not, and names what is damaged.
//!
//! Invariant: damage costs the records it touches and no others, and every number that a segment should hold comes out
//! exactly once: as a record, or inside the range of a [`Damage`]. Any bytes at all may be read: the reader ends, and
//! does not panic.
//! Refuses to: repair or write.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use captura_route::CapturePolicy;

use super::digest::Hasher;
use super::disk::{Disk, RealDisk};
use super::frame::{
    BadHeader, FRAME_HEAD_BYTES, FrameHead, FrameKind, SEGMENT_HEADER_BYTES, SegmentHeader, Stamp, believed_payload,
};
use super::scan::{Scanned, Scanner, Source};
use super::segment::{Footer, TRAILER_BYTES, decode_gap, decode_policy, decode_trailer};
use crate::record::codec::{self, BadRecord};
use crate::record::{Lsn, Record};

/// Why a segment cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be opened or measured.
    #[error("cannot open the segment {path}: {source}")]
    Open {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Head and trailer are both damaged: nothing tells what to believe.
    #[error("neither head nor trailer of the segment {path} is whole")]
    NoHead {
        /// Which file.
        path: PathBuf,
    },
    /// Written by a newer captura.
    #[error("the segment {path} has format {version}; read it with the captura that wrote it")]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its format.
        version: u16,
    },
}

/// Part of a segment that holds no readable record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Numbers of the records that are lost here; `None` when nothing tells.
    pub lsns: Option<Range<Lsn>>,
    /// Where the damage begins, bytes from the start of the file.
    pub offset: u64,
    /// How long it is, bytes; 0 when records are missing without a trace.
    pub length_bytes: u64,
    /// What is wrong.
    pub why: Why,
}

impl Damage {
    /// How many records are known to be lost here.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.lsns.as_ref().map_or(0, |lsns| lsns.end.n - lsns.start.n)
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}, {} bytes", self.why, self.offset, self.length_bytes)?;
        match &self.lsns {
            Some(lsns) if lsns.end.n - lsns.start.n == 1 => write!(f, ", record {}", lsns.start),
            Some(lsns) => write!(f, ", records {} up to but not {}", lsns.start, lsns.end),
            None => f.write_str(", records unknown"),
        }
    }
}

/// What is wrong with a part of a segment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// The checksums do not hold.
    #[error("damaged bytes")]
    Checksum,
    /// Numbers are missing between two whole frames.
    #[error("records are missing")]
    Missing,
    /// A frame is whole but its number was already passed.
    #[error("a record stands out of order")]
    OutOfOrder,
    /// A frame is whole but its payload is no record.
    #[error("{0}")]
    Record(#[from] BadRecord),
}

/// Streams the records of one segment.
#[derive(Debug)]
pub struct SegmentReader {
    scanner: Scanner,
    header_damaged: bool,
    footer: Option<Footer>,
    footer_at: Option<u64>,
    policies: HashMap<u64, Arc<CapturePolicy>>,
    expected: Option<u64>,
    torn: Option<(u64, u64)>,
    ready: VecDeque<Result<Record, Damage>>,
    ended: bool,
}

impl SegmentReader {
    /// Opens a segment file.
    ///
    /// # Errors
    /// When the file cannot be opened, or nothing in it tells what to believe.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        Self::open_on(&RealDisk, path, None)
    }

    /// Opens a segment file on any disk; `expected` serves when head and trailer are damaged.
    pub(crate) fn open_on(disk: &dyn Disk, path: &Path, expected: Option<Stamp>) -> Result<Self, ReadError> {
        let file = disk.open(path).map_err(|source| ReadError::Open { path: path.to_owned(), source })?;
        Self::new(Source::File(file), path, expected)
    }

    /// Reads a segment from memory.
    ///
    /// # Errors
    /// When nothing in the bytes tells what to believe.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, ReadError> {
        Self::new(Source::Memory(bytes), Path::new("(memory)"), None)
    }

    fn new(source: Source, path: &Path, expected: Option<Stamp>) -> Result<Self, ReadError> {
        let length = source.length_bytes().map_err(|source| ReadError::Open { path: path.to_owned(), source })?;
        let unknown = Stamp { node: 0, epoch: 0, seed: 0 };
        let mut scanner = Scanner::new(source, unknown, SEGMENT_HEADER_BYTES as u64, length);
        let header = SegmentHeader::parse(&scanner.bytes(0, SEGMENT_HEADER_BYTES));
        let trailer_at = length.saturating_sub(TRAILER_BYTES as u64);
        let trailer = decode_trailer(&scanner.bytes(trailer_at, TRAILER_BYTES));
        let stamp = match (header, trailer, expected) {
            (Err(BadHeader::Newer(version)), _, _) => return Err(ReadError::Newer { path: path.to_owned(), version }),
            (Ok(header), _, _) => header.stamp,
            (_, Some((_, stamp)), _) | (_, None, Some(stamp)) => stamp,
            (Err(BadHeader::Damaged), None, None) => return Err(ReadError::NoHead { path: path.to_owned() }),
        };
        let footer_at = trailer.map(|(footer_at, _)| footer_at);
        let footer = footer_at.and_then(|at| footer_at_offset(&mut scanner, at, stamp));
        let limit = if footer.is_some() { footer_at.unwrap_or(length) } else { length };
        scanner.set_stamp(stamp);
        scanner.limit_to(limit);
        let policies = footer.iter().flat_map(|footer| &footer.policies);
        let policies = policies.map(|policy| (policy.id(), Arc::clone(policy))).collect();
        Ok(Self {
            scanner,
            header_damaged: header.is_err(),
            expected: footer.as_ref().map(|footer| footer.first_n),
            footer_at: footer_at.filter(|_| footer.is_some()),
            footer,
            policies,
            torn: None,
            ready: VecDeque::new(),
            ended: false,
        })
    }

    /// What the segment says of itself; `None` while it is open, or when its end is damaged.
    #[must_use]
    pub fn footer(&self) -> Option<&Footer> {
        self.footer.as_ref()
    }

    /// Whether the first 64 bytes are damaged, which costs no record of a sealed segment.
    #[must_use]
    pub fn header_damaged(&self) -> bool {
        self.header_damaged
    }

    /// Which node and run wrote the segment.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        self.scanner.stamp()
    }

    /// Compares the file, byte for byte, with the digest in its footer; `None` when there is no footer. Checksums
    /// find what an accident did to a frame; the digest also finds changes that a checksum happens not to see.
    #[must_use]
    pub fn digest_matches(&mut self) -> Option<bool> {
        let footer_at = self.footer_at?;
        let told = self.footer.as_ref()?.digest;
        let mut hasher = Hasher::like(told);
        let mut at = 0;
        while at < footer_at {
            let length = usize::try_from(footer_at - at).unwrap_or(usize::MAX).min(1 << 20);
            let bytes = self.scanner.bytes(at, length);
            if bytes.is_empty() {
                return Some(false);
            }
            hasher.update(&bytes);
            at += bytes.len() as u64;
        }
        Some(hasher.digest() == told)
    }

    /// Where the record frames end, bytes from the start of the file.
    pub(crate) fn records_end(&self) -> u64 {
        self.scanner.limit()
    }

    fn lsn(&self, n: u64) -> Lsn {
        let stamp = self.scanner.stamp();
        Lsn { node: stamp.node, epoch: stamp.epoch, n }
    }

    fn damaged(&mut self, numbers: Option<Range<u64>>, at: (u64, u64), why: Why) {
        let lsns = numbers.map(|numbers| self.lsn(numbers.start)..self.lsn(numbers.end));
        self.ready.push_back(Err(Damage { lsns, offset: at.0, length_bytes: at.1, why }));
    }

    /// A whole frame tells that its number is `n`: what was expected before it is lost.
    fn reach(&mut self, n: u64, offset: u64) {
        let missing = self.expected.map(|expected| expected..n).filter(|missing| !missing.is_empty());
        match (self.torn.take(), missing) {
            (Some(torn), Some(missing)) => self.damaged(Some(missing), torn, Why::Checksum),
            (Some(torn), None) => {
                let none = self.expected.map(|expected| expected..expected);
                self.damaged(none, torn, Why::Checksum);
            }
            (None, Some(missing)) => self.damaged(Some(missing), (offset, 0), Why::Missing),
            (None, None) => {}
        }
        self.expected = Some(n);
    }

    fn meet_record(&mut self, offset: u64, head: FrameHead, payload: &Bytes) {
        if self.expected.is_some_and(|expected| head.n < expected) {
            return self.damaged(None, (offset, head.frame_bytes()), Why::OutOfOrder);
        }
        self.reach(head.n, offset);
        match codec::decode(payload, self.lsn(head.n), |id| self.policies.get(&id).cloned()) {
            Ok(record) => self.ready.push_back(Ok(record)),
            Err(bad) => self.damaged(Some(head.n..head.n + 1), (offset, head.frame_bytes()), bad.into()),
        }
        self.expected = Some(head.n.saturating_add(1));
    }

    fn meet(&mut self, offset: u64, head: FrameHead, payload: &Bytes) {
        match head.kind {
            FrameKind::Record if head.n < u64::MAX => self.meet_record(offset, head, payload),
            FrameKind::Record => self.damaged(None, (offset, head.frame_bytes()), Why::OutOfOrder),
            FrameKind::Policy => {
                self.expected = self.expected.or(Some(head.n).filter(|n| *n < UNKNOWN_N));
                self.policies.extend(decode_policy(payload));
            }
            FrameKind::Gap => {
                if let Some((from, end)) = decode_gap(payload)
                    && self.expected.is_none_or(|expected| expected <= from)
                    && from < end
                {
                    self.reach(from, offset);
                    self.expected = Some(end);
                }
            }
            FrameKind::Ledger => {}
            FrameKind::Footer => {
                // Met only when the trailer is damaged: the frame itself is whole and ends the segment.
                if let Some(footer) = Footer::decode(payload) {
                    self.footer = Some(footer);
                    self.footer_at = Some(offset);
                    self.scanner.limit_to(offset);
                }
            }
        }
    }

    fn end(&mut self) {
        self.ended = true;
        match self.footer.as_ref().map(|footer| footer.end_n) {
            Some(end_n) if self.expected.is_none_or(|expected| expected < end_n) => self.reach(end_n, 0),
            _ => {
                if let Some(torn) = self.torn.take() {
                    // Behind a whole footer nothing is lost; in an open segment the numbers are unknown.
                    let none = self.footer.is_some().then(|| self.expected.map(|n| n..n)).flatten();
                    self.damaged(none, torn, Why::Checksum);
                }
            }
        }
    }
}

/// `n` of a frame that was written before the number of the next record was known.
pub(crate) const UNKNOWN_N: u64 = u64::MAX;

fn footer_at_offset(scanner: &mut Scanner, at: u64, stamp: Stamp) -> Option<Footer> {
    let head = FrameHead::parse(&scanner.bytes(at, FRAME_HEAD_BYTES), stamp, at)?;
    let length = head.payload_bytes as usize + 4;
    let payload = scanner.bytes(at.checked_add(FRAME_HEAD_BYTES as u64)?, length);
    if head.kind != FrameKind::Footer || payload.len() != length {
        return None;
    }
    Footer::decode(&believed_payload(payload)?)
}

impl Iterator for SegmentReader {
    type Item = Result<Record, Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Some(ready);
            }
            if self.ended {
                return None;
            }
            match self.scanner.next() {
                Some(Scanned::Frame { offset, head, payload }) => self.meet(offset, head, &payload),
                Some(Scanned::Damage { offset, length_bytes }) => {
                    let (from, before) = self.torn.unwrap_or((offset, 0));
                    self.torn = Some((from, (offset - from).max(before) + length_bytes));
                }
                None => self.end(),
            }
        }
    }
}

/// Feeds arbitrary bytes to the reader, as a fuzz target does; answers how many records and damages came out.
#[must_use]
pub fn read_arbitrary(bytes: &[u8]) -> (u64, u64) {
    let Ok(mut reader) = SegmentReader::from_bytes(Bytes::copy_from_slice(bytes)) else { return (0, 0) };
    let _ = reader.digest_matches();
    let (mut records, mut damages) = (0, 0);
    for item in reader {
        match item {
            Ok(_) => records += 1,
            Err(damage) => {
                let _ = damage.to_string();
                damages += 1;
            }
        }
    }
    (records, damages)
}
