//! Members of the operations on monitors: job definitions, schedules, executions and alerts.

use super::*;

static MONITOR_NAME: Shape = text(1, 63, &pattern::NAME);
static S3_URI: Shape = text(0, 1_024, &pattern::S3_URI);
static MONITORING_S3_URI: Shape = text(0, 512, &pattern::S3_URI);
static LOCAL_PATH: Shape = text(0, 256, &pattern::LINE);
static TIME_OFFSET: Shape = text(1, 15, &pattern::TIME_OFFSET);

// What is analysed.

static INPUT_MODE: Shape = Shape::OneOf(&["Pipe", "File"]);
static DISTRIBUTION: Shape = Shape::OneOf(&["FullyReplicated", "ShardedByS3Key"]);
static EXCLUDED: Shape = Shape::Text { min: 0, max: 100, pattern: None };
static ENDPOINT_INPUT: Shape = Shape::Structure(&[
    required("EndpointName", &NAME),
    required("LocalPath", &LOCAL_PATH),
    optional("S3InputMode", &INPUT_MODE),
    optional("S3DataDistributionType", &DISTRIBUTION),
    optional("FeaturesAttribute", &STRING),
    optional("InferenceAttribute", &STRING),
    optional("ProbabilityAttribute", &STRING),
    optional("ProbabilityThresholdAttribute", &Shape::Double),
    optional("StartTimeOffset", &TIME_OFFSET),
    optional("EndTimeOffset", &TIME_OFFSET),
    optional("ExcludeFeaturesAttribute", &EXCLUDED),
]);
static CSV: Shape = Shape::Structure(&[optional("Header", &BOOLEAN)]);
static JSON: Shape = Shape::Structure(&[optional("Line", &BOOLEAN)]);
static PARQUET: Shape = Shape::Structure(&[]);
static DATASET_FORMAT: Shape =
    Shape::Structure(&[optional("Csv", &CSV), optional("Json", &JSON), optional("Parquet", &PARQUET)]);
static BATCH_INPUT: Shape = Shape::Structure(&[
    required("DataCapturedDestinationS3Uri", &DESTINATION),
    required("DatasetFormat", &DATASET_FORMAT),
    required("LocalPath", &LOCAL_PATH),
    optional("S3InputMode", &INPUT_MODE),
    optional("S3DataDistributionType", &DISTRIBUTION),
    optional("FeaturesAttribute", &STRING),
    optional("InferenceAttribute", &STRING),
    optional("ProbabilityAttribute", &STRING),
    optional("ProbabilityThresholdAttribute", &Shape::Double),
    optional("StartTimeOffset", &TIME_OFFSET),
    optional("EndTimeOffset", &TIME_OFFSET),
    optional("ExcludeFeaturesAttribute", &EXCLUDED),
]);
static GROUND_TRUTH: Shape = Shape::Structure(&[optional("S3Uri", &MONITORING_S3_URI)]);
static INPUT: Shape =
    Shape::Structure(&[optional("EndpointInput", &ENDPOINT_INPUT), optional("BatchTransformInput", &BATCH_INPUT)]);
static INPUT_WITH_LABELS: Shape = Shape::Structure(&[
    optional("EndpointInput", &ENDPOINT_INPUT),
    optional("BatchTransformInput", &BATCH_INPUT),
    required("GroundTruthS3Input", &GROUND_TRUTH),
]);
static INPUTS: Shape = Shape::List { member: &INPUT, min: 1, max: 1 };

// Against what, by what, and where to.

static RESOURCE: Shape = Shape::Structure(&[optional("S3Uri", &S3_URI)]);
static BASELINE: Shape =
    Shape::Structure(&[optional("BaseliningJobName", &MONITOR_NAME), optional("ConstraintsResource", &RESOURCE)]);
