//! The capture room in this process, on a simulated disk: how it is opened, called, and read back.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use captura_capture::journal::reader::SegmentReader;
use captura_capture::record::{Conclusion, Outcome, Payload, Record};
use captura_capture::{Capture, OpenError, RecoveryReport, Settings};
use captura_names::{EndpointConfigName, EndpointName, EventId, ModelName, Percent, S3Uri, Timestamp, VariantName};
use captura_route::{
    Caller, CapturePolicy, CaptureSettings, Clock, Consumer, Durability, Invocation, ModelRequest, WhenUnavailable,
};

use crate::server::found_within;
use crate::sim_disk::SimDisk;

/// The endpoints, one for each durability mode.
pub const MODES: [(&str, Durability); 3] = [
    ("after-fsync", Durability::AckAfterFsync),
    ("after-write", Durability::AckAfterWrite),
    ("best-effort", Durability::BestEffort),
];
/// The only variant of each.
pub const VARIANT: &str = "AllTraffic";
/// Small segments, so that a short life has many.
const SEAL_BYTES: u64 = 96 << 10;

/// How long a lock may be held by somebody who does not want it.
const LOCKED_AT_MOST: Duration = Duration::from_secs(10);

/// A folder for the lock and the mapped counters, which no [`Disk`](captura_capture::journal::disk::Disk) holds: in
/// memory where the machine has such a place.
///
/// # Panics
/// When no temporary folder can be made.
pub fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let builder = || tempfile::Builder::new().prefix("captura-room-").to_owned();
    let made = if memory.is_dir() { builder().tempdir_in(memory) } else { builder().tempdir() };
    made.expect("a temporary folder")
}

/// Opens the room.
///
/// # Errors
/// As the room says.
pub fn open(dir: &Path, disk: &SimDisk) -> Result<(Capture, RecoveryReport), OpenError> {
    let mut settings = Settings::new(dir);
    settings.seal_bytes = SEAL_BYTES;
    settings.min_free_bytes = 0;
    let clock = Clock::fixed(Timestamp::from_unix_us(1_650_241_308_871_000));
    // A program that another test is just starting holds a copy of the lock's file until it has become that program.
    let mut locked = None;
    let opened =
        found_within(LOCKED_AT_MOST, || match Capture::open(settings.clone(), Arc::new(disk.clone()), clock.clone()) {
            Err(error @ OpenError::Locked { .. }) => {
                locked = Some(error);
                None
            }
            opened => Some(opened),
        });
    opened.unwrap_or_else(|| Err(locked.expect("our bug: nothing else ends in vain")))
}

/// The policy of one mode.
///
/// # Panics
/// Never: the names are well formed.
pub fn policy(mode: usize) -> Arc<CapturePolicy> {
    let (endpoint, durability) = MODES[mode];
    let settings = CaptureSettings {
        enabled: true,
        sampling: Percent::ALL,
        input: true,
        output: true,
        destination: S3Uri::parse("s3://captures/room").expect("well formed"),
        csv_content_types: vec!["text/csv".into()],
        json_content_types: vec![],
        kms_key_id: None,
        durability,
        when_unavailable: WhenUnavailable::Serve,
    };
    Arc::new(CapturePolicy {
        endpoint: EndpointName::parse(endpoint).expect("well formed"),
        variant: VariantName::parse(VARIANT).expect("well formed"),
        model: ModelName::parse("model").expect("well formed"),
        endpoint_config: EndpointConfigName::parse("config").expect("well formed"),
        settings: Some(settings),
        signature: None,
        redaction: None,
    })
}

/// The `number`-th call: event id and body follow from the number.
///
/// # Panics
/// Never: the names are well formed.
pub fn invocation(mode: usize, number: u64, body_bytes: usize) -> Invocation {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    Invocation {
        event_id: EventId::from_bytes(id),
        arrived_at: Timestamp::from_unix_us(1_650_241_308_000_000 + i64::try_from(number).unwrap_or(0)),
        consumer: Consumer::new("billing"),
        caller: Caller::default(),
        endpoint: EndpointName::parse(MODES[mode].0).expect("well formed"),
        target_variant: None,
        inference_id: None,
        request: ModelRequest {
            body: body(number, body_bytes),
            content_type: Some("text/csv".into()),
            ..ModelRequest::default()
        },
    }
}

fn body(number: u64, body_bytes: usize) -> Bytes {
    let mut body = format!("call {number} ").into_bytes();
    let mut next = number;
    while body.len() < body_bytes {
        next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        body.extend_from_slice(&next.to_le_bytes());
    }
    body.into()
}

/// How every call ends.
pub fn answered() -> Conclusion {
    Conclusion {
        outcome: Outcome::Ok,
        status: 200,
        response: Payload { content_type: Some("text/csv".into()), body: Bytes::from_static(b"0.5") },
        response_cut_bytes: 0,
        model_latency_us: 30,
        total_latency_us: 40,
    }
}

/// Which call a record is of, when its bytes are that call's.
///
/// # Errors
/// What is wrong with it.
///
/// # Panics
/// Never: an event id has sixteen bytes.
pub fn number_of(record: &Record) -> Result<u64, String> {
    let number = u64::from_be_bytes(record.event_id.as_bytes()[..8].try_into().expect("our bug: eight of sixteen"));
    let Some(request) = &record.request else { return Err(format!("record {} holds no request", record.lsn)) };
    if request.body != body(number, request.body.len()) {
        return Err(format!("record {} of call {number} holds other bytes", record.lsn));
    }
    Ok(number)
}

/// A sealed segment's readable records.
///
/// # Errors
/// When the file is not there or a record is not what was handed in.
pub fn records(disk: &SimDisk, path: &Path) -> Result<Vec<(u64, Record)>, String> {
    let bytes = disk.read(path).ok_or_else(|| format!("{} is not there", path.display()))?;
    let reader = SegmentReader::from_bytes(bytes.into()).map_err(|error| error.to_string())?;
    reader.flatten().map(|record| Ok((number_of(&record)?, record))).collect()
}
