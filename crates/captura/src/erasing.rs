//! `POST /captura/v1/erasures {"subject": "…", "endpoint": "…"}`: erases a person, or with `"events": ["…"]` instead single
//! calls, and answers the certificate.
//!
//! Invariant: an erasure that has begun goes on when its caller hangs up. The subject is in no log and no answer.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use captura_names::{EndpointName, EventId};
use captura_privacy::{EVENTS_MAX, EraseError, Eraser};
use http::{Response, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::privacy::Erasers;

/// Longest name of a subject, bytes.
const SUBJECT_MAX_BYTES: usize = 64 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    subject: Option<String>,
    #[serde(default)]
    events: Vec<String>,
    endpoint: Option<String>,
}

/// Whom or what.
pub(crate) enum Target {
    Subject(String),
    Events(BTreeSet<EventId>),
}

impl Asked {
    fn target(&self) -> Result<(Target, Option<EndpointName>), String> {
        let wrong = || {
            "Give {\"subject\": \"…\"} or {\"events\": [\"…\"]} and, for one endpoint only, \"endpoint\".".to_owned()
        };
        let endpoint =
            self.endpoint.as_deref().map(EndpointName::parse).transpose().map_err(|error| error.to_string())?;
        let target = match (&self.subject, self.events.len()) {
            (Some(subject), 0) if (1..=SUBJECT_MAX_BYTES).contains(&subject.len()) => Target::Subject(subject.clone()),
            (None, 1..=EVENTS_MAX) => {
                let parsed = self.events.iter().map(|text| EventId::parse(text).ok_or(text));
                let events = parsed.collect::<Result<_, _>>();
                Target::Events(events.map_err(|text| format!("{text:?} is no event id"))?)
            }
            (None, 1..) => return Err(format!("At most {EVENTS_MAX} calls can be erased at once.")),
            _ => return Err(wrong()),
        };
        Ok((target, endpoint))
    }
}

/// Erases; the work goes on when whoever asked is gone.
pub(crate) async fn erase(
    eraser: &Eraser,
    target: &Target,
    endpoint: Option<&EndpointName>,
) -> Result<Value, EraseError> {
    match target {
        Target::Subject(subject) => eraser.erase(subject, endpoint).await,
        Target::Events(events) => eraser.erase_events(events, endpoint).await,
    }
}

pub(crate) async fn answer(erasers: Arc<Erasers>, body: Bytes) -> Response<Bytes> {
    let refused = |why: String| told(StatusCode::BAD_REQUEST, &json!({ "message": why }));
    // The words of the parser could repeat the subject.
    let asked: Option<Asked> = serde_json::from_slice(&body).ok();
    let asked = asked.unwrap_or(Asked { subject: None, events: Vec::new(), endpoint: None });
    let (target, endpoint) = match asked.target() {
        Ok(asked) => asked,
        Err(why) => return refused(why),
    };
    let work = tokio::spawn(async move {
        // A key management service may have to be asked.
        let eraser = tokio::task::spawn_blocking(move || erasers.get()).await;
        let eraser = eraser.unwrap_or_else(|panic| Err(panic.into())).map_err(|error| format!("{error:#}"))?;
        Ok::<_, String>(erase(&eraser, &target, endpoint.as_ref()).await)
    });
    match work.await {
        Ok(Ok(Ok(certificate))) => told(StatusCode::OK, &certificate),
        Ok(Ok(Err(error))) => told(status(&error), &json!({ "message": error.to_string() })),
        Ok(Err(why)) => told(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "message": why })),
        Err(_) => {
            let why = "The erasure broke off; the server takes it up by itself.";
            told(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "message": why }))
        }
    }
}

fn status(error: &EraseError) -> StatusCode {
    match error {
        EraseError::Held(_) => StatusCode::CONFLICT,
        EraseError::NoKeys(_) | EraseError::NoCalls => StatusCode::NOT_FOUND,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn told(status: StatusCode, content: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(content.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}
