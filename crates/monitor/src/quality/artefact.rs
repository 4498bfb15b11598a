//! `statistics.json` of model quality.
//!
//! ```text
//! { "version" : 0.0, "dataset" : { "item_count", "start_time", "end_time", "evaluation_time" },
//!   "binary_classification_metrics" : { "confusion_matrix" : { "0" : { "0" : n, "1" : n }, … },
//!     "recall" : { "value", "standard_deviation" }, …, "receiver_operating_characteristic_curve" : { … }, … } }
//! ```
//!
//! Invariant: members come in the order of Model Monitor's files; numbers that JSON cannot hold are texts.

use captura_names::Timestamp;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::{Curves, Metric, Sample};

/// The file.
#[derive(Debug, Clone, PartialEq)]
pub struct QualityStatistics {
    /// Rows that were judged.
    pub item_count: u64,
    /// Of which calls, seen from when.
    pub when: When,
    /// Name of the section with the metrics.
    pub section: String,
    /// Its members, in order.
    pub entries: Vec<(&'static str, Entry)>,
}

/// Of which calls a file is, seen from when; absent where the data does not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct When {
    /// The first call.
    pub start: Option<Timestamp>,
    /// The last call.
    pub end: Option<Timestamp>,
    /// The moment that was asked about.
    pub evaluation: Option<Timestamp>,
}

/// One member of a section.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// Counts by right and by predicted class.
    Matrix(Vec<(String, Vec<(String, u64)>)>),
    /// A number.
    Metric(MetricValue),
    /// Two lists of the same length.
    Curve([(&'static str, Vec<f64>); 2]),
}

/// A number and how far it may be off.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MetricValue {
    /// The number.
    #[serde(serialize_with = "lenient")]
    pub value: f64,
    /// Its standard deviation.
    #[serde(serialize_with = "lenient")]
    pub standard_deviation: f64,
}

impl QualityStatistics {
    /// The file of a sample and its metrics.
    #[must_use]
    pub fn of(sample: &Sample, metrics: &[Metric], when: When) -> Self {
        let matrix = sample.confusion_matrix();
        let mut entries = Vec::new();
        if !matrix.is_empty() {
            entries.push(("confusion_matrix", Entry::Matrix(matrix)));
        }
        for metric in metrics {
            let Metric { name, value, standard_deviation } = *metric;
            if name == "auc" {
                entries.extend(curves(sample));
            }
            entries.push((name, Entry::Metric(MetricValue { value, standard_deviation })));
        }
        Self {
            item_count: sample.rows() as u64,
            when,
            section: format!("{}_metrics", sample.problem().section()),
            entries,
        }
    }
}

/// Both curves, which stand before the area.
fn curves(sample: &Sample) -> Vec<(&'static str, Entry)> {
    let Sample::Binary(sample) = sample else { return Vec::new() };
    let Some(scores) = &sample.scores else { return Vec::new() };
    let rows = scores.iter().copied().zip(sample.actual.iter().copied()).collect();
    let Some(curves) = Curves::of(rows) else { return Vec::new() };
    vec![
        (
            "receiver_operating_characteristic_curve",
            Entry::Curve([
                ("false_positive_rates", curves.false_positive_rates),
                ("true_positive_rates", curves.true_positive_rates),
            ]),
        ),
        ("precision_recall_curve", Entry::Curve([("precisions", curves.precisions), ("recalls", curves.recalls)])),
    ]
}

impl Serialize for QualityStatistics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Dataset {
            item_count: u64,
            #[serde(skip_serializing_if = "Option::is_none")]
            start_time: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            end_time: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            evaluation_time: Option<String>,
        }
        let text = |moment: Option<Timestamp>| moment.map(|moment| moment.to_string());
        let dataset = Dataset {
            item_count: self.item_count,
            start_time: text(self.when.start),
            end_time: text(self.when.end),
            evaluation_time: text(self.when.evaluation),
        };
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("version", &0.0)?;
        map.serialize_entry("dataset", &dataset)?;
        map.serialize_entry(&self.section, &InOrder(&self.entries))?;
        map.end()
    }
}

/// Pairs as an object with members in their order.
struct InOrder<'a, K, V>(&'a [(K, V)]);

impl<K: Serialize, V: Serialize> Serialize for InOrder<'_, K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Metric(metric) => metric.serialize(serializer),
            Self::Curve(lists) => InOrder(lists).serialize(serializer),
            Self::Matrix(rows) => {
                let rows: Vec<(&String, InOrder<'_, String, u64>)> =
                    rows.iter().map(|(actual, row)| (actual, InOrder(row))).collect();
                InOrder(&rows).serialize(serializer)
            }
        }
    }
}

/// As Jackson writes numbers that JSON cannot hold: `"NaN"`, `"Infinity"`, `"-Infinity"`.
pub(crate) fn lenient<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.is_finite() {
        serializer.serialize_f64(*value)
    } else {
        serializer.serialize_str(&crate::artefact::java_double(*value))
    }
}
