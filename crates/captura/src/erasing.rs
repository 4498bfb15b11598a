//! `POST /captura/v1/erasures {"subject": "…", "endpoint": "…"}`: erases a person, and answers the certificate.
//!
//! Invariant: an erasure that has begun goes on when its caller hangs up. The subject is in no log and no answer.

use std::sync::Arc;

use bytes::Bytes;
use captura_names::EndpointName;
use captura_privacy::{EraseError, Eraser};
use http::{Response, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

/// Longest name of a subject, bytes.
const SUBJECT_MAX_BYTES: usize = 64 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    subject: String,
    endpoint: Option<String>,
}

pub(crate) async fn answer(eraser: Option<Arc<Eraser>>, body: Bytes) -> Response<Bytes> {
    // The words of the parser could repeat the subject.
    let asked: Option<Asked> = serde_json::from_slice(&body).ok();
    let endpoint = |name: &str| EndpointName::parse(name).map_err(|error| error.to_string());
    let asked = match asked {
        Some(Asked { subject, endpoint: name }) if (1..=SUBJECT_MAX_BYTES).contains(&subject.len()) => {
            match name.as_deref().map(endpoint).transpose() {
                Ok(endpoint) => (subject, endpoint),
                Err(why) => return told(StatusCode::BAD_REQUEST, &json!({ "message": why })),
            }
        }
        _ => {
            let why = "Give {\"subject\": \"…\"} and, for one endpoint only, \"endpoint\".";
            return told(StatusCode::BAD_REQUEST, &json!({ "message": why }));
        }
    };
    let Some(eraser) = eraser else {
        let error = EraseError::NoKeys(asked.1.map(|endpoint| endpoint.to_string()));
        return told(StatusCode::NOT_FOUND, &json!({ "message": error.to_string() }));
    };
    let work = tokio::spawn(async move { eraser.erase(&asked.0, asked.1.as_ref()).await });
    match work.await {
        Ok(Ok(certificate)) => told(StatusCode::OK, &certificate),
        Ok(Err(error)) => told(status(&error), &json!({ "message": error.to_string() })),
        Err(_) => {
            let why = "The erasure broke off; the server takes it up by itself.";
            told(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "message": why }))
        }
    }
}

fn status(error: &EraseError) -> StatusCode {
    match error {
        EraseError::Held(_) => StatusCode::CONFLICT,
        EraseError::NoKeys(_) => StatusCode::NOT_FOUND,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn told(status: StatusCode, content: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(content.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}
