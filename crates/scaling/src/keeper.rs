//! One look at every target: settle what is under way, keep to the bounds, do what the policies want together.

use std::sync::Arc;
use std::time::Duration;

use captura_names::Timestamp;
use captura_wire::autoscaling::{StepScaling, TargetTracking};
use uuid::Uuid;

use crate::activity::{Activity, Status};
use crate::book::{Book, Conduct, Policy, Registered};
use crate::resource::Resource;
use crate::tracking::{self, History, IN_PERIODS, Load, Wish};
use crate::{Capacity, Inner, Query, steps};

/// Seconds between two steps of step scaling where nothing is said.
const DEFAULT_STEP_COOLDOWN_S: i64 = 300;
/// Least time between two attempts after a refusal, so that a log is not filled with it.
const REFUSAL_REST: Duration = Duration::from_secs(60);

/// A metric that a policy follows.
pub(crate) struct Metric {
    namespace: String,
    name: String,
    /// Besides those of the resource.
    dimensions: Option<Vec<(String, String)>>,
    statistic: String,
    /// The policy speaks of a minute, whatever the period is.
    per_minute: bool,
    /// What a period without a point means.
    absent: Option<f64>,
}

/// The metric that a policy of a resource names.
///
/// # Errors
/// In words, when nobody publishes it of such a resource.
pub(crate) fn metric_of(resource: &Resource, tracking: &TargetTracking) -> Result<Metric, String> {
    match (&tracking.predefined_metric_specification, &tracking.customized_metric_specification) {
        (Some(predefined), None) => {
            let (type_name, name) = match resource {
                Resource::Variant { .. } => ("SageMakerVariantInvocationsPerInstance", "InvocationsPerInstance"),
                Resource::Component { .. } => ("SageMakerInferenceComponentInvocationsPerCopy", "InvocationsPerCopy"),
            };
            let asked = predefined.predefined_metric_type.as_str();
            if asked != type_name {
                return Err(format!(
                    "captura publishes no metric for {asked} here; use {type_name} or a CustomizedMetricSpecification"
                ));
            }
            Ok(Metric {
                namespace: "AWS/SageMaker".into(),
                name: name.into(),
                dimensions: None,
                statistic: "Sum".into(),
                per_minute: true,
                absent: Some(0.0),
            })
        }
        (None, Some(custom)) if !custom.metrics.is_empty() => {
            Err("captura follows one metric, not metric mathematics, in a CustomizedMetricSpecification".into())
        }
        (None, Some(custom)) => match (&custom.namespace, &custom.metric_name, &custom.statistic) {
            (Some(namespace), Some(name), Some(statistic)) => Ok(Metric {
                namespace: namespace.clone(),
                name: name.clone(),
                dimensions: Some(custom.dimensions.iter().map(|one| (one.name.clone(), one.value.clone())).collect()),
                statistic: statistic.clone(),
                per_minute: false,
                absent: None,
            }),
            _ => Err("A CustomizedMetricSpecification needs Namespace, MetricName and Statistic".into()),
        },
        _ => Err("Give either PredefinedMetricSpecification or CustomizedMetricSpecification".into()),
    }
}

/// Looks at every target once.
pub(crate) async fn tick(inner: &Arc<Inner>) {
    let targets = inner.book().targets().to_vec();
    for target in targets {
        // A target is checked before it is written, so this is only a book from elsewhere.
        let Ok(resource) = Resource::parse(&target.target) else { continue };
        if let Some(capacity) = (inner.doors.capacity)(resource.clone()).await {
            look(inner, &target, &resource, capacity).await;
        }
    }
}

/// What is to be done, and why.
struct Change {
    to: i64,
    cause: String,
}

