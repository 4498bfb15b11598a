//! Processing jobs from the request to the row, run by a runner on command: the image says how a job ends.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};

use super::{House, arn};
use crate::{Halt, JobEnd, JobOrder, JobOutcome, JobRunner, RunningJob};

/// `good` completes with a message, `bad` fails, `gated` waits for a permit of the test's, `panics` does; images that begin
/// with `again` wait as `gated` does and may be run once more.
#[derive(Debug, Clone)]
pub(crate) struct Runner {
    gate: Arc<Semaphore>,
    begun: Arc<Mutex<Vec<JobOrder>>>,
}

impl Default for Runner {
    fn default() -> Self {
        Self { gate: Arc::new(Semaphore::new(0)), begun: Arc::default() }
    }
}

impl Runner {
    fn begun(&self) -> Vec<String> {
        let begun = self.begun.lock().expect("our bug: a test panicked");
        begun.iter().map(|order| order.request.processing_job_name.to_string()).collect()
    }
}

impl JobRunner for Runner {
    fn run(&self, order: JobOrder, mut halt: watch::Receiver<Halt>) -> RunningJob {
        let image = order.request.app_specification.image_uri.clone();
        self.begun.lock().expect("our bug: a test panicked").push(order);
        let gate = Arc::clone(&self.gate);
        Box::pin(async move {
            match image.as_str() {
                "bad" => return JobEnd::failed("AlgorithmError: it is bad"),
                "panics" => panic!("a test asked for it"),
                "good" => {}
                _ => tokio::select! {
                    permit = gate.acquire() => permit.expect("our bug: the gate is open").forget(),
                    _ = halt.wait_for(|halt| *halt != Halt::No) => {
                        return JobEnd { outcome: JobOutcome::Stopped(None), exit_message: Some("so far".into()) };
                    }
                },
            }
            JobEnd { outcome: JobOutcome::Completed, exit_message: Some("é".repeat(1_000)) }
        })
    }

    fn is_repeatable(&self, image: &str) -> bool {
        image.starts_with("again")
    }
}

