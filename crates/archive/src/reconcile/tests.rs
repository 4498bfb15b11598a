mod scope;
mod tables;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use captura_capture::journal::disk::RealDisk;
use captura_capture::record::{Conclusion, Outcome, Payload};
use captura_capture::{Capture, Captured, Settings};
use captura_names::{EventId, S3Uri, Timestamp};
use captura_route::{Caller, Clock, Consumer, Invocation, ModelRequest};

use super::*;
use crate::batch::{Plan, sha256_hex};
use crate::destinations::Patience;
use crate::fake_table::Numbers;
use crate::fixture::policy;
use crate::manifest::MANIFEST_FOLDER;
use crate::rendering::TablePlan;
use crate::stores::StoreSettings;
use crate::uploader::{Uploader, UploaderSettings};

struct World {
    data: tempfile::TempDir,
    stores: Stores,
    now: Arc<AtomicI64>,
    told: String,
    calls: u64,
}

impl World {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let settings = StoreSettings { data_dir: data.path().to_owned(), mappings: BTreeMap::new() };
        let now = Arc::new(AtomicI64::new(1_700_000_000_000_000));
        Self { data, stores: Stores::new(settings), now, told: String::new(), calls: 0 }
    }

    fn start(&self) -> Capture {
        let now = Arc::clone(&self.now);
        let clock = Clock::new(move || Timestamp::from_unix_us(now.fetch_add(1_000, Ordering::SeqCst)));
        Capture::open(Settings::new(self.data.path().join("journal")), Arc::new(RealDisk), clock).unwrap().0
    }

    fn uploader(&self, capture: &Capture) -> Uploader {
        let table = TablePlan::new(captura_names::S3Uri::parse("s3://lake/x").unwrap());
        let settings = UploaderSettings {
            journal: self.data.path().join("journal"),
            plan: Plan { object_max_bytes: 2_000, tables: vec![table], ..Plan::default() },
            tables: Some(Arc::new(Numbers::default())),
            read_back: true,
            answer_within: crate::uploader::ANSWER_WITHIN,
            patience: Patience::default(),
            carry_after: std::time::Duration::ZERO,
            evict_when_full: false,
            now: Arc::new(|| Timestamp::from_unix_us(1_700_000_000_000_000)),
            tasks: captura_tasks::Tasks::default(),
        };
        Uploader::new(Arc::new(capture.clone()), self.stores.clone(), settings).unwrap()
    }

    /// Calls two endpoints in turn and remembers what the clients were told.
    async fn call(&mut self, capture: &Capture, times: u64) {
        let streams = ["churn", "fraud"].map(|endpoint| {
            capture.stream(&Arc::new(policy(endpoint, "v", "s3://captures/d", &["text/csv"], &["application/json"])))
        });
        for _ in 0..times {
            self.calls += 1;
            let n = self.calls;
            let mut event_id = [7; 16];
            event_id[..8].copy_from_slice(&n.to_le_bytes());
            let event_id = EventId::from_random_bytes(event_id);
            let request = Bytes::from(format!("{n},2,3\n"));
            let invocation = Invocation {
                event_id,
                arrived_at: Timestamp::from_unix_us(self.now.fetch_add(1_000, Ordering::SeqCst)),
                consumer: Consumer::new("tester"),
                caller: Caller::default(),
                endpoint: captura_names::EndpointName::parse("churn").unwrap(),
                target_variant: None,
                inference_id: None,
                request: ModelRequest {
                    body: request.clone(),
                    content_type: Some("text/csv".into()),
                    ..Default::default()
                },
            };
            let response = Bytes::from(format!("{{\"y\":{n}}}"));
            let conclusion = Conclusion {
                outcome: Outcome::Ok,
                status: 200,
                response: Payload { content_type: Some("application/json".into()), body: response.clone() },
                response_cut_bytes: 0,
                model_latency_us: 1,
                total_latency_us: 2,
            };
            let begun = streams[(n % 2) as usize].begin(invocation).unwrap();
            let captured = begun.conclude(conclusion).captured().await;
            let Captured::Written(lsn) = captured else { panic!("{captured}") };
            let (request, response) = (sha256_hex(&request), sha256_hex(&response));
            self.told += &format!(
                "{{\"eventId\":\"{event_id}\",\"lsn\":\"{lsn}\",\"capture\":\"{captured}\",\"requestSha256\":\"{request}\",\"responseSha256\":\"{response}\"}}\n"
            );
        }
    }

    /// Forty calls archived, twenty sealed, ten in the segment that is open at the end.
    async fn busy_day(&mut self) -> Capture {
        let capture = self.start();
        self.call(&capture, 40).await;
        capture.seal().await;
        self.uploader(&capture).round().await;
        assert!(capture.sealed().is_empty());
        self.call(&capture, 20).await;
        capture.seal().await;
        self.call(&capture, 10).await;
        capture
    }

    async fn reconcile(&self, deep: bool) -> Report {
        let oracle = Some(Oracle::read(self.told.as_bytes()).unwrap());
        reconcile_data_dir(self.data.path(), &self.stores, Depth { deep, oracle, ..Depth::default() }).await.unwrap()
    }

    /// Without deep reading and without oracle: what is always found.
    async fn shallow(&self) -> Report {
        reconcile_data_dir(self.data.path(), &self.stores, Depth::default()).await.unwrap()
    }

    fn files(&self, below: &str, ending: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.data.path().join(below)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.to_string_lossy().ends_with(ending) {
                    found.push(path);
                }
            }
        }
        found.sort();
        found
    }

    fn objects(&self) -> Vec<PathBuf> {
        self.files("buckets", ".jsonl")
    }
}

