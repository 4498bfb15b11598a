//! A model's whole life through the control plane: created, deployed under capture, called, described, updated, deleted.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use aws_sdk_sagemaker::Client;
use aws_sdk_sagemaker::client::Waiters as _;
use aws_sdk_sagemaker::config::{AsyncSleep, SharedAsyncSleep, Sleep};
use aws_sdk_sagemaker::error::ProvideErrorMetadata as _;
use aws_sdk_sagemaker::types::{
    CaptureContentTypeHeader, CaptureMode, CaptureOption, CaptureStatus, ContainerDefinition, DataCaptureConfig,
    DesiredWeightAndCapacity, EndpointStatus, ProductionVariant, ProductionVariantInstanceType, Tag,
};
use aws_sdk_sagemakerruntime::primitives::Blob;
use captura_rust_client::{captured, from_environment};

const NAME: &str = "rust-churn";
const ROLE: &str = "arn:aws:iam::000000000000:role/captura-stories";
const ENDPOINT: &str = "arn:aws:sagemaker:us-east-1:000000000000:endpoint/rust-churn";
/// How long a change may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The waiters look every 30 s, as AWS takes minutes; a story has no time for that. Nothing else is as patient.
#[derive(Debug)]
struct Hurry;

impl Hurry {
    const LONGEST: Duration = Duration::from_millis(300);
}

