//! Processing jobs, as the SageMaker SDK asks for them: baselines by the built-in analyser, and programs of others.

use std::time::Duration;

use captura_e2e::deployment::accept;
use captura_e2e::docker::Docker;
use captura_e2e::program::said;
use captura_e2e::python;
use captura_e2e::server::{Home, Server, wait_for};
use serde_json::{Value, json};

/// How long a job may take on a busy machine.
const JOB_LIMIT: Duration = Duration::from_secs(120);

#[test]
fn the_sdks_monitors_suggest_baselines_and_what_they_find_is_what_is_there() {
    let home = Home::default();
    let server = home.serve();
    let Some(told) = python::tell_in_a_hurry(&server, "baselines.py", &[home.path().to_str().unwrap()]) else { return };
    assert!(told.status.success(), "{}\n-- server\n{}", said(&told), home.log());
    assert!(server.stop().success(), "{}", home.log());
}

#[test]
fn the_same_rows_as_csv_json_lines_json_and_parquet_are_the_same_to_the_sdks_monitors() {
    let home = Home::default();
    let server = home.serve();
    let Some(told) = python::tell_in_a_hurry(&server, "formats.py", &[home.path().to_str().unwrap()]) else { return };
    assert!(told.status.success(), "{}\n-- server\n{}", said(&told), home.log());
    assert!(server.stop().success(), "{}", home.log());
}

#[test]
fn clarifys_processor_measures_and_explains_what_a_model_answers_to_data_in_every_form() {
    let home = Home::default();
    let server = home.serve();
    let model = captura_e2e::program::checkout().join("crates/backends/tests/data/shap/model.json");
    let arguments = [home.path().to_str().unwrap(), model.to_str().unwrap()];
    let Some(told) = python::tell_in_a_hurry(&server, "clarify.py", &arguments) else { return };
    assert!(told.status.success(), "{}\n-- server\n{}", said(&told), home.log());
    assert!(server.stop().success(), "{}", home.log());
}

