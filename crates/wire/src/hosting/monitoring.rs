//! Shapes of monitors: job definitions, schedules, lists of executions and alerts.
//!
//! The four families of job definitions differ in the names of their members alone, and an inline definition in those of
//! others again; all five are read into one [`MonitoringJob`].

use std::collections::BTreeMap;

use captura_names::{EndpointName, ResourceKind, Timestamp};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::{SortOrder, Tag, read};
use crate::aws_json::{Fault, read_timestamp};

/// What a monitor looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum MonitoringType {
    /// Whether data still look as they did.
    DataQuality,
    /// Whether answers are still right.
    ModelQuality,
    /// Whether answers are still fair.
    ModelBias,
    /// Whether answers still have the same reasons.
    ModelExplainability,
}

impl MonitoringType {
    /// Every type.
    pub const ALL: [Self; 4] = [Self::DataQuality, Self::ModelQuality, Self::ModelBias, Self::ModelExplainability];

    /// The word for it, with which the members of its job definitions begin.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DataQuality => "DataQuality",
            Self::ModelQuality => "ModelQuality",
            Self::ModelBias => "ModelBias",
            Self::ModelExplainability => "ModelExplainability",
        }
    }

    /// The type of that word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == word)
    }

    /// What its job definitions are.
    #[must_use]
    pub fn kind(self) -> ResourceKind {
        match self {
            Self::DataQuality => ResourceKind::DataQualityJobDefinition,
            Self::ModelQuality => ResourceKind::ModelQualityJobDefinition,
            Self::ModelBias => ResourceKind::ModelBiasJobDefinition,
            Self::ModelExplainability => ResourceKind::ModelExplainabilityJobDefinition,
        }
    }
}

impl MonitoringType {
    /// The operations on its job definitions: create, describe, list, delete.
    pub(super) fn operations(self) -> [&'static str; 4] {
        match self {
            Self::DataQuality => [
                "CreateDataQualityJobDefinition",
                "DescribeDataQualityJobDefinition",
                "ListDataQualityJobDefinitions",
                "DeleteDataQualityJobDefinition",
            ],
            Self::ModelQuality => [
                "CreateModelQualityJobDefinition",
                "DescribeModelQualityJobDefinition",
                "ListModelQualityJobDefinitions",
                "DeleteModelQualityJobDefinition",
            ],
            Self::ModelBias => [
                "CreateModelBiasJobDefinition",
                "DescribeModelBiasJobDefinition",
                "ListModelBiasJobDefinitions",
                "DeleteModelBiasJobDefinition",
            ],
            Self::ModelExplainability => [
                "CreateModelExplainabilityJobDefinition",
                "DescribeModelExplainabilityJobDefinition",
                "ListModelExplainabilityJobDefinitions",
                "DeleteModelExplainabilityJobDefinition",
            ],
        }
    }
}

/// A job of a monitor, from whichever definition.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MonitoringJob {
    /// What data are held against.
    #[serde(default)]
    pub baseline_config: BaselineConfig,
    /// What does the work.
    pub app_specification: MonitoringAppSpecification,
    /// What is looked at.
    pub job_input: JobInput,
    /// Where findings go.
    pub job_output_config: OutputConfig,
    /// On what; only told on.
    pub job_resources: Value,
    /// In which network; only told on.
    #[serde(default)]
    pub network_config: Value,
    /// In whose name.
    pub role_arn: String,
    /// For how long.
    #[serde(default)]
    pub stopping_condition: Option<MonitoringStoppingCondition>,
    /// Tags of a job definition.
    #[serde(default)]
    pub tags: Vec<Tag>,
}

impl MonitoringJob {
    /// Reads a job definition of that type, as it was created.
    ///
    /// # Errors
    /// `SerializationException`, when the definition was not checked.
    pub fn of_definition(monitoring_type: MonitoringType, definition: &Map<String, Value>) -> Result<Self, Fault> {
        let prefix = monitoring_type.as_str();
        let rename =
            |(name, value): (&String, &Value)| (name.strip_prefix(prefix).unwrap_or(name).to_owned(), value.clone());
        read(&definition.iter().map(rename).collect())
    }

    /// Reads a definition that stands inside a schedule.
    ///
    /// # Errors
    /// As [`MonitoringJob::of_definition`].
    pub fn of_inline(definition: &Map<String, Value>) -> Result<Self, Fault> {
        let mut members = definition.clone();
        for (inline, name) in [("MonitoringOutputConfig", "JobOutputConfig"), ("MonitoringResources", "JobResources")] {
            members.extend(definition.get(inline).map(|value| (name.to_owned(), value.clone())));
        }
        let input = definition.get("MonitoringInputs").and_then(|inputs| inputs.get(0)).cloned();
        members.extend(input.map(|input| ("JobInput".to_owned(), input)));
        let mut app = definition.get("MonitoringAppSpecification").cloned().unwrap_or_default();
        if let (Some(app), Some(environment)) = (app.as_object_mut(), definition.get("Environment")) {
            app.insert("Environment".to_owned(), environment.clone());
        }
        members.insert("AppSpecification".to_owned(), app);
        read(&members)
    }
}

