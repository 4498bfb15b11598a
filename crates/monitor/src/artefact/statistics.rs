//! `statistics.json`, written and read.
//!
//! ```text
//! { "version" : 0.0, "dataset" : { "item_count" : n }, "features" : [ { "name", "inferred_type",
//!   "numerical_statistics" : { "common" : { "num_present", "num_missing" }, "mean", "sum", "std_dev", "min", "max",
//!     "approximate_num_distinct_values", "completeness", "distribution" : { "kll" : { "buckets" : [ { "lower_bound",
//!     "upper_bound", "count" } ], "sketch" : { "parameters" : { "c", "k" }, "data" : [ [ … ] ] } } } }
//!   | "string_statistics" : { "common", "distinct_count", "completeness", "distribution" : { "categorical" :
//!     { "buckets" : [ { "value", "count" } ] } } } } ] }
//! ```
//!
//! Older files lack `completeness` and `approximate_num_distinct_values`; both may be absent when read.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::constraints::{MAX_DOMAIN, MAX_DOMAIN_SHARE};
use crate::profile::{ColumnProfile, DatasetProfile, InferredType};
use crate::sketch::{InvalidSketch, Kll};

/// Buckets of the histograms.
const BUCKETS: usize = 10;

/// The file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Always 0.0.
    #[serde(default)]
    pub version: f64,
    /// About the whole data set.
    pub dataset: DatasetStatistics,
    /// About each column.
    pub features: Vec<FeatureStatistics>,
}

/// About the whole data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatasetStatistics {
    /// Rows.
    pub item_count: u64,
}

/// About one column: numerical or string statistics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeatureStatistics {
    /// Its name.
    pub name: String,
    /// Its type.
    pub inferred_type: InferredType,
    /// Of Integral and Fractional columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numerical_statistics: Option<NumericalStatistics>,
    /// Of all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub string_statistics: Option<StringStatistics>,
}

/// Rows with and without a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Common {
    /// Rows with a value.
    pub num_present: u64,
    /// Rows without.
    pub num_missing: u64,
}

/// Of a column of numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NumericalStatistics {
    /// Rows with and without a value.
    pub common: Common,
    /// Arithmetic mean.
    #[serde(deserialize_with = "lenient")]
    pub mean: f64,
    /// Sum.
    #[serde(deserialize_with = "lenient")]
    pub sum: f64,
    /// Population standard deviation.
    #[serde(deserialize_with = "lenient")]
    pub std_dev: f64,
    /// Smallest.
    #[serde(deserialize_with = "lenient")]
    pub min: f64,
    /// Largest.
    #[serde(deserialize_with = "lenient")]
    pub max: f64,
    /// Estimated number of different values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approximate_num_distinct_values: Option<u64>,
    /// Share of rows with a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completeness: Option<f64>,
    /// How the values are spread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distribution: Option<NumericalDistribution>,
}

/// How numbers are spread.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NumericalDistribution {
    /// Histogram and sketch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kll: Option<KllDistribution>,
}

/// Histogram and sketch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KllDistribution {
    /// Ten equal parts from min to max.
    pub buckets: Vec<HistogramBucket>,
    /// The quantile sketch.
    pub sketch: SketchData,
}

/// One part of a histogram.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistogramBucket {
    /// Where it begins.
    pub lower_bound: f64,
    /// Where it ends.
    pub upper_bound: f64,
    /// Rows inside.
    pub count: f64,
}

/// The quantile sketch as numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SketchData {
    /// `c` and `k`.
    pub parameters: SketchParameters,
    /// Values by level; one at level `i` stands for `2^i` rows.
    pub data: Vec<Vec<f64>>,
}

/// Parameters of the sketch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SketchParameters {
    /// Shrinking factor.
    pub c: f64,
    /// Size of the top level.
    pub k: f64,
}

/// Of a column of texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StringStatistics {
    /// Rows with and without a value.
    pub common: Common,
    /// Number of different values.
    #[serde(default, deserialize_with = "lenient")]
    pub distinct_count: f64,
    /// Share of rows with a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completeness: Option<f64>,
    /// Counts by value, when the column has a domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distribution: Option<StringDistribution>,
}

/// How texts are spread.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StringDistribution {
    /// Counts by value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub categorical: Option<CategoricalDistribution>,
}

/// Counts by value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CategoricalDistribution {
    /// In the order of the values when written by captura.
    pub buckets: Vec<CategoryBucket>,
}

/// Count of one value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CategoryBucket {
    /// The value.
    pub value: String,
    /// Rows with it.
    pub count: u64,
}

