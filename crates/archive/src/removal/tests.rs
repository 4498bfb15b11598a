use std::sync::Arc;

use captura_capture::journal::disk::RealDisk;
use captura_capture::record::{Caller, Conclusion, Consumer, Outcome, Payload};
use captura_capture::{Capture, Settings, Stream};
use captura_names::{EndpointName, EventId};
use captura_route::{Clock, Invocation, ModelRequest};

use super::*;
use crate::batch::Plan;
use crate::destinations::Patience;
use crate::fixture::policy;
use crate::reconcile::{Depth, Verdict, reconcile_data_dir};
use crate::stores::StoreSettings;
use crate::uploader::{ANSWER_WITHIN, Uploader, UploaderSettings};

/// A data directory in which calls of two endpoints were captured and archived.
struct World {
    folder: tempfile::TempDir,
    capture: Capture,
    stores: Stores,
    removing: Removing,
}

async fn call(stream: &Stream, number: u8) {
    let invocation = Invocation {
        event_id: EventId::from_bytes([number; 16]),
        arrived_at: Timestamp::from_unix_us(NOW_US),
        consumer: Consumer::anonymous(),
        caller: Caller::default(),
        endpoint: EndpointName::parse("churn").unwrap(),
        target_variant: None,
        inference_id: None,
        request: ModelRequest {
            body: format!("call {number}").into(),
            content_type: Some("text/csv".into()),
            ..ModelRequest::default()
        },
    };
    let conclusion = Conclusion {
        outcome: Outcome::Ok,
        status: 200,
        response: Payload { content_type: Some("text/csv".into()), body: bytes::Bytes::from_static(b"0.5") },
        response_cut_bytes: 0,
        model_latency_us: 1,
        total_latency_us: 2,
    };
    stream.begin(invocation).unwrap().conclude(conclusion).captured().await;
}

const NOW_US: i64 = 1_650_241_308_871_000;

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("journal");
        let stores = Stores::new(StoreSettings { data_dir: folder.path().to_owned(), mappings: BTreeMap::new() });
        let capture = Self::open(&journal);
        let removing = Removing::new(&journal, stores.clone());
        let world = Self { folder, capture, stores, removing };
        for (endpoint, calls) in [("churn", 3), ("other", 2)] {
            let stream = world.capture.stream(&Arc::new(policy(endpoint, "v", "s3://captures/d", &["text/csv"], &[])));
            for number in 0..calls {
                call(&stream, number).await;
            }
        }
        world.archive().await;
        world
    }

    fn open(journal: &Path) -> Capture {
        let settings = Settings { min_free_bytes: 0, ..Settings::new(journal) };
        Capture::open(settings, Arc::new(RealDisk), Clock::fixed(Timestamp::from_unix_us(NOW_US))).unwrap().0
    }

    async fn archive(&self) {
        self.capture.seal().await;
        self.uploader().round().await;
        assert!(self.capture.sealed().is_empty());
    }

    fn uploader(&self) -> Uploader {
        let settings = UploaderSettings {
            journal: self.folder.path().join("journal"),
            plan: Plan::default(),
            tables: None,
            read_back: false,
            answer_within: ANSWER_WITHIN,
            carry_after: std::time::Duration::ZERO,
            evict_when_full: false,
            tasks: captura_tasks::Tasks::default(),
            patience: Patience::default(),
            now: Arc::new(|| Timestamp::from_unix_us(NOW_US)),
        };
        Uploader::new(Arc::new(self.capture.clone()), self.stores.clone(), settings).unwrap()
    }

    fn manifest(&self) -> Manifest {
        self.removing.manifests().all().unwrap().remove(0).unwrap()
    }

    fn settle(&self) {
        self.capture.settle_removed(&totals(&self.removing.removals().all().unwrap())).unwrap();
    }

    /// As another start finds it.
    async fn proven(self) -> (Verdict, Vec<String>) {
        self.capture.close().await.unwrap();
        drop(self.capture);
        let report =
            reconcile_data_dir(self.folder.path(), &self.stores, Depth { deep: true, ..Depth::default() }).await;
        let report = report.unwrap();
        (report.verdict, report.findings.into_iter().map(|finding| finding.reason).collect())
    }
}

