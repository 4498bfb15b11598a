//! Endpoints: what is asked for is written as a row; the reconciler makes it so.

use captura_names::{EndpointName, ResourceKind};
use captura_wire::aws_json::Fault;
use captura_wire::hosting::{
    CreateEndpoint, DeploymentConfig, DesiredWeightAndCapacity, EndpointStatus, UpdateEndpoint,
    UpdateEndpointWeightsAndCapacities, read,
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Desk, Failure, definition_of, endpoint_config, endpoint_view, is_given, refuse_unsupported, tags};
use crate::catalog::{EndpointRow, NewResource, StateChange, Work};
use crate::deployment::Deployment;

const KIND: ResourceKind = ResourceKind::Endpoint;

pub(crate) async fn create(desk: &Desk, input: &Map<String, Value>) -> Result<Value, Failure> {
    let request: CreateEndpoint = read(input)?;
    tags::refuse_unusable(&request.tags)?;
    refuse_unsupported_deployment(request.deployment_config.as_ref())?;
    let name = request.endpoint_name.to_string();
    let arn = desk.arn(KIND, &name);
    let deployment_config = input.get("DeploymentConfig").cloned();
    let new = NewResource {
        kind: KIND,
        name,
        region: desk.region.clone(),
        created_at: desk.now(),
        definition: definition_of(input),
    };
    desk.act(move |desk, work| {
        let id = desk.insert(work, &new, &request.tags)?;
        let mut pending = endpoint_config::deployment(desk, work, &request.endpoint_config_name, new.created_at)?;
        pending.deployment_config = deployment_config;
        Ok(work.begin_endpoint(id, &pending, new.created_at)?)
    })
    .await?;
    desk.nudge.notify_one();
    Ok(json!({ "EndpointArn": arn }))
}

pub(crate) async fn describe(desk: &Desk, input: &Map<String, Value>) -> Result<Value, Failure> {
    let name = name_of(input)?;
    desk.act(move |desk, work| {
        let endpoint = find(desk, work, &name)?;
        endpoint_view::describe(desk, endpoint).map(super::output).map_err(Failure::from)
    })
    .await
}

pub(crate) async fn update(desk: &Desk, input: &Map<String, Value>) -> Result<Value, Failure> {
    let request: UpdateEndpoint = read(input)?;
    refuse_unsupported_deployment(request.deployment_config.as_ref())?;
    let deployment_config = input.get("DeploymentConfig").cloned();
    let at = desk.now();
    let updating = desk.act(move |desk, work| {
        let (endpoint, current) = find_in_service(desk, work, &request.endpoint_name)?;
        let mut pending = endpoint_config::deployment(desk, work, &request.endpoint_config_name, at)?;
        if request.retain_all_variant_properties {
            let excluded: Vec<_> = request
                .exclude_retained_variant_properties
                .iter()
                .map(|property| property.variant_property_type)
                .collect();
            pending.retain(&current, &excluded);
        }
        let retained = request.retain_deployment_config.then(|| current.deployment_config.clone()).flatten();
        pending.deployment_config = deployment_config.or(retained);
        begin_update(desk, work, &endpoint, (current, pending))
    });
    let output = updating.await?;
    desk.nudge.notify_one();
    Ok(output)
}

pub(crate) async fn update_weights(desk: &Desk, input: &Map<String, Value>) -> Result<Value, Failure> {
    let request: UpdateEndpointWeightsAndCapacities = read(input)?;
    let at = desk.now();
    let updating = desk.act(move |desk, work| {
        let (endpoint, current) = find_in_service(desk, work, &request.endpoint_name)?;
        let mut pending =
            Deployment { id: Uuid::new_v4(), started_at: at, models_of: Some(current.id), ..current.clone() };
        let mut seen = Vec::new();
        for (index, desired) in request.desired_weights_and_capacities.iter().enumerate() {
            if seen.contains(&&desired.variant_name) {
                return Err(Fault::validation(format!("The variant '{}' is named twice.", desired.variant_name)).into());
            }
            seen.push(&desired.variant_name);
            set_desired(&mut pending, index, desired, &request.endpoint_name)?;
        }
        begin_update(desk, work, &endpoint, (current, pending))
    });
    let output = updating.await?;
    desk.nudge.notify_one();
    Ok(output)
}

