//! The buckets, as clients of S3 and the rooms behind them see the same objects.

use captura_e2e::program::{self, said};
use captura_e2e::python;
use captura_e2e::server::Home;

#[test]
fn clients_of_s3_find_what_they_know() {
    let home = Home::default();
    let server = home.serve();
    let folder = home.path().join("files");
    std::fs::create_dir(&folder).unwrap();
    let Some(told) = python::tell(&server, "buckets.py", &[folder.to_str().unwrap()]) else { return };
    assert!(told.status.success(), "{}\n-- server\n{}", said(&told), home.log());
}

#[test]
fn a_model_goes_up_through_s3_and_its_captures_come_back() {
    let home = Home::default();
    let server = home.serve();
    let demo = program::checkout().join("demo");
    let patients = std::fs::read_to_string(demo.join("patients.csv")).unwrap();
    let (model, row) = (demo.join("model.json"), patients.lines().nth(1).unwrap());
    let Some(told) = python::tell(&server, "notebook.py", &[model.to_str().unwrap(), row]) else { return };
    assert!(told.status.success(), "{}\n-- server\n{}", said(&told), home.log());
}
