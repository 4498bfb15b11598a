//! What `DescribeEndpoint` tells of a row.

use captura_names::ResourceKind;
use captura_wire::aws_json::{Fault, FaultCode};
use captura_wire::hosting::{
    DataCaptureConfigSummary, DeployedImage, EndpointDescription, EndpointStatus, PendingDeploymentSummary,
    PendingProductionVariantSummary, ProductionVariantSummary, VariantStatus,
};

use super::Desk;
use crate::catalog::EndpointRow;
use crate::deployment::{DeployedCapture, DeployedVariant, Deployment};

pub(super) fn describe(desk: &Desk, endpoint: EndpointRow) -> Result<EndpointDescription, Fault> {
    let arn = desk.arn_in(&endpoint.region, ResourceKind::Endpoint, endpoint.name.as_str());
    let shown = endpoint.current.as_ref().or(endpoint.pending.as_ref());
    let shown = shown.ok_or_else(|| Fault::new(FaultCode::InternalFailure, "The endpoint has no deployment."))?;
    let current = endpoint.current.as_ref();
    let variants = current.map(|current| variants(current, endpoint.pending.as_ref())).unwrap_or_default();
    let is_pending = matches!(endpoint.status, EndpointStatus::Creating | EndpointStatus::Updating);
    let pending = endpoint.pending.as_ref().filter(|_| is_pending);
    Ok(EndpointDescription {
        endpoint_arn: arn,
        endpoint_config_name: shown.config_name.clone(),
        production_variants: variants,
        data_capture_config: current.and_then(|current| current.capture.as_ref()).map(capture),
        endpoint_status: endpoint.status,
        failure_reason: endpoint.failure_reason,
        creation_time: endpoint.created_at,
        last_modified_time: endpoint.modified_at,
        last_deployment_config: current.and_then(|current| current.deployment_config.clone()),
        pending_deployment_summary: pending.map(|pending| summary(pending, current.is_some())),
        endpoint_name: endpoint.name,
    })
}

/// Variants in service. While only weights change, what is desired already differs from what is.
fn variants(current: &Deployment, pending: Option<&Deployment>) -> Vec<ProductionVariantSummary> {
    let desired = pending.filter(|pending| pending.models_of == Some(current.id)).unwrap_or(current);
    current
        .variants
        .iter()
        .map(|variant| {
            let wanted = desired.variants.iter().find(|wanted| wanted.name == variant.name).unwrap_or(variant);
            ProductionVariantSummary {
                variant_name: variant.name.clone(),
                deployed_images: vec![DeployedImage {
                    specified_image: variant.model.image.clone(),
                    resolved_image: variant.model.image.clone(),
                    resolution_time: current.started_at,
                }],
                current_weight: variant.weight,
                desired_weight: wanted.weight,
                current_instance_count: variant.instance_count,
                desired_instance_count: wanted.instance_count,
                routing_config: variant.routing_config.clone(),
            }
        })
        .collect()
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

fn summary(pending: &Deployment, is_update: bool) -> PendingDeploymentSummary {
    let status = if is_update { "Updating" } else { "Creating" };
    let variant = |variant: &DeployedVariant| PendingProductionVariantSummary {
        variant_name: variant.name.clone(),
        desired_weight: variant.weight,
        desired_instance_count: variant.instance_count,
        instance_type: variant.instance_type.clone(),
        variant_status: vec![VariantStatus {
            status,
            status_message: format!("Loading model {}.", variant.model_name),
            start_time: pending.started_at,
        }],
    };
    PendingDeploymentSummary {
        endpoint_config_name: pending.config_name.clone(),
        production_variants: pending.variants.iter().map(variant).collect(),
        start_time: pending.started_at,
    }
}
