//! The metrics of endpoints, made from counters that only go up.
//!
//! The data plane counts anyway; here the difference between two readings becomes samples, so a call pays nothing for
//! its metrics. Metric names, units and dimensions are those of contract 6.7.
//!
//! Invariant: each call is told once under each set of dimensions, whatever the distance of readings. A counter that went down belongs to a variant
//! that was made anew, and counts from zero.

use std::collections::{HashMap, HashSet};

use captura_names::Timestamp;

use crate::store::{MetricId, Summary};
use crate::{Cloudwatch, Dimension, Sample};

const NAMESPACE: &str = "AWS/SageMaker";
const COUNT: &str = "Count";
const MICROSECONDS: &str = "Microseconds";
/// Values that stand for the samples of one bucket of a reading, spread evenly over it.
const VALUES_OF_BUCKET: u32 = 4;

/// Durations, counted in buckets since the variant began.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Durations {
    /// Sum of all, microseconds.
    pub sum_us: u64,
    /// Lower bound, upper bound (both in microseconds) and count of each bucket.
    pub buckets: Vec<(u64, u64, u64)>,
}

/// What of a variant a reading is of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum Part {
    /// All of it.
    #[default]
    Whole,
    /// One of its instances.
    Instance(String),
    /// A copy of an inference component: the component, the copy's own name, and the instance that it is on where copies are
    /// told apart.
    Copy(String, String, Option<String>),
}

/// What was counted of a variant, or of a part of it, since it began.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// Name of the endpoint.
    pub endpoint: String,
    /// Name of the variant.
    pub variant: String,
    /// What of it.
    pub part: Part,
    /// Whether it is not its turn to be told: it is told with the next one.
    pub waits: bool,
    /// Whether it is kept by the second.
    pub high_resolution: bool,
    /// Instances, or copies, that share the calls; 0 counts as 1.
    pub instances: u32,
    /// Calls that ended.
    pub invocations: u64,
    /// Calls that the model answered with 4xx.
    pub errors_4xx: u64,
    /// Calls that the model answered with 5xx.
    pub errors_5xx: u64,
    /// Calls that got no good answer of the model, for whatever reason.
    pub model_errors: u64,
    /// Time in the model.
    pub model_latency: Durations,
    /// Time in the server.
    pub overhead_latency: Durations,
}

/// Turns readings into metrics.
#[derive(Debug)]
pub struct EndpointMetrics {
    cloudwatch: Cloudwatch,
    before: HashMap<Key, Reading>,
}

/// Endpoint, variant, and what of it.
type Key = (String, String, Part);

impl EndpointMetrics {
    /// A publisher.
    #[must_use]
    pub fn new(cloudwatch: Cloudwatch) -> Self {
        Self { cloudwatch, before: HashMap::new() }
    }

    /// Publishes what happened since the last time. Variants without calls since then tell nothing, as on AWS.
    pub fn publish(&mut self, readings: Vec<Reading>, at: Timestamp) {
        let key = |reading: &Reading| (reading.endpoint.clone(), reading.variant.clone(), reading.part.clone());
        let known: HashSet<_> = readings.iter().map(key).collect();
        for reading in readings.into_iter().filter(|reading| !reading.waits) {
            // Noted before it is told, so that what a panic interrupts is not told twice.
            let before = self.before.insert(key(&reading), reading.clone());
            self.tell(&difference(&reading, before.as_ref()), at);
        }
        self.before.retain(|key, _| known.contains(key));
    }

