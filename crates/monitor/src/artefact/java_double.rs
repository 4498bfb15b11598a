//! Doubles as Java prints them, because Model Monitor's files are written by Jackson on a JVM.
//!
//! Invariant: the text parses back to the same double and has the fewest digits that do (`Double.toString` since JDK 19).
//! Refuses to: round, localise, or drop the `.0` of a whole number.

/// Smallest magnitude that Java prints without an exponent.
const PLAIN_FROM: f64 = 1e-3;
/// First magnitude above the ones that Java prints without an exponent.
const PLAIN_BELOW: f64 = 1e7;

/// Formats `value` as `java.lang.Double.toString` does: `100.0`, `1.4402689218907343E10`, `1.0E-5`, `NaN`, `-Infinity`.
#[must_use]
pub fn java_double(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity".to_owned() } else { "-Infinity".to_owned() };
    }
    if value == 0.0 {
        return if value.is_sign_negative() { "-0.0".to_owned() } else { "0.0".to_owned() };
    }
    let magnitude = value.abs();
    let mut buffer = ryu::Buffer::new();
    let (mut digits, mut point) = decimal(buffer.format_finite(magnitude));
    if digits.len() == 1 && magnitude < f64::MIN_POSITIVE {
        // Java never prints fewer than two digits, so it takes the nearest two: 4.9E-324 where 5E-324 would do.
        (digits, point) = decimal(&format!("{magnitude:.1e}"));
    }
    let body = if (PLAIN_FROM..PLAIN_BELOW).contains(&magnitude) {
        plain(&digits, point)
    } else {
        let rest = if digits.len() > 1 { &digits[1..] } else { "0" };
        format!("{}.{rest}E{}", &digits[..1], point - 1)
    };
    if value < 0.0 { format!("-{body}") } else { body }
}

/// Takes a text like `12.5e-7` apart: significant digits without zeros around them, and where the point stands before or after
/// the first digit (`0.d1d2… · 10^point`).
fn decimal(text: &str) -> (String, i32) {
    let (mantissa, exponent) = match text.split_once('e') {
        Some((mantissa, exponent)) => {
            (mantissa, exponent.parse::<i32>().expect("our bug: exponents are whole numbers"))
        }
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let leading_zeros = all.len() - all.trim_start_matches('0').len();
    let digits = all.trim_start_matches('0').trim_end_matches('0').to_owned();
    (digits, whole.len() as i32 - leading_zeros as i32 + exponent)
}

fn plain(digits: &str, point: i32) -> String {
    if point <= 0 {
        return format!("0.{}{digits}", "0".repeat(point.unsigned_abs() as usize));
    }
    let point = point as usize;
    if digits.len() <= point {
        format!("{digits}{}.0", "0".repeat(point - digits.len()))
    } else {
        format!("{}.{}", &digits[..point], &digits[point..])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::java_double;

    #[test]
    fn prints_what_a_jvm_prints() {
        for (value, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-1.5, "-1.5"),
            (100.0, "100.0"),
            (0.1, "0.1"),
            (0.001, "0.001"),
            (0.0009999, "9.999E-4"),
            (0.00001, "1.0E-5"),
            (12_345.678, "12345.678"),
            (9_999_999.0, "9999999.0"),
            (10_000_000.0, "1.0E7"),
            (123_456_789.0, "1.23456789E8"),
            (14_402_689_218.907_343, "1.4402689218907343E10"),
            (1e300, "1.0E300"),
            (f64::MIN_POSITIVE, "2.2250738585072014E-308"),
            (5e-324, "4.9E-324"),
            (f64::MAX, "1.7976931348623157E308"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
            (95.238_095_238_095_24, "95.23809523809524"),
        ] {
            assert_eq!(java_double(value), text);
        }
    }

    proptest! {
        #[test]
        fn every_finite_double_survives_the_round_trip(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            prop_assert_eq!(java_double(value).parse::<f64>().unwrap().to_bits(), value.to_bits());
        }
    }
}
