//! Any bytes as a journal segment: records come out, damage is described, and the reader ends.
//!
//! No fuzzer finds checksums, so an input that begins with an odd byte is a script of frames that are sealed here:
//! `kind, length (two bytes, little endian), payload` again and again, where the high bit of `kind` damages the frame
//! behind its checksum. What is left at the end is appended as it is. An even first byte gives the rest as a file.
#![no_main]

use captura_capture::journal::frame::{FrameKind, SegmentHeader, Stamp, frame};
use captura_capture::journal::reader::read_arbitrary;
use captura_capture::journal::segment::encode_trailer;
use libfuzzer_sys::fuzz_target;

const STAMP: Stamp = Stamp { node: 7, epoch: 3, seed: 0x5eed };
const KINDS: [FrameKind; 5] =
    [FrameKind::Record, FrameKind::Policy, FrameKind::Ledger, FrameKind::Footer, FrameKind::Gap];

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, bytes)) = bytes.split_first() else { return };
    let segment = if choice % 2 == 0 { bytes.to_vec() } else { sealed(bytes) };
    let (records, _damages) = read_arbitrary(&segment);
    assert!(records <= segment.len() as u64, "a record takes a byte at least");
});

fn sealed(mut script: &[u8]) -> Vec<u8> {
    let header = SegmentHeader { stamp: STAMP, sequence: 1, created_unix_us: 1_767_225_600_000_000 };
    let mut segment = header.encode().to_vec();
    let mut n = 1;
    while let [kind, low, high, rest @ ..] = script {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
        let (payload, after) = rest.split_at(length);
        script = after;
        let head_kind = KINDS[usize::from(kind & 0x7f) % KINDS.len()];
        let mut framed = frame(head_kind, payload, STAMP, n, segment.len() as u64);
        n += u64::from(head_kind == FrameKind::Record);
        if kind & 0x80 != 0 {
            let at = length % framed.len();
            framed[at] ^= 1;
        }
        let footer_at = segment.len() as u64;
        segment.extend_from_slice(&framed);
        if head_kind == FrameKind::Footer {
            segment.extend_from_slice(&encode_trailer(footer_at, STAMP));
        }
    }
    segment.extend_from_slice(script);
    segment
}
