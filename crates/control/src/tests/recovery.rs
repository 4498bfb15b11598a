//! Restarts, orderly and not.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use captura_names::EndpointName;
use serde_json::json;

use super::{House, catalog_file};
use crate::catalog::Catalog;
use crate::{Control, OpenError};

#[tokio::test]
async fn after_a_kill_everything_in_service_serves_again_before_the_listener_opens() {
    let house = House::new();
    house.endpoint("one").await;
    house.endpoint("two").await;
    house.ok("DeleteEndpointConfig", json!({"EndpointConfigName": "one"})).await;
    house.ok("DeleteModel", json!({"ModelName": "one"})).await;
    let before = house.describe("one").await;
    let again = house.after_a_kill();
    assert!(again.served("one").is_none());
    again.control.recover().await.unwrap();
    assert_eq!(again.answer_of("one").await, "echo");
    assert_eq!(again.answer_of("two").await, "echo");
    assert_eq!(again.describe("one").await, before, "a restart is not a change");
    let policy = |house: &House| house.served("one").unwrap().fleets[0].variants[0].capture.id();
    assert_eq!(policy(&house), policy(&again));
}

#[tokio::test]
async fn what_was_under_way_when_the_process_was_killed_goes_on() {
    let house = House::new();
    house.endpoint("updated").await;
    house.endpoint("weighed").await;
    house.endpoint("deleted").await;
    house.config("new", "echo:2").await;
    house.ok("CreateEndpoint", json!({"EndpointName": "created", "EndpointConfigName": "new"})).await;
    house.ok("UpdateEndpoint", json!({"EndpointName": "updated", "EndpointConfigName": "new"})).await;
    let desired = json!([{"VariantName": "AllTraffic", "DesiredWeight": 0.5}]);
    house
        .ok(
            "UpdateEndpointWeightsAndCapacities",
            json!({"EndpointName": "weighed", "DesiredWeightsAndCapacities": desired}),
        )
        .await;
    house.ok("DeleteEndpoint", json!({"EndpointName": "deleted"})).await;

    let again = house.after_a_kill();
    again.control.recover().await.unwrap();
    for name in ["updated", "weighed"] {
        assert!(again.served(name).is_some(), "{name} was in service and serves");
    }
    again.settle().await;
    assert_eq!(again.answer_of("created").await, "echo:2");
    assert_eq!(again.answer_of("updated").await, "echo:2");
    assert!((again.served("weighed").unwrap().fleets[0].variants[0].weight - 0.5).abs() < f32::EPSILON);
    assert!(again.served("deleted").is_none());
    // Old and new of the one that is updated, and one each of the two others.
    assert_eq!(again.strings.loads.load(Ordering::SeqCst), 4, "new weights load nothing anew");
    assert!(again.refused("DescribeEndpoint", json!({"EndpointName": "deleted"})).await.starts_with("Could not find"));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_load_after_a_restart_is_failed_with_the_reason_and_heals_later() {
    let house = House::new();
    house.config("E", "flaky").await;
    house.ok("CreateEndpoint", json!({"EndpointName": "E", "EndpointConfigName": "E"})).await;
    house.settle().await;
    house.config("next", "flaky").await;

    let again = house.after_a_kill();
    again.strings.flaky_loads.store(false, Ordering::SeqCst);
    again.control.recover().await.unwrap();
    let failed = again.describe("E").await;
    assert_eq!(failed["EndpointStatus"], "Failed");
    assert_eq!(
        failed["FailureReason"],
        "After a restart the endpoint could not be loaded again. Variant AllTraffic, model E: flaky today"
    );
    assert!(again.served("E").is_none());

    again.control.start();
    again.strings.flaky_loads.store(true, Ordering::SeqCst);
    let mut table = again.table.clone();
    let name = EndpointName::parse("E").unwrap();
    table.wait_for(|table| table.endpoint(&name).is_some()).await.unwrap();
    while again.status("E").await != "InService" {
        tokio::task::yield_now().await;
    }
    assert_eq!(again.describe("E").await.get("FailureReason"), None);
    again.control.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_start_does_not_wait_for_ever_for_a_model_that_loads_slowly() {
    let house = House::new();
    house.endpoint("quick").await;
    house.config("E", "gated").await;
    house.ok("CreateEndpoint", json!({"EndpointName": "E", "EndpointConfigName": "E"})).await;
    house.strings.gate.add_permits(1);
    house.settle().await;

    let again = house.after_a_kill();
    again.control.recover().await.unwrap();
    assert_eq!(again.status("quick").await, "InService");
    let waiting = again.describe("E").await;
    assert_eq!(waiting["EndpointStatus"], "OutOfService");
    assert_eq!(waiting["FailureReason"], "After a restart the endpoint is still being loaded.");
    let returning = |house: &House, name| house.table.borrow().is_returning(&EndpointName::parse(name).unwrap());
    assert!(returning(&again, "E") && !returning(&again, "quick"), "callers are asked to come back");
    let update = json!({"EndpointName": "E", "EndpointConfigName": "E"});
    assert!(
        again.refused("UpdateEndpoint", update).await.ends_with("in status OutOfService: wait until it is in service.")
    );
    again.strings.gate.add_permits(1);
    while again.status("E").await != "InService" {
        again.control.inner.nudge.notified().await;
        again.pass().await;
    }
    assert_eq!(again.answer_of("E").await, "gated");
    assert!(!returning(&again, "E"));
    assert_eq!(again.describe("E").await.get("FailureReason"), None);
}

#[tokio::test]
async fn a_row_that_cannot_be_read_keeps_no_other_endpoint_from_being_served() {
    let house = House::new();
    house.endpoint("good").await;
    house.endpoint("bad").await;
    house.control.close().await;
    let connection = rusqlite::Connection::open(catalog_file(house.folder.path())).unwrap();
    connection.execute("UPDATE endpoint_state SET current = '{' WHERE resource_id = (SELECT id FROM resource WHERE kind = 'endpoint' AND name = 'bad')", []).unwrap();
    drop(connection);
    let again = House::at(Arc::clone(&house.folder), "catalog.sqlite3");
    again.control.recover().await.unwrap();
    assert_eq!(again.answer_of("good").await, "echo");
    assert_eq!(again.call("DescribeEndpoint", json!({"EndpointName": "bad"})).await.0, 503);
}

#[tokio::test]
async fn an_update_of_which_neither_side_loads_after_a_restart_is_failed() {
    let house = House::new();
    house.config("E", "flaky").await;
    house.ok("CreateEndpoint", json!({"EndpointName": "E", "EndpointConfigName": "E"})).await;
    house.settle().await;
    house.config("next", "broken").await;
    house.ok("UpdateEndpoint", json!({"EndpointName": "E", "EndpointConfigName": "next"})).await;
    let again = house.after_a_kill();
    again.strings.flaky_loads.store(false, Ordering::SeqCst);
    again.control.recover().await.unwrap();
    again.settle().await;
    let failed = again.describe("E").await;
    assert_eq!(failed["EndpointStatus"], "Failed");
    assert!(
        failed["FailureReason"]
            .as_str()
            .unwrap()
            .starts_with("Neither the new nor the old configuration can be served.")
    );
}

#[tokio::test]
async fn an_answered_create_is_there_after_a_kill_at_any_moment() {
    let house = House::new();
    for index in 0..20 {
        house.ok("CreateModel", json!({"ModelName": format!("m{index}"), "PrimaryContainer": {"Image": "echo"}})).await;
        let again = house.after_a_kill();
        let page = again.ok("ListModels", json!({"MaxResults": 100})).await;
        assert_eq!(page["Models"].as_array().unwrap().len(), index + 1);
    }
}

#[tokio::test]
async fn an_orderly_restart_finds_everything_in_one_file() {
    let house = House::new();
    house.endpoint("E").await;
    house.control.close().await;
    let files: Vec<_> =
        std::fs::read_dir(house.folder.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(files, ["catalog.sqlite3"]);
    let again = House::at(Arc::clone(&house.folder), "catalog.sqlite3");
    again.control.recover().await.unwrap();
    assert_eq!(again.answer_of("E").await, "echo");
}

#[tokio::test]
async fn a_catalog_of_the_first_version_is_read_and_served() {
    let folder = tempfile::TempDir::new().unwrap();
    let connection = rusqlite::Connection::open(catalog_file(folder.path())).unwrap();
    connection.execute_batch(include_str!("catalog_1.sql")).unwrap();
    drop(connection);
    let house = House::at(Arc::new(folder), "catalog.sqlite3");
    house.control.recover().await.unwrap();
    house.settle().await;
    assert_eq!(house.answer_of("settled").await, "echo:1");
    assert_eq!(house.answer_of("updated").await, "echo:2");
    assert_eq!(house.describe("settled").await["ProductionVariants"][0]["DesiredInstanceCount"], 2);
}

fn nobody() -> crate::notice::Notices {
    crate::notice::Notices { bell: Arc::new(|| {}), account: super::ACCOUNT.to_owned() }
}

#[test]
fn a_catalog_of_a_newer_version_or_of_noise_is_refused_untouched() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = catalog_file(folder.path());
    drop(Catalog::open(&path, nobody()).unwrap());
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let before = std::fs::read(&path).unwrap();
    let error = Catalog::open(&path, nobody()).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 99, .. }), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
    std::fs::write(&path, vec![7; 8_192]).unwrap();
    let error = Catalog::open(&path, nobody()).unwrap_err();
    assert!(error.to_string().contains("catalog.sqlite3"), "{error}");
}

