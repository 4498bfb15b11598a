//! What an endpoint has in service: its own copy of a configuration and of its models.
//!
//! SDKs delete an endpoint's configuration before the endpoint, and models may be deleted at any time; the endpoint
//! serves on, and after a restart it must be able to load again. So it keeps everything that loading needs.

mod asynchronous;
mod capture;
mod model;

use std::time::Duration;

use captura_backends::{ExplainerSpec, Launch, Routing};
use captura_names::{EndpointConfigName, EndpointName, ModelName, Timestamp, VariantName};
use captura_route::{CapturePolicy, MetricsPolicy};
use captura_wire::hosting::{AsyncInferenceConfig, ManagedInstanceScaling, ServerlessConfig, VariantPropertyType};
pub(crate) use capture::DeployedCapture;
pub(crate) use model::{DeployedContainer, DeployedModel, hostname_at};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::guarantee::Guarantees;

/// A configuration with its models, in service or on its way there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Deployment {
    /// Its identity: another deployment of the same configuration is another one.
    pub(crate) id: Uuid,
    /// The configuration it was made from.
    pub(crate) config_name: EndpointConfigName,
    /// When it was asked for.
    pub(crate) started_at: Timestamp,
    /// The variants, in the order of the configuration.
    pub(crate) variants: Vec<DeployedVariant>,
    /// Variants that get copies of the calls.
    #[serde(default)]
    pub(crate) shadows: Vec<DeployedVariant>,
    /// What is captured.
    pub(crate) capture: Option<DeployedCapture>,
    /// How traffic was asked to move, verbatim.
    pub(crate) deployment_config: Option<Value>,
    /// The deployment whose loaded models serve on in this one: set when only weights or counts change.
    pub(crate) models_of: Option<Uuid>,
    /// Set when calls are taken asynchronously.
    #[serde(default)]
    pub(crate) async_inference: Option<AsyncInferenceConfig>,
    /// Which metrics are published how often, verbatim; null for nothing said.
    #[serde(default)]
    pub(crate) metrics_config: Value,
    /// What explains the answers, verbatim; null where nothing does.
    #[serde(default)]
    pub(crate) explainer_config: Value,
}

/// A variant with its model, or, where inference components bring the models, without one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct DeployedVariant {
    pub(crate) name: VariantName,
    pub(crate) model_name: Option<ModelName>,
    pub(crate) model: Option<DeployedModel>,
    pub(crate) weight: f32,
    /// Instances asked for; one where the variant is serverless.
    pub(crate) instance_count: i64,
    pub(crate) instance_type: Option<String>,
    /// How calls are spread over instances, verbatim; null for nothing said.
    pub(crate) routing_config: Value,
    /// Longest time for loading, seconds, where the configuration says so.
    pub(crate) load_timeout_s: Option<u64>,
    /// Set when instances come with the calls.
    #[serde(default)]
    pub(crate) serverless: Option<ServerlessConfig>,
    /// Bounds within which the service scales.
    #[serde(default)]
    pub(crate) managed_instance_scaling: Option<ManagedInstanceScaling>,
}

/// How much longer a load may take than its parts together: whoever runs a part ends it in time, in better words.
const LOADING_GRACE: Duration = Duration::from_secs(30);

impl Deployment {
    /// Production variants, then shadows.
    pub(crate) fn all_variants(&self) -> impl Iterator<Item = &DeployedVariant> {
        self.variants.iter().chain(&self.shadows)
    }

    /// The production variant of that name.
    pub(crate) fn variant(&self, name: &VariantName) -> Option<&DeployedVariant> {
        self.variants.iter().find(|variant| variant.name == *name)
    }

    /// What explains the answers of every variant; nothing where nothing does.
    pub(crate) fn explainer(&self) -> Result<Option<ExplainerSpec>, String> {
        match &self.explainer_config {
            Value::Null => Ok(None),
            config => ExplainerSpec::read(config).map(Some).map_err(|error| format!("the explainer: {error}")),
        }
    }

    /// Which metrics are published, and how often.
    pub(crate) fn metrics(&self) -> MetricsPolicy {
        let frequency = self.metrics_config.get("MetricPublishFrequencyInSeconds").and_then(Value::as_u64);
        MetricsPolicy {
            enhanced: self.metrics_config.get("EnableEnhancedMetrics") == Some(&Value::Bool(true)),
            every: frequency.map(Duration::from_secs),
        }
    }

    /// What is captured of the calls of one variant's model.
    pub(crate) fn capture_policy(
        &self,
        endpoint: &EndpointName,
        variant: &DeployedVariant,
        model: &ModelName,
        guarantees: &Guarantees,
    ) -> CapturePolicy {
        CapturePolicy {
            endpoint: endpoint.clone(),
            variant: variant.name.clone(),
            model: model.clone(),
            endpoint_config: self.config_name.clone(),
            settings: self.capture.as_ref().and_then(|capture| capture.settings(endpoint, guarantees)),
            signature: None,
            redaction: None,
        }
    }

    /// Takes over from the deployment in service what an update retains, variants matched by name.
    pub(crate) fn retain(&mut self, current: &Self, excluded: &[VariantPropertyType]) {
        for variant in &mut self.variants {
            let Some(before) = current.variant(&variant.name) else { continue };
            if !excluded.contains(&VariantPropertyType::DesiredWeight) {
                variant.weight = before.weight;
            }
            if !excluded.contains(&VariantPropertyType::DesiredInstanceCount) {
                variant.instance_count = before.instance_count;
            }
        }
        if !excluded.contains(&VariantPropertyType::DataCaptureConfig) {
            self.capture.clone_from(&current.capture);
        }
    }
}

impl DeployedVariant {
    /// The model with its name, unless inference components bring the models.
    pub(crate) fn model(&self) -> Option<(&ModelName, &DeployedModel)> {
        self.model_name.as_ref().zip(self.model.as_ref())
    }

    /// How so many instances are brought up.
    pub(crate) fn launch(&self, instances: i64) -> Launch {
        let routing = match self.routing_config.get("RoutingStrategy").and_then(Value::as_str) {
            Some("RANDOM") => Routing::Random,
            // What looks into prompts to choose an instance falls back to this one on AWS too, when it cannot.
            _ => Routing::LeastOutstanding,
        };
        let model = self.model.as_ref();
        Launch {
            instances: usize::try_from(instances).unwrap_or(1).max(1),
            routing,
            startup_timeout: model.and_then(|model| model.startup_timeout_s).map(Duration::from_secs),
            ..Launch::default()
        }
    }

    /// Most calls at the same time, where the configuration says so.
    pub(crate) fn concurrency_max(&self) -> Option<u32> {
        self.serverless.map(|serverless| serverless.max_concurrency)
    }

    /// Whether its model stays loaded though nobody calls.
    pub(crate) fn stays_awake(&self) -> bool {
        self.serverless.is_none_or(|serverless| serverless.provisioned_concurrency.unwrap_or(0) > 0)
    }

    /// Longest time for loading.
    pub(crate) fn load_timeout(&self, default: Duration) -> Duration {
        self.load_timeout_s.map_or(default, |seconds| Duration::from_secs(seconds) + LOADING_GRACE)
    }
}
