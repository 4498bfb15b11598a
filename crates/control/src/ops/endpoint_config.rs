//! Endpoint configurations: variants and data capture. Never edited, and free to be deleted while in use.

use captura_names::{EndpointConfigName, ModelName, ResourceKind, S3Uri, Timestamp};
use captura_wire::aws_json::Fault;
use captura_wire::hosting::{CreateEndpointConfig, ProductionVariant, Tag, read};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Desk, Failure, definition_of, is_given, model, refuse_unsupported, tags};
use crate::catalog::{NewResource, Work};
use crate::deployment::{DeployedCapture, DeployedModel, DeployedVariant, Deployment};

const KIND: ResourceKind = ResourceKind::EndpointConfig;
/// Weight of a variant that states none.
const DEFAULT_WEIGHT: f32 = 1.0;
/// Instances of a variant that states none: here one instance is one loaded model, and there always is one.
const DEFAULT_INSTANCE_COUNT: i64 = 1;

pub(crate) async fn create(desk: &Desk, input: &Map<String, Value>) -> Result<Value, Failure> {
    let request: CreateEndpointConfig = read(input)?;
    refuse_unusable(&request)?;
    let name = request.endpoint_config_name.to_string();
    let arn = desk.arn(KIND, &name);
    let new = NewResource {
        kind: KIND,
        name,
        region: desk.region.clone(),
        created_at: desk.now(),
        definition: with_weights(definition_of(input)),
    };
    desk.act(move |desk, work| {
        let id = desk.insert(work, &new, &request.tags)?;
        for model in request.production_variants.iter().filter_map(|variant| variant.model_name.as_ref()) {
            if work.find(ResourceKind::Model, model.as_str())?.is_none() {
                return Err(Failure::Fault(desk.not_found(ResourceKind::Model, model.as_str())));
            }
        }
        Ok(id)
    })
    .await?;
    Ok(json!({ "EndpointConfigArn": arn }))
}

fn refuse_unusable(request: &CreateEndpointConfig) -> Result<(), Fault> {
    tags::refuse_unusable(&request.tags)?;
    tags::capture_guarantee(&request.tags)?;
    refuse_unsupported("asyncInferenceConfig", "asynchronous inference", is_given(&request.async_inference_config))?;
    refuse_unsupported("explainerConfig", "an explainer", is_given(&request.explainer_config))?;
    let has_shadows = is_given(&request.shadow_production_variants);
    refuse_unsupported("shadowProductionVariants", "shadow variants", has_shadows)?;
    let mut names = Vec::new();
    for (index, variant) in request.production_variants.iter().enumerate() {
        refuse_unsupported_variant(&format!("productionVariants.{}.member", index + 1), variant)?;
        let name = variant.variant_name.as_str().to_ascii_lowercase();
        if names.contains(&name) {
            return Err(Fault::validation(format!(
                "The variant name '{}' is used twice; variant names are unique in an endpoint configuration.",
                variant.variant_name
            )));
        }
        names.push(name);
    }
    if let Some(capture) = &request.data_capture_config {
        let destination = &capture.destination_s3_uri;
        S3Uri::parse(destination).map_err(|error| {
            Fault::validation(format!(
                "Captures cannot go to 'dataCaptureConfig.destinationS3Uri' {destination:?}: {error}."
            ))
        })?;
    }
    Ok(())
}

fn refuse_unsupported_variant(path: &str, variant: &ProductionVariant) -> Result<(), Fault> {
    let at = |member: &str| format!("{path}.{member}");
    refuse_unsupported(&at("serverlessConfig"), "a serverless variant", is_given(&variant.serverless_config))?;
    refuse_unsupported(&at("instancePools"), "instance pools", is_given(&variant.instance_pools))?;
    refuse_unsupported(&at("coreDumpConfig"), "core dumps", is_given(&variant.core_dump_config))?;
    let scales = variant.managed_instance_scaling.get("Status").and_then(Value::as_str) == Some("ENABLED");
    refuse_unsupported(&at("managedInstanceScaling"), "managed instance scaling", scales)?;
    if variant.model_name.is_none() {
        return Err(Fault::validation(format!(
            "'{}' is missing. Variants without a model are for inference components, which captura does not support yet.",
            at("modelName")
        )));
    }
    Ok(())
}

