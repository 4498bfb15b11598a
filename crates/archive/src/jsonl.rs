//! A record as one line of SageMaker's capture file.
//!
//! ```text
//! {"captureData":{"endpointInput":{"observedContentType":"text/csv","mode":"INPUT","data":"1,2\n","encoding":"CSV"},
//!  "endpointOutput":{"observedContentType":"application/json","mode":"OUTPUT","data":"{\"y\": 3}","encoding":"JSON"}},
//!  "eventMetadata":{"eventId":"…","customAttributes":["…"],"inferenceId":"…","inferenceTime":"2022-04-18T00:21:48Z"},
//!  "eventVersion":"0",
//!  "captura":{"lsn":"…","consumer":"…","principal":"…","sourceIPAddress":"…","userAgent":"…","outcome":"ok","status":200,"modelLatencyUs":1,"totalLatencyUs":2,
//!   "requestSizeBytes":4,"responseSizeBytes":8,"samplingProbability":1.0,"modelName":"…","endpointConfigName":"…"}}
//! ```
//! (line breaks only for reading; the real line has none and ends with `\n`). Of `principal`, `sourceIPAddress` and `userAgent`, which are
//! CloudTrail's words, those are left out that are not known; behind them stands `"shadowCopy":true` where the call is a copy for a shadow. Under rules of redaction come last `redactionPolicy` and, where nothing of a body
//! is kept, `requestWithheld`, `responseWithheld`. Behind `modelName` stands `targetModel` where
//! the call named one of many models. Everything before `captura` is byte for
//! byte what the service writes; readers of those files ignore the key they do not know.
//!
//! Invariant: the line is a function of the record; the bytes of both bodies can be had back from it exactly.
//! Refuses to: parse, reformat or trim a body. The hot part writes bytes and uses no serialiser.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use captura_capture::record::{Caller, Outcome, Payload, Record};

/// How the bytes of a body stand in `data`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// The text as it came, under a content type listed as CSV.
    Csv,
    /// The text as it came, under a content type listed as JSON.
    Json,
    /// Standard BASE64 with padding, for everything else and for what is not UTF-8.
    Base64,
}

impl Encoding {
    /// The word in the record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "CSV",
            Self::Json => "JSON",
            Self::Base64 => "BASE64",
        }
    }

    /// Reads the word of a record.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Csv, Self::Json, Self::Base64].into_iter().find(|encoding| encoding.as_str() == text)
    }
}

/// The encoding of one side, judged by its own content type: the part before `;`, compared without regard to case,
/// first with the CSV list, then with the JSON list (contract 4.2).
#[must_use]
pub fn encoding_of(content_type: Option<&str>, csv: &[String], json: &[String]) -> Encoding {
    let Some(content_type) = content_type else { return Encoding::Base64 };
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let listed = |list: &[String]| list.iter().any(|entry| entry.eq_ignore_ascii_case(media_type));
    if listed(csv) {
        Encoding::Csv
    } else if listed(json) {
        Encoding::Json
    } else {
        Encoding::Base64
    }
}

/// Appends the record's line to `out`, newline included. With `extension`, the key `captura` comes last.
pub fn write_line(out: &mut Vec<u8>, record: &Record, extension: bool) {
    let kept = |side: &Option<Payload>| side.as_ref().map_or(0, |payload| payload.body.len());
    // Room for BASE64 of both sides; escapes beyond that grow the buffer as usual.
    out.reserve(768 + (kept(&record.request) + kept(&record.response)) * 4 / 3);
    out.extend_from_slice(b"{\"captureData\":{");
    if let Some(request) = &record.request {
        write_side(out, record, request, b"\"endpointInput\":{", b"\"mode\":\"INPUT\",\"data\":\"");
    }
    if let Some(response) = &record.response {
        if record.request.is_some() {
            out.push(b',');
        }
        write_side(out, record, response, b"\"endpointOutput\":{", b"\"mode\":\"OUTPUT\",\"data\":\"");
    }
    out.extend_from_slice(b"},\"eventMetadata\":{\"eventId\":\"");
    let mut event_id = [0; uuid::fmt::Hyphenated::LENGTH];
    let text = uuid::Uuid::from_bytes(*record.event_id.as_bytes()).hyphenated().encode_lower(&mut event_id).as_bytes();
    out.extend_from_slice(text);
    if let Some(attributes) = &record.custom_attributes {
        out.extend_from_slice(b"\",\"customAttributes\":[\"");
        write_escaped(out, attributes.as_bytes());
        out.extend_from_slice(b"\"]");
    } else {
        out.push(b'"');
    }
    if let Some(inference_id) = &record.inference_id {
        out.extend_from_slice(b",\"inferenceId\":\"");
        write_escaped(out, inference_id.as_str().as_bytes());
        out.push(b'"');
    }
    out.extend_from_slice(b",\"inferenceTime\":\"");
    write_seconds(out, record);
    out.extend_from_slice(b"\"},\"eventVersion\":\"0\"");
    if extension {
        write_extension(out, record);
    }
    out.extend_from_slice(b"}\n");
}

