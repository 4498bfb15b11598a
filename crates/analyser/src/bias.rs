//! Clarify: bias of a table, or of captures that were merged with their labels.

use captura_monitor::bias::BiasConfig;
use captura_monitor::dataset::Header;
use captura_monitor::job::{self, Bias, BiasSummary, Source};
use serde_json::Value;

use crate::job::Job;
use crate::{Failure, Found, captures, metrics};

/// Where Clarify's containers find their configuration and their data, unless the job says otherwise.
const CONFIG_FOLDER: &str = "/opt/ml/processing/input/config";
const DATA_FOLDER: &str = "/opt/ml/processing/input/data";
const CONFIG_FILE: &str = "analysis_config.json";
/// What Clarify says at the end of a job that holds nothing against a baseline.
const RAN: &str = "Completed: SageMaker XAI Analyzer ran successfully";

pub(crate) async fn analyse(job: &Job) -> Result<Found, Failure> {
    let file = config(job)?;
    refuse_unsupported(&file)?;
    let config = BiasConfig::parse(&file).map_err(|error| Failure::Request(error.to_string()))?;
    // Of a schedule, the environment says where the data is; of a job of Clarify's own, its input does.
    let scheduled = job.variable("dataset_source");
    let files = job.data(scheduled.unwrap_or_else(|| job.input("dataset").unwrap_or(DATA_FOLDER)))?;
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
    let found = Found::new(violations.as_ref().map_or(0, Vec::len), data.notes);
    Ok(if scheduled.is_some() { found } else { Found { message: RAN.to_owned(), ..found } })
}

fn config(job: &Job) -> Result<Value, Failure> {
    if let Some(path) = job.variable("analysis_config") {
        return job.json(path);
    }
    let folder = job.input("analysis_config").unwrap_or(CONFIG_FOLDER);
    job.json(&format!("{folder}/{CONFIG_FILE}"))
}

/// What Clarify does and the built-in analyser does not.
fn refuse_unsupported(file: &Value) -> Result<(), Failure> {
    let methods = file.get("methods").and_then(Value::as_object);
    let asked = |name: &str| methods.is_some_and(|methods| methods.contains_key(name));
    for method in ["shap", "pdp", "asymmetric_shapley_value"] {
        if asked(method) {
            return Err(Failure::Unsupported(format!(
                "analysis_config.json asks for {method}, which the built-in analyser does not compute"
            )));
        }
    }
    let is_given = |name: &str| file.get(name).is_some_and(|value| !value.is_null());
    if let Some(member) = ["facet_dataset_uri", "predicted_label_dataset_uri"].into_iter().find(|name| is_given(name)) {
        return Err(Failure::Unsupported(format!(
            "analysis_config.json has {member}: the built-in analyser wants facets and predictions in the dataset itself"
        )));
    }
    if asked("post_training_bias") && is_given("predictor") && !is_given("predicted_label") {
        return Err(Failure::Unsupported(
            "analysis_config.json wants the predictions of a model (predictor) for post_training_bias, which the built-in \
             analyser does not ask for: put them into the dataset and name their column by predicted_label"
                .to_owned(),
        ));
    }
    match file.get("dataset_type").and_then(Value::as_str) {
        None | Some("text/csv") => Ok(()),
        Some(other) => Err(Failure::Unsupported(format!(
            "analysis_config.json has the dataset_type {other}; the built-in analyser reads text/csv"
        ))),
    }
}
