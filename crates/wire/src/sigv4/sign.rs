//! Signatures computed: the chain of keys, the text that is signed, and, for our own client, a whole header.

use captura_names::Timestamp;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use super::canonical::{self, Head, PathRule};
use super::payload::{hexadecimal, sha256_hex};
use super::{Secret, date};
use crate::scope::ALGORITHM;

/// What a request is signed for, without the key's id: the day, the region and the service.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) date: &'a str,
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

/// The text that is signed. `at` is in the form of `X-Amz-Date`.
pub(super) fn string_to_sign(at: &str, place: Place<'_>, canonical_request: &str) -> String {
    let Place { date, region, service } = place;
    let digest = sha256_hex(canonical_request.as_bytes());
    format!("{ALGORITHM}\n{at}\n{date}/{region}/{service}/aws4_request\n{digest}")
}

/// The signature of a text.
pub(super) fn signature(secret: &Secret, place: Place<'_>, string_to_sign: &str) -> [u8; 32] {
    authenticate(&*signing_key(secret, place), string_to_sign)
}

/// What texts for that day, region and service are signed with.
pub(super) fn signing_key(secret: &Secret, place: Place<'_>) -> zeroize::Zeroizing<[u8; 32]> {
    let first = zeroize::Zeroizing::new(format!("AWS4{}", secret.expose()));
    let mut key = zeroize::Zeroizing::new(authenticate(first.as_bytes(), place.date));
    for part in [place.region, place.service, "aws4_request"] {
        *key = authenticate(&*key, part);
    }
    key
}

pub(super) fn authenticate(key: &[u8], text: &str) -> [u8; 32] {
    let mut code = Hmac::<Sha256>::new_from_slice(key).expect("our bug: HMAC takes keys of every length");
    code.update(text.as_bytes());
    code.finalize().into_bytes().into()
}

/// Whose request it is.
#[derive(Debug, Clone, Copy)]
pub struct Credentials<'a> {
    /// Access key id.
    pub access_key_id: &'a str,
    /// Secret access key.
    pub secret: &'a Secret,
    /// Region that the request is for.
    pub region: &'a str,
    /// Signing name of the service.
    pub service: &'a str,
}

/// The `Authorization` header of a request whose head already holds `host` and `x-amz-date` (of that moment); all its
/// headers are signed.
#[must_use]
pub fn sign(head: &Head<'_>, body: &[u8], credentials: &Credentials<'_>, at: Timestamp) -> String {
    let Credentials { access_key_id, secret, region, service } = *credentials;
    let mut signed: Vec<&str> = head.headers.iter().map(|(name, _)| *name).collect();
    signed.sort_unstable();
    signed.dedup();
    let at = date::format(at);
    let place = Place { date: &at[..8], region, service };
    let payload = sha256_hex(body);
    let payload = head.text("x-amz-content-sha256").unwrap_or(&payload);
    let request = canonical::request(head, &signed, PathRule::of_service(service), payload);
    let signature = hexadecimal(&signature(secret, place, &string_to_sign(&at, place, &request)));
    let signed = signed.join(";");
    format!(
        "{ALGORITHM} Credential={access_key_id}/{}/{region}/{service}/aws4_request, SignedHeaders={signed}, \
         Signature={signature}",
        place.date
    )
}

/// The value of `X-Amz-Date` at a moment.
#[must_use]
pub fn amz_date(at: Timestamp) -> String {
    date::format(at)
}
