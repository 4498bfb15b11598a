//! The bytes of a record inside its frame, little endian:
//!
//! ```text
//!  0  1  version, 2                      56  8  model latency, µs
//!  1  1  outcome                         64  8  total latency, µs
//!  2  2  status                          72  2  length of custom attributes
//!  4  1  presence: 1 inference id,       74  2  length of request content type
//!        2 custom attributes, 4 request, 76  2  length of response content type
//!        8 response, 16, 32 their content 78  2  length of target model
//!        types, 64 target model, 128 copy 80  4  length of request body
//!  5  1  length of consumer              84  4  length of response body
//!  6  1  length of inference id          88  2  length of principal
//!  7  1  length of source address:       90  2  length of user agent
//!        0, 4 or 16                      92  …  consumer, inference id, custom attributes, request content
//!  8  8  id of the policy                       type, response content type, target model, principal, user
//! 16 16  event id, big endian                   agent, source address, bodies
//! 32  8  arrived, µs since 1970
//! 40  8  request size   48  8  response size
//! ```
//!
//! The position in the log is in the frame's head. Bodies come last, so that they are copied once, from where they lie
//! into the journal's buffer, and reading a record's head touches no body.
//!
//! Version 1 had a zero at 7, nothing of the caller, and its texts from 88 on. It is still read.

use bytes::{Buf as _, BufMut as _, Bytes};
use captura_names::{EventId, InferenceId, Timestamp};
use captura_route::{Caller, CapturePolicy, Consumer, Invocation, Principal, UserAgent};
use std::net::IpAddr;
use std::sync::Arc;

use super::{Conclusion, Lsn, Outcome, Payload, Record};

const VERSION: u8 = 2;
const FIXED_BYTES: usize = 92;
/// The version without the caller.
const VERSION_1: u8 = 1;
const FIXED_BYTES_1: usize = 88;
const POLICY_ID_AT: usize = 8;

const INFERENCE_ID: u8 = 1;
const CUSTOM_ATTRIBUTES: u8 = 2;
const REQUEST: u8 = 4;
const RESPONSE: u8 = 8;
const REQUEST_TYPE: u8 = 16;
const RESPONSE_TYPE: u8 = 32;
const TARGET_MODEL: u8 = 64;
/// The call is a copy for a shadow variant.
const COPY: u8 = 128;

/// A record about to be framed: the head is encoded, the bodies are where they were.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) head: Vec<u8>,
    pub(crate) bodies: [Bytes; 2],
    pub(crate) checksum: u32,
    pub(crate) payload_bytes: u32,
}

/// The record does not fit the format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} has {length} bytes, a record holds at most {limit}")]
pub(crate) struct TooLarge {
    pub(crate) field: &'static str,
    pub(crate) length: usize,
    pub(crate) limit: usize,
}

fn short(field: &'static str, text: Option<&str>) -> Result<u16, TooLarge> {
    let length = text.map_or(0, str::len);
    u16::try_from(length).map_err(|_| TooLarge { field, length, limit: usize::from(u16::MAX) })
}

/// Sizes of the bodies as they travelled, whatever is kept of them, bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    request: u64,
    response: u64,
}

impl Sizes {
    pub(crate) fn of(invocation: &Invocation, conclusion: &Conclusion) -> Self {
        Self {
            request: invocation.request.body.len() as u64,
            response: conclusion.response.body.len() as u64 + conclusion.response_cut_bytes,
        }
    }
}

