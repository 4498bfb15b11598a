//! Models of several containers, and many models behind one endpoint, through the AWS SDK and in the captures.

use std::time::Duration;

use captura_e2e::program::{self, said};
use captura_e2e::server::{Home, wait_for};
use captura_e2e::{captured, python};

/// A line of a file of the demo's.
fn line(file: &str, index: usize) -> String {
    let text = std::fs::read_to_string(program::checkout().join("demo").join(file)).unwrap();
    text.lines().nth(index + 1).unwrap().to_owned()
}

#[test]
fn pipelines_direct_calls_and_many_models_work_as_on_aws_and_are_captured() {
    let home = Home::default();
    let server = home.serve();
    let model = program::checkout().join("demo/model.json");
    let (row, other_row) = (line("patients.csv", 0), line("patients.csv", 1));
    let prediction = |index| line("expected.csv", index).split(',').next().unwrap().to_owned();
    let arguments = [model.to_str().unwrap(), &row, &prediction(0), &other_row, &prediction(1)];
    let Some(told) = python::tell(&server, "models.py", &arguments) else { return };
    assert!(told.status.success(), "{}\n-- server\n{}", said(&told), home.log());

    let read = |endpoint: &str, count: usize| {
        let folder = home.bucket("captures").join("models").join(endpoint);
        wait_for("the archive to hold every call", Duration::from_secs(30), || {
            let lines = captured::read(&folder);
            (lines.len() >= count).then_some(lines)
        })
    };
    let [once] = read("pipeline", 1).try_into().expect("a pipeline is captured once");
    assert_eq!(once.request().unwrap(), row.as_bytes(), "what the first container was asked");
    let answer = String::from_utf8(once.response().unwrap()).unwrap();
    let (answer, expected): (f32, f32) = (answer.trim().parse().unwrap(), prediction(1).parse().unwrap());
    assert_eq!(answer.to_bits(), expected.to_bits(), "what the last container answered");

    let mut keys: Vec<_> = read("many", 5).iter().map(|line| line.json["captura"]["targetModel"].clone()).collect();
    keys.sort_by_key(ToString::to_string);
    keys.dedup();
    let all = ["../single/model.tar.gz", "/regions/north.tar.gz", "north.tar.gz", "south/model.json"];
    assert_eq!(keys, all);
}

#[test]
fn components_share_an_endpoint_and_its_captures() {
    let home = Home::default();
    let server = home.serve();
    let Some(told) = python::tell(&server, "components.py", &[]) else { return };
    assert!(told.status.success(), "{}\n-- server\n{}", said(&told), home.log());
    let folder = home.bucket("captures").join("components/shared/AllTraffic");
    let lines = wait_for("the archive to hold every call", Duration::from_secs(30), || {
        let lines = captured::read(&folder);
        (lines.len() >= 3).then_some(lines)
    });
    let mut said: Vec<_> = lines
        .iter()
        .map(|line| (line.json["captura"]["modelName"].as_str().unwrap().to_owned(), line.response().unwrap()))
        .collect();
    said.sort();
    let of = |model: &str, answer: &str| (model.to_owned(), answer.as_bytes().to_vec());
    assert_eq!(said, [of("echo", "1,2"), of("fixed", "7"), of("fixed", "8")]);
}

#[test]
fn copies_of_a_component_are_replaced_in_batches_and_taken_back_by_an_alarm() {
    let home = Home::default();
    let server = home.serve();
    let Some(told) = python::tell(&server, "component_rollout.py", &[]) else { return };
    assert!(told.status.success(), "{}\n-- server\n{}", said(&told), home.log());
}
