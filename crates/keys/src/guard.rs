//! The one check that every request passes before it is routed: who is this, and may they?
//!
//! Invariant: an unknown key, a revoked one and a wrong secret cost the same work; what a caller may do is looked at only
//! after it has proved who it is. A request carries credentials of one kind: two kinds could name two callers.
//! Refuses to: be asked about anything less than a whole head.

mod proving;

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use captura_wire::action::{Action, Place, unsigned_service};
use captura_wire::denial::Denial;
use captura_wire::sigv4::{Admitted, Asked, Payload, Presented, Secret, Verifier};
use captura_wire::sts::user_arn;

use crate::attempts::{Attempts, Verdict};
use crate::key::Key;
use crate::keyring::Keyring;
use crate::network::{self, Network};
use crate::policy::Policy;
use crate::registry::Registry;
use crate::token::{self, Issuer};
use proving::{Credential, Proven};

/// What stands in for the secret of a key that is not there, so that it costs the same.
const DECOY: &str = "0123456789abcdef0123456789abcdef01234567";

/// A proxy that is believed when it says for whom it speaks.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// Where its connections come from.
    pub networks: Vec<Network>,
    /// The header in which it names the consumer, in small letters; it says nothing of consumers when absent.
    pub consumer_header: Option<String>,
    /// What those may do for whom it speaks.
    pub policy: Policy,
}

/// What the guard is told at the start.
#[derive(Debug, Default)]
pub struct GuardSettings {
    /// Account in ARNs, twelve digits.
    pub account: String,
    /// Regions that requests may be signed for; any when empty.
    pub regions: Vec<String>,
    /// Region of requests that name none.
    pub region: String,
    /// Names before which a bucket may stand in a `Host` header, without their leading dot.
    pub bucket_domains: Vec<String>,
    /// Whether callers without credentials come in, and access key ids without a look at their signature. Credentials of
    /// every other kind are verified all the same.
    pub is_open: bool,
    /// Issuers of bearer tokens that are believed.
    pub issuers: Vec<Issuer>,
    /// The header that carries API keys, in small letters; they are not taken when absent.
    pub api_key_header: Option<String>,
    /// What the holders of client certificates may do, which the connection has verified.
    pub certificates: Policy,
    /// A proxy that is believed.
    pub proxy: Option<Proxy>,
    /// Registered consumers.
    pub registry: Registry,
}

/// The one check before routing.
pub struct Guard {
    keyring: Keyring,
    settings: GuardSettings,
    attempts: Mutex<Attempts>,
    decoy: Secret,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Guard {
    /// A guard that lets in the holders of those keys, and whoever else the settings name.
    #[must_use]
    pub fn new(keyring: Keyring, settings: GuardSettings) -> Self {
        Self { keyring, settings, attempts: Mutex::default(), decoy: Secret::new(DECOY.into()) }
    }
}

impl Verifier for Guard {
    fn admit(&self, asked: &Asked<'_>) -> Result<Admitted, Denial> {
        let source = self.source(asked);
        let mut key = None;
        self.verify(asked, source, &mut key).map_err(|denial| {
            if !denial.is_failed_authentication() {
                return denial;
            }
            let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
            let id = key.as_ref().map(|key: &Arc<Key>| key.id.as_str());
            match attempts.failed(source, id, asked.now) {
                Verdict::Tell => denial,
                Verdict::FirstTooMany => {
                    tracing::warn!(%source, key = id, "too many wrong credentials; no reasons are told");
                    Denial::TooManyFailures
                }
                Verdict::TooMany => Denial::TooManyFailures,
            }
        })
    }

    fn renewal(&self, asked: &Asked<'_>) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        let Ok(Some(Credential::Token(token))) = self.credential(asked.head) else { return None };
        token::issuer_of(&self.settings.issuers, token)?.renewal.as_ref()?()
    }
}

impl Guard {
    /// Where a request comes from: its connection's other end, or what a proxy there says.
    fn source(&self, asked: &Asked<'_>) -> IpAddr {
        match &self.settings.proxy {
            Some(proxy) if proxy.networks.iter().any(|network| network.contains(asked.source)) => {
                let headers: Vec<&[u8]> = asked.head.all("x-forwarded-for").collect();
                network::forwarded(asked.source, &headers, &proxy.networks)
            }
            _ => asked.source,
        }
    }

