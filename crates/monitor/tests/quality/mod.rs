//! Model quality, on captures and ground truth as they lie in stores.

use std::fmt::Write as _;
use std::path::Path;

use captura_monitor::job::{self, Quality, QualityError, QualitySummary, Source};
use captura_monitor::quality::{Attributes, ProblemType};
use captura_names::Timestamp;
use serde_json::Value;

use super::{Dice, stores, text};

/// A captured call; `at` counts hours from the beginning of March.
fn call(id: &str, inference_id: Option<&str>, at: f64, input: &str, output: &str) -> String {
    let inference_id = inference_id.map_or(String::new(), |id| format!(r#""inferenceId":"{id}","#));
    let time = moment(at);
    format!(
        r#"{{"captureData":{{"endpointInput":{{"observedContentType":"text/csv","mode":"INPUT","data":"{input}","encoding":"CSV"}},"endpointOutput":{{"observedContentType":"text/csv","mode":"OUTPUT","data":"{output}","encoding":"CSV"}}}},"eventMetadata":{{"eventId":"{id}",{inference_id}"inferenceTime":"{time}"}},"eventVersion":"0"}}"#
    ) + "\n"
}

fn label(id: &str, data: &str) -> String {
    format!(
        r#"{{"groundTruthData":{{"data":"{data}","encoding":"CSV"}},"eventMetadata":{{"eventId":"{id}"}},"eventVersion":"0"}}"#
    ) + "\n"
}

fn moment(hours: f64) -> Timestamp {
    Timestamp::parse("2026-03-01T00:00:00Z").unwrap().plus_us((hours * 3600.0).round() as i64 * 1_000_000)
}

fn put(dir: &Path, key: &str, lines: &str) {
    let path = dir.join(key);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, lines).unwrap();
}

fn request(dir: &Path, attributes: Attributes) -> Quality {
    Quality {
        source: Source { addresses: vec![text(&dir.join("captures"))], ..Source::default() },
        attributes,
        ground_truth: vec![text(&dir.join("truth"))],
        baseline: None,
        out: text(&dir.join("out")),
        window: None,
        merge: None,
        as_of: None,
        seed: 0,
    }
}

fn scored() -> Attributes {
    Attributes {
        probability: Some("0".into()),
        threshold: Some(0.5),
        ..Attributes::of(ProblemType::BinaryClassification)
    }
}

fn value(found: &QualitySummary, name: &str) -> f64 {
    found.metrics.iter().find(|metric| metric.name == name).unwrap().value
}

#[tokio::test]
async fn labels_find_their_calls_late_corrected_repeated_and_partial() {
    let dir = tempfile::tempdir().unwrap();
    let calls = [
        call("e1", None, 8.1, "1,2", "0.9"),
        call("e2", Some("order-2"), 8.2, "1,2", "0.8"),
        call("e3", None, 8.3, "1,2", "0.1"),
        call("e4", None, 8.4, "1,2\\n3,4", "0.7\\n0.2"),
        call("e5", None, 8.5, "1,2", "0.6"),
        call("e5", None, 8.5, "1,2", "0.6"),
        call("e1", None, 8.1, "1,2", "0.9"),
    ];
    put(dir.path(), "captures/m/AllTraffic/2026/03/01/08/06-00-000-a.jsonl", &calls.concat());
    // Named so that the order of names is not the order of arrival.
    let first = [label("e1", "0"), label("order-2", "1"), label("nobody", "1"), label("e4", "1\\n1")];
    put(dir.path(), "truth/z/2026/03/01/09/labels.jsonl", &first.concat());
    put(
        dir.path(),
        "truth/a/2026/03/03/09/labels.jsonl",
        &[label("e1", "1"), label("e3", "0"), label("e3", "0")].concat(),
    );
    let stores = stores(dir.path());
    let found = job::quality(&stores, &request(dir.path(), scored())).await.unwrap();
    assert_eq!(found.judged, 5, "{found:?}");
    assert_eq!(value(&found, "accuracy"), 0.8, "e4's second row is a positive that was missed");
    let labels = found.labels.as_ref().unwrap();
    assert_eq!((labels.labels, labels.corrected, labels.repeated, labels.unmatched), (5, 1, 1, 1), "{labels:?}");
    let maturity = found.maturity.as_ref().unwrap();
    assert_eq!((maturity.calls, maturity.labelled), (5, 4));
    assert_eq!(maturity.as_of.as_deref(), Some("2026-03-03T10:00:00Z"), "the last hour of labels");
    assert_eq!((found.left.no_label, found.left.repeated_calls), (1, 2));
    // Asked about an earlier moment, the correction and the label of e3 are not there yet.
    let earlier = Quality { as_of: Some(moment(24.0)), ..request(dir.path(), scored()) };
    let earlier = job::quality(&stores, &earlier).await.unwrap();
    assert_eq!((earlier.judged, earlier.labels.as_ref().unwrap().not_yet), (4, 3));
    assert_eq!(value(&earlier, "precision"), 2.0 / 3.0, "e1 was still wrong");
}

#[tokio::test]
async fn the_files_are_those_of_model_monitor() {
    let dir = tempfile::tempdir().unwrap();
    put(
        dir.path(),
        "captures/08.jsonl",
        &[call("e1", None, 8.1, "1", "0.9"), call("e2", None, 8.2, "1", "0.3")].concat(),
    );
    put(dir.path(), "truth/2026/03/01/09/l.jsonl", &[label("e1", "1"), label("e2", "0")].concat());
    let stores = stores(dir.path());
    let found = job::quality(&stores, &request(dir.path(), scored())).await.unwrap();
    let written: Vec<&str> = found.data.written.iter().map(|address| address.rsplit('/').next().unwrap()).collect();
    assert_eq!(written, ["statistics.json", "constraints.json", "quality.json"]);
    let file = |name: &str| std::fs::read_to_string(dir.path().join("out").join(name)).unwrap();
    let statistics = file("statistics.json");
    let head = "{\n  \"version\" : 0.0,\n  \"dataset\" : {\n    \"item_count\" : 2,\n    \"start_time\" : \
                \"2026-03-01T08:06:00Z\",\n    \"end_time\" : \"2026-03-01T08:12:00Z\",\n    \"evaluation_time\" : \
                \"2026-03-01T10:00:00Z\"\n  },\n  \"binary_classification_metrics\" : {\n    \"confusion_matrix\" : {";
    assert!(statistics.starts_with(head), "{statistics}");
    assert!(statistics.contains("\"standard_deviation\" : \"NaN\""), "{statistics}");
    let constraints: Value = serde_json::from_str(&file("constraints.json")).unwrap();
    let section = constraints["binary_classification_constraints"].as_object().unwrap();
    assert_eq!(section["auc"], serde_json::json!({"threshold": 1.0, "comparison_operator": "LessThanThreshold"}));
    assert_eq!(section["false_positive_rate"]["comparison_operator"], "GreaterThanThreshold");
    assert_eq!(section.len(), 11);
    // What got worse is a violation of the folder just written.
    put(dir.path(), "truth/2026/03/01/11/l.jsonl", &label("e2", "1"));
    let again = Quality {
        baseline: Some(text(&dir.path().join("out"))),
        out: text(&dir.path().join("check")),
        ..request(dir.path(), scored())
    };
    let again = job::quality(&stores, &again).await.unwrap();
    let violations = again.violations.unwrap();
    let names: Vec<&str> = violations.iter().map(|violation| violation.metric_name.as_str()).collect();
    assert_eq!(names, ["recall", "accuracy", "truePositiveRate", "falseNegativeRate", "f0_5", "f1", "f2"]);
    assert_eq!(violations[1].description, "Metric accuracy with 0.5 +/- NaN was LessThanThreshold '1.0'");
    assert!(again.data.notes.iter().any(|note| note.starts_with("auc: not defined")), "{:?}", again.data.notes);
    let file = std::fs::read_to_string(dir.path().join("check/constraint_violations.json")).unwrap();
    assert!(file.starts_with("{\n  \"violations\" : [ {\n    \"constraint_check_type\" : \"LessThanThreshold\",\n"));
}

#[tokio::test]
async fn tables_with_a_column_of_labels_need_no_ground_truth() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "rows.csv", "prediction,label,size\ncat,cat,1\ndog,cat,2\ndog,dog,3\nbird,dog,4\n,dog,5\n");
    let attributes = Attributes {
        inference: Some("prediction".into()),
        ground_truth: Some("label".into()),
        ..Attributes::of(ProblemType::MulticlassClassification)
    };
    let request = Quality {
        source: Source { addresses: vec![text(&dir.path().join("rows.csv"))], ..Source::default() },
        ground_truth: Vec::new(),
        ..request(dir.path(), attributes)
    };
    let found = job::quality(&stores(dir.path()), &request).await.unwrap();
    assert!(found.by_segment.is_empty(), "nobody called a table");
    assert_eq!((found.judged, value(&found, "accuracy"), found.left.no_prediction), (4, 0.5, 1));
    assert!(found.labels.is_none() && found.maturity.is_none());
    let wrong =
        Quality { attributes: Attributes { inference: Some("guess".into()), ..request.attributes.clone() }, ..request };
    let error = job::quality(&stores(dir.path()), &wrong).await.unwrap_err();
    assert!(error.to_string().contains("there are prediction, label, size"), "{error}");
}

