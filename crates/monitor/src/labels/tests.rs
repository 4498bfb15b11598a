use captura_names::Timestamp;

use super::*;

fn record(id: &str, data: &str, encoding: &str) -> String {
    let data = serde_json::to_string(data).unwrap();
    format!(
        r#"{{"groundTruthData":{{"data":{data},"encoding":"{encoding}"}},"eventMetadata":{{"eventId":"{id}"}},"eventVersion":"0"}}"#
    ) + "\n"
}

fn at(hour: &str) -> String {
    format!("s3://truth/labels/2026/03/01/{hour}/part-0.jsonl")
}

fn values(labels: &mut Labels, id: &str) -> Vec<Option<String>> {
    let found = labels.find(None, Some(id)).map(|label| label.values.to_vec()).unwrap_or_default();
    found.into_iter().map(|value| value.map(String::from)).collect()
}

#[test]
fn repeated_corrected_empty_and_bad_labels_are_told_apart_and_all_are_booked() {
    let mut labels = Labels::new(None, None);
    let first = [record("a", "1", "CSV"), record("b", "1", "CSV"), record("c", "", "CSV"), "{}\n".to_owned()].concat();
    labels.read(&at("08"), first.as_bytes()).unwrap();
    let second = [record("a", "1.0", "CSV"), record("b", "0", "CSV"), record("z", "yes", "CSV")].concat();
    labels.read(&at("09"), second.as_bytes()).unwrap();
    assert_eq!(values(&mut labels, "a"), [Some("1".to_owned())]);
    assert_eq!(values(&mut labels, "b"), [Some("0".to_owned())], "the later hour wins");
    assert_eq!(values(&mut labels, "c"), [] as [Option<String>; 0]);
    let account = labels.account();
    let LabelAccount { records, labels: known, repeated, corrected, empty, bad, not_yet, unmatched, .. } = account;
    assert_eq!(
        (records, known, repeated, corrected, empty, bad, not_yet, unmatched),
        (7, 3, 1, 1, 1, 1, 0, 1),
        "{account:?}"
    );
    assert!(account.described[0].reason.contains("not a ground truth record"), "{account:?}");
}

#[test]
fn labels_that_arrive_after_the_moment_asked_about_do_not_count_yet() {
    let mut labels = Labels::new(None, Some(Timestamp::parse("2026-03-01T09:00:00Z").unwrap()));
    labels.read(&at("08"), record("a", "1", "CSV").as_bytes()).unwrap();
    labels.read(&at("09"), record("a", "0", "CSV").as_bytes()).unwrap();
    assert_eq!(values(&mut labels, "a"), [Some("1".to_owned())]);
    assert_eq!(labels.account().not_yet, 1);
    assert_eq!(labels.latest().unwrap().to_string(), "2026-03-01T09:00:00Z");
}

#[test]
fn the_inference_id_is_looked_for_before_the_event_id() {
    let mut labels = Labels::new(None, None);
    let text = [record("order-7", "1", "CSV"), record("event-7", "0", "CSV")].concat();
    labels.read("labels.jsonl", text.as_bytes()).unwrap();
    let value = |label: Option<&Label>| label.unwrap().values[0].as_deref().map(str::to_owned);
    assert_eq!(value(labels.find(Some("order-7"), Some("event-7"))).as_deref(), Some("1"));
    assert_eq!(value(labels.find(Some("order-8"), Some("event-7"))).as_deref(), Some("0"));
    assert!(labels.find(None, None).is_none());
}

#[test]
fn labels_come_as_csv_json_or_base64_and_for_several_rows() {
    let mut labels = Labels::new(Some("label".into()), None);
    let text = [
        record("rows", "1\n\"0\"\n", "CSV"),
        record("object", r#"{"label": 1, "reviewer": "x"}"#, "JSON"),
        record("list", r#"[{"label": "a"}, {"label": null}]"#, "JSON"),
        record("bytes", "MQo=", "BASE64"),
        record("ambiguous", "1,2", "CSV"),
    ];
    labels.read("labels.jsonl", text.concat().as_bytes()).unwrap();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(values(&mut labels, "rows"), [some("1"), some("0")]);
    assert_eq!(values(&mut labels, "object"), [some("1")]);
    assert_eq!(values(&mut labels, "list"), [some("a"), None]);
    assert_eq!(values(&mut labels, "bytes"), [some("1")]);
    assert!(labels.account().described[0].reason.contains("2 columns"), "{:?}", labels.account());
}

#[test]
fn maturity_adds_up_and_tells_how_late_labels_come() {
    let moment = |text: &str| Timestamp::parse(text).unwrap();
    let as_of = moment("2026-03-10T12:00:00Z");
    let mut calls = Calls::default();
    let hour = |hours: i64| Some(as_of.plus_us(-hours * 3_600_000_000));
    calls.push(hour(0), None);
    calls.push(hour(2), None);
    calls.push(hour(30), Some(hour(20)));
    calls.push(hour(30), Some(hour(0)));
    calls.push(hour(1000), Some(None));
    calls.push(None, Some(None));
    let maturity = calls.maturity(Some(as_of));
    assert_eq!((maturity.calls, maturity.labelled), (6, 4));
    let ages: Vec<(&str, u64, u64)> =
        maturity.by_age.iter().map(|age| (age.age.as_str(), age.calls, age.labelled)).collect();
    assert_eq!(
        ages,
        [
            ("under 1 hour", 1, 0),
            ("1 to 6 hours", 1, 0),
            ("1 to 3 days", 2, 2),
            ("over 30 days", 1, 1),
            ("without a time", 1, 1)
        ]
    );
    assert_eq!(maturity.delay, Some(Delay { median_hours: 10, p90_hours: 30, max_hours: 30 }));
    assert_eq!(calls.latest(), Some(as_of));
}

#[test]
fn the_hour_of_arrival_is_read_from_the_folder() {
    assert_eq!(arrival(&at("08")).unwrap().to_string(), "2026-03-01T08:00:00Z");
    assert_eq!(arrival("s3://truth/labels/2026/03/01/part.jsonl"), None);
    assert_eq!(arrival("labels.jsonl"), None);
    assert_eq!(arrival("x/2026/13/45/99/part.jsonl"), None);
}
