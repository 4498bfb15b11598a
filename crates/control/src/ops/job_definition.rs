//! Job definitions of monitors: what an execution does. Immutable; executions copy them when they are claimed.

use captura_names::S3Uri;
use captura_wire::aws_json::Fault;
use captura_wire::hosting::{EndpointInput, MonitoringJob, MonitoringType, Reading};
use serde_json::{Map, Value, json};

use super::{Desk, Failure, definition_of, tags, unsupported};
use crate::catalog::{NewResource, Work};
use crate::monitoring::window;

pub(crate) async fn create(desk: &Desk, of: MonitoringType, input: &Map<String, Value>) -> Result<Value, Failure> {
    let job = MonitoringJob::of_definition(of, input)?;
    tags::refuse_unusable(&job.tags)?;
    refuse_unusable(&job, of, &lower_first(of.as_str()))?;
    let name = name_of(input);
    let new = NewResource {
        kind: of.kind(),
        name: name.clone(),
        region: desk.region.clone(),
        created_at: desk.now(),
        definition: definition_of(input),
    };
    let arn = desk.arn(of.kind(), &name);
    desk.act(move |desk, work| {
        refuse_uncaptured(work, job.job_input.endpoint_input.as_ref())?;
        desk.insert(work, &new, &job.tags)
    })
    .await?;
    Ok(json!({ "JobDefinitionArn": arn }))
}

pub(crate) async fn describe(desk: &Desk, of: MonitoringType, input: &Map<String, Value>) -> Result<Value, Failure> {
    let name = name_of(input);
    desk.act(move |desk, work| {
        let found = work.find(of.kind(), &name)?;
        let definition = found.ok_or_else(|| Failure::Fault(desk.not_found(of.kind(), &name)))?;
        let arn = desk.arn_in(&definition.region, of.kind(), &definition.name);
        let mut members = definition.definition;
        complete_network(&mut members);
        members.insert("JobDefinitionArn".into(), json!(arn));
        members.insert("CreationTime".into(), json!(definition.created_at.unix_seconds()));
        Ok(Value::Object(members))
    })
    .await
}

pub(crate) async fn delete(desk: &Desk, of: MonitoringType, input: &Map<String, Value>) -> Result<Value, Failure> {
    desk.delete(of.kind(), name_of(input)).await
}

/// A known client reads both switches of a network without looking whether they are there.
pub(super) fn complete_network(members: &mut Map<String, Value>) {
    let network = members.get_mut("NetworkConfig").and_then(Value::as_object_mut);
    if let Some(network) = network.filter(|network| !network.is_empty()) {
        for name in ["EnableInterContainerTrafficEncryption", "EnableNetworkIsolation"] {
            network.entry(name).or_insert(Value::Bool(false));
        }
    }
}

/// Refuses what AWS refuses of a job beyond the constraints, and what is not done here. `path` is what members of the
/// definition begin with.
pub(super) fn refuse_unusable(job: &MonitoringJob, of: MonitoringType, path: &str) -> Result<(), Fault> {
    let input = &job.job_input;
    let input_path = format!("{path}JobInput");
    let reading = match (&input.endpoint_input, &input.batch_transform_input) {
        (Some(endpoint), None) => &endpoint.reading,
        (None, Some(batch)) => {
            if batch.dataset_format.len() != 1 {
                let text = format!("'{input_path}.batchTransformInput.datasetFormat' must name exactly one format.");
                return Err(Fault::validation(text));
            }
            refuse_no_address(&format!("{input_path}.batchTransformInput"), &batch.destination_s3_uri)?;
            &batch.reading
        }
        _ => {
            let text = format!("'{input_path}' must hold either an EndpointInput or a BatchTransformInput.");
            return Err(Fault::validation(text));
        }
    };
    refuse_unusable_reading(&input_path, reading)?;
    if needs_labels(of) && input.ground_truth.s3_uri.is_none() {
        let text = format!("'{input_path}.groundTruthS3Input.s3Uri' must say where the labels are.");
        return Err(Fault::validation(text));
    }
    let baseline = &job.baseline_config;
    let app = &job.app_specification;
    let addresses = [
        ("groundTruthS3Input.s3Uri", &input.ground_truth.s3_uri),
        ("baselineConfig.constraintsResource.s3Uri", &baseline.constraints_resource.s3_uri),
        ("baselineConfig.statisticsResource.s3Uri", &baseline.statistics_resource.s3_uri),
        ("appSpecification.configUri", &app.config_uri),
        ("appSpecification.recordPreprocessorSourceUri", &app.record_preprocessor_source_uri),
        ("appSpecification.postAnalyticsProcessorSourceUri", &app.post_analytics_processor_source_uri),
    ];
    for (member, address) in addresses {
        if let Some(address) = address {
            refuse_no_address(member, address)?;
        }
    }
    for output in &job.job_output_config.monitoring_outputs {
        refuse_no_address("monitoringOutputs.1.member.s3Output.s3Uri", &output.s3_output.s3_uri)?;
    }
    Ok(())
}

fn refuse_unusable_reading(path: &str, reading: &Reading) -> Result<(), Fault> {
    if reading.s3_input_mode.as_deref() == Some("Pipe") {
        return Err(unsupported(&format!("{path}.s3InputMode"), "input through a pipe"));
    }
    window::moved_back(reading).map(|_| ()).map_err(|error| {
        Fault::validation(format!("'{path}.startTimeOffset' and '{path}.endTimeOffset' cannot be used: each {error}."))
    })
}

fn refuse_no_address(path: &str, address: &str) -> Result<(), Fault> {
    match S3Uri::parse(address) {
        Ok(_) => Ok(()),
        Err(error) => Err(Fault::validation(format!("'{path}' cannot be used: {error}."))),
    }
}

/// Only what an endpoint captures can be looked at.
pub(super) fn refuse_uncaptured(work: &Work<'_>, input: Option<&EndpointInput>) -> Result<(), Failure> {
    let Some(input) = input else { return Ok(()) };
    let name = input.endpoint_name.as_str();
    let endpoint = work.endpoint(name)?;
    let deployment = endpoint.and_then(|endpoint| endpoint.current.or(endpoint.pending));
    if deployment.is_some_and(|deployment| deployment.capture.is_some()) {
        return Ok(());
    }
    Err(Fault::validation(format!("Endpoint '{name}' does not exist or is not valid")).into())
}

/// Whether a type holds answers against labels.
pub(crate) fn needs_labels(of: MonitoringType) -> bool {
    matches!(of, MonitoringType::ModelQuality | MonitoringType::ModelBias)
}

fn name_of(input: &Map<String, Value>) -> String {
    // The input was checked.
    input.get("JobDefinitionName").and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn lower_first(word: &str) -> String {
    let mut characters = word.chars();
    characters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(characters).collect()
}
