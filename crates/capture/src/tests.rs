//! Stories of the whole room: records in, damage and failure, records out.

mod carry;
mod concurrency;
mod damage;
mod faults;
mod life;
mod model;
mod redacting;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use captura_names::{EndpointConfigName, EndpointName, EventId, ModelName, Percent, S3Uri, Timestamp, VariantName};
use captura_route::{
    Caller, CapturePolicy, CaptureSettings, Clock, Consumer, Durability, Invocation, ModelRequest, WhenUnavailable,
};

use crate::journal::disk::{Disk, RealDisk};
use crate::journal::reader::SegmentReader;
use crate::record::{Conclusion, Outcome, Payload, Record};
use crate::{AccountRecords, Capture, RecoveryReport, SealedSegment, Settings, Ticket};

fn settings(dir: &Path) -> Settings {
    let mut settings = Settings::new(dir);
    settings.seal_bytes = 256 << 10;
    settings.min_free_bytes = 0;
    settings
}

fn open_on(disk: impl Disk + 'static, settings: Settings) -> (Capture, RecoveryReport) {
    let clock = Clock::fixed(Timestamp::from_unix_us(1_650_241_308_871_000));
    Capture::open(settings, Arc::new(disk), clock).unwrap()
}

fn open(dir: &Path) -> (Capture, RecoveryReport) {
    open_on(RealDisk, settings(dir))
}

fn kept(durability: Durability) -> CaptureSettings {
    CaptureSettings {
        enabled: true,
        sampling: Percent::ALL,
        input: true,
        output: true,
        destination: S3Uri::parse("s3://captures/churn").unwrap(),
        csv_content_types: vec!["text/csv".into()],
        json_content_types: vec![],
        kms_key_id: None,
        durability,
        when_unavailable: WhenUnavailable::Serve,
    }
}

fn policy_of(endpoint: &str, settings: Option<CaptureSettings>) -> Arc<CapturePolicy> {
    Arc::new(CapturePolicy {
        endpoint: EndpointName::parse(endpoint).unwrap(),
        variant: VariantName::parse("AllTraffic").unwrap(),
        model: ModelName::parse("churn-1").unwrap(),
        endpoint_config: EndpointConfigName::parse("churn-config").unwrap(),
        settings,
        signature: None,
        redaction: None,
    })
}

fn policy(durability: Durability) -> Arc<CapturePolicy> {
    policy_of("churn", Some(kept(durability)))
}

/// The `number`-th call: its event id and body tell the number.
fn invocation(number: u64, body_bytes: usize) -> Invocation {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    let mut body = format!("call {number} ").into_bytes();
    body.resize(body_bytes.max(body.len()), b'x');
    Invocation {
        event_id: EventId::from_bytes(id),
        arrived_at: Timestamp::from_unix_us(1_650_241_308_000_000 + i64::try_from(number).unwrap()),
        consumer: Consumer::new("billing"),
        caller: Caller::default(),
        endpoint: EndpointName::parse("churn").unwrap(),
        target_variant: None,
        inference_id: None,
        request: ModelRequest { body: body.into(), content_type: Some("text/csv".into()), ..ModelRequest::default() },
    }
}

fn answered() -> Conclusion {
    Conclusion {
        outcome: Outcome::Ok,
        status: 200,
        response: Payload { content_type: Some("text/csv".into()), body: Bytes::from_static(b"0.5") },
        response_cut_bytes: 0,
        model_latency_us: 30,
        total_latency_us: 40,
    }
}

fn number_of(record: &Record) -> u64 {
    u64::from_be_bytes(record.event_id.as_bytes()[..8].try_into().unwrap())
}

fn call(stream: &crate::Stream, number: u64) -> Ticket {
    stream.begin(invocation(number, 40)).unwrap().conclude(answered())
}

/// Calls one after the other, each waiting for its capture.
async fn calls(stream: &crate::Stream, numbers: impl IntoIterator<Item = u64>) -> Vec<crate::Captured> {
    let mut captured = Vec::new();
    for number in numbers {
        captured.push(call(stream, number).captured().await);
    }
    captured
}

fn read(path: &Path) -> Vec<u64> {
    SegmentReader::open(path).unwrap().map(|item| number_of(&item.unwrap())).collect()
}

fn read_sealed(capture: &Capture) -> Vec<u64> {
    capture.sealed().iter().flat_map(|segment| read(&segment.path)).collect()
}

fn all_of(segment: &SealedSegment) -> Vec<AccountRecords> {
    segment.accounts.clone()
}

fn balanced(capture: &Capture) {
    let ledger = capture.ledger();
    assert_eq!(ledger.imbalance(), 0, "{ledger:#?}");
}
