//! Bias, on tables and on captures, with Clarify's files in and out.

use std::path::Path;

use captura_monitor::bias::{Analysis, BiasConfig, FacetConfig, read_json};
use captura_monitor::job::{self, Bias, BiasSummary, QualityError, Source};

use super::{Dice, stores, text};

fn config(facet: &str, values: &[&str]) -> BiasConfig {
    BiasConfig {
        label: "hired".into(),
        positive: vec!["1".into()],
        facets: vec![FacetConfig {
            column: facet.into(),
            values: values.iter().map(|&value| value.to_owned()).collect(),
        }],
        ..BiasConfig::default()
    }
}

fn request(table: &Path, out: &Path, config: BiasConfig) -> Bias {
    Bias {
        source: Source { addresses: vec![text(table)], ..Source::default() },
        config,
        inference: Some("said".into()),
        probability: None,
        threshold: None,
        ground_truth: Vec::new(),
        is_merged: false,
        ground_truth_attribute: None,
        baseline: None,
        out: text(out),
        window: None,
        as_of: None,
        seed: 0,
        by_value: false,
    }
}

/// People of two towns; of `south` the model says yes `penalty` less often.
fn table(path: &Path, rows: usize, penalty: f64, seed: u64) {
    let mut dice = Dice(seed);
    let mut lines = String::from("hired,said,town,age,skill\n");
    for _ in 0..rows {
        let town = if dice.roll() < 0.3 { "south" } else { "north" };
        let (skill, age) = (dice.roll(), 20 + (dice.roll() * 40.0) as u32);
        let hired = u8::from(dice.roll() < skill);
        let said = u8::from(dice.roll() < if town == "south" { skill - penalty } else { skill });
        lines.push_str(&format!("{hired},{said},{town},{age},{skill:.4}\n"));
    }
    std::fs::write(path, lines).unwrap();
}

fn value(found: &BiasSummary, metric: &str) -> f64 {
    found.findings.iter().find(|finding| finding.metric == metric).unwrap().value.unwrap()
}

#[tokio::test]
async fn a_model_that_turns_against_a_town_violates_its_baseline() {
    let dir = tempfile::tempdir().unwrap();
    let stores = stores(dir.path());
    let path = |name: &str| dir.path().join(name);
    table(&path("then.csv"), 3000, 0.0, 1);
    table(&path("now.csv"), 3000, 0.4, 2);
    let then =
        job::bias(&stores, &request(&path("then.csv"), &path("then"), config("town", &["south"]))).await.unwrap();
    assert!(value(&then, "DPPL").abs() < 0.06, "{then:?}");
    let same = Bias {
        baseline: Some(text(&path("then"))),
        ..request(&path("then.csv"), &path("again"), config("town", &["south"]))
    };
    assert_eq!(job::bias(&stores, &same).await.unwrap().violations, Some(Vec::new()));
    let now = Bias {
        baseline: Some(text(&path("then/analysis.json"))),
        ..request(&path("now.csv"), &path("now"), config("town", &["south"]))
    };
    let now = job::bias(&stores, &now).await.unwrap();
    let interval = now.findings.iter().find(|finding| finding.metric == "DPPL").unwrap().interval.unwrap();
    assert!(interval[0] > 0.2 && interval[1] < 0.45, "{interval:?}");
    let violations = now.violations.unwrap();
    let metrics: Vec<&str> = violations.iter().map(|violation| violation.metric_name.as_str()).collect();
    assert!(metrics.contains(&"DPPL") && metrics.contains(&"DI") && metrics.contains(&"RD"), "{metrics:?}");
    assert!(!metrics.contains(&"CI") && !metrics.contains(&"DPL"), "the data have not changed: {metrics:?}");
    let file = std::fs::read_to_string(path("now/constraint_violations.json")).unwrap();
    assert!(
        file.starts_with("{\n  \"version\": \"1.0\",\n  \"violations\": [\n    {\n      \"facet\": \"town\",\n"),
        "{file}"
    );
}

