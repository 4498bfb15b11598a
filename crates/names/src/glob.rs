//! Patterns of names: `*` stands for any characters, `?` for one, everything else for itself.
//!
//! Invariant: the cost is bounded by the product of both lengths, whatever the pattern; patterns are written by the
//! operator, but names come from callers.

/// Whether the whole text is as the pattern says.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&letter) if letter == '?' || letter == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&letter| letter == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_stand_for_letters() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "anything", true),
            ("audit-*", "audit-1", true),
            ("audit-*", "audit", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*-eu-*", "x-eu-y-eu-z", true),
            ("churn", "churn-2", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
