//! Captured records through a user's handler, which here is a function.

use std::path::Path;

use captura_monitor::artefact::Statistics;
use captura_monitor::job::{self, JobError, Preprocessed, RecordPreprocessor};
use captura_names::Timestamp;
use serde_json::Value;

use super::{line, source, stores, text};

/// Leaves out every tenth record, fails on those of `broken`, splits others into two named rows.
struct Handler {
    seen: usize,
    ends_after: usize,
}

impl RecordPreprocessor for Handler {
    fn handle(&mut self, records: &[&[u8]]) -> Result<Vec<Preprocessed>, String> {
        let one = |record: &&[u8]| {
            let record: Value = serde_json::from_slice(record).unwrap();
            let input = record["captureData"]["endpointInput"]["data"].as_str().unwrap();
            match (record["captura"]["consumer"].as_str(), input.split_once(',')) {
                (Some("broken"), _) => Preprocessed::Failed("ValueError: no".into()),
                (_, Some((number, _))) if number.ends_with('0') => Preprocessed::Skipped,
                (_, Some((number, text))) => Preprocessed::Rows(format!(
                    r#"[{{"number": {number}, "text": "{text}"}}, {{"text": "t", "number": 1}}]"#
                )),
                _ => panic!("{input}"),
            }
        };
        self.seen += records.len();
        if self.seen > self.ends_after { Err("the script ended".into()) } else { Ok(records.iter().map(one).collect()) }
    }
}

fn captures(folder: &Path, count: usize) -> String {
    let at = folder.join("captures/e/v/2026/01/02/03");
    std::fs::create_dir_all(&at).unwrap();
    let start = Timestamp::parse("2026-01-02T03:00:00Z").unwrap();
    let consumer = |n: usize| if n % 25 == 7 { "broken" } else { "web" };
    let mut lines: String = (0..count).map(|n| line(start, n, consumer(n), &format!("{n},text {}", n % 3))).collect();
    lines.push_str("no record\n");
    lines.push_str(&line(start, count, "web", "1,x").replace("\"outcome\":\"ok\"", "\"outcome\":\"timed_out\""));
    std::fs::write(at.join("00-00-000-1.jsonl"), lines).unwrap();
    text(&folder.join("captures"))
}

#[tokio::test]
async fn rows_of_a_handler_are_analysed_in_the_place_of_records_and_every_record_is_accounted_for() {
    let dir = tempfile::tempdir().unwrap();
    let (captures, out) = (captures(dir.path(), 2_500), text(&dir.path().join("statistics.json")));
    let (stores, mut handler) = (stores(dir.path()), Handler { seen: 0, ends_after: usize::MAX });
    let scratch = text(&dir.path().join("scratch"));
    let (prepared, account) = job::preprocess(&stores, &source(&[&captures]), &mut handler, &scratch).await.unwrap();
    assert_eq!((account.records, account.skipped, account.failed), (2_500, 250, 100));
    let mut summary = job::profile(&stores, &prepared, &out).await.unwrap();
    account.add_to(&mut summary);
    assert_eq!((summary.rows, summary.used, summary.bad, summary.unanswered), (4_300, 2_150, 101, 1));
    assert_eq!(summary.records, summary.used + summary.bad + summary.unanswered);
    assert_eq!(summary.columns, ["number", "text"]);
    assert_eq!(
        (summary.described[0].line, summary.described[0].reason.as_str()),
        (8, "preprocess_handler: ValueError: no")
    );
    assert!(summary.described[0].source.ends_with("00-00-000-1.jsonl"), "{:?}", summary.described[0]);
    assert!(summary.notes.iter().any(|note| note.contains("left out 250 of 2500")), "{:?}", summary.notes);
    let statistics: Statistics = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    assert_eq!(statistics.dataset.item_count, 4_300);
}

#[tokio::test]
async fn a_handler_that_ends_ends_the_job_and_one_that_leaves_nothing_is_no_data() {
    let dir = tempfile::tempdir().unwrap();
    let captures = captures(dir.path(), 10);
    let (stores, scratch) = (stores(dir.path()), text(&dir.path().join("scratch")));
    let mut handler = Handler { seen: 0, ends_after: 5 };
    let ended = job::preprocess(&stores, &source(&[&captures]), &mut handler, &scratch).await.unwrap_err();
    assert_eq!(ended.to_string(), "the script ended");

    struct Nothing;
    impl RecordPreprocessor for Nothing {
        fn handle(&mut self, records: &[&[u8]]) -> Result<Vec<Preprocessed>, String> {
            Ok(vec![Preprocessed::Skipped; records.len()])
        }
    }
    let nothing = job::preprocess(&stores, &source(&[&captures]), &mut Nothing, &scratch).await.unwrap_err();
    assert!(
        matches!(&nothing, JobError::NoRows { records: 11, first, .. } if first.ends_with("left out 10")),
        "{nothing}"
    );
    std::fs::write(dir.path().join("table.csv"), "a,b\n1,2\n").unwrap();
    let table = text(&dir.path().join("table.csv"));
    let table = job::preprocess(&stores, &source(&[&table]), &mut Nothing, &scratch).await.unwrap_err();
    assert!(table.to_string().contains("table.csv is a table"), "{table}");
}
