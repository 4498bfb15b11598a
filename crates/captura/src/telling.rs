//! From what changes to those who want to know: webhooks by topic and event, and scaling policies by ARN.
//!
//! Changes of alarms are written with the alarms as untold, events of endpoints with the endpoints, and messages of
//! asynchronous calls stay with their calls, until the notice is on the disk: a kill in between tells them again.
//!
//! Invariant: an endpoint or an alarm that changes never waits for whoever is told of it.
//! Refuses to: decide anything; the alarm says whom to tell, the notices know where that is.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use captura_cloudwatch::{Cloudwatch, StateChange};
use captura_control::{CatalogError, Control, Notice, NoticeBell};
use captura_notices::Notices;
use captura_scaling::Scaling;
use captura_tasks::Tasks;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinHandle};

/// What the ARN of a topic begins with.
const TOPIC: &str = "arn:aws:sns:";
/// What the ARN of a scaling policy begins with.
const SCALING_POLICY: &str = "arn:aws:autoscaling:";
/// Messages that wait to be put on the disk.
const WAITING_MAX: usize = 1_024;

/// A message of an asynchronous call.
struct Message {
    topic: String,
    message: Value,
    /// Told when the message is on the disk.
    kept: oneshot::Sender<()>,
}

/// Takes news. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Teller {
    messages: mpsc::Sender<Message>,
    bell: Arc<watch::Sender<()>>,
}

/// News that nobody has told yet.
pub(crate) struct Untold {
    messages: mpsc::Receiver<Message>,
    bell: watch::Receiver<()>,
}

/// The way from a teller to whoever tells.
pub(crate) fn channel() -> (Teller, Untold) {
    let ((sender, messages), (ringer, mut bell)) = (mpsc::channel(WAITING_MAX), watch::channel(()));
    // An earlier process may have left something.
    bell.mark_changed();
    (Teller { messages: sender, bell: Arc::new(ringer) }, Untold { messages, bell })
}

/// A boxed future.
type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Where the events of endpoints wait to be told.
pub(crate) struct Events {
    /// The oldest of them; none when all are told.
    untold: Box<dyn Fn() -> Pending<Result<Vec<Notice>, CatalogError>> + Send + Sync>,
    /// Those up to this one are on the disk.
    told: Box<dyn Fn(i64) -> Pending<Result<(), CatalogError>> + Send + Sync>,
}

/// The events of the control plane.
pub(crate) fn events(control: &Control) -> Events {
    let (untold, told) = (control.clone(), control.clone());
    Events {
        untold: Box::new(move || {
            let control = untold.clone();
            Box::pin(async move { control.untold().await })
        }),
        told: Box::new(move |last| {
            let control = told.clone();
            Box::pin(async move { control.told(last).await })
        }),
    }
}

impl Teller {
    /// Rings when there are events to tell.
    pub(crate) fn bell(&self) -> NoticeBell {
        let bell = Arc::clone(&self.bell);
        Arc::new(move || bell.send_replace(()))
    }

    /// For messages to a topic: done when the message is on the disk.
    pub(crate) async fn message(&self, topic: String, message: Value) -> Result<(), String> {
        let (kept, is_kept) = oneshot::channel();
        let stopping = || "nobody takes notices any more".to_owned();
        self.messages.send(Message { topic, message, kept }).await.map_err(|_| stopping())?;
        is_kept.await.map_err(|_| stopping())
    }
}

/// The task that tells.
pub(crate) struct Telling {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Telling {
    /// Tells what waits, and ends; what is told later is told to nobody, and said in the log.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        // A task that ended by itself has said why, or panicked and was reported.
        let _ = self.task.await;
    }
}

/// Where news come from and go.
struct Post {
    news: Untold,
    events: Events,
    cloudwatch: Cloudwatch,
    alarms: watch::Receiver<()>,
    notices: Notices,
    scaling: Scaling,
    stop: watch::Receiver<bool>,
}

