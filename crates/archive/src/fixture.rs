//! Records and policies for this crate's tests.

use std::sync::Arc;

use bytes::Bytes;
use captura_capture::record::{Lsn, Outcome, Payload, Record};
use captura_names::{EndpointConfigName, EndpointName, EventId, ModelName, Percent, S3Uri, Timestamp, VariantName};
use captura_route::{Caller, CapturePolicy, CaptureSettings, Consumer, Durability, WhenUnavailable};

pub(crate) fn policy(endpoint: &str, variant: &str, destination: &str, csv: &[&str], json: &[&str]) -> CapturePolicy {
    CapturePolicy {
        endpoint: EndpointName::parse(endpoint).unwrap(),
        variant: VariantName::parse(variant).unwrap(),
        model: ModelName::parse("churn-1").unwrap(),
        endpoint_config: EndpointConfigName::parse("churn-config").unwrap(),
        settings: Some(CaptureSettings {
            enabled: true,
            sampling: Percent::ALL,
            input: true,
            output: true,
            destination: S3Uri::parse(destination).unwrap(),
            csv_content_types: csv.iter().map(|&text| text.to_owned()).collect(),
            json_content_types: json.iter().map(|&text| text.to_owned()).collect(),
            kms_key_id: None,
            durability: Durability::AckAfterWrite,
            when_unavailable: WhenUnavailable::Serve,
        }),
        signature: None,
        redaction: None,
    }
}

pub(crate) fn payload(content_type: Option<&str>, body: &[u8]) -> Payload {
    Payload { content_type: content_type.map(Into::into), body: Bytes::copy_from_slice(body) }
}

/// Record `n` of node `aa`, epoch 3, at the contract's example time.
pub(crate) fn record(n: u64) -> Record {
    let json = ["application/json", "application/jsonlines"];
    Record {
        lsn: Lsn { node: 0xaa, epoch: 3, n },
        event_id: EventId::parse("55126149-826d-415a-967b-33fa7f4666f3").unwrap(),
        policy: Arc::new(policy("churn", "AllTraffic", "s3://captures/churn", &["text/csv"], &json)),
        arrived_at: Timestamp::parse("2022-04-18T00:21:48.871Z").unwrap(),
        consumer: Consumer::new("team \"fraud\""),
        caller: Caller::default(),
        outcome: Outcome::Ok,
        status: 200,
        inference_id: None,
        custom_attributes: None,
        target_model: None,
        request: Some(payload(Some("text/csv"), b"36.5,12")),
        response: Some(payload(Some("application/json"), b"[1]")),
        request_size_bytes: 7,
        response_size_bytes: 3,
        model_latency_us: 1200,
        total_latency_us: 1500,
    }
}