async fn look(inner: &Arc<Inner>, target: &Registered, resource: &Resource, capacity: Capacity) {
    let now = inner.clock.now();
    if settle(inner, target, capacity, now).await == Settled::UnderWay || capacity.current != capacity.desired {
        return;
    }
    let Some(change) = change(inner, target, resource, (capacity.desired, now)) else { return };
    if is_resting(inner, target, change.to, now) {
        return;
    }
    let activity = Activity {
        id: Uuid::new_v4().to_string(),
        target: target.target.clone(),
        from: capacity.desired,
        to: change.to,
        noun: resource.noun().to_owned(),
        cause: change.cause,
        started_us: now.unix_us(),
        ended_us: None,
        status: Status::InProgress,
        message: format!(
            "Successfully set {} to {}. Waiting for change to be fulfilled by sagemaker.",
            resource.noun(),
            change.to
        ),
    };
    tracing::info!(
        resource = target.target.resource_id,
        from = activity.from,
        to = activity.to,
        cause = activity.cause,
        "scaling"
    );
    inner.book().note(activity);
    keep(inner).await;
    if let Err(reason) = (inner.doors.set_capacity)(resource.clone(), change.to).await {
        if let Some(activity) = inner.book().latest_activity(&target.target) {
            let message = format!("Failed to set {} to {}. Reason: {reason}", resource.noun(), change.to);
            activity.end(Status::Failed, message, inner.clock.now());
        }
        keep(inner).await;
    }
}

/// Writes the book, on a thread that may wait for a disk.
async fn keep(inner: &Arc<Inner>) {
    let inner = Arc::clone(inner);
    let saved = tokio::task::spawn_blocking(move || inner.save()).await;
    if let Err(error) = saved.expect("our bug: writing the book panicked") {
        tracing::error!(%error, "an activity of auto scaling is not kept");
    }
}

#[derive(PartialEq, Eq)]
enum Settled {
    UnderWay,
    Yes,
}

/// Ends the latest activity when what it asked for is there, or somebody asked for something else.
async fn settle(inner: &Arc<Inner>, target: &Registered, capacity: Capacity, now: Timestamp) -> Settled {
    match end_latest(&mut inner.book(), target, capacity, now) {
        Ended::Nothing => return Settled::Yes,
        Ended::NotYet => return Settled::UnderWay,
        Ended::Now => {}
    }
    keep(inner).await;
    Settled::Yes
}

enum Ended {
    Nothing,
    NotYet,
    Now,
}

fn end_latest(book: &mut Book, target: &Registered, capacity: Capacity, now: Timestamp) -> Ended {
    let Some(activity) = book.latest_activity(&target.target).filter(|one| one.status == Status::InProgress) else {
        return Ended::Nothing;
    };
    let noun = activity.noun.clone();
    if capacity.desired != activity.to {
        let message = format!("Somebody set {noun} to {}.", capacity.desired);
        activity.end(Status::Overridden, message, now);
    } else if capacity.current == capacity.desired {
        let message =
            format!("Successfully set {noun} to {}. Change successfully fulfilled by sagemaker.", activity.to);
        activity.end(Status::Successful, message, now);
    } else {
        return Ended::NotYet;
    }
    Ended::Now
}

fn is_resting(inner: &Inner, target: &Registered, to: i64, now: Timestamp) -> bool {
    let mut book = inner.book();
    book.latest_activity(&target.target).is_some_and(|latest| {
        let rest_us = i64::try_from(REFUSAL_REST.as_micros()).unwrap_or(i64::MAX);
        latest.status == Status::Failed && latest.to == to && now.unix_us() < latest.started_us.saturating_add(rest_us)
    })
}

