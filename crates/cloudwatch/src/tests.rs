//! CloudWatch as a client meets it, with time held by the test.

use std::sync::atomic::{AtomicI64, Ordering};

use captura_wire::cloudwatch::TARGET_PREFIX;
use serde_json::{Value, json};

use super::*;

/// 2026-01-01T00:00:00Z
const START_S: i64 = 1_767_225_600;

struct World {
    cloudwatch: Cloudwatch,
    now_s: Arc<AtomicI64>,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let now_s = Arc::new(AtomicI64::new(START_S));
        let cloudwatch = Self::open(&folder, &now_s, limits);
        Self { cloudwatch, now_s, folder }
    }

    fn open(folder: &tempfile::TempDir, now_s: &Arc<AtomicI64>, limits: Limits) -> Cloudwatch {
        let now_s = Arc::clone(now_s);
        let clock = Clock::new(move || Timestamp::from_unix_us(now_s.load(Ordering::Relaxed) * 1_000_000));
        let settings = Settings::new(folder.path().to_owned(), "123456789012".into());
        Cloudwatch::open(Settings { limits, ..settings }, clock).unwrap()
    }

    /// As after a kill: what was not flushed is gone.
    fn restarted(self) -> Self {
        let Self { folder, now_s, .. } = self;
        let cloudwatch = Self::open(&folder, &now_s, Limits::default());
        Self { cloudwatch, now_s, folder }
    }

    async fn call(&self, operation: &str, input: Value) -> Result<Value, (u16, String, String)> {
        let (target, body) = (format!("{TARGET_PREFIX}{operation}"), input.to_string());
        let request = Request { path: "/", target: Some(&target), body: body.as_bytes(), ..Request::default() };
        let reply = self.cloudwatch.answer(&request, "eu-west-1").await;
        let answer: Value = serde_json::from_slice(&reply.body).unwrap();
        if reply.status == 200 {
            return Ok(answer);
        }
        let code = reply.headers.iter().find(|(name, _)| *name == "x-amzn-query-error").unwrap().1.clone();
        Err((reply.status, code.split(';').next().unwrap().to_owned(), answer["message"].as_str().unwrap().to_owned()))
    }

    async fn ok(&self, operation: &str, input: Value) -> Value {
        self.call(operation, input).await.unwrap()
    }

    async fn refused(&self, operation: &str, input: Value) -> (u16, String, String) {
        self.call(operation, input).await.unwrap_err()
    }

    /// Lets time pass second by second, as the running task sees it.
    async fn pass(&self, seconds: i64) {
        for _ in 0..seconds {
            self.now_s.fetch_add(1, Ordering::Relaxed);
            self.cloudwatch.evaluate().await;
        }
    }

    async fn put(&self, value: f64) {
        let datum = json!({"MetricName": "M", "Value": value, "Unit": "Count", "StorageResolution": 1});
        self.ok("PutMetricData", json!({"Namespace": "N", "MetricData": [datum]})).await;
    }

    fn state(&self) -> State {
        self.cloudwatch.alarm_state("a").unwrap()
    }
}

fn alarm(more: &Value) -> Value {
    let mut alarm = json!({"AlarmName": "a", "Namespace": "N", "MetricName": "M", "Statistic": "Sum", "Period": 10,
        "EvaluationPeriods": 1, "Threshold": 3.0, "ComparisonOperator": "GreaterThanThreshold",
        "AlarmActions": ["arn:aws:sns:eu-west-1:123456789012:t"]});
    for (name, member) in more.as_object().unwrap() {
        alarm[name] = member.clone();
    }
    alarm
}

