//! CloudWatch's errors: the names that the model gives them, and the older codes that clients compare.

/// An error's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// A member breaks a constraint of the service model.
    ValidationError,
    /// The body cannot be read, or a member has the wrong type.
    SerializationException,
    /// A value that its parameter does not allow.
    InvalidParameterValue,
    /// Parameters that do not go together.
    InvalidParameterCombination,
    /// A parameter that this request needs.
    MissingParameter,
    /// No such alarm.
    ResourceNotFound,
    /// No such tagged resource.
    ResourceNotFoundException,
    /// A text that is not what it says, such as state data that is no JSON.
    InvalidFormat,
    /// The token is not one of ours.
    InvalidNextToken,
    /// A quota is used up.
    LimitExceeded,
    /// No such operation.
    UnknownOperationException,
    /// Our own failure.
    InternalServiceError,
}

impl Code {
    /// The code of the query protocol, and what botocore shows in every protocol.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ValidationError => "ValidationError",
            Self::SerializationException => "SerializationException",
            Self::InvalidParameterValue => "InvalidParameterValue",
            Self::InvalidParameterCombination => "InvalidParameterCombination",
            Self::MissingParameter => "MissingParameter",
            Self::ResourceNotFound => "ResourceNotFound",
            Self::ResourceNotFoundException => "ResourceNotFoundException",
            Self::InvalidFormat => "InvalidFormat",
            Self::InvalidNextToken => "InvalidNextToken",
            Self::LimitExceeded => "LimitExceeded",
            Self::UnknownOperationException => "UnknownOperationException",
            Self::InternalServiceError => "InternalServiceError",
        }
    }

    /// The shape in the service model, which JSON and CBOR name.
    #[must_use]
    pub fn shape(self) -> &'static str {
        match self {
            Self::InvalidParameterValue => "InvalidParameterValueException",
            Self::InvalidParameterCombination => "InvalidParameterCombinationException",
            Self::MissingParameter => "MissingRequiredParameterException",
            Self::InvalidFormat => "InvalidFormatFault",
            Self::LimitExceeded => "LimitExceededFault",
            Self::InternalServiceError => "InternalServiceFault",
            other => other.as_str(),
        }
    }

    /// HTTP status.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::ResourceNotFound | Self::ResourceNotFoundException => 404,
            Self::InternalServiceError => 500,
            _ => 400,
        }
    }

    /// Whose fault it is, as the query protocol says it.
    #[must_use]
    pub fn side(self) -> &'static str {
        if self == Self::InternalServiceError { "Receiver" } else { "Sender" }
    }

    /// `InternalServiceFault` spells its member with a capital.
    pub(super) fn message_key(self) -> &'static str {
        if self == Self::InternalServiceError { "Message" } else { "message" }
    }
}

/// An error answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", code.as_str())]
pub struct Fault {
    /// Its kind.
    pub code: Code,
    /// Its text, for the caller.
    pub message: String,
}

impl Fault {
    /// An error of that kind.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// `InvalidParameterValue`.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidParameterValue, message)
    }

    /// `MissingParameter` in AWS's words.
    #[must_use]
    pub fn missing(parameter: &str) -> Self {
        Self::new(Code::MissingParameter, format!("The parameter {parameter} is required."))
    }

    /// `InvalidParameterCombination`.
    pub fn combination(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidParameterCombination, message)
    }

    /// The error of a request that names no operation of ours.
    #[must_use]
    pub fn unknown_operation(name: &str) -> Self {
        let shown: String = name.chars().take(128).collect();
        Self::new(Code::UnknownOperationException, format!("The operation {shown:?} of CloudWatch is not known here."))
    }
}

impl From<crate::aws_json::Fault> for Fault {
    fn from(fault: crate::aws_json::Fault) -> Self {
        let code = match fault.code {
            crate::aws_json::FaultCode::ValidationException => Code::ValidationError,
            _ => Code::SerializationException,
        };
        Self { code, message: fault.message }
    }
}
