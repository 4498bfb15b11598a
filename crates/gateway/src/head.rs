//! The headers of the three invoke operations, parsed and checked against their constraints (contract 2.1 to 2.3).
//!
//! Invariant: every broken constraint is reported, in SageMaker's words, in the order of the API; values reach the
//! model and the record verbatim; what only another of the operations has is refused, not forgotten.
//! Refuses to: interpret a content type; any is taken, and so is none. Whether the endpoint takes what is asked for is
//! decided in `choice`.

use std::time::Duration;

use captura_names::{
    ContainerHostname, EndpointName, InferenceComponentName, InferenceId, InvalidName, S3Uri, VariantName,
};
use captura_route::ModelRequest;
use captura_wire::runtime::{
    CUSTOM_ATTRIBUTES, ENABLE_EXPLANATIONS, FILENAME, INFERENCE_COMPONENT, INFERENCE_ID, INPUT_LOCATION,
    INVOCATION_TIMEOUT_SECONDS, MODEL_ACCEPT, MODEL_CONTENT_TYPE, OUTPUT_PATH_EXTENSION, PREFIX_AWARE_ID,
    REQUEST_TTL_SECONDS, SESSION_ID, TARGET_CONTAINER_HOSTNAME, TARGET_MODEL, TARGET_VARIANT, constraints_broken,
};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::fault::Refused;

/// Longest part of an offending value that an error repeats, characters.
const ECHO_MAX_CHARS: usize = 256;

/// One of the three ways to invoke an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Invoke,
    InvokeWithResponseStream,
    InvokeAsync,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Invoke => "InvokeEndpoint",
            Self::InvokeWithResponseStream => "InvokeEndpointWithResponseStream",
            Self::InvokeAsync => "InvokeEndpointAsync",
        }
    }
}

/// What the headers of an invocation say.
#[derive(Debug, Default)]
pub(crate) struct Members {
    pub(crate) target_variant: Option<VariantName>,
    pub(crate) inference_id: Option<InferenceId>,
    pub(crate) component: Option<InferenceComponentName>,
    /// Without its body.
    pub(crate) request: ModelRequest,
    /// What only an asynchronous invocation says; in a box, as most calls have none.
    pub(crate) queueing: Option<Box<Queueing>>,
}

/// What an asynchronous invocation says of its way through the queue.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Queueing {
    pub(crate) input: Option<S3Uri>,
    /// How long it may wait.
    pub(crate) ttl: Option<Duration>,
    /// How long the model may take.
    pub(crate) timeout: Option<Duration>,
    /// Of the answer's key, below the endpoint's output path.
    pub(crate) path_extension: Option<Box<str>>,
    pub(crate) filename: Option<Box<str>>,
}

/// Parses the endpoint's name out of the path and the members out of the headers; together, so that one error names
/// everything that is wrong.
///
/// # Errors
/// `Refused::Invalid` with every broken constraint.
pub(crate) fn parse(
    endpoint: &str,
    headers: &HeaderMap,
    operation: Operation,
) -> Result<(EndpointName, Members), Refused> {
    let mut members = Members::default();
    let mut broken = Vec::new();
    let name = EndpointName::parse(endpoint);
    if let Err(error) = &name {
        broken.push(("endpointName", echo(endpoint.as_bytes()), error.to_string()));
    }
    // One pass over the headers that came, as most calls carry few of the many that there could be.
    for (name, value) in headers {
        let Some(member) = Member::of(name, operation) else { continue };
        if !member.belongs_to(operation) {
            let (member, operation) = (member.name(), operation.name());
            let text = format!("{operation} has no member {member}. Leave it out, or use InvokeEndpoint.");
            return Err(Refused::Invalid(text));
        }
        if let Err(constraint) = member.take(value, operation, &mut members) {
            broken.push((member.name(), echo(value.as_bytes()), constraint));
        }
    }
    match name {
        Ok(name) if broken.is_empty() => Ok((name, members)),
        _ => {
            let broken = broken.iter().map(|(member, value, constraint)| (*member, value.as_str(), constraint.clone()));
            Err(Refused::Invalid(constraints_broken(broken)))
        }
    }
}

