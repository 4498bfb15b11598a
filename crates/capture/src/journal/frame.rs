//! Frames: what a segment is made of.
//!
//! A segment file is a header and then frames, back to back, little endian throughout:
//!
//! ```text
//! segment header, 64 bytes            frame
//!  0  8  magic "CAPTJRNL"              0  2  magic CA F7
//!  8  2  format version, 2             2  1  kind: 1 record, 2 policy, 3 ledger, 4 footer, 5 gap
//! 10  2  length of this header, 64     3  1  zero
//! 12  4  node                          4  4  length of the payload
//! 16  4  epoch                         8  4  epoch
//! 20  4  seed of the frame checksums  12  8  n: the record's, else the n of the next record
//! 24  8  sequence of the segment      20  4  CRC32C of bytes 0..20, continued from seed ⊕ offset of the frame
//! 32  8  created, µs since 1970       24  …  payload
//! 40 20  zero                          …  4  CRC32C of the payload
//! 60  4  CRC32C of bytes 0..60
//! ```
//!
//! Invariant: a frame is believed only when both checksums hold. The seed is a secret of the data directory, so bytes
//! that a caller sent can never pass for a frame when a reader searches behind damage, and neither can frames of another
//! segment; the epoch keeps blocks of an earlier run from surfacing as new ones. The offset binds a frame to its place: one
//! that a disk put elsewhere is damage where it lies, and does not pass for the one that belongs there. Frames of version 1
//! were continued from the seed alone and are believed at any place.
//! Refuses to: know what payloads mean.

use bytes::{Buf as _, BufMut, Bytes};

use crate::sabotage::{self, Sabotage};

/// Length of a segment header, bytes.
pub const SEGMENT_HEADER_BYTES: usize = 64;
/// Length of a frame's head, bytes.
pub const FRAME_HEAD_BYTES: usize = 24;
/// What a frame costs beyond its payload, bytes.
pub const FRAME_OVERHEAD_BYTES: usize = FRAME_HEAD_BYTES + 4;
/// Longest payload that is written or believed, bytes: bounds the memory of recovery.
pub const MAX_PAYLOAD_BYTES: usize = 64 << 20;
/// First bytes of a frame.
pub const FRAME_MAGIC: [u8; 2] = [0xCA, 0xF7];
/// Format version written; readers refuse newer ones.
pub const FORMAT_VERSION: u16 = 2;

const SEGMENT_MAGIC: [u8; 8] = *b"CAPTJRNL";

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// One record.
    Record = 1,
    /// A capture policy, once per segment before the first record that was kept under it.
    Policy = 2,
    /// Accounts of the ledger, absolute counters.
    Ledger = 3,
    /// End of a sealed segment.
    Footer = 4,
    /// Numbers that were given out but whose records were dropped, and why.
    Gap = 5,
}

impl FrameKind {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Record,
            2 => Self::Policy,
            3 => Self::Ledger,
            4 => Self::Footer,
            5 => Self::Gap,
            _ => return None,
        })
    }
}

/// Head of a frame, believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHead {
    /// What it carries.
    pub kind: FrameKind,
    /// Length of the payload, bytes.
    pub payload_bytes: u32,
    /// Run of the server.
    pub epoch: u32,
    /// The record's number, or the number of the next record.
    pub n: u64,
}

impl FrameHead {
    /// Writes the head of a frame that stands at `offset`, bytes from the start of its segment.
    pub fn put(&self, seed: u32, offset: u64, out: &mut impl BufMut) {
        let mut head = [0; FRAME_HEAD_BYTES];
        head[..2].copy_from_slice(&FRAME_MAGIC);
        head[2] = self.kind as u8;
        head[4..8].copy_from_slice(&self.payload_bytes.to_le_bytes());
        head[8..12].copy_from_slice(&self.epoch.to_le_bytes());
        head[12..20].copy_from_slice(&self.n.to_le_bytes());
        let checksum = checksum(&head, bound(seed, offset));
        head[20..].copy_from_slice(&checksum.to_le_bytes());
        out.put_slice(&head);
    }

