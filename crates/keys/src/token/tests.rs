use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    RsaKeyPair,
};
use serde_json::json;

use super::*;

/// Of no server: made for these tests alone.
const RSA: &[u8] = include_bytes!("rsa.test.der");
const ISSUER: &str = "https://login.example/";

/// An issuer with a key of each kind.
struct Signer {
    rsa: RsaKeyPair,
    p256: EcdsaKeyPair,
    ed25519: Ed25519KeyPair,
}

impl Signer {
    fn new() -> Self {
        let chance = SystemRandom::new();
        let p256 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &chance).unwrap();
        let ed25519 = Ed25519KeyPair::generate_pkcs8(&chance).unwrap();
        Self {
            rsa: RsaKeyPair::from_der(RSA).unwrap(),
            p256: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, p256.as_ref(), &chance).unwrap(),
            ed25519: Ed25519KeyPair::from_pkcs8(ed25519.as_ref()).unwrap(),
        }
    }

    fn keys(&self) -> Value {
        let point = self.p256.public_key().as_ref();
        let rsa = PublicKeyComponents::<Vec<u8>>::from(self.rsa.public());
        json!({ "keys": [
            { "kty": "RSA", "kid": "r", "use": "sig", "n": BASE64.encode(&rsa.n),
              "e": BASE64.encode(&rsa.e) },
            { "kty": "EC", "kid": "p", "crv": "P-256", "alg": "ES256", "x": BASE64.encode(&point[1..33]),
              "y": BASE64.encode(&point[33..]) },
            { "kty": "OKP", "kid": "e", "crv": "Ed25519", "x": BASE64.encode(self.ed25519.public_key().as_ref()) },
            { "kty": "oct", "kid": "h", "k": "c2VjcmV0" },
            { "kty": "of tomorrow", "kid": 7 },
        ]})
    }

    fn sign(&self, head: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", BASE64.encode(head.to_string()), BASE64.encode(claims.to_string()));
        let (chance, message) = (SystemRandom::new(), signed.as_bytes());
        let signature = match head["alg"].as_str().unwrap() {
            algorithm @ ("RS256" | "PS256") => {
                let mut signature = vec![0; self.rsa.public().modulus_len()];
                let scheme: &dyn ring::signature::RsaEncoding =
                    if algorithm == "RS256" { &RSA_PKCS1_SHA256 } else { &RSA_PSS_SHA256 };
                self.rsa.sign(scheme, &chance, message, &mut signature).unwrap();
                signature
            }
            "ES256" => self.p256.sign(&chance, message).unwrap().as_ref().to_vec(),
            "EdDSA" => self.ed25519.sign(message).as_ref().to_vec(),
            "HS256" => {
                // The old trick: the public key as the shared secret.
                let secret = PublicKeyComponents::<Vec<u8>>::from(self.rsa.public()).n;
                ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &secret), message).as_ref().to_vec()
            }
            _ => Vec::new(),
        };
        format!("{signed}.{}", BASE64.encode(signature))
    }
}

fn issuer(signer: &Signer) -> Issuer {
    let keys = KeySet::default();
    assert_eq!(keys.replace(signer.keys().to_string().as_bytes()), Ok(3));
    Issuer {
        issuer: ISSUER.into(),
        audience: vec!["captura".into()],
        consumer_claim: "azp".into(),
        leeway_seconds: 60,
        scopes: vec!["models".into()],
        claims: BTreeMap::from([("tenant".into(), "acme".into())]),
        policy: Policy::invocations(),
        rules: vec![TokenRule {
            scope: Some("admin".into()),
            claims: BTreeMap::from([("level".into(), "3".into())]),
            policy: Policy::default(),
        }],
        keys: Arc::new(keys),
        renewal: None,
    }
}

const NOW_SECONDS: i64 = 1_700_000_000;

fn claims() -> Value {
    json!({ "iss": ISSUER, "sub": "svc-7", "azp": "billing", "aud": ["other", "captura"], "exp": NOW_SECONDS + 300,
            "nbf": NOW_SECONDS, "scope": "openid models", "tenant": "acme" })
}

