//! Whether features rank as they did: the normalised discounted cumulative gain of the ranking now against the baseline's
//! values, as Clarify's monitor judges it, with how far chance reaches in it.
//!
//! Features that rank alike share their places' discounts, as in scikit-learn. Beyond Clarify: a score is only called drifted,
//! or stable, when its interval says the same; else there is not enough data, and that is no pass.
//!
//! Invariant: the same values and seed give the same verdict. Refuses to: judge features that the baseline does not know.

use serde::{Deserialize, Serialize};

use super::LocalValues;
use super::global::{Aggregation, Explanations, between, resampled};

/// Score below which the ranking has drifted.
pub const NDCG_THRESHOLD: f64 = 0.9;
/// Explained rows below which nothing is judged, whatever the interval.
const ROWS_MIN: usize = 30;

/// What is held to what.
#[derive(Debug, Clone, Copy)]
pub struct Ranking {
    /// How local values become global ones.
    pub aggregation: Aggregation,
    /// Score below which the ranking has drifted.
    pub threshold: f64,
    /// Whether the score alone decides, as in Clarify, whatever chance may explain.
    pub by_value: bool,
    /// Of the resamples.
    pub seed: u64,
}

/// What is known of one label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AttributionVerdict {
    /// The ranking is surely another.
    Drifted,
    /// It is surely near enough.
    Stable,
    /// The score may lie on either side of the threshold.
    NotEnoughData,
    /// The baseline does not know the label or any of its features, or holds nothing to rank by.
    NotComparable,
}

/// One label's ranking against the baseline's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttributionDrift {
    /// The label.
    pub label: String,
    /// The score: 1 where features rank as at the baseline.
    pub ndcg: Option<f64>,
    /// Where it lies with 95 % confidence; absent with fewer than two rows.
    pub interval: Option<[f64; 2]>,
    /// The verdict.
    pub verdict: AttributionVerdict,
}

/// `constraint_violations.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttributionViolations {
    /// Always `1.0`.
    pub version: String,
    /// Empty when all is well.
    pub violations: Vec<AttributionViolation>,
}

/// One label whose ranking has drifted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttributionViolation {
    /// The label.
    pub label: String,
    /// Always `shap`.
    pub metric_name: String,
    /// Always `feature_attribution_drift_check`.
    pub constraint_check_type: String,
    /// The score and the threshold.
    pub description: String,
}

impl AttributionViolations {
    /// Of the labels that have drifted.
    #[must_use]
    pub fn of(drifts: &[AttributionDrift], threshold: f64) -> Self {
        let drifted = drifts.iter().filter(|drift| drift.verdict == AttributionVerdict::Drifted);
        let violation = |drift: &AttributionDrift| AttributionViolation {
            label: drift.label.clone(),
            metric_name: "shap".to_owned(),
            constraint_check_type: "feature_attribution_drift_check".to_owned(),
            description: format!(
                "Feature attribution drift {} exceeds threshold {threshold}",
                drift.ndcg.expect("our bug: what has drifted has a score")
            ),
        };
        Self { version: "1.0".to_owned(), violations: drifted.map(violation).collect() }
    }
}

/// In words, of which labels nothing can be said; nothing where all are judged.
#[must_use]
pub fn untold(drifts: &[AttributionDrift], rows: usize) -> Option<String> {
    let labels = |verdict: AttributionVerdict| {
        let of = drifts.iter().filter(|drift| drift.verdict == verdict).map(|drift| drift.label.as_str());
        Some(of.collect::<Vec<_>>().join(", ")).filter(|labels| !labels.is_empty())
    };
    let few = labels(AttributionVerdict::NotEnoughData).map(|labels| {
        let why = if rows < ROWS_MIN {
            format!("{rows} rows were explained, and fewer than {ROWS_MIN} are not judged")
        } else {
            "the score may lie on either side of the threshold".to_owned()
        };
        format!("Not enough data to tell whether features rank as at the baseline ({labels}): {why}.")
    });
    let unknown = labels(AttributionVerdict::NotComparable)
        .map(|labels| format!("The baseline has nothing to compare the ranking of features with ({labels})."));
    let said: Vec<String> = few.into_iter().chain(unknown).collect();
    (!said.is_empty()).then(|| said.join(" "))
}

