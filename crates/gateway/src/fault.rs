//! The only map from what went wrong to the status, code and text that the caller sees.
//!
//! Texts that clients compare come from `captura_wire::runtime`; here stands only which of them answers what.
//!
//! Invariant: a body has a fixed shape, names no file and no stack, and says what to change. The shape is that of the
//! service that was called: under `/endpoints/` the runtime's JSON (`Message`), for S3 and query clients XML.

use std::borrow::Cow;

use captura_capture::DropReason;
use captura_names::{ContainerHostname, EndpointName, EventId, VariantName};
use captura_route::{BackendError, NoVariant};
use captura_wire::denial::{self, Denial, Dialect};
use captura_wire::runtime::{self, Code, FaultBody, ModelPlace};
use http::{HeaderValue, StatusCode, header};

use crate::reply::{self, ERROR_TYPE, REQUEST_ID, Reply};

/// Seconds after which a caller that met a full server may try again.
const RETRY_AFTER_SECONDS: &str = "1";
/// Longest part of a model's own words that is repeated to the caller, bytes; its record keeps all of them.
const ORIGINAL_MESSAGE_MAX_BYTES: usize = 16 * 1024;

/// Why a request did not become an invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The `Host` is not one of this server's names.
    HostNotAllowed,
    /// The `Origin` is not one of this server's names.
    OriginNotAllowed,
    /// The head is not what HTTP allows.
    BadRequest(&'static str),
    /// The method does not go with the path.
    MethodNotAllowed,
    /// Path and query are too long.
    UriTooLong { limit_bytes: usize },
    /// The body is, or says it is, too large.
    BodyTooLarge { limit_bytes: u64 },
    /// The body broke off or is not framed as its head says.
    BodyBroken,
    /// The bodies in flight fill the memory meant for them.
    MemoryExhausted,
    /// No such operation under `/endpoints/`.
    UnknownOperation,
    /// An operation of SageMaker's that this version does not have.
    NotSupported(&'static str),
    /// Members break their constraints; the text says which.
    Invalid(String),
    /// The endpoint does not exist, or is not in service.
    EndpointNotFound { endpoint: EndpointName, account: String },
    /// The endpoint was in service before a restart and is being loaded again.
    StillLoading(EndpointName),
    /// No variant takes the call.
    NoVariant { endpoint: EndpointName, why: NoVariant },
    /// As many calls as may be are in flight.
    AtCapacity { endpoint: EndpointName, variant: VariantName },
    /// The policy allows no call without a record, and no record can be kept.
    CaptureUnavailable { endpoint: EndpointName, reason: DropReason },
    /// The signature is missing or wrong, or its key may not do this; in the words of the service that was called.
    Denied(Box<(Denial, Dialect)>),
    /// The queue of asynchronous invocations takes no more; the text says why.
    NotQueued(String),
    /// A handler panicked.
    Panicked,
}

impl Refused {
    /// Every value of [`Refused::reason`], for the meters.
    pub(crate) const REASONS: [&'static str; 17] = [
        "host",
        "origin",
        "bad_request",
        "too_large",
        "memory_budget",
        "unknown_operation",
        "invalid",
        "endpoint_not_found",
        "still_loading",
        "no_variant",
        "concurrency",
        "capture_unavailable",
        "backlog",
        "unauthenticated",
        "too_many_failed_signatures",
        "unauthorized",
        "panic",
    ];

    /// Under which reason the refusal is counted.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::HostNotAllowed => "host",
            Self::OriginNotAllowed => "origin",
            Self::BadRequest(_) | Self::MethodNotAllowed | Self::BodyBroken => "bad_request",
            Self::UriTooLong { .. } | Self::BodyTooLarge { .. } => "too_large",
            Self::MemoryExhausted => "memory_budget",
            Self::UnknownOperation | Self::NotSupported(_) => "unknown_operation",
            Self::Invalid(_) => "invalid",
            Self::EndpointNotFound { .. } => "endpoint_not_found",
            Self::StillLoading(_) => "still_loading",
            Self::NoVariant { .. } => "no_variant",
            Self::AtCapacity { .. } => "concurrency",
            Self::CaptureUnavailable { .. } => "capture_unavailable",
            Self::NotQueued(_) => "backlog",
            Self::Denied(denied) => match denied.0 {
                Denial::NotAllowed { .. } => "unauthorized",
                Denial::TooManyFailures => "too_many_failed_signatures",
                _ => "unauthenticated",
            },
            Self::Panicked => "panic",
        }
    }

    fn status_and_code(&self) -> (u16, &'static str) {
        match self {
            Self::HostNotAllowed => (421, "MisdirectedRequest"),
            Self::OriginNotAllowed => (403, "AccessDeniedException"),
            Self::MethodNotAllowed => (405, "MethodNotAllowed"),
            Self::UriTooLong { .. } => (414, Code::ValidationError.as_str()),
            Self::BodyTooLarge { .. } => (413, Code::ValidationError.as_str()),
            Self::UnknownOperation => (404, Code::UnknownOperationException.as_str()),
            Self::BadRequest(_)
            | Self::BodyBroken
            | Self::NotSupported(_)
            | Self::Invalid(_)
            | Self::EndpointNotFound { .. }
            | Self::NoVariant { .. } => (400, Code::ValidationError.as_str()),
            Self::MemoryExhausted
            | Self::StillLoading(_)
            | Self::AtCapacity { .. }
            | Self::CaptureUnavailable { .. }
            | Self::NotQueued(_) => (503, Code::ServiceUnavailable.as_str()),
            Self::Denied(denied) => {
                let answer = denied.0.answer(denied.1, "");
                (answer.status, answer.code)
            }
            Self::Panicked => (500, Code::InternalFailure.as_str()),
        }
    }

    pub(crate) fn message(&self) -> Cow<'static, str> {
        match self {
            Self::HostNotAllowed => "The Host header names another server. Use this server's address, or add the name \
                                     to the allowed hosts in its configuration."
                .into(),
            Self::OriginNotAllowed => "The Origin header names another site. Pages of other sites may not call this \
                                       server."
                .into(),
            Self::BadRequest(what) => format!("The request is not valid HTTP: {what}.").into(),
            Self::MethodNotAllowed => "The method is not allowed here.".into(),
            Self::UriTooLong { limit_bytes } => format!("Path and query are longer than {limit_bytes} bytes.").into(),
            Self::BodyTooLarge { limit_bytes } => format!("HTTP content length exceeded {limit_bytes} bytes.").into(),
            Self::BodyBroken => "The body broke off, or is not framed as the headers say.".into(),
            Self::MemoryExhausted => "The server holds as many bytes of requests as it may. Try again.".into(),
            Self::UnknownOperation => "There is no such operation. Endpoints are called with POST \
                                       /endpoints/{EndpointName}/invocations."
                .into(),
            Self::NotSupported(operation) => {
                format!("{operation} is not supported by this version of captura. Use InvokeEndpoint.").into()
            }
            Self::Invalid(text) => text.clone().into(),
            Self::EndpointNotFound { endpoint, account } => {
                runtime::endpoint_not_found(endpoint.as_str(), account).into()
            }
            Self::StillLoading(endpoint) => {
                format!("Endpoint {endpoint} is still being loaded after a restart of the server. Try again.").into()
            }
            Self::NoVariant { endpoint, why: NoVariant::Unknown(variant) } => {
                format!("Variant {variant} not found for endpoint {endpoint}.").into()
            }
            Self::NoVariant { endpoint, why: NoVariant::AllWeightsZero } => {
                format!("No variant of endpoint {endpoint} takes traffic: all weights are 0. Set the target variant.")
                    .into()
            }
            Self::AtCapacity { endpoint, variant } => {
                format!("Variant {variant} of endpoint {endpoint} has as many calls in flight as it may. Try again.")
                    .into()
            }
            Self::CaptureUnavailable { endpoint, reason } => format!(
                "Endpoint {endpoint} takes no call without a record of it, and none can be kept now: {reason}. Try again."
            )
            .into(),
            Self::Denied(denied) => denied.0.message(denied.1),
            Self::NotQueued(why) => format!("The call cannot be kept for later: {why}. Try again.").into(),
            Self::Panicked => "The server failed on this request.".into(),
        }
    }

    /// The reply.
    pub(crate) fn reply(&self, dialect: Dialect) -> Reply {
        if let Self::Denied(denied) = self {
            let (denial, dialect) = &**denied;
            return dialect_reply(*dialect, |id| denial.answer(*dialect, id));
        }
        let (status, code) = self.status_and_code();
        let message = self.message();
        if dialect == Dialect::Runtime {
            return fault_reply(status, code, FaultBody { message: &message, ..FaultBody::default() }.to_json());
        }
        let code = code_in(dialect, code);
        let mut reply = dialect_reply(dialect, |id| dialect.fault((status, code), &message, id));
        ask_to_come_back(&mut reply);
        reply
    }
}

