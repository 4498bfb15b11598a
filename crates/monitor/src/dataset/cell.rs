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
    pub fn parse(text: Cow<'a, str>) -> Self {
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
pub(super) const FAST_DIGITS: usize = 15;

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

/// Reads the number that begins at `start` and ends before a comma or with the text: its value, whether it is a whole
/// number, and where it ends. `None` for anything that is not plain or not short, which [`number`] can tell more of.
///
/// Eight bytes are looked at together, without a branch for each digit. Up to 15 digits are exact in a double and so is
/// the power of ten below them, so that the one division rounds as the general parser does.
#[inline]
pub(crate) fn number_at(bytes: &[u8], start: usize) -> Option<(f64, bool, usize)> {
    let negative = bytes.get(start) == Some(&b'-');
    let mut at = start + usize::from(negative);
    let (whole, digits) = leading_digits(word(bytes, at));
    at += digits;
    let signed = |value: f64| if negative { -value } else { value };
    if digits == WORD {
        return None;
    }
    match bytes.get(at) {
        None | Some(b',') if digits > 0 => Some((signed(whole as f64), true, at)),
        Some(b'.') => {
            at += 1;
            let (mut fraction, mut places) = leading_digits(word(bytes, at));
            if places == WORD {
                let (more, count) = leading_digits(word(bytes, at + WORD));
                (fraction, places) = (fraction * WHOLE_POWERS[count] + more, WORD + count);
            }
            at += places;
            let ends = matches!(bytes.get(at), None | Some(b','));
            if !ends || digits + places == 0 || digits + places > FAST_DIGITS {
                return None;
            }
            let all = whole.wrapping_mul(WHOLE_POWERS[places]).wrapping_add(fraction);
            Some((signed(all as f64 / POWERS[places]), false, at))
        }
        _ => None,
    }
}

/// Bytes that are looked at together.
const WORD: usize = 8;
/// 10^0 to 10^16.
const WHOLE_POWERS: [i64; 2 * WORD + 1] = {
    let mut powers = [1; 2 * WORD + 1];
    let mut place = 1;
    while place < powers.len() {
        powers[place] = powers[place - 1] * 10;
        place += 1;
    }
    powers
};
/// The same as doubles, which hold them exactly.
const POWERS: [f64; 2 * WORD + 1] = {
    let mut powers = [1.0; 2 * WORD + 1];
    let mut place = 1;
    while place < powers.len() {
        powers[place] = WHOLE_POWERS[place] as f64;
        place += 1;
    }
    powers
};

/// The bytes from `at` on, the first one lowest; zeros behind the end.
#[inline]
fn word(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..at + WORD) {
        Some(word) => u64::from_le_bytes(word.try_into().expect("our bug: eight bytes are a word")),
        None => {
            let rest = bytes.get(at..).unwrap_or_default();
            rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
        }
    }
}

/// The number that the digits at the beginning of a word make, and how many they are.
#[inline]
fn leading_digits(word: u64) -> (i64, usize) {
    // Digits become 0 to 9; of anything else the upper half is not zero once 6 is added.
    let values = word ^ 0x3030_3030_3030_3030;
    let others = (values.wrapping_add(0x0606_0606_0606_0606) | values) & 0xF0F0_F0F0_F0F0_F0F0;
    let digits = others.trailing_zeros() as usize / 8;
    if digits == 0 {
        return (0, 0);
    }
    // The last digit to the highest byte; what is shifted in counts as leading zeros.
    let values = values << (64 - 8 * digits as u32);
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8);
    let low = (pairs & 0x0000_00FF_0000_00FF).wrapping_mul(0x000F_4240_0000_0064);
    let high = ((pairs >> 16) & 0x0000_00FF_0000_00FF).wrapping_mul(0x0000_2710_0000_0001);
    ((low.wrapping_add(high) >> 32) as i64, digits)
}

fn finite(text: &str, integral: bool) -> Parsed {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Parsed::Number { value, integral },
        _ => Parsed::Text,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Parsed, number, number_at};

    /// What the fast reading says must be what the careful one says of the cell that it took.
    fn agrees(text: &str) -> bool {
        let Some((value, integral, end)) = number_at(text.as_bytes(), 0) else { return true };
        let is_cell = end == text.find(',').unwrap_or(text.len());
        let same = |other: f64, kind: bool| other.to_bits() == value.to_bits() && kind == integral;
        is_cell && matches!(number(&text[..end]), Parsed::Number { value, integral } if same(value, integral))
    }

    #[test]
    fn plain_numbers_are_read_fast_and_odd_ones_are_left() {
        for (text, value, integral, end) in [
            ("0,1", 0.0, true, 1),
            ("-17.25,", -17.25, false, 6),
            ("1234567,", 1_234_567.0, true, 7),
            (".5", 0.5, false, 2),
            ("3.,x", 3.0, false, 2),
            ("0.12345678901234", 0.123_456_789_012_34, false, 16),
        ] {
            assert_eq!(number_at(text.as_bytes(), 0), Some((value, integral, end)), "{text}");
        }
        for text in ["", ",", "-", ".", "+1", " 1", "1 ", "1e5", "x", "12345678", "0.1234567890123456", "1.5\"", "-."] {
            assert_eq!(number_at(text.as_bytes(), 0), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn both_ways_of_reading_numbers_agree(
            text in "[-+]?[0-9]{0,18}(\\.[0-9]{0,18})?([eE][-+]?[0-9]{1,3})?[, x]?[0-9]{0,9}",
            value in any::<f64>(), small in -1e6..1e6_f64,
        ) {
            prop_assert!(agrees(&text), "{}", text);
            for text in [format!("{value},"), format!("{small:.6}"), format!("{small:.3},7"), small.to_string()] {
                prop_assert!(agrees(&text), "{}", text);
            }
        }
    }

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
