//! The processing jobs of an execution, as SageMaker's own executions have them.
//!
//! | what | where to |
//! | --- | --- |
//! | captures of an hour | `{LocalPath}/{endpoint}/{variant}/yyyy/mm/dd/hh`, input `endpoint_input_N` |
//! | labels of an hour | `/opt/ml/processing/groundtruth/yyyy/mm/dd/hh`, input `groundtruth_input_N` |
//! | captures merged with labels | `{output}/merge/{endpoint}/{variant}/yyyy/mm/dd/hh` |
//! | findings | `{output}/{endpoint}/{schedule}/yyyy/mm/dd/hh`, and `/mm-ss` below it for what does not begin on the hour |
//!
//! Invariant: the same execution has the same jobs. Refuses to: look whether anything is there.

use std::collections::BTreeMap;

use captura_wire::hosting::{MonitoringJob, MonitoringType, Reading};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::claims::reading;
use crate::catalog::{ExecutionRow, Plan};

/// Where constraints lie in a container.
const CONSTRAINTS_FOLDER: &str = "/opt/ml/processing/baseline/constraints";
/// Where statistics lie.
const STATISTICS_FOLDER: &str = "/opt/ml/processing/baseline/stats";
/// Where labels lie.
const GROUND_TRUTH_FOLDER: &str = "/opt/ml/processing/groundtruth";
/// Where the configuration of an analysis of bias or explanations lies.
const CONFIG_FOLDER: &str = "/opt/ml/processing/input/config";
/// Where scripts lie.
const SCRIPTS_FOLDER: &str = "/opt/ml/processing/code";
/// The image that merges, beside the image that analyses.
const MERGER: &str = "sagemaker-model-monitor-groundtruth-merger";
/// Tells a job that captures of its window may still be on their way: captura's own.
pub(crate) const EARLY_VARIABLE: &str = "captura_captures_incomplete";
/// How long a job may run that does not say.
const MAX_RUNTIME_SECONDS: i64 = 3_600;
/// Bytes of the digest at the end of a job's name.
const NAME_DIGEST_BYTES: usize = 12;

/// An execution, and what it copied from its job definition.
pub(crate) struct Ordered<'a> {
    pub(crate) row: &'a ExecutionRow,
    pub(crate) plan: &'a Plan,
    pub(crate) job: &'a MonitoringJob,
    /// Where the endpoint's captures go; nothing for other inputs.
    pub(crate) captures: Option<&'a str>,
    /// Whether captures of its window may still be on their way.
    pub(crate) is_early: bool,
}

