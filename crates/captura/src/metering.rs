//! From the gateway's counters, and the machine's, to CloudWatch: one task that reads and publishes.
//!
//! Invariant: calls know nothing of it; what was counted between two readings is published once.
//! Refuses to: keep figures of its own.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use captura_backlog::{Backlog, EndpointFigures, Figures};
use captura_cloudwatch::{
    Cloudwatch, Dimension, Durations, EndpointMetrics, MetricId, Reading, Sample, Summary, dimensions,
};
use captura_control::ColdStarts;
use captura_gateway::{Meters, VariantFigures};
use captura_names::Timestamp;
use captura_route::{Clock, RouteTable};
use captura_tasks::Tasks;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::machine::Machine;

/// Metrics that are published more often than this are kept by the second.
const STANDARD_RESOLUTION: Duration = Duration::from_secs(60);
const HOST_NAMESPACE: &str = "/aws/sagemaker/Endpoints";
const NAMESPACE: &str = "AWS/SageMaker";

/// What the task reads and where it publishes.
pub(crate) struct Sources {
    pub(crate) meters: Meters,
    pub(crate) table: watch::Receiver<Arc<RouteTable>>,
    pub(crate) backlog: Backlog,
    pub(crate) cloudwatch: Cloudwatch,
    pub(crate) clock: Clock,
}

/// The task at work.
pub(crate) struct Metering {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// What is read and what was read before, so that nothing is published twice after a panic.
struct Reader {
    sources: Sources,
    endpoints: EndpointMetrics,
    machine: Machine,
    every: Duration,
    stop: watch::Receiver<bool>,
}

impl Metering {
    pub(crate) fn start(sources: Sources, every: Duration, tasks: &Tasks) -> Self {
        let (stop, stopped) = watch::channel(false);
        let endpoints = EndpointMetrics::new(sources.cloudwatch.clone(), every < STANDARD_RESOLUTION);
        let reader = Reader { sources, endpoints, machine: Machine::default(), every, stop: stopped };
        Self { stop, task: tasks.spawn("metering", reader, |reader| Box::pin(reader.publish())) }
    }

    /// Publishes what is left, and ends.
    pub(crate) async fn stop(self) {
        // A task that panicked was reported; its metrics are all that is missing.
        self.stop.send_replace(true);
        let _ = self.task.await;
    }
}

impl Reader {
    async fn publish(&mut self) {
        let high_resolution = self.every < STANDARD_RESOLUTION;
        let mut ticks = tokio::time::interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let last = tokio::select! {
                biased;
                _ = self.stop.wait_for(|stopped| *stopped) => true,
                _ = ticks.tick() => false,
            };
            let Sources { meters, table, backlog, cloudwatch, clock } = &self.sources;
            let now = clock.now();
            let served = Arc::clone(&table.borrow());
            self.endpoints.publish(meters.read().into_iter().map(|figures| reading(figures, &served)).collect(), now);
            for (name, percent) in self.machine.read(now) {
                host(cloudwatch, &served, (name, percent), (now, high_resolution));
            }
            queues(cloudwatch, &served, &backlog.figures(), (now, high_resolution));
            if last {
                return;
            }
        }
    }
}

/// CloudWatch's lines of `/metrics`: what it keeps, and what it gave up to stay within its limits.
pub(crate) fn scrape(cloudwatch: &Cloudwatch, text: &mut String) {
    let (series, bytes) = cloudwatch.size();
    let evicted = cloudwatch.evicted();
    let _ = write!(
        text,
        "# HELP captura_cloudwatch_metrics Metrics kept.\n\
         # TYPE captura_cloudwatch_metrics gauge\n\
         captura_cloudwatch_metrics {series}\n\
         # HELP captura_cloudwatch_bytes Memory of their summaries, bytes.\n\
         # TYPE captura_cloudwatch_bytes gauge\n\
         captura_cloudwatch_bytes {bytes}\n\
         # HELP captura_cloudwatch_evicted What was given up to stay within the limits since the start.\n\
         # TYPE captura_cloudwatch_evicted counter\n\
         captura_cloudwatch_evicted_total{{what=\"metric\"}} {}\n\
         captura_cloudwatch_evicted_total{{what=\"summary\"}} {}\n\
         captura_cloudwatch_evicted_total{{what=\"unsaved\"}} {}\n",
        evicted.series, evicted.summaries, evicted.unsaved
    );
}

fn reading(figures: VariantFigures, table: &RouteTable) -> Reading {
    let endpoint = table.endpoint(&figures.endpoint);
    let served = endpoint.and_then(|endpoint| endpoint.variants().find(|variant| variant.name == figures.variant));
    let instances = served.map_or(1, |variant| variant.backend.instances());
    let durations = |of: captura_gateway::Durations| Durations { sum_us: of.sum_us, buckets: of.buckets };
    Reading {
        endpoint: figures.endpoint.to_string(),
        variant: figures.variant.to_string(),
        instances: u32::try_from(instances).unwrap_or(u32::MAX),
        invocations: figures.invocations,
        errors_4xx: figures.errors_4xx,
        errors_5xx: figures.errors_5xx,
        model_errors: figures.model_errors,
        model_latency: durations(figures.model_latency),
        overhead_latency: durations(figures.overhead_latency),
    }
}

