//! Endpoint configurations: variants and data capture. Never edited, and free to be deleted while in use.

use captura_backends::ExplainerSpec;
use captura_names::{EndpointConfigName, ResourceKind, S3Uri, Timestamp};
use captura_wire::aws_json::Fault;
use captura_wire::hosting::{AsyncInferenceConfig, CreateEndpointConfig, ProductionVariant, Tag, read};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Desk, Failure, definition_of, tags, variant};
use crate::catalog::{NewResource, Work};
use crate::deployment::{DeployedCapture, Deployment};

const KIND: ResourceKind = ResourceKind::EndpointConfig;
/// The lists of variants, as requests name them.
const VARIANT_LISTS: [&str; 2] = ["ProductionVariants", "ShadowProductionVariants"];
/// Longest part of a key where objects are files; as the buckets take it.
const FOLDER_NAME_MAX_BYTES: usize = 240;
/// Seconds between two publications of a metric.
const METRIC_FREQUENCIES: [i64; 7] = [10, 30, 60, 120, 180, 240, 300];

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
        for model in all_variants(&request).filter_map(|variant| variant.model_name.as_ref()) {
            if work.find(ResourceKind::Model, model.as_str())?.is_none() {
                return Err(Failure::Fault(desk.not_found(ResourceKind::Model, model.as_str())));
            }
        }
        Ok(id)
    })
    .await?;
    Ok(json!({ "EndpointConfigArn": arn }))
}

fn all_variants(request: &CreateEndpointConfig) -> impl Iterator<Item = &ProductionVariant> {
    request.production_variants.iter().chain(&request.shadow_production_variants)
}

fn refuse_unusable(request: &CreateEndpointConfig) -> Result<(), Fault> {
    tags::refuse_unusable(&request.tags)?;
    tags::capture_guarantee(&request.tags)?;
    let mut names = Vec::new();
    for (list, variants) in [
        ("productionVariants", &request.production_variants),
        ("shadowProductionVariants", &request.shadow_production_variants),
    ] {
        for (index, one) in variants.iter().enumerate() {
            variant::refuse_unusable(&format!("{list}.{}.member", index + 1), one, request)?;
            let name = one.variant_name.as_str().to_ascii_lowercase();
            if names.contains(&name) {
                return Err(Fault::validation(format!(
                    "The variant name '{}' is used twice; variant names are unique in an endpoint configuration.",
                    one.variant_name
                )));
            }
            names.push(name);
        }
    }
    if let Some(capture) = &request.data_capture_config {
        let path = "dataCaptureConfig.destinationS3Uri";
        refuse_no_place("Captures", path, &capture.destination_s3_uri)?;
    }
    if let Some(config) = &request.async_inference_config {
        refuse_unusable_async(config, request)?;
    }
    refuse_unusable_explainer(request)?;
    refuse_unusable_metrics(&request.metrics_config)
}

fn refuse_unusable_explainer(request: &CreateEndpointConfig) -> Result<(), Fault> {
    if request.explainer_config.is_null() {
        return Ok(());
    }
    if all_variants(request).any(|variant| variant.model_name.is_none()) {
        return Err(Fault::validation(
            "'explainerConfig' and variants without a model exclude each other in one endpoint configuration. Leave one of \
             them out.",
        ));
    }
    match ExplainerSpec::read(&request.explainer_config) {
        Ok(_) => Ok(()),
        Err(error) => Err(Fault::validation(format!("'explainerConfig' cannot be carried out: {error}."))),
    }
}

fn refuse_no_place(what: &str, path: &str, uri: &str) -> Result<(), Fault> {
    let refused = |why: &str| Fault::validation(format!("{what} cannot go to '{path}' {uri:?}: {why}."));
    let place = S3Uri::parse(uri).map_err(|error| refused(&error.to_string()))?;
    // What can never be written would hold its segments of the journal for ever, and everybody's records in them.
    if place.key().split('/').any(|part| part.len() > FOLDER_NAME_MAX_BYTES) {
        return Err(refused(&format!("a part of a key between slashes may have {FOLDER_NAME_MAX_BYTES} bytes")));
    }
    Ok(())
}

fn refuse_unusable_async(config: &AsyncInferenceConfig, request: &CreateEndpointConfig) -> Result<(), Fault> {
    let output = &config.output_config;
    for (what, member, uri) in
        [("Answers", "s3OutputPath", &output.s3_output_path), ("Failures", "s3FailurePath", &output.s3_failure_path)]
    {
        if let Some(uri) = uri {
            refuse_no_place(what, &format!("asyncInferenceConfig.outputConfig.{member}"), uri)?;
        }
    }
    let contradicts = |what: &str| {
        Err(Fault::validation(format!(
            "'asyncInferenceConfig' and {what} exclude each other in one endpoint configuration. Leave one of them out."
        )))
    };
    if !request.shadow_production_variants.is_empty() {
        return contradicts("'shadowProductionVariants'");
    }
    if all_variants(request).any(|variant| variant.serverless_config.is_some()) {
        return contradicts("'serverlessConfig'");
    }
    if all_variants(request).any(|variant| variant.model_name.is_none()) {
        return contradicts("variants without a model");
    }
    Ok(())
}

fn refuse_unusable_metrics(config: &Value) -> Result<(), Fault> {
    let Some(seconds) = config.get("MetricPublishFrequencyInSeconds").and_then(Value::as_i64) else { return Ok(()) };
    if METRIC_FREQUENCIES.contains(&seconds) {
        return Ok(());
    }
    let path = "metricsConfig.metricPublishFrequencyInSeconds";
    Err(Fault::validation(format!(
        "1 validation error detected: Value '{seconds}' at '{path}' failed to satisfy constraint: Member must satisfy enum value set: {METRIC_FREQUENCIES:?}"
    )))
}

/// SageMaker states the weight of every variant in its answers, and clients compute with it.
fn with_weights(mut definition: Map<String, Value>) -> Map<String, Value> {
    for list in VARIANT_LISTS {
        let variants = definition.get_mut(list).and_then(Value::as_array_mut);
        for variant in variants.into_iter().flatten().filter_map(Value::as_object_mut) {
            variant.entry("InitialVariantWeight").or_insert_with(|| json!(variant::DEFAULT_WEIGHT));
        }
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
    let deployed = |list: &[ProductionVariant]| -> Result<Vec<_>, Failure> {
        list.iter().map(|one| variant::deployed(desk, work, one)).collect()
    };
    let mode = tags::capture_guarantee(&config_tags)?;
    Ok(Deployment {
        id: Uuid::new_v4(),
        started_at,
        variants: deployed(&config.production_variants)?,
        shadows: deployed(&config.shadow_production_variants)?,
        config_name: config.endpoint_config_name,
        capture: config.data_capture_config.map(|config| DeployedCapture { config, mode }),
        deployment_config: None,
        models_of: None,
        async_inference: config.async_inference_config,
        metrics_config: config.metrics_config,
        explainer_config: config.explainer_config,
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
