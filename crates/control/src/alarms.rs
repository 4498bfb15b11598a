//! Alarms that turn a deployment back: their states come in through the door.

use std::fmt;
use std::sync::Arc;

/// State of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlarmState {
    /// As it should be.
    Ok,
    /// Not as it should be.
    Alarm,
    /// Not known yet.
    InsufficientData,
}

/// Tells the state of an alarm; nothing when there is no such alarm. It is asked often and must answer at once.
pub type AlarmStates = Arc<dyn Fn(&str) -> Option<AlarmState> + Send + Sync>;

/// The alarms that there are.
#[derive(Clone)]
pub(crate) struct Alarms(pub(crate) AlarmStates);

impl Alarms {
    /// Those of these that do not exist.
    pub(crate) fn missing<'a>(&self, names: &'a [String]) -> Vec<&'a str> {
        names.iter().map(String::as_str).filter(|name| (self.0)(name).is_none()).collect()
    }

    /// Those of these that are in alarm. One that was deleted meanwhile is not.
    pub(crate) fn raised<'a>(&self, names: &'a [String]) -> Vec<&'a str> {
        names.iter().map(String::as_str).filter(|name| (self.0)(name) == Some(AlarmState::Alarm)).collect()
    }
}

impl fmt::Debug for Alarms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Alarms")
    }
}
