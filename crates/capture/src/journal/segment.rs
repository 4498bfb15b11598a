//! Segments: names, footers, and what is known of a sealed one.
//!
//! `seg-<epoch>-<sequence>.open` is being written; `seg-<epoch>-<sequence>-<part>.seg` holds what was carried over of a
//! sealed one (see [`super::carry`]); `….seg` is sealed: it ends with a footer frame and a trailer and never
//! changes again. The footer's payload, little endian:
//!
//! ```text
//!  0  1  version, 2        8  8  records               32 16  XXH3-128 of the file up to the footer frame, then zeros
//!  4  4  accounts         16  8  first n   24  8  end n (one past the last)
//! 64  …  per account: 1 length of endpoint, 1 length of variant, both texts, records as LEB128
//!     …  4 policies, then per policy: 4 length, JSON
//!     …  4 length of the index, then the distance of each record frame from the one before, as LEB128
//! ```
//!
//! ```text
//! trailer, the last 32 bytes:  0 8 offset of the footer frame   8 4 node  12 4 epoch  16 4 seed  20 4 "CEND"
//!                             24 4 zero   28 4 CRC32C of bytes 0..28
//! ```
//!
//! The trailer repeats node, epoch and seed, and the footer repeats the policies, so that damage to the head of a sealed
//! segment, or to a policy frame, costs no record.
//!
//! Invariant: a file with the ending `.seg` was complete and durable before it got that name.
//! Refuses to: hold records; that is the reader's work.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf as _, BufMut as _};
use captura_route::CapturePolicy;
use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::frame::Stamp;
use crate::ledger::AccountKey;
use crate::ledger::frame::{put_varint, take_varint};

/// Length of the trailer, bytes.
pub const TRAILER_BYTES: usize = 32;
const TRAILER_MAGIC: [u8; 4] = *b"CEND";
const FOOTER_VERSION: u8 = 2;
/// With SHA-256 where now XXH3-128 and zeros stand.
const FOOTER_VERSION_SHA256: u8 = 1;

/// Name of a segment: unique in the life of a data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SegmentName {
    /// Run of the server that wrote it.
    pub epoch: u32,
    /// Which segment of that run, from 1.
    pub sequence: u64,
    /// How often what was left of it was carried over; 0 for the segment itself.
    #[serde(default, skip_serializing_if = "is_whole")]
    pub part: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_whole(part: &u32) -> bool {
    *part == 0
}

/// `seg-0000000003-000000000001`, and `seg-0000000003-000000000001-01` for a part of it.
impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seg-{:010}-{:012}", self.epoch, self.sequence)?;
        if self.part > 0 { write!(f, "-{:02}", self.part) } else { Ok(()) }
    }
}

impl SegmentName {
    pub(crate) const OPEN: &'static str = "open";
    pub(crate) const SEALED: &'static str = "seg";
    /// Half-made; a start removes it.
    pub(crate) const REWRITE: &'static str = "rewrite";

    /// The segment itself.
    #[must_use]
    pub const fn whole(epoch: u32, sequence: u64) -> Self {
        Self { epoch, sequence, part: 0 }
    }

    /// What is left of it when the rest goes.
    #[must_use]
    pub fn next_part(self) -> Self {
        Self { part: self.part.saturating_add(1), ..self }
    }

    /// Whether this segment was made from `other`, at once or step by step.
    pub(crate) fn is_part_of(self, other: Self) -> bool {
        (self.epoch, self.sequence) == (other.epoch, other.sequence) && self.part > other.part
    }

    pub(crate) fn path(&self, dir: &Path, ending: &str) -> PathBuf {
        dir.join(format!("{self}.{ending}"))
    }

    /// Whether a path is a file of that segment.
    pub(crate) fn is_of(self, path: &Path) -> bool {
        Self::parse(path).is_some_and(|(name, _)| name == self)
    }

