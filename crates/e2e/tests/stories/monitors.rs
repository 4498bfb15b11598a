//! Monitors from the baseline to the last report: through the SageMaker SDK, through the command line, and over kill -9.

use std::process::{Command, Output};
use std::time::Duration;

use captura_e2e::captured;
use captura_e2e::deployment::{Deployment, accept};
use captura_e2e::program::{self, said};
use captura_e2e::python;
use captura_e2e::server::{Home, Server, wait_for};
use serde_json::{Value, json};

/// Captures become objects at once, so that executions need not wait for them.
const SEALS_SOON: &str = "[capture]\nseal_after = \"200ms\"\n";
/// How long an execution may take on a busy machine.
const EXECUTION_LIMIT: Duration = Duration::from_secs(120);

fn run(home: &Home, server: &Server, arguments: &[&str]) -> Output {
    let url = server.url();
    let arguments = arguments.iter().copied().chain(["--url", &url]);
    Command::new(program::path()).args(arguments).current_dir(home.path()).output().unwrap()
}

fn done(output: &Output) {
    assert!(output.status.success(), "{}", said(output));
}

#[test]
fn the_sdks_monitors_work_from_the_baseline_to_the_last_violation() {
    let home = Home::new(SEALS_SOON);
    let server = home.serve();
    let told = python::tell_in_a_hurry(&server, "monitors.py", &[home.path().to_str().unwrap()]);
    let Some(told) = told else { return };
    assert!(told.status.success(), "{}\n-- server\n{}", said(&told), home.log_end());
    assert!(server.stop().success(), "{}", home.log());
}

#[test]
fn the_sdks_explainability_monitor_finds_what_the_model_looks_at_and_its_jobs_need_no_key() {
    let home = Home::new(&format!("[auth]\nmode = \"sigv4\"\n{SEALS_SOON}"));
    let data_dir = home.data_dir();
    let made =
        program::run(["keys", "create", "--json", "--data-dir", data_dir.to_str().unwrap(), "--consumer", "team"]);
    done(&made);
    let key: Value = serde_json::from_slice(&made.stdout).unwrap();
    let server = home.serve();
    let model = program::checkout().join("crates/backends/tests/data/shap/model.json");
    let arguments = [home.path().to_str().unwrap(), model.to_str().unwrap()];
    let credentials = (key["accessKeyId"].as_str().unwrap(), key["secretAccessKey"].as_str().unwrap());
    let told = python::tell_in_a_hurry_as(&server, "explainability.py", &arguments, credentials);
    let Some(told) = told else { return };
    assert!(told.status.success(), "{}\n-- server\n{}", said(&told), home.log_end());
    assert!(server.stop().success(), "{}", home.log());
}

/// An endpoint with calls that its baseline in `s3://models/baseline` does not know.
fn drifted(home: &Home, server: &Server) {
    Deployment::echo("e").create(server);
    let rows: String = (0..200).map(|row| format!("{row},{},{row},{}\n", row % 2, row % 2)).collect();
    std::fs::write(home.path().join("known.csv"), format!("a,b,c,d\n{rows}")).unwrap();
    let folder = home.bucket("models").join("baseline");
    let arguments = ["baseline", "known.csv", "--out", folder.to_str().unwrap()];
    done(&Command::new(program::path()).args(arguments).current_dir(home.path()).output().unwrap());
    std::fs::write(home.path().join("body.csv"), "word,word").unwrap();
    for _ in 0..10 {
        done(&run(home, server, &["invoke", "e", "--body", "body.csv"]));
    }
    // A busy disk takes longer than executions wait.
    wait_for("the calls to be objects", EXECUTION_LIMIT, || {
        (captured::count(&home.bucket("captures")) == 10).then_some(())
    });
    let create =
        ["monitors", "create", "fine", "--endpoint", "e", "--every", "1d", "--baseline", "s3://models/baseline"];
    done(&run(home, server, &[&create[..], &["--out", "s3://reports"]].concat()));
    wait_for("the schedule to begin", EXECUTION_LIMIT, || {
        let told = accept(server, "DescribeMonitoringSchedule", &json!({"MonitoringScheduleName": "fine"}));
        (told["MonitoringScheduleStatus"] == "Scheduled").then_some(())
    });
}

#[test]
fn the_command_line_runs_a_monitor_and_says_what_it_found_by_its_exit_code() {
    let home = Home::new(SEALS_SOON);
    let server = home.serve();
    drifted(&home, &server);
    let told = run(&home, &server, &["monitors", "run", "fine", "--wait", "--json"]);
    assert_eq!(told.status.code(), Some(2), "{}\n{}", said(&told), home.log_end());
    let execution: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(execution["MonitoringExecutionStatus"], "CompletedWithViolations");
    let listed = run(&home, &server, &["monitors", "executions", "fine"]);
    assert_eq!(listed.status.code(), Some(2), "{}", said(&listed));
    let described = run(&home, &server, &["monitors", "describe", "fine"]);
    done(&described);
    let text = String::from_utf8_lossy(&described.stdout).into_owned();
    assert!(text.contains("violations: InAlert") && text.contains("cron(0 0 ? * * *)"), "{text}");
    done(&run(&home, &server, &["monitors", "stop", "fine"]));
    done(&run(&home, &server, &["monitors", "delete", "fine"]));
    let listed = run(&home, &server, &["monitors", "list", "--json"]);
    assert_eq!(serde_json::from_slice::<Value>(&listed.stdout).unwrap(), json!([]));
    assert!(server.stop().success(), "{}", home.log());
}

#[test]
fn an_execution_survives_kill_nine_and_is_reported_once() {
    let home = Home::new(SEALS_SOON);
    let server = home.serve();
    drifted(&home, &server);
    // Killed while the execution waits for its window, then at once when its job has begun.
    done(&run(&home, &server, &["monitors", "run", "fine"]));
    server.kill();
    let executions = |server: &Server| {
        let listed = accept(server, "ListMonitoringExecutions", &json!({"MonitoringScheduleName": "fine"}));
        let listed = listed["MonitoringExecutionSummaries"].as_array().unwrap().clone();
        assert_eq!(listed.len(), 1, "{listed:?}");
        listed[0].clone()
    };
    let server = home.serve();
    wait_for("the job to begin", EXECUTION_LIMIT, || executions(&server).get("ProcessingJobArn").map(|_| ()));
    server.kill();
    let server = home.serve();
    let ended = wait_for("the execution to end", EXECUTION_LIMIT, || {
        let execution = executions(&server);
        let status = execution["MonitoringExecutionStatus"].as_str().unwrap();
        (!["Pending", "InProgress"].contains(&status)).then_some(execution)
    });
    assert_eq!(ended["MonitoringExecutionStatus"], "CompletedWithViolations", "{ended}\n{}", home.log_end());
    let jobs = accept(&server, "ListProcessingJobs", &json!({}));
    assert_eq!(jobs["ProcessingJobSummaries"].as_array().unwrap().len(), 1, "{jobs}");
    assert!(server.stop().success(), "{}", home.log());
}