impl Statistics {
    /// The file of a profile.
    #[must_use]
    pub fn of(profile: &DatasetProfile) -> Self {
        Self {
            version: 0.0,
            dataset: DatasetStatistics { item_count: profile.rows },
            features: profile.columns.iter().map(FeatureStatistics::of).collect(),
        }
    }

    /// The statistics of a column.
    #[must_use]
    pub fn feature(&self, name: &str) -> Option<&FeatureStatistics> {
        self.features.iter().find(|feature| feature.name == name)
    }
}

impl FeatureStatistics {
    fn of(column: &ColumnProfile) -> Self {
        let inferred_type = column.inferred_type();
        let common = Common { num_present: column.present(), num_missing: column.missing };
        let mut feature =
            Self { name: column.name.clone(), inferred_type, numerical_statistics: None, string_statistics: None };
        match inferred_type {
            InferredType::Integral | InferredType::Fractional => {
                feature.numerical_statistics = Some(NumericalStatistics::of(column, common));
            }
            InferredType::String | InferredType::Unknown => {
                let distribution = domain(column).map(|counts| StringDistribution {
                    categorical: Some(CategoricalDistribution {
                        buckets: counts
                            .into_iter()
                            .map(|(value, count)| CategoryBucket { value: value.to_owned(), count })
                            .collect(),
                    }),
                });
                feature.string_statistics = Some(StringStatistics {
                    common,
                    distinct_count: column.distinct() as f64,
                    completeness: Some(column.completeness()),
                    distribution,
                });
            }
        }
        feature
    }

    /// The sketch of a numeric column, when the file has one.
    ///
    /// # Errors
    /// When its numbers are not a sketch.
    pub fn sketch(&self) -> Result<Option<Kll>, InvalidSketch> {
        let kll = self.numerical_statistics.as_ref().and_then(|n| n.distribution.as_ref()?.kll.as_ref());
        let sketch = |SketchData { parameters, data }: &SketchData| Kll::from_levels(parameters.c, parameters.k, data);
        kll.map(|kll| sketch(&kll.sketch)).transpose()
    }

    /// The counts of a categorical column, when the file has them.
    #[must_use]
    pub fn categories(&self) -> Option<BTreeMap<&str, u64>> {
        let categorical = self.string_statistics.as_ref()?.distribution.as_ref()?.categorical.as_ref()?;
        Some(categorical.buckets.iter().map(|bucket| (bucket.value.as_str(), bucket.count)).collect())
    }
}

impl NumericalStatistics {
    fn of(column: &ColumnProfile, common: Common) -> Self {
        let moments = &column.moments;
        let (min, max) = (moments.min().unwrap_or(0.0), moments.max().unwrap_or(0.0));
        let (c, k) = column.quantiles.parameters();
        let buckets = column.quantiles.histogram(min, max, BUCKETS);
        let buckets = buckets.into_iter().map(|bucket| HistogramBucket {
            lower_bound: bucket.lower_bound,
            upper_bound: bucket.upper_bound,
            count: bucket.rows as f64,
        });
        let kll = KllDistribution {
            buckets: buckets.collect(),
            sketch: SketchData {
                parameters: SketchParameters { c, k },
                data: column.quantiles.levels().map(<[f64]>::to_vec).collect(),
            },
        };
        Self {
            common,
            mean: moments.mean().unwrap_or(0.0),
            sum: moments.sum(),
            std_dev: moments.standard_deviation().unwrap_or(0.0),
            min,
            max,
            approximate_num_distinct_values: Some(column.distinct()),
            completeness: Some(column.completeness()),
            distribution: Some(NumericalDistribution { kll: Some(kll) }),
        }
    }
}

/// The counts of a text column that has few values for its rows; only such columns get a domain.
pub(crate) fn domain(column: &ColumnProfile) -> Option<BTreeMap<&str, u64>> {
    if column.inferred_type() != InferredType::String {
        return None;
    }
    let rows = (column.present() + column.missing) as f64;
    column
        .categories
        .counts()
        .filter(|counts| counts.len() <= MAX_DOMAIN && counts.len() as f64 / rows <= MAX_DOMAIN_SHARE)
}

/// Jackson writes numbers that JSON cannot hold as texts (`"NaN"`), other writers as `null`.
fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Lenient {
        Number(f64),
        Text(String),
        Null,
    }
    Ok(match Lenient::deserialize(deserializer)? {
        Lenient::Number(value) => value,
        Lenient::Text(text) => match text.as_str() {
            "Infinity" => f64::INFINITY,
            "-Infinity" => f64::NEG_INFINITY,
            _ => f64::NAN,
        },
        Lenient::Null => f64::NAN,
    })
}
