//! Members of the operations on inference components.

use super::endpoint::{AUTO_ROLLBACK, EXECUTION_TIMEOUT, WAIT};
use super::model::{CONTAINER_METRICS, ENVIRONMENT, IMAGE, MODEL_DATA_URL};
use super::*;

static STARTUP_TIMEOUT: Shape = integer(60, 3_600);
static STARTUP: Shape = Shape::Structure(&[
    optional("ModelDataDownloadTimeoutInSeconds", &STARTUP_TIMEOUT),
    optional("ContainerStartupHealthCheckTimeoutInSeconds", &STARTUP_TIMEOUT),
]);
static COMPONENT_CONTAINER: Shape = Shape::Structure(&[
    optional("Image", &IMAGE),
    optional("ArtifactUrl", &MODEL_DATA_URL),
    optional("Environment", &ENVIRONMENT),
    optional("ContainerMetricsConfig", &CONTAINER_METRICS),
]);
static CPU_CORES: Shape = Shape::Float { min: 0.25 };
static ACCELERATORS: Shape = Shape::Float { min: 1.0 };
static MEMORY: Shape = integer(128, i64::MAX);
static PARTITION: Shape = text(0, 32, &pattern::PARTITION);
static RESOURCES: Shape = Shape::Structure(&[
    optional("NumberOfCpuCoresRequired", &CPU_CORES),
    optional("NumberOfAcceleratorDevicesRequired", &ACCELERATORS),
    required("MinMemoryRequiredInMb", &MEMORY),
    optional("MaxMemoryRequiredInMb", &MEMORY),
    optional("AcceleratorPartitionType", &PARTITION),
]);
static DATA_CACHE: Shape = Shape::Structure(&[required("EnableCaching", &BOOLEAN)]);
static PLACEMENT: Shape = Shape::OneOf(&["SPREAD", "BINPACK"]);
static ZONE_ENFORCEMENT: Shape = Shape::OneOf(&["PERMISSIVE"]);
static ZONE_IMBALANCE: Shape = integer(0, 100);
static ZONE_BALANCE: Shape =
    Shape::Structure(&[required("EnforcementMode", &ZONE_ENFORCEMENT), optional("MaxImbalance", &ZONE_IMBALANCE)]);
static SCHEDULING: Shape =
    Shape::Structure(&[required("PlacementStrategy", &PLACEMENT), optional("AvailabilityZoneBalance", &ZONE_BALANCE)]);
static SPECIFICATION: Shape = Shape::Structure(&[
    optional("InstanceType", &STRING),
    optional("ModelName", &MODEL_NAME),
    optional("Container", &COMPONENT_CONTAINER),
    optional("StartupParameters", &STARTUP),
    optional("ComputeResourceRequirements", &RESOURCES),
    optional("BaseInferenceComponentName", &MODEL_NAME),
    optional("DataCacheConfig", &DATA_CACHE),
    optional("SchedulingConfig", &SCHEDULING),
]);
static COPY_COUNT: Shape = integer(0, i64::MAX);
static CAPACITY_TYPE: Shape = Shape::OneOf(&["COPY_COUNT", "CAPACITY_PERCENT"]);
static CAPACITY_VALUE: Shape = integer(1, i64::MAX);
static CAPACITY: Shape = Shape::Structure(&[required("Type", &CAPACITY_TYPE), required("Value", &CAPACITY_VALUE)]);
static ROLLING: Shape = Shape::Structure(&[
    required("MaximumBatchSize", &CAPACITY),
    required("WaitIntervalInSeconds", &WAIT),
    optional("MaximumExecutionTimeoutInSeconds", &EXECUTION_TIMEOUT),
    optional("RollbackMaximumBatchSize", &CAPACITY),
]);
static DEPLOYMENT: Shape = Shape::Structure(&[
    required("RollingUpdatePolicy", &ROLLING),
    optional("AutoRollbackConfiguration", &AUTO_ROLLBACK),
]);
static RUNTIME_CONFIG: Shape = Shape::Structure(&[required("CopyCount", &COPY_COUNT)]);

pub(in crate::hosting) static CREATE_INFERENCE_COMPONENT: &[Member] = &[
    required("InferenceComponentName", &MODEL_NAME),
    required("EndpointName", &NAME),
    optional("VariantName", &NAME),
    optional("Specification", &SPECIFICATION),
    optional("Specifications", &OPAQUE),
    optional("RuntimeConfig", &RUNTIME_CONFIG),
    optional("Tags", &TAGS),
];
pub(in crate::hosting) static UPDATE_INFERENCE_COMPONENT: &[Member] = &[
    required("InferenceComponentName", &MODEL_NAME),
    optional("Specification", &SPECIFICATION),
    optional("Specifications", &OPAQUE),
    optional("RuntimeConfig", &RUNTIME_CONFIG),
    optional("DeploymentConfig", &DEPLOYMENT),
];
pub(in crate::hosting) static UPDATE_RUNTIME_CONFIG: &[Member] =
    &[required("InferenceComponentName", &MODEL_NAME), required("DesiredRuntimeConfig", &RUNTIME_CONFIG)];
pub(in crate::hosting) static INFERENCE_COMPONENT_NAME_ONLY: &[Member] =
    &[required("InferenceComponentName", &MODEL_NAME)];
