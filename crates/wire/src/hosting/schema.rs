//! The constraints of every request member, as SageMaker's service model states them.
//!
//! Parts that the server refuses as a whole (serverless, asynchronous, explainers, shadow variants, pools) are opaque:
//! their inside does not matter. Instance types are any text, because here they name nothing that could be wrong.

use crate::validation::{Member, Shape, UNLIMITED, pattern, pattern::Pattern};

const fn required(name: &'static str, shape: &'static Shape) -> Member {
    Member { name, required: true, shape }
}

const fn optional(name: &'static str, shape: &'static Shape) -> Member {
    Member { name, required: false, shape }
}

const fn text(min: usize, max: usize, pattern: &'static Pattern) -> Shape {
    Shape::Text { min, max, pattern: Some(pattern) }
}

const fn integer(min: i64, max: i64) -> Shape {
    Shape::Integer { min, max }
}

static BOOLEAN: Shape = Shape::Boolean;
static OPAQUE: Shape = Shape::Opaque;
static TIMESTAMP: Shape = Shape::Timestamp;
static STRING: Shape = Shape::Text { min: 0, max: UNLIMITED, pattern: None };

static NAME: Shape = text(0, 63, &pattern::NAME);
static MODEL_NAME: Shape = text(0, 63, &pattern::MODEL_NAME);
static KMS_KEY: Shape = text(0, 2_048, &pattern::KMS_KEY);
static ROLE: Shape = text(20, 2_048, &pattern::ROLE);
static RESOURCE_ARN: Shape = text(0, 256, &pattern::RESOURCE_ARN);

static TAG_KEY: Shape = text(1, 128, &pattern::TAG);
static TAG_VALUE: Shape = text(0, 256, &pattern::TAG);
static TAG: Shape = Shape::Structure(&[required("Key", &TAG_KEY), required("Value", &TAG_VALUE)]);
static TAGS: Shape = Shape::List { member: &TAG, min: 0, max: 50 };
static TAG_KEYS: Shape = Shape::List { member: &TAG_KEY, min: 1, max: 50 };

static VPC_ID: Shape = text(0, 32, &pattern::VPC_ID);
static SECURITY_GROUPS: Shape = Shape::List { member: &VPC_ID, min: 1, max: 5 };
static SUBNETS: Shape = Shape::List { member: &VPC_ID, min: 1, max: 16 };
static VPC: Shape = Shape::Structure(&[required("SecurityGroupIds", &SECURITY_GROUPS), required("Subnets", &SUBNETS)]);

// Models.

static IMAGE: Shape = text(0, 255, &pattern::IMAGE);
static MODEL_DATA_URL: Shape = text(0, 1_024, &pattern::MODEL_DATA);
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
static ENVIRONMENT_KEY: Shape = text(0, 1_024, &pattern::ENVIRONMENT_KEY);
static ENVIRONMENT_VALUE: Shape = text(0, 1_024, &pattern::ANYTHING);
static ENVIRONMENT: Shape = Shape::Map { key: &ENVIRONMENT_KEY, value: &ENVIRONMENT_VALUE, max: 100 };
static CONTAINER: Shape = Shape::Structure(&[
    optional("ContainerHostname", &NAME),
    optional("Image", &IMAGE),
    optional("ImageConfig", &IMAGE_CONFIG),
    optional("Mode", &CONTAINER_MODE),
    optional("ModelDataUrl", &MODEL_DATA_URL),
    optional("ModelDataSource", &MODEL_DATA_SOURCE),
    optional("AdditionalModelDataSources", &OPAQUE),
    optional("Environment", &ENVIRONMENT),
    optional("ModelPackageName", &OPAQUE),
    optional("InferenceSpecificationName", &OPAQUE),
    optional("MultiModelConfig", &OPAQUE),
]);
static CONTAINERS: Shape = Shape::List { member: &CONTAINER, min: 0, max: 15 };
static EXECUTION_MODE: Shape = Shape::OneOf(&["Serial", "Direct"]);
static EXECUTION_CONFIG: Shape = Shape::Structure(&[required("Mode", &EXECUTION_MODE)]);

