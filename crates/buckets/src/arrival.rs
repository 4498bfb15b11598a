//! A request on its way in: what it says of its body is taken off it and checked while the body comes.
//!
//! Who may call was decided before a request gets here, and the library behind this door refuses signatures that it
//! cannot verify. So signatures are removed, `aws-chunked` bodies are unpacked, and the hash that a signature promises
//! is compared with what comes.
//!
//! Invariant: a body ends without an error only if it has the length and the hash that its request named.
//! Refuses to: hold bodies.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyDataStream, BodyExt, StreamBody};
use percent_encoding::percent_decode_str;
use s3s::crypto::{Checksum as _, Sha256};

use crate::chunked::Decoder;
use crate::digest::{Algorithm, hex};

/// What goes wrong while a body is read or made.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A body that comes piece by piece.
pub type PiecewiseBody = UnsyncBoxBody<Bytes, BodyError>;

const CONTENT_SHA256: &str = "x-amz-content-sha256";
const DECODED_LENGTH: &str = "x-amz-decoded-content-length";
const TRAILER: &str = "x-amz-trailer";
const AWS_CHUNKED: &str = "aws-chunked";
/// Bodies whose hash stands for something else than the hash of the body begin so.
const STREAMING: &str = "STREAMING-";

/// Headers that only a signature needs.
const SIGNATURE_HEADERS: [&str; 5] =
    ["authorization", "x-amz-date", "x-amz-security-token", CONTENT_SHA256, DECODED_LENGTH];
/// Parameters of a presigned address that only its signature needs, of both versions.
const SIGNATURE_PARAMETERS: [&str; 11] = [
    "x-amz-algorithm",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-signedheaders",
    "x-amz-signature",
    "x-amz-security-token",
    "x-amz-content-sha256",
    "awsaccesskeyid",
    "signature",
    "expires",
];

/// A body that is not what its request said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    #[error("The provided 'x-amz-content-sha256' header does not match what was computed.")]
    Hash,
    #[error("You did not provide the number of bytes specified by the Content-Length HTTP header")]
    Short,
    #[error("the aws-chunked body is broken: {0}")]
    Framing(&'static str),
}

/// What operations must know of a request beyond their own parameters.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arrival {
    /// The region that the request was signed for.
    pub(crate) region: Option<String>,
    /// The checksum that follows the body.
    pub(crate) trailing: Option<Algorithm>,
    /// What followed the body, once it has been read.
    pub(crate) trailers: Arc<OnceLock<HeaderMap>>,
}

impl Arrival {
    /// The value of the checksum that followed the body.
    pub(crate) fn trailing_value(&self) -> Option<String> {
        let value = self.trailers.get()?.get(self.trailing?.header())?;
        value.to_str().ok().map(str::to_owned)
    }
}

