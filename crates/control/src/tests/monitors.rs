//! Monitors from the request to the last report, with a clock, stores and jobs on command.

mod executions;
mod recovery;
mod requests;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use captura_names::Timestamp;
use captura_wire::hosting::ProcessingJobStatus;
use serde_json::{Value, json};

use super::House;
use crate::catalog::{CatalogError, JobChange, Work};
use crate::{Arrivals, Folder, Folders};

/// How long after a moment everything has arrived, microseconds.
const SETTLE_US: i64 = 60_000_000;

/// Captures arrive a minute late, or never.
pub(super) fn arrivals(seconds: Arc<AtomicI64>, never: Arc<AtomicBool>) -> Arrivals {
    Arrivals::new(move |_, until| {
        let now = Timestamp::from_unix_us(seconds.load(Ordering::SeqCst) * 1_000_000);
        !never.load(Ordering::SeqCst) && now >= until.plus_us(SETTLE_US)
    })
}

/// Folders of objects that a test puts.
pub(super) fn folders(store: Arc<Mutex<Option<BTreeSet<String>>>>) -> Folders {
    Folders::new(move |address| {
        let found = match &*store.lock().expect("our bug: a test panicked") {
            Some(objects) => Ok(look(objects, &format!("{address}/"))),
            None => Err("the store does not answer".to_owned()),
        };
        Box::pin(async move { found })
    })
}

fn look(objects: &BTreeSet<String>, prefix: &str) -> Folder {
    let mut folder = Folder::default();
    for rest in objects.iter().filter_map(|object| object.strip_prefix(prefix)) {
        match rest.split_once('/') {
            Some((name, _)) if folder.folders.iter().all(|known| known != name) => folder.folders.push(name.to_owned()),
            Some(_) => {}
            None => folder.objects.push(rest.to_owned()),
        }
    }
    folder
}

/// A house at 2023-11-14T22:13:20Z whose clock only the test moves, with an endpoint `e` that captures.
async fn house() -> House {
    let house = House::still();
    *house.hands.store.lock().unwrap() = Some(BTreeSet::new());
    house.config("e", "echo").await;
    let variant = json!({"VariantName": "AllTraffic", "ModelName": "e", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"});
    let capture = json!({"InitialSamplingPercentage": 100, "DestinationS3Uri": "s3://bucket/captures/",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}]});
    let config =
        json!({"EndpointConfigName": "captured", "ProductionVariants": [variant], "DataCaptureConfig": capture});
    house.ok("CreateEndpointConfig", config).await;
    house.ok("CreateEndpoint", json!({"EndpointName": "e", "EndpointConfigName": "captured"})).await;
    house.settle().await;
    house
}

