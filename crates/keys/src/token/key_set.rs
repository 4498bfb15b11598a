//! The public keys with which an issuer signs its tokens (RFC 7517), and signatures held against them.
//!
//! Invariant: what a key can verify follows from the key alone, never from the token: an RSA key verifies RS256 and PS256,
//! a P-256 key ES256, an Ed25519 key EdDSA. Keys with which one can also sign, symmetric ones first of all, are not taken.

use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use serde::Deserialize;

/// Largest set, bytes, and most keys in it.
pub const KEY_SET_MAX_BYTES: usize = 1024 * 1024;
const KEYS_MAX: usize = 100;
/// Exponents of RSA that are in use have at most this many bytes; larger ones only cost time.
const EXPONENT_MAX_BYTES: usize = 5;

/// Why a set of keys cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeySet {
    /// It is no JSON of `{"keys":[…]}`.
    #[error("it is no set of keys: {0}")]
    Shape(String),
    /// It is too large.
    #[error("it has more than {KEY_SET_MAX_BYTES} bytes or {KEYS_MAX} keys")]
    TooLarge,
    /// It holds a secret.
    #[error("it holds a private key, which whoever verifies must not have; keep the public ones only")]
    Private,
    /// None of its keys can be used.
    #[error(
        "none of its keys is of a kind that is taken: RSA of 2048 to 8192 bits, P-256, Ed25519, to verify signatures"
    )]
    Useless,
}

/// The public keys of an issuer, as they are now.
#[derive(Debug, Default)]
pub struct KeySet(RwLock<Arc<Vec<PublicKey>>>);

#[derive(Debug)]
pub(super) struct PublicKey {
    id: Option<String>,
    algorithm: Option<String>,
    material: Material,
}

#[derive(Debug)]
enum Material {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Deserialize)]
struct Form<'a> {
    #[serde(borrow)]
    keys: Vec<&'a serde_json::value::RawValue>,
}

#[derive(Deserialize)]
struct KeyForm {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<serde::de::IgnoredAny>,
}

impl KeySet {
    /// Puts the keys of a JWK set in place of those before; how many can be used. Those before stay when it has none.
    ///
    /// # Errors
    /// When the set cannot be used.
    pub fn replace(&self, json: &[u8]) -> Result<usize, InvalidKeySet> {
        if json.len() > KEY_SET_MAX_BYTES {
            return Err(InvalidKeySet::TooLarge);
        }
        let form: Form<'_> = serde_json::from_slice(json).map_err(|error| InvalidKeySet::Shape(error.to_string()))?;
        if form.keys.len() > KEYS_MAX {
            return Err(InvalidKeySet::TooLarge);
        }
        let mut keys = Vec::new();
        for key in form.keys {
            // A key of a shape that is not known is somebody else's.
            let Ok(key) = serde_json::from_str::<KeyForm>(key.get()) else { continue };
            if key.d.is_some() && key.kty != "oct" {
                return Err(InvalidKeySet::Private);
            }
            keys.extend(PublicKey::of(key));
        }
        if keys.is_empty() {
            return Err(InvalidKeySet::Useless);
        }
        let count = keys.len();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        Ok(count)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.current().len()
    }

    /// Whether there are none: then no token of the issuer is taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn current(&self) -> Arc<Vec<PublicKey>> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl PublicKey {
    fn of(form: KeyForm) -> Option<Self> {
        let verifies = form.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|one| one == "verify"));
        if form.purpose.as_deref().is_some_and(|purpose| purpose != "sig") || !verifies {
            return None;
        }
        let bytes = |text: &Option<String>| BASE64.decode(text.as_deref()?).ok();
        let material = match (form.kty.as_str(), form.crv.as_deref()) {
            ("RSA", _) => {
                let strip = |bytes: Vec<u8>| bytes.into_iter().skip_while(|byte| *byte == 0).collect::<Vec<u8>>();
                let (modulus, exponent) = (strip(bytes(&form.n)?), strip(bytes(&form.e)?));
                if !(256..=1_024).contains(&modulus.len()) || !(1..=EXPONENT_MAX_BYTES).contains(&exponent.len()) {
                    return None;
                }
                Material::Rsa { modulus, exponent }
            }
            ("EC", Some("P-256")) => {
                let (x, y) = (bytes(&form.x)?, bytes(&form.y)?);
                if x.len() != 32 || y.len() != 32 {
                    return None;
                }
                Material::P256([&[4][..], &x, &y].concat())
            }
            ("OKP", Some("Ed25519")) => Material::Ed25519(bytes(&form.x).filter(|x| x.len() == 32)?),
            _ => return None,
        };
        Some(Self { id: form.kid, algorithm: form.alg, material })
    }

    /// Whether a token with this head may be signed with this key.
    pub(super) fn fits(&self, algorithm: &str, id: Option<&str>) -> bool {
        let by_kind = match &self.material {
            Material::Rsa { .. } => matches!(algorithm, "RS256" | "PS256"),
            Material::P256(_) => algorithm == "ES256",
            Material::Ed25519(_) => algorithm == "EdDSA",
        };
        by_kind
            && self.algorithm.as_deref().is_none_or(|mine| mine == algorithm)
            && id.is_none_or(|id| self.id.as_deref().is_none_or(|mine| mine == id))
    }

    /// Whether the signature is that of this key; `algorithm` is one that fits.
    pub(super) fn verifies(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Rsa { modulus, exponent } => {
                let key = RsaPublicKeyComponents { n: modulus, e: exponent };
                let scheme = if algorithm == "PS256" { &RSA_PSS_2048_8192_SHA256 } else { &RSA_PKCS1_2048_8192_SHA256 };
                key.verify(scheme, message, signature).is_ok()
            }
            Material::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature).is_ok()
            }
            Material::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok(),
        }
    }
}
