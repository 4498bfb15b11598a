//! Clarify: bias of a table, or of captures that were merged with their labels.

use captura_monitor::bias::BiasConfig;
use captura_monitor::job::{self, Bias, BiasSummary};
use serde_json::Value;

use crate::dataset::{Dataset, text};
use crate::job::Job;
use crate::{Failure, Found, metrics};

pub(crate) async fn analyse(job: &Job, dataset: &Dataset, is_scheduled: bool) -> Result<Found, Failure> {
    let file = &dataset.file;
    let config = BiasConfig::parse(file).map_err(|error| Failure::Request(error.to_string()))?;
    let in_table = || file.get("predicted_label").and_then(text);
    let threshold = match job.variable("probability_threshold_attribute") {
        Some(text) => text.parse().ok(),
        None => file.get("probability_threshold").and_then(Value::as_f64),
    };
    let own = |name: &str| job.variable(name).map(str::to_owned);
    let (inference, probability) = match (own("inference_attribute"), own("probability_attribute")) {
        // A table's predictions are probabilities where there is a threshold for them.
        (None, None) if !is_scheduled && threshold.is_some() => (None, in_table()),
        (None, None) if !is_scheduled => (in_table(), None),
        attributes => attributes,
    };
    let baseline = job.variable("baseline_constraints").map(|path| job.path(path)).transpose()?;
    let request = Bias {
        source: dataset.source.clone(),
        config,
        inference,
        probability,
        threshold,
        ground_truth: Vec::new(),
        is_merged: is_scheduled,
        ground_truth_attribute: own("ground_truth_attribute"),
        baseline: baseline.map(|path| path.display().to_string()),
        out: job.output()?.display().to_string(),
        window: None,
        as_of: None,
        seed: 0,
        by_value: false,
    };
    let BiasSummary { data, findings, violations, .. } = job::bias(&job.stores, &request).await?;
    metrics::leave_bias(job, &request.config, &findings)?;
    Ok(Found::new(violations.as_ref().map_or(0, Vec::len), data.notes))
}
