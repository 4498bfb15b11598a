//! Copies of inference components that are replaced batch by batch, and back.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::House;
use super::components::{answer, component, describe, served, settle, shared, status};
use crate::AlarmState;

/// A component `c` with four copies of `many:1` in service.
async fn in_service() -> House {
    let house = House::still();
    shared(&house).await;
    house.ok("CreateInferenceComponent", component("c", "many:1", 4)).await;
    settle(&house).await;
    house.set_alarm("errors", AlarmState::Ok);
    house
}

fn rolling() -> Value {
    let size = |count: u32| json!({"Type": "COPY_COUNT", "Value": count});
    json!({"RollingUpdatePolicy": {"MaximumBatchSize": size(2), "WaitIntervalInSeconds": 30,
        "MaximumExecutionTimeoutInSeconds": 600, "RollbackMaximumBatchSize": size(1)},
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}]}})
}

fn update_to(image: &str, config: &Value) -> Value {
    json!({"InferenceComponentName": "c", "Specification": component("c", image, 4)["Specification"],
        "DeploymentConfig": config})
}

async fn pass(house: &House) {
    house.control.inner.components.reconcile().await.expect("our bug: the catalog works");
}

/// Share in per cent and copies that are up, of each model in the table.
fn standing(house: &House) -> Vec<(i64, usize)> {
    let endpoint = house.served("Shared").unwrap();
    let each = endpoint.components.iter().map(|one| ((one.weight * 100.0).round() as i64, one.backend.instances()));
    each.collect()
}

/// Begins an update and takes it to where its first batch has calls, or to its end.
async fn update(house: &House, image: &str) {
    house.ok("UpdateInferenceComponent", update_to(image, &rolling())).await;
    until_two_stand(house).await;
}

async fn until_two_stand(house: &House) {
    while standing(house).len() < 2 && status(house, "c").await == "Updating" {
        pass(house).await;
        tokio::task::yield_now().await;
    }
}

async fn later(house: &House, seconds: i64) {
    house.wait(seconds);
    pass(house).await;
}

fn image(told: &Value) -> &Value {
    &told["Specification"]["Container"]["DeployedImage"]["SpecifiedImage"]
}

#[tokio::test]
async fn copies_are_replaced_batch_by_batch_with_a_wait_after_each() {
    let house = in_service().await;
    update(&house, "many:2").await;
    assert_eq!(standing(&house), [(50, 4), (50, 2)]);
    let told = describe(&house, "c").await;
    assert_eq!(told["InferenceComponentStatus"], "Updating");
    assert_eq!(told["RuntimeConfig"], json!({"DesiredCopyCount": 4, "CurrentCopyCount": 6}));
    later(&house, 29).await;
    assert_eq!(standing(&house), [(50, 4), (50, 2)], "one second is left");
    later(&house, 1).await;
    assert_eq!(standing(&house), [(0, 2), (100, 4)], "the first batch of old copies is gone");
    assert_eq!(status(&house, "c").await, "Updating");
    later(&house, 30).await;
    assert_eq!(standing(&house), [(100, 4)]);
    let told = describe(&house, "c").await;
    assert_eq!((&told["InferenceComponentStatus"], image(&told)), (&json!("InService"), &json!("many:2")));
    assert_eq!((told.get("FailureReason"), &told["LastDeploymentConfig"]), (None, &rolling()));
    assert_eq!(told["RuntimeConfig"], json!({"DesiredCopyCount": 4, "CurrentCopyCount": 4}));
    assert_eq!(answer(&served(&house, "c").unwrap()).await.unwrap(), "many:2");
    pass(&house).await;
    assert_eq!(house.strings.loads.load(Ordering::SeqCst), 2, "each model is loaded once");
}

#[tokio::test]
async fn an_alarm_brings_the_old_copies_back_in_batches_of_their_own() {
    for steps in [0, 1] {
        let house = in_service().await;
        update(&house, "many:2").await;
        for _ in 0..steps {
            later(&house, 30).await;
        }
        house.set_alarm("errors", AlarmState::Alarm);
        pass(&house).await;
        if steps == 1 {
            assert_eq!(standing(&house), [(75, 3), (25, 4)], "one more of the old ones");
            assert_eq!(status(&house, "c").await, "Updating");
            // The reason stands, whatever becomes of the alarm.
            house.set_alarm("errors", AlarmState::Ok);
            pass(&house).await;
        }
        assert_eq!(standing(&house), [(100, 4)]);
        let told = describe(&house, "c").await;
        assert_eq!((&told["InferenceComponentStatus"], image(&told)), (&json!("InService"), &json!("many:1")));
        assert_eq!(
            told["FailureReason"],
            "The update was rolled back because these alarms are in state ALARM: errors. The component goes on with the \
             model of before."
        );
        assert_eq!(told["LastDeploymentConfig"], rolling());
        assert_eq!(answer(&served(&house, "c").unwrap()).await.unwrap(), "many:1");
    }
}

