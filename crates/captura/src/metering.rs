//! From the gateway's counters, and the machine's, to CloudWatch: one task that reads and publishes.
//!
//! Endpoints are told as often as the operator says, or as their own MetricsConfig says; with EnableEnhancedMetrics their
//! instances, and the copies of their inference components, are told one by one.
//!
//! Invariant: calls know nothing of it; what was counted between two readings is published once.
//! Refuses to: keep figures of its own.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use captura_backlog::{Backlog, EndpointFigures, Figures};
use captura_cloudwatch::{
    Cloudwatch, Dimension, Durations, EndpointMetrics, MetricId, Part, Reading, Sample, Summary, dimensions,
};
use captura_control::ColdStarts;
use captura_gateway::{Meters, VariantFigures};
use captura_names::{EndpointName, Timestamp};
use captura_route::{Clock, Endpoint, IN_PROCESS, InstanceFigures, RouteTable};
use captura_tasks::Tasks;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::machine::Machine;

/// Metrics that are published more often than this are kept by the second.
const STANDARD_RESOLUTION: Duration = Duration::from_secs(60);
/// How often it is looked whose turn it is: the shortest MetricPublishFrequencyInSeconds.
const TICK: Duration = Duration::from_secs(10);
/// What a tick may come too early by and still be the turn's.
const TICK_EARLY: Duration = Duration::from_millis(500);
/// InstanceId of the one machine that inference components are on.
const THIS_MACHINE: &str = "this-machine";
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
    turns: Turns,
    machine: Machine,
    every: Duration,
    stop: watch::Receiver<bool>,
}

impl Metering {
    pub(crate) fn start(sources: Sources, every: Duration, tasks: &Tasks) -> Self {
        let (stop, stopped) = watch::channel(false);
        let endpoints = EndpointMetrics::new(sources.cloudwatch.clone());
        let turns = Turns { every, last: HashMap::new() };
        let reader = Reader { sources, endpoints, turns, machine: Machine::default(), every, stop: stopped };
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
        let mut ticks = tokio::time::interval(self.every.min(TICK));
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
            let due = self.turns.due(&served, now, last);
            let mut readings: Vec<_> =
                meters.read().into_iter().map(|figures| reading(figures, &served, &due)).collect();
            readings.extend(served.endpoints().flat_map(|endpoint| parts(endpoint, &due)));
            self.endpoints.publish(readings, now);
            for (name, percent) in self.machine.read(now) {
                host(cloudwatch, &served, (name, percent), (now, &due));
            }
            queues(cloudwatch, &served, &backlog.figures(), (now, &due));
            if last {
                return;
            }
        }
    }
}

/// Whose turn it is to be told.
struct Turns {
    /// Where nothing else is said.
    every: Duration,
    /// When calls, and when utilization, were last told.
    last: HashMap<EndpointName, (Timestamp, Timestamp)>,
}

/// What is told now of one endpoint.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Turn {
    calls: bool,
    utilization: bool,
    /// Whether calls are kept by the second.
    calls_by_second: bool,
    utilization_by_second: bool,
}

impl Turns {
    fn due(&mut self, table: &RouteTable, now: Timestamp, is_last: bool) -> Due {
        self.last.retain(|name, _| table.endpoint(name).is_some());
        let is_over = |last: Timestamp, every: Duration| {
            let passed = Duration::from_micros(u64::try_from(now.unix_us() - last.unix_us()).unwrap_or(u64::MAX));
            is_last || passed + TICK_EARLY >= every
        };
        let mut turn_of = |endpoint: &Arc<Endpoint>| {
            let utilization_every = endpoint.metrics.every.unwrap_or(self.every);
            let calls_every = if endpoint.metrics.enhanced { utilization_every } else { self.every };
            let known = self.last.get(&endpoint.name).copied();
            let turn = Turn {
                calls: known.is_none_or(|(calls, _)| is_over(calls, calls_every)),
                utilization: known.is_none_or(|(_, utilization)| is_over(utilization, utilization_every)),
                calls_by_second: calls_every < STANDARD_RESOLUTION,
                utilization_by_second: utilization_every < STANDARD_RESOLUTION,
            };
            let (calls, utilization) = known.unwrap_or((now, now));
            let told = (if turn.calls { now } else { calls }, if turn.utilization { now } else { utilization });
            self.last.insert(endpoint.name.clone(), told);
            (endpoint.name.clone(), turn)
        };
        let turns = table.endpoints().map(&mut turn_of).collect();
        let by_second = self.every < STANDARD_RESOLUTION;
        let gone =
            Turn { calls: true, utilization: true, calls_by_second: by_second, utilization_by_second: by_second };
        Due { turns, gone }
    }
}

