//! Asynchronous invocations: as the AWS SDK sees them, and through `kill -9`.

use std::collections::BTreeMap;
use std::time::Duration;

use captura_e2e::connection::Connection;
use captura_e2e::deployment::{accept, wait_in_service};
use captura_e2e::program::said;
use captura_e2e::server::{Home, Server, wait_for};
use captura_e2e::{captured, python};
use serde_json::{Value, json};

const ROLE: &str = "arn:aws:iam::000000000000:role/captura-stories";

#[test]
fn the_sdk_finds_answers_where_it_was_told_they_would_be() {
    let home = Home::default();
    let server = home.serve();
    let buckets = home.data_dir().join("buckets");
    let Some(told) = python::tell(&server, "asynchronous.py", &[buckets.to_str().unwrap()]) else { return };
    assert!(told.status.success(), "{}\n-- server\n{}", said(&told), home.log());
}

/// An asynchronous echo under full capture, slow enough to be killed at work.
fn deploy(server: &Server) {
    let container = json!({"Image": "captura/echo", "Environment": {"CAPTURA_ECHO_DELAY_MS": "100"}});
    accept(
        server,
        "CreateModel",
        &json!({"ModelName": "queued", "PrimaryContainer": container, "ExecutionRoleArn": ROLE}),
    );
    let variant = json!({"VariantName": "AllTraffic", "ModelName": "queued", "InitialInstanceCount": 1,
        "InstanceType": "ml.m5.large", "InitialVariantWeight": 1.0});
    let configuration = json!({
        "EndpointConfigName": "queued", "ProductionVariants": [variant],
        "DataCaptureConfig": {"EnableCapture": true, "InitialSamplingPercentage": 100,
            "DestinationS3Uri": "s3://captures/async",
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}]},
        "AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://answers/out"},
            "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 2}},
    });
    accept(server, "CreateEndpointConfig", &configuration);
    accept(server, "CreateEndpoint", &json!({"EndpointName": "queued", "EndpointConfigName": "queued"}));
    wait_in_service(server, "queued");
}

#[test]
fn what_was_accepted_is_answered_though_the_server_is_killed_in_the_middle_of_it() {
    let home = Home::default();
    let server = home.serve();
    deploy(&server);
    let mut connection = Connection::open(server.address()).unwrap();
    let mut promised = BTreeMap::new();
    for number in 0..30 {
        let body = format!("row {number}");
        let reply = connection.post("/endpoints/queued/async-invocations", &[], body.as_bytes()).unwrap();
        assert_eq!(reply.status, 202, "{}", reply.text());
        let location = reply.header("x-amzn-sagemaker-outputlocation").unwrap();
        let id: Value = serde_json::from_slice(&reply.body).unwrap();
        let path = home.data_dir().join("buckets").join(location.strip_prefix("s3://").unwrap());
        promised.insert(id["InferenceId"].as_str().unwrap().to_owned(), (path, body));
    }
    let answered = || promised.values().filter(|(path, _)| path.exists()).count();
    wait_for("the first answers", Duration::from_secs(30), || (answered() >= 3).then_some(()));
    server.kill();
    let before = answered();
    assert!(before < promised.len(), "killed too late to prove anything");

    let server = home.serve();
    wait_for("every answer", Duration::from_secs(60), || (answered() == promised.len()).then_some(()));
    for (path, body) in promised.values() {
        assert_eq!(&std::fs::read_to_string(path).unwrap(), body);
    }
    wait_for("an empty queue", Duration::from_secs(30), || {
        (std::fs::read_dir(home.data_dir().join("backlog")).unwrap().count() == 0).then_some(())
    });
    assert!(server.stop().success(), "{}", home.log());
    let lines = captured::read(&home.bucket("captures"));
    let seen = |id: &str| lines.iter().filter(|line| line.json["eventMetadata"]["inferenceId"] == id).count();
    // Two were under way when the server died: run again, and captured again where their first record was written.
    let twice = promised.keys().filter(|id| seen(id) > 1).count();
    assert!(promised.keys().all(|id| seen(id) >= 1) && twice <= 2, "{twice} of {} twice", promised.len());
    println!("{before} of {} answered before the kill, {twice} run twice", promised.len());
}