#[tokio::test]
async fn what_expires_is_deleted_counted_and_proven_and_everything_else_stays() {
    let world = World::new().await;
    let manifest = world.manifest();
    assert!(manifest.last_at.is_some());
    let is_churn = |object: &ManifestObject| object.endpoint == "churn";
    let at = Timestamp::from_unix_us(NOW_US);
    let (records, failed) = world.removing.expire(&manifest, is_churn, at).await.unwrap();
    assert!(failed.is_empty());
    assert_eq!(records, 3);
    assert_eq!(world.removing.expire(&manifest, is_churn, at).await.unwrap().0, 0, "once is enough");
    world.settle();
    world.settle();
    let book = world.capture.ledger();
    let account = book.account("churn", "v").unwrap();
    assert_eq!((account.captured, account.uploaded, account.expired, account.imbalance()), (3, 0, 3, 0));
    assert_eq!(book.account("other", "v").unwrap().uploaded, 2);
    for object in &manifest.objects {
        let path = world.folder.path().join("buckets").join(object.uri.strip_prefix("s3://").unwrap());
        assert_eq!(path.exists(), object.endpoint == "other", "{}", object.uri);
    }
    assert_eq!(world.proven().await, (Verdict::Balanced, vec![]));
}

#[tokio::test]
async fn a_kill_at_any_arrow_leaves_a_book_that_balances_and_work_that_can_be_taken_up() {
    // Noted and not deleted; deleted and not booked; booked.
    for arrow in 0..3 {
        let world = World::new().await;
        let manifest = world.manifest();
        let at = Timestamp::from_unix_us(NOW_US);
        if arrow == 0 {
            let mut note = Removed::of(&manifest);
            let object = manifest.objects.iter().find(|object| object.endpoint == "churn").unwrap();
            note.note(object, false).expired = Some(Expired { at: at.to_string(), gone: false, unsent: false });
            world.removing.removals().write(&note).unwrap();
        } else {
            world.removing.expire(&manifest, |object| object.endpoint == "churn", at).await.unwrap();
        }
        if arrow == 2 {
            world.settle();
        }
        assert_eq!(world.proven().await, (Verdict::Balanced, vec![]), "arrow {arrow}");
    }
    let world = World::new().await;
    let manifest = world.manifest();
    let mut note = Removed::of(&manifest);
    note.note(&manifest.objects[0], false).expired = Some(Expired { at: "t".into(), gone: false, unsent: false });
    world.removing.removals().write(&note).unwrap();
    let first = |object: &ManifestObject| object.uri == manifest.objects[0].uri;
    let (records, _) = world.removing.expire(&manifest, first, Timestamp::from_unix_us(0)).await.unwrap();
    assert_eq!(records, manifest.objects[0].records, "what was noted is taken up");
}

#[tokio::test]
async fn erased_records_are_found_counted_once_and_not_counted_again_when_they_expire() {
    let world = World::new().await;
    let manifest = world.manifest();
    let object = manifest.objects.iter().find(|object| object.endpoint == "churn").unwrap();
    let second = |line: &Line| line.input.as_ref().is_some_and(|side| side.body.starts_with(b"call 1"));
    let found = world.removing.find(&manifest, object, &second).await.unwrap();
    assert_eq!(found.count(), 1);
    assert_eq!(world.removing.erase(&manifest, object, &found).unwrap(), 1);
    assert_eq!(world.removing.erase(&manifest, object, &found).unwrap(), 0);
    world.settle();
    let account = |world: &World| world.capture.ledger().account("churn", "v").unwrap().clone();
    assert_eq!((account(&world).uploaded, account(&world).erased), (2, 1));
    let (records, _) = world.removing.expire(&manifest, |_| true, Timestamp::from_unix_us(NOW_US)).await.unwrap();
    assert_eq!(records, 4, "of five, one was erased before");
    world.settle();
    assert_eq!((account(&world).uploaded, account(&world).erased, account(&world).expired), (0, 1, 2));
    assert!(world.removing.find(&manifest, object, &second).await.unwrap().runs().is_empty());
    assert_eq!(world.proven().await, (Verdict::Balanced, vec![]));
}

