//! HTTP as it should not be: what is refused, how, and that nothing behind it is taken for a second request.

use std::sync::atomic::Ordering;

use captura_gateway::Settings;

use crate::world::{World, invocation};

const LINE: &str = "POST /endpoints/churn/invocations HTTP/1.1\r\nhost: localhost\r\n";
/// Stands behind every bent request. Were it answered, the two sides would disagree on where a request ends.
const SMUGGLED: &str =
    "POST /endpoints/churn/invocations HTTP/1.1\r\nhost: localhost\r\ncontent-length: 8\r\n\r\nsmuggled";

fn bent_requests() -> Vec<(&'static str, String, u16)> {
    let chunked = |body: &str| format!("{LINE}transfer-encoding: chunked\r\n\r\n{body}");
    vec![
        ("two content lengths", format!("{LINE}content-length: 1\r\ncontent-length: 2\r\n\r\nab"), 400),
        ("content length with a sign", format!("{LINE}content-length: +5\r\n\r\nabcde"), 400),
        ("content length with a list", format!("{LINE}content-length: 5,6\r\n\r\nabcde"), 400),
        ("content length that is no number", format!("{LINE}content-length: 5x\r\n\r\nabcde"), 400),
        ("content length beyond 64 bits", format!("{LINE}content-length: 99999999999999999999\r\n\r\n"), 400),
        ("negative content length", format!("{LINE}content-length: -1\r\n\r\n"), 400),
        ("unknown transfer coding", format!("{LINE}transfer-encoding: xchunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"), 400),
        ("chunked is not last", format!("{LINE}transfer-encoding: chunked, gzip\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"), 400),
        ("chunk size beyond 64 bits", chunked("FFFFFFFFFFFFFFFFF\r\nabc"), 400),
        ("chunk size that is no number", chunked("zz\r\nabc"), 400),
        ("chunk longer than its size", chunked("3\r\nabcdef\r\n0\r\n\r\n"), 400),
        ("folded header", format!("{LINE}x-a: b\r\n c\r\ncontent-length: 0\r\n\r\n"), 400),
        ("space before the colon", format!("{LINE}content-length : 0\r\n\r\n"), 400),
        ("NUL in a header", format!("{LINE}x-a: a\0b\r\ncontent-length: 0\r\n\r\n"), 400),
        ("carriage return in a header", format!("{LINE}x-a: a\rb\r\ncontent-length: 0\r\n\r\n"), 400),
        ("no version", "POST /endpoints/churn/invocations\r\n\r\n".into(), 400),
        ("another version", "POST / HTTP/3.0\r\nhost: localhost\r\n\r\n".into(), 400),
        ("no HTTP at all", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}".into(), 400),
    ]
}