    /// Parses a file name; answers its ending too.
    pub(crate) fn parse(path: &Path) -> Option<(Self, &str)> {
        let (stem, ending) = path.file_name()?.to_str()?.split_once('.')?;
        let (epoch, rest) = stem.strip_prefix("seg-")?.split_once('-')?;
        let (sequence, part) = rest.split_once('-').unwrap_or((rest, "0"));
        let name = Self { epoch: epoch.parse().ok()?, sequence: sequence.parse().ok()?, part: part.parse().ok()? };
        (name.to_string() == stem).then_some((name, ending))
    }
}

/// Records of one account in a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRecords {
    /// Name of the endpoint.
    pub endpoint: String,
    /// Name of the variant.
    pub variant: String,
    /// How many.
    pub records: u64,
}

impl AccountRecords {
    pub(crate) fn key(&self) -> AccountKey {
        AccountKey { endpoint: self.endpoint.as_str().into(), variant: self.variant.as_str().into() }
    }
}

/// A sealed segment, ready to be archived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSegment {
    /// Its name.
    pub name: SegmentName,
    /// Where it lies.
    pub path: PathBuf,
    /// Which node wrote it.
    pub node: u32,
    /// Length of the file, bytes.
    pub size_bytes: u64,
    /// Records in it.
    pub records: u64,
    /// Number of the first record.
    pub first_n: u64,
    /// One past the number of the last record.
    pub end_n: u64,
    /// Records by account.
    pub accounts: Vec<AccountRecords>,
}

/// What a sealed segment says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Footer {
    /// Records in the segment.
    pub records: u64,
    /// Number of the first one.
    pub first_n: u64,
    /// One past the number of the last one.
    pub end_n: u64,
    /// Of the file up to the footer frame.
    pub digest: Digest,
    /// Records by account.
    pub accounts: Vec<AccountRecords>,
    /// Policies that records were kept under.
    pub policies: Vec<Arc<CapturePolicy>>,
    /// Offsets of the record frames, ascending.
    pub offsets: Vec<u64>,
}

impl Footer {
    /// The payload of the footer frame.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128 + self.offsets.len() * 2);
        let (version, digest) = match self.digest {
            Digest::Xxh3(digest) => (FOOTER_VERSION, [digest, [0; 16]].concat()),
            Digest::Sha256(digest) => (FOOTER_VERSION_SHA256, digest.to_vec()),
        };
        out.put_slice(&[version, 0, 0, 0]);
        out.put_u32_le(self.accounts.len() as u32);
        out.put_u64_le(self.records);
        out.put_u64_le(self.first_n);
        out.put_u64_le(self.end_n);
        out.put_slice(&digest);
        for account in &self.accounts {
            out.put_slice(&[account.endpoint.len() as u8, account.variant.len() as u8]);
            out.put_slice(account.endpoint.as_bytes());
            out.put_slice(account.variant.as_bytes());
            put_varint(&mut out, account.records);
        }
        out.put_u32_le(self.policies.len() as u32);
        for policy in &self.policies {
            let json = policy_json(policy);
            out.put_u32_le(json.len() as u32);
            out.put_slice(&json);
        }
        let mut index = Vec::with_capacity(self.offsets.len() * 2);
        let mut before = 0;
        for offset in &self.offsets {
            put_varint(&mut index, offset - before);
            before = *offset;
        }
        out.put_u32_le(index.len() as u32);
        out.put_slice(&index);
        out
    }

    /// Reads the payload of a footer frame; `None` when it is malformed.
    #[must_use]
    pub fn decode(mut payload: &[u8]) -> Option<Self> {
        let bytes = &mut payload;
        let version = bytes.try_get_u8().ok()?;
        bytes.try_get_uint(3).ok()?;
        let accounts = bytes.try_get_u32_le().ok()?;
        let mut footer = Self {
            records: bytes.try_get_u64_le().ok()?,
            first_n: bytes.try_get_u64_le().ok()?,
            end_n: bytes.try_get_u64_le().ok()?,
            ..Self::default()
        };
        let (digest, rest) = bytes.split_first_chunk::<32>()?;
        let (xxh3, zeros) = digest.split_first_chunk::<16>()?;
        footer.digest = match version {
            FOOTER_VERSION_SHA256 => Digest::Sha256(*digest),
            FOOTER_VERSION if zeros.iter().all(|zero| *zero == 0) => Digest::Xxh3(*xxh3),
            _ => return None,
        };
        *bytes = rest;
        for _ in 0..accounts {
            let (endpoint, variant) = (bytes.try_get_u8().ok()?, bytes.try_get_u8().ok()?);
            let endpoint = std::str::from_utf8(take(bytes, usize::from(endpoint))?).ok()?.to_owned();
            let variant = std::str::from_utf8(take(bytes, usize::from(variant))?).ok()?.to_owned();
            footer.accounts.push(AccountRecords { endpoint, variant, records: take_varint(bytes)? });
        }
        for _ in 0..bytes.try_get_u32_le().ok()? {
            let length = bytes.try_get_u32_le().ok()?;
            footer.policies.push(Arc::new(serde_json::from_slice(take(bytes, length as usize)?).ok()?));
        }
        let length = bytes.try_get_u32_le().ok()?;
        let mut index = take(bytes, length as usize)?;
        let mut offset = 0_u64;
        while !index.is_empty() {
            offset = offset.checked_add(take_varint(&mut index)?)?;
            footer.offsets.push(offset);
        }
        bytes.is_empty().then_some(footer)
    }
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn policy_json(policy: &CapturePolicy) -> Vec<u8> {
    serde_json::to_vec(policy).expect("our bug: a policy holds only text and numbers")
}

