//! Auto scaling as its callers meet it, with metrics and capacities that the test holds in its hands.

use std::sync::atomic::{AtomicI64, Ordering};

use captura_wire::autoscaling::TARGET_PREFIX;
use serde_json::{Value, json};

use super::*;

/// A variant whose load per instance and minute follows from one number.
struct House {
    scaling: Scaling,
    now_us: Arc<AtomicI64>,
    /// Invocations per minute of all instances together.
    load: Arc<AtomicI64>,
    current: Arc<AtomicI64>,
    desired: Arc<AtomicI64>,
    folder: tempfile::TempDir,
}

/// What a future gives that waits for nothing, as none does behind these doors.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("it waits"),
    }
}

const MINUTE_US: i64 = 60_000_000;
const RESOURCE: &str = "endpoint/churn/variant/AllTraffic";
const DIMENSION: &str = "sagemaker:variant:DesiredInstanceCount";

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let now_us = Arc::new(AtomicI64::new(1_000 * MINUTE_US));
        let (load, current, desired) =
            (Arc::new(AtomicI64::new(0)), Arc::new(AtomicI64::new(1)), Arc::new(AtomicI64::new(1)));
        let scaling = Self::open(&folder, (&now_us, &load, &current, &desired));
        Self { scaling, now_us, load, current, desired, folder }
    }

    fn open(
        folder: &tempfile::TempDir,
        (now_us, load, current, desired): (&Arc<AtomicI64>, &Arc<AtomicI64>, &Arc<AtomicI64>, &Arc<AtomicI64>),
    ) -> Scaling {
        let (loads, instances) = (Arc::clone(load), Arc::clone(current));
        let readings: Readings = Arc::new(move |query| {
            assert_eq!(query.metric_name, "InvocationsPerInstance");
            assert_eq!(query.dimensions[0], ("EndpointName".to_owned(), "churn".to_owned()));
            let each = loads.load(Ordering::SeqCst) as f64 / instances.load(Ordering::SeqCst) as f64;
            vec![(each > 0.0).then_some(each); query.periods]
        });
        let (shown, wanted) = (Arc::clone(current), Arc::clone(desired));
        let capacity: TellCapacity = Arc::new(move |_| {
            let (current, desired) = (shown.load(Ordering::SeqCst), wanted.load(Ordering::SeqCst));
            Box::pin(async move { (current >= 0).then_some(Capacity { current, desired }) })
        });
        let wanted = Arc::clone(desired);
        let set_capacity: SetCapacity = Arc::new(move |_, to| {
            let wanted = Arc::clone(&wanted);
            Box::pin(async move {
                if to > 5 {
                    return Err("no place for that many".to_owned());
                }
                wanted.store(to, Ordering::SeqCst);
                Ok(())
            })
        });
        let clock_us = Arc::clone(now_us);
        let clock = Clock::new(move || Timestamp::from_unix_us(clock_us.load(Ordering::SeqCst)));
        let settings = Settings {
            book_path: folder.path().join("scaling.json"),
            account: "000000000000".into(),
            period: Settings::DEFAULT_PERIOD,
        };
        let existence: TellExistence = Arc::new(|resource| {
            let is_known = match resource {
                Resource::Variant { endpoint, .. } => endpoint.as_str() != "nobody",
                Resource::Component { .. } => false,
            };
            Box::pin(async move { Ok(is_known) })
        });
        Scaling::open(settings, Doors { readings, existence, capacity, set_capacity }, clock).unwrap()
    }

    fn ask(&self, operation: &str, input: &Value) -> (u16, Value) {
        let target = format!("{TARGET_PREFIX}{operation}");
        let body = Bytes::from(input.to_string());
        let reply = at_once(self.scaling.answer(&Request { target: &target, region: "us-east-1", body }));
        (reply.status, serde_json::from_slice(&reply.body).unwrap())
    }

    fn accept(&self, operation: &str, mut input: Value) -> Value {
        for (key, value) in
            [("ServiceNamespace", "sagemaker"), ("ResourceId", RESOURCE), ("ScalableDimension", DIMENSION)]
        {
            if !operation.ends_with("Resource") && input.get(key).is_none() {
                input[key] = json!(value);
            }
        }
        let (status, answer) = self.ask(operation, &input);
        assert_eq!(status, 200, "{operation} {answer}");
        answer
    }

    fn track(&self, max: i64) {
        self.accept("RegisterScalableTarget", json!({"MinCapacity": 1, "MaxCapacity": max}));
        self.accept(
            "PutScalingPolicy",
            json!({"PolicyName": "follow", "PolicyType": "TargetTrackingScaling",
                "TargetTrackingScalingPolicyConfiguration": {"TargetValue": 100.0, "ScaleOutCooldown": 60,
                    "ScaleInCooldown": 120, "PredefinedMetricSpecification":
                    {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}}}),
        );
    }

    /// Lets minutes pass; instances come up within a minute.
    async fn pass(&self, minutes: i64) {
        for _ in 0..minutes {
            self.now_us.fetch_add(MINUTE_US, Ordering::SeqCst);
            self.scaling.tick().await;
            self.current.store(self.desired.load(Ordering::SeqCst), Ordering::SeqCst);
        }
    }

    fn capacity(&self) -> i64 {
        self.desired.load(Ordering::SeqCst)
    }

    fn activities(&self) -> Vec<Value> {
        self.accept("DescribeScalingActivities", json!({}))["ScalingActivities"].as_array().unwrap().clone()
    }
}

