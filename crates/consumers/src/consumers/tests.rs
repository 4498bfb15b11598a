use std::sync::Arc;

use captura_capture::journal::disk::RealDisk;
use captura_capture::record::{Conclusion, Outcome, Payload};
use captura_capture::{Capture, Settings};
use captura_names::{EndpointName, EventId, Percent, Timestamp};
use captura_route::{Caller, CapturePolicy, Clock, Invocation, ModelRequest, Principal, UserAgent};

use super::*;

const START_US: i64 = 1_650_241_308_000_000;

/// A server's journal and its book of consumers, as they lie in a folder.
struct World {
    consumers: Consumers,
    capture: Capture,
}

impl World {
    fn open(dir: &Path) -> Self {
        let consumers = Consumers::open(&dir.join("consumers")).unwrap();
        let settings = Settings {
            witness: Some(Arc::new(consumers.clone())),
            min_free_bytes: 0,
            seal_bytes: 256 << 10,
            ..Settings::new(dir.join("journal"))
        };
        std::fs::create_dir_all(dir.join("journal")).unwrap();
        let clock = Clock::fixed(Timestamp::from_unix_us(START_US));
        let (capture, _) = Capture::open(settings, Arc::new(RealDisk), clock).unwrap();
        consumers.recover(&capture.sealed(), capture.node_and_epoch()).unwrap();
        Self { consumers, capture }
    }

    fn policy(sampling: u8) -> Arc<CapturePolicy> {
        let json = r#"{"endpoint":"churn","variant":"v","model":"m","endpoint_config":"c","settings":{"enabled":true,
            "sampling":100,"input":true,"output":true,"destination":"s3://bucket/prefix","csv_content_types":[],
            "json_content_types":[],"kms_key_id":null,"durability":"ack-after-write","when_unavailable":"serve"}}"#;
        let mut policy: CapturePolicy = serde_json::from_str(json).unwrap();
        policy.settings.as_mut().unwrap().sampling = Percent::try_from(i64::from(sampling)).unwrap();
        Arc::new(policy)
    }

    /// Calls, one after the other, each written before the next.
    async fn call(&self, consumer: &str, sampling: u8, count: u64) {
        let stream = self.capture.stream(&Self::policy(sampling));
        for number in 0..count {
            let begun = stream.begin(invocation(consumer, number)).unwrap();
            begun.conclude(conclusion()).captured().await;
        }
    }

    fn calls(&self) -> Vec<(String, u64)> {
        let (list, total) = self.consumers.list();
        assert_eq!(total.calls, list.iter().map(|one| one.calls).sum::<u64>());
        list.into_iter().map(|one| (one.name, one.calls)).collect()
    }
}

fn invocation(consumer: &str, number: u64) -> Invocation {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    Invocation {
        event_id: EventId::from_bytes(id),
        arrived_at: Timestamp::from_unix_us(START_US + i64::try_from(number).unwrap()),
        consumer: captura_route::Consumer::new(consumer),
        caller: Caller {
            principal: Principal::new("key:AKIA"),
            source_address: Some([10, 0, 0, 7].into()),
            user_agent: UserAgent::new("curl/8"),
            is_copy: false,
        },
        endpoint: EndpointName::parse("churn").unwrap(),
        target_variant: None,
        inference_id: None,
        request: ModelRequest {
            body: vec![b'1'; 3].into(),
            content_type: Some("text/csv".into()),
            ..ModelRequest::default()
        },
    }
}

fn conclusion() -> Conclusion {
    Conclusion {
        outcome: Outcome::ServerError,
        status: 500,
        response: Payload { content_type: None, body: vec![b'2'; 5].into() },
        response_cut_bytes: 1,
        model_latency_us: 1,
        total_latency_us: 2,
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test]
async fn everything_about_a_consumer_is_counted_and_calls_without_records_too() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path());
    world.call("billing", 100, 3).await;
    world.call("billing", 0, 2).await;
    let (list, _) = world.consumers.list();
    let [one] = &list[..] else { panic!("{list:?}") };
    assert_eq!((one.calls, one.errors, one.bytes_in, one.bytes_out), (5, 5, 15, 30));
    assert_eq!((one.first_seen.unix_us(), one.last_seen.unix_us()), (START_US, START_US + 2));
    for (counts, value) in [
        (&one.endpoints, "churn"),
        (&one.content_types, "text/csv"),
        (&one.user_agents, "curl/8"),
        (&one.principals, "key:AKIA"),
        (&one.source_addresses, "10.0.0.7"),
    ] {
        assert_eq!((counts.values[value], counts.total()), (5, 5));
    }
    let account = world.capture.ledger().account("churn", "v").unwrap().clone();
    assert_eq!(account.invoked, one.calls, "as the ledger has it");
}

