//! Event-stream frames, as InvokeEndpointWithResponseStream answers in them (contract 2.3).
//!
//! ```text
//! total length u32 | length of headers u32 | CRC-32 of these 8 bytes
//! headers: length of name u8, name, 7 (text), length of value u16, value
//! payload
//! CRC-32 of everything before it
//! ```
//!
//! All numbers are big endian. A stream has no last frame: it ends where the HTTP body does.
//!
//! Invariant: every frame is whole, and none is larger than AWS's clients take (headers 128 KiB, payload 24 MiB).
//! Refuses to: decide which failure is told how; that is the gateway's one map.

use serde::Serialize;

/// Content type of the HTTP reply.
pub const CONTENT_TYPE: &str = "application/vnd.amazon.eventstream";
/// Largest payload of one frame, bytes. A longer piece of an answer travels in several frames: clients take up to 24 MiB,
/// and a caller that reads frame by frame should not have to hold that much.
pub const PAYLOAD_MAX_BYTES: usize = 1024 * 1024;

const PRELUDE_BYTES: usize = 8;
const CHECKSUM_BYTES: usize = 4;
/// Type of a header's value.
const TEXT: u8 = 7;

type Headers = [(&'static str, &'static str); 3];

const PAYLOAD_PART: Headers =
    [(":message-type", "event"), (":event-type", "PayloadPart"), (":content-type", "application/octet-stream")];

/// A failure in the middle of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamFault {
    /// The model did not finish in time.
    ModelInvocationTimeExceeded,
    /// The model broke off.
    StreamBroken,
    /// The server failed.
    Internal,
}

impl StreamFault {
    fn exception_type(self) -> &'static str {
        match self {
            Self::ModelInvocationTimeExceeded | Self::StreamBroken => "ModelStreamError",
            Self::Internal => "InternalStreamFailure",
        }
    }

    /// `ErrorCode` of a `ModelStreamError`.
    #[must_use]
    pub fn error_code(self) -> Option<&'static str> {
        match self {
            Self::ModelInvocationTimeExceeded => Some("ModelInvocationTimeExceeded"),
            Self::StreamBroken => Some("StreamBroken"),
            Self::Internal => None,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct FaultPayload<'a> {
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'a str>,
}

/// A frame with a piece of the model's answer, at most [`PAYLOAD_MAX_BYTES`] long.
#[must_use]
pub fn payload_part(piece: &[u8]) -> Vec<u8> {
    debug_assert!(piece.len() <= PAYLOAD_MAX_BYTES, "our bug: a piece is cut to size before it is framed");
    frame(&PAYLOAD_PART, piece)
}

/// The frame that ends a stream which failed.
#[must_use]
pub fn exception(fault: StreamFault, message: &str) -> Vec<u8> {
    let headers = [
        (":message-type", "exception"),
        (":exception-type", fault.exception_type()),
        (":content-type", "application/json"),
    ];
    let payload = FaultPayload { message, error_code: fault.error_code() };
    let payload = serde_json::to_vec(&payload).expect("our bug: a fault holds only text");
    frame(&headers, &payload)
}

fn frame(headers: &Headers, payload: &[u8]) -> Vec<u8> {
    let header_bytes: usize = headers.iter().map(|(name, value)| 1 + name.len() + 1 + 2 + value.len()).sum();
    let total_bytes = PRELUDE_BYTES + CHECKSUM_BYTES + header_bytes + payload.len() + CHECKSUM_BYTES;
    let length = |bytes: usize| u32::try_from(bytes).expect("our bug: frames are far below 4 GiB").to_be_bytes();
    let mut frame = Vec::with_capacity(total_bytes);
    frame.extend_from_slice(&length(total_bytes));
    frame.extend_from_slice(&length(header_bytes));
    checksum(&mut frame);
    for (name, value) in headers {
        frame.push(u8::try_from(name.len()).expect("our bug: names of headers are short constants"));
        frame.extend_from_slice(name.as_bytes());
        frame.push(TEXT);
        let value_bytes = u16::try_from(value.len()).expect("our bug: values of headers are short constants");
        frame.extend_from_slice(&value_bytes.to_be_bytes());
        frame.extend_from_slice(value.as_bytes());
    }
    frame.extend_from_slice(payload);
    checksum(&mut frame);
    frame
}

/// Appends the CRC-32 of everything so far.
fn checksum(frame: &mut Vec<u8>) {
    let checksum = crc32fast::hash(frame);
    frame.extend_from_slice(&checksum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Made by another encoder, and read back by botocore's decoder.
    #[test]
    fn frames_are_these_bytes() {
        let part = "0000006c000000592b57ac750d3a6d6573736167652d747970650700056576656e740b3a6576656e742d747970650700 \
             0b5061796c6f6164506172740d3a636f6e74656e742d747970650700186170706c69636174696f6e2f6f637465742d73 \
             747265616d6162639553a074";
        assert_eq!(hex(&payload_part(b"abc")), part.replace(' ', ""));
        let broken = "0000009b0000005e4f27b59b0d3a6d6573736167652d74797065070009657863657074696f6e0f3a657863657074696f \
             6e2d747970650700104d6f64656c53747265616d4572726f720d3a636f6e74656e742d747970650700106170706c6963 \
             6174696f6e2f6a736f6e7b224d657373616765223a22676f6e65222c224572726f72436f6465223a2253747265616d42 \
             726f6b656e227dfa4afa66";
        assert_eq!(hex(&exception(StreamFault::StreamBroken, "gone")), broken.replace(' ', ""));
    }

    #[test]
    fn only_model_errors_carry_a_finer_code() {
        let text = |fault| String::from_utf8_lossy(&exception(fault, "no")).into_owned();
        assert!(text(StreamFault::Internal).contains(r#"{"Message":"no"}"#));
        assert!(text(StreamFault::Internal).contains("InternalStreamFailure"));
        let timed_out = text(StreamFault::ModelInvocationTimeExceeded);
        assert!(timed_out.contains(r#"{"Message":"no","ErrorCode":"ModelInvocationTimeExceeded"}"#), "{timed_out}");
    }

    #[test]
    fn lengths_count_everything_and_the_checksums_hold() {
        let frame = payload_part(&[7; 1000]);
        let number = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
        assert_eq!(number(0) as usize, frame.len());
        assert_eq!(number(8), crc32fast::hash(&frame[..8]));
        assert_eq!(number(frame.len() - 4), crc32fast::hash(&frame[..frame.len() - 4]));
        assert_eq!(&frame[12 + number(4) as usize..frame.len() - 4], [7; 1000]);
    }
}
