//! `analysis.json`, as Clarify writes and reads it.
//!
//! ```text
//! { "version" : "1.0",
//!   "post_training_bias_metrics" : { "label" : "y", "facets" : { "sex" : [ { "value_or_threshold" : "0",
//!     "metrics" : [ { "name" : "AD", "description" : "Accuracy Difference (AD)", "value" : -0.1 } ] } ] },
//!     "label_value_or_threshold" : "1" },
//!   "pre_training_bias_metrics" : { … },
//!   "explanations" : { "kernel_shap" : { "label0" : { "global_shap_values" : { "age" : 0.1 }, "expected_value" : 0.3 } } } }
//! ```
//!
//! Invariant: metrics come by name; infinite values are the texts `"Infinity"` and `"-Infinity"`, and bare ones, which
//! Clarify has been seen to write, are read too. Refuses to: keep members that nobody here reads.

use std::borrow::Cow;

use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::attribution::Explanations;

/// The file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// Always `1.0`.
    #[serde(default)]
    pub version: String,
    /// Of predictions; absent where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post_training_bias_metrics: Option<BiasMetrics>,
    /// Of labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_training_bias_metrics: Option<BiasMetrics>,
    /// What features add to the answers; absent where nobody asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explanations: Option<Explanations>,
}

/// Metrics of one stage.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct BiasMetrics {
    /// Name of the label.
    #[serde(default)]
    pub label: String,
    /// By column.
    pub facets: Facets,
    /// Positive outcomes.
    #[serde(default)]
    pub label_value_or_threshold: String,
}

/// Facets by column, in the order of the configuration.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facets(pub Vec<(String, Vec<FacetMetrics>)>);

/// Metrics of the rows with some values of a column against all others.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FacetMetrics {
    /// The values.
    pub value_or_threshold: String,
    /// By name.
    pub metrics: Vec<MetricResult>,
}

/// One metric.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricResult {
    /// In short.
    pub name: String,
    /// In words.
    #[serde(default)]
    pub description: String,
    /// Its value; `null` where it cannot be computed.
    #[serde(serialize_with = "write_value", deserialize_with = "read_value")]
    pub value: Option<f64>,
    /// Why it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Analysis {
    /// The stages that are there, with their names in violations and notes.
    pub fn stages(&self) -> impl Iterator<Item = &BiasMetrics> {
        self.pre_training_bias_metrics.iter().chain(&self.post_training_bias_metrics)
    }
}

impl Serialize for Facets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (column, metrics) in &self.0 {
            map.serialize_entry(column, metrics)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Facets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let members = serde_json::Map::deserialize(deserializer)?;
        let facet = |(column, value): (String, Value)| Ok((column, Vec::deserialize(value)?));
        let facets: Result<_, serde_json::Error> = members.into_iter().map(facet).collect();
        facets.map(Self).map_err(serde::de::Error::custom)
    }
}

fn write_value<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        None => serializer.serialize_none(),
        Some(value) => crate::quality::lenient(value, serializer),
    }
}

fn read_value<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.as_str() {
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    })
}

/// Reads JSON in which Python has written bare `Infinity`, `-Infinity` or `NaN`.
///
/// # Errors
/// When it is no JSON otherwise.
pub fn read_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    serde_json::from_str(&quoted(text))
}

fn quoted(text: &str) -> Cow<'_, str> {
    const LITERALS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];
    if !LITERALS.iter().any(|literal| text.contains(literal)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let (mut rest, mut inside) = (text, false);
    while let Some(letter) = rest.chars().next() {
        if !inside && let Some(literal) = LITERALS.iter().find(|literal| rest.starts_with(**literal)) {
            out.extend(["\"", literal, "\""]);
            rest = &rest[literal.len()..];
            continue;
        }
        let mut taken = letter.len_utf8();
        match letter {
            '"' => inside = !inside,
            '\\' if inside => taken += rest[taken..].chars().next().map_or(0, char::len_utf8),
            _ => {}
        }
        out.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLARIFY: &str = r#"{"version": "1.0", "post_training_bias_metrics": {"label": "y \"NaN\" \\", "facets": {"Sex":
        [{"value_or_threshold": "0", "metrics": [{"name": "AD", "description": "Accuracy Difference (AD)", "value": -0.1},
        {"name": "TE", "description": "Treatment Equality (TE)", "value": -Infinity},
        {"name": "DI", "description": "Infinity", "value": "Infinity"},
        {"name": "FT", "description": "Flip Test (FT)", "value": null, "error": "text"}]}]},
        "label_value_or_threshold": "1"}, "explanations": {"kernel_shap": {"label0": {"global_shap_values": {"age": 0.5},
        "expected_value": 0.25}}}}"#;

    #[test]
    fn files_of_clarify_are_read_with_bare_infinities_and_written_as_json() {
        let analysis: Analysis = read_json(CLARIFY).unwrap();
        let metrics = analysis.post_training_bias_metrics.as_ref().unwrap();
        assert_eq!(metrics.label, "y \"NaN\" \\");
        let values: Vec<Option<f64>> = metrics.facets.0[0].1[0].metrics.iter().map(|metric| metric.value).collect();
        assert_eq!(values, [Some(-0.1), Some(f64::NEG_INFINITY), Some(f64::INFINITY), None]);
        let text = serde_json::to_string(&analysis).unwrap();
        assert_eq!(read_json::<Analysis>(&text).unwrap(), analysis);
        assert!(text.starts_with(r#"{"version":"1.0","post_training_bias_metrics":{"label":"y"#), "{text}");
        assert!(text.contains(r#""value":"-Infinity""#) && text.ends_with(r#""expected_value":0.25}}}}"#), "{text}");
    }
}