#[tokio::test]
async fn an_alarm_rings_and_calms_down_and_tells_both() {
    let world = World::new();
    world.ok("PutMetricAlarm", alarm(&json!({"TreatMissingData": "notBreaching"}))).await;
    assert_eq!(world.state(), State::InsufficientData);
    world.pass(1).await;
    assert_eq!(world.state(), State::Ok);
    world.put(5.0).await;
    world.pass(8).await;
    assert_eq!(world.state(), State::Ok, "the period is not over");
    world.pass(2).await;
    assert_eq!(world.state(), State::Alarm);
    world.pass(40).await;
    assert_eq!(world.state(), State::Ok);
    let told = world.cloudwatch.untold();
    let ways: Vec<(State, State)> = told.iter().map(|change| (change.from, change.to)).collect();
    assert_eq!(ways, [(State::InsufficientData, State::Ok), (State::Ok, State::Alarm), (State::Alarm, State::Ok)]);
    assert_eq!(told[1].actions, ["arn:aws:sns:eu-west-1:123456789012:t"]);
    assert!(told[0].actions.is_empty() && told[2].actions.is_empty());
    let event = told[1].event();
    assert_eq!(event["detail-type"], "CloudWatch Alarm State Change");
    assert_eq!(event["resources"], json!(["arn:aws:cloudwatch:eu-west-1:123456789012:alarm:a"]));
    assert_eq!((&event["region"], &event["account"]), (&json!("eu-west-1"), &json!("123456789012")));
    assert_eq!(event["detail"]["state"]["value"], "ALARM");
    assert_eq!(event["detail"]["previousState"]["value"], "OK");
    assert_eq!(
        told[1].reason,
        "Threshold Crossed: 1 datapoint [5.0 (01/01/26 00:00:00)] was greater than the threshold (3.0)."
    );
    assert_eq!(told[1].message()["Trigger"]["Threshold"], json!(3.0));
}

#[tokio::test]
async fn describe_alarms_shows_what_was_put_and_how_it_stands() {
    let world = World::new();
    world.put(5.0).await;
    let dimensions = json!([{"Name": "EndpointName", "Value": "e"}]);
    world.ok("PutMetricAlarm", alarm(&json!({"AlarmDescription": "d", "Tags": [{"Key": "k", "Value": "v"}]}))).await;
    world.ok("PutMetricAlarm", alarm(&json!({"AlarmName": "b", "Dimensions": dimensions}))).await;
    world.pass(10).await;
    let described = world.ok("DescribeAlarms", json!({"AlarmNames": ["a"]})).await;
    let shown = &described["MetricAlarms"][0];
    assert_eq!(shown["AlarmArn"], "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:a");
    assert_eq!((&shown["StateValue"], &shown["ActionsEnabled"]), (&json!("ALARM"), &json!(true)));
    assert_eq!(shown["StateUpdatedTimestamp"], json!((START_S + 10) as f64));
    let data: Value = serde_json::from_str(shown["StateReasonData"].as_str().unwrap()).unwrap();
    assert_eq!(
        data,
        json!({"version": "1.0", "queryDate": "2026-01-01T00:00:10.000+0000",
            "startDate": "2026-01-01T00:00:00.000+0000", "statistic": "Sum", "period": 10, "recentDatapoints": [5.0],
            "threshold": 3.0, "evaluatedDatapoints":
            [{"timestamp": "2026-01-01T00:00:00.000+0000", "value": 5.0, "sampleCount": 1.0}]})
    );
    let names = |answer: &Value| {
        let alarms = answer["MetricAlarms"].as_array().unwrap().iter();
        alarms.map(|alarm| alarm["AlarmName"].as_str().unwrap().to_owned()).collect::<Vec<String>>()
    };
    for (input, expected) in [
        (json!({}), vec!["a", "b"]),
        (json!({"StateValue": "ALARM"}), vec!["a"]),
        (json!({"AlarmNamePrefix": "b"}), vec!["b"]),
        (json!({"ActionPrefix": "arn:aws:sns"}), vec!["a", "b"]),
        (json!({"AlarmTypes": ["CompositeAlarm"]}), vec![]),
    ] {
        assert_eq!(names(&world.ok("DescribeAlarms", input.clone()).await), expected, "{input}");
    }
    let first = world.ok("DescribeAlarms", json!({"MaxRecords": 1})).await;
    let second = world.ok("DescribeAlarms", json!({"MaxRecords": 1, "NextToken": first["NextToken"]})).await;
    assert_eq!((names(&first), names(&second)), (vec!["a".to_owned()], vec!["b".to_owned()]));
    assert!(second.get("NextToken").is_none());
    let of_metric = json!({"Namespace": "N", "MetricName": "M", "Dimensions": dimensions});
    assert_eq!(names(&world.ok("DescribeAlarmsForMetric", of_metric).await), ["b"]);
    let tags = world.ok("ListTagsForResource", json!({"ResourceARN": shown["AlarmArn"]})).await;
    assert_eq!(tags["Tags"], json!([{"Key": "k", "Value": "v"}]));
    let history = world.ok("DescribeAlarmHistory", json!({"AlarmName": "a", "HistoryItemType": "StateUpdate"})).await;
    let summary = &history["AlarmHistoryItems"][0]["HistorySummary"];
    assert_eq!(summary, "Alarm \"a\" updated from INSUFFICIENT_DATA to ALARM");
}

