//! The texts that client code compares, and what is refused beyond constraints.

use serde_json::{Value, json};

use super::{House, REGION, arn};
use crate::Request;

#[tokio::test]
async fn what_is_not_there_is_not_found_in_the_words_that_clients_compare() {
    let house = House::new();
    let model = format!("Could not find model \"{}\".", arn("model/N"));
    let config = format!("Could not find endpoint configuration \"{}\".", arn("endpoint-config/N"));
    let endpoint = format!("Could not find endpoint \"{}\".", arn("endpoint/N"));
    let variants = json!([{"VariantName": "v", "ModelName": "N"}]);
    let weights = json!([{"VariantName": "v", "DesiredWeight": 1}]);
    for (operation, input, text) in [
        ("DescribeModel", json!({"ModelName": "N"}), &model),
        ("DeleteModel", json!({"ModelName": "N"}), &model),
        ("CreateEndpointConfig", json!({"EndpointConfigName": "c", "ProductionVariants": variants}), &model),
        ("DescribeEndpointConfig", json!({"EndpointConfigName": "N"}), &config),
        ("DeleteEndpointConfig", json!({"EndpointConfigName": "N"}), &config),
        ("CreateEndpoint", json!({"EndpointName": "e", "EndpointConfigName": "N"}), &config),
        ("DescribeEndpoint", json!({"EndpointName": "N"}), &endpoint),
        ("UpdateEndpoint", json!({"EndpointName": "N", "EndpointConfigName": "N"}), &endpoint),
        (
            "UpdateEndpointWeightsAndCapacities",
            json!({"EndpointName": "N", "DesiredWeightsAndCapacities": weights}),
            &endpoint,
        ),
        ("DeleteEndpoint", json!({"EndpointName": "N"}), &endpoint),
        ("ListTags", json!({"ResourceArn": arn("model/N")}), &model),
        ("AddTags", json!({"ResourceArn": arn("endpoint/N"), "Tags": []}), &endpoint),
        ("DeleteTags", json!({"ResourceArn": arn("endpoint-config/N"), "TagKeys": ["k"]}), &config),
    ] {
        assert_eq!(&house.refused(operation, input).await, text, "{operation}");
    }
    // What failed has left nothing behind.
    assert_eq!(house.ok("ListEndpointConfigs", json!({})).await, json!({"EndpointConfigs": []}));
    assert_eq!(house.ok("ListEndpoints", json!({})).await, json!({"Endpoints": []}));
}

#[tokio::test]
async fn what_is_there_cannot_be_created_again_whatever_the_case() {
    let house = House::new();
    house.endpoint("N").await;
    let variants = json!([{"VariantName": "v", "ModelName": "n"}]);
    for (operation, input, noun, resource) in [
        ("CreateModel", json!({"ModelName": "n", "PrimaryContainer": {"Image": "echo"}}), "model", "model/n"),
        (
            "CreateEndpointConfig",
            json!({"EndpointConfigName": "n", "ProductionVariants": variants}),
            "endpoint configuration",
            "endpoint-config/n",
        ),
        ("CreateEndpoint", json!({"EndpointName": "n", "EndpointConfigName": "n"}), "endpoint", "endpoint/n"),
    ] {
        let text = format!("Cannot create already existing {noun} \"{}\".", arn(resource));
        assert_eq!(house.refused(operation, input).await, text);
    }
    assert_eq!(house.describe("n").await["EndpointArn"], arn("endpoint/N"));
}

#[tokio::test]
async fn an_endpoint_under_way_can_be_neither_updated_nor_deleted() {
    let house = House::new();
    house.config("N", "gated").await;
    house.ok("CreateEndpoint", json!({"EndpointName": "N", "EndpointConfigName": "N"})).await;
    let text = format!("Cannot update in-progress endpoint \"{}\".", arn("endpoint/N"));
    let weights = json!([{"VariantName": "AllTraffic", "DesiredWeight": 1}]);
    for (operation, input) in [
        ("DeleteEndpoint", json!({"EndpointName": "n"})),
        ("UpdateEndpoint", json!({"EndpointName": "N", "EndpointConfigName": "N"})),
        ("UpdateEndpointWeightsAndCapacities", json!({"EndpointName": "N", "DesiredWeightsAndCapacities": weights})),
    ] {
        assert_eq!(house.refused(operation, input).await, text, "{operation}");
    }
}

#[tokio::test]
async fn missing_model_data_is_said_when_the_model_is_created() {
    let house = House::new();
    let model = |url: &str| json!({"ModelName": "m", "PrimaryContainer": {"Image": "echo", "ModelDataUrl": url}});
    assert_eq!(
        house.refused("CreateModel", model("s3://bucket/missing.tar.gz")).await,
        "Could not find model data at s3://bucket/missing.tar.gz."
    );
    assert_eq!(
        house.refused("CreateModel", model("s3://bucket/unreachable")).await,
        "Could not access model data at s3://bucket/unreachable: the store does not answer"
    );
    let source =
        json!({"S3DataSource": {"S3Uri": "s3://bucket/missing/", "S3DataType": "S3Prefix", "CompressionType": "None"}});
    let model = json!({"ModelName": "m", "PrimaryContainer": {"Image": "echo", "ModelDataSource": source}});
    assert_eq!(house.refused("CreateModel", model).await, "Could not find model data at s3://bucket/missing/.");
}