fn with(member: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[member] = value;
    claims
}

fn without(member: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(member);
    claims
}

struct World {
    signer: Signer,
    issuers: [Issuer; 1],
}

impl World {
    fn new() -> Self {
        let signer = Signer::new();
        Self { issuers: [issuer(&signer)], signer }
    }

    fn verify(&self, token: &str) -> Result<(String, String, usize), Denial> {
        let now = Timestamp::from_unix_us(NOW_SECONDS * 1_000_000);
        let Bearer { principal, consumer, policies } = verify(&self.issuers, token, now)?;
        Ok((principal, consumer, policies.len()))
    }

    fn claimed(&self, claims: &Value) -> Result<(String, String, usize), Denial> {
        self.verify(&self.signer.sign(&json!({ "alg": "ES256", "kid": "p" }), claims))
    }
}

#[test]
fn a_token_of_each_algorithm_is_its_consumers() {
    let world = World::new();
    for head in [
        json!({ "alg": "RS256", "kid": "r" }),
        json!({ "alg": "PS256", "kid": "r" }),
        json!({ "alg": "ES256", "kid": "p", "typ": "JWT" }),
        json!({ "alg": "EdDSA", "kid": "e" }),
        json!({ "alg": "EdDSA" }),
    ] {
        let token = world.signer.sign(&head, &claims());
        let expected = ("jwt:https://login.example/#svc-7".to_owned(), "billing".to_owned(), 1);
        assert_eq!(world.verify(&token), Ok(expected), "{head}");
    }
}

#[test]
fn no_algorithm_is_taken_that_the_key_is_not_for() {
    let world = World::new();
    for head in [
        json!({ "alg": "none" }),
        json!({ "alg": "None", "kid": "r" }),
        json!({ "alg": "HS256", "kid": "r" }),
        json!({ "alg": "HS256", "kid": "h" }),
        json!({ "alg": "RS512", "kid": "r" }),
        json!({ "alg": "ES256", "kid": "p", "crit": ["exp"] }),
    ] {
        let token = world.signer.sign(&head, &claims());
        assert!(matches!(world.verify(&token), Err(Denial::BadToken(_))), "{head}");
    }
    for head in [
        json!({ "alg": "ES256", "kid": "r" }),
        json!({ "alg": "RS256", "kid": "e" }),
        json!({ "alg": "EdDSA", "kid": "x" }),
    ] {
        let token = world.signer.sign(&head, &claims());
        assert_eq!(world.verify(&token), Err(Denial::TokenKeyUnknown), "{head}");
    }
}

#[test]
fn a_token_that_was_changed_anywhere_is_worth_nothing() {
    let world = World::new();
    let token = world.signer.sign(&json!({ "alg": "EdDSA", "kid": "e" }), &claims());
    let [head, body, signature] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
    let stronger = BASE64.encode(with("scope", json!("models admin")).to_string());
    let other = Signer::new().sign(&json!({ "alg": "EdDSA", "kid": "e" }), &claims());
    for changed in [
        format!("{head}.{stronger}.{signature}"),
        format!("{head}.{body}."),
        format!("{head}.{body}"),
        format!("{head}.{body}.{signature}."),
        format!("{head}.{body}.{signature}="),
        format!(".{body}.{signature}"),
        format!("{head}..{signature}"),
        String::new(),
        "x".repeat(20_000),
        other,
    ] {
        assert!(matches!(world.verify(&changed), Err(Denial::BadToken(_))), "{changed}");
    }
    assert!(world.verify(&token).is_ok());
}