static BASELINE_WITH_STATISTICS: Shape = Shape::Structure(&[
    optional("BaseliningJobName", &MONITOR_NAME),
    optional("ConstraintsResource", &RESOURCE),
    optional("StatisticsResource", &RESOURCE),
]);
static IMAGE_URI: Shape = text(0, 255, &pattern::LINE);
static WORD: Shape = text(0, 256, &pattern::LINE);
static ENTRYPOINT: Shape = Shape::List { member: &WORD, min: 1, max: 100 };
static ARGUMENTS: Shape = Shape::List { member: &WORD, min: 1, max: 50 };
static ENVIRONMENT_KEY: Shape = text(0, 256, &pattern::ENVIRONMENT_KEY);
static ENVIRONMENT_VALUE: Shape = text(0, 256, &pattern::ANYTHING);
static ENVIRONMENT: Shape = Shape::Map { key: &ENVIRONMENT_KEY, value: &ENVIRONMENT_VALUE, max: 50 };
static PROBLEM_TYPE: Shape = Shape::OneOf(&["BinaryClassification", "MulticlassClassification", "Regression"]);
static DATA_QUALITY_APP: Shape = Shape::Structure(&[
    required("ImageUri", &IMAGE_URI),
    optional("ContainerEntrypoint", &ENTRYPOINT),
    optional("ContainerArguments", &ARGUMENTS),
    optional("RecordPreprocessorSourceUri", &S3_URI),
    optional("PostAnalyticsProcessorSourceUri", &S3_URI),
    optional("Environment", &ENVIRONMENT),
]);
static MODEL_QUALITY_APP: Shape = Shape::Structure(&[
    required("ImageUri", &IMAGE_URI),
    optional("ContainerEntrypoint", &ENTRYPOINT),
    optional("ContainerArguments", &ARGUMENTS),
    optional("RecordPreprocessorSourceUri", &S3_URI),
    optional("PostAnalyticsProcessorSourceUri", &S3_URI),
    optional("ProblemType", &PROBLEM_TYPE),
    optional("Environment", &ENVIRONMENT),
]);
static CLARIFY_APP: Shape = Shape::Structure(&[
    required("ImageUri", &IMAGE_URI),
    required("ConfigUri", &S3_URI),
    optional("Environment", &ENVIRONMENT),
]);
static INLINE_APP: Shape = Shape::Structure(&[
    required("ImageUri", &IMAGE_URI),
    optional("ContainerEntrypoint", &ENTRYPOINT),
    optional("ContainerArguments", &ARGUMENTS),
    optional("RecordPreprocessorSourceUri", &S3_URI),
    optional("PostAnalyticsProcessorSourceUri", &S3_URI),
]);
static UPLOAD_MODE: Shape = Shape::OneOf(&["Continuous", "EndOfJob"]);
static S3_OUTPUT: Shape = Shape::Structure(&[
    required("S3Uri", &MONITORING_S3_URI),
    required("LocalPath", &LOCAL_PATH),
    optional("S3UploadMode", &UPLOAD_MODE),
]);
static OUTPUT: Shape = Shape::Structure(&[required("S3Output", &S3_OUTPUT)]);
static OUTPUTS: Shape = Shape::List { member: &OUTPUT, min: 1, max: 1 };
static OUTPUT_CONFIG: Shape =
    Shape::Structure(&[required("MonitoringOutputs", &OUTPUTS), optional("KmsKeyId", &KMS_KEY)]);

// On what.

static CLUSTER_COUNT: Shape = integer(1, 100);
static VOLUME: Shape = integer(1, 16_384);
static CLUSTER: Shape = Shape::Structure(&[
    required("InstanceCount", &CLUSTER_COUNT),
    required("InstanceType", &STRING),
    required("VolumeSizeInGB", &VOLUME),
    optional("VolumeKmsKeyId", &KMS_KEY),
]);
static RESOURCES: Shape = Shape::Structure(&[required("ClusterConfig", &CLUSTER)]);
static NETWORK: Shape = Shape::Structure(&[
    optional("EnableInterContainerTrafficEncryption", &BOOLEAN),
    optional("EnableNetworkIsolation", &BOOLEAN),
    optional("VpcConfig", &VPC),
]);
static MAX_RUNTIME: Shape = integer(1, 86_400);
static STOPPING: Shape = Shape::Structure(&[required("MaxRuntimeInSeconds", &MAX_RUNTIME)]);

// Job definitions.

