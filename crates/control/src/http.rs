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

/// Answers the one request that is not an operation of SageMaker's.
pub(crate) async fn answer_run_monitor(desk: Desk, name: &str) -> Response {
    let request_id = Uuid::new_v4().to_string();
    let run = async {
        refuse_unusable_region(&desk.region)?;
        ops::monitoring_schedule::run_now(&desk, name).await
    };
    match run.await {
        Ok(output) => Reply::output(&output, &request_id),
        Err(failure) => Reply::fault(&fault_of(failure, "RunMonitoringSchedule", &request_id), &request_id),
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
        Operation::CreateJobDefinition(of) => ops::job_definition::create(desk, of, input).await,
        Operation::DescribeJobDefinition(of) => ops::job_definition::describe(desk, of, input).await,
        Operation::ListJobDefinitions(of) => ops::monitoring_lists::job_definitions(desk, of, input).await,
        Operation::DeleteJobDefinition(of) => ops::job_definition::delete(desk, of, input).await,
        Operation::CreateMonitoringSchedule => ops::monitoring_schedule::create(desk, input).await,
        Operation::DescribeMonitoringSchedule => ops::monitoring_schedule::describe(desk, input).await,
        Operation::UpdateMonitoringSchedule => ops::monitoring_schedule::update(desk, input).await,
        Operation::StartMonitoringSchedule => ops::monitoring_schedule::start(desk, input).await,
        Operation::StopMonitoringSchedule => ops::monitoring_schedule::stop(desk, input).await,
        Operation::DeleteMonitoringSchedule => ops::monitoring_schedule::delete(desk, input).await,
        Operation::ListMonitoringSchedules => ops::monitoring_lists::schedules(desk, input).await,
        Operation::ListMonitoringExecutions => ops::monitoring_lists::executions(desk, input).await,
        Operation::ListMonitoringAlerts => ops::monitoring_lists::alerts(desk, input).await,
        Operation::ListMonitoringAlertHistory => ops::monitoring_lists::alert_history(desk, input).await,
        Operation::UpdateMonitoringAlert => ops::monitoring_schedule::update_alert(desk, input).await,
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
