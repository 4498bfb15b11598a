//! The three states of an alarm.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What an alarm says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum State {
    /// Within the threshold.
    #[serde(rename = "OK")]
    Ok,
    /// Outside of the threshold.
    #[serde(rename = "ALARM")]
    Alarm,
    /// Just created, or too little is known.
    #[serde(rename = "INSUFFICIENT_DATA")]
    InsufficientData,
}

impl State {
    /// The state of that name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Ok, Self::Alarm, Self::InsufficientData].into_iter().find(|state| state.as_str() == name)
    }

    /// Its name, as AWS writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Alarm => "ALARM",
            Self::InsufficientData => "INSUFFICIENT_DATA",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
