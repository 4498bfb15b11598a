//! Which operation a request asks for. No rules: what an operation means stands in `ops`.

use captura_names::ResourceKind;
use captura_wire::aws_json::{Fault, FaultCode, Reply, read_input};
use captura_wire::hosting::Operation;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::ops::{self, Desk, Failure};
use crate::{Request, Response};

/// Longest name of a region.
const REGION_MAX_LENGTH: usize = 32;

/// Answers a request, whatever it is.
pub(crate) async fn answer(desk: Desk, request: &Request<'_>) -> Response {
    let request_id = Uuid::new_v4().to_string();
    match output(desk, request).await {
        Ok(output) => Reply::output(&output, &request_id),
        Err(failure) => Reply::fault(&fault_of(failure, request.target, &request_id), &request_id),
    }
}

async fn output(desk: Desk, request: &Request<'_>) -> Result<Value, Failure> {
    let operation = Operation::from_target(request.target)?;
    refuse_unusable_region(request.region)?;
    let input = read_input(&request.body)?;
    operation.check(&input)?;
    dispatch(&desk, operation, &input).await
}

async fn dispatch(desk: &Desk, operation: Operation, input: &Map<String, Value>) -> Result<Value, Failure> {
    match operation {
        Operation::CreateModel => ops::model::create(desk, input).await,
        Operation::DescribeModel => ops::model::describe(desk, input).await,
        Operation::ListModels => ops::listing::list(desk, ResourceKind::Model, input).await,
        Operation::DeleteModel => ops::model::delete(desk, input).await,
        Operation::CreateEndpointConfig => ops::endpoint_config::create(desk, input).await,
        Operation::DescribeEndpointConfig => ops::endpoint_config::describe(desk, input).await,
        Operation::ListEndpointConfigs => ops::listing::list(desk, ResourceKind::EndpointConfig, input).await,
        Operation::DeleteEndpointConfig => ops::endpoint_config::delete(desk, input).await,
        Operation::CreateEndpoint => ops::endpoint::create(desk, input).await,
        Operation::DescribeEndpoint => ops::endpoint::describe(desk, input).await,
        Operation::ListEndpoints => ops::listing::list(desk, ResourceKind::Endpoint, input).await,
        Operation::UpdateEndpoint => ops::endpoint::update(desk, input).await,
        Operation::UpdateEndpointWeightsAndCapacities => ops::endpoint::update_weights(desk, input).await,
        Operation::DeleteEndpoint => ops::endpoint::delete(desk, input).await,
        Operation::CreateInferenceComponent => ops::inference_component::create(desk, input).await,
        Operation::DescribeInferenceComponent => ops::inference_component::describe(desk, input).await,
        Operation::ListInferenceComponents => ops::listing::list(desk, ResourceKind::InferenceComponent, input).await,
        Operation::UpdateInferenceComponent => ops::inference_component::update(desk, input).await,
        Operation::UpdateInferenceComponentRuntimeConfig => {
            ops::inference_component::update_runtime_config(desk, input).await
        }
        Operation::DeleteInferenceComponent => ops::inference_component::delete(desk, input).await,
        Operation::CreateProcessingJob => ops::processing_job::create(desk, input).await,
        Operation::DescribeProcessingJob => ops::processing_job::describe(desk, input).await,
        Operation::ListProcessingJobs => ops::listing::list(desk, ResourceKind::ProcessingJob, input).await,
        Operation::StopProcessingJob => ops::processing_job::stop(desk, input).await,
        Operation::DeleteProcessingJob => ops::processing_job::delete(desk, input).await,
        Operation::AddTags => ops::tags::add(desk, input).await,
        Operation::ListTags => ops::tags::list(desk, input).await,
        Operation::DeleteTags => ops::tags::delete(desk, input).await,
    }
}

/// The region comes out of a signature that an open server does not check, and goes into ARNs.
fn refuse_unusable_region(region: &str) -> Result<(), Fault> {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !region.is_empty() && region.len() <= REGION_MAX_LENGTH && region.bytes().all(is_word) {
        return Ok(());
    }
    let shown: String = region.chars().take(REGION_MAX_LENGTH).collect();
    Err(Fault::validation(format!("The credential scope names {shown:?}, which is not a region like us-east-1.")))
}

/// What the caller reads, and, where it is our own failure, what the operator reads.
fn fault_of(failure: Failure, target: &str, request_id: &str) -> Fault {
    match failure {
        Failure::Fault(fault) => fault,
        Failure::Catalog(error) => {
            tracing::error!(target, request_id, %error, "an operation failed at the catalog");
            let text = "The catalog could not take the request; the server's log says why. Nothing was changed.";
            Fault::new(FaultCode::ServiceUnavailable, text)
        }
    }
}