fn assert_balanced(report: &Report, what: &str) {
    assert_eq!(report.findings, [], "{what}");
    assert_eq!((report.verdict, &report.doubts), (Verdict::Balanced, &Vec::<String>::new()), "{what}");
    assert_eq!(report.verdict.exit_code(), 0);
}

fn kinds(report: &Report) -> BTreeSet<FindingKind> {
    assert_eq!(report.verdict, Verdict::Imbalance, "{report:?}");
    assert_eq!(report.verdict.exit_code(), 2);
    report.findings.iter().map(|finding| finding.kind).collect()
}

#[tokio::test]
async fn a_sound_day_never_raises_an_alarm_whenever_it_ends() {
    for closed in [true, false] {
        let mut world = World::new();
        let capture = world.busy_day().await;
        if closed {
            capture.close().await.unwrap();
        }
        drop(capture);
        for deep in [false, true] {
            let report = world.reconcile(deep).await;
            assert_balanced(&report, &format!("closed {closed}, deep {deep}"));
            assert_eq!((report.acknowledged_found, report.records_read), (70, 30));
            let captured: u64 = report.accounts.iter().map(|proof| proof.account.captured).sum();
            assert_eq!(captured, 70);
            assert_eq!(report.accounts[0].found_in_objects + report.accounts[1].found_in_objects, 40);
        }
        // The next run takes up the rest; the proof goes on to hold.
        let capture = world.start();
        world.call(&capture, 5).await;
        capture.seal().await;
        world.uploader(&capture).round().await;
        capture.close().await.unwrap();
        drop(capture);
        let report = world.reconcile(true).await;
        assert_balanced(&report, "after the next run");
        assert_eq!((report.acknowledged_found, report.records_read), (75, 0));
    }
}

#[tokio::test]
async fn a_journal_that_was_never_used_balances_and_none_is_said() {
    let world = World::new();
    let missing = reconcile_data_dir(world.data.path(), &world.stores, Depth::default()).await.unwrap_err();
    assert!(missing.to_string().starts_with("there is no journal in"), "{missing}");
    let capture = world.start();
    capture.close().await.unwrap();
    drop(capture);
    assert_balanced(&world.shallow().await, "empty");
}

#[tokio::test]
async fn a_running_server_is_refused() {
    let world = World::new();
    let capture = world.start();
    let running = reconcile_data_dir(world.data.path(), &world.stores, Depth::default()).await.unwrap_err();
    assert!(running.to_string().contains("stop it first"), "{running}");
    capture.close().await.unwrap();
}

