//! From what changes to those who want to know: webhooks by topic and event, and scaling policies by ARN.
//!
//! Invariant: whoever tells never waits. What does not fit into the queue is said in the log and told to nobody.
//! Refuses to: decide anything; the alarm says whom to tell, the notices know where that is.

use std::sync::Arc;

use captura_cloudwatch::{Cloudwatch, StateChange};
use captura_control::NoticeSink;
use captura_notices::Notices;
use captura_scaling::Scaling;
use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// What the ARN of a topic begins with.
const TOPIC: &str = "arn:aws:sns:";
/// What the ARN of a scaling policy begins with.
const SCALING_POLICY: &str = "arn:aws:autoscaling:";
/// Events and messages that wait to be put on the disk.
const WAITING_MAX: usize = 1_024;

enum News {
    Event(Value),
    Message { topic: String, message: Value },
}

/// Takes news. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Teller(mpsc::Sender<News>);

/// News that nobody has told yet.
pub(crate) struct Untold(mpsc::Receiver<News>);

/// The way from a teller to whoever tells.
pub(crate) fn channel() -> (Teller, Untold) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    (Teller(sender), Untold(receiver))
}

impl Teller {
    /// For events in EventBridge's shape.
    pub(crate) fn events(&self) -> NoticeSink {
        let teller = self.clone();
        Arc::new(move |event| teller.take(News::Event(event)))
    }

    /// For messages to a topic.
    pub(crate) fn message(&self, topic: &str, message: Value) {
        self.take(News::Message { topic: topic.to_owned(), message });
    }

    fn take(&self, news: News) {
        if self.0.try_send(news).is_err() {
            tracing::error!("more happens than can be told; an event or message is told to nobody");
        }
    }
}

