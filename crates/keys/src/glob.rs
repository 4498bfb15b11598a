//! Patterns of policies: `*` stands for any characters, `?` for one, everything else for itself.
//!
//! Invariant: the cost is bounded by the product of both lengths, whatever the pattern; policies are written by the
//! operator, but names come from callers.

pub(crate) use captura_names::glob::matches;

/// Whether the pattern fits everything that begins with `start`.
pub(crate) fn covers(pattern: &str, start: &str) -> bool {
    // A pattern that fits both the start alone and the start with letters that no pattern has must end in a star.
    matches(pattern, start) && matches(pattern, &format!("{start}\u{10ffff}\u{10ffff}"))
}

/// Whether the pattern fits anything that begins with `start`.
pub(crate) fn touches(pattern: &str, start: &str) -> bool {
    let literal = pattern.find(['*', '?']).map_or(pattern, |at| &pattern[..at]);
    // Either begins as the other does, as far as both are literal; more exactness would only let more through.
    let shared = literal.chars().zip(start.chars()).all(|(one, other)| one == other);
    shared && (literal.len() < pattern.len() || literal.len() >= start.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_stand_for_what_they_say() {
        for (pattern, text) in [
            ("*", ""),
            ("*", "a"),
            ("a*c", "abbc"),
            ("a*c", "ac"),
            ("a?c", "abc"),
            ("*b*", "abc"),
            ("é?", "éa"),
            ("**", "x"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("", "a"), ("a", ""), ("a?c", "ac"), ("a*c", "abd"), ("A", "a"), ("a*b*c", "acb"), ("[a]", "a")]
        {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
        let (pattern, text) = ("a*".repeat(100), "a".repeat(5_000));
        assert!(!matches(&format!("{pattern}b"), &text), "and in bounded time");
    }

    #[test]
    fn a_pattern_covers_what_is_below_a_start_only_with_a_star() {
        assert!(covers("b/*", "b/") && covers("*", "b/") && covers("b*", "b/"));
        assert!(!covers("b/?", "b/") && !covers("b/??", "b/") && !covers("b/", "b/") && !covers("b/x*", "b/"));
        assert!(touches("b/x*", "b/") && touches("b/x", "b/") && touches("*", "b/") && touches("b*", "b/"));
        assert!(!touches("c/*", "b/") && !touches("b", "b/"));
    }
}