#[tokio::test]
async fn killed_between_any_two_steps_of_an_upload_it_still_balances() {
    // Objects put, no manifest yet.
    let mut world = World::new();
    let capture = world.busy_day().await;
    let mut uploader = world.uploader(&capture);
    let blocked = world.data.path().join("journal").join(MANIFEST_FOLDER);
    let segment = capture.sealed()[0].name;
    std::fs::create_dir(blocked.join(format!("{segment}.json.new"))).unwrap();
    uploader.round().await;
    drop((uploader, capture));
    let report = world.reconcile(true).await;
    assert_balanced(&report, "objects without manifest");
    assert_eq!(report.foreign_objects, 0);
    // Manifest written, segment not freed: as after a kill in between.
    std::fs::remove_dir(blocked.join(format!("{segment}.json.new"))).unwrap();
    let copy = world.data.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    let capture = world.start();
    for sealed in capture.sealed() {
        std::fs::copy(&sealed.path, copy.join(sealed.path.file_name().unwrap())).unwrap();
    }
    let book = std::fs::read(world.data.path().join("journal/book")).unwrap();
    world.uploader(&capture).round().await;
    assert!(capture.sealed().is_empty());
    drop(capture);
    for entry in std::fs::read_dir(&copy).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, world.data.path().join("journal").join(path.file_name().unwrap())).unwrap();
    }
    std::fs::write(world.data.path().join("journal/book"), book).unwrap();
    assert_balanced(&world.reconcile(true).await, "manifest without freeing");
}

#[tokio::test]
async fn whatever_is_done_to_an_object_is_found() {
    type Damage = fn(&[u8]) -> Vec<u8>;
    let damages: [(&str, Damage); 6] = [
        ("emptied", |_| Vec::new()),
        ("cut", |bytes| bytes[..bytes.len() - 1].to_vec()),
        ("one bit", |bytes| {
            let mut bytes = bytes.to_vec();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            bytes
        }),
        ("a line deleted", |bytes| {
            let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
            lines[1..].concat()
        }),
        ("a line doubled", |bytes| {
            let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
            [&lines[..1], &lines[..]].concat().concat()
        }),
        ("lines exchanged", |bytes| {
            let mut lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
            lines.swap(0, 1);
            lines.concat()
        }),
    ];
    let mut world = World::new();
    let capture = world.busy_day().await;
    capture.close().await.unwrap();
    drop(capture);
    for object in world.objects() {
        let sound = std::fs::read(&object).unwrap();
        for (what, damage) in damages {
            std::fs::write(&object, damage(&sound)).unwrap();
            let report = world.shallow().await;
            assert!(kinds(&report).contains(&FindingKind::Altered), "{what}");
            assert!(!report.findings[0].lsns.is_empty(), "{what}: {:?}", report.findings);
        }
        std::fs::remove_file(&object).unwrap();
        assert!(kinds(&world.shallow().await).contains(&FindingKind::Missing));
        std::fs::write(&object, &sound).unwrap();
    }
    assert_balanced(&world.reconcile(true).await, "put back");
    let object = &world.objects()[0];
    let copy = object.with_file_name("00-00-000-55126149-826d-415a-967b-33fa7f4666f3.jsonl");
    std::fs::copy(object, &copy).unwrap();
    assert_eq!(kinds(&world.shallow().await), BTreeSet::from([FindingKind::Stray]));
    let first = std::fs::read(object).unwrap().split_inclusive(|byte| *byte == b'\n').next().unwrap().to_vec();
    std::fs::write(&copy, first).unwrap();
    let report = world.shallow().await;
    assert_eq!(kinds(&report), BTreeSet::from([FindingKind::Stray]));
    assert_eq!(report.findings[0].lsns.len(), 1);
    std::fs::write(&copy, "somebody else's\n").unwrap();
    let report = world.shallow().await;
    assert_balanced(&report, "what is not ours is not judged");
    assert_eq!(report.foreign_objects, 1);
}

