//! One line of a capture file, read back: ours or the service's own.
//!
//! Invariant: the bodies are the bytes that travelled; a line that cannot be read says why instead of giving half.
//! Refuses to: decode what the bodies mean.

use std::borrow::Cow;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use captura_capture::record::{Caller, Lsn, Principal, UserAgent};
use captura_names::{EventId, Timestamp};
use serde::Deserialize;

use crate::jsonl::Encoding;

/// One side of an exchange as the line tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// Media type with parameters, verbatim; absent when none was sent.
    pub content_type: Option<String>,
    /// How the body stood in the line.
    pub encoding: Encoding,
    /// The bytes.
    pub body: Bytes,
}

/// A line of a capture file.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Identity of the invocation.
    pub event_id: EventId,
    /// Position in the log; absent in lines of the service and where the extension is off.
    pub lsn: Option<Lsn>,
    /// Who called; absent where `lsn` is.
    pub consumer: Option<String>,
    /// From where, and by which credentials, as far as the line tells.
    pub caller: Caller,
    /// How it ended and what it took; absent where `lsn` is.
    pub facts: Option<Facts>,
    /// When the call arrived, whole seconds.
    pub inference_time: Timestamp,
    /// The caller's own id.
    pub inference_id: Option<String>,
    /// Custom attributes of the request.
    pub custom_attributes: Option<Vec<String>>,
    /// What was sent.
    pub input: Option<Side>,
    /// What was answered.
    pub output: Option<Side>,
    /// Names the rules by which the record was redacted, where it was.
    pub redaction_policy: Option<String>,
    /// Whether the record was erased: then the line only keeps its place.
    pub is_erased: bool,
}

/// What captura's own key says of a call, beside who called. What an older captura did not write is absent.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Facts {
    /// How it ended, a word of [`crate::jsonl::outcome_word`].
    pub outcome: Option<String>,
    /// HTTP status of the reply.
    pub status: Option<u16>,
    /// Time in the model, microseconds.
    pub model_latency_us: Option<u64>,
    /// Time from arrival to conclusion, microseconds.
    pub total_latency_us: Option<u64>,
    /// Size of what was sent, bytes, kept or not.
    pub request_size_bytes: Option<u64>,
    /// Size of what was answered, bytes, kept or not.
    pub response_size_bytes: Option<u64>,
    /// Share of calls that were kept.
    pub sampling_probability: Option<f64>,
    /// The model.
    pub model_name: Option<String>,
    /// Key of the model that was asked, where one endpoint has many.
    pub target_model: Option<String>,
    /// The endpoint configuration.
    pub endpoint_config_name: Option<String>,
}

/// Why a line cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// Not JSON, or not the shape of a captured record.
    #[error("not a captured record: {0}")]
    Shape(#[source] serde_json::Error),
    /// A member has a value that cannot be.
    #[error("{member} holds {value:?}")]
    Value {
        /// Which member.
        member: &'static str,
        /// What it holds.
        value: String,
    },
    /// The body is not the BASE64 it claims to be.
    #[error("{member} is not BASE64: {source}")]
    Base64 {
        /// Which member.
        member: &'static str,
        /// What the decoder says.
        source: base64::DecodeError,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawLine<'a> {
    #[serde(borrow)]
    capture_data: RawData<'a>,
    #[serde(borrow)]
    event_metadata: RawMetadata<'a>,
    #[serde(borrow)]
    captura: Option<RawExtension<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawData<'a> {
    #[serde(borrow)]
    endpoint_input: Option<RawSide<'a>>,
    #[serde(borrow)]
    endpoint_output: Option<RawSide<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawSide<'a> {
    #[serde(borrow)]
    observed_content_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Cow<'a, str>,
    #[serde(borrow)]
    encoding: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawMetadata<'a> {
    #[serde(borrow)]
    event_id: Cow<'a, str>,
    custom_attributes: Option<Vec<String>>,
    inference_id: Option<String>,
    #[serde(borrow)]
    inference_time: Cow<'a, str>,
}

#[derive(Deserialize)]
struct RawExtension<'a> {
    #[serde(borrow)]
    lsn: Cow<'a, str>,
    consumer: Option<String>,
    #[serde(borrow)]
    principal: Option<Cow<'a, str>>,
    #[serde(rename = "sourceIPAddress")]
    source_ip_address: Option<IpAddr>,
    #[serde(rename = "shadowCopy", default)]
    shadow_copy: bool,
    #[serde(rename = "userAgent", borrow)]
    user_agent: Option<Cow<'a, str>>,
    #[serde(flatten)]
    facts: Facts,
    #[serde(rename = "redactionPolicy")]
    redaction_policy: Option<String>,
    #[serde(default)]
    erased: bool,
}

