//! Tags. Two of captura's own, on endpoint configurations, choose how surely captures are kept.

use captura_names::{Arn, ResourceKind};
use captura_route::{Durability, WhenUnavailable};
use captura_wire::aws_json::Fault;
use captura_wire::hosting::{AddTags, DeleteTags, ListTags, Tag, read};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{Desk, Failure, not_found};
use crate::catalog::{Resource, Work};
use crate::guarantee::CaptureGuarantee;

/// Most tags of one resource.
const TAGS_MAX: usize = 50;
/// Tag that chooses when a reply may leave.
const DURABILITY_KEY: &str = "captura:durability";
/// Tag that chooses what happens when a record cannot be kept.
const WHEN_UNAVAILABLE_KEY: &str = "captura:when-unavailable";

/// Tag that pins the data of a model.
pub(super) const MODEL_SHA256_KEY: &str = "captura:model-sha256";

pub(crate) async fn add(desk: &Desk, input: &Map<String, Value>) -> Result<Value, Failure> {
    let request: AddTags = read(input)?;
    refuse_unusable(&request.tags)?;
    desk.act(move |desk, work| {
        let (kind, resource) = find(desk, work, &request.resource_arn)?;
        work.add_tags(resource.id, &request.tags)?;
        let tags = work.tags(resource.id)?;
        if tags.len() > TAGS_MAX {
            let text = format!("A resource holds at most {TAGS_MAX} tags; with these it would hold {}.", tags.len());
            return Err(Fault::validation(text).into());
        }
        if kind == ResourceKind::EndpointConfig {
            capture_guarantee(&tags)?;
        }
        if kind == ResourceKind::Model {
            super::model::stored_model(work, &resource)?;
        }
        Ok(json!({ "Tags": tags }))
    })
    .await
}

/// All tags in one page: a known client reads only the first one, and there are never more than fit.
pub(crate) async fn list(desk: &Desk, input: &Map<String, Value>) -> Result<Value, Failure> {
    let request: ListTags = read(input)?;
    if request.next_token.is_some() {
        return Err(super::listing::invalid_token().into());
    }
    desk.act(move |desk, work| {
        let (_, resource) = find(desk, work, &request.resource_arn)?;
        Ok(json!({ "Tags": work.tags(resource.id)? }))
    })
    .await
}

pub(crate) async fn delete(desk: &Desk, input: &Map<String, Value>) -> Result<Value, Failure> {
    let request: DeleteTags = read(input)?;
    desk.act(move |desk, work| {
        let (_, resource) = find(desk, work, &request.resource_arn)?;
        work.delete_tags(resource.id, &request.tag_keys)?;
        Ok(json!({}))
    })
    .await
}

/// The resource of an ARN. The region of an ARN is not compared: one server has one set of names for all regions.
fn find(desk: &Desk, work: &Work<'_>, text: &str) -> Result<(ResourceKind, Resource), Failure> {
    let unknown = || Fault::validation(format!("Could not find resource \"{text}\"."));
    let arn = Arn::parse(text).map_err(|_| unknown())?;
    let found = if arn.account == desk.account { work.find(arn.kind, &arn.name)? } else { None };
    found.map(|resource| (arn.kind, resource)).ok_or_else(|| not_found(arn.kind, text).into())
}

/// Refuses tags that AWS refuses beyond what the constraints say.
pub(super) fn refuse_unusable(tags: &[Tag]) -> Result<(), Fault> {
    for (index, tag) in tags.iter().enumerate() {
        if tag.key.to_ascii_lowercase().starts_with("aws:") {
            let text = format!("The tag key '{}' begins with aws:, which is reserved for AWS's own use.", tag.key);
            return Err(Fault::validation(text));
        }
        if tags[..index].iter().any(|before| before.key == tag.key) {
            return Err(Fault::validation(format!("The tag key '{}' is given twice.", tag.key)));
        }
    }
    Ok(())
}

/// How surely captures are kept, as the tags of an endpoint configuration choose.
pub(super) fn capture_guarantee(tags: &[Tag]) -> Result<CaptureGuarantee, Fault> {
    let durability =
        choice::<Durability>(tags, DURABILITY_KEY, &["ack-after-fsync", "ack-after-write", "best-effort"])?;
    let when_unavailable = choice::<WhenUnavailable>(tags, WHEN_UNAVAILABLE_KEY, &["refuse", "serve"])?;
    Ok(CaptureGuarantee { durability, when_unavailable })
}

/// The digest that a model's data must have.
pub(super) fn model_sha256(tags: &[Tag]) -> Result<Option<String>, Fault> {
    let Some(tag) = tags.iter().find(|tag| tag.key == MODEL_SHA256_KEY) else { return Ok(None) };
    if tag.value.len() == 64 && tag.value.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(Some(tag.value.to_ascii_lowercase()));
    }
    let text = format!("The tag {MODEL_SHA256_KEY} has the value '{}'; it must be 64 hexadecimal digits.", tag.value);
    Err(Fault::validation(text))
}

fn choice<T: DeserializeOwned>(tags: &[Tag], key: &str, words: &[&str]) -> Result<Option<T>, Fault> {
    let Some(tag) = tags.iter().find(|tag| tag.key == key) else { return Ok(None) };
    serde_json::from_value(Value::String(tag.value.clone())).map(Some).map_err(|_| {
        Fault::validation(format!(
            "The tag {key} has the value '{}'; it must be one of {}.",
            tag.value,
            words.join(", ")
        ))
    })
}
