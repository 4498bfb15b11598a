//! Who drives a drift, and since when.
//!
//! A second pass over the data collects, for the drifted features only, the values of each consumer with the time and
//! identity of their calls. A consumer *drives* the drift when its rows lie further from the baseline than the
//! threshold, chance taken off, and the rest of the traffic lies closer to the baseline than all of it: a consumer that
//! has always been different is part of the baseline, and leaving it out makes the distance larger, not smaller.
//! *Since when* is the change point of the consumer's own series in the order of the calls (see [`change_point`]).
//!
//! Bounds: [`MAX_FEATURES`] features, [`MAX_CONSUMERS`] consumers (further ones share one account), [`MAX_ROWS`] rows
//! per consumer, evenly thinned beyond (then the moment is exact to the thinning). Pure and deterministic.
//! Refuses to: name a consumer or a moment from fewer than [`MIN_ROWS`] rows.

mod callers;
pub mod change_point;
mod collector;
pub mod mix;

use std::collections::BTreeMap;
use std::fmt;

use captura_names::Timestamp;
use serde::{Serialize, Serializer};

pub use callers::Callers;
pub use collector::Collector;

use crate::artefact::FeatureStatistics;
use crate::drift::{categorical_distance, chance, numeric_distance, total};
use change_point::pettitt;
use collector::Series;

/// Drifted features that are looked into.
pub const MAX_FEATURES: usize = 16;
/// Consumers told apart.
pub const MAX_CONSUMERS: usize = 64;
/// Rows kept per consumer.
pub const MAX_ROWS: usize = 8192;
/// Rows below which nothing is said.
pub const MIN_ROWS: usize = 50;
/// Largest p-value of a change point that is reported.
const MAX_P_VALUE: f64 = 0.01;
/// Series that are searched for a change: level and spread. The p-value is multiplied by their number (Bonferroni).
const SEARCHES: f64 = 2.0;

/// Why a feature drifted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cause {
    /// The feature.
    pub feature: String,
    /// Every consumer, the one most responsible first.
    pub consumers: Vec<ConsumerDrift>,
}

/// The part of one consumer in the drift of a feature.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConsumerDrift {
    /// Who; `None` when the records do not say.
    pub consumer: Option<String>,
    /// Its rows with a value.
    pub rows: u64,
    /// Distance of its rows (of those after the change, when there is one) to the baseline, less chance.
    /// `None` when there is not enough data.
    pub distance: Option<f64>,
    /// Distance of everyone else's rows to the baseline, less chance. `None` when there is nobody else.
    pub others: Option<f64>,
    /// Whether it drives the drift.
    pub drives: bool,
    /// Since when its rows differ.
    pub since: Since,
}

/// Since when a consumer's rows differ from the baseline.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Since {
    /// Since this call.
    Change(Change),
    /// Until just before this call: from there on they are closer to the baseline.
    Ended(Change),
    /// No moment stands out: as long as the data goes back, if they differ at all.
    Throughout,
    /// Fewer than [`MIN_ROWS`] rows.
    NotEnoughData,
}

/// A moment of change.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// First call after the change.
    pub event_id: Option<String>,
    /// When it arrived, when the record says; RFC 3339 when serialised.
    #[serde(serialize_with = "as_text")]
    pub time: Option<Timestamp>,
    /// 1 − p of the test, level and spread both searched.
    pub confidence: f64,
    /// Rows before it, thinning undone.
    pub rows_before: u64,
    /// Rows after it, thinning undone.
    pub rows_after: u64,
    /// Distance of the rows before to the baseline, less chance.
    pub distance_before: f64,
    /// Distance of the rows after to the baseline, less chance.
    pub distance_after: f64,
}

impl Cause {
    /// The consumer that drives the drift most, if one does.
    #[must_use]
    pub fn driver(&self) -> Option<&ConsumerDrift> {
        self.consumers.first().filter(|consumer| consumer.drives)
    }

