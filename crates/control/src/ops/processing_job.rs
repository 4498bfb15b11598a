//! Processing jobs: what is asked for is written as a row; the reconciler has it run.

use std::collections::BTreeSet;

use captura_names::{Arn, ProcessingJobName, ResourceKind, S3Uri, Timestamp};
use captura_wire::aws_json::{Fault, FaultCode};
use captura_wire::hosting::{CreateProcessingJob, InputMode, ProcessingInput, ProcessingOutput, read};
use serde_json::{Map, Value, json};

use super::{Desk, Failure, refuse_unsupported, tags, unsupported};
use crate::catalog::{JobRow, NewResource, Work};

const KIND: ResourceKind = ResourceKind::ProcessingJob;
/// Most jobs that wait or run.
const OPEN_MAX: u32 = 1_000;
/// Below it lie the folders of inputs and outputs, as programs see them.
const PROCESSING_FOLDER: &str = "/opt/ml/processing/";

/// A job to be.
#[derive(Debug, Clone)]
pub(crate) struct NewJob {
    /// What is asked for.
    pub(crate) request: CreateProcessingJob,
    /// Region of the request.
    pub(crate) region: String,
    /// The monitoring schedule that asks for it.
    pub(crate) schedule_arn: Option<String>,
}

/// Writes a new job, which waits from then on, and returns its ARN. The driver wants a nudge afterwards.
pub(crate) fn begin(work: &Work<'_>, account: &str, new: &NewJob, at: Timestamp) -> Result<String, Failure> {
    let NewJob { request, region, schedule_arn } = new;
    tags::refuse_unusable(&request.tags)?;
    refuse_unusable(request)?;
    let name = request.processing_job_name.to_string();
    let arn = Arn { region: region.clone(), account: account.to_owned(), kind: KIND, name: name.clone() }.to_string();
    if work.count_open_processing_jobs()? >= OPEN_MAX {
        let text = format!(
            "The account-level service limit 'Number of processing jobs that wait or run' is {OPEN_MAX}, and there are as many. \
             Wait until some have ended."
        );
        return Err(Fault::new(FaultCode::ResourceLimitExceeded, text).into());
    }
    let definition = match super::output(request) {
        Value::Object(mut members) => {
            members.shift_remove("Tags");
            members
        }
        _ => Map::new(),
    };
    let new = NewResource { kind: KIND, name, region: region.clone(), created_at: at, definition };
    let Some(id) = work.insert(&new)? else {
        let text = format!(
            "Job name must be unique within an AWS account and region, and a job with this name already exists ({arn})"
        );
        return Err(Fault::new(FaultCode::ResourceInUse, text).into());
    };
    work.add_tags(id, &request.tags)?;
    work.begin_processing_job(id, schedule_arn.as_deref(), at)?;
    Ok(arn)
}

pub(crate) async fn create(desk: &Desk, input: &Map<String, Value>) -> Result<Value, Failure> {
    let request: CreateProcessingJob = read(input)?;
    let new = NewJob { request, region: desk.region.clone(), schedule_arn: None };
    let at = desk.now();
    let arn = desk.act(move |desk, work| begin(work, &desk.account, &new, at)).await?;
    desk.nudge.notify_one();
    Ok(json!({ "ProcessingJobArn": arn }))
}

pub(crate) async fn describe(desk: &Desk, input: &Map<String, Value>) -> Result<Value, Failure> {
    let name = name_of(input)?;
    let job = desk.act(move |_, work| find(work, &name)).await?;
    let arn = desk.arn_in(&job.region, KIND, job.request.processing_job_name.as_str());
    let mut told = super::output(&job.request);
    let network = told.get_mut("NetworkConfig").and_then(Value::as_object_mut).filter(|network| !network.is_empty());
    if let Some(network) = network {
        // A known client reads both without looking whether they are there.
        for name in ["EnableInterContainerTrafficEncryption", "EnableNetworkIsolation"] {
            network.entry(name).or_insert(Value::Bool(false));
        }
    }
    told["ProcessingJobArn"] = json!(arn);
    told["ProcessingJobStatus"] = json!(job.status);
    told["CreationTime"] = json!(job.created_at.unix_seconds());
    told["LastModifiedTime"] = json!(job.modified_at.unix_seconds());
    let seconds = |at: Option<Timestamp>| at.map(|at| json!(at.unix_seconds()));
    for (name, value) in [
        ("ProcessingStartTime", seconds(job.started_at)),
        ("ProcessingEndTime", seconds(job.ended_at)),
        ("ExitMessage", job.exit_message.map(Value::String)),
        ("FailureReason", job.failure_reason.map(Value::String)),
        ("MonitoringScheduleArn", job.schedule_arn.map(Value::String)),
    ] {
        if let Some(value) = value {
            told[name] = value;
        }
    }
    Ok(told)
}

/// What a list tells of a job beyond what it tells of everything.
pub(super) fn complete_summary(summary: &mut Value, job: Option<JobRow>) {
    let Some(job) = job else { return };
    if let Some(at) = job.ended_at {
        summary["ProcessingEndTime"] = json!(at.unix_seconds());
    }
    if let Some(message) = job.exit_message {
        summary["ExitMessage"] = Value::String(message);
    }
    if let Some(reason) = job.failure_reason {
        summary["FailureReason"] = Value::String(reason);
    }
}

pub(crate) async fn stop(desk: &Desk, input: &Map<String, Value>) -> Result<Value, Failure> {
    let name = name_of(input)?;
    let at = desk.now();
    desk.act(move |_, work| {
        let job = find(work, &name)?;
        if job.status.is_terminal() {
            let text =
                format!("The request was rejected because the processing job is in status {}.", job.status.as_str());
            return Err(Fault::validation(text).into());
        }
        work.stop_processing_job(job.id, at)?;
        Ok(())
    })
    .await?;
    desk.nudge.notify_one();
    Ok(json!({}))
}

