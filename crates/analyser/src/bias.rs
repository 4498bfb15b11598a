//! Clarify: bias of a table, or of captures that were merged with their labels.

use captura_monitor::bias::BiasConfig;
use captura_monitor::dataset::Header;
use captura_monitor::job::{self, Bias, BiasSummary, Source};
use serde_json::Value;

use crate::job::Job;
use crate::{Failure, Found, captures, clarify, metrics};

pub(crate) async fn analyse(job: &Job, file: &Value) -> Result<Found, Failure> {
    let config = BiasConfig::parse(file).map_err(|error| Failure::Request(error.to_string()))?;
    let scheduled = job.variable("dataset_source");
    let files = clarify::data(job)?;
    let addresses = if scheduled.is_some() { captures::of_window(job, files)? } else { files };
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let in_table = || file.get("predicted_label").and_then(text);
    let threshold = match job.variable("probability_threshold_attribute") {
        Some(text) => text.parse().ok(),
        None => file.get("probability_threshold").and_then(Value::as_f64),
    };
    let own = |name: &str| job.variable(name).map(str::to_owned);
    let (inference, probability) = match (own("inference_attribute"), own("probability_attribute")) {
        // A table's predictions are probabilities where there is a threshold for them.
        (None, None) if scheduled.is_none() && threshold.is_some() => (None, in_table()),
        (None, None) if scheduled.is_none() => (in_table(), None),
        attributes => attributes,
    };
    let names = (scheduled.is_none() && !config.headers.is_empty()).then(|| config.headers.clone());
    let baseline = job.variable("baseline_constraints").map(|path| job.path(path)).transpose()?;
    let request = Bias {
        source: Source { addresses, header: Header::Auto, names, ..Source::default() },
        config,
        inference,
        probability,
        threshold,
        ground_truth: Vec::new(),
        is_merged: scheduled.is_some(),
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
