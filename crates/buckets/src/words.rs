//! S3's own words for what the library refuses with a code alone, so that no caller reads an error without a message.

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body_util::{BodyExt as _, Full};

use crate::arrival::PiecewiseBody;

/// Codes that the library gives without words, and S3's words for them.
const MESSAGES: [(&str, &str); 9] = [
    ("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size"),
    ("IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header"),
    ("InvalidBucketName", "The specified bucket is not valid."),
    ("InvalidURI", "Couldn't parse the specified URI."),
    ("KeyTooLongError", "Your key is too long"),
    ("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema"),
    ("MaxMessageLengthExceeded", "Your request was too big."),
    ("MethodNotAllowed", "The specified method is not allowed against this resource."),
    ("MissingContentLength", "You must provide the Content-Length HTTP header."),
];
/// For all others.
const OTHER: &str = "The request cannot be carried out as it was sent.";

/// The same answer; an error without a message has one.
pub(crate) async fn complete(response: Response<PiecewiseBody>) -> Response<PiecewiseBody> {
    if response.status().is_success() || response.status().is_redirection() {
        return response;
    }
    let (mut head, body) = response.into_parts();
    // Errors are small documents that are in memory already.
    let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let bytes = with_message(&bytes).map_or(bytes, Bytes::from);
    if head.headers.contains_key(header::CONTENT_LENGTH) {
        head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    }
    Response::from_parts(head, Full::new(bytes).map_err(|never| match never {}).boxed_unsync())
}

/// The document with a message; nothing when it has one, or is none of an error.
fn with_message(document: &[u8]) -> Option<String> {
    const END_OF_CODE: &str = "</Code>";
    let text = std::str::from_utf8(document).ok().filter(|text| !text.contains("<Message>"))?;
    let end = text.find(END_OF_CODE)?;
    let code = text[..end].rsplit_once("<Code>")?.1;
    let message = MESSAGES.iter().find(|(known, _)| *known == code).map_or(OTHER, |(_, message)| message);
    let (start, rest) = text.split_at(end + END_OF_CODE.len());
    Some(format!("{start}<Message>{message}</Message>{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_without_a_message_gets_one_and_all_else_stays_as_it_is() {
        let bare = b"<Error><Code>InvalidBucketName</Code><RequestId>1</RequestId></Error>";
        assert_eq!(
            with_message(bare).unwrap(),
            "<Error><Code>InvalidBucketName</Code><Message>The specified bucket is not valid.</Message>\
             <RequestId>1</RequestId></Error>"
        );
        assert!(with_message(b"<Error><Code>Odd</Code></Error>").unwrap().contains(OTHER));
        assert_eq!(with_message(b"<Error><Code>X</Code><Message>words</Message></Error>"), None);
        assert_eq!(with_message(b""), None);
        assert_eq!(with_message(b"\xff"), None);
    }
}