/// Encodes an exchange under its policy and the policy's id. Bodies that the policy does not keep are left out, their
/// sizes stay.
pub(crate) fn encode(
    invocation: &Invocation,
    conclusion: &Conclusion,
    (policy, policy_id): (&CapturePolicy, u64),
    travelled: Sizes,
) -> Result<Encoded, TooLarge> {
    let (input, output) = policy.settings.as_ref().map_or((false, false), |kept| (kept.input, kept.output));
    let request = &invocation.request;
    let response = &conclusion.response;
    let inference_id = invocation.inference_id.as_ref().map(InferenceId::as_str);
    let attributes = request.custom_attributes.as_deref();
    let target_model = request.target_model.as_deref();
    let request_type = request.content_type.as_deref().filter(|_| input);
    let response_type = response.content_type.as_deref().filter(|_| output);
    let request_body = if input { request.body.clone() } else { Bytes::new() };
    let response_body = if output { response.body.clone() } else { Bytes::new() };

    let presence = (u8::from(inference_id.is_some()) * INFERENCE_ID)
        | (u8::from(attributes.is_some()) * CUSTOM_ATTRIBUTES)
        | (u8::from(input) * REQUEST)
        | (u8::from(output) * RESPONSE)
        | (u8::from(request_type.is_some()) * REQUEST_TYPE)
        | (u8::from(response_type.is_some()) * RESPONSE_TYPE)
        | (u8::from(target_model.is_some()) * TARGET_MODEL)
        | (u8::from(invocation.caller.is_copy) * COPY);
    let caller = &invocation.caller;
    let principal = caller.principal.as_ref().map(Principal::as_str);
    let user_agent = caller.user_agent.as_ref().map(UserAgent::as_str);
    let consumer = Some(invocation.consumer.as_str());
    let texts = [consumer, inference_id, attributes, request_type, response_type, target_model, principal, user_agent];
    let address = Octets::of(caller.source_address);
    let text_bytes = texts.iter().flatten().map(|text| text.len()).sum::<usize>() + address.as_slice().len();

    let mut head = Vec::with_capacity(FIXED_BYTES + text_bytes);
    head.put_u8(VERSION);
    head.put_u8(conclusion.outcome as u8);
    head.put_u16_le(conclusion.status);
    head.put_u8(presence);
    head.put_u8(u8::try_from(invocation.consumer.as_str().len()).expect("our bug: consumers have at most 128 bytes"));
    head.put_u8(u8::try_from(inference_id.map_or(0, str::len)).expect("our bug: inference ids have at most 64 bytes"));
    head.put_u8(address.length);
    head.put_u64_le(policy_id);
    head.put_slice(invocation.event_id.as_bytes());
    head.put_i64_le(invocation.arrived_at.unix_us());
    head.put_u64_le(travelled.request);
    head.put_u64_le(travelled.response);
    head.put_u64_le(conclusion.model_latency_us);
    head.put_u64_le(conclusion.total_latency_us);
    head.put_u16_le(short("custom attributes", attributes)?);
    head.put_u16_le(short("request content type", request_type)?);
    head.put_u16_le(short("response content type", response_type)?);
    head.put_u16_le(short("target model", target_model)?);
    let limit = crate::journal::frame::MAX_PAYLOAD_BYTES;
    let length = FIXED_BYTES + text_bytes + request_body.len() + response_body.len();
    if length > limit {
        return Err(TooLarge { field: "the record", length, limit });
    }
    head.put_u32_le(request_body.len() as u32);
    head.put_u32_le(response_body.len() as u32);
    head.put_u16_le(short("principal", principal)?);
    head.put_u16_le(short("user agent", user_agent)?);
    for text in texts.into_iter().flatten() {
        head.put_slice(text.as_bytes());
    }
    head.put_slice(address.as_slice());
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&head), &request_body);
    let checksum = crc32c::crc32c_append(checksum, &response_body);
    Ok(Encoded { head, bodies: [request_body, response_body], checksum, payload_bytes: length as u32 })
}

/// Id of the policy that an encoded record was kept under.
pub(crate) fn policy_id(payload: &[u8]) -> Option<u64> {
    payload.get(POLICY_ID_AT..POLICY_ID_AT + 8).map(|mut id| id.get_u64_le())
}

