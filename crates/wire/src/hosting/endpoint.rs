//! Shapes of endpoints.

use captura_names::{EndpointConfigName, EndpointName, Timestamp, VariantName};
use serde::{Deserialize, Serialize};

use super::{DeploymentConfig, Tag};
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
    /// New limits of a serverless variant.
    pub serverless_update_config: Option<ServerlessUpdateConfig>,
}

/// New limits of a serverless variant.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ServerlessUpdateConfig {
    /// Most calls at the same time.
    pub max_concurrency: Option<u32>,
    /// How many of them are always ready.
    pub provisioned_concurrency: Option<u32>,
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

    /// The status as events tell it, e.g. `IN_SERVICE`.
    #[must_use]
    pub fn as_event_str(self) -> String {
        let mut text = String::new();
        for letter in self.as_str().chars() {
            if letter.is_ascii_uppercase() && !text.is_empty() {
                text.push('_');
            }
            text.push(letter.to_ascii_uppercase());
        }
        text
    }

    /// The status of that text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
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
        assert_eq!(EndpointStatus::UpdateRollbackFailed.as_event_str(), "UPDATE_ROLLBACK_FAILED");
    }
}
