//! Models that run as processes: killed, broken, dying, and never left behind.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use captura_e2e::connection::{Connection, Reply};
use captura_e2e::deployment::{Deployment, accept};
use captura_e2e::oracle::Oracle;
use captura_e2e::program;
use captura_e2e::server::{Home, Server, wait_for};
use captura_e2e::traffic::{Callers, Seen, Traffic};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

pub(crate) const IMAGE: &str = "stories/model";
const ENDPOINT: &str = "model";

/// A home whose server runs [`IMAGE`] as a program that does what its callers say.
fn home() -> Home {
    home_with("")
}

/// The same, with more settings.
pub(crate) fn home_with(more: &str) -> Home {
    let home = Home::new("");
    let path = home.path();
    // The program's user passes through here.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o711)).unwrap();
    let folder = path.join("server");
    std::fs::create_dir(&folder).unwrap();
    let source = program::checkout().join("crates/backends/tests/fakes/model_server.py");
    std::fs::copy(source, folder.join("model_server.py")).unwrap();
    // As much of the sandbox as this kernel has; what it holds is another test's.
    let configuration = format!(
        "[capture]\nseal_after = \"1s\"\n[models]\nprocess_dir = {processes:?}\n[[models.images]]\nimage = {IMAGE:?}\n\
         backend = \"process\"\ncommand = [\"python3\", {program:?}]\nsandbox = \"degraded\"\n{more}",
        processes = path.join("processes"),
        program = folder.join("model_server.py"),
    );
    std::fs::write(path.join("captura.toml"), configuration).unwrap();
    home
}

fn call(server: &Server, body: &str) -> Reply {
    let mut connection = Connection::open(server.address()).unwrap();
    let path = format!("/endpoints/{ENDPOINT}/invocations");
    connection.post(&path, &[("content-type", "text/csv")], body.as_bytes()).unwrap()
}

/// A process id that the model tells.
fn pid(server: &Server, word: &str) -> Pid {
    let reply = call(server, word);
    reply.text().parse().ok().and_then(Pid::from_raw).unwrap_or_else(|| panic!("{}", reply.text()))
}

fn is_alive(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

fn oracle(at: &Path) -> Arc<Oracle> {
    Arc::new(Oracle::create(&at.join("oracle")))
}

#[test]
fn a_replica_killed_under_load_costs_no_call() {
    let home = home();
    let server = home.serve();
    Deployment { image: IMAGE, instances: 2, ..Deployment::echo(ENDPOINT) }.create(&server);
    let callers = Callers { address: server.address(), endpoint: ENDPOINT.to_owned(), clients: 4, seed: 7 };
    let (seen, oracle) = (Arc::new(Seen::default()), oracle(home.path()));
    let traffic = Traffic::start(&callers, &oracle, &seen);
    let answered = || seen.acknowledged.load(Ordering::Relaxed);
    for _ in 0..2 {
        let before = answered();
        wait_for("calls under way", Duration::from_secs(30), || (answered() > before + 100).then_some(()));
        let victim = pid(&server, "pid");
        kill_process(victim, Signal::KILL).unwrap();
        let is_gone = || (!is_alive(victim)).then_some(());
        wait_for("the victim's end", Duration::from_secs(30), is_gone);
        let survivor = pid(&server, "pid");
        // Calls of this story take turns with those of the load, so both replicas are met.
        let other = || Some(pid(&server, "pid")).filter(|pid| *pid != survivor).map(drop);
        wait_for("another replica beside the survivor", Duration::from_secs(60), other);
        let after = answered();
        wait_for("calls go on", Duration::from_secs(30), || (answered() > after + 100).then_some(()));
    }
    traffic.finish();
    assert_eq!(seen.refused.load(Ordering::Relaxed), 0, "calls failed; {}", home.log());
    assert!(server.stop().success());
}

#[test]
fn a_model_that_dies_at_its_start_fails_the_endpoint_in_its_own_words() {
    let home = home();
    let server = home.serve();
    let container = json!({"Image": IMAGE, "Environment": {"FAKE_DIE": "weights.bin is not there"}});
    let role = "arn:aws:iam::000000000000:role/captura-stories";
    accept(&server, "CreateModel", &json!({"ModelName": "m", "PrimaryContainer": container, "ExecutionRoleArn": role}));
    let variant = json!({"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 2,
        "InstanceType": "ml.m5.large", "InitialVariantWeight": 1.0});
    accept(&server, "CreateEndpointConfig", &json!({"EndpointConfigName": "c", "ProductionVariants": [variant]}));
    accept(&server, "CreateEndpoint", &json!({"EndpointName": ENDPOINT, "EndpointConfigName": "c"}));
    let reason = wait_for("a failed endpoint", Duration::from_secs(60), || {
        let described = accept(&server, "DescribeEndpoint", &json!({"EndpointName": ENDPOINT}));
        (described["EndpointStatus"] == "Failed").then(|| described["FailureReason"].as_str().unwrap().to_owned())
    });
    assert!(reason.contains("weights.bin is not there"), "{reason}");
}

#[test]
fn a_model_that_answers_garbage_is_a_model_error_and_harms_nobody_else() {
    let home = home();
    let server = home.serve();
    Deployment { image: IMAGE, ..Deployment::echo(ENDPOINT) }.create(&server);
    for _ in 0..3 {
        let reply = call(&server, "garbage");
        assert_eq!((reply.status, reply.header("x-amzn-errortype")), (424, Some("ModelError")), "{}", reply.text());
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(body["OriginalStatusCode"], 502);
    }
    assert_eq!(call(&server, "1,2").text(), "1,2");
}

#[test]
fn a_killed_server_leaves_no_process_behind() {
    let home = home();
    let server = home.serve();
    Deployment { image: IMAGE, instances: 2, ..Deployment::echo(ENDPOINT) }.create(&server);
    let (model, stray) = (pid(&server, "pid"), pid(&server, "stray"));
    assert!(is_alive(model) && is_alive(stray));
    server.kill();
    wait_for("the model's end", Duration::from_secs(10), || (!is_alive(model)).then_some(()));
    // One that moved into a session of its own is found by what it carries.
    let server = home.serve();
    wait_for("the stray's end", Duration::from_secs(10), || (!is_alive(stray)).then_some(()));
    assert_eq!(call(&server, "1,2").text(), "1,2", "the endpoint is served again");
    assert!(server.stop().success());
    let left = std::fs::read_dir(home.path().join("processes")).unwrap().count();
    assert_eq!(left, 0, "a stopped server leaves no folder of an instance");
}
