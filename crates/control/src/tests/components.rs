//! Inference components: models that share an endpoint.

use captura_names::InferenceComponentName;
use captura_route::{Component, ModelRequest};
use serde_json::{Value, json};

use super::{House, arn};

/// An endpoint whose variant waits for components, under capture.
pub(super) async fn shared(house: &House) {
    let role = "arn:aws:iam::000000000000:role/captura";
    let variant = json!({"VariantName": "AllTraffic", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1});
    let capture = json!({"EnableCapture": true, "InitialSamplingPercentage": 100, "DestinationS3Uri": "s3://captures/a",
        "CaptureOptions": [{"CaptureMode": "Input"}]});
    for (name, capture) in [("shared", Some(&capture)), ("quiet", None)] {
        let mut config = json!({"EndpointConfigName": name, "ExecutionRoleArn": role, "ProductionVariants": [variant]});
        if let Some(capture) = capture {
            config["DataCaptureConfig"] = capture.clone();
        }
        house.ok("CreateEndpointConfig", config).await;
    }
    house.ok("CreateEndpoint", json!({"EndpointName": "Shared", "EndpointConfigName": "shared"})).await;
    house.settle().await;
    assert_eq!(house.status("Shared").await, "InService");
}

pub(super) fn component(name: &str, image: &str, copies: u32) -> Value {
    json!({
        "InferenceComponentName": name, "EndpointName": "shared",
        "Specification": {
            "Container": {"Image": image, "Environment": {"A": "b"}},
            "ComputeResourceRequirements": {"NumberOfCpuCoresRequired": 1.0, "MinMemoryRequiredInMb": 256},
        },
        "RuntimeConfig": {"CopyCount": copies},
    })
}

pub(super) async fn describe(house: &House, name: &str) -> Value {
    house.ok("DescribeInferenceComponent", json!({"InferenceComponentName": name})).await
}

pub(super) async fn status(house: &House, name: &str) -> String {
    describe(house, name).await["InferenceComponentStatus"].as_str().unwrap().to_owned()
}

/// Passes over endpoints and components until nothing is under way.
pub(super) async fn settle(house: &House) {
    loop {
        house.settle().await;
        house.control.inner.components.reconcile().await.expect("our bug: the catalog works");
        let listed = house.ok("ListInferenceComponents", json!({"MaxResults": 100})).await;
        let is_under_way = |one: &Value| {
            matches!(one["InferenceComponentStatus"].as_str(), Some("Creating" | "Updating" | "Deleting"))
        };
        if !listed["InferenceComponents"].as_array().unwrap().iter().any(is_under_way) {
            return;
        }
        house.control.inner.nudge.notified().await;
    }
}

pub(super) fn served(house: &House, name: &str) -> Option<Component> {
    let endpoint = house.served("Shared").expect("our bug: the endpoint is in the table");
    let place = endpoint.pick_component(&InferenceComponentName::parse(name).unwrap(), 0.0)?;
    endpoint.components.get(place).cloned()
}