#[tokio::test]
async fn a_copy_for_a_shadow_is_no_call_of_its_consumer() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path());
    let stream = world.capture.stream(&World::policy(100));
    let mut copied = invocation("billing", 1);
    copied.caller.is_copy = true;
    stream.begin(copied).unwrap().conclude(conclusion()).captured().await;
    world.call("billing", 100, 1).await;
    let (list, total) = world.consumers.list();
    assert_eq!((list[0].calls, list[0].shadow_copies, total.shadow_copies), (1, 1, 1));
}

/// At whichever moment the process is killed, and whenever the book was written before.
#[tokio::test]
async fn after_a_kill_no_captured_call_is_missing_and_none_is_counted_twice() {
    for written_after in 0..=6 {
        let (dir, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let world = World::open(dir.path());
        for number in 0..6_u64 {
            if number == written_after {
                world.consumers.flush().unwrap();
            }
            world.call(if number % 2 == 0 { "billing" } else { "ward-a" }, 100, 1).await;
        }
        copy(dir.path(), killed.path());
        let again = World::open(killed.path());
        assert_eq!(again.calls(), [("billing".to_owned(), 3), ("ward-a".to_owned(), 3)], "{written_after}");
        again.call("billing", 100, 1).await;
        again.consumers.flush().unwrap();
        again.capture.close().await.unwrap();
        drop(again);
        let third = World::open(killed.path());
        assert_eq!(third.calls(), [("billing".to_owned(), 4), ("ward-a".to_owned(), 3)], "{written_after}");
    }
}

#[tokio::test]
async fn a_kill_loses_calls_without_records_only_and_the_ledger_tells_how_many() {
    let (dir, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let world = World::open(dir.path());
    world.call("billing", 100, 2).await;
    world.call("billing", 0, 3).await;
    world.consumers.flush().unwrap();
    world.call("billing", 0, 4).await;
    world.call("billing", 100, 5).await;
    copy(dir.path(), killed.path());
    let again = World::open(killed.path());
    assert_eq!(again.calls(), [("billing".to_owned(), 10)]);
    let account = again.capture.ledger().account("churn", "v").unwrap().clone();
    assert_eq!(account.invoked, 14, "the four that are missing are those since the book was written");
}

#[tokio::test]
async fn the_thread_writes_the_book_when_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path());
    let flushing = world.consumers.start(&captura_tasks::Tasks::default()).unwrap();
    world.call("billing", 0, 7).await;
    flushing.stop();
    let again = Consumers::open(&dir.path().join("consumers")).unwrap();
    assert_eq!(again.list().1.calls, 7);
}

#[test]
fn a_damaged_book_is_told_and_not_taken_for_none() {
    let dir = tempfile::tempdir().unwrap();
    Consumers::open(dir.path()).unwrap().recover(&[], (1, 1)).unwrap();
    let path = dir.path().join("book.json");
    let text = std::fs::read_to_string(&path).unwrap();
    for damaged in [text.replace("\"version\":1", "\"version\":2"), text[..text.len() - 1].to_owned()] {
        std::fs::write(&path, damaged).unwrap();
        assert!(matches!(Consumers::open(dir.path()), Err(BookError::Damaged { .. })));
    }
}

#[tokio::test]
async fn a_thousand_names_take_bounded_places_in_the_book_and_in_the_metrics() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path());
    for number in 0..1_000 {
        world.call(&format!("name {number} \"x\""), 0, 1).await;
    }
    world.call("other", 0, 1).await;
    let (list, total) = world.consumers.list();
    assert_eq!((list.len(), total.calls), (501, 1_001));
    let mut text = String::new();
    world.consumers.scrape(&mut text);
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("captura_consumer_requests_total")).collect();
    assert_eq!(lines.len(), METERED_MAX + 1);
    assert_eq!(lines[0], r#"captura_consumer_requests_total{consumer="name 0 \"x\""} 1"#);
    assert_eq!(lines[METERED_MAX], r#"captura_consumer_requests_total{consumer="other"} 951"#);
}
