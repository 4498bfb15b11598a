//! Every invocation is booked, and every reply says what became of its record.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use captura_capture::ledger::Account;
use captura_capture::record::{Outcome, Record};
use captura_route::{CaptureSettings, Durability, WhenUnavailable};

use crate::world::{World, captured_table, everything, invocation};

async fn capturing(settings: &CaptureSettings) -> World {
    let world = World::new().await;
    world.table.send_replace(captured_table(&world.model, settings));
    world
}

fn account(world: &World) -> Account {
    world.capture.ledger().account("churn", "AllTraffic").unwrap().clone()
}

fn records(world: &World) -> Vec<Arc<Record>> {
    world.capture.tail(None, None, 100)
}

/// Waits until no call is in flight; the book is kept without waiting for anyone to look.
async fn at_rest(world: &World) -> Account {
    loop {
        let account = account(world);
        if account.in_flight == 0 && account.captured > 0 {
            return account;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_reply_names_the_record_and_the_record_is_the_exchange() {
    let world = capturing(&everything()).await;
    let authorization = "AWS4-HMAC-SHA256 Credential=AKIDBILLING/20260131/us-east-1/sagemaker/aws4_request, \
                         SignedHeaders=host, Signature=0";
    let headers = [
        ("content-type", "text/csv"),
        ("x-amzn-sagemaker-inference-id", "order-57"),
        ("x-amzn-sagemaker-custom-attributes", "trace=7"),
        ("authorization", authorization),
        ("user-agent", "Boto3/1.40.0 md/Botocore\u{9}x"),
        ("x-forwarded-for", "203.0.113.9"),
    ];
    let reply = world.invoke(&headers, "1,2,3").await;
    let lsn = reply.header("x-captura-capture").unwrap().strip_prefix("written;lsn=").unwrap();
    let [record] = records(&world).try_into().unwrap();
    assert_eq!(record.lsn.to_string(), lsn);
    assert_eq!(record.event_id.to_string(), reply.header("x-captura-event-id").unwrap());
    assert_eq!(record.consumer.as_str(), "AKIDBILLING");
    let caller = &record.caller;
    assert_eq!(caller.principal.as_ref().unwrap().as_str(), "unverified:AKIDBILLING");
    assert_eq!(caller.user_agent.as_ref().unwrap().as_str(), "Boto3/1.40.0 md/Botocore?x");
    assert_eq!(caller.source_address, Some([127, 0, 0, 1].into()), "whatever a header says");
    assert_eq!(record.inference_id.as_ref().unwrap().as_str(), "order-57");
    assert_eq!(record.custom_attributes.as_deref(), Some("trace=7"));
    assert_eq!((record.outcome, record.status), (Outcome::Ok, 200));
    assert_eq!(&*record.request.as_ref().unwrap().body, b"1,2,3");
    assert_eq!(record.request.as_ref().unwrap().content_type.as_deref(), Some("text/csv"));
    assert_eq!(&*record.response.as_ref().unwrap().body, b"1,2,3");
    assert!(record.total_latency_us >= record.model_latency_us);
}

#[tokio::test]
async fn what_a_caller_does_not_say_is_absent_in_its_record() {
    let world = capturing(&everything()).await;
    world.invoke(&[], "1").await;
    let [record] = records(&world).try_into().unwrap();
    assert_eq!(record.consumer.as_str(), "anonymous");
    assert_eq!((record.caller.principal.as_ref(), record.caller.user_agent.as_ref()), (None, None));
}

#[tokio::test]
async fn failed_calls_are_captured_with_their_outcome() {
    let world = capturing(&everything()).await;
    for (body, outcome, status, said) in [
        ("refuse", Outcome::ClientError, 424, "column age is missing"),
        ("fail", Outcome::ServerError, 424, "out of memory"),
        ("time out", Outcome::TimedOut, 424, "the model did not answer within 60000 ms"),
        ("no such", Outcome::ClientError, 400, "Model x does not exist."),
        ("in container", Outcome::ClientError, 424, "column age is missing"),
        (
            "late in container",
            Outcome::TimedOut,
            424,
            "container container-2: the model did not answer within 60000 ms",
        ),
        ("not ready", Outcome::Unavailable, 429, "the model is not ready: loading"),
        ("unavailable", Outcome::Unavailable, 503, "the model is unavailable: connection refused"),
        ("panic", Outcome::ServerError, 500, "the server failed while the model ran"),
    ] {
        let reply = world.invoke(&[], body).await;
        assert!(reply.header("x-captura-capture").unwrap().starts_with("written;lsn="), "{body}");
        let record = records(&world).pop().unwrap();
        assert_eq!((record.outcome, record.status), (outcome, status), "{body}");
        assert_eq!(&*record.request.as_ref().unwrap().body, body.as_bytes());
        assert_eq!(&*record.response.as_ref().unwrap().body, said.as_bytes(), "{body}");
    }
    let account = account(&world);
    assert_eq!((account.invoked, account.captured, account.in_flight, account.imbalance()), (9, 9, 0, 0));
}

#[tokio::test]
async fn a_caller_that_hangs_up_is_booked() {
    let world = capturing(&everything()).await;
    let mut client = world.client().await;
    client.send(&invocation("churn", &[], b"never")).await;
    while world.model.calls.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    drop(client);
    let account = at_rest(&world).await;
    assert_eq!((account.invoked, account.captured, account.imbalance()), (1, 1, 0));
    let record = loop {
        if let Some(record) = records(&world).pop() {
            break record;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((record.outcome, record.status), (Outcome::ClientGone, 499));
    let scrape = world.get("/metrics").await;
    let line = "captura_requests_total{endpoint=\"churn\",variant=\"AllTraffic\",code=\"499\"} 1";
    assert!(scrape.text().contains(line), "{}", scrape.text());
}

#[tokio::test]
async fn what_is_refused_at_the_door_is_no_invocation() {
    let world = capturing(&everything()).await;
    assert_eq!(world.client().await.invoke("nobody", &[], b"1").await.status, 400);
    assert_eq!(world.invoke(&[("host", "evil.test")], "1").await.status, 400);
    assert_eq!(world.invoke(&[("x-amzn-sagemaker-target-variant", "-")], "1").await.status, 400);
    assert_eq!(world.invoke(&[], "1").await.status, 200);
    assert_eq!(account(&world).invoked, 1);
}

#[tokio::test]
async fn a_destination_that_cannot_be_written_drops_records_and_not_calls() {
    let settings = everything();
    let world = capturing(&settings).await;
    assert_eq!(world.invoke(&[], "1").await.status, 200);
    world.capture.mark_unwritable(&settings.destination, "access denied");
    let reply = world.invoke(&[], "1").await;
    assert_eq!((reply.status, reply.header("x-captura-capture")), (200, Some("dropped;reason=destination_unwritable")));
    let scrape = world.get("/metrics").await;
    for line in [
        "captura_capture_records_total{endpoint=\"churn\",variant=\"AllTraffic\",outcome=\"captured\",reason=\"\"} 1",
        "captura_capture_records_total{endpoint=\"churn\",variant=\"AllTraffic\",outcome=\"dropped\",reason=\"destination_unwritable\"} 1",
        "captura_ledger_imbalance 0",
    ] {
        assert!(scrape.text().lines().any(|known| known == line), "{line}\n{}", scrape.text());
    }
}

#[tokio::test]
async fn a_policy_that_allows_no_call_without_a_record_refuses_before_the_model_runs() {
    let settings = CaptureSettings {
        durability: Durability::AckAfterFsync,
        when_unavailable: WhenUnavailable::Refuse,
        ..everything()
    };
    let world = capturing(&settings).await;
    let reply = world.invoke(&[], "1").await;
    assert!(reply.header("x-captura-capture").unwrap().starts_with("durable;lsn="));
    world.capture.mark_unwritable(&settings.destination, "access denied");
    let reply = world.invoke(&[], "1").await;
    assert_eq!((reply.status, reply.header("x-amzn-errortype")), (503, Some("ServiceUnavailable")));
    assert_eq!(reply.header("retry-after"), Some("1"));
    assert!(reply.text().contains("destination_unwritable"), "{}", reply.text());
    assert_eq!(world.model.calls.load(Ordering::SeqCst), 1);
    assert_eq!(account(&world).invoked, 1);
}

#[tokio::test]
async fn what_the_drain_leaves_behind_is_booked() {
    let mut world = capturing(&everything()).await;
    let mut busy = world.client().await;
    busy.send(&invocation("churn", &[], b"never")).await;
    while world.model.calls.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    tokio::time::pause();
    world.stop();
    assert!(busy.reply().await.is_none());
    let account = at_rest(&world).await;
    assert_eq!((account.invoked, account.captured, account.imbalance()), (1, 1, 0));
}

#[tokio::test]
async fn a_compressed_body_is_a_body_like_any_other() {
    let world = capturing(&everything()).await;
    let bomb = "not even gzip";
    let reply = world.invoke(&[("content-encoding", "gzip, br, gzip")], bomb).await;
    assert_eq!((reply.status, reply.text()), (200, bomb));
    assert_eq!(&*records(&world)[0].request.as_ref().unwrap().body, bomb.as_bytes());
}
