//! Inference components: models that share the instances of an endpoint without models of its own.
//!
//! A component is kept as a deployment of one variant, whose instances are its copies; the reconciler makes it so.

use captura_names::{InferenceComponentName, ModelName, ResourceKind, Timestamp};
use captura_wire::aws_json::Fault;
use captura_wire::hosting::{
    CreateInferenceComponent, EndpointStatus, InferenceComponentSpecification, UpdateInferenceComponent,
    UpdateInferenceComponentRuntimeConfig, read,
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Desk, Failure, definition_of, deployment_config, is_given, model, refuse_unsupported, tags, variant_view};
use crate::catalog::{ComponentRow, NewResource, StateChange, Work};
use crate::deployment::{DeployedContainer, DeployedModel, DeployedVariant, Deployment};

const KIND: ResourceKind = ResourceKind::InferenceComponent;
/// Copies when a request does not say.
const DEFAULT_COPY_COUNT: u32 = 1;

pub(crate) async fn create(desk: &Desk, input: &Map<String, Value>) -> Result<Value, Failure> {
    let request: CreateInferenceComponent = read(input)?;
    tags::refuse_unusable(&request.tags)?;
    refuse_unsupported("specifications", "models for several types of instances", is_given(&request.specifications))?;
    let specification = request
        .specification
        .as_ref()
        .ok_or_else(|| Fault::validation("An inference component needs a Specification."))?;
    refuse_missing_data(desk, specification).await?;
    let name = request.inference_component_name.to_string();
    let arn = desk.arn(KIND, &name);
    let (created_at, region) = (desk.now(), desk.region.clone());
    let mut definition = definition_of(input);
    desk.act(move |desk, work| {
        let (in_service, variant) = place(desk, work, &request)?;
        definition.insert("EndpointName".into(), json!(in_service.0));
        definition.insert("VariantName".into(), json!(variant.name.as_str()));
        let new = NewResource { kind: KIND, name, region, created_at, definition };
        let id = desk.insert(work, &new, &request.tags)?;
        let specification = request.specification.as_ref().expect("our bug: looked at above");
        let copies = request.runtime_config.map_or(DEFAULT_COPY_COUNT, |config| config.copy_count);
        let deployed = deployed(desk, work, specification, (&new.name, &variant))?;
        let pending =
            deployment(&in_service.1, DeployedVariant { instance_count: copies.into(), ..deployed }, created_at);
        Ok(work.begin_endpoint(id, &pending, created_at)?)
    })
    .await?;
    desk.nudge.notify_one();
    Ok(json!({ "InferenceComponentArn": arn }))
}

/// The endpoint's own spelling with what it has, or will have, in service, and the variant to share.
fn place(
    desk: &Desk,
    work: &Work<'_>,
    request: &CreateInferenceComponent,
) -> Result<((String, Deployment), DeployedVariant), Failure> {
    let name = request.endpoint_name.as_str();
    let endpoint = work.endpoint(name)?.ok_or_else(|| desk.not_found(ResourceKind::Endpoint, name))?;
    if matches!(endpoint.status, EndpointStatus::Failed | EndpointStatus::Deleting) {
        let text =
            format!("Endpoint \"{name}\" is in status {} and takes no inference components.", endpoint.status.as_str());
        return Err(Fault::validation(text).into());
    }
    let deployment = endpoint.current.or(endpoint.pending).ok_or_else(|| {
        Fault::validation(format!("Endpoint \"{name}\" has nothing in service that inference components could share."))
    })?;
    if deployment.variants.iter().any(|variant| variant.model().is_some()) {
        let text = "Inference Components are not supported in this Endpoint. Please make sure this endpoint can deploy inference \
                    components.";
        return Err(Fault::validation(text).into());
    }
    let variant = match (&request.variant_name, deployment.variants.as_slice()) {
        (None, [only]) => only.clone(),
        (None, _) => return Err(Fault::validation("The endpoint has several variants: give a VariantName.").into()),
        (Some(wanted), _) => deployment
            .variant(wanted)
            .cloned()
            .ok_or_else(|| Fault::validation(format!("Could not find variant \"{wanted}\" on endpoint \"{name}\".")))?,
    };
    Ok(((endpoint.name.to_string(), deployment), variant))
}