#[tokio::test]
async fn captures_that_sagemaker_has_merged_bring_their_labels() {
    let dir = tempfile::tempdir().unwrap();
    let merged = r#"{"eventVersion":"0","groundTruthData":{"data":"42.5","encoding":"CSV"},"captureData":{"endpointInput":{"data":"1,2","encoding":"CSV","mode":"INPUT","observedContentType":"text/csv"},"endpointOutput":{"data":"40.5","encoding":"CSV","mode":"OUTPUT","observedContentType":"text/csv"}},"eventMetadata":{"eventId":"e1","inferenceId":"i1","inferenceTime":"2026-03-01T08:00:00Z"}}"#;
    let lines = [merged.to_owned() + "\n", call("e2", None, 8.0, "1,2", "7")].concat();
    put(dir.path(), "captures/merge.jsonl", &lines);
    let attributes = Attributes { inference: Some("0".into()), ..Attributes::of(ProblemType::Regression) };
    let request = Quality { ground_truth: Vec::new(), ..request(dir.path(), attributes) };
    let found = job::quality(&stores(dir.path()), &request).await.unwrap();
    assert_eq!((found.judged, value(&found, "mae"), value(&found, "rmse")), (1, 2.0, 2.0));
    assert_eq!((found.labels.unwrap().bad, found.left.no_label), (0, 1));
}

