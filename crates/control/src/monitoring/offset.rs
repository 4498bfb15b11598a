//! Spans of time as monitors write them: ISO 8601, such as `-PT1H`, `P8D` or `-PT0H`.

use super::expression::{DAY_US, HOUR_US, MINUTE_US};

/// Longest span, microseconds: a year, which keeps all sums in range.
const MAX_US: i64 = 366 * DAY_US;

/// Reads a span into microseconds, negative where a minus stands before it. Months and years are none, because they have
/// no length.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let (sign, span) = match text.strip_prefix('-') {
        Some(span) => (-1, span),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (days, times) = match span.strip_prefix('P')?.split_once('T') {
        Some((_, "")) => return None,
        Some((days, times)) => (days, times),
        None => (span.strip_prefix('P')?, ""),
    };
    if days.is_empty() && times.is_empty() {
        return None;
    }
    let total = parts(days, &[('W', 7 * DAY_US), ('D', DAY_US)])?
        .checked_add(parts(times, &[('H', HOUR_US), ('M', MINUTE_US), ('S', MINUTE_US / 60)])?)?;
    (total <= MAX_US).then_some(sign * total)
}

/// Numbers with their units, each unit at most once and in this order.
fn parts(text: &str, units: &[(char, i64)]) -> Option<i64> {
    let (mut rest, mut total) = (text, 0_i64);
    for (unit, length_us) in units {
        let Some((count, after)) = rest.split_once(*unit) else { continue };
        if count.is_empty() || !count.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        total = total.checked_add(count.parse::<i64>().ok()?.checked_mul(*length_us)?)?;
        rest = after;
    }
    rest.is_empty().then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_nothing_else_is() {
        for (text, expected) in [
            ("-PT5H", -5 * HOUR_US),
            ("-PT0H", 0),
            ("PT1H30M", HOUR_US + 30 * MINUTE_US),
            ("-P8D", -8 * DAY_US),
            ("P1DT1H", DAY_US + HOUR_US),
            ("-P1W", -7 * DAY_US),
            ("+PT90S", 90_000_000),
        ] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        for bad in [
            "",
            "P",
            "-P",
            "PT",
            "P1DT",
            "1H",
            "PT1",
            "PTH",
            "PT-1H",
            "PT1M1H",
            "P1M",
            "P1Y",
            "P999999999999D",
            "xPT1H",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
