//! InvokeEndpointAsync: what is kept, what is refused while there is somebody to tell, and the run when its time has come.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use captura_capture::record::Outcome;
use captura_gateway::{BacklogDoor, Settings};
use captura_names::{EndpointName, S3Uri};
use captura_route::{AsyncInference, Deferred, RouteTable, Served};

use crate::world::{Reply, World, endpoint, everything, request};

type Kept = Arc<Mutex<Vec<(Deferred, Bytes)>>>;

/// A world with an asynchronous endpoint and a queue that keeps everything, or nothing.
async fn world(full: bool) -> (World, Kept) {
    let kept = Kept::default();
    let keeping = Arc::clone(&kept);
    let backlog: BacklogDoor = Arc::new(move |deferred, body| {
        let keeping = Arc::clone(&keeping);
        Box::pin(async move {
            if full {
                return Err("the backlog is full".to_owned());
            }
            keeping.lock().unwrap().push((deferred, body));
            Ok(())
        })
    });
    let world = World::with(Settings { backlog: Some(backlog), ..Settings::default() }).await;
    publish(&world, Some("s3://answers/churn"));
    (world, kept)
}

fn publish(world: &World, output: Option<&str>) {
    let mut endpoint = endpoint(&[("AllTraffic", 1.0, &world.model)], Some(&everything()));
    let at = |text: &str| S3Uri::parse(text).unwrap();
    endpoint.async_inference = Some(Arc::new(AsyncInference {
        output: output.map(at),
        failure: Some(at("s3://failures")),
        concurrency_max: Some(3),
        ..AsyncInference::default()
    }));
    world.table.send_replace(Arc::new(RouteTable::new([endpoint])));
}

async fn invoke(world: &World, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let mut client = world.client().await;
    client.send(&request("churn/async-invocations", headers, body)).await;
    client.reply().await.unwrap()
}

#[tokio::test]
async fn a_call_is_kept_and_the_reply_says_where_its_answer_will_be() {
    let (world, kept) = world(false).await;
    let authorization = "AWS4-HMAC-SHA256 Credential=AKIDBILLING/20260131/us-east-1/sagemaker/aws4_request, \
                         SignedHeaders=host, Signature=0";
    let headers = [
        ("X-Amzn-SageMaker-Content-Type", "text/csv"),
        ("X-Amzn-SageMaker-Accept", "application/json"),
        ("X-Amzn-SageMaker-Inference-Id", "order-57"),
        ("X-Amzn-SageMaker-InputLocation", "s3://inputs/row.csv"),
        ("X-Amzn-SageMaker-RequestTTLSeconds", "60"),
        ("X-Amzn-SageMaker-InvocationTimeoutSeconds", "5"),
        ("authorization", authorization),
        ("user-agent", "Boto3/1.40.0"),
    ];
    let reply = invoke(&world, &headers, b"").await;
    assert_eq!((reply.status, reply.header("content-type")), (202, Some("application/json")));
    assert_eq!(reply.json(), serde_json::json!({ "InferenceId": "order-57" }));
    assert!(reply.header("x-amzn-requestid").is_some());
    let (deferred, body) = kept.lock().unwrap().pop().unwrap();
    assert_eq!(reply.header("x-amzn-sagemaker-outputlocation"), Some(&*deferred.output.to_string()));
    assert_eq!(reply.header("x-amzn-sagemaker-failurelocation"), Some(&*deferred.failure.unwrap().to_string()));
    assert!(deferred.output.to_string().starts_with("s3://answers/churn/") && deferred.output.key().ends_with(".out"));
    assert_eq!(deferred.input.unwrap().to_string(), "s3://inputs/row.csv");
    assert_eq!(deferred.caller.principal.as_ref().unwrap().as_str(), "unverified:AKIDBILLING");
    assert_eq!(deferred.caller.source_address, Some([127, 0, 0, 1].into()));
    assert_eq!((deferred.consumer.as_str(), deferred.timeout_seconds), ("AKIDBILLING", 5));
    assert_eq!(deferred.expires_at.unix_us() - deferred.accepted_at.unix_us(), 60_000_000);
    assert_eq!(
        (deferred.content_type.as_deref(), deferred.accept.as_deref()),
        (Some("text/csv"), Some("application/json"))
    );
    assert!(body.is_empty() && !deferred.output_named);
    assert_eq!(world.model.calls.load(Ordering::SeqCst), 0);
    assert_eq!(world.capture.ledger().account("churn", "AllTraffic").unwrap().invoked, 0, "it is no invocation yet");
}

#[tokio::test]
async fn what_a_call_does_not_say_is_drawn_or_has_its_default() {
    let (world, kept) = world(false).await;
    let reply = invoke(&world, &[], b"1,2,3").await;
    let (deferred, body) = kept.lock().unwrap().pop().unwrap();
    assert_eq!(reply.json()["InferenceId"], deferred.inference_id.as_str());
    assert_eq!(deferred.output.to_string(), format!("s3://answers/churn/{}.out", deferred.inference_id));
    assert_eq!(deferred.failure.unwrap().to_string(), format!("s3://failures/{}-error.out", deferred.inference_id));
    assert_eq!(deferred.expires_at.unix_us() - deferred.accepted_at.unix_us(), 6 * 3_600_000_000);
    assert_eq!((deferred.timeout_seconds, &*body), (900, &b"1,2,3"[..]));

    let named = [("X-Amzn-SageMaker-S3OutputPathExtension", "2026/01/"), ("X-Amzn-SageMaker-Filename", "row-1.json")];
    let reply = invoke(&world, &named, b"1").await;
    let location = reply.header("x-amzn-sagemaker-outputlocation");
    assert_eq!(location, Some("s3://answers/churn/2026/01/row-1.json"));
    assert!(kept.lock().unwrap().pop().unwrap().0.output_named);
}

