//! The contract of the containers, from the job's file to what they leave.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use captura_analyser::{Later, Models, OpenModel, Scripts, Target};
use captura_monitor::job::{AskError, AskModel, ModelAnswer, Preprocessed, Question, RecordPreprocessor};
use serde_json::{Value, json};
use tempfile::TempDir;

mod clarify;

const ANALYSER: &str = "1.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-model-monitor-analyzer";
const MERGER: &str = "1.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-model-monitor-groundtruth-merger";
const CLARIFY: &str = "1.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-clarify-processing:1.0";
const DATA: &str = "/opt/ml/processing/input/baseline_dataset_input";
const CAPTURES: &str = "/opt/ml/processing/input/endpoint";
const HOUR: &str = "/opt/ml/processing/input/endpoint/churn/AllTraffic/2026/03/01/05";

struct Folder(TempDir);

/// An endpoint named `twice`, which answers twice the first number of a row.
struct Twice;

impl AskModel for Twice {
    fn ask<'a>(
        &'a self,
        question: Question<'a>,
    ) -> Pin<Box<dyn Future<Output = Result<ModelAnswer, AskError>> + Send + 'a>> {
        let rows = String::from_utf8(question.body).unwrap();
        let first = |row: &str| row.split(',').next().unwrap().trim().parse::<f64>().unwrap();
        let answers: Vec<String> = rows.lines().map(|row| (2.0 * first(row)).to_string()).collect();
        Box::pin(async move {
            Ok(ModelAnswer { content_type: Some("text/csv".into()), body: answers.join("\n").into_bytes() })
        })
    }
}

impl OpenModel for Twice {
    fn model(&self) -> &dyn AskModel {
        self
    }

    fn leave(&self) -> Later<'_, ()> {
        Box::pin(async {})
    }
}

struct OneEndpoint;

impl Models for OneEndpoint {
    fn open(&self, target: Target) -> Later<'_, Result<Box<dyn OpenModel>, String>> {
        Box::pin(async move {
            match target {
                Target::Endpoint(name) if name.as_str() == "twice" => Ok(Box::new(Twice) as Box<dyn OpenModel>),
                other => Err(format!("there is no {other:?}")),
            }
        })
    }
}

/// Leaves out every second record, and makes one row of each other; afterwards it leaves a file.
struct EverySecond(bool);

