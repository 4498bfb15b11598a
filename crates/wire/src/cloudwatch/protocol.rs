//! Which protocol a request speaks, and its answer in the same one.

use std::io::Read as _;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::fault::{Code, Fault};
use super::output::Structure;
use super::{DECOMPRESSED_MAX_BYTES, Operation, PATH_PREFIX, SIGNING_NAME, TARGET_PREFIX, cbor, json, query};

/// A request, as far as its protocol cares.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request<'a> {
    /// Path of the URI.
    pub path: &'a str,
    /// Query of the URI without its `?`; a `GET` of the query protocol has everything there.
    pub query: &'a str,
    /// `X-Amz-Target`.
    pub target: Option<&'a str>,
    /// `Content-Encoding`.
    pub content_encoding: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
}

/// Whether a request is for CloudWatch: by the service it is signed for, by its target, or by its path.
#[must_use]
pub fn is_ours(service: Option<&str>, target: Option<&str>, path: &str) -> bool {
    match (target, service) {
        (Some(target), _) => target.starts_with(TARGET_PREFIX),
        (None, Some(service)) if service != SIGNING_NAME => false,
        (None, service) => service.is_some() || path.starts_with(PATH_PREFIX),
    }
}

/// Paths of smithy-rpc-v2-cbor, of whichever service. No form is read there, whatever the body says.
const SERVICE_PATH: &str = "/service/";

/// How a client speaks to CloudWatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// JSON 1.0, operation in `X-Amz-Target`.
    Json,
    /// smithy-rpc-v2-cbor, operation in the path.
    Cbor,
    /// Form-encoded, operation in `Action`, XML out.
    Query,
}

/// An operation with its input, checked against the service model.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// What is asked.
    pub operation: Operation,
    input: Map<String, Value>,
}

impl Call {
    /// The input as its shape.
    ///
    /// # Errors
    /// `SerializationException`; only for members that the schema leaves open.
    pub fn input<T: DeserializeOwned>(self) -> Result<T, Fault> {
        serde_json::from_value(Value::Object(self.input))
            .map_err(|error| Fault::new(Code::SerializationException, format!("The input cannot be read: {error}.")))
    }
}

impl Protocol {
    /// The protocol that a request speaks.
    #[must_use]
    pub fn of(request: &Request<'_>) -> Self {
        if request.target.is_some() {
            Self::Json
        } else if request.path.starts_with(SERVICE_PATH) {
            Self::Cbor
        } else {
            Self::Query
        }
    }

    /// Reads what a request asks.
    ///
    /// # Errors
    /// `UnknownOperationException`, or what is wrong with the input.
    pub fn read(self, request: &Request<'_>) -> Result<Call, Fault> {
        let inflated = inflated(request)?;
        let body = inflated.as_deref().unwrap_or(request.body);
        let (operation, input) = match self {
            Self::Json => {
                let target = request.target.unwrap_or_default();
                let operation = Operation::of_name(target.strip_prefix(TARGET_PREFIX).unwrap_or(target))?;
                (operation, json::read(body)?)
            }
            Self::Cbor => {
                let operation = Operation::of_name(request.path.strip_prefix(PATH_PREFIX).unwrap_or_default())?;
                (operation, cbor::read(body)?)
            }
            Self::Query => {
                let (action, mut input) = query::read(request.query.as_bytes(), body)?;
                let operation = Operation::of_name(&action)?;
                operation.shape_form(&mut input);
                (operation, input)
            }
        };
        operation.check(&input)?;
        Ok(Call { operation, input })
    }

    /// Writes the answer of an operation.
    #[must_use]
    pub fn write(self, operation: Operation, output: Structure, request_id: &str) -> Reply {
        let output = operation.has_output().then_some(output);
        let body = match self {
            Self::Json => json::write(output),
            Self::Cbor => cbor::write(output),
            Self::Query => query::write(operation.name(), output, request_id),
        };
        Reply { status: 200, headers: self.headers(request_id), body: body.into() }
    }

    /// Writes an error.
    #[must_use]
    pub fn write_fault(self, fault: &Fault, request_id: &str) -> Reply {
        let body = match self {
            Self::Json => json::write(Some(json::fault_members(fault))),
            Self::Cbor => cbor::write(Some(json::fault_members(fault))),
            Self::Query => query::write_fault(fault, request_id),
        };
        let mut headers = self.headers(request_id);
        if self != Self::Query {
            headers.push(("x-amzn-query-error", format!("{};{}", fault.code.as_str(), fault.code.side())));
            headers.push(("x-amzn-errortype", fault.code.shape().to_owned()));
        }
        Reply { status: fault.code.status(), headers, body: body.into() }
    }

    fn headers(self, request_id: &str) -> Vec<(&'static str, String)> {
        let content_type = match self {
            Self::Json => json::CONTENT_TYPE,
            Self::Cbor => cbor::CONTENT_TYPE,
            Self::Query => query::CONTENT_TYPE,
        };
        let mut headers = vec![("content-type", content_type.to_owned()), ("x-amzn-requestid", request_id.to_owned())];
        if self == Self::Cbor {
            headers.push(("smithy-protocol", "rpc-v2-cbor".to_owned()));
        }
        headers
    }
}

/// The body without its gzip, within the limit; `None` when it has none.
fn inflated(request: &Request<'_>) -> Result<Option<Vec<u8>>, Fault> {
    match request.content_encoding {
        None | Some("" | "identity") => return Ok(None),
        Some("gzip") => {}
        Some(other) => {
            let shown: String = other.chars().take(64).collect();
            let text = format!("The content encoding {shown:?} is not known here; send gzip or none.");
            return Err(Fault::new(Code::SerializationException, text));
        }
    }
    let mut body = Vec::new();
    let read = flate2::read::MultiGzDecoder::new(request.body).take(DECOMPRESSED_MAX_BYTES + 1).read_to_end(&mut body);
    let broken = |text: String| Err(Fault::new(Code::SerializationException, text));
    match read {
        Ok(_) if body.len() as u64 > DECOMPRESSED_MAX_BYTES => {
            broken(format!("The body is larger than {DECOMPRESSED_MAX_BYTES} bytes when decompressed."))
        }
        Ok(_) => Ok(Some(body)),
        Err(error) => broken(format!("The body is not gzip, as its Content-Encoding says: {error}.")),
    }
}

/// One answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body, in the protocol of the request.
    pub body: Bytes,
}

#[cfg(test)]
#[path = "protocol_tests.rs"]
mod tests;
