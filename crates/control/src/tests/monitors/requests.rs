//! What is asked for, refused and told: job definitions, schedules, lists, tags.

use serde_json::json;

use super::super::arn;
use super::*;

const FAMILIES: [(&str, &str); 4] = [
    ("DataQuality", "data-quality-job-definition"),
    ("ModelQuality", "model-quality-job-definition"),
    ("ModelBias", "model-bias-job-definition"),
    ("ModelExplainability", "model-explainability-job-definition"),
];

/// Code and text of a refusal.
async fn fault(house: &House, operation: &str, input: Value) -> (String, String) {
    let (status, output) = house.call(operation, input).await;
    assert_eq!(status, 400, "{operation}: {output}");
    let text = output["message"].as_str().or(output["Message"].as_str()).unwrap();
    (output["__type"].as_str().unwrap().to_owned(), text.to_owned())
}

#[tokio::test]
async fn job_definitions_of_all_families_are_told_as_they_were_asked_for() {
    let house = house().await;
    for (of, kind) in FAMILIES {
        let mut asked = definition(of, "D-1");
        asked["Tags"] = json!([{"Key": "team", "Value": "risk"}]);
        asked["NetworkConfig"] = json!({"EnableNetworkIsolation": true});
        let created = house.ok(&format!("Create{of}JobDefinition"), asked.clone()).await;
        assert_eq!(created, json!({"JobDefinitionArn": arn(&format!("{kind}/D-1"))}));
        let mut told = house.ok(&format!("Describe{of}JobDefinition"), json!({"JobDefinitionName": "d-1"})).await;
        let members = told.as_object_mut().unwrap();
        assert_eq!(members.shift_remove("JobDefinitionArn"), Some(json!(arn(&format!("{kind}/D-1")))));
        assert!(members.shift_remove("CreationTime").is_some());
        let mut expected = asked.as_object().unwrap().clone();
        expected.shift_remove("Tags");
        expected["NetworkConfig"]["EnableInterContainerTrafficEncryption"] = json!(false);
        assert_eq!(Value::Object(members.clone()), Value::Object(expected));
        let tags = house.ok("ListTags", json!({"ResourceArn": created["JobDefinitionArn"]})).await;
        assert_eq!(tags["Tags"], asked["Tags"]);
        let listed = house.ok(&format!("List{of}JobDefinitions"), json!({"EndpointName": "E"})).await;
        assert_eq!(listed["JobDefinitionSummaries"][0]["EndpointName"], "e");
        assert_eq!(listed["JobDefinitionSummaries"][0]["MonitoringJobDefinitionName"], "D-1");

        let (code, text) = fault(&house, &format!("Create{of}JobDefinition"), definition(of, "d-1")).await;
        assert_eq!(code, "ResourceInUse");
        assert!(text.contains("Cannot create already existing"), "{text}");
        house.ok(&format!("Delete{of}JobDefinition"), json!({"JobDefinitionName": "D-1"})).await;
        for operation in ["Describe", "Delete"] {
            let asked = json!({"JobDefinitionName": "D-1"});
            let (code, _) = fault(&house, &format!("{operation}{of}JobDefinition"), asked).await;
            assert_eq!(code, "ResourceNotFound");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_monitored_is_refused() {
    let house = house().await;
    house.endpoint("silent").await;
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut asked = definition("DataQuality", "d");
        change(&mut asked["DataQualityJobInput"]);
        asked
    };
    for (input, expected) in [
        (
            changed(&|input| input["EndpointInput"]["EndpointName"] = json!("none")),
            "Endpoint 'none' does not exist or is not valid",
        ),
        (
            changed(&|input| input["EndpointInput"]["EndpointName"] = json!("silent")),
            "Endpoint 'silent' does not exist or is not valid",
        ),
        (changed(&|input| *input = json!({})), "either an EndpointInput or a BatchTransformInput"),
        (changed(&|input| input["EndpointInput"]["S3InputMode"] = json!("Pipe")), "input through a pipe"),
        (changed(&|input| input["EndpointInput"]["StartTimeOffset"] = json!("-PT1H")), "must both be given"),
        (
            changed(&|input| {
                *input = json!({"BatchTransformInput": {"DataCapturedDestinationS3Uri": "s3://b/c", "LocalPath": "/opt/ml/processing/in",
                    "DatasetFormat": {}}});
            }),
            "exactly one format",
        ),
    ] {
        let text = house.refused("CreateDataQualityJobDefinition", input).await;
        assert!(text.contains(expected), "{text}");
    }
    let mut unlabelled = definition("ModelBias", "d");
    unlabelled["ModelBiasJobInput"]["GroundTruthS3Input"] = json!({});
    let text = house.refused("CreateModelBiasJobDefinition", unlabelled).await;
    assert!(text.contains("where the labels are"), "{text}");
}

#[tokio::test]
async fn times_that_are_not_supported_are_refused() {
    let house = house().await;
    house.ok("CreateDataQualityJobDefinition", definition("DataQuality", "d")).await;
    let asked = |times: Value| {
        json!({"MonitoringScheduleName": "s", "MonitoringScheduleConfig": {"ScheduleConfig": times,
            "MonitoringJobDefinitionName": "d", "MonitoringType": "DataQuality"}})
    };
    for (times, expected) in [
        (
            json!({"ScheduleExpression": "cron(0/5 * ? * * *)"}),
            "The schedule expression 'cron(0/5 * ? * * *)' is not valid.",
        ),
        (json!({"ScheduleExpression": "NOW"}), "must be given where the schedule expression is NOW"),
        (
            json!({"ScheduleExpression": "NOW", "DataAnalysisStartTime": "-PT25H", "DataAnalysisEndTime": "-PT0H"}),
            "more than 24 hours",
        ),
    ] {
        let text = house.refused("CreateMonitoringSchedule", asked(times)).await;
        assert!(text.contains(expected), "{text}");
    }
    let (code, _) = fault(
        &house,
        "CreateMonitoringSchedule",
        json!({"MonitoringScheduleName": "s",
        "MonitoringScheduleConfig": {"MonitoringJobDefinitionName": "other", "MonitoringType": "ModelBias"}}),
    )
    .await;
    assert_eq!(code, "ResourceNotFound");
    let text = house
        .refused("CreateMonitoringSchedule", json!({"MonitoringScheduleName": "s", "MonitoringScheduleConfig": {}}))
        .await;
    assert!(text.contains("either a MonitoringJobDefinition"), "{text}");
}

#[tokio::test]
async fn a_schedule_is_stopped_started_changed_and_forgotten() {
    let house = house().await;
    hourly(&house, "s").await;
    let status = async || {
        let told = house.ok("DescribeMonitoringSchedule", json!({"MonitoringScheduleName": "s"})).await;
        told["MonitoringScheduleStatus"].as_str().unwrap().to_owned()
    };
    let named = json!({"MonitoringScheduleName": "s"});
    house.ok("StopMonitoringSchedule", named.clone()).await;
    assert_eq!(status().await, "Pending");
    pass(&house).await;
    assert_eq!(status().await, "Stopped");
    go_to(&house, "15T03:30:00");
    pass(&house).await;
    house.ok("StartMonitoringSchedule", named.clone()).await;
    pass(&house).await;
    assert_eq!(status().await, "Scheduled");
    assert!(executions(&house, json!({})).await.is_empty(), "the time in which it stood still is not made up for");

    house.ok("CreateDataQualityJobDefinition", definition("DataQuality", "other")).await;
    let config = json!({"MonitoringJobDefinitionName": "other", "MonitoringType": "DataQuality"});
    let updated = house
        .ok("UpdateMonitoringSchedule", json!({"MonitoringScheduleName": "S", "MonitoringScheduleConfig": config}))
        .await;
    assert_eq!(updated, json!({"MonitoringScheduleArn": arn("monitoring-schedule/s")}));
    pass(&house).await;
    let told = house.ok("DescribeMonitoringSchedule", named.clone()).await;
    let config = &told["MonitoringScheduleConfig"];
    assert_eq!(config["ScheduleConfig"]["ScheduleExpression"], "cron(0 * ? * * *)", "it keeps the times it had");
    assert_eq!(config["MonitoringJobDefinitionName"], "other");
    assert_eq!(told["MonitoringScheduleStatus"], "Scheduled");

    house.ok("DeleteMonitoringSchedule", named.clone()).await;
    for operation in ["Describe", "Start", "Stop", "Delete"] {
        assert_eq!(fault(&house, &format!("{operation}MonitoringSchedule"), named.clone()).await.0, "ResourceNotFound");
    }
}

#[tokio::test]
async fn a_definition_inside_a_schedule_is_one_of_data_quality() {
    let house = house().await;
    let named = definition("DataQuality", "d");
    let inline = json!({
        "MonitoringInputs": [named["DataQualityJobInput"]],
        "MonitoringOutputConfig": named["DataQualityJobOutputConfig"],
        "MonitoringResources": named["JobResources"],
        "MonitoringAppSpecification": {"ImageUri": "analyzer"},
        "Environment": {"k": "v"},
        "RoleArn": named["RoleArn"],
    });
    let mut asked = json!({"MonitoringScheduleName": "s", "MonitoringScheduleConfig": {"MonitoringJobDefinition": inline,
        "ScheduleConfig": {"ScheduleExpression": "cron(0 * ? * * *)"}}});
    house.ok("CreateMonitoringSchedule", asked.clone()).await;
    pass(&house).await;
    captured(&house, "14/22");
    go_to(&house, "14T23:02:00");
    pass(&house).await;
    let job = jobs(&house).await.remove(0);
    assert!(job["ProcessingJobName"].as_str().unwrap().starts_with("model-monitoring-202311142300-"));
    assert_eq!(job["Environment"]["k"], "v");
    asked["MonitoringScheduleName"] = json!("t");
    asked["MonitoringScheduleConfig"]["MonitoringType"] = json!("ModelBias");
    let text = house.refused("CreateMonitoringSchedule", asked).await;
    assert!(text.contains("is one of DataQuality"), "{text}");
}

#[tokio::test]
async fn lists_have_pages_filters_and_orders() {
    let house = house().await;
    for name in ["a", "b", "c"] {
        house.wait(1);
        hourly(&house, name).await;
    }
    let names = |listed: &Value| -> Vec<String> {
        let rows = listed["MonitoringScheduleSummaries"].as_array().unwrap();
        rows.iter().map(|row| row["MonitoringScheduleName"].as_str().unwrap().to_owned()).collect()
    };
    let first = house.ok("ListMonitoringSchedules", json!({"MaxResults": 2})).await;
    assert_eq!(names(&first), ["c", "b"], "newest first");
    let second = house.ok("ListMonitoringSchedules", json!({"MaxResults": 2, "NextToken": first["NextToken"]})).await;
    assert_eq!((names(&second), second.get("NextToken")), (vec!["a".to_owned()], None));
    house.refused("ListMonitoringSchedules", json!({"SortBy": "Name", "NextToken": first["NextToken"]})).await;
    for (filter, expected) in [
        (json!({"SortBy": "Name", "SortOrder": "Ascending"}), vec!["a", "b", "c"]),
        (json!({"NameContains": "B"}), vec!["b"]),
        (json!({"EndpointName": "other"}), vec![]),
        (json!({"MonitoringJobDefinitionName": "a-definition"}), vec!["a"]),
        (json!({"MonitoringTypeEquals": "ModelBias"}), vec![]),
        (json!({"StatusEquals": "Stopped"}), vec![]),
        (json!({"CreationTimeBefore": 1_700_000_002}), vec!["a"]),
    ] {
        assert_eq!(names(&house.ok("ListMonitoringSchedules", filter.clone()).await), expected, "{filter}");
    }
    go_to(&house, "14T23:02:00");
    pass(&house).await;
    let page = house.ok("ListMonitoringExecutions", json!({"MaxResults": 2, "SortBy": "ScheduledTime"})).await;
    assert_eq!(page["MonitoringExecutionSummaries"].as_array().unwrap().len(), 2);
    let filter = json!({"MaxResults": 2, "SortBy": "ScheduledTime", "NextToken": page["NextToken"]});
    assert_eq!(executions(&house, filter).await.len(), 1);
    let filter = json!({"MonitoringScheduleName": "B", "StatusEquals": "Failed", "ScheduledTimeAfter": 1_700_002_800});
    assert_eq!(executions(&house, filter).await.len(), 1);
    assert!(executions(&house, json!({"ScheduledTimeBefore": 1_700_002_800})).await.is_empty());
}