/// Members of the requests that travel in headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Member {
    ContentType,
    Accept,
    CustomAttributes,
    TargetModel,
    TargetVariant,
    TargetContainerHostname,
    InferenceId,
    InferenceComponentName,
    EnableExplanations,
    SessionId,
    PrefixAwareId,
    InputLocation,
    RequestTtlSeconds,
    InvocationTimeoutSeconds,
    OutputPathExtension,
    Filename,
}

impl Member {
    /// The operations disagree about which headers the types of both sides travel in.
    fn of(name: &HeaderName, operation: Operation) -> Option<Self> {
        if *name == header::CONTENT_TYPE {
            return (operation != Operation::InvokeAsync).then_some(Self::ContentType);
        }
        if *name == header::ACCEPT {
            return (operation == Operation::Invoke).then_some(Self::Accept);
        }
        match name.as_str() {
            MODEL_CONTENT_TYPE if operation == Operation::InvokeAsync => Some(Self::ContentType),
            MODEL_ACCEPT if operation != Operation::Invoke => Some(Self::Accept),
            CUSTOM_ATTRIBUTES => Some(Self::CustomAttributes),
            TARGET_MODEL => Some(Self::TargetModel),
            TARGET_VARIANT => Some(Self::TargetVariant),
            TARGET_CONTAINER_HOSTNAME => Some(Self::TargetContainerHostname),
            INFERENCE_ID => Some(Self::InferenceId),
            INFERENCE_COMPONENT => Some(Self::InferenceComponentName),
            ENABLE_EXPLANATIONS => Some(Self::EnableExplanations),
            SESSION_ID => Some(Self::SessionId),
            PREFIX_AWARE_ID => Some(Self::PrefixAwareId),
            INPUT_LOCATION if operation == Operation::InvokeAsync => Some(Self::InputLocation),
            REQUEST_TTL_SECONDS if operation == Operation::InvokeAsync => Some(Self::RequestTtlSeconds),
            INVOCATION_TIMEOUT_SECONDS if operation == Operation::InvokeAsync => Some(Self::InvocationTimeoutSeconds),
            OUTPUT_PATH_EXTENSION if operation == Operation::InvokeAsync => Some(Self::OutputPathExtension),
            FILENAME if operation == Operation::InvokeAsync => Some(Self::Filename),
            _ => None,
        }
    }

    /// Whether the operation can do what the member asks for. One that cannot must not answer as if it had.
    fn belongs_to(self, operation: Operation) -> bool {
        match self {
            Self::TargetModel | Self::EnableExplanations => operation == Operation::Invoke,
            Self::TargetVariant | Self::TargetContainerHostname | Self::InferenceComponentName | Self::SessionId => {
                operation != Operation::InvokeAsync
            }
            _ => true,
        }
    }

