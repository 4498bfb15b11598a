//! Which model takes a call, and whether the endpoint takes it at all.
//!
//! Invariant: a call that asks for more than the endpoint has (another model, a container, a session, an explanation) is
//! refused before it is an invocation; it is never answered by whichever model is there. Refuses to: know how the call
//! goes on.

use captura_route::{Endpoint, Extras, ModelRequest};
use captura_wire::runtime;

use crate::fault::Refused;
use crate::head::{Members, Operation};
use crate::prepared::{PreparedEndpoint, PreparedVariant, Shadow};

// What follows "Endpoint N" in the texts of refusals; the first is SageMaker's own.
const TARGET_MODEL_NOT_ALLOWED: &str = "is not a multi-model endpoint and does not support target model header.";
const TARGET_MODEL_REQUIRED: &str = "is a multi-model endpoint. Name the model with TargetModel.";
const TARGET_CONTAINER_NOT_ALLOWED: &str = "is not a multi-container endpoint in Direct mode and does not support target \
                                            container hostname header.";
const TARGET_CONTAINER_REQUIRED: &str =
    "calls one of several containers directly. Name it with TargetContainerHostname.";
const SESSION_NOT_ALLOWED: &str = "has a model that keeps no sessions. Leave out SessionId.";
const EXPLANATIONS_NOT_ALLOWED: &str = "has no explainer and cannot enable explanations. Leave out EnableExplanations.";
const STREAM_NOT_EXPLAINED: &str = "has an explainer and does not support InvokeEndpointWithResponseStream. Use \
                                    InvokeEndpoint.";
/// Literal that asks for no explanations.
const NO_EXPLANATIONS: &str = "`false`";

/// The model that takes a call, and the variants that get copies of it.
pub(crate) struct Chosen<'a> {
    pub(crate) variant: &'a PreparedVariant,
    pub(crate) shadows: &'a [Shadow],
}

/// Chooses for a call of that operation. `dice` is uniform in 0.0..1.0.
///
/// # Errors
/// When the endpoint takes no such call.
pub(crate) fn choose<'a>(
    route: &'a PreparedEndpoint,
    operation: Operation,
    members: &Members,
    dice: f64,
) -> Result<Chosen<'a>, Refused> {
    let endpoint = &route.endpoint;
    check_operation(endpoint, operation)?;
    let chosen = match (&members.component, endpoint.has_components()) {
        (None, false) => match route.pick(members.target_variant.as_ref(), dice) {
            Ok((variant, shadows)) => Chosen { variant, shadows },
            Err(why) => return Err(Refused::NoVariant { endpoint: endpoint.name.clone(), why }),
        },
        (None, true) => return Err(Refused::Invalid(runtime::COMPONENT_REQUIRED.into())),
        (Some(_), false) => return Err(Refused::Invalid(runtime::COMPONENT_NOT_ALLOWED.into())),
        (Some(name), true) => match route.component(name, dice) {
            Some(variant) => Chosen { variant, shadows: &[] },
            None => {
                let text = format!("Inference Component {name} not found for endpoint {}.", endpoint.name);
                return Err(Refused::Invalid(text));
            }
        },
    };
    let extras = chosen.variant.extras;
    let unexplained = operation == Operation::InvokeWithResponseStream && extras.explanations;
    match not_taken(&members.request, extras).or(unexplained.then_some(STREAM_NOT_EXPLAINED)) {
        Some(why) => Err(Refused::Invalid(format!("Endpoint {} {why}", endpoint.name))),
        None => Ok(chosen),
    }
}

/// An endpoint takes asynchronous invocations or the others.
fn check_operation(endpoint: &Endpoint, operation: Operation) -> Result<(), Refused> {
    let why = match (endpoint.async_inference.is_some(), operation == Operation::InvokeAsync) {
        (true, false) => "an asynchronous endpoint. Use InvokeEndpointAsync.",
        (false, true) => "not an asynchronous endpoint. Use InvokeEndpoint.",
        _ => return Ok(()),
    };
    Err(Refused::Invalid(format!("Endpoint {} of account {} is {why}", endpoint.name, endpoint.account)))
}

/// What the request asks for that the model does not take, or leaves out that the model needs.
pub(crate) fn not_taken(request: &ModelRequest, extras: Extras) -> Option<&'static str> {
    let explained = request.enable_explanations.as_deref().is_some_and(|asked| asked != NO_EXPLANATIONS);
    [
        (request.target_model.is_some() && !extras.target_model, TARGET_MODEL_NOT_ALLOWED),
        (request.target_model.is_none() && extras.target_model, TARGET_MODEL_REQUIRED),
        (request.target_container.is_some() && !extras.target_container, TARGET_CONTAINER_NOT_ALLOWED),
        (request.target_container.is_none() && extras.target_container, TARGET_CONTAINER_REQUIRED),
        (request.session_id.is_some() && !extras.sessions, SESSION_NOT_ALLOWED),
        (explained && !extras.explanations, EXPLANATIONS_NOT_ALLOWED),
    ]
    .into_iter()
    .find_map(|(wrong, why)| wrong.then_some(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_model_does_not_take_is_refused_and_what_it_takes_is_not() {
        let all = Extras { target_model: true, target_container: true, sessions: true, explanations: true };
        let text = |text: &str| Some(Box::from(text));
        let everything = ModelRequest {
            target_model: text("a.tar.gz"),
            target_container: captura_names::ContainerHostname::parse("second").ok(),
            session_id: text("NEW_SESSION"),
            enable_explanations: text("`true`"),
            ..ModelRequest::default()
        };
        assert_eq!(not_taken(&everything, all), None);
        assert_eq!(not_taken(&everything, Extras { target_model: false, ..all }), Some(TARGET_MODEL_NOT_ALLOWED));
        assert_eq!(
            not_taken(&everything, Extras { target_container: false, ..all }),
            Some(TARGET_CONTAINER_NOT_ALLOWED)
        );
        assert_eq!(not_taken(&everything, Extras { sessions: false, ..all }), Some(SESSION_NOT_ALLOWED));
        assert_eq!(not_taken(&everything, Extras { explanations: false, ..all }), Some(EXPLANATIONS_NOT_ALLOWED));
        let nothing = ModelRequest { enable_explanations: text("`false`"), ..ModelRequest::default() };
        assert_eq!(not_taken(&nothing, Extras::default()), None);
        assert_eq!(not_taken(&nothing, all), Some(TARGET_MODEL_REQUIRED));
        assert_eq!(not_taken(&nothing, Extras { target_model: false, ..all }), Some(TARGET_CONTAINER_REQUIRED));
    }
}
