//! `[auth]`, `[tls]` and `[[consumers]]`: who may call, how they are known, and what they are called.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use captura_keys::{Network, Policy, RegisteredConsumer, Rule};
use serde::{Deserialize, Deserializer, de};

use crate::units::Span;

/// `[auth]`: who may call.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Auth {
    pub(crate) mode: AuthMode,
    /// Regions that requests may be signed for, in mode `sigv4`; any when empty.
    pub(crate) regions: Vec<String>,
    /// Whether `/metrics` needs credentials too, in mode `sigv4`.
    pub(crate) metrics: MetricsAccess,
    /// `[[auth.jwt]]`: issuers whose bearer tokens are believed.
    pub(crate) jwt: Vec<Jwt>,
    /// `[auth.api_keys]`: keys of `captura keys create --api-key` are taken.
    pub(crate) api_keys: Option<ApiKeys>,
    /// `[auth.certificates]`: what the holders of client certificates may do, which `[tls] client_ca` has signed.
    pub(crate) certificates: Certificates,
    /// `[auth.proxy]`: a proxy that is believed when it says for whom it speaks.
    pub(crate) proxy: Option<Proxy>,
}

/// Who may read `/metrics`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MetricsAccess {
    /// Holders of a key that may `captura:GetMetrics`.
    #[default]
    Signed,
    /// Everybody who reaches the server.
    Open,
}

/// How callers are identified.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AuthMode {
    /// Callers without credentials come in, and the access key id of any signature names the consumer. Loopback listeners
    /// only. Credentials of the kinds that are configured below are verified all the same.
    #[default]
    Open,
    /// Signatures are verified against the keys of `captura keys`; who has neither one nor credentials of a kind that is
    /// configured below is turned away.
    Sigv4,
}

/// `[[auth.jwt]]`: an issuer of bearer tokens.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Jwt {
    /// `iss` of its tokens, exactly.
    pub(crate) issuer: String,
    /// `aud` of its tokens must be or hold one of these.
    pub(crate) audience: Vec<String>,
    /// Its public keys, a JWK set: `https://…`, `http://…` or a file.
    pub(crate) jwks: String,
    /// How often they are fetched again; they are at once when a token names a key that is not there.
    #[serde(default = "Jwt::refresh")]
    pub(crate) refresh: Span,
    /// The claim that names the consumer, e.g. `azp` or `client_id`.
    #[serde(default = "Jwt::consumer_claim")]
    pub(crate) consumer_claim: String,
    /// How far its clock may be from this one.
    #[serde(default = "Jwt::leeway")]
    pub(crate) leeway: Span,
    /// Scopes that every token must have.
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
    /// Claims that every token must have.
    #[serde(default)]
    pub(crate) claims: BTreeMap<String, String>,
    /// What every token may do, as `captura keys create --allow` has it; invoking every endpoint when nothing is said.
    #[serde(default, deserialize_with = "some_rules")]
    pub(crate) allow: Option<Vec<Rule>>,
    /// What no token may do.
    #[serde(default, deserialize_with = "rules")]
    pub(crate) deny: Vec<Rule>,
    /// What those may do besides that have a scope, or claims.
    #[serde(default)]
    pub(crate) rules: Vec<JwtRule>,
}

impl Jwt {
    fn refresh() -> Span {
        Span(Duration::from_secs(5 * 60))
    }

    fn consumer_claim() -> String {
        "sub".into()
    }

    fn leeway() -> Span {
        Span(Duration::from_secs(60))
    }
}

/// What tokens may do that have a scope, or claims.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JwtRule {
    /// A scope that the token must have.
    pub(crate) scope: Option<String>,
    /// Claims that it must have.
    #[serde(default)]
    pub(crate) claims: BTreeMap<String, String>,
    /// What it may do then.
    #[serde(default, deserialize_with = "rules")]
    pub(crate) allow: Vec<Rule>,
    /// What it may not do then, whatever else allows it.
    #[serde(default, deserialize_with = "rules")]
    pub(crate) deny: Vec<Rule>,
}

