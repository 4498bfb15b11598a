//! Which endpoints a setting is about: `churn-*`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::EndpointName;

/// A name of an endpoint in which `*` stands for any letters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct EndpointPattern(Box<str>);

/// The text can be no name of an endpoint, whatever its stars stand for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} fits no endpoint: names have up to 63 letters, digits and hyphens, and * stands for any of them")]
pub struct InvalidEndpointPattern(String);

impl EndpointPattern {
    /// Longest pattern, bytes: a name and a star.
    const MAX_LENGTH: usize = 64;

    /// Reads a pattern.
    ///
    /// # Errors
    /// When no endpoint can have such a name.
    pub fn parse(text: &str) -> Result<Self, InvalidEndpointPattern> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'*';
        if text.is_empty() || text.len() > Self::MAX_LENGTH || !text.bytes().all(fits) {
            return Err(InvalidEndpointPattern(text.to_owned()));
        }
        Ok(Self(text.into()))
    }

    /// The pattern of all endpoints.
    #[must_use]
    pub fn all() -> Self {
        Self("*".into())
    }

    /// Whether the endpoint is meant.
    #[must_use]
    pub fn matches(&self, name: &EndpointName) -> bool {
        let mut pieces = self.0.split('*');
        let first = pieces.next().unwrap_or_default();
        let Some(mut rest) = name.as_str().strip_prefix(first) else { return false };
        let Some(last) = pieces.next_back() else { return rest.is_empty() };
        for piece in pieces {
            let Some(at) = rest.find(piece) else { return false };
            rest = &rest[at + piece.len()..];
        }
        rest.ends_with(last)
    }
}

impl fmt::Display for EndpointPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<EndpointPattern> for String {
    fn from(pattern: EndpointPattern) -> Self {
        pattern.0.into()
    }
}

impl TryFrom<String> for EndpointPattern {
    type Error = InvalidEndpointPattern;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_letters_and_everything_else_for_itself() {
        for (pattern, fits, others) in [
            ("*", vec!["a", "churn-2"], vec![]),
            ("churn", vec!["churn"], vec!["churn-2", "xchurn"]),
            ("churn-*", vec!["churn-2", "churn-2-b"], vec!["churn", "fraud"]),
            ("*-prod", vec!["churn-prod"], vec!["prod", "churn-prod-2"]),
            ("a*b*a", vec!["aba", "axbxa"], vec!["ab", "aa"]),
        ] {
            let pattern = EndpointPattern::parse(pattern).unwrap();
            let name = |text: &str| EndpointName::parse(text).unwrap();
            assert!(fits.iter().all(|text| pattern.matches(&name(text))), "{pattern}");
            assert!(!others.iter().any(|text| pattern.matches(&name(text))), "{pattern}");
        }
        for bad in ["", "churn_1", "churn/*", &"a".repeat(65)] {
            assert!(EndpointPattern::parse(bad).is_err(), "{bad}");
        }
    }
}