#[tokio::test]
async fn the_analysis_has_the_shape_of_clarify_s() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    table(&path("rows.csv"), 400, 0.1, 1);
    let numbers = std::fs::read_to_string(path("rows.csv")).unwrap().replace("south", "1").replace("north", "0");
    std::fs::write(path("rows.csv"), numbers).unwrap();
    let asked = BiasConfig { group_variable: Some("town".into()), ..config("age", &["40"]) };
    let found = job::bias(&stores(dir.path()), &request(&path("rows.csv"), &path("out"), asked)).await.unwrap();
    let file = std::fs::read_to_string(path("out/analysis.json")).unwrap();
    let order = [
        "\"version\": \"1.0\"",
        "\"post_training_bias_metrics\"",
        "\"facets\"",
        "\"label_value_or_threshold\": \"1\"",
        "\"pre_training_bias_metrics\"",
    ];
    let places: Vec<usize> = order.iter().map(|part| file.find(part).unwrap()).collect();
    assert!(places.is_sorted(), "{file}");
    let analysis: Analysis = read_json(&file).unwrap();
    let names = |metrics: &Option<captura_monitor::bias::BiasMetrics>| {
        let facet = &metrics.as_ref().unwrap().facets.0[0];
        assert_eq!((facet.0.as_str(), facet.1[0].value_or_threshold.as_str()), ("age", "(40, 59]"));
        facet.1[0].metrics.iter().map(|metric| metric.name.clone()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(&analysis.pre_training_bias_metrics), "CDDL CI DPL JS KL KS LP TVD");
    assert_eq!(names(&analysis.post_training_bias_metrics), "AD CDDPL DAR DCA DCR DI DPPL DRR FT GE RD SD TE");
    assert!(found.findings.iter().all(|finding| finding.value.is_some()), "{:?}", found.findings);
    let asked = BiasConfig { group_variable: Some("town".into()), ..config("age", &["40"]) };
    job::bias(&stores(dir.path()), &request(&path("rows.csv"), &path("twice"), asked)).await.unwrap();
    let read = |name: &str| std::fs::read_to_string(path(name)).unwrap();
    assert_eq!(read("out/analysis.json"), read("twice/analysis.json"));
    assert_eq!(read("out/bias.json").replace("/out/", "/twice/"), read("twice/bias.json"));
}

#[tokio::test]
async fn labels_alone_give_the_metrics_before_training_and_nonsense_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let stores = stores(dir.path());
    let path = |name: &str| dir.path().join(name);
    table(&path("rows.csv"), 300, 0.0, 1);
    let labels = Bias { inference: None, ..request(&path("rows.csv"), &path("out"), config("town", &[])) };
    let found = job::bias(&stores, &labels).await.unwrap();
    assert_eq!((found.labelled, found.judged), (300, 0));
    let towns: Vec<&str> = found.findings.iter().map(|finding| finding.value_or_threshold.as_str()).collect();
    assert!(towns.contains(&"north") && towns.contains(&"south"), "value by value: {towns:?}");
    let analysis: Analysis = read_json(&std::fs::read_to_string(path("out/analysis.json")).unwrap()).unwrap();
    assert!(analysis.post_training_bias_metrics.is_none());
    let none = BiasConfig { positive: vec!["yes".into()], ..config("town", &[]) };
    let error = job::bias(&stores, &request(&path("rows.csv"), &path("out"), none)).await.unwrap_err();
    assert!(error.to_string().contains("yes positive, which neither"), "{error}");
    let nobody = config("town", &["west"]);
    let error = job::bias(&stores, &request(&path("rows.csv"), &path("out"), nobody)).await.unwrap_err();
    assert!(error.to_string().contains("asks for town west, which no row has; there are north, south"), "{error}");
    let error = job::bias(&stores, &request(&path("rows.csv"), &path("out"), config("city", &[]))).await.unwrap_err();
    assert!(error.to_string().contains("no column is called so"), "{error}");
}

#[tokio::test]
async fn captures_are_measured_once_their_ground_truth_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let stores = stores(dir.path());
    let mut dice = Dice(3);
    let (mut calls, mut labels) = (String::new(), String::new());
    for n in 0..400 {
        let (town, score) = (n % 2, dice.roll());
        calls.push_str(&format!(
            r#"{{"captureData":{{"endpointInput":{{"data":"{town},5","encoding":"CSV"}},"endpointOutput":{{"data":"{score:.3}","encoding":"CSV"}}}},"eventMetadata":{{"eventId":"e{n}"}},"eventVersion":"0"}}"#
        ));
        calls.push('\n');
        let label = u8::from(dice.roll() < score);
        labels.push_str(&format!(
            r#"{{"groundTruthData":{{"data":"{{\"hired\": {label}}}","encoding":"JSON"}},"eventMetadata":{{"eventId":"e{n}"}}}}"#
        ));
        labels.push('\n');
    }
    std::fs::write(dir.path().join("calls.jsonl"), calls).unwrap();
    let unlabelled = Bias {
        inference: None,
        probability: Some("0".into()),
        ground_truth: vec![text(&dir.path().join("labels.jsonl"))],
        ..request(&dir.path().join("calls.jsonl"), &dir.path().join("out"), config("1", &["1"]))
    };
    std::fs::write(dir.path().join("labels.jsonl"), "").unwrap();
    let error = job::bias(&stores, &unlabelled).await.unwrap_err();
    assert!(matches!(error, QualityError::NothingJudged(_)), "{error}");
    std::fs::write(dir.path().join("labels.jsonl"), labels).unwrap();
    let found = job::bias(&stores, &unlabelled).await.unwrap();
    assert_eq!((found.labelled, found.judged, found.labels.unwrap().labels), (400, 400, 400));
    let dppl = found.findings.iter().find(|finding| finding.metric == "DPPL").unwrap();
    let [low, high] = dppl.interval.unwrap();
    assert!(low < 0.0 && high > 0.0, "nothing was planted: {dppl:?}");
}
