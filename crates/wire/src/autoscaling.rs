//! Application Auto Scaling (awsJson 1.1, 2016-02-06): the operations that SageMaker's users need, and their shapes.
//!
//! Invariant: what is kept is what was sent; an answer of Describe is valid input of Put.
//! Refuses to: decide anything about capacity.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::aws_json::{Fault, FaultCode};

/// What stands before the operation in the target header, dot included.
pub const TARGET_PREFIX: &str = "AnyScaleFrontendService.";

/// Signing name.
pub const SERVICE: &str = "application-autoscaling";

/// An operation of Application Auto Scaling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// States between which numbers the capacity of a resource may be.
    RegisterScalableTarget,
    /// Tells the targets.
    DescribeScalableTargets,
    /// Forgets a target with its policies.
    DeregisterScalableTarget,
    /// States when the capacity changes.
    PutScalingPolicy,
    /// Tells the policies.
    DescribeScalingPolicies,
    /// Forgets a policy.
    DeleteScalingPolicy,
    /// Tells what was done.
    DescribeScalingActivities,
    /// Tells the tags of a target.
    ListTagsForResource,
    /// Adds tags to a target.
    TagResource,
    /// Takes tags off a target.
    UntagResource,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 10] = [
        Self::RegisterScalableTarget,
        Self::DescribeScalableTargets,
        Self::DeregisterScalableTarget,
        Self::PutScalingPolicy,
        Self::DescribeScalingPolicies,
        Self::DeleteScalingPolicy,
        Self::DescribeScalingActivities,
        Self::ListTagsForResource,
        Self::TagResource,
        Self::UntagResource,
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
            Self::RegisterScalableTarget => "RegisterScalableTarget",
            Self::DescribeScalableTargets => "DescribeScalableTargets",
            Self::DeregisterScalableTarget => "DeregisterScalableTarget",
            Self::PutScalingPolicy => "PutScalingPolicy",
            Self::DescribeScalingPolicies => "DescribeScalingPolicies",
            Self::DeleteScalingPolicy => "DeleteScalingPolicy",
            Self::DescribeScalingActivities => "DescribeScalingActivities",
            Self::ListTagsForResource => "ListTagsForResource",
            Self::TagResource => "TagResource",
            Self::UntagResource => "UntagResource",
        }
    }
}

/// Which capacity is meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Target {
    /// Always `sagemaker` here.
    pub service_namespace: String,
    /// `endpoint/<name>/variant/<variant>` or `inference-component/<name>`.
    pub resource_id: String,
    /// `sagemaker:variant:DesiredInstanceCount`, …
    pub scalable_dimension: String,
}

/// Input of `RegisterScalableTarget`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RegisterScalableTarget {
    /// Which capacity.
    #[serde(flatten)]
    pub target: Target,
    /// Least capacity; required for a new target.
    pub min_capacity: Option<i64>,
    /// Most capacity; required for a new target.
    pub max_capacity: Option<i64>,
    /// Role, kept and echoed.
    #[serde(rename = "RoleARN")]
    pub role_arn: Option<String>,
    /// What does not happen for now.
    pub suspended_state: Option<SuspendedState>,
    /// Tags of a new target.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// What does not happen for now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SuspendedState {
    /// No policy takes capacity away.
    pub dynamic_scaling_in_suspended: bool,
    /// No policy adds capacity.
    pub dynamic_scaling_out_suspended: bool,
    /// No schedule changes capacity.
    pub scheduled_scaling_suspended: bool,
}

/// Input of `PutScalingPolicy`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PutScalingPolicy {
    /// Its name.
    pub policy_name: String,
    /// Which capacity.
    #[serde(flatten)]
    pub target: Target,
    /// `StepScaling` (the default) or `TargetTrackingScaling`.
    pub policy_type: Option<String>,
    /// Of step scaling.
    pub step_scaling_policy_configuration: Option<StepScaling>,
    /// Of target tracking.
    pub target_tracking_scaling_policy_configuration: Option<TargetTracking>,
}

