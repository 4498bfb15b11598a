//! Bearer tokens (JWT, RFC 7519, signed as RFC 7515 has it), as an OpenID Connect issuer gives them to its clients.
//!
//! Invariant: nothing of a token is used before its signature fits a key of the issuer that it names, but for that name
//! and the key's id. Algorithms are RS256, PS256, ES256 and EdDSA, as far as the key is of that kind: never `none`, and
//! never a shared secret. Refuses to: fetch keys; it says which are wanted.

mod key_set;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use captura_names::Timestamp;
use captura_wire::denial::Denial;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::policy::Policy;

pub use key_set::{InvalidKeySet, KEY_SET_MAX_BYTES, KeySet};

/// Longest token, bytes.
const TOKEN_MAX_BYTES: usize = 16 * 1024;
/// Longest principal that a token may name, bytes: as long as one is kept, so that two are never one.
const PRINCIPAL_MAX_BYTES: usize = 512;

/// Has the keys of an issuer fetched again, if it is time: nothing when they were a moment ago.
pub type Renewal = Arc<dyn Fn() -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> + Send + Sync>;

/// An issuer of tokens that is believed.
pub struct Issuer {
    /// `iss` of its tokens, exactly.
    pub issuer: String,
    /// `aud` must be or hold one of these: a token for somebody else is not for this server.
    pub audience: Vec<String>,
    /// The claim that names the consumer.
    pub consumer_claim: String,
    /// How far its clock may be from this one, seconds.
    pub leeway_seconds: u32,
    /// Scopes that every token must have.
    pub scopes: Vec<String>,
    /// Claims that every token must have.
    pub claims: BTreeMap<String, String>,
    /// What every token may do.
    pub policy: Policy,
    /// What those may do besides that have certain scopes and claims.
    pub rules: Vec<TokenRule>,
    /// Its keys.
    pub keys: Arc<KeySet>,
    /// How to get others; nothing where they never change.
    pub renewal: Option<Renewal>,
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// What tokens may do that have a scope, or claims, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRule {
    /// A scope that the token must have.
    pub scope: Option<String>,
    /// Claims that it must have.
    pub claims: BTreeMap<String, String>,
    /// What it may do then.
    pub policy: Policy,
}

/// Whose a token is, and what it may do.
pub(crate) struct Bearer<'a> {
    pub(crate) principal: String,
    pub(crate) consumer: String,
    pub(crate) policies: Vec<&'a Policy>,
}

#[derive(Deserialize)]
struct Head {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    /// Present, even as `null`.
    #[serde(default, deserialize_with = "present")]
    crit: bool,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    serde::de::IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// Types of tokens that are for who serves a resource; others of the same issuer (of logout, of proof of possession) are
/// not, even where their audience fits (RFC 8725, section 3.11).
const TYPES: [&str; 4] = ["jwt", "application/jwt", "at+jwt", "application/at+jwt"];

/// Claims, each once: of two values nobody could tell which another reader would take.
struct Claims(Map<String, Value>);

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ClaimsVisitor)
    }
}

struct ClaimsVisitor;

impl<'de> Visitor<'de> for ClaimsVisitor {
    type Value = Claims;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("claims")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Claims, A::Error> {
        let mut claims = Map::new();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if claims.insert(name, value).is_some() {
                return Err(serde::de::Error::custom("a claim stands twice"));
            }
        }
        Ok(Claims(claims))
    }
}

/// The parts of a token, taken apart and not yet believed.
struct Parts<'t> {
    head: Head,
    claims: Map<String, Value>,
    signed: &'t str,
    signature: Vec<u8>,
}

const UNREADABLE: Denial = Denial::BadToken("it cannot be read");

impl<'t> Parts<'t> {
    fn of(token: &'t str) -> Result<Self, Denial> {
        if token.len() > TOKEN_MAX_BYTES {
            return Err(Denial::BadToken("it is too long"));
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(UNREADABLE)?;
        let (head, claims) = signed.split_once('.').ok_or(UNREADABLE)?;
        let decoded = |part: &str| BASE64.decode(part).map_err(|_| UNREADABLE);
        Ok(Self {
            head: serde_json::from_slice(&decoded(head)?).map_err(|_| UNREADABLE)?,
            claims: serde_json::from_slice::<Claims>(&decoded(claims)?).map_err(|_| UNREADABLE)?.0,
            signed,
            signature: decoded(signature)?,
        })
    }

    fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim).and_then(Value::as_str)
    }
}

/// The issuer that a token names, if it is believed.
pub(crate) fn issuer_of<'a>(issuers: &'a [Issuer], token: &str) -> Option<&'a Issuer> {
    let parts = Parts::of(token).ok()?;
    let named = parts.text("iss")?;
    issuers.iter().find(|issuer| issuer.issuer == named)
}

