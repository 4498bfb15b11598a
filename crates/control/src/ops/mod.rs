//! What each operation does: validate, write the row, answer. Reality follows later, through the reconcilers.

mod deployment_config;
pub(crate) mod endpoint;
pub(crate) mod endpoint_config;
pub(crate) mod endpoint_view;
pub(crate) mod inference_component;
pub(crate) mod job_definition;
pub(crate) mod listing;
pub(crate) mod model;
mod model_containers;
pub(crate) mod monitoring_lists;
pub(crate) mod monitoring_schedule;
pub(crate) mod processing_job;
pub(crate) mod tags;
mod variant;
mod variant_view;

use std::sync::Arc;

use captura_names::{Arn, ResourceKind, Timestamp};
use captura_route::Clock;
use captura_wire::aws_json::{Fault, FaultCode};
use captura_wire::hosting::Tag;
use serde_json::{Map, Value};
use tokio::sync::Notify;

use crate::alarms::Alarms;
use crate::catalog::{Catalog, CatalogError, NewResource, Work};
use crate::fleet::StandingView;
use crate::models::Models;
use crate::publish::ComponentsView;

/// What every operation works with.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) catalog: Catalog,
    pub(crate) models: Models,
    pub(crate) alarms: Alarms,
    /// What takes calls.
    pub(crate) standing: StandingView,
    /// Inference components that take calls.
    pub(crate) components: ComponentsView,
    pub(crate) clock: Clock,
    /// Wakes the driver.
    pub(crate) nudge: Arc<Notify>,
    /// Account, twelve digits.
    pub(crate) account: String,
    /// Region of the request.
    pub(crate) region: String,
}

/// Why an operation did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The caller can do something about it.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The caller cannot.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl Desk {
    /// Deletes a model or an endpoint configuration; what endpoints need of it they have copied.
    pub(crate) async fn delete(&self, kind: ResourceKind, name: String) -> Result<Value, Failure> {
        self.act(move |desk, work| match work.delete(kind, &name)? {
            true => Ok(Value::Object(Map::new())),
            false => Err(Failure::Fault(desk.not_found(kind, &name))),
        })
        .await
    }

    /// Now, in whole milliseconds: the precision in which clients see it, so that a time they read works as a filter.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_unix_us(self.clock.now().unix_us() / 1_000 * 1_000)
    }

    /// The ARN of a resource that was created in that region.
    pub(crate) fn arn_in(&self, region: &str, kind: ResourceKind, name: &str) -> String {
        Arn { region: region.to_owned(), account: self.account.clone(), kind, name: name.to_owned() }.to_string()
    }

    /// The ARN of a resource as this request names it.
    pub(crate) fn arn(&self, kind: ResourceKind, name: &str) -> String {
        self.arn_in(&self.region, kind, name)
    }

    fn not_found(&self, kind: ResourceKind, name: &str) -> Fault {
        not_found(kind, &self.arn(kind, name))
    }

    fn already_exists(&self, kind: ResourceKind, name: &str) -> Fault {
        let text = format!("Cannot create already existing {} \"{}\".", noun(kind), self.arn(kind, name));
        Fault::new(if is_of_monitors(kind) { FaultCode::ResourceInUse } else { FaultCode::ValidationException }, text)
    }

    /// Runs one act as a transaction on the catalog.
    async fn act<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Self, &Work<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let desk = self.clone();
        self.catalog.run(move |work| act(&desk, work)).await
    }

    /// Inserts a resource with its tags.
    fn insert(&self, work: &Work<'_>, new: &NewResource, tags: &[Tag]) -> Result<i64, Failure> {
        let id = work.insert(new)?.ok_or_else(|| self.already_exists(new.kind, &new.name))?;
        work.add_tags(id, tags)?;
        Ok(id)
    }
}

fn not_found(kind: ResourceKind, arn: &str) -> Fault {
    if kind == ResourceKind::ProcessingJob {
        return processing_job::not_found(arn.rsplit('/').next().unwrap_or(arn));
    }
    let text = format!("Could not find {} \"{arn}\".", noun(kind));
    Fault::new(if is_of_monitors(kind) { FaultCode::ResourceNotFound } else { FaultCode::ValidationException }, text)
}

fn noun(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Model => "model",
        ResourceKind::EndpointConfig => "endpoint configuration",
        ResourceKind::Endpoint => "endpoint",
        ResourceKind::InferenceComponent => "inference component",
        ResourceKind::ProcessingJob => "processing job",
        ResourceKind::MonitoringSchedule => "monitoring schedule",
        ResourceKind::DataQualityJobDefinition => "data quality job definition",
        ResourceKind::ModelQualityJobDefinition => "model quality job definition",
        ResourceKind::ModelBiasJobDefinition => "model bias job definition",
        ResourceKind::ModelExplainabilityJobDefinition => "model explainability job definition",
    }
}

/// Monitors have error codes of their own for what is not there and what is there already.
fn is_of_monitors(kind: ResourceKind) -> bool {
    match kind {
        ResourceKind::MonitoringSchedule
        | ResourceKind::DataQualityJobDefinition
        | ResourceKind::ModelQualityJobDefinition
        | ResourceKind::ModelBiasJobDefinition
        | ResourceKind::ModelExplainabilityJobDefinition => true,
        ResourceKind::Model
        | ResourceKind::EndpointConfig
        | ResourceKind::Endpoint
        | ResourceKind::InferenceComponent
        | ResourceKind::ProcessingJob => false,
    }
}

/// Refuses a part of a request that captura does not do yet.
fn refuse_unsupported(path: &str, what: &str, is_asked_for: bool) -> Result<(), Fault> {
    if is_asked_for { Err(unsupported(path, what)) } else { Ok(()) }
}

fn unsupported(path: &str, what: &str) -> Fault {
    Fault::validation(format!("'{path}' asks for {what}, which captura does not support yet. Leave it out."))
}

/// Whether a member that is not supported says anything.
fn is_given(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(members) => !members.is_empty(),
        _ => true,
    }
}

/// A request without what is stored beside it.
fn definition_of(input: &Map<String, Value>) -> Map<String, Value> {
    let mut definition = input.clone();
    definition.shift_remove("Tags");
    definition
}

fn output(members: impl serde::Serialize) -> Value {
    serde_json::to_value(members).expect("our bug: an output holds only text, numbers and lists of them")
}
