//! Which operations there are, and how a request of each is checked and read.

use captura_names::ResourceKind;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{MonitoringType, schema};
use crate::aws_json::{Fault, FaultCode, TARGET_PREFIX};
use crate::validation::{self, Member};

/// An operation of the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// Names where a model's data lies and what runs it.
    CreateModel,
    /// Tells what a model was created with.
    DescribeModel,
    /// Pages through models.
    ListModels,
    /// Forgets a model.
    DeleteModel,
    /// States variants and data capture.
    CreateEndpointConfig,
    /// Tells what a configuration was created with.
    DescribeEndpointConfig,
    /// Pages through configurations.
    ListEndpointConfigs,
    /// Forgets a configuration.
    DeleteEndpointConfig,
    /// Puts a configuration into service.
    CreateEndpoint,
    /// Tells an endpoint's state.
    DescribeEndpoint,
    /// Pages through endpoints.
    ListEndpoints,
    /// Puts another configuration into service.
    UpdateEndpoint,
    /// Shifts traffic between variants.
    UpdateEndpointWeightsAndCapacities,
    /// Takes an endpoint out of service.
    DeleteEndpoint,
    /// Lets a model share an endpoint.
    CreateInferenceComponent,
    /// Tells an inference component's state.
    DescribeInferenceComponent,
    /// Pages through inference components.
    ListInferenceComponents,
    /// Gives an inference component another model, or other copies.
    UpdateInferenceComponent,
    /// Says how many copies there shall be.
    UpdateInferenceComponentRuntimeConfig,
    /// Takes an inference component out of service.
    DeleteInferenceComponent,
    /// Asks for a processing job.
    CreateProcessingJob,
    /// Tells a processing job's state.
    DescribeProcessingJob,
    /// Pages through processing jobs.
    ListProcessingJobs,
    /// Ends a processing job early.
    StopProcessingJob,
    /// Forgets a processing job that has ended.
    DeleteProcessingJob,
    /// Says what a monitor of that type does.
    CreateJobDefinition(MonitoringType),
    /// Tells what a job definition was created with.
    DescribeJobDefinition(MonitoringType),
    /// Pages through job definitions of that type.
    ListJobDefinitions(MonitoringType),
    /// Forgets a job definition.
    DeleteJobDefinition(MonitoringType),
    /// Has a monitor run again and again.
    CreateMonitoringSchedule,
    /// Tells a schedule's state.
    DescribeMonitoringSchedule,
    /// Has a monitor do something else, or at other times.
    UpdateMonitoringSchedule,
    /// Lets a stopped schedule go on.
    StartMonitoringSchedule,
    /// Holds a schedule.
    StopMonitoringSchedule,
    /// Ends a schedule; what it did stays told.
    DeleteMonitoringSchedule,
    /// Pages through schedules.
    ListMonitoringSchedules,
    /// Pages through what schedules did.
    ListMonitoringExecutions,
    /// Pages through the alerts of a schedule.
    ListMonitoringAlerts,
    /// Pages through what became of alerts.
    ListMonitoringAlertHistory,
    /// Says what raises an alert.
    UpdateMonitoringAlert,
    /// Adds tags to a resource.
    AddTags,
    /// Tells the tags of a resource.
    ListTags,
    /// Takes tags off a resource.
    DeleteTags,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 55] = [
        Self::CreateModel,
        Self::DescribeModel,
        Self::ListModels,
        Self::DeleteModel,
        Self::CreateEndpointConfig,
        Self::DescribeEndpointConfig,
        Self::ListEndpointConfigs,
        Self::DeleteEndpointConfig,
        Self::CreateEndpoint,
        Self::DescribeEndpoint,
        Self::ListEndpoints,
        Self::UpdateEndpoint,
        Self::UpdateEndpointWeightsAndCapacities,
        Self::DeleteEndpoint,
        Self::CreateInferenceComponent,
        Self::DescribeInferenceComponent,
        Self::ListInferenceComponents,
        Self::UpdateInferenceComponent,
        Self::UpdateInferenceComponentRuntimeConfig,
        Self::DeleteInferenceComponent,
        Self::CreateProcessingJob,
        Self::DescribeProcessingJob,
        Self::ListProcessingJobs,
        Self::StopProcessingJob,
        Self::DeleteProcessingJob,
        Self::CreateJobDefinition(MonitoringType::DataQuality),
        Self::DescribeJobDefinition(MonitoringType::DataQuality),
        Self::ListJobDefinitions(MonitoringType::DataQuality),
        Self::DeleteJobDefinition(MonitoringType::DataQuality),
        Self::CreateJobDefinition(MonitoringType::ModelQuality),
        Self::DescribeJobDefinition(MonitoringType::ModelQuality),
        Self::ListJobDefinitions(MonitoringType::ModelQuality),
        Self::DeleteJobDefinition(MonitoringType::ModelQuality),
        Self::CreateJobDefinition(MonitoringType::ModelBias),
        Self::DescribeJobDefinition(MonitoringType::ModelBias),
        Self::ListJobDefinitions(MonitoringType::ModelBias),
        Self::DeleteJobDefinition(MonitoringType::ModelBias),
        Self::CreateJobDefinition(MonitoringType::ModelExplainability),
        Self::DescribeJobDefinition(MonitoringType::ModelExplainability),
        Self::ListJobDefinitions(MonitoringType::ModelExplainability),
        Self::DeleteJobDefinition(MonitoringType::ModelExplainability),
        Self::CreateMonitoringSchedule,
        Self::DescribeMonitoringSchedule,
        Self::UpdateMonitoringSchedule,
        Self::StartMonitoringSchedule,
        Self::StopMonitoringSchedule,
        Self::DeleteMonitoringSchedule,
        Self::ListMonitoringSchedules,
        Self::ListMonitoringExecutions,
        Self::ListMonitoringAlerts,
        Self::ListMonitoringAlertHistory,
        Self::UpdateMonitoringAlert,
        Self::AddTags,
        Self::ListTags,
        Self::DeleteTags,
    ];

    /// The operation that a target header names.
    ///
    /// # Errors
    /// `UnknownOperationException`.
    pub fn from_target(target: &str) -> Result<Self, Fault> {
        let name = target.strip_prefix(TARGET_PREFIX);
        Self::ALL
            .into_iter()
            .find(|operation| Some(operation.name()) == name)
            .ok_or_else(|| Fault::unknown_operation(target))
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CreateModel => "CreateModel",
            Self::DescribeModel => "DescribeModel",
            Self::ListModels => "ListModels",
            Self::DeleteModel => "DeleteModel",
            Self::CreateEndpointConfig => "CreateEndpointConfig",
            Self::DescribeEndpointConfig => "DescribeEndpointConfig",
            Self::ListEndpointConfigs => "ListEndpointConfigs",
            Self::DeleteEndpointConfig => "DeleteEndpointConfig",
            Self::CreateEndpoint => "CreateEndpoint",
            Self::DescribeEndpoint => "DescribeEndpoint",
            Self::ListEndpoints => "ListEndpoints",
            Self::UpdateEndpoint => "UpdateEndpoint",
            Self::UpdateEndpointWeightsAndCapacities => "UpdateEndpointWeightsAndCapacities",
            Self::DeleteEndpoint => "DeleteEndpoint",
            Self::CreateInferenceComponent => "CreateInferenceComponent",
            Self::DescribeInferenceComponent => "DescribeInferenceComponent",
            Self::ListInferenceComponents => "ListInferenceComponents",
            Self::UpdateInferenceComponent => "UpdateInferenceComponent",
            Self::UpdateInferenceComponentRuntimeConfig => "UpdateInferenceComponentRuntimeConfig",
            Self::DeleteInferenceComponent => "DeleteInferenceComponent",
            Self::CreateProcessingJob => "CreateProcessingJob",
            Self::DescribeProcessingJob => "DescribeProcessingJob",
            Self::ListProcessingJobs => "ListProcessingJobs",
            Self::StopProcessingJob => "StopProcessingJob",
            Self::DeleteProcessingJob => "DeleteProcessingJob",
            Self::CreateJobDefinition(of) => of.operations()[0],
            Self::DescribeJobDefinition(of) => of.operations()[1],
            Self::ListJobDefinitions(of) => of.operations()[2],
            Self::DeleteJobDefinition(of) => of.operations()[3],
            Self::CreateMonitoringSchedule => "CreateMonitoringSchedule",
            Self::DescribeMonitoringSchedule => "DescribeMonitoringSchedule",
            Self::UpdateMonitoringSchedule => "UpdateMonitoringSchedule",
            Self::StartMonitoringSchedule => "StartMonitoringSchedule",
            Self::StopMonitoringSchedule => "StopMonitoringSchedule",
            Self::DeleteMonitoringSchedule => "DeleteMonitoringSchedule",
            Self::ListMonitoringSchedules => "ListMonitoringSchedules",
            Self::ListMonitoringExecutions => "ListMonitoringExecutions",
            Self::ListMonitoringAlerts => "ListMonitoringAlerts",
            Self::ListMonitoringAlertHistory => "ListMonitoringAlertHistory",
            Self::UpdateMonitoringAlert => "UpdateMonitoringAlert",
            Self::AddTags => "AddTags",
            Self::ListTags => "ListTags",
            Self::DeleteTags => "DeleteTags",
        }
    }

    /// Checks a request, as [`crate::aws_json::read_input`] returns it.
    ///
    /// # Errors
    /// As [`validation::check`].
    pub fn check(self, input: &Map<String, Value>) -> Result<(), Fault> {
        validation::check(input, self.members())
    }

    /// What a request may hold.
    #[must_use]
    pub fn members(self) -> &'static [Member] {
        match self {
            Self::CreateModel => schema::CREATE_MODEL,
            Self::DescribeModel | Self::DeleteModel => schema::MODEL_NAME_ONLY,
            Self::ListModels | Self::ListEndpointConfigs => schema::LIST,
            Self::CreateEndpointConfig => schema::CREATE_ENDPOINT_CONFIG,
            Self::DescribeEndpointConfig | Self::DeleteEndpointConfig => schema::ENDPOINT_CONFIG_NAME_ONLY,
            Self::CreateEndpoint => schema::CREATE_ENDPOINT,
            Self::DescribeEndpoint | Self::DeleteEndpoint => schema::ENDPOINT_NAME_ONLY,
            Self::ListEndpoints => schema::LIST_ENDPOINTS,
            Self::UpdateEndpoint => schema::UPDATE_ENDPOINT,
            Self::UpdateEndpointWeightsAndCapacities => schema::UPDATE_WEIGHTS,
            Self::CreateInferenceComponent => schema::CREATE_INFERENCE_COMPONENT,
            Self::ListInferenceComponents => schema::LIST_INFERENCE_COMPONENTS,
            Self::UpdateInferenceComponent => schema::UPDATE_INFERENCE_COMPONENT,
            Self::UpdateInferenceComponentRuntimeConfig => schema::UPDATE_RUNTIME_CONFIG,
            Self::DescribeInferenceComponent | Self::DeleteInferenceComponent => schema::INFERENCE_COMPONENT_NAME_ONLY,
            Self::CreateProcessingJob => schema::CREATE_PROCESSING_JOB,
            Self::ListProcessingJobs => schema::LIST_PROCESSING_JOBS,
            Self::DescribeProcessingJob | Self::StopProcessingJob | Self::DeleteProcessingJob => {
                schema::PROCESSING_JOB_NAME_ONLY
            }
            Self::CreateJobDefinition(MonitoringType::DataQuality) => schema::CREATE_DATA_QUALITY,
            Self::CreateJobDefinition(MonitoringType::ModelQuality) => schema::CREATE_MODEL_QUALITY,
            Self::CreateJobDefinition(MonitoringType::ModelBias) => schema::CREATE_MODEL_BIAS,
            Self::CreateJobDefinition(MonitoringType::ModelExplainability) => schema::CREATE_MODEL_EXPLAINABILITY,
            Self::DescribeJobDefinition(_) | Self::DeleteJobDefinition(_) => schema::JOB_DEFINITION_NAME_ONLY,
            Self::ListJobDefinitions(_) => schema::LIST_JOB_DEFINITIONS,
            Self::CreateMonitoringSchedule => schema::CREATE_SCHEDULE,
            Self::UpdateMonitoringSchedule => schema::UPDATE_SCHEDULE,
            Self::DescribeMonitoringSchedule
            | Self::StartMonitoringSchedule
            | Self::StopMonitoringSchedule
            | Self::DeleteMonitoringSchedule => schema::SCHEDULE_NAME_ONLY,
            Self::ListMonitoringSchedules => schema::LIST_SCHEDULES,
            Self::ListMonitoringExecutions => schema::LIST_EXECUTIONS,
            Self::ListMonitoringAlerts => schema::LIST_ALERTS,
            Self::ListMonitoringAlertHistory => schema::LIST_ALERT_HISTORY,
            Self::UpdateMonitoringAlert => schema::UPDATE_ALERT,
            Self::AddTags => schema::ADD_TAGS,
            Self::ListTags => schema::LIST_TAGS,
            Self::DeleteTags => schema::DELETE_TAGS,
        }
    }

    /// The kind of resource that the operation is about; tags are about any.
    #[must_use]
    pub fn kind(self) -> Option<ResourceKind> {
        match self {
            Self::CreateModel | Self::DescribeModel | Self::ListModels | Self::DeleteModel => Some(ResourceKind::Model),
            Self::CreateEndpointConfig
            | Self::DescribeEndpointConfig
            | Self::ListEndpointConfigs
            | Self::DeleteEndpointConfig => Some(ResourceKind::EndpointConfig),
            Self::CreateEndpoint
            | Self::DescribeEndpoint
            | Self::ListEndpoints
            | Self::UpdateEndpoint
            | Self::UpdateEndpointWeightsAndCapacities
            | Self::DeleteEndpoint => Some(ResourceKind::Endpoint),
            Self::CreateInferenceComponent
            | Self::DescribeInferenceComponent
            | Self::ListInferenceComponents
            | Self::UpdateInferenceComponent
            | Self::UpdateInferenceComponentRuntimeConfig
            | Self::DeleteInferenceComponent => Some(ResourceKind::InferenceComponent),
            Self::CreateProcessingJob
            | Self::DescribeProcessingJob
            | Self::ListProcessingJobs
            | Self::StopProcessingJob
            | Self::DeleteProcessingJob => Some(ResourceKind::ProcessingJob),
            Self::CreateJobDefinition(of)
            | Self::DescribeJobDefinition(of)
            | Self::ListJobDefinitions(of)
            | Self::DeleteJobDefinition(of) => Some(of.kind()),
            Self::CreateMonitoringSchedule
            | Self::DescribeMonitoringSchedule
            | Self::UpdateMonitoringSchedule
            | Self::StartMonitoringSchedule
            | Self::StopMonitoringSchedule
            | Self::DeleteMonitoringSchedule
            | Self::ListMonitoringSchedules
            | Self::ListMonitoringExecutions
            | Self::ListMonitoringAlerts
            | Self::ListMonitoringAlertHistory
            | Self::UpdateMonitoringAlert => Some(ResourceKind::MonitoringSchedule),
            Self::AddTags | Self::ListTags | Self::DeleteTags => None,
        }
    }
}