/// Captures whose score says how often the label is 1, from `from` on; labels for the first `labelled`.
fn stream(dir: &Path, prefix: &str, calls: usize, labelled: usize, seed: u64) {
    let mut dice = Dice(seed);
    let (mut lines, mut labels) = (String::new(), String::new());
    for n in 0..calls {
        let score = dice.roll();
        lines.push_str(&call(&format!("{prefix}-{n}"), None, 8.0, "1,2", &format!("{score:.4}")));
        let outcome = u8::from(dice.roll() < score);
        if n < labelled {
            let _ = write!(labels, "{}", label(&format!("{prefix}-{n}"), &outcome.to_string()));
        }
    }
    put(dir, &format!("{prefix}/captures/08.jsonl"), &lines);
    put(dir, &format!("{prefix}/truth/2026/03/01/09/l.jsonl"), &labels);
}

#[tokio::test]
async fn before_labels_arrive_a_baseline_gives_estimates_and_nothing_else_is_claimed() {
    let dir = tempfile::tempdir().unwrap();
    let stores = stores(dir.path());
    stream(dir.path(), "then", 3000, 3000, 1);
    stream(dir.path(), "now", 3000, 0, 2);
    let then = job::quality(&stores, &request(&dir.path().join("then"), scored())).await.unwrap();
    assert!(then.data.written.iter().any(|address| address.ends_with("estimator.json")), "{:?}", then.data.written);
    let overall = then.calibration.as_ref().unwrap().overall.as_ref().unwrap();
    assert!(overall.equal_width.expected_error < 0.03, "{overall:?}");
    let now = request(&dir.path().join("now"), scored());
    let error = job::quality(&stores, &now).await.unwrap_err();
    assert!(matches!(error, QualityError::NothingJudged(_)), "{error}");
    let now = Quality { baseline: Some(text(&dir.path().join("then/out"))), ..now };
    let found = job::quality(&stores, &now).await.unwrap();
    assert_eq!((found.judged, found.metrics.len()), (0, 0));
    assert!(found.violations.is_none(), "nothing was judged, which is not the same as all being well");
    let estimates = found.estimates.unwrap();
    assert_eq!((estimates.rows, estimates.learned_from), (3000, 3000));
    let accuracy = &estimates.estimates[0];
    assert!((accuracy.value - 0.75).abs() < 0.03, "{accuracy:?}");
    assert_eq!(found.data.written.len(), 1, "quality.json only: {:?}", found.data.written);
}

