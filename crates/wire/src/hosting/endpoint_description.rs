//! What `DescribeEndpoint` tells.

use captura_names::{EndpointConfigName, EndpointName, Percent, Timestamp, VariantName};
use serde::Serialize;
use serde_json::Value;

use super::{AsyncInferenceConfig, EndpointStatus, ManagedInstanceScaling, ServerlessConfig};
use crate::aws_json::serialize_timestamp;

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
    /// How asynchronous invocations are worked off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub async_inference_config: Option<AsyncInferenceConfig>,
    /// What is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_deployment_summary: Option<PendingDeploymentSummary>,
    /// The variants that get copies of the calls.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shadow_production_variants: Vec<ProductionVariantSummary>,
    /// Which metrics are published how often, verbatim.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub metrics_config: Value,
    /// What explains the answers, verbatim.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub explainer_config: Value,
}

/// A variant in service.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ProductionVariantSummary {
    /// Its name.
    pub variant_name: VariantName,
    /// What runs it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deployed_images: Vec<DeployedImage>,
    /// Weight in force.
    pub current_weight: f32,
    /// Weight asked for.
    pub desired_weight: f32,
    /// Instances there.
    pub current_instance_count: i64,
    /// Instances asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired_instance_count: Option<i64>,
    /// What happens to it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub variant_status: Vec<VariantStatus>,
    /// Limits in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_serverless_config: Option<ServerlessConfig>,
    /// Limits asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired_serverless_config: Option<ServerlessConfig>,
    /// Bounds within which the service scales.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed_instance_scaling: Option<ManagedInstanceScaling>,
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
    /// Its shadows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shadow_production_variants: Vec<PendingProductionVariantSummary>,
}

/// A variant that comes.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct PendingProductionVariantSummary {
    /// As of a variant in service.
    #[serde(flatten)]
    pub summary: ProductionVariantSummary,
    /// Type of instance, verbatim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<String>,
}

/// What happens to a variant.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct VariantStatus {
    /// `Creating`, `Updating`, `Deleting`, `ActivatingTraffic` or `Baking`.
    pub status: &'static str,
    /// In words.
    pub status_message: String,
    /// Since when.
    #[serde(serialize_with = "serialize_timestamp")]
    pub start_time: Timestamp,
}
