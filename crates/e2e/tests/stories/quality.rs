//! How good answers were: a model is called, what was right arrives later, and the report is about exactly these calls.

use std::fmt::Write as _;
use std::process::{Command, Output};

use captura_e2e::program::{self, checkout, said};
use captura_e2e::server::Home;
use serde_json::Value;

fn run(home: &Home, arguments: &[&str]) -> Output {
    Command::new(program::path()).args(arguments).current_dir(home.path()).output().unwrap()
}

fn done(output: &Output) {
    assert!(output.status.success(), "{}", said(output));
}

fn label(id: &str, data: &str) -> String {
    format!(
        r#"{{"groundTruthData":{{"data":"{data}","encoding":"CSV"}},"eventMetadata":{{"eventId":"{id}"}},"eventVersion":"0"}}"#
    ) + "\n"
}

#[test]
fn ground_truth_that_arrives_later_judges_the_calls_that_were_captured() {
    let home = Home::default();
    let server = home.serve();
    let url = server.url();
    let model = checkout().join("demo/model.json");
    done(&run(&home, &["deploy", "patients", model.to_str().unwrap(), "--capture", "100", "--wait", "--url", &url]));
    let read = |name: &str| std::fs::read_to_string(checkout().join("demo").join(name)).unwrap();
    let (patients, expected) = (read("patients.csv"), read("expected.csv"));
    let rows: Vec<&str> = patients.lines().skip(1).collect();
    let truth: Vec<(f64, &str)> = expected
        .lines()
        .skip(1)
        .map(|line| line.split(',').collect::<Vec<_>>())
        .map(|cells| (cells[0].parse().unwrap(), cells[1]))
        .collect();
    let call = |id: &str, body: &str| {
        std::fs::write(home.path().join("body.csv"), body).unwrap();
        let arguments = ["invoke", "patients", "--body", "body.csv", "--inference-id", id, "--url", &url];
        done(&run(&home, &arguments));
    };
    for (patient, row) in rows.iter().enumerate().take(12) {
        call(&format!("patient-{patient}"), row);
    }
    call("pair", &format!("{}\n{}\n", rows[12], rows[13]));
    assert_eq!(server.stop().code(), Some(0), "{}", home.log());

    // Of patient 11 nothing is known yet; patient 0 was noted wrongly at first.
    let mut labels = label("patient-0", "7");
    for (patient, (_, right)) in truth.iter().enumerate().take(11).skip(1) {
        let _ = write!(labels, "{}", label(&format!("patient-{patient}"), right));
    }
    let filed = [("2099/01/01/00", labels), ("2099/01/02/00", label("patient-0", truth[0].1))];
    let pair = label("pair", &format!("{}\\n{}", truth[12].1, truth[13].1));
    for (hour, lines) in [filed[0].clone(), filed[1].clone(), ("2099/01/01/05", pair)] {
        let folder = home.bucket("labels").join(hour);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("labels.jsonl"), lines).unwrap();
    }
    let data_dir = home.data_dir();
    let told = run(
        &home,
        &[
            "quality",
            "s3://captures/patients",
            "--ground-truth-input",
            "s3://labels",
            "--problem-type",
            "Regression",
            "--inference-attribute",
            "0",
            "--out",
            "s3://reports/patients",
            "--json",
            "--data-dir",
            data_dir.to_str().unwrap(),
        ],
    );
    done(&told);
    let report: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(report["judged"], 13, "{report}");
    assert_eq!((&report["maturity"]["calls"], &report["maturity"]["labelled"]), (&13.into(), &12.into()));
    assert_eq!(report["labels"]["corrected"], 1, "{report}");
    assert_eq!(report["standing"]["share"], 1.0, "on every call that the ledger knows: {report}");
    let judged: Vec<f64> = (0..11)
        .chain([12, 13])
        .map(|patient| (truth[patient].0 - truth[patient].1.parse::<f64>().unwrap()).abs())
        .collect();
    let mae = judged.iter().sum::<f64>() / judged.len() as f64;
    let found = report["metrics"][0]["value"].as_f64().unwrap();
    assert!((found - mae).abs() < 1e-3, "{found} is not {mae}");
    let file = std::fs::read(home.bucket("reports").join("patients/statistics.json")).unwrap();
    let statistics: Value = serde_json::from_slice(&file).unwrap();
    assert_eq!(statistics["regression_metrics"]["mae"]["value"], report["metrics"][0]["value"]);
    assert_eq!(statistics["dataset"]["item_count"], 13);
}