#[tokio::test]
async fn the_same_rows_give_the_same_bytes_however_they_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let stores = stores(dir.path());
    stream(dir.path(), "a", 400, 300, 1);
    stream(dir.path(), "b", 400, 300, 2);
    let paths = |parts: [&str; 2], folder: &str| parts.map(|part| text(&dir.path().join(part).join(folder))).to_vec();
    let mut files = Vec::new();
    for (parts, out) in [(["a", "b"], "first"), (["b", "a"], "second")] {
        let request = Quality {
            source: Source { addresses: paths(parts, "captures"), ..Source::default() },
            ground_truth: paths(parts, "truth"),
            out: text(&dir.path().join(out)),
            ..request(dir.path(), scored())
        };
        job::quality(&stores, &request).await.unwrap();
        let read = |name: &str| std::fs::read_to_string(dir.path().join(out).join(name)).unwrap();
        files.push(["statistics.json", "constraints.json", "quality.json", "estimator.json"].map(read));
    }
    assert_eq!(files[0], files[1]);
}

#[tokio::test]
async fn a_window_of_calls_is_judged_and_merged_as_sagemaker_merges() {
    let dir = tempfile::tempdir().unwrap();
    let stores = stores(dir.path());
    let key = |hour: &str| {
        format!("captures/m/AllTraffic/2026/03/01/{hour}/06-00-000-34305d6a-826d-4a5a-967b-33fa7f4666f3.jsonl")
    };
    let eight = [call("e1", Some("i1"), 8.1, "1,2", "0.9"), call("e2", None, 8.2, "1,2", "0.3")];
    put(dir.path(), &key("08"), &eight.concat());
    put(dir.path(), &key("09"), &call("e3", None, 9.5, "1,2", "0.9"));
    let labels = [label("i1", "1"), label("e2", "1"), label("e3", "0")];
    put(dir.path(), "truth/2026/03/01/10/l.jsonl", &labels.concat());
    let asked = Quality {
        window: Some(moment(8.0)..moment(9.0)),
        merge: Some(text(&dir.path().join("merge"))),
        ..request(dir.path(), scored())
    };
    let found = job::quality(&stores, &asked).await.unwrap();
    assert_eq!((found.judged, found.left.other_time_calls, found.labels.as_ref().unwrap().unmatched), (2, 1, 0));
    assert!(found.data.written.contains(&text(&dir.path().join("merge/"))), "{:?}", found.data.written);
    let hour = dir.path().join("merge/m/AllTraffic/2026/03/01/08");
    let merged: Vec<_> = std::fs::read_dir(&hour).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!((merged.len(), hour.with_file_name("09").exists()), (1, false), "{merged:?}");
    let name = merged[0].file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("part-00000-") && name.ends_with(".c000.jsonl"), "{name}");
    let lines = std::fs::read_to_string(&merged[0]).unwrap();
    let first = r#"{"eventVersion":"0","groundTruthData":{"data":"1","encoding":"CSV"},"captureData":{"endpointInput":{"data":"1,2","encoding":"CSV","mode":"INPUT","observedContentType":"text/csv"},"endpointOutput":{"data":"0.9","encoding":"CSV","mode":"OUTPUT","observedContentType":"text/csv"}},"eventMetadata":{"eventId":"e1","inferenceId":"i1","inferenceTime":"2026-03-01T08:06:00Z"}}"#;
    assert_eq!(lines.lines().next(), Some(first));
    // What was merged is judged to the same metrics, without ground truth beside it.
    let again = Quality {
        source: Source { addresses: vec![text(&dir.path().join("merge"))], ..Source::default() },
        ground_truth: Vec::new(),
        ..request(dir.path(), scored())
    };
    assert_eq!(job::quality(&stores, &again).await.unwrap().metrics.len(), found.metrics.len());
}

