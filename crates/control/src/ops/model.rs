//! Models: where data lies, and what runs it.

use captura_names::{ModelName, ResourceKind};
use captura_wire::aws_json::Fault;
use captura_wire::hosting::{CreateModel, read};
use serde_json::{Map, Value, json};

use super::{Desk, Failure, definition_of, model_containers};
use crate::catalog::{NewResource, Resource, Work};
use crate::deployment::{DeployedModel, hostname_at};

const KIND: ResourceKind = ResourceKind::Model;

pub(crate) async fn create(desk: &Desk, input: &Map<String, Value>) -> Result<Value, Failure> {
    let request: CreateModel = read(input)?;
    super::tags::refuse_unusable(&request.tags)?;
    let mut model = model_containers::deployed_model(&request)?;
    model_containers::pin(&mut model, &request.tags)?;
    let name = request.model_name.to_string();
    let looked_up = name.clone();
    desk.act(move |desk, work| match work.find(KIND, &looked_up)? {
        Some(_) => Err(Failure::Fault(desk.already_exists(KIND, &looked_up))),
        None => Ok(()),
    })
    .await?;
    for container in model.containers() {
        // Models of a container that has many come and go below their prefix.
        let own = container.model_data_url.as_ref().filter(|_| container.many_are_cached.is_none());
        for url in own.into_iter().chain(container.additional_data.iter().map(|data| &data.url)) {
            refuse_missing_data(desk, url).await?;
        }
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

pub(super) async fn refuse_missing_data(desk: &Desk, url: &str) -> Result<(), Fault> {
    match desk.models.data_exists(url).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Fault::validation(format!("Could not find model data at {url}."))),
        Err(reason) => Err(Fault::validation(format!("Could not access model data at {url}: {reason}"))),
    }
}

/// The model as a stored definition tells it.
pub(crate) fn stored_model(work: &Work<'_>, resource: &Resource) -> Result<DeployedModel, Failure> {
    let mut model = model_containers::deployed_model(&read(&resource.definition)?)?;
    model_containers::pin(&mut model, &work.tags(resource.id)?)?;
    Ok(model)
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
    name_containers(&mut members);
    members.insert("CreationTime".into(), json!(model.created_at.unix_seconds()));
    members.insert("ModelArn".into(), json!(arn));
    members.entry("EnableNetworkIsolation").or_insert(Value::Bool(false));
    Ok(Value::Object(members))
}

/// Containers of a pipeline have names, given or not.
fn name_containers(members: &mut Map<String, Value>) {
    let Some(containers) = members.get_mut("Containers").and_then(Value::as_array_mut) else { return };
    if containers.len() < 2 {
        return;
    }
    for (index, container) in
        containers.iter_mut().enumerate().filter_map(|(index, one)| Some((index, one.as_object_mut()?)))
    {
        container.entry("ContainerHostname").or_insert_with(|| Value::from(hostname_at(index).as_str()));
    }
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