/// Why the payload of a frame is no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// Written by a newer captura.
    #[error("the record has format {0}, this captura reads up to {VERSION}")]
    Newer(u8),
    /// The lengths do not add up, or a text is not text.
    #[error("the record's {0} is malformed")]
    Malformed(&'static str),
    /// No frame of the segment tells the policy.
    #[error("the record's policy {0:016x} is not in the segment")]
    PolicyMissing(u64),
}

/// Takes texts off the front of a payload.
struct Texts(Bytes);

impl Texts {
    fn take(&mut self, length: usize, field: &'static str) -> Result<Bytes, BadRecord> {
        if self.0.len() < length {
            return Err(BadRecord::Malformed(field));
        }
        Ok(self.0.split_to(length))
    }

    fn text(&mut self, present: bool, length: usize, field: &'static str) -> Result<Option<Box<str>>, BadRecord> {
        let bytes = self.take(length, field)?;
        if !present {
            return if bytes.is_empty() { Ok(None) } else { Err(BadRecord::Malformed(field)) };
        }
        std::str::from_utf8(&bytes).map(|text| Some(text.into())).map_err(|_| BadRecord::Malformed(field))
    }
}

/// The octets of an address, none when it is not known.
struct Octets {
    octets: [u8; 16],
    length: u8,
}

impl Octets {
    fn of(address: Option<IpAddr>) -> Self {
        let mut octets = [0; 16];
        let length = match address {
            None => 0,
            Some(IpAddr::V4(address)) => {
                octets[..4].copy_from_slice(&address.octets());
                4
            }
            Some(IpAddr::V6(address)) => {
                octets = address.octets();
                16
            }
        };
        Self { octets, length }
    }

    fn as_slice(&self) -> &[u8] {
        &self.octets[..usize::from(self.length)]
    }

    fn read(octets: &[u8]) -> Result<Option<IpAddr>, BadRecord> {
        let malformed = |_| BadRecord::Malformed("source address");
        Ok(match octets.len() {
            0 => None,
            4 => Some(<[u8; 4]>::try_from(octets).map_err(malformed)?.into()),
            _ => Some(<[u8; 16]>::try_from(octets).map_err(malformed)?.into()),
        })
    }
}

fn outcome(byte: u8) -> Result<Outcome, BadRecord> {
    Ok(match byte {
        0 => Outcome::Ok,
        1 => Outcome::ClientError,
        2 => Outcome::ServerError,
        3 => Outcome::TimedOut,
        4 => Outcome::Unavailable,
        5 => Outcome::ClientGone,
        _ => return Err(BadRecord::Malformed("outcome")),
    })
}

