//! Records of a segment to parts of a table: the archive's seam, filled with Parquet.
//!
//! Records gather by policy (endpoint, variant, model, signature) and hour. A part is closed when it is full, when all
//! open ones together are too large (the largest goes first), or at the end; each then makes a file of each half.
//!
//! Invariant: parts, their keys and bytes are a function of the records and the plan; at most [`BUFFER_MAX_BYTES`] and one
//! call wait in memory, beside the file that is being made.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{Field, Schema};
use bytes::Bytes;
use captura_archive::batch::{Rendered, sha256_hex};
use captura_archive::rendering::{Renderer, TableFormat, TablePlan};
use captura_archive::runs::Runs;
use captura_capture::SegmentName;
use captura_capture::record::{Lsn, Policy, Record, Signature};
use captura_names::EventId;
use parquet::errors::ParquetError;

use crate::call::{Call, hour_of};
use crate::columns::Calls;
use crate::file::{self, Writer};
use crate::layout::{Kind, Partition, part_name};
use crate::rows::Rows;

/// A part is closed when its columns take this much memory, bytes.
pub(crate) const PART_MAX_BYTES: u64 = 24 << 20;
/// The largest part is closed when all together take this much, bytes.
const BUFFER_MAX_BYTES: u64 = 32 << 20;

/// Parquet files in Hive's folders.
#[derive(Debug, Clone, Copy, Default)]
pub struct Parquet;

impl TableFormat for Parquet {
    fn renderer(&self, plan: &TablePlan, segment: SegmentName) -> Box<dyn Renderer> {
        Box::new(Parts {
            plan: plan.clone(),
            segment,
            policies: Vec::new(),
            open: BTreeMap::new(),
            buffered: 0,
            made: VecDeque::new(),
        })
    }

    fn without(&self, file: &Bytes, calls: &BTreeSet<EventId>) -> Result<Option<Bytes>, String> {
        file::without(file, calls).map_err(|error| error.to_string())
    }
}

struct Parts {
    plan: TablePlan,
    segment: SegmentName,
    /// Policies by address, which their `Arc`s keep from being another's, with their number and whether they are in the table.
    policies: Vec<(Arc<Policy>, bool)>,
    /// By number of the policy, and hour.
    open: BTreeMap<(usize, i64), Open>,
    buffered: u64,
    /// Files that were made and not asked for yet, at the end.
    made: VecDeque<Rendered>,
}

struct Open {
    first: Lsn,
    runs: Runs,
    columns: Gathered,
    bytes: u64,
}

/// Calls on their way into a file of each half.
pub(crate) struct Gathered {
    calls: Calls,
    rows: Option<Rows>,
}

impl Gathered {
    pub(crate) fn new(plan: &TablePlan, signature: Option<&Signature>) -> Self {
        let rows = plan.rows.then(|| Rows::new(signature, plan.columns));
        Self { calls: Calls::new(plan.bodies), rows }
    }

    pub(crate) fn push(&mut self, call: &Call<'_>) {
        self.calls.push(call);
        if let Some(rows) = &mut self.rows {
            rows.push(call);
        }
    }

    /// About how much memory the columns take, bytes.
    pub(crate) fn bytes(&mut self) -> u64 {
        self.calls.sheet().bytes() + self.rows.as_ref().map_or(0, Rows::bytes)
    }

    /// The files.
    pub(crate) fn finish(mut self, endpoint: &str) -> Result<Vec<(Kind, Bytes)>, ParquetError> {
        let fields: Vec<Field> = self.calls.sheet().fields().collect();
        let arrays = self.calls.sheet().finish();
        let mut files = vec![(Kind::Invocations, file(Kind::Invocations, endpoint, (fields, arrays))?)];
        drop(self.calls);
        if let Some(mut rows) = self.rows {
            let content = (rows.fields(), rows.finish());
            files.push((Kind::Rows, file(Kind::Rows, endpoint, content)?));
        }
        Ok(files)
    }
}

fn file(kind: Kind, endpoint: &str, (fields, arrays): (Vec<Field>, Vec<ArrayRef>)) -> Result<Bytes, ParquetError> {
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).expect("our bug: columns are as their schema says");
    let mut writer = Writer::new(kind, endpoint, schema)?;
    writer.write(&batch)?;
    writer.finish()
}

impl Parts {
    fn policy(&mut self, policy: &Arc<Policy>) -> (usize, bool) {
        if let Some(at) = self.policies.iter().position(|(known, _)| Arc::ptr_eq(known, policy)) {
            return (at, self.policies[at].1);
        }
        let covered = self.plan.covers(&policy.endpoint);
        self.policies.push((Arc::clone(policy), covered));
        (self.policies.len() - 1, covered)
    }

    fn close(&mut self, key: (usize, i64)) -> Result<Vec<Rendered>, String> {
        let Some(open) = self.open.remove(&key) else { return Ok(Vec::new()) };
        self.buffered -= open.bytes;
        let (number, hour) = key;
        let policy = &self.policies[number].0;
        let endpoint = policy.endpoint.as_str();
        let name = part_name(self.segment, open.first);
        let failed = |error: ParquetError| format!("table {}, part {name}: {error}", self.plan.to);
        let rendered = |(kind, bytes): (Kind, Bytes)| {
            let partition = Partition { kind, endpoint: endpoint.to_owned(), hour };
            Rendered {
                policy: Arc::clone(policy),
                destination: Some(self.plan.to.clone()),
                key: format!("{}/{name}", partition.folder()),
                sha256: sha256_hex(&bytes),
                bytes,
                runs: open.runs.clone(),
                first: open.first,
                kms_key_id: self.plan.kms_key_id.clone(),
                is_table: true,
            }
        };
        Ok(open.columns.finish(endpoint).map_err(failed)?.into_iter().map(rendered).collect())
    }
}

impl Renderer for Parts {
    fn push(&mut self, record: &Record) -> Result<Vec<Rendered>, String> {
        let (number, covered) = self.policy(&record.policy);
        if !covered {
            return Ok(Vec::new());
        }
        let key = (number, hour_of(record.arrived_at));
        let plan = &self.plan;
        let open = self.open.entry(key).or_insert_with(|| Open {
            first: record.lsn,
            runs: Runs::default(),
            columns: Gathered::new(plan, record.policy.signature.as_ref()),
            bytes: 0,
        });
        open.columns.push(&Call::of_record(record));
        open.runs.insert(record.lsn.n);
        let before = std::mem::replace(&mut open.bytes, open.columns.bytes());
        self.buffered = self.buffered - before + open.bytes;
        if open.bytes >= PART_MAX_BYTES {
            return self.close(key);
        }
        if self.buffered >= BUFFER_MAX_BYTES {
            let largest = self.open.iter().max_by_key(|(key, open)| (open.bytes, **key)).map(|(key, _)| *key);
            return largest.map_or_else(|| Ok(Vec::new()), |key| self.close(key));
        }
        Ok(Vec::new())
    }

    fn finish(&mut self) -> Result<Option<Rendered>, String> {
        if self.made.is_empty()
            && let Some(key) = self.open.keys().next().copied()
        {
            self.made = self.close(key)?.into();
        }
        Ok(self.made.pop_front())
    }
}
