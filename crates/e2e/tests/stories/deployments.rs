//! Traffic moves in steps while clients call without pause, and back when an alarm is raised. No call may fail.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use captura_e2e::captured;
use captura_e2e::connection::Connection;
use captura_e2e::deployment::{Deployment, accept, wait_in_service};
use captura_e2e::oracle::Oracle;
use captura_e2e::server::{Home, Server, wait_for};
use captura_e2e::traffic::{Callers, Seen, Traffic};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

/// An endpoint `busy` under load, and a configuration `next` beside its own, both with two instances.
struct Busy {
    home: Home,
    server: Server,
    seen: Arc<Seen>,
    traffic: Traffic,
}

impl Busy {
    fn begin() -> Self {
        let home = Home::default();
        let server = home.serve();
        Deployment::echo("busy").create(&server);
        let described = accept(&server, "DescribeEndpointConfig", &json!({"EndpointConfigName": "busy"}));
        let mut variants = described["ProductionVariants"].clone();
        variants[0]["InitialInstanceCount"] = json!(2);
        let next = json!({"EndpointConfigName": "next", "ProductionVariants": variants,
            "DataCaptureConfig": described["DataCaptureConfig"]});
        accept(&server, "CreateEndpointConfig", &next);
        let oracle = Arc::new(Oracle::create(&home.path().join("oracle.jsonl")));
        let seen = Arc::new(Seen::default());
        let callers = Callers { address: server.address(), endpoint: "busy".to_owned(), clients: 4, seed: 3 };
        let traffic = Traffic::start(&callers, &oracle, &seen);
        Self { home, server, seen, traffic }
    }

    fn update(&self, config: &Value) {
        let input = json!({"EndpointName": "busy", "EndpointConfigName": "next", "DeploymentConfig": config});
        accept(&self.server, "UpdateEndpoint", &input);
    }

    fn describe(&self) -> Value {
        accept(&self.server, "DescribeEndpoint", &json!({"EndpointName": "busy"}))
    }

    /// Waits until the variant that comes is baking.
    fn wait_baking(&self) {
        wait_for("a step that bakes", PATIENCE, || {
            let described = self.describe();
            let pending = &described["PendingDeploymentSummary"]["ProductionVariants"][0];
            (pending["VariantStatus"][0]["Status"] == "Baking").then_some(())
        });
    }

    /// Ends the load, and tells how many calls each configuration answered. No call may have failed.
    fn end(self) -> (u64, u64) {
        self.traffic.finish();
        assert_eq!(self.seen.refused.load(Ordering::Relaxed), 0, "{}", self.home.log());
        assert_eq!(self.seen.unacknowledged.load(Ordering::Relaxed), 0);
        self.server.stop();
        let (mut old, mut new) = (0, 0);
        captured::each(&self.home.bucket("captures"), |one| match one.json["captura"]["endpointConfigName"].as_str() {
            Some("next") => new += 1,
            _ => old += 1,
        });
        assert_eq!(old + new, self.seen.acknowledged.load(Ordering::Relaxed));
        (old, new)
    }
}

fn cloudwatch(server: &Server, operation: &str, input: &Value) {
    let mut connection = Connection::open(server.address()).expect("the server listens");
    let target = format!("GraniteServiceVersion20100801.{operation}");
    let headers = [("content-type", "application/x-amz-json-1.0"), ("x-amz-target", target.as_str())];
    let reply = connection.post("/", &headers, input.to_string().as_bytes()).expect("CloudWatch answers");
    assert_eq!(reply.status, 200, "{operation}: {}", reply.text());
}

fn set_alarm(server: &Server, state: &str) {
    cloudwatch(server, "SetAlarmState", &json!({"AlarmName": "errors", "StateValue": state, "StateReason": "a drill"}));
}

fn canary(wait_s: u64) -> Value {
    let size = json!({"Type": "CAPACITY_PERCENT", "Value": 20});
    let routing = json!({"Type": "CANARY", "WaitIntervalInSeconds": wait_s, "CanarySize": size});
    json!({"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": 1}})
}

#[test]
fn a_canary_under_load_fails_no_call() {
    let busy = Busy::begin();
    busy.update(&canary(2));
    busy.wait_baking();
    wait_in_service(&busy.server, "busy");
    assert_eq!(busy.describe()["EndpointConfigName"], "next");
    let (old, new) = busy.end();
    assert!(old > 0 && new > 0, "{old} calls went to the old fleet, {new} to the new one");
}

#[test]
fn a_rolling_update_under_load_fails_no_call() {
    let busy = Busy::begin();
    let batch = json!({"Type": "INSTANCE_COUNT", "Value": 1});
    busy.update(&json!({"RollingUpdatePolicy": {"MaximumBatchSize": batch, "WaitIntervalInSeconds": 1}}));
    busy.wait_baking();
    wait_in_service(&busy.server, "busy");
    assert_eq!(busy.describe()["EndpointConfigName"], "next");
    let (old, new) = busy.end();
    assert!(old > 0 && new > 0, "{old} calls went to the old fleet, {new} to the new one");
}

#[test]
fn an_alarm_turns_a_canary_back_under_load_and_no_call_fails() {
    let busy = Busy::begin();
    cloudwatch(
        &busy.server,
        "PutMetricAlarm",
        &json!({"AlarmName": "errors", "Namespace": "Story", "MetricName": "Errors", "Statistic": "Sum", "Period": 60,
            "EvaluationPeriods": 1, "Threshold": 1, "ComparisonOperator": "GreaterThanThreshold"}),
    );
    set_alarm(&busy.server, "OK");
    let mut config = canary(600);
    config["AutoRollbackConfiguration"] = json!({"Alarms": [{"AlarmName": "errors"}]});
    busy.update(&config);
    busy.wait_baking();
    set_alarm(&busy.server, "ALARM");
    wait_in_service(&busy.server, "busy");
    let described = busy.describe();
    assert_eq!(described["EndpointConfigName"], "busy");
    let reason = described["FailureReason"].as_str().unwrap();
    assert!(reason.contains("these alarms are in state ALARM: errors"), "{reason}");
    let (old, new) = busy.end();
    assert!(old > new, "{old} calls went to the old fleet, {new} to the new one");
}

#[test]
fn a_canary_goes_on_after_a_kill() {
    let home = Home::default();
    let server = home.serve();
    Deployment::echo("busy").create(&server);
    let described = accept(&server, "DescribeEndpointConfig", &json!({"EndpointConfigName": "busy"}));
    let next = json!({"EndpointConfigName": "next", "ProductionVariants": described["ProductionVariants"]});
    accept(&server, "CreateEndpointConfig", &next);
    let input = json!({"EndpointName": "busy", "EndpointConfigName": "next", "DeploymentConfig": canary(3)});
    accept(&server, "UpdateEndpoint", &input);
    let baking = |server: &Server| {
        let described = accept(server, "DescribeEndpoint", &json!({"EndpointName": "busy"}));
        let pending = &described["PendingDeploymentSummary"]["ProductionVariants"][0];
        (pending["VariantStatus"][0]["Status"] == "Baking").then_some(())
    };
    wait_for("a step that bakes", PATIENCE, || baking(&server));
    server.kill();
    let server = home.serve();
    assert_eq!(accept(&server, "DescribeEndpoint", &json!({"EndpointName": "busy"}))["EndpointStatus"], "Updating");
    wait_in_service(&server, "busy");
    let described = accept(&server, "DescribeEndpoint", &json!({"EndpointName": "busy"}));
    assert_eq!((&described["EndpointConfigName"], described.get("FailureReason")), (&json!("next"), None));
}