impl Ordered<'_> {
    /// The name of the job that analyses.
    pub(crate) fn analysis_name(&self) -> String {
        let prefix = match (self.plan.is_inline, self.row.monitoring_type) {
            (true, _) => "model-monitoring",
            (false, MonitoringType::DataQuality) => "data-quality-monitoring",
            (false, MonitoringType::ModelQuality) => "model-quality-monitoring",
            (false, MonitoringType::ModelBias) => "model-bias-monitoring",
            (false, MonitoringType::ModelExplainability) => "model-explain-monitoring",
        };
        self.name(prefix)
    }

    /// The name of the job that merges.
    pub(crate) fn merge_name(&self) -> String {
        self.name("groundtruth-merge")
    }

    fn name(&self, prefix: &str) -> String {
        let at = self.row.scheduled_at.hour_path();
        let stamp = format!("{:04}{:02}{:02}{:02}{:02}", at.year, at.month, at.day, at.hour, at.minute);
        let identity = format!("{} {}", self.row.schedule_id, self.row.scheduled_at.unix_us());
        let digest = Sha256::digest(identity.as_bytes());
        let hex: String = digest.iter().take(NAME_DIGEST_BYTES).map(|byte| format!("{byte:02x}")).collect();
        format!("{prefix}-{stamp}-{hex}")
    }

    /// What folders of this input's data are found below.
    pub(crate) fn root(&self) -> Option<String> {
        let input = &self.job.job_input;
        if let Some(batch) = &input.batch_transform_input {
            return Some(format!("{}/output", trimmed(&batch.destination_s3_uri)));
        }
        let endpoint = &input.endpoint_input.as_ref()?.endpoint_name;
        Some(format!("{}/{endpoint}", trimmed(self.captures?)))
    }

    /// What folders of merged data are found below.
    pub(crate) fn merged_root(&self) -> String {
        match &self.row.endpoint {
            Some(endpoint) => format!("{}/merge/{endpoint}", self.output()),
            None => format!("{}/merge/{}", self.output(), self.row.schedule),
        }
    }

    fn output(&self) -> &str {
        let output = self.job.job_output_config.monitoring_outputs.first();
        output.map_or("", |output| trimmed(&output.s3_output.s3_uri))
    }

    fn local_root(&self) -> String {
        let local = reading(self.job).map_or("", |reading| trimmed(&reading.local_path));
        match &self.row.endpoint {
            Some(endpoint) => format!("{local}/{endpoint}"),
            None => local.to_owned(),
        }
    }

    /// The job that merges captures with labels. `found` are folders below the root, `labels` hours with labels.
    pub(crate) fn merge(&self, found: &[String], labels: &[String]) -> Map<String, Value> {
        let root = self.root().unwrap_or_default();
        let ground_truth = self.job.job_input.ground_truth.s3_uri.as_deref().map_or("", trimmed);
        let of_labels = labels.iter().enumerate().map(|(index, hour)| {
            let name = format!("groundtruth_input_{}", index + 1);
            self.input(&name, &format!("{ground_truth}/{hour}"), &format!("{GROUND_TRUTH_FOLDER}/{hour}"))
        });
        let inputs: Vec<_> = of_labels.chain(self.data_inputs(&root, found)).collect();
        let (_, local_output) = self.outputs();
        let mut environment = self.times();
        environment.extend(members([
            ("dataset_source", self.dataset_source()),
            ("ground_truth_source", GROUND_TRUTH_FOLDER.to_owned()),
            ("output_path", local_output.to_owned()),
        ]));
        let image = &self.job.app_specification.image_uri;
        let merger = match image.rsplit_once('/') {
            Some((registry, _)) => format!("{registry}/{MERGER}"),
            None => MERGER.to_owned(),
        };
        let output = (format!("{}/merge", self.output()), "EndOfJob");
        let app = json!({ "ImageUri": merger });
        self.request((&self.merge_name(), &app), &inputs, output, &environment)
    }

    /// The job that analyses. `found` are folders below the root, of captures or of what was merged.
    pub(crate) fn analysis(&self, found: &[String], baseline: &Baseline) -> Map<String, Value> {
        let labelled = crate::ops::job_definition::needs_labels(self.row.monitoring_type);
        let root = if labelled { self.merged_root() } else { self.root().unwrap_or_default() };
        let app = &self.job.app_specification;
        let mut environment: BTreeMap<String, String> = app.environment.clone();
        environment.extend(self.times());
        environment.extend(self.analysis_environment(labelled));
        let mut inputs = Vec::new();
        let mut add = |name: &str, variable: &str, uri: &Option<String>, folder: &str| {
            let Some(uri) = uri else { return };
            inputs.push(self.input(name, uri, folder));
            let file = uri.rsplit('/').next().unwrap_or_default();
            environment.insert(variable.to_owned(), format!("{folder}/{file}"));
        };
        add("constraints", "baseline_constraints", &baseline.constraints, CONSTRAINTS_FOLDER);
        add("baseline", "baseline_statistics", &baseline.statistics, STATISTICS_FOLDER);
        add("analysis_config", "analysis_config", &app.config_uri, CONFIG_FOLDER);
        let before = format!("{SCRIPTS_FOLDER}/preprocessor");
        add("pre_processor_script", "record_preprocessor_script", &app.record_preprocessor_source_uri, &before);
        let after = format!("{SCRIPTS_FOLDER}/postprocessor");
        add(
            "post_processor_script",
            "post_analytics_processor_script",
            &app.post_analytics_processor_source_uri,
            &after,
        );
        inputs.extend(self.data_inputs(&root, found));
        let (uri, _) = self.outputs();
        let mode = self.job.job_output_config.monitoring_outputs.first();
        let mode = mode.and_then(|output| output.s3_output.s3_upload_mode.as_deref()).unwrap_or("Continuous");
        let mut specification = json!({ "ImageUri": app.image_uri });
        for (name, words) in
            [("ContainerEntrypoint", &app.container_entrypoint), ("ContainerArguments", &app.container_arguments)]
        {
            if !words.is_empty() {
                specification[name] = json!(words);
            }
        }
        self.request((&self.analysis_name(), &specification), &inputs, (uri, mode), &environment)
    }

    fn analysis_environment(&self, labelled: bool) -> BTreeMap<String, String> {
        let (of, (_, local_output)) = (self.row.monitoring_type, self.outputs());
        let mut environment = members([
            ("dataset_format", self.dataset_format(labelled)),
            ("dataset_source", self.dataset_source()),
            ("output_path", local_output.to_owned()),
            ("sagemaker_monitoring_schedule_name", self.row.schedule.clone()),
            ("metric_time", self.plan.start.to_string()),
        ]);
        let analysis_type = match of {
            MonitoringType::DataQuality => None,
            MonitoringType::ModelQuality => Some("MODEL_QUALITY"),
            MonitoringType::ModelBias => Some("MODEL_BIAS"),
            MonitoringType::ModelExplainability => Some("MODEL_EXPLAINABILITY"),
        };
        let reading = reading(self.job);
        let text = |of: fn(&Reading) -> &Option<String>| reading.and_then(|reading| of(reading).clone());
        let threshold = reading.and_then(|reading| reading.probability_threshold_attribute);
        let optional = [
            ("analysis_type", analysis_type.map(str::to_owned)),
            ("sagemaker_endpoint_name", self.row.endpoint.clone()),
            ("sagemaker_endpoint_datacapture_prefix", self.captures.map(|captures| trimmed(captures).to_owned())),
            ("problem_type", self.job.app_specification.problem_type.clone()),
            ("features_attribute", text(|reading| &reading.features_attribute)),
            ("inference_attribute", text(|reading| &reading.inference_attribute)),
            ("probability_attribute", text(|reading| &reading.probability_attribute)),
            ("probability_threshold_attribute", threshold.map(|threshold| threshold.to_string())),
            ("exclude_features_attribute", text(|reading| &reading.exclude_features_attribute)),
        ];
        environment.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        environment
    }

    fn times(&self) -> BTreeMap<String, String> {
        let mut times = members([("start_time", self.plan.start.to_string()), ("end_time", self.plan.end.to_string())]);
        if self.is_early {
            times.insert(EARLY_VARIABLE.to_owned(), "true".to_owned());
        }
        times
    }

    fn dataset_source(&self) -> String {
        reading(self.job).map_or_else(String::new, |reading| trimmed(&reading.local_path).to_owned())
    }

    fn dataset_format(&self, labelled: bool) -> String {
        if let Some(batch) = &self.job.job_input.batch_transform_input {
            let lower = |value: &Value| match value {
                Value::Object(members) => {
                    members.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect()
                }
                other => other.clone(),
            };
            let format: Map<String, Value> =
                batch.dataset_format.iter().map(|(name, value)| (name.to_lowercase(), lower(value))).collect();
            return Value::Object(format).to_string();
        }
        let sides = match self.row.monitoring_type {
            MonitoringType::ModelQuality => json!(["endpointOutput"]),
            _ => json!(["endpointInput", "endpointOutput"]),
        };
        let kind = if labelled { "sagemakerMergeJson" } else { "sagemakerCaptureJson" };
        json!({ kind: { "captureIndexNames": sides } }).to_string()
    }

    /// Where findings go, and where the container leaves them.
    fn outputs(&self) -> (String, &str) {
        let at = self.row.scheduled_at.hour_path();
        let mut uri = self.output().to_owned();
        if let Some(endpoint) = &self.row.endpoint {
            uri = format!("{uri}/{endpoint}");
        }
        uri = format!("{uri}/{}/{at}", self.row.schedule);
        if self.plan.is_finer_than_hours {
            uri = format!("{uri}/{:02}-{:02}", at.minute, at.second);
        }
        let local = self.job.job_output_config.monitoring_outputs.first();
        (uri, local.map_or("", |output| trimmed(&output.s3_output.local_path)))
    }

    /// Inputs of captures or of merged records; objects of transform jobs are manifests.
    fn data_inputs<'a>(&'a self, root: &'a str, found: &'a [String]) -> impl Iterator<Item = Value> + 'a {
        let (local, is_manifest) = (self.local_root(), self.job.job_input.batch_transform_input.is_some());
        found.iter().enumerate().map(move |(index, folder)| {
            let mut input = self.input(
                &format!("endpoint_input_{}", index + 1),
                &format!("{root}/{folder}"),
                &format!("{local}/{folder}"),
            );
            if is_manifest && root != self.merged_root() {
                input["S3Input"]["S3DataType"] = json!("ManifestFile");
            }
            input
        })
    }

    fn input(&self, name: &str, uri: &str, folder: &str) -> Value {
        let distribution = reading(self.job).and_then(|reading| reading.s3_data_distribution_type.as_deref());
        json!({
            "InputName": name,
            "AppManaged": false,
            "S3Input": {
                "S3Uri": uri,
                "LocalPath": folder,
                "S3DataType": "S3Prefix",
                "S3InputMode": "File",
                "S3DataDistributionType": distribution.unwrap_or("FullyReplicated"),
                "S3CompressionType": "None",
            },
        })
    }

    fn request(
        &self,
        (name, app): (&str, &Value),
        inputs: &[Value],
        (uri, mode): (String, &str),
        environment: &BTreeMap<String, String>,
    ) -> Map<String, Value> {
        let (_, local_output) = self.outputs();
        let mut output_config = json!({
            "Outputs": [{
                "OutputName": "result",
                "AppManaged": false,
                "S3Output": { "S3Uri": uri, "LocalPath": local_output, "S3UploadMode": mode },
            }],
        });
        if let Some(key) = &self.job.job_output_config.kms_key_id {
            output_config["KmsKeyId"] = json!(key);
        }
        let stated = self.job.stopping_condition.map(|condition| condition.max_runtime_in_seconds);
        let mut request = json!({
            "ProcessingJobName": name,
            "ProcessingInputs": inputs,
            "ProcessingOutputConfig": output_config,
            "ProcessingResources": self.job.job_resources,
            "StoppingCondition": { "MaxRuntimeInSeconds": stated.unwrap_or(MAX_RUNTIME_SECONDS) },
            "AppSpecification": app,
            "Environment": environment,
            "RoleArn": self.job.role_arn,
        });
        if !self.job.network_config.is_null() {
            request["NetworkConfig"] = self.job.network_config.clone();
        }
        match request {
            Value::Object(members) => members,
            _ => Map::new(),
        }
    }
}

/// What data are held against.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Baseline {
    pub(crate) constraints: Option<String>,
    pub(crate) statistics: Option<String>,
}

fn members<const N: usize>(pairs: [(&str, String); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// An address or a path without the slashes at its end, which would make an empty part in the middle.
fn trimmed(address: &str) -> &str {
    address.trim_end_matches('/')
}
