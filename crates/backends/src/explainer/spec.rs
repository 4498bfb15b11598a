//! What a `ClarifyExplainerConfig` says, parsed once.

use captura_attribution::jmespath::Expression;
use captura_attribution::outputs::Places;
use captura_attribution::record::{self, Feature, Layout, Record, Shape, Template};
use serde::Deserialize;
use serde_json::Value;

use super::Explainer;
use super::asking::layout_of;
use super::limits::{BATCH_RECORDS_MAX, PAYLOAD_DEFAULT_MB};
use super::text::{Cutting, Granularity};
use super::units::Texts;

const BYTES_PER_MB: usize = 1 << 20;

/// A part of an explainer's configuration that cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{member} {reason}")]
pub struct ExplainerSpecError {
    /// Which part.
    pub member: &'static str,
    /// What about it.
    pub reason: String,
}

fn wrong(member: &'static str, reason: impl Into<String>) -> ExplainerSpecError {
    ExplainerSpecError { member, reason: reason.into() }
}

/// What explains a model, before its baseline is at hand.
#[derive(Debug, Clone)]
pub struct ExplainerSpec {
    /// Which records are explained.
    pub(super) enabled: Expression,
    pub(super) shape: Shape,
    pub(super) places: Places,
    pub(super) feature_headers: Option<Vec<String>>,
    pub(super) label_headers: Option<Vec<String>>,
    pub(super) batch_records_max: usize,
    pub(super) payload_max_bytes: usize,
    pub(super) baseline: Baseline,
    pub(super) samples: Option<usize>,
    pub(super) use_logit: bool,
    pub(super) seed: u64,
    pub(super) baseline_layout: Layout,
    /// How texts are cut; nothing where none is.
    cutting: Option<Cutting>,
    feature_types: Option<Vec<FeatureType>>,
}

/// What a feature is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FeatureType {
    Numerical,
    Categorical,
    Text,
}

/// Where the baseline is.
#[derive(Debug, Clone)]
pub(super) enum Baseline {
    Inline(Vec<Record>),
    At(String),
}

impl ExplainerSpec {
    /// Reads an `ExplainerConfig` whose members keep to their constraints.
    ///
    /// # Errors
    /// Names the part that contradicts another, cannot be read, or is not carried out here.
    pub fn read(config: &Value) -> Result<Self, ExplainerSpecError> {
        let config: ExplainerConfig =
            serde_json::from_value(config.clone()).map_err(|error| wrong("ExplainerConfig", error.to_string()))?;
        let Some(clarify) = config.clarify_explainer_config else {
            return Err(wrong("ExplainerConfig", "names no explainer; give it a ClarifyExplainerConfig"));
        };
        let (inference, shap) = (clarify.inference_config.unwrap_or_default(), clarify.shap_config);
        let cutting = cutting_of(shap.text_config.as_ref(), inference.feature_types.as_deref())?;
        let compiled = |member, text: &Option<String>| match text.as_deref().map(str::parse) {
            None => Ok(None),
            Some(Ok(expression)) => Ok(Some(expression)),
            Some(Err(why)) => Err(wrong(member, format!("is not a JMESPath expression: {why}"))),
        };
        let template = match inference.content_template.as_deref().map(Template::parse) {
            None => None,
            Some(Ok(template)) => Some(template),
            Some(Err(why)) => return Err(wrong("ContentTemplate", why)),
        };
        let enabled = compiled("EnableExplanations", &clarify.enable_explanations)?;
        let shape = Shape { features: compiled("FeaturesAttribute", &inference.features_attribute)?, template };
        let (baseline, baseline_layout) = baseline_of(shap.shap_baseline_config, &shape)?;
        let spec = Self {
            enabled: enabled.unwrap_or_else(|| "`true`".parse().expect("our bug: a literal is an expression")),
            places: Places {
                probability_index: inference.probability_index,
                probability_attribute: compiled("ProbabilityAttribute", &inference.probability_attribute)?,
                label_index: inference.label_index,
                label_attribute: compiled("LabelAttribute", &inference.label_attribute)?,
            },
            shape,
            feature_headers: inference.feature_headers,
            label_headers: inference.label_headers,
            batch_records_max: inference.max_record_count.unwrap_or(BATCH_RECORDS_MAX).clamp(1, BATCH_RECORDS_MAX),
            payload_max_bytes: inference.max_payload_in_mb.unwrap_or(PAYLOAD_DEFAULT_MB) as usize * BYTES_PER_MB,
            baseline,
            samples: shap.number_of_samples,
            use_logit: shap.use_logit.unwrap_or(false),
            seed: shap.seed.unwrap_or(0).cast_unsigned(),
            baseline_layout,
            cutting,
            feature_types: inference.feature_types,
        };
        if let Baseline::Inline(records) = &spec.baseline {
            Explainer::check(&spec, records)?;
        }
        Ok(spec)
    }

