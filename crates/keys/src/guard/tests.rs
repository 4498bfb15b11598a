use std::collections::HashSet;

use captura_names::Timestamp;
use captura_wire::sigv4::{Credentials, Head, amz_date, sha256_hex, sign};

use super::*;
use crate::key::NewKey;
use crate::policy::Policy;
use crate::store::{Created, Store};

const TARGET: &str = "SageMaker.ListModels";

struct World {
    /// Removed with the world.
    dir: tempfile::TempDir,
    store: Store,
    guard: Guard,
}

fn noon() -> Timestamp {
    Timestamp::parse("2026-01-31T12:00:00Z").unwrap()
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        let settings = GuardSettings {
            account: "000000000000".into(),
            regions: vec!["eu-west-1".into()],
            bucket_domains: vec!["localhost".into()],
        };
        let guard = Guard::new(Keyring::open(store.clone()).unwrap(), settings);
        Self { dir, store, guard }
    }

    fn key(&self, allow: &[&str]) -> Created {
        let rules = allow.iter().map(|rule| rule.parse().unwrap()).collect();
        let policy = if allow.is_empty() { Policy::default() } else { Policy { allow: rules, deny: Vec::new() } };
        let wished = NewKey {
            consumer: Some("billing".parse().unwrap()),
            description: String::new(),
            expires: Some(noon().plus_us(3_600_000_000)),
            policy,
        };
        self.store.create(wished, noon()).unwrap()
    }

    fn ask(&self, call: &Call<'_>) -> Result<Admitted, Denial> {
        self.ask_from(call, "192.0.2.1")
    }

    fn ask_from(&self, call: &Call<'_>, source: &str) -> Result<Admitted, Denial> {
        let date = amz_date(call.now);
        let mut headers: Vec<(&str, &[u8])> = vec![("host", b"localhost"), ("x-amz-date", date.as_bytes())];
        headers.extend(call.headers.iter().map(|(name, value)| (*name, value.as_bytes())));
        let mut head = Head { method: call.method, path: call.path, query: "", headers };
        let secret = Secret::new(call.secret.into());
        let credentials =
            Credentials { access_key_id: call.id, secret: &secret, region: call.region, service: call.service };
        let authorization = sign(&head, call.body, &credentials, call.now);
        head.headers.push(("authorization", authorization.as_bytes()));
        let body = call.streams.is_none().then_some(call.body);
        self.guard.admit(&Asked { head: &head, body, source: source.parse().unwrap(), now: call.now })
    }
}

#[derive(Clone)]
struct Call<'a> {
    id: &'a str,
    secret: &'a str,
    method: &'a str,
    path: &'a str,
    region: &'a str,
    service: &'a str,
    headers: Vec<(&'a str, &'a str)>,
    body: &'a [u8],
    streams: Option<()>,
    now: Timestamp,
}

impl<'a> Call<'a> {
    fn by(created: &'a Created) -> Self {
        Self {
            id: &created.key.id,
            secret: created.secret.expose(),
            method: "POST",
            path: "/",
            region: "eu-west-1",
            service: "sagemaker",
            headers: vec![("x-amz-target", TARGET)],
            body: b"{}",
            streams: None,
            now: noon(),
        }
    }

    fn invokes(created: &'a Created, path: &'a str) -> Self {
        Self { path, headers: Vec::new(), body: b"1,2", ..Self::by(created) }
    }
}

#[test]
fn the_holder_of_a_key_comes_in_as_its_consumer() {
    let world = World::new();
    let key = world.key(&[]);
    let principal = format!("key:{}", key.key.id);
    let admitted = Admitted { user: "billing".into(), principal, body_sha256: None, chunks: None };
    assert_eq!(world.ask(&Call::by(&key)), Ok(admitted.clone()));
    assert_eq!(world.ask(&Call::invokes(&key, "/endpoints/churn/invocations")), Ok(admitted));
}

#[test]
fn an_unknown_key_and_a_wrong_secret_are_turned_away() {
    let world = World::new();
    let key = world.key(&[]);
    assert_eq!(world.ask(&Call { secret: "wrong", ..Call::by(&key) }), Err(Denial::SignatureDoesNotMatch));
    assert_eq!(world.ask(&Call { id: "AKIANOBODYNOBODYNOBO", ..Call::by(&key) }), Err(Denial::UnknownKey));
    let decoy = Call { id: "AKIANOBODYNOBODYNOBO", secret: DECOY, ..Call::by(&key) };
    assert_eq!(world.ask(&decoy), Err(Denial::UnknownKey), "the decoy opens nothing");
    assert_eq!(
        world.ask(&Call { region: "us-east-1", ..Call::by(&key) }),
        Err(Denial::ScopeRegion { expected: "eu-west-1".into() })
    );
    assert_eq!(
        world.ask(&Call {
            service: "s3",
            headers: vec![("x-amz-target", TARGET), ("x-amz-content-sha256", &sha256_hex(b"{}"))],
            ..Call::by(&key)
        }),
        Err(Denial::ScopeService { expected: "sagemaker" })
    );
    let token = Call { headers: vec![("x-amz-security-token", "t"), ("x-amz-target", TARGET)], ..Call::by(&key) };
    assert_eq!(world.ask(&token), Err(Denial::UnknownKey), "no session tokens are given out");
}

