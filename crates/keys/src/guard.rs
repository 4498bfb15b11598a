//! The one check that every request passes before it is routed: who is this, and may they?
//!
//! Invariant: an unknown key, a revoked one and a wrong secret cost the same work; what a key may do is looked at only
//! after its holder has proved to be one. Refuses to: be asked about anything less than a whole head.

use std::sync::{Arc, Mutex, PoisonError};

use captura_wire::action::{Action, Place};
use captura_wire::denial::Denial;
use captura_wire::sigv4::{Admitted, Asked, Payload, Presented, Secret, Verifier};
use captura_wire::sts::user_arn;

use crate::attempts::{Attempts, Verdict};
use crate::key::Key;
use crate::keyring::Keyring;

/// What stands in for the secret of a key that is not there, so that it costs the same.
const DECOY: &str = "0123456789abcdef0123456789abcdef01234567";

/// What the guard is told at the start.
#[derive(Debug, Clone)]
pub struct GuardSettings {
    /// Account in ARNs, twelve digits.
    pub account: String,
    /// Regions that requests may be signed for; any when empty.
    pub regions: Vec<String>,
    /// Names before which a bucket may stand in a `Host` header, without their leading dot.
    pub bucket_domains: Vec<String>,
}

/// The one check before routing.
#[derive(Debug)]
pub struct Guard {
    keyring: Keyring,
    settings: GuardSettings,
    attempts: Mutex<Attempts>,
    decoy: Secret,
}

impl Guard {
    /// A guard that lets in the holders of those keys.
    #[must_use]
    pub fn new(keyring: Keyring, settings: GuardSettings) -> Self {
        Self { keyring, settings, attempts: Mutex::default(), decoy: Secret::new(DECOY.into()) }
    }
}

impl Verifier for Guard {
    fn admit(&self, asked: &Asked<'_>) -> Result<Admitted, Denial> {
        let mut key = None;
        self.verify(asked, &mut key).map_err(|denial| {
            if !denial.is_failed_authentication() {
                return denial;
            }
            let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
            let id = key.as_ref().map(|key: &Arc<Key>| key.id.as_str());
            match attempts.failed(asked.source, id, asked.now) {
                Verdict::Tell => denial,
                Verdict::FirstTooMany => {
                    tracing::warn!(source = %asked.source, key = id, "too many wrong signatures; no reasons are told");
                    Denial::TooManyFailures
                }
                Verdict::TooMany => Denial::TooManyFailures,
            }
        })
    }
}

impl Guard {
    /// `known` is the key that the request names, where there is one.
    fn verify(&self, asked: &Asked<'_>, known: &mut Option<Arc<Key>>) -> Result<Admitted, Denial> {
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
        let place = Place {
            service: scope.service(),
            region: scope.region(),
            account: &self.settings.account,
            bucket_domains: &self.settings.bucket_domains,
        };
        let action = Action::of(asked.head, asked.body, place)?;
        if let Some(refusal) = key.policy.refusal(&action) {
            return Err(Denial::NotAllowed {
                user: user_arn(&self.settings.account, key.consumer.as_str()),
                operation: refusal.operation.to_owned(),
                resource: refusal.resource.to_owned(),
                explicit: refusal.explicit,
            });
        }
        let (body_sha256, chunks) = match asked.body {
            Some(_) => (None, None),
            None => (presented.payload().digest(), presented.chunks(&key.secret)),
        };
        let principal = format!("key:{}", key.id);
        Ok(Admitted { user: key.consumer.to_string(), principal, body_sha256, chunks })
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
            let secret = key.map_or(&self.decoy, |key| &key.secret);
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