    /// Which features are cut, and how, with this baseline; nothing where none is. Without FeatureTypes those are texts that
    /// are no number in any record of the baseline.
    ///
    /// # Errors
    /// When the types do not go with the baseline, or there is no text.
    pub(super) fn texts(&self, baseline: &[Record]) -> Result<Option<Texts>, ExplainerSpecError> {
        let features = baseline.first().map_or(0, Vec::len);
        if let Some(types) = self.feature_types.as_ref().filter(|types| types.len() != features) {
            let reason = format!("names {} features, and the SHAP baseline has {features}", types.len());
            return Err(wrong("FeatureTypes", reason));
        }
        let Some(cutting) = self.cutting else { return Ok(None) };
        let is_text = |feature: usize| match &self.feature_types {
            Some(types) => types[feature] == FeatureType::Text,
            None => baseline.iter().all(|record| !Feature::is_number(&record[feature])),
        };
        let are_texts: Vec<bool> = (0..features).map(is_text).collect();
        if !are_texts.contains(&true) {
            return Err(wrong("TextConfig", "finds no text to cut: every feature of the SHAP baseline is a number"));
        }
        Ok(Some(Texts { cutting, are_texts }))
    }
}

/// How texts are cut, where the configuration asks for it.
fn cutting_of(
    config: Option<&TextConfig>,
    types: Option<&[FeatureType]>,
) -> Result<Option<Cutting>, ExplainerSpecError> {
    let has_text = types.map(|types| types.contains(&FeatureType::Text));
    match (config, has_text) {
        (None, Some(true)) => Err(wrong("FeatureTypes", "names texts, and no TextConfig says how they are cut")),
        (Some(_), Some(false)) => Err(wrong("FeatureTypes", "names no text for TextConfig to cut")),
        (None, _) => Ok(None),
        (Some(config), _) => {
            let cutting = Cutting::of(config.granularity, &config.language);
            cutting.map(Some).map_err(|why| wrong("TextConfig", why))
        }
    }
}

fn baseline_of(config: ShapBaselineConfig, shape: &Shape) -> Result<(Baseline, Layout), ExplainerSpecError> {
    let layout = match config.mime_type.as_deref().filter(|given| !given.is_empty()).map(|given| layout_of(Some(given)))
    {
        None => Layout::Csv,
        Some(layout) => layout.map_err(|why| wrong("MimeType", format!(": {why}")))?,
    };
    let baseline = match (config.shap_baseline, config.shap_baseline_uri) {
        (Some(_), Some(_)) => return Err(wrong("ShapBaseline", "and ShapBaselineUri exclude each other")),
        (None, None) => return Err(wrong("ShapBaselineConfig", "needs a ShapBaseline or a ShapBaselineUri")),
        (None, Some(uri)) if uri.starts_with("s3://") => Baseline::At(uri),
        (None, Some(_)) => return Err(wrong("ShapBaselineUri", "is no s3:// address; no other is read here")),
        (Some(text), None) => {
            let records = record::read(text.as_bytes(), layout, shape);
            Baseline::Inline(records.map_err(|why| wrong("ShapBaseline", format!("cannot be read: {why}")))?)
        }
    };
    Ok((baseline, layout))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ExplainerConfig {
    clarify_explainer_config: Option<ClarifyExplainerConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ClarifyExplainerConfig {
    enable_explanations: Option<String>,
    inference_config: Option<InferenceConfig>,
    shap_config: ShapConfig,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InferenceConfig {
    features_attribute: Option<String>,
    content_template: Option<String>,
    max_record_count: Option<usize>,
    #[serde(rename = "MaxPayloadInMB")]
    max_payload_in_mb: Option<u32>,
    probability_index: Option<usize>,
    label_index: Option<usize>,
    probability_attribute: Option<String>,
    label_attribute: Option<String>,
    label_headers: Option<Vec<String>>,
    feature_headers: Option<Vec<String>>,
    feature_types: Option<Vec<FeatureType>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ShapConfig {
    shap_baseline_config: ShapBaselineConfig,
    number_of_samples: Option<usize>,
    use_logit: Option<bool>,
    seed: Option<i64>,
    text_config: Option<TextConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TextConfig {
    language: String,
    granularity: Granularity,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ShapBaselineConfig {
    mime_type: Option<String>,
    shap_baseline: Option<String>,
    shap_baseline_uri: Option<String>,
}