#[tokio::test]
async fn a_book_that_says_more_than_notes_prove_does_not_balance() {
    let world = World::new().await;
    let said = RemovedRecords { endpoint: "churn".into(), variant: "v".into(), expired: 1, erased: 0 };
    world.capture.settle_removed(std::slice::from_ref(&said)).unwrap();
    assert!(world.capture.settle_removed(&[RemovedRecords { expired: 4, ..said }]).is_err(), "more than there was");
    let (verdict, findings) = world.proven().await;
    assert_eq!(verdict, Verdict::Imbalance);
    assert!(findings.iter().any(|reason| reason.contains("notes prove 0")), "{findings:?}");
}

#[tokio::test]
async fn a_merged_file_of_a_table_goes_when_the_last_of_its_parts_has_expired() {
    let world = World::new().await;
    let journal = world.folder.path().join("journal");
    let bucket = world.folder.path().join("buckets/tables");
    std::fs::create_dir_all(&bucket).unwrap();
    let file = |name: &str| crate::merges::MergedFile {
        uri: format!("s3://tables/{name}"),
        size_bytes: 1,
        sha256: String::new(),
        records: 1,
    };
    let merge = |target: &str, sources: &[&str]| {
        std::fs::write(bucket.join(target), "x").unwrap();
        let merge = Merge {
            version: crate::merges::MERGE_VERSION,
            staged: String::new(),
            target: file(target),
            sources: sources.iter().map(|name| file(name)).collect(),
            merged_at: String::new(),
            done: true,
        };
        Merges::create(&journal).unwrap().write(&merge).unwrap();
    };
    merge("ab", &["a", "b"]);
    merge("abc", &["ab", "c"]);
    let at = Timestamp::from_unix_us(NOW_US);
    let mut note = Removed::of(&world.manifest());
    for (gone, ab, abc) in [("a", true, true), ("b", false, true), ("c", false, false)] {
        let object = ManifestObject { uri: format!("s3://tables/{gone}"), ..world.manifest().objects[0].clone() };
        note.note(&object, true).expired = Some(Expired { at: at.to_string(), gone: true, unsent: false });
        world.removing.removals().write(&note).unwrap();
        assert!(world.removing.expire_merged(at).await.unwrap().is_empty());
        assert_eq!((bucket.join("ab").exists(), bucket.join("abc").exists()), (ab, abc), "after {gone}");
    }
    world.settle();
    assert_eq!(world.proven().await, (Verdict::Balanced, vec![]));
}

/// Calls to two endpoints while a file is in the way of the objects of the first.
async fn waiting() -> (World, PathBuf) {
    let world = World::new().await;
    let obstacle = world.folder.path().join("buckets/captures/d/late");
    std::fs::write(&obstacle, "in the way").unwrap();
    for endpoint in ["late", "other"] {
        let stream = world.capture.stream(&Arc::new(policy(endpoint, "v", "s3://captures/d", &["text/csv"], &[])));
        call(&stream, 9).await;
    }
    world.capture.seal().await;
    (world, obstacle)
}

