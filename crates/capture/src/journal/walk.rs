//! Counts what is whole in a segment that has no footer to tell.
//!
//! Invariant: a record is counted when its frame is whole, its policy is known and its number was not passed before, which
//! is what the reader gives out later.
//! Refuses to: decode bodies.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use super::frame::{FrameKind, SEGMENT_HEADER_BYTES, Stamp};
use super::reader::{Damage, Why};
use super::scan::Scanned;
use super::segment::{Tally, decode_gap, decode_policy};
use crate::ledger::frame::{decode as decode_accounts, merge};
use crate::ledger::{AccountKey, COUNTERS, Opening, UPLOADED};
use crate::record::{Lsn, codec};

/// Counting state of a walk through one segment.
pub(super) struct Walk {
    stamp: Stamp,
    pub(super) tally: Tally,
    pub(super) good_end: u64,
    pub(super) torn: Option<(u64, u64)>,
    expected: Option<u64>,
    policies: HashMap<u64, AccountKey>,
    pub(super) damages: Vec<Damage>,
}

impl Walk {
    pub(super) fn new(stamp: Stamp) -> Self {
        Self {
            stamp,
            tally: Tally::default(),
            good_end: SEGMENT_HEADER_BYTES as u64,
            torn: None,
            expected: None,
            policies: HashMap::new(),
            damages: Vec::new(),
        }
    }

    fn lsn(&self, n: u64) -> Lsn {
        Lsn { node: self.stamp.node, epoch: self.stamp.epoch, n }
    }

    pub(super) fn meet(&mut self, scanned: Scanned, openings: &mut BTreeMap<AccountKey, Opening>) {
        match scanned {
            Scanned::Damage { offset, length_bytes } => {
                let from = self.torn.map_or(offset, |(from, _)| from);
                self.torn = Some((from, offset + length_bytes - from));
            }
            // Sealing was cut off between footer and rename; it is done again.
            Scanned::Frame { head, .. } if head.kind == FrameKind::Footer => {}
            Scanned::Frame { offset, head, payload } => {
                self.good_end = offset + head.frame_bytes();
                match head.kind {
                    FrameKind::Policy => {
                        if let Some((id, policy)) = decode_policy(&payload) {
                            self.policies.insert(id, AccountKey::new(&policy.endpoint, &policy.variant));
                            self.tally.policies.push(policy);
                        }
                    }
                    FrameKind::Ledger => merge_frame(openings, &payload),
                    FrameKind::Gap => {
                        if let Some((from, end)) = decode_gap(&payload) {
                            self.reach(from, offset);
                            self.expected = Some(end);
                        }
                    }
                    FrameKind::Record => self.meet_record(offset, head.n, head.frame_bytes(), &payload),
                    FrameKind::Footer => {}
                }
            }
        }
    }

    /// A whole frame stands behind what was damaged: the damage is inside the segment.
    fn reach(&mut self, n: u64, offset: u64) {
        let missing = self.expected.filter(|expected| *expected < n).map(|expected| self.lsn(expected)..self.lsn(n));
        match (self.torn.take(), missing) {
            (Some((offset, length_bytes)), lsns) => {
                self.damages.push(Damage { lsns, offset, length_bytes, why: Why::Checksum });
            }
            (None, Some(lsns)) => {
                self.damages.push(Damage { lsns: Some(lsns), offset, length_bytes: 0, why: Why::Missing });
            }
            (None, None) => {}
        }
    }

    fn meet_record(&mut self, offset: u64, n: u64, length_bytes: u64, payload: &Bytes) {
        if n == u64::MAX || self.expected.is_some_and(|expected| n < expected) {
            return self.damages.push(Damage { lsns: None, offset, length_bytes, why: Why::OutOfOrder });
        }
        self.reach(n, offset);
        self.expected = Some(n + 1);
        let key = codec::policy_id(payload).and_then(|id| self.policies.get(&id));
        let Some(key) = key else {
            let id = codec::policy_id(payload).unwrap_or(0);
            let why = codec::BadRecord::PolicyMissing(id).into();
            let lsns = Some(self.lsn(n)..self.lsn(n + 1));
            return self.damages.push(Damage { lsns, offset, length_bytes, why });
        };
        *self.tally.accounts.entry(key.clone()).or_default() += 1;
        self.tally.add(n, offset);
    }
}

/// Ledger frames tell everything but what left the journal, which only the book tells.
fn merge_frame(openings: &mut BTreeMap<AccountKey, Opening>, payload: &[u8]) {
    let Some(mut accounts) = decode_accounts(payload) else { return };
    for (key, counters) in &mut accounts {
        let known = openings.get(key).map_or([0; COUNTERS], |opening| opening.counters);
        counters[UPLOADED..UPLOADED + 5].copy_from_slice(&known[UPLOADED..UPLOADED + 5]);
    }
    merge(openings, accounts);
}