/// `[auth.api_keys]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApiKeys {
    /// The header that carries them.
    #[serde(default = "ApiKeys::header", deserialize_with = "header")]
    pub(crate) header: String,
}

impl ApiKeys {
    fn header() -> String {
        "x-api-key".into()
    }
}

/// `[auth.certificates]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Certificates {
    /// What their holders may do; invoking every endpoint when nothing is said.
    #[serde(deserialize_with = "some_rules")]
    pub(crate) allow: Option<Vec<Rule>>,
    /// What they may not do.
    #[serde(deserialize_with = "rules")]
    pub(crate) deny: Vec<Rule>,
}

/// `[auth.proxy]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Proxy {
    /// Where its connections come from, e.g. `10.0.0.0/8`. Of `X-Forwarded-For` the right-most other address is believed.
    #[serde(deserialize_with = "networks")]
    pub(crate) addresses: Vec<Network>,
    /// The header in which it names the consumer; it must take it off from requests that others send. None when absent.
    #[serde(default, deserialize_with = "some_header")]
    pub(crate) consumer_header: Option<String>,
    /// What those may do for whom it speaks; invoking every endpoint when nothing is said.
    #[serde(default, deserialize_with = "some_rules")]
    pub(crate) allow: Option<Vec<Rule>>,
    /// What they may not do.
    #[serde(default, deserialize_with = "rules")]
    pub(crate) deny: Vec<Rule>,
}

/// `[tls]`: how connections are encrypted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    /// PEM: the server's certificate, then those that it is signed with. Read again when it changes.
    pub(crate) certificate: PathBuf,
    /// PEM: the certificate's key.
    pub(crate) key: PathBuf,
    /// PEM: the authorities that sign the certificates of clients. Without it no client is asked for one.
    pub(crate) client_ca: Option<PathBuf>,
    /// PEM: lists of the certificates that these authorities have revoked, one of each. Read again when it changes.
    pub(crate) client_crl: Option<PathBuf>,
    /// Whether there is no connection without a client's certificate.
    #[serde(default)]
    pub(crate) client_auth: ClientAuth,
}

/// Whether there is no connection without a client's certificate.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ClientAuth {
    /// Who has none is known otherwise.
    #[default]
    Optional,
    /// Nobody without one.
    Required,
}

/// `[[consumers]]`: somebody who calls, and whose credentials are theirs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Consumer {
    /// The name in records and metrics.
    pub(crate) name: String,
    /// Patterns of principals, e.g. `jwt:https://login.example/#svc-billing*`, `key:AKIA…`, `certificate:CN=billing`.
    #[serde(rename = "match")]
    pub(crate) principals: Vec<String>,
    /// Whom to ask.
    pub(crate) contact: Option<String>,
    /// What they use the models for.
    pub(crate) purpose: Option<String>,
}

impl Consumer {
    /// As the registry has it.
    pub(crate) fn registered(&self) -> RegisteredConsumer {
        RegisteredConsumer {
            name: self.name.clone(),
            principals: self.principals.clone(),
            contact: self.contact.clone(),
            purpose: self.purpose.clone(),
        }
    }
}

/// What callers may do of whom `allow` and `deny` were said, or nothing.
pub(crate) fn policy(allow: Option<&Vec<Rule>>, deny: &[Rule]) -> Policy {
    let mut policy = Policy::invocations();
    if let Some(allow) = allow {
        policy.allow = allow.clone();
    }
    policy.deny = deny.to_vec();
    policy
}

fn rules<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Rule>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| text.parse().map_err(de::Error::custom)).collect()
}

fn some_rules<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Rule>>, D::Error> {
    rules(deserializer).map(Some)
}

fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Network>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| text.parse().map_err(de::Error::custom)).collect()
}

/// The name of a header, in small letters, as requests have it here.
fn header<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let name = text.parse::<http::HeaderName>().ok().filter(|name| *name != http::header::AUTHORIZATION);
    let name = name.ok_or_else(|| de::Error::custom(format!("{text:?} is no header that can carry this")))?;
    Ok(name.as_str().to_owned())
}

fn some_header<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    header(deserializer).map(Some)
}
