//! A statistic by its name, and its value of a summary.

use captura_wire::cloudwatch::Fault;

use crate::store::Summary;

/// What is wanted of a period's samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Statistic {
    /// How many.
    SampleCount,
    /// Their mean.
    Average,
    /// Their sum.
    Sum,
    /// The smallest.
    Minimum,
    /// The largest.
    Maximum,
    /// The value below which so many percent lie.
    Percentile(f64),
}

impl Statistic {
    /// The statistic of that name: `Sum`, `p99.9`, …
    ///
    /// # Errors
    /// `InvalidParameterValue`; trimmed means and their like are among what is not known here.
    pub fn of_name(name: &str) -> Result<Self, Fault> {
        Ok(match name {
            "SampleCount" => Self::SampleCount,
            "Average" => Self::Average,
            "Sum" => Self::Sum,
            "Minimum" => Self::Minimum,
            "Maximum" => Self::Maximum,
            other => {
                let percent = other.strip_prefix(['p', 'P']).and_then(|digits| digits.parse::<f64>().ok());
                let percent = percent.filter(|percent| (0.0..=100.0).contains(percent));
                Self::Percentile(percent.ok_or_else(|| {
                    Fault::invalid(format!(
                        "The value {other} for parameter Stat is not supported. Known here are SampleCount, Average, Sum, \
                         Minimum, Maximum and percentiles like p99.9."
                    ))
                })?)
            }
        })
    }

    /// Its value; `None` for percentiles of samples that came summed up.
    #[must_use]
    pub fn of(self, summary: &Summary) -> Option<f64> {
        match self {
            Self::SampleCount => Some(summary.count),
            Self::Average => Some(summary.average()),
            Self::Sum => Some(summary.sum),
            Self::Minimum => Some(summary.minimum),
            Self::Maximum => Some(summary.maximum),
            Self::Percentile(percent) => summary.percentile(percent),
        }
    }

    /// Samples that a percentile needs to be taken seriously.
    #[must_use]
    pub fn samples_needed(self) -> f64 {
        match self {
            Self::Percentile(percent) if percent >= 50.0 => 10.0 / (1.0 - percent / 100.0).max(1e-9),
            Self::Percentile(percent) => 10.0 / (percent / 100.0).max(1e-9),
            _ => 0.0,
        }
    }
}

/// Periods that CloudWatch knows: 1, 5, 10, 20, 30 and multiples of 60 seconds.
///
/// # Errors
/// `InvalidParameterValue`.
pub(crate) fn check_period(period_s: i64) -> Result<i64, Fault> {
    if matches!(period_s, 1 | 5 | 10 | 20 | 30) || period_s % 60 == 0 && (60..=86_400 * 365).contains(&period_s) {
        return Ok(period_s);
    }
    Err(Fault::invalid(format!(
        "The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60 seconds, and {period_s} is not."
    )))
}
