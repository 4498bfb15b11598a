//! A model that answers with the request, for tests and benchmarks.
//!
//! Its behaviour is set by the model's environment:
//!
//! | key | effect |
//! | --- | --- |
//! | `CAPTURA_ECHO_DELAY_MS` | every answer waits this long, 0 to 600000 |
//! | `CAPTURA_ECHO_STATUS` | every call fails with this status, 400 to 599, and the body as its message |
//! | `CAPTURA_ECHO_RESPONSE` | answers this text instead of the request |
//! | `CAPTURA_ECHO_PIECE_DELAY_MS` | a streamed answer comes line by line, after this wait each, 0 to 600000 |
//! | `CAPTURA_ECHO_CONTENT_TYPE` | answers with this content type instead of the request's |
//!
//! Invariant: without these keys, body, content type and custom attributes come back as they were sent, unlooked at.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use captura_route::{Answer, Backend, BackendError, Invoking, ModelRequest, StreamedAnswer, Streaming};
use futures_util::stream;

use crate::artifact::Artifact;
use crate::{LoadError, ModelSpec, Settings};

const DELAY: &str = "CAPTURA_ECHO_DELAY_MS";
const STATUS: &str = "CAPTURA_ECHO_STATUS";
const RESPONSE: &str = "CAPTURA_ECHO_RESPONSE";
const CONTENT_TYPE: &str = "CAPTURA_ECHO_CONTENT_TYPE";
const PIECE_DELAY: &str = "CAPTURA_ECHO_PIECE_DELAY_MS";
const DELAY_MAX_MS: u64 = 600_000;

/// An echo for a model's files, which it does not look at.
pub(crate) fn load(_: &Artifact, spec: &ModelSpec, _: &Settings) -> Result<Arc<dyn Backend>, LoadError> {
    Ok(Arc::new(Echo::from_environment(&spec.environment)?))
}

/// Answers with the request.
#[derive(Debug, Clone, Default)]
pub struct Echo {
    delay: Duration,
    /// Set when streamed answers come line by line.
    piece_delay: Option<Duration>,
    status: Option<u16>,
    response: Option<Bytes>,
    content_type: Option<Box<str>>,
}

impl Echo {
    /// An echo that behaves as the model's environment says.
    ///
    /// # Errors
    /// When a key has a value out of range.
    pub fn from_environment(environment: &BTreeMap<String, String>) -> Result<Self, LoadError> {
        let delay_ms = number(environment, DELAY, "give milliseconds, 0 to 600000", 0..=DELAY_MAX_MS)?;
        let piece_delay_ms = number(environment, PIECE_DELAY, "give milliseconds, 0 to 600000", 0..=DELAY_MAX_MS)?;
        let status = number(environment, STATUS, "give an HTTP status, 400 to 599", 400..=599)?;
        Ok(Self {
            delay: Duration::from_millis(delay_ms.unwrap_or(0)),
            piece_delay: piece_delay_ms.map(Duration::from_millis),
            status: status.and_then(|status| u16::try_from(status).ok()),
            response: environment.get(RESPONSE).map(|text| Bytes::copy_from_slice(text.as_bytes())),
            content_type: environment.get(CONTENT_TYPE).map(|text| text.as_str().into()),
        })
    }

    fn answer(&self, request: &ModelRequest) -> Result<Answer, BackendError> {
        let body = self.response.as_ref().unwrap_or(&request.body).clone();
        match self.status {
            Some(status) => {
                Err(BackendError::Model { status, message: String::from_utf8_lossy(&body).into_owned(), body })
            }
            None => Ok(Answer {
                body,
                content_type: self.content_type.clone().or_else(|| request.content_type.clone()),
                custom_attributes: request.custom_attributes.clone(),
                ..Answer::default()
            }),
        }
    }
}

impl Backend for Echo {
    fn invoke<'a>(&'a self, request: &'a ModelRequest) -> Invoking<'a> {
        Box::pin(async move {
            if !self.delay.is_zero() {
                tokio::time::sleep(self.delay).await;
            }
            self.answer(request)
        })
    }

