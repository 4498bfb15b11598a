//! The constraints of every request member, as the service model `monitoring/2010-08-01` states them.
//!
//! Members that are refused as a whole (entities, PromQL) are opaque.

use crate::validation::{Member, Shape, UNLIMITED};

const fn required(name: &'static str, shape: &'static Shape) -> Member {
    Member { name, required: true, shape }
}

const fn optional(name: &'static str, shape: &'static Shape) -> Member {
    Member { name, required: false, shape }
}

const fn text(min: usize, max: usize) -> Shape {
    Shape::Text { min, max, pattern: None }
}

const fn list(member: &'static Shape, min: usize, max: usize) -> Shape {
    Shape::List { member, min, max }
}

/// Every unit of the service model.
pub static UNITS: &[&str] = &[
    "Seconds",
    "Microseconds",
    "Milliseconds",
    "Bytes",
    "Kilobytes",
    "Megabytes",
    "Gigabytes",
    "Terabytes",
    "Bits",
    "Kilobits",
    "Megabits",
    "Gigabits",
    "Terabits",
    "Percent",
    "Count",
    "Bytes/Second",
    "Kilobytes/Second",
    "Megabytes/Second",
    "Gigabytes/Second",
    "Terabytes/Second",
    "Bits/Second",
    "Kilobits/Second",
    "Megabits/Second",
    "Gigabits/Second",
    "Terabits/Second",
    "Count/Second",
    "None",
];

static BOOLEAN: Shape = Shape::Boolean;
static DOUBLE: Shape = Shape::Double;
static OPAQUE: Shape = Shape::Opaque;
static TIMESTAMP: Shape = Shape::Timestamp;
static ANY_TEXT: Shape = text(0, UNLIMITED);
static POSITIVE: Shape = Shape::Integer { min: 1, max: i64::MAX };
static INTEGER: Shape = Shape::Integer { min: i64::MIN, max: i64::MAX };
static UP_TO_255: Shape = text(1, 255);
static UNIT: Shape = Shape::OneOf(UNITS);
static STATISTIC: Shape = Shape::OneOf(&["SampleCount", "Average", "Sum", "Minimum", "Maximum"]);
static STATE: Shape = Shape::OneOf(&["OK", "ALARM", "INSUFFICIENT_DATA"]);
static SCAN_BY: Shape = Shape::OneOf(&["TimestampDescending", "TimestampAscending"]);
static MAX_RECORDS: Shape = Shape::Integer { min: 1, max: 100 };

static DIMENSION_VALUE: Shape = text(1, 1_024);
static DIMENSION: Shape = Shape::Structure(&[required("Name", &UP_TO_255), required("Value", &DIMENSION_VALUE)]);
static DIMENSIONS: Shape = list(&DIMENSION, 0, 30);

static TAG_KEY: Shape = text(1, 128);
static TAG_VALUE: Shape = text(0, 256);
static TAG: Shape = Shape::Structure(&[required("Key", &TAG_KEY), required("Value", &TAG_VALUE)]);
static TAGS: Shape = list(&TAG, 0, UNLIMITED);
static TAG_KEYS: Shape = list(&TAG_KEY, 0, UNLIMITED);
static RESOURCE_ARN: Shape = text(1, 1_024);

static METRIC: Shape = Shape::Structure(&[
    optional("Namespace", &UP_TO_255),
    optional("MetricName", &UP_TO_255),
    optional("Dimensions", &DIMENSIONS),
]);
static METRIC_STAT: Shape = Shape::Structure(&[
    required("Metric", &METRIC),
    required("Period", &POSITIVE),
    required("Stat", &ANY_TEXT),
    optional("Unit", &UNIT),
]);
static EXPRESSION: Shape = text(1, 2_048);
static METRIC_DATA_QUERY: Shape = Shape::Structure(&[
    required("Id", &UP_TO_255),
    optional("MetricStat", &METRIC_STAT),
    optional("Expression", &EXPRESSION),
    optional("Label", &ANY_TEXT),
    optional("ReturnData", &BOOLEAN),
    optional("Period", &POSITIVE),
    optional("AccountId", &UP_TO_255),
]);
static METRIC_DATA_QUERIES: Shape = list(&METRIC_DATA_QUERY, 0, UNLIMITED);