#[tokio::test]
async fn the_real_backends_stand_behind_the_public_door() {
    let folder = tempfile::TempDir::new().unwrap();
    let stores: captura_backends::StoreResolver = Arc::new(|_| Err("there is no store here".to_owned()));
    let backends =
        captura_backends::Backends::new(captura_backends::Settings::new(folder.path().join("cache")), stores);
    let (sender, table) = tokio::sync::watch::channel(Arc::default());
    let settings = crate::Settings::new(catalog_file(folder.path()), "000000000000");
    let control = Control::open(settings, backends, sender, captura_route::Clock::system()).unwrap();
    let house = House {
        control,
        strings: crate::models::stand_in::models().1,
        table,
        folder: Arc::new(folder),
        hands: super::Hands::default(),
        runner: super::processing_jobs::Runner::default(),
    };
    for (name, image) in [("good", "captura/echo:1"), ("bad", "nobody/knows:1")] {
        house.config(name, image).await;
        house.ok("CreateEndpoint", json!({"EndpointName": name, "EndpointConfigName": name})).await;
    }
    house.settle().await;
    assert_eq!(house.status("good").await, "InService");
    assert!(house.served("good").is_some());
    let failed = house.describe("bad").await;
    assert_eq!(failed["EndpointStatus"], "Failed");
    assert!(failed["FailureReason"].as_str().unwrap().contains("nobody/knows:1"), "{failed}");
    let model =
        json!({"ModelName": "m", "PrimaryContainer": {"Image": "captura/echo", "ModelDataUrl": "s3://bucket/m"}});
    let message = house.refused("CreateModel", model).await;
    assert!(message.starts_with("Could not access model data at s3://bucket/m: "), "{message}");
}
