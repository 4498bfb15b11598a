//! The headers of InvokeEndpoint, parsed and checked against their constraints (contract 2.1).
//!
//! Invariant: every broken constraint is reported, in SageMaker's words, in the order of the API; values reach the
//! model and the record verbatim. Refuses to: interpret a content type; any is taken, and so is none.

use captura_names::{ContainerHostname, EndpointName, InferenceId, InvalidName, VariantName};
use captura_route::ModelRequest;
use captura_wire::runtime::{
    CUSTOM_ATTRIBUTES, ENABLE_EXPLANATIONS, INFERENCE_COMPONENT, INFERENCE_ID, PREFIX_AWARE_ID, SESSION_ID,
    TARGET_CONTAINER_HOSTNAME, TARGET_MODEL, TARGET_VARIANT, constraints_broken,
};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::fault::Refused;

/// Longest part of an offending value that an error repeats, characters.
const ECHO_MAX_CHARS: usize = 256;

/// The one thing that the API allows to be asked of an endpoint without inference components.
const COMPONENT_NOT_ALLOWED: &str = "Inference Component Name header is not allowed for endpoints to which you dont \
                                     plan to deploy inference components.";
/// Every endpoint here serves one model from one container per variant; a call that names another must not be answered
/// by whichever is there.
const TARGET_MODEL_NOT_ALLOWED: &str = "The endpoint is not a multi-model endpoint and should not receive a target \
                                        model. Leave out TargetModel, or call the endpoint that serves that model.";
const TARGET_CONTAINER_NOT_ALLOWED: &str = "The endpoint is not a multi-container endpoint in Direct mode and should \
                                            not receive a target container hostname. Leave out \
                                            TargetContainerHostname.";
const SESSION_NOT_ALLOWED: &str = "The model of this endpoint keeps no sessions. Leave out SessionId.";
const EXPLANATIONS_NOT_ALLOWED: &str = "The endpoint has no explainer and cannot enable explanations. Leave out \
                                        EnableExplanations.";

/// What the headers of an invocation say.
#[derive(Debug, Default)]
pub(crate) struct Members {
    pub(crate) target_variant: Option<VariantName>,
    pub(crate) inference_id: Option<InferenceId>,
    /// Without its body.
    pub(crate) request: ModelRequest,
}

/// Parses the endpoint's name out of the path and the members out of the headers; together, so that one error names
/// everything that is wrong.
///
/// # Errors
/// `Refused::Invalid` with every broken constraint.
pub(crate) fn parse(endpoint: &str, headers: &HeaderMap) -> Result<(EndpointName, Members), Refused> {
    let mut members = Members::default();
    let mut broken = Vec::new();
    let name = EndpointName::parse(endpoint);
    if let Err(error) = &name {
        broken.push(("endpointName", echo(endpoint.as_bytes()), error.to_string()));
    }
    // One pass over the headers that came, as most calls carry few of the many that there could be.
    let mut component_named = false;
    for (name, value) in headers {
        component_named |= name.as_str() == INFERENCE_COMPONENT;
        let Some(member) = Member::of(name) else { continue };
        if let Err(constraint) = member.take(value, &mut members) {
            broken.push((member.name(), echo(value.as_bytes()), constraint));
        }
    }
    match name {
        Ok(name) if broken.is_empty() => match not_served(&members.request, component_named) {
            Some(why) => Err(Refused::Invalid(why.into())),
            None => Ok((name, members)),
        },
        _ => {
            let broken = broken.iter().map(|(member, value, constraint)| (*member, value.as_str(), constraint.clone()));
            Err(Refused::Invalid(constraints_broken(broken)))
        }
    }
}

/// Members of the request that travel in headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Member {
    ContentType,
    Accept,
    CustomAttributes,
    TargetModel,
    TargetVariant,
    TargetContainerHostname,
    InferenceId,
    EnableExplanations,
    SessionId,
    PrefixAwareId,
}

impl Member {
    fn of(name: &HeaderName) -> Option<Self> {
        if *name == header::CONTENT_TYPE {
            return Some(Self::ContentType);
        }
        if *name == header::ACCEPT {
            return Some(Self::Accept);
        }
        match name.as_str() {
            CUSTOM_ATTRIBUTES => Some(Self::CustomAttributes),
            TARGET_MODEL => Some(Self::TargetModel),
            TARGET_VARIANT => Some(Self::TargetVariant),
            TARGET_CONTAINER_HOSTNAME => Some(Self::TargetContainerHostname),
            INFERENCE_ID => Some(Self::InferenceId),
            ENABLE_EXPLANATIONS => Some(Self::EnableExplanations),
            SESSION_ID => Some(Self::SessionId),
            PREFIX_AWARE_ID => Some(Self::PrefixAwareId),
            _ => None,
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
            Self::EnableExplanations => "enableExplanations",
            Self::SessionId => "sessionId",
            Self::PrefixAwareId => "prefixAwareId",
        }
    }

