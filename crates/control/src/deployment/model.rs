//! An endpoint's own copy of a model.

use std::collections::BTreeMap;

use captura_backends::{AdditionalData, DataForm, ModelSpec, MultiModelSpec, PipelineMode};
use captura_names::ContainerHostname;
use serde::{Deserialize, Serialize};

/// Everything that loading a model needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeployedModel {
    /// The only container, or the first of several.
    #[serde(flatten)]
    pub(crate) first: DeployedContainer,
    /// Those behind it.
    #[serde(default)]
    pub(crate) others: Vec<DeployedContainer>,
    /// Calls go to the container that they name, instead of through all.
    #[serde(default)]
    pub(crate) is_direct: bool,
    /// `EnableNetworkIsolation`
    #[serde(default)]
    pub(crate) is_isolated: bool,
    /// `ContainerStartupHealthCheckTimeoutInSeconds` of the variant, where it says so.
    #[serde(default)]
    pub(crate) startup_timeout_s: Option<u64>,
}

/// One container of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeployedContainer {
    /// Its name, where it has one.
    #[serde(default)]
    pub(crate) hostname: Option<ContainerHostname>,
    pub(crate) image: String,
    /// Where its data is; the prefix of its models where it has many.
    pub(crate) model_data_url: Option<String>,
    pub(crate) environment: BTreeMap<String, String>,
    /// What the address means.
    #[serde(default)]
    pub(crate) data_form: DataForm,
    /// Set when it has many models: whether they stay loaded between calls.
    #[serde(default)]
    pub(crate) many_are_cached: Option<bool>,
    #[serde(default)]
    pub(crate) additional_data: Vec<AdditionalData>,
    /// The SHA-256 that its data must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sha256: Option<String>,
}

impl DeployedModel {
    /// A model of one container.
    pub(crate) fn of(first: DeployedContainer) -> Self {
        Self { first, others: Vec::new(), is_direct: false, is_isolated: false, startup_timeout_s: None }
    }

    /// Its containers, in their order.
    pub(crate) fn containers(&self) -> impl Iterator<Item = &DeployedContainer> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// What the containers are loaded from, with the names that they go by.
    pub(crate) fn specs(&self) -> Vec<(ContainerHostname, ModelSpec)> {
        let spec = |(index, container): (usize, &DeployedContainer)| {
            let hostname = container.hostname.clone().unwrap_or_else(|| hostname_at(index));
            (hostname, container.spec(self.is_isolated))
        };
        self.containers().enumerate().map(spec).collect()
    }

    /// How calls go through the containers; nothing where there is only one to go to.
    pub(crate) fn pipeline_mode(&self) -> Option<PipelineMode> {
        match (self.is_direct, self.others.is_empty()) {
            (true, _) => Some(PipelineMode::Direct),
            (false, false) => Some(PipelineMode::Serial),
            (false, true) => None,
        }
    }
}

impl DeployedContainer {
    /// A container of one model, whose data is as it is found.
    pub(crate) fn new(image: String, model_data_url: Option<String>, environment: BTreeMap<String, String>) -> Self {
        let (hostname, data_form, many_are_cached) = (None, DataForm::AsFound, None);
        let additional_data = Vec::new();
        Self { hostname, image, model_data_url, environment, data_form, many_are_cached, additional_data, sha256: None }
    }

    fn spec(&self, is_isolated: bool) -> ModelSpec {
        ModelSpec {
            image: self.image.clone(),
            model_data_url: self.model_data_url.clone(),
            environment: self.environment.clone(),
            is_isolated,
            multi_model: self.many_are_cached.map(|is_cached| MultiModelSpec { is_cached }),
            data_form: self.data_form,
            sha256: self.sha256.clone(),
            additional_data: self.additional_data.clone(),
        }
    }
}

/// The name of the container at a place, counted from 0, where it was given none.
pub(crate) fn hostname_at(index: usize) -> ContainerHostname {
    ContainerHostname::parse(&format!("container-{}", index + 1)).expect("our bug: letters, a hyphen and digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_as_they_were_kept_before_there_were_pipelines_are_read() {
        let kept = r#"{"image":"echo","model_data_url":null,"environment":{"A":"b"},"is_isolated":true}"#;
        let model: DeployedModel = serde_json::from_str(kept).unwrap();
        assert_eq!((model.first.image.as_str(), model.others.len(), model.is_isolated), ("echo", 0, true));
        assert_eq!(model.pipeline_mode(), None);
        let again = serde_json::from_str(&serde_json::to_string(&model).unwrap()).unwrap();
        assert_eq!(model, again);
    }
}