    /// Whether there is anything to tell: who, or since when. Of rows that name nobody and never changed there is not.
    #[must_use]
    pub fn is_telling(&self) -> bool {
        let names_somebody = self.consumers.iter().any(|consumer| consumer.consumer.is_some());
        let since = self.driver().map(|driver| &driver.since);
        names_somebody || matches!(since, Some(Since::Change(_) | Since::Ended(_)))
    }
}

/// One sentence for a person: who, since when, how far.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(driver) = self.driver() else {
            let few = self.consumers.iter().any(|consumer| consumer.since == Since::NotEnoughData);
            let why = if few { "not enough data to say who drives it" } else { "no single consumer drives it" };
            return write!(f, "{}: {why}", self.feature);
        };
        let who = driver.consumer.as_deref().unwrap_or("callers the records do not name");
        write!(f, "{}: driven by {who}, ", self.feature)?;
        match &driver.since {
            Since::Change(change) => write!(
                f,
                "since {change}: its distance to the baseline went from {:.2} to {:.2}",
                change.distance_before, change.distance_after
            ),
            Since::Ended(change) => write!(
                f,
                "until {change}: its distance to the baseline went from {:.2} to {:.2}",
                change.distance_before, change.distance_after
            ),
            Since::Throughout | Since::NotEnoughData => write!(
                f,
                "as far back as the data goes: its distance to the baseline is {:.2}",
                driver.distance.unwrap_or(0.0)
            ),
        }
    }
}

/// The moment: its time when it is known, and its call.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.time, &self.event_id) {
            (Some(time), Some(event_id)) => write!(f, "{time} (call {event_id})"),
            (Some(time), None) => write!(f, "{time}"),
            (None, Some(event_id)) => write!(f, "call {event_id}"),
            (None, None) => write!(f, "its row {}", self.rows_before + 1),
        }
    }
}

fn as_text<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.to_string()).serialize(serializer)
}

/// What a feature looked like in the baseline.
enum Reference<'a> {
    Numbers { weighted: Vec<(f64, u64)>, median: f64 },
    Categories(BTreeMap<&'a str, u64>),
}

impl<'a> Reference<'a> {
    fn of(feature: &'a FeatureStatistics) -> Option<Self> {
        if let Ok(Some(sketch)) = feature.sketch() {
            let weighted = sketch.weighted();
            let half = sketch.rows() / 2;
            let mut below = 0;
            let median = weighted.iter().find(|pair| {
                below += pair.1;
                below > half
            })?;
            return Some(Self::Numbers { median: median.0, weighted });
        }
        feature.categories().map(Self::Categories)
    }

    /// Distance less chance of weighted values to the baseline.
    fn distance(&self, series: &Series<'_>, parts: &[(&[f64], u64)]) -> Option<f64> {
        let rows: u64 = parts.iter().map(|(values, weight)| values.len() as u64 * weight).sum();
        // Thinned rows say no more than those that were kept.
        let kept: u64 = parts.iter().map(|(values, _)| values.len() as u64).sum();
        if rows == 0 {
            return None;
        }
        let (distance, baseline_rows) = match self {
            Self::Numbers { weighted, .. } => {
                let mut values: Vec<(f64, u64)> =
                    parts.iter().flat_map(|(values, weight)| values.iter().map(|&value| (value, *weight))).collect();
                values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
                (numeric_distance(weighted, &values)?, weighted.iter().map(|pair| pair.1).sum())
            }
            Self::Categories(counts) => {
                let mut now: BTreeMap<&str, u64> = BTreeMap::new();
                for (values, weight) in parts {
                    for &value in *values {
                        *now.entry(series.category(value)).or_default() += weight;
                    }
                }
                (categorical_distance(counts, &now)?, total(counts))
            }
        };
        Some((distance - chance(baseline_rows, kept)).max(0.0))
    }

