//! What is captured of an endpoint's calls, as its configuration and that one's tags say.

use captura_names::{EndpointName, S3Uri};
use captura_route::CaptureSettings;
use captura_wire::hosting::{CaptureMode, DataCaptureConfig};
use serde::{Deserialize, Serialize};

use crate::guarantee::{CaptureGuarantee, Guarantees};

/// What is captured, and how surely.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeployedCapture {
    pub(crate) config: DataCaptureConfig,
    /// What the tags of the configuration say.
    pub(crate) mode: CaptureGuarantee,
}

impl DeployedCapture {
    /// Whether it is switched on; a block that says nothing is.
    pub(crate) fn is_enabled(&self) -> bool {
        self.config.enable_capture.unwrap_or(true)
    }

    pub(super) fn settings(&self, endpoint: &EndpointName, guarantees: &Guarantees) -> Option<CaptureSettings> {
        let (durability, when_unavailable) = guarantees.of(endpoint, self.mode);
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
            durability,
            when_unavailable,
        })
    }
}
