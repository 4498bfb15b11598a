//! Traffic that moves in steps, and back.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::{House, arn};
use crate::AlarmState;

/// An endpoint of that image in service, and a configuration `next` of the same, both with four instances.
async fn in_service(image: &str) -> House {
    let house = House::still();
    for (name, version) in [("E", "1"), ("next", "2")] {
        let model = json!({"ModelName": name, "PrimaryContainer": {"Image": format!("{image}:{version}")}});
        house.ok("CreateModel", model).await;
        let variant = json!({"VariantName": "v", "ModelName": name, "InitialInstanceCount": 4});
        house.ok("CreateEndpointConfig", json!({"EndpointConfigName": name, "ProductionVariants": [variant]})).await;
    }
    house.ok("CreateEndpoint", json!({"EndpointName": "E", "EndpointConfigName": "E"})).await;
    house.settle().await;
    house.set_alarm("errors", AlarmState::Ok);
    house
}

fn blue_green(routing: &Value) -> Value {
    json!({"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": 60}})
}

fn canary() -> Value {
    let size = json!({"Type": "CAPACITY_PERCENT", "Value": 10});
    let mut config = blue_green(&json!({"Type": "CANARY", "WaitIntervalInSeconds": 30, "CanarySize": size}));
    config["AutoRollbackConfiguration"] = json!({"Alarms": [{"AlarmName": "errors"}]});
    config
}

fn linear() -> Value {
    let size = json!({"Type": "INSTANCE_COUNT", "Value": 2});
    blue_green(&json!({"Type": "LINEAR", "WaitIntervalInSeconds": 30, "LinearStepSize": size}))
}

