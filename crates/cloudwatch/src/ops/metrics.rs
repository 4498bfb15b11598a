//! Operations on metrics.

use std::collections::BTreeMap;
use std::sync::Arc;

use captura_names::Timestamp;
use captura_wire::cloudwatch::shapes::{
    DimensionFilter, GetMetricData, GetMetricStatistics, ListMetrics, MetricDatum, PutMetricData,
};
use captura_wire::cloudwatch::{Fault, Output, UNITS};

use super::{Done, page};
use crate::alarms::dimensions;
use crate::plan::{Computed, Plan, Span};
use crate::statistic::{Statistic, check_period};
use crate::store::summary::VALUE_MAX;
use crate::store::{MetricId, Spot, Summary};
use crate::{Cloudwatch, lock, seconds};

/// Data of one PutMetricData, values of one datum: CloudWatch's own limits.
const DATA_MAX: usize = 1_000;
const VALUES_MAX: usize = 150;
/// How long ago a sample may have been, and how far ahead, seconds.
const PAST_MAX_S: i64 = 14 * 86_400;
const FUTURE_MAX_S: i64 = 2 * 3_600;
/// Points of one GetMetricStatistics, and of one page of GetMetricData.
const DATAPOINTS_MAX: i64 = 1_440;
const DATAPOINTS_OF_PAGE_MAX: usize = 100_800;
/// Metrics of one page.
const METRICS_OF_PAGE: usize = 500;
/// What ListMetrics counts as recently active, and how long it remembers at all, seconds.
const RECENT_S: i64 = 3 * 3_600;
const LISTED_S: i64 = 14 * 86_400;

pub(super) fn put(cloudwatch: &Cloudwatch, input: PutMetricData) -> Result<Done, Fault> {
    if input.entity_metric_data.is_some() {
        return Err(Fault::combination("EntityMetricData is not supported here; use MetricData."));
    }
    let namespace = input.namespace;
    if namespace.starts_with(':') || namespace.starts_with("AWS/") {
        return Err(Fault::invalid(format!("The value {namespace} for parameter Namespace is invalid.")));
    }
    if input.metric_data.is_empty() {
        return Err(Fault::missing("MetricData"));
    }
    if input.metric_data.len() > DATA_MAX {
        return Err(Fault::invalid(format!("The collection MetricData must not have a size greater than {DATA_MAX}.")));
    }
    let now = cloudwatch.0.clock.now();
    let data = input.metric_data.into_iter().enumerate();
    let samples = data.map(|(index, datum)| sample(&namespace, datum, now, index + 1));
    // Nothing is taken in unless everything can be.
    let samples = samples.collect::<Result<Vec<(Spot, Summary)>, Fault>>()?;
    let mut store = lock(&cloudwatch.0.store);
    for (spot, summary) in samples {
        store.record(spot, &summary);
    }
    Ok(Done::default())
}

fn sample(namespace: &str, datum: MetricDatum, now: Timestamp, number: usize) -> Result<(Spot, Summary), Fault> {
    let member = |name: &str| format!("MetricData.member.{number}.{name}");
    let at_s = seconds(datum.timestamp.unwrap_or(now));
    let now_s = seconds(now);
    if at_s < now_s - PAST_MAX_S || at_s > now_s + FUTURE_MAX_S {
        let message = format!(
            "The parameter {} must specify a time no more than two weeks in the past and two hours in the future.",
            member("Timestamp")
        );
        return Err(Fault::invalid(message));
    }
    let high_resolution = match datum.storage_resolution {
        None | Some(60) => false,
        Some(1) => true,
        Some(_) => {
            return Err(Fault::invalid(format!("The parameter {} must be 1 or 60.", member("StorageResolution"))));
        }
    };
    let unit = datum.unit.as_deref().unwrap_or("None");
    let unit = UNITS.iter().find(|known| **known == unit).copied().unwrap_or("None");
    let summary = summary(&datum, &member)?;
    let metric = Arc::new(MetricId::new(namespace, datum.metric_name, datum.dimensions));
    Ok((Spot { metric, unit, at_s, high_resolution }, summary))
}

