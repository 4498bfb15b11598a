//! Tables beside the captured lines of the same records.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use captura_archive::batch::{Batcher, Plan, Rendered, Spare};
use captura_archive::line::Line;
use captura_archive::rendering::{ColumnNames, Renderer, TableFormat as _, TablePlan};
use captura_capture::SegmentName;
use captura_capture::record::{Lsn, Outcome, Payload, Policy, Record};
use captura_names::{EndpointPattern, EventId, S3Uri, Timestamp};
use captura_route::{Caller, Consumer, Field, FieldType, Signature};

use crate::{Kind, Parquet};

pub(crate) fn signature() -> Signature {
    let field = |name: &str, kind| Field { name: name.into(), kind, shape: vec![] };
    Signature {
        inputs: vec![field("age", FieldType::Integral), field("plan", FieldType::String)],
        outputs: vec![field("score", FieldType::Fractional)],
    }
}

pub(crate) fn policy(endpoint: &str, signature: Option<&Signature>) -> Arc<Policy> {
    let json = format!(
        r#"{{"endpoint":"{endpoint}","variant":"v","model":"m-1","endpoint_config":"c-1","settings":{{"enabled":true,
        "sampling":50,"input":true,"output":true,"destination":"s3://captures/d",
        "csv_content_types":["text/csv"],"json_content_types":["application/json"],"kms_key_id":null,
        "durability":"ack-after-write","when_unavailable":"serve"}}}}"#
    );
    let policy: Policy = serde_json::from_str(&json).unwrap();
    Arc::new(policy.with_signature(signature))
}

/// Content type and body of the request, then of the answer.
type Bodies<'b> = (Option<&'b str>, &'b [u8], Option<&'b str>, &'b [u8]);

/// At 23:59 and so many seconds.
pub(crate) fn record(n: u64, policy: &Arc<Policy>, bodies: Bodies<'_>) -> Record {
    let (request_type, request, response_type, response) = bodies;
    let payload = |content_type: Option<&str>, body: &[u8]| Payload {
        content_type: content_type.map(Into::into),
        body: body.to_vec().into(),
    };
    let mut id = [7; 16];
    id[..8].copy_from_slice(&n.to_be_bytes());
    Record {
        lsn: Lsn { node: 0xaa, epoch: 3, n },
        event_id: EventId::from_bytes(id),
        policy: Arc::clone(policy),
        arrived_at: Timestamp::parse("2022-04-18T23:59:00.000123Z").unwrap().plus_us(n as i64 * 1_000_000),
        consumer: Consumer::new("billing"),
        caller: Caller { source_address: Some("10.0.0.7".parse().unwrap()), ..Caller::default() },
        outcome: Outcome::Ok,
        status: 200,
        inference_id: None,
        custom_attributes: None,
        target_model: None,
        request: Some(payload(request_type, request)),
        response: Some(payload(response_type, response)),
        request_size_bytes: request.len() as u64,
        response_size_bytes: response.len() as u64,
        model_latency_us: 12,
        total_latency_us: 34,
    }
}

pub(crate) const SEGMENT: SegmentName = SegmentName::whole(3, 5);

fn all(renderer: &mut dyn Renderer, records: &[Record]) -> Vec<Rendered> {
    let mut objects: Vec<Rendered> = records.iter().flat_map(|record| renderer.push(record).unwrap()).collect();
    objects.extend(std::iter::from_fn(|| renderer.finish().unwrap()));
    objects
}

pub(crate) fn parts(plan: &TablePlan, records: &[Record]) -> Vec<Rendered> {
    all(&mut *Parquet.renderer(plan, SEGMENT), records)
}

pub(crate) fn plan() -> TablePlan {
    TablePlan::new(S3Uri::parse("s3://lake/x").unwrap())
}

pub(crate) fn batches(bytes: &bytes::Bytes) -> Vec<RecordBatch> {
    crate::file::read(bytes.clone()).unwrap().1.map(Result::unwrap).collect()
}

