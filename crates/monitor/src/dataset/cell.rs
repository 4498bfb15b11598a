//! What one cell of text is: missing, a whole number, a number, or text.
//!
//! Deequ's rules: empty is missing; an optional sign and digits is Integral; a decimal or exponent form is Fractional;
//! everything else, `NaN` and `Infinity` included, is text. Invariant: every number here is finite.

use std::borrow::Cow;

/// One value of one row.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell<'a> {
    /// Nothing was sent: an empty CSV cell or JSON's `null`.
    Missing,
    /// A number, and the text it was written as.
    Number {
        /// Its value, finite.
        value: f64,
        /// Whether it was written without fraction and exponent.
        integral: bool,
        /// As written.
        text: Cow<'a, str>,
    },
    /// Anything else.
    Text(Cow<'a, str>),
}

impl<'a> Cell<'a> {
    /// Classifies a cell. Blanks around numbers are ignored, a blank cell is missing.
    #[must_use]
    pub(crate) fn parse(text: Cow<'a, str>) -> Self {
        match number(&text) {
            Parsed::Blank => Self::Missing,
            Parsed::Number { value, integral } => Self::Number { value, integral, text },
            Parsed::Text => Self::Text(text),
        }
    }
}

/// Outcome of reading a cell as a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Parsed {
    Blank,
    Number { value: f64, integral: bool },
    Text,
}

/// Whole numbers up to this many digits are exact in an `i64` and need no general parser.
const FAST_DIGITS: usize = 15;

pub(crate) fn number(text: &str) -> Parsed {
    let text = text.trim_matches([' ', '\t']);
    let bytes = text.as_bytes();
    let Some(&first) = bytes.first() else { return Parsed::Blank };
    let signed = first == b'-' || first == b'+';
    let digits = &bytes[usize::from(signed)..];
    if digits.is_empty() || !(digits[0].is_ascii_digit() || digits[0] == b'.') {
        return Parsed::Text;
    }
    if digits.iter().all(u8::is_ascii_digit) {
        if digits.len() <= FAST_DIGITS {
            let whole = digits.iter().fold(0_i64, |sum, digit| sum * 10 + i64::from(digit - b'0'));
            return Parsed::Number {
                value: if first == b'-' { -(whole as f64) } else { whole as f64 },
                integral: true,
            };
        }
        return finite(text, true);
    }
    finite(text, false)
}

fn finite(text: &str, integral: bool) -> Parsed {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Parsed::Number { value, integral },
        _ => Parsed::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::{Parsed, number};

    #[test]
    fn cells_are_what_deequ_takes_them_for() {
        for (text, value) in [
            ("0", 0.0),
            ("-17", -17.0),
            ("+4", 4.0),
            ("007", 7.0),
            (" 5 ", 5.0),
            ("12345678901234567890", 12345678901234567890.0),
        ] {
            assert_eq!(number(text), Parsed::Number { value, integral: true }, "{text}");
        }
        for (text, value) in [("1.0", 1.0), (".5", 0.5), ("-3.", -3.0), ("1e3", 1e3), ("2.5E-3", 2.5e-3)] {
            assert_eq!(number(text), Parsed::Number { value, integral: false }, "{text}");
        }
        for text in ["", " ", "\t"] {
            assert_eq!(number(text), Parsed::Blank, "{text:?}");
        }
        for text in
            ["-", "+", ".", "NaN", "inf", "Infinity", "1,5", "0x10", "12a", "1e999", "--1", "true", "2020-01-01"]
        {
            assert_eq!(number(text), Parsed::Text, "{text}");
        }
    }
}
