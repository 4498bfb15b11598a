//! The containers of a model: what loading them will need, and what is refused.
//!
//! Invariant: a model that passes here can be told to the backends; whether they can run it, they say when they load it.

use std::collections::BTreeSet;

use captura_backends::{AdditionalData, DataForm};
use captura_wire::aws_json::Fault;
use captura_wire::hosting::{
    CompressionType, ContainerDefinition, ContainerMode, CreateModel, InferenceExecutionMode, ModelCacheSetting,
    S3DataSource, S3DataType, Tag,
};

use super::{is_given, refuse_unsupported, tags};
use crate::deployment::{DeployedContainer, DeployedModel};

/// What loading the model will need; refuses what captura cannot run.
pub(super) fn deployed_model(request: &CreateModel) -> Result<DeployedModel, Fault> {
    let containers = match (&request.primary_container, request.containers.as_slice()) {
        (Some(container), []) => vec![deployed_container("primaryContainer", container)?],
        (None, []) => return Err(Fault::validation("A model needs a PrimaryContainer.")),
        (None, containers) => {
            let numbered = (1..).zip(containers);
            let deployed = numbered.map(|(n, one)| deployed_container(&format!("containers.{n}.member"), one));
            deployed.collect::<Result<Vec<_>, Fault>>()?
        }
        (Some(_), _) => return Err(Fault::validation("Give either PrimaryContainer or Containers, not both.")),
    };
    let mode = request.inference_execution_config.map(|config| config.mode);
    let is_direct = mode == Some(InferenceExecutionMode::Direct);
    if is_direct && request.primary_container.is_some() {
        return Err(Fault::validation(
            "InferenceExecutionConfig.Mode Direct goes with Containers, not PrimaryContainer.",
        ));
    }
    refuse_unclear_names(&containers)?;
    let many = containers.iter().filter(|container| container.many_are_cached.is_some()).count();
    if many > 1 || (many > 0 && is_direct) {
        let text =
            "One container at most may have Mode MultiModel, and none where InferenceExecutionConfig.Mode is Direct.";
        return Err(Fault::validation(text));
    }
    let mut containers = containers.into_iter();
    let first = containers.next().expect("our bug: an empty list was refused");
    Ok(DeployedModel {
        first,
        others: containers.collect(),
        is_direct,
        is_isolated: request.enable_network_isolation.unwrap_or(false),
        startup_timeout_s: None,
    })
}

/// Pins the model to the digest that its tags name; refuses a digest that nothing could have.
pub(super) fn pin(model: &mut DeployedModel, tags: &[Tag]) -> Result<(), Fault> {
    let Some(sha256) = tags::model_sha256(tags)? else { return Ok(()) };
    let is_one = model.others.is_empty() && model.first.many_are_cached.is_none();
    if !is_one || model.first.model_data_url.is_none() || model.first.data_form == DataForm::Prefix {
        let key = tags::MODEL_SHA256_KEY;
        let text = format!("The tag {key} pins the data of a model of one container, which is one object.");
        return Err(Fault::validation(text));
    }
    model.first.sha256 = Some(sha256);
    Ok(())
}

/// Either all containers of a pipeline have names of their own, or none has.
fn refuse_unclear_names(containers: &[DeployedContainer]) -> Result<(), Fault> {
    if containers.len() < 2 {
        return Ok(());
    }
    let names: Vec<_> = containers.iter().filter_map(|container| container.hostname.as_ref()).collect();
    if !names.is_empty() && names.len() < containers.len() {
        return Err(Fault::validation("Give every container a ContainerHostname, or none."));
    }
    if names.iter().collect::<BTreeSet<_>>().len() < names.len() {
        return Err(Fault::validation("Two containers have the same ContainerHostname; each needs its own."));
    }
    Ok(())
}

fn deployed_container(path: &str, container: &ContainerDefinition) -> Result<DeployedContainer, Fault> {
    refuse_unsupported(
        &format!("{path}.modelPackageName"),
        "a model package",
        is_given(&container.model_package_name),
    )?;
    let image = container.image.clone().ok_or_else(|| {
        Fault::validation(format!("'{path}.image' is missing: the image picks what runs the model, e.g. captura/onnx."))
    })?;
    let source = container.model_data_source.as_ref().and_then(|source| source.s3_data_source.as_ref());
    let (model_data_url, data_form) = match (&container.model_data_url, source) {
        (Some(_), Some(_)) => {
            return Err(Fault::validation(format!(
                "Give either '{path}.modelDataUrl' or '{path}.modelDataSource', not both."
            )));
        }
        (None, Some(source)) => {
            let form = data_form(&format!("{path}.modelDataSource.s3DataSource"), source)?;
            (Some(source.s3_uri.clone()), form)
        }
        (url, None) => (url.clone(), DataForm::AsFound),
    };
    let has_many = container.mode == Some(ContainerMode::MultiModel);
    if has_many && (model_data_url.is_none() || matches!(data_form, DataForm::Object | DataForm::Archive)) {
        let text =
            format!("'{path}.modelDataUrl' must name the prefix below which the models of a MultiModel container lie.");
        return Err(Fault::validation(text));
    }
    let cache = container.multi_model_config.and_then(|config| config.model_cache_setting);
    Ok(DeployedContainer {
        hostname: container.container_hostname.clone(),
        image,
        model_data_url,
        environment: container.environment.clone(),
        // Each model below a prefix is what it is found to be.
        data_form: if has_many { DataForm::AsFound } else { data_form },
        many_are_cached: has_many.then_some(cache != Some(ModelCacheSetting::Disabled)),
        additional_data: additional_data(path, container)?,
        sha256: None,
    })
}

fn additional_data(path: &str, container: &ContainerDefinition) -> Result<Vec<AdditionalData>, Fault> {
    let mut channels = BTreeSet::new();
    let one = |(n, source): (usize, &captura_wire::hosting::AdditionalModelDataSource)| {
        let path = format!("{path}.additionalModelDataSources.{n}.member");
        let channel = source.channel_name.clone();
        if matches!(channel.as_str(), "." | "..") || !channels.insert(channel.clone()) {
            return Err(Fault::validation(format!("'{path}.channelName' must be the name of a folder of its own.")));
        }
        let form = data_form(&format!("{path}.s3DataSource"), &source.s3_data_source)?;
        Ok(AdditionalData { channel, url: source.s3_data_source.s3_uri.clone(), form })
    };
    (1..).zip(&container.additional_model_data_sources).map(one).collect()
}

fn data_form(path: &str, source: &S3DataSource) -> Result<DataForm, Fault> {
    let at = |member: &str| format!("{path}.{member}");
    refuse_unsupported(&at("hubAccessConfig"), "a model of a hub", is_given(&source.hub_access_config))?;
    refuse_unsupported(&at("manifestS3Uri"), "a manifest", is_given(&source.manifest_s3_uri))?;
    match (source.s3_data_type, source.compression_type) {
        (S3DataType::S3Prefix, CompressionType::None) => Ok(DataForm::Prefix),
        (S3DataType::S3Object, CompressionType::None) => Ok(DataForm::Object),
        (S3DataType::S3Object, CompressionType::Gzip) => Ok(DataForm::Archive),
        (S3DataType::S3Prefix, CompressionType::Gzip) => Err(Fault::validation(format!(
            "'{path}' has CompressionType Gzip, which goes with S3Object, not S3Prefix."
        ))),
    }
}