#[test]
fn what_a_token_says_of_itself_is_held_against_what_is_required() {
    let world = World::new();
    for (claims, words) in [
        (with("iss", json!("https://login.example")), "believed"),
        (without("iss"), "issuer"),
        (without("exp"), "never expires"),
        (with("exp", json!("soon")), "cannot be read"),
        (with("nbf", json!(NOW_SECONDS + 61)), "not come"),
        (with("aud", json!("another")), "audience"),
        (without("aud"), "audience"),
        (with("scope", json!("model modelsx")), "scope"),
        (with("tenant", json!("other")), "claim"),
        (without("sub"), "subject"),
        (with("sub", json!("x".repeat(600))), "too long"),
        (without("azp"), "consumer"),
        (with("azp", json!(7)), "consumer"),
    ] {
        match world.claimed(&claims) {
            Err(Denial::BadToken(why)) => assert!(why.contains(words), "{why}: {claims}"),
            other => panic!("{other:?}: {claims}"),
        }
    }
    assert_eq!(world.claimed(&with("exp", json!(NOW_SECONDS - 60))), Err(Denial::KeyExpired));
    for fine in [
        with("exp", json!(NOW_SECONDS - 59)),
        with("exp", json!(NOW_SECONDS as f64 + 0.5)),
        with("nbf", json!(NOW_SECONDS + 60)),
        without("nbf"),
        with("aud", json!("captura")),
        with("scope", json!(["models"])),
        with("tenant", json!(["acme", "other"])),
    ] {
        assert!(world.claimed(&fine).is_ok(), "{fine}");
    }
    let mut listed = without("scope");
    listed["scp"] = json!(["models"]);
    assert!(world.claimed(&listed).is_ok());
}

#[test]
fn rules_add_what_tokens_may_do_that_have_both_scope_and_claims() {
    let world = World::new();
    let mut claims = with("scope", json!("models admin"));
    assert_eq!(world.claimed(&claims).unwrap().2, 1, "a scope without its claim");
    claims["level"] = json!(3);
    assert_eq!(world.claimed(&claims).unwrap().2, 2);
}

