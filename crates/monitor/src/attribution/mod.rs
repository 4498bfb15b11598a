//! Feature attribution: what each feature adds to a model's answers, over many rows, and whether that has changed.
//!
//! ```text
//! rows ─▶ Explaining ── questions, batch by batch ──▶ (whoever asks the model) ── numbers ─▶ local attributions
//!                                      global: aggregated, with intervals ─▶ ranking against a baseline's ─▶ violations
//! ```
//! Files and words are those of SageMaker Clarify: `analysis_config.json` in, `analysis.json`, `explanations_shap/out.csv`
//! and `constraint_violations.json` out.
//!
//! Invariant: the same rows, configuration and answers give the same numbers. Refuses to: ask the model itself, explain parts
//! of texts or images.

mod asking;
mod baseline;
mod check;
mod config;
mod dependence;
mod explaining;
mod global;
mod local;
mod predicting;
mod wording;

#[cfg(test)]
mod tests;

pub use self::asking::{Questions, Refused};
pub use self::baseline::clustered;
pub use self::check::{
    AttributionDrift, AttributionVerdict, AttributionViolation, AttributionViolations, NDCG_THRESHOLD, Ranking, drift,
    ndcg, untold,
};
pub use self::config::{AttributionConfig, InvalidAttribution, Predictor, ShapBaseline};
pub use self::dependence::{DependenceConfig, DependenceType, Depending, PartialDependence};
pub use self::explaining::{Budget, Explained, Explaining, Settings};
pub use self::global::{Aggregation, Explanations, Features, GlobalAttribution, LabelExplanation, Labels, global};
pub use self::local::LocalValues;
pub use self::predicting::{Predicting, Prediction, threshold};
pub use self::wording::Wording;
