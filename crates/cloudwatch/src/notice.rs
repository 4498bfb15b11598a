//! A change of state, as those read it who are told: EventBridge's event, and the message of an alarm's action.

use captura_alarm::State;
use captura_names::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::alarms::{Alarm, Standing, moment};

/// An alarm went from one state to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StateChange {
    /// Its identity: whoever hears of it twice knows it again.
    pub id: Uuid,
    /// Name of the alarm.
    pub alarm: String,
    /// Its ARN.
    pub arn: String,
    /// The state before.
    pub from: State,
    /// The state now.
    pub to: State,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// ARNs of the actions for the new state; none while the alarm's actions are disabled.
    pub actions: Vec<String>,
    detail: Value,
    message: Value,
}

impl StateChange {
    /// The change of an alarm that stands in its new state already.
    pub(crate) fn new(alarm: &Alarm, before: &Standing) -> Self {
        let now = &alarm.standing;
        let definition = &alarm.definition;
        let actions = if alarm.actions_enabled() { alarm.actions(now.state).to_vec() } else { Vec::new() };
        Self {
            id: Uuid::new_v4(),
            alarm: definition.alarm_name.clone(),
            arn: alarm.arn.clone(),
            from: before.state,
            to: now.state,
            reason: now.reason.clone(),
            at: now.updated_at,
            actions,
            detail: json!({
                "alarmName": definition.alarm_name,
                "configuration": configuration(alarm),
                "previousState": state(before),
                "state": state(now),
            }),
            message: json!({
                "AlarmName": definition.alarm_name,
                "AlarmDescription": definition.alarm_description,
                "AWSAccountId": part(&alarm.arn, 4),
                "AlarmConfigurationUpdatedTimestamp": moment(alarm.configured_at),
                "NewStateValue": now.state,
                "NewStateReason": now.reason,
                "StateChangeTime": moment(now.updated_at),
                "Region": part(&alarm.arn, 3),
                "AlarmArn": alarm.arn,
                "OldStateValue": before.state,
                "OKActions": definition.ok_actions,
                "AlarmActions": definition.alarm_actions,
                "InsufficientDataActions": definition.insufficient_data_actions,
                "Trigger": trigger(alarm),
            }),
        }
    }

    /// The event that EventBridge would carry: `CloudWatch Alarm State Change`.
    #[must_use]
    pub fn event(&self) -> Value {
        json!({
            "version": "0",
            "id": self.id,
            "detail-type": "CloudWatch Alarm State Change",
            "source": "aws.cloudwatch",
            "account": part(&self.arn, 4),
            "time": self.at.to_string(),
            "region": part(&self.arn, 3),
            "resources": [self.arn],
            "detail": self.detail,
        })
    }

    /// The message that an action such as an SNS topic would get.
    #[must_use]
    pub fn message(&self) -> &Value {
        &self.message
    }
}

fn part(arn: &str, index: usize) -> &str {
    arn.split(':').nth(index).unwrap_or_default()
}

fn state(standing: &Standing) -> Value {
    let mut state =
        json!({ "value": standing.state, "reason": standing.reason, "timestamp": moment(standing.updated_at) });
    if let Some(data) = &standing.reason_data {
        state["reasonData"] = json!(data);
    }
    state
}

fn configuration(alarm: &Alarm) -> Value {
    let definition = &alarm.definition;
    let metrics: Vec<Value> = if definition.metrics.is_empty() {
        let dimensions = definition.dimensions.iter().map(|dimension| (dimension.name.clone(), json!(dimension.value)));
        let stat = definition.statistic.as_ref().or(definition.extended_statistic.as_ref());
        vec![json!({
            "id": "m1",
            "metricStat": {
                "metric": {
                    "namespace": definition.namespace,
                    "name": definition.metric_name,
                    "dimensions": dimensions.collect::<serde_json::Map<String, Value>>(),
                },
                "period": definition.period,
                "stat": stat,
            },
            "returnData": true,
        })]
    } else {
        definition.metrics.iter().map(|query| json!(query)).collect()
    };
    json!({ "description": definition.alarm_description, "metrics": metrics })
}

fn trigger(alarm: &Alarm) -> Value {
    let definition = &alarm.definition;
    let dimensions = definition.dimensions.iter();
    json!({
        "MetricName": definition.metric_name,
        "Namespace": definition.namespace,
        "Statistic": definition.statistic,
        "ExtendedStatistic": definition.extended_statistic,
        "Unit": definition.unit,
        "Dimensions": dimensions.map(|one| json!({"name": one.name, "value": one.value})).collect::<Vec<Value>>(),
        "Metrics": definition.metrics,
        "Period": definition.period,
        "EvaluationPeriods": definition.evaluation_periods,
        "DatapointsToAlarm": definition.datapoints_to_alarm,
        "ComparisonOperator": definition.comparison_operator,
        "Threshold": definition.threshold,
        "TreatMissingData": definition.treat_missing_data,
    })
}