/// What is told now.
struct Due {
    turns: HashMap<EndpointName, Turn>,
    /// Of an endpoint that is served no more: at once.
    gone: Turn,
}

impl Due {
    fn of(&self, endpoint: &EndpointName) -> Turn {
        self.turns.get(endpoint).copied().unwrap_or(self.gone)
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

fn reading(figures: VariantFigures, table: &RouteTable, due: &Due) -> Reading {
    let endpoint = table.endpoint(&figures.endpoint);
    let served = endpoint.and_then(|endpoint| endpoint.variants().find(|variant| variant.name == figures.variant));
    let instances = served.map_or(1, |variant| variant.backend.instances());
    let durations = |of: captura_gateway::Durations| Durations { sum_us: of.sum_us, buckets: of.buckets };
    let turn = due.of(&figures.endpoint);
    Reading {
        endpoint: figures.endpoint.to_string(),
        variant: figures.variant.to_string(),
        part: Part::Whole,
        waits: !turn.calls,
        high_resolution: turn.calls_by_second,
        instances: u32::try_from(instances).unwrap_or(u32::MAX),
        invocations: figures.invocations,
        errors_4xx: figures.errors_4xx,
        errors_5xx: figures.errors_5xx,
        model_errors: figures.model_errors,
        model_latency: durations(figures.model_latency),
        overhead_latency: durations(figures.overhead_latency),
    }
}

/// What is told of an endpoint's parts: of copies of inference components always, of instances where that is asked for.
fn parts(endpoint: &Endpoint, due: &Due) -> Vec<Reading> {
    let (turn, enhanced) = (due.of(&endpoint.name), endpoint.metrics.enhanced);
    let mut readings = Vec::new();
    for variant in endpoint.variants().filter(|_| enhanced) {
        let instances = variant.backend.instances();
        for figures in variant.backend.figures() {
            let part = Part::Instance(figures.id.to_string());
            readings.push(part_reading((endpoint, variant.name.as_str()), part, (instances, figures), turn));
        }
    }
    for component in &endpoint.components {
        let copies = endpoint.components.iter().filter(|one| one.name == component.name);
        let copies = copies.map(|one| one.backend.instances()).sum();
        for figures in component.backend.figures() {
            let instance = enhanced.then(|| THIS_MACHINE.to_owned());
            let part = Part::Copy(component.name.to_string(), figures.id.to_string(), instance);
            let variant = component.capture.variant.as_str();
            readings.push(part_reading((endpoint, variant), part, (copies, figures), turn));
        }
    }
    readings
}

fn part_reading(
    (endpoint, variant): (&Endpoint, &str),
    part: Part,
    (instances, figures): (usize, InstanceFigures),
    turn: Turn,
) -> Reading {
    let (sum_us, buckets) = figures.model_latency;
    Reading {
        endpoint: endpoint.name.to_string(),
        variant: variant.to_owned(),
        part,
        waits: !turn.calls,
        high_resolution: turn.calls_by_second,
        instances: u32::try_from(instances).unwrap_or(u32::MAX),
        invocations: figures.invocations,
        errors_4xx: figures.errors_4xx,
        errors_5xx: figures.errors_5xx,
        model_errors: figures.model_errors,
        model_latency: Durations { sum_us, buckets },
        overhead_latency: Durations::default(),
    }
}

/// Every served variant shares this machine, and shows its figures; so does a model in this process as an instance.
fn host(
    cloudwatch: &Cloudwatch,
    table: &RouteTable,
    (name, percent): (&'static str, f64),
    (at, due): (Timestamp, &Due),
) {
    for endpoint in table.endpoints() {
        let turn = due.of(&endpoint.name);
        for variant in endpoint.variants().filter(|_| turn.utilization) {
            let whole = dimensions(endpoint.name.as_str(), variant.name.as_str());
            let instances = variant.backend.figures().into_iter().map(|one| one.id);
            let instances = instances.filter(|id| endpoint.metrics.enhanced && id.starts_with(IN_PROCESS));
            let instances = instances.map(|id| Dimension { name: "InstanceId".into(), value: id.into() });
            let told = instances.map(|instance| [&*whole, &[instance]].concat());
            let told: Vec<_> = [whole.clone()].into_iter().chain(told).collect();
            for dimensions in told {
                let metric = MetricId::new(HOST_NAMESPACE, name, dimensions);
                let summary = Summary::of_value(percent, 1.0);
                let high_resolution = turn.utilization_by_second;
                cloudwatch.record(Sample { metric, unit: "Percent", at, high_resolution, summary });
            }
        }
    }
}

/// Every asynchronous endpoint tells of its queue, an empty one too, so that scaling sees that there is nothing to do.
fn queues(cloudwatch: &Cloudwatch, table: &RouteTable, figures: &Figures, (at, due): (Timestamp, &Due)) {
    let is_told = |endpoint: &&Arc<Endpoint>| endpoint.async_inference.is_some() && due.of(&endpoint.name).calls;
    for endpoint in table.endpoints().filter(is_told) {
        let high_resolution = due.of(&endpoint.name).calls_by_second;
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
    use captura_route::MetricsPolicy;

    use super::*;

    fn served(name: &str, metrics: MetricsPolicy) -> Endpoint {
        let (region, account) = ("us-east-1".to_owned(), "000000000000".to_owned());
        let name = EndpointName::parse(name).unwrap();
        Endpoint { name, region, account, fleets: vec![], components: vec![], async_inference: None, metrics }
    }

    #[test]
    fn each_endpoint_is_told_as_often_as_it_says() {
        let every = Some(Duration::from_secs(10));
        let table = RouteTable::new([
            served("plain", MetricsPolicy::default()),
            served("utilized", MetricsPolicy { enhanced: false, every }),
            served("enhanced", MetricsPolicy { enhanced: true, every }),
            served("rare", MetricsPolicy { enhanced: true, every: Some(Duration::from_secs(120)) }),
        ]);
        let mut turns = Turns { every: Duration::from_secs(60), last: HashMap::new() };
        let mut told = |second: i64| {
            // A tick may come a moment early.
            let due = turns.due(&table, Timestamp::from_unix_us(second * 1_000_000 - second), false);
            ["plain", "utilized", "enhanced", "rare"].map(|name| {
                let turn = due.of(&EndpointName::parse(name).unwrap());
                (turn.calls, turn.utilization)
            })
        };
        let (all, none, use_only) = ((true, true), (false, false), (false, true));
        assert_eq!(told(0), [all; 4], "what is new is told at once");
        for second in [10, 20, 30, 40, 50] {
            assert_eq!(told(second), [none, use_only, all, none], "{second}");
        }
        assert_eq!(told(60), [all, all, all, none]);
        for second in [70, 80, 90, 100, 110] {
            assert_eq!(told(second), [none, use_only, all, none], "{second}");
        }
        assert_eq!(told(120), [all; 4]);
    }

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
