//! What Clarify's analyses read: the data set as one table, and a configuration that names its columns.
//!
//! A data set in CSV that has everything in it is read as it is.

use captura_monitor::attribution::Predictor;
use captura_monitor::dataset::Header;
use captura_monitor::job::{AskModel, Source};
use serde_json::{Value, json};

use crate::job::Job;
use crate::predictions::{Asking, Predicted, predicted};
use crate::table::{Beside, Table, strings};
use crate::{Failure, captures, clarify};

/// Where files beside the data set are put for a job, by the member of the configuration that names them.
const FACETS: (&str, &str) = ("facet_dataset_uri", "/opt/ml/processing/input/facet_dataset_uri");
const PREDICTIONS: (&str, &str) =
    ("predicted_label_dataset_uri", "/opt/ml/processing/input/predicted_label_dataset_uri");
const BASELINE: &str = "/opt/ml/processing/input/baseline";

/// What analyses read.
pub(crate) struct Dataset {
    pub(crate) source: Source,
    /// The configuration, with its columns as the table calls them.
    pub(crate) file: Value,
    pub(crate) notes: Vec<String>,
}

/// Captures of a schedule's time.
pub(crate) fn of_schedule(job: &Job, file: Value) -> Result<Dataset, Failure> {
    let addresses = captures::of_window(job, clarify::data(job)?)?;
    let source = Source { addresses, header: Header::Auto, ..Source::default() };
    Ok(Dataset { source, file, notes: Vec::new() })
}

/// The data set of a job of Clarify's own, with predictions of the model where one is to be asked for them.
pub(crate) async fn of_job(job: &Job, mut file: Value, model: Option<&dyn AskModel>) -> Result<Dataset, Failure> {
    let kind = file.get("dataset_type").and_then(Value::as_str).unwrap_or("text/csv").to_owned();
    let is_plain = kind == "text/csv" && ![FACETS.0, PREDICTIONS.0].into_iter().any(|name| is_given(&file, name));
    say_media_type(&mut file, &kind);
    place_baseline(job, &mut file)?;
    if is_plain && model.is_none() {
        let headers = strings(&file, "headers");
        let names = (!headers.is_empty()).then_some(headers);
        let source = Source { addresses: clarify::data(job)?, header: Header::Auto, names, ..Source::default() };
        return Ok(Dataset { source, file, notes: Vec::new() });
    }
    let mut table = Table::read(job, &file)?;
    name_parts(&mut file, &table);
    let key = file.get("joinsource_name_or_index").and_then(text);
    for ((member, folder), headers) in [(FACETS, "facet_headers"), (PREDICTIONS, "predicted_label_headers")] {
        if !is_given(&file, member) {
            continue;
        }
        let beside = Beside { member, folder, headers: strings(&file, headers), key: key.as_deref() };
        let (joined, names) = table.joined(job, &beside)?;
        table = joined;
        if member == PREDICTIONS.0 {
            name_prediction(&mut file, &names)?;
        }
        leave_out(&mut file, names);
    }
    let notes = table.note().into_iter().collect();
    if let Some(model) = model {
        table = with_predictions(job, table, &mut file, model).await?;
    }
    file["headers"] = json!(table.names);
    Ok(Dataset { source: table.source(), file, notes })
}

/// Whether bias after training is asked for, and only the model knows what it predicts.
pub(crate) fn wants_predictions(file: &Value) -> bool {
    let after = file.get("methods").and_then(|methods| methods.get("post_training_bias"));
    let is_told = is_given(file, "predicted_label") || is_given(file, PREDICTIONS.0);
    after.is_some() && is_given(file, "predictor") && !is_told
}

/// Whether the configuration has a member that says something.
pub(crate) fn is_given(file: &Value, member: &str) -> bool {
    file.get(member).is_some_and(|value| !value.is_null())
}

async fn with_predictions(job: &Job, table: Table, file: &mut Value, model: &dyn AskModel) -> Result<Table, Failure> {
    let predictor = Predictor::parse(file).map_err(|error| Failure::Request(error.to_string()))?;
    let place = |column: &str| {
        let reason =
            || Failure::Request(format!("analysis_config.json names {column}, which is no column of the dataset"));
        table.place(column).ok_or_else(reason)
    };
    let label = file.get("label").and_then(text);
    let label = label.ok_or_else(|| Failure::Request("analysis_config.json names no label".to_owned()))?;
    let excluded = file.get("excluded_columns").and_then(Value::as_array).into_iter().flatten().filter_map(text);
    let others = excluded.chain(file.get("joinsource_name_or_index").and_then(text));
    let mut left_out: Vec<usize> = others.map(|column| place(&column)).collect::<Result<_, _>>()?;
    let label = place(&label)?;
    left_out.push(label);
    let threshold = file.get("probability_threshold").and_then(Value::as_f64);
    let asking = Asking { predictor: &predictor, left_out: &left_out, label, threshold };
    let Predicted { table, column, threshold } = predicted(job, table, &asking, model).await?;
    file["predicted_label"] = json!(column);
    file["probability_threshold"] = json!(threshold);
    Ok(table)
}

/// Requests are written as the data set is, where nothing else is said.
fn say_media_type(file: &mut Value, kind: &str) {
    let is_json = matches!(kind, "application/jsonlines" | "application/json");
    if let Some(predictor) = file.get_mut("predictor").and_then(Value::as_object_mut).filter(|_| is_json) {
        predictor.entry("content_type").or_insert_with(|| json!(kind));
    }
}

/// Rows of a baseline that lie in a bucket were put into the job's folder.
fn place_baseline(job: &Job, file: &mut Value) -> Result<(), Failure> {
    let Some(baseline) = file.pointer_mut("/methods/shap/baseline") else { return Ok(()) };
    if baseline.as_str().is_some_and(|address| address.starts_with("s3://")) {
        *baseline = json!(job.path(BASELINE)?.display().to_string());
    }
    Ok(())
}

/// What JMESPath found are columns now.
fn name_parts(file: &mut Value, table: &Table) {
    let has_places = file.get("features").is_some_and(Value::is_string);
    if !has_places {
        return;
    }
    let is_given = |file: &Value, member: &str| file.get(member).is_some_and(Value::is_string);
    let parts: Vec<&str> = ["label", "predicted_label"].into_iter().filter(|member| is_given(file, member)).collect();
    let first = table.names.len().saturating_sub(parts.len());
    for (member, name) in parts.into_iter().zip(&table.names[first..]) {
        file[member] = json!(name);
    }
}

/// Which of the columns of predictions is the one.
fn name_prediction(file: &mut Value, names: &[String]) -> Result<(), Failure> {
    match (file.get("predicted_label").and_then(text), names) {
        (Some(stated), _) if names.contains(&stated) => Ok(()),
        (None, [one]) => {
            file["predicted_label"] = json!(one);
            Ok(())
        }
        (stated, _) => Err(Failure::Request(format!(
            "{} has the columns {}; say with predicted_label which of them is the prediction{}",
            PREDICTIONS.0,
            names.join(", "),
            stated.map_or_else(String::new, |stated| format!(" ({stated} is none of them)")),
        ))),
    }
}

/// Columns that no model is asked about.
fn leave_out(file: &mut Value, names: Vec<String>) {
    let mut excluded = file.get("excluded_columns").and_then(Value::as_array).cloned().unwrap_or_default();
    excluded.extend(names.into_iter().map(Value::from));
    file["excluded_columns"] = Value::Array(excluded);
}

/// A name or a place.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