/// What data are held against.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct BaselineConfig {
    /// The job that made it.
    pub baselining_job_name: Option<String>,
    /// What must hold.
    pub constraints_resource: S3Resource,
    /// What data looked like.
    pub statistics_resource: S3Resource,
}

/// An object in a store.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct S3Resource {
    /// Its address.
    pub s3_uri: Option<String>,
}

/// What does the work of a monitor.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MonitoringAppSpecification {
    /// Its image.
    pub image_uri: String,
    /// What is started in it.
    #[serde(default)]
    pub container_entrypoint: Vec<String>,
    /// With which arguments.
    #[serde(default)]
    pub container_arguments: Vec<String>,
    /// Script that sees every record before.
    pub record_preprocessor_source_uri: Option<String>,
    /// Script that runs after.
    pub post_analytics_processor_source_uri: Option<String>,
    /// What the model decides; quality of models alone.
    pub problem_type: Option<String>,
    /// What the analysis shall do; bias and explanations alone.
    pub config_uri: Option<String>,
    /// Variables that it is told besides.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

/// What a monitor looks at.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct JobInput {
    /// Captures of an endpoint.
    pub endpoint_input: Option<EndpointInput>,
    /// What transform jobs have captured.
    pub batch_transform_input: Option<BatchTransformInput>,
    /// Labels.
    #[serde(default, rename = "GroundTruthS3Input")]
    pub ground_truth: S3Resource,
}

/// Captures of an endpoint.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EndpointInput {
    /// Which endpoint.
    pub endpoint_name: EndpointName,
    /// What is common to all inputs.
    #[serde(flatten)]
    pub reading: Reading,
}

/// What transform jobs have captured.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct BatchTransformInput {
    /// Where it lies.
    #[serde(rename = "DataCapturedDestinationS3Uri")]
    pub destination_s3_uri: String,
    /// In which format; exactly one.
    pub dataset_format: Map<String, Value>,
    /// What is common to all inputs.
    #[serde(flatten)]
    pub reading: Reading,
}

/// How an input is read.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Reading {
    /// Where it lies in the container.
    pub local_path: String,
    /// As files or as a pipe.
    pub s3_input_mode: Option<String>,
    /// Whether every instance sees everything.
    pub s3_data_distribution_type: Option<String>,
    /// Where the features stand in a body.
    pub features_attribute: Option<String>,
    /// Where the prediction stands.
    pub inference_attribute: Option<String>,
    /// Where its probability stands.
    pub probability_attribute: Option<String>,
    /// From which probability on a row is positive.
    pub probability_threshold_attribute: Option<f64>,
    /// By how much earlier than the schedule's the window begins.
    pub start_time_offset: Option<String>,
    /// By how much earlier it ends.
    pub end_time_offset: Option<String>,
    /// Columns that are left out.
    pub exclude_features_attribute: Option<String>,
}

/// Where findings go.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct OutputConfig {
    /// Exactly one place.
    pub monitoring_outputs: Vec<MonitoringOutput>,
    /// Key that objects are encrypted with.
    pub kms_key_id: Option<String>,
}

/// A place for findings.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MonitoringOutput {
    /// In a store.
    pub s3_output: MonitoringS3Output,
}

/// A place for findings in a store.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MonitoringS3Output {
    /// Its address.
    pub s3_uri: String,
    /// Where the container leaves them.
    pub local_path: String,
    /// When they are carried over.
    pub s3_upload_mode: Option<String>,
}

/// For how long something may run.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MonitoringStoppingCondition {
    /// Seconds.
    pub max_runtime_in_seconds: i64,
}

/// Input of `CreateMonitoringSchedule` and `UpdateMonitoringSchedule`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ScheduleRequest {
    /// Its name.
    pub monitoring_schedule_name: String,
    /// What, and when.
    pub monitoring_schedule_config: MonitoringScheduleConfig,
    /// Its tags.
    #[serde(default)]
    pub tags: Vec<Tag>,
}

/// What is done, and when.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MonitoringScheduleConfig {
    /// When.
    pub schedule_config: Option<ScheduleConfig>,
    /// What, inline.
    pub monitoring_job_definition: Option<Map<String, Value>>,
    /// What, by name.
    pub monitoring_job_definition_name: Option<String>,
    /// What it looks at.
    pub monitoring_type: Option<MonitoringType>,
}

/// When a schedule's executions begin, and which time they look at.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ScheduleConfig {
    /// When.
    pub schedule_expression: String,
    /// Where the window begins, seen from an execution's scheduled time.
    pub data_analysis_start_time: Option<String>,
    /// Where it ends.
    pub data_analysis_end_time: Option<String>,
}