/// The variant of a component: its place's, with a model of its own.
fn deployed(
    desk: &Desk,
    work: &Work<'_>,
    specification: &InferenceComponentSpecification,
    (own_name, variant): (&str, &DeployedVariant),
) -> Result<DeployedVariant, Failure> {
    let is_addition = specification.base_inference_component_name.is_some();
    refuse_unsupported("specification.baseInferenceComponentName", "an addition to another component", is_addition)?;
    let startup = specification.startup_parameters;
    let (model_name, model) = match (&specification.model_name, &specification.container) {
        (Some(name), None) => {
            let found = work.find(ResourceKind::Model, name.as_str())?;
            let found = found.ok_or_else(|| desk.not_found(ResourceKind::Model, name.as_str()))?;
            let name = ModelName::parse(&found.name).unwrap_or_else(|_| name.clone());
            (Some(name), model::stored_model(work, &found)?)
        }
        (None, Some(container)) => {
            let image = container.image.clone().ok_or_else(|| {
                Fault::validation("'specification.container.image' is missing: the image picks what runs the model.")
            })?;
            let (url, environment) = (container.artifact_url.clone(), container.environment.clone());
            // A model that has no name of its own goes by the component's.
            (ModelName::parse(own_name).ok(), DeployedModel::of(DeployedContainer::new(image, url, environment)))
        }
        _ => return Err(Fault::validation("Give either Specification.ModelName or Specification.Container.").into()),
    };
    let startup_timeout_s =
        startup.and_then(|startup| startup.container_startup_health_check_timeout_in_seconds).map(u64::from);
    let download = startup.and_then(|startup| startup.model_data_download_timeout_in_seconds).map(u64::from);
    Ok(DeployedVariant {
        model_name,
        model: Some(DeployedModel { startup_timeout_s, ..model }),
        load_timeout_s: [download, startup_timeout_s].into_iter().flatten().reduce(|a, b| a + b),
        managed_instance_scaling: None,
        ..variant.clone()
    })
}

async fn refuse_missing_data(desk: &Desk, specification: &InferenceComponentSpecification) -> Result<(), Fault> {
    match specification.container.as_ref().and_then(|container| container.artifact_url.as_ref()) {
        Some(url) => model::refuse_missing_data(desk, url).await,
        None => Ok(()),
    }
}

/// A deployment of one variant, which takes from the endpoint's what it says of capture.
fn deployment(in_service: &Deployment, variant: DeployedVariant, at: Timestamp) -> Deployment {
    Deployment {
        id: Uuid::new_v4(),
        started_at: at,
        variants: vec![variant],
        shadows: Vec::new(),
        deployment_config: None,
        models_of: None,
        async_inference: None,
        ..in_service.clone()
    }
}

pub(crate) async fn describe(desk: &Desk, input: &Map<String, Value>) -> Result<Value, Failure> {
    let name = name_of(input)?;
    desk.act(move |desk, work| {
        let component = find(desk, work, &name)?;
        let endpoint = work.endpoint(component.endpoint.as_str())?;
        let region = endpoint.map_or_else(|| component.state.region.clone(), |endpoint| endpoint.region);
        let endpoint_arn = desk.arn_in(&region, ResourceKind::Endpoint, component.endpoint.as_str());
        Ok(view(desk, &component, &endpoint_arn))
    })
    .await
}

fn view(desk: &Desk, component: &ComponentRow, endpoint_arn: &str) -> Value {
    let state = &component.state;
    let deployment = state.pending.as_ref().or(state.current.as_ref());
    let variant = deployment.and_then(|deployment| deployment.variants.first());
    let endpoints = desk.components.borrow().clone();
    // During an update in batches the old model stands before the new one.
    let up = || endpoints.values().flatten().filter(|one| one.name.as_str() == state.name.as_str());
    let mut specification = component.definition.get("Specification").cloned().unwrap_or_default();
    if let (Some(container), Some(deployment)) =
        (specification.get_mut("Container").and_then(Value::as_object_mut), deployment)
        && let Some(image) = container.shift_remove("Image").as_ref().and_then(Value::as_str)
    {
        let content = up().next_back().and_then(|one| one.backend.resolved_image(0));
        let told = variant_view::deployed_image(image, content.as_deref(), deployment.started_at);
        container.insert("DeployedImage".into(), super::output(told));
    }
    let mut members = Map::from_iter([
        ("InferenceComponentName".to_owned(), json!(state.name.as_str())),
        ("InferenceComponentArn".to_owned(), json!(desk.arn_in(&state.region, KIND, state.name.as_str()))),
        ("EndpointName".to_owned(), json!(component.endpoint.as_str())),
        ("EndpointArn".to_owned(), json!(endpoint_arn)),
        ("VariantName".to_owned(), json!(component.variant.as_str())),
        ("Specification".to_owned(), specification),
        (
            "RuntimeConfig".to_owned(),
            json!({
                "DesiredCopyCount": variant.map_or(0, |variant| variant.instance_count),
                "CurrentCopyCount": up().map(|one| one.backend.instances()).sum::<usize>(),
            }),
        ),
        ("CreationTime".to_owned(), json!(state.created_at.unix_seconds())),
        ("LastModifiedTime".to_owned(), json!(state.modified_at.unix_seconds())),
        ("InferenceComponentStatus".to_owned(), json!(state.status.as_str())),
    ]);
    if let Some(reason) = &state.failure_reason {
        members.insert("FailureReason".into(), json!(reason));
    }
    if let Some(config) = deployment.and_then(|deployment| deployment.deployment_config.as_ref()) {
        members.insert("LastDeploymentConfig".into(), config.clone());
    }
    Value::Object(members)
}

