//! One access key, or one API key.

use std::fmt;
use std::str::FromStr;

use captura_names::Timestamp;
use captura_wire::sigv4::{Secret, sha256};
use ring::rand::{SecureRandom as _, SystemRandom};
use subtle::ConstantTimeEq as _;

use crate::policy::Policy;

/// What AWS's long-term key ids begin with.
const ID_PREFIX: &str = "AKIA";
const ID_LENGTH: usize = 20;
/// Letters of ids: AWS's, base 32.
const ID_LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Length of secrets as AWS's: 30 random bytes, 240 bits, in base 64.
const SECRET_BYTES: usize = 30;
/// What the ids of API keys begin with.
const API_KEY_ID_PREFIX: &str = "CAPK";

/// What a key is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Requests are signed with its secret.
    AccessKey,
    /// It is sent with each request.
    ApiKey,
}

impl Kind {
    /// As principals begin.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AccessKey => "key",
            Self::ApiKey => "api-key",
        }
    }
}

/// Name of a consumer whose calls a key signs: what IAM allows in the name of a user.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConsumerName(String);

/// The text is no name of a consumer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no consumer name: 1 to 64 letters, digits and any of + = , . @ _ -")]
pub struct InvalidConsumerName(pub String);

impl ConsumerName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ConsumerName {
    type Err = InvalidConsumerName;

    fn from_str(text: &str) -> Result<Self, InvalidConsumerName> {
        let allowed = |letter: char| letter.is_ascii_alphanumeric() || "+=,.@_-".contains(letter);
        if (1..=64).contains(&text.len()) && text.chars().all(allowed) {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidConsumerName(text.to_owned()))
    }
}

impl fmt::Display for ConsumerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is wished of a new key.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// What it is used for.
    pub kind: Kind,
    /// Whose calls it signs; the key's id when absent.
    pub consumer: Option<ConsumerName>,
    /// A note for people.
    pub description: String,
    /// When it stops to work; never when absent.
    pub expires: Option<Timestamp>,
    /// What it may do.
    pub policy: Policy,
}

/// An access key. Its secret is not printed.
#[derive(Debug, Clone)]
pub struct Key {
    /// Its id, 20 letters and digits.
    pub id: String,
    /// Whose calls it signs.
    pub consumer: ConsumerName,
    /// A note for people.
    pub description: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it stops to work.
    pub expires: Option<Timestamp>,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
    /// What it may do.
    pub policy: Policy,
    pub(crate) proof: Proof,
}

/// How the holder of a key is told from others.
#[derive(Debug, Clone)]
pub(crate) enum Proof {
    /// By what is signed with this.
    Secret(Secret),
    /// By the text of this digest. The text has 240 bits of chance, so that nobody finds it from its digest.
    Digest([u8; 32]),
}

