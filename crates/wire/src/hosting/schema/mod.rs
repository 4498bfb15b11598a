//! The constraints of every request member, as SageMaker's service model states them.
//!
//! Parts that the server refuses as a whole are opaque: their inside does not matter. Instance types are any text,
//! because here they name nothing that could be wrong.

mod capture;
mod endpoint;
mod endpoint_config;
mod explainer;
mod inference_component;
mod listing;
mod model;
mod monitoring;
mod processing_job;
mod variant;

pub(super) use endpoint::{CREATE_ENDPOINT, ENDPOINT_NAME_ONLY, UPDATE_ENDPOINT, UPDATE_WEIGHTS};
pub(super) use endpoint_config::{CREATE_ENDPOINT_CONFIG, ENDPOINT_CONFIG_NAME_ONLY};
pub(super) use inference_component::{
    CREATE_INFERENCE_COMPONENT, INFERENCE_COMPONENT_NAME_ONLY, UPDATE_INFERENCE_COMPONENT, UPDATE_RUNTIME_CONFIG,
};
pub(super) use listing::{LIST, LIST_ENDPOINTS, LIST_INFERENCE_COMPONENTS, LIST_PROCESSING_JOBS};
pub(super) use model::{CREATE_MODEL, MODEL_NAME_ONLY};
pub(super) use monitoring::{
    CREATE_DATA_QUALITY, CREATE_MODEL_BIAS, CREATE_MODEL_EXPLAINABILITY, CREATE_MODEL_QUALITY, CREATE_SCHEDULE,
    JOB_DEFINITION_NAME_ONLY, LIST_ALERT_HISTORY, LIST_ALERTS, LIST_EXECUTIONS, LIST_JOB_DEFINITIONS, LIST_SCHEDULES,
    SCHEDULE_NAME_ONLY, UPDATE_ALERT, UPDATE_SCHEDULE,
};
pub(super) use processing_job::{CREATE_PROCESSING_JOB, PROCESSING_JOB_NAME_ONLY};

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

static INSTANCE_COUNT: Shape = integer(1, i64::MAX);
static WEIGHT: Shape = Shape::Float { min: 0.0 };
static DESTINATION: Shape = text(0, 512, &pattern::DESTINATION);
static NEXT_TOKEN: Shape = text(0, 8_192, &pattern::LINE);

// Tags.

static LIST_TAGS_MAX: Shape = integer(50, i64::MAX);

pub(super) static ADD_TAGS: &[Member] = &[required("ResourceArn", &RESOURCE_ARN), required("Tags", &TAGS)];
pub(super) static LIST_TAGS: &[Member] = &[
    required("ResourceArn", &RESOURCE_ARN),
    optional("NextToken", &NEXT_TOKEN),
    optional("MaxResults", &LIST_TAGS_MAX),
];
pub(super) static DELETE_TAGS: &[Member] = &[required("ResourceArn", &RESOURCE_ARN), required("TagKeys", &TAG_KEYS)];