pub(super) static CREATE_MODEL: &[Member] = &[
    required("ModelName", &MODEL_NAME),
    optional("PrimaryContainer", &CONTAINER),
    optional("Containers", &CONTAINERS),
    optional("InferenceExecutionConfig", &EXECUTION_CONFIG),
    optional("ExecutionRoleArn", &ROLE),
    optional("Tags", &TAGS),
    optional("VpcConfig", &VPC),
    optional("EnableNetworkIsolation", &BOOLEAN),
];
pub(super) static MODEL_NAME_ONLY: &[Member] = &[required("ModelName", &MODEL_NAME)];

// Endpoint configurations.

static INSTANCE_COUNT: Shape = integer(1, i64::MAX);
static WEIGHT: Shape = Shape::Float { min: 0.0 };
static VOLUME_SIZE: Shape = integer(1, 512);
static START_TIMEOUT: Shape = integer(60, 3_600);
static PROVISION_TIMEOUT: Shape = integer(300, 3_600);
static ACCELERATOR_TYPE: Shape = Shape::OneOf(&[
    "ml.eia1.medium",
    "ml.eia1.large",
    "ml.eia1.xlarge",
    "ml.eia2.medium",
    "ml.eia2.large",
    "ml.eia2.xlarge",
]);
static ROUTING_STRATEGY: Shape = Shape::OneOf(&["LEAST_OUTSTANDING_REQUESTS", "RANDOM", "PREFIX_AWARE", "KV_AWARE"]);
static ROUTING: Shape = Shape::Structure(&[required("RoutingStrategy", &ROUTING_STRATEGY)]);
static SCALING_STATUS: Shape = Shape::OneOf(&["ENABLED", "DISABLED"]);
static SCALING_MIN: Shape = integer(0, i64::MAX);
static SCALE_IN_STRATEGY: Shape = Shape::OneOf(&["IDLE_RELEASE", "CONSOLIDATION"]);
static SCALE_IN_STEP: Shape = integer(1, 100);
static SCALE_IN_COOLDOWN: Shape = integer(5, 1_440);
static SCALE_IN: Shape = Shape::Structure(&[
    required("Strategy", &SCALE_IN_STRATEGY),
    optional("MaximumStepSize", &SCALE_IN_STEP),
    optional("CooldownInMinutes", &SCALE_IN_COOLDOWN),
]);
static SCALING: Shape = Shape::Structure(&[
    optional("Status", &SCALING_STATUS),
    optional("MinInstanceCount", &SCALING_MIN),
    optional("MaxInstanceCount", &INSTANCE_COUNT),
    optional("ScaleInPolicy", &SCALE_IN),
]);
static VARIANT: Shape = Shape::Structure(&[
    required("VariantName", &NAME),
    optional("ModelName", &MODEL_NAME),
    optional("InitialInstanceCount", &INSTANCE_COUNT),
    optional("InstanceType", &STRING),
    optional("InstancePools", &OPAQUE),
    optional("VariantInstanceProvisionTimeoutInSeconds", &PROVISION_TIMEOUT),
    optional("InitialVariantWeight", &WEIGHT),
    optional("AcceleratorType", &ACCELERATOR_TYPE),
    optional("CoreDumpConfig", &OPAQUE),
    optional("ServerlessConfig", &OPAQUE),
    optional("VolumeSizeInGB", &VOLUME_SIZE),
    optional("ModelDataDownloadTimeoutInSeconds", &START_TIMEOUT),
    optional("ContainerStartupHealthCheckTimeoutInSeconds", &START_TIMEOUT),
    optional("EnableSSMAccess", &BOOLEAN),
    optional("ManagedInstanceScaling", &SCALING),
    optional("RoutingConfig", &ROUTING),
    optional("InferenceAmiVersion", &STRING),
    optional("CapacityReservationConfig", &OPAQUE),
]);
static VARIANTS: Shape = Shape::List { member: &VARIANT, min: 1, max: 10 };

static SAMPLING: Shape = integer(0, 100);
static DESTINATION: Shape = text(0, 512, &pattern::DESTINATION);
static CAPTURE_MODE: Shape = Shape::OneOf(&["Input", "Output", "InputAndOutput"]);
static CAPTURE_OPTION: Shape = Shape::Structure(&[required("CaptureMode", &CAPTURE_MODE)]);
static CAPTURE_OPTIONS: Shape = Shape::List { member: &CAPTURE_OPTION, min: 1, max: 32 };
static MEDIA_TYPE: Shape = text(1, 256, &pattern::MEDIA_TYPE);
static MEDIA_TYPES: Shape = Shape::List { member: &MEDIA_TYPE, min: 1, max: 10 };
static CAPTURE_CONTENT_TYPES: Shape =
    Shape::Structure(&[optional("CsvContentTypes", &MEDIA_TYPES), optional("JsonContentTypes", &MEDIA_TYPES)]);
