//! Clarify's container: which analyses its configuration asks for, one after the other.

use serde_json::Value;

use crate::explain::Models;
use crate::job::Job;
use crate::{Failure, Found, bias, explain};

/// Where Clarify's containers find their configuration and their data, unless the job says otherwise.
const CONFIG_FOLDER: &str = "/opt/ml/processing/input/config";
const DATA_FOLDER: &str = "/opt/ml/processing/input/data";
const CONFIG_FILE: &str = "analysis_config.json";
/// What Clarify says at the end of a job that holds nothing against a baseline.
const RAN: &str = "Completed: SageMaker XAI Analyzer ran successfully";

pub(crate) async fn analyse(job: &Job, models: &dyn Models) -> Result<Found, Failure> {
    let file = config(job)?;
    refuse_unsupported(&file)?;
    let is_asked = |method: &str| file.get("methods").and_then(|methods| methods.get(method)).is_some();
    let explains = match job.variable("analysis_type") {
        Some("MODEL_BIAS") => false,
        Some(_) => true,
        None => is_asked("shap"),
    };
    let measures = match job.variable("analysis_type") {
        Some(kind) => kind == "MODEL_BIAS",
        None => !explains || is_asked("pre_training_bias") || is_asked("post_training_bias"),
    };
    let (mut violations, mut notes) = (0, Vec::new());
    if measures {
        let found = bias::analyse(job, &file).await?;
        (violations, notes) = (found.violations, found.notes);
    }
    if explains {
        let found = explain::analyse(job, &file, models).await?;
        violations += found.violations;
        notes.extend(found.notes);
    }
    let found = Found::new(violations, notes);
    let is_scheduled = job.variable("dataset_source").is_some();
    Ok(if is_scheduled { found } else { Found { message: RAN.to_owned(), ..found } })
}

/// Of a schedule, the environment says where the data is; of a job of Clarify's own, its input does.
pub(crate) fn data(job: &Job) -> Result<Vec<String>, Failure> {
    let stated = job.variable("dataset_source").or_else(|| job.input("dataset"));
    job.data(stated.unwrap_or(DATA_FOLDER))
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
    for method in ["pdp", "asymmetric_shapley_value"] {
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
