//! Numbers of instances: asked for by operations and by auto scaling, and counted as they are.

use std::sync::atomic::Ordering;

use captura_names::{EndpointName, VariantName};
use serde_json::{Value, json};

use super::House;
use crate::{InstanceCounts, ScalingError};

async fn in_service(image: &str) -> House {
    let house = House::still();
    house.config("E", image).await;
    house.ok("CreateEndpoint", json!({"EndpointName": "E", "EndpointConfigName": "E"})).await;
    house.settle().await;
    house
}

fn names() -> (EndpointName, VariantName) {
    (EndpointName::parse("E").unwrap(), VariantName::parse("AllTraffic").unwrap())
}

async fn counts(house: &House) -> (u64, u64) {
    let (endpoint, variant) = names();
    let InstanceCounts { current, desired } = house.control.instance_counts(&endpoint, &variant).await.unwrap();
    (current, desired)
}

async fn ask_for(house: &House, count: i64) {
    let desired = json!([{"VariantName": "AllTraffic", "DesiredInstanceCount": count}]);
    let input = json!({"EndpointName": "E", "DesiredWeightsAndCapacities": desired});
    house.ok("UpdateEndpointWeightsAndCapacities", input).await;
}

fn told(described: &Value) -> (&Value, &Value, &Value) {
    let variant = &described["ProductionVariants"][0];
    (&described["EndpointStatus"], &variant["CurrentInstanceCount"], &variant["DesiredInstanceCount"])
}

#[tokio::test]
async fn an_endpoint_is_updating_until_the_instances_are_up() {
    let house = in_service("many").await;
    let loads = house.strings.loads.load(Ordering::SeqCst);
    house.strings.instances_max.store(2, Ordering::SeqCst);
    ask_for(&house, 3).await;
    house.pass().await;
    let described = house.describe("E").await;
    assert_eq!(told(&described), (&json!("Updating"), &json!(2), &json!(3)));
    let status = &described["ProductionVariants"][0]["VariantStatus"][0];
    assert_eq!(status["Status"], "Updating");
    assert_eq!(status["StatusMessage"], "Scaling out desired instance count to 3.");
    house.strings.instances_max.store(9, Ordering::SeqCst);
    house.pass().await;
    let described = house.describe("E").await;
    assert_eq!(told(&described), (&json!("InService"), &json!(3), &json!(3)));
    assert_eq!(described["ProductionVariants"][0].get("VariantStatus"), None);
    assert_eq!(house.strings.loads.load(Ordering::SeqCst), loads, "no model is loaded again");
}

#[tokio::test]
async fn instances_that_do_not_start_in_time_leave_what_was() {
    let house = in_service("many").await;
    house.strings.instances_max.store(1, Ordering::SeqCst);
    ask_for(&house, 3).await;
    house.pass().await;
    house.wait(600);
    house.pass().await;
    assert_eq!(house.status("E").await, "RollingBack");
    house.pass().await;
    let described = house.describe("E").await;
    assert_eq!(told(&described), (&json!("InService"), &json!(1), &json!(1)));
    let reason = "The instances that were asked for did not start in time; what was before is kept. \
        Variant AllTraffic: the machine is full";
    assert_eq!(described["FailureReason"], reason);
}

#[tokio::test]
async fn auto_scaling_disturbs_nobody_and_outlives_a_restart() {
    let house = in_service("many").await;
    let (endpoint, variant) = names();
    assert_eq!(counts(&house).await, (1, 1));
    house.strings.instances_max.store(2, Ordering::SeqCst);
    house.control.set_desired_instance_count(&endpoint, &variant, 3).await.unwrap();
    house.pass().await;
    assert_eq!(counts(&house).await, (2, 3));
    let described = house.describe("E").await;
    assert_eq!(told(&described), (&json!("InService"), &json!(2), &json!(3)));
    let status = &described["ProductionVariants"][0]["VariantStatus"][0];
    assert_eq!(
        (&status["Status"], &status["StatusMessage"]),
        (&json!("Updating"), &json!("Scaling out desired instance count to 3."))
    );
    house.strings.instances_max.store(9, Ordering::SeqCst);
    assert_eq!(counts(&house).await, (3, 3));

    let again = house.after_a_kill();
    again.control.recover().await.unwrap();
    assert_eq!(counts(&again).await, (3, 3));
    again.control.set_desired_instance_count(&endpoint, &variant, 1).await.unwrap();
    again.pass().await;
    assert_eq!(counts(&again).await, (1, 1));
}

#[tokio::test]
async fn what_cannot_be_scaled_is_said() {
    let house = in_service("echo").await;
    let (endpoint, variant) = names();
    let set = |endpoint: &str, variant: &str, count: u64| {
        let (endpoint, variant) = (EndpointName::parse(endpoint).unwrap(), VariantName::parse(variant).unwrap());
        let control = house.control.clone();
        async move { control.set_desired_instance_count(&endpoint, &variant, count).await.unwrap_err() }
    };
    assert!(matches!(set("nobody", "AllTraffic", 1).await, ScalingError::NoEndpoint(_)));
    assert!(matches!(set("E", "nobody", 1).await, ScalingError::NoVariant(..)));
    assert!(matches!(set("E", "AllTraffic", 0).await, ScalingError::Zero(_)));
    // Models inside this process have as many instances as are asked for.
    house.control.set_desired_instance_count(&endpoint, &variant, 5).await.unwrap();
    house.pass().await;
    assert_eq!(counts(&house).await, (5, 5));
    house.ok("UpdateEndpoint", json!({"EndpointName": "E", "EndpointConfigName": "E"})).await;
    let error = set("E", "AllTraffic", 1).await;
    assert_eq!(error.to_string(), "endpoint E is in status Updating; only an endpoint in service can be scaled");
    let zero = json!([{"VariantName": "AllTraffic", "DesiredInstanceCount": 0}]);
    house.settle().await;
    let message = house
        .refused(
            "UpdateEndpointWeightsAndCapacities",
            json!({"EndpointName": "E", "DesiredWeightsAndCapacities": zero}),
        )
        .await;
    assert_eq!(
        message,
        "'desiredWeightsAndCapacities.1.member.desiredInstanceCount' is 0, but variant AllTraffic has a model, and a model needs at least one instance."
    );
}