static DATA_CAPTURE: Shape = Shape::Structure(&[
    optional("EnableCapture", &BOOLEAN),
    required("InitialSamplingPercentage", &SAMPLING),
    required("DestinationS3Uri", &DESTINATION),
    optional("KmsKeyId", &KMS_KEY),
    required("CaptureOptions", &CAPTURE_OPTIONS),
    optional("CaptureContentTypeHeader", &CAPTURE_CONTENT_TYPES),
]);
static ANY_INTEGER: Shape = integer(i64::MIN, i64::MAX);
static METRICS: Shape = Shape::Structure(&[
    optional("EnableEnhancedMetrics", &BOOLEAN),
    optional("MetricPublishFrequencyInSeconds", &ANY_INTEGER),
]);

pub(super) static CREATE_ENDPOINT_CONFIG: &[Member] = &[
    required("EndpointConfigName", &NAME),
    required("ProductionVariants", &VARIANTS),
    optional("DataCaptureConfig", &DATA_CAPTURE),
    optional("Tags", &TAGS),
    optional("KmsKeyId", &KMS_KEY),
    optional("AsyncInferenceConfig", &OPAQUE),
    optional("ExplainerConfig", &OPAQUE),
    optional("ShadowProductionVariants", &OPAQUE),
    optional("ExecutionRoleArn", &ROLE),
    optional("VpcConfig", &VPC),
    optional("EnableNetworkIsolation", &BOOLEAN),
    optional("MetricsConfig", &METRICS),
];
pub(super) static ENDPOINT_CONFIG_NAME_ONLY: &[Member] = &[required("EndpointConfigName", &NAME)];

// Endpoints.

static ROUTING_TYPE: Shape = Shape::OneOf(&["ALL_AT_ONCE", "CANARY", "LINEAR"]);
static WAIT: Shape = integer(0, 3_600);
static EXECUTION_TIMEOUT: Shape = integer(600, 28_800);
static CAPACITY_TYPE: Shape = Shape::OneOf(&["INSTANCE_COUNT", "CAPACITY_PERCENT"]);
static CAPACITY: Shape = Shape::Structure(&[required("Type", &CAPACITY_TYPE), required("Value", &INSTANCE_COUNT)]);
static TRAFFIC_ROUTING: Shape = Shape::Structure(&[
    required("Type", &ROUTING_TYPE),
    required("WaitIntervalInSeconds", &WAIT),
    optional("CanarySize", &CAPACITY),
    optional("LinearStepSize", &CAPACITY),
]);
static BLUE_GREEN: Shape = Shape::Structure(&[
    required("TrafficRoutingConfiguration", &TRAFFIC_ROUTING),
    optional("TerminationWaitInSeconds", &WAIT),
    optional("MaximumExecutionTimeoutInSeconds", &EXECUTION_TIMEOUT),
]);
static ROLLING: Shape = Shape::Structure(&[
    required("MaximumBatchSize", &CAPACITY),
    required("WaitIntervalInSeconds", &WAIT),
    optional("MaximumExecutionTimeoutInSeconds", &EXECUTION_TIMEOUT),
    optional("RollbackMaximumBatchSize", &CAPACITY),
]);
static ALARM_NAME: Shape = text(1, 255, &pattern::ALARM_NAME);
static ALARM: Shape = Shape::Structure(&[optional("AlarmName", &ALARM_NAME)]);
static ALARMS: Shape = Shape::List { member: &ALARM, min: 1, max: 10 };
static AUTO_ROLLBACK: Shape = Shape::Structure(&[optional("Alarms", &ALARMS)]);
static DEPLOYMENT: Shape = Shape::Structure(&[
    optional("BlueGreenUpdatePolicy", &BLUE_GREEN),
    optional("RollingUpdatePolicy", &ROLLING),
    optional("AutoRollbackConfiguration", &AUTO_ROLLBACK),
]);
static VARIANT_PROPERTY_TYPE: Shape = Shape::OneOf(&["DesiredInstanceCount", "DesiredWeight", "DataCaptureConfig"]);
static VARIANT_PROPERTY: Shape = Shape::Structure(&[required("VariantPropertyType", &VARIANT_PROPERTY_TYPE)]);
static VARIANT_PROPERTIES: Shape = Shape::List { member: &VARIANT_PROPERTY, min: 0, max: 3 };
static DESIRED_COUNT: Shape = integer(0, i64::MAX);
static DESIRED: Shape = Shape::Structure(&[
    required("VariantName", &NAME),
    optional("DesiredWeight", &WEIGHT),
    optional("DesiredInstanceCount", &DESIRED_COUNT),
    optional("ServerlessUpdateConfig", &OPAQUE),
]);
static DESIRED_LIST: Shape = Shape::List { member: &DESIRED, min: 1, max: UNLIMITED };