    /// Reads the head at `offset`, bytes from the start of the segment; `None` when it is not one of this segment and place.
    #[must_use]
    pub fn parse(bytes: &[u8], stamp: Stamp, offset: u64) -> Option<Self> {
        let head = bytes.first_chunk::<FRAME_HEAD_BYTES>()?;
        if head[..2] != FRAME_MAGIC || head[3] != 0 {
            return None;
        }
        let kind = FrameKind::from_byte(head[2])?;
        let mut rest = &head[4..];
        let (payload_bytes, epoch, n, told) =
            (rest.get_u32_le(), rest.get_u32_le(), rest.get_u64_le(), rest.get_u32_le());
        let believed = epoch == stamp.epoch
            && payload_bytes as usize <= MAX_PAYLOAD_BYTES
            && (told == checksum(head, bound(stamp.seed, offset)) || told == checksum(head, stamp.seed));
        believed.then_some(Self { kind, payload_bytes, epoch, n })
    }

    /// Length of the whole frame, bytes.
    #[must_use]
    pub fn frame_bytes(&self) -> u64 {
        FRAME_OVERHEAD_BYTES as u64 + u64::from(self.payload_bytes)
    }
}

fn checksum(head: &[u8; FRAME_HEAD_BYTES], from: u32) -> u32 {
    crc32c::crc32c_append(from, &head[..20])
}

/// What the checksum of a head continues from. Checksums of the same bytes from different numbers always differ, so a
/// frame is believed at one place only; no segment is so long that its offsets repeat in 32 bits.
fn bound(seed: u32, offset: u64) -> u32 {
    seed ^ offset as u32
}

/// A whole frame with a payload that is at hand, to stand at `offset`, bytes from the start of its segment.
#[must_use]
pub fn frame(head_kind: FrameKind, payload: &[u8], stamp: Stamp, n: u64, offset: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(FRAME_OVERHEAD_BYTES + payload.len());
    let payload_bytes = u32::try_from(payload.len()).expect("our bug: payloads are bounded before they are framed");
    FrameHead { kind: head_kind, payload_bytes, epoch: stamp.epoch, n }.put(stamp.seed, offset, &mut out);
    out.put_slice(payload);
    out.put_u32_le(crc32c::crc32c(payload));
    out
}

/// Checks a payload against the checksum behind it; `bytes` is payload and checksum.
#[must_use]
pub fn believed_payload(mut bytes: Bytes) -> Option<Bytes> {
    let checksum = bytes.split_off(bytes.len().checked_sub(4)?).get_u32_le();
    let holds = crc32c::crc32c(&bytes) == checksum || sabotage::is(Sabotage::NoChecksum);
    holds.then_some(bytes)
}

/// What ties a frame to its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Which node.
    pub node: u32,
    /// Which run.
    pub epoch: u32,
    /// Seed of the checksums of heads.
    pub seed: u32,
}

/// Head of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Node, epoch, seed.
    pub stamp: Stamp,
    /// Which segment of the epoch, from 1.
    pub sequence: u64,
    /// Wall time of creation, µs since 1970.
    pub created_unix_us: i64,
}

/// Why a segment header is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadHeader {
    /// Not a segment, or its head is damaged.
    #[error("the head of the segment is damaged")]
    Damaged,
    /// Written by a newer captura.
    #[error("the segment has format {0}, this captura reads up to {FORMAT_VERSION}")]
    Newer(u16),
}

impl SegmentHeader {
    /// The 64 bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut head = [0; SEGMENT_HEADER_BYTES];
        head[..8].copy_from_slice(&SEGMENT_MAGIC);
        head[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        head[10..12].copy_from_slice(&(SEGMENT_HEADER_BYTES as u16).to_le_bytes());
        head[12..16].copy_from_slice(&self.stamp.node.to_le_bytes());
        head[16..20].copy_from_slice(&self.stamp.epoch.to_le_bytes());
        head[20..24].copy_from_slice(&self.stamp.seed.to_le_bytes());
        head[24..32].copy_from_slice(&self.sequence.to_le_bytes());
        head[32..40].copy_from_slice(&self.created_unix_us.to_le_bytes());
        let checksum = crc32c::crc32c(&head[..60]);
        head[60..].copy_from_slice(&checksum.to_le_bytes());
        head
    }

