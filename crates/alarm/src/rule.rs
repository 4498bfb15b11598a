//! When an alarm rings: M of the last N points on the wrong side of a threshold.

use serde::{Deserialize, Serialize};

/// Which side of the threshold breaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparison {
    /// `>=`
    GreaterThanOrEqualToThreshold,
    /// `>`
    GreaterThanThreshold,
    /// `<`
    LessThanThreshold,
    /// `<=`
    LessThanOrEqualToThreshold,
}

impl Comparison {
    /// The comparison of that name; `None` for those that need an anomaly detector's band.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        let all = [
            Self::GreaterThanOrEqualToThreshold,
            Self::GreaterThanThreshold,
            Self::LessThanThreshold,
            Self::LessThanOrEqualToThreshold,
        ];
        all.into_iter().find(|comparison| comparison.as_str() == name)
    }

    /// Its name, as AWS writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GreaterThanOrEqualToThreshold => "GreaterThanOrEqualToThreshold",
            Self::GreaterThanThreshold => "GreaterThanThreshold",
            Self::LessThanThreshold => "LessThanThreshold",
            Self::LessThanOrEqualToThreshold => "LessThanOrEqualToThreshold",
        }
    }

    /// Whether `value` breaches.
    #[must_use]
    pub fn breaches(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::GreaterThanOrEqualToThreshold => value >= threshold,
            Self::GreaterThanThreshold => value > threshold,
            Self::LessThanThreshold => value < threshold,
            Self::LessThanOrEqualToThreshold => value <= threshold,
        }
    }

    /// In a sentence about the threshold.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::GreaterThanOrEqualToThreshold => "greater than or equal to",
            Self::GreaterThanThreshold => "greater than",
            Self::LessThanThreshold => "less than",
            Self::LessThanOrEqualToThreshold => "less than or equal to",
        }
    }
}

/// What a point counts as that is not there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MissingData {
    /// As nothing: without any point the state is unknown.
    #[default]
    Missing,
    /// The state stays what it was.
    Ignore,
    /// As a breaching point.
    Breaching,
    /// As a point within the threshold.
    NotBreaching,
}

impl MissingData {
    /// The treatment of that name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "missing" => Self::Missing,
            "ignore" => Self::Ignore,
            "breaching" => Self::Breaching,
            "notBreaching" => Self::NotBreaching,
            _ => return None,
        })
    }
}

/// The condition of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Which side breaches.
    pub comparison: Comparison,
    /// The threshold.
    pub threshold: f64,
    /// How many of the newest points are looked at: N, at least 1.
    pub evaluation_periods: u32,
    /// How many of them must breach: M, from 1 to N.
    pub datapoints_to_alarm: u32,
    /// What missing points count as.
    pub missing_data: MissingData,
}

/// Points that are looked for beyond N, so that late or missing ones do not decide. CloudWatch looks at some more than N
/// without saying how many; two is what its documented examples show.
const FURTHER_PERIODS: u32 = 2;

impl Rule {
    /// How many periods are looked at to find N points: the evaluation range.
    #[must_use]
    pub fn range_periods(&self) -> u32 {
        self.evaluation_periods.saturating_add(FURTHER_PERIODS)
    }
}
