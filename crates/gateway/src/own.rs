//! Calls that this server makes itself: the questions of its jobs.
//!
//! Invariant: they are calls like all others from the permit on, counted, limited and captured; only the way in is another,
//! so that a job needs no credentials, no certificate and no network to ask. Refuses to: decide who may have which endpoint
//! asked, which whoever holds the [`Runner`] has decided.

use bytes::Bytes;
use captura_names::{EndpointName, EventId, InferenceId};
use captura_route::{Answer, BackendError, Caller, Consumer, Holder, Invocation, ModelRequest, Principal};

use crate::choice;
use crate::deferred::Runner;
use crate::fault::{Failed, Refused, kept};
use crate::head::{Members, Operation};
use crate::invoke::place;
use crate::prepared::PreparedEndpoint;

/// A call of this server's own.
#[derive(Debug, Clone)]
pub struct OwnCall {
    /// Which endpoint is asked.
    pub endpoint: EndpointName,
    /// As whom.
    pub consumer: String,
    /// On behalf of what, as `job:name`.
    pub principal: String,
    /// Its id among those of its kind.
    pub inference_id: InferenceId,
    /// Media type of the body.
    pub content_type: Option<Box<str>>,
    /// Media type that is wanted back.
    pub accept: Option<Box<str>>,
    /// What a multi-model endpoint is to ask.
    pub target_model: Option<Box<str>>,
    /// The payload.
    pub body: Bytes,
}

/// How a call of this server's own ended.
#[derive(Debug, Clone)]
pub enum OwnOutcome {
    /// The model answered.
    Answered(Answer),
    /// The model does not take this body; it may take another.
    Refused(String),
    /// There is no answer now; the same call may have one later.
    Busy(String),
    /// There is no answer, and asking again would not help.
    Failed(String),
}

impl Runner {
    /// Makes a call once.
    pub async fn call(&self, own: OwnCall) -> OwnOutcome {
        let premises = &*self.0;
        let body_max_bytes = premises.settings.body_max_bytes;
        if own.body.len() as u64 > body_max_bytes {
            return OwnOutcome::Refused(Refused::BodyTooLarge { limit_bytes: body_max_bytes }.message().into_owned());
        }
        let Some(held) = premises.settings.memory.take(Holder::Requests, own.body.len() as u64) else {
            return OwnOutcome::Busy(Refused::MemoryExhausted.message().into_owned());
        };
        let routes = premises.preparer.prepare(premises.table.borrow().clone());
        let Some(route) = routes.endpoint(&own.endpoint) else {
            if routes.is_returning(&own.endpoint) {
                return OwnOutcome::Busy(Refused::StillLoading(own.endpoint).message().into_owned());
            }
            let account = premises.settings.account.clone();
            let refused = Refused::EndpointNotFound { endpoint: own.endpoint, account };
            return OwnOutcome::Failed(refused.message().into_owned());
        };
        let outcome = match self.answered(route, own).await {
            Ok(outcome) => outcome,
            Err(refused @ (Refused::AtCapacity { .. } | Refused::CaptureUnavailable { .. })) => {
                OwnOutcome::Busy(refused.message().into_owned())
            }
            Err(refused) => OwnOutcome::Failed(refused.message().into_owned()),
        };
        drop(held);
        outcome
    }

    async fn answered(&self, route: &PreparedEndpoint, own: OwnCall) -> Result<OwnOutcome, Refused> {
        let premises = &*self.0;
        let members = Members {
            inference_id: Some(own.inference_id),
            request: ModelRequest {
                body: own.body,
                content_type: own.content_type,
                accept: own.accept,
                target_model: own.target_model,
                ..ModelRequest::default()
            },
            ..Members::default()
        };
        let chosen = choice::choose(route, Operation::Invoke, &members, rand::random())?;
        let invocation = Invocation {
            event_id: EventId::from_random_bytes(rand::random()),
            arrived_at: premises.clock.now(),
            consumer: Consumer::new(&own.consumer),
            caller: Caller { principal: Principal::new(&own.principal), ..Caller::default() },
            endpoint: own.endpoint,
            target_variant: None,
            inference_id: members.inference_id,
            request: members.request,
        };
        Ok(match self.through(&chosen, invocation, premises.settings.model_timeout).await? {
            Ok(passable) => OwnOutcome::Answered(passable.answer),
            Err(failed) => failed.to_own_call(route),
        })
    }
}

impl Failed {
    fn to_own_call(&self, route: &PreparedEndpoint) -> OwnOutcome {
        let place = place(route);
        match self {
            Self::Backend(error) => match error.parts().1 {
                BackendError::NotReady(_) | BackendError::Unavailable(_) | BackendError::WentAway(_) => {
                    OwnOutcome::Busy(error.to_string())
                }
                BackendError::Model { status, message, .. } => {
                    OwnOutcome::Refused(place.model_answered(*status, kept(message)))
                }
                BackendError::TimedOut { .. } => OwnOutcome::Refused(place.model_timed_out()),
                _ => OwnOutcome::Failed(error.to_string()),
            },
            Self::UnusableAnswer(what) => OwnOutcome::Failed(place.model_answered(500, what)),
            Self::Panicked => OwnOutcome::Failed("The server failed while the model ran.".to_owned()),
        }
    }
}