pub(in crate::hosting) static CREATE_DATA_QUALITY: &[Member] = &[
    required("JobDefinitionName", &MONITOR_NAME),
    optional("DataQualityBaselineConfig", &BASELINE_WITH_STATISTICS),
    required("DataQualityAppSpecification", &DATA_QUALITY_APP),
    required("DataQualityJobInput", &INPUT),
    required("DataQualityJobOutputConfig", &OUTPUT_CONFIG),
    required("JobResources", &RESOURCES),
    optional("NetworkConfig", &NETWORK),
    required("RoleArn", &ROLE),
    optional("StoppingCondition", &STOPPING),
    optional("Tags", &TAGS),
];
pub(in crate::hosting) static CREATE_MODEL_QUALITY: &[Member] = &[
    required("JobDefinitionName", &MONITOR_NAME),
    optional("ModelQualityBaselineConfig", &BASELINE),
    required("ModelQualityAppSpecification", &MODEL_QUALITY_APP),
    required("ModelQualityJobInput", &INPUT_WITH_LABELS),
    required("ModelQualityJobOutputConfig", &OUTPUT_CONFIG),
    required("JobResources", &RESOURCES),
    optional("NetworkConfig", &NETWORK),
    required("RoleArn", &ROLE),
    optional("StoppingCondition", &STOPPING),
    optional("Tags", &TAGS),
];
pub(in crate::hosting) static CREATE_MODEL_BIAS: &[Member] = &[
    required("JobDefinitionName", &MONITOR_NAME),
    optional("ModelBiasBaselineConfig", &BASELINE),
    required("ModelBiasAppSpecification", &CLARIFY_APP),
    required("ModelBiasJobInput", &INPUT_WITH_LABELS),
    required("ModelBiasJobOutputConfig", &OUTPUT_CONFIG),
    required("JobResources", &RESOURCES),
    optional("NetworkConfig", &NETWORK),
    required("RoleArn", &ROLE),
    optional("StoppingCondition", &STOPPING),
    optional("Tags", &TAGS),
];
pub(in crate::hosting) static CREATE_MODEL_EXPLAINABILITY: &[Member] = &[
    required("JobDefinitionName", &MONITOR_NAME),
    optional("ModelExplainabilityBaselineConfig", &BASELINE),
    required("ModelExplainabilityAppSpecification", &CLARIFY_APP),
    required("ModelExplainabilityJobInput", &INPUT),
    required("ModelExplainabilityJobOutputConfig", &OUTPUT_CONFIG),
    required("JobResources", &RESOURCES),
    optional("NetworkConfig", &NETWORK),
    required("RoleArn", &ROLE),
    optional("StoppingCondition", &STOPPING),
    optional("Tags", &TAGS),
];
pub(in crate::hosting) static JOB_DEFINITION_NAME_ONLY: &[Member] = &[required("JobDefinitionName", &MONITOR_NAME)];

// Schedules.

static EXPRESSION: Shape = Shape::Text { min: 1, max: 256, pattern: None };
static SCHEDULE: Shape = Shape::Structure(&[
    required("ScheduleExpression", &EXPRESSION),
    optional("DataAnalysisStartTime", &STRING),
    optional("DataAnalysisEndTime", &STRING),
]);
static INLINE_DEFINITION: Shape = Shape::Structure(&[
    optional("BaselineConfig", &BASELINE_WITH_STATISTICS),
    required("MonitoringInputs", &INPUTS),
    required("MonitoringOutputConfig", &OUTPUT_CONFIG),
    required("MonitoringResources", &RESOURCES),
    required("MonitoringAppSpecification", &INLINE_APP),
    optional("StoppingCondition", &STOPPING),
    optional("Environment", &ENVIRONMENT),
    optional("NetworkConfig", &NETWORK),
    required("RoleArn", &ROLE),
]);
static MONITORING_TYPE: Shape = Shape::OneOf(&["DataQuality", "ModelQuality", "ModelBias", "ModelExplainability"]);
static SCHEDULE_CONFIG: Shape = Shape::Structure(&[
    optional("ScheduleConfig", &SCHEDULE),
    optional("MonitoringJobDefinition", &INLINE_DEFINITION),
    optional("MonitoringJobDefinitionName", &MONITOR_NAME),
    optional("MonitoringType", &MONITORING_TYPE),
]);

pub(in crate::hosting) static CREATE_SCHEDULE: &[Member] = &[
    required("MonitoringScheduleName", &MONITOR_NAME),
    required("MonitoringScheduleConfig", &SCHEDULE_CONFIG),
    optional("Tags", &TAGS),
];
pub(in crate::hosting) static UPDATE_SCHEDULE: &[Member] =
    &[required("MonitoringScheduleName", &MONITOR_NAME), required("MonitoringScheduleConfig", &SCHEDULE_CONFIG)];
pub(in crate::hosting) static SCHEDULE_NAME_ONLY: &[Member] = &[required("MonitoringScheduleName", &MONITOR_NAME)];

// Lists and alerts.