pub(super) static CREATE_ENDPOINT: &[Member] = &[
    required("EndpointName", &NAME),
    required("EndpointConfigName", &NAME),
    optional("DeploymentConfig", &DEPLOYMENT),
    optional("Tags", &TAGS),
];
pub(super) static UPDATE_ENDPOINT: &[Member] = &[
    required("EndpointName", &NAME),
    required("EndpointConfigName", &NAME),
    optional("RetainAllVariantProperties", &BOOLEAN),
    optional("ExcludeRetainedVariantProperties", &VARIANT_PROPERTIES),
    optional("DeploymentConfig", &DEPLOYMENT),
    optional("RetainDeploymentConfig", &BOOLEAN),
];
pub(super) static UPDATE_WEIGHTS: &[Member] =
    &[required("EndpointName", &NAME), required("DesiredWeightsAndCapacities", &DESIRED_LIST)];
pub(super) static ENDPOINT_NAME_ONLY: &[Member] = &[required("EndpointName", &NAME)];

// Lists.

static SORT_BY: Shape = Shape::OneOf(&["Name", "CreationTime"]);
static ENDPOINT_SORT_BY: Shape = Shape::OneOf(&["Name", "CreationTime", "Status"]);
static SORT_ORDER: Shape = Shape::OneOf(&["Ascending", "Descending"]);
static NEXT_TOKEN: Shape = text(0, 8_192, &pattern::LINE);
static MAX_RESULTS: Shape = integer(1, 100);
static NAME_CONTAINS: Shape = text(0, 63, &pattern::NAME_PART);
static ENDPOINT_STATUS: Shape = Shape::OneOf(&[
    "OutOfService",
    "Creating",
    "Updating",
    "SystemUpdating",
    "RollingBack",
    "InService",
    "Deleting",
    "Failed",
    "UpdateRollbackFailed",
]);

pub(super) static LIST: &[Member] = &[
    optional("SortBy", &SORT_BY),
    optional("SortOrder", &SORT_ORDER),
    optional("NextToken", &NEXT_TOKEN),
    optional("MaxResults", &MAX_RESULTS),
    optional("NameContains", &NAME_CONTAINS),
    optional("CreationTimeBefore", &TIMESTAMP),
    optional("CreationTimeAfter", &TIMESTAMP),
];
pub(super) static LIST_ENDPOINTS: &[Member] = &[
    optional("SortBy", &ENDPOINT_SORT_BY),
    optional("SortOrder", &SORT_ORDER),
    optional("NextToken", &NEXT_TOKEN),
    optional("MaxResults", &MAX_RESULTS),
    optional("NameContains", &NAME_CONTAINS),
    optional("CreationTimeBefore", &TIMESTAMP),
    optional("CreationTimeAfter", &TIMESTAMP),
    optional("LastModifiedTimeBefore", &TIMESTAMP),
    optional("LastModifiedTimeAfter", &TIMESTAMP),
    optional("StatusEquals", &ENDPOINT_STATUS),
];

// Tags.

static LIST_TAGS_MAX: Shape = integer(50, i64::MAX);

pub(super) static ADD_TAGS: &[Member] = &[required("ResourceArn", &RESOURCE_ARN), required("Tags", &TAGS)];
pub(super) static LIST_TAGS: &[Member] = &[
    required("ResourceArn", &RESOURCE_ARN),
    optional("NextToken", &NEXT_TOKEN),
    optional("MaxResults", &LIST_TAGS_MAX),
];
pub(super) static DELETE_TAGS: &[Member] = &[required("ResourceArn", &RESOURCE_ARN), required("TagKeys", &TAG_KEYS)];
