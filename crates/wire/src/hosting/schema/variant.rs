//! Members of a variant.

use super::*;

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
static PREFIX_LENGTH: Shape = integer(1_024, 65_536);
static CONCURRENCY_THRESHOLD: Shape = integer(1, 1_024);
static PREFIX_AWARE: Shape = Shape::Structure(&[
    optional("PrefixLength", &PREFIX_LENGTH),
    optional("ConcurrencyThreshold", &CONCURRENCY_THRESHOLD),
]);
static ROUTING: Shape = Shape::Structure(&[
    required("RoutingStrategy", &ROUTING_STRATEGY),
    optional("PrefixAwareRoutingConfig", &PREFIX_AWARE),
]);
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
static POOL_PRIORITY: Shape = integer(1, 5);
static POOL: Shape = Shape::Structure(&[
    required("InstanceType", &STRING),
    optional("ModelNameOverride", &MODEL_NAME),
    required("Priority", &POOL_PRIORITY),
]);
static POOLS: Shape = Shape::List { member: &POOL, min: 1, max: 5 };
static CORE_DUMPS: Shape =
    Shape::Structure(&[required("DestinationS3Uri", &DESTINATION), optional("KmsKeyId", &KMS_KEY)]);
static MEMORY_SIZE: Shape = integer(1_024, 6_144);
pub(super) static CONCURRENCY: Shape = integer(1, 200);
static SERVERLESS: Shape = Shape::Structure(&[
    required("MemorySizeInMB", &MEMORY_SIZE),
    required("MaxConcurrency", &CONCURRENCY),
    optional("ProvisionedConcurrency", &CONCURRENCY),
]);
static RESERVATION_PREFERENCE: Shape = Shape::OneOf(&["capacity-reservations-only"]);
static RESERVATION_ARN: Shape = text(20, 258, &pattern::RESERVATION_ARN);
static RESERVATION: Shape = Shape::Structure(&[
    optional("CapacityReservationPreference", &RESERVATION_PREFERENCE),
    optional("MlReservationArn", &RESERVATION_ARN),
]);
static PARTITION_TYPE: Shape = text(0, 32, &pattern::PARTITION);
static PARTITION_TYPES: Shape = Shape::List { member: &PARTITION_TYPE, min: 0, max: 32 };
static PARTITION_LAYOUT: Shape = Shape::Structure(&[optional("AcceleratorPartitionTypes", &PARTITION_TYPES)]);
static PARTITION_LAYOUTS: Shape = Shape::List { member: &PARTITION_LAYOUT, min: 1, max: 32 };
static VARIANT: Shape = Shape::Structure(&[
    required("VariantName", &NAME),
    optional("ModelName", &MODEL_NAME),
    optional("InitialInstanceCount", &INSTANCE_COUNT),
    optional("InstanceType", &STRING),
    optional("InstancePools", &POOLS),
    optional("VariantInstanceProvisionTimeoutInSeconds", &PROVISION_TIMEOUT),
    optional("InitialVariantWeight", &WEIGHT),
    optional("AcceleratorType", &ACCELERATOR_TYPE),
    optional("CoreDumpConfig", &CORE_DUMPS),
    optional("ServerlessConfig", &SERVERLESS),
    optional("VolumeSizeInGB", &VOLUME_SIZE),
    optional("ModelDataDownloadTimeoutInSeconds", &START_TIMEOUT),
    optional("ContainerStartupHealthCheckTimeoutInSeconds", &START_TIMEOUT),
    optional("EnableSSMAccess", &BOOLEAN),
    optional("ManagedInstanceScaling", &SCALING),
    optional("RoutingConfig", &ROUTING),
    optional("InferenceAmiVersion", &STRING),
    optional("CapacityReservationConfig", &RESERVATION),
    optional("AcceleratorPartitionLayouts", &PARTITION_LAYOUTS),
]);
pub(super) static VARIANTS: Shape = Shape::List { member: &VARIANT, min: 1, max: 10 };