fn set_desired(
    pending: &mut Deployment,
    index: usize,
    desired: &DesiredWeightAndCapacity,
    endpoint: &EndpointName,
) -> Result<(), Fault> {
    let path = format!("desiredWeightsAndCapacities.{}.member", index + 1);
    let is_serverless = is_given(&desired.serverless_update_config);
    refuse_unsupported(&format!("{path}.serverlessUpdateConfig"), "a serverless variant", is_serverless)?;
    let variant = pending.variants.iter_mut().find(|variant| variant.name == desired.variant_name);
    let variant = variant.ok_or_else(|| {
        Fault::validation(format!("Could not find variant \"{}\" on endpoint \"{endpoint}\".", desired.variant_name))
    })?;
    if let Some(weight) = desired.desired_weight {
        variant.weight = weight;
    }
    if let Some(count) = desired.desired_instance_count {
        refuse_unsupported(&format!("{path}.desiredInstanceCount"), "scaling to zero instances", count == 0)?;
        variant.instance_count = count;
    }
    Ok(())
}

pub(crate) async fn delete(desk: &Desk, input: &Map<String, Value>) -> Result<Value, Failure> {
    let name = name_of(input)?;
    let at = desk.now();
    desk.act(move |desk, work| {
        let endpoint = find(desk, work, &name)?;
        refuse_in_progress(desk, &endpoint)?;
        work.change_endpoint(&StateChange {
            id: endpoint.id,
            from: endpoint.status,
            to: EndpointStatus::Deleting,
            failure_reason: endpoint.failure_reason,
            current: endpoint.current,
            pending: None,
            at,
        })?;
        Ok(())
    })
    .await?;
    desk.nudge.notify_one();
    Ok(json!({}))
}

fn find(desk: &Desk, work: &Work<'_>, name: &EndpointName) -> Result<EndpointRow, Failure> {
    work.endpoint(name.as_str())?.ok_or_else(|| desk.not_found(KIND, name.as_str()).into())
}

fn refuse_in_progress(desk: &Desk, endpoint: &EndpointRow) -> Result<(), Fault> {
    match endpoint.status {
        EndpointStatus::InService | EndpointStatus::Failed | EndpointStatus::OutOfService => Ok(()),
        _ => {
            let arn = desk.arn_in(&endpoint.region, KIND, endpoint.name.as_str());
            Err(Fault::validation(format!("Cannot update in-progress endpoint \"{arn}\".")))
        }
    }
}

/// An endpoint that may be updated, with what it has in service.
fn find_in_service(desk: &Desk, work: &Work<'_>, name: &EndpointName) -> Result<(EndpointRow, Deployment), Failure> {
    let mut endpoint = find(desk, work, name)?;
    refuse_in_progress(desk, &endpoint)?;
    match (endpoint.status, endpoint.current.take()) {
        (EndpointStatus::InService, Some(current)) => Ok((endpoint, current)),
        (status, _) => {
            let arn = desk.arn_in(&endpoint.region, KIND, endpoint.name.as_str());
            let advice = match status {
                EndpointStatus::OutOfService => "wait until it is in service",
                _ => "delete it and create it again",
            };
            let text = format!("Cannot update endpoint \"{arn}\" in status {}: {advice}.", status.as_str());
            Err(Fault::validation(text).into())
        }
    }
}

fn begin_update(
    desk: &Desk,
    work: &Work<'_>,
    endpoint: &EndpointRow,
    (current, pending): (Deployment, Deployment),
) -> Result<Value, Failure> {
    let arn = desk.arn_in(&endpoint.region, KIND, endpoint.name.as_str());
    work.change_endpoint(&StateChange {
        id: endpoint.id,
        from: EndpointStatus::InService,
        to: EndpointStatus::Updating,
        failure_reason: None,
        at: pending.started_at,
        current: Some(current),
        pending: Some(pending),
    })?;
    Ok(json!({ "EndpointArn": arn }))
}

/// Only all at once is done so far; it needs no configuration, and one that says so is accepted.
fn refuse_unsupported_deployment(config: Option<&DeploymentConfig>) -> Result<(), Fault> {
    let Some(config) = config else { return Ok(()) };
    let kind =
        config.blue_green_update_policy.as_ref().map(|policy| policy.traffic_routing_configuration.kind.as_str());
    let moves_in_steps = kind.is_some_and(|kind| kind != "ALL_AT_ONCE");
    refuse_unsupported("deploymentConfig.blueGreenUpdatePolicy", "moving traffic in steps", moves_in_steps)?;
    let is_rolling = is_given(&config.rolling_update_policy);
    refuse_unsupported("deploymentConfig.rollingUpdatePolicy", "a rolling update", is_rolling)?;
    let alarms = config.auto_rollback_configuration.get("Alarms");
    refuse_unsupported("deploymentConfig.autoRollbackConfiguration", "rolling back on alarms", alarms.is_some())
}

fn name_of(input: &Map<String, Value>) -> Result<EndpointName, Fault> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Named {
        endpoint_name: EndpointName,
    }
    read::<Named>(input).map(|named| named.endpoint_name)
}
