//! Members of the operations on processing jobs.

use super::*;

static JOB_NAME: Shape = text(1, 63, &pattern::NAME);
static S3_URI: Shape = text(0, 1_024, &pattern::S3_URI);
static LOCAL_PATH: Shape = text(0, 256, &pattern::LINE);
static S3_DATA_TYPE: Shape = Shape::OneOf(&["ManifestFile", "S3Prefix"]);
static INPUT_MODE: Shape = Shape::OneOf(&["Pipe", "File"]);
static DISTRIBUTION: Shape = Shape::OneOf(&["FullyReplicated", "ShardedByS3Key"]);
static COMPRESSION: Shape = Shape::OneOf(&["None", "Gzip"]);
static UPLOAD_MODE: Shape = Shape::OneOf(&["Continuous", "EndOfJob"]);
static S3_INPUT: Shape = Shape::Structure(&[
    required("S3Uri", &S3_URI),
    optional("LocalPath", &LOCAL_PATH),
    required("S3DataType", &S3_DATA_TYPE),
    optional("S3InputMode", &INPUT_MODE),
    optional("S3DataDistributionType", &DISTRIBUTION),
    optional("S3CompressionType", &COMPRESSION),
]);
static INPUT: Shape = Shape::Structure(&[
    required("InputName", &STRING),
    optional("AppManaged", &BOOLEAN),
    optional("S3Input", &S3_INPUT),
    optional("DatasetDefinition", &OPAQUE),
]);
static INPUTS: Shape = Shape::List { member: &INPUT, min: 0, max: 10 };
static S3_OUTPUT: Shape = Shape::Structure(&[
    required("S3Uri", &S3_URI),
    optional("LocalPath", &LOCAL_PATH),
    required("S3UploadMode", &UPLOAD_MODE),
]);
static OUTPUT: Shape = Shape::Structure(&[
    required("OutputName", &STRING),
    optional("S3Output", &S3_OUTPUT),
    optional("FeatureStoreOutput", &OPAQUE),
    optional("AppManaged", &BOOLEAN),
]);
static OUTPUTS: Shape = Shape::List { member: &OUTPUT, min: 0, max: 10 };
static OUTPUT_CONFIG: Shape = Shape::Structure(&[required("Outputs", &OUTPUTS), optional("KmsKeyId", &KMS_KEY)]);
static INSTANCE_COUNT: Shape = integer(1, 100);
static VOLUME_SIZE: Shape = integer(1, 16_384);
static CLUSTER: Shape = Shape::Structure(&[
    optional("InstanceCount", &INSTANCE_COUNT),
    optional("InstanceType", &STRING),
    required("VolumeSizeInGB", &VOLUME_SIZE),
    optional("VolumeKmsKeyId", &KMS_KEY),
    optional("InstancePreferences", &OPAQUE),
    optional("SelectedInstanceType", &STRING),
    optional("SelectedInstanceCount", &INSTANCE_COUNT),
]);
static PROCESSING_RESOURCES: Shape = Shape::Structure(&[required("ClusterConfig", &CLUSTER)]);
static MAX_RUNTIME: Shape = integer(1, 777_600);
static STOPPING_CONDITION: Shape = Shape::Structure(&[required("MaxRuntimeInSeconds", &MAX_RUNTIME)]);
static IMAGE_URI: Shape = text(0, 255, &pattern::LINE);
static CONTAINER_WORD: Shape = text(0, 256, &pattern::LINE);
static CONTAINER_WORDS: Shape = Shape::List { member: &CONTAINER_WORD, min: 1, max: 100 };
static APP_SPECIFICATION: Shape = Shape::Structure(&[
    required("ImageUri", &IMAGE_URI),
    optional("ContainerEntrypoint", &CONTAINER_WORDS),
    optional("ContainerArguments", &CONTAINER_WORDS),
]);
static ENVIRONMENT_KEY: Shape = text(0, 256, &pattern::ENVIRONMENT_KEY);
static ENVIRONMENT_VALUE: Shape = text(0, 256, &pattern::ANYTHING);
static ENVIRONMENT: Shape = Shape::Map { key: &ENVIRONMENT_KEY, value: &ENVIRONMENT_VALUE, max: 100 };
static NETWORK_CONFIG: Shape = Shape::Structure(&[
    optional("EnableInterContainerTrafficEncryption", &BOOLEAN),
    optional("EnableNetworkIsolation", &BOOLEAN),
    optional("VpcConfig", &VPC),
]);

pub(in crate::hosting) static CREATE_PROCESSING_JOB: &[Member] = &[
    optional("ProcessingInputs", &INPUTS),
    optional("ProcessingOutputConfig", &OUTPUT_CONFIG),
    required("ProcessingJobName", &JOB_NAME),
    required("ProcessingResources", &PROCESSING_RESOURCES),
    optional("StoppingCondition", &STOPPING_CONDITION),
    required("AppSpecification", &APP_SPECIFICATION),
    optional("Environment", &ENVIRONMENT),
    optional("NetworkConfig", &NETWORK_CONFIG),
    required("RoleArn", &ROLE),
    optional("Tags", &TAGS),
    optional("ExperimentConfig", &OPAQUE),
];
pub(in crate::hosting) static PROCESSING_JOB_NAME_ONLY: &[Member] = &[required("ProcessingJobName", &JOB_NAME)];
