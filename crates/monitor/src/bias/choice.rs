//! Which rows have a facet, and which outcomes are positive: `analysis_config.json`, in Clarify's words.
//!
//! ```text
//! { "label" : "approved", "label_values_or_threshold" : [ 1 ],
//!   "facet" : [ { "name_or_index" : "age", "value_or_threshold" : [ 40 ] } ], "group_variable" : "region",
//!   "methods" : { "pre_training_bias" : { "methods" : "all" }, "post_training_bias" : { "methods" : [ "DPPL" ] } } }
//! ```
//!
//! Values choose as in Clarify: a column of fractions, or of whole numbers of which more than one in twenty rows brings
//! a new one, is continuous, and its one value a threshold: what lies above it is chosen. Any other column is
//! categorical, and its listed values are chosen. That depends on the number of rows, so `>40` always means a threshold.
//! A facet without values is looked at value by value.
//!
//! Invariant: members that are not needed here are ignored. Refuses to: guess which outcomes are positive.

use serde::Deserialize;
use serde_json::Value;

use crate::artefact::java_double;
use crate::dataset::{Parsed, number, number_text};
use crate::labels::canonical;

/// Share of different numbers from which on a column of whole numbers is continuous.
const CONTINUOUS_FROM: f64 = 0.05;
/// Values of a facet without listed ones that are looked at.
const MAX_FACET_VALUES: usize = 50;

/// What is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BiasConfig {
    /// Name of the label, which is what the files call it.
    pub label: String,
    /// Positive outcomes.
    pub positive: Vec<String>,
    /// Facets.
    pub facets: Vec<FacetConfig>,
    /// Column whose values are the groups of conditional disparities.
    pub group_variable: Option<String>,
    /// Names of the columns, the label among them; empty where they are not told.
    pub headers: Vec<String>,
    /// Metrics before training that are wanted; all of them when empty.
    pub pre_training: Vec<String>,
    /// Metrics after training.
    pub post_training: Vec<String>,
}

/// One facet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FacetConfig {
    /// Its column: name or place.
    pub column: String,
    /// Its values, or a threshold; empty for each value in turn.
    pub values: Vec<String>,
}

/// A configuration that asks nothing that can be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the bias configuration {0}")]
pub struct InvalidConfig(pub String);

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    headers: Vec<String>,
    #[serde(default)]
    label: Value,
    #[serde(default)]
    label_values_or_threshold: Value,
    #[serde(default)]
    facet: Vec<FacetFile>,
    #[serde(default)]
    group_variable: Value,
    #[serde(default)]
    methods: Methods,
}

#[derive(Deserialize)]
struct FacetFile {
    name_or_index: Value,
    #[serde(default)]
    value_or_threshold: Value,
}

#[derive(Default, Deserialize)]
struct Methods {
    #[serde(default)]
    pre_training_bias: Option<Method>,
    #[serde(default)]
    post_training_bias: Option<Method>,
}

#[derive(Default, Deserialize)]
struct Method {
    #[serde(default)]
    methods: Value,
}

impl BiasConfig {
    /// Reads `analysis_config.json`.
    ///
    /// # Errors
    /// When it names no label, no positive outcome or no facet.
    pub fn parse(file: &Value) -> Result<Self, InvalidConfig> {
        let file = File::deserialize(file).map_err(|error| InvalidConfig(format!("cannot be used: {error}")))?;
        let methods = |method: Option<Method>| method.map_or_else(Vec::new, |method| texts(&method.methods));
        let all = |names: Vec<String>| if names == ["all"] { Vec::new() } else { names };
        let facet = |facet: FacetFile| FacetConfig {
            column: text(&facet.name_or_index).unwrap_or_default(),
            values: texts(&facet.value_or_threshold),
        };
        let config = Self {
            label: text(&file.label).unwrap_or_default(),
            positive: texts(&file.label_values_or_threshold),
            facets: file.facet.into_iter().map(facet).collect(),
            group_variable: text(&file.group_variable),
            headers: file.headers,
            pre_training: all(methods(file.methods.pre_training_bias)),
            post_training: all(methods(file.methods.post_training_bias)),
        };
        config.check()?;
        Ok(config)
    }

    /// Names of captured rows, which begin with the answer in the place of the label.
    #[must_use]
    pub fn captured_names(&self) -> Option<Vec<String>> {
        let features = self.headers.iter().filter(|name| **name != self.label);
        (!self.headers.is_empty()).then(|| std::iter::once(&self.label).chain(features).cloned().collect())
    }

    /// # Errors
    /// When it names no label, no positive outcome or no facet.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        let missing = |what: &str| Err(InvalidConfig(format!("has no {what}")));
        if self.label.is_empty() {
            return missing("label: say which column it is (--label)");
        }
        if self.positive.is_empty() {
            return missing("label_values_or_threshold: say which outcomes are positive (--label-values-or-threshold)");
        }
        if self.facets.is_empty() || self.facets.iter().any(|facet| facet.column.is_empty()) {
            return missing("facet: say whose outcomes are compared with all others' (--facet)");
        }
        Ok(())
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().filter_map(text).collect(),
        other => text(other).into_iter().collect(),
    }
}

/// What a column has, to choose by.
#[derive(Debug, Clone)]
pub struct Values<'a> {
    /// Its different values; `None` for no value.
    pub values: &'a [String],
    /// Which of them each row has.
    pub of_row: &'a [u32],
}