#[tokio::test]
async fn capacity_follows_the_load_up_and_down_within_its_bounds() {
    let house = House::new();
    house.track(4);
    house.pass(5).await;
    assert_eq!(house.capacity(), 1, "no load");
    house.load.store(350, Ordering::SeqCst);
    house.pass(5).await;
    assert_eq!(house.capacity(), 4);
    house.load.store(10_000, Ordering::SeqCst);
    house.pass(30).await;
    assert_eq!(house.capacity(), 4, "the bound holds");
    house.load.store(150, Ordering::SeqCst);
    house.pass(30).await;
    assert_eq!(house.capacity(), 2);
    house.load.store(0, Ordering::SeqCst);
    house.pass(30).await;
    assert_eq!(house.capacity(), 1);
    let told: Vec<String> =
        house.activities().iter().map(|one| one["Description"].as_str().unwrap().to_owned()).collect();
    let set = |to: i64| format!("Setting desired instance count to {to}.");
    assert_eq!(told, [set(1), set(2), set(4)]);
    assert!(house.activities().iter().all(|one| one["StatusCode"] == "Successful"));
}

#[tokio::test]
async fn bounds_are_kept_at_once_and_a_variant_that_is_gone_is_left_alone() {
    let house = House::new();
    house.accept("RegisterScalableTarget", json!({"MinCapacity": 3, "MaxCapacity": 4}));
    house.pass(1).await;
    assert_eq!(house.capacity(), 3);
    house.accept("RegisterScalableTarget", json!({"MinCapacity": 1, "MaxCapacity": 2}));
    house.pass(2).await;
    assert_eq!(house.capacity(), 2);
    assert_eq!(house.activities()[0]["Cause"], "maximum capacity was set to 2");
    house.current.store(-1, Ordering::SeqCst);
    house.accept("RegisterScalableTarget", json!({"MinCapacity": 4, "MaxCapacity": 4}));
    house.scaling.tick().await;
    assert_eq!(house.capacity(), 2);
}

#[tokio::test]
async fn a_refused_change_is_told_and_not_tried_without_rest() {
    let house = House::new();
    house.accept("RegisterScalableTarget", json!({"MinCapacity": 9, "MaxCapacity": 9}));
    house.scaling.tick().await;
    house.scaling.tick().await;
    let activities = house.activities();
    assert_eq!(activities.len(), 1);
    assert_eq!(activities[0]["StatusCode"], "Failed");
    assert!(activities[0]["StatusMessage"].as_str().unwrap().ends_with("no place for that many"));
    house.pass(2).await;
    assert!(house.activities().len() >= 2, "later it is tried again");
}