pub(super) async fn answer(component: &Component) -> Result<String, String> {
    let answer = component.backend.invoke(&ModelRequest::default()).await;
    answer.map(|answer| String::from_utf8(answer.body.to_vec()).unwrap()).map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_component_serves_on_its_endpoint_and_is_told_as_it_was_given() {
    let house = House::new();
    shared(&house).await;
    assert!(house.served("Shared").unwrap().has_components(), "calls must name one before there is any");
    let created = house.ok("CreateInferenceComponent", component("Small", "echo", 2)).await;
    assert_eq!(created, json!({"InferenceComponentArn": arn("inference-component/Small")}));
    assert_eq!(status(&house, "small").await, "Creating");
    settle(&house).await;
    let told = describe(&house, "small").await;
    assert_eq!(told["InferenceComponentStatus"], "InService");
    assert_eq!(told["InferenceComponentName"], "Small");
    assert_eq!((&told["EndpointName"], &told["VariantName"]), (&json!("Shared"), &json!("AllTraffic")));
    assert_eq!(told["EndpointArn"], arn("endpoint/Shared"));
    assert_eq!(told["RuntimeConfig"], json!({"DesiredCopyCount": 2, "CurrentCopyCount": 2}));
    let container = &told["Specification"]["Container"];
    assert_eq!(container["DeployedImage"]["SpecifiedImage"], "echo");
    assert_eq!((&container["Environment"], &container["Image"]), (&json!({"A": "b"}), &Value::Null));
    assert_eq!(told["Specification"]["ComputeResourceRequirements"]["MinMemoryRequiredInMb"], 256);
    let small = served(&house, "Small").unwrap();
    assert_eq!(answer(&small).await.unwrap(), "echo");
    assert_eq!((small.capture.variant.as_str(), small.capture.model.as_str()), ("AllTraffic", "Small"));
    assert!(small.capture.settings.as_ref().unwrap().input);
}

#[tokio::test]
async fn copies_come_and_go_and_none_answers_when_there_are_none() {
    let house = House::new();
    shared(&house).await;
    house.ok("CreateInferenceComponent", component("c", "echo", 1)).await;
    settle(&house).await;
    let copies = |count: u32| json!({"InferenceComponentName": "c", "DesiredRuntimeConfig": {"CopyCount": count}});
    for count in [3, 0, 2] {
        house.ok("UpdateInferenceComponentRuntimeConfig", copies(count)).await;
        assert_eq!(status(&house, "c").await, "Updating");
        let text = format!("Cannot update in-progress inference component \"{}\".", arn("inference-component/c"));
        assert_eq!(house.refused("UpdateInferenceComponentRuntimeConfig", copies(1)).await, text);
        settle(&house).await;
        let told = describe(&house, "c").await;
        assert_eq!(told["RuntimeConfig"], json!({"DesiredCopyCount": count, "CurrentCopyCount": count}));
        let answered = answer(&served(&house, "c").unwrap()).await;
        assert_eq!(answered.is_ok(), count > 0, "{answered:?}");
    }
    assert_eq!(house.strings.loads.load(std::sync::atomic::Ordering::SeqCst), 1, "the model stays loaded all the time");
}

#[tokio::test]
async fn a_new_model_replaces_the_old_one_unless_it_cannot_be_loaded() {
    let house = House::new();
    shared(&house).await;
    house.ok("CreateInferenceComponent", component("c", "echo", 1)).await;
    settle(&house).await;
    let update = |image: &str| json!({"InferenceComponentName": "c", "Specification": component("c", image, 1)["Specification"]});
    house.ok("UpdateInferenceComponent", update("echo:2")).await;
    assert_eq!(answer(&served(&house, "c").unwrap()).await.unwrap(), "echo", "until the new one is loaded");
    settle(&house).await;
    assert_eq!(answer(&served(&house, "c").unwrap()).await.unwrap(), "echo:2");
    house.ok("UpdateInferenceComponent", update("broken")).await;
    settle(&house).await;
    let told = describe(&house, "c").await;
    assert_eq!(told["InferenceComponentStatus"], "InService");
    assert!(told["FailureReason"].as_str().unwrap().contains("the model is broken"), "{told}");
    assert_eq!(answer(&served(&house, "c").unwrap()).await.unwrap(), "echo:2");
}

#[tokio::test]
async fn a_component_that_cannot_be_loaded_fails_and_may_be_deleted() {
    let house = House::new();
    shared(&house).await;
    house.ok("CreateInferenceComponent", component("c", "broken", 1)).await;
    settle(&house).await;
    assert_eq!(status(&house, "c").await, "Failed");
    assert!(served(&house, "c").is_none());
    house.ok("DeleteInferenceComponent", json!({"InferenceComponentName": "c"})).await;
    settle(&house).await;
    let text = format!("Could not find inference component \"{}\".", arn("inference-component/c"));
    assert_eq!(house.refused("DescribeInferenceComponent", json!({"InferenceComponentName": "c"})).await, text);
}

#[tokio::test]
async fn an_endpoint_with_components_is_not_deleted_and_its_capture_is_theirs() {
    let house = House::new();
    shared(&house).await;
    house.ok("CreateInferenceComponent", component("c", "echo", 1)).await;
    settle(&house).await;
    let text = house.refused("DeleteEndpoint", json!({"EndpointName": "shared"})).await;
    let expected =
        format!("Cannot delete endpoint \"{}\" with inference components. Delete them first.", arn("endpoint/Shared"));
    assert_eq!(text, expected);
    house.config("full", "echo").await;
    let text = house.refused("UpdateEndpoint", json!({"EndpointName": "shared", "EndpointConfigName": "full"})).await;
    assert!(text.starts_with("Inference component c shares variant AllTraffic, for which"), "{text}");
    house.ok("UpdateEndpoint", json!({"EndpointName": "shared", "EndpointConfigName": "quiet"})).await;
    settle(&house).await;
    let quiet = served(&house, "c").unwrap();
    assert!(quiet.capture.settings.is_none());
    assert_eq!(answer(&quiet).await.unwrap(), "echo");
    house.ok("DeleteInferenceComponent", json!({"InferenceComponentName": "c"})).await;
    settle(&house).await;
    assert!(served(&house, "c").is_none());
    house.ok("DeleteEndpoint", json!({"EndpointName": "shared"})).await;
    settle(&house).await;
    assert!(house.served("Shared").is_none());
}

#[tokio::test]
async fn components_are_there_again_after_a_kill() {
    let house = House::new();
    shared(&house).await;
    house.ok("CreateInferenceComponent", component("c", "echo", 2)).await;
    settle(&house).await;
    let house = house.after_a_kill();
    house.control.recover().await.unwrap();
    assert_eq!(status(&house, "c").await, "InService");
    assert_eq!(answer(&served(&house, "c").unwrap()).await.unwrap(), "echo");
    assert_eq!(describe(&house, "c").await["RuntimeConfig"]["CurrentCopyCount"], 2);
}

#[tokio::test]
async fn components_are_listed_by_endpoint_variant_name_and_status() {
    let house = House::new();
    shared(&house).await;
    for (name, image) in [("one", "echo"), ("two", "broken")] {
        house.ok("CreateInferenceComponent", component(name, image, 1)).await;
    }
    settle(&house).await;
    let names = async |filter: Value| -> Vec<String> {
        let listed = house.ok("ListInferenceComponents", filter).await;
        let items = listed["InferenceComponents"].as_array().unwrap().clone();
        items.iter().map(|one| one["InferenceComponentName"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(json!({"EndpointNameEquals": "shared", "SortOrder": "Ascending"})).await, ["one", "two"]);
    assert_eq!(names(json!({"EndpointNameEquals": "other"})).await, [""; 0]);
    assert_eq!(names(json!({"VariantNameEquals": "AllTraffic", "NameContains": "w"})).await, ["two"]);
    assert_eq!(names(json!({"StatusEquals": "InService"})).await, ["one"]);
    let listed = house.ok("ListInferenceComponents", json!({"NameContains": "one"})).await;
    let one = &listed["InferenceComponents"][0];
    assert_eq!(one["InferenceComponentArn"], arn("inference-component/one"));
    assert_eq!((&one["EndpointArn"], &one["VariantName"]), (&json!(arn("endpoint/Shared")), &json!("AllTraffic")));
    let tags = json!([{"Key": "team", "Value": "risk"}]);
    house.ok("AddTags", json!({"ResourceArn": arn("inference-component/one"), "Tags": tags})).await;
    assert_eq!(house.ok("ListTags", json!({"ResourceArn": arn("inference-component/one")})).await["Tags"], tags);
}

#[tokio::test]
async fn what_a_component_cannot_be_is_refused() {
    let house = House::new();
    shared(&house).await;
    house.endpoint("full").await;
    let mut elsewhere = component("c", "echo", 1);
    elsewhere["EndpointName"] = json!("full");
    let mut nowhere = component("c", "echo", 1);
    nowhere["EndpointName"] = json!("none");
    let mut variant = component("c", "echo", 1);
    variant["VariantName"] = json!("other");
    let mut both = component("c", "echo", 1);
    both["Specification"]["ModelName"] = json!("full");
    let mut addition = component("c", "echo", 1);
    addition["Specification"]["BaseInferenceComponentName"] = json!("base");
    for (input, text) in [
        (
            elsewhere,
            "Inference Components are not supported in this Endpoint. Please make sure this endpoint can deploy inference components.".to_owned(),
        ),
        (nowhere, format!("Could not find endpoint \"{}\".", arn("endpoint/none"))),
        (variant, "Could not find variant \"other\" on endpoint \"shared\".".to_owned()),
        (both, "Give either Specification.ModelName or Specification.Container.".to_owned()),
        (
            addition,
            "'specification.baseInferenceComponentName' asks for an addition to another component, which captura does not support yet. Leave it out.".to_owned(),
        ),
        (json!({"InferenceComponentName": "c", "EndpointName": "shared"}), "An inference component needs a Specification.".to_owned()),
    ] {
        assert_eq!(house.refused("CreateInferenceComponent", input).await, text);
    }
    house.ok("CreateInferenceComponent", component("c", "echo", 1)).await;
    let text = format!("Cannot create already existing inference component \"{}\".", arn("inference-component/C"));
    assert_eq!(house.refused("CreateInferenceComponent", component("C", "echo", 1)).await, text);
}

#[tokio::test]
async fn copies_that_start_slowly_are_looked_at_until_they_are_up() {
    let house = House::new();
    shared(&house).await;
    house.ok("CreateInferenceComponent", component("c", "many", 1)).await;
    settle(&house).await;
    house.strings.instances_max.store(1, std::sync::atomic::Ordering::SeqCst);
    let wanted = json!({"InferenceComponentName": "c", "DesiredRuntimeConfig": {"CopyCount": 2}});
    house.ok("UpdateInferenceComponentRuntimeConfig", wanted).await;
    house.control.start();
    house.pass().await;
    assert_eq!(status(&house, "c").await, "Updating");
    // Nothing tells the driver of this.
    house.strings.instances_max.store(2, std::sync::atomic::Ordering::SeqCst);
    let up = async {
        while status(&house, "c").await != "InService" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), up).await.expect("the driver looks again");
    house.control.close().await;
}

#[tokio::test]
async fn copies_that_do_not_start_in_time_are_given_up_and_those_of_before_serve_on() {
    let house = House::still();
    shared(&house).await;
    house.ok("CreateInferenceComponent", component("c", "many", 1)).await;
    settle(&house).await;
    house.strings.instances_max.store(1, std::sync::atomic::Ordering::SeqCst);
    let wanted = json!({"InferenceComponentName": "c", "DesiredRuntimeConfig": {"CopyCount": 3}});
    house.ok("UpdateInferenceComponentRuntimeConfig", wanted).await;
    let pass = async || house.control.inner.components.reconcile().await.expect("our bug: the catalog works");
    pass().await;
    house.wait(599);
    pass().await;
    assert_eq!(status(&house, "c").await, "Updating");
    house.wait(1);
    pass().await;
    let told = describe(&house, "c").await;
    assert_eq!(told["InferenceComponentStatus"], "InService");
    assert_eq!(told["FailureReason"], "Only 1 of 3 copies started within 600 s. the machine is full");
    pass().await;
    let told = describe(&house, "c").await;
    assert_eq!(told["RuntimeConfig"], json!({"DesiredCopyCount": 1, "CurrentCopyCount": 1}));
    assert_eq!(answer(&served(&house, "c").unwrap()).await.unwrap(), "many");
    assert_eq!(house.strings.loads.load(std::sync::atomic::Ordering::SeqCst), 1, "the model stays loaded all the time");
}

#[tokio::test(start_paused = true)]
async fn a_component_that_is_not_loaded_after_a_restart_is_tried_again() {
    let house = House::new();
    shared(&house).await;
    for (name, image) in [("c", "flaky"), ("never", "broken")] {
        house.ok("CreateInferenceComponent", component(name, image, 1)).await;
    }
    settle(&house).await;
    let house = house.after_a_kill();
    house.strings.flaky_loads.store(false, std::sync::atomic::Ordering::SeqCst);
    house.control.recover().await.unwrap();
    let told = describe(&house, "c").await;
    assert_eq!(told["InferenceComponentStatus"], "Failed");
    let reason = told["FailureReason"].as_str().unwrap();
    assert!(reason.starts_with("After a restart the inference component could not be loaded again."), "{reason}");
    assert!(served(&house, "c").is_none());
    house.strings.flaky_loads.store(true, std::sync::atomic::Ordering::SeqCst);
    house.control.start();
    while status(&house, "c").await != "InService" {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    assert_eq!(describe(&house, "c").await["FailureReason"], Value::Null);
    assert_eq!(answer(&served(&house, "c").unwrap()).await.unwrap(), "flaky");
    assert_eq!(status(&house, "never").await, "Failed", "what was never in service is left alone");
    // It may be given another model, though.
    let update =
        json!({"InferenceComponentName": "never", "Specification": component("c", "echo", 1)["Specification"]});
    house.ok("UpdateInferenceComponent", update).await;
    while status(&house, "never").await != "InService" {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    house.control.close().await;
}

#[tokio::test]
async fn managed_instances_follow_what_the_copies_need_within_their_bounds() {
    let house = House::new();
    let variant = json!({"VariantName": "AllTraffic", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1,
        "ManagedInstanceScaling": {"Status": "ENABLED", "MinInstanceCount": 1, "MaxInstanceCount": 3}});
    let config = json!({"EndpointConfigName": "managed", "ExecutionRoleArn": "arn:aws:iam::000000000000:role/captura",
        "ProductionVariants": [variant]});
    house.ok("CreateEndpointConfig", config).await;
    house.ok("CreateEndpoint", json!({"EndpointName": "Shared", "EndpointConfigName": "managed"})).await;
    house.settle().await;
    house.ok("CreateInferenceComponent", component("c", "echo", 1)).await;
    settle(&house).await;
    let counts = async || {
        house.control.instances().reconcile().await.expect("our bug: the catalog works");
        let told = house.describe("Shared").await;
        assert_eq!(told["EndpointStatus"], "InService");
        let variant = &told["ProductionVariants"][0];
        (variant["DesiredInstanceCount"].clone(), variant["CurrentInstanceCount"].clone())
    };
    // A copy asks for one core, and an instance has two.
    for (copies, instances) in [(1, 1), (4, 2), (9, 3), (2, 1), (0, 1)] {
        let wanted = json!({"InferenceComponentName": "c", "DesiredRuntimeConfig": {"CopyCount": copies}});
        house.ok("UpdateInferenceComponentRuntimeConfig", wanted).await;
        settle(&house).await;
        assert_eq!(counts().await, (json!(instances), json!(instances)), "{copies} copies");
    }
}
