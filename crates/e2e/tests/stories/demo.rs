//! The first command of the README, as a stranger runs it.

use captura_e2e::program::{self, said};
use serde_json::Value;

#[test]
fn the_demo_finds_the_mistake_it_planted_and_its_book_balances() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("demo");
    let told = program::run(["demo".as_ref(), "--exit".as_ref(), "--dir".as_ref(), dir.as_os_str()]);
    assert!(told.status.success(), "{}", said(&told));
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    // Which feature, which consumer, since when; and nothing is missing from the book.
    for words in ["bp (baseline_drift_check)", "driven by insurer-batch, since 2", "balanced"] {
        assert!(text.contains(words), "{words:?} is not in {text}");
    }
    let violations = std::fs::read(dir.join("check/constraint_violations.json")).unwrap();
    let violations: Value = serde_json::from_slice(&violations).unwrap();
    let features: Vec<&str> =
        violations["violations"].as_array().unwrap().iter().map(|one| one["feature_name"].as_str().unwrap()).collect();
    assert_eq!(features, ["bp"], "the mistake and nothing else");
    let data_dir = dir.join("data");
    let proved = program::run(["reconcile".as_ref(), "--deep".as_ref(), "--data-dir".as_ref(), data_dir.as_os_str()]);
    assert!(proved.status.success(), "{}", said(&proved));
}