pub(crate) async fn update(desk: &Desk, input: &Map<String, Value>) -> Result<Value, Failure> {
    let request: UpdateInferenceComponent = read(input)?;
    refuse_unsupported("specifications", "models for several types of instances", is_given(&request.specifications))?;
    if let Some(specification) = &request.specification {
        refuse_missing_data(desk, specification).await?;
    }
    let (at, stated) = (desk.now(), input.clone());
    let updating = desk.act(move |desk, work| {
        let component = find_at_rest(desk, work, &request.inference_component_name)?;
        let current = current_of(&component)?;
        let variant = &current.variants[0];
        let count = request.runtime_config.map_or(variant.instance_count, |config| config.copy_count.into());
        let mut pending = match &request.specification {
            Some(specification) => {
                let deployed = deployed(desk, work, specification, (component.state.name.as_str(), variant))?;
                deployment(&current, DeployedVariant { instance_count: count, ..deployed }, at)
            }
            None => with_copies(&current, count, at),
        };
        if let Some(config) = &request.deployment_config {
            deployment_config::refuse_unusable(config, &pending, &desk.alarms)?;
            pending.deployment_config = stated.get("DeploymentConfig").cloned();
        }
        let definition = match stated.get("Specification") {
            Some(specification) => component.redefined(specification),
            // What the last update says of before is not before this one.
            None => component.settled(),
        };
        work.redefine(component.state.id, &definition)?;
        begin(desk, work, &component, (current, pending))
    });
    let output = updating.await?;
    desk.nudge.notify_one();
    Ok(output)
}

pub(crate) async fn update_runtime_config(desk: &Desk, input: &Map<String, Value>) -> Result<Value, Failure> {
    let request: UpdateInferenceComponentRuntimeConfig = read(input)?;
    let count = request.desired_runtime_config.copy_count;
    set_copy_count(desk, &request.inference_component_name, count).await
}

/// Asks for so many copies of a component; they come in their own time.
pub(crate) async fn set_copy_count(desk: &Desk, name: &InferenceComponentName, count: u32) -> Result<Value, Failure> {
    let (at, name) = (desk.now(), name.clone());
    let updating = desk.act(move |desk, work| {
        let component = find_at_rest(desk, work, &name)?;
        let current = current_of(&component)?;
        let pending = with_copies(&current, count.into(), at);
        begin(desk, work, &component, (current, pending))
    });
    let output = updating.await?;
    desk.nudge.notify_one();
    Ok(output)
}

fn with_copies(current: &Deployment, count: i64, at: Timestamp) -> Deployment {
    let mut pending = Deployment { id: Uuid::new_v4(), started_at: at, models_of: Some(current.id), ..current.clone() };
    for variant in &mut pending.variants {
        variant.instance_count = count;
    }
    pending
}

fn begin(
    desk: &Desk,
    work: &Work<'_>,
    component: &ComponentRow,
    (current, pending): (Deployment, Deployment),
) -> Result<Value, Failure> {
    let state = &component.state;
    work.change_endpoint(&StateChange {
        id: state.id,
        from: state.status,
        to: EndpointStatus::Updating,
        failure_reason: None,
        rollout: None,
        at: pending.started_at,
        current: Some(current),
        pending: Some(pending),
    })?;
    Ok(json!({ "InferenceComponentArn": desk.arn_in(&state.region, KIND, state.name.as_str()) }))
}

pub(crate) async fn delete(desk: &Desk, input: &Map<String, Value>) -> Result<Value, Failure> {
    let name = name_of(input)?;
    let at = desk.now();
    desk.act(move |desk, work| {
        let state = find_at_rest(desk, work, &name)?.state;
        work.change_endpoint(&StateChange {
            id: state.id,
            from: state.status,
            to: EndpointStatus::Deleting,
            failure_reason: state.failure_reason,
            current: state.current,
            pending: None,
            rollout: None,
            at,
        })?;
        Ok(())
    })
    .await?;
    desk.nudge.notify_one();
    Ok(json!({}))
}

fn find(desk: &Desk, work: &Work<'_>, name: &InferenceComponentName) -> Result<ComponentRow, Failure> {
    work.component(name.as_str())?.ok_or_else(|| desk.not_found(KIND, name.as_str()).into())
}

/// A component that nothing is under way with.
fn find_at_rest(desk: &Desk, work: &Work<'_>, name: &InferenceComponentName) -> Result<ComponentRow, Failure> {
    let component = find(desk, work, name)?;
    match component.state.status {
        EndpointStatus::InService | EndpointStatus::Failed => Ok(component),
        _ => {
            let arn = desk.arn_in(&component.state.region, KIND, component.state.name.as_str());
            Err(Fault::validation(format!("Cannot update in-progress inference component \"{arn}\".")).into())
        }
    }
}

fn current_of(component: &ComponentRow) -> Result<Deployment, Failure> {
    // One that failed before it was ever in service may be given another model.
    let state = &component.state;
    let current =
        state.current.as_ref().or(state.pending.as_ref()).filter(|current| current.variants.len() == 1).cloned();
    current
        .ok_or_else(|| Fault::validation("The inference component has no model; delete it and create it again.").into())
}

fn name_of(input: &Map<String, Value>) -> Result<InferenceComponentName, Fault> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Named {
        inference_component_name: InferenceComponentName,
    }
    read::<Named>(input).map(|named| named.inference_component_name)
}