impl RecordPreprocessor for EverySecond {
    fn handle(&mut self, records: &[&[u8]]) -> Result<Vec<Preprocessed>, String> {
        let mut handle = |_: &&[u8]| {
            self.0 = !self.0;
            if self.0 { Preprocessed::Rows(r#"[{"age": 7}]"#.to_owned()) } else { Preprocessed::Skipped }
        };
        Ok(records.iter().map(&mut handle).collect())
    }
}

struct OwnScripts;

impl Scripts for OwnScripts {
    fn preprocessor(&self, script: &Path) -> Result<Box<dyn RecordPreprocessor>, String> {
        if script.is_file() { Ok(Box::new(EverySecond(false))) } else { Err("there is no script".to_owned()) }
    }

    fn postprocess(&self, _: &Path, environment: BTreeMap<String, String>) -> Result<(), String> {
        let file = Path::new(&environment["output_path"]).join("told.txt");
        std::fs::write(file, &environment["greeting"]).map_err(|error| error.to_string())
    }
}

impl Folder {
    fn of(image: &str, environment: &Value) -> Self {
        let folder = Self(TempDir::new().unwrap());
        folder.request(image, environment);
        folder
    }

    fn request(&self, image: &str, environment: &Value) {
        let mut environment = environment.clone();
        environment["output_path"] = json!("/opt/ml/processing/output");
        let job = json!({"AppSpecification": {"ImageUri": image}, "Environment": environment, "ProcessingInputs": [
            {"InputName": "dataset", "S3Input": {"LocalPath": "/opt/ml/processing/input/data"}}]});
        self.put("/opt/ml/config/processingjobconfig.json", &job.to_string());
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path.trim_start_matches('/'))
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn text(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn found(&self, name: &str) -> Value {
        serde_json::from_str(&self.text(&format!("/opt/ml/processing/output/{name}"))).unwrap()
    }

    fn message(&self) -> String {
        self.text("/opt/ml/output/message")
    }

    async fn run(&self) -> String {
        match captura_analyser::run(self.0.path(), &OneEndpoint, &OwnScripts).await {
            Ok(found) => assert_eq!(found.message(), self.message()),
            Err(failure) => {
                let said = format!("Error: {failure}").replace(&self.0.path().display().to_string(), "");
                assert_eq!(said, self.message(), "a message names the job's own paths");
            }
        }
        self.message()
    }
}

/// Ages of people, and whether they bought.
fn people(rows: usize, age: impl Fn(usize) -> usize) -> String {
    let mut text = String::from("bought,age\n");
    for row in 0..rows {
        let _ = writeln!(text, "{},{}", row % 2, age(row));
    }
    text
}

fn captured(minute: usize, id: usize, input: &str, output: &str) -> String {
    let side = |data: &str, mode: &str| json!({"observedContentType": "text/csv", "mode": mode, "data": data, "encoding": "CSV"});
    let record = json!({
        "captureData": {"endpointInput": side(input, "INPUT"), "endpointOutput": side(output, "OUTPUT")},
        "eventMetadata": {"eventId": format!("id-{id}"), "inferenceTime": format!("2026-03-01T05:{minute:02}:00Z")},
        "eventVersion": "0",
    });
    format!("{record}\n")
}

/// Makes a baseline, and moves what it found to where a schedule has it.
async fn with_baseline() -> Folder {
    let environment = json!({"dataset_source": DATA, "dataset_format": r#"{"csv": {"header": true}}"#,
        "publish_cloudwatch_metrics": "Disabled"});
    let folder = Folder::of(ANALYSER, &environment);
    folder.put(&format!("{DATA}/people.csv"), &people(1_000, |row| 20 + row % 50));
    assert_eq!(folder.run().await, "Completed: Job completed successfully with no violations.");
    assert_eq!(folder.found("statistics.json")["dataset"]["item_count"], 1_000);
    assert_eq!(folder.found("constraints.json")["features"][1]["name"], "age");
    assert!(!folder.path("/opt/ml/output/metrics/cloudwatch").exists());
    for (name, to) in
        [("constraints.json", "constraints/constraints.json"), ("statistics.json", "stats/statistics.json")]
    {
        let text = folder.text(&format!("/opt/ml/processing/output/{name}"));
        folder.put(&format!("/opt/ml/processing/baseline/{to}"), &text);
    }
    std::fs::remove_dir_all(folder.path("/opt/ml/processing/output")).unwrap();
    folder
}

fn schedule(more: &Value) -> Value {
    let mut environment = json!({
        "dataset_source": CAPTURES,
        "dataset_format": r#"{"sagemakerCaptureJson":{"captureIndexNames":["endpointInput","endpointOutput"]}}"#,
        "baseline_constraints": "/opt/ml/processing/baseline/constraints/constraints.json",
        "baseline_statistics": "/opt/ml/processing/baseline/stats/statistics.json",
        "sagemaker_endpoint_name": "churn", "sagemaker_monitoring_schedule_name": "hourly",
        "publish_cloudwatch_metrics": "Enabled",
        "start_time": "2026-03-01T05:00:00Z", "end_time": "2026-03-01T06:00:00Z",
    });
    for (name, value) in more.as_object().unwrap() {
        environment[name] = value.clone();
    }
    environment
}

#[tokio::test]
async fn captures_are_held_against_a_baseline_and_metrics_tell_of_every_feature() {
    let folder = with_baseline().await;
    let lines: String =
        (0..600).map(|row| captured(row % 60, row, &(20 + row % 50).to_string(), &(row % 2).to_string())).collect();
    folder.put(&format!("{HOUR}/00-00-000-0b8d9c4e-8a4c-4f5e-9a57-0d5a4b0e7f11.jsonl"), &lines);
    folder.request(ANALYSER, &schedule(&json!({})));
    assert_eq!(folder.run().await, "Completed: Job completed successfully with no violations.");
    assert_eq!(folder.found("constraint_violations.json"), json!({"violations": []}));
    let metrics = folder.text("/opt/ml/output/metrics/cloudwatch");
    let metric = |name: &str| -> Value {
        let lines = metrics.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.into_iter().find(|line| line["MetricName"] == name).unwrap_or_else(|| panic!("{name} in {metrics}"))
    };
    let ages = metric("feature_data_age");
    assert_eq!(ages["Namespace"], "aws/sagemaker/Endpoints/data-metrics");
    assert_eq!(ages["Timestamp"], "2026-03-01T05:00:00Z");
    assert_eq!(
        ages["Dimensions"],
        json!([{"Name": "Endpoint", "Value": "churn"}, {"Name": "MonitoringSchedule", "Value": "hourly"}])
    );
    assert_eq!(
        (&ages["StatisticValues"]["SampleCount"], &ages["StatisticValues"]["Maximum"]),
        (&json!(600), &json!(69.0))
    );
    assert_eq!(metric("feature_non_null_age")["StatisticValues"]["Sum"], 600);
    assert_eq!(metric("feature_baseline_drift_age")["Value"], 0.0);

    let aged: String = (0..600).map(|row| captured(row % 60, row, &(60 + row % 50).to_string(), "1.5")).collect();
    folder.put(&format!("{HOUR}/00-00-000-0b8d9c4e-8a4c-4f5e-9a57-0d5a4b0e7f11.jsonl"), &aged);
    let said = folder.run().await;
    let violations = folder.found("constraint_violations.json")["violations"].as_array().unwrap().len();
    assert!(violations >= 2, "type of the answer, and drift of the age");
    assert_eq!(said, format!("CompletedWithViolations: Job completed successfully with {violations} violations."));
}

#[tokio::test]
async fn a_time_within_an_hour_is_cut_out_of_its_objects() {
    let folder = with_baseline().await;
    let lines: String = (0..600).map(|row| captured(row % 60, row, "30", "1")).collect();
    folder.put(&format!("{HOUR}/00-00-000-0b8d9c4e-8a4c-4f5e-9a57-0d5a4b0e7f11.jsonl"), &lines);
    let minutes = |start: &str, end: &str| schedule(&json!({"start_time": start, "end_time": end}));
    folder.request(ANALYSER, &minutes("2026-03-01T05:10:00Z", "2026-03-01T05:15:00Z"));
    folder.run().await;
    assert_eq!(folder.found("statistics.json")["dataset"]["item_count"], 50);
    folder.request(ANALYSER, &minutes("2026-03-01T06:10:00Z", "2026-03-01T06:15:00Z"));
    assert_eq!(folder.run().await, "Error: Job inputs had no data");
}

#[tokio::test]
async fn scripts_of_the_users_run_before_and_after() {
    let folder = with_baseline().await;
    let lines: String = (0..600).map(|row| captured(row % 60, row, "30", "1")).collect();
    folder.put(&format!("{HOUR}/00-00-000-0b8d9c4e-8a4c-4f5e-9a57-0d5a4b0e7f11.jsonl"), &lines);
    let (before, after) = ("/opt/ml/processing/code/before.py", "/opt/ml/processing/code/after.py");
    folder.put(before, "");
    folder.put(after, "");
    let scripts =
        json!({"record_preprocessor_script": before, "post_analytics_processor_script": after, "greeting": "hello"});
    folder.request(ANALYSER, &schedule(&scripts));
    folder.run().await;
    assert_eq!(folder.found("statistics.json")["dataset"]["item_count"], 300);
    assert_eq!(folder.text("/opt/ml/processing/output/told.txt"), "hello");
}

#[tokio::test]
async fn captures_are_merged_with_labels_and_then_judged() {
    let environment = json!({"dataset_source": CAPTURES, "ground_truth_source": "/opt/ml/processing/groundtruth",
        "start_time": "2026-03-01T05:00:00Z", "end_time": "2026-03-01T06:00:00Z"});
    let folder = Folder::of(MERGER, &environment);
    let lines: String = (0..300).map(|row| captured(row % 60, row, "30", &(row % 2).to_string())).collect();
    folder.put(&format!("{HOUR}/00-00-000-0b8d9c4e-8a4c-4f5e-9a57-0d5a4b0e7f11.jsonl"), &lines);
    let label = |row: usize| {
        let right = if row < 30 { (row + 1) % 2 } else { row % 2 };
        json!({"groundTruthData": {"data": right.to_string(), "encoding": "CSV"}, "eventMetadata": {"eventId": format!("id-{row}")}, "eventVersion": "0"})
    };
    let labels: String = (0..290).fold(String::new(), |mut text, row| {
        let _ = writeln!(text, "{}", label(row));
        text
    });
    folder.put("/opt/ml/processing/groundtruth/2026/03/01/06/labels.jsonl", &labels);
    assert_eq!(folder.run().await, "Completed: Job completed successfully.");
    let out = folder.path("/opt/ml/processing/output/churn/AllTraffic/2026/03/01/05");
    let merged = std::fs::read_dir(&out).unwrap().next().unwrap().unwrap().path();
    let text = std::fs::read_to_string(&merged).unwrap();
    assert_eq!(text.lines().count(), 290, "what has no label is left out");

    let after = "/opt/ml/processing/code/after.py";
    let judge = Folder::of(
        ANALYSER,
        &json!({"analysis_type": "MODEL_QUALITY", "problem_type": "BinaryClassification",
        "dataset_source": CAPTURES, "inference_attribute": "0", "publish_cloudwatch_metrics": "Enabled",
        "post_analytics_processor_script": after, "greeting": "judged",
        "sagemaker_endpoint_name": "churn", "sagemaker_monitoring_schedule_name": "quality"}),
    );
    judge.put(&format!("{HOUR}/{}", merged.file_name().unwrap().display()), &text);
    assert_eq!(judge.run().await, "Completed: Job completed successfully with no violations.");
    let accuracy = &judge.found("statistics.json")["binary_classification_metrics"]["accuracy"]["value"];
    assert_eq!(accuracy.as_f64().unwrap(), 260.0 / 290.0);
    assert_eq!(judge.text("/opt/ml/processing/output/told.txt"), "judged");
    let metrics = judge.text("/opt/ml/output/metrics/cloudwatch");
    assert!(
        metrics.contains(r#""Namespace":"aws/sagemaker/Endpoints/model-metrics","MetricName":"accuracy""#),
        "{metrics}"
    );

    // The script's rows stand in the place of the answers, and labels stay with their records.
    let before = "/opt/ml/processing/code/before.py";
    let prepared = Folder::of(
        ANALYSER,
        &json!({"analysis_type": "MODEL_QUALITY", "problem_type": "Regression", "dataset_source": CAPTURES,
        "inference_attribute": "age", "record_preprocessor_script": before}),
    );
    prepared.put(&format!("{HOUR}/{}", merged.file_name().unwrap().display()), &text);
    prepared.put(before, "");
    assert_eq!(prepared.run().await, "Completed: Job completed successfully with no violations.");
    let statistics = prepared.found("statistics.json");
    assert_eq!(statistics["dataset"]["item_count"], 145);
    let error = &statistics["regression_metrics"]["mae"]["value"];
    assert_eq!(error.as_f64().unwrap(), (15.0 * 6.0 + 130.0 * 7.0) / 145.0);
}

#[tokio::test]
async fn an_execution_that_began_before_everything_had_arrived_says_so() {
    let folder = with_baseline().await;
    let lines: String = (0..60).map(|row| captured(row, row, "30", "1")).collect();
    folder.put(&format!("{HOUR}/00-00-000-0b8d9c4e-8a4c-4f5e-9a57-0d5a4b0e7f11.jsonl"), &lines);
    folder.request(ANALYSER, &schedule(&json!({"captura_captures_incomplete": "true"})));
    let found = captura_analyser::run(folder.0.path(), &OneEndpoint, &OwnScripts).await.unwrap();
    assert!(folder.message().starts_with(found.message()), "{}", folder.message());
    assert!(folder.message().contains("Some calls of the window may be missing"), "{}", folder.message());
}

#[tokio::test]
async fn the_same_rows_as_csv_as_lines_and_as_one_document_give_the_same_statistics() {
    let rows: Vec<Value> = (0..200).map(|row| json!({"bought": row % 2, "age": 20 + row % 50})).collect();
    let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let document = serde_json::to_string_pretty(&json!(rows)).unwrap();
    let lists: String = (0..200).map(|row| format!("{},{}\n", row % 2, 20 + row % 50)).collect();
    let mut told = Vec::new();
    for (format, file, text) in [
        (r#"{"csv": {"header": true}}"#, "people.csv", people(200, |row| 20 + row % 50)),
        (r#"{"json": {"lines": true}}"#, "people.jsonl", lines.clone()),
        (r#"{"json": {"line": true}}"#, "people.json", lines),
        (r#"{"json": {"lines": false}}"#, "people.json", document.clone()),
        (r#"{"json": {"line": false}}"#, "people.jsonl", document),
        (r#"{"csv": {"header": false}}"#, "people.csv", lists),
    ] {
        let folder = Folder::of(ANALYSER, &json!({"dataset_source": DATA, "dataset_format": format}));
        folder.put(&format!("{DATA}/{file}"), &text);
        assert_eq!(folder.run().await, "Completed: Job completed successfully with no violations.", "{format}");
        let mut statistics = folder.found("statistics.json");
        for (place, feature) in statistics["features"].as_array_mut().unwrap().iter_mut().enumerate() {
            let name = std::mem::replace(&mut feature["name"], json!(place));
            let known =
                if format.contains("false") && format.contains("csv") { ["_c0", "_c1"] } else { ["bought", "age"] };
            assert_eq!(name, known[place], "{format}");
        }
        told.push(statistics);
    }
    assert!(told.iter().all(|one| *one == told[0]), "{told:?}");
    let folder =
        Folder::of(ANALYSER, &json!({"dataset_source": DATA, "dataset_format": r#"{"json": {"lines": false}}"#}));
    folder.put(&format!("{DATA}/people.json"), "[1, 2");
    assert!(folder.run().await.contains("people.json is no JSON"), "{}", folder.message());
}

#[tokio::test]
async fn what_a_job_cannot_have_is_said_in_its_message() {
    let base = json!({"dataset_source": DATA, "dataset_format": r#"{"csv": {"header": true}}"#});
    let with = |name: &str, value: &str| {
        let mut environment = base.clone();
        environment[name] = json!(value);
        environment
    };
    for (environment, part) in [
        (with("dataset_source", "/opt/ml/processing/input/nothing"), "Job inputs had no data"),
        (with("dataset_source", "/etc"), "is no path below /opt/ml"),
        (with("dataset_source", "/opt/ml/../../etc"), "is no path below /opt/ml"),
        (with("dataset_format", "csv"), "dataset_format is not what it should be"),
        (with("analysis_type", "GUESSES"), "GUESSES is not done"),
        (with("analysis_type", "MODEL_QUALITY"), "the environment has no problem_type"),
        (
            json!({"analysis_type": "MODEL_BIAS", "record_preprocessor_script": "/opt/ml/processing/code/x.py"}),
            "runs record_preprocessor_script for data quality and model quality only",
        ),
        (
            json!({"analysis_type": "MODEL_BIAS", "post_analytics_processor_script": "/opt/ml/processing/code/x.py"}),
            "for data quality and model quality only",
        ),
        (with("categorical_drift_method", "Guess"), "it is LInfinity or ChiSquared"),
        (with("baseline_constraints", "/opt/ml/processing/gone.json"), "/opt/ml/processing/gone.json"),
    ] {
        let folder = Folder::of(ANALYSER, &environment);
        folder.put(&format!("{DATA}/people.csv"), &people(100, |row| row));
        let said = folder.run().await;
        assert!(said.starts_with("Error: ") && said.contains(part), "{environment}: {said}");
    }
    let folder = Folder::of(ANALYSER, &with("categorical_drift_method", "ChiSquared"));
    folder.put(&format!("{DATA}/people.csv"), &people(100, |row| row));
    folder.run().await;
    let config = &folder.found("constraints.json")["monitoring_config"]["distribution_constraints"];
    assert_eq!(config["categorical_drift_method"], "ChiSquared");
}
