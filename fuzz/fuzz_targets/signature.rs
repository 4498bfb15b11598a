//! Any head of a request and any body in chunks: a signature is read or refused, and nothing that was not signed is let in.
//!
//! The input is a request as text: a line with method, path and query, headers, an empty line, the body.
#![no_main]

use captura_names::Timestamp;
use captura_wire::sigv4::{ChunkWatch, Head, Presented, Secret};
use libfuzzer_sys::fuzz_target;

/// 2026-01-01T00:00:00Z, which the seeds are signed at.
const NOW_US: i64 = 1_767_225_600_000_000;

fuzz_target!(|bytes: &[u8]| {
    let Some((head, body)) = request(bytes) else { return };
    let Ok(Some(presented)) = Presented::of(&head) else { return };
    let _ = (presented.scope().service(), presented.has_session_token());
    let checked = presented.check(&head, Timestamp::from_unix_us(NOW_US));
    let secret = Secret::new("a key that no input was signed with".into());
    let declared = presented.check_body(body);
    if checked.is_ok() {
        let digest = declared.unwrap_or_default();
        assert!(!presented.is_signed_with(&head, &secret, &digest), "nobody has the key");
    }
    if let Some(chain) = presented.chunks(&secret) {
        let mut watch = ChunkWatch::new(chain);
        let fed = body.chunks(7).try_for_each(|piece| watch.feed(piece));
        assert!(fed.is_err() || !watch.is_done(), "no chunk was signed");
    }
});

fn request(bytes: &[u8]) -> Option<(Head<'_>, &[u8])> {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n").unwrap_or(bytes.len());
    let (text, body) = (std::str::from_utf8(&bytes[..end]).ok()?, bytes.get(end + 2..).unwrap_or_default());
    let mut lines = text.split('\n');
    let (method, address) = lines.next()?.split_once(' ')?;
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let headers = lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.as_bytes())).collect();
    Some((Head { method, path, query, headers }, body))
}