fn request(name: &str, image: &str) -> Value {
    json!({
        "ProcessingJobName": name,
        "ProcessingResources": {"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}},
        "AppSpecification": {"ImageUri": image},
        "RoleArn": "arn:aws:iam::000000000000:role/monitor",
    })
}

async fn create(house: &House, name: &str, image: &str) {
    let created = house.ok("CreateProcessingJob", request(name, image)).await;
    assert_eq!(created, json!({"ProcessingJobArn": arn(&format!("processing-job/{name}"))}));
}

async fn describe(house: &House, name: &str) -> Value {
    house.ok("DescribeProcessingJob", json!({"ProcessingJobName": name})).await
}

async fn pass(house: &House) {
    house.control.inner.jobs.reconcile().await.expect("our bug: the catalog works");
}

/// Passes until that job has ended.
async fn ended(house: &House, name: &str) -> Value {
    loop {
        pass(house).await;
        let job = describe(house, name).await;
        if job.get("ProcessingEndTime").is_some() {
            return job;
        }
        house.control.inner.nudge.notified().await;
    }
}

#[tokio::test]
async fn a_job_is_told_as_it_was_asked_for_and_as_it_ends() {
    let house = House::new();
    let mut wanted = request("Job-1", "good");
    wanted["Environment"] = json!({"k": "v"});
    wanted["NetworkConfig"] = json!({"EnableNetworkIsolation": true});
    wanted["Tags"] = json!([{"Key": "team", "Value": "risk"}]);
    wanted["ProcessingInputs"] = json!([{"InputName": "in", "AppManaged": false, "S3Input": {
        "S3Uri": "s3://bucket/data", "LocalPath": "/opt/ml/processing/input", "S3DataType": "S3Prefix"}}]);
    house.ok("CreateProcessingJob", wanted.clone()).await;
    let waiting = describe(&house, "job-1").await;
    assert_eq!(waiting["ProcessingJobStatus"], "InProgress");
    assert_eq!(waiting.get("ProcessingStartTime"), None);
    let job = ended(&house, "Job-1").await;
    assert_eq!(job["ProcessingJobStatus"], "Completed");
    assert_eq!(job["ExitMessage"], "é".repeat(512), "a kilobyte, and no half characters");
    assert_eq!(job["ProcessingInputs"], wanted["ProcessingInputs"]);
    assert_eq!(
        job["NetworkConfig"],
        json!({"EnableNetworkIsolation": true, "EnableInterContainerTrafficEncryption": false})
    );
    assert_eq!(job["Environment"], json!({"k": "v"}));
    assert_eq!(job.get("Tags"), None);
    let times = ["CreationTime", "ProcessingStartTime", "ProcessingEndTime"].map(|name| job[name].as_f64().unwrap());
    assert!(times.is_sorted() && job["LastModifiedTime"] == job["ProcessingEndTime"], "{job}");
    let tags = house.ok("ListTags", json!({"ResourceArn": job["ProcessingJobArn"]})).await;
    assert_eq!(tags["Tags"], wanted["Tags"]);

    create(&house, "j-2", "bad").await;
    let job = ended(&house, "j-2").await;
    assert_eq!(
        (&job["ProcessingJobStatus"], &job["FailureReason"]),
        (&json!("Failed"), &json!("AlgorithmError: it is bad"))
    );
    create(&house, "j-3", "panics").await;
    let job = ended(&house, "j-3").await;
    assert!(job["FailureReason"].as_str().unwrap().starts_with("InternalServerError: our bug"), "{job}");
}

#[tokio::test]
async fn jobs_wait_in_their_order_for_those_that_run() {
    let house = House::new();
    for name in ["a", "b", "c", "d"] {
        create(&house, name, "gated").await;
    }
    pass(&house).await;
    pass(&house).await;
    assert_eq!(house.runner.begun(), ["a", "b"], "two at a time");
    house.ok("StopProcessingJob", json!({"ProcessingJobName": "c"})).await;
    assert_eq!(describe(&house, "c").await["ProcessingJobStatus"], "Stopping");
    let waited = ended(&house, "c").await;
    assert_eq!(waited["ProcessingJobStatus"], "Stopped");
    assert_eq!(waited.get("ProcessingStartTime"), None, "it was never begun");
    house.ok("StopProcessingJob", json!({"ProcessingJobName": "a"})).await;
    let stopped = ended(&house, "a").await;
    assert_eq!((&stopped["ProcessingJobStatus"], &stopped["ExitMessage"]), (&json!("Stopped"), &json!("so far")));
    pass(&house).await;
    assert_eq!(house.runner.begun(), ["a", "b", "d"]);
    house.runner.gate.add_permits(2);
    assert_eq!(ended(&house, "b").await["ProcessingJobStatus"], "Completed");
    assert_eq!(ended(&house, "d").await["ProcessingJobStatus"], "Completed");
    let text = house.refused("StopProcessingJob", json!({"ProcessingJobName": "b"})).await;
    assert_eq!(text, "The request was rejected because the processing job is in status Completed.");
}

#[tokio::test]
async fn a_job_that_a_kill_cut_off_is_begun_anew_or_has_failed() {
    let mut house = House::new();
    create(&house, "once", "gated").await;
    create(&house, "again", "again").await;
    pass(&house).await;
    assert_eq!(house.runner.begun(), ["once", "again"]);
    for _ in 0..2 {
        house = house.after_a_kill();
        pass(&house).await;
        assert_eq!(house.runner.begun(), ["again"]);
        let failed = describe(&house, "once").await;
        assert_eq!(failed["ProcessingJobStatus"], "Failed");
        assert!(failed["FailureReason"].as_str().unwrap().contains("The server ended while the job ran"), "{failed}");
    }
    house = house.after_a_kill();
    let failed = ended(&house, "again").await;
    assert_eq!(failed["FailureReason"], "InternalServerError: The server ended 3 times while the job ran.");
}

#[tokio::test]
async fn the_end_of_the_server_ends_jobs_and_leaves_them_to_the_next_start() {
    let house = House::new();
    create(&house, "again", "again").await;
    pass(&house).await;
    house.control.close().await;
    let next = house.after_a_kill();
    assert_eq!(describe(&next, "again").await["ProcessingJobStatus"], "InProgress");
    next.runner.gate.add_permits(1);
    assert_eq!(ended(&next, "again").await["ProcessingJobStatus"], "Completed");
}

#[tokio::test]
async fn names_are_taken_until_their_job_has_ended_and_is_deleted() {
    let house = House::new();
    create(&house, "j", "gated").await;
    let (status, fault) = house.call("CreateProcessingJob", request("J", "good")).await;
    assert_eq!((status, &fault["__type"]), (400, &json!("ResourceInUse")));
    let text = "Job name must be unique within an AWS account and region, and a job with this name already exists";
    assert_eq!(fault["Message"], format!("{text} ({})", arn("processing-job/J")));
    let (_, fault) = house.call("DeleteProcessingJob", json!({"ProcessingJobName": "j"})).await;
    assert_eq!(fault["__type"], "ResourceInUse");
    house.runner.gate.add_permits(1);
    ended(&house, "j").await;
    house.ok("DeleteProcessingJob", json!({"ProcessingJobName": "j"})).await;
    for operation in ["DescribeProcessingJob", "StopProcessingJob", "DeleteProcessingJob"] {
        let (status, fault) = house.call(operation, json!({"ProcessingJobName": "j"})).await;
        assert_eq!((status, &fault["__type"]), (400, &json!("ResourceNotFound")), "{operation}");
        assert_eq!(fault["Message"], "Could not find requested job with name: j");
    }
    create(&house, "j", "good").await;
}

#[tokio::test]
async fn lists_tell_how_jobs_ended_and_go_by_status() {
    let house = House::new();
    for (name, image) in [("a", "good"), ("b", "bad"), ("c", "good")] {
        create(&house, name, image).await;
        ended(&house, name).await;
    }
    create(&house, "d", "gated").await;
    let listed = house
        .ok("ListProcessingJobs", json!({"StatusEquals": "Completed", "SortBy": "Name", "SortOrder": "Ascending"}));
    let listed = listed.await;
    let names = |listed: &Value| -> Vec<String> {
        let jobs = listed["ProcessingJobSummaries"].as_array().unwrap();
        jobs.iter().map(|job| job["ProcessingJobName"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&listed), ["a", "c"]);
    let by_status =
        house.ok("ListProcessingJobs", json!({"SortBy": "Status", "SortOrder": "Ascending", "MaxResults": 3}));
    let by_status = by_status.await;
    assert_eq!(names(&by_status), ["a", "c", "b"]);
    assert_eq!(by_status["ProcessingJobSummaries"][2]["FailureReason"], "AlgorithmError: it is bad");
    assert_eq!(by_status["ProcessingJobSummaries"][2]["ProcessingJobArn"], arn("processing-job/b"));
    let rest = json!({"SortBy": "Status", "SortOrder": "Ascending", "NextToken": by_status["NextToken"]});
    let rest = house.ok("ListProcessingJobs", rest).await;
    assert_eq!(names(&rest), ["d"]);
    assert_eq!(rest["ProcessingJobSummaries"][0].get("ProcessingEndTime"), None);
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_when_it_is_asked_for() {
    let house = House::new();
    let with = |member: &str, value: Value| {
        let mut wanted = request("j", "good");
        wanted[member] = value;
        wanted
    };
    let input = |s3: Value| json!([{"InputName": "in", "S3Input": s3}]);
    let s3 = |uri: &str, path: &str| json!({"S3Uri": uri, "LocalPath": path, "S3DataType": "S3Prefix"});
    let twice = json!([
        {"InputName": "a", "S3Input": s3("s3://bucket/a", "/opt/ml/processing/in")},
        {"InputName": "b", "S3Input": s3("s3://bucket/b", "/opt/ml/processing/in/")}]);
    let output = json!({"Outputs": [{"OutputName": "o", "FeatureStoreOutput": {"FeatureGroupName": "g"}}]});
    for (wanted, part) in [
        (with("ProcessingInputs", input(s3("https://bucket/a", "/opt/ml/processing/in"))), "does not begin with s3://"),
        (with("ProcessingInputs", input(s3("s3://bucket/../a", "/opt/ml/processing/in"))), "'..' parts"),
        (with("ProcessingInputs", input(s3("s3://bucket/a", "/etc"))), "must begin with /opt/ml/processing/"),
        (with("ProcessingInputs", input(s3("s3://bucket/a", "/opt/ml/processing/../../../etc"))), "no empty part"),
        (with("ProcessingInputs", input(json!({"S3Uri": "s3://bucket/a", "S3DataType": "S3Prefix"}))), "must be given"),
        (with("ProcessingInputs", json!([{"InputName": "in"}])), "has no S3Input"),
        (
            with("ProcessingInputs", json!([{"InputName": "in", "DatasetDefinition": {}}])),
            "a query of Athena or Redshift",
        ),
        (with("ProcessingInputs", twice), "which another input has already"),
        (with("ProcessingOutputConfig", output), "a feature group"),
        (with("Tags", json!([{"Key": "aws:x", "Value": "y"}])), "reserved for AWS"),
        (request("j", " "), "names no image"),
    ] {
        let text = house.refused("CreateProcessingJob", wanted.clone()).await;
        assert!(text.contains(part), "{wanted}: {text}");
    }
    assert_eq!(house.ok("ListProcessingJobs", json!({})).await, json!({"ProcessingJobSummaries": []}));
}
