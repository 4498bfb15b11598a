use std::collections::BTreeMap;

use captura_archive::StoreSettings;
use captura_archive::batch::Plan;
use captura_archive::manifest::{MANIFEST_VERSION, Manifest, ManifestObject};
use captura_archive::runs::Runs;
use captura_capture::SegmentName;
use captura_capture::record::Record;
use captura_route::{Field, FieldType, Signature};

use super::*;
use crate::Parquet;
use crate::tests::{batches, policy, record, signature, texts};
use captura_archive::rendering::TableFormat as _;

/// A data directory with a table in a folder, and the time of day.
struct World {
    data: tempfile::TempDir,
    stores: Stores,
}

impl World {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let settings = StoreSettings { data_dir: data.path().to_owned(), mappings: BTreeMap::new() };
        std::fs::create_dir(data.path().join("journal")).unwrap();
        Self { data, stores: Stores::new(settings) }
    }

    fn compactor(&self, at: &str) -> Compactor {
        let at = Timestamp::parse(at).unwrap();
        Compactor::new(self.stores.clone(), self.data.path().join("journal"), clock(move || at))
    }

    fn table() -> TablePlan {
        TablePlan::new(S3Uri::parse("s3://lake/x").unwrap())
    }

    /// What the archive does of a segment.
    async fn archive(&self, sequence: u64, records: &[Record], confirm: bool) {
        let segment = SegmentName::whole(3, sequence);
        let mut renderer = Parquet.renderer(&Self::table(), segment);
        let mut parts: Vec<_> = records.iter().flat_map(|record| renderer.push(record).unwrap()).collect();
        parts.extend(std::iter::from_fn(|| renderer.finish().unwrap()));
        let mut tables = Vec::new();
        for part in parts {
            let uri = Self::table().to.join(&part.key).unwrap();
            let (store, path) = self.stores.resolve(&uri).unwrap();
            store.put(&path, part.bytes.clone().into()).await.unwrap();
            tables.push(ManifestObject {
                uri: uri.to_string(),
                endpoint: "churn".into(),
                variant: "v".into(),
                size_bytes: part.bytes.len() as u64,
                sha256: part.sha256,
                records: part.runs.count(),
                first_n: 0,
                last_n: 0,
                runs: part.runs,
                kms_key_id: None,
                signature: None,
            });
        }
        let manifest = Manifest {
            version: MANIFEST_VERSION,
            segment: segment.to_string(),
            node: 0xaa,
            epoch: 3,
            first_n: 0,
            end_n: 0,
            missing: Runs::default(),
            confirmed_at: String::new(),
            last_at: None,
            plan: Plan::default(),
            objects: Vec::new(),
            tables,
            owed: Vec::new(),
            unmade: Vec::new(),
            damaged: Vec::new(),
            accounts: Vec::new(),
            carried: None,
            evicted: Runs::default(),
        };
        if confirm {
            Manifests::create(&self.data.path().join("journal")).unwrap().write(&manifest).unwrap();
        }
    }

    fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        let root = self.data.path().join("buckets/lake/x");
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { found.push(path) }
            }
        }
        let mut names: Vec<String> =
            found.iter().map(|path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned()).collect();
        names.sort();
        names
    }

    /// Event ids that a reader of one half sees, in order, doubled ones twice.
    fn seen(&self, kind: Kind) -> Vec<String> {
        let mut ids = Vec::new();
        for name in self.files() {
            if name.starts_with(kind.as_str()) && name.ends_with(SUFFIX) {
                let bytes = std::fs::read(self.data.path().join("buckets/lake/x").join(&name)).unwrap();
                ids.extend(batches(&bytes.into()).iter().flat_map(|batch| texts(batch, "event_id")).flatten());
            }
        }
        ids.sort();
        ids
    }
}

const EVENING: &str = "2022-04-19T03:00:00Z";

fn calls(from: u64, signature: &Signature) -> Vec<Record> {
    let churn = policy("churn", Some(signature));
    (from..from + 5).map(|n| record(n, &churn, (Some("text/csv"), b"36,basic", Some("text/csv"), b"0.5"))).collect()
}

#[tokio::test]
async fn small_files_of_a_closed_hour_become_one_and_late_ones_join_it() {
    let world = World::new();
    for sequence in 0..4 {
        world.archive(sequence, &calls(sequence * 5, &signature()), true).await;
    }
    let before = (world.seen(Kind::Invocations), world.seen(Kind::Rows));
    assert_eq!((before.0.len(), world.files().len()), (20, 8));
    let early = world.compactor("2022-04-19T00:10:00Z").pass(&[World::table()], Hours::Closed).await.unwrap();
    assert_eq!((early.merged, world.files().len()), (0, 8), "the hour is not over for long enough");
    let done = world.compactor(EVENING).pass(&[World::table()], Hours::Recent).await.unwrap();
    assert_eq!((done.merged, done.parts, done.errors), (2, 8, vec![]));
    assert_eq!((world.seen(Kind::Invocations), world.seen(Kind::Rows)), before);
    let files = world.files();
    assert!(files.len() == 2 && files[0].contains("/hour=23/merged-000000aa-"), "{files:?}");
    world.archive(9, &calls(20, &signature()), true).await;
    let again = world.compactor(EVENING).pass(&[World::table()], Hours::Recent).await.unwrap();
    assert_eq!((again.merged, again.parts, world.files().len()), (2, 4, 2));
    assert_eq!(world.seen(Kind::Rows).len(), 25);
    let idle = world.compactor(EVENING).pass(&[World::table()], Hours::All).await.unwrap();
    assert_eq!((idle.merged, idle.errors), (0, vec![]));
}