#[tokio::test]
async fn an_alarm_drives_the_steps_until_it_no_longer_fires() {
    let house = House::new();
    house.accept("RegisterScalableTarget", json!({"MinCapacity": 1, "MaxCapacity": 5}));
    let policy = house.accept(
        "PutScalingPolicy",
        json!({"PolicyName": "up", "StepScalingPolicyConfiguration": {"AdjustmentType": "ChangeInCapacity",
            "Cooldown": 120, "StepAdjustments": [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 2}]}}),
    );
    let arn = policy["PolicyARN"].as_str().unwrap();
    house.pass(2).await;
    assert_eq!(house.capacity(), 1);
    house.scaling.alarms([(arn.to_owned(), vec![7.0])].into());
    house.pass(1).await;
    assert_eq!(house.capacity(), 3);
    house.pass(2).await;
    assert_eq!(house.capacity(), 3, "it cools down");
    house.pass(3).await;
    assert_eq!(house.capacity(), 5);
    let unknown = "arn:aws:autoscaling:us-east-1:0:scalingPolicy:unknown";
    house.scaling.alarms([(unknown.to_owned(), vec![1.0])].into());
    house.pass(5).await;
    assert_eq!(house.capacity(), 5);
}

#[tokio::test]
async fn of_two_alarms_with_one_policy_the_one_that_asks_for_most_counts() {
    let house = House::new();
    house.accept("RegisterScalableTarget", json!({"MinCapacity": 1, "MaxCapacity": 9}));
    let steps = json!([
        {"MetricIntervalUpperBound": 0.0, "ScalingAdjustment": -1},
        {"MetricIntervalLowerBound": 0.0, "MetricIntervalUpperBound": 10.0, "ScalingAdjustment": 1},
        {"MetricIntervalLowerBound": 10.0, "ScalingAdjustment": 4},
    ]);
    let policy = house.accept(
        "PutScalingPolicy",
        json!({"PolicyName": "up", "StepScalingPolicyConfiguration": {"AdjustmentType": "ChangeInCapacity",
            "StepAdjustments": steps}}),
    );
    let arn = policy["PolicyARN"].as_str().unwrap();
    house.scaling.alarms([(arn.to_owned(), vec![-3.0, 12.0, 2.0])].into());
    house.pass(1).await;
    assert_eq!(house.capacity(), 5);
}

#[tokio::test]
async fn suspended_directions_do_not_happen() {
    let house = House::new();
    house.track(4);
    house.accept("RegisterScalableTarget", json!({"SuspendedState": {"DynamicScalingOutSuspended": true}}));
    house.load.store(400, Ordering::SeqCst);
    house.pass(10).await;
    assert_eq!(house.capacity(), 1);
    house.accept("RegisterScalableTarget", json!({"SuspendedState": {}}));
    house.pass(2).await;
    assert_eq!(house.capacity(), 4);
}

#[tokio::test]
async fn what_was_answered_survives_a_restart() {
    let house = House::new();
    house.track(4);
    house.load.store(400, Ordering::SeqCst);
    house.pass(6).await;
    let before = (house.accept("DescribeScalingPolicies", json!({})), house.activities());
    let again = House::open(&house.folder, (&house.now_us, &house.load, &house.current, &house.desired));
    let house = House { scaling: again, ..house };
    assert_eq!((house.accept("DescribeScalingPolicies", json!({})), house.activities()), before);
    std::fs::write(house.folder.path().join("scaling.json"), "{").unwrap();
    let settings =
        Settings { book_path: house.folder.path().join("scaling.json"), ..house.scaling.inner.settings.clone() };
    let error =
        Scaling::open(settings, house.scaling.inner.doors.clone(), house.scaling.inner.clock.clone()).unwrap_err();
    assert!(matches!(error, BookError::Unreadable { .. }), "{error}");
}