/// Takes everything off a request that the library must not see.
pub(crate) fn receive(request: Request<PiecewiseBody>) -> Request<s3s::Body> {
    let (mut head, body) = request.into_parts();
    let mut arrival = Arrival { region: region(&head), ..Arrival::default() };
    let hash = text(&head.headers, CONTENT_SHA256);
    let streaming = hash.as_deref().is_some_and(|hash| hash.starts_with(STREAMING));
    let framed = unwrap_encoding(&mut head.headers) || streaming;
    let decoded_bytes = text(&head.headers, DECODED_LENGTH).and_then(|length| length.parse::<u64>().ok());
    arrival.trailing = text(&head.headers, TRAILER).and_then(|name| Algorithm::of_header(&name));
    for name in SIGNATURE_HEADERS {
        head.headers.remove(name);
    }
    clean_query(&mut head);
    let empty = !framed && http_body::Body::is_end_stream(&body);
    let mut reader = Reader { body: BodyDataStream::new(body), pending: Bytes::new(), ..Reader::default_of(&arrival) };
    if framed {
        reader.decoder = Some(Decoder::new());
        reader.missing_bytes = decoded_bytes;
        head.headers.remove(header::CONTENT_LENGTH);
        if let Some(length) = decoded_bytes {
            head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
    } else {
        reader.hash = hash.filter(|hash| hash.len() == 64).map(|hash| (Sha256::new(), hash.to_ascii_lowercase()));
    }
    head.extensions.insert(arrival);
    Request::from_parts(head, if empty { s3s::Body::empty() } else { reader.into_body() })
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(|value| value.trim().to_owned())
}

/// The region of the credential scope: `key/date/region/service/aws4_request`, in the header or in the query.
fn region(head: &Parts) -> Option<String> {
    let authorization = text(&head.headers, "authorization");
    let of_header = authorization.as_deref().and_then(|value| value.split_once("Credential=")).map(|(_, rest)| rest);
    let of_query = || head.uri.query()?.split('&').find_map(|pair| pair.strip_prefix("X-Amz-Credential="));
    let scope = of_header.or_else(of_query)?.replace("%2F", "/").replace("%2f", "/");
    let scope = scope.split(',').next()?;
    scope.rsplit('/').nth(2).filter(|region| !region.is_empty()).map(str::to_owned)
}

/// Removes `aws-chunked` from the encodings; gives whether it was there.
fn unwrap_encoding(headers: &mut HeaderMap) -> bool {
    let Some(encodings) = text(headers, header::CONTENT_ENCODING.as_str()) else { return false };
    let (framing, others): (Vec<&str>, Vec<&str>) = encodings
        .split(',')
        .map(str::trim)
        .filter(|encoding| !encoding.is_empty())
        .partition(|encoding| encoding.eq_ignore_ascii_case(AWS_CHUNKED));
    if framing.is_empty() {
        return false;
    }
    headers.remove(header::CONTENT_ENCODING);
    if let (false, Ok(value)) = (others.is_empty(), HeaderValue::from_str(&others.join(","))) {
        headers.insert(header::CONTENT_ENCODING, value);
    }
    true
}

/// Removes a signature from the query, and makes headers of the `x-amz-…` parameters that presigned addresses carry in
/// their place.
fn clean_query(head: &mut Parts) {
    let Some(query) = head.uri.query().map(str::to_owned) else { return };
    let signed = query.split('&').any(|pair| name_of(pair).eq_ignore_ascii_case("x-amz-signature"))
        || query.split('&').any(|pair| name_of(pair) == "AWSAccessKeyId");
    if !signed {
        return;
    }
    let mut kept = Vec::new();
    for pair in query.split('&') {
        let name = name_of(pair).to_ascii_lowercase();
        if SIGNATURE_PARAMETERS.contains(&name.as_str()) {
            continue;
        }
        if !(name.starts_with("x-amz-") && to_header(&mut head.headers, &name, pair)) {
            kept.push(pair);
        }
    }
    let path = head.uri.path();
    let rewritten = if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) };
    if let Ok(uri) = rewritten.parse::<Uri>() {
        head.uri = uri;
    }
}

fn name_of(pair: &str) -> &str {
    pair.split('=').next().unwrap_or_default()
}

fn to_header(headers: &mut HeaderMap, name: &str, pair: &str) -> bool {
    let value = pair.split_once('=').map_or("", |(_, value)| value);
    let value = percent_decode_str(value).collect::<Vec<u8>>();
    match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(&value)) {
        (Ok(name), Ok(value)) => {
            headers.entry(name).or_insert(value);
            true
        }
        _ => false,
    }
}

/// Reads a body, and checks it while it comes.
struct Reader {
    body: BodyDataStream<PiecewiseBody>,
    pending: Bytes,
    decoder: Option<Decoder>,
    hash: Option<(Sha256, String)>,
    /// Bytes that are still to come out of the frames, where that was said.
    missing_bytes: Option<u64>,
    trailers: Arc<OnceLock<HeaderMap>>,
}

impl Reader {
    fn default_of(arrival: &Arrival) -> Self {
        let empty = http_body_util::Empty::new().map_err(|never| match never {}).boxed_unsync();
        Self {
            body: BodyDataStream::new(empty),
            pending: Bytes::new(),
            decoder: None,
            hash: None,
            missing_bytes: None,
            trailers: Arc::clone(&arrival.trailers),
        }
    }

    fn into_body(self) -> s3s::Body {
        let pieces = stream::try_unfold(self, Self::go_on);
        s3s::Body::http_body_unsync(StreamBody::new(pieces.map_ok(http_body::Frame::data)))
    }

    async fn go_on(mut self) -> Result<Option<(Bytes, Self)>, BodyError> {
        Ok(self.next().await?.map(|piece| (piece, self)))
    }

