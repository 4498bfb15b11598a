//! When a schedule's executions begin.
//!
//! | expression | when |
//! | --- | --- |
//! | `cron(0 * ? * * *)` | every hour |
//! | `cron(0 H ? * * *)` | every day at H, UTC |
//! | `cron(0 H/N ? * * *)` | every day at H and every N hours after it |
//! | `NOW` | once, when the schedule starts |
//! | `rate(N minutes)`, `rate(N hours)` | captura's own, in EventBridge's words: every N minutes, counted from 1970 |
//!
//! The first four are all that SageMaker takes.
//!
//! Invariant: moments are a function of the expression alone, so that all nodes and all lives of a server agree on them.

use captura_names::Timestamp;

/// Microseconds of a minute.
pub(crate) const MINUTE_US: i64 = 60_000_000;
/// Microseconds of an hour.
pub(crate) const HOUR_US: i64 = 60 * MINUTE_US;
/// Microseconds of a day.
pub(crate) const DAY_US: i64 = 24 * HOUR_US;
/// Hours of a day.
const DAY_HOURS: i64 = 24;

/// When a schedule's executions begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expression {
    /// Every day at `first`, and every `step` hours after it until the day ends.
    Hours {
        /// 0 to 23.
        first: i64,
        /// 1 to 24.
        step: i64,
    },
    /// Every so many microseconds, whole minutes, at most a day.
    Rate(i64),
    /// Once.
    Now,
}

impl Expression {
    /// Reads an expression; `None` for all that is not supported.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text == "NOW" {
            return Some(Self::Now);
        }
        if let Some(rate) = text.strip_prefix("rate(").and_then(|rest| rest.strip_suffix(')')) {
            return Self::rate(rate);
        }
        let hours = text.strip_prefix("cron(0 ")?.strip_suffix(" ? * * *)")?;
        match hours.split_once('/') {
            None if hours == "*" => Some(Self::Hours { first: 0, step: 1 }),
            None => Some(Self::Hours { first: number(hours, 0, 23)?, step: DAY_HOURS }),
            Some((first, step)) => {
                Some(Self::Hours { first: number(first, 0, 23)?, step: number(step, 1, DAY_HOURS)? })
            }
        }
    }

    fn rate(text: &str) -> Option<Self> {
        let (count, unit) = text.split_once(' ')?;
        let unit_us = match unit {
            "minute" | "minutes" => MINUTE_US,
            "hour" | "hours" => HOUR_US,
            "day" => DAY_US,
            _ => return None,
        };
        Some(Self::Rate(number(count, 1, DAY_US / unit_us)? * unit_us))
    }

    /// The first moment after this one; none for what happens once.
    pub(crate) fn next_after(self, moment: Timestamp) -> Option<Timestamp> {
        let us = moment.unix_us();
        let next = match self {
            Self::Now => return None,
            Self::Rate(period_us) => us.div_euclid(period_us) * period_us + period_us,
            Self::Hours { first, step } => {
                let day = us.div_euclid(DAY_US) * DAY_US;
                let today = moments_of_day(first, step).map(|hour| day + hour * HOUR_US).find(|&at| at > us);
                today.unwrap_or(day + DAY_US + first * HOUR_US)
            }
        };
        Some(Timestamp::from_unix_us(next))
    }

    /// The last moment before this one; none for what happens once.
    pub(crate) fn last_before(self, moment: Timestamp) -> Option<Timestamp> {
        let us = moment.unix_us();
        let last = match self {
            Self::Now => return None,
            Self::Rate(period_us) => (us - 1).div_euclid(period_us) * period_us,
            Self::Hours { first, step } => {
                let day = us.div_euclid(DAY_US) * DAY_US;
                let of_day = |day: i64| moments_of_day(first, step).map(move |hour| day + hour * HOUR_US);
                let today = of_day(day).filter(|&at| at < us).last();
                today.or_else(|| of_day(day - DAY_US).last())?
            }
        };
        Some(Timestamp::from_unix_us(last))
    }

    /// The last moment up to this one, at it included.
    pub(crate) fn last_until(self, moment: Timestamp) -> Option<Timestamp> {
        self.last_before(moment.plus_us(1))
    }

    /// Whether executions may begin within an hour of each other, and need folders of their own.
    pub(crate) fn is_finer_than_hours(self) -> bool {
        matches!(self, Self::Rate(period_us) if period_us % HOUR_US != 0)
    }
}

