//! How many 1 KB records the journal takes from 64 tasks, and what one costs, in each mode.
//!
//! `cargo run --release -p captura-capture --example journal_throughput [FOLDER] [RECORDS]`
#![expect(clippy::print_stdout, reason = "a measurement speaks to a person")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use captura_capture::journal::disk::RealDisk;
use captura_capture::record::{Conclusion, Outcome, Payload};
use captura_capture::{Capture, Captured, Settings, Stream};
use captura_names::{EndpointConfigName, EndpointName, EventId, ModelName, Percent, S3Uri, VariantName};
use captura_route::{
    Caller, CapturePolicy, CaptureSettings, Clock, Consumer, Durability, Invocation, ModelRequest, WhenUnavailable,
};

const TASKS: u64 = 64;

type Failure = Box<dyn std::error::Error>;

fn policy(durability: Durability) -> Result<Arc<CapturePolicy>, Failure> {
    Ok(Arc::new(CapturePolicy {
        endpoint: EndpointName::parse("bench")?,
        variant: VariantName::parse("AllTraffic")?,
        model: ModelName::parse("model")?,
        endpoint_config: EndpointConfigName::parse("config")?,
        settings: Some(CaptureSettings {
            enabled: true,
            sampling: Percent::ALL,
            input: true,
            output: true,
            destination: S3Uri::parse("s3://bucket/prefix")?,
            csv_content_types: vec!["text/csv".into()],
            json_content_types: vec![],
            kms_key_id: None,
            durability,
            when_unavailable: WhenUnavailable::Serve,
        }),
        signature: None,
        redaction: None,
    }))
}

fn invocation(number: u64, endpoint: &EndpointName, body: &Bytes) -> Invocation {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_le_bytes());
    Invocation {
        event_id: EventId::from_bytes(id),
        arrived_at: captura_names::Timestamp::from_unix_us(1_700_000_000_000_000),
        consumer: Consumer::anonymous(),
        caller: Caller::default(),
        endpoint: endpoint.clone(),
        target_variant: None,
        inference_id: None,
        request: ModelRequest { body: body.clone(), content_type: Some("text/csv".into()), ..ModelRequest::default() },
    }
}

async fn caller(stream: Stream, task: u64, records: u64, body: Bytes) -> u64 {
    let endpoint = stream.policy().endpoint.clone();
    let mut kept = 0;
    for number in 0..records {
        let Ok(begun) = stream.begin(invocation(task << 40 | number, &endpoint, &body)) else { continue };
        // Where a gateway would wait for the model.
        tokio::task::yield_now().await;
        let response = Payload { content_type: Some("text/csv".into()), body: Bytes::from_static(b"0.123456") };
        let ticket = begun.conclude(Conclusion {
            outcome: Outcome::Ok,
            status: 200,
            response,
            response_cut_bytes: 0,
            model_latency_us: 10,
            total_latency_us: 20,
        });
        if !matches!(ticket.captured().await, Captured::Dropped(_) | Captured::SampledOut) {
            kept += 1;
        }
    }
    kept
}

/// User and system time of this process, seconds.
fn cpu_seconds() -> Result<f64, Failure> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    // The clock tick of /proc is a hundredth of a second on every Linux that Rust runs on.
    Ok((ticks(11) + ticks(12)) / 100.0)
}

/// One run; `None` is the floor: the same tasks with a policy that captures nothing.
async fn run(folder: PathBuf, durability: Option<Durability>, records: u64) -> Result<(), Failure> {
    let dir = folder.join("journal");
    let _ = std::fs::remove_dir_all(&dir);
    let (capture, _) = Capture::open(Settings::new(&dir), Arc::new(RealDisk), Clock::system())?;
    let policy = match durability {
        Some(durability) => policy(durability)?,
        None => Arc::new(CapturePolicy { settings: None, ..(*policy(Durability::BestEffort)?).clone() }),
    };
    let stream = capture.stream(&policy);
    let body = Bytes::from(vec![b'7'; 1024]);
    let (started, cpu) = (Instant::now(), cpu_seconds()?);
    let tasks: Vec<_> =
        (0..TASKS).map(|task| tokio::spawn(caller(stream.clone(), task, records / TASKS, body.clone()))).collect();
    let mut kept = 0;
    for task in tasks {
        kept += task.await?;
    }
    let (took, burnt) = (started.elapsed().as_secs_f64(), cpu_seconds()? - cpu);
    capture.close().await?;
    let all = records / TASKS * TASKS;
    let mode = durability.map_or("no capture".to_owned(), |durability| format!("{durability:?}"));
    println!(
        "{mode:>14}: {:>8.0} records/s, {:.2} µs CPU per record, {kept} of {all} kept, imbalance {}",
        all as f64 / took,
        burnt * 1e6 / all as f64,
        capture.ledger().imbalance()
    );
    drop((stream, capture));
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| std::env::temp_dir().display().to_string()));
    let records: u64 = arguments.next().map_or(Ok(500_000), |text| text.parse())?;
    run(folder.clone(), None, records).await?;
    run(folder.clone(), Some(Durability::BestEffort), records).await?;
    run(folder.clone(), Some(Durability::AckAfterWrite), records).await?;
    run(folder, Some(Durability::AckAfterFsync), records / 10).await
}