/// How much of the `worth` of features is found in the order of their `scores`, with that in the order of the worth itself as
/// 1. Nothing where no feature is worth anything.
#[must_use]
pub fn ndcg(worth: &[f64], scores: &[f64]) -> Option<f64> {
    let best = gain(worth, worth);
    (best > 0.0).then(|| gain(worth, scores) / best)
}

fn gain(worth: &[f64], scores: &[f64]) -> f64 {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&one, &other| scores[other].total_cmp(&scores[one]));
    let (mut sum, mut place) = (0.0, 0);
    for alike in order.chunk_by(|&one, &other| scores[one] == scores[other]) {
        let discounts: f64 = (place..place + alike.len()).map(|place| 1.0 / (place as f64 + 2.0).log2()).sum();
        let mean = alike.iter().map(|&feature| worth[feature]).sum::<f64>() / alike.len() as f64;
        sum += mean * discounts;
        place += alike.len();
    }
    sum
}

/// Holds attributions to a baseline's; `before` are the baseline's own rows, where they are at hand: then chance in them counts
/// too.
#[must_use]
pub fn drift(
    local: &LocalValues,
    baseline: &Explanations,
    before: Option<&LocalValues>,
    ranking: &Ranking,
) -> Vec<AttributionDrift> {
    let label = |(place, label): (usize, &String)| {
        let known = baseline.kernel_shap.0.iter().find(|(name, _)| name == label).map(|(_, known)| known);
        let worth: Option<Vec<f64>> = known.map(|known| {
            let value = |feature: &String| known.global_shap_values.0.iter().find(|(name, _)| name == feature);
            local.features.iter().map(|feature| value(feature).map_or(0.0, |(_, value)| rank_by(*value))).collect()
        });
        let score = worth.as_ref().and_then(|worth| ndcg(worth, &totals(local, place, None, ranking.aggregation)));
        let (Some(worth), Some(score)) = (worth, score) else {
            let verdict = AttributionVerdict::NotComparable;
            return AttributionDrift { label: label.clone(), ndcg: None, interval: None, verdict };
        };
        let mut again: Vec<f64> = resampled(local.rows.len(), ranking.seed)
            .iter()
            .zip(resampled(before.map_or(0, |before| before.rows.len()), ranking.seed.wrapping_add(1)))
            .filter_map(|(rows, rows_before)| {
                let scores = totals(local, place, Some(rows), ranking.aggregation);
                match before {
                    Some(before) => ndcg(&totals(before, place, Some(&rows_before), ranking.aggregation), &scores),
                    None => ndcg(&worth, &scores),
                }
            })
            .collect();
        let interval = (local.rows.len() > 1 && !again.is_empty()).then(|| between(&mut again));
        AttributionDrift {
            label: label.clone(),
            ndcg: Some(score),
            interval,
            verdict: judge(score, interval, local, ranking),
        }
    };
    local.labels.iter().enumerate().map(label).collect()
}

fn judge(score: f64, interval: Option<[f64; 2]>, local: &LocalValues, ranking: &Ranking) -> AttributionVerdict {
    let threshold = ranking.threshold;
    let by = |below: bool| if below { AttributionVerdict::Drifted } else { AttributionVerdict::Stable };
    if ranking.by_value {
        return by(score < threshold);
    }
    match interval {
        Some([low, high]) if local.rows.len() >= ROWS_MIN && (low < threshold) == (high < threshold) => {
            by(high < threshold)
        }
        _ => AttributionVerdict::NotEnoughData,
    }
}

/// Medians have signs; a feature counts by how much it adds, whichever way.
fn rank_by(value: f64) -> f64 {
    value.abs()
}

/// Global values of some of the rows, or of all, to rank by.
fn totals(local: &LocalValues, label: usize, rows: Option<&Vec<usize>>, aggregation: Aggregation) -> Vec<f64> {
    let labels = local.labels.len();
    let of = |feature: usize| {
        let value = |row: &Vec<f64>| row[feature * labels + label];
        let mut values: Vec<f64> = match rows {
            Some(rows) => rows.iter().map(|&row| value(&local.rows[row])).collect(),
            None => local.rows.iter().map(value).collect(),
        };
        rank_by(aggregation.of(&mut values))
    };
    (0..local.features.len()).map(of).collect()
}