fn summary(datum: &MetricDatum, member: &impl Fn(&str) -> String) -> Result<Summary, Fault> {
    let in_range = |name: &str, value: f64| match value.abs() <= VALUE_MAX {
        true => Ok(value),
        false => Err(Fault::invalid(format!("The value {value} for parameter {} is invalid.", member(name)))),
    };
    let given = [datum.value.is_some(), datum.statistic_values.is_some(), !datum.values.is_empty()];
    if given.iter().filter(|given| **given).count() > 1 {
        return Err(Fault::combination(format!(
            "The parameters {}, {} and {} are mutually exclusive and you have specified more than one.",
            member("Value"),
            member("Values"),
            member("StatisticValues")
        )));
    }
    if let Some(value) = datum.value {
        return Ok(Summary::of_value(in_range("Value", value)?, 1.0));
    }
    if let Some(set) = datum.statistic_values {
        for (name, value) in [("Sum", set.sum), ("Minimum", set.minimum), ("Maximum", set.maximum)] {
            in_range(&format!("StatisticValues.{name}"), value)?;
        }
        if !(set.sample_count > 0.0 && set.sample_count <= VALUE_MAX) || set.minimum > set.maximum {
            return Err(Fault::invalid(format!(
                "The value for parameter {} is invalid: it needs samples, and a Minimum below its Maximum.",
                member("StatisticValues")
            )));
        }
        return Ok(Summary::of_set(set.sample_count, set.sum, (set.minimum, set.maximum)));
    }
    if datum.values.len() > VALUES_MAX {
        let message = format!("The collection {} must not have a size greater than {VALUES_MAX}.", member("Values"));
        return Err(Fault::invalid(message));
    }
    if !datum.counts.is_empty() && datum.counts.len() != datum.values.len() {
        return Err(Fault::invalid(format!(
            "The parameters {} and {} must have the same size.",
            member("Values"),
            member("Counts")
        )));
    }
    let counts = datum.counts.iter().copied().chain(std::iter::repeat(1.0));
    let values = datum.values.iter().copied().zip(counts);
    for (value, count) in values.clone() {
        in_range("Values", value)?;
        if !(0.0..=VALUE_MAX).contains(&count) {
            return Err(Fault::invalid(format!("The value {count} for parameter {} is invalid.", member("Counts"))));
        }
    }
    Summary::of_values(values).ok_or_else(|| Fault::missing(&member("Value")))
}

pub(super) fn get_statistics(cloudwatch: &Cloudwatch, input: GetMetricStatistics) -> Result<Done, Fault> {
    let period_s = check_period(input.period)?;
    if input.start_time >= input.end_time {
        return Err(Fault::combination("The parameter StartTime must be less than the parameter EndTime."));
    }
    if input.statistics.is_empty() && input.extended_statistics.is_empty() {
        return Err(Fault::combination(
            "At least one of the parameters Statistics and ExtendedStatistics must be specified.",
        ));
    }
    let now_s = seconds(cloudwatch.0.clock.now());
    let span = Span { start_s: seconds(input.start_time), end_s: seconds(input.end_time), now_s, aligned: true };
    let asked = (span.end_s - span.start_s) / period_s;
    if asked > DATAPOINTS_MAX {
        return Err(Fault::combination(format!(
            "You have requested up to {asked} datapoints, which exceeds the limit of {DATAPOINTS_MAX}. You may reduce the \
             datapoints requested by increasing Period, or decreasing the time range."
        )));
    }
    let named = |names: &[String]| -> Result<Vec<(String, Statistic)>, Fault> {
        names.iter().map(|name| Ok((name.clone(), Statistic::of_name(name)?))).collect()
    };
    let (plain, extended) = (named(&input.statistics)?, named(&input.extended_statistics)?);
    let metric = MetricId::new(input.namespace, input.metric_name, input.dimensions);
    let store = lock(&cloudwatch.0.store);
    let unit = input.unit.as_deref().or_else(|| store.unit(&metric)).unwrap_or("None");
    let summaries = store.collect(&metric, input.unit.as_deref(), span.window(period_s), now_s);
    let datapoint = |(at, summary): (&i64, &Summary)| {
        let mut members = vec![("Timestamp", Output::Time(Timestamp::from_unix_us(at * 1_000_000)))];
        // In the order of the service model, whatever the order of the request.
        for name in ["SampleCount", "Average", "Sum", "Minimum", "Maximum"] {
            let asked = plain.iter().find(|(asked, _)| asked == name);
            members.extend(asked.and_then(|(_, one)| one.of(summary)).map(|value| (name, Output::Double(value))));
        }
        members.push(("Unit", Output::text(unit)));
        if !extended.is_empty() {
            let values =
                extended.iter().filter_map(|(name, one)| Some((name.clone(), Output::Double(one.of(summary)?))));
            members.push(("ExtendedStatistics", Output::Map(values.collect())));
        }
        Output::Structure(members)
    };
    let datapoints = Output::List(summaries.iter().map(datapoint).collect());
    Ok(Done::output(vec![("Label", Output::text(&metric.name)), ("Datapoints", datapoints)]))
}