/// Tells of everything that nobody was told of yet, and of all that follows, until it is stopped.
pub(crate) fn start(
    news: Untold,
    events: Events,
    cloudwatch: &Cloudwatch,
    (notices, scaling): (Notices, Scaling),
    tasks: &Tasks,
) -> Telling {
    let (stop, stopped) = watch::channel(false);
    let mut alarms = cloudwatch.bell();
    // Scaling forgets with the process which policies act, and an alarm that goes on ringing tells of no change.
    alarms.mark_changed();
    let post = Post { news, events, cloudwatch: cloudwatch.clone(), alarms, notices, scaling, stop: stopped };
    Telling { stop, task: tasks.spawn("telling", post, |post| Box::pin(post.tell())) }
}

impl Post {
    async fn tell(&mut self) {
        loop {
            let told = tokio::select! {
                biased;
                () = stopped(&mut self.stop), if !self.news.messages.is_closed() => {
                    self.news.messages.close();
                    continue;
                }
                // The teller of messages holds the bell, so it is there for as long as they come.
                Ok(()) = self.news.bell.changed() => self.tell_events().await,
                changed = self.alarms.changed() => match changed {
                    Ok(()) => self.tell_alarms().await,
                    Err(_) => return,
                },
                said = self.news.messages.recv() => match said {
                    Some(said) => self.tell_message(said).await,
                    // Closed and empty, and no change of an alarm was at hand: it is asked first.
                    None => return,
                },
            };
            // A notice is on the disk before the next one is looked at.
            if let Err(error) = told {
                tracing::error!(%error, "our bug: a notice could not be told");
            }
        }
    }

    async fn tell_message(&self, Message { topic, message, kept }: Message) -> Result<(), JoinError> {
        let notices = self.notices.clone();
        let told = tokio::task::spawn_blocking(move || {
            notices.message(&topic, None, &message);
            // Whoever waited for it may be gone, and will tell it again.
            let _ = kept.send(());
        });
        told.await
    }

    async fn tell_events(&self) -> Result<(), JoinError> {
        loop {
            let untold = match (self.events.untold)().await {
                Ok(untold) => untold,
                // What then is left, the next start tells.
                Err(CatalogError::Closed) => return Ok(()),
                // The next change rings again.
                Err(error) => {
                    tracing::error!(%error, "the events of endpoints that were not told cannot be read");
                    return Ok(());
                }
            };
            let Some(last) = untold.last().map(|notice| notice.id) else { return Ok(()) };
            let notices = self.notices.clone();
            let tell = move || untold.iter().for_each(|notice| notices.event(&notice.event));
            tokio::task::spawn_blocking(tell).await?;
            if let Err(error) = (self.events.told)(last).await {
                tracing::error!(%error, "it is not kept which events of endpoints were told; they are told again");
                return Ok(());
            }
        }
    }

