//! Records of a segment, gathered into objects.
//!
//! Records come in log order; those of one policy (endpoint, variant, destination) gather in one buffer, which becomes an
//! object when it is full, when all buffers together are too large (the largest goes first), or at the end.
//!
//! Invariant: the objects, their keys and bytes are a function of the records and the plan; at most
//! `buffer_max_bytes` and one line are in memory, beside the empty buffers of [`Spare`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use captura_capture::record::{Lsn, Policy, Record};
use captura_names::S3Uri;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::jsonl::write_line;
use crate::layout::key_of_object;
use crate::rendering::{Renderer, TablePlan};
use crate::runs::Runs;

/// How a segment is cut into objects. It is written down before the first object, so that settings changed between two
/// attempts cannot change keys or bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    /// Whether lines end with the key `captura`.
    pub extension: bool,
    /// An object is closed when it has reached this size, bytes.
    pub object_max_bytes: u64,
    /// The largest object is closed when all open ones together have reached this size, bytes.
    pub buffer_max_bytes: u64,
    /// Tables that are made of the same records.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<TablePlan>,
    /// Of a part of a segment: the last record of each object, as the whole segment was cut. Then sizes do not count, and
    /// the part makes the same objects as the segment did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cuts: Option<Runs>,
}

impl Default for Plan {
    fn default() -> Self {
        Self { extension: true, object_max_bytes: 32 << 20, buffer_max_bytes: 64 << 20, tables: Vec::new(), cuts: None }
    }
}

impl Plan {
    /// A plan that needs so much memory, bytes; objects of 16 MiB at most, as large as the memory lets them be.
    #[must_use]
    pub fn within(memory_bytes: u64) -> Self {
        // Filled together, and beside them as many as `Spare` holds.
        let object_max_bytes = (memory_bytes / (2 + SPARE_MAX as u64)).clamp(64 << 10, 16 << 20);
        Self { object_max_bytes, buffer_max_bytes: 2 * object_max_bytes, ..Self::default() }
    }

    /// Memory that uploading by this plan needs, bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.buffer_max_bytes + SPARE_MAX as u64 * self.object_max_bytes
    }
}

/// An object, rendered and not yet put anywhere.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// The policy of its records.
    pub policy: Arc<Policy>,
    /// Where it goes; `None` when the policy has no destination, which capture never lets happen.
    pub destination: Option<S3Uri>,
    /// Key below the destination.
    pub key: String,
    /// Its bytes.
    pub bytes: Bytes,
    /// SHA-256 of the bytes, hexadecimal.
    pub sha256: String,
    /// Numbers of its records.
    pub runs: Runs,
    /// Position of its first record.
    pub first: Lsn,
    /// Key for server-side encryption, where its store is S3.
    pub kms_key_id: Option<String>,
    /// Whether it is a part of a table; its records are in captured objects as well.
    pub is_table: bool,
}

/// Buffers of objects that are in their store, to be filled again. Growing a fresh buffer to an object's size touches
/// each of its pages about three times, and the kernel clears them; under load that cost as much as rendering.
#[derive(Debug, Clone, Default)]
pub struct Spare(Arc<Mutex<Vec<Vec<u8>>>>);

/// One is filled, one waits to be put, one is put.
const SPARE_MAX: usize = 3;

