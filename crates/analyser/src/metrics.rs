//! Metrics to be published, in the words and namespaces of SageMaker's monitors.

use captura_monitor::artefact::Statistics;
use captura_monitor::bias::{BiasConfig, BiasFinding};
use captura_monitor::job::LabelAttribution;
use captura_monitor::quality::Metric;
use captura_monitor::violations::FeatureDrift;
use serde_json::{Value, json};

use crate::Failure;
use crate::job::Job;

const FILE: &str = "metrics/cloudwatch";
/// What CloudWatch has in place of infinity.
const LARGEST: f64 = 2.348_543e108;
/// Names of metrics before training; all others are after it.
const PRE_TRAINING: [&str; 8] = ["CDDL", "CI", "DPL", "JS", "KL", "KS", "LP", "TVD"];

/// Lines of metrics of one job.
struct Lines<'a> {
    job: &'a Job,
    namespace: String,
    dimensions: Vec<Value>,
    text: String,
}

fn dimension(name: &str, value: &str) -> Value {
    json!({ "Name": name, "Value": value })
}

impl<'a> Lines<'a> {
    /// Nothing where the job wants none.
    fn of(job: &'a Job, family: &str) -> Option<Self> {
        if job.variable("publish_cloudwatch_metrics") != Some("Enabled") {
            return None;
        }
        let endpoint = job.variable("sagemaker_endpoint_name");
        let place = if endpoint.is_some() { "Endpoints" } else { "ModelMonitoring" };
        let schedule = job.variable("sagemaker_monitoring_schedule_name");
        let dimensions = [("Endpoint", endpoint), ("MonitoringSchedule", schedule)];
        Some(Self {
            job,
            namespace: format!("aws/sagemaker/{place}/{family}"),
            dimensions: dimensions.iter().filter_map(|(name, value)| Some(dimension(name, (*value)?))).collect(),
            text: String::new(),
        })
    }

    fn push(&mut self, name: &str, further: &[Value], values: (&str, Value)) {
        let dimensions: Vec<&Value> = self.dimensions.iter().chain(further).collect();
        let mut line = json!({
            "Namespace": self.namespace,
            "MetricName": name,
            "Dimensions": dimensions,
            "Unit": "None",
        });
        line[values.0] = values.1;
        if let Some(time) = self.job.variable("metric_time").or(self.job.variable("start_time")) {
            line["Timestamp"] = json!(time);
        }
        self.text.push_str(&line.to_string());
        self.text.push('\n');
    }

    fn value(&mut self, name: &str, further: &[Value], value: f64) {
        if !value.is_nan() {
            self.push(name, further, ("Value", json!(value.clamp(-LARGEST, LARGEST))));
        }
    }

    /// Adds them to what another analysis of the same job has left.
    fn leave(self) -> Result<(), Failure> {
        self.job.add(FILE, &self.text)
    }
}

/// Data quality: what every feature holds, and how far it is from its baseline.
pub(crate) fn leave(job: &Job, drifts: &[FeatureDrift], statistics: &Statistics) -> Result<(), Failure> {
    let Some(mut lines) = Lines::of(job, "data-metrics") else { return Ok(()) };
    for feature in &statistics.features {
        let numbers = feature.numerical_statistics.as_ref();
        let common =
            numbers.map(|numbers| numbers.common).or(feature.string_statistics.as_ref().map(|texts| texts.common));
        if let Some(numbers) = numbers.filter(|numbers| numbers.common.num_present > 0) {
            let values = json!({
                "SampleCount": numbers.common.num_present, "Sum": numbers.sum, "Minimum": numbers.min,
                "Maximum": numbers.max,
            });
            lines.push(&format!("feature_data_{}", feature.name), &[], ("StatisticValues", values));
        }
        if let Some(common) = common.filter(|common| common.num_present + common.num_missing > 0) {
            let values = json!({
                "SampleCount": common.num_present + common.num_missing, "Sum": common.num_present,
                "Minimum": if common.num_missing > 0 { 0.0 } else { 1.0 },
                "Maximum": if common.num_present > 0 { 1.0 } else { 0.0 },
            });
            lines.push(&format!("feature_non_null_{}", feature.name), &[], ("StatisticValues", values));
        }
    }
    for drift in drifts {
        lines.value(&format!("feature_baseline_drift_{}", drift.feature), &[], drift.distance);
    }
    lines.leave()
}

/// Model quality: every metric by its own name.
pub(crate) fn leave_quality(job: &Job, found: &[Metric]) -> Result<(), Failure> {
    let Some(mut lines) = Lines::of(job, "model-metrics") else { return Ok(()) };
    for metric in found {
        lines.value(metric.name, &[], metric.value);
    }
    lines.leave()
}

/// Bias: every metric of every facet.
pub(crate) fn leave_bias(job: &Job, config: &BiasConfig, found: &[BiasFinding]) -> Result<(), Failure> {
    let Some(mut lines) = Lines::of(job, "bias-metrics") else { return Ok(()) };
    for finding in found {
        let stage = if PRE_TRAINING.contains(&finding.metric.as_str()) { "Pre-training" } else { "Post-Training" };
        let further = [
            dimension("BiasStage", stage),
            dimension("Label", &config.label),
            dimension("LabelValue", &config.positive.join(",")),
            dimension("Facet", &finding.facet),
            dimension("FacetValue", &finding.value_or_threshold),
        ];
        if let Some(value) = finding.value {
            lines.value(&format!("bias_metric_{}", finding.metric), &further, value);
        }
    }
    lines.leave()
}

/// Explanations: what every feature adds, and the answer where all are absent.
pub(crate) fn leave_attributions(job: &Job, found: &[LabelAttribution]) -> Result<(), Failure> {
    let Some(mut lines) = Lines::of(job, "explainability-metrics") else { return Ok(()) };
    for label in found {
        let further = |kind: &str| {
            [
                dimension("ExplainabilityMethod", "KernelShap"),
                dimension("Label", &label.label),
                dimension("ValueType", kind),
            ]
        };
        lines.value("ExpectedValue", &further("ExpectedValue"), label.expected_value);
        for feature in &label.features {
            lines.value(&format!("feature_{}", feature.feature), &further("GlobalShapValues"), feature.value);
        }
    }
    lines.leave()
}
