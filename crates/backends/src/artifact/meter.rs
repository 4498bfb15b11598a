//! Counts the bytes that go into a decompressor and come out of it, and stops a bomb while it goes off.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use super::Limits;

/// Which limit an archive went beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// Too many bytes.
    #[error("it unpacks to more than {max} bytes")]
    Bytes {
        /// The limit, bytes.
        max: u64,
    },
    /// Too many bytes for its own size.
    #[error("it unpacks to more than {max} times its own size")]
    Ratio {
        /// The limit.
        max: u64,
    },
    /// Too many files and folders.
    #[error("it holds more than {max} files and folders")]
    Entries {
        /// The limit.
        max: u64,
    },
}

#[derive(Debug, Default)]
struct Counts {
    packed_bytes: Cell<u64>,
    unpacked_bytes: Cell<u64>,
    breach: Cell<Option<Breach>>,
}

/// The two counters around one decompressor.
#[derive(Debug)]
pub(super) struct Meter {
    limits: Limits,
    counts: Rc<Counts>,
}

impl Meter {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, counts: Rc::default() }
    }

    /// Counts what `archive` gives.
    pub(super) fn packed<R: Read>(&self, archive: R) -> Packed<R> {
        Packed { inner: archive, counts: Rc::clone(&self.counts) }
    }

    /// Counts what the decompressor gives, and fails when it gives too much.
    pub(super) fn unpacked<R: Read>(&self, decompressor: R) -> Unpacked<R> {
        Unpacked { inner: decompressor, limits: self.limits, counts: Rc::clone(&self.counts) }
    }

    /// Which limit was the reason of a read error, if one was.
    pub(super) fn breach(&self) -> Option<Breach> {
        self.counts.breach.get()
    }
}

pub(super) struct Packed<R> {
    inner: R,
    counts: Rc<Counts>,
}

impl<R: Read> Read for Packed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.counts.packed_bytes.set(self.counts.packed_bytes.get() + read as u64);
        Ok(read)
    }
}

pub(super) struct Unpacked<R> {
    inner: R,
    limits: Limits,
    counts: Rc<Counts>,
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let unpacked = self.counts.unpacked_bytes.get() + read as u64;
        self.counts.unpacked_bytes.set(unpacked);
        let by_ratio = self.counts.packed_bytes.get().saturating_mul(self.limits.max_ratio);
        let breach = if unpacked > self.limits.max_bytes {
            Breach::Bytes { max: self.limits.max_bytes }
        } else if unpacked > by_ratio.max(Limits::RATIO_FLOOR_BYTES) {
            Breach::Ratio { max: self.limits.max_ratio }
        } else {
            return Ok(read);
        };
        self.counts.breach.set(Some(breach));
        Err(io::Error::other(breach))
    }
}
