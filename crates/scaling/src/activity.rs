//! What was done to a capacity, and why: the log that a person reads, and the memory that cooldowns need.

use captura_names::Timestamp;
use captura_wire::autoscaling::Target;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// How an activity stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Status {
    /// Asked for, not there yet.
    InProgress,
    /// There.
    Successful,
    /// Somebody wanted another capacity before it was there.
    Overridden,
    /// Refused.
    Failed,
}

/// One change of a capacity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Activity {
    pub(crate) id: String,
    pub(crate) target: Target,
    pub(crate) from: i64,
    pub(crate) to: i64,
    /// What the capacity is called.
    pub(crate) noun: String,
    pub(crate) cause: String,
    pub(crate) started_us: i64,
    pub(crate) ended_us: Option<i64>,
    pub(crate) status: Status,
    pub(crate) message: String,
}

impl Activity {
    pub(crate) fn end(&mut self, status: Status, message: String, at: Timestamp) {
        self.status = status;
        self.message = message;
        self.ended_us = Some(at.unix_us());
    }

    /// As `DescribeScalingActivities` tells it.
    pub(crate) fn view(&self) -> Value {
        let seconds = |us: i64| Timestamp::from_unix_us(us).unix_seconds();
        let mut view = json!({
            "ActivityId": self.id,
            "ServiceNamespace": self.target.service_namespace,
            "ResourceId": self.target.resource_id,
            "ScalableDimension": self.target.scalable_dimension,
            "Description": format!("Setting {} to {}.", self.noun, self.to),
            "Cause": self.cause,
            "StartTime": seconds(self.started_us),
            "StatusCode": self.status,
            "StatusMessage": self.message,
        });
        if let Some(ended_us) = self.ended_us {
            view["EndTime"] = json!(seconds(ended_us));
        }
        view
    }
}
