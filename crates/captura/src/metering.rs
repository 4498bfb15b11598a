//! From the gateway's counters, and the machine's, to CloudWatch: one task that reads and publishes.
//!
//! Invariant: calls know nothing of it; what was counted between two readings is published once.
//! Refuses to: keep figures of its own.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use captura_cloudwatch::{Cloudwatch, Durations, EndpointMetrics, MetricId, Reading, Sample, Summary, dimensions};
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

/// What the task reads and where it publishes.
pub(crate) struct Sources {
    pub(crate) meters: Meters,
    pub(crate) table: watch::Receiver<Arc<RouteTable>>,
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
            let Sources { meters, table, cloudwatch, clock } = &self.sources;
            let now = clock.now();
            let served = Arc::clone(&table.borrow());
            self.endpoints.publish(meters.read().into_iter().map(|figures| reading(figures, &served)).collect(), now);
            for (name, percent) in self.machine.read(now) {
                host(cloudwatch, &served, (name, percent), (now, high_resolution));
            }
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
