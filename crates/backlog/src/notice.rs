//! Notices of success and failure, in AWS's shape (contract 2.2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use captura_names::Timestamp;
use captura_route::{Answer, Deferred};
use serde_json::{Map, Value, json};

/// Largest answer that a notice carries, bytes.
pub(crate) const RESPONSE_MAX_BYTES: usize = 128 * 1024;
const IN_SUCCESS: &str = "SUCCESS_NOTIFICATION_TOPIC";
const IN_ERROR: &str = "ERROR_NOTIFICATION_TOPIC";

/// The notice of an answer, where it is at hand; nothing when nobody is to be told.
pub(crate) fn of_success(deferred: &Deferred, answer: Option<&Answer>, now: Timestamp) -> Option<(String, Value)> {
    let topic = deferred.settings.success_topic.clone()?;
    let mut notice = common(deferred, "Completed", now);
    let mut response = Map::new();
    if let Some(content_type) = answer.and_then(|answer| answer.content_type.as_ref()) {
        response.insert("contentType".into(), json!(content_type));
    }
    response.insert("outputLocation".into(), json!(deferred.output.to_string()));
    notice.insert("responseParameters".into(), response.into());
    if let Some(answer) = answer {
        include(&mut notice, deferred, IN_SUCCESS, &answer.body);
    }
    Some((topic, notice.into()))
}

/// The notice of a failure; nothing when nobody is to be told.
pub(crate) fn of_failure(deferred: &Deferred, reason: &str, now: Timestamp) -> Option<(String, Value)> {
    let topic = deferred.settings.error_topic.clone()?;
    let mut notice = common(deferred, "Failed", now);
    notice.insert("failureReason".into(), json!(reason));
    if let Some(failure) = &deferred.failure {
        notice.insert("responseParameters".into(), json!({ "failureLocation": failure.to_string() }));
    }
    include(&mut notice, deferred, IN_ERROR, reason.as_bytes());
    Some((topic, notice.into()))
}

fn common(deferred: &Deferred, status: &str, now: Timestamp) -> Map<String, Value> {
    let mut request = Map::new();
    if let Some(content_type) = &deferred.content_type {
        request.insert("contentType".into(), json!(content_type));
    }
    request.insert("endpointName".into(), json!(deferred.endpoint));
    if let Some(input) = &deferred.input {
        request.insert("inputLocation".into(), json!(input.to_string()));
    }
    let mut notice = Map::new();
    for (name, value) in [
        ("awsRegion", json!(deferred.region)),
        ("eventTime", json!(milliseconds(now))),
        ("receivedTime", json!(milliseconds(deferred.accepted_at))),
        ("invocationStatus", json!(status)),
        ("requestParameters", request.into()),
        ("inferenceId", json!(deferred.inference_id)),
        ("eventVersion", json!("1.0")),
        ("eventSource", json!("aws:sagemaker")),
        ("eventName", json!("InferenceResult")),
    ] {
        notice.insert(name.into(), value);
    }
    notice
}

/// The answer itself, where the endpoint wants it in this kind of notice and it is not too large for one.
fn include(notice: &mut Map<String, Value>, deferred: &Deferred, kind: &str, body: &[u8]) {
    let wanted = deferred.settings.include_response_in.iter().any(|wanted| wanted == kind);
    if wanted && body.len() <= RESPONSE_MAX_BYTES {
        let content = json!({ "content": STANDARD.encode(body), "encoding": "BASE64" });
        notice.insert("responseBody".into(), content);
    }
}

/// `2022-04-18T00:21:48.871Z`
fn milliseconds(at: Timestamp) -> String {
    let whole = at.to_string();
    format!("{}.{:03}Z", whole.trim_end_matches('Z'), at.hour_path().millisecond)
}
