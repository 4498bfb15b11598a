//! Executions: when they begin, what they do, how they end.

use captura_wire::hosting::ProcessingJobStatus;
use serde_json::json;

use super::super::arn;
use super::*;

#[tokio::test]
async fn an_hourly_schedule_runs_from_its_claim_to_its_violations() {
    let house = house().await;
    hourly(&house, "s").await;
    let told = house.ok("DescribeMonitoringSchedule", json!({"MonitoringScheduleName": "S"})).await;
    assert_eq!(told["MonitoringScheduleStatus"], "Scheduled");
    assert_eq!(told["EndpointName"], "e");
    assert_eq!(told["MonitoringType"], "DataQuality");
    assert_eq!(told.get("LastMonitoringExecutionSummary"), None);
    assert!(executions(&house, json!({})).await.is_empty(), "it is not time");

    captured(&house, "14/22");
    captured(&house, "14/21");
    go_to(&house, "14T23:00:10");
    pass(&house).await;
    assert_eq!(only(&house).await.0, "Pending", "what was captured last may be on its way");
    go_to(&house, "14T23:01:00");
    pass(&house).await;
    let (status, execution) = only(&house).await;
    assert_eq!((status.as_str(), &execution["ScheduledTime"]), ("InProgress", &json!(1_700_002_800.0)));

    let job = jobs(&house).await.remove(0);
    let name = job["ProcessingJobName"].as_str().unwrap().to_owned();
    assert!(name.starts_with("data-quality-monitoring-202311142300-") && name.len() <= 63, "{name}");
    assert_eq!(execution["ProcessingJobArn"], arn(&format!("processing-job/{name}")));
    assert_eq!(job["MonitoringScheduleArn"], arn("monitoring-schedule/s"));
    assert_eq!(
        job["Environment"],
        json!({
            "baseline_constraints": "/opt/ml/processing/baseline/constraints/constraints.json",
            "dataset_format": r#"{"sagemakerCaptureJson":{"captureIndexNames":["endpointInput","endpointOutput"]}}"#,
            "dataset_source": "/opt/ml/processing/input/endpoint",
            "end_time": "2023-11-14T23:00:00Z",
            "metric_time": "2023-11-14T22:00:00Z",
            "output_path": "/opt/ml/processing/output",
            "publish_cloudwatch_metrics": "Enabled",
            "sagemaker_endpoint_datacapture_prefix": "s3://bucket/captures",
            "sagemaker_endpoint_name": "e",
            "sagemaker_monitoring_schedule_name": "s",
            "start_time": "2023-11-14T22:00:00Z",
        })
    );
    let inputs = job["ProcessingInputs"].as_array().unwrap();
    assert_eq!(inputs.len(), 2);
    assert_eq!(inputs[0]["InputName"], "constraints");
    assert_eq!(inputs[1]["InputName"], "endpoint_input_1");
    assert_eq!(inputs[1]["S3Input"]["S3Uri"], "s3://bucket/captures/e/AllTraffic/2023/11/14/22");
    assert_eq!(inputs[1]["S3Input"]["LocalPath"], "/opt/ml/processing/input/endpoint/e/AllTraffic/2023/11/14/22");
    let output = &job["ProcessingOutputConfig"]["Outputs"][0]["S3Output"];
    assert_eq!(output["S3Uri"], "s3://bucket/reports/e/s/2023/11/14/23");
    assert_eq!(job["StoppingCondition"]["MaxRuntimeInSeconds"], 1800);

    let refused = house.refused("DeleteMonitoringSchedule", json!({"MonitoringScheduleName": "s"})).await;
    assert_eq!(refused, "can't delete schedule as it has in-progress executions");
    violated(&house).await;
    pass(&house).await;
    assert_eq!(only(&house).await.0, "CompletedWithViolations");
    let told = house.ok("DescribeMonitoringSchedule", json!({"MonitoringScheduleName": "s"})).await;
    assert_eq!(told["LastMonitoringExecutionSummary"]["MonitoringExecutionStatus"], "CompletedWithViolations");
    house.ok("DeleteMonitoringSchedule", json!({"MonitoringScheduleName": "s"})).await;
    assert_eq!(executions(&house, json!({"EndpointName": "E"})).await.len(), 1, "what it did stays told");
}

