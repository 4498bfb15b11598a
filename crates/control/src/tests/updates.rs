//! Updates: the old serves until the new can.

use serde_json::json;

use super::House;

async fn update(house: &House, endpoint: &str, config: &str) {
    house.ok("UpdateEndpoint", json!({"EndpointName": endpoint, "EndpointConfigName": config})).await;
}

#[tokio::test]
async fn the_old_model_serves_until_the_new_one_answers() {
    let house = House::new();
    house.endpoint("E").await;
    house.config("next", "gated").await;
    update(&house, "E", "next").await;
    for _ in 0..3 {
        house.pass().await;
        assert_eq!(house.answer_of("E").await, "echo");
    }
    let updating = house.describe("E").await;
    assert_eq!(updating["EndpointStatus"], "Updating");
    assert_eq!(updating["EndpointConfigName"], "E");
    assert_eq!(updating["ProductionVariants"][0]["DeployedImages"][0]["SpecifiedImage"], "echo");
    assert_eq!(updating["PendingDeploymentSummary"]["EndpointConfigName"], "next");
    let arriving = &updating["PendingDeploymentSummary"]["ProductionVariants"][0];
    assert_eq!(arriving["VariantStatus"][0]["Status"], "Creating");
    assert_eq!(arriving["VariantStatus"][0]["StatusMessage"], "Launching 1 instance(s).");

    house.strings.gate.add_permits(1);
    house.settle().await;
    assert_eq!(house.answer_of("E").await, "gated");
    let updated = house.describe("E").await;
    assert_eq!((&updated["EndpointStatus"], &updated["EndpointConfigName"]), (&json!("InService"), &json!("next")));
    assert_eq!(updated.get("PendingDeploymentSummary"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_table_ever_lacks_the_endpoint_during_updates() {
    let house = House::new();
    house.endpoint("E").await;
    house.config("next", "echo:2").await;
    house.config("bad", "broken").await;
    let mut table = house.table.clone();
    let name = captura_names::EndpointName::parse("E").unwrap();
    let watcher = tokio::spawn(async move {
        let mut seen = 0;
        while table.changed().await.is_ok() {
            let endpoint = table.borrow_and_update().endpoint(&name).cloned();
            assert_eq!(endpoint.expect("the table has the endpoint").fleets[0].variants.len(), 1);
            seen += 1;
        }
        seen
    });
    for config in ["next", "E", "bad", "next", "next", "E"] {
        update(&house, "E", config).await;
        house.settle().await;
        assert_eq!(house.status("E").await, "InService");
    }
    drop(house);
    assert!(watcher.await.unwrap() > 0);
}

#[tokio::test]
async fn an_update_that_cannot_load_leaves_the_old_one_and_says_why() {
    let house = House::new();
    house.endpoint("E").await;
    let before = house.served("E").unwrap();
    house.config("bad", "broken").await;
    update(&house, "E", "bad").await;
    house.settle().await;
    let described = house.describe("E").await;
    assert_eq!((&described["EndpointStatus"], &described["EndpointConfigName"]), (&json!("InService"), &json!("E")));
    let reason = described["FailureReason"].as_str().unwrap();
    assert!(reason.starts_with("The update to endpoint configuration bad failed, and the endpoint goes on with E. Variant AllTraffic, model bad: the model is broken"), "{reason}");
    assert!(std::sync::Arc::ptr_eq(&before, &house.served("E").unwrap()));
    // The next update works, and the reason is gone.
    update(&house, "E", "E").await;
    house.settle().await;
    assert_eq!(house.describe("E").await.get("FailureReason"), None);
}

async fn two_variants(house: &House) {
    house.ok("CreateModel", json!({"ModelName": "m", "PrimaryContainer": {"Image": "echo"}})).await;
    let variant = |name: &str, weight: f64| json!({"VariantName": name, "ModelName": "m", "InitialVariantWeight": weight, "InitialInstanceCount": 1});
    for (name, weight) in [("first", 1.0), ("second", 5.0)] {
        let capture = json!({"InitialSamplingPercentage": weight as i64, "DestinationS3Uri": "s3://captures/x", "CaptureOptions": [{"CaptureMode": "Input"}]});
        let variants = [variant("a", weight), variant("b", weight)];
        let config = json!({"EndpointConfigName": name, "ProductionVariants": variants, "DataCaptureConfig": capture});
        house.ok("CreateEndpointConfig", config).await;
    }
    house.ok("CreateEndpoint", json!({"EndpointName": "E", "EndpointConfigName": "first"})).await;
    house.settle().await;
}

fn weights(house: &House) -> Vec<f32> {
    house.served("E").unwrap().variants().map(|variant| variant.weight).collect()
}

#[tokio::test]
async fn weights_and_counts_change_without_loading_anything() {
    let house = House::new();
    two_variants(&house).await;
    let loads = house.strings.loads.load(std::sync::atomic::Ordering::SeqCst);
    let desired = json!([{"VariantName": "b", "DesiredWeight": 3, "DesiredInstanceCount": 4}]);
    house
        .ok("UpdateEndpointWeightsAndCapacities", json!({"EndpointName": "E", "DesiredWeightsAndCapacities": desired}))
        .await;
    let updating = house.describe("E").await;
    assert_eq!(updating["EndpointStatus"], "Updating");
    let variant = &updating["ProductionVariants"][1];
    assert_eq!((&variant["CurrentWeight"], &variant["DesiredWeight"]), (&json!(1.0), &json!(3.0)));
    assert_eq!((&variant["CurrentInstanceCount"], &variant["DesiredInstanceCount"]), (&json!(1), &json!(4)));
    assert_eq!(updating.get("PendingDeploymentSummary"), None, "nothing is deployed");
    house.pass().await;
    assert_eq!(weights(&house), [1.0, 3.0]);
    let updated = house.describe("E").await;
    assert_eq!(updated["EndpointStatus"], "InService");
    assert_eq!(updated["ProductionVariants"][1]["CurrentInstanceCount"], 4);
    assert_eq!(house.strings.loads.load(std::sync::atomic::Ordering::SeqCst), loads);
}

#[tokio::test]
async fn an_update_retains_what_it_is_asked_to_and_no_more() {
    let excluding =
        |kinds: &[&str]| json!(kinds.iter().map(|kind| json!({"VariantPropertyType": kind})).collect::<Vec<_>>());
    let all = ["DesiredInstanceCount", "DesiredWeight", "DataCaptureConfig"];
    for (retain, excluded, weight, count, sampling) in [
        (false, vec![], 5.0, 1, 5),
        (false, all.to_vec(), 5.0, 1, 5),
        (true, vec![], 3.0, 4, 1),
        (true, vec!["DesiredWeight"], 5.0, 4, 1),
        (true, vec!["DesiredInstanceCount"], 3.0, 1, 1),
        (true, vec!["DataCaptureConfig"], 3.0, 4, 5),
        (true, all.to_vec(), 5.0, 1, 5),
    ] {
        let house = House::new();
        two_variants(&house).await;
        let desired = json!([{"VariantName": "b", "DesiredWeight": 3, "DesiredInstanceCount": 4}]);
        house
            .ok(
                "UpdateEndpointWeightsAndCapacities",
                json!({"EndpointName": "E", "DesiredWeightsAndCapacities": desired}),
            )
            .await;
        house.settle().await;
        let input = json!({"EndpointName": "E", "EndpointConfigName": "second", "RetainAllVariantProperties": retain,
            "ExcludeRetainedVariantProperties": excluding(&excluded)});
        house.ok("UpdateEndpoint", input).await;
        house.settle().await;
        let described = house.describe("E").await;
        let variant = &described["ProductionVariants"][1];
        let case = format!("{retain} {excluded:?}");
        assert_eq!(variant["CurrentWeight"], json!(weight), "{case}");
        assert_eq!(variant["CurrentInstanceCount"], json!(count), "{case}");
        assert_eq!(described["DataCaptureConfig"]["CurrentSamplingPercentage"], json!(sampling), "{case}");
        assert_eq!(described["EndpointConfigName"], "second");
        assert!((weights(&house)[1] - weight).abs() < f32::EPSILON, "{case}");
    }
}

#[tokio::test]
async fn the_last_deployment_configuration_is_told_and_kept_on_request() {
    let house = House::new();
    house.endpoint("E").await;
    let config = json!({"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}, "TerminationWaitInSeconds": 0}});
    for (extra, expected) in [
        (json!({"DeploymentConfig": config}), Some(&config)),
        (json!({"RetainDeploymentConfig": true}), Some(&config)),
        (json!({}), None),
    ] {
        let mut input = json!({"EndpointName": "E", "EndpointConfigName": "E"});
        input.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        house.ok("UpdateEndpoint", input).await;
        house.settle().await;
        assert_eq!(house.describe("E").await.get("LastDeploymentConfig"), expected);
    }
}

#[tokio::test]
async fn an_endpoint_outlives_its_configuration_and_its_model() {
    let house = House::new();
    house.endpoint("E").await;
    house.ok("DeleteEndpointConfig", json!({"EndpointConfigName": "E"})).await;
    house.ok("DeleteModel", json!({"ModelName": "E"})).await;
    house.settle().await;
    assert_eq!(house.answer_of("E").await, "echo");
    assert_eq!(house.describe("E").await["EndpointConfigName"], "E");
    // An update needs what it names.
    let message = house.refused("UpdateEndpoint", json!({"EndpointName": "E", "EndpointConfigName": "E"})).await;
    assert!(message.starts_with("Could not find endpoint configuration"));
    assert_eq!(house.status("E").await, "InService");
}