/// The members of a job definition of that type.
fn definition(of: &str, name: &str) -> Value {
    let mut input = json!({"EndpointInput": {"EndpointName": "e", "LocalPath": "/opt/ml/processing/input/endpoint"}});
    let mut app = json!({"ImageUri": "registry/sagemaker-model-monitor-analyzer",
        "Environment": {"publish_cloudwatch_metrics": "Enabled"}});
    match of {
        "ModelQuality" => {
            input["GroundTruthS3Input"] = json!({"S3Uri": "s3://bucket/labels/"});
            input["EndpointInput"]["InferenceAttribute"] = json!("0");
            app["ProblemType"] = json!("Regression");
        }
        "ModelBias" => {
            input["GroundTruthS3Input"] = json!({"S3Uri": "s3://bucket/labels"});
            app["ConfigUri"] = json!("s3://bucket/config/analysis_config.json");
        }
        "ModelExplainability" => app["ConfigUri"] = json!("s3://bucket/config/analysis_config.json"),
        _ => {}
    }
    json!({
        "JobDefinitionName": name,
        format!("{of}BaselineConfig"): {"ConstraintsResource": {"S3Uri": "s3://bucket/baseline/constraints.json"}},
        format!("{of}AppSpecification"): app,
        format!("{of}JobInput"): input,
        format!("{of}JobOutputConfig"): {"MonitoringOutputs": [{"S3Output": {
            "S3Uri": "s3://bucket/reports", "LocalPath": "/opt/ml/processing/output", "S3UploadMode": "Continuous"}}]},
        "JobResources": {"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 20}},
        "StoppingCondition": {"MaxRuntimeInSeconds": 1800},
        "RoleArn": "arn:aws:iam::000000000000:role/monitor",
    })
}

/// A schedule on a definition of its own.
async fn schedule(house: &House, of: &str, name: &str, times: Value) {
    house.ok(&format!("Create{of}JobDefinition"), definition(of, &format!("{name}-definition"))).await;
    let config = json!({"ScheduleConfig": times, "MonitoringJobDefinitionName": format!("{name}-definition"),
        "MonitoringType": of});
    house
        .ok("CreateMonitoringSchedule", json!({"MonitoringScheduleName": name, "MonitoringScheduleConfig": config}))
        .await;
    pass(house).await;
}

async fn hourly(house: &House, name: &str) {
    schedule(house, "DataQuality", name, json!({"ScheduleExpression": "cron(0 * ? * * *)"})).await;
}

async fn pass(house: &House) {
    house.control.inner.monitors.reconcile().await.expect("our bug: the catalog works");
}

/// The clock goes to that time of the day.
fn go_to(house: &House, time: &str) {
    let at = Timestamp::parse(&format!("2023-11-{time}Z")).unwrap().unix_us() / 1_000_000;
    house.hands.seconds.store(at, std::sync::atomic::Ordering::SeqCst);
}

fn put(house: &House, object: &str) {
    let mut store = house.hands.store.lock().unwrap();
    store.as_mut().expect("our bug: the store answers").insert(object.to_owned());
}

fn captured(house: &House, hour: &str) {
    put(house, &format!("s3://bucket/captures/e/AllTraffic/2023/11/{hour}/05-00-000-x.jsonl"));
}

async fn executions(house: &House, filter: Value) -> Vec<Value> {
    let listed = house.ok("ListMonitoringExecutions", filter).await;
    listed["MonitoringExecutionSummaries"].as_array().unwrap().clone()
}

/// The only execution that there is, as its status and why.
async fn only(house: &House) -> (String, Value) {
    let found = executions(house, json!({})).await;
    assert_eq!(found.len(), 1, "{found:?}");
    (found[0]["MonitoringExecutionStatus"].as_str().unwrap().to_owned(), found[0].clone())
}

/// The processing jobs that there are, oldest first.
async fn jobs(house: &House) -> Vec<Value> {
    let listed = house.ok("ListProcessingJobs", json!({"SortOrder": "Ascending", "SortBy": "CreationTime"})).await;
    let mut found = Vec::new();
    for job in listed["ProcessingJobSummaries"].as_array().unwrap() {
        found.push(house.ok("DescribeProcessingJob", json!({"ProcessingJobName": job["ProcessingJobName"]})).await);
    }
    found
}

/// The newest job ends so.
async fn end_job(house: &House, to: ProcessingJobStatus, message: Option<&str>, reason: Option<&str>) {
    let (message, reason) = (message.map(str::to_owned), reason.map(str::to_owned));
    let at = house.control.inner.clock.now();
    let act = move |work: &Work<'_>| {
        let job = work.open_processing_jobs()?.pop().expect("our bug: a job waits");
        work.start_processing_job(job.id, at)?;
        work.end_processing_job(&JobChange { id: job.id, to, exit_message: message, failure_reason: reason, at })
    };
    house.control.inner.catalog.run::<_, CatalogError>(act).await.expect("our bug: the catalog works");
}

async fn violated(house: &House) {
    let text = "CompletedWithViolations: Job completed successfully with 3 violations.";
    end_job(house, ProcessingJobStatus::Completed, Some(text), None).await;
}

async fn completed(house: &House) {
    let text = "Completed: Job completed successfully with no violations.";
    end_job(house, ProcessingJobStatus::Completed, Some(text), None).await;
}
