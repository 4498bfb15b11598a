//! InvokeEndpoint as SageMaker's clients read it: statuses, headers, codes and texts.

use std::sync::atomic::Ordering;

use captura_gateway::Settings;
use captura_route::MemoryBudget;

use crate::world::{Model, World, table};

fn is_uuid(text: &str) -> bool {
    text.len() == 36 && text.as_bytes()[14] == b'4' && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}

#[tokio::test]
async fn an_answer_carries_every_header_of_the_contract() {
    let world = World::new().await;
    let headers = [
        ("Content-Type", "text/csv; charset=utf-8"),
        ("X-Amzn-SageMaker-Custom-Attributes", "trace=7"),
        ("X-Amzn-SageMaker-Inference-Id", "order-57"),
    ];
    let reply = world.invoke(&headers, "1,2,3\n").await;
    assert_eq!((reply.status, reply.text()), (200, "1,2,3\n"));
    assert_eq!(reply.header("content-type"), Some("text/csv; charset=utf-8"));
    assert_eq!(reply.header("x-amzn-sagemaker-custom-attributes"), Some("trace=7"));
    assert_eq!(reply.header("x-amzn-invoked-production-variant"), Some("AllTraffic"));
    assert!(is_uuid(reply.header("x-amzn-requestid").unwrap()));
    assert!(is_uuid(reply.header("x-captura-event-id").unwrap()));
    assert_eq!(reply.header("x-captura-capture"), Some("dropped;reason=operator_off"));
    assert!(reply.header("date").is_some());
}

#[tokio::test]
async fn no_content_type_in_and_none_out() {
    let world = World::new().await;
    let reply = world.invoke(&[], "1,2").await;
    assert_eq!((reply.status, reply.header("content-type")), (200, None));
    assert_eq!(world.invoke(&[], "mute").await.body, b"");
}

#[tokio::test]
async fn many_calls_share_a_connection_and_none_shares_an_id() {
    let world = World::new().await;
    let mut client = world.client().await;
    let mut ids = std::collections::BTreeSet::new();
    for number in 0..100 {
        let body = format!("row {number}");
        let reply = client.invoke("churn", &[], body.as_bytes()).await;
        assert_eq!(reply.text(), body);
        ids.insert(reply.header("x-captura-event-id").unwrap().to_owned());
    }
    assert_eq!(ids.len(), 100);
}

#[tokio::test]
async fn an_empty_body_is_a_body() {
    let world = World::new().await;
    assert_eq!(world.invoke(&[], "").await.status, 200);
}