/// Every served variant shares this machine, and shows its figures.
fn host(
    cloudwatch: &Cloudwatch,
    table: &RouteTable,
    (name, percent): (&'static str, f64),
    (at, high_resolution): (Timestamp, bool),
) {
    for endpoint in table.endpoints() {
        for variant in endpoint.variants() {
            let metric = MetricId::new(HOST_NAMESPACE, name, dimensions(endpoint.name.as_str(), variant.name.as_str()));
            let summary = Summary::of_value(percent, 1.0);
            cloudwatch.record(Sample { metric, unit: "Percent", at, high_resolution, summary });
        }
    }
}

/// Every asynchronous endpoint tells of its queue, an empty one too, so that scaling sees that there is nothing to do.
fn queues(cloudwatch: &Cloudwatch, table: &RouteTable, figures: &Figures, (at, high_resolution): (Timestamp, bool)) {
    for endpoint in table.endpoints().filter(|endpoint| endpoint.async_inference.is_some()) {
        let instances: usize = endpoint.variants().map(|variant| variant.backend.instances()).sum();
        let queue = figures.endpoints.iter().find(|one| one.endpoint == endpoint.name);
        for (name, unit, value) in queue_metrics(queue, instances) {
            let dimensions = vec![Dimension { name: "EndpointName".into(), value: endpoint.name.to_string() }];
            let metric = MetricId::new(NAMESPACE, name, dimensions);
            let summary = Summary::of_value(value, 1.0);
            cloudwatch.record(Sample { metric, unit, at, high_resolution, summary });
        }
    }
}

/// The metrics of one queue, as AWS names them; nothing is said per instance where there are none.
fn queue_metrics(
    queue: Option<&EndpointFigures>,
    instances: usize,
) -> impl Iterator<Item = (&'static str, &'static str, f64)> {
    let size = queue.map_or(0, |queue| queue.backlog_size) as f64;
    let without_capacity = instances == 0 && size > 0.0 || queue.is_some_and(|queue| queue.without_capacity);
    let oldest_age_seconds = queue.and_then(|queue| queue.oldest_age_seconds).unwrap_or(0.0);
    let per_instance = (instances > 0).then(|| ("ApproximateBacklogSizePerInstance", "Count", size / instances as f64));
    let metrics = [
        Some(("ApproximateBacklogSize", "Count", size)),
        per_instance,
        Some(("ApproximateAgeOfOldestRequest", "Seconds", oldest_age_seconds)),
        Some(("HasBacklogWithoutCapacity", "Count", f64::from(u8::from(without_capacity)))),
    ];
    metrics.into_iter().flatten()
}

/// Publishes cold starts of serverless variants as `ModelSetupTime`.
pub(crate) fn cold_starts(cloudwatch: &Cloudwatch, clock: &Clock) -> ColdStarts {
    let (cloudwatch, clock) = (cloudwatch.clone(), clock.clone());
    Arc::new(move |endpoint, variant, took| {
        let metric = MetricId::new(NAMESPACE, "ModelSetupTime", dimensions(endpoint.as_str(), variant.as_str()));
        let summary = Summary::of_value(took.as_micros() as f64, 1.0);
        let at = clock.now();
        cloudwatch.record(Sample { metric, unit: "Microseconds", at, high_resolution: false, summary });
    })
}

#[cfg(test)]
mod tests {
    use captura_names::EndpointName;

    use super::*;

    #[test]
    fn a_queue_is_told_as_aws_tells_it_and_an_empty_one_too() {
        let told = |queue: Option<&EndpointFigures>, instances| queue_metrics(queue, instances).collect::<Vec<_>>();
        let [size, per_instance, age, without] = [
            "ApproximateBacklogSize",
            "ApproximateBacklogSizePerInstance",
            "ApproximateAgeOfOldestRequest",
            "HasBacklogWithoutCapacity",
        ];
        let empty =
            [(size, "Count", 0.0), (per_instance, "Count", 0.0), (age, "Seconds", 0.0), (without, "Count", 0.0)];
        assert_eq!(told(None, 2), empty);
        let queue = EndpointFigures {
            endpoint: EndpointName::parse("e").unwrap(),
            backlog_size: 6,
            working: 2,
            oldest_age_seconds: Some(1.5),
            without_capacity: false,
        };
        let busy = [(size, "Count", 6.0), (per_instance, "Count", 3.0), (age, "Seconds", 1.5), (without, "Count", 0.0)];
        assert_eq!(told(Some(&queue), 2), busy);
        assert_eq!(told(Some(&queue), 0), [(size, "Count", 6.0), (age, "Seconds", 1.5), (without, "Count", 1.0)]);
    }
}
