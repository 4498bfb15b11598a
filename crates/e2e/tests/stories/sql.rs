//! Questions in SQL to what a server has captured, and what DuckDB answers to the same.

use std::time::Duration;

use captura_e2e::connection::Connection;
use captura_e2e::deployment::Deployment;
use captura_e2e::program::{self, said};
use captura_e2e::server::{Home, wait_for};
use captura_e2e::{captured, python};
use serde_json::{Value, json};

const CONFIGURATION: &str = "[capture]\nseal_after = \"1s\"\n\n[[tables]]\nto = \"s3://lake/calls\"\ncompact = false\n";

#[test]
fn lines_and_table_answer_sql_as_another_engine_does() {
    let home = Home::new(CONFIGURATION);
    let server = home.serve();
    Deployment::demo_model("patients").create(&server);
    Deployment::echo("echo").create(&server);
    let patients = std::fs::read_to_string(program::checkout().join("demo/patients.csv")).unwrap();
    let patients: Vec<&str> = patients.lines().skip(1).take(60).collect();
    let mut connection = Connection::open(server.address()).unwrap();
    let mut call = |endpoint: &str, body: &str, status: u16| {
        let path = format!("/endpoints/{endpoint}/invocations");
        let headers = [("content-type", "text/csv"), ("accept", "text/csv")];
        assert_eq!(connection.post(&path, &headers, body.as_bytes()).unwrap().status, status);
    };
    patients.iter().for_each(|row| call("patients", row, 200));
    call("patients", &patients.join("\n"), 200);
    call("patients", "1,2,3", 424);
    call("echo", "a", 200);
    let calls = patients.len() + 3;
    let (captures, table) = (home.bucket("captures").join("stories"), home.bucket("lake").join("calls"));
    wait_for("the archive to write lines and table", Duration::from_secs(30), || {
        let is_filed = table.join("rows/endpoint=echo").is_dir() && table.join("rows/endpoint=patients").is_dir();
        (captured::read(&captures).len() == calls && is_filed).then_some(())
    });
    assert!(server.stop().success(), "{}", home.log());

    let [captures_text, table_text] = [&captures, &table].map(|path| path.to_str().unwrap());
    let program = program::path();
    let arguments = [program.to_str().unwrap(), captures_text, table_text];
    let Some(told) = python::tell_at("http://127.0.0.1:9", "sql.py", &arguments, ("none", "none")) else { return };
    assert!(told.status.success(), "{}", said(&told));
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(told, json!({"calls": calls, "rows": 2 * patients.len()}));

    let data = home.data_dir();
    let of_data = ["sql", "SELECT 1 AS one FROM invocation", "--from", "s3://captures/stories", "--data-dir"];
    let refused = program::run(of_data.iter().map(std::ffi::OsStr::new).chain([data.as_os_str()]));
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("did you mean invocations?"), "{}", said(&refused));
}