/// Holds a token against the issuers that are believed.
pub(crate) fn verify<'a>(issuers: &'a [Issuer], token: &str, now: Timestamp) -> Result<Bearer<'a>, Denial> {
    let parts = Parts::of(token)?;
    let named = parts.text("iss").ok_or(Denial::BadToken("it names no issuer"))?;
    let issuer = issuers.iter().find(|issuer| issuer.issuer == named);
    let issuer = issuer.ok_or(Denial::BadToken("its issuer is not one of those that are believed here"))?;
    issuer.check_signature(&parts)?;
    issuer.check_claims(&parts, now)?;
    let subject = parts.text("sub").filter(|subject| !subject.is_empty());
    let subject = subject.ok_or(Denial::BadToken("it names no subject"))?;
    let consumer = parts.text(&issuer.consumer_claim).filter(|name| !name.is_empty());
    let principal = format!("jwt:{}#{subject}", issuer.issuer);
    if principal.len() > PRINCIPAL_MAX_BYTES {
        return Err(Denial::BadToken("its subject is too long"));
    }
    Ok(Bearer {
        principal,
        consumer: consumer.ok_or(Denial::BadToken("it lacks the claim that names the consumer"))?.to_owned(),
        policies: issuer.policies(&parts.claims),
    })
}

impl Issuer {
    fn check_signature(&self, parts: &Parts<'_>) -> Result<(), Denial> {
        let (algorithm, id) = (parts.head.alg.as_str(), parts.head.kid.as_deref());
        if !matches!(algorithm, "RS256" | "PS256" | "ES256" | "EdDSA") {
            return Err(Denial::BadToken("its algorithm is not one of RS256, PS256, ES256 and EdDSA"));
        }
        if parts.head.crit {
            return Err(Denial::BadToken("it demands something of whoever reads it that is not known here"));
        }
        let is_other = |typ: &String| !TYPES.contains(&typ.to_ascii_lowercase().as_str());
        if parts.head.typ.as_ref().is_some_and(is_other) {
            return Err(Denial::BadToken("it is of a type that is not for calls"));
        }
        let keys = self.keys.current();
        let mut fitting = keys.iter().filter(|key| key.fits(algorithm, id)).peekable();
        if fitting.peek().is_none() {
            return Err(Denial::TokenKeyUnknown);
        }
        if fitting.any(|key| key.verifies(algorithm, parts.signed.as_bytes(), &parts.signature)) {
            return Ok(());
        }
        Err(Denial::BadToken("its signature is not that of its issuer"))
    }

    fn check_claims(&self, parts: &Parts<'_>, now: Timestamp) -> Result<(), Denial> {
        let now_seconds = now.unix_us() as f64 / 1e6;
        let leeway = f64::from(self.leeway_seconds);
        // Seconds, and parts of them where an issuer likes that.
        let moment = |claim: &str| parts.claims.get(claim).map(|value| value.as_f64().ok_or(UNREADABLE)).transpose();
        let expires = moment("exp")?.ok_or(Denial::BadToken("it never expires"))?;
        if now_seconds >= expires + leeway {
            return Err(Denial::KeyExpired);
        }
        if moment("nbf")?.is_some_and(|begins| now_seconds < begins - leeway) {
            return Err(Denial::BadToken("its time has not come"));
        }
        if !listed(parts.claims.get("aud")).iter().any(|one| self.audience.iter().any(|mine| mine == one)) {
            return Err(Denial::BadToken("it is for another audience"));
        }
        if !self.scopes.iter().all(|scope| has_scope(&parts.claims, scope)) || !holds(&parts.claims, &self.claims) {
            return Err(Denial::BadToken("it lacks a scope or a claim that is required here"));
        }
        Ok(())
    }

    fn policies(&self, claims: &Map<String, Value>) -> Vec<&Policy> {
        let fits = |rule: &&TokenRule| {
            rule.scope.as_ref().is_none_or(|scope| has_scope(claims, scope)) && holds(claims, &rule.claims)
        };
        std::iter::once(&self.policy).chain(self.rules.iter().filter(fits).map(|rule| &rule.policy)).collect()
    }
}

/// A text, or the texts of a list.
fn listed(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// Scopes stand in `scope`, parted by spaces (RFC 8693), or in a list `scp`, as some issuers have it.
fn has_scope(claims: &Map<String, Value>, scope: &str) -> bool {
    let parted = claims.get("scope").and_then(Value::as_str).into_iter().flat_map(|text| text.split(' '));
    let listed = ["scope", "scp"].into_iter().flat_map(|claim| listed(claims.get(claim)));
    parted.chain(listed.flat_map(|text| text.split(' '))).any(|one| one == scope)
}

/// Whether each claim is that text, that number or truth in writing, or a list that holds it.
fn holds(claims: &Map<String, Value>, wanted: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(claim, wanted)| match claims.get(claim) {
        Some(Value::Bool(truth)) => wanted.parse() == Ok(*truth),
        Some(Value::Number(number)) => wanted.parse::<serde_json::Number>().is_ok_and(|wanted| wanted == *number),
        value => listed(value).contains(&wanted.as_str()),
    })
}

#[cfg(test)]
mod tests;
