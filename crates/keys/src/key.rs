//! One access key.

use std::fmt;
use std::str::FromStr;

use captura_names::Timestamp;
use captura_wire::sigv4::Secret;
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::policy::Policy;

/// What AWS's long-term key ids begin with.
const ID_PREFIX: &str = "AKIA";
const ID_LENGTH: usize = 20;
/// Letters of ids: AWS's, base 32.
const ID_LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Length of secrets as AWS's: 30 random bytes, 240 bits, in base 64.
const SECRET_BYTES: usize = 30;

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
    pub(crate) secret: Secret,
}

impl Key {
    /// Makes a key out of chance.
    pub(crate) fn make(wished: NewKey, now: Timestamp) -> Result<Self, ring::error::Unspecified> {
        let chance = SystemRandom::new();
        let mut letters = [0; ID_LENGTH - ID_PREFIX.len()];
        chance.fill(&mut letters)?;
        let letters = letters.map(|byte| char::from(ID_LETTERS[usize::from(byte) % ID_LETTERS.len()]));
        let id = format!("{ID_PREFIX}{}", String::from_iter(letters));
        let mut bytes = zeroize::Zeroizing::new([0; SECRET_BYTES]);
        chance.fill(&mut *bytes)?;
        let secret = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, *bytes);
        Ok(Self {
            consumer: wished.consumer.unwrap_or_else(|| ConsumerName(id.clone())),
            id,
            description: wished.description,
            created: now,
            expires: wished.expires,
            revoked: None,
            policy: wished.policy,
            secret: Secret::new(secret),
        })
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

    #[test]
    fn keys_look_like_awss_and_no_two_are_the_same() {
        let wished = NewKey { consumer: None, description: String::new(), expires: None, policy: Policy::default() };
        let now = Timestamp::from_unix_us(0);
        let (one, other) = (Key::make(wished.clone(), now).unwrap(), Key::make(wished, now).unwrap());
        assert_eq!((one.id.len(), one.secret.expose().len()), (20, 40));
        assert!(one.id.starts_with("AKIA") && one.consumer.as_str() == one.id);
        assert!(one.id != other.id && one.secret.expose() != other.secret.expose());
        assert!(!format!("{one:?}").contains(one.secret.expose()));
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