#[tokio::test]
async fn answers_in_json_are_found_by_their_path() {
    let dir = tempfile::tempdir().unwrap();
    let answer = |id: &str, class: &str, score: &str| {
        format!(
            r#"{{"captureData":{{"endpointInput":{{"observedContentType":"text/csv","mode":"INPUT","data":"1,2","encoding":"CSV"}},"endpointOutput":{{"observedContentType":"application/json","mode":"OUTPUT","data":"{{\"predictions\":[{{\"score\":{score},\"predicted_label\":{class}}}]}}","encoding":"JSON"}}}},"eventMetadata":{{"eventId":"{id}"}},"eventVersion":"0"}}"#
        ) + "\n"
    };
    let calls = [answer("e1", "true", "0.9"), answer("e2", "false", "0.4"), answer("e3", "true", "0.6")];
    put(dir.path(), "captures/a.jsonl", &calls.concat());
    put(dir.path(), "truth/l.jsonl", &[label("e1", "1"), label("e2", "0"), label("e3", "0")].concat());
    let attributes = Attributes {
        inference: Some("predictions[0].predicted_label".into()),
        probability: Some("predictions[0].score".into()),
        ..Attributes::of(ProblemType::BinaryClassification)
    };
    let found = job::quality(&stores(dir.path()), &request(dir.path(), attributes)).await.unwrap();
    assert_eq!((found.judged, value(&found, "precision"), value(&found, "auc")), (3, 0.5, 1.0));
}

#[tokio::test]
async fn quality_is_told_for_each_value_of_a_column_and_not_where_rows_are_few() {
    let dir = tempfile::tempdir().unwrap();
    let mut lines = String::from("prediction,label,shop\n");
    for row in 0..100 {
        // In shop a every second prediction is off by 2, in shop b none is; shop c sells little.
        let (shop, off) = if row % 10 == 9 {
            ("c", 0)
        } else if row % 2 == 0 {
            ("a", 2 * (row / 2 % 2))
        } else {
            ("b", 0)
        };
        lines.push_str(&format!("{},{row},{shop}\n", row + off));
    }
    put(dir.path(), "rows.csv", &lines);
    let attributes = Attributes {
        inference: Some("prediction".into()),
        ground_truth: Some("label".into()),
        segments: vec!["shop".into()],
        ..Attributes::of(ProblemType::Regression)
    };
    let request = Quality {
        source: Source { addresses: vec![text(&dir.path().join("rows.csv"))], ..Source::default() },
        ground_truth: Vec::new(),
        ..request(dir.path(), attributes)
    };
    let found = job::quality(&stores(dir.path()), &request).await.unwrap();
    let told: Vec<(&str, u64, Option<f64>)> = found.by_segment[0]
        .groups
        .iter()
        .map(|group| (group.value.as_str(), group.judged, group.metrics.first().map(|metric| metric.value)))
        .collect();
    assert_eq!(told, [("a", 50, Some(1.0)), ("b", 40, Some(0.0)), ("c", 10, None)]);
}
