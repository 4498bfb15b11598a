//! Reading decimal numbers out of bytes.

/// Powers of ten that a double holds exactly.
const POWERS_OF_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// The number that a cell's text stands for, correctly rounded; a blank cell is NaN, text that is no number `None`.
///
/// Plain decimals of up to 15 digits, nearly all that people send, are read by one exact division of two exact doubles
/// (W. D. Clinger, "How to read floating point numbers accurately", PLDI 1990); the rest goes to the standard library.
pub(super) fn read(text: &[u8]) -> Option<f64> {
    let text = text.trim_ascii();
    let (negative, digits) = match text {
        [] => return Some(f64::NAN),
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    match plain_decimal(digits) {
        Some(magnitude) => Some(if negative { -magnitude } else { magnitude }),
        None => std::str::from_utf8(text).ok()?.parse().ok(),
    }
}

fn plain_decimal(text: &[u8]) -> Option<f64> {
    // Fifteen digits and a point: below 2^53, so mantissa and power of ten are both exact.
    if text.len() > 16 {
        return None;
    }
    let mut mantissa = 0_u64;
    let mut digits = 0_usize;
    let mut point = None;
    for &byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            mantissa = mantissa * 10 + u64::from(digit);
            digits += 1;
        } else if byte == b'.' && point.is_none() {
            point = Some(digits);
        } else {
            return None;
        }
    }
    if digits == 0 || digits > 15 {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "fifteen digits are below 2^53")]
    let mantissa = mantissa as f64;
    Some(mantissa / POWERS_OF_TEN[point.map_or(0, |before| digits - before)])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn odd_spellings_are_read_as_the_standard_library_reads_them() {
        for text in ["1", "-1", "+1", ".5", "5.", "1e5", "1E-5", "123456789012345678", "0.1", "-0", "inf", "-Infinity"]
        {
            assert_eq!(read(text.as_bytes()).map(f64::to_bits), text.parse::<f64>().ok().map(f64::to_bits), "{text}");
        }
        assert!(read(b"").is_some_and(f64::is_nan));
        assert!(read(b" NaN ").is_some_and(f64::is_nan));
        for text in [".", "-", "1,5", "abc", "1 2", "--1", "1.2.3", "0x10", "1_000"] {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_decimal_is_rounded_correctly(text in "-?[0-9]{0,12}\\.?[0-9]{0,12}") {
            let expected = text.parse::<f64>().ok();
            let got = read(text.as_bytes()).filter(|number| !number.is_nan());
            prop_assert_eq!(got.map(f64::to_bits), expected.map(f64::to_bits));
        }
    }
}