    fn tell(&self, news: &Reading, at: Timestamp) {
        let calls = news.invocations as f64;
        if calls == 0.0 {
            return;
        }
        let of_calls = |errors: u64| {
            let errors = (errors as f64).min(calls);
            Summary::of_values([(1.0, errors), (0.0, calls - errors)])
        };
        let per_instance = 1.0 / f64::from(news.instances.max(1));
        let shared = match news.part {
            Part::Copy(..) => "InvocationsPerCopy",
            _ => "InvocationsPerInstance",
        };
        for (name, unit, summary) in [
            ("Invocations", COUNT, Some(Summary::of_value(1.0, calls))),
            (shared, COUNT, Some(Summary::of_value(per_instance, calls))),
            ("Invocation4XXErrors", COUNT, of_calls(news.errors_4xx)),
            ("Invocation5XXErrors", COUNT, of_calls(news.errors_5xx)),
            ("InvocationModelErrors", COUNT, of_calls(news.model_errors)),
            ("ModelLatency", MICROSECONDS, durations(&news.model_latency)),
            ("OverheadLatency", MICROSECONDS, durations(&news.overhead_latency)),
        ] {
            let Some(summary) = summary else { continue };
            for dimensions in dimensions_of(news) {
                // How many copies there are says nothing of one of them.
                if name == "InvocationsPerCopy" && dimensions.len() > 1 {
                    continue;
                }
                let (metric, summary) = (MetricId::new(NAMESPACE, name, dimensions), summary.clone());
                self.cloudwatch.record(Sample { metric, unit, at, high_resolution: news.high_resolution, summary });
            }
        }
    }
}

fn dimension(name: &str, value: &str) -> Dimension {
    Dimension { name: name.to_owned(), value: value.to_owned() }
}

/// The sets of dimensions under which a reading is told.
fn dimensions_of(reading: &Reading) -> Vec<Vec<Dimension>> {
    let mut all = dimensions(&reading.endpoint, &reading.variant);
    match &reading.part {
        Part::Whole => vec![all],
        Part::Instance(id) => {
            all.push(dimension("InstanceId", id));
            vec![all]
        }
        Part::Copy(component, copy, instance) => {
            let component = dimension("InferenceComponentName", component);
            let alone = vec![component.clone()];
            let Some(instance) = instance else { return vec![alone] };
            all.extend([component, dimension("InstanceId", instance), dimension("ContainerId", copy)]);
            vec![alone, all]
        }
    }
}

/// Dimensions of an endpoint's metrics.
#[must_use]
pub fn dimensions(endpoint: &str, variant: &str) -> Vec<Dimension> {
    vec![dimension("EndpointName", endpoint), dimension("VariantName", variant)]
}

fn difference(now: &Reading, before: Option<&Reading>) -> Reading {
    let Some(before) = before.filter(|before| before.invocations <= now.invocations) else { return now.clone() };
    let spread = |now: &Durations, before: &Durations| {
        let earlier = |index: usize| before.buckets.get(index).map_or(0, |(.., count)| *count);
        let buckets = now.buckets.iter().enumerate();
        let buckets = buckets.map(|(index, (low, high, count))| (*low, *high, count.saturating_sub(earlier(index))));
        Durations { sum_us: now.sum_us.saturating_sub(before.sum_us), buckets: buckets.collect() }
    };
    Reading {
        invocations: now.invocations - before.invocations,
        errors_4xx: now.errors_4xx.saturating_sub(before.errors_4xx),
        errors_5xx: now.errors_5xx.saturating_sub(before.errors_5xx),
        model_errors: now.model_errors.saturating_sub(before.model_errors),
        model_latency: spread(&now.model_latency, &before.model_latency),
        overhead_latency: spread(&now.overhead_latency, &before.overhead_latency),
        ..now.clone()
    }
}

/// Samples out of buckets: the sum is exact, the rest is as exact as the buckets are narrow.
fn durations(spread: &Durations) -> Option<Summary> {
    let values = spread.buckets.iter().filter(|(.., count)| *count > 0).flat_map(|(low, high, count)| {
        let parts = u32::try_from(*count).unwrap_or(u32::MAX).min(VALUES_OF_BUCKET);
        let step = (*high as f64 - *low as f64) / f64::from(parts);
        let each = *count as f64 / f64::from(parts);
        (0..parts).map(move |part| (*low as f64 + step * (f64::from(part) + 0.5), each))
    });
    let summary = Summary::of_values(values)?;
    if summary.count == 1.0 {
        return Some(Summary::of_value(spread.sum_us as f64, 1.0));
    }
    Some(summary.with_sum(spread.sum_us as f64))
}
