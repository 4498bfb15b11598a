//! The hosting part of SageMaker's control plane: models, endpoint configurations, endpoints and their tags.
//!
//! Invariant: every operation listed here has a schema, and a request that passed [`Operation::check`] can be read into
//! its shape. Shapes hold what the server acts upon; whatever else a request says is kept as JSON by who stores it.

mod endpoint;
mod endpoint_config;
mod listing;
mod model;
mod operation;
mod schema;
mod tags;

pub use endpoint::{
    BlueGreenUpdatePolicy, CreateEndpoint, DataCaptureConfigSummary, DeployedImage, DeploymentConfig,
    DesiredWeightAndCapacity, EndpointDescription, EndpointStatus, EndpointSummary, PendingDeploymentSummary,
    PendingProductionVariantSummary, ProductionVariantSummary, TrafficRoutingConfiguration, UpdateEndpoint,
    UpdateEndpointWeightsAndCapacities, VariantProperty, VariantPropertyType, VariantStatus,
};
pub use endpoint_config::{
    CaptureContentTypeHeader, CaptureMode, CaptureOption, CreateEndpointConfig, DataCaptureConfig, ProductionVariant,
};
pub use listing::{ListRequest, SortBy, SortOrder};
pub use model::{ContainerDefinition, CreateModel, ModelDataSource, S3DataSource};
pub use operation::{Operation, read};
pub use tags::{AddTags, DeleteTags, ListTags, Tag};