impl AsyncSleep for Hurry {
    fn sleep(&self, duration: Duration) -> Sleep {
        let is_patient = duration >= Duration::from_secs(20);
        Sleep::new(tokio::time::sleep(if is_patient { Self::LONGEST } else { duration }))
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let environment = from_environment().await;
    let hurried = environment.to_builder().sleep_impl(SharedAsyncSleep::new(Hurry)).build();
    let sagemaker = Client::new(&hurried);
    let s3 = aws_sdk_s3::Client::new(&environment);
    let runtime = aws_sdk_sagemakerruntime::Client::new(&environment);
    create(&sagemaker).await?;
    describe(&sagemaker).await.context("what is described")?;
    let asked = runtime.invoke_endpoint().endpoint_name(NAME).content_type("text/csv").inference_id("rust-9");
    let answer = asked.body(Blob::new("7,8")).send().await?;
    ensure!(answer.body().map(Blob::as_ref) == Some(b"7,8"), "{answer:?}");
    captured(&s3, ("captures", "rust-lifecycle/rust-churn/AllTraffic/"), r#""inferenceId":"rust-9""#).await?;
    update(&sagemaker).await.context("an update")?;
    lists(&sagemaker).await.context("lists")?;
    delete(&sagemaker).await.context("the end")?;
    println!("told");
    Ok(())
}

fn variant() -> ProductionVariant {
    let variant = ProductionVariant::builder().variant_name("AllTraffic").model_name(NAME);
    variant.instance_type(ProductionVariantInstanceType::MlM5Large).initial_instance_count(1).build()
}

async fn create(sagemaker: &Client) -> Result<()> {
    let container = ContainerDefinition::builder().image("captura/echo").environment("COLOUR", "blue").build();
    let model = sagemaker.create_model().model_name(NAME).primary_container(container).execution_role_arn(ROLE);
    let made = model.send().await.context("CreateModel")?;
    ensure!(made.model_arn() == Some("arn:aws:sagemaker:us-east-1:000000000000:model/rust-churn"), "{made:?}");
    let option = |mode| CaptureOption::builder().capture_mode(mode).build();
    let types = CaptureContentTypeHeader::builder().csv_content_types("text/csv").build();
    let capture = DataCaptureConfig::builder()
        .enable_capture(true)
        .initial_sampling_percentage(100)
        .destination_s3_uri("s3://captures/rust-lifecycle")
        .capture_options(option(CaptureMode::Input))
        .capture_options(option(CaptureMode::Output))
        .capture_content_type_header(types)
        .build();
    for (name, capture) in [("rust-churn-1", Some(capture)), ("rust-churn-2", None)] {
        let configuration = sagemaker.create_endpoint_config().endpoint_config_name(name);
        let configuration = configuration.production_variants(variant()).set_data_capture_config(capture);
        configuration.send().await.context("CreateEndpointConfig")?;
    }
    let endpoint = sagemaker.create_endpoint().endpoint_name(NAME).endpoint_config_name("rust-churn-1");
    let tag = Tag::builder().key("team").value("risk").build();
    let made = endpoint.tags(tag).send().await.context("CreateEndpoint")?;
    ensure!(made.endpoint_arn() == Some(ENDPOINT), "{made:?}");
    wait(sagemaker).await
}

async fn wait(sagemaker: &Client) -> Result<()> {
    let waiter = sagemaker.wait_until_endpoint_in_service().endpoint_name(NAME);
    waiter.wait(PATIENCE).await.map(drop).context("the endpoint is not in service")
}

async fn describe(sagemaker: &Client) -> Result<()> {
    let told = sagemaker.describe_endpoint().endpoint_name(NAME).send().await?;
    ensure!(told.endpoint_status() == Some(&EndpointStatus::InService), "{told:?}");
    ensure!(told.endpoint_config_name() == Some("rust-churn-1") && told.creation_time().is_some(), "{told:?}");
    let [variant] = told.production_variants() else { bail!("one variant: {told:?}") };
    ensure!(variant.current_instance_count() == Some(1), "{variant:?}");
    let [image] = variant.deployed_images() else { bail!("one image: {variant:?}") };
    ensure!(image.specified_image() == Some("captura/echo"), "{image:?}");
    let capture = told.data_capture_config().context("no capture is told of")?;
    ensure!(capture.capture_status() == Some(&CaptureStatus::Started), "{capture:?}");
    ensure!(capture.current_sampling_percentage() == Some(100), "{capture:?}");
    let kept = sagemaker.describe_endpoint_config().endpoint_config_name("rust-churn-1").send().await?;
    let options = kept.data_capture_config().map(|kept| kept.capture_options().len());
    ensure!(options == Some(2), "{kept:?}");
    let model = sagemaker.describe_model().model_name(NAME).send().await?;
    let environment = model.primary_container().and_then(|container| container.environment());
    ensure!(environment.and_then(|all| all.get("COLOUR")).is_some_and(|colour| colour == "blue"), "{model:?}");
    Ok(())
}

async fn update(sagemaker: &Client) -> Result<()> {
    sagemaker.update_endpoint().endpoint_name(NAME).endpoint_config_name("rust-churn-2").send().await?;
    wait(sagemaker).await?;
    let change = DesiredWeightAndCapacity::builder().variant_name("AllTraffic").desired_weight(0.5).build();
    let changed = sagemaker.update_endpoint_weights_and_capacities().endpoint_name(NAME);
    changed.desired_weights_and_capacities(change).send().await?;
    wait(sagemaker).await?;
    let told = sagemaker.describe_endpoint().endpoint_name(NAME).send().await?;
    ensure!(told.endpoint_config_name() == Some("rust-churn-2") && told.data_capture_config().is_none(), "{told:?}");
    ensure!(told.production_variants().iter().all(|one| one.current_weight() == Some(0.5)), "{told:?}");
    Ok(())
}

async fn lists(sagemaker: &Client) -> Result<()> {
    let mut pages = sagemaker.list_endpoint_configs().name_contains("rust-churn").into_paginator().page_size(1).send();
    let mut names = Vec::new();
    while let Some(page) = pages.next().await {
        names.extend(page?.endpoint_configs().iter().filter_map(|one| one.endpoint_config_name()).map(str::to_owned));
    }
    names.sort();
    ensure!(names == ["rust-churn-1", "rust-churn-2"], "{names:?}");
    let tag = Tag::builder().key("stage").value("test").build();
    sagemaker.add_tags().resource_arn(ENDPOINT).tags(tag).send().await?;
    sagemaker.delete_tags().resource_arn(ENDPOINT).tag_keys("team").send().await?;
    let told = sagemaker.list_tags().resource_arn(ENDPOINT).send().await?;
    let tags: Vec<_> = told.tags().iter().map(|tag| (tag.key(), tag.value())).collect();
    ensure!(tags == [(Some("stage"), Some("test"))], "{told:?}");
    Ok(())
}

async fn delete(sagemaker: &Client) -> Result<()> {
    sagemaker.delete_endpoint().endpoint_name(NAME).send().await?;
    sagemaker.wait_until_endpoint_deleted().endpoint_name(NAME).wait(PATIENCE).await.context("it is still there")?;
    for name in ["rust-churn-1", "rust-churn-2"] {
        sagemaker.delete_endpoint_config().endpoint_config_name(name).send().await?;
    }
    sagemaker.delete_model().model_name(NAME).send().await?;
    let gone = sagemaker.describe_model().model_name(NAME).send().await.map_err(|error| error.into_service_error());
    let Err(error) = gone else { bail!("a deleted model is described: {gone:?}") };
    ensure!(error.code() == Some("ValidationException"), "{error:?}");
    ensure!(error.message().is_some_and(|words| words.contains("Could not find model")), "{error:?}");
    Ok(())
}
