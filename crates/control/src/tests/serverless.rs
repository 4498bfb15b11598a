//! Serverless variants that sleep and wake. Time stands still and moves when everybody waits.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use captura_route::{Backend, BackendError, ModelRequest};
use serde_json::{Value, json};

use super::House;

/// An endpoint `E` of one serverless variant.
async fn serverless(house: &House, image: &str, provisioned: Option<u32>) -> Arc<dyn Backend> {
    house.ok("CreateModel", json!({"ModelName": "m", "PrimaryContainer": {"Image": image}})).await;
    let mut config = json!({"MemorySizeInMB": 2048, "MaxConcurrency": 5});
    if let Some(count) = provisioned {
        config["ProvisionedConcurrency"] = json!(count);
    }
    let variant = json!({"VariantName": "v", "ModelName": "m", "ServerlessConfig": config});
    house.ok("CreateEndpointConfig", json!({"EndpointConfigName": "c", "ProductionVariants": [variant]})).await;
    house.ok("CreateEndpoint", json!({"EndpointName": "E", "EndpointConfigName": "c"})).await;
    house.settle().await;
    assert_eq!(house.status("E").await, "InService");
    let served = house.served("E").expect("our bug: the endpoint is in the table");
    served.variants().next().map(|variant| Arc::clone(&variant.backend)).expect("our bug: it has a variant")
}

fn loads(house: &House) -> usize {
    house.strings.loads.load(Ordering::SeqCst)
}

async fn idle(minutes: u64) {
    tokio::time::sleep(Duration::from_secs(minutes * 60)).await;
}

async fn ask(backend: &Arc<dyn Backend>) -> Result<String, BackendError> {
    let answer = backend.invoke(&ModelRequest::default()).await?;
    Ok(String::from_utf8(answer.body.to_vec()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_variant_that_nobody_calls_sleeps_and_the_next_calls_wait_for_one_cold_start() {
    let house = House::new();
    let backend = serverless(&house, "echo", None).await;
    idle(9).await;
    ask(&backend).await.unwrap();
    idle(9).await;
    ask(&backend).await.unwrap();
    assert_eq!(loads(&house), 1, "each call keeps it awake");
    idle(11).await;
    let (one, other) = tokio::join!(ask(&backend), ask(&backend));
    assert_eq!((one.unwrap(), other.unwrap()), ("echo".to_owned(), "echo".to_owned()));
    assert_eq!(loads(&house), 2);
    assert_eq!(*house.hands.cold_starts.lock().unwrap(), ["E/v"]);
    assert_eq!(house.describe("E").await["ProductionVariants"][0]["CurrentInstanceCount"], Value::from(0));
}

#[tokio::test(start_paused = true)]
async fn provisioned_concurrency_keeps_a_variant_awake_for_as_long_as_there_is_some() {
    let house = House::new();
    let backend = serverless(&house, "echo", Some(1)).await;
    idle(100).await;
    ask(&backend).await.unwrap();
    assert_eq!(loads(&house), 1);
}

#[tokio::test(start_paused = true)]
async fn a_cold_start_that_fails_is_told_to_whoever_waits_and_tried_again() {
    let house = House::new();
    let backend = serverless(&house, "flaky", None).await;
    idle(11).await;
    house.strings.flaky_loads.store(false, Ordering::SeqCst);
    for _ in 0..3 {
        let error = ask(&backend).await.unwrap_err();
        assert!(matches!(&error, BackendError::Unavailable(why) if why == "flaky today"), "{error}");
    }
    assert_eq!(loads(&house), 2, "a moment long nobody tries again");
    house.strings.flaky_loads.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(ask(&backend).await.unwrap(), "flaky");
    assert_eq!((loads(&house), house.hands.cold_starts.lock().unwrap().len()), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_cold_start_goes_on_when_the_call_that_asked_for_it_is_given_up() {
    let house = House::new();
    house.strings.gate.add_permits(1);
    let backend = serverless(&house, "gated", None).await;
    idle(11).await;
    let given_up = tokio::time::timeout(Duration::from_secs(1), ask(&backend)).await;
    assert!(given_up.is_err());
    house.strings.gate.add_permits(1);
    assert_eq!(ask(&backend).await.unwrap(), "gated");
    assert_eq!(loads(&house), 2);
}

#[tokio::test(start_paused = true)]
async fn the_image_that_is_told_is_that_of_the_last_load() {
    let house = House::new();
    let backend = serverless(&house, "tagged", None).await;
    let told = async || {
        let described = house.describe("E").await;
        described["ProductionVariants"][0]["DeployedImages"][0]["ResolvedImage"].as_str().unwrap().to_owned()
    };
    assert_eq!(told().await, "tagged@sha256:1");
    idle(11).await;
    assert_eq!(told().await, "tagged@sha256:1", "a model that sleeps has its image too");
    ask(&backend).await.unwrap();
    assert_eq!(told().await, "tagged@sha256:2");
}
