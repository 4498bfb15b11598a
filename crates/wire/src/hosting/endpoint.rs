//! Shapes of endpoints.

use captura_names::{EndpointConfigName, EndpointName, Percent, Timestamp, VariantName};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Tag;
use crate::aws_json::serialize_timestamp;

/// Input of `CreateEndpoint`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateEndpoint {
    /// Its name.
    pub endpoint_name: EndpointName,
    /// The configuration to put into service.
    pub endpoint_config_name: EndpointConfigName,
    /// How traffic moves.
    pub deployment_config: Option<DeploymentConfig>,
    /// Tags of the new endpoint.
    #[serde(default)]
    pub tags: Vec<Tag>,
}

/// Input of `UpdateEndpoint`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateEndpoint {
    /// Its name.
    pub endpoint_name: EndpointName,
    /// The configuration to put into service.
    pub endpoint_config_name: EndpointConfigName,
    /// Whether weights, counts and data capture stay as they are.
    #[serde(default)]
    pub retain_all_variant_properties: bool,
    /// Which of them do not stay.
    #[serde(default)]
    pub exclude_retained_variant_properties: Vec<VariantProperty>,
    /// How traffic moves.
    pub deployment_config: Option<DeploymentConfig>,
    /// Whether traffic moves as the last time.
    #[serde(default)]
    pub retain_deployment_config: bool,
}

/// A property that may stay over an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct VariantProperty {
    /// Which.
    pub variant_property_type: VariantPropertyType,
}

/// Properties that may stay over an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum VariantPropertyType {
    /// Number of instances.
    DesiredInstanceCount,
    /// Weight.
    DesiredWeight,
    /// What is captured.
    DataCaptureConfig,
}

/// How traffic moves to a new configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeploymentConfig {
    /// New beside old.
    pub blue_green_update_policy: Option<BlueGreenUpdatePolicy>,
    /// Batch by batch.
    #[serde(default)]
    pub rolling_update_policy: Value,
    /// Back to the old one on alarm.
    #[serde(default)]
    pub auto_rollback_configuration: Value,
}

/// New beside old.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct BlueGreenUpdatePolicy {
    /// In which steps.
    pub traffic_routing_configuration: TrafficRoutingConfiguration,
}

/// In which steps traffic moves.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TrafficRoutingConfiguration {
    /// `ALL_AT_ONCE`, `CANARY` or `LINEAR`.
    #[serde(rename = "Type")]
    pub kind: String,
}

/// Input of `UpdateEndpointWeightsAndCapacities`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateEndpointWeightsAndCapacities {
    /// Its name.
    pub endpoint_name: EndpointName,
    /// What changes.
    pub desired_weights_and_capacities: Vec<DesiredWeightAndCapacity>,
}

/// What changes of one variant.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DesiredWeightAndCapacity {
    /// Which variant.
    pub variant_name: VariantName,
    /// Its new weight.
    pub desired_weight: Option<f32>,
    /// Its new number of instances.
    pub desired_instance_count: Option<i64>,
    /// Serverless.
    #[serde(default)]
    pub serverless_update_config: Value,
}

/// State of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EndpointStatus {
    /// Cannot take calls.
    OutOfService,
    /// Comes into being.
    Creating,
    /// Changes; the old configuration serves.
    Updating,
    /// Under maintenance.
    SystemUpdating,
    /// Goes back to the old configuration.
    RollingBack,
    /// Serves.
    InService,
    /// Goes away.
    Deleting,
    /// Does not serve, and will not.
    Failed,
    /// Could not go back.
    UpdateRollbackFailed,
}

impl EndpointStatus {
    const ALL: [Self; 9] = [
        Self::OutOfService,
        Self::Creating,
        Self::Updating,
        Self::SystemUpdating,
        Self::RollingBack,
        Self::InService,
        Self::Deleting,
        Self::Failed,
        Self::UpdateRollbackFailed,
    ];

