//! What `DescribeEndpoint` tells of a row.

use captura_names::ResourceKind;
use captura_wire::aws_json::{Fault, FaultCode};
use captura_wire::hosting::{DataCaptureConfigSummary, EndpointDescription, EndpointStatus, PendingDeploymentSummary};

use super::Desk;
use super::variant_view::{pending_variant, variant};
use crate::catalog::EndpointRow;
use crate::deployment::{DeployedCapture, DeployedVariant, Deployment};
use crate::fleet::Served;
use crate::rollout::{Plan, Rollout};

/// An endpoint as it is told: what is intended, and what is up.
pub(super) struct View<'a> {
    pub(super) served: Option<&'a Served>,
    /// What is in service.
    pub(super) current: Option<&'a Deployment>,
    /// What is under way, if anything is.
    pub(super) pending: Option<&'a Deployment>,
    /// How far traffic has moved to it.
    pub(super) rollout: Option<&'a Rollout>,
    pub(super) plan: Plan,
}

impl View<'_> {
    /// What is under way, where that is more than other weights and counts.
    fn deploying(&self) -> Option<&Deployment> {
        self.pending.filter(|pending| pending.models_of.is_none())
    }
}

pub(super) fn describe(desk: &Desk, endpoint: &EndpointRow) -> Result<EndpointDescription, Fault> {
    let arn = desk.arn_in(&endpoint.region, ResourceKind::Endpoint, endpoint.name.as_str());
    let shown = endpoint.current.as_ref().or(endpoint.pending.as_ref());
    let shown = shown.ok_or_else(|| Fault::new(FaultCode::InternalFailure, "The endpoint has no deployment."))?;
    let is_pending = matches!(endpoint.status, EndpointStatus::Creating | EndpointStatus::Updating);
    let standing = desk.standing.borrow().clone();
    let view = View {
        served: standing.get(&endpoint.id),
        current: endpoint.current.as_ref(),
        pending: endpoint.pending.as_ref().filter(|_| is_pending),
        rollout: endpoint.rollout.as_ref(),
        plan: Plan::of(endpoint.pending.as_ref().unwrap_or(shown)),
    };
    let variants = |of: fn(&Deployment) -> &[DeployedVariant]| {
        let current = view.current.into_iter();
        current.flat_map(|current| of(current).iter().map(|one| variant(&view, current, one))).collect()
    };
    Ok(EndpointDescription {
        endpoint_arn: arn,
        endpoint_config_name: shown.config_name.clone(),
        production_variants: variants(|deployment| &deployment.variants),
        shadow_production_variants: variants(|deployment| &deployment.shadows),
        data_capture_config: view.current.and_then(|current| current.capture.as_ref()).map(capture),
        endpoint_status: endpoint.status,
        failure_reason: endpoint.failure_reason.clone(),
        creation_time: endpoint.created_at,
        last_modified_time: endpoint.modified_at,
        last_deployment_config: view.current.and_then(|current| current.deployment_config.clone()),
        async_inference_config: shown.async_inference.clone(),
        metrics_config: shown.metrics_config.clone(),
        explainer_config: shown.explainer_config.clone(),
        pending_deployment_summary: view.deploying().map(|pending| summary(&view, pending)),
        endpoint_name: endpoint.name.clone(),
    })
}

fn capture(capture: &DeployedCapture) -> DataCaptureConfigSummary {
    let enable_capture = capture.is_enabled();
    DataCaptureConfigSummary {
        enable_capture,
        capture_status: if enable_capture { "Started" } else { "Stopped" },
        current_sampling_percentage: capture.config.initial_sampling_percentage,
        destination_s3_uri: capture.config.destination_s3_uri.clone(),
        kms_key_id: capture.config.kms_key_id.clone().unwrap_or_default(),
    }
}

fn summary(view: &View<'_>, pending: &Deployment) -> PendingDeploymentSummary {
    PendingDeploymentSummary {
        endpoint_config_name: pending.config_name.clone(),
        production_variants: pending.variants.iter().map(|one| pending_variant(view, pending, one)).collect(),
        start_time: pending.started_at,
        shadow_production_variants: pending.shadows.iter().map(|one| pending_variant(view, pending, one)).collect(),
    }
}
