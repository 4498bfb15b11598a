//! Answers with explanations, through the AWS SDK and the SageMaker SDK, and in the captures.

use std::time::Duration;

use captura_e2e::program::{checkout, said};
use captura_e2e::server::{Home, wait_for};
use captura_e2e::{captured, python};

/// Objects come in seconds.
const QUICK: &str = "[capture]\nseal_after = \"1s\"\n";

fn arguments() -> [String; 2] {
    ["demo/model.json", "demo/patients.csv"].map(|file| checkout().join(file).to_str().unwrap().to_owned())
}

#[test]
fn an_xgboost_model_is_explained_as_on_aws_and_the_explanations_are_captured() {
    let home = Home::new(QUICK);
    let server = home.serve();
    let [model, rows] = arguments();
    let Some(told) = python::tell(&server, "explaining.py", &[&model, &rows]) else { return };
    assert!(told.status.success(), "{}\n-- server\n{}", said(&told), home.log());
    let folder = home.bucket("captures").join("explained/explained");
    let lines = wait_for("the archive to hold every call", Duration::from_secs(30), || {
        let lines = captured::read(&folder);
        (lines.len() >= 6).then_some(lines)
    });
    let answers: Vec<serde_json::Value> =
        lines.iter().filter_map(|line| serde_json::from_slice(&line.response()?).ok()).collect();
    let of_records = |answer: &serde_json::Value| answer["explanations"]["kernel_shap"].as_array().map(Vec::len);
    assert!(answers.iter().any(|answer| of_records(answer) == Some(2)), "{answers:?}");
    let explained = lines.iter().filter(|line| line.json.to_string().contains("kernel_shap")).count();
    assert_eq!(explained, 2, "an explained call is one record, however often the model was asked");
}

#[test]
fn the_sdks_explainer_configuration_is_deployed_and_its_answers_add_up() {
    let home = Home::new(QUICK);
    let server = home.serve();
    let [model, rows] = arguments();
    let script = "notebook_xgboost_explained.py";
    let Some(told) = python::tell_in_a_hurry(&server, script, &[&model, &rows]) else { return };
    assert!(told.status.success(), "{}\n-- server\n{}", said(&told), home.log());
}
