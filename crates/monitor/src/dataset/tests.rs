//! Whole objects through the reader.

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, TimestampMicrosecondType};
use proptest::prelude::*;

use super::*;

fn line(output: &str, input: &str, consumer: &str) -> String {
    let side = |mode: &str, data: &str| serde_json::json!({"observedContentType": "text/csv", "mode": mode, "data": data, "encoding": "CSV"});
    let record = serde_json::json!({
        "captureData": {"endpointInput": side("INPUT", input), "endpointOutput": side("OUTPUT", output)},
        "eventMetadata": {"eventId": format!("id-{input}"), "inferenceTime": "2026-01-31T10:00:00Z"},
        "eventVersion": "0", "captura": {"consumer": consumer, "outcome": "ok"}
    });
    format!("{record}\n")
}

fn read(plan: Plan, feed: impl FnOnce(&mut Reader<&mut dyn FnMut(Batch)>) -> u64) -> (Vec<Batch>, Tally) {
    let mut batches = Vec::new();
    let mut sink = |batch| batches.push(batch);
    let mut reader = Reader::new(plan, &mut sink as &mut dyn FnMut(Batch));
    feed(&mut reader);
    let tally = reader.finish();
    (batches, tally)
}

fn numbers(batch: &Batch, column: usize) -> Vec<Option<f64>> {
    batch.rows.column(column).as_primitive::<Float64Type>().iter().collect()
}

#[test]
fn a_header_may_name_a_column_twice_or_not_at_all_where_numbers_below_tell() {
    let names = |csv: &[u8]| read(Plan::default(), |reader| reader.csv("x.csv", csv, Header::Auto)).1.columns.names;
    assert_eq!(names(b",a,b\n0,1,x\n1,2,y\n"), ["_c0", "a", "b"], "as pandas writes an index");
    assert_eq!(names(b"a,a,b\n1,2,3\n"), ["a", "a_2", "b"]);
    assert_eq!(names(b"a,\"x\ny\"\n1,2\n"), ["a", "x\ny"]);
    assert_eq!(names(b"red,red\nblue,green\n"), ["_c0", "_c1"], "rows of texts are rows");
    assert_eq!(names(b"a,1\n2,3\n"), ["_c0", "_c1"]);
}

#[test]
fn bytes_that_are_no_text_and_open_quotes_cost_their_rows_alone() {
    let csv = b"a,b\n1,x\n2,caf\xe9\n3,y\n4,\"z\n5,x\n";
    let (_, tally) = read(Plan::default(), |reader| reader.csv("x.csv", csv, Header::Auto));
    let bad: Vec<(u64, &str)> = tally.described.iter().map(|bad| (bad.line, bad.reason.as_str())).collect();
    assert_eq!((tally.rows, tally.records), (3, 5));
    assert_eq!(bad, [(3, "the row is not UTF-8"), (5, "a quote is opened in it that nothing closes")]);
}

