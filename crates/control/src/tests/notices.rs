//! Changes of endpoints, told in EventBridge's shape.

use serde_json::{Value, json};

use super::{ACCOUNT, House, REGION, arn};

async fn statuses(house: &House) -> Vec<String> {
    let untold = house.control.untold().await.unwrap();
    untold.iter().map(|notice| notice.event["detail"]["EndpointStatus"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn every_change_of_status_is_told_once_and_in_order() {
    let house = House::new();
    house.endpoint("E").await;
    house.config("bad", "broken").await;
    house.ok("UpdateEndpoint", json!({"EndpointName": "E", "EndpointConfigName": "bad"})).await;
    house.settle().await;
    house.ok("DeleteEndpoint", json!({"EndpointName": "E"})).await;
    house.settle().await;
    house.ok("CreateEndpoint", json!({"EndpointName": "F", "EndpointConfigName": "bad"})).await;
    house.settle().await;
    let expected = ["CREATING", "IN_SERVICE", "UPDATING", "IN_SERVICE", "DELETING", "CREATING", "FAILED"];
    assert_eq!(statuses(&house).await, expected);
    // What is refused is not told.
    house.refused("CreateEndpoint", json!({"EndpointName": "F", "EndpointConfigName": "bad"})).await;
    assert_eq!(statuses(&house).await.len(), expected.len());
}

#[tokio::test]
async fn what_was_not_told_before_a_kill_is_told_after_it_and_what_was_told_is_not() {
    let house = House::new();
    house.endpoint("E").await;
    let untold = house.control.untold().await.unwrap();
    assert_eq!(statuses(&house).await, ["CREATING", "IN_SERVICE"]);
    house.control.told(untold[0].id).await.unwrap();
    let house = house.after_a_kill();
    assert_eq!(house.control.untold().await.unwrap(), untold[1..]);
    house.control.told(untold[1].id).await.unwrap();
    house.control.recover().await.unwrap();
    assert_eq!(statuses(&house).await, [""; 0]);
}

#[tokio::test]
async fn a_notice_has_eventbridges_shape() {
    let house = House::new();
    house.config("E", "echo").await;
    let tags = json!([{"Key": "team", "Value": "risk"}]);
    house.ok("CreateEndpoint", json!({"EndpointName": "E", "EndpointConfigName": "E", "Tags": tags})).await;
    house.settle().await;
    let notice = house.control.untold().await.unwrap().pop().unwrap().event;
    let described = house.describe("E").await;
    let ms = |member: &str| json!((described[member].as_f64().unwrap() * 1_000.0).round() as i64);
    let variant = json!({"VariantName": "AllTraffic", "CurrentWeight": 1.0, "DesiredWeight": 1.0,
        "CurrentInstanceCount": 1, "DesiredInstanceCount": 1});
    let expected: Value = json!({
        "version": "0", "id": notice["id"], "detail-type": "SageMaker Endpoint State Change",
        "source": "aws.sagemaker", "account": ACCOUNT, "time": notice["time"], "region": REGION,
        "resources": [arn("endpoint/E")],
        "detail": {
            "EndpointName": "E", "EndpointArn": arn("endpoint/E"), "EndpointConfigName": "E",
            "ProductionVariants": [variant], "EndpointStatus": "IN_SERVICE",
            "CreationTime": ms("CreationTime"), "LastModifiedTime": ms("LastModifiedTime"), "Tags": {"team": "risk"},
        },
    });
    assert_eq!(notice, expected);
    assert!(notice["time"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn every_state_of_a_processing_job_is_told_once_as_it_is_described() {
    let house = House::new();
    for (name, image) in [("good", "good"), ("bad", "bad"), ("stopped", "gated")] {
        let asked = json!({
            "ProcessingJobName": name, "RoleArn": "arn:aws:iam::000000000000:role/monitor",
            "ProcessingResources": {"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}},
            "AppSpecification": {"ImageUri": image}, "Tags": [{"Key": "team", "Value": "risk"}],
        });
        house.ok("CreateProcessingJob", asked).await;
        if name == "stopped" {
            house.ok("StopProcessingJob", json!({"ProcessingJobName": name})).await;
            house.ok("StopProcessingJob", json!({"ProcessingJobName": name})).await;
        }
        while house
            .ok("DescribeProcessingJob", json!({"ProcessingJobName": name}))
            .await
            .get("ProcessingEndTime")
            .is_none()
        {
            house.control.inner.jobs.reconcile().await.unwrap();
            tokio::task::yield_now().await;
        }
    }
    let told: Vec<Value> = house.control.untold().await.unwrap().into_iter().map(|notice| notice.event).collect();
    let statuses: Vec<_> = told.iter().map(|event| event["detail"]["ProcessingJobStatus"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["InProgress", "Completed", "InProgress", "Failed", "InProgress", "Stopping", "Stopped"]);
    assert!(told.iter().all(|event| event["detail-type"] == "SageMaker Processing Job State Change"), "{told:?}");
    let failed = &told[3];
    assert_eq!(failed["resources"], json!([arn("processing-job/bad")]));
    let described = house.ok("DescribeProcessingJob", json!({"ProcessingJobName": "bad"})).await;
    let mut expected = described.clone();
    for time in ["CreationTime", "ProcessingStartTime", "ProcessingEndTime", "LastModifiedTime"] {
        expected[time] = json!((described[time].as_f64().unwrap() * 1_000.0).round() as i64);
    }
    expected["Tags"] = json!({"team": "risk"});
    assert_eq!(failed["detail"], expected);
}
