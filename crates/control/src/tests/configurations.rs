//! Endpoint configurations: what they may say, and what becomes of it.

use captura_names::S3Uri;
use captura_route::AsyncInference;
use serde_json::{Map, Value, json};

use super::House;

const ROLE: &str = "arn:aws:iam::000000000000:role/x";

async fn house() -> House {
    let house = House::new();
    house.ok("CreateModel", json!({"ModelName": "m", "PrimaryContainer": {"Image": "echo"}})).await;
    house
}

fn variant(name: &str, members: &Value) -> Value {
    let mut variant = json!({"VariantName": name, "ModelName": "m"});
    variant.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    variant
}

async fn serve(house: &House, config: Value) -> Value {
    let mut config = config;
    config["EndpointConfigName"] = json!("c");
    house.ok("CreateEndpointConfig", config).await;
    house.ok("CreateEndpoint", json!({"EndpointName": "e", "EndpointConfigName": "c"})).await;
    house.settle().await;
    let described = house.describe("e").await;
    assert_eq!(described["EndpointStatus"], "InService", "{described}");
    described
}

/// Everything that a configuration may say of AWS's machines is kept.
fn rich() -> Value {
    json!({
        "ProductionVariants": [variant("a", &json!({
            "InitialInstanceCount": 2, "InstanceType": "ml.m5.large", "InitialVariantWeight": 3.0,
            "AcceleratorType": "ml.eia1.medium", "VolumeSizeInGB": 20, "EnableSSMAccess": true,
            "CoreDumpConfig": {"DestinationS3Uri": "s3://bucket/dumps", "KmsKeyId": "alias/k"},
            "ManagedInstanceScaling": {"Status": "ENABLED", "MinInstanceCount": 1, "MaxInstanceCount": 4,
                "ScaleInPolicy": {"Strategy": "IDLE_RELEASE", "MaximumStepSize": 2}},
            "RoutingConfig": {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"},
            "InferenceAmiVersion": "al2-ami-sagemaker-inference-gpu-2",
            "CapacityReservationConfig": {"CapacityReservationPreference": "capacity-reservations-only"},
        })), variant("b", &json!({"InstancePools": [{"InstanceType": "ml.c5.large", "Priority": 2},
            {"InstanceType": "ml.m5.large", "Priority": 1}]}))],
        "ShadowProductionVariants": [variant("s", &json!({"InitialInstanceCount": 1, "InitialVariantWeight": 2.0}))],
        "DataCaptureConfig": {"InitialSamplingPercentage": 5, "DestinationS3Uri": "s3://bucket/x",
            "CaptureOptions": [{"CaptureMode": "Input"}]},
        "KmsKeyId": "alias/k", "ExecutionRoleArn": ROLE, "EnableNetworkIsolation": true,
        "VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["s-1"]},
        "MetricsConfig": {"EnableEnhancedMetrics": true, "MetricPublishFrequencyInSeconds": 30},
        "CrossRegionTrafficConfig": {"MaxInvocationsPerSecondPerInstance": 1, "MaxCrossRegionPercentPerEndpoint": 1},
    })
}

/// An explainer of two features, whose configuration has these other members.
fn explainer(members: &Value) -> Value {
    let mut clarify = json!({
        "InferenceConfig": {"FeatureHeaders": ["age", "bmi"], "MaxPayloadInMB": 6},
        "ShapConfig": {"ShapBaselineConfig": {"MimeType": "text/csv", "ShapBaseline": "0,0"}},
    });
    clarify.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    json!({ "ClarifyExplainerConfig": clarify })
}

#[tokio::test]
async fn what_is_described_can_be_created_again() {
    let house = house().await;
    let serverless = json!({"ProductionVariants": [variant("v", &json!({"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5}}))]});
    let asynchronous = json!({"ProductionVariants": [variant("v", &json!({}))], "AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://bucket/out"}}});
    let components =
        json!({"ProductionVariants": [{"VariantName": "v", "InstanceType": "ml.g5.xlarge"}], "ExecutionRoleArn": ROLE});
    let explained = json!({"ProductionVariants": [variant("v", &json!({}))], "ExplainerConfig": explainer(&json!({}))});
    for (index, config) in [rich(), serverless, asynchronous, components, explained].into_iter().enumerate() {
        let mut input = config;
        input["EndpointConfigName"] = json!(format!("c{index}"));
        house.ok("CreateEndpointConfig", input.clone()).await;
        let first = house.ok("DescribeEndpointConfig", json!({"EndpointConfigName": format!("c{index}")})).await;
        let mut again: Map<String, Value> = first.as_object().unwrap().clone();
        again.shift_remove("EndpointConfigArn");
        again.shift_remove("CreationTime");
        again.insert("EndpointConfigName".into(), json!(format!("again{index}")));
        house.ok("CreateEndpointConfig", Value::Object(again.clone())).await;
        let second = house.ok("DescribeEndpointConfig", json!({"EndpointConfigName": format!("again{index}")})).await;
        for (member, value) in &again {
            assert_eq!(&second[member], value, "{member}");
        }
        for member in input.as_object().unwrap().keys().filter(|member| !member.contains("Variants")) {
            assert_eq!(first[member], input[member], "{member}");
        }
    }
}

#[tokio::test]
async fn a_rich_configuration_is_told_by_its_endpoint() {
    let house = house().await;
    let described = serve(&house, rich()).await;
    let variant = &described["ProductionVariants"][0];
    assert_eq!(variant["ManagedInstanceScaling"]["MaxInstanceCount"], 4);
    assert_eq!(variant["ManagedInstanceScaling"]["ScaleInPolicy"]["Strategy"], "IDLE_RELEASE");
    assert_eq!(variant["RoutingConfig"]["RoutingStrategy"], "LEAST_OUTSTANDING_REQUESTS");
    assert_eq!(described["MetricsConfig"]["MetricPublishFrequencyInSeconds"], 30);
    let shadow = &described["ShadowProductionVariants"][0];
    assert_eq!((&shadow["VariantName"], &shadow["CurrentWeight"]), (&json!("s"), &json!(2.0)));
    let endpoint = house.served("e").unwrap();
    let every = Some(std::time::Duration::from_secs(30));
    assert_eq!(endpoint.metrics, captura_route::MetricsPolicy { enhanced: true, every });
    let fleet = &endpoint.fleets[0];
    assert_eq!(fleet.variants.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(fleet.shadows.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["s"]);
    assert_eq!(fleet.shadows[0].capture.variant.as_str(), "s");
}

#[tokio::test]
async fn shadows_come_with_a_deployment_and_are_told_before_they_serve() {
    let house = house().await;
    house.ok("CreateModel", json!({"ModelName": "slow", "PrimaryContainer": {"Image": "gated"}})).await;
    let shadow = json!({"VariantName": "s", "ModelName": "slow", "InitialInstanceCount": 1});
    let config = json!({"EndpointConfigName": "c", "ProductionVariants": [variant("v", &json!({}))], "ShadowProductionVariants": [shadow]});
    house.ok("CreateEndpointConfig", config).await;
    house.ok("CreateEndpoint", json!({"EndpointName": "e", "EndpointConfigName": "c"})).await;
    house.pass().await;
    let creating = house.describe("e").await;
    let pending = &creating["PendingDeploymentSummary"]["ShadowProductionVariants"][0];
    assert_eq!(pending["VariantName"], "s");
    assert_eq!(pending["VariantStatus"][0]["StatusMessage"], "Launching 1 instance(s).");
    house.strings.gate.add_permits(1);
    house.settle().await;
    assert_eq!(house.served("e").unwrap().fleets[0].shadows.len(), 1);
}

#[tokio::test]
async fn a_serverless_variant_takes_as_many_calls_as_it_says() {
    let house = house().await;
    let serverless = json!({"MemorySizeInMB": 2048, "MaxConcurrency": 5, "ProvisionedConcurrency": 1});
    let described =
        serve(&house, json!({"ProductionVariants": [variant("v", &json!({"ServerlessConfig": serverless}))]})).await;
    let told = &described["ProductionVariants"][0];
    assert_eq!((&told["CurrentServerlessConfig"], &told["DesiredServerlessConfig"]), (&serverless, &serverless));
    assert_eq!((&told["CurrentInstanceCount"], told.get("DesiredInstanceCount")), (&json!(0), None));
    assert_eq!(house.served("e").unwrap().fleets[0].variants[0].concurrency_max, Some(5));
    let update = |update: Value| json!({"EndpointName": "e", "DesiredWeightsAndCapacities": [{"VariantName": "v", "ServerlessUpdateConfig": update}]});
    house.ok("UpdateEndpointWeightsAndCapacities", update(json!({"MaxConcurrency": 7}))).await;
    let updating = house.describe("e").await;
    let told = &updating["ProductionVariants"][0];
    assert_eq!(
        (&told["CurrentServerlessConfig"]["MaxConcurrency"], &told["DesiredServerlessConfig"]["MaxConcurrency"]),
        (&json!(5), &json!(7))
    );
    house.settle().await;
    assert_eq!(house.served("e").unwrap().fleets[0].variants[0].concurrency_max, Some(7));
    let message =
        house.refused("UpdateEndpointWeightsAndCapacities", update(json!({"ProvisionedConcurrency": 8}))).await;
    assert_eq!(
        message,
        "'desiredWeightsAndCapacities.1.member.serverlessUpdateConfig' would leave ProvisionedConcurrency at 8, more than MaxConcurrency, which is 7."
    );
    let count =
        json!({"EndpointName": "e", "DesiredWeightsAndCapacities": [{"VariantName": "v", "DesiredInstanceCount": 2}]});
    let message = house.refused("UpdateEndpointWeightsAndCapacities", count).await;
    assert_eq!(
        message,
        "'desiredWeightsAndCapacities.1.member.desiredInstanceCount' does not suit variant v: it is serverless. Use ServerlessUpdateConfig."
    );
}

#[tokio::test]
async fn asynchronous_inference_reaches_the_gateway() {
    let house = house().await;
    let config = json!({
        "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 4},
        "OutputConfig": {"S3OutputPath": "s3://bucket/out/", "S3FailurePath": "s3://bucket/bad", "KmsKeyId": "alias/k",
            "NotificationConfig": {"SuccessTopic": "arn:aws:sns:eu-west-1:000000000000:ok",
                "ErrorTopic": "arn:aws:sns:eu-west-1:000000000000:bad",
                "IncludeInferenceResponseIn": ["SUCCESS_NOTIFICATION_TOPIC"]}},
    });
    let described =
        serve(&house, json!({"ProductionVariants": [variant("v", &json!({}))], "AsyncInferenceConfig": config})).await;
    assert_eq!(described["AsyncInferenceConfig"], config);
    let expected = AsyncInference {
        output: Some(S3Uri::parse("s3://bucket/out/").unwrap()),
        failure: Some(S3Uri::parse("s3://bucket/bad").unwrap()),
        kms_key_id: Some("alias/k".into()),
        success_topic: Some("arn:aws:sns:eu-west-1:000000000000:ok".into()),
        error_topic: Some("arn:aws:sns:eu-west-1:000000000000:bad".into()),
        include_response_in: vec!["SUCCESS_NOTIFICATION_TOPIC".into()],
        concurrency_max: Some(4),
    };
    assert_eq!(house.served("e").unwrap().async_inference.as_deref(), Some(&expected));
}

#[tokio::test]
async fn an_endpoint_for_inference_components_is_in_service_without_a_model() {
    let house = house().await;
    let scaling = json!({"Status": "ENABLED", "MinInstanceCount": 2, "MaxInstanceCount": 4});
    let variants = json!([{"VariantName": "v", "InstanceType": "ml.g5.xlarge", "ManagedInstanceScaling": scaling}]);
    let described = serve(&house, json!({"ProductionVariants": variants, "ExecutionRoleArn": ROLE})).await;
    let told = &described["ProductionVariants"][0];
    assert_eq!(told.get("DeployedImages"), None);
    assert_eq!((&told["CurrentInstanceCount"], &told["DesiredInstanceCount"]), (&json!(2), &json!(2)));
    assert!(house.served("e").unwrap().fleets[0].variants.is_empty());
    let desired = json!([{"VariantName": "v", "DesiredInstanceCount": 0}]);
    house
        .ok("UpdateEndpointWeightsAndCapacities", json!({"EndpointName": "e", "DesiredWeightsAndCapacities": desired}))
        .await;
    house.settle().await;
    assert_eq!(house.describe("e").await["ProductionVariants"][0]["CurrentInstanceCount"], 0);
}

#[tokio::test]
async fn configurations_that_contradict_themselves_are_refused() {
    let house = house().await;
    let one = |members: Value| json!({"ProductionVariants": [variant("v", &members)]});
    let serverless =
        |provisioned: i64| json!({"MemorySizeInMB": 1024, "MaxConcurrency": 2, "ProvisionedConcurrency": provisioned});
    let scaling =
        |fewest: i64, most: i64| json!({"Status": "ENABLED", "MinInstanceCount": fewest, "MaxInstanceCount": most});
    let asynchronous = json!({"OutputConfig": {"S3OutputPath": "s3://bucket/out"}});
    let at = "productionVariants.1.member";
    let with = |mut config: Value, member: &str, value: Value| {
        config[member] = value;
        config
    };
    for (config, text) in [
        (json!({"ProductionVariants": [{"VariantName": "v"}]}), format!("'{at}.modelName' is missing. A variant without a model waits for inference components, and its endpoint configuration needs an 'executionRoleArn'.")),
        (one(json!({"ServerlessConfig": serverless(1), "InitialInstanceCount": 1})), format!("'{at}.serverlessConfig' and instances of its own exclude each other in one variant. Leave out InstanceType, InitialInstanceCount and ManagedInstanceScaling, or ServerlessConfig.")),
        (one(json!({"ServerlessConfig": serverless(3)})), format!("'{at}.serverlessConfig.provisionedConcurrency' is 3, more than 'maxConcurrency', which is 2.")),
        (one(json!({"ManagedInstanceScaling": scaling(3, 2)})), format!("'{at}.managedInstanceScaling.minInstanceCount' is 3, more than 'maxInstanceCount', which is 2.")),
        (one(json!({"ManagedInstanceScaling": scaling(2, 3), "InitialInstanceCount": 1})), format!("InitialInstanceCount is 1, outside of what '{at}.managedInstanceScaling' allows.")),
        (with(one(json!({})), "ShadowProductionVariants", json!([variant("V", &json!({}))])), "The variant name 'V' is used twice; variant names are unique in an endpoint configuration.".to_owned()),
        (with(one(json!({"ServerlessConfig": serverless(1)})), "AsyncInferenceConfig", asynchronous.clone()), "'asyncInferenceConfig' and 'serverlessConfig' exclude each other in one endpoint configuration. Leave one of them out.".to_owned()),
        (with(one(json!({})), "AsyncInferenceConfig", json!({"OutputConfig": {"S3OutputPath": "https://host/x"}})), "Answers cannot go to 'asyncInferenceConfig.outputConfig.s3OutputPath' \"https://host/x\"".to_owned()),
        (with(json!({"ProductionVariants": [{"VariantName": "v"}], "ExecutionRoleArn": ROLE}), "ExplainerConfig", explainer(&json!({}))), "'explainerConfig' and variants without a model exclude each other in one endpoint configuration. Leave one of them out.".to_owned()),
        (with(one(json!({})), "ExplainerConfig", json!({})), "'explainerConfig' cannot be carried out: ExplainerConfig names no explainer; give it a ClarifyExplainerConfig.".to_owned()),
        (with(one(json!({})), "ExplainerConfig", explainer(&json!({"EnableExplanations": "[0] >"}))), "'explainerConfig' cannot be carried out: EnableExplanations is not a JMESPath expression: it ends too early.".to_owned()),
        (with(one(json!({})), "ExplainerConfig", explainer(&json!({"InferenceConfig": {"FeatureHeaders": ["age"]}}))), "'explainerConfig' cannot be carried out: FeatureHeaders names 1 features, and the SHAP baseline has 2.".to_owned()),
        (with(one(json!({})), "MetricsConfig", json!({"MetricPublishFrequencyInSeconds": 7})), "1 validation error detected: Value '7' at 'metricsConfig.metricPublishFrequencyInSeconds' failed to satisfy constraint: Member must satisfy enum value set: [10, 30, 60, 120, 180, 240, 300]".to_owned()),
    ] {
        let message = house.refused("CreateEndpointConfig", with(config, "EndpointConfigName", json!("c"))).await;
        assert!(message.starts_with(&text), "{message}\n{text}");
    }
    assert_eq!(house.ok("ListEndpointConfigs", json!({})).await, json!({"EndpointConfigs": []}));
}

#[tokio::test]
async fn an_explainer_stands_before_every_variant_and_is_told_by_the_endpoint() {
    let house = house().await;
    let config = explainer(&json!({"EnableExplanations": "[0]>`0.5`"}));
    let variants = [variant("v", &json!({}))];
    let shadows = [variant("s", &json!({}))];
    let described = serve(
        &house,
        json!({"ProductionVariants": variants, "ShadowProductionVariants": shadows, "ExplainerConfig": config}),
    )
    .await;
    assert_eq!(described["ExplainerConfig"], config);
    assert_eq!(house.answer_of("e").await, "echo, explained");
    let again = house.after_a_kill();
    again.control.recover().await.unwrap();
    assert_eq!(again.describe("e").await["ExplainerConfig"], config);
    assert_eq!(again.answer_of("e").await, "echo, explained");
}
