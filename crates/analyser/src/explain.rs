//! What features add to a model's answers, Clarify's SHAP, and how answers depend on them, its partial dependence.
//!
//! The endpoint is asked that the configuration names; where it names a model, one is made for the time of the job, as Clarify
//! does; where it names nobody, the endpoint that the schedule watches.

use std::future::Future;
use std::pin::Pin;

use captura_monitor::attribution::{AttributionConfig, Budget, NDCG_THRESHOLD, Predictor};
use captura_monitor::job::{self, AskModel, Attribution, AttributionSummary};
use captura_names::{EndpointName, ModelName};
use serde_json::Value;

use crate::dataset::Dataset;
use crate::job::Job;
use crate::{Failure, Found, metrics};

/// Who is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An endpoint that is there.
    Endpoint(EndpointName),
    /// A model, by an endpoint of its own.
    Model {
        /// The model.
        model: ModelName,
        /// What the name of that endpoint begins with, where somebody says.
        prefix: Option<String>,
    },
}

/// Something that takes its time, on one thread.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// The way to the models of the server whose job it is.
pub trait Models {
    /// A model, ready to be asked.
    ///
    /// # Errors
    /// Why it cannot be, in words for whoever asked for the job.
    fn open(&self, target: Target) -> Later<'_, Result<Box<dyn OpenModel>, String>>;
}

/// A model that can be asked.
pub trait OpenModel {
    /// How it is asked.
    fn model(&self) -> &dyn AskModel;

    /// Takes away what was made so that it can be asked.
    fn leave(&self) -> Later<'_, ()>;
}

pub(crate) async fn analyse(
    job: &Job,
    dataset: &Dataset,
    is_scheduled: bool,
    model: &dyn AskModel,
) -> Result<Found, Failure> {
    let file = &dataset.file;
    let mut config = AttributionConfig::parse(file).map_err(|error| Failure::Request(error.to_string()))?;
    config.excluded.extend(job.variable("exclude_features_attribute").into_iter().flat_map(|names| {
        names.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect::<Vec<_>>()
    }));
    if let Some(place) = job.variable("inference_attribute").filter(|_| is_scheduled) {
        config.predictor.probability.get_or_insert_with(|| place.to_owned());
    }
    let baseline = job.variable("baseline_constraints").map(|path| job.path(path)).transpose()?;
    let request = Attribution {
        source: dataset.source.clone(),
        config,
        budget: Budget::default(),
        baseline: baseline.map(|path| path.display().to_string()),
        threshold: NDCG_THRESHOLD,
        by_value: false,
        out: job.output()?.display().to_string(),
    };
    let explains = is_scheduled || file.get("methods").is_some_and(|methods| methods.get("shap").is_some());
    if !explains {
        let done = job::dependence(&job.stores, &request, (&[], 0), model).await?;
        return Ok(Found::new(0, done.notes));
    }
    let done = job::attribution(&job.stores, &request, model).await;
    let AttributionSummary { labels, violations, untold, notes, .. } = done?;
    metrics::leave_attributions(job, &labels)?;
    let found = Found::new(violations.map_or(0, |violations| violations.len()), notes);
    Ok(Found { untold, ..found })
}

/// Whom the configuration names, else the endpoint that is watched. A model that it names is asked by an endpoint of its own,
/// so that no question reaches the endpoint that callers use, as with Clarify.
pub(crate) fn target(job: &Job, file: &Value) -> Result<Target, Failure> {
    let unusable = |name: &str, error: String| Failure::Request(format!("the predictor {name:?}: {error}"));
    let predictor = Predictor::parse(file).map_err(|error| Failure::Request(error.to_string()))?;
    let watched = job.variable("sagemaker_endpoint_name").filter(|_| predictor.model_name.is_none());
    if let Some(name) = predictor.endpoint_name.as_deref().or(watched) {
        return EndpointName::parse(name).map(Target::Endpoint).map_err(|error| unusable(name, error.to_string()));
    }
    match predictor.model_name.as_deref() {
        Some(name) => {
            let model = ModelName::parse(name).map_err(|error| unusable(name, error.to_string()))?;
            Ok(Target::Model { model, prefix: predictor.endpoint_name_prefix })
        }
        None => Err(Failure::Request(
            "analysis_config.json names nobody to ask: give the predictor an endpoint_name or a model_name".to_owned(),
        )),
    }
}
