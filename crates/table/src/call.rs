//! What a table says of one call, whether it comes out of a journal or out of a captured line.

use std::net::IpAddr;

use captura_archive::jsonl::{Encoding, encoding_of, outcome_word};
use captura_archive::line::{Facts, Line, Side as LineSide};
use captura_capture::record::{Lsn, Outcome, Payload, Policy, Principal, Record, UserAgent};
use captura_names::{EventId, Timestamp};

/// One side of a call, as it travelled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Side<'a> {
    pub(crate) content_type: Option<&'a str>,
    /// How it is captured: that says how to read it.
    pub(crate) encoding: Encoding,
    pub(crate) body: &'a [u8],
}

/// Which call it is: as the journal has it, or as a line says it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Identity<'a> {
    Parsed(EventId),
    Said(&'a str),
}

/// A call. What is not known is absent; lines of AWS tell little.
#[derive(Debug, Clone)]
pub(crate) struct Call<'a> {
    pub(crate) event_id: Identity<'a>,
    pub(crate) inference_id: Option<&'a str>,
    pub(crate) lsn: Option<Lsn>,
    pub(crate) arrived_at: Timestamp,
    pub(crate) variant: Option<&'a str>,
    pub(crate) model: Option<&'a str>,
    pub(crate) endpoint_config: Option<&'a str>,
    pub(crate) target_model: Option<&'a str>,
    pub(crate) consumer: Option<&'a str>,
    pub(crate) principal: Option<&'a str>,
    pub(crate) source_address: Option<IpAddr>,
    pub(crate) user_agent: Option<&'a str>,
    pub(crate) outcome: Option<&'a str>,
    pub(crate) status: Option<u16>,
    pub(crate) model_latency_us: Option<u64>,
    pub(crate) total_latency_us: Option<u64>,
    pub(crate) request_size_bytes: Option<u64>,
    pub(crate) response_size_bytes: Option<u64>,
    pub(crate) sampling_probability: Option<f64>,
    pub(crate) redaction_policy: Option<&'a str>,
    pub(crate) custom_attributes: Option<&'a str>,
    pub(crate) request: Option<Side<'a>>,
    pub(crate) response: Option<Side<'a>>,
    /// Whether only the begin of the answer is there.
    pub(crate) truncated: bool,
}

impl<'a> Call<'a> {
    pub(crate) fn of_record(record: &'a Record) -> Self {
        let policy: &Policy = &record.policy;
        let settings = policy.settings.as_ref();
        let side = |payload: &'a Payload| {
            let content_type = payload.content_type.as_deref();
            let encoding = settings.map_or(Encoding::Base64, |settings| {
                encoding_of(content_type, &settings.csv_content_types, &settings.json_content_types)
            });
            Side { content_type, encoding, body: &payload.body }
        };
        Self {
            event_id: Identity::Parsed(record.event_id),
            inference_id: record.inference_id.as_ref().map(|id| id.as_str()),
            lsn: Some(record.lsn),
            arrived_at: record.arrived_at,
            variant: Some(policy.variant.as_str()),
            model: Some(policy.model.as_str()),
            endpoint_config: Some(policy.endpoint_config.as_str()),
            target_model: record.target_model.as_deref(),
            consumer: Some(record.consumer.as_str()),
            principal: record.caller.principal.as_ref().map(Principal::as_str),
            source_address: record.caller.source_address,
            user_agent: record.caller.user_agent.as_ref().map(UserAgent::as_str),
            outcome: Some(outcome_word(record.outcome)),
            status: Some(record.status),
            model_latency_us: Some(record.model_latency_us),
            total_latency_us: Some(record.total_latency_us),
            request_size_bytes: Some(record.request_size_bytes),
            response_size_bytes: Some(record.response_size_bytes),
            sampling_probability: settings.map(|settings| settings.sampling.share()),
            redaction_policy: policy.redaction.as_deref(),
            custom_attributes: record.custom_attributes.as_deref(),
            request: record.request.as_ref().map(side),
            response: record.response.as_ref().map(side),
            truncated: record.is_response_cut(),
        }
    }

    /// Whether the model answered, as far as one can tell: then there is something to decode.
    pub(crate) fn answered(&self) -> bool {
        self.outcome.is_none_or(|outcome| outcome == outcome_word(Outcome::Ok))
    }
}

pub(crate) const HOUR_US: i64 = 3_600_000_000;

impl<'a> Call<'a> {
    /// The call of a captured line under a key that says `variant`.
    pub(crate) fn of_line(line: &'a Line, variant: &'a str) -> Self {
        fn side(side: &LineSide) -> Side<'_> {
            Side { content_type: side.content_type.as_deref(), encoding: side.encoding, body: &side.body }
        }
        let facts = line.facts.as_ref();
        let text = |of: fn(&Facts) -> Option<&str>| facts.and_then(of);
        let count = |of: fn(&Facts) -> Option<u64>| facts.and_then(of);
        let response = line.output.as_ref().map(side);
        let size = count(|facts| facts.response_size_bytes);
        Self {
            event_id: Identity::Parsed(line.event_id),
            inference_id: line.inference_id.as_deref(),
            lsn: line.lsn,
            arrived_at: line.inference_time,
            variant: Some(variant),
            model: text(|facts| facts.model_name.as_deref()),
            endpoint_config: text(|facts| facts.endpoint_config_name.as_deref()),
            target_model: text(|facts| facts.target_model.as_deref()),
            consumer: line.consumer.as_deref(),
            principal: line.caller.principal.as_ref().map(Principal::as_str),
            source_address: line.caller.source_address,
            user_agent: line.caller.user_agent.as_ref().map(UserAgent::as_str),
            outcome: text(|facts| facts.outcome.as_deref()),
            status: facts.and_then(|facts| facts.status),
            model_latency_us: count(|facts| facts.model_latency_us),
            total_latency_us: count(|facts| facts.total_latency_us),
            request_size_bytes: count(|facts| facts.request_size_bytes),
            response_size_bytes: size,
            sampling_probability: facts.and_then(|facts| facts.sampling_probability),
            redaction_policy: line.redaction_policy.as_deref(),
            custom_attributes: line.custom_attributes.as_ref().and_then(|all| all.first()).map(String::as_str),
            request: line.input.as_ref().map(side),
            truncated: response.zip(size).is_some_and(|(kept, size)| (kept.body.len() as u64) < size),
            response,
        }
    }
}

/// The hour of a time, hours since 1970.
pub(crate) fn hour_of(at: Timestamp) -> i64 {
    at.unix_us().div_euclid(HOUR_US)
}
