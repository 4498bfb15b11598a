//! Shapes of models.

use std::collections::BTreeMap;

use captura_names::ModelName;
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
    /// Tags of the new model.
    #[serde(default)]
    pub tags: Vec<Tag>,
    /// Whether its containers reach nothing outside.
    pub enable_network_isolation: Option<bool>,
}

/// What runs a model, and where its data lies.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContainerDefinition {
    /// Picks what runs the model.
    pub image: Option<String>,
    /// `SingleModel` or `MultiModel`.
    pub mode: Option<String>,
    /// Where the model data lies.
    pub model_data_url: Option<String>,
    /// Where the model data lies, the longer form.
    pub model_data_source: Option<ModelDataSource>,
    /// Further data.
    #[serde(default)]
    pub additional_model_data_sources: serde_json::Value,
    /// Environment of the container.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// A package of the model registry.
    #[serde(default)]
    pub model_package_name: serde_json::Value,
    /// Caching on multi-model endpoints.
    #[serde(default)]
    pub multi_model_config: serde_json::Value,
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
    /// A model of a hub.
    #[serde(default)]
    pub hub_access_config: serde_json::Value,
    /// A manifest of the objects.
    #[serde(default)]
    pub manifest_s3_uri: serde_json::Value,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::hosting::{Operation, read};

    #[test]
    fn reads_every_member_that_is_acted_upon() {
        let input = json!({
            "ModelName": "m", "Tags": [{"Key": "k", "Value": "v"}],
            "PrimaryContainer": {"Image": "captura/echo", "ModelDataUrl": "s3://bucket/m.tar.gz", "Mode": "SingleModel",
                "Environment": {"A": "b"}, "ModelDataSource": {"S3DataSource": {"S3Uri": "s3://bucket/m/",
                "S3DataType": "S3Prefix", "CompressionType": "None"}}},
        });
        let input = input.as_object().expect("our bug: an object");
        Operation::CreateModel.check(input).unwrap();
        let model: CreateModel = read(input).unwrap();
        let container = model.primary_container.unwrap();
        assert_eq!(container.image.as_deref(), Some("captura/echo"));
        assert_eq!(container.model_data_url.as_deref(), Some("s3://bucket/m.tar.gz"));
        assert_eq!(container.model_data_source.unwrap().s3_data_source.unwrap().s3_uri, "s3://bucket/m/");
        assert_eq!(container.environment["A"], "b");
        assert_eq!(model.tags[0].key, "k");
    }
}
