//! Answers of endpoints with an explainer: a document that holds the model's answer beside what explains it. The rows of a
//! data set are the model's.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

/// How every such document begins, ours and SageMaker's; others are not looked at any closer.
const BEGIN: &str = "{\"version\":";

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    predictions: Predictions<'a>,
    #[serde(rename = "explanations")]
    _explanations: IgnoredAny,
}

/// The model's own answer.
#[derive(Deserialize)]
pub(super) struct Predictions<'a> {
    #[serde(borrow)]
    pub(super) content_type: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) data: Cow<'a, str>,
}

/// The model's answer in a document with explanations; nothing of any other.
pub(super) fn predictions(text: &str) -> Option<Predictions<'_>> {
    let text = text.trim();
    let document: Document<'_> = text.starts_with(BEGIN).then(|| serde_json::from_str(text).ok())??;
    Some(document.predictions)
}
