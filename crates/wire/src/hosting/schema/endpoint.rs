//! Members of the operations on endpoints.

use super::variant::CONCURRENCY;
use super::*;

static ROUTING_TYPE: Shape = Shape::OneOf(&["ALL_AT_ONCE", "CANARY", "LINEAR"]);
pub(super) static WAIT: Shape = integer(0, 3_600);
pub(super) static EXECUTION_TIMEOUT: Shape = integer(600, 28_800);
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
pub(super) static AUTO_ROLLBACK: Shape = Shape::Structure(&[optional("Alarms", &ALARMS)]);
static DEPLOYMENT: Shape = Shape::Structure(&[
    optional("BlueGreenUpdatePolicy", &BLUE_GREEN),
    optional("RollingUpdatePolicy", &ROLLING),
    optional("AutoRollbackConfiguration", &AUTO_ROLLBACK),
]);
static VARIANT_PROPERTY_TYPE: Shape = Shape::OneOf(&["DesiredInstanceCount", "DesiredWeight", "DataCaptureConfig"]);
static VARIANT_PROPERTY: Shape = Shape::Structure(&[required("VariantPropertyType", &VARIANT_PROPERTY_TYPE)]);
static VARIANT_PROPERTIES: Shape = Shape::List { member: &VARIANT_PROPERTY, min: 0, max: 3 };
static DESIRED_COUNT: Shape = integer(0, i64::MAX);
static SERVERLESS_UPDATE: Shape =
    Shape::Structure(&[optional("MaxConcurrency", &CONCURRENCY), optional("ProvisionedConcurrency", &CONCURRENCY)]);
static DESIRED: Shape = Shape::Structure(&[
    required("VariantName", &NAME),
    optional("DesiredWeight", &WEIGHT),
    optional("DesiredInstanceCount", &DESIRED_COUNT),
    optional("ServerlessUpdateConfig", &SERVERLESS_UPDATE),
]);
static DESIRED_LIST: Shape = Shape::List { member: &DESIRED, min: 1, max: UNLIMITED };

pub(in crate::hosting) static CREATE_ENDPOINT: &[Member] = &[
    required("EndpointName", &NAME),
    required("EndpointConfigName", &NAME),
    optional("DeploymentConfig", &DEPLOYMENT),
    optional("Tags", &TAGS),
];
pub(in crate::hosting) static UPDATE_ENDPOINT: &[Member] = &[
    required("EndpointName", &NAME),
    required("EndpointConfigName", &NAME),
    optional("RetainAllVariantProperties", &BOOLEAN),
    optional("ExcludeRetainedVariantProperties", &VARIANT_PROPERTIES),
    optional("DeploymentConfig", &DEPLOYMENT),
    optional("RetainDeploymentConfig", &BOOLEAN),
];
pub(in crate::hosting) static UPDATE_WEIGHTS: &[Member] =
    &[required("EndpointName", &NAME), required("DesiredWeightsAndCapacities", &DESIRED_LIST)];
pub(in crate::hosting) static ENDPOINT_NAME_ONLY: &[Member] = &[required("EndpointName", &NAME)];