#[tokio::test]
async fn a_state_set_by_hand_holds_for_a_period() {
    let world = World::new();
    world.ok("PutMetricAlarm", alarm(&json!({"TreatMissingData": "notBreaching"}))).await;
    let set = json!({"AlarmName": "a", "StateValue": "ALARM", "StateReason": "a drill"});
    world.ok("SetAlarmState", set.clone()).await;
    assert_eq!(world.state(), State::Alarm);
    world.pass(9).await;
    assert_eq!(world.state(), State::Alarm);
    world.pass(1).await;
    assert_eq!(world.state(), State::Ok);
    let unknown =
        world.refused("SetAlarmState", json!({"AlarmName": "b", "StateValue": "OK", "StateReason": ""})).await;
    assert_eq!((unknown.0, unknown.1.as_str()), (404, "ResourceNotFound"));
    let no_json = json!({"AlarmName": "a", "StateValue": "OK", "StateReason": "", "StateReasonData": "{"});
    assert_eq!(world.refused("SetAlarmState", no_json).await.1, "InvalidFormat");
}

#[tokio::test]
async fn disabled_actions_are_not_due() {
    let world = World::new();
    world.ok("PutMetricAlarm", alarm(&json!({}))).await;
    world.ok("DisableAlarmActions", json!({"AlarmNames": ["a", "unknown"]})).await;
    world.ok("SetAlarmState", json!({"AlarmName": "a", "StateValue": "ALARM", "StateReason": "r"})).await;
    world.ok("EnableAlarmActions", json!({"AlarmNames": ["a"]})).await;
    world.ok("SetAlarmState", json!({"AlarmName": "a", "StateValue": "OK", "StateReason": "r"})).await;
    world.ok("SetAlarmState", json!({"AlarmName": "a", "StateValue": "ALARM", "StateReason": "r"})).await;
    let told = world.cloudwatch.untold();
    assert_eq!(told.iter().map(|change| change.actions.len()).collect::<Vec<_>>(), [0, 0, 1]);
}

#[tokio::test]
async fn a_change_that_nobody_was_told_of_survives_a_kill_and_one_that_was_told_does_not() {
    let world = World::new();
    world.ok("PutMetricAlarm", alarm(&json!({}))).await;
    world.ok("SetAlarmState", json!({"AlarmName": "a", "StateValue": "ALARM", "StateReason": "r"})).await;
    let told = world.cloudwatch.untold();
    assert_eq!(told.len(), 1);
    let world = world.restarted();
    assert_eq!(world.cloudwatch.untold(), told, "the same, under the same id");
    world.cloudwatch.told(&[told[0].id]).await.unwrap();
    assert_eq!(world.cloudwatch.untold(), []);
    let world = world.restarted();
    assert_eq!((world.cloudwatch.untold(), world.state()), (vec![], State::Alarm));
}

