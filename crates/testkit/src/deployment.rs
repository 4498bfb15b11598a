//! An endpoint deployed through the control plane's own words, without an SDK, for stories that are about other things.

use std::time::Duration;

use serde_json::{Value, json};

use crate::connection::{Connection, Reply};
use crate::program;
use crate::server::{Server, wait_for};

const ROLE: &str = "arn:aws:iam::000000000000:role/captura-stories";

/// What to deploy. Endpoint, configuration and model share one name.
pub struct Deployment<'a> {
    /// Name of all three.
    pub name: &'a str,
    /// `captura/echo`, `captura/trees`, …
    pub image: &'a str,
    /// The model's artefact.
    pub model_data_url: Option<String>,
    /// `InitialSamplingPercentage`; nothing = no capture.
    pub capture_percent: Option<u8>,
    /// `DestinationS3Uri`.
    pub destination: &'a str,
    /// `InitialInstanceCount`.
    pub instances: u32,
    /// Tags of the endpoint configuration.
    pub tags: Vec<(&'a str, &'a str)>,
}

impl<'a> Deployment<'a> {
    /// An echo under full capture.
    pub fn echo(name: &'a str) -> Self {
        let destination = "s3://captures/stories";
        Self {
            name,
            image: "captura/echo",
            model_data_url: None,
            capture_percent: Some(100),
            destination,
            instances: 1,
            tags: Vec::new(),
        }
    }

    /// The demo's model under full capture.
    pub fn demo_model(name: &'a str) -> Self {
        let model = program::checkout().join("demo/model.json");
        let model_data_url = Some(format!("file://{}", model.display()));
        Self { image: "captura/trees", model_data_url, ..Self::echo(name) }
    }

    /// Creates model, configuration and endpoint, and waits until it is in service.
    ///
    /// # Panics
    /// When a step is refused or the endpoint fails.
    pub fn create(&self, server: &Server) {
        let mut container = json!({"Image": self.image});
        if let Some(url) = &self.model_data_url {
            container["ModelDataUrl"] = json!(url);
        }
        let name = self.name;
        let model = json!({"ModelName": name, "PrimaryContainer": container, "ExecutionRoleArn": ROLE});
        let variant = json!({"VariantName": "AllTraffic", "ModelName": name, "InitialInstanceCount": self.instances,
            "InstanceType": "ml.m5.large", "InitialVariantWeight": 1.0});
        let mut configuration = json!({"EndpointConfigName": name, "ProductionVariants": [variant]});
        if let Some(percent) = self.capture_percent {
            configuration["DataCaptureConfig"] = json!({
                "EnableCapture": true, "InitialSamplingPercentage": percent, "DestinationS3Uri": self.destination,
                "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
                "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]},
            });
        }
        if !self.tags.is_empty() {
            configuration["Tags"] = self.tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect();
        }
        accept(server, "CreateModel", &model);
        accept(server, "CreateEndpointConfig", &configuration);
        accept(server, "CreateEndpoint", &json!({"EndpointName": name, "EndpointConfigName": name}));
        wait_in_service(server, name);
    }
}

/// One call to the control plane.
///
/// # Panics
/// When the server does not answer.
pub fn control(server: &Server, operation: &str, input: &Value) -> Reply {
    let mut connection = Connection::open(server.address()).expect("the server listens");
    let target = format!("SageMaker.{operation}");
    let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target.as_str())];
    connection.post("/", &headers, input.to_string().as_bytes()).expect("the control plane answers")
}

/// One call that must be accepted.
///
/// # Panics
/// When it is refused.
pub fn accept(server: &Server, operation: &str, input: &Value) -> Value {
    let reply = control(server, operation, input);
    assert_eq!(reply.status, 200, "{operation}: {}", reply.text());
    serde_json::from_slice(&reply.body).unwrap_or(Value::Null)
}

/// Waits for an endpoint to be in service.
///
/// # Panics
/// When it fails or takes longer than half a minute.
pub fn wait_in_service(server: &Server, endpoint: &str) {
    wait_for("an endpoint in service", Duration::from_secs(30), || {
        let described = accept(server, "DescribeEndpoint", &json!({"EndpointName": endpoint}));
        let status = described["EndpointStatus"].as_str().unwrap_or_default();
        assert_ne!(status, "Failed", "{}", described["FailureReason"]);
        (status == "InService").then_some(())
    });
}
