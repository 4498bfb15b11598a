//! `/opt/ml/output/metrics/cloudwatch`: what programs want to be published, a line of JSON each.
//!
//! ```text
//! {"MetricName": "feature_baseline_drift_age", "Timestamp": "2019-11-26T03:00:00Z",
//!  "Dimensions": [{"Name": "Endpoint", "Value": "churn"}], "Value": 0.3, "Unit": "None"}
//! ```
//! `StatisticValues` with `SampleCount`, `Sum`, `Minimum` and `Maximum` stand in place of a `Value`; `Namespace`, where it is
//! not that of data quality, is this program's own addition.
//!
//! Invariant: a line that cannot be read costs that line only.

use std::io::Read as _;
use std::path::Path;

use captura_names::Timestamp;
use serde::Deserialize;

use crate::config_files::{OUTPUT_FOLDER, inside};
use crate::files::open_below;
use crate::limits::METRICS_FILE_MAX_BYTES;

/// Where metrics go that say nothing else.
const NAMESPACE: &str = "aws/sagemaker/Endpoints/data-metrics";
/// The file, below the output folder.
const FILE: &str = "metrics/cloudwatch";
/// Most dimensions of a metric: CloudWatch's own limit.
const DIMENSIONS_MAX: usize = 30;

/// A value to be published.
#[derive(Debug, Clone, PartialEq)]
pub struct Datum {
    /// Where.
    pub namespace: String,
    /// Which metric.
    pub name: String,
    /// Dimensions by name.
    pub dimensions: Vec<(String, String)>,
    /// When.
    pub at: Timestamp,
    /// What.
    pub values: Statistics,
    /// In which unit.
    pub unit: String,
}

/// A set of values, told by its statistics; one value is a set too.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statistics {
    /// How many.
    pub sample_count: f64,
    /// All added.
    pub sum: f64,
    /// The least.
    pub minimum: f64,
    /// The greatest.
    pub maximum: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Line {
    namespace: Option<String>,
    metric_name: String,
    timestamp: Option<String>,
    #[serde(default)]
    dimensions: Vec<Dimension>,
    value: Option<f64>,
    statistic_values: Option<Statistics>,
    unit: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Dimension {
    name: String,
    value: String,
}

/// The metrics that a program has left. `ended_at` stands for a time that a line does not say.
pub(crate) fn read(root: &Path, ended_at: Timestamp) -> Vec<Datum> {
    let Ok(Some(file)) = open_below(&inside(root, OUTPUT_FOLDER), Path::new(FILE)) else { return Vec::new() };
    let mut text = Vec::new();
    if file.take(METRICS_FILE_MAX_BYTES).read_to_end(&mut text).is_err() {
        return Vec::new();
    }
    text.split(|byte| *byte == b'\n').filter_map(|line| datum(line, ended_at)).collect()
}

fn datum(line: &[u8], ended_at: Timestamp) -> Option<Datum> {
    let line: Line = serde_json::from_slice(line).ok()?;
    let one = |value: f64| Statistics { sample_count: 1.0, sum: value, minimum: value, maximum: value };
    let values = line.statistic_values.or(line.value.map(one))?;
    let all = [values.sample_count, values.sum, values.minimum, values.maximum];
    if !all.iter().all(|value| value.is_finite())
        || values.sample_count <= 0.0
        || line.dimensions.len() > DIMENSIONS_MAX
    {
        return None;
    }
    Some(Datum {
        namespace: line.namespace.unwrap_or_else(|| NAMESPACE.to_owned()),
        name: line.metric_name,
        dimensions: line.dimensions.into_iter().map(|one| (one.name, one.value)).collect(),
        at: line.timestamp.and_then(|text| Timestamp::parse(&text).ok()).unwrap_or(ended_at),
        values,
        unit: line.unit.unwrap_or_else(|| "None".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_one_by_one_and_bad_ones_left_out() {
        let root = tempfile::tempdir().unwrap();
        let folder = inside(root.path(), OUTPUT_FOLDER).join("metrics");
        std::fs::create_dir_all(&folder).unwrap();
        let lines = r#"{"MetricName": "feature_data_age", "Timestamp": "2019-11-26T03:00:00Z", "Dimensions": [{"Name": "Endpoint", "Value": "churn"}], "StatisticValues": {"SampleCount": 3, "Sum": 6, "Minimum": 1, "Maximum": 3}, "Unit": "Count"}
not json
{"MetricName": "no_value"}
{"Namespace": "aws/sagemaker/Endpoints/model-metrics", "MetricName": "auc", "Value": 0.5}
"#;
        std::fs::write(folder.join("cloudwatch"), lines).unwrap();
        let ended_at = Timestamp::from_unix_us(7);
        let found = read(root.path(), ended_at);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].name.as_str(), found[0].unit.as_str()), ("feature_data_age", "Count"));
        assert_eq!(found[0].namespace, NAMESPACE);
        assert_eq!(found[0].dimensions, [("Endpoint".to_owned(), "churn".to_owned())]);
        assert_eq!(found[0].values, Statistics { sample_count: 3.0, sum: 6.0, minimum: 1.0, maximum: 3.0 });
        assert_eq!(found[0].at, Timestamp::parse("2019-11-26T03:00:00Z").unwrap());
        assert_eq!((found[1].values.sum, found[1].at), (0.5, ended_at));
        assert_eq!(found[1].namespace, "aws/sagemaker/Endpoints/model-metrics");
    }
}