    async fn tell_alarms(&self) -> Result<(), JoinError> {
        self.scaling.alarms(acting(&self.cloudwatch.standing()));
        let untold = self.cloudwatch.untold();
        if untold.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = untold.iter().map(|change| change.id).collect();
        let notices = self.notices.clone();
        tokio::task::spawn_blocking(move || untold.iter().for_each(|change| tell_change(&notices, change))).await?;
        if let Err(error) = self.cloudwatch.told(&ids).await {
            tracing::error!(%error, "it is not kept which changes of alarms were told; a restart may tell them again");
        }
        Ok(())
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that whoever could stop it is gone, which is a reason to stop as well.
    let _ = stop.wait_for(|stopped| *stopped).await;
}

fn tell_change(notices: &Notices, change: &StateChange) {
    notices.event(&change.event());
    let message = change.message();
    let subject = format!("{}: \"{}\"", message["NewStateValue"].as_str().unwrap_or_default(), change.alarm);
    for action in change.actions.iter().filter(|action| action.starts_with(TOPIC)) {
        notices.message(action, Some(&subject), message);
    }
}

/// The policies that act for as long as alarms stand as they do, with how far each alarm is beyond its threshold.
fn acting(standing: &[StateChange]) -> BTreeMap<String, Vec<f64>> {
    let mut acting: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for change in standing {
        for policy in change.actions.iter().filter(|action| action.starts_with(SCALING_POLICY)) {
            // A state that was set by hand has no points: it counts as just beyond the threshold.
            acting.entry(policy.clone()).or_default().push(breach(change).unwrap_or(0.0));
        }
    }
    acting
}

/// How far the metric is beyond the threshold; nothing when the change does not say.
fn breach(change: &StateChange) -> Option<f64> {
    let event = change.event();
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

    /// Events that wait in memory.
    fn events_of(waiting: &Arc<std::sync::Mutex<Vec<Notice>>>) -> Events {
        let (untold, told) = (Arc::clone(waiting), Arc::clone(waiting));
        Events {
            untold: Box::new(move || {
                let untold = untold.lock().unwrap().clone();
                Box::pin(async { Ok(untold) })
            }),
            told: Box::new(move |last| {
                told.lock().unwrap().retain(|notice| notice.id > last);
                Box::pin(async { Ok(()) })
            }),
        }
    }

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
                existence: Arc::new(|_| Box::pin(async { Ok(true) })),
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
            tasks: Tasks::default(),
        };
        let notices = Notices::open(&settings, clock).unwrap();
        let (teller, untold) = channel();
        let event = |id: i64| Notice { id, event: json!({ "source": "aws.sagemaker", "number": id }) };
        let waiting = Arc::new(std::sync::Mutex::new(vec![event(0), event(1)]));
        let events = events_of(&waiting);
        let telling = start(untold, events, &cloudwatch, (notices.clone(), scaling.unwrap()), &Tasks::default());
        for id in 2..10 {
            waiting.lock().unwrap().push(event(id));
            (teller.bell())();
        }
        telling.stop().await;
        assert_eq!((notices.figures().waiting, waiting.lock().unwrap().len()), (10, 0));
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
            existence: Arc::new(|_| Box::pin(async { Ok(true) })),
            capacity: Arc::new(|_| Box::pin(async { Some(captura_scaling::Capacity { current: 1, desired: 1 }) })),
            set_capacity: Arc::new(move |_, count| {
                told.lock().unwrap().push(count);
                Box::pin(async { Ok(()) })
            }),
        };
        let period = captura_scaling::Settings::DEFAULT_PERIOD;
        let scaling = crate::scaling::open((folder.path(), "000000000000"), period, doors, &clock).unwrap();
        let scale = async |operation: &str, more: Value| {
            let mut input = json!({
                "ServiceNamespace": "sagemaker", "ResourceId": "endpoint/e/variant/v",
                "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
            });
            input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let target = format!("AnyScaleFrontendService.{operation}");
            let body = input.to_string().into();
            let reply = scaling.answer(&captura_scaling::Request { target: &target, region: "us-east-1", body }).await;
            serde_json::from_slice::<Value>(&reply.body).unwrap()
        };
        scale("RegisterScalableTarget", json!({"MinCapacity": 1, "MaxCapacity": 3})).await;
        let steps = json!({
            "AdjustmentType": "ChangeInCapacity",
            "StepAdjustments": [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 2}],
        });
        let policy = json!({"PolicyName": "p", "PolicyType": "StepScaling", "StepScalingPolicyConfiguration": steps});
        let arn = scale("PutScalingPolicy", policy).await["PolicyARN"].clone();
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
            tasks: Tasks::default(),
        };
        let notices = Notices::open(&settings, clock).unwrap();
        let (_teller, untold) = channel();
        let events = events_of(&Arc::default());
        let telling = start(untold, events, &cloudwatch, (notices, scaling.clone()), &Tasks::default());
        while !cloudwatch.untold().is_empty() {
            tokio::task::yield_now().await;
        }
        scaling.tick().await;
        assert_eq!(*asked.lock().unwrap(), [3]);
        telling.stop().await;
    }
}
