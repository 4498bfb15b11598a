//! awsJson 1.1, the protocol of SageMaker's control plane: `POST /`, the operation in `X-Amz-Target`, JSON both ways.
//!
//! botocore takes an error's code from the body's `__type` alone, other SDKs also from `x-amzn-ErrorType`; both are
//! always sent. Errors that the service model declares carry their text as `Message`, all others as `message`, because
//! clients build the attribute of a modelled exception from that spelling (contract 1.3).

use bytes::Bytes;
use captura_names::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

/// Media type of requests and answers.
pub const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

/// Header that names the operation of a request.
pub const TARGET_HEADER: &str = "x-amz-target";

/// What stands before the operation in the target header, dot included.
pub const TARGET_PREFIX: &str = "SageMaker.";

/// Error codes of the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultCode {
    /// Bad input, not found and already existing (hosting), wrong state.
    ValidationException,
    /// The body is not JSON, or a member has the wrong JSON type.
    SerializationException,
    /// No such operation.
    UnknownOperationException,
    /// An account limit.
    ResourceLimitExceeded,
    /// Unknown job definition, schedule or job.
    ResourceNotFound,
    /// Name of a job definition, schedule or job that is taken.
    ResourceInUse,
    /// Unknown scalable target or scaling policy.
    ObjectNotFoundException,
    /// A page token that was not given out here.
    InvalidNextTokenException,
    /// A limit of Application Auto Scaling.
    LimitExceededException,
    /// Unknown resource of a tag operation of Application Auto Scaling; unknown group or stream of logs.
    ResourceNotFoundException,
    /// A group or stream of logs that is there already.
    ResourceAlreadyExistsException,
    /// Bad input of CloudWatch Logs.
    InvalidParameterException,
    /// Too many requests; clients retry.
    ThrottlingException,
    /// Our own failure; clients retry.
    InternalFailure,
    /// Cannot serve now; clients retry.
    ServiceUnavailable,
}

impl FaultCode {
    /// The code as clients read it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ValidationException => "ValidationException",
            Self::SerializationException => "SerializationException",
            Self::UnknownOperationException => "UnknownOperationException",
            Self::ResourceLimitExceeded => "ResourceLimitExceeded",
            Self::ResourceNotFound => "ResourceNotFound",
            Self::ResourceInUse => "ResourceInUse",
            Self::ObjectNotFoundException => "ObjectNotFoundException",
            Self::InvalidNextTokenException => "InvalidNextTokenException",
            Self::LimitExceededException => "LimitExceededException",
            Self::ResourceNotFoundException => "ResourceNotFoundException",
            Self::ResourceAlreadyExistsException => "ResourceAlreadyExistsException",
            Self::InvalidParameterException => "InvalidParameterException",
            Self::ThrottlingException => "ThrottlingException",
            Self::InternalFailure => "InternalFailure",
            Self::ServiceUnavailable => "ServiceUnavailable",
        }
    }

    /// HTTP status.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::InternalFailure => 500,
            Self::ServiceUnavailable => 503,
            _ => 400,
        }
    }

    /// Whether the service model declares the code as an exception with a `Message` member.
    fn is_modelled(self) -> bool {
        matches!(
            self,
            Self::ResourceLimitExceeded
                | Self::ResourceNotFound
                | Self::ResourceInUse
                | Self::ObjectNotFoundException
                | Self::InvalidNextTokenException
                | Self::LimitExceededException
                | Self::ResourceNotFoundException
        )
    }
}

/// An error answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", code.as_str())]
pub struct Fault {
    /// Its code.
    pub code: FaultCode,
    /// Its text, for the caller.
    pub message: String,
}

impl Fault {
    /// An error of that code.
    pub fn new(code: FaultCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// A `ValidationException`.
    pub fn validation(message: impl Into<String>) -> Self {
        Self::new(FaultCode::ValidationException, message)
    }

    /// The error of a target that names no operation.
    #[must_use]
    pub fn unknown_operation(target: &str) -> Self {
        let shown: String = target.chars().take(128).collect();
        Self::new(FaultCode::UnknownOperationException, format!("The operation {shown:?} is not known here."))
    }
}

/// One answer: status, headers and body.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers, names in lower case as HTTP libraries keep them.
    pub headers: Vec<(&'static str, String)>,
    /// JSON.
    pub body: Bytes,
}

impl Reply {
    /// The answer of an operation that succeeded. Operations without output answer `{}`.
    #[must_use]
    pub fn output(output: &Value, request_id: &str) -> Self {
        Self { status: 200, headers: Self::headers(request_id), body: output.to_string().into() }
    }

    /// The answer of an operation that failed.
    #[must_use]
    pub fn fault(fault: &Fault, request_id: &str) -> Self {
        let message_key = if fault.code.is_modelled() { "Message" } else { "message" };
        let mut headers = Self::headers(request_id);
        headers.push(("x-amzn-errortype", fault.code.as_str().to_owned()));
        let body = json!({ "__type": fault.code.as_str(), message_key: fault.message });
        Self { status: fault.code.status(), headers, body: body.to_string().into() }
    }

