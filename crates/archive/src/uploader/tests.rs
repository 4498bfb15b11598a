mod tables;

use std::sync::atomic::Ordering;

use captura_capture::AccountRecords;
use captura_capture::journal::reader::Damage;
use captura_capture::record::Record;
use captura_names::Timestamp;
use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _};

use super::*;
use crate::fake_journal::{FakeJournal, damage};
use crate::faulty_store::{Fault, FaultyStore};
use crate::fixture::{policy, record};
use crate::line::Line;
use crate::stores::StoreSettings;

const RETRY_CAP: Duration = Duration::from_secs(60);

struct World {
    data: tempfile::TempDir,
    journal: Arc<FakeJournal>,
    stores: Stores,
}

impl World {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let settings = StoreSettings { data_dir: data.path().to_owned(), mappings: BTreeMap::new() };
        std::fs::create_dir(data.path().join("journal")).unwrap();
        Self { data, journal: Arc::new(FakeJournal::new()), stores: Stores::new(settings) }
    }

    fn with_store(store: &FaultyStore) -> Self {
        let world = Self::new();
        world.stores.put_in("captures", Arc::new(store.clone()));
        world
    }

    /// A new process on the same state.
    fn uploader_with(&self, plan: Plan) -> Uploader {
        let settings = UploaderSettings {
            journal: self.data.path().join("journal"),
            plan,
            tables: None,
            read_back: true,
            answer_within: crate::uploader::ANSWER_WITHIN,
            patience: Patience::default(),
            carry_after: CARRY_AFTER,
            evict_when_full: false,
            now: Arc::new(|| Timestamp::from_unix_us(1_700_000_000_000_000)),
            tasks: captura_tasks::Tasks::default(),
        };
        let journal: Arc<dyn Journal> = Arc::clone(&self.journal) as Arc<dyn Journal>;
        Uploader::new(journal, self.stores.clone(), settings).unwrap()
    }

    fn uploader(&self) -> Uploader {
        self.uploader_with(small())
    }

    fn manifest(&self, segment: &SegmentName) -> Option<Manifest> {
        Manifests::at(&self.data.path().join("journal")).read(&segment.to_string()).unwrap()
    }
}

/// Two records fill an object.
fn small() -> Plan {
    Plan { object_max_bytes: 1_000, ..Plan::default() }
}

fn at(n: u64, endpoint: &str, destination: &str) -> Record {
    let mut record = record(n);
    record.policy = Arc::new(policy(endpoint, "v", destination, &["text/csv"], &[]));
    record
}

fn items(numbers: std::ops::Range<u64>) -> Vec<Result<Record, Damage>> {
    let churn = at(0, "churn", "s3://captures/d");
    let fraud = at(0, "fraud", "s3://captures/d");
    let owner = |n: u64| if n.is_multiple_of(3) { &fraud } else { &churn };
    numbers.map(|n| Ok(Record { policy: Arc::clone(&owner(n).policy), ..record(n) })).collect()
}

/// Every line under the store, by number, duplicates included; and all keys.
async fn stored(store: &FaultyStore) -> (Vec<u64>, Vec<String>) {
    let mut keys: Vec<Path> = store.inner().list(None).map_ok(|meta| meta.location).try_collect().await.unwrap();
    keys.sort();
    let mut numbers = Vec::new();
    for key in &keys {
        let bytes = store.inner().get(key).await.unwrap().bytes().await.unwrap();
        let lines = bytes.split_inclusive(|byte| *byte == b'\n');
        numbers.extend(lines.map(|line| Line::parse(line).unwrap().lsn.unwrap().n));
    }
    numbers.sort_unstable();
    (numbers, keys.into_iter().map(|key| key.to_string()).collect())
}

async fn rounds(uploader: &mut Uploader, most: usize) {
    for _ in 0..most {
        uploader.round().await;
        if uploader.waiting.is_empty() {
            return;
        }
        tokio::time::advance(RETRY_CAP).await;
    }
}

