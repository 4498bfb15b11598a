//! Variants of an endpoint configuration: what of them can be run, and what a deployment keeps of them.
//!
//! Core dumps, capacity reservations, instance pools, accelerators and machine images say something about AWS's
//! machines. They are checked, kept and told, and change nothing here.

use captura_names::{ModelName, ResourceKind};
use captura_wire::aws_json::Fault;
use captura_wire::hosting::{CreateEndpointConfig, ManagedInstanceScaling, ProductionVariant};
use serde_json::Value;

use super::{Desk, Failure, model, refuse_unsupported};
use crate::catalog::Work;
use crate::deployment::{DeployedModel, DeployedVariant};

/// Weight of a variant that states none.
pub(super) const DEFAULT_WEIGHT: f32 = 1.0;
/// Instances of a variant that states none: there always is one.
const DEFAULT_INSTANCE_COUNT: i64 = 1;

/// Refuses a variant that cannot be run as it asks to be.
pub(super) fn refuse_unusable(
    path: &str,
    variant: &ProductionVariant,
    config: &CreateEndpointConfig,
) -> Result<(), Fault> {
    let at = |member: &str| format!("{path}.{member}");
    if variant.model_name.is_none() && config.execution_role_arn.is_none() {
        return Err(Fault::validation(format!(
            "'{}' is missing. A variant without a model waits for inference components, and its endpoint configuration \
             needs an 'executionRoleArn'.",
            at("modelName")
        )));
    }
    let pools = variant.instance_pools.as_array().map(Vec::as_slice).unwrap_or_default();
    let other_models = pools.iter().any(|pool| pool.get("ModelNameOverride").is_some());
    refuse_unsupported(&at("instancePools"), "another model on some instances", other_models)?;
    refuse_unusable_serverless(&at("serverlessConfig"), variant)?;
    match &variant.managed_instance_scaling {
        Some(scaling) => refuse_unusable_scaling(&at("managedInstanceScaling"), scaling, variant),
        None => Ok(()),
    }
}

fn refuse_unusable_serverless(path: &str, variant: &ProductionVariant) -> Result<(), Fault> {
    let Some(serverless) = variant.serverless_config else { return Ok(()) };
    let has_instances = variant.initial_instance_count.is_some()
        || variant.instance_type.is_some()
        || variant.managed_instance_scaling.is_some();
    if has_instances {
        return Err(Fault::validation(format!(
            "'{path}' and instances of its own exclude each other in one variant. Leave out InstanceType, \
             InitialInstanceCount and ManagedInstanceScaling, or ServerlessConfig."
        )));
    }
    if variant.model_name.is_none() {
        return Err(Fault::validation(format!("'{path}' needs a ModelName beside it.")));
    }
    match serverless.provisioned_concurrency {
        Some(provisioned) if provisioned > serverless.max_concurrency => Err(Fault::validation(format!(
            "'{path}.provisionedConcurrency' is {provisioned}, more than 'maxConcurrency', which is {}.",
            serverless.max_concurrency
        ))),
        _ => Ok(()),
    }
}

fn refuse_unusable_scaling(
    path: &str,
    scaling: &ManagedInstanceScaling,
    variant: &ProductionVariant,
) -> Result<(), Fault> {
    let (fewest, most) = (scaling.min_instance_count, scaling.max_instance_count);
    if let (Some(fewest), Some(most)) = (fewest, most)
        && fewest > most
    {
        return Err(Fault::validation(format!(
            "'{path}.minInstanceCount' is {fewest}, more than 'maxInstanceCount', which is {most}."
        )));
    }
    let Some(initial) = variant.initial_instance_count.filter(|_| scaling.is_enabled()) else { return Ok(()) };
    if fewest.is_some_and(|fewest| initial < fewest) || most.is_some_and(|most| initial > most) {
        return Err(Fault::validation(format!("InitialInstanceCount is {initial}, outside of what '{path}' allows.")));
    }
    Ok(())
}

/// The endpoint's own copy of a variant and its model.
pub(super) fn deployed(desk: &Desk, work: &Work<'_>, variant: &ProductionVariant) -> Result<DeployedVariant, Failure> {
    let (model_name, model) = match &variant.model_name {
        None => (None, None),
        Some(name) => {
            let found = work.find(ResourceKind::Model, name.as_str())?;
            let resource = found.ok_or_else(|| Failure::Fault(desk.not_found(ResourceKind::Model, name.as_str())))?;
            // The model's own spelling, because records are filed under it.
            let name = ModelName::parse(&resource.name).unwrap_or_else(|_| name.clone());
            let startup_timeout_s = variant.container_startup_health_check_timeout_in_seconds.map(u64::from);
            (Some(name), Some(DeployedModel { startup_timeout_s, ..model::stored_model(work, &resource)? }))
        }
    };
    let timeouts =
        [variant.model_data_download_timeout_in_seconds, variant.container_startup_health_check_timeout_in_seconds];
    let load_timeout_s = timeouts.iter().flatten().map(|seconds| u64::from(*seconds)).reduce(|a, b| a + b);
    Ok(DeployedVariant {
        name: variant.variant_name.clone(),
        model_name,
        model,
        weight: variant.initial_variant_weight.unwrap_or(DEFAULT_WEIGHT),
        instance_count: initial_instance_count(variant),
        instance_type: variant.instance_type.clone().or_else(|| first_of_pools(&variant.instance_pools)),
        routing_config: variant.routing_config.clone(),
        load_timeout_s,
        serverless: variant.serverless_config,
        managed_instance_scaling: variant.managed_instance_scaling.clone(),
    })
}

fn initial_instance_count(variant: &ProductionVariant) -> i64 {
    let scaling = variant.managed_instance_scaling.as_ref().filter(|scaling| scaling.is_enabled());
    let fewest = scaling.and_then(|scaling| scaling.min_instance_count);
    variant.initial_instance_count.or(fewest).unwrap_or(DEFAULT_INSTANCE_COUNT)
}

/// The type of instance that a variant prefers.
fn first_of_pools(pools: &Value) -> Option<String> {
    let pools = pools.as_array()?;
    let first = pools.iter().min_by_key(|pool| pool.get("Priority").and_then(Value::as_i64))?;
    first.get("InstanceType")?.as_str().map(str::to_owned)
}
