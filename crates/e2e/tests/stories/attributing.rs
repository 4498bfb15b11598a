//! What features add to an endpoint's answers, asked of a running server as any client asks.

use captura_e2e::captured;
use captura_e2e::program::{checkout, run, said};
use captura_e2e::server::{Home, wait_for};
use std::time::Duration;

use serde_json::Value;

/// Exact values of a trained model, and how to explain its rows (`crates/monitor/tests/data/make_attribution_references.py`).
fn reference() -> Value {
    let path = checkout().join("crates/monitor/tests/data/attribution_references.json");
    let all: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    all["trees"].clone()
}

fn rows(value: &Value) -> Vec<Vec<f64>> {
    serde_json::from_value(value.clone()).unwrap()
}

fn csv(rows: &[Vec<f64>]) -> String {
    let line = |row: &Vec<f64>| row.iter().map(f64::to_string).collect::<Vec<_>>().join(",") + "\n";
    format!("f0,f1,f2,f3,f4,f5\n{}", rows.iter().map(line).collect::<String>())
}

/// How far the local values that were written are from these, at most.
fn distance(folder: &std::path::Path, exact: &[Vec<f64>]) -> f64 {
    let text = std::fs::read_to_string(folder.join("explanations_shap/out.csv")).unwrap();
    let found = text.lines().skip(1).map(|line| line.split(',').map(|cell| cell.parse::<f64>().unwrap()));
    assert_eq!(text.lines().count(), exact.len() + 1);
    found
        .zip(exact)
        .flat_map(|(found, exact)| found.zip(exact))
        .map(|(one, exact)| (one - exact).abs())
        .fold(0.0, f64::max)
}

#[test]
fn attributions_of_a_live_endpoint_are_those_of_its_trees_within_the_error_that_is_told() {
    let home = Home::new("[capture]\nseal_after = \"1s\"\n");
    let server = home.serve();
    let (url, at) = (server.url(), |name: &str| home.path().join(name).to_str().unwrap().to_owned());
    let model = checkout().join("crates/backends/tests/data/shap/model.json");
    let deployed = run([
        "deploy",
        "scored",
        model.to_str().unwrap(),
        "--wait",
        "--capture",
        "100",
        "--capture-to",
        "s3://captures",
        "--url",
        &url,
    ]);
    assert!(deployed.status.success(), "{}", said(&deployed));
    let reference = reference();
    std::fs::write(at("rows.csv"), csv(&rows(&reference["rows"]))).unwrap();
    std::fs::write(at("base.csv"), csv(&rows(&reference["baseline"]))).unwrap();
    std::fs::write(at("one.csv"), csv(&rows(&reference["baseline"])[..1])).unwrap();
    let asked = |out: &str, baseline: &str, more: &[&str]| {
        let (rows, baseline, out) = (at("rows.csv"), at(baseline), at(out));
        let fixed =
            ["attribution", &rows, "--endpoint", "scored", "--shap-baseline", &baseline, "--out", &out, "--url", &url];
        run(fixed.iter().chain(more))
    };
    let exact = asked("exact", "base.csv", &[]);
    assert_eq!(exact.status.code(), Some(0), "{}", said(&exact));
    assert!(
        distance(&home.path().join("exact"), &rows(&reference["values"])) < 1e-6,
        "doubles of answers in single precision"
    );
    // A model is asked by an endpoint of its own, which goes when it is done.
    let (rows_at, one, odds_at) = (at("rows.csv"), at("one.csv"), at("odds"));
    let odds = run([
        "attribution",
        &rows_at,
        "--model-name",
        "scored",
        "--shap-baseline",
        &one,
        "--use-logit",
        "--out",
        &odds_at,
        "--url",
        &url,
    ]);
    assert_eq!(odds.status.code(), Some(0), "{}", said(&odds));
    assert!(distance(&home.path().join("odds"), &rows(&reference["log_odds"])) < 1e-5);

    let endpoints: Value = serde_json::from_slice(&run(["endpoints", "--json", "--url", &url]).stdout).unwrap();
    assert!(!endpoints.to_string().contains("captura-attribution"), "{endpoints}");

    let some = asked("some", "base.csv", &["--num-samples", "40", "--baseline", &at("exact"), "--json"]);
    assert_eq!(some.status.code(), Some(0), "{}", said(&some));
    let told: Value = serde_json::from_slice(&some.stdout).unwrap();
    assert_eq!((&told["exact"], &told["drifts"][0]["verdict"]), (&Value::from(false), &Value::from("stable")));
    let errors = told["labels"][0]["features"].as_array().unwrap().iter();
    let told_error = errors.map(|feature| feature["local_deviation"].as_f64().unwrap()).fold(0.0, f64::max);
    let made = distance(&home.path().join("some"), &rows(&reference["values"]));
    assert!(made > 1e-6 && made < 6.0 * told_error, "the worst of 360 values is off by {made}, told was {told_error}");

    let turned = std::fs::read_to_string(at("exact/analysis.json")).unwrap();
    let turned = turned.replace("\"f0\"", "\"f\"").replace("\"f5\"", "\"f0\"").replace("\"f\"", "\"f5\"");
    std::fs::create_dir(at("turned")).unwrap();
    std::fs::write(at("turned/analysis.json"), turned).unwrap();
    let drifted = asked("drifted", "base.csv", &["--baseline", &at("turned")]);
    assert_eq!(drifted.status.code(), Some(2), "{}", said(&drifted));
    let poor = asked("poor", "base.csv", &["--baseline", &at("exact"), "--calls", "1", "--rows-per-call", "100"]);
    assert_eq!(poor.status.code(), Some(3), "{}", said(&poor));
    assert!(said(&poor).contains("budget of 1 calls ended"), "{}", said(&poor));

    let folder = home.bucket("captures").join("scored/AllTraffic");
    let is_own = |line: &captured::Captured| line.json.to_string().contains("\"inferenceId\":\"captura-attribution-");
    wait_for("the archive to hold the questions", Duration::from_secs(30), || {
        let lines = captured::read(&folder);
        (lines.len() > 50 && lines.iter().all(is_own)).then_some(())
    });
}