static SORT_ORDER: Shape = Shape::OneOf(&["Ascending", "Descending"]);
static SORT_BY: Shape = Shape::OneOf(&["Name", "CreationTime"]);
static SCHEDULE_SORT_BY: Shape = Shape::OneOf(&["Name", "CreationTime", "Status"]);
static EXECUTION_SORT_BY: Shape = Shape::OneOf(&["CreationTime", "ScheduledTime", "Status"]);
static HISTORY_SORT_BY: Shape = Shape::OneOf(&["CreationTime", "Status"]);
static MAX_RESULTS: Shape = integer(1, 100);
static NAME_CONTAINS: Shape = text(0, 63, &pattern::MONITOR_NAME_PART);
static SCHEDULE_STATUS: Shape = Shape::OneOf(&["Pending", "Failed", "Scheduled", "Stopped"]);
static EXECUTION_STATUS: Shape =
    Shape::OneOf(&["Pending", "Completed", "CompletedWithViolations", "InProgress", "Failed", "Stopping", "Stopped"]);
static ALERT_STATUS: Shape = Shape::OneOf(&["InAlert", "OK"]);
static DATAPOINTS: Shape = integer(1, 100);

pub(in crate::hosting) static LIST_JOB_DEFINITIONS: &[Member] = &[
    optional("EndpointName", &NAME),
    optional("SortBy", &SORT_BY),
    optional("SortOrder", &SORT_ORDER),
    optional("NextToken", &NEXT_TOKEN),
    optional("MaxResults", &MAX_RESULTS),
    optional("NameContains", &NAME_CONTAINS),
    optional("CreationTimeBefore", &TIMESTAMP),
    optional("CreationTimeAfter", &TIMESTAMP),
];
pub(in crate::hosting) static LIST_SCHEDULES: &[Member] = &[
    optional("EndpointName", &NAME),
    optional("SortBy", &SCHEDULE_SORT_BY),
    optional("SortOrder", &SORT_ORDER),
    optional("NextToken", &NEXT_TOKEN),
    optional("MaxResults", &MAX_RESULTS),
    optional("NameContains", &NAME_CONTAINS),
    optional("CreationTimeBefore", &TIMESTAMP),
    optional("CreationTimeAfter", &TIMESTAMP),
    optional("LastModifiedTimeBefore", &TIMESTAMP),
    optional("LastModifiedTimeAfter", &TIMESTAMP),
    optional("StatusEquals", &SCHEDULE_STATUS),
    optional("MonitoringJobDefinitionName", &MONITOR_NAME),
    optional("MonitoringTypeEquals", &MONITORING_TYPE),
];
pub(in crate::hosting) static LIST_EXECUTIONS: &[Member] = &[
    optional("MonitoringScheduleName", &MONITOR_NAME),
    optional("EndpointName", &NAME),
    optional("SortBy", &EXECUTION_SORT_BY),
    optional("SortOrder", &SORT_ORDER),
    optional("NextToken", &NEXT_TOKEN),
    optional("MaxResults", &MAX_RESULTS),
    optional("ScheduledTimeBefore", &TIMESTAMP),
    optional("ScheduledTimeAfter", &TIMESTAMP),
    optional("CreationTimeBefore", &TIMESTAMP),
    optional("CreationTimeAfter", &TIMESTAMP),
    optional("LastModifiedTimeBefore", &TIMESTAMP),
    optional("LastModifiedTimeAfter", &TIMESTAMP),
    optional("StatusEquals", &EXECUTION_STATUS),
    optional("MonitoringJobDefinitionName", &MONITOR_NAME),
    optional("MonitoringTypeEquals", &MONITORING_TYPE),
];
pub(in crate::hosting) static LIST_ALERTS: &[Member] = &[
    required("MonitoringScheduleName", &MONITOR_NAME),
    optional("NextToken", &NEXT_TOKEN),
    optional("MaxResults", &MAX_RESULTS),
];
pub(in crate::hosting) static LIST_ALERT_HISTORY: &[Member] = &[
    optional("MonitoringScheduleName", &MONITOR_NAME),
    optional("MonitoringAlertName", &MONITOR_NAME),
    optional("SortBy", &HISTORY_SORT_BY),
    optional("SortOrder", &SORT_ORDER),
    optional("NextToken", &NEXT_TOKEN),
    optional("MaxResults", &MAX_RESULTS),
    optional("CreationTimeBefore", &TIMESTAMP),
    optional("CreationTimeAfter", &TIMESTAMP),
    optional("StatusEquals", &ALERT_STATUS),
];
pub(in crate::hosting) static UPDATE_ALERT: &[Member] = &[
    required("MonitoringScheduleName", &MONITOR_NAME),
    required("MonitoringAlertName", &MONITOR_NAME),
    required("DatapointsToAlert", &DATAPOINTS),
    required("EvaluationPeriod", &DATAPOINTS),
];
