//! Captured calls as a table that DuckDB and pyarrow read: as it is written, compacted, and made of captures.

use std::path::Path;
use std::time::Duration;

use captura_e2e::connection::Connection;
use captura_e2e::deployment::Deployment;
use captura_e2e::program::{self, said};
use captura_e2e::server::{Home, wait_for};
use captura_e2e::{captured, python};
use serde_json::{Value, json};

const CONFIGURATION: &str = "[capture]\nseal_after = \"1s\"\n\n[[tables]]\nto = \"s3://lake/calls\"\ncompact = false\n";

fn captura(home: &Home, arguments: &[&str]) -> std::process::Output {
    let config = home.path().join("captura.toml");
    let data = home.data_dir();
    let places = ["--config", config.to_str().unwrap(), "--data-dir", data.to_str().unwrap()];
    program::run(arguments.iter().chain(&places))
}

/// Files of a table, by whatever name.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path.display().to_string()) }
        }
    }
    found
}

#[test]
fn analysts_find_every_call_and_every_row_once_whatever_is_done_to_the_files() {
    let home = Home::new(CONFIGURATION);
    let server = home.serve();
    Deployment::demo_model("patients").create(&server);
    Deployment::echo("echo").create(&server);
    let demo = program::checkout().join("demo");
    let patients = std::fs::read_to_string(demo.join("patients.csv")).unwrap();
    let patients: Vec<&str> = patients.lines().skip(1).collect();
    let (table, captures) = (home.bucket("lake").join("calls"), home.bucket("captures").join("stories"));
    let expected = demo.join("expected.csv");

    let mut connection = Connection::open(server.address()).unwrap();
    let calls = std::cell::Cell::new(0);
    let mut call = |endpoint: &str, content_type: &str, body: &[u8], status: u16| {
        let path = format!("/endpoints/{endpoint}/invocations");
        let reply = connection.post(&path, &[("content-type", content_type), ("accept", "text/csv")], body).unwrap();
        assert_eq!(reply.status, status, "{}", reply.text());
        calls.set(calls.get() + 1);
    };
    call("patients", "text/csv", patients.join("\n").as_bytes(), 200);
    for round in 0..3_u8 {
        for row in &patients[..20] {
            call("patients", "text/csv", row.as_bytes(), 200);
        }
        call("patients", "text/csv", b"1,2,3", 424);
        call("echo", "application/octet-stream", &[round, 0xff, 0, b'\n'], 200);
        // A part for each round: the table has what was captured so far.
        wait_for("the archive to write lines and table", Duration::from_secs(30), || {
            let lines = captured::read(&captures).len();
            let parts = files(&table).iter().filter(|name| name.contains("/rows/endpoint=echo/")).count();
            (lines >= calls.get() && parts > usize::from(round)).then_some(())
        });
    }

    let calls = calls.get();
    let read = |folder: &std::path::PathBuf| -> Option<Value> {
        let document = program::checkout().join("docs/table.md");
        let folders = [folder, &captures, &expected, &document].map(|path| path.to_str().unwrap());
        let told = python::tell(&server, "table.py", &folders)?;
        assert!(told.status.success(), "{}\n-- server\n{}", said(&told), home.log());
        Some(serde_json::from_slice(&told.stdout).unwrap())
    };
    let Some(written) = read(&table) else { return };
    let rows = patients.len() + 60 + 3 + 3;
    assert_eq!((&written["calls"], &written["rows"]), (&json!(calls), &json!(rows)));

    // Compacted while the server runs: fewer files, the same rows.
    let compacted = captura(&home, &["table", "compact", "s3://lake/calls", "--all-hours"]);
    assert!(compacted.status.success(), "{}", said(&compacted));
    let merged = read(&table).unwrap();
    assert_eq!((&merged["calls"], &merged["rows"]), (&written["calls"], &written["rows"]));
    assert!(merged["files"].as_u64() < written["files"].as_u64(), "{merged} {written}");

    // Made of the captures, with the signature that the server tells.
    let described = program::run(["endpoint", "patients", "--json", "--url", &server.url()]);
    let described: Value = serde_json::from_slice(&described.stdout).unwrap();
    assert_eq!(described["CapturaTables"], json!(["s3://lake/calls"]));
    let signature = home.path().join("signature.json");
    std::fs::write(&signature, described["CapturaVariants"][0]["signature"].to_string()).unwrap();
    let exported = home.path().join("exported");
    let (to, signature) = (exported.to_str().unwrap(), signature.to_str().unwrap());
    let echo_and_all = ["table", "export", "s3://captures/stories", "--to", to, "--signature", signature];
    let done = captura(&home, &echo_and_all);
    assert!(done.status.success() && said(&done).contains(&format!("{calls} calls of")), "{}", said(&done));

    assert!(server.stop().success(), "{}", home.log());
    let reconciled = program::run([
        "reconcile".as_ref(),
        "--deep".as_ref(),
        "--json".as_ref(),
        "--data-dir".as_ref(),
        home.data_dir().as_os_str(),
    ]);
    assert!(reconciled.status.success(), "{}", said(&reconciled));
    let report: Value = serde_json::from_slice(&reconciled.stdout).unwrap();
    assert_eq!(report["tables"]["records"], json!(2 * calls), "each call in each half");
}