#[tokio::test]
async fn requests_are_refused_in_the_services_words() {
    let house = House::new();
    let target = json!({"ServiceNamespace": "sagemaker", "ResourceId": RESOURCE, "ScalableDimension": DIMENSION});
    let with = |more: Value| {
        let mut input = target.clone();
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        input
    };
    let refused = |operation: &str, input: Value| {
        let (status, answer) = house.ask(operation, &input);
        assert_eq!(status, 400, "{operation} {input} {answer}");
        let text = answer.get("message").or(answer.get("Message")).unwrap().as_str().unwrap().to_owned();
        (answer["__type"].as_str().unwrap().to_owned(), text)
    };
    assert_eq!(refused("PutScheduledAction", json!({})).0, "UnknownOperationException");
    assert_eq!(refused("RegisterScalableTarget", with(json!({"MinCapacity": 1}))).0, "ValidationException");
    assert_eq!(
        refused("RegisterScalableTarget", with(json!({"MinCapacity": 2, "MaxCapacity": 1}))).1,
        "Maximum capacity cannot be less than minimum capacity"
    );
    let bounds = json!({"MinCapacity": 1, "MaxCapacity": 2});
    let nobody = json!({"ResourceId": "endpoint/nobody/variant/AllTraffic", "MinCapacity": 1, "MaxCapacity": 2});
    assert_eq!(
        refused("RegisterScalableTarget", with(nobody)),
        (
            "ValidationException".to_owned(),
            "SageMaker variant does not exist: endpoint/nobody/variant/AllTraffic".to_owned()
        )
    );
    let mut component = with(bounds);
    component["ResourceId"] = json!("inference-component/gone");
    component["ScalableDimension"] = json!("sagemaker:inference-component:DesiredCopyCount");
    assert_eq!(
        refused("RegisterScalableTarget", component).1,
        "SageMaker inference component does not exist: inference-component/gone"
    );
    assert_eq!(refused("DeregisterScalableTarget", target.clone()).0, "ObjectNotFoundException");
    let tracking = |spec: Value| {
        with(json!({"PolicyName": "p", "PolicyType": "TargetTrackingScaling",
            "TargetTrackingScalingPolicyConfiguration": spec}))
    };
    let unpublished = tracking(json!({"TargetValue": 1.0, "PredefinedMetricSpecification":
        {"PredefinedMetricType": "SageMakerVariantProvisionedConcurrencyUtilization"}}));
    assert!(refused("PutScalingPolicy", unpublished).1.contains("publishes no metric"));
    let per_copy = json!({"TargetValue": 1.0, "PredefinedMetricSpecification":
        {"PredefinedMetricType": "SageMakerInferenceComponentInvocationsPerCopy"}});
    assert!(refused("PutScalingPolicy", tracking(per_copy.clone())).1.contains("publishes no metric"), "of a variant");
    let mut component = tracking(per_copy);
    component["ResourceId"] = json!("inference-component/c");
    component["ScalableDimension"] = json!("sagemaker:inference-component:DesiredCopyCount");
    assert_eq!(refused("PutScalingPolicy", component).0, "ObjectNotFoundException", "no target yet");
    let fine = tracking(json!({"TargetValue": 1.0, "PredefinedMetricSpecification":
        {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}}));
    assert_eq!(refused("PutScalingPolicy", fine).0, "ObjectNotFoundException", "no target yet");
    assert_eq!(refused("DescribeScalableTargets", json!({})).0, "ValidationException");
}

#[tokio::test]
async fn targets_have_tags_and_pages() {
    let house = House::new();
    let arn = house.accept("RegisterScalableTarget", json!({"MinCapacity": 1, "MaxCapacity": 2, "Tags": {"team": "risk"}}))
        ["ScalableTargetARN"]
        .as_str()
        .unwrap()
        .to_owned();
    house.accept("TagResource", json!({"ResourceARN": arn, "Tags": {"stage": "test"}}));
    house.accept("UntagResource", json!({"ResourceARN": arn, "TagKeys": ["team"]}));
    assert_eq!(house.accept("ListTagsForResource", json!({"ResourceARN": arn})), json!({"Tags": {"stage": "test"}}));
    house.accept(
        "RegisterScalableTarget",
        json!({"ResourceId": "endpoint/a/variant/v", "MinCapacity": 1, "MaxCapacity": 2}),
    );
    let all = json!({"ServiceNamespace": "sagemaker", "MaxResults": 1});
    let (_, first) = house.ask("DescribeScalableTargets", &all);
    assert_eq!(first["ScalableTargets"][0]["ResourceId"], RESOURCE);
    let rest = json!({"ServiceNamespace": "sagemaker", "MaxResults": 1, "NextToken": first["NextToken"]});
    let (_, second) = house.ask("DescribeScalableTargets", &rest);
    assert_eq!(second["ScalableTargets"][0]["ResourceId"], "endpoint/a/variant/v");
    assert!(second.get("NextToken").is_none());
}
