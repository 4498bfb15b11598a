//! Columns are called what a file of names calls them, whatever is sent.

use std::path::Path;
use std::sync::Arc;

use captura_monitor::artefact::Statistics;
use captura_monitor::dataset::Naming;
use captura_monitor::job::{self, Source};

use super::{stores, text};

/// Three calls; the bodies as they are sent.
fn captures(folder: &Path, input: &str, output: &str, encoding: &str) {
    let hour = folder.join("e/v/2026/03/01/08");
    std::fs::create_dir_all(&hour).unwrap();
    let line = |id: u8| {
        let side = |mode: &str, body: &str| serde_json::json!({"mode": mode, "data": body.replace('#', &id.to_string()), "encoding": encoding});
        let record = serde_json::json!({
            "captureData": {"endpointInput": side("INPUT", input), "endpointOutput": side("OUTPUT", output)},
            "eventMetadata": {"eventId": id.to_string(), "inferenceTime": "2026-03-01T08:00:00Z"},
            "eventVersion": "0",
        });
        format!("{record}\n")
    };
    let object = hour.join("00-00-000-00000000-0000-4000-8000-000000000000.jsonl");
    std::fs::write(object, [1, 2, 3].map(line).concat()).unwrap();
}

/// Names and means of the columns.
async fn profiled(folder: &Path, naming: &str, keeps_profiles: bool) -> Vec<(String, f64)> {
    profiled_and_told(folder, naming, keeps_profiles).await.0
}

/// The same, and what a person is told.
async fn profiled_and_told(folder: &Path, naming: &str, keeps_profiles: bool) -> (Vec<(String, f64)>, Vec<String>) {
    let naming = Naming::parse(naming).unwrap();
    let addresses = vec![text(&folder.join("e"))];
    let names = naming.columns().cloned();
    let source = Source { addresses, names, naming: Arc::new(naming), keeps_profiles, ..Source::default() };
    let out = folder.join("statistics.json");
    let summary = job::profile(&stores(folder), &source, &text(&out)).await.unwrap();
    let statistics: Statistics = serde_json::from_slice(&std::fs::read(out).unwrap()).unwrap();
    // A column that nothing was sent for has no mean.
    let mean = |feature: &captura_monitor::artefact::FeatureStatistics| {
        feature.numerical_statistics.as_ref().map_or(f64::INFINITY, |numbers| numbers.mean)
    };
    let found = statistics.features.iter().map(|feature| (feature.name.clone(), mean(feature))).collect();
    (found, summary.notes)
}

fn means(named: &[(&str, f64)]) -> Vec<(String, f64)> {
    named.iter().map(|(name, mean)| ((*name).to_owned(), *mean)).collect()
}

#[tokio::test]
async fn lines_of_csv_are_named_by_place_and_a_side_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    captures(dir.path(), "#,10", "0.5", "CSV");
    let expected = means(&[("score", 0.5), ("age", 2.0), ("income", 10.0)]);
    for naming in ["score\nage\nincome\n", r#"{"outputs": ["score"], "inputs": ["age", "income"]}"#] {
        assert_eq!(profiled(dir.path(), naming, false).await, expected, "{naming}");
    }
    let inputs_alone = profiled(dir.path(), r#"{"inputs": ["age", "income"]}"#, false).await;
    assert_eq!(inputs_alone, means(&[("_c0", 0.5), ("age", 2.0), ("income", 10.0)]));

    let wrong = r#"{"outputs": ["score", "sure"], "inputs": {"a": "age"}}"#;
    let (found, told) = profiled_and_told(dir.path(), wrong, false).await;
    assert_eq!(found, means(&[("_c0", 0.5), ("_c1", 2.0), ("_c2", 10.0)]));
    assert!(told.iter().any(|note| note.starts_with("no column is called age, score, sure,")), "{told:?}");
}

#[tokio::test]
async fn a_side_has_its_names_where_the_other_was_not_captured() {
    let dir = tempfile::tempdir().unwrap();
    captures(dir.path(), "#,10", "0.5", "CSV");
    let object = dir.path().join("e/v/2026/03/01/08/00-00-000-00000000-0000-4000-8000-000000000000.jsonl");
    let lines = std::fs::read_to_string(&object).unwrap();
    let inputs_alone = lines.lines().map(|line| {
        let mut record: serde_json::Value = serde_json::from_str(line).unwrap();
        record["captureData"].as_object_mut().unwrap().remove("endpointOutput");
        format!("{record}\n")
    });
    std::fs::write(&object, inputs_alone.collect::<String>()).unwrap();
    let naming = r#"{"outputs": ["score"], "inputs": ["age", "income"]}"#;
    let (found, told) = profiled_and_told(dir.path(), naming, false).await;
    assert_eq!(found, means(&[("score", f64::INFINITY), ("age", 2.0), ("income", 10.0)]), "{told:?}");
    assert_eq!(told, ["no record has these columns: score"]);
}

#[tokio::test]
async fn members_of_json_are_renamed_and_kept_profiles_of_other_names_are_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    captures(dir.path(), r#"{"instances": [{"a": #, "b": {"c": 10}}]}"#, r#"{"predictions": [0.5]}"#, "JSON");
    let by_sent = r#"{"outputs": ["score"], "inputs": {"a": "age", "/b/c": "income"}}"#;
    let expected = means(&[("score", 0.5), ("age", 2.0), ("income", 10.0)]);
    let the_other_way = r#"{"outputs": ["score"], "inputs": {"a": "income", "/b/c": "age"}}"#;
    for _ in 0..2 {
        assert_eq!(profiled(dir.path(), by_sent, true).await, expected);
        let mut swapped = profiled(dir.path(), the_other_way, true).await;
        swapped.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(swapped, means(&[("age", 10.0), ("income", 2.0), ("score", 0.5)]));
    }
}
