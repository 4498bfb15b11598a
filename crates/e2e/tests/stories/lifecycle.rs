//! Endpoints come, change and go, through the AWS SDK and under load.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use captura_e2e::deployment::{Deployment, accept, wait_in_service};
use captura_e2e::oracle::Oracle;
use captura_e2e::program::said;
use captura_e2e::python;
use captura_e2e::server::{Home, wait_for};
use captura_e2e::traffic::{Callers, Seen, Traffic};
use serde_json::json;

#[test]
fn a_notebook_written_for_aws_runs_unchanged() {
    let home = Home::default();
    let server = home.serve();
    let Some(told) = python::tell(&server, "lifecycle.py", &[]) else { return };
    assert!(told.status.success(), "{}\n-- server\n{}", said(&told), home.log());
}

#[test]
fn a_model_that_cannot_load_makes_its_endpoint_failed_with_a_reason() {
    let home = Home::default();
    let server = home.serve();
    let artefact = home.path().join("model.json");
    std::fs::write(&artefact, "{\"learner\": 7}").unwrap();
    let url = format!("file://{}", artefact.display());
    let Some(told) = python::tell(&server, "failure.py", &[&url]) else { return };
    assert!(told.status.success(), "{}\n-- server\n{}", said(&told), home.log());
}

#[test]
fn an_update_under_load_fails_no_call() {
    let home = Home::default();
    let server = home.serve();
    Deployment::echo("busy").create(&server);
    let described = accept(&server, "DescribeEndpointConfig", &json!({"EndpointConfigName": "busy"}));
    for name in ["busy-2", "busy-3"] {
        let configuration = json!({"EndpointConfigName": name, "ProductionVariants": described["ProductionVariants"],
            "DataCaptureConfig": described["DataCaptureConfig"]});
        accept(&server, "CreateEndpointConfig", &configuration);
    }
    let (oracle, seen) = (Arc::new(Oracle::create(&home.path().join("oracle.jsonl"))), Arc::new(Seen::default()));
    let callers = Callers { address: server.address(), endpoint: "busy".to_owned(), clients: 4, seed: 1 };
    let traffic = Traffic::start(&callers, &oracle, &seen);
    for name in ["busy-2", "busy-3", "busy"] {
        let before = seen.acknowledged.load(Ordering::Relaxed);
        accept(&server, "UpdateEndpoint", &json!({"EndpointName": "busy", "EndpointConfigName": name}));
        wait_in_service(&server, "busy");
        wait_for("calls after the switch", Duration::from_secs(30), || {
            (seen.acknowledged.load(Ordering::Relaxed) > before + 100).then_some(())
        });
    }
    traffic.finish();
    assert_eq!(seen.refused.load(Ordering::Relaxed), 0, "{}", home.log());
    assert_eq!(seen.unacknowledged.load(Ordering::Relaxed), 0);
    assert_eq!(oracle.read().len() as u64, seen.acknowledged.load(Ordering::Relaxed));
}
