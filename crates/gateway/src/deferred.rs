//! InvokeEndpointAsync: the two ends of an asynchronous invocation. It is accepted here and handed through
//! [`crate::BacklogDoor`]; when its time has come, whoever keeps the queue has it run here, by the same [`Life`] as every
//! other call: permit, book, model, record.
//!
//! Invariant: 202 is answered only when the queue has said that the call survives the server. What is wrong with a call is
//! said at once, while there is somebody to tell. Refuses to: know queues and stores.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use captura_names::{ContainerHostname, EndpointName, EventId, InferenceId, S3Uri, Timestamp};
use captura_route::{
    AsyncInference, BackendError, Caller, Consumer, Deferred, Endpoint, Invocation, ModelRequest, Served,
};
use captura_wire::runtime::{self, ModelPlace};
use http::{HeaderName, HeaderValue, StatusCode};
use tokio::time::Instant;

use crate::choice::{self, Chosen};
use crate::fault::{Failed, Refused, kept};
use crate::head::{Members, Operation, Queueing};
use crate::invoke::place;
use crate::life::{Life, Passable};
use crate::premises::Premises;
use crate::prepared::PreparedEndpoint;
use crate::reply::{self, Reply};
use crate::shadow;

/// Largest payload that comes with the call itself, bytes; a larger one lies in a store.
pub(crate) const INLINE_MAX_BYTES: u64 = 128_000;
/// How long a call may wait when it does not say.
const TTL_DEFAULT: Duration = Duration::from_secs(6 * 60 * 60);
/// How long a model may take for a call that does not say.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(15 * 60);
/// Calls at a time per instance, where the endpoint does not say. AWS chooses by what it sees; a model that runs one call
/// after the other is not hurt by a few that wait in it.
const CONCURRENCY_DEFAULT: u32 = 4;

const OUTPUT_LOCATION: HeaderName = HeaderName::from_static(runtime::OUTPUT_LOCATION);
const FAILURE_LOCATION: HeaderName = HeaderName::from_static(runtime::FAILURE_LOCATION);

/// An asynchronous call as it came.
pub(crate) struct Asked {
    pub(crate) members: Members,
    pub(crate) body: Bytes,
    pub(crate) consumer: Consumer,
    pub(crate) caller: Caller,
    pub(crate) arrived_at: Timestamp,
}

/// Checks a call, has it kept, and says where its answer will be.
pub(crate) async fn accept(premises: &Premises, endpoint: &Endpoint, asked: Asked) -> Result<Reply, Refused> {
    let settings = endpoint.async_inference.as_deref().expect("our bug: the choice has seen that it is asynchronous");
    let Some(backlog) = &premises.settings.backlog else {
        return Err(Refused::NotSupported("InvokeEndpointAsync"));
    };
    let (deferred, body) = deferred(endpoint, settings, asked)?;
    let body_text = serde_json::json!({ "InferenceId": deferred.inference_id.as_str() }).to_string();
    let mut reply = reply::text(StatusCode::ACCEPTED, "application/json", body_text);
    let mut locate = |name: HeaderName, at: &S3Uri| match HeaderValue::from_str(&at.to_string()) {
        Ok(value) => drop(reply.headers_mut().insert(name, value)),
        Err(_) => tracing::debug!("a location is not visible ASCII and is left out of the reply"),
    };
    locate(OUTPUT_LOCATION, &deferred.output);
    if let Some(failure) = &deferred.failure {
        locate(FAILURE_LOCATION, failure);
    }
    backlog(deferred, body).await.map_err(Refused::NotQueued)?;
    Ok(reply)
}

fn deferred(endpoint: &Endpoint, settings: &AsyncInference, asked: Asked) -> Result<(Deferred, Bytes), Refused> {
    let Asked { members, body, consumer, caller, arrived_at } = asked;
    let invalid = |text: &str| Refused::Invalid(text.to_owned());
    let Queueing { input, ttl, timeout, path_extension, filename } = *members.queueing.unwrap_or_default();
    // A body that was read for its signature has met only the larger limit.
    if body.len() as u64 > INLINE_MAX_BYTES {
        return Err(Refused::BodyTooLarge { limit_bytes: INLINE_MAX_BYTES });
    }
    match (&input, body.is_empty()) {
        (Some(_), false) => return Err(invalid("Give either Body or InputLocation, not both.")),
        (None, true) => return Err(invalid("Give either Body or InputLocation; there is neither.")),
        _ => {}
    }
    let id = EventId::from_random_bytes(rand::random()).to_string();
    let Some(output) = &settings.output else {
        return Err(invalid(
            "The endpoint's AsyncInferenceConfig has no S3OutputPath, so there is no place for the answer.",
        ));
    };
    let output_named = filename.is_some();
    let filename = filename.map_or_else(|| format!("{id}.out"), String::from);
    let key = path_extension.map_or_else(|| filename.clone(), |path| format!("{}/{filename}", path.trim_matches('/')));
    let joined = |base: &S3Uri, key: &str| {
        base.join(key).map_err(|error| Refused::Invalid(format!("The place of the answer is no object key: {error}")))
    };
    let inference_id = members.inference_id.or_else(|| InferenceId::parse(&id).ok());
    let us = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    let deferred = Deferred {
        endpoint: endpoint.name.clone(),
        region: endpoint.region.clone(),
        consumer: consumer.as_str().to_owned(),
        caller,
        inference_id: inference_id.expect("our bug: a UUID is an inference id"),
        accepted_at: arrived_at,
        expires_at: arrived_at.plus_us(us(ttl.unwrap_or(TTL_DEFAULT))),
        timeout_seconds: timeout.unwrap_or(TIMEOUT_DEFAULT).as_secs(),
        content_type: members.request.content_type,
        accept: members.request.accept,
        custom_attributes: members.request.custom_attributes,
        input,
        output: joined(output, &key)?,
        output_named,
        failure: settings.failure.as_ref().map(|base| joined(base, &format!("{id}-error.out"))).transpose()?,
        settings: settings.clone(),
    };
    Ok((deferred, body))
}

