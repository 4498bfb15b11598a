//! Calls that the server makes itself: counted, limited and captured like all others.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use captura_capture::record::Outcome;
use captura_gateway::{OwnCall, OwnOutcome, Settings};
use captura_names::{EndpointName, InferenceId};
use captura_route::RouteTable;

use crate::world::{World, endpoint, everything};

fn call(endpoint: &str, body: &'static str) -> OwnCall {
    OwnCall {
        endpoint: EndpointName::parse(endpoint).unwrap(),
        consumer: "captura-jobs".into(),
        principal: "job:explain".into(),
        inference_id: InferenceId::parse("captura-attribution-1").unwrap(),
        content_type: Some("text/csv".into()),
        accept: None,
        target_model: None,
        body: body.into(),
    }
}

#[tokio::test]
async fn an_own_call_is_answered_and_leaves_a_record_of_who_asked() {
    let world = World::with(Settings::default()).await;
    let captured = endpoint(&[("AllTraffic", 1.0, &world.model)], Some(&everything()));
    world.table.send_replace(Arc::new(RouteTable::new([captured])));
    let OwnOutcome::Answered(answer) = world.runner.call(call("churn", "1,2,3")).await else { panic!("no answer") };
    assert_eq!((&*answer.body, answer.content_type.as_deref()), (&b"1,2,3"[..], Some("text/csv")));
    let record = world.capture.tail(None, None, 10).pop().unwrap();
    assert_eq!((record.consumer.as_str(), record.outcome), ("captura-jobs", Outcome::Ok));
    assert_eq!(record.caller.principal.as_ref().unwrap().as_str(), "job:explain");
    assert_eq!(record.inference_id.as_ref().unwrap().as_str(), "captura-attribution-1");
    let requests = "captura_requests_total{endpoint=\"churn\",variant=\"AllTraffic\",code=\"200\"} 1";
    assert!(world.get("/metrics").await.text().contains(requests));
}

#[tokio::test]
async fn an_own_call_that_fails_says_whether_another_body_or_another_time_may_help() {
    let settings = Settings { variant_concurrency_max: 1, body_max_bytes: 16, ..Settings::default() };
    let world = World::with(settings).await;
    for (endpoint, body, expected, part) in [
        ("churn", "refuse", "refused", "column age is missing"),
        ("churn", "fail", "refused", "out of memory"),
        ("churn", "time out", "refused", "timed out"),
        ("churn", "a body of too many bytes", "refused", "exceeded 16 bytes"),
        ("churn", "unavailable", "busy", "connection refused"),
        ("churn", "not ready", "busy", "loading"),
        ("churn", "panic", "failed", "failed while the model ran"),
        ("churn", "crlf", "failed", "primary"),
        ("nobody", "1", "failed", "nobody"),
    ] {
        let (kind, why) = match world.runner.call(call(endpoint, body)).await {
            OwnOutcome::Answered(_) => ("answered", String::new()),
            OwnOutcome::Refused(why) => ("refused", why),
            OwnOutcome::Busy(why) => ("busy", why),
            OwnOutcome::Failed(why) => ("failed", why),
        };
        assert!(kind == expected && why.contains(part), "{body}: {kind}: {why}");
    }
    let before = world.model.calls.load(Ordering::SeqCst);
    let waits = tokio::spawn({
        let runner = world.runner.clone();
        async move { runner.call(call("churn", "wait")).await }
    });
    while world.model.calls.load(Ordering::SeqCst) == before {
        tokio::task::yield_now().await;
    }
    assert!(matches!(world.runner.call(call("churn", "1")).await, OwnOutcome::Busy(_)), "the one place is taken");
    world.model.go.notify_one();
    assert!(matches!(waits.await.unwrap(), OwnOutcome::Answered(_)));
}