#[tokio::test]
async fn what_is_not_supported_yet_is_refused_by_name() {
    let house = House::new();
    house.endpoint("e").await;
    let container =
        |member: &str, value: Value| json!({"ModelName": "m", "PrimaryContainer": {"Image": "echo", member: value}});
    let variant = |member: &str, value: Value| json!({"EndpointConfigName": "c", "ProductionVariants": [{"VariantName": "v", "ModelName": "e", member: value}]});
    let at = "productionVariants.1.member";
    let source = |more: Value| {
        let mut source = json!({"S3Uri": "s3://bucket/a", "S3DataType": "S3Object", "CompressionType": "None"});
        source.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        source
    };
    for (operation, input, path, what) in [
        (
            "CreateModel",
            container("ModelPackageName", json!("p")),
            "primaryContainer.modelPackageName".to_owned(),
            "a model package",
        ),
        (
            "CreateModel",
            container(
                "ModelDataSource",
                json!({"S3DataSource": source(json!({"ManifestS3Uri": "s3://bucket/manifest"}))}),
            ),
            "primaryContainer.modelDataSource.s3DataSource.manifestS3Uri".to_owned(),
            "a manifest",
        ),
        (
            "CreateModel",
            container(
                "AdditionalModelDataSources",
                json!([{"ChannelName": "c", "S3DataSource": source(json!({"HubAccessConfig": {}}))}]),
            ),
            "primaryContainer.additionalModelDataSources.1.member.s3DataSource.hubAccessConfig".to_owned(),
            "a model of a hub",
        ),
        (
            "CreateEndpointConfig",
            variant("InstancePools", json!([{"InstanceType": "ml.m5.large", "ModelNameOverride": "e", "Priority": 1}])),
            format!("{at}.instancePools"),
            "another model on some instances",
        ),
    ] {
        let text = format!("'{path}' asks for {what}, which captura does not support yet. Leave it out.");
        assert_eq!(house.refused(operation, input).await, text);
    }
}

#[tokio::test]
async fn requests_that_contradict_themselves_are_refused() {
    let house = House::new();
    house.endpoint("e").await;
    let image = json!({"Image": "echo"});
    let url_twice = json!({"Image": "echo", "ModelDataUrl": "s3://bucket/a", "ModelDataSource":
        {"S3DataSource": {"S3Uri": "s3://bucket/a", "S3DataType": "S3Object", "CompressionType": "Gzip"}}});
    let variants = |names: [&str; 2]| json!(names.map(|name| json!({"VariantName": name, "ModelName": "e"})));
    let desired = |names: [&str; 2]| json!({"EndpointName": "e", "DesiredWeightsAndCapacities": names.map(|name| json!({"VariantName": name, "DesiredWeight": 1}))});
    for (operation, input, part) in [
        ("CreateModel", json!({"ModelName": "m"}), "A model needs a PrimaryContainer."),
        ("CreateModel", json!({"ModelName": "m", "PrimaryContainer": image, "Containers": [image]}), "not both"),
        ("CreateModel", json!({"ModelName": "m", "PrimaryContainer": {}}), "'primaryContainer.image' is missing"),
        ("CreateModel", json!({"ModelName": "m", "PrimaryContainer": url_twice}), "not both"),
        (
            "CreateEndpointConfig",
            json!({"EndpointConfigName": "c", "ProductionVariants": variants(["v", "V"])}),
            "used twice",
        ),
        (
            "CreateEndpointConfig",
            json!({"EndpointConfigName": "c", "ProductionVariants": [{"VariantName": "v"}]}),
            "inference components",
        ),
        ("UpdateEndpointWeightsAndCapacities", desired(["AllTraffic", "AllTraffic"]), "named twice"),
        (
            "UpdateEndpointWeightsAndCapacities",
            desired(["AllTraffic", "Other"]),
            "Could not find variant \"Other\" on endpoint \"e\".",
        ),
    ] {
        let message = house.refused(operation, input).await;
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
    assert_eq!(house.status("e").await, "InService");
}

#[tokio::test]
async fn what_is_no_request_is_refused_at_the_door() {
    let house = House::new();
    for (target, region, body, code) in [
        ("SageMaker.CreateTrainingJob", REGION, "{}", "UnknownOperationException"),
        ("", REGION, "{}", "UnknownOperationException"),
        ("SageMaker.ListModels", REGION, "{", "SerializationException"),
        ("SageMaker.ListModels", REGION, r#"{"MaxResults": "3"}"#, "SerializationException"),
        ("SageMaker.ListModels", "", "{}", "ValidationException"),
        ("SageMaker.ListModels", "a:b/c", "{}", "ValidationException"),
    ] {
        let response = house.control.answer(Request { target, region, body: body.into() }).await;
        let output: Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!((response.status, output["__type"].as_str()), (400, Some(code)), "{target} {region} {body}");
        assert!(response.headers.contains(&("x-amzn-errortype", code.to_owned())));
    }
}

#[tokio::test]
async fn a_closed_catalog_answers_that_the_service_is_unavailable() {
    let house = House::new();
    house.control.close().await;
    let (status, output) = house.call("ListModels", json!({})).await;
    assert_eq!((status, output["__type"].as_str()), (503, Some("ServiceUnavailable")));
}
