//! Filter patterns of unstructured text, as CloudWatch Logs describes them: `a b` both, `?a ?b` any, `-a` none, `"a b"` a
//! phrase. Case matters.
//!
//! Refuses to: read patterns on JSON (`{…}`) and columns (`[…]`).

use captura_wire::aws_json::{Fault, FaultCode};

/// Longest pattern, bytes, as on AWS.
const PATTERN_MAX_BYTES: usize = 1_024;

/// What a message must have.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Pattern {
    all: Vec<String>,
    any: Vec<String>,
    none: Vec<String>,
}

impl Pattern {
    /// Reads a pattern; nothing at all matches everything.
    ///
    /// # Errors
    /// `InvalidParameterException` for what is not read here.
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        let invalid = |message: &str| Fault::new(FaultCode::InvalidParameterException, message);
        if text.len() > PATTERN_MAX_BYTES {
            return Err(invalid("A filter pattern has at most 1024 bytes."));
        }
        if text.trim_start().starts_with(['{', '[', '%']) {
            return Err(invalid(
                "captura reads filter patterns of plain words; patterns on JSON, on columns and regular expressions are not \
                 supported.",
            ));
        }
        let mut pattern = Self::default();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let (list, term) = match rest.as_bytes()[0] {
                b'?' => (&mut pattern.any, &rest[1..]),
                b'-' => (&mut pattern.none, &rest[1..]),
                _ => (&mut pattern.all, rest),
            };
            let (word, after) = if let Some(phrase) = term.strip_prefix('"') {
                phrase.split_once('"').ok_or_else(|| invalid("Invalid filter pattern: a quote is not closed."))?
            } else {
                term.split_once(char::is_whitespace).unwrap_or((term, ""))
            };
            if !word.is_empty() {
                list.push(word.to_owned());
            }
            rest = after.trim_start();
        }
        Ok(pattern)
    }

    /// Whether a message has it.
    pub(crate) fn matches(&self, message: &str) -> bool {
        let has = |word: &String| message.contains(word.as_str());
        self.all.iter().all(has) && (self.any.is_empty() || self.any.iter().any(has)) && !self.none.iter().any(has)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_phrases_choices_and_exclusions() {
        for (pattern, message, expected) in [
            ("", "anything", true),
            ("ERROR", "an ERROR here", true),
            ("ERROR", "an error here", false),
            ("ERROR model", "ERROR in the model", true),
            ("ERROR model", "ERROR", false),
            ("?ERROR ?WARN", "a WARN", true),
            ("?ERROR ?WARN", "fine", false),
            ("ERROR -timeout", "ERROR timeout", false),
            ("\"out of memory\"", "it is out of memory", true),
            ("\"out of memory\"", "out memory of", false),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().matches(message), expected, "{pattern:?} {message:?}");
        }
    }

    #[test]
    fn what_is_not_read_is_refused() {
        for pattern in ["{ $.level = \"ERROR\" }", "[ip, user]", "%err%", "\"open", &"x".repeat(1_025)] {
            assert!(Pattern::parse(pattern).is_err(), "{pattern}");
        }
    }
}
