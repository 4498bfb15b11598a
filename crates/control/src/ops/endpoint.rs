//! Endpoints: what is asked for is written as a row; the reconciler makes it so.

use captura_names::{EndpointName, ResourceKind};
use captura_wire::aws_json::Fault;
use captura_wire::hosting::{
    CreateEndpoint, DesiredWeightAndCapacity, EndpointStatus, ServerlessUpdateConfig, UpdateEndpoint,
    UpdateEndpointWeightsAndCapacities, read,
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Desk, Failure, definition_of, deployment_config, endpoint_config, endpoint_view, tags};
use crate::catalog::{EndpointRow, NewResource, StateChange, Work};
use crate::deployment::{DeployedVariant, Deployment};

const KIND: ResourceKind = ResourceKind::Endpoint;

pub(crate) async fn create(desk: &Desk, input: &Map<String, Value>) -> Result<Value, Failure> {
    let request: CreateEndpoint = read(input)?;
    tags::refuse_unusable(&request.tags)?;
    let name = request.endpoint_name.to_string();
    let arn = desk.arn(KIND, &name);
    let stated = input.get("DeploymentConfig").cloned();
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
        if let Some(config) = &request.deployment_config {
            deployment_config::refuse_unusable(config, &pending, &desk.alarms)?;
        }
        pending.deployment_config = stated;
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
        endpoint_view::describe(desk, &endpoint).map(super::output).map_err(Failure::from)
    })
    .await
}

pub(crate) async fn update(desk: &Desk, input: &Map<String, Value>) -> Result<Value, Failure> {
    let request: UpdateEndpoint = read(input)?;
    let stated = input.get("DeploymentConfig").cloned();
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
        pending.deployment_config = stated.or(retained);
        if let Some(config) = &pending.deployment_config {
            let config = serde_json::from_value(config.clone())
                .map_err(|error| Fault::validation(format!("The deployment configuration cannot be read: {error}.")))?;
            deployment_config::refuse_unusable(&config, &pending, &desk.alarms)?;
        }
        refuse_lost_components(work, &endpoint, &pending)?;
        begin_update(desk, work, &endpoint, (current, pending))
    });
    let output = updating.await?;
    desk.nudge.notify_one();
    Ok(output)
}

/// Inference components need the variant that they share, and one that has no model of its own.
fn refuse_lost_components(work: &Work<'_>, endpoint: &EndpointRow, pending: &Deployment) -> Result<(), Failure> {
    for component in work.components()? {
        if !component.endpoint.as_str().eq_ignore_ascii_case(endpoint.name.as_str()) {
            continue;
        }
        if pending.variant(&component.variant).is_none_or(|variant| variant.model().is_some()) {
            let (name, variant, config) = (&component.state.name, &component.variant, &pending.config_name);
            let text = format!(
                "Inference component {name} shares variant {variant}, for which the endpoint configuration {config} leaves no \
                 room. Delete the component first."
            );
            return Err(Fault::validation(text).into());
        }
    }
    Ok(())
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
    let variant = pending.variants.iter_mut().find(|variant| variant.name == desired.variant_name);
    let variant = variant.ok_or_else(|| {
        Fault::validation(format!("Could not find variant \"{}\" on endpoint \"{endpoint}\".", desired.variant_name))
    })?;
    if let Some(weight) = desired.desired_weight {
        variant.weight = weight;
    }
    if let Some(update) = desired.serverless_update_config {
        set_serverless(variant, &format!("{path}.serverlessUpdateConfig"), update)?;
    }
    if let Some(count) = desired.desired_instance_count {
        refuse_unusable_count(variant, &format!("{path}.desiredInstanceCount"), count)?;
        variant.instance_count = count;
    }
    Ok(())
}

fn refuse_unusable_count(variant: &DeployedVariant, path: &str, count: i64) -> Result<(), Fault> {
    let name = &variant.name;
    if variant.serverless.is_some() {
        let text = format!("'{path}' does not suit variant {name}: it is serverless. Use ServerlessUpdateConfig.");
        return Err(Fault::validation(text));
    }
    if count == 0 && variant.model().is_some() {
        let text = format!("'{path}' is 0, but variant {name} has a model, and a model needs at least one instance.");
        return Err(Fault::validation(text));
    }
    Ok(())
}

fn set_serverless(variant: &mut DeployedVariant, path: &str, update: ServerlessUpdateConfig) -> Result<(), Fault> {
    let Some(serverless) = &mut variant.serverless else {
        let text = format!("'{path}' does not suit variant {}: it is not serverless.", variant.name);
        return Err(Fault::validation(text));
    };
    serverless.max_concurrency = update.max_concurrency.unwrap_or(serverless.max_concurrency);
    serverless.provisioned_concurrency = update.provisioned_concurrency.or(serverless.provisioned_concurrency);
    match serverless.provisioned_concurrency {
        Some(provisioned) if provisioned > serverless.max_concurrency => Err(Fault::validation(format!(
            "'{path}' would leave ProvisionedConcurrency at {provisioned}, more than MaxConcurrency, which is {}.",
            serverless.max_concurrency
        ))),
        _ => Ok(()),
    }
}

pub(crate) async fn delete(desk: &Desk, input: &Map<String, Value>) -> Result<Value, Failure> {
    let name = name_of(input)?;
    let at = desk.now();
    desk.act(move |desk, work| {
        let endpoint = find(desk, work, &name)?;
        refuse_in_progress(desk, &endpoint)?;
        if work.shares_endpoint(endpoint.name.as_str())? {
            let arn = desk.arn_in(&endpoint.region, KIND, endpoint.name.as_str());
            let text = format!("Cannot delete endpoint \"{arn}\" with inference components. Delete them first.");
            return Err(Fault::validation(text).into());
        }
        work.change_endpoint(&StateChange {
            id: endpoint.id,
            from: endpoint.status,
            to: EndpointStatus::Deleting,
            failure_reason: endpoint.failure_reason,
            current: endpoint.current,
            pending: None,
            rollout: None,
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
        EndpointStatus::InService
        | EndpointStatus::Failed
        | EndpointStatus::OutOfService
        | EndpointStatus::UpdateRollbackFailed => Ok(()),
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
        // After a rollback that failed, an update to a sound configuration is the way out.
        (EndpointStatus::InService | EndpointStatus::UpdateRollbackFailed, Some(current)) => Ok((endpoint, current)),
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
        from: endpoint.status,
        to: EndpointStatus::Updating,
        failure_reason: None,
        rollout: None,
        at: pending.started_at,
        current: Some(current),
        pending: Some(pending),
    })?;
    Ok(json!({ "EndpointArn": arn }))
}

fn name_of(input: &Map<String, Value>) -> Result<EndpointName, Fault> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Named {
        endpoint_name: EndpointName,
    }
    read::<Named>(input).map(|named| named.endpoint_name)
}