    /// Checks the value and puts it where it belongs; the error is the constraint that it breaks.
    fn take(self, value: &HeaderValue, members: &mut Members) -> Result<(), String> {
        let request = &mut members.request;
        match self {
            Self::ContentType => request.content_type = Some(text(value, 0, 1_024, ASCII)?.into()),
            Self::Accept => request.accept = Some(text(value, 0, 1_024, ASCII)?.into()),
            Self::CustomAttributes => request.custom_attributes = Some(text(value, 0, 1_024, ASCII)?.into()),
            Self::TargetModel => {
                let model = text(value, 1, 1_024, TARGET_MODEL_PATTERN)?;
                if model.starts_with(' ') {
                    return Err(InvalidName::Pattern { pattern: TARGET_MODEL_PATTERN }.to_string());
                }
                request.target_model = Some(model.into());
            }
            Self::TargetVariant => {
                members.target_variant = Some(name(value, VariantName::parse, VariantName::PATTERN)?);
            }
            Self::TargetContainerHostname => {
                request.target_container = Some(name(value, ContainerHostname::parse, ContainerHostname::PATTERN)?);
            }
            Self::InferenceId => members.inference_id = Some(name(value, InferenceId::parse, InferenceId::PATTERN)?),
            Self::EnableExplanations => request.enable_explanations = Some(text(value, 1, 64, ANY)?.into()),
            Self::SessionId => {
                let session = text(value, 0, 256, SESSION_ID_PATTERN)?;
                if !is_session_id(session) {
                    return Err(InvalidName::Pattern { pattern: SESSION_ID_PATTERN }.to_string());
                }
                request.session_id = Some(session.into());
            }
            // A hint for routers with a cache per prefix, of which there is none here.
            Self::PrefixAwareId => drop(text(value, 1, 64, ANY)?),
        }
        Ok(())
    }
}

const ASCII: &str = "\\p{ASCII}*";
const ANY: &str = ".*";
const TARGET_MODEL_PATTERN: &str = "\\A\\S[\\p{Print}]*\\z";
const SESSION_ID_PATTERN: &str = "^(NEW_SESSION)$|^[a-zA-Z0-9](-*[a-zA-Z0-9])*$";

fn is_session_id(text: &str) -> bool {
    let bytes = text.as_bytes();
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    text == "NEW_SESSION"
        || (edge(bytes.first())
            && edge(bytes.last())
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-'))
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

/// What the caller asks for beyond a plain answer; nobody here does it, so nobody may pretend to.
fn not_served(request: &ModelRequest, component_named: bool) -> Option<&'static str> {
    let explained = request.enable_explanations.as_deref().is_some_and(|asked| asked != "`false`");
    [
        (component_named, COMPONENT_NOT_ALLOWED),
        (request.target_model.is_some(), TARGET_MODEL_NOT_ALLOWED),
        (request.target_container.is_some(), TARGET_CONTAINER_NOT_ALLOWED),
        (request.session_id.is_some(), SESSION_NOT_ALLOWED),
        (explained, EXPLANATIONS_NOT_ALLOWED),
    ]
    .into_iter()
    .find_map(|(asked, why)| asked.then_some(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_one(name: &str, value: &[u8]) -> Result<Members, String> {
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_bytes(value).unwrap());
        parse("churn", &headers).map(|(_, members)| members).map_err(|refused| match refused {
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
            assert_eq!(parse_one(SESSION_ID, session.as_bytes()).unwrap_err(), SESSION_NOT_ALLOWED, "{session}");
        }
        assert!(parse_one(PREFIX_AWARE_ID, b"p").is_ok());
    }

    #[test]
    fn no_content_type_is_no_content_type() {
        let head = parse("churn", &HeaderMap::new()).unwrap().1;
        assert_eq!(head.request.content_type, None);
        assert_eq!(head.request.accept, None);
    }

    #[test]
    fn one_error_names_everything_that_is_wrong() {
        let mut headers = HeaderMap::new();
        headers.insert(TARGET_VARIANT, HeaderValue::from_static("-"));
        let Err(Refused::Invalid(text)) = parse("a%2fb", &headers) else { panic!() };
        assert!(text.starts_with("2 validation errors detected: Value 'a%2fb' at 'endpointName'"), "{text}");
        assert!(text.contains("; Value '-' at 'targetVariant'"), "{text}");
    }

    #[test]
    fn inference_components_do_not_exist_here_and_are_refused() {
        assert_eq!(parse_one(INFERENCE_COMPONENT, b"ic").unwrap_err(), COMPONENT_NOT_ALLOWED);
    }

    #[test]
    fn a_call_for_another_model_or_container_is_not_answered_by_the_one_that_is_there() {
        assert_eq!(parse_one(TARGET_MODEL, b"a/b c.tar.gz").unwrap_err(), TARGET_MODEL_NOT_ALLOWED);
        assert_eq!(parse_one(TARGET_CONTAINER_HOSTNAME, b"second").unwrap_err(), TARGET_CONTAINER_NOT_ALLOWED);
    }

    #[test]
    fn sessions_and_explanations_are_refused_rather_than_forgotten() {
        assert_eq!(parse_one(SESSION_ID, b"NEW_SESSION").unwrap_err(), SESSION_NOT_ALLOWED);
        assert_eq!(parse_one(ENABLE_EXPLANATIONS, b"`true`").unwrap_err(), EXPLANATIONS_NOT_ALLOWED);
        assert!(parse_one(ENABLE_EXPLANATIONS, b"`false`").is_ok());
    }
}