fn change(
    inner: &Inner,
    target: &Registered,
    resource: &Resource,
    (capacity, now): (i64, Timestamp),
) -> Option<Change> {
    if capacity < target.min {
        return Some(Change { to: target.min, cause: format!("minimum capacity was set to {}", target.min) });
    }
    if capacity > target.max {
        return Some(Change { to: target.max, cause: format!("maximum capacity was set to {}", target.max) });
    }
    let (policies, history) = {
        let book = inner.book();
        let mine = book.policies().iter().filter(|policy| policy.target == target.target);
        (mine.cloned().collect::<Vec<_>>(), book.history(&target.target))
    };
    let mut wishes = Vec::new();
    for policy in &policies {
        match &policy.conduct {
            Conduct::Steps(steps) => {
                if let Some(wish) = step_wish(inner, policy, steps, (capacity, &history, now)) {
                    wishes.push((policy, wish));
                }
            }
            Conduct::Tracking(tracking) => {
                wishes.push((policy, tracking_wish(inner, resource, tracking, (capacity, &history, now))));
            }
        }
    }
    let wish = tracking::together(&wishes.iter().map(|(_, wish)| *wish).collect::<Vec<_>>());
    let to = match wish {
        Wish::Out(to) if !target.suspended.dynamic_scaling_out_suspended => to,
        Wish::In(to) if !target.suspended.dynamic_scaling_in_suspended => to,
        _ => return None,
    };
    let policy = wishes.iter().find(|(_, one)| *one == wish).map_or("", |(policy, _)| policy.name.as_str());
    let to = to.clamp(target.min, target.max);
    (to != capacity).then(|| Change { to, cause: format!("policy {policy} asked for {}", described(wish)) })
}

fn described(wish: Wish) -> String {
    match wish {
        Wish::Out(to) => format!("more capacity: {to}"),
        Wish::In(to) => format!("less capacity: {to}"),
        Wish::Stay => "no change".to_owned(),
    }
}

/// What a firing alarm wants; nothing while none fires or the last change is too fresh.
fn step_wish(
    inner: &Inner,
    policy: &Policy,
    steps: &StepScaling,
    (capacity, history, now): (i64, &History, Timestamp),
) -> Option<Wish> {
    let breaches = inner.book().breaches(&policy.arn).to_vec();
    let cooldown_us = steps.cooldown.unwrap_or(DEFAULT_STEP_COOLDOWN_S).saturating_mul(1_000_000);
    let cooling = history.changed_at.is_some_and(|at| now.unix_us() < at.unix_us().saturating_add(cooldown_us));
    if cooling {
        return None;
    }
    // Of several alarms that fire, the one that asks for most counts.
    let wanted = breaches.into_iter().filter_map(|breach| steps::wanted(steps, breach, capacity)).max()?;
    Some(match wanted.cmp(&capacity) {
        std::cmp::Ordering::Greater => Wish::Out(wanted),
        std::cmp::Ordering::Less => Wish::In(wanted.max(0)),
        std::cmp::Ordering::Equal => Wish::Stay,
    })
}

fn tracking_wish(
    inner: &Inner,
    resource: &Resource,
    policy: &TargetTracking,
    (capacity, history, now): (i64, &History, Timestamp),
) -> Wish {
    // A policy is checked before it is written.
    let Ok(metric) = metric_of(resource, policy) else { return Wish::Stay };
    let period = inner.settings.period;
    let period_us = i64::try_from(period.as_micros()).unwrap_or(i64::MAX).max(1);
    // The latest period that is over for certain: points of the running one still come, and those of the one before may
    // be on their way.
    let end = Timestamp::from_unix_us((now.unix_us() / period_us - 1) * period_us);
    let mut readings = (inner.doors.readings)(&Query {
        namespace: metric.namespace,
        metric_name: metric.name,
        dimensions: metric.dimensions.unwrap_or_else(|| resource.dimensions()),
        statistic: metric.statistic,
        period,
        end,
        periods: IN_PERIODS,
    });
    if metric.per_minute {
        let minutes = period.as_secs_f64() / 60.0;
        readings.iter_mut().flatten().for_each(|reading| *reading /= minutes);
    }
    let load = Load { readings: &readings, end, period, absent: metric.absent };
    tracking::wish(policy, &load, (capacity, history), now)
}