fn rows_of(parts: &[Rendered], kind: Kind) -> Vec<RecordBatch> {
    let wanted = parts.iter().filter(|part| part.key.starts_with(&format!("{kind}/")));
    wanted.flat_map(|part| batches(&part.bytes)).collect()
}

pub(crate) fn texts(batch: &RecordBatch, column: &str) -> Vec<Option<String>> {
    let column = batch.column_by_name(column).unwrap_or_else(|| panic!("{column} in {:?}", batch.schema()));
    column.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
}

fn wholes(batch: &RecordBatch, column: &str) -> Vec<Option<i64>> {
    batch.column_by_name(column).unwrap().as_primitive::<Int64Type>().iter().collect()
}

fn doubles(batch: &RecordBatch, column: &str) -> Vec<Option<f64>> {
    batch.column_by_name(column).unwrap().as_primitive::<Float64Type>().iter().collect()
}

/// Calls of every sort, of two endpoints, across midnight.
fn odd_day() -> Vec<Record> {
    let (churn, fraud) = (policy("churn", Some(&signature())), policy("fraud-2", None));
    let long = "x".repeat(70_000);
    let bodies: [Bodies<'_>; 9] = [
        (Some("text/csv"), b"36,basic", Some("text/csv"), b"0.5"),
        (Some("text/csv"), b"36,basic\n41,\"pro, yearly\"\n", Some("text/csv"), b"0.5,0.75"),
        (Some("application/json"), b"{\"age\": 7, \"plan\": \"\\u00e9\"}", Some("application/json"), b"{\"score\": 1}"),
        (Some("image/png"), b"\x89PNG\r\n\x1a\n\0\xff", Some("application/json"), b"[1, 2"),
        (Some("text/csv"), b"\xff\xfe", None, b""),
        (None, b"", Some("text/csv"), b""),
        (Some("text/csv"), b"36", Some("text/csv"), b"0.5"),
        (Some("text/csv; charset=utf-8"), b"3.5,NaN", Some("text/csv"), b"high"),
        (Some("application/x"), long.as_bytes(), Some("text/csv"), b"1\n2\n3"),
    ];
    let mut records: Vec<Record> = Vec::new();
    for n in 0..90_u64 {
        let policy = if n % 4 == 3 { &fraud } else { &churn };
        let mut record = record(n, policy, bodies[(n % 9) as usize]);
        if n % 10 == 9 {
            (record.outcome, record.status, record.response) = (Outcome::TimedOut, 504, None);
        }
        if n % 11 == 10 {
            record.response_size_bytes += 5;
        }
        records.push(record);
    }
    records
}

#[test]
fn every_call_is_in_the_table_as_it_is_in_the_captured_lines() {
    let records = odd_day();
    let lines: Vec<Line> = all(&mut Batcher::new(Plan::default(), Spare::default()), &records)
        .iter()
        .flat_map(|object| {
            object
                .bytes
                .split_inclusive(|byte| *byte == b'\n')
                .map(|line| Line::parse(line).unwrap())
                .collect::<Vec<_>>()
        })
        .collect();
    let lines: BTreeMap<String, Line> = lines.into_iter().map(|line| (line.event_id.to_string(), line)).collect();
    let parts = parts(&plan(), &records);
    let mut found = 0;
    for batch in rows_of(&parts, Kind::Invocations) {
        let bodies = |column: &str| batch.column_by_name(column).unwrap().as_binary::<i32>().clone();
        let (requests, responses) = (bodies("request_raw"), bodies("response_raw"));
        for (at, event_id) in texts(&batch, "event_id").into_iter().enumerate() {
            let line = &lines[&event_id.unwrap()];
            let body = |column: &arrow_array::BinaryArray| column.is_valid(at).then(|| column.value(at).to_vec());
            let side = |side: &Option<captura_archive::line::Side>| side.as_ref().map(|side| side.body.to_vec());
            assert_eq!(body(&requests), side(&line.input));
            assert_eq!(body(&responses), side(&line.output));
            let type_of =
                |side: &Option<captura_archive::line::Side>| side.as_ref().and_then(|side| side.content_type.clone());
            assert_eq!(texts(&batch, "request_content_type")[at], type_of(&line.input));
            assert_eq!(texts(&batch, "response_content_type")[at], type_of(&line.output));
            let lsn = Lsn { node: 0xaa, epoch: 3, n: wholes(&batch, "lsn_n")[at].unwrap() as u64 };
            assert_eq!(line.lsn, Some(lsn));
            let time = batch.column_by_name("event_time").unwrap().as_primitive::<TimestampMicrosecondType>().value(at);
            assert_eq!(time, records[lsn.n as usize].arrived_at.unix_us());
            assert_eq!(wholes(&batch, "status_code")[at], Some(i64::from(records[lsn.n as usize].status)));
            found += 1;
        }
    }
    assert_eq!(found, records.len());
    let numbers = |kind: Kind| -> Vec<i64> {
        let batches = rows_of(&parts, kind);
        let mut numbers: Vec<i64> = batches.iter().flat_map(|batch| wholes(batch, "lsn_n")).flatten().collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    };
    assert_eq!(numbers(Kind::Rows), numbers(Kind::Invocations), "no call is lost among the rows");
}