impl Spare {
    fn take(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Takes the buffer of an object back, unless somebody still holds a part of it.
    pub fn give_back(&self, bytes: Bytes) {
        let Ok(mut buffer) = bytes.try_into_mut() else { return };
        buffer.clear();
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE_MAX {
            spare.push(buffer.into());
            // The largest serves first.
            spare.sort_unstable_by_key(Vec::capacity);
        }
    }

    /// Frees the memory.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

struct Open {
    policy: Arc<Policy>,
    key: String,
    buffer: Vec<u8>,
    digest: Sha256,
    runs: Runs,
    first: Lsn,
}

/// Gathers records into objects.
pub struct Batcher {
    plan: Plan,
    /// By policy id. Policies are few; their ids are costly, so they are remembered by address, the `Arc` kept alive.
    open: BTreeMap<u64, Open>,
    ids: Vec<(Arc<Policy>, u64)>,
    buffered: u64,
    spare: Spare,
}

impl Batcher {
    /// Nothing gathered yet.
    #[must_use]
    pub fn new(plan: Plan, spare: Spare) -> Self {
        Self { plan, open: BTreeMap::new(), ids: Vec::new(), buffered: 0, spare }
    }

    fn policy_id(&mut self, policy: &Arc<Policy>) -> u64 {
        if let Some((_, id)) = self.ids.iter().find(|(known, _)| Arc::ptr_eq(known, policy)) {
            return *id;
        }
        let id = policy.id();
        self.ids.push((Arc::clone(policy), id));
        id
    }

    /// Adds a record; answers the object that it completed.
    pub fn push(&mut self, record: &Record) -> Option<Rendered> {
        let id = self.policy_id(&record.policy);
        let open = self.open.entry(id).or_insert_with(|| Open {
            policy: Arc::clone(&record.policy),
            key: key_of_object(record, id),
            buffer: self.spare.take(),
            digest: Sha256::new(),
            runs: Runs::default(),
            first: record.lsn,
        });
        let before = open.buffer.len();
        write_line(&mut open.buffer, record, self.plan.extension);
        // Line by line, while it is in the processor's cache.
        open.digest.update(&open.buffer[before..]);
        open.runs.insert(record.lsn.n);
        let length = open.buffer.len();
        self.buffered += (length - before) as u64;
        if let Some(cuts) = &self.plan.cuts {
            return if cuts.contains(record.lsn.n) { self.close(id) } else { None };
        }
        if length as u64 >= self.plan.object_max_bytes {
            return self.close(id);
        }
        if self.buffered >= self.plan.buffer_max_bytes {
            let largest = self.open.iter().max_by_key(|(id, open)| (open.buffer.len(), **id)).map(|(id, _)| *id);
            return largest.and_then(|id| self.close(id));
        }
        None
    }

    /// Answers the objects that are still open, one at each call.
    pub fn finish(&mut self) -> Option<Rendered> {
        let id = *self.open.keys().next()?;
        self.close(id)
    }

    fn close(&mut self, id: u64) -> Option<Rendered> {
        let open = self.open.remove(&id)?;
        self.buffered -= open.buffer.len() as u64;
        Some(Rendered {
            kms_key_id: open.policy.settings.as_ref().and_then(|settings| settings.kms_key_id.clone()),
            destination: open.policy.settings.as_ref().map(|settings| settings.destination.clone()),
            policy: open.policy,
            key: open.key,
            sha256: hex(&open.digest.finalize()),
            bytes: open.buffer.into(),
            runs: open.runs,
            first: open.first,
            is_table: false,
        })
    }
}

impl Renderer for Batcher {
    fn push(&mut self, record: &Record) -> Result<Vec<Rendered>, String> {
        Ok(Vec::from_iter(Self::push(self, record)))
    }

    fn finish(&mut self) -> Result<Option<Rendered>, String> {
        Ok(Self::finish(self))
    }
}

/// SHA-256 in hexadecimal.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("our bug: a String takes every write");
        text
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fixture::{policy, record};
    use crate::line::Line;

    fn records(owners: &[u8]) -> Vec<Record> {
        let policies: Vec<Arc<Policy>> =
            (0..3).map(|i| Arc::new(policy(&format!("e{i}"), "v", "s3://captures/d", &["text/csv"], &[]))).collect();
        let with_policy = |(n, owner): (usize, &u8)| {
            let mut record = record(n as u64);
            record.policy = Arc::clone(&policies[usize::from(*owner)]);
            record.arrived_at = record.arrived_at.plus_us(n as i64 * 1_000);
            record
        };
        owners.iter().enumerate().map(with_policy).collect()
    }

    fn all(records: &[Record], plan: &Plan) -> Vec<Rendered> {
        let mut batcher = Batcher::new(plan.clone(), Spare::default());
        let mut objects: Vec<Rendered> = records.iter().filter_map(|record| batcher.push(record)).collect();
        objects.extend(std::iter::from_fn(|| batcher.finish()));
        objects
    }

    #[test]
    fn a_plan_keeps_within_its_memory() {
        for memory_bytes in [1 << 20, 80 << 20, 1 << 30] {
            let plan = Plan::within(memory_bytes);
            assert!(plan.memory_bytes() <= memory_bytes && plan.object_max_bytes <= plan.buffer_max_bytes, "{plan:?}");
        }
        assert_eq!(Plan::within(80 << 20).object_max_bytes, 16 << 20);
    }

    #[test]
    fn one_object_per_policy_in_log_order() {
        let objects = all(&records(&[0, 1, 0, 0, 2]), &Plan::default());
        let mut shape: Vec<(&str, Vec<u64>)> =
            objects.iter().map(|object| (object.policy.endpoint.as_str(), object.runs.numbers().collect())).collect();
        shape.sort();
        assert_eq!(shape, [("e0", vec![0, 2, 3]), ("e1", vec![1]), ("e2", vec![4])]);
        assert!(objects.iter().any(|object| object.key.starts_with("e1/v/2022/04/18/00/21-48-872-")));
    }

    #[test]
    fn a_buffer_that_came_back_is_filled_again_and_one_that_is_held_is_not() {
        let spare = Spare::default();
        let render = || {
            let mut batcher = Batcher::new(Plan::default(), spare.clone());
            assert!(batcher.push(&record(1)).is_none());
            batcher.finish().unwrap().bytes
        };
        let first = render();
        let (address, content) = (first.as_ptr(), first.to_vec());
        spare.give_back(first);
        let second = render();
        assert_eq!((second.as_ptr(), &second[..]), (address, &content[..]));
        let held = second.clone();
        spare.give_back(second);
        assert_ne!(render().as_ptr(), address);
        assert_eq!(held, content);
        spare.give_back(held);
        spare.clear();
        assert!(spare.0.lock().unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn every_record_is_in_one_object_and_twice_is_the_same(
            owners in proptest::collection::vec(0_u8..3, 0..60),
            object_max_bytes in 1_u64..6_000,
            buffer_max_bytes in 1_u64..9_000,
        ) {
            let plan = Plan { object_max_bytes, buffer_max_bytes, ..Plan::default() };
            let records = records(&owners);
            let objects = all(&records, &plan);
            let mut seen = Runs::default();
            for object in &objects {
                let lines: Vec<Line> = object.bytes.split_inclusive(|byte| *byte == b'\n').map(|line| Line::parse(line).unwrap()).collect();
                let numbers: Vec<u64> = lines.iter().map(|line| line.lsn.unwrap().n).collect();
                prop_assert_eq!(&numbers, &object.runs.numbers().collect::<Vec<_>>());
                prop_assert!(numbers.iter().all(|n| seen.insert(*n)));
                prop_assert_eq!(&object.sha256, &sha256_hex(&object.bytes));
            }
            prop_assert_eq!(seen.count(), records.len() as u64);
            let again = all(&records, &plan);
            prop_assert!(objects.iter().zip(&again).all(|(a, b)| a.key == b.key && a.bytes == b.bytes));
            // What is left of them when one owner's are gone, cut as before, makes the same objects.
            let mut cuts: Vec<u64> = objects.iter().filter_map(|object| object.runs.last()).collect();
            cuts.sort_unstable();
            let cuts = cuts.into_iter().fold(Runs::default(), |mut runs, n| { runs.insert(n); runs });
            let left: Vec<Record> =
                records.iter().filter(|record| record.policy.endpoint.as_str() != "e1").cloned().collect();
            let part = all(&left, &Plan { cuts: Some(cuts), ..Plan::default() });
            let rest: Vec<&Rendered> = objects.iter().filter(|object| object.policy.endpoint.as_str() != "e1").collect();
            let told = |object: &Rendered| (object.key.clone(), object.sha256.clone());
            let sorted = |mut told: Vec<(String, String)>| { told.sort(); told };
            prop_assert_eq!(sorted(part.iter().map(told).collect()), sorted(rest.into_iter().map(told).collect()));
            let mut keys: Vec<&str> = objects.iter().map(|object| object.key.as_str()).collect();
            keys.sort_unstable();
            keys.dedup();
            prop_assert_eq!(keys.len(), again.len());
        }
    }
}
