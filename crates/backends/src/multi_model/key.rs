//! Keys of models below a prefix: `TargetModel`.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

/// The place of a model below the prefix, `region/north.tar.gz`.
///
/// Invariant: a prefix with a slash and this behind it names something below the prefix, and different keys name different
/// things.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ModelKey(Arc<str>);

/// The text is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "Invalid TargetModel {key:?}: {why}. Give the key of a model relative to the prefix in the model's ModelDataUrl."
)]
pub(crate) struct InvalidKey {
    key: String,
    why: &'static str,
}

/// Longest key, bytes: the API's own limit.
const KEY_MAX_BYTES: usize = 1_024;
/// Longest part of one between slashes, bytes, as file systems have it.
const PART_MAX_BYTES: usize = 255;
/// Bytes of the digest that an identifier shows; enough that no two keys share one.
const IDENTIFIER_BYTES: usize = 16;

impl ModelKey {
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidKey> {
        let wrong = if text.is_empty() {
            Some("it is empty")
        } else if text.len() > KEY_MAX_BYTES {
            Some("it is longer than 1024 bytes")
        } else if text.starts_with('/') {
            Some("it begins with a slash")
        } else if text.chars().any(|char| char.is_control() || char == '\\') {
            Some("it holds a backslash or a control character")
        } else if text.split('/').any(|part| matches!(part, "" | "." | "..")) {
            Some("a part of it is empty, . or ..")
        } else if text.split('/').any(|part| part.len() > PART_MAX_BYTES) {
            Some("a part of it is longer than 255 bytes")
        } else {
            None
        };
        match wrong {
            None => Ok(Self(text.into())),
            Some(why) => Err(InvalidKey { key: text.chars().take(KEY_MAX_BYTES).collect(), why }),
        }
    }

    /// The address below a prefix.
    pub(crate) fn below(&self, prefix: &str) -> String {
        format!("{}/{}", prefix.trim_end_matches('/'), self.0)
    }

    /// Letters and digits that stand for the key where it cannot stand itself: in paths of URLs and files.
    pub(crate) fn identifier(&self) -> String {
        let digest = Sha256::digest(self.0.as_bytes());
        digest[..IDENTIFIER_BYTES].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for ModelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stays_below_its_prefix() {
        let key = ModelKey::parse("eu/north-1.tar.gz").unwrap();
        for prefix in ["s3://models/churn", "s3://models/churn/"] {
            assert_eq!(key.below(prefix), "s3://models/churn/eu/north-1.tar.gz");
        }
        assert!(ModelKey::parse("..a/b..c/...").is_ok(), "dots inside names are names");
    }

    #[test]
    fn whatever_could_lead_out_is_refused() {
        for text in
            ["", "/etc/passwd", "../secrets", "a/../../b", "a/..", "./a", "a//b", "a/", "a\\..\\b", "a\nb", "\0"]
        {
            let error = ModelKey::parse(text).unwrap_err().to_string();
            assert!(error.starts_with("Invalid TargetModel "), "{text:?}: {error}");
        }
        assert!(ModelKey::parse(&"x".repeat(256)).is_err());
        assert!(ModelKey::parse(&"x/".repeat(512)).is_err());
        assert!(ModelKey::parse(&"x/".repeat(600)).is_err());
    }

    #[test]
    fn identifiers_are_plain_and_differ_between_keys() {
        let identifier = |key| ModelKey::parse(key).unwrap().identifier();
        assert_eq!(identifier("a b/é?").len(), 32);
        assert!(identifier("a b/é?").bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(identifier("a"), identifier("a"));
        assert_ne!(identifier("a"), identifier("A"));
    }
}