#[tokio::test]
async fn an_alarm_that_nobody_hears_keeps_only_its_latest_changes() {
    let world = World::new();
    world.ok("PutMetricAlarm", alarm(&json!({}))).await;
    for number in 0..40 {
        let state = if number % 2 == 0 { "ALARM" } else { "OK" };
        let reason = number.to_string();
        world.ok("SetAlarmState", json!({"AlarmName": "a", "StateValue": state, "StateReason": reason})).await;
    }
    let reasons: Vec<String> = world.cloudwatch.untold().into_iter().map(|change| change.reason).collect();
    assert_eq!(reasons, (8..40).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn alarms_are_looked_at_again_after_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let looks = Arc::new(AtomicI64::new(0));
    let counted = Arc::clone(&looks);
    // The first look at the clock is that of opening.
    let clock = Clock::new(move || {
        let look = counted.fetch_add(1, Ordering::SeqCst);
        assert!(look != 1, "the clock falls down");
        Timestamp::from_unix_us(START_S * 1_000_000)
    });
    let settings = Settings::new(folder.path().to_owned(), "123456789012".into());
    let tasks = settings.tasks.clone();
    let cloudwatch = Cloudwatch::open(settings, clock).unwrap();
    cloudwatch.start();
    while looks.load(Ordering::SeqCst) < 4 {
        tokio::time::sleep(TICK).await;
    }
    assert_eq!(tasks.figures()[0].panics, 1);
    cloudwatch.close().await.unwrap();
}

#[tokio::test]
async fn alarms_and_metrics_survive_a_kill() {
    let world = World::new();
    world.put(5.0).await;
    world.cloudwatch.flush().await.unwrap();
    world.put(7.0).await;
    world.ok("PutMetricAlarm", alarm(&json!({"Period": 60}))).await;
    world.ok("SetAlarmState", json!({"AlarmName": "a", "StateValue": "ALARM", "StateReason": "r"})).await;
    let world = world.restarted();
    assert_eq!(world.state(), State::Alarm);
    let query = json!({"Namespace": "N", "MetricName": "M", "StartTime": START_S, "EndTime": START_S + 60, "Period": 60,
        "Statistics": ["Sum", "SampleCount"]});
    let found = world.ok("GetMetricStatistics", query).await;
    assert_eq!(
        found,
        json!({"Label": "M", "Datapoints": [{"Timestamp": START_S as f64, "SampleCount": 1.0, "Sum": 5.0, "Unit": "Count"}]})
    );
    world.pass(70).await;
    assert_eq!(world.state(), State::Alarm, "what was watched goes on being watched");
    world.ok("DeleteAlarms", json!({"AlarmNames": ["a"]})).await;
    assert_eq!(world.restarted().cloudwatch.alarm_state("a"), None);
}

#[tokio::test]
async fn a_damaged_alarms_file_keeps_the_server_from_starting() {
    let world = World::new();
    std::fs::write(world.folder.path().join(ALARMS_FILE), "{").unwrap();
    let settings = Settings::new(world.folder.path().to_owned(), "123456789012".into());
    let error = Cloudwatch::open(settings, Clock::system()).unwrap_err().to_string();
    assert!(error.contains("alarms.json cannot be read"), "{error}");
}

#[tokio::test]
async fn an_alarm_watches_arithmetic_between_metrics() {
    let world = World::new();
    let stat = |id: &str, name: &str| {
        json!({"Id": id, "ReturnData": false, "MetricStat": {"Period": 10, "Stat": "Sum",
            "Metric": {"Namespace": "N", "MetricName": name}}})
    };
    let rate = json!({"Id": "rate", "Expression": "100 * errors / calls", "Label": "errors in percent"});
    let alarm = json!({"AlarmName": "a", "EvaluationPeriods": 1, "Threshold": 5.0,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "Metrics": [rate, stat("errors", "E"), stat("calls", "C")]});
    world.ok("PutMetricAlarm", alarm).await;
    let datum = |name: &str, value: f64| json!({"MetricName": name, "Value": value, "StorageResolution": 1});
    world.ok("PutMetricData", json!({"Namespace": "N", "MetricData": [datum("E", 6.0), datum("C", 100.0)]})).await;
    world.pass(10).await;
    assert_eq!(world.state(), State::Alarm);
    let shown = world.ok("DescribeAlarms", json!({})).await;
    assert_eq!(
        shown["MetricAlarms"][0]["Metrics"][0],
        json!({"Id": "rate", "Expression": "100 * errors / calls",
        "Label": "errors in percent"})
    );
    assert!(shown["MetricAlarms"][0]["StateReason"].as_str().unwrap().contains("[6.0 (01/01/26 00:00:00)]"));
}

#[tokio::test]
async fn get_metric_data_pages_and_computes() {
    let world = World::new();
    for minute in 0..3 {
        let at = START_S + minute * 60 + 5;
        let datum = json!({"MetricName": "M", "Timestamp": at, "Values": [1.0, 3.0], "Counts": [2.0, 1.0]});
        world.ok("PutMetricData", json!({"Namespace": "N", "MetricData": [datum]})).await;
    }
    let stat = json!({"Period": 60, "Stat": "Sum", "Metric": {"Namespace": "N", "MetricName": "M"}});
    let queries = json!([{"Id": "m1", "MetricStat": stat, "Label": "sums"}, {"Id": "e1", "Expression": "m1*2"}]);
    let mut input = json!({"MetricDataQueries": queries, "StartTime": START_S + 7, "EndTime": START_S + 600,
        "ScanBy": "TimestampAscending", "MaxDatapoints": 4});
    let first = world.ok("GetMetricData", input.clone()).await;
    assert_eq!(
        first["MetricDataResults"],
        json!([
            {"Id": "m1", "Label": "sums", "Timestamps": [START_S as f64, (START_S + 60) as f64, (START_S + 120) as f64],
             "Values": [5.0, 5.0, 5.0], "StatusCode": "Complete"},
            {"Id": "e1", "Label": "e1", "Timestamps": [START_S as f64], "Values": [10.0], "StatusCode": "PartialData"},
        ])
    );
    input["NextToken"] = first["NextToken"].clone();
    let second = world.ok("GetMetricData", input.clone()).await;
    assert_eq!(second["MetricDataResults"][1]["Values"], json!([10.0, 10.0]));
    assert!(second.get("NextToken").is_none());
    input["NextToken"] = json!("zz");
    assert_eq!(world.refused("GetMetricData", input).await.1, "InvalidNextToken");
}

#[tokio::test]
async fn metrics_are_listed_by_what_they_are() {
    let world = World::new();
    let datum = |endpoint: &str| {
        let dimensions = json!([{"Name": "VariantName", "Value": "v"}, {"Name": "EndpointName", "Value": endpoint}]);
        json!({"MetricName": "M", "Value": 1.0, "Dimensions": dimensions})
    };
    world.ok("PutMetricData", json!({"Namespace": "N", "MetricData": [datum("e"), datum("f")]})).await;
    world.put(1.0).await;
    let count = |answer: Value| answer["Metrics"].as_array().unwrap().len();
    for (input, expected) in [
        (json!({}), 3),
        (json!({"Namespace": "O"}), 0),
        (json!({"MetricName": "M", "Dimensions": [{"Name": "EndpointName"}]}), 2),
        (json!({"Dimensions": [{"Name": "EndpointName", "Value": "e"}]}), 1),
    ] {
        assert_eq!(count(world.ok("ListMetrics", input.clone()).await), expected, "{input}");
    }
    world.now_s.fetch_add(4 * 3_600, Ordering::Relaxed);
    assert_eq!(count(world.ok("ListMetrics", json!({"RecentlyActive": "PT3H"})).await), 0);
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_the_codes_of_cloudwatch() {
    let world = World::new();
    let datum = |members: Value| {
        let mut datum = json!({"MetricName": "M"});
        members.as_object().unwrap().iter().for_each(|(name, member)| datum[name] = member.clone());
        json!({"Namespace": "N", "MetricData": [datum]})
    };
    let statistics = json!({"Namespace": "N", "MetricName": "M", "StartTime": 0, "EndTime": 86_400, "Period": 1,
        "Statistics": ["Sum"]});
    for (operation, input, code) in [
        (
            "PutMetricData",
            json!({"Namespace": "AWS/SageMaker", "MetricData": [{"MetricName": "M", "Value": 1}]}),
            "InvalidParameterValue",
        ),
        ("PutMetricData", json!({"Namespace": "N"}), "MissingParameter"),
        ("PutMetricData", json!({"MetricData": []}), "ValidationError"),
        ("PutMetricData", datum(json!({})), "MissingParameter"),
        ("PutMetricData", datum(json!({"Value": 1, "Values": [1]})), "InvalidParameterCombination"),
        ("PutMetricData", datum(json!({"Value": 1e300})), "InvalidParameterValue"),
        ("PutMetricData", datum(json!({"Value": 1, "Timestamp": START_S - 15 * 86_400})), "InvalidParameterValue"),
        ("PutMetricData", datum(json!({"Value": 1, "Timestamp": START_S + 3 * 3_600})), "InvalidParameterValue"),
        ("PutMetricData", datum(json!({"Value": 1, "StorageResolution": 5})), "InvalidParameterValue"),
        ("PutMetricData", datum(json!({"Value": 1, "Unit": "Miles"})), "ValidationError"),
        ("PutMetricData", datum(json!({"Values": [1, 2], "Counts": [1]})), "InvalidParameterValue"),
        ("PutMetricAlarm", alarm(&json!({"Threshold": null})), "MissingParameter"),
        ("PutMetricAlarm", alarm(&json!({"Period": 7})), "InvalidParameterValue"),
        ("PutMetricAlarm", alarm(&json!({"DatapointsToAlarm": 2})), "ValidationError"),
        ("PutMetricAlarm", alarm(&json!({"Period": 3_540, "EvaluationPeriods": 25})), "ValidationError"),
        ("PutMetricAlarm", alarm(&json!({"TreatMissingData": "maybe"})), "ValidationError"),
        ("PutMetricAlarm", alarm(&json!({"ExtendedStatistic": "p99"})), "InvalidParameterCombination"),
        ("PutMetricAlarm", alarm(&json!({"Statistic": null, "ExtendedStatistic": "tm99"})), "InvalidParameterValue"),
        ("PutMetricAlarm", alarm(&json!({"AlarmActions": ["mail"]})), "ValidationError"),
        ("PutMetricAlarm", alarm(&json!({"ComparisonOperator": "GreaterThanUpperThreshold"})), "ValidationError"),
        ("GetMetricStatistics", statistics, "InvalidParameterCombination"),
        ("DeleteAlarms", json!({"AlarmNames": ["nobody"]}), "ResourceNotFound"),
        ("ListTagsForResource", json!({"ResourceARN": "arn:aws:cloudwatch:r:a:alarm:x"}), "ResourceNotFoundException"),
        ("PutCompositeAlarm", json!({}), "UnknownOperationException"),
    ] {
        assert_eq!(world.refused(operation, input.clone()).await.1, code, "{operation} {input}");
    }
    let long = json!({"MetricDataQueries": [{"Id": "e1", "Expression": "1 + 1", "Period": 1}], "StartTime": 0, "EndTime": 86_400});
    assert!(world.refused("GetMetricData", long).await.2.contains("too many periods"));
    let queries = json!([{"Id": "e1", "Expression": "e2"}, {"Id": "e2", "Expression": "e1"}]);
    let circle = json!({"MetricDataQueries": queries, "StartTime": 0, "EndTime": 60});
    assert!(world.refused("GetMetricData", circle).await.2.contains("circle"));
}

#[tokio::test]
async fn a_region_that_is_none_gets_no_alarm() {
    let world = World::new();
    let target = format!("{TARGET_PREFIX}PutMetricAlarm");
    let body = alarm(&json!({})).to_string();
    let request = Request { path: "/", target: Some(&target), body: body.as_bytes(), ..Request::default() };
    assert_eq!(world.cloudwatch.answer(&request, "us:east/1").await.status, 400);
    assert_eq!(world.cloudwatch.alarm_state("a"), None);
}

#[tokio::test]
async fn alarms_have_a_limit() {
    let world = World::new();
    {
        let definition: captura_wire::cloudwatch::shapes::PutMetricAlarm =
            serde_json::from_value(alarm(&json!({}))).unwrap();
        let condition = alarms::Condition::of(&definition).unwrap();
        let mut book = lock(&world.cloudwatch.0.alarms);
        for number in 0..alarms::ALARMS_MAX {
            let mut one = definition.clone();
            one.alarm_name = format!("n{number}");
            book.put(one, condition.clone(), String::new(), Timestamp::from_unix_us(0));
        }
    }
    assert_eq!(world.refused("PutMetricAlarm", alarm(&json!({}))).await.1, "LimitExceeded");
    world.ok("PutMetricAlarm", alarm(&json!({"AlarmName": "n7"}))).await;
}

fn reading(calls: u64, errors: u64) -> Reading {
    let buckets = vec![(0, 100, 0), (100, 200, calls), (200, 400, 0)];
    Reading {
        endpoint: "e".into(),
        variant: "v".into(),
        high_resolution: true,
        instances: 2,
        invocations: calls,
        errors_4xx: errors,
        model_errors: errors,
        model_latency: Durations { sum_us: calls * 150, buckets: buckets.clone() },
        overhead_latency: Durations { sum_us: calls * 120, buckets },
        ..Reading::default()
    }
}

#[tokio::test]
async fn counters_of_endpoints_become_metrics_and_no_call_is_told_twice() {
    let world = World::new();
    let mut metrics = EndpointMetrics::new(world.cloudwatch.clone());
    let at = |second: i64| Timestamp::from_unix_us((START_S + second) * 1_000_000);
    metrics.publish(vec![reading(10, 1)], at(0));
    metrics.publish(vec![reading(10, 1)], at(1));
    metrics.publish(vec![reading(30, 3)], at(2));
    // The variant was made anew.
    metrics.publish(vec![reading(4, 0)], at(3));
    let value = |name: &str, statistic: &str| {
        let query = Query {
            metric: MetricId::new("AWS/SageMaker", name, dimensions("e", "v")),
            statistic: Statistic::of_name(statistic).unwrap(),
            period_s: 60,
            start: at(0),
            end: at(60),
        };
        world.cloudwatch.statistics(&query).first().map(|(_, value)| *value)
    };
    assert_eq!(value("Invocations", "Sum"), Some(34.0));
    assert_eq!(value("InvocationsPerInstance", "Sum"), Some(17.0));
    assert_eq!(
        (value("Invocation4XXErrors", "Sum"), value("Invocation4XXErrors", "SampleCount")),
        (Some(3.0), Some(34.0))
    );
    assert_eq!(value("Invocation5XXErrors", "Average"), Some(0.0));
    assert_eq!((value("ModelLatency", "Average"), value("OverheadLatency", "Sum")), (Some(150.0), Some(34.0 * 120.0)));
    let p99 = value("ModelLatency", "p99").unwrap();
    assert!((150.0..=200.0).contains(&p99), "{p99}");
    assert_eq!(value("Nothing", "Sum"), None);
}

#[tokio::test]
async fn instances_and_copies_have_dimensions_of_their_own_and_wait_for_their_turn() {
    let world = World::new();
    let mut metrics = EndpointMetrics::new(world.cloudwatch.clone());
    let at = |second: i64| Timestamp::from_unix_us((START_S + second) * 1_000_000);
    let of = |part: Part, calls: u64, waits: bool| Reading { part, waits, ..reading(calls, 0) };
    let instance = || Part::Instance("i-1".into());
    let copy = |id: &str, on: Option<&str>| Part::Copy("c".into(), id.into(), on.map(str::to_owned));
    metrics.publish(vec![of(instance(), 4, true), of(copy("c-1", None), 3, false)], at(0));
    let readings =
        vec![of(instance(), 10, false), of(copy("c-1", None), 3, false), of(copy("c-2", Some("i-1")), 2, false)];
    metrics.publish(readings, at(1));
    let sum = |name: &str, dimensions: &[(&str, &str)]| {
        let dimensions =
            dimensions.iter().map(|(name, value)| Dimension { name: (*name).into(), value: (*value).into() });
        let metric = MetricId::new("AWS/SageMaker", name, dimensions.collect());
        let statistic = Statistic::of_name("Sum").unwrap();
        let query = Query { metric, statistic, period_s: 60, start: at(0), end: at(60) };
        world.cloudwatch.statistics(&query).first().map(|(_, value)| *value)
    };
    let variant = [("EndpointName", "e"), ("VariantName", "v")];
    let with = |more: &[(&'static str, &'static str)]| [&variant, more].concat();
    assert_eq!(sum("Invocations", &with(&[("InstanceId", "i-1")])), Some(10.0), "what waited is told with the next");
    assert_eq!(sum("Invocations", &variant), None, "the parts are not told as the whole");
    assert_eq!(sum("Invocations", &[("InferenceComponentName", "c")]), Some(5.0));
    assert_eq!(sum("InvocationsPerCopy", &[("InferenceComponentName", "c")]), Some(2.5));
    let one = with(&[("InferenceComponentName", "c"), ("InstanceId", "i-1"), ("ContainerId", "c-2")]);
    assert_eq!((sum("Invocations", &one), sum("InvocationsPerCopy", &one)), (Some(2.0), None));
}
