//! Shapes of endpoint configurations.

use captura_names::{EndpointConfigName, ModelName, Percent, VariantName};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Tag;

/// Input of `CreateEndpointConfig`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateEndpointConfig {
    /// Its name.
    pub endpoint_config_name: EndpointConfigName,
    /// The variants, in order.
    pub production_variants: Vec<ProductionVariant>,
    /// What is captured.
    pub data_capture_config: Option<DataCaptureConfig>,
    /// Tags of the new configuration.
    #[serde(default)]
    pub tags: Vec<Tag>,
    /// Asynchronous inference.
    pub async_inference_config: Option<AsyncInferenceConfig>,
    /// Explanations.
    #[serde(default)]
    pub explainer_config: Value,
    /// Variants that get copies of the calls.
    #[serde(default)]
    pub shadow_production_variants: Vec<ProductionVariant>,
    /// Role of the instances; without models in the variants, inference components bring them.
    pub execution_role_arn: Option<String>,
    /// Which metrics are published how often, verbatim.
    #[serde(default)]
    pub metrics_config: Value,
}

/// One variant of a configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ProductionVariant {
    /// Its name, unique in the configuration.
    pub variant_name: VariantName,
    /// The model; absent where inference components bring it.
    pub model_name: Option<ModelName>,
    /// Instances at the start.
    pub initial_instance_count: Option<i64>,
    /// Share of the traffic is this over the sum; 1 when absent.
    pub initial_variant_weight: Option<f32>,
    /// Longest time for fetching the model's data, seconds.
    pub model_data_download_timeout_in_seconds: Option<u32>,
    /// Longest time until the model answers, seconds.
    pub container_startup_health_check_timeout_in_seconds: Option<u32>,
    /// How calls are spread over instances.
    #[serde(default)]
    pub routing_config: Value,
    /// Type of instance, verbatim.
    pub instance_type: Option<String>,
    /// Scaling by the service.
    pub managed_instance_scaling: Option<ManagedInstanceScaling>,
    /// Instances that come with the calls.
    pub serverless_config: Option<ServerlessConfig>,
    /// Several instance types, verbatim.
    #[serde(default)]
    pub instance_pools: Value,
}

/// A variant whose instances come with the calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ServerlessConfig {
    /// Memory of an instance, megabytes.
    #[serde(rename = "MemorySizeInMB")]
    pub memory_size_in_mb: u32,
    /// Most calls at the same time.
    pub max_concurrency: u32,
    /// How many of them are always ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provisioned_concurrency: Option<u32>,
}

/// Bounds within which the service scales a variant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ManagedInstanceScaling {
    /// `ENABLED` or `DISABLED`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Fewest instances.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_instance_count: Option<i64>,
    /// Most instances.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_instance_count: Option<i64>,
    /// When instances go, verbatim.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub scale_in_policy: Value,
}

impl ManagedInstanceScaling {
    /// Whether the service scales.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.status.as_deref() == Some("ENABLED")
    }
}

/// How asynchronous invocations are worked off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AsyncInferenceConfig {
    /// Limits of the calls to the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_config: Option<AsyncInferenceClientConfig>,
    /// Where answers go.
    pub output_config: AsyncInferenceOutputConfig,
}

/// Limits of the calls to the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AsyncInferenceClientConfig {
    /// Most calls in flight per instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrent_invocations_per_instance: Option<u32>,
}

/// Where answers go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AsyncInferenceOutputConfig {
    /// Key for the encryption of answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
    /// Below it answers are put.
    #[serde(rename = "S3OutputPath", skip_serializing_if = "Option::is_none")]
    pub s3_output_path: Option<String>,
    /// Below it the words of failures are put.
    #[serde(rename = "S3FailurePath", skip_serializing_if = "Option::is_none")]
    pub s3_failure_path: Option<String>,
    /// Whom to tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notification_config: Option<AsyncInferenceNotificationConfig>,
}

/// Whom to tell of answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AsyncInferenceNotificationConfig {
    /// Told of answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success_topic: Option<String>,
    /// Told of failures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_topic: Option<String>,
    /// Which of them get the answer itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include_inference_response_in: Vec<String>,
}

/// What is captured of an endpoint's calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DataCaptureConfig {
    /// Whether anything is captured; yes when the block is there and says nothing else.
    pub enable_capture: Option<bool>,
    /// Share of calls kept.
    pub initial_sampling_percentage: Percent,
    /// Where the objects go, verbatim.
    #[serde(rename = "DestinationS3Uri")]
    pub destination_s3_uri: String,
    /// Key for the encryption of the objects.
    pub kms_key_id: Option<String>,
    /// Which sides are kept.
    pub capture_options: Vec<CaptureOption>,
    /// Which media types are kept as text.
    pub capture_content_type_header: Option<CaptureContentTypeHeader>,
}

/// One side that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CaptureOption {
    /// Which.
    pub capture_mode: CaptureMode,
}

/// Sides of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CaptureMode {
    /// What is sent.
    Input,
    /// What is answered.
    Output,
    /// Both.
    InputAndOutput,
}

/// Media types whose bodies are kept as text; all others become BASE64.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CaptureContentTypeHeader {
    /// Kept as CSV.
    #[serde(default)]
    pub csv_content_types: Vec<String>,
    /// Kept as JSON.
    #[serde(default)]
    pub json_content_types: Vec<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::hosting::{Operation, read};

    #[test]
    fn reads_every_member_that_is_acted_upon() {
        let input = json!({
            "EndpointConfigName": "c",
            "ProductionVariants": [{"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 2,
                "InstanceType": "ml.new.type", "InitialVariantWeight": 1, "ModelDataDownloadTimeoutInSeconds": 60,
                "ContainerStartupHealthCheckTimeoutInSeconds": 61}],
            "DataCaptureConfig": {"InitialSamplingPercentage": 20, "DestinationS3Uri": "s3://bucket/x/",
                "CaptureOptions": [{"CaptureMode": "InputAndOutput"}],
                "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"]}},
        });
        let input = input.as_object().expect("our bug: an object");
        Operation::CreateEndpointConfig.check(input).unwrap();
        let config: CreateEndpointConfig = read(input).unwrap();
        let variant = &config.production_variants[0];
        assert_eq!(variant.initial_instance_count, Some(2));
        assert_eq!(variant.initial_variant_weight, Some(1.0));
        assert_eq!(variant.model_data_download_timeout_in_seconds, Some(60));
        assert_eq!(variant.container_startup_health_check_timeout_in_seconds, Some(61));
        let capture = config.data_capture_config.unwrap();
        assert_eq!(capture.destination_s3_uri, "s3://bucket/x/");
        assert_eq!(capture.capture_options, [CaptureOption { capture_mode: CaptureMode::InputAndOutput }]);
        assert_eq!(capture.capture_content_type_header.unwrap().csv_content_types, ["text/csv"]);
        assert!(config.explainer_config.is_null());
    }
}
