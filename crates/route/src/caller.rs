//! Who calls: the consumer, and what is known of the call's origin beside it.
//!
//! Invariant: every text is bounded and printable, because it goes into records, metrics and terminals; what is not known
//! is absent, never made up. Refuses to: verify; whoever fills these in has done so, or says that nobody has.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Who calls, as resolved from the credentials of the call: a registered name, an access key id on an open listener, else
/// `anonymous`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Consumer(Box<str>);

impl Consumer {
    /// Longest kept name, bytes. Longer ones are cut, because a consumer appears in every record and metric.
    pub const MAX_LENGTH: usize = 128;

    /// A consumer by name; control characters become `?`, over-long names are cut.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(printable(name, Self::MAX_LENGTH))
    }

    /// The caller that gave no credentials.
    #[must_use]
    pub fn anonymous() -> Self {
        Self("anonymous".into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the credentials of a call have proved, in one text that begins with their kind: `key:<access key id>`,
/// `jwt:<issuer>#<subject>`, `api-key:<id>`, `certificate:<name>`, `proxy:<user>`; or `unverified:<access key id>`, which
/// is what a call on an open listener says of itself and nobody has checked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Principal(Box<str>);

impl Principal {
    /// Longest kept text, bytes. Credentials that name somebody with a longer one must not be accepted, for two of them
    /// could not be told apart.
    pub const MAX_LENGTH: usize = 512;

    /// A principal by its text; nothing when it is empty.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(printable(text, Self::MAX_LENGTH)))
    }

    /// An access key id that came with a signature which nobody has verified.
    #[must_use]
    pub fn unverified(access_key_id: &str) -> Self {
        Self(printable(&format!("unverified:{access_key_id}"), Self::MAX_LENGTH))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the program of the caller calls itself: a claim that nobody can verify.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UserAgent(Box<str>);

impl UserAgent {
    /// Longest kept text, bytes; the SDKs of AWS say most of what matters in fewer.
    pub const MAX_LENGTH: usize = 256;

    /// A user agent by its text; nothing when it is empty.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(printable(text, Self::MAX_LENGTH)))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where a call comes from, beside its consumer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Caller {
    /// What the credentials have proved; absent when there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<Principal>,
    /// The address that the call came from, as far as this server can know it; an IPv4 address is never written as IPv6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_address: Option<IpAddr>,
    /// What the caller's program calls itself; absent when it said nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<UserAgent>,
    /// Whether the server itself has sent it, as a copy for a shadow variant of a call that came from there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_copy: bool,
}

/// The text with `?` for control characters and for those that turn the direction of writing, cut at a character so that
/// at most `max_bytes` are left.
fn printable(text: &str, max_bytes: usize) -> Box<str> {
    let mut kept = String::with_capacity(text.len().min(max_bytes));
    for character in text.chars() {
        let turns = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let character = if character.is_control() || turns { '?' } else { character };
        if kept.len() + character.len_utf8() > max_bytes {
            break;
        }
        kept.push(character);
    }
    kept.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_origins_are_bounded_and_printable() {
        assert_eq!(Consumer::new("a\r\nb").as_str(), "a??b");
        assert_eq!(Consumer::new("a\u{202e}b").as_str(), "a?b", "no text is shown backwards");
        let long = "é".repeat(1_000);
        assert_eq!(Consumer::new(&long).as_str().len(), 128);
        assert_eq!(Principal::new(&long).unwrap().as_str().len(), 512);
        assert_eq!(UserAgent::new(&long).unwrap().as_str().len(), 256);
        assert_eq!(UserAgent::new("curl/8\u{1b}[2J").unwrap().as_str(), "curl/8?[2J");
    }

    #[test]
    fn what_is_not_known_is_absent() {
        assert_eq!((Principal::new(""), UserAgent::new("")), (None, None));
        assert_eq!(serde_json::to_string(&Caller::default()).unwrap(), "{}");
        let full = Caller {
            principal: Principal::new("key:AKIA"),
            source_address: Some("10.0.0.7".parse().unwrap()),
            user_agent: UserAgent::new("Boto3/1.40"),
            is_copy: false,
        };
        let text = serde_json::to_string(&full).unwrap();
        assert_eq!(text, r#"{"principal":"key:AKIA","source_address":"10.0.0.7","user_agent":"Boto3/1.40"}"#);
        assert_eq!(serde_json::from_str::<Caller>(&text).unwrap(), full);
    }
}
