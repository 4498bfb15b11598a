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
use captura_archive::reconcile::{Depth, Report, Verdict, reconcile_data_dir};
use captura_archive::removal::Removing;
use captura_archive::rendering::TablePlan;
use captura_archive::uploader::ANSWER_WITHIN;
use captura_archive::{Stopped, StoreSettings, Stores, Uploader, UploaderSettings};
use captura_capture::journal::disk::RealDisk;
use captura_capture::record::{Conclusion, Outcome, Payload, Policy};
use captura_capture::{Capture, Settings};
use captura_names::{EndpointName, EventId, S3Uri, Timestamp};
use captura_route::{Caller, Clock, Consumer, Field, FieldType, Invocation, ModelRequest, Signature};
use captura_table::Parquet;
use captura_table::compact::{Compactor, Hours, Summary, clock};
use captura_table::refill::Refiller;
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

/// A data directory whose calls are all archived.
struct World {
    data: tempfile::TempDir,
    stores: Stores,
    table: TablePlan,
}

fn now() -> Timestamp {
    Timestamp::from_unix_us(NOON_US + 86_400_000_000)
}

impl World {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let stores = Stores::new(StoreSettings { data_dir: data.path().to_owned(), mappings: BTreeMap::new() });
        Self { data, stores, table: TablePlan::new(S3Uri::parse("s3://lake/calls").unwrap()) }
    }

    fn journal(&self) -> PathBuf {
        self.data.path().join("journal")
    }

    fn lake(&self) -> PathBuf {
        self.data.path().join("buckets/lake/calls")
    }

    /// [`CALLS`] calls in three segments.
    async fn captured(&self) {
        let journal = self.journal();
        let capture = Capture::open(Settings::new(journal.clone()), Arc::new(RealDisk), Clock::new(now)).unwrap().0;
        let settings = UploaderSettings {
            journal,
            plan: Plan { tables: vec![self.table.clone()], ..Plan::default() },
            tables: Some(Arc::new(Parquet)),
            read_back: true,
            answer_within: ANSWER_WITHIN,
            patience: Patience::default(),
            carry_after: captura_archive::uploader::CARRY_AFTER,
            evict_when_full: false,
            now: Arc::new(now),
            tasks: captura_tasks::Tasks::default(),
        };
        let uploader = Uploader::new(Arc::new(capture.clone()), self.stores.clone(), settings).unwrap();
        let archiving = uploader.start().unwrap();
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
    }

    async fn compacted(&self) -> Summary {
        let compactor = Compactor::new(self.stores.clone(), self.journal(), clock(now));
        compactor.pass(std::slice::from_ref(&self.table), Hours::Closed).await.unwrap()
    }

    async fn proven(&self) -> Report {
        let depth = Depth { deep: true, ..Depth::default() };
        let report = reconcile_data_dir(self.data.path(), &self.stores, depth).await.unwrap();
        assert_eq!((report.verdict, &report.findings), (Verdict::Balanced, &Vec::new()), "{report:?}");
        report
    }
}

fn all_but(without: &[u64]) -> Vec<(u64, u64)> {
    (0..CALLS).filter(|n| !without.contains(n)).map(|n| (n, n * 2)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_become_rows_once_and_the_book_balances() {
    let world = World::new();
    world.captured().await;
    let lake = world.lake();
    assert_eq!(rows(&lake), (all_but(&[]), 3), "a part for each segment");
    let done = world.compacted().await;
    assert_eq!((done.merged, done.parts, done.errors), (2, 6, vec![]));
    assert_eq!(rows(&lake), (all_but(&[]), 1));
    let names: BTreeSet<String> =
        files(&lake).iter().map(|file| file.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    assert!(names.iter().all(|name| name.starts_with("merged-")), "{names:?}");
    let report = world.proven().await;
    assert_eq!((report.tables.parts, report.tables.records, report.tables.files_checked), (6, 2 * CALLS, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_were_given_up_are_made_of_the_captures_when_their_store_takes_them() {
    let world = World::new();
    let lake = world.lake();
    std::fs::create_dir_all(lake.parent().unwrap()).unwrap();
    std::fs::write(&lake, "in the way").unwrap();
    world.captured().await;
    let report = world.proven().await;
    assert_eq!((report.tables.parts, report.tables.owed.len()), (0, 6));
    let refiller = Refiller::new(world.stores.clone(), world.journal());
    let refused = refiller.pass().await.unwrap();
    assert_eq!((refused.owed, refused.parts, refused.errors.len()), (6, 0, 6), "{refused:?}");

    std::fs::remove_file(&lake).unwrap();
    // One of the captured objects is not what it was: its part stays owed.
    let object = files(&world.data.path().join("buckets/captures")).remove(0);
    let sound = std::fs::read(&object).unwrap();
    std::fs::write(&object, "other").unwrap();
    let done = refiller.pass().await.unwrap();
    assert_eq!((done.owed, done.parts, done.errors.len()), (6, 4, 2), "{done:?}");
    std::fs::write(&object, sound).unwrap();
    let done = refiller.pass().await.unwrap();
    assert_eq!((done.owed, done.parts, done.records, done.errors), (2, 2, 40, vec![]));
    assert_eq!(rows(&lake), (all_but(&[]), 3), "typed as the model's signature says");
    let report = world.proven().await;
    assert_eq!((report.tables.parts, report.tables.records, report.tables.owed), (6, 2 * CALLS, vec![]));
    assert_eq!(refiller.pass().await.unwrap().owed, 0);

    assert_eq!(world.compacted().await.parts, 6, "they are parts like any other");
    assert_eq!(rows(&lake), (all_but(&[]), 1));
    world.proven().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_erased_calls_leave_parts_and_merged_files_and_do_not_come_back() {
    let world = World::new();
    world.captured().await;
    let removing = Removing::new(&world.journal(), world.stores.clone());
    let erase = async |n: u64| {
        let mut id = [3; 16];
        id[..8].copy_from_slice(&n.to_be_bytes());
        let calls = BTreeSet::from([EventId::from_random_bytes(id)]);
        for manifest in removing.manifests().all().unwrap() {
            let manifest = manifest.unwrap();
            for object in &manifest.objects {
                let found = removing.find(&manifest, object, &|line| calls.contains(&line.event_id)).await.unwrap();
                if found.count() > 0 {
                    removing.rewrite_tables(&manifest, (&object.endpoint, &found), (&Parquet, &calls)).await.unwrap();
                    assert_eq!(removing.rewrite(&manifest, object, &found).await.unwrap(), 1);
                }
            }
        }
    };
    erase(7).await;
    assert_eq!(rows(&world.lake()), (all_but(&[7]), 3));
    world.proven().await;
    let done = world.compacted().await;
    assert_eq!((done.merged, done.errors), (2, vec![]));
    assert_eq!(rows(&world.lake()), (all_but(&[7]), 1));
    erase(33).await;
    assert_eq!(rows(&world.lake()), (all_but(&[7, 33]), 1));
    world.proven().await;

    // Put back from a backup, it is found.
    let merged = files(&world.lake().join("rows")).remove(0);
    std::fs::write(&merged, "as it was before").unwrap();
    let depth = Depth::default();
    let report = reconcile_data_dir(world.data.path(), &world.stores, depth).await.unwrap();
    assert_eq!(report.verdict, Verdict::Imbalance);
}
