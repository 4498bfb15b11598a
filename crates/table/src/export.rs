//! The table of captures that are there already: ours, or those that SageMaker wrote.
//!
//! Each captured object makes its own parts, named after it, so that exporting it again replaces them and doubles nothing.
//! Lines tell whole seconds, and those of AWS neither latencies nor models; what is not told is null.
//!
//! Invariant: every line that can be read is in the table; those that cannot are counted and described.
//! Refuses to: take objects whose key names no endpoint, since a table is filed by it.

use std::collections::BTreeMap;

use captura_archive::Stores;
use captura_archive::document::{self, WriteError};
use captura_archive::layout::CapturedKey;
use captura_archive::line::Line;
use captura_archive::reader::{Object, ReadError, Reader, Selection};
use captura_archive::rendering::TablePlan;
use captura_capture::record::Signature;
use parquet::errors::ParquetError;
use serde::Serialize;

use crate::call::{Call, hour_of};
use crate::layout::{Partition, SUFFIX};
use crate::renderer::{Gathered, PART_MAX_BYTES};

/// Troubles that are described one by one; all are counted.
const DESCRIBED_MAX: usize = 100;

/// Why captures cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// They cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A file cannot be made.
    #[error("cannot make {address}: {source}")]
    Make {
        /// The file.
        address: String,
        /// What is wrong.
        source: ParquetError,
    },
}

/// What was exported.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Exported {
    /// Captured objects that were read.
    pub objects: u64,
    /// Calls in the table.
    pub calls: u64,
    /// Files that were written.
    pub files: u64,
    /// Lines and objects that could not be taken.
    pub bad: u64,
    /// The first of them.
    pub described: Vec<String>,
}

impl Exported {
    fn describe(&mut self, trouble: String) {
        self.bad += 1;
        if self.described.len() < DESCRIBED_MAX {
            self.described.push(trouble);
        }
    }
}

/// Exports captures into the folder or prefix `to`, by the options of `plan`, whose own address is not used.
///
/// # Errors
/// When captures cannot be read or files not written; what was written so far stays, and is replaced the next time.
pub async fn export(
    stores: &Stores,
    addresses: &[String],
    (plan, signature): (&TablePlan, Option<&Signature>),
    to: &str,
) -> Result<Exported, ExportError> {
    let mut reader = Reader::open(stores, addresses, &Selection::default()).await?;
    let mut exported = Exported::default();
    while let Some(object) = reader.next().await {
        let object = object?;
        let Some(key) = object.found.key.clone() else {
            exported.describe(format!("{}: its key names no endpoint", object.found.address));
            continue;
        };
        exported.objects += 1;
        let mut parts = Parts { plan, signature, key: &key, open: BTreeMap::new(), made: 0 };
        let lines = read_lines(&object, &mut exported);
        let mut files = Vec::new();
        for line in &lines {
            files.extend(parts.push(line).map_err(|source| make(to, source))?);
        }
        files.extend(parts.finish().map_err(|source| make(to, source))?);
        exported.calls += lines.len() as u64;
        for (key, bytes) in files {
            document::write(stores, &format!("{}/{key}", to.trim_end_matches('/')), bytes).await?;
            exported.files += 1;
        }
    }
    Ok(exported)
}

fn make(to: &str, source: ParquetError) -> ExportError {
    ExportError::Make { address: to.to_owned(), source }
}

fn read_lines(object: &Object, exported: &mut Exported) -> Vec<Line> {
    let mut lines = Vec::new();
    for (number, text) in object.bytes.split(|byte| *byte == b'\n').enumerate() {
        if text.trim_ascii().is_empty() {
            continue;
        }
        match Line::parse(text) {
            Ok(line) => lines.push(line),
            Err(error) => exported.describe(format!("{} line {}: {error}", object.found.address, number + 1)),
        }
    }
    lines
}

/// Parts of one captured object, by hour.
struct Parts<'a> {
    plan: &'a TablePlan,
    signature: Option<&'a Signature>,
    key: &'a CapturedKey,
    open: BTreeMap<i64, Gathered>,
    made: u32,
}

