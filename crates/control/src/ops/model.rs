//! Models: where data lies, and what runs it.

use captura_names::{ModelName, ResourceKind};
use captura_wire::aws_json::Fault;
use captura_wire::hosting::{ContainerDefinition, CreateModel, read};
use serde_json::{Map, Value, json};

use super::{Desk, Failure, definition_of, is_given, refuse_unsupported, unsupported};
use crate::catalog::{NewResource, Resource};
use crate::deployment::DeployedModel;

const KIND: ResourceKind = ResourceKind::Model;

pub(crate) async fn create(desk: &Desk, input: &Map<String, Value>) -> Result<Value, Failure> {
    let request: CreateModel = read(input)?;
    super::tags::refuse_unusable(&request.tags)?;
    let model = deployed_model(&request)?;
    let name = request.model_name.to_string();
    let looked_up = name.clone();
    desk.act(move |desk, work| match work.find(KIND, &looked_up)? {
        Some(_) => Err(Failure::Fault(desk.already_exists(KIND, &looked_up))),
        None => Ok(()),
    })
    .await?;
    if let Some(url) = &model.model_data_url {
        refuse_missing_data(desk, url).await?;
    }
    let arn = desk.arn(KIND, &name);
    let new = NewResource {
        kind: KIND,
        name,
        region: desk.region.clone(),
        created_at: desk.now(),
        definition: definition_of(input),
    };
    desk.act(move |desk, work| desk.insert(work, &new, &request.tags)).await?;
    Ok(json!({ "ModelArn": arn }))
}

async fn refuse_missing_data(desk: &Desk, url: &str) -> Result<(), Fault> {
    match desk.models.data_exists(url).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Fault::validation(format!("Could not find model data at {url}."))),
        Err(reason) => Err(Fault::validation(format!("Could not access model data at {url}: {reason}"))),
    }
}

/// What loading the model will need; refuses what captura cannot run.
fn deployed_model(request: &CreateModel) -> Result<DeployedModel, Fault> {
    let (path, container) = match (&request.primary_container, request.containers.as_slice()) {
        (Some(container), []) => ("primaryContainer", container),
        (None, [container]) => ("containers.1.member", container),
        (None, []) => return Err(Fault::validation("A model needs a PrimaryContainer.")),
        (None, _) => return Err(unsupported("containers", "a pipeline of several containers")),
        (Some(_), _) => {
            return Err(Fault::validation("Give either PrimaryContainer or Containers, not both."));
        }
    };
    refuse_unsupported_container(path, container)?;
    let image = container.image.clone().ok_or_else(|| {
        Fault::validation(format!("'{path}.image' is missing: the image picks what runs the model, e.g. captura/onnx."))
    })?;
    let source = container.model_data_source.as_ref().and_then(|source| source.s3_data_source.as_ref());
    let model_data_url = match (&container.model_data_url, source) {
        (Some(_), Some(_)) => {
            return Err(Fault::validation(format!(
                "Give either '{path}.modelDataUrl' or '{path}.modelDataSource', not both."
            )));
        }
        (url, source) => url.clone().or_else(|| source.map(|source| source.s3_uri.clone())),
    };
    let is_isolated = request.enable_network_isolation.unwrap_or(false);
    let environment = container.environment.clone();
    Ok(DeployedModel { image, model_data_url, environment, is_isolated, startup_timeout_s: None })
}

fn refuse_unsupported_container(path: &str, container: &ContainerDefinition) -> Result<(), Fault> {
    let at = |member: &str| format!("{path}.{member}");
    let is_multi_model = container.mode.as_deref() == Some("MultiModel");
    refuse_unsupported(&at("mode"), "a multi-model container", is_multi_model)?;
    refuse_unsupported(&at("multiModelConfig"), "a multi-model container", is_given(&container.multi_model_config))?;
    refuse_unsupported(&at("modelPackageName"), "a model package", is_given(&container.model_package_name))?;
    let additional = is_given(&container.additional_model_data_sources);
    refuse_unsupported(&at("additionalModelDataSources"), "additional model data", additional)?;
    if let Some(source) = container.model_data_source.as_ref().and_then(|source| source.s3_data_source.as_ref()) {
        let at = |member: &str| format!("{path}.modelDataSource.s3DataSource.{member}");
        refuse_unsupported(&at("hubAccessConfig"), "a model of a hub", is_given(&source.hub_access_config))?;
        refuse_unsupported(&at("manifestS3Uri"), "a manifest", is_given(&source.manifest_s3_uri))?;
    }
    Ok(())
}

/// The model as a stored definition tells it.
pub(crate) fn stored_model(resource: &Resource) -> Result<DeployedModel, Fault> {
    deployed_model(&read(&resource.definition)?)
}

pub(crate) async fn describe(desk: &Desk, input: &Map<String, Value>) -> Result<Value, Failure> {
    let name = name_of(input)?;
    let resource = desk
        .act(move |desk, work| {
            let found = work.find(KIND, name.as_str())?;
            found
                .map(|model| (desk.arn_in(&model.region, KIND, &model.name), model))
                .ok_or_else(|| Failure::Fault(desk.not_found(KIND, name.as_str())))
        })
        .await?;
    let (arn, model) = resource;
    let mut members = model.definition;
    members.insert("CreationTime".into(), json!(model.created_at.unix_seconds()));
    members.insert("ModelArn".into(), json!(arn));
    members.entry("EnableNetworkIsolation").or_insert(Value::Bool(false));
    Ok(Value::Object(members))
}

pub(crate) async fn delete(desk: &Desk, input: &Map<String, Value>) -> Result<Value, Failure> {
    desk.delete(KIND, name_of(input)?.to_string()).await
}

fn name_of(input: &Map<String, Value>) -> Result<ModelName, Fault> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Named {
        model_name: ModelName,
    }
    read::<Named>(input).map(|named| named.model_name)
}
