//! Lists of models, endpoint configurations, endpoints, inference components and processing jobs.
//!
//! A token holds where the page before ended and to which list it belongs, with a digest over both: a token of another
//! list, another order or another filter is refused instead of answered with a page that belongs to neither.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use captura_names::ResourceKind;
use captura_wire::aws_json::Fault;
use captura_wire::hosting::{ListRequest, SortBy, SortOrder, read};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{Desk, Failure};
use crate::catalog::{Cursor, Listed, PageQuery};

/// Length of a page when the request does not say.
const DEFAULT_PAGE_LENGTH: u32 = 10;
/// Bytes of the digest in a token.
const TOKEN_DIGEST_BYTES: usize = 8;

pub(crate) async fn list(desk: &Desk, kind: ResourceKind, input: &Map<String, Value>) -> Result<Value, Failure> {
    let request: ListRequest = read(input)?;
    let limit = request.max_results.unwrap_or(DEFAULT_PAGE_LENGTH);
    let belongs_to = list_identity(kind, input);
    let after = request.next_token.as_deref().map(|token| read_token(token, &belongs_to)).transpose()?;
    let query = PageQuery {
        kind,
        sort_by: request.sort_by.unwrap_or(SortBy::CreationTime),
        descending: request.sort_order.unwrap_or(SortOrder::Descending) == SortOrder::Descending,
        after,
        // One more than asked for tells whether there is another page.
        limit: limit + 1,
        name_contains: request.name_contains,
        created_before: request.creation_time_before,
        created_after: request.creation_time_after,
        modified_before: request.last_modified_time_before,
        modified_after: request.last_modified_time_after,
        status: request.status_equals,
        endpoint: request.endpoint_name_equals,
        variant: request.variant_name_equals,
    };
    let (mut rows, jobs) = desk
        .act(move |_, work| {
            let rows = work.page(&query)?;
            // What a list tells of jobs beyond their status.
            let of_jobs = rows.iter().filter(|_| kind == ResourceKind::ProcessingJob);
            let jobs = of_jobs.map(|row| work.processing_job(&row.name)).collect::<Result<Vec<_>, _>>()?;
            Ok((rows, jobs))
        })
        .await?;
    let has_more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let token = rows.last().filter(|_| has_more).map(|last| write_token(&last.cursor, &belongs_to));
    let mut items: Vec<Value> = rows.iter().map(|row| summary(desk, kind, row)).collect();
    for (item, job) in items.iter_mut().zip(jobs) {
        super::processing_job::complete_summary(item, job);
    }
    let key = match kind {
        ResourceKind::Model => "Models",
        ResourceKind::EndpointConfig => "EndpointConfigs",
        ResourceKind::Endpoint => "Endpoints",
        ResourceKind::InferenceComponent => "InferenceComponents",
        ResourceKind::ProcessingJob => "ProcessingJobSummaries",
        // Monitors have lists of their own.
        ResourceKind::MonitoringSchedule => "MonitoringScheduleSummaries",
        _ => "JobDefinitionSummaries",
    };
    let mut output = Map::from_iter([(key.to_owned(), Value::Array(items))]);
    if let Some(token) = token {
        output.insert("NextToken".to_owned(), Value::String(token));
    }
    Ok(Value::Object(output))
}

fn summary(desk: &Desk, kind: ResourceKind, row: &Listed) -> Value {
    let prefix = match kind {
        ResourceKind::Model => "Model",
        ResourceKind::EndpointConfig => "EndpointConfig",
        ResourceKind::Endpoint => "Endpoint",
        ResourceKind::InferenceComponent => "InferenceComponent",
        ResourceKind::ProcessingJob => "ProcessingJob",
        ResourceKind::MonitoringSchedule => "MonitoringSchedule",
        _ => "MonitoringJobDefinition",
    };
    let mut members = Map::from_iter([
        (format!("{prefix}Name"), json!(row.name)),
        (format!("{prefix}Arn"), json!(desk.arn_in(&row.region, kind, &row.name))),
        ("CreationTime".to_owned(), json!(row.created_at.unix_seconds())),
    ]);
    if let Some((status, modified_at)) = &row.state {
        members.insert("LastModifiedTime".to_owned(), json!(modified_at.unix_seconds()));
        members.insert(format!("{prefix}Status"), json!(status));
    }
    if let Some((endpoint, variant)) = row.place.as_ref().filter(|_| kind == ResourceKind::InferenceComponent) {
        members.insert("EndpointName".to_owned(), json!(endpoint));
        members.insert("EndpointArn".to_owned(), json!(desk.arn_in(&row.region, ResourceKind::Endpoint, endpoint)));
        members.insert("VariantName".to_owned(), json!(variant));
    }
    Value::Object(members)
}

pub(super) fn invalid_token() -> Fault {
    Fault::validation("The NextToken is not one that this list gave out. Begin again without a NextToken.")
}

/// What a token belongs to: the list with its order and its filters. The length of pages may change on the way.
fn list_identity(kind: ResourceKind, input: &Map<String, Value>) -> String {
    let mut members: Vec<_> = input.iter().filter(|(name, _)| *name != "NextToken" && *name != "MaxResults").collect();
    members.sort_by_key(|(name, _)| name.as_str());
    json!([kind.as_str(), members]).to_string()
}

fn digest(payload: &[u8], belongs_to: &str) -> [u8; TOKEN_DIGEST_BYTES] {
    let whole = Sha256::new().chain_update(payload).chain_update(belongs_to).finalize();
    std::array::from_fn(|index| whole[index])
}

pub(super) fn write_token(cursor: &Cursor, belongs_to: &str) -> String {
    let payload = serde_json::to_vec(cursor).expect("our bug: a cursor holds only text and numbers");
    let mut bytes = digest(&payload, belongs_to).to_vec();
    bytes.extend(payload);
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) fn read_token(token: &str, belongs_to: &str) -> Result<Cursor, Fault> {
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| invalid_token())?;
    let (given, payload) = bytes.split_at_checked(TOKEN_DIGEST_BYTES).ok_or_else(invalid_token)?;
    if given != digest(payload, belongs_to) {
        return Err(invalid_token());
    }
    serde_json::from_slice(payload).map_err(|_| invalid_token())
}
