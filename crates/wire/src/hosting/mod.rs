//! The hosting part of SageMaker's control plane: models, endpoint configurations, endpoints and their tags.
//!
//! Invariant: every operation listed here has a schema, and a request that passed [`Operation::check`] can be read into
//! its shape. Shapes hold what the server acts upon; whatever else a request says is kept as JSON by who stores it.

mod deployment_config;
mod endpoint;
mod endpoint_config;
mod endpoint_description;
mod inference_component;
mod listing;
mod model;
mod monitoring;
mod operation;
mod processing_job;
mod schema;
mod tags;

pub use deployment_config::{
    Alarm, AutoRollbackConfig, BlueGreenUpdatePolicy, CapacitySize, CapacitySizeType, DeploymentConfig,
    RollingUpdatePolicy, TrafficRoutingConfig, TrafficRoutingConfigType,
};
pub use endpoint::{
    CreateEndpoint, DesiredWeightAndCapacity, EndpointStatus, EndpointSummary, ServerlessUpdateConfig, UpdateEndpoint,
    UpdateEndpointWeightsAndCapacities, VariantProperty, VariantPropertyType,
};
pub use endpoint_config::{
    AsyncInferenceClientConfig, AsyncInferenceConfig, AsyncInferenceNotificationConfig, AsyncInferenceOutputConfig,
    CaptureContentTypeHeader, CaptureMode, CaptureOption, CreateEndpointConfig, DataCaptureConfig,
    ManagedInstanceScaling, ProductionVariant, ServerlessConfig,
};
pub use endpoint_description::{
    DataCaptureConfigSummary, DeployedImage, EndpointDescription, PendingDeploymentSummary,
    PendingProductionVariantSummary, ProductionVariantSummary, VariantStatus,
};
pub use inference_component::{
    CreateInferenceComponent, InferenceComponentContainer, InferenceComponentRuntimeConfig,
    InferenceComponentSpecification, StartupParameters, UpdateInferenceComponent,
    UpdateInferenceComponentRuntimeConfig,
};
pub use listing::{ListRequest, SortBy, SortOrder};
pub use model::{
    AdditionalModelDataSource, CompressionType, ContainerDefinition, ContainerMode, CreateModel,
    InferenceExecutionConfig, InferenceExecutionMode, ModelCacheSetting, ModelDataSource, MultiModelConfig,
    S3DataSource, S3DataType,
};
pub use monitoring::{
    BaselineConfig, BatchTransformInput, EndpointInput, JobInput, MonitoringAppSpecification, MonitoringJob,
    MonitoringListRequest, MonitoringOutput, MonitoringS3Output, MonitoringScheduleConfig, MonitoringSortBy,
    MonitoringStoppingCondition, MonitoringType, OutputConfig, Reading, S3Resource, ScheduleConfig, ScheduleRequest,
    UpdateMonitoringAlert,
};
pub use operation::{Operation, read};
pub use processing_job::{
    AppSpecification, CreateProcessingJob, DataDistribution, InputCompression, InputDataType, InputMode,
    ProcessingClusterConfig, ProcessingInput, ProcessingJobStatus, ProcessingOutput, ProcessingOutputConfig,
    ProcessingResources, ProcessingS3Input, ProcessingS3Output, StoppingCondition, UploadMode,
};
pub use tags::{AddTags, DeleteTags, ListTags, Tag};