/// Payload of a policy frame: the id, then the JSON it is the identity of.
pub(crate) fn encode_policy(id: u64, policy: &CapturePolicy) -> Vec<u8> {
    let mut out = id.to_le_bytes().to_vec();
    out.extend(policy_json(policy));
    out
}

pub(crate) fn decode_policy(mut payload: &[u8]) -> Option<(u64, Arc<CapturePolicy>)> {
    let id = payload.try_get_u64_le().ok()?;
    Some((id, Arc::new(serde_json::from_slice(payload).ok()?)))
}

/// Payload of a gap frame: numbers `from..end` were given out, and their records dropped.
pub(crate) fn encode_gap(from: u64, end: u64) -> [u8; 16] {
    let mut out = [0; 16];
    out[..8].copy_from_slice(&from.to_le_bytes());
    out[8..].copy_from_slice(&end.to_le_bytes());
    out
}

pub(crate) fn decode_gap(mut payload: &[u8]) -> Option<(u64, u64)> {
    Some((payload.try_get_u64_le().ok()?, payload.try_get_u64_le().ok()?))
}

/// The last 32 bytes of a sealed segment.
#[must_use]
pub fn encode_trailer(footer_at: u64, stamp: Stamp) -> [u8; TRAILER_BYTES] {
    let mut out = [0; TRAILER_BYTES];
    out[..8].copy_from_slice(&footer_at.to_le_bytes());
    out[8..12].copy_from_slice(&stamp.node.to_le_bytes());
    out[12..16].copy_from_slice(&stamp.epoch.to_le_bytes());
    out[16..20].copy_from_slice(&stamp.seed.to_le_bytes());
    out[20..24].copy_from_slice(&TRAILER_MAGIC);
    let checksum = crc32c::crc32c(&out[..28]);
    out[28..].copy_from_slice(&checksum.to_le_bytes());
    out
}

/// Reads a trailer: offset of the footer frame, and the stamp.
#[must_use]
pub fn decode_trailer(bytes: &[u8]) -> Option<(u64, Stamp)> {
    let bytes = bytes.get(..TRAILER_BYTES)?;
    let mut checksum = &bytes[28..];
    if bytes[20..24] != TRAILER_MAGIC || checksum.get_u32_le() != crc32c::crc32c(&bytes[..28]) {
        return None;
    }
    let mut rest = bytes;
    let footer_at = rest.get_u64_le();
    Some((footer_at, Stamp { node: rest.get_u32_le(), epoch: rest.get_u32_le(), seed: rest.get_u32_le() }))
}

