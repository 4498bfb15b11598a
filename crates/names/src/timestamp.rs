//! A moment in UTC, microseconds since 1970, and the few text forms that SageMaker uses for it.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A moment in UTC: microseconds since 1970-01-01T00:00:00Z. Serialised as that number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

/// The text is not a moment in RFC 3339 form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time like 2026-01-31T23:59:59Z")]
pub struct InvalidTimestamp(pub String);

/// Latest representable moment here, the end of year 9999: beyond it the text forms have no four-digit year.
const MAX_UNIX_US: i64 = 253_402_300_799_999_999;

impl Timestamp {
    /// From microseconds since 1970; clamped to the years 1970 to 9999, so that no clock can make formatting fail.
    #[must_use]
    pub fn from_unix_us(unix_us: i64) -> Self {
        Self(unix_us.clamp(0, MAX_UNIX_US))
    }

    /// From seconds since 1970 with a fraction, as awsJson carries them.
    #[must_use]
    pub fn from_unix_seconds(seconds: f64) -> Self {
        Self::from_unix_us((seconds * 1e6).round() as i64)
    }

    /// Microseconds since 1970.
    #[must_use]
    pub fn unix_us(self) -> i64 {
        self.0
    }

    /// Seconds since 1970 with milliseconds, as awsJson answers carry them.
    #[must_use]
    pub fn unix_seconds(self) -> f64 {
        (self.0 / 1_000) as f64 / 1e3
    }

    /// Parses RFC 3339 text such as `2022-04-18T00:21:48Z`.
    ///
    /// # Errors
    /// When the text has another form.
    pub fn parse(text: &str) -> Result<Self, InvalidTimestamp> {
        let moment = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| InvalidTimestamp(text.to_owned()))?;
        let unix_us =
            i64::try_from(moment.unix_timestamp_nanos() / 1_000).map_err(|_| InvalidTimestamp(text.to_owned()))?;
        Ok(Self::from_unix_us(unix_us))
    }

    /// Moves by `us` microseconds, clamped as [`Timestamp::from_unix_us`].
    #[must_use]
    pub fn plus_us(self, us: i64) -> Self {
        Self::from_unix_us(self.0.saturating_add(us))
    }

    /// The calendar parts that object keys are made of.
    #[must_use]
    pub fn hour_path(self) -> HourPath {
        let moment = self.to_utc();
        HourPath {
            year: moment.year() as u16,
            month: moment.month().into(),
            day: moment.day(),
            hour: moment.hour(),
            minute: moment.minute(),
            second: moment.second(),
            millisecond: moment.millisecond(),
        }
    }

    fn to_utc(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000)
            .expect("our bug: a Timestamp is always inside the years 1970 to 9999")
    }
}

/// Whole seconds with `Z`: `2022-04-18T00:21:48Z`, the form of `inferenceTime`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let p = self.hour_path();
        write!(f, "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", p.year, p.month, p.day, p.hour, p.minute, p.second)
    }
}

/// Calendar parts of a moment in UTC. Displays as `yyyy/mm/dd/hh`, the folder of captured objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HourPath {
    /// Year, 1970 to 9999.
    pub year: u16,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day, 1 to 31.
    pub day: u8,
    /// Hour, 0 to 23.
    pub hour: u8,
    /// Minute, 0 to 59.
    pub minute: u8,
    /// Second, 0 to 59.
    pub second: u8,
    /// Millisecond, 0 to 999.
    pub millisecond: u16,
}

impl fmt::Display for HourPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}/{:02}/{:02}/{:02}", self.year, self.month, self.day, self.hour)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_the_forms_of_the_contract() {
        let at = Timestamp::parse("2022-04-18T00:21:48.871Z").unwrap();
        assert_eq!(at.to_string(), "2022-04-18T00:21:48Z");
        assert_eq!(at.hour_path().to_string(), "2022/04/18/00");
        assert_eq!(at.hour_path().millisecond, 871);
        assert!((at.unix_seconds() - 1_650_241_308.871).abs() < 1e-6);
        assert_eq!(Timestamp::from_unix_seconds(at.unix_seconds()), at);
    }

    #[test]
    fn no_clock_can_make_it_panic() {
        for unix_us in [i64::MIN, -1, 0, i64::MAX] {
            let _ = Timestamp::from_unix_us(unix_us).to_string();
        }
        assert_eq!(Timestamp::from_unix_us(i64::MAX).to_string(), "9999-12-31T23:59:59Z");
    }
}
