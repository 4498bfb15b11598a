//! Captured lines, ours or those that SageMaker wrote, read for their columns: borrowed from the line, bodies only when
//! they are wanted.
//!
//! Invariant: whatever the bytes, reading ends with a call or a reason. Refuses to: look into a body.

use std::borrow::Cow;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use captura_archive::jsonl::Encoding;
use captura_archive::line::parse_lsn;
use captura_names::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::call::{Call, Identity, Side};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawLine<'a> {
    #[serde(borrow)]
    capture_data: RawData<'a>,
    #[serde(borrow)]
    event_metadata: RawMetadata<'a>,
    #[serde(borrow, default)]
    captura: Option<RawExtension<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawData<'a> {
    #[serde(borrow, default)]
    endpoint_input: Option<RawSide<'a>>,
    #[serde(borrow, default)]
    endpoint_output: Option<RawSide<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawSide<'a> {
    #[serde(borrow, default)]
    observed_content_type: Option<Text<'a>>,
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(borrow, default)]
    encoding: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawMetadata<'a> {
    #[serde(borrow)]
    event_id: Text<'a>,
    #[serde(borrow, default)]
    custom_attributes: Option<Vec<Text<'a>>>,
    #[serde(borrow, default)]
    inference_id: Option<Text<'a>>,
    #[serde(borrow)]
    inference_time: Text<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct RawExtension<'a> {
    #[serde(borrow)]
    lsn: Option<Text<'a>>,
    #[serde(borrow)]
    consumer: Option<Text<'a>>,
    #[serde(borrow)]
    principal: Option<Text<'a>>,
    #[serde(rename = "sourceIPAddress")]
    source_ip_address: Option<IpAddr>,
    #[serde(borrow)]
    user_agent: Option<Text<'a>>,
    #[serde(borrow)]
    outcome: Option<Text<'a>>,
    status: Option<u16>,
    model_latency_us: Option<u64>,
    total_latency_us: Option<u64>,
    request_size_bytes: Option<u64>,
    response_size_bytes: Option<u64>,
    sampling_probability: Option<f64>,
    #[serde(borrow)]
    model_name: Option<Text<'a>>,
    #[serde(borrow)]
    target_model: Option<Text<'a>>,
    #[serde(borrow)]
    endpoint_config_name: Option<Text<'a>>,
    #[serde(borrow)]
    redaction_policy: Option<Text<'a>>,
    erased: bool,
}

/// Borrowed when it has no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn text<'t>(of: Option<&'t Text<'_>>) -> Option<&'t str> {
    of.map(|text| text.0.as_ref())
}

/// A captured line.
pub(crate) struct Captured<'a> {
    line: RawLine<'a>,
    at: Timestamp,
    request: Option<Cow<'a, [u8]>>,
    response: Option<Cow<'a, [u8]>>,
}

impl<'a> Captured<'a> {
    /// Reads a line; its bodies only when `with_bodies`. `None` for the place of a record that was erased.
    ///
    /// # Errors
    /// Why it is no captured record.
    pub(crate) fn parse(line: &'a [u8], with_bodies: bool) -> Result<Option<Self>, String> {
        let line: RawLine<'a> =
            serde_json::from_slice(line).map_err(|error| format!("not a captured record: {error}"))?;
        if line.captura.as_ref().is_some_and(|own| own.erased) {
            return Ok(None);
        }
        let time = &line.event_metadata.inference_time.0;
        let at = Timestamp::parse(time).map_err(|_| format!("eventMetadata.inferenceTime holds {time:?}"))?;
        let body = |side: &Option<RawSide<'a>>, member: &str| {
            let side = side.as_ref().filter(|_| with_bodies);
            side.map(|side| body_of(side).map_err(|reason| format!("{member}: {reason}"))).transpose()
        };
        let request = body(&line.capture_data.endpoint_input, "endpointInput")?;
        let response = body(&line.capture_data.endpoint_output, "endpointOutput")?;
        Ok(Some(Self { line, at, request, response }))
    }

    /// The call; without bodies, `truncated` is not known and false.
    pub(crate) fn call<'s>(&'s self, variant: Option<&'s str>) -> Call<'s> {
        let metadata = &self.line.event_metadata;
        let own = self.line.captura.as_ref();
        let said = |of: fn(&'s RawExtension<'a>) -> Option<&'s Text<'a>>| text(own.and_then(of));
        let data = &self.line.capture_data;
        let response = side(data.endpoint_output.as_ref(), self.response.as_deref());
        let size = own.and_then(|own| own.response_size_bytes);
        let kept = self.response.as_ref().map(|body| body.len() as u64);
        Call {
            event_id: Identity::Said(&metadata.event_id.0),
            inference_id: text(metadata.inference_id.as_ref()),
            lsn: own.and_then(|own| own.lsn.as_ref()).and_then(|lsn| parse_lsn(&lsn.0)),
            arrived_at: self.at,
            variant,
            model: said(|own| own.model_name.as_ref()),
            endpoint_config: said(|own| own.endpoint_config_name.as_ref()),
            target_model: said(|own| own.target_model.as_ref()),
            consumer: said(|own| own.consumer.as_ref()),
            principal: said(|own| own.principal.as_ref()),
            source_address: own.and_then(|own| own.source_ip_address),
            user_agent: said(|own| own.user_agent.as_ref()),
            outcome: said(|own| own.outcome.as_ref()),
            status: own.and_then(|own| own.status),
            model_latency_us: own.and_then(|own| own.model_latency_us),
            total_latency_us: own.and_then(|own| own.total_latency_us),
            request_size_bytes: own.and_then(|own| own.request_size_bytes),
            response_size_bytes: size,
            sampling_probability: own.and_then(|own| own.sampling_probability),
            redaction_policy: said(|own| own.redaction_policy.as_ref()),
            custom_attributes: text(metadata.custom_attributes.as_ref().and_then(|all| all.first())),
            request: side(data.endpoint_input.as_ref(), self.request.as_deref()),
            response,
            truncated: kept.zip(size).is_some_and(|(kept, size)| kept < size),
        }
    }
}

fn encoding(side: &RawSide<'_>) -> Result<Encoding, String> {
    let Some(word) = text(side.encoding.as_ref()) else { return Ok(Encoding::Base64) };
    Encoding::parse(word).ok_or_else(|| format!("encoding holds {word:?}"))
}

fn side<'s>(raw: Option<&'s RawSide<'_>>, body: Option<&'s [u8]>) -> Option<Side<'s>> {
    let raw = raw?;
    let encoding = encoding(raw).unwrap_or(Encoding::Base64);
    Some(Side { content_type: text(raw.observed_content_type.as_ref()), encoding, body: body.unwrap_or_default() })
}

fn body_of<'a>(side: &RawSide<'a>) -> Result<Cow<'a, [u8]>, String> {
    let encoding = encoding(side)?;
    let data: Text<'a> = serde_json::from_str(side.data.get()).map_err(|error| format!("data is no text: {error}"))?;
    if encoding == Encoding::Base64 {
        return BASE64
            .decode(data.0.as_bytes())
            .map(Cow::Owned)
            .map_err(|error| format!("data is not BASE64: {error}"));
    }
    Ok(match data.0 {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    })
}
