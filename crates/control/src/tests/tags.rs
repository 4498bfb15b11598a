//! Tags.

use serde_json::{Value, json};

use super::{House, arn};

#[tokio::test]
async fn tags_are_given_added_told_and_taken_off_any_resource() {
    let house = House::new();
    let tag = |key: &str, value: &str| json!({"Key": key, "Value": value});
    house
        .ok("CreateModel", json!({"ModelName": "N", "PrimaryContainer": {"Image": "echo"}, "Tags": [tag("a", "1")]}))
        .await;
    let variants = json!([{"VariantName": "v", "ModelName": "N"}]);
    house
        .ok(
            "CreateEndpointConfig",
            json!({"EndpointConfigName": "N", "ProductionVariants": variants, "Tags": [tag("a", "1")]}),
        )
        .await;
    house.ok("CreateEndpoint", json!({"EndpointName": "N", "EndpointConfigName": "N", "Tags": [tag("a", "1")]})).await;
    for resource in ["model/N", "endpoint-config/n", "endpoint/N"] {
        let arn = arn(resource);
        assert_eq!(
            house.ok("ListTags", json!({"ResourceArn": arn, "MaxResults": 50})).await,
            json!({"Tags": [tag("a", "1")]})
        );
        let added = house.ok("AddTags", json!({"ResourceArn": arn, "Tags": [tag("b", ""), tag("a", "2")]})).await;
        assert_eq!(added, json!({"Tags": [tag("a", "2"), tag("b", "")]}));
        assert_eq!(house.ok("DeleteTags", json!({"ResourceArn": arn, "TagKeys": ["a", "x"]})).await, json!({}));
        assert_eq!(house.ok("ListTags", json!({"ResourceArn": arn})).await, json!({"Tags": [tag("b", "")]}));
    }
    // Tags go with their resource.
    house.ok("DeleteModel", json!({"ModelName": "N"})).await;
    house.ok("CreateModel", json!({"ModelName": "N", "PrimaryContainer": {"Image": "echo"}, "Tags": []})).await;
    assert_eq!(house.ok("ListTags", json!({"ResourceArn": arn("model/N")})).await, json!({"Tags": []}));
}

#[tokio::test]
async fn an_arn_in_another_case_or_region_finds_the_resource_and_another_account_does_not() {
    let house = House::new();
    house.ok("CreateModel", json!({"ModelName": "Churn", "PrimaryContainer": {"Image": "echo"}})).await;
    for good in
        ["arn:aws:sagemaker:eu-west-1:000000000000:model/churn", "arn:aws:sagemaker:us-east-1:000000000000:model/CHURN"]
    {
        house.ok("ListTags", json!({"ResourceArn": good})).await;
    }
    let other = "arn:aws:sagemaker:eu-west-1:111111111111:model/Churn";
    assert_eq!(
        house.refused("ListTags", json!({"ResourceArn": other})).await,
        format!("Could not find model \"{other}\".")
    );
    let other = "arn:aws:sagemaker:eu-west-1:000000000000:training-job/x";
    assert_eq!(
        house.refused("ListTags", json!({"ResourceArn": other})).await,
        format!("Could not find resource \"{other}\".")
    );
}

#[tokio::test]
async fn tags_that_aws_refuses_are_refused() {
    let house = House::new();
    let model = |tags: Value| json!({"ModelName": "m", "PrimaryContainer": {"Image": "echo"}, "Tags": tags});
    let tag = |key: &str| json!({"Key": key, "Value": "v"});
    let reserved = "The tag key 'aws:x' begins with aws:, which is reserved for AWS's own use.";
    assert_eq!(house.refused("CreateModel", model(json!([tag("aws:x")]))).await, reserved);
    assert_eq!(
        house.refused("CreateModel", model(json!([tag("k"), tag("k")]))).await,
        "The tag key 'k' is given twice."
    );
    let many: Vec<_> = (0..50).map(|index| tag(&format!("k{index}"))).collect();
    house.ok("CreateModel", model(json!(many))).await;
    let add = json!({"ResourceArn": arn("model/m"), "Tags": [tag("one-more")]});
    assert_eq!(house.refused("AddTags", add).await, "A resource holds at most 50 tags; with these it would hold 51.");
    assert_eq!(
        house.ok("ListTags", json!({"ResourceArn": arn("model/m")})).await["Tags"].as_array().unwrap().len(),
        50
    );
    let token = json!({"ResourceArn": arn("model/m"), "NextToken": "x"});
    assert!(house.refused("ListTags", token).await.starts_with("The NextToken is not one"));
}