    fn headers(request_id: &str) -> Vec<(&'static str, String)> {
        vec![("content-type", CONTENT_TYPE.to_owned()), ("x-amzn-requestid", request_id.to_owned())]
    }
}

/// Reads a request body: a JSON object; an empty body counts as `{}`.
///
/// # Errors
/// `SerializationException` that says where the JSON breaks.
pub fn read_input(body: &[u8]) -> Result<Map<String, Value>, Fault> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(mut input)) => {
            drop_nulls_of_object(&mut input);
            Ok(input)
        }
        Ok(_) => Err(Fault::new(FaultCode::SerializationException, "The body must be a JSON object.")),
        Err(error) => {
            Err(Fault::new(FaultCode::SerializationException, format!("The body is not well-formed JSON: {error}.")))
        }
    }
}

/// A member that is null counts as absent, at every depth: clients send both for "not given". Nulls inside lists stay,
/// so that the checker can refuse them instead of moving their neighbours.
fn drop_nulls_of_object(object: &mut Map<String, Value>) {
    object.retain(|_, member| !member.is_null());
    object.values_mut().for_each(drop_nulls);
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(object) => drop_nulls_of_object(object),
        Value::Array(members) => members.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Serialises a moment as awsJson does: seconds since 1970 as a number with milliseconds.
///
/// # Errors
/// Those of the serializer.
pub fn serialize_timestamp<S: Serializer>(moment: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    moment.unix_seconds().serialize(serializer)
}

/// Reads a moment from a request: a number of seconds, or ISO-8601 text.
#[must_use]
pub fn read_timestamp(value: &Value) -> Option<Timestamp> {
    match value {
        Value::Number(seconds) => seconds.as_f64().map(Timestamp::from_unix_seconds),
        Value::String(text) => Timestamp::parse(text).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_in_the_body_and_in_the_header() {
        let reply = Reply::fault(&Fault::validation("no"), "id-1");
        assert_eq!(reply.status, 400);
        assert_eq!(reply.body, r#"{"__type":"ValidationException","message":"no"}"#);
        assert_eq!(
            reply.headers,
            [
                ("content-type", CONTENT_TYPE.to_owned()),
                ("x-amzn-requestid", "id-1".to_owned()),
                ("x-amzn-errortype", "ValidationException".to_owned()),
            ]
        );
    }

    #[test]
    fn every_code_has_its_status_and_its_spelling_of_message() {
        for (code, status, key) in [
            (FaultCode::ValidationException, 400, "message"),
            (FaultCode::SerializationException, 400, "message"),
            (FaultCode::UnknownOperationException, 400, "message"),
            (FaultCode::ResourceLimitExceeded, 400, "Message"),
            (FaultCode::ResourceNotFound, 400, "Message"),
            (FaultCode::ResourceInUse, 400, "Message"),
            (FaultCode::ObjectNotFoundException, 400, "Message"),
            (FaultCode::InvalidNextTokenException, 400, "Message"),
            (FaultCode::LimitExceededException, 400, "Message"),
            (FaultCode::ResourceNotFoundException, 400, "Message"),
            (FaultCode::ResourceAlreadyExistsException, 400, "message"),
            (FaultCode::InvalidParameterException, 400, "message"),
            (FaultCode::ThrottlingException, 400, "message"),
            (FaultCode::InternalFailure, 500, "message"),
            (FaultCode::ServiceUnavailable, 503, "message"),
        ] {
            let reply = Reply::fault(&Fault::new(code, "text"), "id");
            assert_eq!(reply.status, status, "{code:?}");
            assert_eq!(reply.body, format!(r#"{{"__type":"{}","{key}":"text"}}"#, code.as_str()));
        }
    }

    #[test]
    fn null_members_are_absent_at_every_depth_and_no_body_is_no_members() {
        let input = read_input(br#"{"A":null,"B":{"C":null,"D":1},"E":[null,{"F":null}]}"#).unwrap();
        assert_eq!(Value::Object(input).to_string(), r#"{"B":{"D":1},"E":[null,{}]}"#);
        assert!(read_input(b"").unwrap().is_empty());
        assert!(read_input(b" \n").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_json_object_is_a_serialization_exception() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(500), "]".repeat(500));
        let strange = ["\u{feff}{}", r#"{"a":1e400}"#, r#"{"a":"\ud800"}"#, "{\"a\":\"\n\"}"];
        for bad in ["{", "[]", "1", "\"x\"", "{\"a\":}", "{\"a\":1}x", "\u{0}", &deep].into_iter().chain(strange) {
            assert_eq!(read_input(bad.as_bytes()).unwrap_err().code, FaultCode::SerializationException, "{bad}");
        }
        assert!(read_input(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn moments_are_numbers_and_are_read_in_both_forms() {
        let moment = read_timestamp(&json!(1_529_870_369.986)).unwrap();
        let text = serde_json::to_string(&Shown(moment)).unwrap();
        assert_eq!(text, "1529870369.986");
        assert_eq!(read_timestamp(&json!("2018-06-24T19:59:29.986Z")), Some(moment));
        assert_eq!(read_timestamp(&json!("yesterday")), None);
        assert_eq!(read_timestamp(&json!([])), None);
    }

    struct Shown(Timestamp);

    impl Serialize for Shown {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serialize_timestamp(&self.0, serializer)
        }
    }
}