    /// The member as errors name it.
    fn name(self) -> &'static str {
        match self {
            Self::ContentType => "contentType",
            Self::Accept => "accept",
            Self::CustomAttributes => "customAttributes",
            Self::TargetModel => "targetModel",
            Self::TargetVariant => "targetVariant",
            Self::TargetContainerHostname => "targetContainerHostname",
            Self::InferenceId => "inferenceId",
            Self::InferenceComponentName => "inferenceComponentName",
            Self::EnableExplanations => "enableExplanations",
            Self::SessionId => "sessionId",
            Self::PrefixAwareId => "prefixAwareId",
            Self::InputLocation => "inputLocation",
            Self::RequestTtlSeconds => "requestTTLSeconds",
            Self::InvocationTimeoutSeconds => "invocationTimeoutSeconds",
            Self::OutputPathExtension => "s3OutputPathExtension",
            Self::Filename => "filename",
        }
    }

    /// Checks the value and puts it where it belongs; the error is the constraint that it breaks.
    fn take(self, value: &HeaderValue, operation: Operation, members: &mut Members) -> Result<(), String> {
        let request = &mut members.request;
        match self {
            Self::ContentType => request.content_type = Some(text(value, 0, 1_024, ASCII)?.into()),
            Self::Accept => request.accept = Some(text(value, 0, 1_024, ASCII)?.into()),
            Self::CustomAttributes => request.custom_attributes = Some(text(value, 0, 1_024, ASCII)?.into()),
            Self::TargetModel => {
                let model = text(value, 1, 1_024, TARGET_MODEL_PATTERN)?;
                holds(!model.starts_with(' '), TARGET_MODEL_PATTERN)?;
                request.target_model = Some(model.into());
            }
            Self::TargetVariant => {
                members.target_variant = Some(name(value, VariantName::parse, VariantName::PATTERN)?);
            }
            Self::TargetContainerHostname => {
                request.target_container = Some(name(value, ContainerHostname::parse, ContainerHostname::PATTERN)?);
            }
            Self::InferenceId => members.inference_id = Some(name(value, InferenceId::parse, InferenceId::PATTERN)?),
            Self::InferenceComponentName => {
                let pattern = InferenceComponentName::PATTERN;
                members.component = Some(name(value, InferenceComponentName::parse, pattern)?);
            }
            Self::EnableExplanations => request.enable_explanations = Some(text(value, 1, 64, ANY)?.into()),
            Self::SessionId => {
                let may_begin = operation == Operation::Invoke;
                let pattern = if may_begin { SESSION_ID_PATTERN } else { GOING_SESSION_ID_PATTERN };
                let session = text(value, 0, 256, pattern)?;
                holds(is_session_id(session) || (may_begin && session == NEW_SESSION), pattern)?;
                request.session_id = Some(session.into());
            }
            // A hint for routers with a cache per prefix, of which there is none here.
            Self::PrefixAwareId => drop(text(value, 1, 64, ANY)?),
            _ => self.take_queueing(value, members.queueing.get_or_insert_default())?,
        }
        Ok(())
    }

    /// The part of [`Member::take`] that asynchronous invocations alone have.
    fn take_queueing(self, value: &HeaderValue, queueing: &mut Queueing) -> Result<(), String> {
        match self {
            Self::InputLocation => {
                let location = text(value, 1, 1_024, LOCATION_PATTERN)?;
                let location = S3Uri::parse(location).ok().filter(|location| !location.key().is_empty());
                queueing.input = Some(location.ok_or_else(|| "Member must be s3://bucket/key".to_owned())?);
            }
            Self::RequestTtlSeconds => queueing.ttl = Some(seconds(value, TTL_SECONDS)?),
            Self::InvocationTimeoutSeconds => queueing.timeout = Some(seconds(value, TIMEOUT_SECONDS)?),
            Self::OutputPathExtension => {
                let extension = text(value, 1, 512, PATH_EXTENSION_PATTERN)?;
                let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!_.*'()/-".contains(&byte);
                // `..` is more than AWS asks for, whose keys are not paths; here a bucket may be a folder.
                let steps_out = extension.split('/').any(|step| step == ".." || step == ".");
                holds(extension.bytes().all(allowed) && !steps_out, PATH_EXTENSION_PATTERN)?;
                queueing.path_extension = Some(extension.into());
            }
            Self::Filename => {
                let filename = text(value, 1, 32, FILENAME_PATTERN)?;
                let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
                let begins = filename.as_bytes()[0].is_ascii_alphanumeric();
                let dots = filename.matches('.').count();
                holds(begins && dots <= 1 && filename.bytes().all(allowed), FILENAME_PATTERN)?;
                queueing.filename = Some(filename.into());
            }
            _ => unreachable!("our bug: every other member is taken above"),
        }
        Ok(())
    }
}

const ASCII: &str = "\\p{ASCII}*";
const ANY: &str = ".*";
const TARGET_MODEL_PATTERN: &str = "\\A\\S[\\p{Print}]*\\z";
const SESSION_ID_PATTERN: &str = "^(NEW_SESSION)$|^[a-zA-Z0-9](-*[a-zA-Z0-9])*$";
/// Of a session that goes on: a streamed answer has no head to tell a new one in.
const GOING_SESSION_ID_PATTERN: &str = "^[a-zA-Z0-9](-*[a-zA-Z0-9])*$";
const NEW_SESSION: &str = "NEW_SESSION";
const LOCATION_PATTERN: &str = "^(https|s3)://([^/]+)/?(.*)$";
const PATH_EXTENSION_PATTERN: &str = "^(?!s3:|https:)[a-zA-Z0-9!_.*'()/-]+$";
const FILENAME_PATTERN: &str = "^(?!.*\\..*\\.)[a-zA-Z0-9][a-zA-Z0-9-_\\.]*$";
/// How long a request may wait in the queue, seconds.
const TTL_SECONDS: (u64, u64) = (60, 21_600);
/// How long a model may take for it, seconds.
const TIMEOUT_SECONDS: (u64, u64) = (1, 3_600);

