//! Who calls: each way to say who one is, told by programs as people use them, and what the book of consumers makes of it.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use captura_e2e::connection::Connection;
use captura_e2e::deployment::Deployment;
use captura_e2e::program::{self, said};
use captura_e2e::python;
use captura_e2e::server::{Home, Server, wait_for};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

const ISSUER: &str = "https://login.example/";

/// An issuer of tokens, with its public keys in a file.
struct Issuer {
    key: Ed25519KeyPair,
    id: &'static str,
}

impl Issuer {
    fn new(id: &'static str, jwks: &Path) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let key = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
        let public = BASE64.encode(key.public_key().as_ref());
        let keys = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": id, "x": public }] });
        std::fs::write(jwks, keys.to_string()).unwrap();
        Self { key, id }
    }

    fn token(&self, subject: &str, audience: &str, expires: i64) -> String {
        let head = json!({ "alg": "EdDSA", "typ": "JWT", "kid": self.id });
        let claims = json!({ "iss": ISSUER, "sub": subject, "aud": audience, "exp": expires, "scope": "models" });
        let signed = format!("{}.{}", BASE64.encode(head.to_string()), BASE64.encode(claims.to_string()));
        format!("{signed}.{}", BASE64.encode(self.key.sign(signed.as_bytes())))
    }
}

/// A time that has not come when anybody reads this, and one that is long gone.
const LATER: i64 = 32_503_680_000;
const LONG_AGO: i64 = 1_000_000_000;

fn curl(arguments: &[&str]) -> Output {
    Command::new("curl")
        .args(["--silent", "--show-error", "--write-out", "\n%{http_code}"])
        .args(arguments)
        .output()
        .unwrap()
}

/// Invokes the echo with these headers; status and body.
fn invoke(server: &Server, headers: &[(&str, &str)]) -> (u16, String) {
    let mut connection = Connection::open(server.address()).unwrap();
    let headers = [headers, &[("content-type", "text/csv")]].concat();
    let reply = connection.post("/endpoints/churn/invocations", &headers, b"1,2").unwrap();
    (reply.status, reply.text())
}

fn consumers(server: &Server) -> Value {
    let listed = program::run(["consumers", "list", "--json", "--url", &server.url()]);
    assert!(listed.status.success(), "{}", said(&listed));
    serde_json::from_slice(&listed.stdout).unwrap()
}

fn consumer(book: &Value, name: &str) -> Value {
    let found = book["consumers"].as_array().unwrap().iter().find(|one| one["name"] == name);
    found.unwrap_or_else(|| panic!("{name} is not in {book}")).clone()
}

fn api_key(home: &Home) -> String {
    let data_dir = home.data_dir();
    let made = program::run([
        "keys",
        "create",
        "--api-key",
        "--json",
        "--consumer",
        "website",
        "--allow",
        "sagemaker:InvokeEndpoint:churn",
        "--data-dir",
        data_dir.to_str().unwrap(),
    ]);
    assert!(made.status.success(), "{}", said(&made));
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    made["apiKey"].as_str().unwrap().to_owned()
}

const CONFIGURATION: &str = r#"
[capture]
seal_after = "1s"
[auth.api_keys]
[auth.proxy]
addresses = ["PROXY"]
consumer_header = "x-forwarded-user"
[[auth.jwt]]
issuer = "https://login.example/"
audience = ["captura"]
jwks = "jwks.json"
scopes = ["models"]
[[consumers]]
name = "billing"
match = ["jwt:https://login.example/#svc-billing", "unverified:AKIDBILLING"]
contact = "billing@acme.example"
purpose = "nightly invoices"
[[consumers]]
name = "never called"
match = ["key:nobody"]
"#;

