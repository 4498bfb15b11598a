//! Where signatures count: nobody gets past the door without one, whatever they ask for.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use captura_gateway::Settings;
use captura_route::{Holder, MemoryBudget};
use captura_wire::denial::Denial;
use captura_wire::sigv4::{Admitted, Asked, Verifier};

use crate::world::{Reply, World, captured_table, everything};

/// Path, body and source of a request.
type Question = (String, Option<Vec<u8>>, IpAddr);

/// Lets in whoever names the body of the request in a header, and keeps what it was asked.
#[derive(Debug, Default)]
struct Porter {
    asked: Mutex<Vec<Question>>,
}

impl Verifier for Porter {
    fn admit(&self, asked: &Asked<'_>) -> Result<Admitted, Denial> {
        let body = asked.body.map(<[u8]>::to_vec);
        self.asked.lock().unwrap().push((asked.head.path.to_owned(), body, asked.source));
        match asked.head.text("x-pass") {
            Some("policy") => Err(Denial::NotAllowed {
                user: "arn:aws:iam::000000000000:user/billing".into(),
                operation: "sagemaker:InvokeEndpoint".into(),
                resource: "*".into(),
                explicit: false,
            }),
            Some("throttled") => Err(Denial::TooManyFailures),
            Some(pass) if asked.body == Some(pass.as_bytes()) => Ok(Admitted {
                user: "billing".into(),
                principal: Some("key:AKIA".into()),
                source: asked.source,
                body_sha256: None,
                chunks: None,
            }),
            Some(_) => Err(Denial::SignatureDoesNotMatch),
            None => Err(Denial::Unsigned),
        }
    }
}

async fn guarded() -> (World, Arc<Porter>) {
    let porter = Arc::new(Porter::default());
    let settings = Settings { verifier: Some(Arc::clone(&porter) as _), ..Settings::default() };
    (World::with(settings).await, porter)
}