/// The task that tells.
pub(crate) struct Telling {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Telling {
    /// Tells what waits, and ends; what is told later is told to nobody, and said in the log.
    pub(crate) async fn stop(self) {
        // A task that ended by itself has said why, or panicked and was reported.
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

/// Tells of everything from here on, until it is stopped.
pub(crate) fn start(untold: Untold, cloudwatch: &Cloudwatch, (notices, scaling): (Notices, Scaling)) -> Telling {
    let (stop, stopped) = oneshot::channel();
    // Scaling forgets with the process which policies act, and an alarm that goes on ringing tells of no change.
    for change in cloudwatch.standing() {
        for policy in change.actions.iter().filter(|action| action.starts_with(SCALING_POLICY)) {
            scaling.alarm(policy, Some(breach(&change).unwrap_or(0.0)));
        }
    }
    Telling { stop, task: tokio::spawn(tell(untold, cloudwatch.watch(), (notices, scaling), stopped)) }
}

async fn tell(
    Untold(mut news): Untold,
    mut changes: broadcast::Receiver<StateChange>,
    (notices, scaling): (Notices, Scaling),
    mut stopped: oneshot::Receiver<()>,
) {
    let mut stops = false;
    loop {
        let told = tokio::select! {
            biased;
            _ = &mut stopped, if !stops => {
                news.close();
                stops = true;
                continue;
            }
            change = changes.recv() => match change {
                Ok(change) => on_disk({
                    let (notices, scaling) = (notices.clone(), scaling.clone());
                    move || tell_change(&notices, &scaling, &change)
                }),
                Err(RecvError::Lagged(missed)) => {
                    tracing::error!(missed, "changes of alarms were told to nobody");
                    continue;
                }
                Err(RecvError::Closed) => return,
            },
            said = news.recv() => match said {
                Some(said) => on_disk({
                    let notices = notices.clone();
                    move || match said {
                        News::Event(event) => notices.event(&event),
                        News::Message { topic, message } => notices.message(&topic, None, &message),
                    }
                }),
                // Closed and empty, and no change of an alarm was at hand: it is asked first.
                None => return,
            },
        };
        // A notice is on the disk before the next one is looked at.
        if let Err(error) = told.await {
            tracing::error!(%error, "our bug: a notice could not be told");
        }
    }
}

fn on_disk(act: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    tokio::task::spawn_blocking(act)
}

fn tell_change(notices: &Notices, scaling: &Scaling, change: &StateChange) {
    notices.event(&change.event(&Uuid::new_v4().to_string()));
    let message = change.message();
    let subject = format!("{}: \"{}\"", message["NewStateValue"].as_str().unwrap_or_default(), change.alarm);
    for action in change.actions.iter().filter(|action| action.starts_with(TOPIC)) {
        notices.message(action, Some(&subject), message);
    }
    // A policy acts for as long as its alarm stands as it does now, so leaving that state is told to all of them.
    for list in ["AlarmActions", "OKActions", "InsufficientDataActions"] {
        let policies = message[list].as_array().into_iter().flatten().filter_map(Value::as_str);
        for policy in policies.filter(|action| action.starts_with(SCALING_POLICY)) {
            let acts = change.actions.iter().any(|action| action == policy);
            // A state that was set by hand has no points: it counts as just beyond the threshold.
            scaling.alarm(policy, acts.then(|| breach(change).unwrap_or(0.0)));
        }
    }
}

/// How far the metric is beyond the threshold; nothing when the change does not say.
fn breach(change: &StateChange) -> Option<f64> {
    let event = change.event("");
    let data: Value = serde_json::from_str(event["detail"]["state"]["reasonData"].as_str()?).ok()?;
    let latest = data["recentDatapoints"].as_array()?.iter().rev().find_map(Value::as_f64)?;
    Some(latest - data["threshold"].as_f64()?)
}

#[cfg(test)]
mod tests {
    use captura_names::Timestamp;
    use captura_notices::Webhook;
    use captura_route::Clock;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn what_was_said_before_the_end_is_on_the_disk_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::fixed(Timestamp::from_unix_us(1_769_860_800_000_000));
        let below = |name: &str| folder.path().join(name);
        let settings = captura_cloudwatch::Settings::new(below("cloudwatch"), "000000000000".to_owned());
        let cloudwatch = Cloudwatch::open(settings, clock.clone()).unwrap();
        let scaling = crate::scaling::open(
            (folder.path(), "000000000000"),
            captura_scaling::Settings::DEFAULT_PERIOD,
            captura_scaling::Doors {
                readings: Arc::new(|query| vec![None; query.periods]),
                capacity: Arc::new(|_| Box::pin(async { None })),
                set_capacity: Arc::new(|_, _| Box::pin(async { Ok(()) })),
            },
            &clock,
        );
        let settings = captura_notices::Settings {
            folder: below("notices"),
            webhooks: vec![Webhook::new("http://127.0.0.1:9/", vec![], None).unwrap()],
            keep: captura_notices::Settings::DEFAULT_KEEP,
            answer_within: captura_notices::Settings::DEFAULT_ANSWER_WITHIN,
        };
        let notices = Notices::open(&settings, clock).unwrap();
        let (teller, untold) = channel();
        let telling = start(untold, &cloudwatch, (notices.clone(), scaling.unwrap()));
        for number in 0..10 {
            teller.message("arn:aws:sns:us-east-1:000000000000:done", json!({ "number": number }));
        }
        telling.stop().await;
        assert_eq!(notices.figures().waiting, 10);
    }

    #[tokio::test]
    async fn a_policy_whose_alarm_rings_through_a_restart_goes_on_to_act() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::fixed(Timestamp::from_unix_us(1_769_860_800_000_000));
        let settings = captura_cloudwatch::Settings::new(folder.path().join("cloudwatch"), "000000000000".to_owned());
        let cloudwatch = Cloudwatch::open(settings, clock.clone()).unwrap();
        let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
        let told = Arc::clone(&asked);
        let doors = captura_scaling::Doors {
            readings: Arc::new(|query| vec![None; query.periods]),
            capacity: Arc::new(|_| Box::pin(async { Some(captura_scaling::Capacity { current: 1, desired: 1 }) })),
            set_capacity: Arc::new(move |_, count| {
                told.lock().unwrap().push(count);
                Box::pin(async { Ok(()) })
            }),
        };
        let period = captura_scaling::Settings::DEFAULT_PERIOD;
        let scaling = crate::scaling::open((folder.path(), "000000000000"), period, doors, &clock).unwrap();
        let scale = |operation: &str, more: Value| {
            let mut input = json!({
                "ServiceNamespace": "sagemaker", "ResourceId": "endpoint/e/variant/v",
                "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
            });
            input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let target = format!("AnyScaleFrontendService.{operation}");
            let body = input.to_string().into();
            let reply = scaling.answer(&captura_scaling::Request { target: &target, region: "us-east-1", body });
            serde_json::from_slice::<Value>(&reply.body).unwrap()
        };
        scale("RegisterScalableTarget", json!({"MinCapacity": 1, "MaxCapacity": 3}));
        let steps = json!({
            "AdjustmentType": "ChangeInCapacity",
            "StepAdjustments": [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 2}],
        });
        let policy = json!({"PolicyName": "p", "PolicyType": "StepScaling", "StepScalingPolicyConfiguration": steps});
        let arn = scale("PutScalingPolicy", policy)["PolicyARN"].clone();
        let alarm = json!({
            "AlarmName": "a", "AlarmActions": [arn], "Namespace": "n", "MetricName": "m", "Statistic": "Sum",
            "Period": 60, "EvaluationPeriods": 1, "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold",
        });
        let rings = json!({"AlarmName": "a", "StateValue": "ALARM", "StateReason": "by hand"});
        for (operation, input) in [("PutMetricAlarm", alarm), ("SetAlarmState", rings)] {
            let (target, body) = (format!("GraniteServiceVersion20100801.{operation}"), input.to_string());
            let request = captura_wire::cloudwatch::Request {
                path: "/",
                target: Some(&target),
                body: body.as_bytes(),
                ..captura_wire::cloudwatch::Request::default()
            };
            let reply = cloudwatch.answer(&request, "us-east-1").await;
            assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
        }
        // Whoever begins to tell only now has not heard of the change.
        let settings = captura_notices::Settings {
            folder: folder.path().join("notices"),
            webhooks: vec![],
            keep: captura_notices::Settings::DEFAULT_KEEP,
            answer_within: captura_notices::Settings::DEFAULT_ANSWER_WITHIN,
        };
        let notices = Notices::open(&settings, clock).unwrap();
        let telling = start(channel().1, &cloudwatch, (notices, scaling.clone()));
        scaling.tick().await;
        assert_eq!(*asked.lock().unwrap(), [3]);
        telling.stop().await;
    }
}
