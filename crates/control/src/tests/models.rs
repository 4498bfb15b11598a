//! Models of several containers, of many models, and of data that lies in several places.

use captura_names::ContainerHostname;
use serde_json::{Value, json};

use super::House;
use crate::catalog::Catalog;
use crate::deployment::DeployedModel;

fn pipeline(mode: &str) -> Value {
    json!({
        "ModelName": "p", "InferenceExecutionConfig": {"Mode": mode},
        "Containers": [{"Image": "first"}, {"Image": "second", "Environment": {"A": "b"}}],
    })
}

/// What the variant of an endpoint was told to load.
async fn deployed(house: &House, model: Value) -> DeployedModel {
    house.ok("CreateModel", model.clone()).await;
    let variant = json!({"VariantName": "v", "ModelName": model["ModelName"]});
    house.ok("CreateEndpointConfig", json!({"EndpointConfigName": "c", "ProductionVariants": [variant]})).await;
    house.ok("CreateEndpoint", json!({"EndpointName": "e", "EndpointConfigName": "c"})).await;
    house.settle().await;
    assert_eq!(house.status("e").await, "InService");
    let catalog: &Catalog = &house.control.inner.catalog;
    let rows = catalog.run(|work| work.endpoints()).await.expect("our bug: the catalog works");
    let current = rows[0].current.clone().expect("our bug: the endpoint is in service");
    current.variants[0].model.clone().expect("our bug: the variant has a model")
}

#[tokio::test]
async fn a_pipeline_is_loaded_as_one_model_and_told_as_it_was_given() {
    let house = House::new();
    let model = deployed(&house, pipeline("Serial")).await;
    assert_eq!(house.answer_of("e").await, "first+second");
    let names: Vec<_> = model.specs().iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!((names, model.is_direct), (vec!["container-1".into(), "container-2".into()], false));
    let told = house.ok("DescribeModel", json!({"ModelName": "p"})).await;
    assert_eq!(
        told["Containers"],
        json!([
            {"Image": "first", "ContainerHostname": "container-1"},
            {"Image": "second", "Environment": {"A": "b"}, "ContainerHostname": "container-2"},
        ])
    );
    assert_eq!(
        (&told["InferenceExecutionConfig"], &told["PrimaryContainer"]),
        (&json!({"Mode": "Serial"}), &Value::Null)
    );
    let images = house.describe("e").await["ProductionVariants"][0]["DeployedImages"].clone();
    let images: Vec<_> = images.as_array().unwrap().iter().map(|image| image["SpecifiedImage"].clone()).collect();
    assert_eq!(images, ["first", "second"]);
}

#[tokio::test]
async fn containers_keep_the_names_they_were_given_and_may_be_called_directly() {
    let house = House::new();
    let mut model = pipeline("Direct");
    for (index, name) in ["clean", "score"].into_iter().enumerate() {
        model["Containers"][index]["ContainerHostname"] = json!(name);
    }
    let model = deployed(&house, model).await;
    assert!(model.is_direct);
    let names: Vec<_> = model.specs().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["clean", "score"].map(|name| ContainerHostname::parse(name).unwrap()));
}

#[tokio::test]
async fn a_container_of_many_models_needs_a_prefix_and_nothing_below_it_yet() {
    let house = House::new();
    let many = |more: Value| {
        let mut container = json!({"Image": "echo", "Mode": "MultiModel"});
        container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"ModelName": "m", "PrimaryContainer": container})
    };
    let text =
        "'primaryContainer.modelDataUrl' must name the prefix below which the models of a MultiModel container lie.";
    assert_eq!(house.refused("CreateModel", many(json!({}))).await, text);
    let model =
        many(json!({"ModelDataUrl": "s3://bucket/missing/", "MultiModelConfig": {"ModelCacheSetting": "Disabled"}}));
    let model = deployed(&house, model).await;
    assert_eq!((model.first.many_are_cached, model.pipeline_mode()), (Some(false), None));
}

