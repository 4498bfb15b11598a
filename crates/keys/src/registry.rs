//! Registered consumers: which credentials are whose, as the operator has written it down.
//!
//! Invariant: a registered name belongs to the principals that match it, and to keys that the operator made for it; nobody
//! gets it by claiming it. The first entry that matches wins.

use crate::glob;

/// Most registered consumers.
const CONSUMERS_MAX: usize = 10_000;
/// Most patterns of one, and longest pattern, bytes.
const PATTERNS_MAX: usize = 256;
const PATTERN_MAX_BYTES: usize = 1_024;

/// A registered consumer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegisteredConsumer {
    /// Its name, in records and metrics.
    pub name: String,
    /// Patterns of the principals whose calls are its, e.g. `jwt:https://login.example/#svc-billing`, `key:AKIA*`.
    pub principals: Vec<String>,
    /// Whom to ask.
    pub contact: Option<String>,
    /// What it uses the models for.
    pub purpose: Option<String>,
}

/// The text is no registry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("consumer {name:?} {what}")]
pub struct InvalidRegistry {
    /// Which consumer.
    pub name: String,
    /// What is wrong with it.
    pub what: &'static str,
}

/// All registered consumers.
#[derive(Debug, Clone, Default)]
pub struct Registry(Vec<RegisteredConsumer>);

impl Registry {
    /// Takes the consumers in the order in which they are tried.
    ///
    /// # Errors
    /// When a name is empty, too long, there twice or reserved, or there is too much of something.
    pub fn new(consumers: Vec<RegisteredConsumer>) -> Result<Self, InvalidRegistry> {
        for (at, consumer) in consumers.iter().enumerate() {
            let invalid = |what| Err(InvalidRegistry { name: consumer.name.clone(), what });
            let unprintable = consumer.name.chars().any(char::is_control);
            if consumer.name.is_empty() || consumer.name.len() > 128 || unprintable {
                return invalid("needs a name of 1 to 128 bytes that can be printed");
            }
            if matches!(consumer.name.as_str(), "anonymous" | "other") {
                return invalid("has a name that stands for callers who are not known");
            }
            if at >= CONSUMERS_MAX {
                return invalid("is one too many");
            }
            if consumers[..at].iter().any(|earlier| earlier.name == consumer.name) {
                return invalid("is there twice; give one entry all its patterns");
            }
            let long = |pattern: &String| pattern.is_empty() || pattern.len() > PATTERN_MAX_BYTES;
            if consumer.principals.len() > PATTERNS_MAX || consumer.principals.iter().any(long) {
                return invalid("has too many patterns, or one that is empty or too long");
            }
        }
        Ok(Self(consumers))
    }

    /// Whether nobody is registered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them.
    #[must_use]
    pub fn consumers(&self) -> &[RegisteredConsumer] {
        &self.0
    }

    /// Whose a call is that carries these credentials and says this name; the name only counts where nobody has
    /// registered it.
    pub(crate) fn name_of<'a>(&'a self, principal: &'a str, claimed: &'a str) -> &'a str {
        if let Some(name) = self.matched(principal) {
            return name;
        }
        let is_taken = self.0.iter().any(|consumer| consumer.name == claimed);
        if is_taken { principal } else { claimed }
    }

    /// The consumer whose these credentials are.
    pub(crate) fn matched(&self, principal: &str) -> Option<&str> {
        let fits = |consumer: &&RegisteredConsumer| {
            consumer.principals.iter().any(|pattern| glob::matches(pattern, principal))
        };
        self.0.iter().find(fits).map(|consumer| consumer.name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consumer(name: &str, principals: &[&str]) -> RegisteredConsumer {
        let principals = principals.iter().map(|&text| text.to_owned()).collect();
        RegisteredConsumer { name: name.into(), principals, ..RegisteredConsumer::default() }
    }

    #[test]
    fn a_registered_name_belongs_to_those_that_match_it_alone() {
        let registry = Registry::new(vec![
            consumer("billing", &["jwt:https://login/#svc-billing", "key:AKIAB*"]),
            consumer("others", &["jwt:*"]),
        ])
        .unwrap();
        for (principal, claimed, name) in [
            ("jwt:https://login/#svc-billing", "x", "billing"),
            ("key:AKIABILLING", "x", "billing"),
            ("jwt:https://login/#eve", "billing", "others"),
            ("proxy:billing", "billing", "proxy:billing"),
            ("proxy:ward-a", "ward-a", "ward-a"),
        ] {
            assert_eq!(registry.name_of(principal, claimed), name, "{principal}");
        }
    }

    #[test]
    fn names_that_nobody_could_tell_apart_are_refused() {
        for (consumers, words) in [
            (vec![consumer("", &[])], "needs a name"),
            (vec![consumer("a\n", &[])], "needs a name"),
            (vec![consumer("anonymous", &["*"])], "not known"),
            (vec![consumer("a", &["x"]), consumer("a", &["y"])], "twice"),
            (vec![consumer("a", &[""])], "empty"),
        ] {
            let error = Registry::new(consumers).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