pub(crate) async fn delete(desk: &Desk, input: &Map<String, Value>) -> Result<Value, Failure> {
    let name = name_of(input)?;
    desk.act(move |_, work| {
        let job = find(work, &name)?;
        if !job.status.is_terminal() {
            let text = format!(
                "The processing job {name} is in status {}; it can be deleted once it has ended.",
                job.status.as_str()
            );
            return Err(Fault::new(FaultCode::ResourceInUse, text).into());
        }
        work.delete(KIND, name.as_str())?;
        Ok(json!({}))
    })
    .await
}

/// A job that is not there.
pub(super) fn not_found(name: &str) -> Fault {
    Fault::new(FaultCode::ResourceNotFound, format!("Could not find requested job with name: {name}"))
}

fn find(work: &Work<'_>, name: &ProcessingJobName) -> Result<JobRow, Failure> {
    work.processing_job(name.as_str())?.ok_or_else(|| not_found(name.as_str()).into())
}

fn name_of(input: &Map<String, Value>) -> Result<ProcessingJobName, Fault> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Named {
        processing_job_name: ProcessingJobName,
    }
    read::<Named>(input).map(|named| named.processing_job_name)
}

/// Refuses what AWS refuses beyond the constraints, and what is not done here.
fn refuse_unusable(request: &CreateProcessingJob) -> Result<(), Fault> {
    let cluster = &request.processing_resources.cluster_config;
    refuse_unsupported(
        "processingResources.clusterConfig.instancePreferences",
        "a choice of instance types",
        cluster.instance_preferences.is_some(),
    )?;
    if request.app_specification.image_uri.trim().is_empty() {
        return Err(Fault::validation("'appSpecification.imageUri' names no image."));
    }
    let (mut names, mut folders) = (BTreeSet::new(), BTreeSet::new());
    for (index, input) in request.processing_inputs.iter().enumerate() {
        let path = format!("processingInputs.{}.member", index + 1);
        refuse_unusable_input(&path, input, &mut folders)?;
        refuse_twice(&path, "inputName", &input.input_name, &mut names)?;
    }
    names.clear();
    let outputs = request.processing_output_config.iter().flat_map(|config| &config.outputs);
    for (index, output) in outputs.enumerate() {
        let path = format!("processingOutputConfig.outputs.{}.member", index + 1);
        refuse_unusable_output(&path, output)?;
        refuse_twice(&path, "outputName", &output.output_name, &mut names)?;
    }
    Ok(())
}

fn refuse_unusable_input<'a>(
    path: &str,
    input: &'a ProcessingInput,
    folders: &mut BTreeSet<&'a str>,
) -> Result<(), Fault> {
    if input.dataset_definition.is_some() {
        return Err(unsupported(&format!("{path}.datasetDefinition"), "a query of Athena or Redshift"));
    }
    let Some(s3) = &input.s3_input else {
        return Err(Fault::validation(format!("'{path}' has no S3Input; say where the data lies.")));
    };
    let is_pipe = s3.s3_input_mode == Some(InputMode::Pipe);
    refuse_unsupported(&format!("{path}.s3Input.s3InputMode"), "input through a pipe", is_pipe)?;
    refuse_unusable_address(&format!("{path}.s3Input.s3Uri"), &s3.s3_uri)?;
    if input.app_managed {
        return Ok(());
    }
    let folder = folder(&format!("{path}.s3Input.localPath"), s3.local_path.as_deref())?;
    if !folders.insert(folder) {
        return Err(Fault::validation(format!(
            "'{path}.s3Input.localPath' is {folder}, which another input has already; each needs a folder of its own."
        )));
    }
    Ok(())
}

fn refuse_unusable_output(path: &str, output: &ProcessingOutput) -> Result<(), Fault> {
    if output.feature_store_output.is_some() {
        return Err(unsupported(&format!("{path}.featureStoreOutput"), "a feature group"));
    }
    let Some(s3) = &output.s3_output else {
        return Err(Fault::validation(format!("'{path}' has no S3Output; say where the data goes.")));
    };
    refuse_unusable_address(&format!("{path}.s3Output.s3Uri"), &s3.s3_uri)?;
    if !output.app_managed {
        folder(&format!("{path}.s3Output.localPath"), s3.local_path.as_deref())?;
    }
    Ok(())
}

fn refuse_unusable_address(path: &str, address: &str) -> Result<(), Fault> {
    match S3Uri::parse(address) {
        Ok(_) => Ok(()),
        Err(error) => Err(Fault::validation(format!("'{path}' cannot be used: {error}."))),
    }
}

/// A folder that a program sees, and that stays below its own when it is put into another one.
fn folder<'a>(path: &str, given: Option<&'a str>) -> Result<&'a str, Fault> {
    let Some(given) = given else {
        return Err(Fault::validation(format!("'{path}' must be given where AppManaged is false.")));
    };
    let folder = given.trim_end_matches('/');
    let is_part = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains(['\\', '\0']);
    match folder.strip_prefix(PROCESSING_FOLDER) {
        Some(rest) if rest.split('/').all(is_part) => Ok(folder),
        _ => Err(Fault::validation(format!(
            "'{path}' is '{given}'; it must begin with {PROCESSING_FOLDER} and hold no empty part, '.' or '..'."
        ))),
    }
}

fn refuse_twice<'a>(path: &str, member: &str, name: &'a str, seen: &mut BTreeSet<&'a str>) -> Result<(), Fault> {
    if seen.insert(name) {
        return Ok(());
    }
    Err(Fault::validation(format!("'{path}.{member}' is '{name}', which another one has already.")))
}
