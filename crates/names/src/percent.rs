//! A whole percentage.

use serde::{Deserialize, Serialize};

/// A whole percentage, 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Percent(u8);

/// The number is outside 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPercent {
    /// Above 100.
    #[error("Member must have value less than or equal to 100")]
    TooLarge,
    /// Below 0.
    #[error("Member must have value greater than or equal to 0")]
    TooSmall,
}

impl Percent {
    /// Everything.
    pub const ALL: Self = Self(100);

    /// The number, 0 to 100.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }

    /// The share, 0.0 to 1.0.
    #[must_use]
    pub fn share(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

impl TryFrom<i64> for Percent {
    type Error = InvalidPercent;

    fn try_from(number: i64) -> Result<Self, InvalidPercent> {
        match u8::try_from(number) {
            Ok(number @ 0..=100) => Ok(Self(number)),
            _ if number < 0 => Err(InvalidPercent::TooSmall),
            _ => Err(InvalidPercent::TooLarge),
        }
    }
}

impl From<Percent> for i64 {
    fn from(percent: Percent) -> Self {
        Self::from(percent.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_only_0_to_100() {
        assert_eq!(Percent::try_from(0).unwrap().get(), 0);
        assert!((Percent::try_from(25).unwrap().share() - 0.25).abs() < f64::EPSILON);
        assert_eq!(Percent::try_from(101), Err(InvalidPercent::TooLarge));
        assert_eq!(Percent::try_from(256), Err(InvalidPercent::TooLarge));
        assert_eq!(Percent::try_from(-1), Err(InvalidPercent::TooSmall));
    }
}
