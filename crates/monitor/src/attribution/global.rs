//! From local attributions to global ones, with how far chance reaches in them.
//!
//! Invariant: intervals are those of explaining other rows from where these came: resamples of the rows, from a seed. Where
//! subsets were left to chance that is in them too, for each row had subsets of its own. Refuses to: aggregate no rows.

use std::collections::BTreeMap;

use serde::de::Deserializer;
use serde::ser::{SerializeMap as _, Serializer};
use serde::{Deserialize, Serialize};

use super::{LocalValues, PartialDependence};
use crate::dice::Dice;

/// Resamples behind an interval.
pub(super) const RESAMPLES: u64 = 500;
/// Shares of the resamples between which an interval lies.
pub(super) const INTERVAL: [f64; 2] = [0.025, 0.975];

/// How local values become a global one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregation {
    /// Mean of the absolute values.
    #[default]
    MeanAbs,
    /// Median of the values.
    Median,
    /// Mean of the squares.
    MeanSq,
}

impl Aggregation {
    /// Of some rows' values; their order does not matter and is not kept.
    pub(super) fn of(self, values: &mut [f64]) -> f64 {
        let count = values.len() as f64;
        match self {
            Self::MeanAbs => values.iter().map(|value| value.abs()).sum::<f64>() / count,
            Self::MeanSq => values.iter().map(|value| value * value).sum::<f64>() / count,
            Self::Median => {
                values.sort_by(f64::total_cmp);
                let middle = values.len() / 2;
                if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
            }
        }
    }
}

/// What a feature adds to one output, over all explained rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GlobalAttribution {
    /// The feature.
    pub feature: String,
    /// Its global value.
    pub value: f64,
    /// Where it lies with 95 % confidence for all rows from which these were taken; absent with fewer than two rows.
    pub interval: Option<[f64; 2]>,
    /// Typical error of a row's value because not every subset was asked, as a standard deviation; absent where unknown.
    pub local_deviation: Option<f64>,
}

/// `explanations` of `analysis.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Explanations {
    /// By label, in the order of the model's outputs; none where no SHAP values were asked for.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub kernel_shap: Labels,
    /// By feature.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pdp: Vec<PartialDependence>,
}

/// By label, in the order of the model's outputs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Labels(pub Vec<(String, LabelExplanation)>);

impl Labels {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Of one label.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LabelExplanation {
    /// By feature.
    pub global_shap_values: Features,
    /// Mean answer to the baseline.
    #[serde(default)]
    pub expected_value: f64,
}

/// By feature, in the order of the columns.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Features(pub Vec<(String, f64)>);

/// Global values of every label, with intervals.
#[must_use]
pub fn global(local: &LocalValues, aggregation: Aggregation, seed: u64) -> Vec<Vec<GlobalAttribution>> {
    let labels = local.labels.len();
    let chosen = resampled(local.rows.len(), seed);
    let of = |label: usize, feature: usize| {
        let values: Vec<f64> = local.rows.iter().map(|row| row[feature * labels + label]).collect();
        let mut again: Vec<f64> = chosen
            .iter()
            .map(|rows| aggregation.of(&mut rows.iter().map(|&row| values[row]).collect::<Vec<_>>()))
            .collect();
        let deviation = local.deviations.as_ref().map(|rows| {
            let squares: f64 = rows.iter().map(|row| row[feature * labels + label].powi(2)).sum();
            (squares / rows.len() as f64).sqrt()
        });
        GlobalAttribution {
            feature: local.features[feature].clone(),
            value: aggregation.of(&mut values.clone()),
            interval: (local.rows.len() > 1).then(|| between(&mut again)),
            local_deviation: deviation,
        }
    };
    (0..labels).map(|label| (0..local.features.len()).map(|feature| of(label, feature)).collect()).collect()
}

/// Rows of every resample.
pub(super) fn resampled(rows: usize, seed: u64) -> Vec<Vec<usize>> {
    let draw = |stream: u64| {
        let mut dice = Dice::new(seed, stream);
        (0..rows).map(|_| dice.below(rows)).collect()
    };
    (0..RESAMPLES).map(draw).collect()
}

/// Where the middle 95 % of resampled numbers lie.
pub(super) fn between(values: &mut [f64]) -> [f64; 2] {
    values.sort_by(f64::total_cmp);
    let last = (values.len() - 1) as f64;
    INTERVAL.map(|share| values[(share * last).round() as usize])
}

impl Serialize for Features {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Features {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::deserialize(deserializer).map(|members| Self(members.into_iter().collect()))
    }
}

impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (label, explanation) in &self.0 {
            map.serialize_entry(label, explanation)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::deserialize(deserializer).map(|members| Self(members.into_iter().collect()))
    }
}
