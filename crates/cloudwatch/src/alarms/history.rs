//! What an alarm went through, for DescribeAlarmHistory. Each alarm keeps its newest entries.

use captura_names::Timestamp;
use captura_wire::cloudwatch::Output;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Standing;

/// Entries that an alarm keeps.
const ENTRIES_MAX: usize = 50;
/// Longest data of an entry: the limit of the service model.
const DATA_MAX_BYTES: usize = 4_095;

/// What an entry tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    ConfigurationUpdate,
    StateUpdate,
    Action,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::ConfigurationUpdate => "ConfigurationUpdate",
            Self::StateUpdate => "StateUpdate",
            Self::Action => "Action",
        }
    }
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) at: Timestamp,
    pub(crate) kind: Kind,
    pub(crate) summary: String,
    pub(crate) data: String,
}

impl Entry {
    pub(super) fn new(at: Timestamp, kind: Kind, summary: &str, data: &Value) -> Self {
        let mut data = if data.is_null() { "{}".to_owned() } else { data.to_string() };
        if data.len() > DATA_MAX_BYTES {
            data = "{\"version\":\"1.0\"}".to_owned();
        }
        let summary = summary.chars().take(255).collect();
        Self { at, kind, summary, data }
    }

    pub(crate) fn output(&self, alarm: &str) -> Output {
        Output::Structure(vec![
            ("AlarmName", Output::text(alarm)),
            ("AlarmType", Output::text("MetricAlarm")),
            ("Timestamp", Output::Time(self.at)),
            ("HistoryItemType", Output::text(self.kind.as_str())),
            ("HistorySummary", Output::text(&self.summary)),
            ("HistoryData", Output::text(&self.data)),
        ])
    }
}

pub(super) fn note(history: &mut Vec<Entry>, entry: Entry) {
    if history.len() >= ENTRIES_MAX {
        history.drain(..=history.len() - ENTRIES_MAX);
    }
    history.push(entry);
}

pub(super) fn state(standing: &Standing) -> Value {
    let mut state = json!({ "stateValue": standing.state, "stateReason": standing.reason });
    if let Some(data) = standing.reason_data.as_deref().and_then(|data| serde_json::from_str::<Value>(data).ok()) {
        state["stateReasonData"] = data;
    }
    state
}