/// What another service says for a code of the runtime's.
fn code_in(dialect: Dialect, code: &'static str) -> &'static str {
    match (dialect, code) {
        (Dialect::AwsJson | Dialect::Cbor, "ValidationError") => "ValidationException",
        (Dialect::S3, "ValidationError") => "InvalidRequest",
        (Dialect::S3, "InternalFailure") => "InternalError",
        (Dialect::S3 | Dialect::Query, "AccessDeniedException") => "AccessDenied",
        (_, code) => code,
    }
}

/// Why an invocation has no answer to pass on.
#[derive(Debug, Clone)]
pub(crate) enum Failed {
    /// The model said so.
    Backend(BackendError),
    /// The model panicked, which is a bug of captura's.
    Panicked,
    /// The model's answer cannot be passed on; the text says what of it.
    UnusableAnswer(&'static str),
}

impl Failed {
    /// HTTP status of the reply.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::Backend(error) => match error.parts().1 {
                BackendError::NoSuchTarget(_) => 400,
                BackendError::NotReady(_) => 429,
                BackendError::Unavailable(_) | BackendError::WentAway(_) => 503,
                _ => 424,
            },
            Self::UnusableAnswer(_) => 424,
            Self::Panicked => 500,
        }
    }

    /// The reply.
    pub(crate) fn reply(&self, place: ModelPlace<'_>) -> Reply {
        let (code, body) = match self {
            Self::Backend(error) => {
                let (container, error) = error.parts();
                backend_error(error, ModelPlace { container: container.map(ContainerHostname::as_str), ..place })
            }
            Self::UnusableAnswer(what) => model_error(500, what, place),
            Self::Panicked => {
                let message = "The server failed while the model ran.";
                (Code::InternalFailure, FaultBody { message, ..FaultBody::default() }.to_json())
            }
        };
        fault_reply(self.status(), code.as_str(), body)
    }
}

