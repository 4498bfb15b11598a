//! `analysis_config.json` as far as it asks for SHAP values, in Clarify's words.
//!
//! ```text
//! { "headers" : [ "age", …, "approved" ], "label" : "approved",
//!   "methods" : { "shap" : { "baseline" : [ [ 40, … ] ], "num_samples" : 500, "agg_method" : "mean_abs", "seed" : 1 } },
//!   "predictor" : { "endpoint_name" : "loans", "content_type" : "text/csv", "label_headers" : [ "risk" ] } }
//! ```
//!
//! Invariant: members that are not needed here are ignored. Refuses to: pass over what would change the numbers (texts,
//! images, a choice of features).

use captura_attribution::record::{Feature, Record};
use serde::Deserialize;
use serde_json::Value;

use super::{Aggregation, DependenceConfig};

/// Values of a feature of numbers whose partial dependence is asked for, where nothing is said: as Clarify's SDK has it.
const GRID_RESOLUTION: usize = 15;
/// The most of them; every row is asked about with each.
const GRID_RESOLUTION_MAX: usize = 1_000;
/// Features whose partial dependence is asked for, where none are named.
const TOP_FEATURES: usize = 10;

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct AttributionConfig {
    /// Names of the columns, the label among them; empty where they are not told.
    pub headers: Vec<String>,
    /// The label, by name or place: a column of tables that the model is not given.
    pub label: Option<String>,
    /// Further columns that the model is not given, by name or place.
    pub excluded: Vec<String>,
    /// Rows that stand for a feature's absence.
    pub baseline: ShapBaseline,
    /// Into how many rows a baseline is made of the data, where none is given.
    pub num_clusters: Option<usize>,
    /// Subsets of the features that are asked about for a row.
    pub num_samples: Option<usize>,
    /// How local values become global ones.
    pub agg_method: Aggregation,
    /// Whether attributions are of log-odds.
    pub use_logit: bool,
    /// Of everything that is left to chance.
    pub seed: u64,
    /// Whether local values are written.
    pub save_local_shap_values: bool,
    /// The curves of which features are asked for, if any.
    pub dependence: Option<DependenceConfig>,
    /// The model, and how it is asked.
    pub predictor: Predictor,
}

/// Rows that stand for a feature's absence.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum ShapBaseline {
    /// They are made of the data, by clustering.
    #[default]
    OfData,
    /// These.
    Rows(Vec<Record>),
    /// Those of a table or of captures.
    At(String),
}

/// The model, and how it is asked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Predictor {
    /// The endpoint.
    pub endpoint_name: Option<String>,
    /// What the name of an endpoint begins with that is made for a model.
    pub endpoint_name_prefix: Option<String>,
    /// A model, for which Clarify makes an endpoint of its own.
    pub model_name: Option<String>,
    /// Media type of requests; CSV where nothing is said.
    pub content_type: Option<String>,
    /// Media type that is wanted back.
    pub accept_type: Option<String>,
    /// What a request in JSON looks like, or a record of one in JSON Lines.
    pub content_template: Option<String>,
    /// What a record of a request in JSON looks like.
    pub record_template: Option<String>,
    /// Place of the predicted label or score in an answer.
    pub label: Option<String>,
    /// Place of the probabilities in an answer; wins over `label`.
    pub probability: Option<String>,
    /// Names of what the model answers, one for each number.
    pub label_headers: Vec<String>,
    /// What a multi-model endpoint is to ask.
    pub target_model: Option<String>,
}

/// A configuration that asks nothing that can be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the attribution configuration {0}")]
pub struct InvalidAttribution(pub String);

fn invalid(reason: impl Into<String>) -> InvalidAttribution {
    InvalidAttribution(reason.into())
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    headers: Vec<String>,
    #[serde(default)]
    label: Value,
    #[serde(default)]
    predicted_label: Value,
    #[serde(default)]
    excluded_columns: Vec<Value>,
    #[serde(default)]
    joinsource_name_or_index: Value,
    #[serde(default)]
    methods: Methods,
    #[serde(default)]
    predictor: PredictorFile,
}

#[derive(Default, Deserialize)]
struct Methods {
    shap: Option<Shap>,
    pdp: Option<Pdp>,
}

#[derive(Deserialize)]
struct Pdp {
    #[serde(default)]
    features: Vec<Value>,
    grid_resolution: Option<usize>,
    top_k_features: Option<usize>,
}

#[derive(Default, Deserialize)]
struct Shap {
    #[serde(default)]
    baseline: Value,
    num_clusters: Option<usize>,
    num_samples: Option<usize>,
    agg_method: Option<Aggregation>,
    #[serde(default)]
    use_logit: bool,
    seed: Option<i64>,
    save_local_shap_values: Option<bool>,
    #[serde(default)]
    text_config: Value,
    #[serde(default)]
    image_config: Value,
    #[serde(default)]
    features_to_explain: Value,
}