/// Input of `UpdateMonitoringAlert`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateMonitoringAlert {
    /// Whose alert.
    pub monitoring_schedule_name: String,
    /// Which.
    pub monitoring_alert_name: String,
    /// Bad executions that raise it.
    pub datapoints_to_alert: i64,
    /// Among so many of the newest.
    pub evaluation_period: i64,
}

/// Input of the lists of job definitions, schedules, executions, alerts and their history.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MonitoringListRequest {
    /// What the list is ordered by.
    pub sort_by: Option<MonitoringSortBy>,
    /// Which way; newest first when absent.
    pub sort_order: Option<SortOrder>,
    /// Where the page before ended.
    pub next_token: Option<String>,
    /// Longest page.
    pub max_results: Option<u32>,
    /// Only names that contain this.
    pub name_contains: Option<String>,
    /// Only what was created before.
    #[serde(deserialize_with = "moment")]
    pub creation_time_before: Option<Timestamp>,
    /// Only what was created at this time or after.
    #[serde(deserialize_with = "moment")]
    pub creation_time_after: Option<Timestamp>,
    /// Only what was last changed before.
    #[serde(deserialize_with = "moment")]
    pub last_modified_time_before: Option<Timestamp>,
    /// Only what was last changed at this time or after.
    #[serde(deserialize_with = "moment")]
    pub last_modified_time_after: Option<Timestamp>,
    /// Only what was scheduled before.
    #[serde(deserialize_with = "moment")]
    pub scheduled_time_before: Option<Timestamp>,
    /// Only what was scheduled at this time or after.
    #[serde(deserialize_with = "moment")]
    pub scheduled_time_after: Option<Timestamp>,
    /// Only this status.
    pub status_equals: Option<String>,
    /// Only of this endpoint.
    pub endpoint_name: Option<EndpointName>,
    /// Only of this schedule.
    pub monitoring_schedule_name: Option<String>,
    /// Only of this alert.
    pub monitoring_alert_name: Option<String>,
    /// Only of this job definition.
    pub monitoring_job_definition_name: Option<String>,
    /// Only of this type.
    pub monitoring_type_equals: Option<MonitoringType>,
}

/// What a list of monitors is ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum MonitoringSortBy {
    /// By name, without regard to case.
    Name,
    /// By time of creation.
    CreationTime,
    /// By the time that an execution was scheduled for.
    ScheduledTime,
    /// By status.
    Status,
}

fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    read_timestamp(&value).map(Some).ok_or_else(|| serde::de::Error::custom(format!("{value} is no moment")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: &Value) -> Map<String, Value> {
        value.as_object().expect("our bug: an object").clone()
    }

    #[test]
    fn definitions_of_all_families_and_inline_ones_read_alike() {
        let resources =
            json!({"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}});
        let input =
            json!({"EndpointInput": {"EndpointName": "e", "LocalPath": "/in", "ProbabilityThresholdAttribute": 0.7}});
        let output = json!({"MonitoringOutputs": [{"S3Output": {"S3Uri": "s3://b/o", "LocalPath": "/out"}}]});
        let environment = json!({"K": "v"});
        let mut jobs = Vec::new();
        for monitoring_type in MonitoringType::ALL {
            let name = monitoring_type.as_str();
            let definition = object(&json!({
                "JobDefinitionName": "d",
                format!("{name}BaselineConfig"): {"ConstraintsResource": {"S3Uri": "s3://b/c"}},
                format!("{name}AppSpecification"): {"ImageUri": "i", "Environment": environment},
                format!("{name}JobInput"): input,
                format!("{name}JobOutputConfig"): output,
                "JobResources": resources,
                "RoleArn": "r",
            }));
            jobs.push(MonitoringJob::of_definition(monitoring_type, &definition).unwrap());
        }
        let inline = object(&json!({
            "BaselineConfig": {"ConstraintsResource": {"S3Uri": "s3://b/c"}},
            "MonitoringInputs": [input],
            "MonitoringOutputConfig": output,
            "MonitoringResources": resources,
            "MonitoringAppSpecification": {"ImageUri": "i"},
            "Environment": environment,
            "RoleArn": "r",
        }));
        jobs.push(MonitoringJob::of_inline(&inline).unwrap());
        for job in jobs {
            assert_eq!(job.baseline_config.constraints_resource.s3_uri.as_deref(), Some("s3://b/c"));
            assert_eq!(job.app_specification.environment["K"], "v");
            let endpoint = job.job_input.endpoint_input.unwrap();
            assert_eq!(endpoint.endpoint_name.as_str(), "e");
            assert_eq!(endpoint.reading.probability_threshold_attribute, Some(0.7));
            assert_eq!(job.job_output_config.monitoring_outputs[0].s3_output.s3_uri, "s3://b/o");
            assert_eq!(job.job_resources, resources);
        }
    }
}
