//! One data-plane call that passed the door.

use std::fmt;

use bytes::Bytes;
use captura_names::{ContainerHostname, EndpointName, EventId, InferenceId, Timestamp, VariantName};

/// Who calls, as resolved from the credentials of the call: an access key id on an open listener, else `anonymous`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Consumer(Box<str>);

impl Consumer {
    /// Longest kept name, bytes. Longer ones are cut, because a consumer appears in every record and metric.
    pub const MAX_LENGTH: usize = 128;

    /// A consumer by name; control characters become `?`, over-long names are cut.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let visible = name.chars().map(|c| if c.is_control() { '?' } else { c });
        let mut kept = String::new();
        for character in visible {
            if kept.len() + character.len_utf8() > Self::MAX_LENGTH {
                break;
            }
            kept.push(character);
        }
        Self(kept.into())
    }

    /// The caller that gave no credentials.
    #[must_use]
    pub fn anonymous() -> Self {
        Self("anonymous".into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An invocation: counted, identified, not yet answered.
#[derive(Debug)]
pub struct Invocation {
    /// Identity; sampling is a function of it.
    pub event_id: EventId,
    /// When the call arrived, wall time.
    pub arrived_at: Timestamp,
    /// Who calls.
    pub consumer: Consumer,
    /// Which endpoint.
    pub endpoint: EndpointName,
    /// Which variant, when the caller chose one.
    pub target_variant: Option<VariantName>,
    /// The caller's own id for this inference.
    pub inference_id: Option<InferenceId>,
    /// What the model gets to see.
    pub request: ModelRequest,
}

/// What a model gets to see of a call.
#[derive(Debug, Default, Clone)]
pub struct ModelRequest {
    /// The payload, shared.
    pub body: Bytes,
    /// Media type with parameters, verbatim; absent when the caller sent none.
    pub content_type: Option<Box<str>>,
    /// Media type asked for; absent when the caller sent none.
    pub accept: Option<Box<str>>,
    /// `X-Amzn-SageMaker-Custom-Attributes`, verbatim.
    pub custom_attributes: Option<Box<str>>,
    /// Key of the model on a multi-model endpoint.
    pub target_model: Option<Box<str>>,
    /// Container in Direct mode.
    pub target_container: Option<ContainerHostname>,
    /// `NEW_SESSION` or a session id.
    pub session_id: Option<Box<str>>,
    /// `X-Amzn-SageMaker-Enable-Explanations`, verbatim.
    pub enable_explanations: Option<Box<str>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consumer_names_are_bounded_and_printable() {
        assert_eq!(Consumer::new("a\r\nb").as_str(), "a??b");
        let long = Consumer::new(&"é".repeat(200));
        assert_eq!(long.as_str().len(), 128);
    }
}
