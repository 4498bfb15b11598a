//! Shapes of models.

use std::collections::BTreeMap;

use captura_names::{ContainerHostname, ModelName};
use serde::Deserialize;

use super::Tag;

/// Input of `CreateModel`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateModel {
    /// Its name.
    pub model_name: ModelName,
    /// The one container.
    pub primary_container: Option<ContainerDefinition>,
    /// The containers of a pipeline.
    #[serde(default)]
    pub containers: Vec<ContainerDefinition>,
    /// How calls go through several containers.
    pub inference_execution_config: Option<InferenceExecutionConfig>,
    /// Tags of the new model.
    #[serde(default)]
    pub tags: Vec<Tag>,
    /// Whether its containers reach nothing outside.
    pub enable_network_isolation: Option<bool>,
}

/// How calls go through several containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct InferenceExecutionConfig {
    /// Through all of them, or to the one that the call names.
    pub mode: InferenceExecutionMode,
}

/// How calls go through several containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum InferenceExecutionMode {
    /// Through all of them, in their order.
    Serial,
    /// To the one that the call names.
    Direct,
}

/// What runs a model, and where its data lies.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContainerDefinition {
    /// Its name among several.
    pub container_hostname: Option<ContainerHostname>,
    /// Picks what runs the model.
    pub image: Option<String>,
    /// Whether it has one model or many.
    pub mode: Option<ContainerMode>,
    /// Where the model data lies.
    pub model_data_url: Option<String>,
    /// Where the model data lies, the longer form.
    pub model_data_source: Option<ModelDataSource>,
    /// Further data.
    #[serde(default)]
    pub additional_model_data_sources: Vec<AdditionalModelDataSource>,
    /// Environment of the container.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// A package of the model registry.
    #[serde(default)]
    pub model_package_name: serde_json::Value,
    /// Caching on multi-model endpoints.
    pub multi_model_config: Option<MultiModelConfig>,
}

/// Whether a container has one model or many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum ContainerMode {
    /// One.
    SingleModel,
    /// Many, below a prefix.
    MultiModel,
}

/// Caching on multi-model endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MultiModelConfig {
    /// Whether models stay loaded between calls.
    pub model_cache_setting: Option<ModelCacheSetting>,
}

/// Whether models stay loaded between calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum ModelCacheSetting {
    /// They do.
    Enabled,
    /// They do not.
    Disabled,
}

/// Data beside the model's own.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AdditionalModelDataSource {
    /// Name of the folder that it is found in.
    pub channel_name: String,
    /// Where it lies.
    pub s3_data_source: S3DataSource,
}

/// The longer form of where model data lies.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ModelDataSource {
    /// In S3.
    pub s3_data_source: Option<S3DataSource>,
}

/// Model data in S3.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct S3DataSource {
    /// Object or prefix.
    pub s3_uri: String,
    /// Which of both.
    pub s3_data_type: S3DataType,
    /// How an object is packed.
    pub compression_type: CompressionType,
    /// A model of a hub.
    #[serde(default)]
    pub hub_access_config: serde_json::Value,
    /// A manifest of the objects.
    #[serde(default)]
    pub manifest_s3_uri: serde_json::Value,
}

/// What an address in S3 means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum S3DataType {
    /// All objects below it.
    S3Prefix,
    /// One object.
    S3Object,
}

/// How an object is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum CompressionType {
    /// Not at all.
    None,
    /// As a compressed archive.
    Gzip,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::hosting::{Operation, read};

    #[test]
    fn reads_every_member_that_is_acted_upon() {
        let input = json!({
            "ModelName": "m", "InferenceExecutionConfig": {"Mode": "Direct"}, "Tags": [{"Key": "k", "Value": "v"}],
            "PrimaryContainer": {"Image": "captura/echo", "ModelDataUrl": "s3://bucket/m.tar.gz", "Mode": "SingleModel",
                "Environment": {"A": "b"}, "ContainerHostname": "first",
                "MultiModelConfig": {"ModelCacheSetting": "Disabled"}, "AdditionalModelDataSources": [{"ChannelName": "words",
                "S3DataSource": {"S3Uri": "s3://bucket/w.tar.gz", "S3DataType": "S3Object", "CompressionType": "Gzip"}}],
                "ModelDataSource": {"S3DataSource": {"S3Uri": "s3://bucket/m/",
                "S3DataType": "S3Prefix", "CompressionType": "None"}}},
        });
        let input = input.as_object().expect("our bug: an object");
        Operation::CreateModel.check(input).unwrap();
        let model: CreateModel = read(input).unwrap();
        let container = model.primary_container.unwrap();
        assert_eq!(container.image.as_deref(), Some("captura/echo"));
        assert_eq!(container.model_data_url.as_deref(), Some("s3://bucket/m.tar.gz"));
        let source = container.model_data_source.unwrap().s3_data_source.unwrap();
        assert_eq!(source.s3_uri, "s3://bucket/m/");
        assert_eq!((source.s3_data_type, source.compression_type), (S3DataType::S3Prefix, CompressionType::None));
        assert_eq!(container.container_hostname.unwrap().as_str(), "first");
        assert_eq!(container.mode, Some(ContainerMode::SingleModel));
        let cache = container.multi_model_config.unwrap().model_cache_setting;
        assert_eq!(cache, Some(ModelCacheSetting::Disabled));
        let [words] = container.additional_model_data_sources.as_slice() else { panic!("one channel") };
        assert_eq!(
            (words.channel_name.as_str(), words.s3_data_source.compression_type),
            ("words", CompressionType::Gzip)
        );
        assert_eq!(model.inference_execution_config.unwrap().mode, InferenceExecutionMode::Direct);
        assert_eq!(container.environment["A"], "b");
        assert_eq!(model.tags[0].key, "k");
    }
}
