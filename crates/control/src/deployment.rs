//! What an endpoint has in service: its own copy of a configuration and of its models.
//!
//! SDKs delete an endpoint's configuration before the endpoint, and models may be deleted at any time; the endpoint
//! serves on, and after a restart it must be able to load again. So it keeps everything that loading needs.

use std::collections::BTreeMap;
use std::time::Duration;

use captura_backends::{Launch, Routing};
use captura_names::{EndpointConfigName, EndpointName, ModelName, S3Uri, Timestamp, VariantName};
use captura_route::{CapturePolicy, CaptureSettings, Durability, WhenUnavailable};
use captura_wire::hosting::{CaptureMode, DataCaptureConfig, VariantPropertyType};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

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
    /// What is captured.
    pub(crate) capture: Option<DeployedCapture>,
    /// How traffic was asked to move, verbatim.
    pub(crate) deployment_config: Option<Value>,
    /// The deployment whose loaded models serve on in this one: set when only weights or counts change.
    pub(crate) models_of: Option<Uuid>,
}

/// A variant with its model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct DeployedVariant {
    pub(crate) name: VariantName,
    pub(crate) model_name: ModelName,
    pub(crate) model: DeployedModel,
    pub(crate) weight: f32,
    pub(crate) instance_count: i64,
    pub(crate) instance_type: Option<String>,
    /// How calls are spread over instances, verbatim; null for nothing said.
    pub(crate) routing_config: Value,
    /// Longest time for loading, seconds, where the configuration says so.
    pub(crate) load_timeout_s: Option<u64>,
}

/// How much longer a load may take than its parts together: whoever runs a part ends it in time, in better words.
const LOADING_GRACE: Duration = Duration::from_secs(30);

/// Everything that loading a model needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeployedModel {
    pub(crate) image: String,
    pub(crate) model_data_url: Option<String>,
    pub(crate) environment: BTreeMap<String, String>,
    /// `EnableNetworkIsolation`
    #[serde(default)]
    pub(crate) is_isolated: bool,
    /// `ContainerStartupHealthCheckTimeoutInSeconds` of the variant, where it says so.
    #[serde(default)]
    pub(crate) startup_timeout_s: Option<u64>,
}

/// What is captured, and how surely.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeployedCapture {
    pub(crate) config: DataCaptureConfig,
    pub(crate) mode: CaptureGuarantee,
}

/// How surely records are kept; chosen by tags of the endpoint configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CaptureGuarantee {
    pub(crate) durability: Durability,
    pub(crate) when_unavailable: WhenUnavailable,
}

impl Default for CaptureGuarantee {
    fn default() -> Self {
        Self { durability: Durability::AckAfterWrite, when_unavailable: WhenUnavailable::Serve }
    }
}

impl DeployedCapture {
    /// Whether it is switched on; a block that says nothing is.
    pub(crate) fn is_enabled(&self) -> bool {
        self.config.enable_capture.unwrap_or(true)
    }

    fn settings(&self) -> Option<CaptureSettings> {
        let modes: Vec<CaptureMode> = self.config.capture_options.iter().map(|option| option.capture_mode).collect();
        let keeps = |side| modes.contains(&side) || modes.contains(&CaptureMode::InputAndOutput);
        let content_types = self.config.capture_content_type_header.clone().unwrap_or_default();
        Some(CaptureSettings {
            enabled: self.is_enabled(),
            sampling: self.config.initial_sampling_percentage,
            input: keeps(CaptureMode::Input),
            output: keeps(CaptureMode::Output),
            // Checked when the configuration was created.
            destination: S3Uri::parse(&self.config.destination_s3_uri).ok()?,
            csv_content_types: content_types.csv_content_types,
            json_content_types: content_types.json_content_types,
            kms_key_id: self.config.kms_key_id.clone(),
            durability: self.mode.durability,
            when_unavailable: self.mode.when_unavailable,
        })
    }
}

impl Deployment {
    /// What is captured of one variant's calls.
    pub(crate) fn capture_policy(&self, endpoint: &EndpointName, variant: &DeployedVariant) -> CapturePolicy {
        CapturePolicy {
            endpoint: endpoint.clone(),
            variant: variant.name.clone(),
            model: variant.model_name.clone(),
            endpoint_config: self.config_name.clone(),
            settings: self.capture.as_ref().and_then(DeployedCapture::settings),
        }
    }

    /// Takes over from the deployment in service what an update retains, variants matched by name.
    pub(crate) fn retain(&mut self, current: &Self, excluded: &[VariantPropertyType]) {
        for variant in &mut self.variants {
            let Some(before) = current.variants.iter().find(|before| before.name == variant.name) else { continue };
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
    /// How its instances are brought up.
    pub(crate) fn launch(&self) -> Launch {
        let is_random = self.routing_config.get("RoutingStrategy").and_then(Value::as_str) == Some("RANDOM");
        Launch {
            instances: usize::try_from(self.instance_count).unwrap_or(1).max(1),
            routing: if is_random { Routing::Random } else { Routing::LeastOutstanding },
            startup_timeout: self.model.startup_timeout_s.map(Duration::from_secs),
            ..Launch::default()
        }
    }

    /// Longest time for loading.
    pub(crate) fn load_timeout(&self, default: Duration) -> Duration {
        self.load_timeout_s.map_or(default, |seconds| Duration::from_secs(seconds) + LOADING_GRACE)
    }
}