#[tokio::test]
async fn what_waits_for_a_store_that_is_down_expires_too_and_everything_balances() {
    for before_the_manifest in [false, true] {
        let (world, obstacle) = waiting().await;
        let mut uploader = world.uploader();
        uploader.overdue().decide(|endpoint, last_at| endpoint == "late" && last_at.unix_us() == NOW_US);
        let segment = world.capture.sealed()[0].name.to_string();
        let blocked = world.folder.path().join(format!("journal/manifest/{segment}.json.new"));
        if before_the_manifest {
            std::fs::create_dir(&blocked).unwrap();
        }
        uploader.round().await;
        if before_the_manifest {
            // Killed between the note and the manifest; then the store comes back.
            assert!(!world.capture.sealed().is_empty());
            std::fs::remove_dir(&blocked).unwrap();
            std::fs::remove_file(&obstacle).unwrap();
            world.uploader().round().await;
        }
        drop(uploader);
        assert!(world.capture.sealed().is_empty(), "the segment is gone, with the record");
        world.settle();
        let account = world.capture.ledger().account("late", "v").unwrap().clone();
        assert_eq!((account.captured, account.uploaded, account.expired, account.imbalance()), (1, 0, 1, 0));
        assert_eq!(world.capture.ledger().account("other", "v").unwrap().uploaded, 3);

        let manifests = world.removing.manifests().all().unwrap();
        let manifest = manifests.into_iter().map(Result::unwrap).find(|manifest| manifest.segment == segment).unwrap();
        if !before_the_manifest {
            let (_, failed) = world.removing.expire(&manifest, |object| object.endpoint == "late", at()).await.unwrap();
            assert_eq!(failed.len(), 1, "nobody knows whether a put arrived");
            std::fs::remove_file(&obstacle).unwrap();
        }
        let (_, failed) = world.removing.expire(&manifest, |object| object.endpoint == "late", at()).await.unwrap();
        assert!(failed.is_empty(), "{failed:?}");
        world.settle();
        assert_eq!(world.capture.ledger().account("late", "v").unwrap().expired, 1, "counted once");
        let late = world.folder.path().join("buckets/captures/d/late");
        let mut left = Vec::new();
        files_of(&late, &mut left);
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(world.proven().await, (Verdict::Balanced, vec![]), "before the manifest: {before_the_manifest}");
    }
}

fn at() -> Timestamp {
    Timestamp::from_unix_us(NOW_US)
}

fn files_of(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { files_of(&path, found) } else { found.push(path) }
    }
}

#[tokio::test]
async fn profiles_beside_objects_go_with_what_is_taken_out_of_them_and_no_reader_takes_them_for_captures() {
    let world = World::new().await;
    let manifest = world.manifest();
    let of = |endpoint: &str| manifest.objects.iter().find(|object| object.endpoint == endpoint).unwrap();
    let (churn, other) = (of("churn"), of("other"));
    let wanted = crate::reader::Selection::default();
    let mut kept = Vec::new();
    for object in [churn, other] {
        let found = crate::reader::list(&world.stores, &object.uri, &wanted).await.unwrap().remove(0);
        found.keep_profile("7", "what they sent".into()).await.unwrap();
        assert!(found.profile("7").await.is_some() && found.is_as_found().await);
        kept.push(found);
    }
    assert_eq!(crate::reader::list(&world.stores, "s3://captures/d", &wanted).await.unwrap().len(), 2);
    let second = |line: &Line| line.input.as_ref().is_some_and(|side| side.body.starts_with(b"call 1"));
    let numbers = world.removing.find(&manifest, churn, &second).await.unwrap();
    world.removing.rewrite(&manifest, churn, &numbers).await.unwrap();
    assert!(kept[0].profile("7").await.is_none() && !kept[0].is_as_found().await);
    assert!(kept[1].profile("7").await.is_some(), "that of another folder stays");
    let at = Timestamp::from_unix_us(NOW_US);
    world.removing.expire(&manifest, |object| object.endpoint == "other", at).await.unwrap();
    assert!(kept[1].profile("7").await.is_none() && !kept[1].is_as_found().await);
    world.settle();
    assert_eq!(world.proven().await, (Verdict::Balanced, vec![]));
}
