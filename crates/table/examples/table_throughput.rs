//! How many records of 1 KB a second become captured lines, and how many become both halves of a table.
//!
//! `cargo run --release -p captura-table --example table_throughput [RECORDS]`
#![expect(clippy::print_stdout, reason = "a measurement speaks to a person")]

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use captura_archive::batch::{Batcher, Plan, Rendered, Spare};
use captura_archive::rendering::{Renderer, TableFormat as _, TablePlan};
use captura_capture::SegmentName;
use captura_capture::record::{Lsn, Outcome, Payload, Policy, Record};
use captura_names::{EventId, S3Uri, Timestamp};
use captura_route::{Caller, Consumer, Field, FieldType, Signature};
use captura_table::Parquet;

type Failure = Box<dyn std::error::Error>;

/// Values of a request; with eight digits each they make about 1 KB.
const FEATURES: u32 = 100;
/// Records of a segment of 64 MiB.
const SEGMENT_RECORDS: u64 = 50_000;

fn policy() -> Result<Arc<Policy>, Failure> {
    let json = r#"{"endpoint":"bench","variant":"AllTraffic","model":"model","endpoint_config":"config","settings":{
        "enabled":true,"sampling":100,"input":true,"output":true,"destination":"s3://captures/bench",
        "csv_content_types":["text/csv"],"json_content_types":["application/json"],"kms_key_id":null,
        "durability":"ack-after-write","when_unavailable":"serve"}}"#;
    let field = |name: String| Field { name, kind: FieldType::Fractional, shape: vec![] };
    let inputs = (0..FEATURES).map(|at| field(format!("feature_{at}"))).collect();
    let signature = Signature { inputs, outputs: vec![field("score".into())] };
    Ok(Arc::new(serde_json::from_str::<Policy>(json)?.with_signature(Some(&signature))))
}

fn record(n: u64, policy: &Arc<Policy>) -> Record {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    let mut body = String::with_capacity(1_024);
    for feature in 0..u64::from(FEATURES) {
        let digits = (n + 1).wrapping_mul(feature + 7).wrapping_mul(2_654_435_761) % 100_000_000;
        write!(body, "{}.{:04},", digits / 10_000, digits % 10_000).expect("our bug: a String takes every write");
    }
    body.pop();
    let score = format!("0.{:06}", n.wrapping_mul(48_271) % 1_000_000);
    let payload = |body: String| Payload { content_type: Some("text/csv".into()), body: body.into() };
    Record {
        lsn: Lsn { node: 1, epoch: 1, n },
        event_id: EventId::from_bytes(id),
        policy: Arc::clone(policy),
        arrived_at: Timestamp::from_unix_us(1_700_000_000_000_000 + n as i64 * 1_000),
        consumer: Consumer::new("bench"),
        caller: Caller::default(),
        outcome: Outcome::Ok,
        status: 200,
        inference_id: None,
        custom_attributes: None,
        target_model: None,
        request_size_bytes: body.len() as u64,
        response_size_bytes: score.len() as u64,
        request: Some(payload(body)),
        response: Some(payload(score)),
        model_latency_us: 200 + n % 77,
        total_latency_us: 300 + n % 91,
    }
}

fn measure(what: &str, renderer: &mut dyn Renderer, records: &[Record]) -> Result<(), Failure> {
    let mut objects: Vec<Rendered> = Vec::new();
    let began = Instant::now();
    for record in records {
        objects.extend(renderer.push(record)?);
    }
    while let Some(object) = renderer.finish()? {
        objects.push(object);
    }
    let seconds = began.elapsed().as_secs_f64();
    let bytes: usize = objects.iter().map(|object| object.bytes.len()).sum();
    let per_record = bytes as f64 / records.len() as f64;
    let rate = records.len() as f64 / seconds;
    println!("{what:<34} {rate:>9.0} records/s  {per_record:>6.0} bytes/record  {} files", objects.len());
    Ok(())
}

fn main() -> Result<(), Failure> {
    let count = std::env::args().nth(1).map_or(Ok(SEGMENT_RECORDS), |text| text.parse())?;
    let policy = policy()?;
    let records: Vec<Record> = (0..count).map(|n| record(n, &policy)).collect();
    let segment = SegmentName::whole(1, 1);
    let plan = TablePlan::new(S3Uri::parse("s3://lake/bench")?);
    for _ in 0..3 {
        measure("captured lines", &mut Batcher::new(Plan::default(), Spare::default()), &records)?;
        measure("table, both halves, with bodies", &mut *Parquet.renderer(&plan, segment), &records)?;
        let calls = TablePlan { rows: false, ..plan.clone() };
        measure("table, calls with bodies", &mut *Parquet.renderer(&calls, segment), &records)?;
        let typed = TablePlan { bodies: false, ..plan.clone() };
        measure("table, both halves, no bodies", &mut *Parquet.renderer(&typed, segment), &records)?;
    }
    Ok(())
}