static ACTION: Shape = text(1, 1_024);
static ACTIONS: Shape = list(&ACTION, 0, 5);
static DESCRIPTION: Shape = text(0, 1_024);
static COMPARISON: Shape = Shape::OneOf(&[
    "GreaterThanOrEqualToThreshold",
    "GreaterThanThreshold",
    "LessThanThreshold",
    "LessThanOrEqualToThreshold",
    "LessThanLowerOrGreaterThanUpperThreshold",
    "LessThanLowerThreshold",
    "GreaterThanUpperThreshold",
]);

pub(super) static PUT_METRIC_ALARM: &[Member] = &[
    required("AlarmName", &UP_TO_255),
    optional("AlarmDescription", &DESCRIPTION),
    optional("ActionsEnabled", &BOOLEAN),
    optional("OKActions", &ACTIONS),
    optional("AlarmActions", &ACTIONS),
    optional("InsufficientDataActions", &ACTIONS),
    optional("MetricName", &UP_TO_255),
    optional("Namespace", &UP_TO_255),
    optional("Statistic", &STATISTIC),
    optional("ExtendedStatistic", &ANY_TEXT),
    optional("Dimensions", &DIMENSIONS),
    optional("Period", &POSITIVE),
    optional("Unit", &UNIT),
    optional("EvaluationPeriods", &POSITIVE),
    optional("DatapointsToAlarm", &POSITIVE),
    optional("Threshold", &DOUBLE),
    optional("ComparisonOperator", &COMPARISON),
    optional("TreatMissingData", &UP_TO_255),
    optional("EvaluateLowSampleCountPercentile", &UP_TO_255),
    optional("Metrics", &METRIC_DATA_QUERIES),
    optional("Tags", &TAGS),
    optional("ThresholdMetricId", &UP_TO_255),
    optional("EvaluationCriteria", &OPAQUE),
    optional("EvaluationInterval", &OPAQUE),
];

static ALARM_NAMES: Shape = list(&UP_TO_255, 0, 100);
static ALARM_TYPE: Shape = Shape::OneOf(&["CompositeAlarm", "MetricAlarm"]);
static ALARM_TYPES: Shape = list(&ALARM_TYPE, 0, UNLIMITED);

pub(super) static ALARM_NAMES_REQUIRED: &[Member] = &[required("AlarmNames", &ALARM_NAMES)];

pub(super) static DESCRIBE_ALARMS: &[Member] = &[
    optional("AlarmNames", &ALARM_NAMES),
    optional("AlarmNamePrefix", &UP_TO_255),
    optional("AlarmTypes", &ALARM_TYPES),
    optional("ChildrenOfAlarmName", &UP_TO_255),
    optional("ParentsOfAlarmName", &UP_TO_255),
    optional("StateValue", &STATE),
    optional("ActionPrefix", &ACTION),
    optional("MaxRecords", &MAX_RECORDS),
    optional("NextToken", &ANY_TEXT),
];

pub(super) static DESCRIBE_ALARMS_FOR_METRIC: &[Member] = &[
    required("MetricName", &UP_TO_255),
    required("Namespace", &UP_TO_255),
    optional("Statistic", &STATISTIC),
    optional("ExtendedStatistic", &ANY_TEXT),
    optional("Dimensions", &DIMENSIONS),
    optional("Period", &POSITIVE),
    optional("Unit", &UNIT),
];

static HISTORY_ITEM_TYPE: Shape = Shape::OneOf(&[
    "ConfigurationUpdate",
    "StateUpdate",
    "Action",
    "AlarmContributorStateUpdate",
    "AlarmContributorAction",
]);

pub(super) static DESCRIBE_ALARM_HISTORY: &[Member] = &[
    optional("AlarmName", &UP_TO_255),
    optional("AlarmContributorId", &OPAQUE),
    optional("AlarmTypes", &ALARM_TYPES),
    optional("HistoryItemType", &HISTORY_ITEM_TYPE),
    optional("StartDate", &TIMESTAMP),
    optional("EndDate", &TIMESTAMP),
    optional("MaxRecords", &MAX_RECORDS),
    optional("NextToken", &ANY_TEXT),
    optional("ScanBy", &SCAN_BY),
];