#[tokio::test]
async fn what_is_wrong_with_a_call_is_said_at_once() {
    let (world, kept) = world(false).await;
    let input = ("X-Amzn-SageMaker-InputLocation", "s3://inputs/row.csv");
    for (headers, body, status, text) in [
        (vec![input], vec![b'1'], 400, "Give either Body or InputLocation, not both."),
        (vec![], vec![], 400, "Give either Body or InputLocation; there is neither."),
        (vec![], vec![b'1'; 128_001], 413, "HTTP content length exceeded 128000 bytes."),
        (vec![("X-Amzn-SageMaker-Target-Variant", "Blue")], vec![b'1'], 400, "InvokeEndpointAsync has no member"),
        (vec![("X-Amzn-SageMaker-RequestTTLSeconds", "1")], vec![b'1'], 400, "at 'requestTTLSeconds' failed"),
    ] {
        let reply = invoke(&world, &headers, &body).await;
        assert_eq!((reply.status, reply.header("x-amzn-errortype")), (status, Some("ValidationError")), "{text}");
        assert!(reply.text().contains(text), "{}", reply.text());
    }
    assert_eq!(invoke(&world, &[], &[b'1'; 128_000]).await.status, 202);
    kept.lock().unwrap().clear();
    publish(&world, None);
    let reply = invoke(&world, &[], b"1").await;
    assert!(reply.status == 400 && reply.text().contains("no S3OutputPath"), "{}", reply.text());
    assert!(kept.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_call_that_is_not_kept_is_not_accepted() {
    let (world, _) = world(true).await;
    let reply = invoke(&world, &[], b"1").await;
    assert_eq!((reply.status, reply.header("x-amzn-errortype")), (503, Some("ServiceUnavailable")));
    assert!(reply.text().contains("the backlog is full"), "{}", reply.text());
    assert!(world.get("/metrics").await.text().contains("captura_refused_total{reason=\"backlog\"} 1"));
}

#[tokio::test]
async fn a_run_leaves_the_same_kind_of_record_as_every_other_call() {
    let (world, kept) = world(false).await;
    invoke(&world, &[("X-Amzn-SageMaker-Content-Type", "text/csv")], b"1,2,3").await;
    let (deferred, body) = kept.lock().unwrap().pop().unwrap();
    let Served::Answered(answer) = world.runner.run(&deferred, body).await else { panic!("no answer") };
    assert_eq!((&*answer.body, answer.content_type.as_deref()), (&b"1,2,3"[..], Some("text/csv")));
    let [record] = world.capture.tail(None, None, 10).try_into().unwrap();
    assert_eq!((record.outcome, record.status), (Outcome::Ok, 200));
    assert_eq!(record.consumer.as_str(), "anonymous");
    assert_eq!(record.caller, deferred.caller, "of whoever called, whenever it is run");
    assert!(record.caller.source_address.is_some());
    assert_eq!(record.inference_id.as_ref().unwrap(), &deferred.inference_id);
    assert_eq!(&*record.request.as_ref().unwrap().body, b"1,2,3");
    assert_eq!(&*record.response.as_ref().unwrap().body, b"1,2,3");
    let requests = "captura_requests_total{endpoint=\"churn\",variant=\"AllTraffic\",code=\"200\"} 1";
    assert!(world.get("/metrics").await.text().contains(requests));
}

#[tokio::test]
async fn a_run_that_fails_says_whether_another_may_not() {
    let (world, kept) = world(false).await;
    invoke(&world, &[], b"1").await;
    let (deferred, _) = kept.lock().unwrap().pop().unwrap();
    for (body, final_word) in [
        ("refuse", Some("Received client error (400) from primary with message \"column age is missing\"")),
        ("time out", Some("Received server error (0) from primary")),
        ("crlf", Some("Received server error (500) from primary")),
        ("panic", Some("The server failed while the model ran.")),
        ("not ready", None),
        ("unavailable", None),
        ("go away", Some("the model went away while it had the call: connection reset")),
    ] {
        match (world.runner.run(&deferred, body.into()).await, final_word) {
            (Served::Failed(why), Some(word)) => assert!(why.starts_with(word), "{why}"),
            (Served::WentAway(why), Some(word)) if body == "go away" => assert_eq!(why, word),
            (Served::NotNow(_), None) => {}
            (served, _) => panic!("{body}: {served:?}"),
        }
    }
    let impatient = Deferred { timeout_seconds: 0, ..deferred.clone() };
    assert!(matches!(world.runner.run(&impatient, "never".into()).await, Served::Failed(_)), "its own time is over");
    world.table.send_replace(Arc::new(RouteTable::default()));
    assert!(matches!(world.runner.run(&deferred, "1".into()).await, Served::NotNow(_)));
}

#[tokio::test]
async fn lanes_are_the_calls_per_instance_times_the_instances() {
    let (world, _) = world(false).await;
    let name = EndpointName::parse("churn").unwrap();
    assert_eq!(world.runner.lanes(&name), Some(3));
    assert_eq!(world.runner.lanes(&EndpointName::parse("nobody").unwrap()), None);
    let mut endpoint = endpoint(&[("Blue", 1.0, &world.model), ("Green", 1.0, &world.model)], None);
    endpoint.async_inference = Some(Arc::default());
    world.table.send_replace(Arc::new(RouteTable::new([endpoint])));
    assert_eq!(world.runner.lanes(&name), Some(8), "four per instance where nothing is said");
    world.table.send_replace(crate::world::table(&[("AllTraffic", 1.0, &world.model)]));
    assert_eq!(world.runner.lanes(&name), None, "it is not asynchronous any more");
}