    /// The values as series whose level changes when the distribution does.
    fn searchable(&self, series: &Series<'_>, values: &[f64]) -> Vec<Vec<f64>> {
        match self {
            Self::Numbers { median, .. } => {
                vec![values.to_vec(), values.iter().map(|value| (value - median).abs()).collect()]
            }
            Self::Categories(counts) => {
                let (baseline, rows) = (total(counts).max(1) as f64, values.len() as f64);
                let mut excess: BTreeMap<u64, f64> = BTreeMap::new();
                for value in values {
                    *excess.entry(value.to_bits()).or_default() += 1.0 / rows;
                }
                for (&bits, share) in &mut excess {
                    let then = counts.get(series.category(f64::from_bits(bits))).copied().unwrap_or(0);
                    *share -= then as f64 / baseline;
                }
                vec![values.iter().map(|value| excess[&value.to_bits()]).collect()]
            }
        }
    }
}

impl Collector {
    /// The causes of the drift of one of the features collected for; `None` for other features or without a baseline
    /// distribution.
    #[must_use]
    pub fn cause(&self, baseline: &FeatureStatistics, threshold: f64) -> Option<Cause> {
        let feature = self.feature(&baseline.name)?;
        let reference = Reference::of(baseline)?;
        let series: Vec<Series<'_>> = self.series(feature);
        let all: Vec<(&[f64], u64)> = series.iter().map(|one| (one.values.as_slice(), one.weight)).collect();
        let overall = series.first().and_then(|first| reference.distance(first, &all)).unwrap_or(0.0);
        let mut consumers: Vec<ConsumerDrift> = series
            .iter()
            .enumerate()
            .map(|(place, one)| {
                let rest: Vec<(&[f64], u64)> =
                    all.iter().enumerate().filter(|(other, _)| *other != place).map(|(_, part)| *part).collect();
                let others = reference.distance(one, &rest);
                part_of(&reference, one, others, overall.max(threshold), threshold)
            })
            .collect();
        let weight = |consumer: &ConsumerDrift| {
            let rows = match &consumer.since {
                Since::Change(change) => change.rows_after,
                _ => consumer.rows,
            };
            consumer.distance.unwrap_or(0.0) * rows as f64
        };
        consumers.sort_by(|a, b| b.drives.cmp(&a.drives).then(weight(b).total_cmp(&weight(a))));
        Some(Cause { feature: baseline.name.clone(), consumers })
    }
}

fn part_of(
    reference: &Reference<'_>,
    series: &Series<'_>,
    others: Option<f64>,
    overall: f64,
    threshold: f64,
) -> ConsumerDrift {
    let rows = series.values.len() as u64 * series.weight;
    let mut part = ConsumerDrift {
        consumer: series.consumer.clone(),
        rows,
        distance: None,
        others,
        drives: false,
        since: Since::NotEnoughData,
    };
    if series.values.len() < MIN_ROWS {
        return part;
    }
    let whole = reference.distance(series, &[(&series.values, 1)]).unwrap_or(0.0);
    part.since = since(reference, series);
    let distance = match &part.since {
        Since::Change(change) => change.distance_after.max(whole),
        _ => whole,
    };
    part.distance = Some(distance);
    part.drives = distance > threshold && others.is_none_or(|others| others < overall);
    part
}

fn since(reference: &Reference<'_>, series: &Series<'_>) -> Since {
    let splits = reference.searchable(series, &series.values);
    let splits = splits.iter().filter_map(|values| pettitt(values));
    let Some(best) = splits.min_by(|a, b| a.p_value.total_cmp(&b.p_value)) else { return Since::Throughout };
    let p_value = (best.p_value * SEARCHES).min(1.0);
    if p_value > MAX_P_VALUE {
        return Since::Throughout;
    }
    let (before, after) = series.values.split_at(best.before);
    let distance = |part: &[f64]| reference.distance(series, &[(part, 1)]).unwrap_or(0.0);
    let key = series.key(best.before);
    let change = Change {
        event_id: key.event_id.as_deref().map(str::to_owned),
        time: key.time,
        confidence: 1.0 - p_value,
        rows_before: before.len() as u64 * series.weight,
        rows_after: after.len() as u64 * series.weight,
        distance_before: distance(before),
        distance_after: distance(after),
    };
    if change.distance_after >= change.distance_before { Since::Change(change) } else { Since::Ended(change) }
}

#[cfg(test)]
mod tests;
