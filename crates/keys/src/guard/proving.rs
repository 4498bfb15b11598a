//! Credentials other than signatures: bearer tokens, API keys, client certificates, and what a proxy says.

use std::net::IpAddr;
use std::sync::Arc;

use captura_wire::denial::Denial;
use captura_wire::scope::Scope;
use captura_wire::sigv4::{Admitted, Asked, Head, Presented};

use super::Guard;
use crate::key::Key;
use crate::policy::Policy;
use crate::registry::Registry;
use crate::token::Bearer;

const AUTHORIZATION: &str = "authorization";
const BEARER: &str = "bearer ";
/// Longest name that is taken from a proxy or a certificate, bytes, so that no two become one when they are kept.
const NAME_MAX_BYTES: usize = 256;

/// Credentials that a request carries itself.
pub(super) enum Credential<'a> {
    /// A signature, or an `Authorization` header that should be one.
    Signature,
    /// A bearer token.
    Token(&'a str),
    /// An API key.
    ApiKey(&'a str),
}

/// Who has proved to be who, and what they may do.
pub(super) struct Proven<'a> {
    pub(super) principal: String,
    consumer: String,
    /// The operator gave the consumer's name himself.
    is_assigned: bool,
    policies: Policies<'a>,
}

enum Policies<'a> {
    OfKey(Arc<Key>),
    Of(Vec<&'a Policy>),
}

impl<'a> Proven<'a> {
    pub(super) fn by_key(key: Arc<Key>) -> Self {
        Self {
            principal: format!("{}:{}", key.kind().as_str(), key.id),
            consumer: key.consumer.to_string(),
            is_assigned: true,
            policies: Policies::OfKey(key),
        }
    }

    pub(super) fn by_token(bearer: Bearer<'a>) -> Self {
        let Bearer { principal, consumer, policies } = bearer;
        Self { principal, consumer, is_assigned: false, policies: Policies::Of(policies) }
    }

    fn by_connection(principal: String, consumer: &str, policy: &'a Policy) -> Self {
        Self { principal, consumer: consumer.to_owned(), is_assigned: false, policies: Policies::Of(vec![policy]) }
    }

    /// The consumer's name.
    pub(super) fn user(&self, registry: &Registry) -> String {
        match registry.matched(&self.principal) {
            None if self.is_assigned => self.consumer.clone(),
            _ => registry.name_of(&self.principal, &self.consumer).to_owned(),
        }
    }

    pub(super) fn policies(&self) -> Vec<&Policy> {
        match &self.policies {
            Policies::OfKey(key) => vec![&key.policy],
            Policies::Of(policies) => policies.clone(),
        }
    }
}

impl Guard {
    /// The credentials of a request; nothing when it carries none.
    pub(super) fn credential<'a>(&self, head: &Head<'a>) -> Result<Option<Credential<'a>>, Denial> {
        let settings = &self.settings;
        let mut headers = head.all(AUTHORIZATION);
        let header = headers.next();
        let token = header.filter(|_| !settings.issuers.is_empty()).and_then(bearer);
        if token.is_some() && headers.next().is_some() {
            return Err(Denial::SeveralCredentials);
        }
        let mut api_keys = settings.api_key_header.iter().flat_map(|name| head.all(name));
        let api_key = api_keys.next();
        if api_keys.next().is_some() {
            return Err(Denial::SeveralCredentials);
        }
        let in_query = Presented::is_in_query(head)?;
        let signature = in_query || (header.is_some() && token.is_none());
        match (token, api_key, signature) {
            (None, None, false) => Ok(None),
            (None, None, true) => Ok(Some(Credential::Signature)),
            (Some(token), None, false) => Ok(Some(Credential::Token(token))),
            (None, Some(key), false) => {
                Ok(Some(Credential::ApiKey(std::str::from_utf8(key).map_err(|_| Denial::UnknownKey)?)))
            }
            _ => Err(Denial::SeveralCredentials),
        }
    }

    /// The key whose text that is.
    pub(super) fn api_key(
        &self,
        text: &str,
        asked: &Asked<'_>,
        known: &mut Option<Arc<Key>>,
    ) -> Result<Arc<Key>, Denial> {
        let (id, _) = text.split_once('.').unwrap_or((text, ""));
        let mut last_try = false;
        loop {
            let keys = self.keyring.current(asked.now);
            let key = keys.get(id).filter(|key| key.revoked.is_none() && key.is_api_key());
            // What is not there is hashed and compared all the same.
            let is_right = key.map_or_else(|| Key::decoy_opens(text), |key| key.opens(text));
            *known = key.cloned();
            match key {
                Some(key) if is_right && key.is_expired(asked.now) => return Err(Denial::KeyExpired),
                Some(key) if is_right => return Ok(Arc::clone(key)),
                _ if !last_try && self.keyring.look() => last_try = true,
                // A wrong secret and a wrong id read the same.
                _ => return Err(Denial::UnknownKey),
            }
        }
    }

    /// Who is known by the connection alone: for whom a proxy speaks, or whose certificate it was opened with.
    pub(super) fn by_connection(&self, asked: &Asked<'_>) -> Result<Option<Proven<'_>>, Denial> {
        let proxy = self.settings.proxy.as_ref();
        let proxy = proxy.filter(|proxy| proxy.networks.iter().any(|network| network.contains(asked.source)));
        if let Some((proxy, header)) = proxy.and_then(|proxy| Some((proxy, proxy.consumer_header.as_deref()?))) {
            let mut names = asked.head.all(header);
            match (names.next(), names.next()) {
                (None, _) => {}
                (Some(_), Some(_)) => return Err(Denial::SeveralCredentials),
                (Some(name), None) => {
                    let name = std::str::from_utf8(name).ok().map(str::trim).filter(|name| is_name(name));
                    let name = name.ok_or_else(|| Denial::malformed_name(header))?;
                    return Ok(Some(Proven::by_connection(format!("proxy:{name}"), name, &proxy.policy)));
                }
            }
        }
        let Some(certificate) = asked.certificate else { return Ok(None) };
        let name = certificate.split_once([':', '=']).map_or(certificate, |(_, name)| name);
        if !is_name(name) {
            return Err(Denial::malformed_name("the client certificate"));
        }
        let principal = format!("certificate:{certificate}");
        Ok(Some(Proven::by_connection(principal, name, &self.settings.certificates)))
    }

    /// What an open listener says of a caller: an access key id that nobody has verified, or nothing.
    pub(super) fn unverified(&self, asked: &Asked<'_>, source: IpAddr) -> Admitted {
        let header = asked.head.all(AUTHORIZATION).next().and_then(|value| std::str::from_utf8(value).ok());
        let scope = header.map_or_else(|| Scope::of_query(asked.head.query), Scope::of_authorization);
        let id = scope.as_ref().map(Scope::access_key_id);
        let principal = id.map(|id| format!("unverified:{id}"));
        let user = match (&principal, id) {
            (Some(principal), Some(id)) => self.settings.registry.name_of(principal, id).to_owned(),
            _ => "anonymous".to_owned(),
        };
        Admitted { user, principal, source, body_sha256: None, chunks: None }
    }
}

fn is_name(name: &str) -> bool {
    (1..=NAME_MAX_BYTES).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// The token of an `Authorization: Bearer …` header; an empty text where it cannot be one.
fn bearer(header: &[u8]) -> Option<&str> {
    let (scheme, token) = header.split_at_checked(BEARER.len())?;
    scheme.eq_ignore_ascii_case(BEARER.as_bytes()).then(|| std::str::from_utf8(token).unwrap_or_default().trim())
}
