//! Members of the lists.

use super::*;

static SORT_BY: Shape = Shape::OneOf(&["Name", "CreationTime"]);
static ENDPOINT_SORT_BY: Shape = Shape::OneOf(&["Name", "CreationTime", "Status"]);
static SORT_ORDER: Shape = Shape::OneOf(&["Ascending", "Descending"]);
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

pub(in crate::hosting) static LIST: &[Member] = &[
    optional("SortBy", &SORT_BY),
    optional("SortOrder", &SORT_ORDER),
    optional("NextToken", &NEXT_TOKEN),
    optional("MaxResults", &MAX_RESULTS),
    optional("NameContains", &NAME_CONTAINS),
    optional("CreationTimeBefore", &TIMESTAMP),
    optional("CreationTimeAfter", &TIMESTAMP),
];
pub(in crate::hosting) static LIST_ENDPOINTS: &[Member] = &[
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
static COMPONENT_STATUS: Shape = Shape::OneOf(&["InService", "Creating", "Updating", "Failed", "Deleting"]);

pub(in crate::hosting) static LIST_INFERENCE_COMPONENTS: &[Member] = &[
    optional("SortBy", &ENDPOINT_SORT_BY),
    optional("SortOrder", &SORT_ORDER),
    optional("NextToken", &NEXT_TOKEN),
    optional("MaxResults", &MAX_RESULTS),
    optional("NameContains", &NAME_CONTAINS),
    optional("CreationTimeBefore", &TIMESTAMP),
    optional("CreationTimeAfter", &TIMESTAMP),
    optional("LastModifiedTimeBefore", &TIMESTAMP),
    optional("LastModifiedTimeAfter", &TIMESTAMP),
    optional("StatusEquals", &COMPONENT_STATUS),
    optional("EndpointNameEquals", &NAME),
    optional("VariantNameEquals", &NAME),
];
static PROCESSING_JOB_STATUS: Shape = Shape::OneOf(&["InProgress", "Completed", "Failed", "Stopping", "Stopped"]);

pub(in crate::hosting) static LIST_PROCESSING_JOBS: &[Member] = &[
    optional("SortBy", &ENDPOINT_SORT_BY),
    optional("SortOrder", &SORT_ORDER),
    optional("NextToken", &NEXT_TOKEN),
    optional("MaxResults", &MAX_RESULTS),
    optional("NameContains", &STRING),
    optional("CreationTimeBefore", &TIMESTAMP),
    optional("CreationTimeAfter", &TIMESTAMP),
    optional("LastModifiedTimeBefore", &TIMESTAMP),
    optional("LastModifiedTimeAfter", &TIMESTAMP),
    optional("StatusEquals", &PROCESSING_JOB_STATUS),
];
