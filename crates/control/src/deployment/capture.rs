//! What is captured of an endpoint's calls, as its configuration and that one's tags say.

use captura_names::S3Uri;
use captura_route::{CaptureSettings, Durability, WhenUnavailable};
use captura_wire::hosting::{CaptureMode, DataCaptureConfig};
use serde::{Deserialize, Serialize};

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

    pub(super) fn settings(&self) -> Option<CaptureSettings> {
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