#[test]
fn parts_stand_in_the_hour_of_their_calls_and_twice_is_the_same() {
    let records = odd_day();
    let made = parts(&plan(), &records);
    let keys: Vec<&str> = made.iter().map(|part| part.key.as_str()).collect();
    let part = |n: u64| format!("part-000000aa-0000000003-000000000005-{n}.parquet");
    let hour = |kind: &str, endpoint: &str, at: &str, n: u64| format!("{kind}/endpoint={endpoint}/{at}/{}", part(n));
    let (before, after) = ("date=2022-04-18/hour=23", "date=2022-04-19/hour=00");
    let mut expected: Vec<String> = Vec::new();
    for kind in ["invocations", "rows"] {
        expected.extend([hour(kind, "churn", before, 0), hour(kind, "churn", after, 60)]);
        expected.extend([hour(kind, "fraud-2", before, 3), hour(kind, "fraud-2", after, 63)]);
    }
    let mut sorted = keys.clone();
    sorted.sort_unstable();
    expected.sort();
    assert_eq!(sorted, expected);
    let again = parts(&plan(), &records);
    assert!(made.iter().zip(&again).all(|(one, other)| one.key == other.key && one.bytes == other.bytes));
    let only = TablePlan { endpoints: vec![EndpointPattern::parse("fraud-*").unwrap()], ..plan() };
    assert!(parts(&only, &records).iter().all(|part| part.key.contains("endpoint=fraud-2")));
    let bare = TablePlan { bodies: false, rows: false, ..plan() };
    let bare = parts(&bare, &records);
    assert!(bare.iter().all(|part| part.key.starts_with("invocations/")));
    assert!(batches(&bare[0].bytes)[0].column_by_name("request_raw").is_none());
}

