//! A signature as it was presented, and whether it is worth anything.
//!
//! Invariant: a request that presents two signatures, or one that covers less than it must, is refused before any
//! secret is looked at.

use std::borrow::Cow;

use captura_names::Timestamp;
use subtle::ConstantTimeEq as _;

use super::canonical::{self, Head, PathRule};
use super::chunks::ChunkChain;
use super::payload::{Payload, digest_of, sha256_hex};
use super::sign::{Place, signature, signing_key, string_to_sign};
use super::{PRESIGNED_MAX_SECONDS, S3, SKEW_MAX_US, Secret, date};
use crate::denial::Denial;
use crate::scope::{ALGORITHM, CREDENTIAL_PARAMETER, Scope, percent_decoded};

/// Query parameter that carries the signature of a presigned address.
pub(super) const SIGNATURE_PARAMETER: &str = "X-Amz-Signature";
/// Query parameter that names the key where a signature is older than version 4.
const OLD_KEY_PARAMETER: &str = "AWSAccessKeyId";
const ALGORITHM_PARAMETER: &str = "X-Amz-Algorithm";
const DATE_PARAMETER: &str = "X-Amz-Date";
const EXPIRES_PARAMETER: &str = "X-Amz-Expires";
const SIGNED_HEADERS_PARAMETER: &str = "X-Amz-SignedHeaders";
const TOKEN_PARAMETER: &str = "X-Amz-Security-Token";
const TOKEN_HEADER: &str = "x-amz-security-token";
/// Most headers that a signature may name; hyper lets no more than 100 in.
const SIGNED_HEADERS_MAX: usize = 100;

/// A signature as it was presented.
#[derive(Debug)]
pub struct Presented<'a> {
    scope: Scope<'a>,
    signed_headers: Cow<'a, str>,
    signature: [u8; 32],
    at: Timestamp,
    /// Of presigned addresses.
    expires_seconds: Option<u64>,
    payload: Payload<'a>,
    has_token: bool,
}

impl<'a> Presented<'a> {
    /// Reads the signature of a request; `None` when it carries none.
    ///
    /// # Errors
    /// When there are two, or one that cannot be used.
    pub fn of(head: &Head<'a>) -> Result<Option<Self>, Denial> {
        let mut headers = head.all("authorization");
        let header = headers.next();
        if headers.next().is_some() {
            return Err(Denial::malformed("there is more than one Authorization header"));
        }
        match (header, Self::is_in_query(head)?) {
            (Some(_), true) => Err(Denial::malformed(
                "credentials stand in the Authorization header and in the query; use one of them",
            )),
            (Some(header), false) => {
                let header = std::str::from_utf8(header)
                    .map_err(|_| Denial::malformed("the Authorization header is not visible ASCII"))?;
                Self::of_header(head, header).map(Some)
            }
            (None, true) => Self::of_query(head).map(Some),
            (None, false) if parameter(head.query, OLD_KEY_PARAMETER)?.is_some() => Err(Denial::OldSignature),
            (None, false) => Ok(None),
        }
    }

    /// Whether there is anything of a signature in the query, as in a presigned address.
    ///
    /// # Errors
    /// When a parameter is there twice.
    pub fn is_in_query(head: &Head<'_>) -> Result<bool, Denial> {
        Ok(parameter(head.query, ALGORITHM_PARAMETER)?.is_some()
            || parameter(head.query, SIGNATURE_PARAMETER)?.is_some()
            || parameter(head.query, CREDENTIAL_PARAMETER)?.is_some())
    }

