//! Questions to captures, tables and files that the tests make.

use std::collections::BTreeMap;
use std::path::PathBuf;

use captura_archive::rendering::{ColumnNames, TablePlan};
use captura_archive::{StoreSettings, Stores};
use captura_capture::record::{Field, FieldType, Signature};
use captura_names::S3Uri;
use captura_table::export::export;

use super::*;

mod asking;
mod files;
mod limits;

struct World {
    folder: tempfile::TempDir,
    stores: Stores,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = StoreSettings { data_dir: folder.path().to_owned(), mappings: BTreeMap::new() };
        Self { stores: Stores::new(settings), folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    }

    /// Captured lines of an endpoint that begin at an hour of 2026-01-02, an object for each hour.
    fn captures(&self, endpoint: &str, hours: std::ops::Range<u32>, lines: impl Fn(u32) -> Vec<String>) -> String {
        for hour in hours {
            let text = lines(hour).concat();
            self.write(&format!("buckets/captures/{}", key(endpoint, hour)), text);
        }
        "s3://captures".to_owned()
    }

    fn question(&self, sql: &str, from: &[&str]) -> Question {
        Question {
            sql: sql.to_owned(),
            from: from.iter().map(|from| from.parse().unwrap()).collect(),
            signature: None,
            naming: Default::default(),
            names: ColumnNames::Dotted,
            sample: Sample::Records(SAMPLE_RECORDS),
            threads: 2,
            memory_bytes: MEMORY_BYTES,
        }
    }

    /// Rows as texts, cells joined by `|`.
    async fn rows(&self, sql: &str, from: &[&str]) -> Vec<String> {
        self.answer(&self.question(sql, from)).await.unwrap().0
    }

    async fn error(&self, sql: &str, from: &[&str]) -> String {
        self.answer(&self.question(sql, from)).await.unwrap_err().to_string()
    }

    async fn answer(&self, question: &Question) -> Result<(Vec<String>, Tally), SqlError> {
        let mut answer = ask(&self.stores, question).await?;
        let mut rows = Vec::new();
        while let Some(batch) = answer.next().await {
            rows.extend(output::texts(&batch?, usize::MAX)?.into_iter().map(|row| row.join("|")));
        }
        Ok((rows, answer.tally()))
    }
}

fn key(endpoint: &str, hour: u32) -> String {
    format!("{endpoint}/AllTraffic/2026/01/02/{hour:02}/00-00-000-55126149-826d-415a-967b-{hour:012}.jsonl")
}

/// A line as captura writes it.
fn line(n: u32, hour: u32, input: &str, output: &str) -> String {
    let consumer = if n.is_multiple_of(3) { "web" } else { "billing" };
    format!(
        concat!(
            r#"{{"captureData":{{"endpointInput":{{"observedContentType":"text/csv","mode":"INPUT","data":"{}","encoding":"CSV"}},"#,
            r#""endpointOutput":{{"observedContentType":"text/csv","mode":"OUTPUT","data":"{}","encoding":"CSV"}}}},"#,
            r#""eventMetadata":{{"eventId":"55126149-826d-415a-967b-{:012}","inferenceTime":"2026-01-02T{:02}:00:{:02}Z"}},"eventVersion":"0","#,
            r#""captura":{{"lsn":"000000aa-3-{}","consumer":"{}","outcome":"ok","status":200,"modelLatencyUs":{},"totalLatencyUs":{},"#,
            r#""requestSizeBytes":4,"responseSizeBytes":{},"samplingProbability":0.5,"modelName":"m-1","endpointConfigName":"c-1"}}}}"#,
            "\n"
        ),
        input,
        output,
        n,
        hour,
        n % 60,
        n,
        consumer,
        n * 10,
        n * 20,
        output.replace('\\', "").len(),
    )
}

/// A line as the service writes it.
fn line_of_aws(n: u32, hour: u32, input: &str, output: &str) -> String {
    let ours = line(n, hour, input, output);
    format!("{}}}\n", ours.split_once(",\"captura\"").unwrap().0)
}

fn signature() -> Signature {
    let field = |name: &str, kind| Field { name: name.into(), kind, shape: vec![] };
    Signature {
        inputs: vec![field("age", FieldType::Integral), field("plan", FieldType::String)],
        outputs: vec![field("score", FieldType::Fractional)],
    }
}