#[tokio::test]
async fn whatever_is_done_to_the_journal_is_found() {
    let mut world = World::new();
    let capture = world.busy_day().await;
    capture.close().await.unwrap();
    drop(capture);
    let manifest = world.files("journal", ".json").remove(0);
    let sound = std::fs::read(&manifest).unwrap();
    std::fs::write(&manifest, "{").unwrap();
    assert!(kinds(&world.shallow().await).contains(&FindingKind::Manifest));
    std::fs::remove_file(&manifest).unwrap();
    let found = kinds(&world.shallow().await);
    assert!(found.contains(&FindingKind::Account), "{found:?}");
    let forged = String::from_utf8(sound.clone()).unwrap().replacen("\"records\":", "\"records\":1", 1);
    std::fs::write(&manifest, forged).unwrap();
    assert!(kinds(&world.shallow().await).contains(&FindingKind::Manifest));
    std::fs::write(&manifest, &sound).unwrap();

    let segment = world.files("journal", ".seg").remove(0);
    let sound = std::fs::read(&segment).unwrap();
    std::fs::remove_file(&segment).unwrap();
    let report = world.reconcile(false).await;
    assert!(kinds(&report).is_superset(&BTreeSet::from([FindingKind::Missing, FindingKind::Oracle])), "{report:?}");
    for at in (100..sound.len() - 400).step_by(97) {
        let mut flipped = sound.clone();
        flipped[at] ^= 0x10;
        std::fs::write(&segment, &flipped).unwrap();
        let report = world.reconcile(true).await;
        assert!(kinds(&report).contains(&FindingKind::Damaged), "byte {at}");
    }
    std::fs::write(&segment, &sound).unwrap();
    let twin = segment.with_file_name("seg-0000000001-000000000099.seg");
    std::fs::copy(&segment, &twin).unwrap();
    assert!(kinds(&world.shallow().await).contains(&FindingKind::Duplicate));
    std::fs::remove_file(&twin).unwrap();
    assert_balanced(&world.reconcile(true).await, "put back");
}