    /// Reads the 64 bytes.
    ///
    /// # Errors
    /// When they are damaged or of a newer format.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadHeader> {
        let head = bytes.get(..SEGMENT_HEADER_BYTES).ok_or(BadHeader::Damaged)?;
        let mut checksum = &head[60..];
        if head[..8] != SEGMENT_MAGIC || checksum.get_u32_le() != crc32c::crc32c(&head[..60]) {
            return Err(BadHeader::Damaged);
        }
        let mut rest = &head[8..];
        let (version, _length) = (rest.get_u16_le(), rest.get_u16_le());
        if version > FORMAT_VERSION {
            return Err(BadHeader::Newer(version));
        }
        let stamp = Stamp { node: rest.get_u32_le(), epoch: rest.get_u32_le(), seed: rest.get_u32_le() };
        Ok(Self { stamp, sequence: rest.get_u64_le(), created_unix_us: rest.get_i64_le() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { node: 0x0102_0304, epoch: 7, seed: 0x5EED_5EED };

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_bytes_of_a_segment_header_never_change() {
        let header = SegmentHeader { stamp: STAMP, sequence: 9, created_unix_us: 1_650_241_308_871_000 };
        let bytes = header.encode();
        assert_eq!(hex(&bytes), HEADER_GOLDEN);
        assert_eq!(SegmentHeader::parse(&bytes), Ok(header));
    }

    #[test]
    fn the_bytes_of_a_frame_never_change() {
        let bytes = frame(FrameKind::Record, b"hello", STAMP, 42, 4096);
        assert_eq!(hex(&bytes), FRAME_GOLDEN);
        let head = FrameHead::parse(&bytes, STAMP, 4096).unwrap();
        assert_eq!(head, FrameHead { kind: FrameKind::Record, payload_bytes: 5, epoch: 7, n: 42 });
        assert_eq!(head.frame_bytes(), bytes.len() as u64);
        let payload = Bytes::from(bytes).slice(FRAME_HEAD_BYTES..);
        assert_eq!(believed_payload(payload).unwrap(), &b"hello"[..]);
    }

    #[test]
    fn segments_of_the_first_version_are_read_and_their_frames_believed_wherever_they_stand() {
        let bytes = |hex: &str| -> Vec<u8> {
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
        };
        assert_eq!(SegmentHeader::parse(&bytes(HEADER_GOLDEN_1)).unwrap().stamp, STAMP);
        let head = FrameHead { kind: FrameKind::Record, payload_bytes: 5, epoch: 7, n: 42 };
        for offset in [64, 4096, 64 << 20] {
            assert_eq!(FrameHead::parse(&bytes(FRAME_GOLDEN_1), STAMP, offset), Some(head));
        }
    }

    #[test]
    fn a_flip_of_any_bit_of_a_head_is_seen() {
        let bytes = frame(FrameKind::Record, b"", STAMP, 1, 64);
        for bit in 0..FRAME_HEAD_BYTES * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(FrameHead::parse(&flipped, STAMP, 64), None, "bit {bit}");
        }
        let parse = |stamp, offset| FrameHead::parse(&bytes, stamp, offset);
        assert_eq!(parse(Stamp { seed: STAMP.seed ^ 1, ..STAMP }, 64), None, "another segment's frame");
        assert_eq!(parse(Stamp { epoch: STAMP.epoch + 1, ..STAMP }, 64), None, "another run's frame");
        assert_eq!(parse(STAMP, 64 + 512), None, "a frame in another place");
    }

    #[test]
    fn a_newer_format_is_told_from_damage() {
        let header = SegmentHeader { stamp: STAMP, sequence: 1, created_unix_us: 0 };
        let mut bytes = header.encode();
        bytes[8] = 3;
        assert_eq!(SegmentHeader::parse(&bytes), Err(BadHeader::Damaged));
        let checksum = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(SegmentHeader::parse(&bytes), Err(BadHeader::Newer(3)));
    }

    const HEADER_GOLDEN: &str = "434150544a524e4c020040000403020107000000ed5eed5e0900000000000000584902bfe2dc0500\
        000000000000000000000000000000000000000080236a30";
    const HEADER_GOLDEN_1: &str = "434150544a524e4c010040000403020107000000ed5eed5e0900000000000000584902bfe2dc0500\
        00000000000000000000000000000000000000008f4835d9";
    const FRAME_GOLDEN_1: &str = "caf7010005000000070000002a00000000000000a946af8068656c6c6f4cbb719a";
    const FRAME_GOLDEN: &str = "caf7010005000000070000002a0000000000000042a44c3268656c6c6f4cbb719a";
}