    /// `known` is the key that the request names, where there is one.
    fn verify(&self, asked: &Asked<'_>, source: IpAddr, known: &mut Option<Arc<Key>>) -> Result<Admitted, Denial> {
        let is_open = self.settings.is_open;
        let proven = match self.credential(asked.head)? {
            Some(Credential::Signature) if is_open => return Ok(self.unverified(asked, source)),
            Some(Credential::Signature) => return self.signed(asked, source, known),
            Some(Credential::Token(token)) => {
                Proven::by_token(token::verify(&self.settings.issuers, token, asked.now)?)
            }
            Some(Credential::ApiKey(text)) => Proven::by_key(self.api_key(text, asked, known)?),
            None => match self.by_connection(asked)? {
                Some(proven) => proven,
                None if is_open => return Ok(self.unverified(asked, source)),
                // Who sends what is no signature at all is told so in AWS's words.
                None => return Err(Presented::of(asked.head)?.map_or(Denial::Unsigned, |_| Denial::SeveralCredentials)),
            },
        };
        let user = proven.user(&self.settings.registry);
        let place = self.place(unsigned_service(asked.head, asked.body), &self.settings.region);
        self.allow(asked, place, &proven.policies(), &user)?;
        Ok(Admitted { user, principal: Some(proven.principal), source, body_sha256: None, chunks: None })
    }

    /// Who comes in by a signature of version 4.
    fn signed(&self, asked: &Asked<'_>, source: IpAddr, known: &mut Option<Arc<Key>>) -> Result<Admitted, Denial> {
        let presented = Presented::of(asked.head)?.ok_or(Denial::Unsigned)?;
        presented.check(asked.head, asked.now)?;
        let scope = presented.scope();
        let regions = &self.settings.regions;
        if !regions.is_empty() && !regions.iter().any(|region| region == scope.region()) {
            return Err(Denial::ScopeRegion { expected: regions.join(", ") });
        }
        let digest = match (asked.body, presented.payload()) {
            (Some(body), _) => presented.check_body(body)?,
            // A body that is not at hand can only be held against a digest that was declared.
            (None, Payload::OfBody) => return Err(Denial::PayloadHashMissing),
            (None, _) => String::new(),
        };
        let key = self.key_of(asked, &presented, &digest, known)?;
        if presented.has_session_token() {
            // Long-term keys have none, and others are not given out.
            return Err(Denial::UnknownKey);
        }
        if key.is_expired(asked.now) {
            return Err(Denial::KeyExpired);
        }
        let secret = key.secret().expect("our bug: only keys with secrets sign").clone();
        let proven = Proven::by_key(key);
        let user = proven.user(&self.settings.registry);
        self.allow(asked, self.place(scope.service(), scope.region()), &proven.policies(), &user)?;
        let (body_sha256, chunks) = match asked.body {
            Some(_) => (None, None),
            None => (presented.payload().digest(), presented.chunks(&secret)),
        };
        Ok(Admitted { user, principal: Some(proven.principal), source, body_sha256, chunks })
    }

    fn place<'a>(&'a self, service: &'a str, region: &'a str) -> Place<'a> {
        let settings = &self.settings;
        Place { service, region, account: &settings.account, bucket_domains: &settings.bucket_domains }
    }

    fn allow(&self, asked: &Asked<'_>, place: Place<'_>, policies: &[&Policy], user: &str) -> Result<(), Denial> {
        let action = Action::of(asked.head, asked.body, place)?;
        match Policy::refusal(policies, &action) {
            None => Ok(()),
            Some(refusal) => Err(Denial::NotAllowed {
                user: user_arn(&self.settings.account, user),
                operation: refusal.operation.to_owned(),
                resource: refusal.resource.to_owned(),
                explicit: refusal.explicit,
            }),
        }
    }

    /// The key that made the signature.
    fn key_of(
        &self,
        asked: &Asked<'_>,
        presented: &Presented<'_>,
        digest: &str,
        known: &mut Option<Arc<Key>>,
    ) -> Result<Arc<Key>, Denial> {
        let mut last_try = false;
        loop {
            let keys = self.keyring.current(asked.now);
            let key = keys.get(presented.scope().access_key_id()).filter(|key| key.revoked.is_none());
            let (key, secret) = key
                .and_then(|key| Some((key, key.secret()?)))
                .map_or((None, &self.decoy), |(key, own)| (Some(key), own));
            let is_right = presented.is_signed_with(asked.head, secret, digest);
            *known = key.cloned();
            match key {
                Some(key) if is_right => return Ok(Arc::clone(key)),
                // Whatever was wrong, a key that was made a moment ago may be the one.
                _ if !last_try && self.keyring.look() => last_try = true,
                Some(_) => return Err(Denial::SignatureDoesNotMatch),
                None => return Err(Denial::UnknownKey),
            }
        }
    }
}

#[cfg(test)]
mod tests;