#[tokio::test]
async fn data_is_looked_for_wherever_a_model_has_some() {
    let house = House::new();
    let source = |uri: &str, data_type: &str, compression: &str| json!({"S3Uri": uri, "S3DataType": data_type, "CompressionType": compression});
    let channel = |name: &str, uri: &str| json!({"ChannelName": name, "S3DataSource": source(uri, "S3Prefix", "None")});
    let model = |member: &str, value: Value| json!({"ModelName": "m", "Containers": [{"Image": "a"}, {"Image": "b", member: value}]});
    for (member, value, text) in [
        ("ModelDataUrl", json!("s3://bucket/missing"), "Could not find model data at s3://bucket/missing."),
        (
            "ModelDataSource",
            json!({"S3DataSource": source("s3://bucket/missing/", "S3Prefix", "None")}),
            "Could not find model data at s3://bucket/missing/.",
        ),
        (
            "AdditionalModelDataSources",
            json!([channel("words", "s3://bucket/missing/")]),
            "Could not find model data at s3://bucket/missing/.",
        ),
        (
            "ModelDataSource",
            json!({"S3DataSource": source("s3://bucket/a/", "S3Prefix", "Gzip")}),
            "'containers.2.member.modelDataSource.s3DataSource' has CompressionType Gzip, which goes with S3Object, not S3Prefix.",
        ),
        (
            "AdditionalModelDataSources",
            json!([channel("..", "s3://bucket/a/")]),
            "'containers.2.member.additionalModelDataSources.1.member.channelName' must be the name of a folder of its own.",
        ),
        (
            "AdditionalModelDataSources",
            json!([channel("a", "s3://bucket/a/"), channel("a", "s3://bucket/b/")]),
            "'containers.2.member.additionalModelDataSources.2.member.channelName' must be the name of a folder of its own.",
        ),
    ] {
        assert_eq!(house.refused("CreateModel", model(member, value)).await, text);
    }
}

#[tokio::test]
async fn containers_that_cannot_be_told_apart_are_refused() {
    let house = House::new();
    let named = |names: [Option<&str>; 2], mode: &str| {
        let containers = names.map(|name| match name {
            None => json!({"Image": "echo"}),
            Some(name) => json!({"Image": "echo", "ContainerHostname": name}),
        });
        json!({"ModelName": "m", "Containers": containers, "InferenceExecutionConfig": {"Mode": mode}})
    };
    let many = json!({"Image": "echo", "Mode": "MultiModel", "ModelDataUrl": "s3://bucket/a/"});
    let two_of_many =
        "One container at most may have Mode MultiModel, and none where InferenceExecutionConfig.Mode is Direct.";
    for (model, text) in [
        (named([Some("a"), None], "Serial"), "Give every container a ContainerHostname, or none."),
        (
            named([Some("a"), Some("a")], "Direct"),
            "Two containers have the same ContainerHostname; each needs its own.",
        ),
        (
            json!({"ModelName": "m", "PrimaryContainer": {"Image": "echo"}, "InferenceExecutionConfig": {"Mode": "Direct"}}),
            "InferenceExecutionConfig.Mode Direct goes with Containers, not PrimaryContainer.",
        ),
        (json!({"ModelName": "m", "Containers": [many, many]}), two_of_many),
        (
            json!({"ModelName": "m", "Containers": [many, {"Image": "echo"}], "InferenceExecutionConfig": {"Mode": "Direct"}}),
            two_of_many,
        ),
    ] {
        assert_eq!(house.refused("CreateModel", model).await, text);
    }
}

#[tokio::test]
async fn a_tag_pins_the_data_of_a_model_and_only_where_it_can_be_held() {
    let house = House::new();
    let sha256 = "AB".repeat(32);
    let tags = |value: &str| json!([{"Key": "captura:model-sha256", "Value": value}]);
    let named = |name: &str, more: Value| {
        let mut model = json!({"ModelName": name, "PrimaryContainer": {"Image": "echo"}});
        model.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        model
    };
    let data = json!({"Image": "echo", "ModelDataUrl": "s3://bucket/m.tar.gz"});
    let pinned = named("pinned", json!({"PrimaryContainer": data, "Tags": tags(&sha256)}));
    let model = deployed(&house, pinned).await;
    assert_eq!(model.specs()[0].1.sha256.as_deref(), Some(sha256.to_lowercase().as_str()));
    let text = "The tag captura:model-sha256 pins the data of a model of one container, which is one object.";
    let nothing = named("nothing", json!({"Tags": tags(&sha256)}));
    assert_eq!(house.refused("CreateModel", nothing).await, text);
    let several = json!({"ModelName": "p", "Containers": [data, {"Image": "second"}], "Tags": tags(&sha256)});
    assert_eq!(house.refused("CreateModel", several).await, text);
    let wrong = named("wrong", json!({"PrimaryContainer": data, "Tags": tags("ab")}));
    let text = "The tag captura:model-sha256 has the value 'ab'; it must be 64 hexadecimal digits.";
    assert_eq!(house.refused("CreateModel", wrong).await, text);
    let added = json!({"ResourceArn": super::arn("model/pinned"), "Tags": tags("ab")});
    assert_eq!(house.refused("AddTags", added).await, text);
}