    fn of_header(head: &Head<'a>, header: &'a str) -> Result<Self, Denial> {
        let Some(parameters) = header.strip_prefix(ALGORITHM).and_then(|rest| rest.strip_prefix(' ')) else {
            return Err(Denial::malformed("the Authorization header must begin with AWS4-HMAC-SHA256"));
        };
        let one = |name: &str| {
            let mut found = parameters.split(',').filter_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
            match (found.next(), found.next()) {
                (Some(value), None) => Ok(value),
                _ => Err(Denial::malformed(&format!("the Authorization header requires one '{name}' parameter"))),
            }
        };
        let (_, signed_headers, signature) = (one("Credential")?, one("SignedHeaders")?, one("Signature")?);
        let scope = Scope::of_authorization(header).ok_or(Denial::UnusableCredential)?;
        let at = match (head.text("x-amz-date"), head.text("date")) {
            (Some(text), _) => date::parse(text),
            (None, Some(text)) => date::parse_date_header(text),
            (None, None) => None,
        };
        let at = at.ok_or_else(|| Denial::malformed("the request requires a valid 'X-Amz-Date' or 'Date' header"))?;
        let payload = Payload::of(head, scope.service(), false)?;
        Ok(Self {
            scope,
            signed_headers: Cow::Borrowed(signed_headers),
            signature: digest_of(signature).ok_or(Denial::SignatureDoesNotMatch)?,
            at,
            expires_seconds: None,
            payload,
            has_token: head.all(TOKEN_HEADER).next().is_some(),
        })
    }

    fn of_query(head: &Head<'a>) -> Result<Self, Denial> {
        let one = |name: &str| {
            parameter(head.query, name)?
                .ok_or_else(|| Denial::malformed(&format!("the query requires one '{name}' parameter")))
        };
        if one(ALGORITHM_PARAMETER)? != ALGORITHM {
            return Err(Denial::malformed("X-Amz-Algorithm must be AWS4-HMAC-SHA256"));
        }
        one(CREDENTIAL_PARAMETER)?;
        let scope = Scope::of_query(head.query).ok_or(Denial::UnusableCredential)?;
        let at = date::parse(&one(DATE_PARAMETER)?)
            .ok_or_else(|| Denial::malformed("the query requires a valid 'X-Amz-Date' parameter"))?;
        let expires = one(EXPIRES_PARAMETER)?;
        let digits = !expires.is_empty() && expires.bytes().all(|byte| byte.is_ascii_digit());
        let expires_seconds = expires
            .parse()
            .ok()
            .filter(|_| digits)
            .ok_or_else(|| Denial::malformed("X-Amz-Expires must be a number of seconds"))?;
        let payload = Payload::of(head, scope.service(), true)?;
        Ok(Self {
            signed_headers: one(SIGNED_HEADERS_PARAMETER)?,
            signature: digest_of(&one(SIGNATURE_PARAMETER)?).ok_or(Denial::SignatureDoesNotMatch)?,
            scope,
            at,
            expires_seconds: Some(expires_seconds),
            payload,
            has_token: parameter(head.query, TOKEN_PARAMETER)?.is_some(),
        })
    }

