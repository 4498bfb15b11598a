//! An endpoint that an analysis asks, over the public API, as any client would.
//!
//! Invariant: a call that the endpoint has no room for is tried again a few times, later each time; every call carries an
//! inference id that says what it is for. Refuses to: go round the endpoint's limits.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use captura_monitor::job::{AskError, AskModel, ModelAnswer, OWN_INFERENCE_ID, Question};
use http::{Method, StatusCode};
use serde_json::json;

use crate::cli::wait_in_service;
use crate::client::{Client, Reply};

/// What a call may take; SageMaker gives a model 60 seconds.
const CALL_TIMEOUT: Duration = Duration::from_secs(70);
/// Tries of a call that the endpoint has no room for.
const TRIES_MAX: u32 = 6;
/// Before the second try; twice as long before each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// An endpoint of a server.
pub(crate) struct EndpointModel {
    client: Client,
    endpoint: String,
    /// Whether it is there for this run only.
    temporary: bool,
    /// Tells the calls of one run from those of another.
    run: uuid::Uuid,
    captured: AtomicU64,
}

impl EndpointModel {
    pub(crate) fn new(client: Client, endpoint: String) -> Self {
        Self { client, endpoint, temporary: false, run: uuid::Uuid::new_v4(), captured: AtomicU64::new(0) }
    }

    /// An endpoint of its own for a model, as Clarify makes one: it captures nothing, and callers do not share it.
    ///
    /// # Errors
    /// When the server refuses it, or the model does not get into service.
    pub(crate) async fn of_model(client: Client, model: &str) -> anyhow::Result<Self> {
        let run = uuid::Uuid::new_v4();
        let endpoint = format!("{OWN_INFERENCE_ID}{}", run.simple());
        let variant = json!({
            "VariantName": "AllTraffic", "ModelName": model, "InitialInstanceCount": 1, "InstanceType": "ml.local",
            "InitialVariantWeight": 1.0,
        });
        let config = json!({ "EndpointConfigName": endpoint, "ProductionVariants": [variant] });
        client.operation("CreateEndpointConfig", &config).await?;
        let made = Self { client, endpoint, temporary: true, run, captured: AtomicU64::new(0) };
        let input = json!({ "EndpointName": made.endpoint, "EndpointConfigName": made.endpoint });
        let ready = match made.client.operation("CreateEndpoint", &input).await {
            Ok(_) => wait_in_service(&made.client, &made.endpoint).await,
            Err(error) => Err(error),
        };
        match ready {
            Ok(_) => Ok(made),
            Err(error) => {
                made.leave().await;
                Err(error)
            }
        }
    }

    /// Takes away what was made for this run.
    pub(crate) async fn leave(&self) {
        if self.temporary {
            // What cannot be taken away stays under a name that says what it was for.
            let _ = self.client.operation("DeleteEndpoint", &json!({ "EndpointName": self.endpoint })).await;
            let config = json!({ "EndpointConfigName": self.endpoint });
            let _ = self.client.operation("DeleteEndpointConfig", &config).await;
        }
    }

    /// What a person should know of what asking has left behind.
    pub(crate) fn note(&self) -> Option<String> {
        let captured = self.captured.load(Ordering::Relaxed);
        (captured > 0).then(|| {
            format!(
                "the endpoint captured {captured} of these calls, with inference ids that begin with {OWN_INFERENCE_ID}{}; \
                 analyses pass over such calls",
                self.run
            )
        })
    }

    async fn call(&self, question: Question<'_>) -> Result<ModelAnswer, AskError> {
        let path = format!("/endpoints/{}/invocations", self.endpoint);
        let id = format!("{OWN_INFERENCE_ID}{}-{}", self.run, question.number);
        let mut headers = vec![("content-type", question.content_type), ("x-amzn-sagemaker-inference-id", id.as_str())];
        headers.extend(question.accept.map(|accept| ("accept", accept)));
        headers.extend(question.target_model.map(|model| ("x-amzn-sagemaker-target-model", model)));
        let body = Bytes::from(question.body);
        let mut pause = FIRST_PAUSE;
        for left in (0..TRIES_MAX).rev() {
            let sent = self.client.send(Method::POST, &path, &headers, body.clone());
            let reply = match tokio::time::timeout(CALL_TIMEOUT, sent).await {
                Ok(Ok(reply)) => reply,
                Ok(Err(error)) => return Err(AskError::Failed(format!("{error:#}"))),
                Err(_) => return Err(AskError::Refused(format!("no answer within {} s", CALL_TIMEOUT.as_secs()))),
            };
            if left == 0 || !is_busy(reply.status) {
                return self.answer(&reply);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        unreachable!("our bug: the last try always answers")
    }

    fn answer(&self, reply: &Reply) -> Result<ModelAnswer, AskError> {
        if matches!(reply.header("x-captura-capture").split(';').next(), Some("durable" | "written" | "queued")) {
            self.captured.fetch_add(1, Ordering::Relaxed);
        }
        let status = reply.status;
        if status.is_success() {
            let content_type = Some(reply.header("content-type").to_owned()).filter(|given| !given.is_empty());
            return Ok(ModelAnswer { content_type, body: reply.body.to_vec() });
        }
        let said = reply.message();
        let of_the_body = [StatusCode::BAD_REQUEST, StatusCode::PAYLOAD_TOO_LARGE, StatusCode::FAILED_DEPENDENCY];
        Err(if of_the_body.contains(&status) { AskError::Refused(said) } else { AskError::Failed(said) })
    }
}

impl AskModel for EndpointModel {
    fn ask<'a>(
        &'a self,
        question: Question<'a>,
    ) -> Pin<Box<dyn Future<Output = Result<ModelAnswer, AskError>> + Send + 'a>> {
        Box::pin(self.call(question))
    }
}

fn is_busy(status: StatusCode) -> bool {
    matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
}