fn write_side(out: &mut Vec<u8>, record: &Record, payload: &Payload, open: &[u8], mode: &[u8]) {
    out.extend_from_slice(open);
    if let Some(content_type) = payload.content_type.as_deref() {
        out.extend_from_slice(b"\"observedContentType\":\"");
        write_escaped(out, content_type.as_bytes());
        out.extend_from_slice(b"\",");
    }
    out.extend_from_slice(mode);
    let encoding = record.policy.settings.as_ref().map_or(Encoding::Base64, |settings| {
        encoding_of(payload.content_type.as_deref(), &settings.csv_content_types, &settings.json_content_types)
    });
    let is_text = encoding != Encoding::Base64 && std::str::from_utf8(&payload.body).is_ok();
    if is_text {
        write_escaped(out, &payload.body);
    } else {
        write_base64(out, &payload.body);
    }
    out.extend_from_slice(b"\",\"encoding\":\"");
    out.extend_from_slice(if is_text { encoding.as_str() } else { Encoding::Base64.as_str() }.as_bytes());
    out.extend_from_slice(b"\"}");
}

fn write_base64(out: &mut Vec<u8>, body: &[u8]) {
    let start = out.len();
    let length = base64::encoded_len(body.len(), true).expect("our bug: a body is far below half the address space");
    out.resize(start + length, 0);
    BASE64.encode_slice(body, &mut out[start..]).expect("our bug: the room was measured");
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Bytes looked at together; the loop over them has no branch, so it compiles to vector compares.
const SCAN_BYTES: usize = 32;

/// Writes the inside of a JSON string. UTF-8 stays as it is; only what JSON demands is escaped.
fn write_escaped(out: &mut Vec<u8>, mut text: &[u8]) {
    while !text.is_empty() {
        let clean = clean_prefix(text);
        out.extend_from_slice(&text[..clean]);
        let Some(&byte) = text.get(clean) else { return };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            control => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(control >> 4)]);
                out.push(HEX[usize::from(control & 15)]);
            }
        }
        text = &text[clean + 1..];
    }
}

fn clean_prefix(text: &[u8]) -> usize {
    let mut clean = 0;
    for chunk in text.chunks_exact(SCAN_BYTES) {
        if chunk.iter().fold(false, |dirty, &byte| dirty | needs_escape(byte)) {
            break;
        }
        clean += SCAN_BYTES;
    }
    text[clean..].iter().position(|&byte| needs_escape(byte)).map_or(text.len(), |at| clean + at)
}

fn write_digits(out: &mut Vec<u8>, number: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let (mut rest, mut at) = (number, digits.len());
    while rest > 0 {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&digits[at.min(digits.len() - width)..]);
}

fn write_seconds(out: &mut Vec<u8>, record: &Record) {
    let at = record.arrived_at.hour_path();
    write_digits(out, at.year.into(), 4);
    for (before, part) in [(b'-', at.month), (b'-', at.day), (b'T', at.hour), (b':', at.minute), (b':', at.second)] {
        out.push(before);
        write_digits(out, part.into(), 2);
    }
    out.push(b'Z');
}