    /// Who signed, and for what.
    #[must_use]
    pub fn scope(&self) -> &Scope<'a> {
        &self.scope
    }

    /// What the signature says of the body.
    #[must_use]
    pub fn payload(&self) -> &Payload<'a> {
        &self.payload
    }

    /// Whether a session token came with the signature.
    #[must_use]
    pub fn has_session_token(&self) -> bool {
        self.has_token
    }

    /// Holds the signature against everything that needs no key: what it covers, and when it was made.
    ///
    /// # Errors
    /// When it covers too little, or is too old, too new or expired.
    pub fn check(&self, head: &Head<'_>, now: Timestamp) -> Result<(), Denial> {
        self.check_headers(head)?;
        let day = &date::format(self.at)[..8];
        if self.scope.date() != day {
            return Err(Denial::ScopeDate { scope: self.scope.date().to_owned(), day: day.to_owned() });
        }
        let (server, now, at) = (now, now.unix_us(), self.at.unix_us());
        let skew = |limit: i64, sign: char| Denial::Skewed {
            at: date::format(self.at),
            limit: date::format(Timestamp::from_unix_us(limit)),
            now: date::format(server),
            sign,
        };
        if at > now + SKEW_MAX_US {
            return Err(skew(now + SKEW_MAX_US, '+'));
        }
        match self.expires_seconds {
            None if at < now - SKEW_MAX_US => Err(skew(now - SKEW_MAX_US, '-')),
            None => Ok(()),
            Some(seconds) if seconds > PRESIGNED_MAX_SECONDS => Err(Denial::ExpiresTooLong),
            Some(seconds) => {
                let life_us = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000);
                if at.saturating_add(life_us) < now { Err(Denial::Expired) } else { Ok(()) }
            }
        }
    }

    /// In order, each once, all present; `host` and every `x-amz-…` header among them.
    fn check_headers(&self, head: &Head<'_>) -> Result<(), Denial> {
        let signed: Vec<&str> = self.signed_headers.split(';').collect();
        if signed.len() > SIGNED_HEADERS_MAX || !signed.is_sorted_by(|one, next| one < next) {
            return Err(Denial::malformed("SignedHeaders must be in order, each once, in lower case"));
        }
        if let Some(absent) = signed.iter().find(|name| head.all(name).next().is_none()) {
            return Err(Denial::HeaderAbsent(kept(absent)));
        }
        if !signed.contains(&"host") {
            return Err(Denial::HeaderNotSigned("host".to_owned()));
        }
        // A session token may be added after signing.
        let must_be = |name: &str| name.starts_with("x-amz-") && name != TOKEN_HEADER;
        match head.headers.iter().find(|(name, _)| must_be(name) && !signed.contains(name)) {
            Some((name, _)) => Err(Denial::HeaderNotSigned(kept(name))),
            None => Ok(()),
        }
    }

    /// Whether the signature is the one that the holder of `secret` makes. `body_sha256` is the digest of the body in
    /// hexadecimal digits, where [`Payload::OfBody`] asks for it.
    #[must_use]
    pub fn is_signed_with(&self, head: &Head<'_>, secret: &Secret, body_sha256: &str) -> bool {
        let rule = PathRule::of_service(self.scope.service());
        self.matches(head, secret, body_sha256, rule)
    }

    pub(super) fn matches(&self, head: &Head<'_>, secret: &Secret, body_sha256: &str, rule: PathRule) -> bool {
        let signed: Vec<&str> = self.signed_headers.split(';').collect();
        let payload = self.payload.word().unwrap_or(body_sha256);
        let request = canonical::request(head, &signed, rule, payload);
        let place = self.place();
        let expected = signature(secret, place, &string_to_sign(&date::format(self.at), place, &request));
        same(&expected, &self.signature)
    }

    /// What the chunks of the body are signed with, where they are.
    #[must_use]
    pub fn chunks(&self, secret: &Secret) -> Option<ChunkChain> {
        let has_trailers = self.payload.signed_chunks()?;
        let Place { date, region, service } = self.place();
        Some(ChunkChain {
            key: signing_key(secret, self.place()),
            at: date::format(self.at),
            scope: format!("{date}/{region}/{service}/aws4_request"),
            previous: self.signature,
            has_trailers,
        })
    }

    fn place(&self) -> Place<'_> {
        Place { date: self.scope.date(), region: self.scope.region(), service: self.scope.service() }
    }

    /// Holds a body that came whole against what the signature says of it, and gives its digest for
    /// [`Presented::is_signed_with`].
    ///
    /// # Errors
    /// When another digest was declared.
    pub fn check_body(&self, body: &[u8]) -> Result<String, Denial> {
        let digest = sha256_hex(body);
        match &self.payload {
            Payload::Declared(declared) if !same(declared.as_bytes(), digest.as_bytes()) => {
                Err(Denial::PayloadDoesNotMatch { is_s3: self.scope.service() == S3 })
            }
            _ => Ok(digest),
        }
    }
}

/// Whether both are the same, in a time that does not tell where they differ.
#[must_use]
pub fn same(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

/// The part of a name that an error repeats.
fn kept(name: &str) -> String {
    name.chars().take(64).collect()
}

/// The only parameter of that name.
fn parameter<'a>(query: &'a str, name: &str) -> Result<Option<Cow<'a, str>>, Denial> {
    let mut found = query.split('&').filter_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        // An escaped name is the same name.
        (key == name || key.contains('%') && percent_decoded(key).is_some_and(|key| key == name)).then_some(value)
    });
    match (found.next(), found.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => percent_decoded(value)
            .map(Some)
            .ok_or_else(|| Denial::malformed(&format!("the query parameter '{name}' is not well escaped"))),
        (Some(_), Some(_)) => Err(Denial::malformed(&format!("the query parameter '{name}' stands there twice"))),
    }
}