fn is_session_id(text: &str) -> bool {
    let bytes = text.as_bytes();
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

/// The constraint of a pattern, where it does not hold.
fn holds(held: bool, pattern: &'static str) -> Result<(), String> {
    if held { Ok(()) } else { Err(InvalidName::Pattern { pattern }.to_string()) }
}

/// A whole number of seconds in that range.
fn seconds(value: &HeaderValue, (min, max): (u64, u64)) -> Result<Duration, String> {
    let digits = value.as_bytes();
    let number = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    match number.and_then(|text| text.parse::<u64>().ok()) {
        Some(number) if number < min => Err(format!("Member must have value greater than or equal to {min}")),
        Some(number) if number <= max => Ok(Duration::from_secs(number)),
        _ => Err(format!("Member must have value less than or equal to {max}")),
    }
}

/// Visible US-ASCII of that length.
fn text<'a>(value: &'a HeaderValue, min: usize, max: usize, pattern: &'static str) -> Result<&'a str, String> {
    let bytes = value.as_bytes();
    if bytes.len() > max {
        return Err(InvalidName::TooLong { max }.to_string());
    }
    if bytes.len() < min {
        return Err(InvalidName::TooShort { min }.to_string());
    }
    let visible = bytes.iter().all(|byte| (0x20..0x7f).contains(byte));
    let text = visible.then(|| std::str::from_utf8(bytes).ok()).flatten();
    text.ok_or_else(|| InvalidName::Pattern { pattern }.to_string())
}

fn name<T>(
    value: &HeaderValue,
    parse: impl Fn(&str) -> Result<T, InvalidName>,
    pattern: &'static str,
) -> Result<T, String> {
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| InvalidName::Pattern { pattern }.to_string())?;
    parse(text).map_err(|error| error.to_string())
}

