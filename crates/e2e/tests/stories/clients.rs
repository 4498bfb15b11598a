//! Scripts written for AWS, through the clients that people have: the SageMaker SDK and the AWS command line.

use captura_e2e::program::{checkout, said};
use captura_e2e::python;
use captura_e2e::server::Home;

/// Objects come in seconds, where AWS takes minutes.
const QUICK: &str = "[capture]\nseal_after = \"1s\"\n";

#[test]
fn the_sdks_example_of_an_xgboost_model_with_capture_runs_to_its_end() {
    let home = Home::new(QUICK);
    let server = home.serve();
    let (model, rows) = (checkout().join("demo/model.json"), checkout().join("demo/patients.csv"));
    let arguments = [model.to_str().unwrap(), rows.to_str().unwrap()];
    let Some(told) = python::tell_in_a_hurry(&server, "notebook_xgboost_capture.py", &arguments) else { return };
    assert!(told.status.success(), "{}\n-- server\n{}", said(&told), home.log());
}

#[test]
fn the_sdks_predictor_switches_capture_on_and_off() {
    let home = Home::new(QUICK);
    let server = home.serve();
    let Some(told) = python::tell_in_a_hurry(&server, "predictor_capture.py", &[]) else { return };
    assert!(told.status.success(), "{}\n-- server\n{}", said(&told), home.log());
}

#[test]
fn the_aws_command_line_does_everything_around_an_endpoint() {
    let home = Home::new(QUICK);
    let server = home.serve();
    let Some(told) = python::tell_in_a_hurry(&server, "awscli.py", &[home.path().to_str().unwrap()]) else { return };
    assert!(told.status.success(), "{}\n-- server\n{}", said(&told), home.log());
}