/// Reads a checked request into its shape.
///
/// # Errors
/// `SerializationException`, when the schema let something through that the shape does not hold.
pub fn read<T: DeserializeOwned>(input: &Map<String, Value>) -> Result<T, Fault> {
    T::deserialize(Value::Object(input.clone()))
        .map_err(|error| Fault::new(FaultCode::SerializationException, format!("The request cannot be read: {error}.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_name_operations_and_nothing_else_does() {
        for operation in Operation::ALL {
            assert_eq!(Operation::from_target(&format!("SageMaker.{}", operation.name())), Ok(operation));
        }
        for bad in [
            "",
            "SageMaker.",
            "CreateModel",
            "SageMaker.createmodel",
            "Logs.CreateModel",
            "SageMaker.CreateTrainingJob",
        ] {
            assert_eq!(Operation::from_target(bad).unwrap_err().code, FaultCode::UnknownOperationException, "{bad}");
        }
    }

    /// The list was written out from the service model that botocore carries, so it is not this room's own opinion.
    #[test]
    fn the_schemas_say_what_the_service_model_says() {
        let mut lines = Vec::new();
        for operation in Operation::ALL {
            let before = lines.len();
            for member in operation.members() {
                let required = if member.required { "*" } else { "" };
                member.shape.describe(&format!("{}.{}{required}", operation.name(), member.name), &mut lines);
            }
            assert!(lines.len() > before, "{} has no schema", operation.name());
        }
        lines.sort();
        let mut expected: Vec<&str> = include_str!("constraints.txt").lines().filter(|l| !l.starts_with('#')).collect();
        expected.sort_unstable();
        let missing: Vec<_> = expected.iter().filter(|line| !lines.iter().any(|have| have == *line)).collect();
        let extra: Vec<_> = lines.iter().filter(|line| !expected.contains(&line.as_str())).collect();
        assert!(missing.is_empty() && extra.is_empty(), "missing: {missing:#?}\nextra: {extra:#?}");
    }
    #[test]
    fn no_member_names_a_file_of_the_server() {
        // Paths inside a container or below a job's own folder, and addresses in buckets.
        // Paths inside a container, and addresses in buckets.
        let harmless = ["MetricsEndpointPath", "S3OutputPath", "S3FailurePath", "LocalPath"];
        let of_files = ["path", "file", "folder", "directory", "socket", "mount"];
        let lines = include_str!("constraints.txt").lines().filter(|line| !line.starts_with('#'));
        for path in lines.filter_map(|line| line.split(' ').next()) {
            for name in path.split('.').map(|name| name.trim_end_matches(['*', '[', ']'])) {
                let lower = name.to_ascii_lowercase();
                assert!(harmless.contains(&name) || !of_files.iter().any(|word| lower.contains(word)), "{path}");
            }
        }
    }
}
