//! From the journal to the table and back to the proof: real journal, real uploader, real files.
#![expect(clippy::unwrap_used, reason = "a test that meets something unexpected ends there")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow_array::cast::AsArray as _;
use arrow_array::types::Float64Type;
use bytes::Bytes;
use captura_archive::batch::Plan;
use captura_archive::destinations::Patience;
use captura_archive::reconcile::{Depth, Verdict, reconcile_data_dir};
use captura_archive::rendering::TablePlan;
use captura_archive::uploader::ANSWER_WITHIN;
use captura_archive::{Stopped, StoreSettings, Stores, Uploader, UploaderSettings};
use captura_capture::journal::disk::RealDisk;
use captura_capture::record::{Conclusion, Outcome, Payload, Policy};
use captura_capture::{Capture, Settings};
use captura_names::{EndpointName, EventId, S3Uri, Timestamp};
use captura_route::{Caller, Clock, Consumer, Field, FieldType, Invocation, ModelRequest, Signature};
use captura_table::Parquet;
use captura_table::compact::{Compactor, Hours, clock};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

const CALLS: u64 = 60;
const NOON_US: i64 = 1_700_049_600_000_000;

fn policy() -> Arc<Policy> {
    let json = r#"{"endpoint":"churn","variant":"v","model":"m","endpoint_config":"c","settings":{"enabled":true,
        "sampling":100,"input":true,"output":true,"destination":"s3://captures/d","csv_content_types":["text/csv"],
        "json_content_types":[],"kms_key_id":null,"durability":"ack-after-write","when_unavailable":"serve"}}"#;
    let field = |name: &str| Field { name: name.into(), kind: FieldType::Fractional, shape: vec![] };
    let signature = Signature { inputs: vec![field("a"), field("b")], outputs: vec![field("score")] };
    Arc::new(serde_json::from_str::<Policy>(json).unwrap().with_signature(Some(&signature)))
}

async fn call(capture: &Capture, policy: &Arc<Policy>, n: u64) {
    let mut id = [3; 16];
    id[..8].copy_from_slice(&n.to_be_bytes());
    let payload = |body: String| Payload { content_type: Some("text/csv".into()), body: Bytes::from(body) };
    let request = ModelRequest {
        body: Bytes::from(format!("{n},0.5\n")),
        content_type: Some("text/csv".into()),
        ..ModelRequest::default()
    };
    let invocation = Invocation {
        event_id: EventId::from_random_bytes(id),
        arrived_at: Timestamp::from_unix_us(NOON_US + n as i64),
        consumer: Consumer::new("tester"),
        caller: Caller::default(),
        endpoint: EndpointName::parse("churn").unwrap(),
        target_variant: None,
        inference_id: None,
        request,
    };
    let conclusion = Conclusion {
        outcome: Outcome::Ok,
        status: 200,
        response: payload(format!("{}\n", n * 2)),
        response_cut_bytes: 0,
        model_latency_us: 1,
        total_latency_us: 2,
    };
    capture.stream(policy).begin(invocation).unwrap().conclude(conclusion).captured().await;
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// Input `a` and output of each row, and how many files there are.
fn rows(table: &Path) -> (Vec<(u64, u64)>, usize) {
    let files = files(&table.join("rows"));
    let mut rows = Vec::new();
    for file in &files {
        let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(file).unwrap()).unwrap();
        for batch in reader.build().unwrap() {
            let batch = batch.unwrap();
            let column = |name: &str| batch.column_by_name(name).unwrap().as_primitive::<Float64Type>().clone();
            let (inputs, outputs) = (column("in.a"), column("out.score"));
            rows.extend(inputs.values().iter().zip(outputs.values()).map(|(a, score)| (*a as u64, *score as u64)));
        }
    }
    rows.sort_unstable();
    (rows, files.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_become_rows_once_and_the_book_balances() {
    let data = tempfile::tempdir().unwrap();
    let journal = data.path().join("journal");
    let now = || Timestamp::from_unix_us(NOON_US + 86_400_000_000);
    let capture = Capture::open(Settings::new(journal.clone()), Arc::new(RealDisk), Clock::new(now)).unwrap().0;
    let stores = Stores::new(StoreSettings { data_dir: data.path().to_owned(), mappings: BTreeMap::new() });
    let table = TablePlan::new(S3Uri::parse("s3://lake/calls").unwrap());
    let settings = UploaderSettings {
        journal: journal.clone(),
        plan: Plan { tables: vec![table.clone()], ..Plan::default() },
        tables: Some(Arc::new(Parquet)),
        read_back: true,
        answer_within: ANSWER_WITHIN,
        patience: Patience::default(),
        carry_after: captura_archive::uploader::CARRY_AFTER,
        evict_when_full: false,
        now: Arc::new(now),
        tasks: captura_tasks::Tasks::default(),
    };
    let archiving = Uploader::new(Arc::new(capture.clone()), stores.clone(), settings).unwrap().start().unwrap();
    let policy = policy();
    for n in 0..CALLS {
        call(&capture, &policy, n).await;
        if n % 20 == 19 {
            capture.seal().await;
        }
    }
    capture.close().await.unwrap();
    assert_eq!(archiving.stop(Duration::from_secs(60)).await, Stopped::Finished);
    assert!(capture.sealed().is_empty());
    drop(capture);

    let lake = data.path().join("buckets/lake/calls");
    let expected: Vec<(u64, u64)> = (0..CALLS).map(|n| (n, n * 2)).collect();
    assert_eq!(rows(&lake), (expected.clone(), 3), "a part for each segment");
    let compactor = Compactor::new(stores.clone(), journal, clock(now));
    let done = compactor.pass(&[table], Hours::Closed).await.unwrap();
    assert_eq!((done.merged, done.parts, done.errors), (2, 6, vec![]));
    assert_eq!(rows(&lake), (expected, 1));
    let names: BTreeSet<String> =
        files(&lake).iter().map(|file| file.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    assert!(names.iter().all(|name| name.starts_with("merged-")), "{names:?}");

    let depth = Depth { deep: true, ..Depth::default() };
    let report = reconcile_data_dir(data.path(), &stores, depth).await.unwrap();
    assert_eq!((report.verdict, &report.findings), (Verdict::Balanced, &Vec::new()), "{report:?}");
    assert_eq!((report.tables.parts, report.tables.records, report.tables.files_checked), (6, 2 * CALLS, 2));
}
