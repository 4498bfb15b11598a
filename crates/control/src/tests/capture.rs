//! Data capture: what a configuration says becomes what the gateway reads.

use captura_names::S3Uri;
use captura_route::{CaptureSettings, Durability, WhenUnavailable};
use serde_json::{Value, json};

use super::{House, arn};

fn capture(members: &Value) -> Value {
    let mut capture = json!({"InitialSamplingPercentage": 20, "DestinationS3Uri": "s3://captures/churn/", "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}]});
    capture.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    capture
}

async fn served_with(members: Value, tags: Value) -> (Option<CaptureSettings>, Value) {
    let house = House::new();
    house.ok("CreateModel", json!({"ModelName": "m", "PrimaryContainer": {"Image": "echo"}})).await;
    let config = json!({"EndpointConfigName": "c", "ProductionVariants": [{"VariantName": "v", "ModelName": "M"}],
        "DataCaptureConfig": capture(&members), "Tags": tags});
    house.ok("CreateEndpointConfig", config).await;
    house.ok("CreateEndpoint", json!({"EndpointName": "e", "EndpointConfigName": "C"})).await;
    house.settle().await;
    let policy = &house.served("e").unwrap().fleets[0].variants[0].capture;
    assert_eq!((policy.endpoint.as_str(), policy.variant.as_str()), ("e", "v"));
    assert_eq!((policy.model.as_str(), policy.endpoint_config.as_str()), ("m", "c"), "names as they were created");
    (policy.settings.clone(), house.describe("e").await["DataCaptureConfig"].clone())
}

#[tokio::test]
async fn every_member_reaches_the_policy_and_the_live_view() {
    let content_types = json!({"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]});
    let members = json!({"EnableCapture": true, "KmsKeyId": "alias/k", "CaptureContentTypeHeader": content_types});
    let (settings, view) = served_with(members, json!([])).await;
    let expected = CaptureSettings {
        enabled: true,
        sampling: 20.try_into().unwrap(),
        input: true,
        output: true,
        destination: S3Uri::parse("s3://captures/churn").unwrap(),
        csv_content_types: vec!["text/csv".into()],
        json_content_types: vec!["application/json".into()],
        kms_key_id: Some("alias/k".into()),
        durability: Durability::AckAfterWrite,
        when_unavailable: WhenUnavailable::Serve,
    };
    assert_eq!(settings, Some(expected));
    assert_eq!(
        view,
        json!({"EnableCapture": true, "CaptureStatus": "Started", "CurrentSamplingPercentage": 20,
            "DestinationS3Uri": "s3://captures/churn/", "KmsKeyId": "alias/k"})
    );
}

#[tokio::test]
async fn defaults_and_options_are_those_of_the_contract() {
    let options = |modes: &[&str]| json!({"CaptureOptions": modes.iter().map(|mode| json!({"CaptureMode": mode})).collect::<Vec<_>>()});
    for (members, enabled, input, output) in [
        (json!({}), true, true, true),
        (json!({"EnableCapture": false}), false, true, true),
        (options(&["Input"]), true, true, false),
        (options(&["Output"]), true, false, true),
        (options(&["InputAndOutput"]), true, true, true),
    ] {
        let (settings, view) = served_with(members.clone(), json!([])).await;
        let settings = settings.unwrap();
        assert_eq!((settings.enabled, settings.input, settings.output), (enabled, input, output), "{members}");
        assert!(settings.csv_content_types.is_empty() && settings.json_content_types.is_empty());
        let status = if enabled { "Started" } else { "Stopped" };
        assert_eq!((&view["EnableCapture"], &view["CaptureStatus"]), (&json!(enabled), &json!(status)), "{members}");
        assert_eq!(view["KmsKeyId"], "");
    }
}

#[tokio::test]
async fn tags_of_the_configuration_choose_how_surely_captures_are_kept() {
    let tag = |key: &str, value: &str| json!({"Key": key, "Value": value});
    for (durability, when, expected) in [
        ("ack-after-fsync", "refuse", (Durability::AckAfterFsync, WhenUnavailable::Refuse)),
        ("ack-after-write", "serve", (Durability::AckAfterWrite, WhenUnavailable::Serve)),
        ("best-effort", "serve", (Durability::BestEffort, WhenUnavailable::Serve)),
    ] {
        let tags = json!([tag("captura:durability", durability), tag("captura:when-unavailable", when)]);
        let settings = served_with(json!({}), tags).await.0.unwrap();
        assert_eq!((settings.durability, settings.when_unavailable), expected);
    }
    let house = House::new();
    house.config("c", "echo").await;
    let text = "The tag captura:durability has the value 'sometimes'; it must be one of ack-after-fsync, ack-after-write, best-effort.";
    let tags = json!([tag("captura:durability", "sometimes")]);
    assert_eq!(house.refused("AddTags", json!({"ResourceArn": arn("endpoint-config/c"), "Tags": tags})).await, text);
    assert_eq!(house.ok("ListTags", json!({"ResourceArn": arn("endpoint-config/c")})).await, json!({"Tags": []}));
    let config = json!({"EndpointConfigName": "d", "ProductionVariants": [{"VariantName": "v", "ModelName": "c"}], "Tags": tags});
    assert_eq!(house.refused("CreateEndpointConfig", config).await, text);
    // Elsewhere the tag is any tag.
    house.ok("AddTags", json!({"ResourceArn": arn("model/c"), "Tags": tags})).await;
}

#[tokio::test]
async fn a_destination_that_is_no_bucket_is_refused_when_the_configuration_is_created() {
    let house = House::new();
    house.config("c", "echo").await;
    let long = format!("s3://captures/x/{}", "y".repeat(241));
    for destination in ["https://host/x", "s3://B/x", "s3://captures/../x", "s3://captures//x", &long] {
        let config = json!({"EndpointConfigName": "d", "ProductionVariants": [{"VariantName": "v", "ModelName": "c"}],
            "DataCaptureConfig": capture(&json!({"DestinationS3Uri": destination}))});
        let message = house.refused("CreateEndpointConfig", config).await;
        assert!(
            message
                .starts_with(&format!("Captures cannot go to 'dataCaptureConfig.destinationS3Uri' {destination:?}: ")),
            "{message}"
        );
    }
}

#[tokio::test]
async fn a_described_configuration_is_the_input_of_the_next_one() {
    let house = House::new();
    house.config("m", "echo").await;
    let input = json!({
        "EndpointConfigName": "first",
        "ProductionVariants": [{"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 2, "InstanceType": "ml.new.one",
            "InitialVariantWeight": 0.25, "VolumeSizeInGB": 5, "RoutingConfig": {"RoutingStrategy": "KV_AWARE"},
            "ModelDataDownloadTimeoutInSeconds": 60, "EnableSSMAccess": true, "InferenceAmiVersion": "x", "BrandNew": {"A": [1, "b"]},
            "CapacityReservationConfig": {"CapacityReservationPreference": "capacity-reservations-only"},
            "ManagedInstanceScaling": {"Status": "DISABLED"}, "AcceleratorType": "ml.eia2.large"}],
        "DataCaptureConfig": capture(&json!({"EnableCapture": true, "Unknown": 1})),
        "KmsKeyId": "alias/k", "VpcConfig": {"SecurityGroupIds": ["sg"], "Subnets": ["s"]}, "EnableNetworkIsolation": false,
        "ExecutionRoleArn": "arn:aws:iam::000000000000:role/x", "MetricsConfig": {"EnableEnhancedMetrics": true},
        "CrossRegionTrafficConfig": {"MaxInvocationsPerSecondPerInstance": 5, "MaxCrossRegionPercentPerEndpoint": 6, "x": "y"}, "AsyncInferenceConfig": null, "ExplainerConfig": null, "ShadowProductionVariants": null,
        "Tags": [{"Key": "k", "Value": "v"}],
    });
    house.ok("CreateEndpointConfig", input.clone()).await;
    let mut first = house.ok("DescribeEndpointConfig", json!({"EndpointConfigName": "FIRST"})).await;
    assert!(!first.to_string().contains("null"));
    for (name, member) in
        input.as_object().unwrap().iter().filter(|(name, member)| *name != "Tags" && !member.is_null())
    {
        assert_eq!(&first[name], member, "{name}");
    }
    assert_eq!(first["EndpointConfigArn"], arn("endpoint-config/first"));

    // As the SDK does: the whole answer, under another name.
    first["EndpointConfigName"] = json!("second");
    house.ok("CreateEndpointConfig", first.clone()).await;
    let mut second = house.ok("DescribeEndpointConfig", json!({"EndpointConfigName": "second"})).await;
    for member in ["EndpointConfigArn", "CreationTime"] {
        first.as_object_mut().unwrap().shift_remove(member);
        second.as_object_mut().unwrap().shift_remove(member);
    }
    assert_eq!(second.to_string(), first.to_string());
}

#[tokio::test]
async fn a_weight_that_is_not_stated_is_told_as_one() {
    let house = House::new();
    house.config("c", "echo").await;
    let described = house.ok("DescribeEndpointConfig", json!({"EndpointConfigName": "c"})).await;
    assert_eq!(described["ProductionVariants"][0]["InitialVariantWeight"], json!(1.0));
}
