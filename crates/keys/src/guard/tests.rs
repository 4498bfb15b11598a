use std::collections::HashSet;

use captura_names::Timestamp;
use captura_wire::sigv4::{Credentials, Head, amz_date, sha256_hex, sign};

use super::*;
use crate::key::{Kind, NewKey};
use crate::policy::Policy;
use crate::registry::RegisteredConsumer;
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
            ..GuardSettings::default()
        };
        let guard = Guard::new(Keyring::open(store.clone()).unwrap(), settings);
        Self { dir, store, guard }
    }

    fn key(&self, allow: &[&str]) -> Created {
        let rules = allow.iter().map(|rule| rule.parse().unwrap()).collect();
        let policy = if allow.is_empty() { Policy::default() } else { Policy { allow: rules, deny: Vec::new() } };
        let wished = NewKey {
            kind: Kind::AccessKey,
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
        self.guard.admit(&Asked {
            head: &head,
            body,
            source: source.parse().unwrap(),
            certificate: None,
            now: call.now,
        })
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
    let principal = Some(format!("key:{}", key.key.id));
    let source = [192, 0, 2, 1].into();
    let admitted = Admitted { user: "billing".into(), principal, source, body_sha256: None, chunks: None };
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

/// A guard of settings of one's own, over the keys of a world.
fn guard(world: &World, settings: GuardSettings) -> Guard {
    let settings = GuardSettings { account: "000000000000".into(), region: "eu-west-1".into(), ..settings };
    Guard::new(Keyring::open(world.store.clone()).unwrap(), settings)
}

/// A request without a signature.
#[derive(Clone)]
struct Plain<'a> {
    path: &'a str,
    query: &'a str,
    headers: Vec<(&'a str, &'a str)>,
    peer: &'a str,
    certificate: Option<&'a str>,
}

impl<'a> Plain<'a> {
    fn invokes(headers: &[(&'a str, &'a str)]) -> Self {
        let (path, peer) = ("/endpoints/churn/invocations", "192.0.2.1");
        Self { path, query: "", headers: headers.to_vec(), peer, certificate: None }
    }

    fn ask(&self, guard: &Guard) -> Result<(String, Option<String>, String), Denial> {
        let headers = self.headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let head = Head { method: "POST", path: self.path, query: self.query, headers };
        let (source, certificate) = (self.peer.parse().unwrap(), self.certificate);
        let admitted = guard.admit(&Asked { head: &head, body: Some(b"1"), source, certificate, now: noon() })?;
        Ok((admitted.user, admitted.principal, admitted.source.to_string()))
    }
}

fn who(user: &str, principal: Option<&str>, source: &str) -> Result<(String, Option<String>, String), Denial> {
    Ok((user.into(), principal.map(Into::into), source.into()))
}

const SIGNATURE: &str = "AWS4-HMAC-SHA256 Credential=AKIDX/20260131/eu-west-1/sagemaker/aws4_request, SignedHeaders=host, \
                         Signature=0";

#[test]
fn an_api_key_comes_in_as_its_consumer_and_does_what_it_may() {
    let world = World::new();
    let wished = NewKey {
        kind: Kind::ApiKey,
        consumer: Some("billing".parse().unwrap()),
        description: String::new(),
        expires: Some(noon().plus_us(3_600_000_000)),
        policy: Policy { allow: vec!["sagemaker:InvokeEndpoint:churn".parse().unwrap()], deny: Vec::new() },
    };
    let created = world.store.create(wished.clone(), noon()).unwrap();
    let guard = guard(&world, GuardSettings { api_key_header: Some("x-api-key".into()), ..GuardSettings::default() });
    let text = created.secret.expose();
    let ask = |key: &str| Plain::invokes(&[("x-api-key", key)]).ask(&guard);
    let principal = format!("api-key:{}", created.key.id);
    assert_eq!(ask(text), who("billing", Some(&principal), "192.0.2.1"));
    let elsewhere = Plain { path: "/endpoints/fraud/invocations", ..Plain::invokes(&[("x-api-key", text)]) };
    assert!(matches!(elsewhere.ask(&guard), Err(Denial::NotAllowed { .. })));
    let control =
        Plain { path: "/", ..Plain::invokes(&[("x-api-key", text), ("x-amz-target", "SageMaker.ListModels")]) };
    assert!(matches!(control.ask(&guard), Err(Denial::NotAllowed { .. })));
    let access = world.key(&[]);
    for wrong in
        ["", "x", &created.key.id, &format!("{text}x"), &format!("{}.x", created.key.id), access.secret.expose()]
    {
        assert_eq!(ask(wrong), Err(Denial::UnknownKey), "{wrong}");
    }
    let sent = format!("{}.{}", access.key.id, access.secret.expose());
    assert_eq!(ask(&sent), Err(Denial::UnknownKey), "what is signed with is never sent");
    assert_eq!(Plain::invokes(&[]).ask(&guard), Err(Denial::Unsigned));
    for several in
        [vec![("x-api-key", text), ("x-api-key", text)], vec![("x-api-key", text), ("authorization", SIGNATURE)]]
    {
        assert_eq!(Plain::invokes(&several).ask(&guard), Err(Denial::SeveralCredentials));
    }
    let query = "X-Amz-Credential=A%2F20260131%2Feu-west-1%2Fs3%2Faws4_request";
    let presigned = Plain { query, ..Plain::invokes(&[("x-api-key", text)]) };
    assert_eq!(presigned.ask(&guard), Err(Denial::SeveralCredentials));
    let signs = Call { id: &created.key.id, secret: text, ..Call::invokes(&access, "/endpoints/churn/invocations") };
    assert_eq!(world.ask(&signs), Err(Denial::UnknownKey), "what is sent never signs");

    let late = world.store.create(NewKey { expires: Some(noon()), ..wished }, noon()).unwrap();
    assert_eq!(ask(late.secret.expose()), Err(Denial::KeyExpired));
    world.store.revoke(&created.key.id, noon()).unwrap();
    assert!((0..2).any(|_| {
        guard.keyring.look();
        ask(text) == Err(Denial::UnknownKey)
    }));
}

#[test]
fn a_thousand_wrong_api_keys_are_told_off_by_source_and_by_key() {
    let world = World::new();
    let wished = NewKey {
        kind: Kind::ApiKey,
        consumer: None,
        description: String::new(),
        expires: None,
        policy: Policy::default(),
    };
    let created = world.store.create(wished, noon()).unwrap();
    let guard = guard(&world, GuardSettings { api_key_header: Some("x-api-key".into()), ..GuardSettings::default() });
    let wrong = format!("{}.x", created.key.id);
    let guess = Plain::invokes(&[("x-api-key", &wrong)]);
    let denials: Vec<_> = (0..1_000).map(|_| guess.ask(&guard).unwrap_err()).collect();
    assert_eq!(denials.iter().filter(|denial| **denial == Denial::UnknownKey).count(), 60);
    assert_eq!(Plain { peer: "192.0.2.9", ..guess }.ask(&guard), Err(Denial::TooManyFailures), "of the same key");
    assert!(Plain::invokes(&[("x-api-key", created.secret.expose())]).ask(&guard).is_ok());
}

fn behind_a_proxy(is_open: bool) -> GuardSettings {
    let proxy = Proxy {
        networks: vec!["10.0.0.0/8".parse().unwrap()],
        consumer_header: Some("x-forwarded-user".into()),
        policy: Policy::invocations(),
    };
    GuardSettings { is_open, proxy: Some(proxy), ..GuardSettings::default() }
}

#[test]
fn a_proxy_is_believed_and_nobody_else_who_writes_its_headers() {
    let world = World::new();
    let headers = [("x-forwarded-user", "ward-a"), ("x-forwarded-for", "1.1.1.1, 203.0.113.9")];
    let guard_of = |is_open| guard(&world, behind_a_proxy(is_open));
    for is_open in [false, true] {
        let by_proxy = Plain { peer: "10.0.0.7", ..Plain::invokes(&headers) };
        assert_eq!(by_proxy.ask(&guard_of(is_open)), who("ward-a", Some("proxy:ward-a"), "203.0.113.9"));
    }
    assert_eq!(Plain::invokes(&headers).ask(&guard_of(false)), Err(Denial::Unsigned));
    assert_eq!(Plain::invokes(&headers).ask(&guard_of(true)), who("anonymous", None, "192.0.2.1"));
    let nobody = Plain { peer: "10.0.0.7", ..Plain::invokes(&headers[1..]) };
    assert_eq!(nobody.ask(&guard_of(false)), Err(Denial::Unsigned), "a proxy that names nobody");
    assert_eq!(nobody.ask(&guard_of(true)), who("anonymous", None, "203.0.113.9"));
    for name in ["", " ", "a\u{7}b", &"x".repeat(257)] {
        let odd = Plain { peer: "10.0.0.7", ..Plain::invokes(&[("x-forwarded-user", name)]) };
        assert!(matches!(odd.ask(&guard_of(true)), Err(Denial::Malformed(_))), "{name:?}");
    }
    let twice = [("x-forwarded-user", "a"), ("x-forwarded-user", "b")];
    let twice = Plain { peer: "10.0.0.7", ..Plain::invokes(&twice) };
    assert_eq!(twice.ask(&guard_of(true)), Err(Denial::SeveralCredentials));
    let deletes = Plain {
        peer: "10.0.0.7",
        path: "/",
        ..Plain::invokes(&[("x-forwarded-user", "ward-a"), ("x-amz-target", "SageMaker.DeleteEndpoint")])
    };
    assert!(matches!(deletes.ask(&guard_of(true)), Err(Denial::NotAllowed { .. })));
}

#[test]
fn wrong_credentials_through_a_proxy_are_counted_for_whoever_sent_them() {
    let world = World::new();
    let guard = guard(&world, behind_a_proxy(false));
    let of = |source: &str| {
        let headers = [("x-forwarded-for", source), ("authorization", "AWS4-HMAC-SHA256 nonsense")];
        Plain { peer: "10.0.0.7", ..Plain::invokes(&headers) }.ask(&guard).unwrap_err()
    };
    assert!((0..100).any(|_| of("203.0.113.9") == Denial::TooManyFailures));
    assert!(matches!(of("203.0.113.10"), Denial::Malformed(_)), "another caller of the same proxy");
}

#[test]
fn the_holder_of_a_certificate_is_known_by_it_and_credentials_of_the_request_come_first() {
    let world = World::new();
    let open = |registry| GuardSettings { certificates: Policy::invocations(), registry, ..GuardSettings::default() };
    let registered = RegisteredConsumer {
        name: "billing".into(),
        principals: vec!["certificate:URI:spiffe://acme/billing".into()],
        ..RegisteredConsumer::default()
    };
    let guard = guard(&world, open(Registry::new(vec![registered]).unwrap()));
    for (certificate, user) in [
        ("URI:spiffe://acme/billing", "billing"),
        ("URI:spiffe://acme/other", "spiffe://acme/other"),
        ("DNS:app.internal", "app.internal"),
        ("CN=ward-a", "ward-a"),
        ("CN=billing", "certificate:CN=billing"),
    ] {
        let call = Plain { certificate: Some(certificate), ..Plain::invokes(&[]) };
        let principal = format!("certificate:{certificate}");
        assert_eq!(call.ask(&guard), who(user, Some(&principal), "192.0.2.1"));
    }
    let nameless = Plain { certificate: Some("CN="), ..Plain::invokes(&[]) };
    assert!(matches!(nameless.ask(&guard), Err(Denial::Malformed(_))));
    let call = Plain { certificate: Some("CN=ward-a"), ..Plain::invokes(&[("authorization", SIGNATURE)]) };
    assert!(call.ask(&guard).is_err(), "a signature that is there must be right");
}

#[test]
fn an_open_listener_says_that_nobody_has_verified_an_access_key() {
    let world = World::new();
    let registered = RegisteredConsumer {
        name: "billing".into(),
        principals: vec!["unverified:AKIDX".into()],
        ..RegisteredConsumer::default()
    };
    let registry = Registry::new(vec![registered]).unwrap();
    let guard = guard(&world, GuardSettings { is_open: true, registry, ..GuardSettings::default() });
    let signed = |signature: &str| Plain::invokes(&[("authorization", signature)]).ask(&guard);
    assert_eq!(signed(SIGNATURE), who("billing", Some("unverified:AKIDX"), "192.0.2.1"));
    let other = SIGNATURE.replace("AKIDX", "billing");
    assert_eq!(signed(&other), who("unverified:billing", Some("unverified:billing"), "192.0.2.1"), "a name is not its");
    assert_eq!(signed("Bearer x.y.z"), who("anonymous", None, "192.0.2.1"), "of which nothing is configured");
    let query = "X-Amz-Credential=AKIDX%2F20260131%2Feu-west-1%2Fsagemaker%2Faws4_request";
    let presigned = Plain { query, ..Plain::invokes(&[]) };
    assert_eq!(presigned.ask(&guard), who("billing", Some("unverified:AKIDX"), "192.0.2.1"));
}

#[test]
fn a_token_is_verified_on_an_open_listener_too() {
    let world = World::new();
    let issuer = Issuer {
        issuer: "https://login/".into(),
        audience: vec!["captura".into()],
        consumer_claim: "sub".into(),
        leeway_seconds: 0,
        scopes: Vec::new(),
        claims: std::collections::BTreeMap::new(),
        policy: Policy::invocations(),
        rules: Vec::new(),
        keys: Arc::default(),
        renewal: Some(Arc::new(|| Some(Box::pin(async {})))),
    };
    let guard = guard(&world, GuardSettings { is_open: true, issuers: vec![issuer], ..GuardSettings::default() });
    let encode = |text: &str| base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, text);
    let token =
        format!("bearer {}.{}.c2ln", encode(r#"{"alg":"ES256","kid":"new"}"#), encode(r#"{"iss":"https://login/"}"#));
    let headers = [("authorization", token.as_str())];
    assert_eq!(Plain::invokes(&headers).ask(&guard), Err(Denial::TokenKeyUnknown));
    let head = Head { method: "POST", path: "/", query: "", headers: vec![("authorization", token.as_bytes())] };
    let asked = Asked { head: &head, body: None, source: [127, 0, 0, 1].into(), certificate: None, now: noon() };
    assert!(guard.renewal(&asked).is_some(), "its issuer may have it by now");
    assert!(matches!(Plain::invokes(&[("authorization", "Bearer x")]).ask(&guard), Err(Denial::BadToken(_))));
    assert_eq!(Plain::invokes(&[]).ask(&guard), who("anonymous", None, "192.0.2.1"));
    let twice = [headers[0], ("authorization", "Bearer x")];
    assert_eq!(Plain::invokes(&twice).ask(&guard), Err(Denial::SeveralCredentials));
}
