//! Shapes of processing jobs. They are written as well as read: a monitoring schedule asks for its jobs in the same words
//! as a client does.

use std::collections::BTreeMap;

use captura_names::ProcessingJobName;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Tag;

/// Input of `CreateProcessingJob`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateProcessingJob {
    /// What it finds in its folders.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processing_inputs: Vec<ProcessingInput>,
    /// What is kept of its folders.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processing_output_config: Option<ProcessingOutputConfig>,
    /// Its name.
    pub processing_job_name: ProcessingJobName,
    /// What it runs on.
    pub processing_resources: ProcessingResources,
    /// When it is ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopping_condition: Option<StoppingCondition>,
    /// What is run.
    pub app_specification: AppSpecification,
    /// Environment of the container.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// What it may reach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_config: Option<Value>,
    /// In whose name it runs on AWS.
    pub role_arn: String,
    /// Tags of the new job.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// The experiment that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experiment_config: Option<Value>,
}

/// Something that a job finds in a folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ProcessingInput {
    /// Its name.
    pub input_name: String,
    /// Whether the program fetches it by itself.
    #[serde(default)]
    pub app_managed: bool,
    /// Where it lies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3_input: Option<ProcessingS3Input>,
    /// A query of Athena or Redshift.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset_definition: Option<Value>,
}

/// Objects, and the folder that they are put into.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ProcessingS3Input {
    /// Object, prefix or manifest.
    pub s3_uri: String,
    /// The folder, as the program sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_path: Option<String>,
    /// What the address means.
    pub s3_data_type: InputDataType,
    /// As files or as pipes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3_input_mode: Option<InputMode>,
    /// How objects are shared out among instances.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3_data_distribution_type: Option<DataDistribution>,
    /// Whether objects are unpacked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3_compression_type: Option<InputCompression>,
}

/// What the address of an input means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum InputDataType {
    /// An object that lists the objects.
    ManifestFile,
    /// All objects that begin so.
    S3Prefix,
}

/// How an input comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum InputMode {
    /// Through a named pipe.
    Pipe,
    /// As files.
    File,
}

/// How objects are shared out among instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DataDistribution {
    /// Every instance has all.
    FullyReplicated,
    /// Every instance has its part.
    ShardedByS3Key,
}

/// Whether objects are unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum InputCompression {
    /// They are not.
    None,
    /// They are.
    Gzip,
}

/// What is kept of a job's folders.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ProcessingOutputConfig {
    /// Folders.
    pub outputs: Vec<ProcessingOutput>,
    /// Key that encrypts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
}

/// A folder that is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ProcessingOutput {
    /// Its name.
    pub output_name: String,
    /// Where it goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3_output: Option<ProcessingS3Output>,
    /// A feature group that it goes to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feature_store_output: Option<Value>,
    /// Whether the program sends it by itself.
    #[serde(default)]
    pub app_managed: bool,
}

/// A folder, and the prefix that it goes to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ProcessingS3Output {
    /// The prefix.
    pub s3_uri: String,
    /// The folder, as the program sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_path: Option<String>,
    /// When it goes.
    pub s3_upload_mode: UploadMode,
}

/// When an output goes to its bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum UploadMode {
    /// While the job runs, and at its end.
    Continuous,
    /// At its end.
    EndOfJob,
}

/// What a job runs on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ProcessingResources {
    /// Instances.
    pub cluster_config: ProcessingClusterConfig,
}

/// Instances of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ProcessingClusterConfig {
    /// How many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_count: Option<u32>,
    /// Of which type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<String>,
    /// Room on the disk of each.
    #[serde(rename = "VolumeSizeInGB")]
    pub volume_size_in_gb: u32,
    /// Key that encrypts the disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_kms_key_id: Option<String>,
    /// Types in the order in which they are tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_preferences: Option<Value>,
}

/// When a job is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StoppingCondition {
    /// When it has run so long.
    pub max_runtime_in_seconds: u32,
}

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AppSpecification {
    /// The image.
    pub image_uri: String,
    /// Program in place of the image's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub container_entrypoint: Vec<String>,
    /// Its arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub container_arguments: Vec<String>,
}

/// State of a processing job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ProcessingJobStatus {
    /// Waits or runs.
    InProgress,
    /// Did what was asked.
    Completed,
    /// Did not.
    Failed,
    /// Is being ended early.
    Stopping,
    /// Was ended early.
    Stopped,
}

impl ProcessingJobStatus {
    const ALL: [Self; 5] = [Self::InProgress, Self::Completed, Self::Failed, Self::Stopping, Self::Stopped];

    /// The status as clients read it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "InProgress",
            Self::Completed => "Completed",
            Self::Failed => "Failed",
            Self::Stopping => "Stopping",
            Self::Stopped => "Stopped",
        }
    }

    /// The status of that text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether nothing comes after it.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Stopped)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::hosting::{Operation, read};

    #[test]
    fn what_a_client_sends_is_read_and_written_without_a_change() {
        let input = json!({
            "ProcessingInputs": [
                {"InputName": "baseline_dataset_input", "AppManaged": false, "S3Input": {
                    "S3Uri": "s3://bucket/data.csv", "LocalPath": "/opt/ml/processing/input", "S3DataType": "S3Prefix",
                    "S3InputMode": "File", "S3DataDistributionType": "FullyReplicated", "S3CompressionType": "None"}}],
            "ProcessingOutputConfig": {"Outputs": [{"OutputName": "monitoring_output", "S3Output": {
                "S3Uri": "s3://bucket/out", "LocalPath": "/opt/ml/processing/output", "S3UploadMode": "EndOfJob"},
                "AppManaged": false}]},
            "ProcessingJobName": "baseline-1",
            "ProcessingResources": {"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 30}},
            "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
            "AppSpecification": {"ImageUri": "analyzer", "ContainerEntrypoint": ["python3"], "ContainerArguments": ["-v"]},
            "Environment": {"output_path": "/opt/ml/processing/output"},
            "RoleArn": "arn:aws:iam::000000000000:role/monitor",
            "Tags": [{"Key": "k", "Value": "v"}],
        });
        let members = input.as_object().expect("our bug: an object");
        Operation::CreateProcessingJob.check(members).unwrap();
        let job: CreateProcessingJob = read(members).unwrap();
        assert_eq!(serde_json::to_value(&job).unwrap(), input);
    }

    #[test]
    fn statuses_round_trip() {
        for status in ProcessingJobStatus::ALL {
            assert_eq!(ProcessingJobStatus::parse(status.as_str()), Some(status));
        }
        assert_eq!(ProcessingJobStatus::parse("inprogress"), None);
    }
}
