//! Members of an explainer.

use super::*;

static SHORT_LINE: Shape = text(1, 64, &pattern::LINE);
static AT_LEAST_ONE: Shape = integer(1, i64::MAX);
static INDEX: Shape = integer(0, i64::MAX);
static PAYLOAD_SIZE: Shape = integer(1, 25);
static LABEL_HEADERS: Shape = Shape::List { member: &SHORT_LINE, min: 1, max: 16 };
static FEATURE_HEADERS: Shape = Shape::List { member: &SHORT_LINE, min: 1, max: 256 };
static FEATURE_TYPE: Shape = Shape::OneOf(&["numerical", "categorical", "text"]);
static FEATURE_TYPES: Shape = Shape::List { member: &FEATURE_TYPE, min: 1, max: 256 };
static INFERENCE: Shape = Shape::Structure(&[
    optional("FeaturesAttribute", &SHORT_LINE),
    optional("ContentTemplate", &SHORT_LINE),
    optional("MaxRecordCount", &AT_LEAST_ONE),
    optional("MaxPayloadInMB", &PAYLOAD_SIZE),
    optional("ProbabilityIndex", &INDEX),
    optional("LabelIndex", &INDEX),
    optional("ProbabilityAttribute", &SHORT_LINE),
    optional("LabelAttribute", &SHORT_LINE),
    optional("LabelHeaders", &LABEL_HEADERS),
    optional("FeatureHeaders", &FEATURE_HEADERS),
    optional("FeatureTypes", &FEATURE_TYPES),
]);
static BASELINE_MEDIA_TYPE: Shape = text(0, 255, &pattern::BASELINE_MEDIA_TYPE);
static BASELINE: Shape = text(1, 4_096, &pattern::SOMETHING);
static BASELINE_URI: Shape = text(0, 1_024, &pattern::MODEL_DATA);
static SHAP_BASELINE: Shape = Shape::Structure(&[
    optional("MimeType", &BASELINE_MEDIA_TYPE),
    optional("ShapBaseline", &BASELINE),
    optional("ShapBaselineUri", &BASELINE_URI),
]);
static SEED: Shape = integer(i64::MIN, i64::MAX);
static LANGUAGE: Shape = Shape::OneOf(&[
    "af", "sq", "ar", "hy", "eu", "bn", "bg", "ca", "zh", "hr", "cs", "da", "nl", "en", "et", "fi", "fr", "de", "el",
    "gu", "he", "hi", "hu", "is", "id", "ga", "it", "kn", "ky", "lv", "lt", "lb", "mk", "ml", "mr", "ne", "nb", "fa",
    "pl", "pt", "ro", "ru", "sa", "sr", "tn", "si", "sk", "sl", "es", "sv", "tl", "ta", "tt", "te", "tr", "uk", "ur",
    "yo", "lij", "xx",
]);
static GRANULARITY: Shape = Shape::OneOf(&["token", "sentence", "paragraph"]);
static TEXT: Shape = Shape::Structure(&[required("Language", &LANGUAGE), required("Granularity", &GRANULARITY)]);
static SHAP: Shape = Shape::Structure(&[
    required("ShapBaselineConfig", &SHAP_BASELINE),
    optional("NumberOfSamples", &AT_LEAST_ONE),
    optional("UseLogit", &BOOLEAN),
    optional("Seed", &SEED),
    optional("TextConfig", &TEXT),
]);
static CLARIFY: Shape = Shape::Structure(&[
    optional("EnableExplanations", &SHORT_LINE),
    optional("InferenceConfig", &INFERENCE),
    required("ShapConfig", &SHAP),
]);
pub(super) static EXPLAINER: Shape = Shape::Structure(&[optional("ClarifyExplainerConfig", &CLARIFY)]);