/// body, status, code, Message begins, OriginalStatusCode, OriginalMessage
type Failure = (&'static str, u16, &'static str, String, Option<u16>, Option<&'static str>);

fn failures() -> Vec<Failure> {
    let see = "See https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logEventViewer:group=/aws/sagemaker/Endpoints/churn in account 123456789012 for more information.";
    let answered = |side: &str, status: u16, words: &str| {
        format!("Received {side} error ({status}) from primary with message \"{words}\". {see}")
    };
    let timed_out = "Your invocation timed out while waiting for a response from container primary. Review the latency metrics for each container in Amazon CloudWatch, resolve the issue, and try again.";
    let content_type = "The content type of the model's answer is longer than 1024 bytes or not visible ASCII.";
    let attributes = "The custom attributes of the model's answer are longer than 1024 bytes or not visible ASCII.";
    vec![
        (
            "refuse",
            424,
            "ModelError",
            answered("client", 400, "column age is missing"),
            Some(400),
            Some("column age is missing"),
        ),
        ("fail", 424, "ModelError", answered("server", 500, "out of memory"), Some(500), Some("out of memory")),
        (
            "time out",
            424,
            "ModelError",
            format!("Received server error (0) from primary with message \"{timed_out}\""),
            Some(0),
            Some(timed_out),
        ),
        (
            "in container",
            424,
            "ModelError",
            format!("Received client error (400) from container-2 with message \"column age is missing\". {see}"),
            Some(400),
            Some("column age is missing"),
        ),
        ("no such", 400, "ValidationError", "Model x does not exist.".into(), None, None),
        ("crlf", 424, "ModelError", answered("server", 500, content_type), Some(500), Some(content_type)),
        ("long", 424, "ModelError", answered("server", 500, attributes), Some(500), Some(attributes)),
        ("not ready", 429, "ModelNotReadyException", "The model is not ready: loading. Try again.".into(), None, None),
        (
            "go away",
            503,
            "ServiceUnavailable",
            "The model went away while it had the call: connection reset. Try again.".into(),
            None,
            None,
        ),
        (
            "unavailable",
            503,
            "ServiceUnavailable",
            "The model is unavailable: connection refused. Try again.".into(),
            None,
            None,
        ),
        ("panic", 500, "InternalFailure", "The server failed while the model ran.".into(), None, None),
        ("panic at once", 500, "InternalFailure", "The server failed while the model ran.".into(), None, None),
    ]
}

#[tokio::test]
async fn every_failure_of_a_model_has_its_status_code_and_text() {
    let world = World::new().await;
    let mut client = world.client().await;
    for (body, status, code, message, original_status, original_message) in failures() {
        let reply = client.invoke("churn", &[], body.as_bytes()).await;
        assert_eq!(reply.status, status, "{body}");
        assert_eq!(reply.header("x-amzn-errortype"), Some(code), "{body}");
        assert_eq!(reply.header("content-type"), Some("application/json"), "{body}");
        let json = reply.json();
        assert_eq!(json["Message"], message, "{body}");
        assert_eq!(json["OriginalStatusCode"].as_u64(), original_status.map(u64::from), "{body}");
        assert_eq!(json["OriginalMessage"].as_str(), original_message, "{body}");
        let log = "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/sagemaker/Endpoints/churn";
        assert_eq!(json["LogStreamArn"].as_str(), original_status.map(|_| log), "{body}");
        assert_eq!(reply.header("retry-after"), (status == 503).then_some("1"), "{body}");
        assert_eq!(reply.header("x-amzn-invoked-production-variant"), Some("AllTraffic"), "{body}");
        assert!(reply.header("x-captura-capture").is_some(), "{body}");
        assert_eq!(reply.header("set-cookie"), None);
    }
    assert_eq!(client.invoke("churn", &[], b"fine").await.status, 200);
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_a_validation_error_that_says_so() {
    let world = World::new().await;
    let long = "x".repeat(64);
    for (endpoint, headers, message) in [
        ("nobody", vec![], "Endpoint nobody of account 000000000000 not found.".to_owned()),
        (
            "a%2fb",
            vec![],
            "1 validation error detected: Value 'a%2fb' at 'endpointName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}".to_owned(),
        ),
        (
            "..",
            vec![],
            "1 validation error detected: Value '..' at 'endpointName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}".to_owned(),
        ),
        (
            &long,
            vec![],
            format!("1 validation error detected: Value '{long}' at 'endpointName' failed to satisfy constraint: Member must have length less than or equal to 63"),
        ),
        (
            "churn",
            vec![("X-Amzn-SageMaker-Target-Variant", "Blue")],
            "Variant Blue not found for endpoint churn.".to_owned(),
        ),
        (
            "churn",
            vec![("X-Amzn-SageMaker-Inference-Id", "é")],
            "1 validation error detected: Value 'é' at 'inferenceId' failed to satisfy constraint: Member must satisfy regular expression pattern: \\p{ASCII}*".to_owned(),
        ),
    ] {
        let reply = world.client().await.invoke(endpoint, &headers, b"1").await;
        assert_eq!(reply.status, 400, "{message}");
        assert_eq!(reply.header("x-amzn-errortype"), Some("ValidationError"));
        assert_eq!(reply.json(), serde_json::json!({ "Message": message }));
        assert!(is_uuid(reply.header("x-amzn-requestid").unwrap()));
    }
    assert_eq!(world.model.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn operations_that_are_not_there_say_so() {
    let world = World::new().await;
    for (request, status, code, message) in [
        ("GET /endpoints/churn/invocations", 405, "MethodNotAllowed", "The method is not allowed here."),
        (
            "POST /endpoints/churn/other",
            404,
            "UnknownOperationException",
            "There is no such operation. Endpoints are called with POST /endpoints/{EndpointName}/invocations.",
        ),
        (
            "POST /endpoints/churn",
            404,
            "UnknownOperationException",
            "There is no such operation. Endpoints are called with POST /endpoints/{EndpointName}/invocations.",
        ),
    ] {
        let mut client = world.client().await;
        client.send(format!("{request} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n").as_bytes()).await;
        let reply = client.reply().await.unwrap();
        assert_eq!((reply.status, reply.header("x-amzn-errortype")), (status, Some(code)), "{request}");
        assert_eq!(reply.json()["Message"], message, "{request}");
    }
}

#[tokio::test]
async fn traffic_follows_the_weights_and_a_target_overrides_them() {
    let world = World::new().await;
    let (blue, green) = (Model::named("blue"), Model::named("green"));
    world.table.send_replace(table(&[("Blue", 3.0, &blue), ("Green", 1.0, &green), ("Dark", 0.0, &blue)]));
    let mut client = world.client().await;
    let mut blues = 0;
    for _ in 0..400 {
        let reply = client.invoke("churn", &[], b"1").await;
        let variant = reply.header("x-amzn-invoked-production-variant").unwrap();
        let model = reply.header("x-amzn-sagemaker-custom-attributes").unwrap();
        assert_eq!(variant.to_lowercase(), model);
        blues += u32::from(variant == "Blue");
    }
    // 300 expected, standard deviation 8.7: ten of them.
    assert!((214..=386).contains(&blues), "{blues}");
    let target = [("X-Amzn-SageMaker-Target-Variant", "Dark")];
    let reply = client.invoke("churn", &target, b"1").await;
    assert_eq!(reply.header("x-amzn-invoked-production-variant"), Some("Dark"));

    world.table.send_replace(table(&[("Dark", 0.0, &blue)]));
    let reply = client.invoke("churn", &[], b"1").await;
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("all weights are 0"), "{}", reply.text());
}

#[tokio::test]
async fn a_variant_takes_as_many_calls_as_it_may_and_refuses_the_next_at_once() {
    let world = World::with(Settings { variant_concurrency_max: 1, ..Settings::default() }).await;
    let mut first = world.client().await;
    first.send(&crate::world::invocation("churn", &[], b"wait")).await;
    while world.model.calls.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    // A new table must not bring a second permit.
    world.table.send_replace(table(&[("AllTraffic", 1.0, &world.model)]));
    let reply = world.invoke(&[], "1").await;
    assert_eq!((reply.status, reply.header("x-amzn-errortype")), (503, Some("ServiceUnavailable")));
    assert_eq!(reply.header("retry-after"), Some("1"));
    world.model.go.notify_one();
    assert_eq!(first.reply().await.unwrap().status, 200);
    assert_eq!(world.invoke(&[], "1").await.status, 200);
    assert!(world.get("/metrics").await.text().contains("captura_refused_total{reason=\"concurrency\"} 1"));
}

#[tokio::test]
async fn the_memory_for_bodies_is_limited_and_comes_back() {
    let world = World::with(Settings { memory: MemoryBudget::new(10), ..Settings::default() }).await;
    let reply = world.invoke(&[], "12345678901").await;
    assert_eq!((reply.status, reply.header("x-amzn-errortype")), (503, Some("ServiceUnavailable")));
    for _ in 0..20 {
        assert_eq!(world.invoke(&[], "12345").await.status, 200);
    }
}

#[tokio::test]
async fn a_model_that_never_answers_is_given_up_after_its_time() {
    let settings = Settings { model_timeout: std::time::Duration::from_millis(1), ..Settings::default() };
    let reply = World::with(settings).await.invoke(&[], "never").await;
    assert_eq!((reply.status, reply.header("x-amzn-errortype")), (424, Some("ModelError")));
    assert_eq!(reply.json()["OriginalStatusCode"], 0);
}

#[tokio::test]
async fn everything_else_goes_through_the_door_whole() {
    let world = World::new().await;
    let mut client = world.client().await;
    client.send(b"POST /x?y=z HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\n\r\nabc").await;
    let reply = client.reply().await.unwrap();
    assert_eq!((reply.status, reply.text()), (200, "POST /x?y=z b\"abc\""));
    assert!(is_uuid(reply.header("x-amzn-requestid").unwrap()));
    // A bucket may have any name, and a request that is signed for S3 means the bucket.
    let s3 = "AWS4-HMAC-SHA256 Credential=A/20260131/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";
    for path in ["/endpoints/churn/invocations", "/ping", "/metrics"] {
        client.send(format!("PUT {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: {s3}\r\n\r\n").as_bytes()).await;
        let reply = client.reply().await.unwrap();
        assert_eq!(reply.text(), format!("PUT {path} b\"\""));
        if path != "/endpoints/churn/invocations" {
            assert_eq!(reply.header("x-amz-request-id"), reply.header("x-amzn-requestid"), "{path}");
        }
    }
}

#[tokio::test]
async fn a_panic_behind_the_door_ends_one_request_and_nothing_else() {
    let world = World::new().await;
    let mut client = world.client().await;
    client.send(b"GET /panic HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let reply = client.reply().await.unwrap();
    assert_eq!(reply.status, 500);
    assert_eq!(
        reply.json(),
        serde_json::json!({ "__type": "InternalFailure", "message": "The server failed on this request." })
    );
    assert_eq!(client.invoke("churn", &[], b"1").await.status, 200);
}

#[tokio::test]
async fn a_caller_that_hangs_up_does_not_undo_what_it_asked_of_the_control_plane() {
    let world = World::new().await;
    let mut client = world.client().await;
    client.send(b"POST /wait HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    while world.model.calls.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    drop(client);
    while world.get("/metrics").await.text().contains("captura_connections 2") {
        tokio::task::yield_now().await;
    }
    world.model.go.notify_one();
    while world.model.calls.load(Ordering::SeqCst) == 1 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_scrape_tells_what_happened() {
    let more: captura_gateway::MoreMetrics = std::sync::Arc::new(|text| text.push_str("captura_more 7\n# EOF\n"));
    let world = World::with(Settings { more_metrics: Some(more), ..Settings::default() }).await;
    assert_eq!(world.get("/ping").await.status, 200);
    world.invoke(&[], "1").await;
    world.invoke(&[], "refuse").await;
    world.client().await.invoke("nobody", &[], b"1").await;
    let reply = world.get("/metrics").await;
    assert!(reply.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    let text = reply.text();
    for line in [
        "captura_requests_total{endpoint=\"churn\",variant=\"AllTraffic\",code=\"200\"} 1",
        "captura_requests_total{endpoint=\"churn\",variant=\"AllTraffic\",code=\"424\"} 1",
        "captura_inflight{endpoint=\"churn\",variant=\"AllTraffic\"} 0",
        "captura_request_duration_seconds_count{endpoint=\"churn\",variant=\"AllTraffic\"} 2",
        "captura_overhead_seconds_bucket{le=\"+Inf\",endpoint=\"churn\",variant=\"AllTraffic\"} 2",
        "captura_refused_total{reason=\"endpoint_not_found\"} 1",
        "captura_capture_queue_bytes 0",
        "captura_ledger_imbalance 0",
        "captura_memory_bytes{holder=\"requests\"} 0",
        "captura_more 7",
    ] {
        assert!(text.lines().any(|known| known == line), "{line}\n{text}");
    }
    assert_eq!(text.matches("# EOF").count(), 1);
    assert!(text.ends_with("captura_more 7\n# EOF\n"));
}