    async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            if let Some(decoder) = &mut self.decoder {
                if let Some(piece) = decoder.next(&mut self.pending)? {
                    return self.count(piece).map(Some);
                }
            } else if !self.pending.is_empty() {
                let piece = std::mem::take(&mut self.pending);
                if let Some((hasher, _)) = &mut self.hash {
                    hasher.update(&piece);
                }
                return Ok(Some(piece));
            }
            match self.body.next().await {
                Some(piece) => self.pending = piece?,
                None => return self.end().map(|()| None),
            }
        }
    }

    fn count(&mut self, piece: Bytes) -> Result<Bytes, BodyError> {
        if let Some(missing) = &mut self.missing_bytes {
            let counted = missing.checked_sub(piece.len() as u64);
            *missing = counted.ok_or(Broken::Framing("there is more than x-amz-decoded-content-length says"))?;
        }
        Ok(piece)
    }

    fn end(&mut self) -> Result<(), BodyError> {
        if let Some(decoder) = self.decoder.take() {
            let _ = self.trailers.set(decoder.finish()?);
        }
        if self.missing_bytes.is_some_and(|missing| missing > 0) {
            return Err(Broken::Short.into());
        }
        match self.hash.take() {
            Some((hasher, promised)) => {
                let found = hex(hasher.finalize().as_ref());
                if found == promised { Ok(()) } else { Err(Broken::Hash.into()) }
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    fn request(uri: &str, headers: &[(&str, &str)], body: &'static [u8]) -> Request<s3s::Body> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = Full::new(Bytes::from_static(body)).map_err(|never| match never {}).boxed_unsync();
        receive(request.body(body).unwrap())
    }

    async fn read(request: Request<s3s::Body>) -> Result<Bytes, BodyError> {
        Ok(BodyExt::collect(request.into_body()).await?.to_bytes())
    }

    #[tokio::test]
    async fn signatures_go_and_everything_else_stays() {
        let received = request(
            "/b/k?list-type=2&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=A%2F20260101%2Feu-west-1%2Fs3%2Faws4_request&X-Amz-Expires=60&X-Amz-Signature=0&x-amz-meta-who=me%20too&prefix=a%2Fb",
            &[("content-type", "text/csv")],
            b"",
        );
        assert_eq!(received.uri(), "/b/k?list-type=2&prefix=a%2Fb");
        assert_eq!(received.headers()["x-amz-meta-who"], "me too");
        assert_eq!(received.headers()["content-type"], "text/csv");
        assert_eq!(received.extensions().get::<Arrival>().unwrap().region.as_deref(), Some("eu-west-1"));
        let signed =
            "AWS4-HMAC-SHA256 Credential=A/20260101/us-west-2/s3/aws4_request, SignedHeaders=host, Signature=0";
        let received = request("/b/k?uploads", &[("authorization", signed), ("x-amz-date", "20260101T000000Z")], b"");
        assert_eq!((received.uri().to_string().as_str(), received.headers().len()), ("/b/k?uploads", 0));
        assert_eq!(received.extensions().get::<Arrival>().unwrap().region.as_deref(), Some("us-west-2"));
    }

    #[tokio::test]
    async fn a_body_must_have_the_hash_that_was_signed() {
        let hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        assert_eq!(read(request("/b/k", &[(CONTENT_SHA256, hash)], b"hello")).await.unwrap(), "hello");
        let other = read(request("/b/k", &[(CONTENT_SHA256, hash)], b"hullo")).await.unwrap_err();
        assert_eq!(other.downcast_ref(), Some(&Broken::Hash));
        let unsigned = request("/b/k", &[(CONTENT_SHA256, "UNSIGNED-PAYLOAD")], b"hullo");
        assert_eq!(read(unsigned).await.unwrap(), "hullo");
    }

    #[tokio::test]
    async fn chunks_are_unpacked_and_counted() {
        let framed = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n";
        let headers = |length| {
            [
                (CONTENT_SHA256, "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
                ("content-encoding", "gzip, aws-chunked"),
                (DECODED_LENGTH, length),
                (TRAILER, "x-amz-checksum-crc32"),
            ]
        };
        let received = request("/b/k", &headers("5"), framed);
        assert_eq!(received.headers()["content-encoding"], "gzip");
        assert_eq!(received.headers()["content-length"], "5");
        let arrival = received.extensions().get::<Arrival>().unwrap().clone();
        assert_eq!(read(received).await.unwrap(), "hello");
        assert_eq!(arrival.trailing_value().as_deref(), Some("NhCmhg=="));
        for length in ["4", "6"] {
            assert!(read(request("/b/k", &headers(length), framed)).await.is_err(), "{length}");
        }
    }
}
