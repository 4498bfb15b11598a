//! An endpoint from Creating to gone.

use std::time::Duration;

use serde_json::{Value, json};

use super::{House, arn};

#[tokio::test]
async fn an_endpoint_is_in_service_only_when_its_model_answers() {
    let house = House::new();
    house.config("E", "gated").await;
    let output = house.ok("CreateEndpoint", json!({"EndpointName": "E", "EndpointConfigName": "E"})).await;
    assert_eq!(output, json!({"EndpointArn": arn("endpoint/E")}));
    house.pass().await;
    house.pass().await;
    let creating = house.describe("E").await;
    assert_eq!(creating["EndpointStatus"], "Creating");
    assert_eq!(creating["EndpointConfigName"], "E");
    assert_eq!(creating.get("ProductionVariants"), None);
    let pending = &creating["PendingDeploymentSummary"];
    assert_eq!(pending["EndpointConfigName"], "E");
    assert_eq!(pending["ProductionVariants"][0]["InstanceType"], "ml.m5.large");
    assert_eq!(pending["ProductionVariants"][0]["VariantStatus"][0]["Status"], "Creating");
    assert!(house.served("E").is_none());

    house.strings.gate.add_permits(1);
    house.settle().await;
    assert_eq!(house.answer_of("E").await, "gated");
    let described = house.describe("E").await;
    let variant = &described["ProductionVariants"][0];
    let image = &variant["DeployedImages"][0];
    let (started, resolved) = (image["ResolutionTime"].clone(), image["ResolvedImage"].clone());
    assert!(resolved.as_str().unwrap().starts_with("gated@sha256:"), "{resolved}");
    assert_eq!(
        *variant,
        json!({
            "VariantName": "AllTraffic",
            "DeployedImages": [{"SpecifiedImage": "gated", "ResolvedImage": resolved, "ResolutionTime": started}],
            "CurrentWeight": 1.0, "DesiredWeight": 1.0, "CurrentInstanceCount": 1, "DesiredInstanceCount": 1,
        })
    );
    assert_eq!(described["EndpointStatus"], "InService");
    assert_eq!(described["EndpointArn"], arn("endpoint/E"));
    for absent in ["FailureReason", "PendingDeploymentSummary", "DataCaptureConfig", "LastDeploymentConfig"] {
        assert_eq!(described.get(absent), None, "{absent}");
    }
    assert!(described["LastModifiedTime"].as_f64() > described["CreationTime"].as_f64());
    assert_eq!(described["CreationTime"], creating["CreationTime"]);
}

#[tokio::test]
async fn a_model_that_cannot_load_makes_the_endpoint_failed_with_a_bounded_reason() {
    let house = House::new();
    for image in ["broken", "panics"] {
        house.config(image, image).await;
        house.ok("CreateEndpoint", json!({"EndpointName": image, "EndpointConfigName": image})).await;
        house.settle().await;
        let failed = house.describe(image).await;
        assert_eq!(failed["EndpointStatus"], "Failed");
        assert_eq!(failed["EndpointConfigName"], image);
        assert_eq!(failed.get("PendingDeploymentSummary"), None);
        assert_eq!(failed.get("ProductionVariants"), None);
        let reason = failed["FailureReason"].as_str().unwrap();
        assert!(reason.chars().count() <= 1_024);
        assert!(
            reason.starts_with("Variant AllTraffic, model broken: the model is broken")
                || reason.contains("bug of captura"),
            "{reason}"
        );
        assert!(house.served(image).is_none());
        let update = json!({"EndpointName": image, "EndpointConfigName": image});
        let text = format!(
            "Cannot update endpoint \"{}\" in status Failed: delete it and create it again.",
            arn(&format!("endpoint/{image}"))
        );
        assert_eq!(house.refused("UpdateEndpoint", update).await, text);
        house.ok("DeleteEndpoint", json!({"EndpointName": image})).await;
        house.settle().await;
        assert!(
            house
                .refused("DescribeEndpoint", json!({"EndpointName": image}))
                .await
                .starts_with("Could not find endpoint")
        );
    }
    assert_eq!(
        house.strings.loads.load(std::sync::atomic::Ordering::SeqCst),
        2,
        "a failed creation is not tried again"
    );
}

#[tokio::test]
async fn a_deleted_endpoint_leaves_the_table_at_once_and_its_name_is_free_again() {
    let house = House::new();
    house.endpoint("E").await;
    house.endpoint("other").await;
    assert_eq!(house.ok("DeleteEndpoint", json!({"EndpointName": "e"})).await, json!({}));
    assert_eq!(house.status("E").await, "Deleting");
    assert!(
        house
            .refused("CreateEndpoint", json!({"EndpointName": "E", "EndpointConfigName": "E"}))
            .await
            .starts_with("Cannot create already existing")
    );
    assert!(
        house.refused("DeleteEndpoint", json!({"EndpointName": "E"})).await.starts_with("Cannot update in-progress")
    );
    house.settle().await;
    assert!(house.served("E").is_none() && house.served("other").is_some());
    house.ok("CreateEndpoint", json!({"EndpointName": "E", "EndpointConfigName": "E"})).await;
    house.settle().await;
    assert_eq!(house.status("E").await, "InService");
}

#[tokio::test]
async fn a_pass_with_nothing_to_do_changes_nothing() {
    let house = House::new();
    house.endpoint("E").await;
    let (row, table) = (house.describe("E").await, house.served("E").unwrap());
    house.pass().await;
    house.pass().await;
    assert_eq!(house.describe("E").await, row);
    assert!(std::sync::Arc::ptr_eq(&table, &house.served("E").unwrap()), "no new table was published");
}