#[test]
fn a_set_of_keys_that_cannot_be_used_leaves_the_one_before() {
    let signer = Signer::new();
    let keys = KeySet::default();
    keys.replace(signer.keys().to_string().as_bytes()).unwrap();
    let private = json!({ "keys": [{ "kty": "EC", "crv": "P-256", "x": "", "y": "", "d": "c2VjcmV0" }] });
    let short = json!({ "keys": [{ "kty": "RSA", "n": BASE64.encode([255; 128]), "e": "AQAB" }] });
    let encrypts = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": BASE64.encode([1; 32]), "use": "enc" }] });
    let many = json!({ "keys": vec![json!({ "kty": "oct", "k": "" }); 101] });
    for (set, error) in [
        (private.to_string(), InvalidKeySet::Private),
        (short.to_string(), InvalidKeySet::Useless),
        (encrypts.to_string(), InvalidKeySet::Useless),
        (r#"{"keys":[]}"#.to_owned(), InvalidKeySet::Useless),
        (many.to_string(), InvalidKeySet::TooLarge),
        (" ".repeat(KEY_SET_MAX_BYTES + 1), InvalidKeySet::TooLarge),
    ] {
        assert_eq!(keys.replace(set.as_bytes()), Err(error));
    }
    assert!(matches!(keys.replace(b"<html>"), Err(InvalidKeySet::Shape(_))));
    assert_eq!(keys.current().len(), 3);
}

/// A token whose head and claims stand as written, signed as it should be.
fn signed_as_written(signer: &Signer, head: &str, claims: &str) -> String {
    let signed = format!("{}.{}", BASE64.encode(head), BASE64.encode(claims));
    let signature = signer.ed25519.sign(signed.as_bytes());
    format!("{signed}.{}", BASE64.encode(signature.as_ref()))
}

#[test]
fn what_two_readers_could_read_differently_is_not_read_at_all() {
    let world = World::new();
    let (head, claims) = (r#"{"alg":"EdDSA","kid":"e"}"#, claims().to_string());
    let open = claims.trim_end_matches('}');
    assert!(world.verify(&signed_as_written(&world.signer, head, &claims)).is_ok());
    let nested = format!("{open},\"x\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000));
    for (head, claims) in [
        (head, format!("{open},\"aud\":\"captura\"}}")),
        (head, format!("{open},\"sub\":\"admin\"}}")),
        (head, format!("{open},\"x\":1e400}}")),
        (head, format!("{claims} x")),
        (head, format!("[{claims}]")),
        (head, nested),
        (head, "null".to_owned()),
        (r#"{"alg":"none","alg":"EdDSA","kid":"e"}"#, claims.clone()),
        (r#"{"alg":"EdDSA","kid":"x","kid":"e"}"#, claims.clone()),
        (r#"{"alg":"EdDSA","kid":7}"#, claims.clone()),
        (r#"{"alg":["EdDSA"],"kid":"e"}"#, claims.clone()),
        (r#"{"kid":"e"}"#, claims.clone()),
        (r#"{"alg":"EdDSA","kid":"e","crit":null}"#, claims.clone()),
        (r#"{"alg":"EdDSA","kid":"e","crit":[]}"#, claims.clone()),
        (r#"{"alg":"EdDSA","kid":"e","b64":false,"crit":["b64"]}"#, claims.clone()),
        (r#"{"alg":"eddsa","kid":"e"}"#, claims.clone()),
        (r#"{"alg":"EdDSA","kid":"e","typ":"logout+jwt"}"#, claims.clone()),
        (r#"{"alg":"EdDSA","kid":"e","typ":"dpop+jwt"}"#, claims.clone()),
    ] {
        let verified = world.verify(&signed_as_written(&world.signer, head, &claims));
        assert!(matches!(verified, Err(Denial::BadToken(_))), "{head} {verified:?}");
    }
    let pointing = r#"{"typ":"JWT","alg":"EdDSA","jku":"https://evil.example","jwk":{"kty":"oct"}}"#;
    for head in [r#"{"alg":"EdDSA","kid":"e","typ":"at+JWT"}"#, pointing] {
        assert!(world.verify(&signed_as_written(&world.signer, head, &claims)).is_ok(), "{head}");
    }
}

#[test]
fn a_token_is_one_text_and_no_other_stands_for_it() {
    let world = World::new();
    let token = world.signer.sign(&json!({ "alg": "EdDSA", "kid": "e" }), &claims());
    let [head, body, signature] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
    // Bits that no byte has, another alphabet, padding, blanks, and the five parts of an encrypted token.
    let unused_bits = match signature.chars().last().unwrap() {
        'A' => 'B',
        'Q' => 'R',
        'g' => 'h',
        _ => 'x',
    };
    for other in [
        format!("{head}.{body}.{}{unused_bits}", &signature[..signature.len() - 1]),
        format!("{head}.{body}.{}+", signature.replace(['-', '_'], "+")),
        format!("{head}=.{body}.{signature}"),
        format!("{head}.{body} .{signature}"),
        format!("{token}.a.b"),
        format!(" {token}"),
    ] {
        assert!(matches!(world.verify(&other), Err(Denial::BadToken(_))), "{other}");
    }
    let sized = |pad: usize| {
        let mut padded = claims();
        padded["pad"] = json!("x".repeat(pad));
        world.signer.sign(&json!({ "alg": "EdDSA", "kid": "e" }), &padded)
    };
    let short = sized(11_000);
    assert!(short.len() <= TOKEN_MAX_BYTES && world.verify(&short).is_ok());
    let long = sized(13_000);
    assert!(long.len() > TOKEN_MAX_BYTES);
    assert_eq!(world.verify(&long), Err(Denial::BadToken("it is too long")));
}

#[test]
fn a_key_of_one_issuer_signs_nothing_of_another() {
    let (world, other) = (World::new(), Signer::new());
    let mut second = issuer(&other);
    second.issuer = "https://other.example/".into();
    let World { signer, issuers: [first] } = world;
    let issuers = [first, second];
    let now = Timestamp::from_unix_us(NOW_SECONDS * 1_000_000);
    let head = json!({ "alg": "EdDSA", "kid": "e" });
    let theirs = with("iss", json!("https://other.example/"));
    assert!(verify(&issuers, &other.sign(&head, &theirs), now).is_ok());
    for (signer, claims) in [(&other, &claims()), (&signer, &theirs)] {
        let verified = verify(&issuers, &signer.sign(&head, claims), now).map(|bearer| bearer.principal);
        assert!(matches!(verified, Err(Denial::BadToken(_))), "{verified:?}");
    }
}