async fn ask(world: &World, method: &str, path: &str, headers: &str) -> Reply {
    let mut client = world.client().await;
    client
        .send(format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: 0\r\n\r\n").as_bytes())
        .await;
    client.reply().await.unwrap()
}

/// Knows a token after its issuer was asked once more.
#[derive(Debug, Default)]
struct Learning(std::sync::Arc<std::sync::atomic::AtomicBool>);

impl Verifier for Learning {
    fn admit(&self, asked: &Asked<'_>) -> Result<Admitted, Denial> {
        if !self.0.load(Ordering::SeqCst) {
            return Err(Denial::TokenKeyUnknown);
        }
        let (user, source) = ("billing".into(), [203, 0, 113, 9].into());
        assert_eq!(asked.body, Some(&b"1"[..]));
        Ok(Admitted { user, principal: None, source, body_sha256: None, chunks: None })
    }

    fn renewal(&self, _: &Asked<'_>) -> Option<std::pin::Pin<Box<dyn Future<Output = ()> + Send>>> {
        let learned = Arc::clone(&self.0);
        Some(Box::pin(async move { learned.store(true, Ordering::SeqCst) }))
    }
}

#[tokio::test]
async fn a_token_of_a_key_that_is_not_known_yet_waits_for_it_and_the_record_has_the_source_that_was_found() {
    let settings = Settings { verifier: Some(Arc::new(Learning::default())), ..Settings::default() };
    let world = World::with(settings).await;
    world.table.send_replace(captured_table(&world.model, &everything()));
    assert_eq!(world.invoke(&[], "1").await.status, 200);
    let records = world.capture.tail(None, None, 10);
    assert_eq!(records[0].consumer.as_str(), "billing");
    assert_eq!(records[0].caller.source_address, Some([203, 0, 113, 9].into()));
}

#[tokio::test]
async fn bodies_that_are_not_verified_have_a_quarter_of_the_memory() {
    let memory = MemoryBudget::new(100);
    let porter = Arc::new(Porter::default());
    let settings = Settings { verifier: Some(porter), memory: memory.clone(), ..Settings::default() };
    let world = World::with(settings).await;
    let most = "1".repeat(25);
    for _ in 0..5 {
        assert_eq!(world.invoke(&[("x-pass", &most)], &most).await.status, 200);
        assert_eq!(world.invoke(&[("x-pass", "no")], &most).await.status, 403);
    }
    let reply = world.invoke(&[("x-pass", &most)], &"1".repeat(26)).await;
    assert_eq!((reply.status, reply.header("x-amzn-errortype")), (503, Some("ServiceUnavailable")));
    assert_eq!(memory.used_by(Holder::Unverified), 0);
}

/// One of everything that the router tells apart, and what it must not tell apart.
const ROUTES: [(&str, &str); 24] = [
    ("POST", "/endpoints/churn/invocations"),
    ("GET", "/endpoints/churn/invocations"),
    ("POST", "/endpoints/nobody/invocations"),
    ("POST", "/endpoints/churn/async-invocations"),
    ("POST", "/endpoints/churn/invocations-response-stream"),
    ("POST", "/endpoints/churn/no-such-operation"),
    ("POST", "/endpoints/"),
    ("GET", "/metrics"),
    ("POST", "/metrics"),
    ("POST", "/ping"),
    ("GET", "/ping/"),
    ("GET", "//ping"),
    ("GET", "/ping/../captura/v1/ledger"),
    ("GET", "/"),
    ("POST", "/"),
    ("GET", "/captura/v1/ledger"),
    ("GET", "/captura/v1/consumers"),
    ("GET", "/captura/v1/ledger/minutes"),
    ("POST", "/captura/v1/erasures"),
    ("POST", "/captura/v1/monitoring-schedules/s/executions"),
    ("GET", "/console/"),
    ("PUT", "/bucket/key"),
    ("OPTIONS", "/"),
    ("DELETE", "/no/such/path"),
];

#[tokio::test]
async fn every_route_but_ping_needs_a_signature() {
    let (world, porter) = guarded().await;
    for (method, path) in ROUTES {
        for (pass, code) in
            [("", "MissingAuthenticationTokenException"), ("x-pass: wrong\r\n", "InvalidSignatureException")]
        {
            let reply = ask(&world, method, path, pass).await;
            let status = if path.starts_with("/endpoints/") { 403 } else { 400 };
            assert_eq!((reply.status, reply.header("x-amzn-errortype")), (status, Some(code)), "{method} {path}");
            assert!(reply.header("x-amzn-requestid").is_some());
        }
    }
    assert_eq!(porter.asked.lock().unwrap().len(), ROUTES.len() * 2, "asked once each");
    assert_eq!(world.model.calls.load(Ordering::SeqCst), 0);
    assert_eq!(world.get("/ping").await.status, 200);
    assert_eq!(ask(&world, "HEAD", "/ping", "").await.status, 200);
    // Signed for S3, it is an object's name.
    let object =
        "authorization: AWS4-HMAC-SHA256 Credential=A/20260131/r/s3/aws4_request, SignedHeaders=host, Signature=0\r\n";
    let reply = ask(&world, "GET", "/ping", object).await;
    assert_eq!(reply.status, 403);
    assert!(reply.text().contains("<Code>AccessDenied</Code>"), "{}", reply.text());
}

#[tokio::test]
async fn a_call_that_is_let_in_is_its_consumers_and_its_body_was_looked_at() {
    let (world, porter) = guarded().await;
    world.table.send_replace(captured_table(&world.model, &everything()));
    let claim = "AWS4-HMAC-SHA256 Credential=AKIDCLAIMED/20260131/us-east-1/sagemaker/aws4_request, SignedHeaders=host, \
                 Signature=0";
    let reply = world.invoke(&[("x-pass", "1,2,3"), ("authorization", claim)], "1,2,3").await;
    assert_eq!((reply.status, reply.text()), (200, "1,2,3"));
    let records = world.capture.tail(None, None, 10);
    assert_eq!(records[0].consumer.as_str(), "billing", "and not who the caller claims to be");
    assert_eq!(records[0].caller.principal.as_ref().unwrap().as_str(), "key:AKIA");
    let local = IpAddr::from(Ipv4Addr::LOCALHOST);
    let asked = porter.asked.lock().unwrap().clone();
    assert_eq!(asked, [("/endpoints/churn/invocations".to_owned(), Some(b"1,2,3".to_vec()), local)]);

    let altered = world.invoke(&[("x-pass", "1,2,3")], "1,2,4").await;
    assert_eq!((altered.status, altered.header("x-amzn-errortype")), (403, Some("InvalidSignatureException")));
    assert_eq!(world.model.calls.load(Ordering::SeqCst), 1);
    let other = ask(&world, "POST", "/somewhere", "x-pass:\r\n").await;
    assert_eq!((other.status, other.text()), (200, "POST /somewhere b\"\""));
}

#[tokio::test]
async fn what_headers_say_of_the_source_is_not_believed() {
    let (world, porter) = guarded().await;
    let spoofed = "x-forwarded-for: 203.0.113.9\r\nforwarded: for=203.0.113.9\r\nx-real-ip: 203.0.113.9\r\n\
                   x-original-url: /ping\r\nx-rewrite-url: /ping\r\nx-forwarded-host: evil.test\r\n";
    assert_eq!(ask(&world, "GET", "/captura/v1/ledger", spoofed).await.status, 400);
    let asked = porter.asked.lock().unwrap().clone();
    assert_eq!(asked, [("/captura/v1/ledger".to_owned(), Some(Vec::new()), IpAddr::from(Ipv4Addr::LOCALHOST))]);
}

#[tokio::test]
async fn refusals_are_told_apart_and_counted() {
    let settings =
        Settings { verifier: Some(Arc::new(Porter::default())), metrics_are_open: true, ..Settings::default() };
    let world = World::with(settings).await;
    for (pass, status, code) in [
        ("policy", 403, "AccessDeniedException"),
        ("throttled", 429, "ThrottlingException"),
        ("wrong", 403, "InvalidSignatureException"),
    ] {
        let reply = world.invoke(&[("x-pass", pass)], "1").await;
        assert_eq!((reply.status, reply.header("x-amzn-errortype")), (status, Some(code)));
        assert!(reply.json()["Message"].is_string());
    }
    let metrics = world.get("/metrics").await;
    assert_eq!(metrics.status, 200, "open because the settings say so");
    for reason in ["unauthorized", "too_many_failed_signatures", "unauthenticated"] {
        let line = format!("reason=\"{reason}\"}} 1");
        assert!(metrics.text().contains(&line), "{line} is not in {}", metrics.text());
    }
}

#[tokio::test]
async fn a_body_too_large_is_refused_before_anybody_is_asked() {
    let (world, porter) = guarded().await;
    let mut client = world.client().await;
    client.send(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999\r\n\r\n").await;
    assert_eq!(client.reply().await.unwrap().status, 413);
    assert!(porter.asked.lock().unwrap().is_empty());
}