/// Counts what a segment holds while it is written or scanned: the stuff of its footer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    pub(crate) records: u64,
    pub(crate) first_n: u64,
    pub(crate) end_n: u64,
    pub(crate) accounts: BTreeMap<AccountKey, u64>,
    pub(crate) policies: Vec<Arc<CapturePolicy>>,
    index: Vec<u8>,
    last_offset: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, n: u64, offset: u64) {
        if self.records == 0 {
            self.first_n = n;
        }
        self.records += 1;
        self.end_n = n + 1;
        put_varint(&mut self.index, offset - self.last_offset);
        self.last_offset = offset;
    }

    /// Length that the footer frame and the trailer will have at most, bytes.
    pub(crate) fn footer_bytes_at_most(records: u64) -> u64 {
        // Five bytes reach any offset below 32 GiB; policies and accounts come on top, in the reserve of the segment.
        records * 5 + FOOTER_RESERVE_BYTES
    }

    pub(crate) fn footer(&self, digest: Digest) -> Footer {
        let mut offsets = Vec::with_capacity(usize::try_from(self.records).unwrap_or(0));
        let (mut index, mut offset) = (&self.index[..], 0);
        while let Some(distance) = (!index.is_empty()).then(|| take_varint(&mut index)).flatten() {
            offset += distance;
            offsets.push(offset);
        }
        let accounts = self.account_records();
        let (records, first_n, end_n) = (self.records, self.first_n, self.end_n);
        Footer { records, first_n, end_n, digest, accounts, policies: self.policies.clone(), offsets }
    }

    pub(crate) fn account_records(&self) -> Vec<AccountRecords> {
        let accounts = self.accounts.iter().map(|(key, records)| AccountRecords {
            endpoint: key.endpoint.to_string(),
            variant: key.variant.to_string(),
            records: *records,
        });
        accounts.collect()
    }
}

/// Room kept in a segment for footer and trailer beyond the record index, bytes.
pub(crate) const FOOTER_RESERVE_BYTES: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_the_round_trip_and_order_as_they_were_written() {
        let name = SegmentName::whole(3, 12);
        assert_eq!(name.to_string(), "seg-0000000003-000000000012");
        let path = name.path(Path::new("/j"), SegmentName::OPEN);
        assert_eq!(SegmentName::parse(&path), Some((name, "open")));
        let part = name.next_part();
        assert_eq!(part.to_string(), "seg-0000000003-000000000012-01");
        assert_eq!(SegmentName::parse(&part.path(Path::new("/j"), "seg")), Some((part, "seg")));
        assert!(name < part && part.next_part().is_part_of(name) && !name.is_part_of(part));
        for other in [
            "seg-0000000003-000000000012-00.seg",
            "seg-3-12.open",
            "book",
            "seg-0000000003-000000000012",
            "seg-x-1.seg",
        ] {
            assert_eq!(SegmentName::parse(Path::new(other)), None, "{other}");
        }
        assert!(name.to_string() < SegmentName::whole(3, 13).to_string());
    }

    #[test]
    fn a_footer_survives_the_round_trip_and_any_cut_is_seen() {
        let accounts = vec![AccountRecords { endpoint: "churn".into(), variant: "v".into(), records: 300 }];
        let offsets = vec![64, 200, 100_000];
        let whole = Footer { records: 3, first_n: 5, end_n: 8, accounts, offsets, ..Footer::default() };
        for digest in [Digest::Xxh3([9; 16]), Digest::Sha256([9; 32])] {
            let footer = Footer { digest, ..whole.clone() };
            let bytes = footer.encode();
            assert_eq!(Footer::decode(&bytes).as_ref(), Some(&footer));
            for cut in 0..bytes.len() {
                assert_eq!(Footer::decode(&bytes[..cut]), None);
            }
        }
    }

    #[test]
    fn a_trailer_survives_the_round_trip_and_any_flip_is_seen() {
        let stamp = Stamp { node: 1, epoch: 2, seed: 3 };
        let bytes = encode_trailer(77, stamp);
        assert_eq!(decode_trailer(&bytes), Some((77, stamp)));
        for bit in 0..TRAILER_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_trailer(&flipped), None, "bit {bit}");
        }
    }
}