/// Capacity follows an alarm in steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StepScaling {
    /// `ChangeInCapacity`, `PercentChangeInCapacity` or `ExactCapacity`.
    pub adjustment_type: Option<String>,
    /// The steps.
    #[serde(default)]
    pub step_adjustments: Vec<StepAdjustment>,
    /// Least change, of `PercentChangeInCapacity`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_adjustment_magnitude: Option<i64>,
    /// Seconds between two changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cooldown: Option<i64>,
    /// How points are put together: `Average`, `Minimum` or `Maximum`; kept and echoed, the alarm decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric_aggregation_type: Option<String>,
}

/// One step: how far beyond the alarm's threshold, and what then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StepAdjustment {
    /// Smallest distance, included; absent for minus infinity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric_interval_lower_bound: Option<f64>,
    /// Largest distance, excluded; absent for infinity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric_interval_upper_bound: Option<f64>,
    /// The change, or the exact capacity.
    pub scaling_adjustment: i64,
}

/// Capacity keeps a metric near a value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TargetTracking {
    /// The value.
    pub target_value: f64,
    /// One of the metrics that have a name here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predefined_metric_specification: Option<PredefinedMetric>,
    /// Any metric that grows when there is too little capacity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customized_metric_specification: Option<CustomizedMetric>,
    /// Seconds after growth in which only larger growth happens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_out_cooldown: Option<i64>,
    /// Seconds after a change in which nothing is taken away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_in_cooldown: Option<i64>,
    /// Nothing is ever taken away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_scale_in: Option<bool>,
}

/// A metric that has a name here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PredefinedMetric {
    /// `SageMakerVariantInvocationsPerInstance`, …
    pub predefined_metric_type: String,
    /// Not used by SageMaker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_label: Option<String>,
}

/// A metric of CloudWatch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CustomizedMetric {
    /// Its name.
    pub metric_name: Option<String>,
    /// Its namespace.
    pub namespace: Option<String>,
    /// Its dimensions.
    #[serde(default)]
    pub dimensions: Vec<Dimension>,
    /// `Average`, `Minimum`, `Maximum`, `SampleCount` or `Sum`.
    pub statistic: Option<String>,
    /// Its unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Metric mathematics.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<Value>,
}

/// A dimension of a metric.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Dimension {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// Filters and paging of the Describe operations.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Describe {
    /// Always `sagemaker` here.
    pub service_namespace: String,
    /// Only these resources.
    #[serde(default)]
    pub resource_ids: Vec<String>,
    /// Only this resource.
    pub resource_id: Option<String>,
    /// Only this dimension.
    pub scalable_dimension: Option<String>,
    /// Only these policies.
    #[serde(default)]
    pub policy_names: Vec<String>,
    /// Most lines in the answer.
    pub max_results: Option<i64>,
    /// Where the answer goes on.
    pub next_token: Option<String>,
}

/// Input of `DeleteScalingPolicy`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteScalingPolicy {
    /// Its name.
    pub policy_name: String,
    /// Which capacity.
    #[serde(flatten)]
    pub target: Target,
}

/// Input of the three operations about tags.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tagging {
    /// The target's ARN.
    #[serde(rename = "ResourceARN")]
    pub resource_arn: String,
    /// Tags to add.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Keys of tags to take off.
    #[serde(default)]
    pub tag_keys: Vec<String>,
}

/// Reads a request into its shape.
///
/// # Errors
/// `ValidationException`, as this service answers everything that it cannot read.
pub fn read<'de, T: Deserialize<'de>>(input: &Map<String, Value>) -> Result<T, Fault> {
    T::deserialize(Value::Object(input.clone()))
        .map_err(|error| Fault::new(FaultCode::ValidationException, format!("1 validation error detected: {error}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn targets_name_operations() {
        for operation in Operation::ALL {
            assert_eq!(Operation::from_target(&format!("{TARGET_PREFIX}{}", operation.name())), Ok(operation));
        }
        let unknown = Operation::from_target("AnyScaleFrontendService.PutScheduledAction").unwrap_err();
        assert_eq!(unknown.code, FaultCode::UnknownOperationException);
    }

    #[test]
    fn policies_are_echoed_as_they_were_sent() {
        let sent = json!({"TargetValue": 70.0, "PredefinedMetricSpecification": {"PredefinedMetricType":
            "SageMakerVariantInvocationsPerInstance"}, "ScaleOutCooldown": 60, "ScaleInCooldown": 300});
        let read = TargetTracking::deserialize(&sent).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), sent);
    }
}