#[tokio::test]
async fn a_new_model_that_cannot_be_loaded_leaves_the_old_copies_and_what_was_said_of_them() {
    let house = in_service().await;
    update(&house, "broken").await;
    let told = describe(&house, "c").await;
    assert_eq!((&told["InferenceComponentStatus"], image(&told)), (&json!("InService"), &json!("many:1")));
    assert!(told["FailureReason"].as_str().unwrap().contains("the model is broken"), "{told}");
    assert_eq!(standing(&house), [(100, 4)]);
}

#[tokio::test]
async fn an_update_that_takes_too_long_goes_back() {
    let house = in_service().await;
    update(&house, "many:2").await;
    house.strings.instances_max.store(2, Ordering::SeqCst);
    later(&house, 30).await;
    assert_eq!(standing(&house), [(50, 2), (50, 2)], "the second batch does not start");
    house.strings.instances_max.store(usize::MAX, Ordering::SeqCst);
    house.wait(570);
    while status(&house, "c").await == "Updating" {
        pass(&house).await;
    }
    let told = describe(&house, "c").await;
    let reason = "The update was rolled back because it took longer than 600 seconds (MaximumExecutionTimeoutInSeconds). \
                  The component goes on with the model of before.";
    assert_eq!((&told["InferenceComponentStatus"], &told["FailureReason"]), (&json!("InService"), &json!(reason)));
    assert_eq!(answer(&served(&house, "c").unwrap()).await.unwrap(), "many:1");
}

#[tokio::test]
async fn old_copies_that_do_not_come_back_in_time_make_it_fail_and_the_rest_serves_on() {
    let house = in_service().await;
    update(&house, "many:2").await;
    later(&house, 30).await;
    house.strings.instances_max.store(2, Ordering::SeqCst);
    house.set_alarm("errors", AlarmState::Alarm);
    pass(&house).await;
    later(&house, 600).await;
    let told = describe(&house, "c").await;
    assert_eq!(told["InferenceComponentStatus"], "Failed");
    let reason = told["FailureReason"].as_str().unwrap();
    assert!(reason.ends_with("But its copies did not start again in time. the machine is full"), "{reason}");
    assert_eq!(answer(&served(&house, "c").unwrap()).await.unwrap(), "many:1");
}

#[tokio::test]
async fn an_update_goes_on_where_it_was_after_a_kill() {
    let house = in_service().await;
    update(&house, "many:2").await;
    let house = house.after_a_kill();
    house.control.recover().await.unwrap();
    until_two_stand(&house).await;
    assert_eq!(standing(&house), [(50, 4), (50, 2)]);
    later(&house, 30).await;
    let house = house.after_a_kill();
    house.control.recover().await.unwrap();
    until_two_stand(&house).await;
    assert_eq!(standing(&house), [(0, 2), (100, 4)]);
    later(&house, 30).await;
    assert_eq!(standing(&house), [(100, 4)]);
    assert_eq!(describe(&house, "c").await["InferenceComponentStatus"], "InService");
    assert_eq!(answer(&served(&house, "c").unwrap()).await.unwrap(), "many:2");
}

#[tokio::test]
async fn batches_of_more_than_half_and_alarms_that_do_not_exist_are_refused() {
    let house = in_service().await;
    let mut large = rolling();
    large["RollingUpdatePolicy"]["MaximumBatchSize"]["Value"] = json!(3);
    assert_eq!(
        house.refused("UpdateInferenceComponent", update_to("many:2", &large)).await,
        "'deploymentConfig.rollingUpdatePolicy.maximumBatchSize' is 3 copies of the 4; between 5 and 50 per cent of the \
         capacity are allowed."
    );
    let mut alarm = rolling();
    alarm["AutoRollbackConfiguration"]["Alarms"][0]["AlarmName"] = json!("none");
    let text = house.refused("UpdateInferenceComponent", update_to("many:2", &alarm)).await;
    assert!(text.contains("names alarms that do not exist: none."), "{text}");
    assert_eq!(image(&describe(&house, "c").await), "many:1");
}
