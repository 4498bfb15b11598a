//! Wiring of auto scaling: its doors to metrics and instances. No logic.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use captura_cloudwatch::{Cloudwatch, Dimension, MetricId, Statistic};
use captura_control::Control;
use captura_names::Timestamp;
use captura_route::Clock;
use captura_scaling::{BookError, Capacity, Doors, Query, Resource, Scaling, Settings};

/// Below the data directory.
const BOOK: &str = "scaling.json";

/// Opens the book of a data directory.
pub(crate) fn open(
    (data_dir, account): (&Path, &str),
    period: Duration,
    doors: Doors,
    clock: &Clock,
) -> Result<Scaling, BookError> {
    let settings = Settings { book_path: data_dir.join(BOOK), account: account.to_owned(), period };
    Scaling::open(settings, doors, clock.clone())
}

/// The ways to the metrics and to the instances.
pub(crate) fn doors(cloudwatch: &Cloudwatch, control: &Control) -> Doors {
    let (metrics, known, told, changed) = (cloudwatch.clone(), control.clone(), control.clone(), control.clone());
    Doors {
        readings: Arc::new(move |query| readings(&metrics, query)),
        existence: Arc::new(move |resource| {
            let control = known.clone();
            Box::pin(async move { existence(&control, &resource).await })
        }),
        capacity: Arc::new(move |resource| {
            let control = told.clone();
            Box::pin(async move { capacity(&control, &resource).await })
        }),
        set_capacity: Arc::new(move |resource, count| {
            let control = changed.clone();
            Box::pin(async move { set_capacity(&control, &resource, count).await })
        }),
    }
}

fn readings(cloudwatch: &Cloudwatch, query: &Query) -> Vec<Option<f64>> {
    let Ok(statistic) = Statistic::of_name(&query.statistic) else { return vec![None; query.periods] };
    let period_us = i64::try_from(query.period.as_micros()).unwrap_or(i64::MAX).max(1);
    let start_us = query.end.unix_us() - period_us * query.periods as i64;
    let dimensions =
        query.dimensions.iter().map(|(name, value)| Dimension { name: name.clone(), value: value.clone() }).collect();
    let points = cloudwatch.statistics(&captura_cloudwatch::Query {
        metric: MetricId::new(&query.namespace, &query.metric_name, dimensions),
        statistic,
        period_s: period_us / 1_000_000,
        start: Timestamp::from_unix_us(start_us),
        end: query.end,
    });
    let mut readings = vec![None; query.periods];
    for (at, value) in points {
        let place = usize::try_from((at.unix_us() - start_us) / period_us).ok();
        if let Some(reading) = place.and_then(|place| readings.get_mut(place)) {
            *reading = Some(value);
        }
    }
    readings
}

async fn existence(control: &Control, resource: &Resource) -> Result<bool, String> {
    let known = match resource {
        Resource::Variant { endpoint, variant } => control.has_variant(endpoint, variant).await,
        Resource::Component { name } => control.has_component(name).await,
    };
    known.map_err(|error| error.to_string())
}

async fn capacity(control: &Control, resource: &Resource) -> Option<Capacity> {
    let counts = match resource {
        Resource::Variant { endpoint, variant } => control.instance_counts(endpoint, variant).await,
        Resource::Component { name } => control.copy_counts(name).await,
    };
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    counts.ok().map(|counts| Capacity { current: count(counts.current), desired: count(counts.desired) })
}

async fn set_capacity(control: &Control, resource: &Resource, count: i64) -> Result<(), String> {
    let count = u64::try_from(count).map_err(|_| "a negative number of instances".to_owned())?;
    let set = match resource {
        Resource::Variant { endpoint, variant } => control.set_desired_instance_count(endpoint, variant, count).await,
        Resource::Component { name } => control.set_desired_copy_count(name, count).await,
    };
    set.map_err(|error| error.to_string())
}