pub(super) fn get_data(cloudwatch: &Cloudwatch, input: &GetMetricData) -> Result<Done, Fault> {
    if input.start_time >= input.end_time {
        return Err(Fault::combination("The parameter StartTime must be less than the parameter EndTime."));
    }
    let plan = Plan::parse(&input.metric_data_queries)?;
    let now_s = seconds(cloudwatch.0.clock.now());
    let span = Span { start_s: seconds(input.start_time), end_s: seconds(input.end_time), now_s, aligned: true };
    let computed = plan.compute(&lock(&cloudwatch.0.store), span)?;
    let size = input.max_datapoints.and_then(|max| usize::try_from(max).ok()).filter(|max| *max > 0);
    let size = size.unwrap_or(DATAPOINTS_OF_PAGE_MAX).min(DATAPOINTS_OF_PAGE_MAX);
    let ascending = input.scan_by.as_deref() == Some("TimestampAscending");
    let points = computed.iter().enumerate().flat_map(|(series, computed)| {
        let points: Vec<(i64, f64)> = computed.points.iter().map(|(at, value)| (*at, *value)).collect();
        let ordered = if ascending { points } else { points.into_iter().rev().collect() };
        let keyed = ordered.into_iter().enumerate();
        keyed.map(move |(number, point)| (format!("{series:08} {number:08}"), (series, point)))
    });
    let (points, next) = page(points, input.next_token.as_deref(), size)?;
    let mut by_series: BTreeMap<usize, Vec<(i64, f64)>> = BTreeMap::new();
    points.into_iter().for_each(|(series, point)| by_series.entry(series).or_default().push(point));
    let results = computed.iter().enumerate().map(|(series, computed)| {
        let shown = by_series.remove(&series).unwrap_or_default();
        let is_whole = next.is_none() || shown.len() == computed.points.len();
        result(computed, &shown, is_whole)
    });
    let mut output = vec![("MetricDataResults", Output::List(results.collect()))];
    output.extend(next.clone().map(|token| ("NextToken", Output::Text(token))));
    output.push(("Messages", Output::List(Vec::new())));
    Ok(Done::output(output))
}

fn result(computed: &Computed, points: &[(i64, f64)], is_whole: bool) -> Output {
    let time = |(at, _): &(i64, f64)| Output::Time(Timestamp::from_unix_us(at * 1_000_000));
    Output::Structure(vec![
        ("Id", Output::text(&computed.id)),
        ("Label", Output::text(&computed.label)),
        ("Timestamps", Output::List(points.iter().map(time).collect())),
        ("Values", Output::List(points.iter().map(|(_, value)| Output::Double(*value)).collect())),
        ("StatusCode", Output::text(if is_whole { "Complete" } else { "PartialData" })),
    ])
}

pub(super) fn list(cloudwatch: &Cloudwatch, input: &ListMetrics) -> Result<Done, Fault> {
    let now_s = seconds(cloudwatch.0.clock.now());
    let since_s = now_s - if input.recently_active.is_some() { RECENT_S } else { LISTED_S };
    let has = |metric: &MetricId, filter: &DimensionFilter| {
        let named = metric.dimensions.iter().filter(|dimension| dimension.name == filter.name);
        filter.value.as_ref().map_or(named.clone().count() > 0, |value| named.clone().any(|one| one.value == *value))
    };
    let store = lock(&cloudwatch.0.store);
    let found = store.metrics().filter(|(metric, newest_s)| {
        *newest_s >= since_s
            && input.namespace.as_ref().is_none_or(|wanted| *wanted == metric.namespace)
            && input.metric_name.as_ref().is_none_or(|wanted| *wanted == metric.name)
            && input.dimensions.iter().all(|filter| has(metric, filter))
    });
    let mut found: Vec<(String, &MetricId)> = found.map(|(metric, _)| (key(metric), metric)).collect();
    found.sort();
    let (found, next) = page(found.into_iter(), input.next_token.as_deref(), METRICS_OF_PAGE)?;
    let shown = found.into_iter().map(|metric| {
        Output::Structure(vec![
            ("Namespace", Output::text(&metric.namespace)),
            ("MetricName", Output::text(&metric.name)),
            ("Dimensions", dimensions(&metric.dimensions)),
        ])
    });
    let mut output = vec![("Metrics", Output::List(shown.collect()))];
    output.extend(next.map(|token| ("NextToken", Output::Text(token))));
    Ok(Done::output(output))
}

/// A text by which metrics are sorted, and that no two share.
fn key(metric: &MetricId) -> String {
    let mut key = format!("{}\0{}", metric.namespace, metric.name);
    for dimension in &metric.dimensions {
        key.push_str(&format!("\0{}\0{}", dimension.name, dimension.value));
    }
    key
}