impl RawExtension<'_> {
    fn caller(&self) -> Caller {
        Caller {
            principal: self.principal.as_deref().and_then(Principal::new),
            source_address: self.source_ip_address,
            user_agent: self.user_agent.as_deref().and_then(UserAgent::new),
            is_copy: self.shadow_copy,
        }
    }
}

impl Line {
    /// Reads a line; a newline at its end is allowed.
    ///
    /// # Errors
    /// When the line is no captured record.
    pub fn parse(line: &[u8]) -> Result<Self, LineError> {
        let raw: RawLine<'_> = serde_json::from_slice(line).map_err(LineError::Shape)?;
        let value = |member: &'static str, value: &str| LineError::Value { member, value: value.to_owned() };
        let metadata = raw.event_metadata;
        let own = raw.captura;
        let lsn =
            own.as_ref().map(|own| parse_lsn(&own.lsn).ok_or_else(|| value("captura.lsn", &own.lsn))).transpose()?;
        let caller = own.as_ref().map(RawExtension::caller).unwrap_or_default();
        let redaction_policy = own.as_ref().and_then(|own| own.redaction_policy.clone());
        let is_erased = own.as_ref().is_some_and(|own| own.erased);
        let (consumer, facts) = own.map(|own| (own.consumer, own.facts)).unzip();
        let consumer = consumer.flatten();
        Ok(Self {
            event_id: EventId::parse(&metadata.event_id)
                .ok_or_else(|| value("eventMetadata.eventId", &metadata.event_id))?,
            lsn,
            caller,
            consumer,
            facts,
            inference_time: Timestamp::parse(&metadata.inference_time)
                .map_err(|_| value("eventMetadata.inferenceTime", &metadata.inference_time))?,
            inference_id: metadata.inference_id,
            custom_attributes: metadata.custom_attributes,
            input: raw.capture_data.endpoint_input.map(|side| decode(side, "endpointInput.data")).transpose()?,
            output: raw.capture_data.endpoint_output.map(|side| decode(side, "endpointOutput.data")).transpose()?,
            redaction_policy,
            is_erased,
        })
    }
}

fn decode(side: RawSide<'_>, member: &'static str) -> Result<Side, LineError> {
    let encoding = match side.encoding.as_deref() {
        None => Encoding::Base64,
        Some(word) => {
            Encoding::parse(word).ok_or_else(|| LineError::Value { member: "encoding", value: word.to_owned() })?
        }
    };
    let body = match encoding {
        Encoding::Csv | Encoding::Json => side.data.into_owned().into_bytes(),
        Encoding::Base64 => {
            BASE64.decode(side.data.as_bytes()).map_err(|source| LineError::Base64 { member, source })?
        }
    };
    Ok(Side { content_type: side.observed_content_type.map(Cow::into_owned), encoding, body: body.into() })
}

/// Reads the text form of a log position, `node-epoch-n`.
#[must_use]
pub fn parse_lsn(text: &str) -> Option<Lsn> {
    let mut parts = text.splitn(3, '-');
    Some(Lsn {
        node: u32::from_str_radix(parts.next()?, 16).ok()?,
        epoch: parts.next()?.parse().ok()?,
        n: parts.next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_line_of_the_service_itself() {
        let text = concat!(
            r#"{"captureData":{"endpointInput":{"observedContentType":null,"mode":"INPUT","data":"MSwy"}},"#,
            r#""eventMetadata":{"eventId":"55126149-826d-415a-967b-33fa7f4666f3","inferenceId":"57","#,
            r#""inferenceTime":"2022-04-18T00:21:48Z"},"eventVersion":"0"}"#
        );
        let line = Line::parse(text.as_bytes()).unwrap();
        assert_eq!((line.lsn, line.inference_id.as_deref()), (None, Some("57")));
        assert_eq!(line.input.unwrap().body, "1,2");
        assert_eq!(line.output, None);
    }

    #[test]
    fn says_what_is_wrong() {
        let good = r#"{"captureData":{"endpointInput":{"data":"MQ==","encoding":"BASE64"}},"eventMetadata":{"eventId":"55126149-826d-415a-967b-33fa7f4666f3","inferenceTime":"2022-04-18T00:21:48Z"}}"#;
        assert!(Line::parse(good.as_bytes()).is_ok());
        for (from, to, words) in [
            ("captureData", "captureDate", "not a captured record"),
            ("MQ==", "M", "endpointInput.data is not BASE64"),
            ("BASE64", "HEX", "encoding holds \"HEX\""),
            ("55126149", "x", "eventMetadata.eventId holds"),
            ("2022-", "", "eventMetadata.inferenceTime holds"),
        ] {
            let message = Line::parse(good.replace(from, to).as_bytes()).unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        }
    }

    #[test]
    fn positions_round_trip() {
        let lsn = Lsn { node: 0xdead_beef, epoch: 7, n: u64::MAX };
        assert_eq!(parse_lsn(&lsn.to_string()), Some(lsn));
        assert_eq!(parse_lsn("7-7"), None);
    }
}