fn request(name: &str, image: &str, more: &Value) -> Value {
    let mut wanted = json!({
        "ProcessingJobName": name,
        "ProcessingResources": {"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}},
        "AppSpecification": {"ImageUri": image},
        "RoleArn": "arn:aws:iam::000000000000:role/captura-stories",
        "ProcessingInputs": [{"InputName": "rows", "S3Input": {"S3Uri": "s3://rows/in", "S3DataType": "S3Prefix",
            "LocalPath": "/opt/ml/processing/input/rows"}}],
        "ProcessingOutputConfig": {"Outputs": [{"OutputName": "clean", "S3Output": {"S3Uri": "s3://rows/out",
            "LocalPath": "/opt/ml/processing/output", "S3UploadMode": "EndOfJob"}}]},
    });
    for (member, value) in more.as_object().into_iter().flatten() {
        wanted[member] = value.clone();
    }
    wanted
}

fn ended(server: &Server, home: &Home, name: &str) -> Value {
    let job = wait_for("the job to end", JOB_LIMIT, || {
        let job = accept(server, "DescribeProcessingJob", &json!({"ProcessingJobName": name}));
        job.get("ProcessingEndTime").is_some().then_some(job)
    });
    println!("{}", home.log().lines().filter(|line| line.contains("processing job")).collect::<Vec<_>>().join("\n"));
    job
}

fn put(home: &Home, key: &str, text: &str) {
    let path = home.bucket("rows").join(key);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[test]
fn a_program_of_the_operators_stands_in_for_an_image_and_time_limits_hold() {
    let script = "set -e; cd \"$CAPTURA_JOB_ROOT/opt/ml/processing\"; sort input/rows/*.csv > output/sorted.csv; \
                  echo \"$GREETING $1\" > ../output/message; test -z \"$SLEEP\" || sleep 600";
    let images = format!(
        "[[processing.images]]\nimage = \"team/sort*\"\nbackend = \"process\"\nsandbox = \"degraded\"\n\
         command = [\"/bin/sh\", \"-c\", '{script}', \"sort\"]\n"
    );
    let home = Home::new(&images);
    let server = home.serve();
    put(&home, "in/a.csv", "2\n3\n");
    put(&home, "in/b.csv", "1\n");
    let arguments = json!({"AppSpecification": {"ImageUri": "team/sort:1", "ContainerArguments": ["world"]},
        "Environment": {"GREETING": "hello"}});
    accept(&server, "CreateProcessingJob", &request("sorted", "", &arguments));
    let job = ended(&server, &home, "sorted");
    assert_eq!(job["ProcessingJobStatus"], "Completed", "{job}\n{}", home.log());
    assert_eq!(job["ExitMessage"], "hello world");
    assert_eq!(std::fs::read_to_string(home.bucket("rows").join("out/sorted.csv")).unwrap(), "1\n2\n3\n");

    let slow = json!({"StoppingCondition": {"MaxRuntimeInSeconds": 1}, "Environment": {"SLEEP": "1"}});
    accept(&server, "CreateProcessingJob", &request("slow", "team/sort:1", &slow));
    let job = ended(&server, &home, "slow");
    assert_eq!(job["ProcessingJobStatus"], "Stopped", "{job}");
    assert_eq!(job["FailureReason"], "The job ran longer than its MaxRuntimeInSeconds, 1.");

    let endless = json!({"Environment": {"SLEEP": "1"}});
    accept(&server, "CreateProcessingJob", &request("endless", "team/sort:1", &endless));
    wait_for("the job to begin", JOB_LIMIT, || {
        let job = accept(&server, "DescribeProcessingJob", &json!({"ProcessingJobName": "endless"}));
        job.get("ProcessingStartTime").is_some().then_some(())
    });
    accept(&server, "StopProcessingJob", &json!({"ProcessingJobName": "endless"}));
    assert_eq!(ended(&server, &home, "endless")["ProcessingJobStatus"], "Stopped");

    accept(&server, "CreateProcessingJob", &request("unknown", "nobody/knows:1", &json!({})));
    let job = ended(&server, &home, "unknown");
    assert_eq!(job["ProcessingJobStatus"], "Failed");
    let reason = job["FailureReason"].as_str().unwrap();
    assert!(reason.contains("no Docker to run it") && reason.contains("[[processing.images]]"), "{reason}");
}

#[test]
fn any_other_image_runs_in_docker_with_sagemakers_paths() {
    let Some(docker) = Docker::here("processing jobs as containers") else { return };
    let home = docker.home();
    let server = home.serve();
    put(&home, "in/a.csv", "2\n3\n");
    let script = "import json, os, socket\n\
        config = json.load(open('/opt/ml/config/processingjobconfig.json'))\n\
        hosts = json.load(open('/opt/ml/config/resourceconfig.json'))\n\
        assert config['ProcessingJobName'] == 'contained' and hosts['current_host'] == socket.gethostname(), hosts\n\
        rows = open('/opt/ml/processing/input/rows/a.csv').read().split()\n\
        open('/opt/ml/processing/output/sum.txt', 'w').write(str(sum(map(int, rows))))\n\
        open('/opt/ml/output/message', 'w').write(os.environ['GREETING'])\n\
        print('worked on', len(rows), 'rows')\n";
    put(&home, "code/sum.py", script);
    let code = json!({"InputName": "code", "S3Input": {"S3Uri": "s3://rows/code/sum.py", "S3DataType": "S3Prefix",
        "LocalPath": "/opt/ml/processing/input/code"}});
    let mut wanted = request("contained", "captura-stories/toolkit", &json!({"Environment": {"GREETING": "hello"}}));
    wanted["AppSpecification"]["ContainerEntrypoint"] = json!(["python3", "/opt/ml/processing/input/code/sum.py"]);
    wanted["ProcessingInputs"].as_array_mut().unwrap().push(code);
    accept(&server, "CreateProcessingJob", &wanted);
    let job = ended(&server, &home, "contained");
    assert_eq!(job["ProcessingJobStatus"], "Completed", "{job}\n{}", home.log());
    assert_eq!(job["ExitMessage"], "hello");
    assert_eq!(std::fs::read_to_string(home.bucket("rows").join("out/sum.txt")).unwrap(), "5");
    assert_eq!(docker.containers(&home), Vec::<String>::new());
    assert!(server.stop().success(), "{}", home.log());
}
