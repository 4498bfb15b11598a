//! The seam behind which personal data leaves an exchange before anything of it is kept.
//!
//! Whoever serves a variant says by which rules its exchanges are kept; whoever keeps them asks the rules first. Neither
//! knows what the rules know of payloads.

use std::fmt;

use bytes::Bytes;
use captura_names::InferenceId;

use crate::Invocation;

/// What is kept of exchanges in place of what travelled.
///
/// It is asked once for each exchange that leaves a record, after the model has answered, and works on the caller's
/// thread, so it must not take longer than a walk through the bodies; the first call of a new subject may wait for a disk.
pub trait Redaction: Send + Sync + fmt::Debug {
    /// Names the rules; equal rules have equal names, in every process. It stands in the policy of each record.
    fn policy(&self) -> &str;

    /// What is kept. What cannot be redacted is not kept.
    fn redact(&self, exchange: &Exchange<'_>) -> Redacted;
}

/// An exchange as it travelled.
#[derive(Debug, Clone, Copy)]
pub struct Exchange<'a> {
    /// The call.
    pub invocation: &'a Invocation,
    /// What the model answered, or the words of its error.
    pub answer: &'a Bytes,
    /// Media type of the answer.
    pub answer_content_type: Option<&'a str>,
    /// Whether that is an answer: the words of an error have no shape, and may repeat what was sent.
    pub is_answered: bool,
    /// Whether the end of the answer is missing.
    pub is_answer_cut: bool,
    /// Whether the record will hold what was sent.
    pub keeps_request: bool,
    /// Whether the record will hold what was answered.
    pub keeps_answer: bool,
}

/// What is kept of an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redacted {
    /// In place of what was sent; empty when nothing of it is kept.
    pub request: Bytes,
    /// In place of what was answered; empty when nothing of it is kept.
    pub answer: Bytes,
    /// In place of the custom attributes.
    pub custom_attributes: Option<Box<str>>,
    /// In place of the caller's own id.
    pub inference_id: Option<InferenceId>,
}