    fn invoke_streaming<'a>(&'a self, request: &'a ModelRequest) -> Streaming<'a> {
        Box::pin(async move {
            let answer = self.invoke(request).await?;
            Ok(match self.piece_delay {
                Some(delay) => line_by_line(answer, delay),
                None => StreamedAnswer::whole(answer),
            })
        })
    }
}

fn line_by_line(mut answer: Answer, delay: Duration) -> StreamedAnswer {
    let body = std::mem::take(&mut answer.body);
    let chunks = stream::unfold(body, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(delay).await;
        let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
        Some((Ok(rest.split_to(end)), rest))
    });
    StreamedAnswer { head: answer, chunks: Box::pin(chunks) }
}

fn number(
    environment: &BTreeMap<String, String>,
    name: &'static str,
    wanted: &'static str,
    range: std::ops::RangeInclusive<u64>,
) -> Result<Option<u64>, LoadError> {
    let Some(value) = environment.get(name) else { return Ok(None) };
    match value.trim().parse() {
        Ok(number) if range.contains(&number) => Ok(Some(number)),
        _ => Err(LoadError::Environment { name, value: value.clone(), wanted }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo(settings: &[(&str, &str)]) -> Result<Echo, LoadError> {
        Echo::from_environment(&settings.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect())
    }

    fn request() -> ModelRequest {
        ModelRequest {
            body: Bytes::from_static(b"\x00\xff"),
            content_type: Some("image/png".into()),
            custom_attributes: Some("trace=1".into()),
            ..ModelRequest::default()
        }
    }

    #[tokio::test]
    async fn what_is_sent_comes_back() {
        let answer = echo(&[]).unwrap().invoke(&request()).await.unwrap();
        assert_eq!(answer.body, request().body);
        assert_eq!(answer.content_type.as_deref(), Some("image/png"));
        assert_eq!(answer.custom_attributes.as_deref(), Some("trace=1"));
    }

    #[tokio::test]
    async fn the_environment_sets_answer_and_status() {
        let model = echo(&[(RESPONSE, "0.5"), (CONTENT_TYPE, "text/csv")]).unwrap();
        let answer = model.invoke(&request()).await.unwrap();
        assert_eq!((&answer.body[..], answer.content_type.as_deref()), (&b"0.5"[..], Some("text/csv")));
        let error = echo(&[(RESPONSE, "no"), (STATUS, "503")]).unwrap().invoke(&request()).await.unwrap_err();
        assert_eq!(error.to_string(), "the model answered 503: no");
    }

    #[tokio::test]
    async fn a_delayed_answer_is_not_there_at_once() {
        let model = echo(&[(DELAY, "60000")]).unwrap();
        let request = request();
        tokio::time::timeout(Duration::ZERO, model.invoke(&request)).await.unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn a_streamed_answer_comes_line_by_line_when_asked_to() {
        use futures_util::StreamExt as _;
        let lines = ModelRequest { body: Bytes::from_static(b"a\nb\n\nc"), ..ModelRequest::default() };
        let pieces = async |settings: &[(&str, &str)]| {
            let streamed = echo(settings).unwrap().invoke_streaming(&lines).await.unwrap();
            streamed.chunks.map(|piece| String::from_utf8(piece.unwrap().to_vec()).unwrap()).collect::<Vec<_>>().await
        };
        assert_eq!(pieces(&[(PIECE_DELAY, "50")]).await, ["a\n", "b\n", "\n", "c"]);
        assert_eq!(pieces(&[]).await, ["a\nb\n\nc"]);
    }

    #[test]
    fn values_out_of_range_are_refused() {
        let error = echo(&[(STATUS, "200")]).unwrap_err().to_string();
        assert_eq!(error, "the model's environment has CAPTURA_ECHO_STATUS=\"200\"; give an HTTP status, 400 to 599");
        assert!(echo(&[(DELAY, "-1")]).is_err());
        assert!(echo(&[(DELAY, "600001")]).is_err());
    }
}