/// Decodes the payload of a record frame. Bodies are slices of `payload`, not copies.
///
/// # Errors
/// When the payload is no record, or its policy is not known to `policy_of`.
pub(crate) fn decode(
    payload: &Bytes,
    lsn: Lsn,
    policy_of: impl FnOnce(u64) -> Option<Arc<CapturePolicy>>,
) -> Result<Record, BadRecord> {
    let version = *payload.first().ok_or(BadRecord::Malformed("head"))?;
    let fixed_bytes = match version {
        VERSION_1 => FIXED_BYTES_1,
        VERSION => FIXED_BYTES,
        0 => return Err(BadRecord::Malformed("version")),
        newer => return Err(BadRecord::Newer(newer)),
    };
    let mut fixed = payload.get(1..fixed_bytes).ok_or(BadRecord::Malformed("head"))?;
    let outcome = outcome(fixed.get_u8())?;
    let status = fixed.get_u16_le();
    let presence = fixed.get_u8();
    let has = |bit: u8| presence & bit != 0;
    let (consumer_bytes, inference_id_bytes) = (usize::from(fixed.get_u8()), usize::from(fixed.get_u8()));
    let address_bytes = match (version, fixed.get_u8()) {
        // It meant nothing.
        (VERSION_1, _) => 0,
        (_, length) => usize::from(length),
    };
    let policy_id = fixed.get_u64_le();
    let mut event_id = [0; 16];
    fixed.copy_to_slice(&mut event_id);
    let arrived_at = Timestamp::from_unix_us(fixed.get_i64_le());
    let (request_size_bytes, response_size_bytes) = (fixed.get_u64_le(), fixed.get_u64_le());
    let (model_latency_us, total_latency_us) = (fixed.get_u64_le(), fixed.get_u64_le());
    let attribute_bytes = usize::from(fixed.get_u16_le());
    let (request_type_bytes, response_type_bytes) = (usize::from(fixed.get_u16_le()), usize::from(fixed.get_u16_le()));
    let target_model_bytes = usize::from(fixed.get_u16_le());
    let (request_bytes, response_bytes) = (fixed.get_u32_le() as usize, fixed.get_u32_le() as usize);

    let (principal_bytes, user_agent_bytes) = match version {
        VERSION_1 => (0, 0),
        _ => (usize::from(fixed.get_u16_le()), usize::from(fixed.get_u16_le())),
    };

    let mut rest = Texts(payload.slice(fixed_bytes..));
    let consumer = rest.text(true, consumer_bytes, "consumer")?.unwrap_or_default();
    let inference_id = rest.text(has(INFERENCE_ID), inference_id_bytes, "inference id")?;
    let inference_id = inference_id.map(|text| InferenceId::parse(&text)).transpose();
    let inference_id = inference_id.map_err(|_| BadRecord::Malformed("inference id"))?;
    let custom_attributes = rest.text(has(CUSTOM_ATTRIBUTES), attribute_bytes, "custom attributes")?;
    let request_type = rest.text(has(REQUEST_TYPE), request_type_bytes, "request content type")?;
    let response_type = rest.text(has(RESPONSE_TYPE), response_type_bytes, "response content type")?;
    let target_model = rest.text(has(TARGET_MODEL), target_model_bytes, "target model")?;
    let caller = Caller {
        principal: rest.text(true, principal_bytes, "principal")?.and_then(|text| Principal::new(&text)),
        user_agent: rest.text(true, user_agent_bytes, "user agent")?.and_then(|text| UserAgent::new(&text)),
        source_address: Octets::read(&rest.take(address_bytes, "source address")?)?,
        is_copy: has(COPY),
    };
    let request_body = rest.take(request_bytes, "request body")?;
    let response_body = rest.take(response_bytes, "response body")?;
    if !rest.0.is_empty() {
        return Err(BadRecord::Malformed("length"));
    }
    let policy = policy_of(policy_id).ok_or(BadRecord::PolicyMissing(policy_id))?;
    Ok(Record {
        lsn,
        event_id: EventId::from_bytes(event_id),
        policy,
        arrived_at,
        consumer: Consumer::new(&consumer),
        caller,
        outcome,
        status,
        inference_id,
        custom_attributes,
        target_model,
        request: has(REQUEST).then_some(Payload { content_type: request_type, body: request_body }),
        response: has(RESPONSE).then_some(Payload { content_type: response_type, body: response_body }),
        request_size_bytes,
        response_size_bytes,
        model_latency_us,
        total_latency_us,
    })
}

#[cfg(test)]
mod tests {
    use captura_names::EndpointName;
    use captura_route::ModelRequest;
    use proptest::prelude::*;

    use super::*;

    const LSN: Lsn = Lsn { node: 1, epoch: 2, n: 3 };

