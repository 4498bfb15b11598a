//! Clarify's container: which analyses its configuration asks for, one after the other.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use captura_monitor::job::{AskError, AskModel, ModelAnswer, Question};
use serde_json::Value;

use crate::explain::Models;
use crate::job::Job;
use crate::{Failure, Found, bias, dataset, explain};

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
        None => is_asked("shap") || is_asked("pdp"),
    };
    let measures = match job.variable("analysis_type") {
        Some(kind) => kind == "MODEL_BIAS",
        None => !explains || is_asked("pre_training_bias") || is_asked("post_training_bias"),
    };
    let is_scheduled = job.variable("dataset_source").is_some();
    let predicts = measures && !is_scheduled && dataset::wants_predictions(&file);
    let opened = if explains || predicts {
        Some(models.open(explain::target(job, &file)?).await.map_err(Failure::Request)?)
    } else {
        None
    };
    let model = opened.as_ref().map(|opened| Counted { model: opened.model(), asked: AtomicUsize::new(0) });
    let done = with_model(job, file, Wanted { measures, predicts, explains, is_scheduled }, model.as_ref()).await;
    if let Some(opened) = &opened {
        opened.leave().await;
    }
    let found = done?;
    Ok(if is_scheduled { found } else { Found { message: RAN.to_owned(), ..found } })
}

/// What a job is for.
struct Wanted {
    measures: bool,
    /// Whether bias is measured of what only the model can tell.
    predicts: bool,
    explains: bool,
    is_scheduled: bool,
}

async fn with_model(
    job: &Job,
    file: Value,
    Wanted { measures, predicts, explains, is_scheduled }: Wanted,
    model: Option<&Counted<'_>>,
) -> Result<Found, Failure> {
    let model = model.map(|model| model as &dyn AskModel);
    let dataset = if is_scheduled {
        dataset::of_schedule(job, file)?
    } else {
        dataset::of_job(job, file, model.filter(|_| predicts)).await?
    };
    let (mut violations, mut notes, mut untold) = (0, dataset.notes.clone(), None);
    if measures {
        let found = bias::analyse(job, &dataset, is_scheduled).await?;
        violations = found.violations;
        notes.extend(found.notes);
    }
    if let Some(model) = model.filter(|_| explains) {
        let found = explain::analyse(job, &dataset, is_scheduled, model).await?;
        violations += found.violations;
        notes.extend(found.notes);
        untold = found.untold;
    }
    let mut found = Found::new(violations, notes);
    if let Some(untold) = &untold {
        found.message.push_str(&format!(" {untold}"));
    }
    Ok(found)
}

/// The model of a job, of whose questions each has a number of its own.
struct Counted<'m> {
    model: &'m dyn AskModel,
    asked: AtomicUsize,
}

impl AskModel for Counted<'_> {
    fn ask<'a>(
        &'a self,
        question: Question<'a>,
    ) -> Pin<Box<dyn Future<Output = Result<ModelAnswer, AskError>> + Send + 'a>> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        self.model.ask(Question { number, ..question })
    }
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
    if asked("asymmetric_shapley_value") {
        return Err(Failure::Unsupported(
            "analysis_config.json asks for asymmetric_shapley_value, which the built-in analyser does not compute"
                .to_owned(),
        ));
    }
    for member in ["segment_config", "time_series_data_config"] {
        if dataset::is_given(file, member) {
            return Err(Failure::Unsupported(format!(
                "analysis_config.json has {member}, which the built-in analyser does not carry out"
            )));
        }
    }
    Ok(())
}
