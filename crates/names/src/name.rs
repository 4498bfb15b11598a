//! Names of resources, with SageMaker's own patterns (contract 1.4).
//!
//! The patterns are given as text because error messages quote them, and checked by hand-written scanners because two
//! fixed patterns do not justify a regular-expression engine in every room.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Why a text is not a name. The variants mirror the constraint phrases that SageMaker prints.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Longer than `max` characters.
    #[error("Member must have length less than or equal to {max}")]
    TooLong {
        /// Largest allowed length, characters.
        max: usize,
    },
    /// Shorter than `min` characters.
    #[error("Member must have length greater than or equal to {min}")]
    TooShort {
        /// Smallest allowed length, characters.
        min: usize,
    },
    /// Does not match `pattern`.
    #[error("Member must satisfy regular expression pattern: {pattern}")]
    Pattern {
        /// The regular expression, as AWS writes it.
        pattern: &'static str,
    },
}

/// `[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}`: letters and digits, hyphens only between them.
const HYPHENATED: &str = "[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}";
/// The model pattern; accepts the same texts, written differently by AWS and quoted in errors.
const MODEL: &str = "[a-zA-Z0-9]([\\-a-zA-Z0-9]*[a-zA-Z0-9])?";
/// Visible US-ASCII, as the header that carries it.
const INFERENCE_ID: &str = "\\p{ASCII}*";

const NAME_MAX_LENGTH: usize = 63;

fn is_hyphenated(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    first.is_ascii_alphanumeric()
        && last.is_ascii_alphanumeric()
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

fn is_visible_ascii(text: &str) -> bool {
    text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $pattern:expr, $check:expr, $min:expr, $max:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The regular expression that every value satisfies, as error messages quote it.
            pub const PATTERN: &'static str = $pattern;
            /// Longest allowed value, characters.
            pub const MAX_LENGTH: usize = $max;

            /// Parses a name.
            ///
            /// # Errors
            /// Says which constraint the text breaks, in SageMaker's words.
            pub fn parse(text: &str) -> Result<Self, InvalidName> {
                if text.chars().count() > $max {
                    return Err(InvalidName::TooLong { max: $max });
                }
                if text.len() < $min {
                    return Err(InvalidName::TooShort { min: $min });
                }
                if !$check(text) {
                    return Err(InvalidName::Pattern { pattern: $pattern });
                }
                Ok(Self(text.into()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::parse(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).map_err(|error| de::Error::custom(format!("{text:?}: {error}")))
            }
        }
    };
}

name!(
    /// Name of an endpoint.
    EndpointName, HYPHENATED, is_hyphenated, 1, NAME_MAX_LENGTH
);
name!(
    /// Name of an endpoint configuration.
    EndpointConfigName, HYPHENATED, is_hyphenated, 1, NAME_MAX_LENGTH
);
name!(
    /// Name of a production or shadow variant.
    VariantName, HYPHENATED, is_hyphenated, 1, NAME_MAX_LENGTH
);
name!(
    /// Name of a container inside a model.
    ContainerHostname, HYPHENATED, is_hyphenated, 1, NAME_MAX_LENGTH
);
name!(
    /// Name of a model.
    ModelName, MODEL, is_hyphenated, 1, NAME_MAX_LENGTH
);
name!(
    /// Name of an inference component.
    InferenceComponentName, MODEL, is_hyphenated, 1, NAME_MAX_LENGTH
);
name!(
    /// Name of a processing job.
    ProcessingJobName, HYPHENATED, is_hyphenated, 1, NAME_MAX_LENGTH
);
name!(
    /// Identifier that a caller gives to one inference, the key by which labels are joined later.
    InferenceId, INFERENCE_ID, is_visible_ascii, 1, 64
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_sagemaker_accepts() {
        for good in ["a", "A9", "churn-xgb", "a--b", &"x".repeat(63)] {
            assert_eq!(EndpointName::parse(good).unwrap().as_str(), good);
            assert_eq!(ModelName::parse(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn refuses_every_known_trick_and_says_which_constraint() {
        for bad in ["..", "a/b", "a%2fb", "a\n", "-a", "a-", "é", "🦀", "a b", "a_b", "a.b"] {
            assert_eq!(EndpointName::parse(bad), Err(InvalidName::Pattern { pattern: HYPHENATED }), "{bad:?}");
        }
        assert_eq!(EndpointName::parse(&"x".repeat(64)), Err(InvalidName::TooLong { max: 63 }));
        assert_eq!(EndpointName::parse(""), Err(InvalidName::TooShort { min: 1 }));
    }

    #[test]
    fn inference_ids_are_visible_ascii() {
        assert!(InferenceId::parse("order 57/a").is_ok());
        for bad in ["a\r\nb", "a\0", "é"] {
            assert!(InferenceId::parse(bad).is_err(), "{bad:?}");
        }
        assert!(InferenceId::parse(&"x".repeat(65)).is_err());
    }
}