#[tokio::test]
async fn bent_requests_are_refused_and_nothing_behind_them_is_served() {
    let world = World::new().await;
    for (what, request, status) in bent_requests() {
        let mut client = world.client().await;
        client.try_send(format!("{request}{SMUGGLED}").as_bytes()).await;
        let reply = client.reply().await.unwrap_or_else(|| panic!("{what}: no reply"));
        assert_eq!(reply.status, status, "{what}");
        assert!(client.is_closed().await, "{what}");
    }
    assert_eq!(world.model.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn both_framings_at_once_close_the_connection() {
    let world = World::new().await;
    let mut client = world.client().await;
    let both = format!("{LINE}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n");
    client.try_send(format!("{both}{SMUGGLED}").as_bytes()).await;
    let reply = client.reply().await.unwrap();
    assert_eq!((reply.status, reply.body.len(), reply.header("connection")), (200, 0, Some("close")));
    assert!(client.is_closed().await);
    assert_eq!(world.model.calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn odd_request_lines_are_refused() {
    let world = World::new().await;
    for (request, status) in [
        ("TRACE / HTTP/1.1\r\nhost: localhost", 405),
        ("CONNECT localhost:80 HTTP/1.1\r\nhost: localhost", 405),
        ("OPTIONS * HTTP/1.1\r\nhost: localhost", 400),
        ("GET http://localhost/ping HTTP/1.1\r\nhost: localhost", 400),
        ("POST /ping HTTP/1.1\r\nhost: localhost", 405),
        ("GET /ping HTTP/1.1", 400),
        ("GET /ping HTTP/1.1\r\nhost: localhost\r\nhost: localhost", 400),
        ("GET /ping HTTP/1.1\r\nhost: evil.test", 421),
        ("GET /ping HTTP/1.1\r\nhost: localhost\r\norigin: http://evil.test", 403),
        ("GET /metrics HTTP/1.1\r\nhost: evil.test:8080", 421),
        ("GET /anything HTTP/1.1\r\nhost: evil.test", 421),
        ("DELETE /anything HTTP/1.1\r\nhost: localhost\r\norigin: null", 403),
    ] {
        let mut client = world.client().await;
        client.send(format!("{request}\r\n\r\n").as_bytes()).await;
        let reply = client.reply().await.unwrap();
        assert_eq!(reply.status, status, "{request}");
        let json = reply.json();
        assert!(json["__type"].is_string() && json["message"].is_string(), "{request}: {json}");
    }
    let reply = world.client().await.invoke("churn", &[("origin", "http://evil.test")], b"1").await;
    assert_eq!((reply.status, reply.header("x-amzn-errortype")), (403, Some("AccessDeniedException")));
    assert_eq!(world.model.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn forwarding_headers_are_not_believed() {
    let world = World::new().await;
    let headers = [("x-forwarded-host", "evil.test"), ("x-original-url", "/metrics"), ("x-forwarded-for", "10.0.0.1")];
    assert_eq!(world.invoke(&headers, "1").await.text(), "1");
}

#[tokio::test]
async fn heads_beyond_their_limits_are_refused() {
    let world = World::new().await;
    let header = |count: usize, length: usize| format!("x-a: {}\r\n", "y".repeat(length)).repeat(count);
    let uri = |length: usize| format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "a".repeat(length - 1));
    for (what, request, status) in [
        ("100 headers", format!("{LINE}{}content-length: 0\r\n\r\n", header(98, 1)), 200),
        ("101 headers", format!("{LINE}{}content-length: 0\r\n\r\n", header(99, 1)), 431),
        ("60 KiB of headers", format!("{LINE}{}content-length: 0\r\n\r\n", header(60, 1_000)), 200),
        ("70 KiB of headers", format!("{LINE}{}content-length: 0\r\n\r\n", header(70, 1_000)), 431),
        ("8 KiB of path", uri(8 * 1024), 200),
        ("8 KiB of path and one byte", uri(8 * 1024 + 1), 414),
        ("1 MiB of path", uri(1 << 20), 431),
    ] {
        let mut client = world.client().await;
        client.try_send(request.as_bytes()).await;
        assert_eq!(client.reply().await.unwrap_or_else(|| panic!("{what}: no reply")).status, status, "{what}");
    }
}

#[tokio::test]
async fn a_body_of_the_limit_is_taken_and_one_byte_more_is_not() {
    let world = World::new().await;
    let limit = 6 * 1024 * 1024;
    let mut client = world.client().await;
    let reply = client.invoke("churn", &[], &vec![b'x'; limit]).await;
    assert_eq!((reply.status, reply.body.len()), (200, limit));
    // All of it is sent before the reply is read, as clients do.
    let reply = client.invoke("churn", &[], &vec![b'x'; limit + 1]).await;
    assert_eq!((reply.status, reply.header("x-amzn-errortype")), (413, Some("ValidationError")));
    assert_eq!(reply.json()["Message"], "HTTP content length exceeded 6291456 bytes.");
    assert!(client.is_closed().await);
    assert_eq!(world.model.calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_lying_content_length_is_refused_before_anything_is_read() {
    let world = World::new().await;
    let mut client = world.client().await;
    client.send(format!("{LINE}content-length: 999999999999\r\n\r\n").as_bytes()).await;
    assert_eq!(client.reply().await.unwrap().status, 413);
    // A caller that asks first is told before it sends anything.
    let mut client = world.client().await;
    client.send(format!("{LINE}expect: 100-continue\r\ncontent-length: 7000000\r\n\r\n").as_bytes()).await;
    assert_eq!(client.reply().await.unwrap().status, 413);
    let mut client = world.client().await;
    client.send(format!("{LINE}expect: 100-continue\r\ncontent-length: 2\r\n\r\n").as_bytes()).await;
    assert_eq!(client.reply().await.unwrap().status, 100);
    client.send(b"ok").await;
    assert_eq!(client.reply().await.unwrap().text(), "ok");
}

#[tokio::test]
async fn the_door_has_the_same_limit() {
    let world = World::with(Settings { body_max_bytes: 3, ..Settings::default() }).await;
    let mut client = world.client().await;
    client.send(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n\r\nabcd").await;
    let reply = client.reply().await.unwrap();
    assert_eq!((reply.status, &reply.json()["__type"]), (413, &serde_json::json!("ValidationException")));
}

#[tokio::test]
async fn a_refusal_is_told_in_the_format_of_the_service_that_was_called() {
    let world = World::with(Settings { body_max_bytes: 3, ..Settings::default() }).await;
    let signed_for = |service: &str| {
        format!(
            "authorization: AWS4-HMAC-SHA256 Credential=AK/20260101/r/{service}/aws4_request, SignedHeaders=host, Signature=0\r\n"
        )
    };
    let form = "content-type: application/x-www-form-urlencoded\r\n".to_owned();
    for (path, headers, content_type, words) in [
        (
            "/",
            String::new(),
            "application/x-amz-json-1.1",
            "{\"__type\":\"ValidationException\",\"message\":\"HTTP content",
        ),
        (
            "/",
            signed_for("sts"),
            "text/xml",
            "<Code>ValidationError</Code><Message>HTTP content length exceeded 3 bytes.",
        ),
        ("/", form, "text/xml", "<ErrorResponse "),
        ("/", "smithy-protocol: rpc-v2-cbor\r\n".to_owned(), "application/cbor", "ValidationException"),
        ("/endpoints/churn/invocations", signed_for("sagemaker"), "application/json", "{\"Message\":\"HTTP content"),
        (
            "/bucket?delete",
            signed_for("s3"),
            "application/xml",
            "<Error><Code>InvalidRequest</Code><Message>HTTP content",
        ),
    ] {
        let mut client = world.client().await;
        client
            .send(
                format!("POST {path} HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: 4\r\n\r\nabcd").as_bytes(),
            )
            .await;
        let reply = client.reply().await.unwrap();
        assert_eq!((reply.status, reply.header("content-type")), (413, Some(content_type)), "{headers}");
        let body = String::from_utf8_lossy(&reply.body).into_owned();
        assert!(body.contains(words), "{words} in {body}");
        assert!(reply.header("x-amzn-requestid").is_some(), "{headers}");
    }
}

#[tokio::test]
async fn chunks_are_counted_while_they_come() {
    let world = World::with(Settings { body_max_bytes: 10_000, ..Settings::default() }).await;
    let chunked = |chunks: usize| {
        format!("{LINE}transfer-encoding: chunked\r\n\r\n{}0\r\n\r\n", "1\r\nx\r\n".repeat(chunks)).into_bytes()
    };
    let mut client = world.client().await;
    client.send(&chunked(10_000)).await;
    assert_eq!(client.reply().await.unwrap().body, vec![b'x'; 10_000]);
    let mut client = world.client().await;
    client.try_send(&chunked(10_001)).await;
    assert_eq!(client.reply().await.unwrap().status, 413);
}

#[tokio::test]
async fn a_body_that_breaks_off_reaches_no_model() {
    let world = World::new().await;
    for request in [
        format!("{LINE}content-length: 5\r\n\r\nabc"),
        format!("{LINE}transfer-encoding: chunked\r\n\r\n5\r\nabc"),
        format!("{LINE}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"),
    ] {
        let mut client = world.client().await;
        client.send(request.as_bytes()).await;
        client.finish().await;
        assert!(client.reply().await.is_none_or(|reply| reply.status == 400), "{request}");
    }
    assert_eq!(world.model.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn pipelined_calls_are_answered_in_order() {
    let world = World::new().await;
    let mut client = world.client().await;
    let bytes: Vec<u8> = (0..32).flat_map(|n| invocation("churn", &[], format!("row {n}").as_bytes())).collect();
    client.send(&bytes).await;
    for n in 0..32 {
        assert_eq!(client.reply().await.unwrap().text(), format!("row {n}"));
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_are_told_so() {
    let world = World::with(Settings { connections_max: 1, ..Settings::default() }).await;
    let mut first = world.client().await;
    assert_eq!(first.invoke("churn", &[], b"1").await.status, 200);
    let mut second = world.client().await;
    let reply = second.reply().await.unwrap();
    assert_eq!((reply.status, reply.header("connection")), (503, Some("close")));
    assert_eq!(reply.json()["Message"], "The server has as many connections as it may.");
    assert!(second.is_closed().await);
    assert!(first.invoke("churn", &[], b"1").await.status == 200);
}

#[tokio::test]
async fn http_2_with_prior_knowledge_is_refused_at_once_and_harms_nobody() {
    let world = World::new().await;
    let settings_frame = "\0\0\0\u{4}\0\0\0\0\0";
    for preface in
        ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{settings_frame}")]
    {
        let mut client = world.client().await;
        client.try_send(preface.as_bytes()).await;
        let reply = client.reply().await;
        assert!(reply.as_ref().is_none_or(|reply| reply.status == 400), "{:?}", reply.map(|reply| reply.status));
        assert!(client.is_closed().await);
    }
    // An upgrade that is offered is an offer; the answer comes as it was asked for.
    let headers =
        [("connection", "upgrade, http2-settings"), ("upgrade", "h2c"), ("http2-settings", "AAMAAABkAAQAAP__")];
    let reply = world.invoke(&headers, "1").await;
    assert_eq!((reply.status, reply.text()), (200, "1"));
    assert_eq!(world.model.calls.load(Ordering::SeqCst), 1);
}