/// SageMaker states the weight of every variant in its answers, and clients compute with it.
fn with_weights(mut definition: Map<String, Value>) -> Map<String, Value> {
    let variants = definition.get_mut("ProductionVariants").and_then(Value::as_array_mut);
    for variant in variants.into_iter().flatten().filter_map(Value::as_object_mut) {
        variant.entry("InitialVariantWeight").or_insert_with(|| json!(DEFAULT_WEIGHT));
    }
    definition
}

pub(crate) async fn describe(desk: &Desk, input: &Map<String, Value>) -> Result<Value, Failure> {
    let name = name_of(input)?;
    desk.act(move |desk, work| {
        let found = work.find(KIND, name.as_str())?;
        let config = found.ok_or_else(|| Failure::Fault(desk.not_found(KIND, name.as_str())))?;
        let arn = desk.arn_in(&config.region, KIND, &config.name);
        let mut members = config.definition;
        members.insert("EndpointConfigArn".into(), json!(arn));
        members.insert("CreationTime".into(), json!(config.created_at.unix_seconds()));
        Ok(Value::Object(members))
    })
    .await
}

pub(crate) async fn delete(desk: &Desk, input: &Map<String, Value>) -> Result<Value, Failure> {
    desk.delete(KIND, name_of(input)?.to_string()).await
}

/// The endpoint's own copy of a configuration and its models.
pub(crate) fn deployment(
    desk: &Desk,
    work: &Work<'_>,
    name: &EndpointConfigName,
    started_at: Timestamp,
) -> Result<Deployment, Failure> {
    let found = work.find(KIND, name.as_str())?;
    let resource = found.ok_or_else(|| Failure::Fault(desk.not_found(KIND, name.as_str())))?;
    let config: CreateEndpointConfig = read(&resource.definition)?;
    let config_tags: Vec<Tag> = work.tags(resource.id)?;
    let mut variants = Vec::new();
    for (index, variant) in config.production_variants.iter().enumerate() {
        let stated = resource.definition.get("ProductionVariants").and_then(|variants| variants.get(index));
        variants.push(deployed_variant(desk, work, variant, stated)?);
    }
    let mode = tags::capture_guarantee(&config_tags)?;
    Ok(Deployment {
        id: Uuid::new_v4(),
        config_name: config.endpoint_config_name,
        started_at,
        variants,
        capture: config.data_capture_config.map(|config| DeployedCapture { config, mode }),
        deployment_config: None,
        models_of: None,
    })
}

fn deployed_variant(
    desk: &Desk,
    work: &Work<'_>,
    variant: &ProductionVariant,
    stated: Option<&Value>,
) -> Result<DeployedVariant, Failure> {
    let model_name = variant.model_name.clone().ok_or_else(|| Fault::validation("The variant names no model."))?;
    let found = work.find(ResourceKind::Model, model_name.as_str())?;
    let resource = found.ok_or_else(|| Failure::Fault(desk.not_found(ResourceKind::Model, model_name.as_str())))?;
    // The model's own spelling, because records are filed under it.
    let model_name = ModelName::parse(&resource.name).unwrap_or(model_name);
    let timeouts =
        [variant.model_data_download_timeout_in_seconds, variant.container_startup_health_check_timeout_in_seconds];
    let load_timeout_s = timeouts.iter().flatten().map(|seconds| u64::from(*seconds)).reduce(|a, b| a + b);
    let startup_timeout_s = variant.container_startup_health_check_timeout_in_seconds.map(u64::from);
    Ok(DeployedVariant {
        name: variant.variant_name.clone(),
        model_name,
        model: DeployedModel { startup_timeout_s, ..model::stored_model(&resource)? },
        weight: variant.initial_variant_weight.unwrap_or(DEFAULT_WEIGHT),
        instance_count: variant.initial_instance_count.unwrap_or(DEFAULT_INSTANCE_COUNT),
        instance_type: stated.and_then(|stated| stated.get("InstanceType")).and_then(Value::as_str).map(str::to_owned),
        routing_config: variant.routing_config.clone(),
        load_timeout_s,
    })
}

fn name_of(input: &Map<String, Value>) -> Result<EndpointConfigName, Fault> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Named {
        endpoint_config_name: EndpointConfigName,
    }
    read::<Named>(input).map(|named| named.endpoint_config_name)
}
