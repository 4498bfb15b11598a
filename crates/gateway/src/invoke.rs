//! The walk of one invocation. Its order is known here and nowhere else.
//!
//! What all ways to invoke have in common is a [`Life`]; an answer in one piece is replied here, one that comes in pieces
//! in `streaming`, and one that nobody waits for in `deferred`.

use captura_names::{EventId, Timestamp};
use captura_route::{Caller, Consumer, Held, Holder, Invocation, ModelRequest};
use captura_wire::runtime::ModelPlace;
use http::request::Parts;
use http::{StatusCode, header};
use tokio::time::Instant;

use crate::body::{self, Collected, RequestBody};
use crate::choice::{self, Chosen};
use crate::connection::Line;
use crate::deferred::{self, Asked};
use crate::fault::Refused;
use crate::head::{self, Operation};
use crate::life::{Life, Passable};
use crate::prepared::{PreparedEndpoint, PreparedVariant};
use crate::pulse::Phase;
use crate::reply::{
    self, CAPTURE, CLOSED_SESSION_ID, CUSTOM_ATTRIBUTES, EVENT_ID, INVOKED_VARIANT, NEW_SESSION_ID, REQUEST_ID, Reply,
};
use crate::{shadow, streaming};

/// A request to invoke, as it passed the door.
pub(crate) struct Call<'a> {
    pub(crate) endpoint: &'a str,
    pub(crate) operation: Operation,
    pub(crate) head: &'a Parts,
    pub(crate) body: RequestBody,
    pub(crate) consumer: Consumer,
    pub(crate) caller: Caller,
    pub(crate) arrived_at: Timestamp,
    pub(crate) arrived: Instant,
}

/// Takes a call through its life: whole request, variant, permit, begin, copies, model, conclusion, capture, reply.
pub(crate) async fn invoke(line: &Line, call: Call<'_>) -> Result<Reply, Refused> {
    let premises = &*line.premises;
    let Call { endpoint, operation, head, body, consumer, caller, arrived_at, arrived } = call;

    let (endpoint, members) = head::parse(endpoint, &head.headers, operation)?;
    let body_max_bytes = match operation {
        Operation::InvokeAsync => deferred::INLINE_MAX_BYTES,
        Operation::Invoke | Operation::InvokeWithResponseStream => premises.settings.body_max_bytes,
    };
    let Collected { bytes, held } = body::collect(body, body_max_bytes, premises.memory(), &line.pulse).await?;
    line.pulse.enter(Phase::Work, arrived);

    let routes = line.routes();
    let Some(route) = routes.endpoint(&endpoint) else {
        return Err(match routes.is_returning(&endpoint) {
            true => Refused::StillLoading(endpoint),
            false => Refused::EndpointNotFound { endpoint, account: premises.settings.account.clone() },
        });
    };
    let Chosen { variant, shadows } = choice::choose(route, operation, &members, rand::random())?;
    if operation == Operation::InvokeAsync {
        let asked = Asked { members, body: bytes, consumer, caller, arrived_at };
        return Box::pin(deferred::accept(premises, &route.endpoint, asked)).await;
    }
    let invocation = Invocation {
        event_id: EventId::from_random_bytes(rand::random()),
        arrived_at,
        consumer,
        caller,
        endpoint,
        target_variant: members.target_variant,
        inference_id: members.inference_id,
        request: ModelRequest { body: bytes, ..members.request },
    };
    let life = Life::begin(variant, invocation, arrived)?;
    if !shadows.is_empty() {
        shadow::copy(premises, shadows, life.begun.invocation());
    }
    match operation {
        Operation::InvokeWithResponseStream => Box::pin(streaming::reply(premises, route, variant, (life, held))).await,
        Operation::Invoke | Operation::InvokeAsync => whole(line, (route, variant), life, held).await,
    }
}

/// Runs the model and replies with its answer in one piece.
async fn whole(
    line: &Line,
    (route, variant): (&PreparedEndpoint, &PreparedVariant),
    life: Life,
    mut held: Held,
) -> Result<Reply, Refused> {
    let event_id = life.begun.invocation().event_id;
    let arrived = life.arrived;
    let run = life.run(variant, line.premises.settings.model_timeout).await;
    let (status, in_model) = (run.status(), run.in_model);
    let (ticket, permit) = life.conclude(&run);
    let captured = ticket.captured().await;

    let mut reply = match run.answered {
        Ok(passable) => {
            held.absorb(line.premises.settings.memory.count(Holder::Answers, passable.answer.body.len() as u64));
            answer(passable, held)
        }
        Err(failed) => failed.reply(place(route)),
    };
    let headers = reply.headers_mut();
    let id = reply::header_value(event_id);
    headers.insert(REQUEST_ID, id.clone());
    headers.insert(EVENT_ID, id);
    headers.insert(INVOKED_VARIANT, variant.header.clone());
    headers.insert(CAPTURE, reply::header_value(captured));
    permit.end(status, arrived.elapsed(), in_model);
    Ok(reply)
}

fn answer(passable: Passable, held: Held) -> Reply {
    let mut reply = reply::reply(StatusCode::OK, passable.answer.body, Some(held));
    let headers = reply.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, passable.content_type),
        (CUSTOM_ATTRIBUTES, passable.custom_attributes),
        (NEW_SESSION_ID, passable.new_session_id),
        (CLOSED_SESSION_ID, passable.closed_session_id),
    ] {
        if let Some(value) = value {
            headers.insert(name, value);
        }
    }
    reply
}

/// Where the model runs, as error texts name it.
pub(crate) fn place(route: &PreparedEndpoint) -> ModelPlace<'_> {
    let at = &route.endpoint;
    ModelPlace { region: &at.region, account: &at.account, endpoint: at.name.as_str(), container: None }
}
