//! The credential scope of a SigV4 request: who signed it, and for which service. Nothing is verified here.
//!
//! A signature travels in one of two places:
//!
//! ```text
//! Authorization: AWS4-HMAC-SHA256 Credential=AKID/20260131/us-east-1/sagemaker/aws4_request, SignedHeaders=…, Signature=…
//! ?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F20260131%2Fus-east-1%2Fsagemaker%2Faws4_request&…
//! ```
//!
//! Invariant: a [`Scope`] has five non-empty parts and ends in `aws4_request`, a date of eight digits, and no part
//! holds a slash. Refuses to: allocate, unless the presigned form had to be percent-decoded.

use std::borrow::Cow;

/// The only algorithm of Signature Version 4.
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// Query parameter that carries the credential of a presigned request.
pub const CREDENTIAL_PARAMETER: &str = "X-Amz-Credential";

const TERMINATOR: &str = "aws4_request";
const DATE_LENGTH: usize = 8;

/// Who signed a request, when, and for what: `AKID/20260131/us-east-1/sagemaker/aws4_request`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope<'a> {
    text: Cow<'a, str>,
    /// Byte offsets of the four slashes, left to right.
    slashes: [usize; 4],
}

impl<'a> Scope<'a> {
    /// The scope in an `Authorization` header; `None` when the header is of another scheme or malformed.
    #[must_use]
    pub fn of_authorization(header: &'a str) -> Option<Self> {
        let parameters = header.strip_prefix(ALGORITHM)?.strip_prefix(' ')?;
        let credential = parameters.split(',').find_map(|part| part.trim_start().strip_prefix("Credential="))?;
        Self::parse(Cow::Borrowed(credential.trim_end()))
    }

    /// The scope in the query of a presigned request, given without its `?`; `None` when there is none or it is
    /// malformed.
    #[must_use]
    pub fn of_query(query: &'a str) -> Option<Self> {
        let credential =
            query.split('&').find_map(|pair| pair.strip_prefix(CREDENTIAL_PARAMETER)?.strip_prefix('='))?;
        Self::parse(percent_decoded(credential)?)
    }

    fn parse(text: Cow<'a, str>) -> Option<Self> {
        let mut slashes = [0; 4];
        let mut found = 0;
        for (offset, byte) in text.bytes().enumerate() {
            if byte == b'/' {
                *slashes.get_mut(found)? = offset;
                found += 1;
            }
        }
        let scope = Self { text, slashes };
        let date = if found == slashes.len() { scope.date() } else { return None };
        let parts = [scope.access_key_id(), scope.region(), scope.service()];
        let well_formed = parts.iter().all(|part| !part.is_empty())
            && date.len() == DATE_LENGTH
            && date.bytes().all(|byte| byte.is_ascii_digit())
            && scope.text[slashes[3] + 1..] == *TERMINATOR;
        well_formed.then_some(scope)
    }

    /// Whose key signed.
    #[must_use]
    pub fn access_key_id(&self) -> &str {
        &self.text[..self.slashes[0]]
    }

    /// The day of the signature, `yyyymmdd`.
    #[must_use]
    pub fn date(&self) -> &str {
        &self.text[self.slashes[0] + 1..self.slashes[1]]
    }

    /// The region, e.g. `us-east-1`.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.text[self.slashes[1] + 1..self.slashes[2]]
    }

    /// The signing name of the service, e.g. `sagemaker`, `s3`, `monitoring`.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.text[self.slashes[2] + 1..self.slashes[3]]
    }
}

/// Decodes `%2F` and its like; `None` when an escape is cut short or the bytes are not UTF-8.
pub(crate) fn percent_decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' { hexadecimal(bytes.next()?)? << 4 | hexadecimal(bytes.next()?)? } else { byte });
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

fn hexadecimal(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260131/eu-west-1/sagemaker/aws4_request, \
                          SignedHeaders=content-type;host;x-amz-date, Signature=5d672d79c15b13162d9279b0855cfba6";

    #[test]
    fn reads_the_parts_out_of_the_header() {
        let scope = Scope::of_authorization(HEADER).unwrap();
        assert_eq!(scope.access_key_id(), "AKIDEXAMPLE");
        assert_eq!((scope.date(), scope.region(), scope.service()), ("20260131", "eu-west-1", "sagemaker"));
    }

    #[test]
    fn the_credential_may_stand_anywhere_and_without_spaces() {
        let header = "AWS4-HMAC-SHA256 SignedHeaders=host,Credential=A/20260131/us-east-1/s3/aws4_request,Signature=00";
        assert_eq!(Scope::of_authorization(header).unwrap().service(), "s3");
    }

    #[test]
    fn reads_the_parts_out_of_a_presigned_query() {
        for credential in ["AKID%2F20260131%2Fus-east-1%2Fs3%2Faws4_request", "AKID/20260131/us-east-1/s3/aws4_request"]
        {
            let query = format!("X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}&X-Amz-Expires=60");
            let scope = Scope::of_query(&query).unwrap();
            assert_eq!((scope.access_key_id(), scope.service()), ("AKID", "s3"));
        }
    }

    #[test]
    fn anything_else_has_no_scope() {
        for header in [
            "",
            "Bearer abc",
            "AWS4-HMAC-SHA256",
            "AWS4-HMAC-SHA256 ",
            "AWS4-HMAC-SHA256 Credential=",
            "AWS4-HMAC-SHA256 Credential=A/20260131/r/s",
            "AWS4-HMAC-SHA256 Credential=A/20260131/r/s/aws4_request/more",
            "AWS4-HMAC-SHA256 Credential=A/20260131/r/s/aws5_request",
            "AWS4-HMAC-SHA256 Credential=A/2026013x/r/s/aws4_request",
            "AWS4-HMAC-SHA256 Credential=A/2026/r/s/aws4_request",
            "AWS4-HMAC-SHA256 Credential=/20260131/r/s/aws4_request",
            "AWS4-HMAC-SHA256 Credential=A/20260131//s/aws4_request",
            "AWS4-HMAC-SHA256 Credential=A/20260131/r//aws4_request",
            "AWS4-ECDSA-P256-SHA256 Credential=A/20260131/s/aws4_request",
        ] {
            assert_eq!(Scope::of_authorization(header), None, "{header:?}");
        }
        for query in
            ["", "a=b", "X-Amz-Credential", "X-Amz-Credential=%", "X-Amz-Credential=%zz", "X-Amz-Credential=%ff"]
        {
            assert_eq!(Scope::of_query(query), None, "{query:?}");
        }
    }
}
