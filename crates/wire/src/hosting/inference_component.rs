//! Shapes of inference components.

use std::collections::BTreeMap;

use captura_names::{EndpointName, InferenceComponentName, ModelName, VariantName};
use serde::Deserialize;

use super::{DeploymentConfig, Tag};

/// Input of `CreateInferenceComponent`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateInferenceComponent {
    /// Its name.
    pub inference_component_name: InferenceComponentName,
    /// The endpoint that it shares.
    pub endpoint_name: EndpointName,
    /// The variant whose instances it shares; the endpoint's only one when absent.
    pub variant_name: Option<VariantName>,
    /// Its model, and what it needs.
    pub specification: Option<InferenceComponentSpecification>,
    /// Its models for several types of instances.
    #[serde(default)]
    pub specifications: serde_json::Value,
    /// How many copies there shall be.
    pub runtime_config: Option<InferenceComponentRuntimeConfig>,
    /// Tags of the new component.
    #[serde(default)]
    pub tags: Vec<Tag>,
}

/// Input of `UpdateInferenceComponent`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateInferenceComponent {
    /// Which one.
    pub inference_component_name: InferenceComponentName,
    /// Its new model.
    pub specification: Option<InferenceComponentSpecification>,
    /// Its new models for several types of instances.
    #[serde(default)]
    pub specifications: serde_json::Value,
    /// How many copies there shall be.
    pub runtime_config: Option<InferenceComponentRuntimeConfig>,
    /// In which batches the copies are replaced, and what turns that back.
    pub deployment_config: Option<DeploymentConfig>,
}

/// Input of `UpdateInferenceComponentRuntimeConfig`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateInferenceComponentRuntimeConfig {
    /// Which one.
    pub inference_component_name: InferenceComponentName,
    /// How many copies there shall be.
    pub desired_runtime_config: InferenceComponentRuntimeConfig,
}

/// The model of a component, and what it needs.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InferenceComponentSpecification {
    /// A model that was created.
    pub model_name: Option<ModelName>,
    /// Or what runs it, and where its data lies.
    pub container: Option<InferenceComponentContainer>,
    /// How long its start may take.
    pub startup_parameters: Option<StartupParameters>,
    /// A component that it is an addition to.
    pub base_inference_component_name: Option<InferenceComponentName>,
}

/// What runs a component, and where its data lies.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InferenceComponentContainer {
    /// Picks what runs it.
    pub image: Option<String>,
    /// Where its data lies.
    pub artifact_url: Option<String>,
    /// Environment of the container.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

/// How long the start of a component may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StartupParameters {
    /// For its data.
    pub model_data_download_timeout_in_seconds: Option<u32>,
    /// Until it is healthy.
    pub container_startup_health_check_timeout_in_seconds: Option<u32>,
}

/// How many copies there shall be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InferenceComponentRuntimeConfig {
    /// That many.
    pub copy_count: u32,
}