/// An offending value as errors repeat it: readable, and not longer than a person reads.
fn echo(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    let mut shown: String = text.chars().take(ECHO_MAX_CHARS).collect();
    if text.chars().nth(ECHO_MAX_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_one(name: &str, value: &[u8]) -> Result<Members, String> {
        parse_for(Operation::Invoke, name, value)
    }

    fn parse_for(operation: Operation, name: &str, value: &[u8]) -> Result<Members, String> {
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_bytes(value).unwrap());
        parse("churn", &headers, operation).map(|(_, members)| members).map_err(|refused| match refused {
            Refused::Invalid(text) => text,
            other => panic!("{other:?}"),
        })
    }

    const LENGTH: &str = "Member must have length less than or equal to ";

    /// header, member, value, constraint
    fn offences() -> Vec<(&'static str, &'static str, Vec<u8>, String)> {
        let long = |length: usize| vec![b'x'; length];
        let pattern = |pattern: &str| format!("Member must satisfy regular expression pattern: {pattern}");
        let hyphenated = pattern("[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}");
        vec![
            ("content-type", "contentType", long(1_025), format!("{LENGTH}1024")),
            ("content-type", "contentType", "text/é".into(), pattern(ASCII)),
            ("accept", "accept", long(1_025), format!("{LENGTH}1024")),
            ("accept", "accept", b"a\tb".to_vec(), pattern(ASCII)),
            (CUSTOM_ATTRIBUTES, "customAttributes", long(1_025), format!("{LENGTH}1024")),
            (CUSTOM_ATTRIBUTES, "customAttributes", vec![0xff], pattern(ASCII)),
            (CUSTOM_ATTRIBUTES, "customAttributes", b"a\tb".to_vec(), pattern(ASCII)),
            (TARGET_MODEL, "targetModel", long(1_025), format!("{LENGTH}1024")),
            (TARGET_MODEL, "targetModel", b"".to_vec(), "Member must have length greater than or equal to 1".into()),
            (TARGET_VARIANT, "targetVariant", long(64), format!("{LENGTH}63")),
            (TARGET_VARIANT, "targetVariant", b"-a".to_vec(), hyphenated.clone()),
            (TARGET_VARIANT, "targetVariant", vec![0xe9], hyphenated.clone()),
            (TARGET_CONTAINER_HOSTNAME, "targetContainerHostname", long(64), format!("{LENGTH}63")),
            (TARGET_CONTAINER_HOSTNAME, "targetContainerHostname", b"a_b".to_vec(), hyphenated),
            (INFERENCE_ID, "inferenceId", long(65), format!("{LENGTH}64")),
            (INFERENCE_ID, "inferenceId", b"".to_vec(), "Member must have length greater than or equal to 1".into()),
            (INFERENCE_ID, "inferenceId", "é".into(), pattern(ASCII)),
            (ENABLE_EXPLANATIONS, "enableExplanations", long(65), format!("{LENGTH}64")),
            (SESSION_ID, "sessionId", long(257), format!("{LENGTH}256")),
            (SESSION_ID, "sessionId", b"a b".to_vec(), pattern(SESSION_ID_PATTERN)),
            (SESSION_ID, "sessionId", b"NEW_SESSIONS".to_vec(), pattern(SESSION_ID_PATTERN)),
            (PREFIX_AWARE_ID, "prefixAwareId", long(65), format!("{LENGTH}64")),
        ]
    }

    #[test]
    fn every_broken_constraint_is_named_in_sagemakers_words() {
        for (header, member, value, constraint) in offences() {
            let shown = echo(&value);
            assert_eq!(
                parse_one(header, &value).unwrap_err(),
                format!(
                    "1 validation error detected: Value '{shown}' at '{member}' failed to satisfy constraint: {constraint}"
                ),
            );
        }
    }

    #[test]
    fn values_at_their_limits_arrive_verbatim() {
        let kib = "x".repeat(1_024);
        assert_eq!(parse_one("content-type", kib.as_bytes()).unwrap().request.content_type.as_deref(), Some(&*kib));
        assert_eq!(
            parse_one("accept", b"text/csv, */*;q=0.1").unwrap().request.accept.as_deref(),
            Some("text/csv, */*;q=0.1")
        );
        assert_eq!(
            parse_one(CUSTOM_ATTRIBUTES, kib.as_bytes()).unwrap().request.custom_attributes.as_deref(),
            Some(&*kib)
        );
        assert_eq!(parse_one(TARGET_VARIANT, b"A--1").unwrap().target_variant.unwrap().as_str(), "A--1");
        assert_eq!(parse_one(INFERENCE_ID, &[b'x'; 64]).unwrap().inference_id.unwrap().as_str(), "x".repeat(64));
        for session in ["NEW_SESSION", "a-1"] {
            let members = parse_one(SESSION_ID, session.as_bytes()).unwrap();
            assert_eq!(members.request.session_id.as_deref(), Some(session));
        }
        assert!(parse_one(PREFIX_AWARE_ID, b"p").is_ok());
    }

    #[test]
    fn no_content_type_is_no_content_type() {
        let head = parse("churn", &HeaderMap::new(), Operation::Invoke).unwrap().1;
        assert_eq!(head.request.content_type, None);
        assert_eq!(head.request.accept, None);
    }

    #[test]
    fn one_error_names_everything_that_is_wrong() {
        let mut headers = HeaderMap::new();
        headers.insert(TARGET_VARIANT, HeaderValue::from_static("-"));
        let Err(Refused::Invalid(text)) = parse("a%2fb", &headers, Operation::Invoke) else { panic!() };
        assert!(text.starts_with("2 validation errors detected: Value 'a%2fb' at 'endpointName'"), "{text}");
        assert!(text.contains("; Value '-' at 'targetVariant'"), "{text}");
    }

    #[test]
    fn types_travel_in_other_headers_in_each_operation() {
        let types = |operation, content_type: &'static str, accept: &'static str| {
            let members = parse_for(operation, content_type, b"text/csv").unwrap();
            let accepts = parse_for(operation, accept, b"text/csv").unwrap();
            (members.request.content_type.is_some(), accepts.request.accept.is_some())
        };
        assert_eq!(types(Operation::Invoke, "content-type", "accept"), (true, true));
        assert_eq!(types(Operation::Invoke, MODEL_CONTENT_TYPE, MODEL_ACCEPT), (false, false));
        assert_eq!(types(Operation::InvokeWithResponseStream, "content-type", MODEL_ACCEPT), (true, true));
        assert_eq!(types(Operation::InvokeWithResponseStream, MODEL_CONTENT_TYPE, "accept"), (false, false));
        assert_eq!(types(Operation::InvokeAsync, MODEL_CONTENT_TYPE, MODEL_ACCEPT), (true, true));
        assert_eq!(types(Operation::InvokeAsync, "content-type", "accept"), (false, false));
    }

    #[test]
    fn what_only_another_operation_has_is_refused_rather_than_forgotten() {
        let stream = Operation::InvokeWithResponseStream;
        let no_model =
            "InvokeEndpointWithResponseStream has no member targetModel. Leave it out, or use InvokeEndpoint.";
        assert_eq!(parse_for(stream, TARGET_MODEL, b"a.tar.gz").unwrap_err(), no_model);
        assert!(parse_for(stream, SESSION_ID, b"a-1").is_ok());
        assert!(parse_for(stream, SESSION_ID, b"NEW_SESSION").unwrap_err().contains(GOING_SESSION_ID_PATTERN));
        for header in [SESSION_ID, TARGET_VARIANT, INFERENCE_COMPONENT, ENABLE_EXPLANATIONS, TARGET_CONTAINER_HOSTNAME]
        {
            let text = parse_for(Operation::InvokeAsync, header, b"a").unwrap_err();
            assert!(text.starts_with("InvokeEndpointAsync has no member "), "{text}");
        }
    }

    #[test]
    fn the_way_through_the_queue_is_bounded() {
        let parse = |header, value: &[u8]| parse_for(Operation::InvokeAsync, header, value);
        let queueing = |header, value: &[u8]| *parse(header, value).unwrap().queueing.unwrap();
        assert_eq!(queueing(REQUEST_TTL_SECONDS, b"60").ttl, Some(Duration::from_secs(60)));
        assert_eq!(queueing(INVOCATION_TIMEOUT_SECONDS, b"3600").timeout, Some(Duration::from_secs(3_600)));
        assert_eq!(queueing(INPUT_LOCATION, b"s3://inputs/a/b.csv").input.unwrap().to_string(), "s3://inputs/a/b.csv");
        assert_eq!(queueing(FILENAME, b"row-1.out").filename.as_deref(), Some("row-1.out"));
        assert_eq!(queueing(OUTPUT_PATH_EXTENSION, b"a/b").path_extension.as_deref(), Some("a/b"));
        for (header, value, constraint) in [
            (REQUEST_TTL_SECONDS, "59", "Member must have value greater than or equal to 60"),
            (REQUEST_TTL_SECONDS, "21601", "Member must have value less than or equal to 21600"),
            (INVOCATION_TIMEOUT_SECONDS, "0", "Member must have value greater than or equal to 1"),
            (INVOCATION_TIMEOUT_SECONDS, "-1", "Member must have value less than or equal to 3600"),
            (INPUT_LOCATION, "https://inputs/a", "Member must be s3://bucket/key"),
            (INPUT_LOCATION, "s3://inputs", "Member must be s3://bucket/key"),
            (FILENAME, "a.b.c", FILENAME_PATTERN),
            (FILENAME, "../a", FILENAME_PATTERN),
            (OUTPUT_PATH_EXTENSION, "s3://x", PATH_EXTENSION_PATTERN),
            (OUTPUT_PATH_EXTENSION, "a/../b", PATH_EXTENSION_PATTERN),
        ] {
            let text = parse(header, value.as_bytes()).unwrap_err();
            assert!(text.ends_with(constraint), "{header} {value}: {text}");
        }
    }
}
