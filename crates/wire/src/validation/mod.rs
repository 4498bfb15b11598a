//! Checks a request against the constraints of the service model, in SageMaker's words.
//!
//! Clients check required members, types and smallest sizes themselves and leave patterns, largest sizes and value
//! sets to the server (contract 1.3). All failures are found in one go and joined as AWS joins them:
//!
//! ```text
//! 2 validation errors detected: Value '-' at 'endpointName' failed to satisfy constraint: Member must satisfy
//! regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}; Value null at 'endpointConfigName' failed to …
//! ```
//!
//! Invariant: an input that passes can be read into its shape. Members that the schema does not know are left alone.
//! Refuses to: know what a value means.

mod check;
pub mod pattern;

pub use check::check;
use pattern::Pattern;

/// What a member must look like.
#[derive(Debug)]
pub enum Shape {
    /// Text of `min` to `max` characters that matches a pattern.
    Text {
        /// Fewest characters.
        min: usize,
        /// Most characters.
        max: usize,
        /// What it must look like, if anything.
        pattern: Option<&'static Pattern>,
    },
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A whole number.
    Integer {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// A number of at least `min`, in the range of single precision.
    Float {
        /// Smallest.
        min: f64,
    },
    /// A number in the range of double precision.
    Double,
    /// True or false.
    Boolean,
    /// Seconds since 1970 as a number, or ISO-8601 text.
    Timestamp,
    /// A list of `min` to `max` members.
    List {
        /// What each member must look like.
        member: &'static Shape,
        /// Fewest members.
        min: usize,
        /// Most members.
        max: usize,
    },
    /// Keys and values, both text.
    Map {
        /// What each key must look like.
        key: &'static Shape,
        /// What each value must look like.
        value: &'static Shape,
        /// Most entries.
        max: usize,
    },
    /// Named members.
    Structure(&'static [Member]),
    /// Anything: a part of the request that the server refuses as a whole, or only echoes.
    Opaque,
}

/// A named member of a structure.
#[derive(Debug)]
pub struct Member {
    /// Its name, as in requests.
    pub name: &'static str,
    /// Whether it must be there.
    pub required: bool,
    /// What it must look like.
    pub shape: &'static Shape,
}

/// A limit that is none, for sizes and numbers without one.
pub const UNLIMITED: usize = usize::MAX;

impl Shape {
    /// The constraint phrases of a scalar, in the order in which AWS lists them.
    fn phrases(&self) -> Vec<String> {
        match self {
            Self::Text { min, max, pattern } => {
                let mut phrases = vec![at_most_long(*max), at_least_long(*min)];
                phrases.extend(pattern.map(satisfies));
                phrases
            }
            Self::OneOf(words) => vec![one_of(words)],
            _ => Vec::new(),
        }
    }

    /// Every constraint of this shape, one line per member, for tests that compare schemas.
    pub fn describe(&self, path: &str, into: &mut Vec<String>) {
        let number = |limit: i64| (limit != i64::MIN && limit != i64::MAX).then(|| limit.to_string());
        let bounds = |min: Option<String>, max: Option<String>| {
            let mut text = String::new();
            min.into_iter().for_each(|min| text.push_str(&format!(" min={min}")));
            max.into_iter().for_each(|max| text.push_str(&format!(" max={max}")));
            text
        };
        let size = |limit: usize| (limit != 0 && limit != UNLIMITED).then(|| limit.to_string());
        match self {
            Self::Text { min, max, pattern } => {
                let pattern = pattern.map(|pattern| format!(" pattern={}", pattern.text)).unwrap_or_default();
                into.push(format!("{path} text{}{pattern}", bounds(size(*min), size(*max))));
            }
            Self::OneOf(words) => into.push(format!("{path} one of {}", words.join(", "))),
            Self::Integer { min, max } => into.push(format!("{path} integer{}", bounds(number(*min), number(*max)))),
            Self::Float { min } => into.push(format!("{path} float min={min}")),
            Self::Double => into.push(format!("{path} double")),
            Self::Boolean => into.push(format!("{path} boolean")),
            Self::Timestamp => into.push(format!("{path} timestamp")),
            Self::Opaque => into.push(format!("{path} opaque")),
            Self::List { member, min, max } => {
                into.push(format!("{path} list{}", bounds(size(*min), size(*max))));
                member.describe(&format!("{path}[]"), into);
            }
            Self::Map { key, value, max } => {
                into.push(format!("{path} map{}", bounds(None, size(*max))));
                key.describe(&format!("{path}{{key}}"), into);
                value.describe(&format!("{path}{{value}}"), into);
            }
            Self::Structure(members) => {
                for member in *members {
                    let required = if member.required { "*" } else { "" };
                    member.shape.describe(&format!("{path}.{}{required}", member.name), into);
                }
            }
        }
    }
}

fn at_most_long(max: usize) -> String {
    format!("Member must have length less than or equal to {max}")
}

fn at_least_long(min: usize) -> String {
    format!("Member must have length greater than or equal to {min}")
}

fn satisfies(pattern: &Pattern) -> String {
    format!("Member must satisfy regular expression pattern: {}", pattern.text)
}

fn one_of(words: &[&str]) -> String {
    format!("Member must satisfy enum value set: [{}]", words.join(", "))
}
