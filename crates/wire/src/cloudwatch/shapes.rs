//! Inputs of the operations, as the service model names their members. They were checked before they are read.

use captura_names::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::aws_json::read_timestamp;

fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let value = Value::deserialize(deserializer)?;
    read_timestamp(&value).ok_or_else(|| serde::de::Error::custom("not a moment"))
}

fn maybe_moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    moment(deserializer).map(Some)
}

/// A name and a value that tell one metric from another of the same name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "members are AWS's own")]
pub struct Dimension {
    pub name: String,
    pub value: String,
}

/// A tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "members are AWS's own")]
pub struct Tag {
    pub key: String,
    pub value: String,
}

/// A metric.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "members are AWS's own")]
pub struct Metric {
    #[serde(default)]
    pub namespace: Option<String>,
    #[serde(default)]
    pub metric_name: Option<String>,
    #[serde(default)]
    pub dimensions: Vec<Dimension>,
}

/// A metric with the statistic that is wanted of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "members are AWS's own")]
pub struct MetricStat {
    pub metric: Metric,
    pub period: i64,
    pub stat: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// A series: a statistic of a metric, or an expression over other series.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "members are AWS's own")]
pub struct MetricDataQuery {
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric_stat: Option<MetricStat>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub return_data: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
}

/// PutMetricAlarm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "members are AWS's own")]
pub struct PutMetricAlarm {
    pub alarm_name: String,
    pub alarm_description: Option<String>,
    pub actions_enabled: Option<bool>,
    #[serde(default, rename = "OKActions")]
    pub ok_actions: Vec<String>,
    #[serde(default)]
    pub alarm_actions: Vec<String>,
    #[serde(default)]
    pub insufficient_data_actions: Vec<String>,
    pub metric_name: Option<String>,
    pub namespace: Option<String>,
    pub statistic: Option<String>,
    pub extended_statistic: Option<String>,
    #[serde(default)]
    pub dimensions: Vec<Dimension>,
    pub period: Option<i64>,
    pub unit: Option<String>,
    pub evaluation_periods: Option<i64>,
    pub datapoints_to_alarm: Option<i64>,
    pub threshold: Option<f64>,
    pub comparison_operator: Option<String>,
    pub treat_missing_data: Option<String>,
    pub evaluate_low_sample_count_percentile: Option<String>,
    #[serde(default)]
    pub metrics: Vec<MetricDataQuery>,
    #[serde(default)]
    pub tags: Vec<Tag>,
    pub threshold_metric_id: Option<String>,
    pub evaluation_criteria: Option<Value>,
    pub evaluation_interval: Option<Value>,
}

/// DeleteAlarms, EnableAlarmActions, DisableAlarmActions.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "members are AWS's own")]
pub struct AlarmNames {
    pub alarm_names: Vec<String>,
}

/// DescribeAlarms.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "members are AWS's own")]
pub struct DescribeAlarms {
    pub alarm_names: Vec<String>,
    pub alarm_name_prefix: Option<String>,
    pub alarm_types: Vec<String>,
    pub children_of_alarm_name: Option<String>,
    pub parents_of_alarm_name: Option<String>,
    pub state_value: Option<String>,
    pub action_prefix: Option<String>,
    pub max_records: Option<usize>,
    pub next_token: Option<String>,
}

/// DescribeAlarmsForMetric.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "members are AWS's own")]
pub struct DescribeAlarmsForMetric {
    pub metric_name: String,
    pub namespace: String,
    pub statistic: Option<String>,
    pub extended_statistic: Option<String>,
    #[serde(default)]
    pub dimensions: Vec<Dimension>,
    pub period: Option<i64>,
    pub unit: Option<String>,
}

/// DescribeAlarmHistory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "members are AWS's own")]
pub struct DescribeAlarmHistory {
    pub alarm_name: Option<String>,
    pub alarm_types: Vec<String>,
    pub history_item_type: Option<String>,
    #[serde(deserialize_with = "maybe_moment")]
    pub start_date: Option<Timestamp>,
    #[serde(deserialize_with = "maybe_moment")]
    pub end_date: Option<Timestamp>,
    pub max_records: Option<usize>,
    pub next_token: Option<String>,
    pub scan_by: Option<String>,
}

/// SetAlarmState.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "members are AWS's own")]
pub struct SetAlarmState {
    pub alarm_name: String,
    pub state_value: String,
    pub state_reason: String,
    pub state_reason_data: Option<String>,
}

/// Values that were already summed up.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "members are AWS's own")]
pub struct StatisticSet {
    pub sample_count: f64,
    pub sum: f64,
    pub minimum: f64,
    pub maximum: f64,
}

/// One datum of PutMetricData.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "members are AWS's own")]
pub struct MetricDatum {
    pub metric_name: String,
    #[serde(default)]
    pub dimensions: Vec<Dimension>,
    #[serde(default, deserialize_with = "maybe_moment")]
    pub timestamp: Option<Timestamp>,
    pub value: Option<f64>,
    pub statistic_values: Option<StatisticSet>,
    #[serde(default)]
    pub values: Vec<f64>,
    #[serde(default)]
    pub counts: Vec<f64>,
    pub unit: Option<String>,
    pub storage_resolution: Option<i64>,
}

/// PutMetricData.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "members are AWS's own")]
pub struct PutMetricData {
    pub namespace: String,
    #[serde(default)]
    pub metric_data: Vec<MetricDatum>,
    pub entity_metric_data: Option<Value>,
}

/// GetMetricData.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "members are AWS's own")]
pub struct GetMetricData {
    pub metric_data_queries: Vec<MetricDataQuery>,
    #[serde(deserialize_with = "moment")]
    pub start_time: Timestamp,
    #[serde(deserialize_with = "moment")]
    pub end_time: Timestamp,
    pub next_token: Option<String>,
    pub scan_by: Option<String>,
    pub max_datapoints: Option<i64>,
}

/// GetMetricStatistics.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "members are AWS's own")]
pub struct GetMetricStatistics {
    pub namespace: String,
    pub metric_name: String,
    #[serde(default)]
    pub dimensions: Vec<Dimension>,
    #[serde(deserialize_with = "moment")]
    pub start_time: Timestamp,
    #[serde(deserialize_with = "moment")]
    pub end_time: Timestamp,
    pub period: i64,
    #[serde(default)]
    pub statistics: Vec<String>,
    #[serde(default)]
    pub extended_statistics: Vec<String>,
    pub unit: Option<String>,
}

/// A dimension that listed metrics must have.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(missing_docs, reason = "members are AWS's own")]
pub struct DimensionFilter {
    pub name: String,
    pub value: Option<String>,
}

/// ListMetrics.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(missing_docs, reason = "members are AWS's own")]
pub struct ListMetrics {
    pub namespace: Option<String>,
    pub metric_name: Option<String>,
    pub dimensions: Vec<DimensionFilter>,
    pub next_token: Option<String>,
    pub recently_active: Option<String>,
}

/// ListTagsForResource, TagResource, UntagResource.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "members are AWS's own")]
pub struct Tagging {
    #[serde(rename = "ResourceARN")]
    pub resource_arn: String,
    #[serde(default, rename = "Tags")]
    pub tags: Vec<Tag>,
    #[serde(default, rename = "TagKeys")]
    pub tag_keys: Vec<String>,
}