fn moments_of_day(first: i64, step: i64) -> impl Iterator<Item = i64> {
    (0..DAY_HOURS).filter(move |hour| *hour >= first && (hour - first) % step == 0)
}

/// A whole number in plain digits.
fn number(text: &str, least: i64, most: i64) -> Option<i64> {
    let is_plain = !text.is_empty() && text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| text.parse().ok()).flatten().filter(|number| (least..=most).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn next(expression: &str, moments: usize) -> Vec<String> {
        let (expression, mut moment) = (Expression::parse(expression).unwrap(), at("2026-02-28T16:59:59.999999Z"));
        std::iter::from_fn(|| {
            moment = expression.next_after(moment)?;
            Some(moment.to_string())
        })
        .take(moments)
        .collect()
    }

    #[test]
    fn every_supported_expression_says_when() {
        assert_eq!(next("cron(0 * ? * * *)", 2), ["2026-02-28T17:00:00Z", "2026-02-28T18:00:00Z"]);
        assert_eq!(next("cron(0 16 ? * * *)", 2), ["2026-03-01T16:00:00Z", "2026-03-02T16:00:00Z"]);
        assert_eq!(next("cron(0 00 ? * * *)", 1), ["2026-03-01T00:00:00Z"]);
        assert_eq!(
            next("cron(0 0/10 ? * * *)", 4),
            ["2026-02-28T20:00:00Z", "2026-03-01T00:00:00Z", "2026-03-01T10:00:00Z", "2026-03-01T20:00:00Z"]
        );
        assert_eq!(next("cron(0 17/12 ? * * *)", 2), ["2026-02-28T17:00:00Z", "2026-03-01T17:00:00Z"]);
        assert_eq!(next("rate(5 minutes)", 2), ["2026-02-28T17:00:00Z", "2026-02-28T17:05:00Z"]);
        assert_eq!(next("rate(1 minute)", 2), ["2026-02-28T17:00:00Z", "2026-02-28T17:01:00Z"]);
        assert_eq!(next("rate(6 hours)", 1), ["2026-02-28T18:00:00Z"]);
        assert!(next("NOW", 1).is_empty());
    }

    #[test]
    fn nothing_else_is_supported() {
        for bad in [
            "",
            "now",
            "cron(0 * * * * *)",
            "cron(5 * ? * * *)",
            "cron(0/5 * ? * * *)",
            "cron(0 24 ? * * *)",
            "cron(0 -1 ? * * *)",
            "cron(0 +1 ? * * *)",
            "cron(0 1/0 ? * * *)",
            "cron(0 1/25 ? * * *)",
            "cron(0 1,2 ? * * *)",
            "cron(0 1 ? * MON *)",
            " cron(0 * ? * * *)",
            "rate(0 minutes)",
            "rate(1441 minutes)",
            "rate(25 hours)",
            "rate(2 days)",
            "rate(30 seconds)",
            "rate(5minutes)",
            "rate(00005 minutes)",
        ] {
            assert_eq!(Expression::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_comes_next_has_the_moment_before_it_as_its_last() {
        for text in ["cron(0 * ? * * *)", "cron(0 7 ? * * *)", "cron(0 5/7 ? * * *)", "rate(7 minutes)", "rate(1 day)"]
        {
            let expression = Expression::parse(text).unwrap();
            let mut moment = at("2026-12-31T22:10:00Z");
            for _ in 0..50 {
                let next = expression.next_after(moment).unwrap();
                assert!(next > moment, "{text}");
                assert_eq!(expression.last_until(next), Some(next), "{text}");
                let last = expression.last_before(next).unwrap();
                assert!(last <= moment && expression.next_after(last) == Some(next), "{text}");
                moment = next;
            }
        }
    }
}