#[test]
fn every_way_to_say_who_one_is_ends_in_the_record_and_in_the_book_and_survives_a_kill() {
    let home = Home::new(&CONFIGURATION.replace("PROXY", "127.0.0.1"));
    let jwks = home.path().join("jwks.json");
    let issuer = Issuer::new("one", &jwks);
    let key = api_key(&home);
    let server = home.serve();
    Deployment::echo("churn").create(&server);

    let told = python::tell_as(&server, "callers.py", &["churn"], ("AKIDBILLING", "secret"));
    let through_the_sdk = u64::from(told.is_some());
    if let Some(told) = told {
        assert!(told.status.success(), "{}\n-- server\n{}", said(&told), home.log());
    }
    let url = format!("{}/endpoints/churn/invocations", server.url());
    let bearer = format!("authorization: Bearer {}", issuer.token("svc-billing", "captura", LATER));
    let answered = curl(&[&url, "--header", &bearer, "--header", "content-type: text/csv", "--data", "1,2"]);
    assert_eq!(String::from_utf8_lossy(&answered.stdout), "1,2\n200", "{}", home.log());

    assert_eq!(invoke(&server, &[("x-api-key", &key)]), (200, "1,2".into()));
    let forwarded = [("x-forwarded-user", "ward-a"), ("x-forwarded-for", "198.51.100.1, 203.0.113.9")];
    assert_eq!(invoke(&server, &forwarded), (200, "1,2".into()));
    assert_eq!(invoke(&server, &[]), (200, "1,2".into()));

    // What is wrong is told in SageMaker's shape, and whoever may invoke may not do all else.
    for (token, words) in [
        (issuer.token("svc-billing", "another", LATER), "for another audience"),
        (issuer.token("svc-billing", "captura", LONG_AGO), "is expired"),
        ("x.y.z".to_owned(), "cannot be read"),
    ] {
        let (status, body) = invoke(&server, &[("authorization", &format!("Bearer {token}"))]);
        assert!(status == 403 && body.contains(words) && body.starts_with(r#"{"Message":"#), "{status} {body}");
    }
    let (status, body) = invoke(&server, &[("x-api-key", &format!("{key}x"))]);
    assert!(status == 403 && body.contains("security token included in the request is invalid"), "{status} {body}");
    let mut connection = Connection::open(server.address()).unwrap();
    let listing = [("x-api-key", key.as_str()), ("x-amz-target", "SageMaker.ListModels")];
    let reply = connection.post("/", &listing, b"{}").unwrap();
    assert!(reply.status == 400 && reply.text().contains("AccessDeniedException"), "{}", reply.text());

    // Another key of the issuer is taken as soon as a token names it.
    let renewed = Issuer::new("two", &jwks);
    let token = renewed.token("eve", "captura", LATER);
    assert_eq!(invoke(&server, &[("authorization", &format!("Bearer {token}"))]).0, 200, "{}", home.log());

    let check = |server: &Server| {
        let book = consumers(server);
        let of = |name: &str| consumer(&book, name);
        let billing = of("billing");
        assert_eq!(
            (&billing["calls"], &billing["contact"]),
            (&json!(1 + through_the_sdk), &json!("billing@acme.example"))
        );
        assert_eq!(billing["principals"]["values"]["jwt:https://login.example/#svc-billing"], 1);
        assert_eq!(of("website")["principals"]["values"][format!("api-key:{}", key.split('.').next().unwrap())], 1);
        let ward = of("ward-a");
        assert_eq!((&ward["calls"], &ward["sourceAddresses"]["values"]), (&json!(1), &json!({ "203.0.113.9": 1 })));
        assert_eq!(
            (&ward["bytesIn"], &ward["bytesOut"], &ward["endpoints"]["values"]["churn"]),
            (&json!(3), &json!(3), &json!(1))
        );
        assert_eq!(of("anonymous")["calls"], 1);
        assert_eq!(of("eve")["calls"], 1);
        assert_eq!((&of("never called")["calls"], &of("never called")["registered"]), (&json!(0), &json!(true)));
        assert_eq!(book["coverage"]["concluded"], 5 + through_the_sdk);
        assert_eq!(book["coverage"]["counted"], book["coverage"]["concluded"], "{book}");
    };
    check(&server);
    server.kill();
    let server = home.serve();
    check(&server);
    let shown = program::run(["consumers", "show", "billing", "--url", &server.url()]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("nightly invoices") && shown.contains("jwt:https://login.example/#svc-billing"), "{shown}");
    let metrics = curl(&[&format!("{}/metrics", server.url())]);
    let metrics = String::from_utf8_lossy(&metrics.stdout).into_owned();
    assert!(metrics.contains("captura_consumer_requests_total{consumer=\"ward-a\"} 1"), "{metrics}");

    let captures = home.bucket("captures");
    let lines = wait_for("all captures", Duration::from_secs(30), || {
        let lines = captura_e2e::captured::read(&captures);
        (lines.len() as u64 == 5 + through_the_sdk).then_some(lines)
    });
    let of = |name: &str| lines.iter().find(|line| line.json["captura"]["consumer"] == name).unwrap();
    assert_eq!(of("ward-a").json["captura"]["principal"], "proxy:ward-a");
    assert_eq!(of("ward-a").json["captura"]["sourceIPAddress"], "203.0.113.9");
    let billing = lines.iter().filter(|line| line.json["captura"]["consumer"] == "billing");
    assert!(
        billing
            .into_iter()
            .any(|line| { line.json["captura"]["userAgent"].as_str().is_some_and(|agent| agent.starts_with("curl/")) })
    );
    assert!(server.stop().success(), "{}", home.log());
}

#[test]
fn what_a_stranger_writes_into_the_headers_of_a_proxy_is_ignored() {
    let home = Home::new(&CONFIGURATION.replace("PROXY", "10.99.0.0/16"));
    Issuer::new("one", &home.path().join("jwks.json"));
    let server = home.serve();
    Deployment::echo("churn").create(&server);
    let forwarded = [("x-forwarded-user", "ward-a"), ("x-forwarded-for", "203.0.113.9")];
    assert_eq!(invoke(&server, &forwarded).0, 200);
    let book = consumers(&server);
    let anonymous = consumer(&book, "anonymous");
    assert_eq!(anonymous["sourceAddresses"]["values"], json!({ "127.0.0.1": 1 }), "{book}");
    assert!(!book.to_string().contains("ward-a"), "{book}");
}

#[test]
fn a_client_with_a_certificate_is_its_consumer_and_one_without_does_not_get_in() {
    let home = Home::new(
        r#"
[auth]
mode = "sigv4"
[tls]
certificate = "server.pem"
key = "server.key"
client_ca = "clients.pem"
[[consumers]]
name = "billing"
match = ["certificate:URI:spiffe://acme/billing"]
"#,
    );
    let at = |name: &str| home.path().join(name);
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(at("server.pem"), own.cert.pem()).unwrap();
    private(&at("server.key"), &own.signing_key.serialize_pem());
    let mut authority = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    std::fs::write(at("clients.pem"), authority.self_signed(&key).unwrap().pem()).unwrap();
    let authority = rcgen::Issuer::new(authority, key);
    let mut client = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    client.subject_alt_names = vec![rcgen::SanType::URI("spiffe://acme/billing".try_into().unwrap())];
    client.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let client_key = rcgen::KeyPair::generate().unwrap();
    std::fs::write(at("client.pem"), client.signed_by(&client_key, &authority).unwrap().pem()).unwrap();
    private(&at("client.key"), &client_key.serialize_pem());

    let server = home.serve();
    let url = format!("https://localhost:{}/endpoints/nobody/invocations", server.address().port());
    let trusted = at("server.pem");
    let asked = |more: &[&str]| {
        let fixed = ["--cacert", trusted.to_str().unwrap(), "--data", "1", &url];
        String::from_utf8_lossy(&curl(&[&fixed[..], more].concat()).stdout).into_owned()
    };
    let (certificate, key) = (at("client.pem"), at("client.key"));
    let known = asked(&["--cert", certificate.to_str().unwrap(), "--key", key.to_str().unwrap()]);
    assert!(
        known.contains("Endpoint nobody of account") && known.ends_with("\n400"),
        "let in: {known}\n{}",
        home.log()
    );
    let unknown = asked(&[]);
    assert!(
        unknown.contains("Missing Authentication Token") || unknown.contains("missing Authentication Token"),
        "{unknown}"
    );
    assert!(unknown.ends_with("\n403"), "{unknown}");
    assert!(server.stop().success(), "{}", home.log());
}

fn private(path: &Path, text: &str) {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}