#[tokio::test]
async fn what_a_client_was_told_must_be_there_byte_for_byte() {
    let mut world = World::new();
    let capture = world.busy_day().await;
    capture.close().await.unwrap();
    drop(capture);
    let told = world.told.clone();
    for (from, to, words) in [
        (sha256_hex(b"3,2,3\n"), sha256_hex(b"3,2,4\n"), "its request has SHA-256"),
        (sha256_hex(b"{\"y\":65}"), sha256_hex(b"{}"), "its response has SHA-256"),
    ] {
        world.told = told.replacen(&from, &to, 1);
        let report = world.reconcile(false).await;
        assert_eq!(kinds(&report), BTreeSet::from([FindingKind::Oracle]));
        assert!(report.findings[0].reason.contains(words), "{:?}", report.findings);
    }
    let line = told.lines().next().unwrap();
    let invented = line.replace("-1-0\"", "-1-7777\"");
    assert_ne!(line, invented);
    world.told = format!("{told}{invented}\n");
    let report = world.reconcile(false).await;
    assert_eq!(kinds(&report), BTreeSet::from([FindingKind::Oracle]));
    assert!(report.findings[0].reason.contains("it is nowhere"));
    world.told = told.replace("\"capture\":\"written", "\"capture\":\"queued");
    assert_balanced(&world.reconcile(false).await, "what was not acknowledged promises nothing");
    for (bad, words) in [
        ("{", "line 1"),
        (&*format!("{line}\n{line}"), "told twice"),
        ("{\"eventId\":\"x\",\"lsn\":\"0-0-0\",\"capture\":\"written\"}", "no UUID"),
    ] {
        let message = Oracle::read(bad.as_bytes()).unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_read_is_no_balance() {
    let mut world = World::new();
    let capture = world.busy_day().await;
    capture.close().await.unwrap();
    drop(capture);
    let broken = crate::faulty_store::FaultyStore::scripted(|_, _| Some(crate::faulty_store::Fault::Fails));
    world.stores.put_in("captures", Arc::new(broken));
    let report = world.shallow().await;
    assert_eq!((report.verdict, report.verdict.exit_code()), (Verdict::CannotTell, 3));
    assert!(report.doubts[0].contains("cannot read s3://captures/"), "{:?}", report.doubts);
}

#[tokio::test]
async fn damage_that_was_uploaded_around_is_booked_and_balances() {
    let mut world = World::new();
    let capture = world.start();
    world.call(&capture, 20).await;
    capture.seal().await;
    let path = capture.sealed()[0].path.clone();
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(5).position(|window| window == b"9,2,3").unwrap();
    bytes[at] = b'8';
    std::fs::write(&path, bytes).unwrap();
    let mut uploader = world.uploader(&capture);
    while !capture.sealed().is_empty() {
        uploader.round().await;
    }
    capture.close().await.unwrap();
    drop((uploader, capture));
    let report = world.shallow().await;
    assert_balanced(&report, "quarantined is an account of its own");
    assert_eq!(report.accounts.iter().map(|proof| proof.account.quarantined).sum::<u64>(), 1);
    let report = world.reconcile(true).await;
    assert_eq!(report.findings.len(), 1, "and the client's record is told lost: {:?}", report.findings);
}

#[tokio::test]
async fn any_changed_byte_of_any_object_is_found() {
    let mut world = World::new();
    let capture = world.start();
    world.call(&capture, 12).await;
    capture.seal().await;
    world.uploader(&capture).round().await;
    capture.close().await.unwrap();
    drop(capture);
    for object in world.objects() {
        let sound = std::fs::read(&object).unwrap();
        for at in (0..sound.len()).step_by(11) {
            let mut bytes = sound.clone();
            bytes[at] ^= 1 << (at % 8);
            std::fs::write(&object, bytes).unwrap();
            assert!(kinds(&world.shallow().await).contains(&FindingKind::Altered), "byte {at}");
        }
        std::fs::write(&object, &sound).unwrap();
    }
    assert_balanced(&world.shallow().await, "put back");
}

/// A day on which one endpoint's captures have no place: a file is in the way of its folder.
async fn day_with_a_failing_place(world: &mut World) -> Capture {
    let bucket = world.data.path().join("buckets/captures/d");
    std::fs::create_dir_all(&bucket).unwrap();
    std::fs::write(bucket.join("fraud"), "an object").unwrap();
    let capture = world.start();
    world.call(&capture, 20).await;
    capture.seal().await;
    capture
}

#[tokio::test]
async fn records_without_a_place_do_not_hold_up_the_others_and_the_proof_can_tell() {
    let mut world = World::new();
    let capture = day_with_a_failing_place(&mut world).await;
    let mut uploader = world.uploader(&capture);
    uploader.round().await;
    let sealed = capture.sealed();
    assert_eq!((sealed.len(), sealed[0].name.part, sealed[0].records), (1, 1, 10), "only the part is left");
    let place = S3Uri::parse("s3://captures/d/fraud").unwrap();
    let listed = capture.destinations();
    let unwritable = listed.iter().find(|one| one.uri == place).and_then(|one| one.unwritable.clone());
    assert!(unwritable.is_some(), "{listed:?}");
    drop((uploader, capture));
    let report = world.reconcile(true).await;
    assert_eq!(report.verdict, Verdict::Balanced, "{report:#?}");
    assert_eq!((report.acknowledged_found, report.records_read), (20, 10));
    assert!(report.notes[0].contains("s3://captures/d/fraud/v cannot be read"), "{:?}", report.notes);
    // It heals, and everything drains by itself.
    std::fs::remove_file(world.data.path().join("buckets/captures/d/fraud")).unwrap();
    let capture = world.start();
    world.uploader(&capture).round().await;
    assert!(capture.sealed().is_empty());
    drop(capture);
    let report = world.reconcile(true).await;
    assert_eq!(
        (report.verdict, report.acknowledged_found, report.records_read),
        (Verdict::Balanced, 20, 0),
        "{report:#?}"
    );
    assert!(report.notes.is_empty());
}

#[tokio::test]
async fn a_part_between_manifest_and_freeing_and_a_lost_part_are_told_apart() {
    let mut world = World::new();
    let capture = day_with_a_failing_place(&mut world).await;
    let segment = capture.sealed().remove(0);
    let before = std::fs::read(&segment.path).unwrap();
    let book = world.data.path().join("journal/book");
    let book_before = std::fs::read(&book).unwrap();
    world.uploader(&capture).round().await;
    let part = capture.sealed().remove(0);
    drop(capture);
    let book_after = std::fs::read(&book).unwrap();
    // As if the process had died before the book was replaced.
    std::fs::write(&book, book_before).unwrap();
    std::fs::write(&segment.path, before).unwrap();
    let report = world.reconcile(true).await;
    assert_eq!((report.verdict, report.acknowledged_found), (Verdict::Balanced, 20), "{report:#?}");
    std::fs::write(&book, book_after).unwrap();
    std::fs::remove_file(&segment.path).unwrap();
    std::fs::remove_file(&part.path).unwrap();
    let report = world.reconcile(true).await;
    assert_eq!(report.verdict, Verdict::Imbalance);
    assert!(
        report
            .findings
            .iter()
            .any(|finding| finding.kind == FindingKind::Missing && finding.place == part.name.to_string())
    );
}