    fn policy(input: bool, output: bool) -> Arc<CapturePolicy> {
        let json = format!(
            r#"{{"endpoint":"e","variant":"v","model":"m","endpoint_config":"c","settings":{{"enabled":true,
            "sampling":100,"input":{input},"output":{output},"destination":"s3://bucket/prefix",
            "csv_content_types":[],"json_content_types":[],"kms_key_id":null,
            "durability":"ack-after-write","when_unavailable":"serve"}}}}"#
        );
        Arc::new(serde_json::from_str(&json).unwrap())
    }

    fn encode_all(invocation: &Invocation, conclusion: &Conclusion, policy: &CapturePolicy, id: u64) -> Encoded {
        encode(invocation, conclusion, (policy, id), Sizes::of(invocation, conclusion)).unwrap()
    }

    fn bytes_of(encoded: &Encoded) -> Bytes {
        let payload = [&encoded.head[..], &encoded.bodies[0], &encoded.bodies[1]].concat();
        assert_eq!(crc32c::crc32c(&payload), encoded.checksum);
        assert_eq!(payload.len(), encoded.payload_bytes as usize);
        payload.into()
    }

    fn call(request: ModelRequest, inference_id: Option<&str>) -> Invocation {
        Invocation {
            event_id: EventId::from_bytes([7; 16]),
            arrived_at: Timestamp::from_unix_us(1_650_241_308_871_000),
            consumer: Consumer::new("billing"),
            caller: Caller::default(),
            endpoint: EndpointName::parse("e").unwrap(),
            target_variant: None,
            inference_id: inference_id.map(|text| InferenceId::parse(text).unwrap()),
            request,
        }
    }

    #[test]
    fn the_bytes_of_a_record_never_change() {
        let request = ModelRequest {
            body: Bytes::from_static(b"1,2"),
            content_type: Some("text/csv".into()),
            custom_attributes: Some("a=b".into()),
            ..ModelRequest::default()
        };
        let response = Payload { content_type: None, body: Bytes::from_static(b"0.5") };
        let conclusion = Conclusion {
            outcome: Outcome::ServerError,
            status: 500,
            response,
            response_cut_bytes: 0,
            model_latency_us: 30,
            total_latency_us: 40,
        };
        let mut call = call(request, Some("id"));
        let encoded = encode_all(&call, &conclusion, &policy(true, true), 0x0102_0304_0506_0708);
        let hex: String = bytes_of(&encoded).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, GOLDEN);
        call.caller = caller();
        let encoded = encode_all(&call, &conclusion, &policy(true, true), 0x0102_0304_0506_0708);
        let hex: String = bytes_of(&encoded).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, GOLDEN_WITH_CALLER);
    }

    fn caller() -> Caller {
        Caller {
            principal: Principal::new("key:AKIA"),
            source_address: Some("10.0.0.7".parse().unwrap()),
            user_agent: UserAgent::new("curl/8"),
            is_copy: false,
        }
    }

    #[test]
    fn a_record_of_version_1_is_still_read_and_has_no_caller() {
        let bytes: Vec<u8> =
            (0..GOLDEN_1.len() / 2).map(|at| u8::from_str_radix(&GOLDEN_1[2 * at..2 * at + 2], 16).unwrap()).collect();
        let payload = Bytes::from(bytes);
        let record = decode(&payload, LSN, |_| Some(policy(true, true))).unwrap();
        assert_eq!(record.caller, Caller::default());
        assert_eq!((record.consumer.as_str(), record.status), ("billing", 500));
        assert_eq!(record.inference_id.as_ref().unwrap().as_str(), "id");
        assert_eq!(record.request.unwrap().body, "1,2");
        assert_eq!(record.response.unwrap().body, "0.5");
        for cut in 0..payload.len() {
            assert!(decode(&payload.slice(..cut), LSN, |_| Some(policy(true, true))).is_err());
        }
    }

    #[test]
    fn an_address_has_four_octets_or_sixteen_and_nothing_else() {
        for address in ["10.0.0.7", "::1", "2001:db8::7"] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(Octets::read(Octets::of(Some(address)).as_slice()), Ok(Some(address)));
        }
        assert_eq!(Octets::read(&[]), Ok(None));
        for length in [1, 3, 5, 15, 17] {
            assert!(Octets::read(&vec![0; length]).is_err());
        }
    }

    const GOLDEN: &str = "0202f4011f070200080706050403020107070707070707070707070707070707584902bfe2dc050003000000000000000300\
        0000000000001e000000000000002800000000000000030008000000000003000000030000000000000062696c6c696e6769\
        64613d62746578742f637376312c32302e35";
    const GOLDEN_WITH_CALLER: &str = "0202f4011f070204080706050403020107070707070707070707070707070707584902bfe2dc050003000000000000000300\
        0000000000001e000000000000002800000000000000030008000000000003000000030000000800060062696c6c696e6769\
        64613d62746578742f6373766b65793a414b49416375726c2f380a000007312c32302e35";
    /// As the first captura wrote it.
    const GOLDEN_1: &str = "0102f4011f070200080706050403020107070707070707070707070707070707584902bfe2dc050003000000000000000300\
        0000000000001e0000000000000028000000000000000300080000000000030000000300000062696c6c696e676964613d62\
        746578742f637376312c32302e35";

    proptest! {
        #[test]
        fn a_record_survives_the_round_trip(
            request_body: Vec<u8>,
            response_body: Vec<u8>,
            texts in prop::collection::vec(prop::option::of("[ -~é]{0,80}"), 6),
            address: Option<IpAddr>,
            inference_id in prop::option::of("[ -~]{1,64}"),
            kept: (bool, bool),
            status: u16,
            times: (u64, u64),
        ) {
            let policy = policy(kept.0, kept.1);
            let text = |index: usize| texts[index].as_deref().map(Box::from);
            let request = ModelRequest {
                body: request_body.clone().into(),
                content_type: text(0),
                custom_attributes: text(1),
                target_model: text(3),
                ..ModelRequest::default()
            };
            let conclusion = Conclusion {
                outcome: Outcome::TimedOut,
                status,
                response: Payload { content_type: text(2), body: response_body.clone().into() },
                response_cut_bytes: 0,
                model_latency_us: times.0,
                total_latency_us: times.1,
            };
            let mut invocation = call(request, inference_id.as_deref());
            invocation.caller = Caller {
                principal: texts[4].as_deref().and_then(Principal::new),
                user_agent: texts[5].as_deref().and_then(UserAgent::new),
                source_address: address,
                is_copy: status % 2 == 0,
            };
            let payload = bytes_of(&encode_all(&invocation, &conclusion, &policy, 9));
            prop_assert_eq!(policy_id(&payload), Some(9));
            let record = decode(&payload, LSN, |id| (id == 9).then(|| Arc::clone(&policy))).unwrap();
            let sent = Payload { content_type: text(0), body: request_body.into() };
            prop_assert_eq!(record.request_size_bytes, sent.body.len() as u64);
            prop_assert_eq!(record.response_size_bytes, response_body.len() as u64);
            prop_assert_eq!(record.request, kept.0.then_some(sent));
            prop_assert_eq!(record.response, kept.1.then_some(conclusion.response));
            prop_assert_eq!(record.custom_attributes, text(1));
            prop_assert_eq!(record.target_model, text(3));
            prop_assert_eq!(record.caller, invocation.caller.clone());
            prop_assert_eq!(record.inference_id, invocation.inference_id);
            prop_assert_eq!((record.lsn, record.event_id), (LSN, invocation.event_id));
            prop_assert_eq!((record.status, record.outcome), (status, Outcome::TimedOut));
            prop_assert_eq!((record.model_latency_us, record.total_latency_us), times);
            prop_assert_eq!(decode(&payload, LSN, |_| None), Err(BadRecord::PolicyMissing(9)));
            for cut in 0..payload.len() {
                prop_assert!(decode(&payload.slice(..cut), LSN, |_| Some(Arc::clone(&policy))).is_err());
            }
        }

        #[test]
        fn any_bytes_are_a_record_or_an_error(bytes: Vec<u8>) {
            let _ = decode(&bytes.into(), LSN, |_| Some(policy(true, true)));
        }
    }
}