impl Key {
    /// Makes a key out of chance.
    pub(crate) fn make(wished: NewKey, now: Timestamp) -> Result<(Self, Secret), ring::error::Unspecified> {
        let chance = SystemRandom::new();
        let mut letters = [0; ID_LENGTH - ID_PREFIX.len()];
        chance.fill(&mut letters)?;
        let letters = letters.map(|byte| char::from(ID_LETTERS[usize::from(byte) % ID_LETTERS.len()]));
        let prefix = match wished.kind {
            Kind::AccessKey => ID_PREFIX,
            Kind::ApiKey => API_KEY_ID_PREFIX,
        };
        let id = format!("{prefix}{}", String::from_iter(letters));
        let mut bytes = zeroize::Zeroizing::new([0; SECRET_BYTES]);
        chance.fill(&mut *bytes)?;
        let (secret, proof) = match wished.kind {
            Kind::AccessKey => {
                let secret = Secret::new(base64::Engine::encode(&base64::engine::general_purpose::STANDARD, *bytes));
                (secret.clone(), Proof::Secret(secret))
            }
            Kind::ApiKey => {
                let chance = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, *bytes);
                let text = Secret::new(format!("{id}.{chance}"));
                let digest = sha256(text.expose().as_bytes());
                (text, Proof::Digest(digest))
            }
        };
        let key = Self {
            consumer: wished.consumer.unwrap_or_else(|| ConsumerName(id.clone())),
            id,
            description: wished.description,
            created: now,
            expires: wished.expires,
            revoked: None,
            policy: wished.policy,
            proof,
        };
        Ok((key, secret))
    }

    /// What it is used for.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.proof {
            Proof::Secret(_) => Kind::AccessKey,
            Proof::Digest(_) => Kind::ApiKey,
        }
    }

    /// What is signed with; nothing of an API key.
    pub(crate) fn secret(&self) -> Option<&Secret> {
        match &self.proof {
            Proof::Secret(secret) => Some(secret),
            Proof::Digest(_) => None,
        }
    }

    pub(crate) fn is_api_key(&self) -> bool {
        self.kind() == Kind::ApiKey
    }

    /// Whether that is the text of this API key. It takes the same time whatever the answer.
    pub(crate) fn opens(&self, text: &str) -> bool {
        match &self.proof {
            Proof::Digest(digest) => bool::from(digest.ct_eq(&sha256(text.as_bytes()))),
            Proof::Secret(_) => false,
        }
    }

    /// As [`Key::opens`] of a key that is not there: as long, and never.
    pub(crate) fn decoy_opens(text: &str) -> bool {
        // No text has this digest that anybody knows; that it would not do either is not left to that.
        let _ = std::hint::black_box(bool::from([0; 32].ct_eq(&sha256(text.as_bytes()))));
        false
    }

    /// Whether it is past its time.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wished(kind: Kind) -> NewKey {
        NewKey { kind, consumer: None, description: String::new(), expires: None, policy: Policy::default() }
    }

    #[test]
    fn an_api_key_is_one_text_and_only_its_digest_is_kept() {
        let (key, text) = Key::make(wished(Kind::ApiKey), Timestamp::from_unix_us(0)).unwrap();
        let (id, chance) = text.expose().split_once('.').unwrap();
        assert_eq!((id, chance.len(), key.kind()), (key.id.as_str(), 40, Kind::ApiKey));
        assert!(id.starts_with("CAPK") && key.secret().is_none());
        assert!(key.opens(text.expose()) && !key.opens(id) && !key.opens("") && !Key::decoy_opens(text.expose()));
        assert!(!key.opens(&text.expose().to_lowercase()));
        assert!(!format!("{key:?}").contains(chance));
        let (other, _) = Key::make(wished(Kind::AccessKey), Timestamp::from_unix_us(0)).unwrap();
        assert!(!other.opens(other.secret().unwrap().expose()), "what is signed with is never sent");
    }

    #[test]
    fn keys_look_like_awss_and_no_two_are_the_same() {
        let wished = wished(Kind::AccessKey);
        let now = Timestamp::from_unix_us(0);
        let ((one, secret), (other, another)) =
            (Key::make(wished.clone(), now).unwrap(), Key::make(wished, now).unwrap());
        assert_eq!((one.id.len(), secret.expose().len()), (20, 40));
        assert!(one.id.starts_with("AKIA") && one.consumer.as_str() == one.id);
        assert!(one.id != other.id && secret.expose() != another.expose());
        assert!(!format!("{one:?}").contains(secret.expose()));
    }

    #[test]
    fn consumers_are_named_as_iam_names_users() {
        for fine in ["billing", "a.b@c+d=e,f_g-h", &"x".repeat(64)] {
            assert_eq!(fine.parse::<ConsumerName>().unwrap().as_str(), fine);
        }
        for bad in ["", "a b", "a/b", "é", "a\n", &"x".repeat(65)] {
            assert!(bad.parse::<ConsumerName>().is_err(), "{bad:?}");
        }
    }
}