/// Some values of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// As the files have it: `1`, `a,b`, `(40, 65]`.
    pub value_or_threshold: String,
    /// For each different value whether it is chosen.
    pub chosen: Vec<bool>,
}

impl Values<'_> {
    /// What listed values choose; without any, one choice for each value.
    #[must_use]
    pub fn choose(&self, listed: &[String]) -> Vec<Chosen> {
        if let [one] = listed
            && let (told, threshold) = one.strip_prefix('>').map_or((false, one.as_str()), |rest| (true, rest))
            && (told || self.is_continuous())
            && let Parsed::Number { value: threshold, .. } = number(threshold)
        {
            return vec![self.above(threshold)];
        }
        let one = |listed: &[String]| {
            let wanted: Vec<_> = listed.iter().filter_map(|value| canonical(value)).collect();
            let has = |value: &String| canonical(value).is_some_and(|value| wanted.contains(&value));
            Chosen { value_or_threshold: listed.join(","), chosen: self.values.iter().map(has).collect() }
        };
        if !listed.is_empty() {
            return vec![one(listed)];
        }
        let mut seen: Vec<&String> = self.values.iter().collect();
        seen.sort();
        seen.into_iter().take(MAX_FACET_VALUES).map(|value| one(std::slice::from_ref(value))).collect()
    }

    fn numbers(&self) -> Vec<Option<f64>> {
        let parse = |value: &String| match number(value) {
            Parsed::Number { value, .. } => Some(value),
            _ => None,
        };
        self.values.iter().map(parse).collect()
    }

    fn is_continuous(&self) -> bool {
        let numbers = self.numbers();
        if numbers.is_empty() || numbers.iter().any(Option::is_none) {
            return false;
        }
        let fractions = numbers.iter().flatten().any(|number| number.fract() != 0.0);
        fractions || numbers.len() as f64 / self.of_row.len().max(1) as f64 >= CONTINUOUS_FROM
    }

    /// What lies above a threshold, called `(threshold, largest]` as Clarify does.
    fn above(&self, threshold: f64) -> Chosen {
        let numbers = self.numbers();
        let largest = numbers.iter().flatten().copied().fold(threshold, f64::max);
        let whole = threshold.fract() == 0.0 && numbers.iter().flatten().all(|number| number.fract() == 0.0);
        let shown = |number: f64| if whole { number_text(number) } else { java_double(number) };
        Chosen {
            value_or_threshold: format!("({}, {}]", shown(threshold), shown(largest)),
            chosen: numbers.iter().map(|number| number.is_some_and(|number| number > threshold)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(values: &[&str], of_row: &[u32], listed: &[&str]) -> Vec<(String, Vec<bool>)> {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        let values = owned(values);
        let found = Values { values: &values, of_row }.choose(&owned(listed));
        found.into_iter().map(|chosen| (chosen.value_or_threshold, chosen.chosen)).collect()
    }

    #[test]
    fn values_choose_as_in_clarify() {
        let many: Vec<u32> = (0..100).map(|row| row % 2).collect();
        assert_eq!(choice(&["0", "1"], &many, &["0"]), [("0".to_owned(), vec![true, false])]);
        assert_eq!(choice(&["a", "b", "c"], &many, &["a", "c"]), [("a,c".to_owned(), vec![true, false, true])]);
        assert_eq!(
            choice(&["20", "40", "65"], &[0, 1, 2], &["40"]),
            [("(40, 65]".to_owned(), vec![false, false, true])]
        );
        assert_eq!(choice(&["20", "40", "65"], &many, &["40"])[0].1, [false, true, false], "few different numbers");
        assert_eq!(choice(&["20", "40", "65"], &many, &[">40"]), [("(40, 65]".to_owned(), vec![false, false, true])]);
        assert_eq!(choice(&["0.5", "2"], &many, &["1"]), [("(1.0, 2.0]".to_owned(), vec![false, true])]);
        assert_eq!(
            choice(&["y", "x"], &many, &[]),
            [("x".to_owned(), vec![false, true]), ("y".to_owned(), vec![true, false])]
        );
        assert_eq!(choice(&["1", "0"], &many, &["1.0"])[0].1, [true, false], "written otherwise, the same number");
    }

    #[test]
    fn the_configuration_of_an_sdk_is_read() {
        let file = serde_json::json!({"dataset_type": "text/csv", "headers": ["a", "y"], "label": "y",
            "label_values_or_threshold": [1], "facet": [{"name_or_index": "a", "value_or_threshold": [0]},
            {"name_or_index": 3}], "group_variable": "g", "methods": {"report": {"name": "report"},
            "pre_training_bias": {"methods": "all"}, "post_training_bias": {"methods": ["DPPL", "DI"]}}});
        let config = BiasConfig::parse(&file).unwrap();
        assert_eq!((config.label.as_str(), &config.positive[..]), ("y", &["1".to_owned()][..]));
        assert_eq!(config.captured_names().unwrap(), ["y", "a"]);
        assert_eq!(config.facets[1], FacetConfig { column: "3".into(), values: Vec::new() });
        assert_eq!((config.pre_training.len(), config.post_training.len()), (0, 2));
        let reason = |file: Value| BiasConfig::parse(&file).unwrap_err().to_string();
        assert!(reason(serde_json::json!({})).contains("no label"));
        assert!(reason(serde_json::json!({"label": "y"})).contains("positive"));
        assert!(reason(serde_json::json!({"label": "y", "label_values_or_threshold": [1]})).contains("facet"));
        assert!(reason(serde_json::json!({"facet": 7})).contains("cannot be used"));
    }
}