#[derive(Default, Deserialize)]
struct PredictorFile {
    endpoint_name: Option<String>,
    endpoint_name_prefix: Option<String>,
    model_name: Option<String>,
    content_type: Option<String>,
    accept_type: Option<String>,
    content_template: Option<String>,
    record_template: Option<String>,
    #[serde(default)]
    label: Value,
    #[serde(default)]
    probability: Value,
    #[serde(default)]
    label_headers: Vec<Value>,
    target_model: Option<String>,
}

impl AttributionConfig {
    /// Reads `analysis_config.json`.
    ///
    /// # Errors
    /// When it asks neither for SHAP values nor for partial dependence, or for some that are not computed here.
    pub fn parse(file: &Value) -> Result<Self, InvalidAttribution> {
        let file = File::deserialize(file).map_err(|error| invalid(format!("cannot be used: {error}")))?;
        let dependence =
            file.methods.pdp.as_ref().map(|pdp| dependence_of(pdp, file.methods.shap.is_some())).transpose()?;
        if file.methods.shap.is_none() && dependence.is_none() {
            return Err(invalid("has no methods.shap, so no attributions are asked for"));
        }
        let shap = file.methods.shap.unwrap_or_default();
        for (member, value) in [
            ("text_config", &shap.text_config),
            ("image_config", &shap.image_config),
            ("features_to_explain", &shap.features_to_explain),
        ] {
            if !value.is_null() {
                return Err(invalid(format!("has methods.shap.{member}, which is not carried out here")));
            }
        }
        let left_out = [file.predicted_label, file.joinsource_name_or_index];
        Ok(Self {
            headers: file.headers,
            label: text(&file.label),
            excluded: file.excluded_columns.iter().chain(&left_out).filter_map(text).collect(),
            baseline: baseline_of(shap.baseline)?,
            num_clusters: shap.num_clusters,
            num_samples: shap.num_samples,
            agg_method: shap.agg_method.unwrap_or_default(),
            use_logit: shap.use_logit,
            seed: shap.seed.unwrap_or(0).cast_unsigned(),
            save_local_shap_values: shap.save_local_shap_values.unwrap_or(true),
            dependence,
            predictor: file.predictor.into(),
        })
    }
}

fn dependence_of(pdp: &Pdp, has_shap: bool) -> Result<DependenceConfig, InvalidAttribution> {
    let features: Vec<String> = pdp.features.iter().filter_map(text).collect();
    if features.is_empty() && !has_shap {
        return Err(invalid("has methods.pdp without features, and no methods.shap by which they could be chosen"));
    }
    let grid_resolution = pdp.grid_resolution.unwrap_or(GRID_RESOLUTION);
    if !(1..=GRID_RESOLUTION_MAX).contains(&grid_resolution) {
        return Err(invalid(format!(
            "has a methods.pdp.grid_resolution of {grid_resolution}; it is from 1 to {GRID_RESOLUTION_MAX}"
        )));
    }
    Ok(DependenceConfig { features, grid_resolution, top_k_features: pdp.top_k_features.unwrap_or(TOP_FEATURES) })
}

impl Predictor {
    /// Reads the predictor of `analysis_config.json`.
    ///
    /// # Errors
    /// When it is not what it should be.
    pub fn parse(file: &Value) -> Result<Self, InvalidAttribution> {
        let predictor = file.get("predictor").cloned().unwrap_or_else(|| Value::Object(Default::default()));
        let parsed = PredictorFile::deserialize(predictor);
        parsed.map(Self::from).map_err(|error| invalid(format!("has a predictor that cannot be used: {error}")))
    }
}

impl From<PredictorFile> for Predictor {
    fn from(file: PredictorFile) -> Self {
        Self {
            endpoint_name: file.endpoint_name,
            endpoint_name_prefix: file.endpoint_name_prefix,
            model_name: file.model_name,
            content_type: file.content_type,
            accept_type: file.accept_type,
            content_template: file.content_template,
            record_template: file.record_template,
            label: text(&file.label),
            probability: text(&file.probability),
            label_headers: file.label_headers.iter().filter_map(text).collect(),
            target_model: file.target_model,
        }
    }
}

fn baseline_of(value: Value) -> Result<ShapBaseline, InvalidAttribution> {
    match value {
        Value::Null => Ok(ShapBaseline::OfData),
        Value::String(address) => Ok(ShapBaseline::At(address)),
        Value::Array(rows) => {
            let record = |row: Value| match row {
                Value::Array(features) => Ok(features.into_iter().map(feature).collect()),
                _ => Err(invalid("has a baseline of which a row is no list of features")),
            };
            let rows: Vec<Record> = rows.into_iter().map(record).collect::<Result<_, _>>()?;
            if rows.is_empty() { Err(invalid("has a baseline without rows")) } else { Ok(ShapBaseline::Rows(rows)) }
        }
        _ => Err(invalid("has a baseline that is neither an address nor a list of rows")),
    }
}

/// Numbers as CSV would have them, so that they are written alike whatever the media type.
fn feature(value: Value) -> Feature {
    match value {
        Value::Number(number) => Feature::Cell(number.to_string().into()),
        Value::Null => Feature::Cell("".into()),
        other => Feature::Json(other),
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
