//! The bytes of one call in the queue, a file of its own:
//!
//! ```text
//!  0  8  "captbkl1": what this is, and its format
//!  8  4  length of the head, little endian
//! 12  4  CRC-32C of everything that follows
//! 16  …  head: the call as JSON
//!  …  …  body: the payload, where it came with the call
//! ```
//!
//! Invariant: what decodes is what was encoded; anything else is damage and says so.

use bytes::Bytes;
use captura_route::Deferred;

const MAGIC: [u8; 8] = *b"captbkl1";
const FIXED_BYTES: usize = 16;

/// Why bytes are no call.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadEntry {
    #[error("it does not begin as an entry of this format")]
    Magic,
    #[error("it is shorter than it says")]
    Length,
    #[error("its checksum does not fit")]
    Checksum,
    #[error("its head cannot be read: {0}")]
    Head(#[from] serde_json::Error),
}

/// The parts of an entry in front of its body.
pub(crate) fn encode(deferred: &Deferred, body: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let head = serde_json::to_vec(deferred).expect("our bug: a call holds only text and numbers");
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&head), body);
    let mut fixed = Vec::with_capacity(FIXED_BYTES);
    fixed.extend_from_slice(&MAGIC);
    fixed.extend_from_slice(&u32::try_from(head.len()).expect("our bug: members are far below 4 GiB").to_le_bytes());
    fixed.extend_from_slice(&checksum.to_le_bytes());
    (fixed, head)
}

pub(crate) fn decode(bytes: &Bytes) -> Result<(Deferred, Bytes), BadEntry> {
    let fixed = bytes.get(..FIXED_BYTES).ok_or(BadEntry::Length)?;
    if fixed[..8] != MAGIC {
        return Err(BadEntry::Magic);
    }
    let number = |at: usize| u32::from_le_bytes(fixed[at..at + 4].try_into().expect("our bug: four bytes are four"));
    let rest = bytes.slice(FIXED_BYTES..);
    let head_bytes = number(8) as usize;
    if head_bytes > rest.len() {
        return Err(BadEntry::Length);
    }
    if crc32c::crc32c(&rest) != number(12) {
        return Err(BadEntry::Checksum);
    }
    Ok((serde_json::from_slice(&rest[..head_bytes])?, rest.slice(head_bytes..)))
}

#[cfg(test)]
mod tests {
    use captura_route::Caller;

    use super::*;

    /// The head of a call as captura kept it before calls had callers.
    const HEAD_WITHOUT_CALLER: &str = r#"{"endpoint":"churn","region":"eu-west-1","consumer":"billing","inference_id":"order-7","accepted_at":1650241308871000,"expires_at":1650241368871000,"timeout_seconds":900,"content_type":"text/csv","accept":null,"custom_attributes":null,"input":null,"output":"s3://answers/7.out","output_named":false,"failure":null,"settings":{"output":"s3://answers/","failure":null,"kms_key_id":null,"success_topic":null,"error_topic":null,"include_response_in":[],"concurrency_max":null}}"#;

    #[test]
    fn a_call_that_an_older_captura_kept_is_still_read() {
        let (head, body) = (HEAD_WITHOUT_CALLER.as_bytes(), b"1,2");
        let checksum = crc32c::crc32c_append(crc32c::crc32c(head), body);
        let length = u32::try_from(head.len()).unwrap();
        let bytes = [&MAGIC[..], &length.to_le_bytes(), &checksum.to_le_bytes(), head, body].concat();
        let (deferred, found) = decode(&bytes.into()).unwrap();
        assert_eq!((deferred.consumer.as_str(), &deferred.caller), ("billing", &Caller::default()));
        assert_eq!((deferred.inference_id.as_str(), &found[..]), ("order-7", &body[..]));
    }
}