#[test]
fn a_key_that_was_made_revoked_or_has_expired_is_noticed_by_a_running_server() {
    let world = World::new();
    let key = world.key(&[]);
    assert!(world.ask(&Call::by(&key)).is_ok(), "made after the guard was");
    world.store.revoke(&key.key.id, noon()).unwrap();
    let later = Call { now: noon().plus_us(1_000_000), ..Call::by(&key) };
    assert_eq!(world.ask(&later), Err(Denial::UnknownKey), "within a second");

    let other = world.key(&[]);
    let late = Call { now: noon().plus_us(3_600_000_000), ..Call::by(&other) };
    assert_eq!(world.ask(&late), Err(Denial::KeyExpired));
    assert_eq!(
        world.ask(&Call { secret: "wrong", ..late }),
        Err(Denial::SignatureDoesNotMatch),
        "told to its holder only"
    );
}

#[test]
fn keys_that_cannot_be_read_any_more_stay_as_they_were() {
    let world = World::new();
    let key = world.key(&[]);
    assert!(world.ask(&Call::by(&key)).is_ok());
    crate::private::replace(&world.dir.path().join("keys/keys.json"), b"{").unwrap();
    let later = Call { now: noon().plus_us(1_000_000), ..Call::by(&key) };
    assert!(world.ask(&later).is_ok());
    assert_eq!(world.ask(&Call { secret: "wrong", ..later }), Err(Denial::SignatureDoesNotMatch));
}

#[test]
fn a_limited_key_does_what_it_may_and_nothing_else() {
    let world = World::new();
    let key = world.key(&["sagemaker:InvokeEndpoint:churn*", "sagemaker:ListModels"]);
    assert!(world.ask(&Call::invokes(&key, "/endpoints/churn-2/invocations")).is_ok());
    assert!(world.ask(&Call::by(&key)).is_ok());
    for (call, operation, resource) in [
        (
            Call::invokes(&key, "/endpoints/fraud/invocations"),
            "sagemaker:InvokeEndpoint",
            "arn:aws:sagemaker:eu-west-1:000000000000:endpoint/fraud",
        ),
        (
            Call {
                headers: vec![("x-amz-target", "SageMaker.DeleteEndpoint")],
                body: br#"{"EndpointName":"churn"}"#,
                ..Call::by(&key)
            },
            "sagemaker:DeleteEndpoint",
            "arn:aws:sagemaker:eu-west-1:000000000000:endpoint/churn",
        ),
        (Call { method: "GET", ..Call::invokes(&key, "/captura/v1/tail") }, "captura:Tail", "*"),
        (Call { method: "GET", ..Call::invokes(&key, "/metrics") }, "captura:GetMetrics", "*"),
    ] {
        let denial = world.ask(&call).unwrap_err();
        let expected = Denial::NotAllowed {
            user: "arn:aws:iam::000000000000:user/billing".into(),
            operation: operation.into(),
            resource: resource.into(),
            explicit: false,
        };
        assert_eq!(denial, expected);
    }
}

#[test]
fn a_body_that_streams_is_held_against_its_declared_digest() {
    let world = World::new();
    let key = world.key(&[]);
    let digest = sha256_hex(b"object");
    let put = |word: &str| {
        let call =
            Call { method: "PUT", path: "/b/k", service: "s3", body: b"object", streams: Some(()), ..Call::by(&key) };
        world.ask(&Call { headers: vec![("x-amz-content-sha256", word)], ..call })
    };
    assert_eq!(put(&digest).unwrap().body_sha256, Some(captura_wire::sigv4::sha256(b"object")));
    let unsigned = put("UNSIGNED-PAYLOAD").unwrap();
    assert_eq!((unsigned.body_sha256, unsigned.chunks), (None, None));
    assert!(put("STREAMING-AWS4-HMAC-SHA256-PAYLOAD").unwrap().chunks.is_some());
    assert!(put("STREAMING-UNSIGNED-PAYLOAD-TRAILER").unwrap().chunks.is_none());
    let undeclared = Call { streams: Some(()), ..Call::by(&key) };
    assert_eq!(world.ask(&undeclared), Err(Denial::PayloadHashMissing));
}

#[test]
fn a_thousand_wrong_signatures_are_told_off_and_the_right_one_is_not() {
    let world = World::new();
    let key = world.key(&[]);
    let wrong = Call { secret: "wrong", ..Call::by(&key) };
    let denials: Vec<_> = (0..1_000).map(|_| world.ask(&wrong).unwrap_err()).collect();
    let kinds: HashSet<_> = denials.iter().map(|denial| format!("{denial:?}")).collect();
    assert_eq!(kinds, HashSet::from(["SignatureDoesNotMatch".to_owned(), "TooManyFailures".to_owned()]));
    assert!(denials[60..].iter().all(|denial| *denial == Denial::TooManyFailures));
    assert!(world.ask(&Call::by(&key)).is_ok(), "from the same source, with the same key");
    assert_eq!(world.ask_from(&wrong, "192.0.2.2"), Err(Denial::TooManyFailures), "of the same key");
    let unknown = Call { id: "AKIANOBODYNOBODYNOBO", ..wrong };
    assert_eq!(world.ask_from(&unknown, "192.0.2.3"), Err(Denial::UnknownKey), "another source, another key");
}

#[test]
fn secrets_are_in_no_debug_and_no_error() {
    let world = World::new();
    let key = world.key(&[]);
    let secret = key.secret.expose().to_owned();
    assert!(!format!("{:?} {:?} {:?}", world.guard, key, world.store).contains(&secret));
    let denial = world.ask(&Call { region: "us-east-1", ..Call::by(&key) }).unwrap_err();
    assert!(!format!("{denial:?}").contains(&secret));
}