#[tokio::test]
async fn one_endpoint_that_loads_slowly_holds_up_no_other() {
    let house = House::new();
    house.config("slow", "gated").await;
    house.config("fast", "echo").await;
    house.ok("CreateEndpoint", json!({"EndpointName": "slow", "EndpointConfigName": "slow"})).await;
    house.ok("CreateEndpoint", json!({"EndpointName": "fast", "EndpointConfigName": "fast"})).await;
    while house.status("fast").await != "InService" {
        house.pass().await;
        house.control.inner.nudge.notified().await;
    }
    assert_eq!(house.status("slow").await, "Creating");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_takes_too_long_fails_after_the_time_that_the_configuration_gives() {
    let house = House::new();
    house.ok("CreateModel", json!({"ModelName": "m", "PrimaryContainer": {"Image": "gated"}})).await;
    let variant = json!({"VariantName": "v", "ModelName": "m", "ModelDataDownloadTimeoutInSeconds": 60,
        "ContainerStartupHealthCheckTimeoutInSeconds": 61});
    house.ok("CreateEndpointConfig", json!({"EndpointConfigName": "c", "ProductionVariants": [variant]})).await;
    house.ok("CreateEndpoint", json!({"EndpointName": "e", "EndpointConfigName": "c"})).await;
    house.settle().await;
    assert_eq!(house.describe("e").await["FailureReason"], "Variant v, model m: it did not load within 151 s");
}

#[tokio::test]
async fn of_many_creates_of_one_name_exactly_one_wins() {
    let house = House::new();
    house.config("c", "echo").await;
    let create = |name: &'static str| {
        let control = house.control.clone();
        tokio::spawn(async move {
            let body = json!({"EndpointName": name, "EndpointConfigName": "c"}).to_string().into();
            let request = crate::Request { target: "SageMaker.CreateEndpoint", region: "eu-west-1", body };
            control.answer(request).await.status
        })
    };
    let calls: Vec<_> = (0..20).map(|index| create(if index % 2 == 0 { "Same" } else { "same" })).collect();
    let mut statuses = Vec::new();
    for call in calls {
        statuses.push(call.await.unwrap());
    }
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(house.ok("ListEndpoints", json!({})).await["Endpoints"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_driver_does_all_this_by_itself() {
    let house = House::new();
    house.control.recover().await.unwrap();
    house.control.start();
    house.control.start();
    house.config("E", "echo").await;
    house.ok("CreateEndpoint", json!({"EndpointName": "E", "EndpointConfigName": "E"})).await;
    let story = async {
        while house.status("E").await != "InService" {
            tokio::task::yield_now().await;
        }
        assert!(house.served("E").is_some(), "the table has the endpoint before the row says so");
        house.ok("DeleteEndpoint", json!({"EndpointName": "E"})).await;
        while house.call("DescribeEndpoint", json!({"EndpointName": "E"})).await.0 == 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), story).await.expect("the driver follows");
    house.control.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_driver_goes_on_after_a_panic() {
    let house = House::new();
    house.config("E", "echo").await;
    house.ok("CreateEndpoint", json!({"EndpointName": "E", "EndpointConfigName": "E"})).await;
    // The next notice is the driver's.
    house.hands.notice_falls.store(true, std::sync::atomic::Ordering::SeqCst);
    house.control.start();
    let story = async {
        let panics = || house.control.inner.tasks.figures()[0].panics;
        while house.status("E").await != "InService" || panics() == 0 {
            tokio::task::yield_now().await;
        }
        // What the driver does after the fall.
        house.ok("DeleteEndpoint", json!({"EndpointName": "E"})).await;
        while house.call("DescribeEndpoint", json!({"EndpointName": "E"})).await.0 == 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), story).await.expect("the driver follows");
    let figures = house.control.inner.tasks.figures();
    let panics: Vec<_> = figures.iter().map(|one| (one.task, one.panics)).collect();
    assert_eq!(panics, [("driver", 1), ("monitors", 0)]);
    house.control.close().await;
}

#[tokio::test]
async fn models_are_told_as_they_were_created() {
    let house = House::new();
    let input = json!({
        "ModelName": "M", "Tags": [{"Key": "k", "Value": "v"}], "ExecutionRoleArn": "arn:aws:iam::000000000000:role/x",
        "PrimaryContainer": {"Image": "echo", "ModelDataUrl": "s3://bucket/m.tar.gz", "Environment": {"A": "b"}, "NewMember": {"x": [1]}},
        "VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["s-1"]},
    });
    assert_eq!(house.ok("CreateModel", input.clone()).await, json!({"ModelArn": arn("model/M")}));
    let mut expected = input;
    let members = expected.as_object_mut().unwrap();
    members.remove("Tags");
    let described = house.ok("DescribeModel", json!({"ModelName": "m"})).await;
    members.insert("CreationTime".into(), described["CreationTime"].clone());
    members.insert("ModelArn".into(), json!(arn("model/M")));
    members.insert("EnableNetworkIsolation".into(), Value::Bool(false));
    assert_eq!(described, expected);
    assert_eq!(described["CreationTime"].to_string().split_once('.').unwrap().1, "123");
    assert_eq!(house.ok("DeleteModel", json!({"ModelName": "m"})).await, json!({}));
    assert_eq!(house.ok("ListModels", json!({})).await, json!({"Models": []}));
    house.ok("CreateModel", json!({"ModelName": "p", "Containers": [{"Image": "echo"}]})).await;
}