#[test]
fn inputs_and_outputs_have_the_types_of_the_signature_and_what_is_not_decoded_says_why() {
    let churn = policy("churn", Some(&signature()));
    let csv = Some("text/csv");
    let records = [
        record(0, &churn, (csv, b"36,basic\n41,\"pro, yearly\"\n", csv, b"0.5,0.75")),
        record(1, &churn, (Some("application/json"), b"{\"plan\": 7, \"age\": 9}", csv, b"1")),
        record(2, &churn, (csv, b"3.5,x", csv, b"high")),
        record(3, &churn, (csv, b"36", csv, b"0.5")),
        record(4, &churn, (Some("image/png"), b"\x89", csv, b"0.5")),
        record(5, &churn, (csv, b"1,a\n2,b", csv, b"0.1\n0.2\n0.3")),
    ];
    let rows = rows_of(&parts(&plan(), &records), Kind::Rows).remove(0);
    let whole = |column: &str| wholes(&rows, column);
    assert_eq!(whole("lsn_n"), [0, 0, 1, 2, 3, 4, 5].map(Some));
    assert_eq!(whole("row_index"), [0, 1, 0, 0, 0, 0, 0].map(Some));
    assert_eq!(whole("in.age"), [Some(36), Some(41), Some(9), None, None, None, None]);
    let plans = ["basic", "pro, yearly", "7", "x"].map(|text| Some(text.to_owned()));
    assert_eq!(texts(&rows, "in.plan")[..4], plans);
    assert_eq!(doubles(&rows, "out.score"), [Some(0.5), Some(0.75), Some(1.0), None, Some(0.5), Some(0.5), None]);
    assert_eq!(texts(&rows, "source_address")[0].as_deref(), Some("10.0.0.7"));
    let reasons = texts(&rows, "decode_error");
    let expected = [
        None,
        None,
        None,
        Some("input: age: \"3.5\" is no whole number"),
        Some("input: the row has 1 values, the signature 2"),
        Some(
            "input: the body is BASE64 of image/png; only CSV and JSON are read (text/csv, \
              application/json, application/jsonlines, …+json)",
        ),
        Some("3 output rows do not pair with 2 input rows"),
    ];
    assert_eq!(reasons, expected.map(|reason| reason.map(str::to_owned)));
    let untold = [record(0, &policy("churn", None), (csv, b"1,a", csv, b"0.1"))];
    let rows = rows_of(&parts(&plan(), &untold), Kind::Rows).remove(0);
    assert_eq!(texts(&rows, "decode_error"), [Some("the model states no signature".to_owned())]);
}

#[test]
fn lists_and_plain_names_follow_the_signature() {
    let field = |name: &str, kind, shape: &[Option<u64>]| Field { name: name.into(), kind, shape: shape.to_vec() };
    let signature = Signature {
        inputs: vec![field("Pixels", FieldType::Integral, &[Some(2), Some(2)])],
        outputs: vec![field("label", FieldType::String, &[]), field("p(x)", FieldType::Fractional, &[Some(2)])],
    };
    let json = Some("application/json");
    let records = [record(
        0,
        &policy("e", Some(&signature)),
        (json, b"[[[1,2],[3,4]]]", json, b"{\"label\":\"cat\",\"p(x)\":[0.25,0.75]}"),
    )];
    let plain = TablePlan { columns: ColumnNames::Plain, ..plan() };
    let rows = rows_of(&parts(&plain, &records), Kind::Rows).remove(0);
    assert_eq!(texts(&rows, "decode_error"), [None]);
    let pixels = rows.column_by_name("in_pixels").unwrap().as_list::<i32>().value(0);
    assert_eq!(pixels.as_primitive::<Int64Type>().values(), &[1, 2, 3, 4]);
    assert_eq!(texts(&rows, "out_label"), [Some("cat".to_owned())]);
    let scores = rows.column_by_name("out_p_x_").unwrap().as_list::<i32>().value(0);
    assert_eq!(scores.as_primitive::<Float64Type>().values(), &[0.25, 0.75]);
}

#[test]
fn large_bodies_make_more_parts_and_rows_of_one_call_have_a_bound() {
    let churn = policy("churn", Some(&signature()));
    let body = vec![b'x'; 4 << 20];
    let mut made = 0;
    let mut renderer = Parquet.renderer(&plan(), SEGMENT);
    for n in 0..12 {
        let record = record(n, &churn, (Some("text/plain"), &body, Some("text/csv"), b"1"));
        made += renderer.push(&record).unwrap().len();
    }
    assert_eq!(made, 4, "two parts of two files each were closed on the way");
    let many = "1,a\n".repeat(600_000);
    let records = [record(0, &churn, (Some("text/csv"), many.as_bytes(), Some("text/csv"), b"1"))];
    let rows = rows_of(&parts(&plan(), &records), Kind::Rows).remove(0);
    assert_eq!(rows.num_rows(), 1);
    assert!(texts(&rows, "decode_error")[0].as_ref().unwrap().contains("more than 1048576 values"));
}
