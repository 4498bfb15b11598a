//! Members of the operations on models.

use super::*;

pub(super) static IMAGE: Shape = text(0, 255, &pattern::IMAGE);
pub(super) static MODEL_DATA_URL: Shape = text(0, 1_024, &pattern::MODEL_DATA);
static REPOSITORY_ACCESS_MODE: Shape = Shape::OneOf(&["Platform", "Vpc"]);
static CREDENTIALS_PROVIDER: Shape = text(1, 2_048, &pattern::LINE);
static REPOSITORY_AUTH: Shape =
    Shape::Structure(&[required("RepositoryCredentialsProviderArn", &CREDENTIALS_PROVIDER)]);
static IMAGE_CONFIG: Shape = Shape::Structure(&[
    required("RepositoryAccessMode", &REPOSITORY_ACCESS_MODE),
    optional("RepositoryAuthConfig", &REPOSITORY_AUTH),
]);
static CONTAINER_MODE: Shape = Shape::OneOf(&["SingleModel", "MultiModel"]);
static S3_DATA_TYPE: Shape = Shape::OneOf(&["S3Prefix", "S3Object"]);
static COMPRESSION_TYPE: Shape = Shape::OneOf(&["None", "Gzip"]);
static MODEL_ACCESS: Shape = Shape::Structure(&[required("AcceptEula", &BOOLEAN)]);
static S3_DATA_SOURCE: Shape = Shape::Structure(&[
    required("S3Uri", &MODEL_DATA_URL),
    required("S3DataType", &S3_DATA_TYPE),
    required("CompressionType", &COMPRESSION_TYPE),
    optional("ModelAccessConfig", &MODEL_ACCESS),
    optional("HubAccessConfig", &OPAQUE),
    optional("ManifestS3Uri", &MODEL_DATA_URL),
    optional("ETag", &STRING),
    optional("ManifestEtag", &STRING),
]);
static MODEL_DATA_SOURCE: Shape = Shape::Structure(&[optional("S3DataSource", &S3_DATA_SOURCE)]);
static CHANNEL_NAME: Shape = text(1, 64, &pattern::CHANNEL_NAME);
static ADDITIONAL_DATA: Shape =
    Shape::Structure(&[required("ChannelName", &CHANNEL_NAME), required("S3DataSource", &S3_DATA_SOURCE)]);
static ADDITIONAL_DATA_SOURCES: Shape = Shape::List { member: &ADDITIONAL_DATA, min: 0, max: 5 };
static MODEL_CACHE: Shape = Shape::OneOf(&["Enabled", "Disabled"]);
static MULTI_MODEL: Shape = Shape::Structure(&[optional("ModelCacheSetting", &MODEL_CACHE)]);
static METRICS_PATH: Shape = text(0, 256, &pattern::METRICS_PATH);
static METRICS_PERIOD: Shape = integer(i64::MIN, i64::MAX);
static METRICS_ENDPOINT: Shape = Shape::Structure(&[
    required("MetricsEndpointPath", &METRICS_PATH),
    optional("MetricPublishFrequencyInSeconds", &METRICS_PERIOD),
]);
static METRICS_ENDPOINTS: Shape = Shape::List { member: &METRICS_ENDPOINT, min: 0, max: 1 };
pub(super) static CONTAINER_METRICS: Shape = Shape::Structure(&[optional("MetricsEndpoints", &METRICS_ENDPOINTS)]);
static ENVIRONMENT_KEY: Shape = text(0, 1_024, &pattern::ENVIRONMENT_KEY);
static ENVIRONMENT_VALUE: Shape = text(0, 1_024, &pattern::ANYTHING);
pub(super) static ENVIRONMENT: Shape = Shape::Map { key: &ENVIRONMENT_KEY, value: &ENVIRONMENT_VALUE, max: 100 };
static CONTAINER: Shape = Shape::Structure(&[
    optional("ContainerHostname", &NAME),
    optional("Image", &IMAGE),
    optional("ImageConfig", &IMAGE_CONFIG),
    optional("Mode", &CONTAINER_MODE),
    optional("ModelDataUrl", &MODEL_DATA_URL),
    optional("ModelDataSource", &MODEL_DATA_SOURCE),
    optional("AdditionalModelDataSources", &ADDITIONAL_DATA_SOURCES),
    optional("Environment", &ENVIRONMENT),
    optional("ModelPackageName", &OPAQUE),
    optional("InferenceSpecificationName", &OPAQUE),
    optional("MultiModelConfig", &MULTI_MODEL),
    optional("ContainerMetricsConfig", &CONTAINER_METRICS),
]);
static CONTAINERS: Shape = Shape::List { member: &CONTAINER, min: 0, max: 15 };
static EXECUTION_MODE: Shape = Shape::OneOf(&["Serial", "Direct"]);
static EXECUTION_CONFIG: Shape = Shape::Structure(&[required("Mode", &EXECUTION_MODE)]);

pub(in crate::hosting) static CREATE_MODEL: &[Member] = &[
    required("ModelName", &MODEL_NAME),
    optional("PrimaryContainer", &CONTAINER),
    optional("Containers", &CONTAINERS),
    optional("InferenceExecutionConfig", &EXECUTION_CONFIG),
    optional("ExecutionRoleArn", &ROLE),
    optional("Tags", &TAGS),
    optional("VpcConfig", &VPC),
    optional("EnableNetworkIsolation", &BOOLEAN),
];
pub(in crate::hosting) static MODEL_NAME_ONLY: &[Member] = &[required("ModelName", &MODEL_NAME)];