/// Runs deferred invocations, for whoever keeps their queue. A cheap handle.
#[derive(Clone)]
pub struct Runner(pub(crate) Arc<Premises>);

impl Runner {
    /// How many calls of that endpoint may run at a time; nothing when it is not served, or not asynchronously. It is 0
    /// while the endpoint has no instances.
    #[must_use]
    pub fn lanes(&self, endpoint: &EndpointName) -> Option<usize> {
        let table = self.0.table.borrow();
        let endpoint = table.endpoint(endpoint)?;
        let settings = endpoint.async_inference.as_ref()?;
        let instances: usize = endpoint.variants().map(|variant| variant.backend.instances()).sum();
        Some(instances * settings.concurrency_max.unwrap_or(CONCURRENCY_DEFAULT) as usize)
    }

    /// Runs a call once. Its record says when it was run, not when it was accepted: that is when the model was asked.
    pub async fn run(&self, deferred: &Deferred, body: Bytes) -> Served {
        let premises = &*self.0;
        let table = Arc::clone(&premises.table.borrow());
        let prepared = premises.preparer.prepare(table);
        let Some(route) = prepared.endpoint(&deferred.endpoint) else {
            return Served::NotNow(format!("endpoint {} is not in service", deferred.endpoint));
        };
        match self.live(route, deferred, body).await {
            Ok(served) => served,
            Err(Refused::Invalid(why)) => Served::Failed(why),
            Err(refused) => Served::NotNow(refused.message().into_owned()),
        }
    }

    async fn live(&self, route: &PreparedEndpoint, deferred: &Deferred, body: Bytes) -> Result<Served, Refused> {
        let premises = &*self.0;
        let members = Members {
            inference_id: Some(deferred.inference_id.clone()),
            request: ModelRequest {
                body,
                content_type: deferred.content_type.clone(),
                accept: deferred.accept.clone(),
                custom_attributes: deferred.custom_attributes.clone(),
                ..ModelRequest::default()
            },
            ..Members::default()
        };
        let chosen = choice::choose(route, Operation::InvokeAsync, &members, rand::random())?;
        let invocation = Invocation {
            event_id: EventId::from_random_bytes(rand::random()),
            arrived_at: premises.clock.now(),
            consumer: Consumer::new(&deferred.consumer),
            caller: deferred.caller.clone(),
            endpoint: deferred.endpoint.clone(),
            target_variant: None,
            inference_id: members.inference_id,
            request: members.request,
        };
        let limit = Duration::from_secs(deferred.timeout_seconds);
        Ok(match self.through(&chosen, invocation, limit).await? {
            Ok(passable) => Served::Answered(passable.answer),
            Err(failed) => failed.served(route),
        })
    }

    /// Takes a call at whose other end there is no connection through its whole life.
    pub(crate) async fn through(
        &self,
        Chosen { variant, shadows }: &Chosen<'_>,
        invocation: Invocation,
        limit: Duration,
    ) -> Result<Result<Passable, Failed>, Refused> {
        let life = Life::begin(variant, invocation, Instant::now())?;
        if !shadows.is_empty() {
            shadow::copy(&self.0, shadows, life.begun.invocation());
        }
        let arrived = life.arrived;
        let run = life.run(variant, limit).await;
        let (ticket, permit) = life.conclude(&run);
        ticket.captured().await;
        permit.end(run.status(), arrived.elapsed(), run.in_model);
        Ok(run.answered)
    }
}

impl Failed {
    fn served(&self, route: &PreparedEndpoint) -> Served {
        let place = place(route);
        match self {
            Self::Backend(error) => {
                let (container, error) = error.parts();
                let place = ModelPlace { container: container.map(ContainerHostname::as_str), ..place };
                match error {
                    BackendError::Model { status, message, .. } => {
                        Served::Failed(place.model_answered(*status, kept(message)))
                    }
                    BackendError::TimedOut { .. } => Served::Failed(place.model_timed_out()),
                    BackendError::NotReady(_) | BackendError::Unavailable(_) => Served::NotNow(error.to_string()),
                    BackendError::WentAway(_) => Served::WentAway(error.to_string()),
                    _ => Served::Failed(error.to_string()),
                }
            }
            Self::UnusableAnswer(what) => Served::Failed(place.model_answered(500, what)),
            Self::Panicked => Served::Failed("The server failed while the model ran.".to_owned()),
        }
    }
}