    /// The status as clients read it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OutOfService => "OutOfService",
            Self::Creating => "Creating",
            Self::Updating => "Updating",
            Self::SystemUpdating => "SystemUpdating",
            Self::RollingBack => "RollingBack",
            Self::InService => "InService",
            Self::Deleting => "Deleting",
            Self::Failed => "Failed",
            Self::UpdateRollbackFailed => "UpdateRollbackFailed",
        }
    }

    /// The status of that text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// Output of `DescribeEndpoint`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct EndpointDescription {
    /// Its name, case preserved.
    pub endpoint_name: EndpointName,
    /// Its ARN.
    pub endpoint_arn: String,
    /// The configuration in service.
    pub endpoint_config_name: EndpointConfigName,
    /// The variants in service; absent before there are any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub production_variants: Vec<ProductionVariantSummary>,
    /// What is captured now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_capture_config: Option<DataCaptureConfigSummary>,
    /// Its state.
    pub endpoint_status: EndpointStatus,
    /// Why it failed, or why the last update did; at most 1024 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    /// When it was created.
    #[serde(serialize_with = "serialize_timestamp")]
    pub creation_time: Timestamp,
    /// When its state last changed.
    #[serde(serialize_with = "serialize_timestamp")]
    pub last_modified_time: Timestamp,
    /// How traffic moved the last time, verbatim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_deployment_config: Option<Value>,
    /// What is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_deployment_summary: Option<PendingDeploymentSummary>,
}

/// A variant in service.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ProductionVariantSummary {
    /// Its name.
    pub variant_name: VariantName,
    /// What runs it.
    pub deployed_images: Vec<DeployedImage>,
    /// Weight in force.
    pub current_weight: f32,
    /// Weight asked for.
    pub desired_weight: f32,
    /// Instances there.
    pub current_instance_count: i64,
    /// Instances asked for.
    pub desired_instance_count: i64,
    /// How calls are spread, verbatim.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub routing_config: Value,
}

/// An image that runs a variant.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeployedImage {
    /// As the model names it.
    pub specified_image: String,
    /// As it was found.
    pub resolved_image: String,
    /// When.
    #[serde(serialize_with = "serialize_timestamp")]
    pub resolution_time: Timestamp,
}

/// What is captured now.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DataCaptureConfigSummary {
    /// Whether it is switched on.
    pub enable_capture: bool,
    /// `Started` or `Stopped`.
    pub capture_status: &'static str,
    /// Share of calls kept.
    pub current_sampling_percentage: Percent,
    /// Where the objects go.
    #[serde(rename = "DestinationS3Uri")]
    pub destination_s3_uri: String,
    /// Key for the encryption of the objects, empty for none.
    pub kms_key_id: String,
}

/// A deployment under way.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct PendingDeploymentSummary {
    /// The configuration that comes.
    pub endpoint_config_name: EndpointConfigName,
    /// Its variants.
    pub production_variants: Vec<PendingProductionVariantSummary>,
    /// Since when.
    #[serde(serialize_with = "serialize_timestamp")]
    pub start_time: Timestamp,
}

/// A variant that comes.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct PendingProductionVariantSummary {
    /// Its name.
    pub variant_name: VariantName,
    /// Weight asked for.
    pub desired_weight: f32,
    /// Instances asked for.
    pub desired_instance_count: i64,
    /// Type of instance, verbatim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<String>,
    /// What happens to it.
    pub variant_status: Vec<VariantStatus>,
}

/// What happens to a variant.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct VariantStatus {
    /// `Creating`, `Updating`, …
    pub status: &'static str,
    /// In words.
    pub status_message: String,
    /// Since when.
    #[serde(serialize_with = "serialize_timestamp")]
    pub start_time: Timestamp,
}

/// One line of `ListEndpoints`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct EndpointSummary {
    /// Its name.
    pub endpoint_name: EndpointName,
    /// Its ARN.
    pub endpoint_arn: String,
    /// When it was created.
    #[serde(serialize_with = "serialize_timestamp")]
    pub creation_time: Timestamp,
    /// When its state last changed.
    #[serde(serialize_with = "serialize_timestamp")]
    pub last_modified_time: Timestamp,
    /// Its state.
    pub endpoint_status: EndpointStatus,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_round_trip() {
        for status in EndpointStatus::ALL {
            assert_eq!(EndpointStatus::parse(status.as_str()), Some(status));
        }
        assert_eq!(EndpointStatus::parse("inservice"), None);
    }
}