fn rolling() -> Value {
    let batch = json!({"Type": "CAPACITY_PERCENT", "Value": 50});
    let back = json!({"Type": "INSTANCE_COUNT", "Value": 1});
    json!({"RollingUpdatePolicy": {"MaximumBatchSize": batch, "WaitIntervalInSeconds": 30,
        "RollbackMaximumBatchSize": back}, "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}]}})
}

async fn update(house: &House, config: &Value) {
    let input = json!({"EndpointName": "E", "EndpointConfigName": "next", "DeploymentConfig": config});
    house.ok("UpdateEndpoint", input).await;
    // One pass begins to load, and the next finds it loaded.
    house.pass().await;
    house.control.inner.nudge.notified().await;
    while house.served("E").unwrap().fleets.len() == 1 && house.status("E").await == "Updating" {
        house.pass().await;
        tokio::task::yield_now().await;
    }
}

/// Shares of the fleets in the table, per cent.
fn shares(house: &House) -> Vec<i64> {
    house.served("E").unwrap().fleets.iter().map(|fleet| (fleet.weight * 100.0).round() as i64).collect()
}

/// What happens to the variant that comes.
async fn arriving(house: &House) -> (String, String) {
    let described = house.describe("E").await;
    let status = &described["PendingDeploymentSummary"]["ProductionVariants"][0]["VariantStatus"][0];
    let text = |member: &str| status[member].as_str().unwrap_or_default().to_owned();
    (text("Status"), text("StatusMessage"))
}

fn said(status: &str, message: &str) -> (String, String) {
    (status.to_owned(), message.to_owned())
}

#[tokio::test]
async fn a_canary_gets_its_share_then_everything_and_then_the_old_fleet_goes() {
    let house = in_service("echo").await;
    update(&house, &canary()).await;
    assert_eq!(shares(&house), [90, 10]);
    let updating = house.describe("E").await;
    assert_eq!((&updating["EndpointStatus"], &updating["EndpointConfigName"]), (&json!("Updating"), &json!("E")));
    assert_eq!(updating["PendingDeploymentSummary"]["EndpointConfigName"], "next");
    let message =
        "Baking for 30 seconds (WaitIntervalInSeconds) with traffic enabled on canary capacity of 1 instance(s).";
    assert_eq!(arriving(&house).await, said("Baking", message));

    house.wait(29);
    house.pass().await;
    assert_eq!(shares(&house), [90, 10], "one second is left");
    house.wait(1);
    house.pass().await;
    assert_eq!(shares(&house), [0, 100]);
    let message =
        "Baking for 60 seconds (TerminationWaitInSeconds) with traffic enabled on full capacity of 4 instance(s).";
    assert_eq!(arriving(&house).await, said("Baking", message));

    house.wait(60);
    house.pass().await;
    assert_eq!(shares(&house), [100]);
    let updated = house.describe("E").await;
    assert_eq!((&updated["EndpointStatus"], &updated["EndpointConfigName"]), (&json!("InService"), &json!("next")));
    assert_eq!((updated.get("FailureReason"), updated.get("PendingDeploymentSummary")), (None, None));
    assert_eq!(updated["LastDeploymentConfig"], canary());
    assert_eq!(house.answer_of("E").await, "echo:2");
}

#[tokio::test]
async fn an_alarm_turns_traffic_back_in_every_step() {
    for steps in [0, 1] {
        let house = in_service("echo").await;
        update(&house, &canary()).await;
        for _ in 0..steps {
            house.wait(30);
            house.pass().await;
        }
        house.set_alarm("errors", AlarmState::InsufficientData);
        house.pass().await;
        assert_eq!(house.status("E").await, "Updating", "nothing is known against it");
        house.set_alarm("errors", AlarmState::Alarm);
        house.pass().await;
        assert_eq!(shares(&house), [100]);
        assert_eq!(house.answer_of("E").await, "echo:1");
        let described = house.describe("E").await;
        assert_eq!(
            (&described["EndpointStatus"], &described["EndpointConfigName"]),
            (&json!("InService"), &json!("E"))
        );
        assert_eq!(
            described["FailureReason"],
            "The deployment of endpoint configuration next was rolled back because these alarms are in state ALARM: \
             errors. The endpoint goes on with E."
        );
        assert_eq!(described["LastDeploymentConfig"], canary());
        assert_eq!(described.get("PendingDeploymentSummary"), None);
    }
}

#[tokio::test]
async fn an_alarm_that_is_raised_already_lets_no_traffic_through() {
    let house = in_service("echo").await;
    house.set_alarm("errors", AlarmState::Alarm);
    update(&house, &canary()).await;
    assert_eq!((house.status("E").await.as_str(), shares(&house)), ("InService", vec![100]));
    assert_eq!(house.answer_of("E").await, "echo:1");
}

#[tokio::test]
async fn all_at_once_keeps_the_old_fleet_until_the_wait_is_over() {
    let house = in_service("echo").await;
    let mut config = blue_green(&json!({"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}));
    config["AutoRollbackConfiguration"] = json!({"Alarms": [{"AlarmName": "errors"}]});
    update(&house, &config).await;
    assert_eq!(shares(&house), [0, 100]);
    house.wait(59);
    house.set_alarm("errors", AlarmState::Alarm);
    house.pass().await;
    assert_eq!((house.status("E").await.as_str(), house.answer_of("E").await.as_str()), ("InService", "echo:1"));
}

#[tokio::test]
async fn linear_steps_follow_one_another() {
    let house = in_service("echo").await;
    update(&house, &linear()).await;
    assert_eq!(shares(&house), [50, 50]);
    let message =
        "Baking for 30 seconds (WaitIntervalInSeconds) with traffic enabled on step capacity of 2 instance(s).";
    assert_eq!(arriving(&house).await, said("Baking", message));
    house.wait(30);
    house.pass().await;
    assert_eq!(shares(&house), [0, 100]);
    house.wait(60);
    house.pass().await;
    assert_eq!(house.describe("E").await["EndpointConfigName"], "next");
}

fn up(house: &House) -> Vec<usize> {
    house.served("E").unwrap().fleets.iter().map(|fleet| fleet.variants[0].backend.instances()).collect()
}

#[tokio::test]
async fn a_rolling_update_replaces_instances_batch_by_batch() {
    let house = in_service("many").await;
    assert_eq!(up(&house), [4]);
    update(&house, &rolling()).await;
    assert_eq!((shares(&house), up(&house)), (vec![50, 50], vec![4, 2]));
    let message =
        "Baking for 30 seconds (WaitIntervalInSeconds) with traffic enabled on batch capacity of 2 instance(s).";
    assert_eq!(arriving(&house).await, said("Baking", message));
    // The second batch does not start at once, and the old instances that it replaces are gone already.
    house.strings.instances_max.store(2, Ordering::SeqCst);
    house.wait(30);
    house.pass().await;
    assert_eq!((shares(&house), up(&house)), (vec![50, 50], vec![2, 2]));
    assert_eq!(arriving(&house).await, said("Creating", "Launching 4 instance(s)."));
    let described = house.describe("E").await;
    let leaving = &described["ProductionVariants"][0];
    assert_eq!((&leaving["CurrentInstanceCount"], &leaving["DesiredInstanceCount"]), (&json!(2), &json!(4)));
    assert_eq!(leaving["VariantStatus"][0]["StatusMessage"], "Terminating 2 instance(s).");
    house.strings.instances_max.store(usize::MAX, Ordering::SeqCst);
    house.pass().await;
    assert_eq!((shares(&house), up(&house)), (vec![0, 100], vec![2, 4]));
    house.wait(30);
    house.pass().await;
    assert_eq!((house.status("E").await.as_str(), up(&house)), ("InService", vec![4]));
    assert_eq!(house.answer_of("E").await, "many:2");
}

/// An alarm after the first batch, when two of the four old instances are gone.
async fn turned_back_half_way() -> House {
    let house = in_service("many").await;
    update(&house, &rolling()).await;
    house.wait(30);
    house.pass().await;
    assert_eq!((shares(&house), up(&house)), (vec![0, 100], vec![2, 4]));
    house.strings.instances_max.store(2, Ordering::SeqCst);
    house.set_alarm("errors", AlarmState::Alarm);
    house.pass().await;
    house
}

#[tokio::test]
async fn a_rolling_update_goes_back_as_the_old_instances_come_back() {
    let house = turned_back_half_way().await;
    assert_eq!((house.status("E").await.as_str(), shares(&house)), ("Updating", vec![50, 50]));
    assert_eq!(arriving(&house).await, said("Deleting", "Terminating 4 instance(s)."));
    house.strings.instances_max.store(3, Ordering::SeqCst);
    house.pass().await;
    house.pass().await;
    assert_eq!(shares(&house), [75, 25]);
    // The alarm is over, but the way back is not given up.
    house.set_alarm("errors", AlarmState::Ok);
    house.strings.instances_max.store(4, Ordering::SeqCst);
    house.pass().await;
    house.pass().await;
    let described = house.describe("E").await;
    assert_eq!((&described["EndpointStatus"], &described["EndpointConfigName"]), (&json!("InService"), &json!("E")));
    assert!(described["FailureReason"].as_str().unwrap().contains("these alarms are in state ALARM: errors"));
    assert_eq!(up(&house), [4]);
}

#[tokio::test]
async fn a_way_back_that_cannot_be_gone_is_said_and_an_update_leads_out() {
    let house = turned_back_half_way().await;
    house.wait(600);
    house.pass().await;
    let described = house.describe("E").await;
    assert_eq!(described["EndpointStatus"], "UpdateRollbackFailed");
    assert!(
        described["FailureReason"]
            .as_str()
            .unwrap()
            .ends_with("But its instances did not start again in time. Variant v: the machine is full")
    );
    assert_eq!(shares(&house), [50, 50], "what serves goes on serving");
    house.strings.instances_max.store(usize::MAX, Ordering::SeqCst);
    house.ok("UpdateEndpoint", json!({"EndpointName": "E", "EndpointConfigName": "next"})).await;
    house.settle().await;
    let described = house.describe("E").await;
    assert_eq!((&described["EndpointStatus"], &described["EndpointConfigName"]), (&json!("InService"), &json!("next")));
    assert_eq!(described.get("FailureReason"), None);
    assert_eq!(shares(&house), [100]);
}

#[tokio::test]
async fn what_takes_longer_than_it_may_goes_back() {
    let mut slow = canary();
    slow["BlueGreenUpdatePolicy"]["MaximumExecutionTimeoutInSeconds"] = json!(600);
    // While the new model loads,
    let house = in_service("echo").await;
    house.config("gate", "gated").await;
    let input = json!({"EndpointName": "E", "EndpointConfigName": "gate", "DeploymentConfig": slow});
    house.ok("UpdateEndpoint", input).await;
    house.pass().await;
    house.wait(599);
    house.pass().await;
    assert_eq!(house.status("E").await, "Updating");
    house.wait(1);
    house.pass().await;
    let reason = house.describe("E").await["FailureReason"].as_str().unwrap().to_owned();
    assert!(reason.contains("it took longer than 600 seconds (MaximumExecutionTimeoutInSeconds)"), "{reason}");
    // and while traffic has moved.
    let house = in_service("echo").await;
    update(&house, &slow).await;
    house.wait(600);
    house.pass().await;
    assert_eq!((house.status("E").await.as_str(), house.answer_of("E").await.as_str()), ("InService", "echo:1"));
}

#[tokio::test]
async fn a_new_fleet_that_cannot_load_leaves_the_old_one_alone() {
    let house = in_service("echo").await;
    let before = house.served("E").unwrap();
    house.config("bad", "broken").await;
    let input = json!({"EndpointName": "E", "EndpointConfigName": "bad", "DeploymentConfig": canary()});
    house.ok("UpdateEndpoint", input).await;
    house.settle().await;
    let described = house.describe("E").await;
    assert_eq!((&described["EndpointStatus"], &described["EndpointConfigName"]), (&json!("InService"), &json!("E")));
    assert!(
        described["FailureReason"].as_str().unwrap().starts_with("The update to endpoint configuration bad failed")
    );
    assert_eq!(before.fleets.len(), house.served("E").unwrap().fleets.len());
}

#[tokio::test]
async fn a_fleet_whose_instances_do_not_start_is_given_up() {
    let house = in_service("many").await;
    house.strings.instances_max.store(1, Ordering::SeqCst);
    let input = json!({"EndpointName": "E", "EndpointConfigName": "next", "DeploymentConfig": linear()});
    house.ok("UpdateEndpoint", input).await;
    for _ in 0..100 {
        house.pass().await;
        tokio::task::yield_now().await;
    }
    assert_eq!((house.status("E").await.as_str(), shares(&house)), ("Updating", vec![100]));
    house.wait(600);
    house.pass().await;
    let reason = house.describe("E").await["FailureReason"].as_str().unwrap().to_owned();
    assert!(reason.contains("its instances did not start in time"), "{reason}");
}

#[tokio::test]
async fn during_baking_nothing_else_can_be_asked_for() {
    let house = in_service("echo").await;
    update(&house, &canary()).await;
    let text = format!("Cannot update in-progress endpoint \"{}\".", arn("endpoint/E"));
    let weights = json!([{"VariantName": "v", "DesiredWeight": 1}]);
    for (operation, input) in [
        ("DeleteEndpoint", json!({"EndpointName": "E"})),
        ("UpdateEndpoint", json!({"EndpointName": "E", "EndpointConfigName": "E"})),
        ("UpdateEndpointWeightsAndCapacities", json!({"EndpointName": "E", "DesiredWeightsAndCapacities": weights})),
    ] {
        assert_eq!(house.refused(operation, input).await, text, "{operation}");
    }
}

#[tokio::test]
async fn a_restart_in_the_middle_goes_on_with_the_step_and_its_time() {
    let house = in_service("echo").await;
    update(&house, &canary()).await;
    house.wait(20);
    let again = house.after_a_kill();
    again.control.recover().await.unwrap();
    assert!(again.served("E").is_some(), "the old model serves");
    while again.served("E").unwrap().fleets.len() == 1 {
        again.pass().await;
        tokio::task::yield_now().await;
    }
    assert_eq!(shares(&again), [90, 10]);
    again.wait(9);
    again.pass().await;
    assert_eq!(shares(&again), [90, 10]);
    again.wait(1);
    again.pass().await;
    assert_eq!(shares(&again), [0, 100]);
    again.wait(60);
    again.pass().await;
    assert_eq!(again.describe("E").await["EndpointConfigName"], "next");
}

#[tokio::test]
async fn an_alarm_that_was_raised_while_nobody_looked_turns_traffic_back_after_a_restart() {
    let house = in_service("echo").await;
    update(&house, &canary()).await;
    house.set_alarm("errors", AlarmState::Alarm);
    let again = house.after_a_kill();
    again.control.recover().await.unwrap();
    again.settle().await;
    let described = again.describe("E").await;
    assert_eq!((&described["EndpointStatus"], &described["EndpointConfigName"]), (&json!("InService"), &json!("E")));
    assert!(described["FailureReason"].as_str().unwrap().contains("errors"));
    assert_eq!(again.answer_of("E").await, "echo:1");
}

#[tokio::test]
async fn a_way_back_goes_on_after_a_restart() {
    let house = turned_back_half_way().await;
    house.set_alarm("errors", AlarmState::Ok);
    let again = house.after_a_kill();
    again.control.recover().await.unwrap();
    again.settle().await;
    let described = again.describe("E").await;
    assert_eq!((&described["EndpointStatus"], &described["EndpointConfigName"]), (&json!("InService"), &json!("E")));
    assert!(described["FailureReason"].as_str().unwrap().contains("errors"));
}

#[tokio::test]
async fn every_call_finds_a_model_while_traffic_moves() {
    let house = in_service("echo").await;
    let mut table = house.table.clone();
    let name = captura_names::EndpointName::parse("E").unwrap();
    let watcher = tokio::spawn(async move {
        let mut seen = 0;
        while table.changed().await.is_ok() {
            let endpoint = table.borrow_and_update().endpoint(&name).cloned().expect("the table has the endpoint");
            for throw in 0..10 {
                endpoint.pick(None, f64::from(throw) / 10.0).expect("a variant for the call");
            }
            seen += 1;
        }
        seen
    });
    for config in [canary(), linear(), rolling()] {
        update(&house, &config).await;
        for _ in 0..5 {
            house.wait(60);
            house.pass().await;
            tokio::task::yield_now().await;
        }
        assert_eq!(house.status("E").await, "InService");
    }
    drop(house);
    assert!(watcher.await.unwrap() > 3);
}

#[tokio::test]
async fn rules_of_deployments_are_said_in_words() {
    let house = in_service("echo").await;
    let routing = |kind: &str, member: &str, size: Value| {
        blue_green(&json!({"Type": kind, "WaitIntervalInSeconds": 1, member: size}))
    };
    let percent = |value: i64| json!({"Type": "CAPACITY_PERCENT", "Value": value});
    let count = |value: i64| json!({"Type": "INSTANCE_COUNT", "Value": value});
    let batch = |size: Value| json!({"RollingUpdatePolicy": {"MaximumBatchSize": size, "WaitIntervalInSeconds": 1}});
    let at = "deploymentConfig.blueGreenUpdatePolicy.trafficRoutingConfiguration";
    let mut short = canary();
    short["BlueGreenUpdatePolicy"]["TerminationWaitInSeconds"] = json!(3_600);
    short["BlueGreenUpdatePolicy"]["MaximumExecutionTimeoutInSeconds"] = json!(3_600);
    let mut both = canary();
    both["RollingUpdatePolicy"] = rolling()["RollingUpdatePolicy"].clone();
    let nobody = json!({"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "nobody"}, {"AlarmName": "errors"}]}});
    for (config, text) in [
        (routing("CANARY", "CanarySize", percent(51)), format!("'{at}.canarySize' is 51 per cent of the capacity; between 1 and 50 per cent are allowed.")),
        (routing("CANARY", "CanarySize", count(3)), format!("'{at}.canarySize' is 3 instance(s) of the 4 of variant v; between 1 and 50 per cent of the capacity are allowed.")),
        (routing("LINEAR", "LinearStepSize", percent(9)), format!("'{at}.linearStepSize' is 9 per cent of the capacity; between 10 and 50 per cent are allowed.")),
        (routing("CANARY", "LinearStepSize", percent(10)), format!("'{at}.linearStepSize' does not belong to traffic that moves CANARY. Leave it out.")),
        (routing("ALL_AT_ONCE", "CanarySize", percent(10)), format!("'{at}.canarySize' does not belong to traffic that moves ALL_AT_ONCE. Leave it out.")),
        (blue_green(&json!({"Type": "LINEAR", "WaitIntervalInSeconds": 1})), format!("Traffic that moves LINEAR needs '{at}.linearStepSize'.")),
        (batch(percent(4)), "'deploymentConfig.rollingUpdatePolicy.maximumBatchSize' is 4 per cent of the capacity; between 5 and 50 per cent are allowed.".to_owned()),
        (batch(count(3)), "'deploymentConfig.rollingUpdatePolicy.maximumBatchSize' is 3 instance(s) of the 4 of variant v; between 5 and 50 per cent of the capacity are allowed.".to_owned()),
        (short, "MaximumExecutionTimeoutInSeconds is 3600, but the waits of this deployment alone take 3630 seconds.".to_owned()),
        (both, "Give either 'deploymentConfig.blueGreenUpdatePolicy' or 'deploymentConfig.rollingUpdatePolicy', not both.".to_owned()),
        (nobody, "'deploymentConfig.autoRollbackConfiguration.alarms' names alarms that do not exist: nobody. Create them first, e.g. with PutMetricAlarm.".to_owned()),
    ] {
        let input = json!({"EndpointName": "E", "EndpointConfigName": "next", "DeploymentConfig": config});
        assert_eq!(house.refused("UpdateEndpoint", input).await, text);
        let input = json!({"EndpointName": "F", "EndpointConfigName": "next", "DeploymentConfig": config});
        assert_eq!(house.refused("CreateEndpoint", input).await, text);
    }
    assert_eq!(house.status("E").await, "InService");
}

#[tokio::test]
async fn a_deployment_configuration_is_kept_on_request_and_then_obeyed() {
    let house = in_service("echo").await;
    update(&house, &linear()).await;
    house.wait(30);
    house.pass().await;
    house.wait(60);
    house.pass().await;
    assert_eq!(house.status("E").await, "InService");
    let input = json!({"EndpointName": "E", "EndpointConfigName": "E", "RetainDeploymentConfig": true});
    house.ok("UpdateEndpoint", input).await;
    while house.served("E").unwrap().fleets.len() == 1 {
        house.pass().await;
        tokio::task::yield_now().await;
    }
    assert_eq!(shares(&house), [50, 50]);
    assert!(Arc::strong_count(&house.served("E").unwrap()) > 0);
}
