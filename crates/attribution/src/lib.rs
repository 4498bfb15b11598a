//! What each feature of a record adds to a model's answer: the arithmetic of Kernel SHAP, and how records and answers are
//! written, so that whoever asks a model (an endpoint's explainer, an analysis of captures) asks and counts alike.
//!
//! Invariant: the same records, budget and seed give the same questions and the same numbers.
//! Refuses to: ask a model, or know what asks it.

pub mod jmespath;
pub mod kernel;
pub mod outputs;
pub mod record;