#[tokio::test]
async fn captures_that_do_not_arrive_are_waited_for_and_then_it_is_told_that_some_may_be_missing() {
    let house = house().await;
    hourly(&house, "s").await;
    schedule(&house, "ModelQuality", "q", json!({"ScheduleExpression": "cron(0 * ? * * *)"})).await;
    captured(&house, "14/22");
    put(&house, "s3://bucket/labels/2023/11/14/22/labels.jsonl");
    house.hands.captures_stay_out.store(true, Ordering::SeqCst);
    go_to(&house, "14T23:09:59");
    pass(&house).await;
    assert!(jobs(&house).await.is_empty(), "captures are on their way");
    go_to(&house, "14T23:10:00");
    pass(&house).await;
    let early = |jobs: Vec<Value>| {
        jobs.iter().map(|job| job["Environment"]["captura_captures_incomplete"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(early(jobs(&house).await), ["true", "true"], "the analysis, and the merging of labels");
    house.hands.captures_stay_out.store(false, Ordering::SeqCst);
    put(&house, "s3://bucket/reports/merge/e/AllTraffic/2023/11/14/22/x.jsonl");
    for _ in 0..2 {
        completed(&house).await;
    }
    pass(&house).await;
    assert_eq!(early(jobs(&house).await), ["true", "true", "true"], "what was merged stays incomplete");
}

#[tokio::test]
async fn the_baseline_of_a_clarify_job_is_its_analysis() {
    let house = house().await;
    let job = json!({
        "ProcessingJobName": "baseline", "RoleArn": "arn:aws:iam::000000000000:role/monitor",
        "ProcessingResources": {"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 20}},
        "AppSpecification": {"ImageUri": "registry/sagemaker-clarify-processing:1.0"},
        "ProcessingOutputConfig": {"Outputs": [{"OutputName": "analysis_result", "S3Output": {
            "S3Uri": "s3://bucket/baselines/e", "LocalPath": "/opt/ml/processing/output", "S3UploadMode": "EndOfJob"}}]},
    });
    house.ok("CreateProcessingJob", job).await;
    completed(&house).await;
    let mut named = definition("ModelExplainability", "named");
    named["ModelExplainabilityBaselineConfig"] = json!({"BaseliningJobName": "baseline"});
    house.ok("CreateModelExplainabilityJobDefinition", named).await;
    let config = json!({"ScheduleConfig": {"ScheduleExpression": "cron(0 * ? * * *)"},
        "MonitoringJobDefinitionName": "named", "MonitoringType": "ModelExplainability"});
    house
        .ok("CreateMonitoringSchedule", json!({"MonitoringScheduleName": "s", "MonitoringScheduleConfig": config}))
        .await;
    pass(&house).await;
    captured(&house, "14/22");
    go_to(&house, "14T23:01:00");
    pass(&house).await;
    let job = jobs(&house).await.pop().unwrap();
    let path = "/opt/ml/processing/baseline/constraints/analysis.json";
    assert_eq!(job["Environment"]["baseline_constraints"], path, "{job}");
    assert_eq!(job["Environment"].get("baseline_statistics"), None);
    assert_eq!(job["ProcessingInputs"][0]["S3Input"]["S3Uri"], "s3://bucket/baselines/e/analysis.json");
}

#[tokio::test]
async fn an_execution_without_data_has_failed_in_sagemakers_words_and_raises_no_alert() {
    let house = house().await;
    hourly(&house, "s").await;
    go_to(&house, "14T23:02:00");
    pass(&house).await;
    let (status, execution) = only(&house).await;
    assert_eq!((status.as_str(), &execution["FailureReason"]), ("Failed", &json!("Job inputs had no data")));
    let alerts = house.ok("ListMonitoringAlerts", json!({"MonitoringScheduleName": "s"})).await;
    assert_eq!(alerts["MonitoringAlertSummaries"][0]["AlertStatus"], "OK");
    assert!(jobs(&house).await.is_empty());
}

#[tokio::test]
async fn alerts_follow_executions_and_their_history_tells_how() {
    let house = house().await;
    hourly(&house, "s").await;
    let asked = json!({"MonitoringScheduleName": "s", "MonitoringAlertName": "violations", "DatapointsToAlert": 2,
        "EvaluationPeriod": 3});
    let updated = house.ok("UpdateMonitoringAlert", asked).await;
    assert_eq!(
        updated,
        json!({"MonitoringScheduleArn": arn("monitoring-schedule/s"), "MonitoringAlertName": "violations"})
    );
    let status = async || {
        let told = house.ok("ListMonitoringAlerts", json!({"MonitoringScheduleName": "s"})).await;
        told["MonitoringAlertSummaries"][0]["AlertStatus"].as_str().unwrap().to_owned()
    };
    let mut seen = Vec::new();
    for (hour, is_bad) in [("00", true), ("01", false), ("02", true), ("03", false), ("04", false)] {
        let before =
            if hour == "00" { "14/23".to_owned() } else { format!("15/{:02}", hour.parse::<u8>().unwrap() - 1) };
        captured(&house, &before);
        go_to(&house, &format!("15T{hour}:02:00"));
        pass(&house).await;
        if is_bad {
            violated(&house).await
        } else {
            completed(&house).await
        }
        pass(&house).await;
        seen.push(status().await);
    }
    assert_eq!(seen, ["OK", "OK", "InAlert", "OK", "OK"]);
    let history =
        house.ok("ListMonitoringAlertHistory", json!({"MonitoringScheduleName": "s", "SortOrder": "Ascending"})).await;
    let told: Vec<_> =
        history["MonitoringAlertHistory"].as_array().unwrap().iter().map(|one| &one["AlertStatus"]).collect();
    assert_eq!(told, ["InAlert", "OK"]);
}

#[tokio::test]
async fn moments_that_were_missed_are_skipped_but_for_the_last_and_two_never_run_at_once() {
    let house = house().await;
    hourly(&house, "s").await;
    for hour in ["14/22", "15/02", "15/05"] {
        captured(&house, hour);
    }
    go_to(&house, "14T23:02:00");
    pass(&house).await;
    go_to(&house, "15T03:30:00");
    pass(&house).await;
    assert_eq!(executions(&house, json!({})).await.len(), 1, "the first one still runs");
    completed(&house).await;
    pass(&house).await;
    pass(&house).await;
    let found = executions(&house, json!({"SortBy": "ScheduledTime"})).await;
    assert_eq!(found.len(), 2);
    assert_eq!(found[0]["ScheduledTime"], 1_700_017_200.0, "03:00, and neither 00:00 nor 02:00");
    let start = &jobs(&house).await[1]["Environment"]["start_time"];
    assert_eq!(start, "2023-11-15T02:00:00Z");
}

#[tokio::test]
async fn quality_of_a_model_is_merged_with_labels_first() {
    let house = house().await;
    schedule(&house, "ModelQuality", "q", json!({"ScheduleExpression": "cron(0 * ? * * *)"})).await;
    captured(&house, "14/22");
    go_to(&house, "14T23:02:00");
    pass(&house).await;
    assert_eq!(only(&house).await.1["FailureReason"], "Job inputs had no data", "there are no labels");

    captured(&house, "14/23");
    put(&house, "s3://bucket/labels/2023/11/15/00/labels.jsonl");
    go_to(&house, "15T00:02:00");
    pass(&house).await;
    let merge = jobs(&house).await.remove(0);
    let merge_name = merge["ProcessingJobName"].as_str().unwrap().to_owned();
    assert!(merge_name.starts_with("groundtruth-merge-202311150000-"), "{merge_name}");
    assert_eq!(merge["AppSpecification"]["ImageUri"], "registry/sagemaker-model-monitor-groundtruth-merger");
    assert_eq!(merge["Environment"]["ground_truth_source"], "/opt/ml/processing/groundtruth");
    let inputs = merge["ProcessingInputs"].as_array().unwrap();
    assert_eq!(inputs[0]["S3Input"]["S3Uri"], "s3://bucket/labels/2023/11/15/00");
    assert_eq!(inputs[0]["S3Input"]["LocalPath"], "/opt/ml/processing/groundtruth/2023/11/15/00");
    assert_eq!(inputs[1]["InputName"], "endpoint_input_1");
    assert_eq!(merge["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"], "s3://bucket/reports/merge");
    let running = executions(&house, json!({"StatusEquals": "InProgress"})).await;
    assert_eq!(running[0].get("ProcessingJobArn"), None, "the second job is the execution's");

    put(&house, "s3://bucket/reports/merge/e/AllTraffic/2023/11/14/23/part-0.jsonl");
    end_job(&house, ProcessingJobStatus::Completed, None, None).await;
    pass(&house).await;
    let analysis = jobs(&house).await.remove(1);
    let name = analysis["ProcessingJobName"].as_str().unwrap();
    assert_eq!(name, merge_name.replace("groundtruth-merge", "model-quality-monitoring"));
    for (variable, value) in [
        ("analysis_type", "MODEL_QUALITY"),
        ("problem_type", "Regression"),
        ("inference_attribute", "0"),
        ("dataset_format", r#"{"sagemakerMergeJson":{"captureIndexNames":["endpointOutput"]}}"#),
    ] {
        assert_eq!(analysis["Environment"][variable], value);
    }
    let inputs = analysis["ProcessingInputs"].as_array().unwrap();
    assert_eq!(inputs[1]["S3Input"]["S3Uri"], "s3://bucket/reports/merge/e/AllTraffic/2023/11/14/23");
    completed(&house).await;
    pass(&house).await;
    assert_eq!(executions(&house, json!({"StatusEquals": "Completed"})).await.len(), 1);
}

#[tokio::test]
async fn now_runs_once_and_again_when_it_is_started_anew() {
    let house = house().await;
    captured(&house, "14/21");
    let times = json!({"ScheduleExpression": "NOW", "DataAnalysisStartTime": "-PT3H", "DataAnalysisEndTime": "-PT0H"});
    schedule(&house, "DataQuality", "once", times).await;
    assert_eq!(only(&house).await.0, "Pending");
    house.wait(61);
    pass(&house).await;
    let job = jobs(&house).await.remove(0);
    assert_eq!(job["Environment"]["start_time"], "2023-11-14T19:13:21Z");
    assert_eq!(
        job["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"],
        "s3://bucket/reports/e/once/2023/11/14/22"
    );
    completed(&house).await;
    house.wait(100_000);
    pass(&house).await;
    pass(&house).await;
    assert_eq!(executions(&house, json!({})).await.len(), 1);
    for operation in ["StopMonitoringSchedule", "StartMonitoringSchedule"] {
        house.ok(operation, json!({"MonitoringScheduleName": "once"})).await;
        pass(&house).await;
    }
    assert_eq!(executions(&house, json!({})).await.len(), 2);
}

#[tokio::test]
async fn finer_schedules_have_windows_and_reports_of_their_own() {
    let house = house().await;
    schedule(&house, "DataQuality", "fine", json!({"ScheduleExpression": "rate(5 minutes)"})).await;
    captured(&house, "14/22");
    go_to(&house, "14T22:16:10");
    pass(&house).await;
    let job = jobs(&house).await.remove(0);
    assert_eq!(job["Environment"]["start_time"], "2023-11-14T22:10:00Z");
    assert_eq!(job["Environment"]["end_time"], "2023-11-14T22:15:00Z");
    let output = &job["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"];
    assert_eq!(output, "s3://bucket/reports/e/fine/2023/11/14/22/15-00");
}

#[tokio::test]
async fn an_execution_can_begin_out_of_turn_but_not_beside_another() {
    let house = house().await;
    hourly(&house, "s").await;
    captured(&house, "14/22");
    let response = house.control.run_monitor("s", super::super::REGION).await;
    assert_eq!(response.status, 200);
    let response = house.control.run_monitor("s", super::super::REGION).await;
    assert_eq!(response.status, 400);
    assert!(String::from_utf8_lossy(&response.body).contains("ResourceInUse"));
    let response = house.control.run_monitor("t", super::super::REGION).await;
    assert!(String::from_utf8_lossy(&response.body).contains("ResourceNotFound"));
    house.wait(61);
    pass(&house).await;
    let job = jobs(&house).await.remove(0);
    assert_eq!(job["Environment"]["start_time"], "2023-11-14T21:13:21Z");
    let output = &job["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"];
    assert_eq!(output, "s3://bucket/reports/e/s/2023/11/14/22/13-21");
    completed(&house).await;
    pass(&house).await;
    go_to(&house, "14T23:02:00");
    pass(&house).await;
    assert_eq!(executions(&house, json!({})).await.len(), 2, "its turn comes all the same");
}

#[tokio::test]
async fn a_job_that_fails_or_is_stopped_ends_its_execution() {
    for (status, reason, expected) in [
        (ProcessingJobStatus::Failed, Some("AlgorithmError: no"), ("Failed", json!("AlgorithmError: no"))),
        (
            ProcessingJobStatus::Failed,
            Some("AlgorithmError: Error: Job inputs had no data, exit code: 1"),
            ("Failed", json!("Job inputs had no data")),
        ),
        (ProcessingJobStatus::Stopped, None, ("Stopped", json!(null))),
    ] {
        let house = house().await;
        hourly(&house, "s").await;
        captured(&house, "14/22");
        go_to(&house, "14T23:02:00");
        pass(&house).await;
        end_job(&house, status, None, reason).await;
        pass(&house).await;
        let (status, execution) = only(&house).await;
        assert_eq!((status.as_str(), execution["FailureReason"].clone()), expected);
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_asked_again_for_a_while() {
    let house = house().await;
    hourly(&house, "s").await;
    *house.hands.store.lock().unwrap() = None;
    go_to(&house, "14T23:02:00");
    pass(&house).await;
    assert_eq!(only(&house).await.0, "Pending");
    go_to(&house, "14T23:17:00");
    pass(&house).await;
    let (status, execution) = only(&house).await;
    assert_eq!(status, "Failed");
    assert_eq!(execution["FailureReason"], "InternalServerError: the store does not answer");
}

#[tokio::test]
async fn captures_of_transform_jobs_are_read_through_their_manifests() {
    let house = house().await;
    let mut asked = definition("DataQuality", "batch-definition");
    asked["DataQualityJobInput"] = json!({"BatchTransformInput": {
        "DataCapturedDestinationS3Uri": "s3://bucket/transforms/", "DatasetFormat": {"Csv": {"Header": true}},
        "LocalPath": "/opt/ml/processing/input"}});
    house.ok("CreateDataQualityJobDefinition", asked).await;
    let config = json!({"ScheduleConfig": {"ScheduleExpression": "cron(0 * ? * * *)"},
        "MonitoringJobDefinitionName": "batch-definition", "MonitoringType": "DataQuality"});
    let asked = json!({"MonitoringScheduleName": "batch", "MonitoringScheduleConfig": config});
    house.ok("CreateMonitoringSchedule", asked).await;
    pass(&house).await;
    put(&house, "s3://bucket/transforms/output/2023/11/14/22/manifest-1");
    go_to(&house, "14T23:02:00");
    pass(&house).await;
    assert_eq!(only(&house).await.1.get("EndpointName"), None);
    let job = jobs(&house).await.remove(0);
    let input = &job["ProcessingInputs"][1]["S3Input"];
    assert_eq!(input["S3Uri"], "s3://bucket/transforms/output/2023/11/14/22/manifest-1");
    assert_eq!(input["S3DataType"], "ManifestFile");
    assert_eq!(input["LocalPath"], "/opt/ml/processing/input/2023/11/14/22/manifest-1");
    assert_eq!(job["Environment"]["dataset_format"], r#"{"csv":{"header":true}}"#);
    let output = &job["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"];
    assert_eq!(output, "s3://bucket/reports/batch/2023/11/14/23");
}