fn backend_error(error: &BackendError, place: ModelPlace<'_>) -> (Code, Vec<u8>) {
    let plain = |message: &str| FaultBody { message, ..FaultBody::default() }.to_json();
    match error {
        BackendError::Model { status, message, .. } => model_error(*status, message, place),
        BackendError::TimedOut { .. } => {
            let body = FaultBody {
                error_code: Some("MODEL_TIMED_OUT"),
                log_stream_arn: Some(&place.log_stream_arn()),
                message: &place.model_timed_out(),
                original_message: Some(&place.timed_out_original()),
                original_status_code: Some(0),
            };
            (Code::ModelError, body.to_json())
        }
        BackendError::NotReady(why) => {
            let message = format!("The model is not ready: {}. Try again.", kept(why));
            (Code::ModelNotReadyException, plain(&message))
        }
        BackendError::Unavailable(why) => {
            let message = format!("The model is unavailable: {}. Try again.", kept(why));
            (Code::ServiceUnavailable, plain(&message))
        }
        BackendError::WentAway(why) => {
            let message = format!("The model went away while it had the call: {}. Try again.", kept(why));
            (Code::ServiceUnavailable, plain(&message))
        }
        BackendError::NoSuchTarget(why) => (Code::ValidationError, plain(kept(why))),
        BackendError::InContainer { error, .. } => backend_error(error, place),
    }
}

fn model_error(status: u16, message: &str, place: ModelPlace<'_>) -> (Code, Vec<u8>) {
    let message = kept(message);
    let client = (400..500).contains(&status);
    let body = FaultBody {
        error_code: Some(if client { "CLIENT_ERROR_FROM_MODEL" } else { "SERVER_ERROR_FROM_MODEL" }),
        log_stream_arn: Some(&place.log_stream_arn()),
        message: &place.model_answered(status, message),
        original_message: Some(message),
        original_status_code: Some(status),
    };
    (Code::ModelError, body.to_json())
}

/// The part of a model's words that is repeated.
pub(crate) fn kept(words: &str) -> &str {
    &words[..words.floor_char_boundary(ORIGINAL_MESSAGE_MAX_BYTES)]
}

/// A reply in a service's own format, which may carry the request's id.
fn dialect_reply(dialect: Dialect, answer: impl FnOnce(&str) -> denial::Answer) -> Reply {
    let id = EventId::from_random_bytes(rand::random());
    let answer = answer(&id.to_string());
    let status = StatusCode::from_u16(answer.status).expect("our bug: statuses of refusals are constants");
    let mut reply = reply::text(status, answer.content_type, answer.body);
    let headers = reply.headers_mut();
    headers.insert(REQUEST_ID, reply::header_value(id));
    headers.insert(ERROR_TYPE, HeaderValue::from_static(answer.code));
    if dialect == Dialect::Cbor {
        headers.insert("smithy-protocol", HeaderValue::from_static("rpc-v2-cbor"));
    }
    reply
}

fn fault_reply(status: u16, code: &'static str, body: Vec<u8>) -> Reply {
    let status = StatusCode::from_u16(status).expect("our bug: statuses of faults are constants");
    let mut reply = reply::text(status, "application/json", body);
    reply.headers_mut().insert(ERROR_TYPE, HeaderValue::from_static(code));
    ask_to_come_back(&mut reply);
    reply
}

fn ask_to_come_back(reply: &mut Reply) {
    if reply.status() == StatusCode::SERVICE_UNAVAILABLE {
        reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
    }
}