#[tokio::test]
async fn what_is_not_confirmed_or_not_ours_stays() {
    let world = World::new();
    world.archive(0, &calls(0, &signature()), false).await;
    world.archive(1, &calls(5, &signature()), true).await;
    world.archive(2, &calls(10, &signature()), true).await;
    let folder = world.data.path().join("buckets/lake/x/rows/endpoint=churn/date=2022-04-18/hour=23");
    std::fs::write(folder.join("theirs.parquet"), "anything").unwrap();
    let done = world.compactor(EVENING).pass(&[World::table()], Hours::Closed).await.unwrap();
    assert_eq!((done.parts, done.errors), (4, vec![]));
    let files = world.files();
    assert!(files.iter().any(|name| name.ends_with("/theirs.parquet")));
    assert_eq!(files.iter().filter(|name| name.contains("/part-") && name.contains("-000000000000-")).count(), 2);
    assert_eq!(world.seen(Kind::Invocations).len(), 15);
}

#[tokio::test]
async fn models_with_other_columns_share_a_file_unless_types_differ() {
    let world = World::new();
    let field = |name: &str, kind| Field { name: name.into(), kind, shape: vec![] };
    let mut more = signature();
    more.inputs.push(field("tenure", FieldType::Fractional));
    let mut other = signature();
    other.inputs[0].kind = FieldType::String;
    world.archive(0, &calls(0, &signature()), true).await;
    world.archive(1, &calls(5, &more), true).await;
    world.archive(2, &calls(10, &other), true).await;
    let done = world.compactor(EVENING).pass(&[World::table()], Hours::Closed).await.unwrap();
    assert_eq!((done.merged, done.parts, done.errors), (2, 5, vec![]));
    assert_eq!((world.seen(Kind::Rows).len(), world.seen(Kind::Invocations).len()), (15, 15));
    let rows: Vec<String> = world.files().into_iter().filter(|name| name.starts_with("rows/")).collect();
    assert_eq!(rows.len(), 2, "{rows:?}");
}

#[test]
fn cut_off_after_any_step_no_row_is_seen_twice_and_the_next_pass_brings_all() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let whole = runtime();
    let archived = || {
        let world = World::new();
        for sequence in 0..2 {
            whole.block_on(world.archive(sequence, &calls(sequence * 5, &signature()), true));
        }
        world
    };
    let reference = archived();
    let all = reference.seen(Kind::Rows);
    let tables = [World::table()];
    whole.block_on(reference.compactor(EVENING).pass(&tables, Hours::Closed)).unwrap();
    let expected = reference.files();
    // A future that is polled so many times and dropped is a process that was killed there.
    for polls in (0..400).step_by(2) {
        let world = archived();
        let compactor = world.compactor(EVENING);
        // In a runtime of its own, whose end waits for what it has begun with files.
        let finished = runtime().block_on(async {
            let mut pass = std::pin::pin!(compactor.pass(&tables, Hours::Closed));
            let mut left = polls;
            std::future::poll_fn(|context| {
                if left == 0 {
                    return std::task::Poll::Ready(false);
                }
                left -= 1;
                pass.as_mut().poll(context).map(|done| done.is_ok())
            })
            .await
        });
        for kind in Kind::ALL {
            let seen = world.seen(kind);
            let different: BTreeSet<&String> = seen.iter().collect();
            assert_eq!(different.len(), seen.len(), "after {polls} polls a row is seen twice");
        }
        let next = whole.block_on(world.compactor(EVENING).pass(&tables, Hours::Closed)).unwrap();
        assert_eq!(next.errors, Vec::<String>::new(), "after {polls} polls");
        assert_eq!((world.seen(Kind::Rows), world.files()), (all.clone(), expected.clone()), "after {polls} polls");
        if finished {
            assert!(polls > 10, "there are steps to be cut off at");
            return;
        }
    }
    panic!("it never finished");
}

#[tokio::test]
async fn parts_of_a_merge_that_is_not_finished_join_no_other() {
    let world = World::new();
    for sequence in 0..2 {
        world.archive(sequence, &calls(sequence * 5, &signature()), true).await;
    }
    let journal = world.data.path().join("journal");
    let manifests = Manifests::at(&journal);
    let parts: Vec<ManifestObject> =
        manifests.all().unwrap().into_iter().flat_map(|manifest| manifest.unwrap().tables).collect();
    let sources: Vec<MergedFile> =
        parts.iter().filter(|part| part.uri.contains("/rows/")).map(MergedFile::from).collect();
    // A note whose merged file is gone from its hidden place: it cannot be finished, and says so.
    let target = MergedFile { uri: "s3://lake/x/merged-000000aa-0.parquet".into(), ..sources[0].clone() };
    let staged = "s3://lake/x/_merging-000000aa-0.tmp".to_owned();
    let merge = Merge { version: MERGE_VERSION, staged, target, sources, merged_at: String::new(), done: false };
    Merges::create(&journal).unwrap().write(&merge).unwrap();
    world.archive(2, &calls(10, &signature()), true).await;
    let done = world.compactor(EVENING).pass(&[World::table()], Hours::Closed).await.unwrap();
    assert_eq!((done.errors.len(), done.parts), (1, 3), "{:?}", done.errors);
    assert!(!world.files().iter().any(|name| name.contains("rows/") && name.contains("merged-")));
}

#[tokio::test]
async fn one_process_at_a_time() {
    let world = World::new();
    let merges = Merges::create(&world.data.path().join("journal")).unwrap();
    let held = merges.lock().unwrap();
    let busy = world.compactor(EVENING).pass(&[World::table()], Hours::All).await;
    assert!(matches!(busy, Err(CompactError::Busy)));
    drop(held);
    world.compactor(EVENING).pass(&[World::table()], Hours::All).await.unwrap();
}