#[test]
fn calls_without_a_single_value_are_unusable() {
    let side =
        |data: &str| format!(r#"{{"observedContentType":"application/json","data":"{data}","encoding":"JSON"}}"#);
    for data in ["[]", "{}", "[[]]"] {
        let side = side(data);
        let line =
            format!(r#"{{"captureData":{{"endpointInput":{side},"endpointOutput":{side}}},"eventMetadata":{{}}}}"#);
        let (batches, tally) = read(Plan::default(), |reader| reader.captures("x", line.as_bytes()));
        assert_eq!((batches.len(), tally.bad), (0, 1), "{data}");
        assert_eq!(tally.described[0].reason, "the row holds no values");
    }
}

#[test]
fn captured_lines_become_columns_with_the_output_first() {
    let text = line("0.5", "1,2\n", "web") + "not json\n\n" + &line("0.25", ",4", "app");
    let (batches, tally) =
        read(Plan { with_calls: true, ..Plan::default() }, |reader| reader.captures("a.jsonl", text.as_bytes()));
    assert_eq!(numbers(&batches[0], 0), [Some(0.5), Some(0.25)]);
    assert_eq!(numbers(&batches[0], 1), [Some(1.0), None]);
    assert_eq!((tally.records, tally.used, tally.rows, tally.bad), (3, 2, 2, 1));
    assert_eq!((tally.described[0].line, tally.columns.names.join(",")), (2, "_c0,_c1,_c2".into()));
    let calls = batches[0].calls.as_ref().unwrap();
    assert_eq!(calls.column(1).as_string::<i32>().value(1), "app");
    assert_eq!(calls.column(2).as_primitive::<TimestampMicrosecondType>().value(0), 1_769_853_600_000_000);
}

#[test]
fn calls_outside_of_the_scope_are_counted_apart() {
    let text = line("0.5", "1,2", "web") + &line("0.25", "3,4", "app") + &line("0.75", "5", "app");
    let scope = Scope { consumers: ["web".to_owned()].into(), ..Scope::default() };
    let (batches, tally) = read(Plan { scope, ..Plan::default() }, |reader| {
        reader.captures("a.jsonl", text.as_bytes());
        reader.csv("b.csv", b"0.5,7,8\n", Header::No)
    });
    // Rows of tables are no calls; nobody can say that they are somebody else's.
    assert_eq!(numbers(&batches[0], 1), [Some(1.0), Some(7.0)]);
    assert_eq!((tally.records, tally.used, tally.outside, tally.bad), (2, 2, 2, 0));
}

#[test]
fn names_come_from_the_baseline_by_position() {
    let plan = Plan { columns: Some(Columns::named(["p", "a", "b"].map(String::from))), ..Plan::default() };
    let text = line("0.5", "1,2", "web") + &line("0.5", "1", "web");
    let (batches, tally) = read(plan, |reader| reader.captures("a", text.as_bytes()));
    assert_eq!(batches[0].rows.schema().field(1).name(), "a");
    assert_eq!(tally.matching, Matching::ByPosition);
    assert_eq!(tally.widths.into_iter().collect::<Vec<_>>(), [(2, 1), (3, 1)]);
    assert_eq!(tally.described[0].reason, "the row has 2 columns, the data set 3");
}

#[test]
fn failed_calls_are_counted_apart() {
    let text = line("boom", "1,2", "web").replace("\"ok\"", "\"server_error\"");
    let (batches, tally) = read(Plan::default(), |reader| reader.captures("a", text.as_bytes()));
    assert!(batches.is_empty());
    assert_eq!((tally.unanswered, tally.bad), (1, 0));
}

#[test]
fn csv_headers_are_found_and_columns_matched_by_name() {
    let plan = Plan { columns: Some(Columns::named(["p", "a", "b"].map(String::from))), ..Plan::default() };
    let (batches, tally) = read(plan, |reader| reader.csv("x.csv", b"b,p,\"a\"\n1,2,3\n4,5\n", Header::Auto));
    assert_eq!(
        batches[0].rows.schema().fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>(),
        ["b", "p", "a"]
    );
    assert_eq!((tally.matching, tally.rows, tally.bad), (Matching::ByName, 1, 1));
    let (_, tally) = read(Plan::default(), |reader| reader.csv("x.csv", b"1,2\n3,4\n", Header::Auto));
    assert_eq!((tally.rows, tally.columns.names[0].as_str()), (2, "_c0"));
}

#[test]
fn json_inputs_match_by_name_and_strangers_are_reported() {
    let record = |input: &str| {
        serde_json::json!({"captureData": {
            "endpointInput": {"data": input, "encoding": "JSON"},
            "endpointOutput": {"data": "{\"predictions\":[0.5]}", "encoding": "JSON"}}, "eventMetadata": {}})
        .to_string()
    };
    let plan = Plan { columns: Some(Columns::named(["p", "a", "b"].map(String::from))), ..Plan::default() };
    let text = record("{\"b\":2,\"a\":1,\"new\":7}") + "\n" + &record("{\"b\":3}");
    let (batches, tally) = read(plan, |reader| reader.captures("a", text.as_bytes()));
    assert_eq!(numbers(&batches[0], 0), [Some(0.5), Some(0.5)]);
    assert_eq!(numbers(&batches[0], 1), [Some(1.0), None]);
    assert_eq!(numbers(&batches[0], 2), [Some(2.0), Some(3.0)]);
    assert_eq!((tally.matching, tally.strangers["new"]), (Matching::ByName, 1));
}

#[test]
fn batches_are_cut_and_nothing_is_lost() {
    let text: String = (0..BATCH_ROWS + 5).map(|i| line("1", &format!("{i},x"), "c")).collect();
    let (batches, tally) = read(Plan::default(), |reader| reader.captures("a", text.as_bytes()));
    assert_eq!(batches.iter().map(|batch| batch.rows.num_rows()).collect::<Vec<_>>(), [BATCH_ROWS, 5]);
    assert_eq!(tally.promoted, ["_c2"]);
    assert_eq!(batches[1].rows.column(2).null_count(), 0);
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_counted_and_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        fuzz::rows(&bytes);
    }

    #[test]
    fn nearly_right_lines_are_counted_and_never_panic(
        output in "[-0-9.,\"\n a{}\\[\\]:]{0,20}", input in "[-0-9.,\"\n a{}\\[\\]:]{0,30}",
        encoding in prop::sample::select(vec!["CSV", "JSON", "BASE64", "XML"]),
    ) {
        let record = serde_json::json!({"captureData": {
            "endpointInput": {"data": input, "encoding": encoding, "observedContentType": "text/csv"},
            "endpointOutput": {"data": output, "encoding": encoding, "observedContentType": "application/json"}},
            "eventMetadata": {"eventId": "1", "inferenceTime": "yesterday"}});
        fuzz::rows(record.to_string().as_bytes());
        let (batches, tally) = read(Plan::default(), |reader| reader.captures("a", record.to_string().as_bytes()));
        prop_assert_eq!(tally.used + tally.bad, 1);
        prop_assert_eq!(batches.iter().map(|batch| batch.rows.num_rows() as u64).sum::<u64>(), tally.rows);
    }
}
