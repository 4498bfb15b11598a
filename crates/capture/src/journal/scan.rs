//! Walks the frames of a segment, however damaged.
//!
//! Invariant: every byte is passed over a bounded number of times and the walk always ends; memory is one window, or one
//! frame where that is longer. What cannot be read counts as damaged and is walked around.
//! Refuses to: interpret payloads.

use std::io;

use bytes::Bytes;
use memchr::memmem;

use super::disk::{DiskFile, read_full_at};
use super::frame::{FRAME_HEAD_BYTES, FRAME_MAGIC, FRAME_OVERHEAD_BYTES, FrameHead, Stamp, believed_payload};

/// Small enough that what was read is still in the processor's cache when it is looked at.
const WINDOW_BYTES: usize = 256 << 10;
const BLOCK_BYTES: usize = 4096;

/// Where the bytes of a segment come from.
#[derive(Debug)]
pub(crate) enum Source {
    File(Box<dyn DiskFile>),
    Memory(Bytes),
}

impl Source {
    pub(crate) fn length_bytes(&self) -> io::Result<u64> {
        match self {
            Self::File(file) => file.length_bytes(),
            Self::Memory(bytes) => Ok(bytes.len() as u64),
        }
    }

    /// Reads `length` bytes at `offset`, fewer at the end. Blocks that the device does not give are zeros. The memory of
    /// `before` serves again when nobody holds a part of it, so that walking a segment touches no fresh page per window.
    fn read(&self, before: Bytes, offset: u64, length: usize) -> Bytes {
        match self {
            Self::Memory(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                bytes.slice(start..start.saturating_add(length).min(bytes.len()))
            }
            Self::File(file) => {
                let mut buffer = before.try_into_mut().unwrap_or_default();
                buffer.resize(length, 0);
                let filled = match read_full_at(&**file, &mut buffer, offset) {
                    Ok(filled) => filled,
                    Err(_) => read_around_errors(&**file, &mut buffer, offset),
                };
                buffer.truncate(filled);
                buffer.freeze()
            }
        }
    }
}

fn read_around_errors(file: &dyn DiskFile, buffer: &mut [u8], offset: u64) -> usize {
    buffer.fill(0);
    let end = file.length_bytes().unwrap_or(u64::MAX).saturating_sub(offset);
    let length = buffer.len().min(usize::try_from(end).unwrap_or(usize::MAX));
    let mut at = 0;
    while at < length {
        let block = &mut buffer[at..(at + BLOCK_BYTES).min(length)];
        if read_full_at(file, block, offset + at as u64).is_err() {
            block.fill(0);
        }
        at += BLOCK_BYTES;
    }
    length
}

/// What the walk meets.
#[derive(Debug)]
pub(crate) enum Scanned {
    /// A frame with both checksums right.
    Frame { offset: u64, head: FrameHead, payload: Bytes },
    /// Bytes that are no such frame.
    Damage { offset: u64, length_bytes: u64 },
}

/// The walk.
#[derive(Debug)]
pub(crate) struct Scanner {
    source: Source,
    stamp: Stamp,
    offset: u64,
    limit: u64,
    window: Bytes,
    window_at: u64,
}

impl Scanner {
    /// Walks from `offset` to `limit`.
    pub(crate) fn new(source: Source, stamp: Stamp, offset: u64, limit: u64) -> Self {
        Self { source, stamp, offset, limit, window: Bytes::new(), window_at: 0 }
    }

    pub(crate) fn stamp(&self) -> Stamp {
        self.stamp
    }

    pub(crate) fn set_stamp(&mut self, stamp: Stamp) {
        self.stamp = stamp;
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    pub(crate) fn limit_to(&mut self, limit: u64) {
        self.limit = self.limit.min(limit);
    }

    /// Bytes at `offset`, possibly fewer than asked for at the end of the file.
    pub(crate) fn bytes(&mut self, offset: u64, length: usize) -> Bytes {
        let inside = offset.checked_sub(self.window_at).and_then(|start| usize::try_from(start).ok());
        if let Some(start) = inside
            && start.checked_add(length).is_some_and(|end| end <= self.window.len())
        {
            return self.window.slice(start..start + length);
        }
        self.window = self.source.read(std::mem::take(&mut self.window), offset, length.max(WINDOW_BYTES));
        self.window_at = offset;
        self.window.slice(..length.min(self.window.len()))
    }

    fn head_at(&mut self, offset: u64) -> Option<FrameHead> {
        let stamp = self.stamp;
        let head = FrameHead::parse(&self.bytes(offset, FRAME_HEAD_BYTES), stamp, offset)?;
        (offset.checked_add(head.frame_bytes())? <= self.limit).then_some(head)
    }

    fn zeros_from(&mut self, mut offset: u64) -> bool {
        while offset < self.limit {
            let left = usize::try_from(self.limit - offset).unwrap_or(usize::MAX).min(WINDOW_BYTES);
            let window = self.bytes(offset, left);
            if window.is_empty() {
                return true;
            }
            if window.iter().any(|byte| *byte != 0) {
                return false;
            }
            offset += window.len() as u64;
        }
        true
    }

    /// The first believable frame head at or after `offset`.
    fn search(&mut self, mut offset: u64) -> Option<u64> {
        while offset + FRAME_OVERHEAD_BYTES as u64 <= self.limit {
            let left = usize::try_from(self.limit - offset).unwrap_or(usize::MAX).min(WINDOW_BYTES);
            let window = self.bytes(offset, left);
            if window.len() < FRAME_OVERHEAD_BYTES {
                return None;
            }
            for candidate in memmem::find_iter(&window, &FRAME_MAGIC) {
                let at = offset + candidate as u64;
                if self.head_at(at).is_some() {
                    return Some(at);
                }
            }
            // The magic may lie across the border of two windows.
            offset += window.len() as u64 - 1;
        }
        None
    }
}

impl Iterator for Scanner {
    type Item = Scanned;

    fn next(&mut self) -> Option<Scanned> {
        let offset = self.offset;
        if offset >= self.limit {
            return None;
        }
        if let Some(head) = self.head_at(offset) {
            self.offset = offset + head.frame_bytes();
            let length = head.payload_bytes as usize + 4;
            let payload = self.bytes(offset + FRAME_HEAD_BYTES as u64, length);
            let whole = if payload.len() == length { believed_payload(payload) } else { None };
            return Some(match whole {
                Some(payload) => Scanned::Frame { offset, head, payload },
                None => Scanned::Damage { offset, length_bytes: head.frame_bytes() },
            });
        }
        match self.search(offset + 1) {
            Some(found) => self.offset = found,
            // Space that was reserved and never written is no damage.
            None if self.zeros_from(offset) => {
                self.offset = self.limit;
                return None;
            }
            None => self.offset = self.limit,
        }
        Some(Scanned::Damage { offset, length_bytes: self.offset - offset })
    }
}