static STATE_REASON: Shape = text(0, 1_023);
static STATE_REASON_DATA: Shape = text(0, 4_000);

pub(super) static SET_ALARM_STATE: &[Member] = &[
    required("AlarmName", &UP_TO_255),
    required("StateValue", &STATE),
    required("StateReason", &STATE_REASON),
    optional("StateReasonData", &STATE_REASON_DATA),
];

static STATISTIC_SET: Shape = Shape::Structure(&[
    required("SampleCount", &DOUBLE),
    required("Sum", &DOUBLE),
    required("Minimum", &DOUBLE),
    required("Maximum", &DOUBLE),
]);
static DOUBLES: Shape = list(&DOUBLE, 0, UNLIMITED);
static DATUM: Shape = Shape::Structure(&[
    required("MetricName", &UP_TO_255),
    optional("Dimensions", &DIMENSIONS),
    optional("Timestamp", &TIMESTAMP),
    optional("Value", &DOUBLE),
    optional("StatisticValues", &STATISTIC_SET),
    optional("Values", &DOUBLES),
    optional("Counts", &DOUBLES),
    optional("Unit", &UNIT),
    optional("StorageResolution", &POSITIVE),
]);
static DATA: Shape = list(&DATUM, 0, UNLIMITED);

pub(super) static PUT_METRIC_DATA: &[Member] = &[
    required("Namespace", &UP_TO_255),
    optional("MetricData", &DATA),
    optional("EntityMetricData", &OPAQUE),
    optional("StrictEntityValidation", &BOOLEAN),
];

static LABEL_OPTIONS: Shape = Shape::Structure(&[optional("Timezone", &ANY_TEXT)]);

pub(super) static GET_METRIC_DATA: &[Member] = &[
    required("MetricDataQueries", &METRIC_DATA_QUERIES),
    required("StartTime", &TIMESTAMP),
    required("EndTime", &TIMESTAMP),
    optional("NextToken", &ANY_TEXT),
    optional("ScanBy", &SCAN_BY),
    optional("MaxDatapoints", &INTEGER),
    optional("LabelOptions", &LABEL_OPTIONS),
];

static STATISTICS: Shape = list(&STATISTIC, 1, 5);
static EXTENDED_STATISTICS: Shape = list(&ANY_TEXT, 1, 10);

pub(super) static GET_METRIC_STATISTICS: &[Member] = &[
    required("Namespace", &UP_TO_255),
    required("MetricName", &UP_TO_255),
    optional("Dimensions", &DIMENSIONS),
    required("StartTime", &TIMESTAMP),
    required("EndTime", &TIMESTAMP),
    required("Period", &POSITIVE),
    optional("Statistics", &STATISTICS),
    optional("ExtendedStatistics", &EXTENDED_STATISTICS),
    optional("Unit", &UNIT),
];

static DIMENSION_FILTER: Shape = Shape::Structure(&[required("Name", &UP_TO_255), optional("Value", &DIMENSION_VALUE)]);
static DIMENSION_FILTERS: Shape = list(&DIMENSION_FILTER, 0, 10);
static RECENTLY_ACTIVE: Shape = Shape::OneOf(&["PT3H"]);

pub(super) static LIST_METRICS: &[Member] = &[
    optional("Namespace", &UP_TO_255),
    optional("MetricName", &UP_TO_255),
    optional("Dimensions", &DIMENSION_FILTERS),
    optional("NextToken", &ANY_TEXT),
    optional("RecentlyActive", &RECENTLY_ACTIVE),
    optional("IncludeLinkedAccounts", &BOOLEAN),
    optional("OwningAccount", &UP_TO_255),
];

pub(super) static RESOURCE_ARN_ONLY: &[Member] = &[required("ResourceARN", &RESOURCE_ARN)];
pub(super) static TAG_RESOURCE: &[Member] = &[required("ResourceARN", &RESOURCE_ARN), required("Tags", &TAGS)];
pub(super) static UNTAG_RESOURCE: &[Member] = &[required("ResourceARN", &RESOURCE_ARN), required("TagKeys", &TAG_KEYS)];
