//! Programs written with the AWS SDK for Rust, which know nothing of captura.

use captura_e2e::deployment::{accept, wait_in_service};
use captura_e2e::program::said;
use captura_e2e::rust_clients::{self, Client};
use captura_e2e::server::{Home, Server};
use serde_json::{Value, json};

const ROLE: &str = "arn:aws:iam::000000000000:role/captura-stories";

/// An echo with this environment under full capture; asynchronous where it is told where answers go.
fn deploy(server: &Server, name: &str, environment: &Value, answers: Option<&str>) {
    let container = json!({"Image": "captura/echo", "Environment": environment});
    accept(server, "CreateModel", &json!({"ModelName": name, "PrimaryContainer": container, "ExecutionRoleArn": ROLE}));
    let variant = json!({"VariantName": "AllTraffic", "ModelName": name, "InitialInstanceCount": 1,
        "InstanceType": "ml.m5.large", "InitialVariantWeight": 1.0});
    let capture = json!({"EnableCapture": true, "InitialSamplingPercentage": 100,
        "DestinationS3Uri": "s3://captures/rust",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"]}});
    let mut configuration =
        json!({"EndpointConfigName": name, "ProductionVariants": [variant], "DataCaptureConfig": capture});
    if let Some(answers) = answers {
        configuration["AsyncInferenceConfig"] = json!({"OutputConfig": {"S3OutputPath": answers}});
    }
    accept(server, "CreateEndpointConfig", &configuration);
    accept(server, "CreateEndpoint", &json!({"EndpointName": name, "EndpointConfigName": name}));
    wait_in_service(server, name);
}

#[test]
fn a_program_in_rust_calls_endpoints_in_every_way_and_reads_its_captures() {
    let home = Home::default();
    let server = home.serve();
    deploy(&server, "echo", &json!({}), None);
    deploy(&server, "lines", &json!({"CAPTURA_ECHO_PIECE_DELAY_MS": "100"}), None);
    deploy(&server, "failing", &json!({"CAPTURA_ECHO_STATUS": "400"}), None);
    deploy(&server, "queued", &json!({}), Some("s3://answers/rust"));
    let Some(told) = rust_clients::tell(&server, Client::Invocations) else { return };
    assert!(told.status.success(), "{}\n-- server\n{}", said(&told), home.log());
}

#[test]
fn a_program_in_rust_deploys_updates_and_deletes_a_model() {
    let home = Home::default();
    let server = home.serve();
    let Some(told) = rust_clients::tell(&server, Client::Lifecycle) else { return };
    assert!(told.status.success(), "{}\n-- server\n{}", said(&told), home.log());
}