/// The word of an outcome in the extension.
#[must_use]
pub fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "ok",
        Outcome::ClientError => "client_error",
        Outcome::ServerError => "server_error",
        Outcome::TimedOut => "timed_out",
        Outcome::Unavailable => "unavailable",
        Outcome::ClientGone => "client_gone",
    }
}

fn write_extension(out: &mut Vec<u8>, record: &Record) {
    let policy = &record.policy;
    out.extend_from_slice(b",\"captura\":{\"lsn\":\"");
    write_lsn(out, record);
    out.extend_from_slice(b"\",\"consumer\":\"");
    write_escaped(out, record.consumer.as_str().as_bytes());
    out.push(b'"');
    write_caller(out, &record.caller);
    if record.caller.is_copy {
        out.extend_from_slice(b",\"shadowCopy\":true");
    }
    out.extend_from_slice(b",\"outcome\":\"");
    out.extend_from_slice(outcome_word(record.outcome).as_bytes());
    out.extend_from_slice(b"\",\"status\":");
    write_digits(out, record.status.into(), 1);
    let numbers: [(&[u8], u64); 4] = [
        (b",\"modelLatencyUs\":", record.model_latency_us),
        (b",\"totalLatencyUs\":", record.total_latency_us),
        (b",\"requestSizeBytes\":", record.request_size_bytes),
        (b",\"responseSizeBytes\":", record.response_size_bytes),
    ];
    for (name, number) in numbers {
        out.extend_from_slice(name);
        write_digits(out, number, 1);
    }
    if record.is_response_cut() {
        out.extend_from_slice(b",\"responseCut\":true");
    }
    out.extend_from_slice(b",\"samplingProbability\":");
    write_share(out, policy.settings.as_ref().map_or(100, |settings| settings.sampling.get()));
    out.extend_from_slice(b",\"modelName\":\"");
    write_escaped(out, policy.model.as_str().as_bytes());
    if let Some(target_model) = &record.target_model {
        out.extend_from_slice(b"\",\"targetModel\":\"");
        write_escaped(out, target_model.as_bytes());
    }
    out.extend_from_slice(b"\",\"endpointConfigName\":\"");
    write_escaped(out, policy.endpoint_config.as_str().as_bytes());
    out.push(b'"');
    if let Some(redaction) = &policy.redaction {
        out.extend_from_slice(b",\"redactionPolicy\":\"");
        write_escaped(out, redaction.as_bytes());
        out.push(b'"');
        for (name, withheld) in [
            (&b",\"requestWithheld\":true"[..], record.is_request_withheld()),
            (b",\"responseWithheld\":true", record.is_response_withheld()),
        ] {
            out.extend_from_slice(if withheld { name } else { b"" });
        }
    }
    out.push(b'}');
}

/// What is known of the caller beside the consumer, with a comma before each member.
fn write_caller(out: &mut Vec<u8>, caller: &Caller) {
    use std::io::Write as _;
    if let Some(principal) = &caller.principal {
        out.extend_from_slice(b",\"principal\":\"");
        write_escaped(out, principal.as_str().as_bytes());
        out.push(b'"');
    }
    if let Some(address) = caller.source_address {
        write!(out, ",\"sourceIPAddress\":\"{address}\"").expect("our bug: a Vec takes every write");
    }
    if let Some(user_agent) = &caller.user_agent {
        out.extend_from_slice(b",\"userAgent\":\"");
        write_escaped(out, user_agent.as_str().as_bytes());
        out.push(b'"');
    }
}

fn write_lsn(out: &mut Vec<u8>, record: &Record) {
    use std::io::Write as _;
    write!(out, "{}", record.lsn).expect("our bug: a Vec takes every write");
}

/// A whole percentage as a share: `0.0`, `0.07`, `0.5`, `1.0`.
fn write_share(out: &mut Vec<u8>, percent: u8) {
    match percent {
        100.. => out.extend_from_slice(b"1.0"),
        tens if tens % 10 == 0 => {
            out.extend_from_slice(b"0.");
            write_digits(out, (tens / 10).into(), 1);
        }
        hundredths => {
            out.extend_from_slice(b"0.");
            write_digits(out, hundredths.into(), 2);
        }
    }
}

#[cfg(test)]
mod tests;
