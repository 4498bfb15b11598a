//! A format of tables that writes numbers of records as text, for this crate's tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use captura_capture::SegmentName;
use captura_capture::record::{Lsn, Record};
use captura_names::EventId;

use crate::batch::{Rendered, sha256_hex};
use crate::rendering::{Renderer, TableFormat, TablePlan};
use crate::runs::Runs;

/// Numbers as text, an object for each two records of a policy; fails at record `fails_at`.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    pub(crate) fails_at: Option<u64>,
}

struct Page {
    plan: TablePlan,
    segment: SegmentName,
    fails_at: Option<u64>,
    open: BTreeMap<u64, Vec<Record>>,
}

impl TableFormat for Numbers {
    fn renderer(&self, plan: &TablePlan, segment: SegmentName) -> Box<dyn Renderer> {
        Box::new(Page { plan: plan.clone(), segment, fails_at: self.fails_at, open: BTreeMap::new() })
    }

    /// Numbers know no calls: the file without any.
    fn without(&self, file: &Bytes, calls: &BTreeSet<EventId>) -> Result<Option<Bytes>, String> {
        Ok((!calls.is_empty() && !file.is_empty()).then(Bytes::new))
    }
}

impl Page {
    fn object(&self, records: &[Record]) -> Rendered {
        let numbers: Vec<String> = records.iter().map(|record| record.lsn.n.to_string()).collect();
        let bytes = numbers.join(" ").into_bytes();
        let mut runs = Runs::default();
        assert!(records.iter().all(|record| runs.insert(record.lsn.n)));
        let Lsn { node, n, .. } = records[0].lsn;
        let SegmentName { epoch, sequence, .. } = self.segment;
        Rendered {
            policy: Arc::clone(&records[0].policy),
            destination: Some(self.plan.to.clone()),
            key: format!("part-{node:08x}-{epoch:010}-{sequence:012}-{n}.parquet"),
            sha256: sha256_hex(&bytes),
            bytes: bytes.into(),
            runs,
            first: records[0].lsn,
            kms_key_id: None,
            is_table: true,
        }
    }
}

impl Renderer for Page {
    fn push(&mut self, record: &Record) -> Result<Vec<Rendered>, String> {
        if self.fails_at == Some(record.lsn.n) {
            return Err("this format knows no such number".into());
        }
        if !self.plan.covers(&record.policy.endpoint) {
            return Ok(Vec::new());
        }
        let id = record.policy.id();
        let open = self.open.entry(id).or_default();
        open.push(record.clone());
        let full = if open.len() == 2 { self.open.remove(&id) } else { None };
        Ok(Vec::from_iter(full.map(|records| self.object(&records))))
    }

    fn finish(&mut self) -> Result<Option<Rendered>, String> {
        Ok(self.open.pop_first().map(|(_, records)| self.object(&records)))
    }
}
