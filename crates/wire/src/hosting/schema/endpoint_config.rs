//! Members of the operations on endpoint configurations.

use super::capture::DATA_CAPTURE;
use super::explainer::EXPLAINER;
use super::variant::VARIANTS;
use super::*;

static ANY_INTEGER: Shape = integer(i64::MIN, i64::MAX);
static METRICS: Shape = Shape::Structure(&[
    optional("EnableEnhancedMetrics", &BOOLEAN),
    optional("EnableDetailedObservability", &BOOLEAN),
    optional("MetricPublishFrequencyInSeconds", &ANY_INTEGER),
]);

static ASYNC_CONCURRENCY: Shape = integer(1, 1_000);
static ASYNC_CLIENT: Shape = Shape::Structure(&[optional("MaxConcurrentInvocationsPerInstance", &ASYNC_CONCURRENCY)]);
static TOPIC: Shape = text(0, 2_048, &pattern::TOPIC);
static NOTIFIED_TOPIC: Shape = Shape::OneOf(&["SUCCESS_NOTIFICATION_TOPIC", "ERROR_NOTIFICATION_TOPIC"]);
static NOTIFIED_TOPICS: Shape = Shape::List { member: &NOTIFIED_TOPIC, min: 0, max: 2 };
static NOTIFICATION: Shape = Shape::Structure(&[
    optional("SuccessTopic", &TOPIC),
    optional("ErrorTopic", &TOPIC),
    optional("IncludeInferenceResponseIn", &NOTIFIED_TOPICS),
]);
static ASYNC_OUTPUT: Shape = Shape::Structure(&[
    optional("KmsKeyId", &KMS_KEY),
    optional("S3OutputPath", &DESTINATION),
    optional("NotificationConfig", &NOTIFICATION),
    optional("S3FailurePath", &DESTINATION),
]);
static ASYNC_INFERENCE: Shape =
    Shape::Structure(&[optional("ClientConfig", &ASYNC_CLIENT), required("OutputConfig", &ASYNC_OUTPUT)]);
static INVOCATIONS_PER_SECOND: Shape = integer(1, 10_000);
static PERCENT: Shape = integer(1, 100);
static CROSS_REGION: Shape = Shape::Structure(&[
    required("MaxInvocationsPerSecondPerInstance", &INVOCATIONS_PER_SECOND),
    required("MaxCrossRegionPercentPerEndpoint", &PERCENT),
]);

pub(in crate::hosting) static CREATE_ENDPOINT_CONFIG: &[Member] = &[
    required("EndpointConfigName", &NAME),
    required("ProductionVariants", &VARIANTS),
    optional("DataCaptureConfig", &DATA_CAPTURE),
    optional("Tags", &TAGS),
    optional("KmsKeyId", &KMS_KEY),
    optional("AsyncInferenceConfig", &ASYNC_INFERENCE),
    optional("ExplainerConfig", &EXPLAINER),
    optional("ShadowProductionVariants", &VARIANTS),
    optional("ExecutionRoleArn", &ROLE),
    optional("VpcConfig", &VPC),
    optional("EnableNetworkIsolation", &BOOLEAN),
    optional("MetricsConfig", &METRICS),
    optional("CrossRegionTrafficConfig", &CROSS_REGION),
];
pub(in crate::hosting) static ENDPOINT_CONFIG_NAME_ONLY: &[Member] = &[required("EndpointConfigName", &NAME)];