fn records_of(accounts: &[AccountRecords]) -> Vec<(String, u64)> {
    accounts.iter().map(|account| (account.endpoint.clone(), account.records)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_segment_becomes_objects_and_is_freed_after_its_manifest() {
    let store = FaultyStore::sound();
    let world = World::with_store(&store);
    let name = world.journal.seal(1, items(0..7));
    let folder = world.data.path().join("journal");
    *world.journal.before_free.lock().unwrap() = Box::new(move |segment| {
        assert!(Manifests::at(&folder).read(&segment.to_string()).unwrap().is_some(), "freed before its manifest");
    });
    let mut uploader = world.uploader();
    uploader.round().await;
    assert!(world.journal.is_empty());
    let freed = world.journal.freed.lock().unwrap().clone();
    assert_eq!(records_of(&freed[0].1), [("churn".to_owned(), 4), ("fraud".to_owned(), 3)]);
    let (numbers, keys) = stored(&store).await;
    assert_eq!(numbers, (0..7).collect::<Vec<_>>());
    let manifest = world.manifest(&name).unwrap();
    assert_eq!(manifest.objects.len(), keys.len());
    for object in &manifest.objects {
        let key = Path::parse(object.uri.strip_prefix("s3://captures/").unwrap()).unwrap();
        let bytes = store.inner().get(&key).await.unwrap().bytes().await.unwrap();
        assert_eq!((object.size_bytes, &object.sha256), (bytes.len() as u64, &crate::batch::sha256_hex(&bytes)));
        assert_eq!(object.records, object.runs.count());
    }
    assert_eq!((manifest.first_n, manifest.end_n, manifest.missing.count()), (0, 7, 0));
    let figures = uploader.figures().snapshot();
    assert_eq!((figures.segments_archived, figures.records_uploaded, figures.errors), (1, 7, 0));
    assert_eq!((figures.segments_waiting, figures.lag_seconds(Timestamp::from_unix_us(0))), (0, 0.0));
    let left: Vec<_> = std::fs::read_dir(world.data.path().join("journal/manifest")).unwrap().collect();
    assert_eq!(left.len(), 1, "the plan is forgotten");
}

#[tokio::test(start_paused = true)]
async fn any_fault_at_any_call_only_delays() {
    let reference = FaultyStore::sound();
    let world = World::with_store(&reference);
    world.journal.seal(1, items(0..5));
    rounds(&mut world.uploader(), 1).await;
    let expected = stored(&reference).await;
    for fault in [Fault::Fails, Fault::Refuses, Fault::ReplyLost, Fault::Partial, Fault::PartialSilently] {
        for call in 0..12 {
            let store = FaultyStore::at(call, fault);
            let world = World::with_store(&store);
            world.journal.seal(1, items(0..5));
            rounds(&mut world.uploader(), 5).await;
            assert!(world.journal.is_empty(), "{fault:?} at call {call}");
            assert_eq!(stored(&store).await, expected, "{fault:?} at call {call}");
            let freed = world.journal.freed.lock().unwrap().clone();
            let records: u64 = freed.iter().flat_map(|freed| &freed.1).map(|account| account.records).sum();
            assert_eq!(records, 5, "{fault:?} at call {call}: whole or in two parts");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn killed_after_any_call_and_started_with_other_settings_the_objects_are_the_same() {
    let reference = FaultyStore::sound();
    let world = World::with_store(&reference);
    world.journal.seal(1, items(0..5));
    rounds(&mut world.uploader(), 1).await;
    let expected = stored(&reference).await;
    for calls in 0..12 {
        // Everything after so many calls fails, the process dies, and the next one finds a sound store.
        let dying = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
        let alive = Arc::clone(&dying);
        let store = FaultyStore::scripted(move |call, _| {
            (call >= calls && alive.load(Ordering::SeqCst)).then_some(Fault::ReplyLost)
        });
        let world = World::with_store(&store);
        world.journal.seal(1, items(0..5));
        let mut first = world.uploader();
        first.round().await;
        drop(first);
        dying.store(false, Ordering::SeqCst);
        let other = Plan { extension: false, object_max_bytes: 1, buffer_max_bytes: 1, ..Plan::default() };
        rounds(&mut world.uploader_with(other), 2).await;
        assert!(world.journal.is_empty(), "after {calls} calls");
        assert_eq!(stored(&store).await, expected, "after {calls} calls");
    }
}

#[tokio::test(start_paused = true)]
async fn killed_between_manifest_and_freeing_only_the_freeing_is_left() {
    let store = FaultyStore::sound();
    let world = World::with_store(&store);
    let name = world.journal.seal(1, items(0..5));
    world.journal.free_failures.store(1, Ordering::SeqCst);
    let mut first = world.uploader();
    first.round().await;
    assert!(!world.journal.is_empty() && first.figures().snapshot().errors == 1);
    let manifest = world.manifest(&name).unwrap();
    drop(first);
    // Nothing is put again: every call of the store would fail.
    world.stores.put_in("captures", Arc::new(FaultyStore::scripted(|_, _| Some(Fault::Fails))));
    rounds(&mut world.uploader(), 1).await;
    assert!(world.journal.is_empty());
    assert_eq!(world.manifest(&name).unwrap(), manifest, "a manifest is never changed");
}

#[tokio::test(start_paused = true)]
async fn a_manifest_of_another_node_proves_nothing_for_a_segment_of_the_same_name() {
    let store = FaultyStore::sound();
    let world = World::with_store(&store);
    let name = world.journal.seal(1, items(0..5));
    rounds(&mut world.uploader(), 1).await;
    // The journal was emptied and its manifests stayed: a new node begins anew, with other records.
    let manifests = Manifests::at(&world.data.path().join("journal"));
    let mut manifest = world.manifest(&name).unwrap();
    manifest.node = 0xbb;
    manifests.write(&manifest).unwrap();
    assert_eq!(world.journal.seal(1, items(5..9)), name);
    rounds(&mut world.uploader(), 1).await;
    assert!(world.journal.is_empty());
    assert_eq!(stored(&store).await.0, (0..9).collect::<Vec<_>>());
    assert_eq!(world.manifest(&name).unwrap().node, 0xaa);
}

#[tokio::test(start_paused = true)]
async fn a_manifest_that_cannot_be_written_keeps_the_segment() {
    let store = FaultyStore::sound();
    let world = World::with_store(&store);
    let name = world.journal.seal(1, items(0..5));
    let mut uploader = world.uploader();
    let blocked = world.data.path().join(format!("journal/manifest/{name}.json.new"));
    std::fs::create_dir(&blocked).unwrap();
    rounds(&mut uploader, 3).await;
    assert!(!world.journal.is_empty());
    std::fs::remove_dir(&blocked).unwrap();
    rounds(&mut uploader, 1).await;
    assert!(world.journal.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_damaged_plan_or_manifest_is_made_anew() {
    let store = FaultyStore::sound();
    let world = World::with_store(&store);
    let name = world.journal.seal(1, items(0..5));
    let mut uploader = world.uploader();
    for ending in ["json", "plan.json"] {
        std::fs::write(world.data.path().join(format!("journal/manifest/{name}.{ending}")), "{").unwrap();
    }
    rounds(&mut uploader, 2).await;
    assert!(world.journal.is_empty());
    assert_eq!(world.manifest(&name).unwrap().objects.len(), stored(&store).await.1.len());
}

#[tokio::test(start_paused = true)]
async fn a_failing_destination_keeps_its_segments_and_nobody_elses() {
    let down = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let is_down = Arc::clone(&down);
    let broken = FaultyStore::scripted(move |_, _| is_down.load(Ordering::SeqCst).then_some(Fault::Fails));
    let sound = FaultyStore::sound();
    let world = World::with_store(&sound);
    world.stores.put_in("broken", Arc::new(broken.clone()));
    let to_broken = |n| Ok(at(n, "lost", "s3://broken/d"));
    let first = world.journal.seal(1, [items(0..3), vec![to_broken(3)]].concat());
    world.journal.seal(2, vec![to_broken(4)]);
    let last = world.journal.seal(3, items(5..8));
    let mut uploader = world.uploader();
    rounds(&mut uploader, 4).await;
    assert_eq!(stored(&sound).await.0, [0, 1, 2, 5, 6, 7], "objects of others are uploaded");
    let freed: Vec<_> = world.journal.freed.lock().unwrap().iter().map(|freed| freed.0).collect();
    assert_eq!(freed, [last, first], "the shared segment goes too, after a while");
    let part = first.next_part();
    let manifest = world.manifest(&first).unwrap();
    let carried = manifest.carried.unwrap();
    assert_eq!((carried.part, carried.numbers.numbers().collect::<Vec<_>>()), (part.to_string(), vec![3]));
    assert_eq!(*world.journal.failing.lock().unwrap().first().unwrap(), (S3Uri::parse("s3://broken/d").unwrap(), true));
    let figures = uploader.figures().snapshot();
    assert_eq!((figures.segments_waiting, figures.segments_carried, figures.segments_archived), (2, 1, 1));
    assert!(figures.destinations.iter().any(|destination| destination.failing && !destination.unwritable));
    assert!(world.journal.marks.lock().unwrap().is_empty(), "an outage drops no calls");
    down.store(false, Ordering::SeqCst);
    rounds(&mut uploader, 2).await;
    assert!(world.journal.is_empty());
    assert_eq!(stored(&broken).await.0, [3, 4]);
    assert_eq!(uploader.figures().snapshot().records_uploaded, 8, "nothing was uploaded twice");
    assert!(world.manifest(&part).is_some());
    assert!(!world.journal.failing.lock().unwrap().last().unwrap().1);
}

#[tokio::test(start_paused = true)]
async fn killed_at_any_step_of_carrying_over_the_objects_are_those_of_an_undisturbed_day() {
    // Three records make an object at `broken`; the shared segment has two of its own and one half-full.
    let content = || -> Vec<_> {
        let owner = |n: u64| {
            if n.is_multiple_of(3) { at(n, "churn", "s3://captures/d") } else { at(n, "lost", "s3://broken/d") }
        };
        (0..12).map(|n| Ok(owner(n))).collect()
    };
    let plan = || Plan { object_max_bytes: 1_500, ..Plan::default() };
    let undisturbed = (FaultyStore::sound(), FaultyStore::sound());
    let world = World::with_store(&undisturbed.0);
    world.stores.put_in("broken", Arc::new(undisturbed.1.clone()));
    world.journal.seal(1, content());
    rounds(&mut world.uploader_with(plan()), 1).await;
    assert!(world.journal.is_empty());
    let expected = (stored(&undisturbed.0).await, stored(&undisturbed.1).await);
    assert!(expected.1.1.len() > 2);
    for failures in 0..4 {
        let down = Arc::new(std::sync::atomic::AtomicBool::new(true));
        let is_down = Arc::clone(&down);
        // The second object is stored and its answer lost, the others fail.
        let broken = FaultyStore::scripted(move |call, _| {
            let fault = if call == 0 { Fault::ReplyLost } else { Fault::Fails };
            is_down.load(Ordering::SeqCst).then_some(fault)
        });
        let sound = FaultyStore::sound();
        let world = World::with_store(&sound);
        world.stores.put_in("broken", Arc::new(broken.clone()));
        let name = world.journal.seal(1, content());
        world.journal.free_failures.store(failures, Ordering::SeqCst);
        // Each round is another process until the shared segment is gone.
        let mut uploader = world.uploader_with(plan());
        for _ in 0..8 {
            uploader.round().await;
            tokio::time::advance(RETRY_CAP).await;
            if world.manifest(&name).is_some() {
                uploader = world.uploader_with(plan());
            }
        }
        let waiting = world.journal.sealed();
        assert_eq!(waiting.iter().map(|segment| segment.name).collect::<Vec<_>>(), [name.next_part()], "{failures}");
        down.store(false, Ordering::SeqCst);
        rounds(&mut world.uploader_with(Plan { object_max_bytes: 1, ..Plan::default() }), 3).await;
        assert!(world.journal.is_empty(), "{failures}");
        assert_eq!((stored(&sound).await, stored(&broken).await), expected, "{failures}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_endpoint_that_a_destination_refuses_does_not_stop_the_others_there() {
    let world = World::new();
    let destination = S3Uri::parse("s3://captures").unwrap();
    world.journal.destinations.lock().unwrap().push(destination.clone());
    std::fs::create_dir_all(world.data.path().join("buckets/captures")).unwrap();
    let in_the_way = world.data.path().join("buckets/captures/name");
    std::fs::write(&in_the_way, "an object").unwrap();
    let mine = |n| Ok(at(n, "name", "s3://captures"));
    let others = |n| Ok(at(n, "churn", "s3://captures"));
    world.journal.seal(1, vec![mine(0), others(1), mine(2)]);
    world.journal.seal(2, vec![others(3)]);
    let mut uploader = world.uploader();
    rounds(&mut uploader, 2).await;
    assert_eq!(world.journal.sealed().len(), 1, "what is left is a part");
    assert_eq!(uploader.figures().snapshot().records_uploaded, 2);
    let place = S3Uri::parse("s3://captures/name").unwrap();
    assert_eq!(*world.journal.marks.lock().unwrap(), [(place.clone(), true)]);
    let health = uploader.figures().snapshot().destinations;
    let failing: Vec<_> = health.iter().filter(|one| one.failing).collect();
    assert_eq!(
        (failing.len(), failing[0].destination.as_str(), failing[0].reason),
        (1, "s3://captures/name", Some("permission"))
    );
    std::fs::remove_file(&in_the_way).unwrap();
    tokio::time::advance(RETRY_CAP).await;
    rounds(&mut uploader, 2).await;
    assert!(world.journal.is_empty());
    assert_eq!(world.journal.marks.lock().unwrap().last(), Some(&(place, false)));
}

#[tokio::test(start_paused = true)]
async fn where_the_operator_allows_it_a_full_journal_gives_up_the_oldest_records_of_the_failing() {
    let sound = FaultyStore::sound();
    let world = World::with_store(&sound);
    world.stores.put_in("broken", Arc::new(FaultyStore::scripted(|_, _| Some(Fault::Fails))));
    let to_broken = |n| Ok(at(n, "lost", "s3://broken/d"));
    let first = world.journal.seal(1, vec![to_broken(0), Ok(at(1, "churn", "s3://captures/d")), to_broken(2)]);
    world.journal.seal(2, vec![to_broken(3)]);
    let journal = Arc::clone(&world.journal);
    world.journal.backlog_bytes.store(790, Ordering::SeqCst);
    *world.journal.before_free.lock().unwrap() = Box::new(move |_| journal.backlog_bytes.store(500, Ordering::SeqCst));
    let mut uploader = world.uploader();
    uploader.round().await;
    assert!(world.journal.evicted.lock().unwrap().is_empty(), "not unless it is allowed");
    uploader.settings.evict_when_full = true;
    uploader.round().await;
    let evicted: Vec<_> =
        world.journal.evicted.lock().unwrap().iter().map(|one| (one.endpoint.clone(), one.records)).collect();
    assert_eq!(evicted, [("lost".to_owned(), 2)], "the oldest, and no more than it takes");
    let manifest = world.manifest(&first).unwrap();
    assert_eq!(manifest.evicted.numbers().collect::<Vec<_>>(), [0, 2]);
    assert_eq!(stored(&sound).await.0, [1]);
    assert_eq!((world.journal.sealed().len(), uploader.figures().snapshot().records_evicted), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn damage_is_booked_and_not_uploaded() {
    let store = FaultyStore::sound();
    let world = World::with_store(&store);
    let mut content = items(0..6);
    content[2] = Err(damage(2));
    let _ = content.remove(4);
    let name = world.journal.seal(1, content);
    let mut uploader = world.uploader();
    uploader.round().await;
    assert!(world.manifest(&name).is_none(), "read once more before damage is believed");
    tokio::time::advance(RETRY_CAP).await;
    rounds(&mut uploader, 1).await;
    let manifest = world.manifest(&name).unwrap();
    assert_eq!(manifest.damaged.iter().map(|damage| (damage.first_n, damage.last_n)).collect::<Vec<_>>(), [(2, 2)]);
    assert_eq!(manifest.missing.numbers().collect::<Vec<_>>(), [4], "given out and dropped");
    assert_eq!(stored(&store).await.0, [0, 1, 3, 5]);
    let freed = world.journal.freed.lock().unwrap().clone();
    assert_eq!(freed[0].1.iter().map(|account| account.records).sum::<u64>(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_refuses_is_marked_before_the_first_record_and_healed_later() {
    let world = World::new();
    let destination = S3Uri::parse("s3://captures/d").unwrap();
    world.journal.destinations.lock().unwrap().push(destination.clone());
    std::fs::create_dir(world.data.path().join("buckets")).unwrap();
    let in_the_way = world.data.path().join("buckets/captures");
    std::fs::write(&in_the_way, "a file").unwrap();
    let mut uploader = world.uploader();
    rounds(&mut uploader, 1).await;
    assert_eq!(*world.journal.marks.lock().unwrap(), [(destination.clone(), true)]);
    std::fs::remove_file(&in_the_way).unwrap();
    tokio::time::advance(RETRY_CAP).await;
    uploader.round().await;
    assert_eq!(*world.journal.marks.lock().unwrap(), [(destination.clone(), true), (destination, false)]);
    assert!(!uploader.figures().snapshot().destinations[0].failing);
    assert_eq!(std::fs::read_dir(&in_the_way).unwrap().count(), 1, "the folder of the destination, empty");
}

#[tokio::test(start_paused = true)]
async fn a_shift_uploads_what_is_sealed_meanwhile_and_once_more_at_the_end() {
    let store = FaultyStore::sound();
    let world = World::with_store(&store);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut uploader = world.uploader();
    let running = tokio::spawn(async move {
        let stopped = async {
            let _ = stopped.await;
        };
        uploader.shift(Pace::GivesWay, stopped).await
    });
    let mut changed = world.journal.sealed_changed();
    world.journal.seal(1, items(0..3));
    while !world.journal.is_empty() {
        changed.changed().await.unwrap();
    }
    world.journal.seal(2, items(3..5));
    stop.send(()).unwrap();
    assert_eq!(running.await.unwrap(), Ended::Finished);
    assert_eq!(stored(&store).await.0, [0, 1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_shift_ends_between_two_segments_when_the_journal_fills() {
    let store = FaultyStore::sound();
    let world = World::with_store(&store);
    world.journal.seal(1, items(0..3));
    world.journal.seal(2, items(3..5));
    let journal = Arc::clone(&world.journal);
    *world.journal.before_free.lock().unwrap() = Box::new(move |_| journal.backlog_bytes.store(201, Ordering::SeqCst));
    let mut uploader = world.uploader();
    assert_eq!(uploader.shift(Pace::GivesWay, std::future::pending()).await, Ended::Pace);
    assert_eq!(stored(&store).await.0, [0, 1, 2]);
    let journal = Arc::clone(&world.journal);
    *world.journal.before_free.lock().unwrap() = Box::new(move |_| journal.backlog_bytes.store(99, Ordering::SeqCst));
    assert_eq!(uploader.shift(Pace::Hurries, std::future::pending()).await, Ended::Pace);
    assert_eq!(stored(&store).await.0, [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn a_silent_store_is_given_up_after_its_time_and_comes_after_the_others() {
    let silent = FaultyStore::scripted(|_, _| Some(Fault::Hangs));
    let sound = FaultyStore::sound();
    let world = World::with_store(&sound);
    world.stores.put_in("silent", Arc::new(silent));
    world.journal.seal(1, vec![Ok(at(0, "lost", "s3://silent/d"))]);
    let mut uploader = world.uploader();
    // The clock runs here, because a held clock waits for the blocked reading thread; the limit of the silent store only.
    uploader.settings.answer_within = Duration::from_millis(300);
    uploader.round().await;
    let error = uploader.figures().snapshot().last_error.unwrap();
    assert!(error.contains("the store did not answer for d/lost/v/"), "{error}");
    world.journal.seal(2, [items(1..3), vec![Ok(at(3, "lost", "s3://silent/d"))]].concat());
    world.journal.seal(3, items(4..6));
    uploader.round().await;
    assert_eq!(stored(&sound).await.0, [1, 2, 4, 5]);
    assert_eq!(world.journal.freed.lock().unwrap().len(), 1);
}