type Files = Vec<(String, bytes::Bytes)>;

impl Parts<'_> {
    fn push(&mut self, line: &Line) -> Result<Files, ParquetError> {
        let call = Call::of_line(line, self.key.variant.as_str());
        let hour = hour_of(call.arrived_at);
        let (plan, signature) = (self.plan, self.signature);
        let open = self.open.entry(hour).or_insert_with(|| Gathered::new(plan, signature));
        open.push(&call);
        if open.bytes() >= PART_MAX_BYTES { self.close(hour) } else { Ok(Files::new()) }
    }

    fn finish(&mut self) -> Result<Files, ParquetError> {
        let mut files = Files::new();
        for hour in self.open.keys().copied().collect::<Vec<_>>() {
            files.extend(self.close(hour)?);
        }
        Ok(files)
    }

    fn close(&mut self, hour: i64) -> Result<Files, ParquetError> {
        let Some(gathered) = self.open.remove(&hour) else { return Ok(Files::new()) };
        let endpoint = self.key.endpoint.as_str();
        let name = format!("part-export-{}-{}{SUFFIX}", self.key.id.simple(), self.made);
        self.made += 1;
        let key = |kind| Partition { kind, endpoint: endpoint.to_owned(), hour }.folder();
        let files = gathered.finish(endpoint)?.into_iter();
        Ok(files.map(|(kind, bytes)| (format!("{}/{name}", key(kind)), bytes)).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap as Map;

    use captura_archive::StoreSettings;
    use captura_archive::batch::{Batcher, Plan, Spare};

    use super::*;
    use crate::Kind;
    use crate::tests::{batches, plan, policy, record, signature, texts};

    #[tokio::test]
    async fn captures_of_ours_and_of_aws_become_the_same_table_however_often() {
        let data = tempfile::tempdir().unwrap();
        let stores = Stores::new(StoreSettings { data_dir: data.path().to_owned(), mappings: Map::new() });
        for (extension, endpoint) in [(true, "churn"), (false, "aws")] {
            let churn = policy(endpoint, None);
            let mut batcher = Batcher::new(Plan { extension, ..Plan::default() }, Spare::default());
            for n in 0..80 {
                assert!(
                    batcher
                        .push(&record(n, &churn, (Some("text/csv"), b"36,basic", Some("text/csv"), b"0.5")))
                        .is_none()
                );
            }
            let object = batcher.finish().unwrap();
            let mut bytes = object.bytes.to_vec();
            bytes.extend_from_slice(b"not a record\n");
            let address = format!("s3://captures/d/{}", object.key);
            document::write(&stores, &address, bytes.into()).await.unwrap();
        }
        let to = data.path().join("lake").display().to_string();
        for _ in 0..2 {
            let addresses = ["s3://captures/d".to_owned()];
            let done = export(&stores, &addresses, (&plan(), Some(&signature())), &to).await.unwrap();
            assert_eq!((done.objects, done.calls, done.files, done.bad), (2, 160, 8, 2));
            assert!(done.described[0].contains("line 81"), "{:?}", done.described);
        }
        for (endpoint, model) in [("churn", Some("m-1")), ("aws", None)] {
            let folder = format!("{to}/{}/endpoint={endpoint}/date=2022-04-18/hour=23", Kind::Rows);
            let files: Vec<_> = std::fs::read_dir(folder).unwrap().collect();
            assert_eq!(files.len(), 1);
            let bytes = std::fs::read(files[0].as_ref().unwrap().path()).unwrap();
            let rows = batches(&bytes.into()).remove(0);
            assert_eq!((rows.num_rows(), texts(&rows, "model")[0].as_deref()), (60, model));
            assert_eq!(texts(&rows, "in.plan")[0].as_deref(), Some("basic"));
            assert_eq!(texts(&rows, "decode_error"), vec![None; 60]);
        }
    }
}
