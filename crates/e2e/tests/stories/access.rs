//! Where signatures count: a notebook with a key of captura's does what it did, and without one nothing.

use captura_e2e::program::{self, said};
use captura_e2e::python;
use captura_e2e::server::Home;
use serde_json::Value;

/// A key, as `captura keys create` shows it once.
fn create(home: &Home, arguments: &[&str]) -> (String, String) {
    let data_dir = home.data_dir();
    let fixed = ["keys", "create", "--json", "--data-dir", data_dir.to_str().unwrap()];
    let made = program::run(fixed.iter().chain(arguments));
    assert!(made.status.success(), "{}", said(&made));
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    (made["accessKeyId"].as_str().unwrap().to_owned(), made["secretAccessKey"].as_str().unwrap().to_owned())
}

#[test]
fn a_notebook_with_a_key_runs_unchanged_and_one_without_is_turned_away() {
    let home = Home::new("[auth]\nmode = \"sigv4\"\n[capture]\nseal_after = \"1s\"\n");
    let (id, secret) = create(&home, &["--consumer", "notebook"]);
    let limited = create(&home, &["--consumer", "app", "--allow", "sagemaker:InvokeEndpoint:signed"]);
    let server = home.serve();
    let told = python::tell_as(&server, "access.py", &[&limited.0, &limited.1], (&id, &secret));
    let Some(told) = told else { return };
    assert!(told.status.success(), "{}\n-- server\n{}", said(&told), home.log());
    for secret in [&secret, &limited.1] {
        assert!(!home.log().contains(secret.as_str()), "a secret is in the log");
    }
    assert!(server.stop().success(), "{}", home.log());
}

#[test]
fn what_botocore_signs_is_right_and_what_was_altered_is_not() {
    let home = Home::new("[auth]\nmode = \"sigv4\"\n");
    let (id, secret) = create(&home, &[]);
    let server = home.serve();
    let Some(told) = python::tell_as(&server, "signatures.py", &[], (&id, &secret)) else { return };
    assert!(told.status.success(), "{}\n-- server\n{}", said(&told), home.log());
}
