//! One data-plane call that passed the door.

use bytes::Bytes;
use captura_names::{ContainerHostname, EndpointName, EventId, InferenceId, Timestamp, VariantName};

use crate::caller::{Caller, Consumer};

/// An invocation: counted, identified, not yet answered.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Identity; sampling is a function of it.
    pub event_id: EventId,
    /// When the call arrived, wall time.
    pub arrived_at: Timestamp,
    /// Who calls.
    pub consumer: Consumer,
    /// From where, and by which credentials.
    pub caller: Caller,
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
