//! CloudWatch Logs (awsJson 1.1, 2014-03-28): the operations that read what containers say, and the few that write.
//!
//! Members are in lower camel case here, unlike elsewhere on AWS. Times are milliseconds since 1970.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::aws_json::{Fault, FaultCode};

/// What stands before the operation in the target header, dot included.
pub const TARGET_PREFIX: &str = "Logs_20140328.";

/// Signing name.
pub const SERVICE: &str = "logs";

/// An operation of CloudWatch Logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// Begins a group.
    CreateLogGroup,
    /// Begins a stream in a group.
    CreateLogStream,
    /// Removes a group with its streams.
    DeleteLogGroup,
    /// Removes a stream.
    DeleteLogStream,
    /// Pages through groups.
    DescribeLogGroups,
    /// Pages through the streams of a group.
    DescribeLogStreams,
    /// Finds events in the streams of a group.
    FilterLogEvents,
    /// Pages through the events of a stream, both ways.
    GetLogEvents,
    /// Adds events to a stream.
    PutLogEvents,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 9] = [
        Self::CreateLogGroup,
        Self::CreateLogStream,
        Self::DeleteLogGroup,
        Self::DeleteLogStream,
        Self::DescribeLogGroups,
        Self::DescribeLogStreams,
        Self::FilterLogEvents,
        Self::GetLogEvents,
        Self::PutLogEvents,
    ];

    /// The operation that a target header names.
    ///
    /// # Errors
    /// `UnknownOperationException`.
    pub fn from_target(target: &str) -> Result<Self, Fault> {
        let name = target.strip_prefix(TARGET_PREFIX);
        let found = Self::ALL.into_iter().find(|operation| Some(operation.name()) == name);
        found.ok_or_else(|| Fault::unknown_operation(target))
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CreateLogGroup => "CreateLogGroup",
            Self::CreateLogStream => "CreateLogStream",
            Self::DeleteLogGroup => "DeleteLogGroup",
            Self::DeleteLogStream => "DeleteLogStream",
            Self::DescribeLogGroups => "DescribeLogGroups",
            Self::DescribeLogStreams => "DescribeLogStreams",
            Self::FilterLogEvents => "FilterLogEvents",
            Self::GetLogEvents => "GetLogEvents",
            Self::PutLogEvents => "PutLogEvents",
        }
    }
}

/// Every member that a request of these operations may have; each operation looks at its own.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Input {
    /// Name of the group.
    pub log_group_name: Option<String>,
    /// Name or ARN of the group.
    pub log_group_identifier: Option<String>,
    /// What the names of groups begin with.
    pub log_group_name_prefix: Option<String>,
    /// What the names of groups contain.
    pub log_group_name_pattern: Option<String>,
    /// Name of the stream.
    pub log_stream_name: Option<String>,
    /// Names of streams.
    pub log_stream_names: Vec<String>,
    /// What the names of streams begin with.
    pub log_stream_name_prefix: Option<String>,
    /// `LogStreamName` or `LastEventTime`.
    pub order_by: Option<String>,
    /// Last first.
    pub descending: bool,
    /// First moment, included.
    pub start_time: Option<i64>,
    /// Last moment, excluded.
    pub end_time: Option<i64>,
    /// Words that a message must have.
    pub filter_pattern: Option<String>,
    /// Begin with the oldest events.
    pub start_from_head: bool,
    /// Most lines of the answer.
    pub limit: Option<i64>,
    /// Where the answer goes on.
    pub next_token: Option<String>,
    /// Events to add.
    pub log_events: Vec<InputLogEvent>,
}

/// An event to add.
#[derive(Debug, Clone, Deserialize)]
pub struct InputLogEvent {
    /// When it happened.
    pub timestamp: i64,
    /// What was said.
    pub message: String,
}

/// An event, as `GetLogEvents` and `FilterLogEvents` tell it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutputLogEvent {
    /// Its stream, in answers that mix streams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_stream_name: Option<String>,
    /// When it happened.
    pub timestamp: i64,
    /// What was said.
    pub message: String,
    /// When it was taken in.
    pub ingestion_time: i64,
    /// Its identity, in answers that mix streams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
}

/// Reads a request.
///
/// # Errors
/// `InvalidParameterException`.
pub fn read(input: &Map<String, Value>) -> Result<Input, Fault> {
    Input::deserialize(Value::Object(input.clone())).map_err(|error| {
        Fault::new(FaultCode::InvalidParameterException, format!("1 validation error detected: {error}"))
    })
}
