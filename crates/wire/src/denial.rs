//! Why a caller is turned away at the door, in the words of the service that it called.
//!
//! AWS's services say the same thing in different words, statuses and formats; clients compare the code. This is the one
//! table of them.
//!
//! Invariant: a denial repeats nothing that was secret and nothing that was not checked, but for the names in scopes,
//! which the caller itself sent.

use std::borrow::Cow;

use crate::aws_json;
use crate::runtime::FaultBody;
use crate::sigv4::{Head, S3};

/// Why a caller is turned away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// There is no signature.
    Unsigned,
    /// The address is presigned as S3 did it before version 4, which some clients still do unless told otherwise.
    OldSignature,
    /// The signature cannot be read; the text says what of it.
    Malformed(String),
    /// The credential is not `KEY/yyyymmdd/region/service/aws4_request`.
    UnusableCredential,
    /// The scope names another day than the request's time.
    ScopeDate {
        /// Of the scope.
        scope: String,
        /// Of the request.
        day: String,
    },
    /// The scope names a service that the request is not for.
    ScopeService {
        /// What it should be.
        expected: &'static str,
    },
    /// The scope names a region that this server does not serve.
    ScopeRegion {
        /// What it should be.
        expected: String,
    },
    /// A header must be signed and is not.
    HeaderNotSigned(String),
    /// A header is signed and not there.
    HeaderAbsent(String),
    /// The request's time is too far from the server's.
    Skewed {
        /// The request's time.
        at: String,
        /// The limit that it overran.
        limit: String,
        /// The server's time.
        now: String,
        /// `-` when the request is too old, `+` when it is too new.
        sign: char,
    },
    /// A presigned address is past its time.
    Expired,
    /// A presigned address would live too long.
    ExpiresTooLong,
    /// S3 asks for `x-amz-content-sha256`.
    PayloadHashMissing,
    /// `x-amz-content-sha256` is neither a digest nor a word that the service allows.
    PayloadHashUnusable,
    /// The body is not the one that was signed.
    PayloadDoesNotMatch {
        /// Whether the request was for S3.
        is_s3: bool,
    },
    /// No such key, or it is revoked.
    UnknownKey,
    /// A bearer token that is worth nothing here, and why.
    BadToken(&'static str),
    /// A bearer token whose issuer has no such key, as far as is known now.
    TokenKeyUnknown,
    /// Credentials of more than one kind, or twice of one.
    SeveralCredentials,
    /// The key's time is over.
    KeyExpired,
    /// The signature is another than the holder of the key makes.
    SignatureDoesNotMatch,
    /// The key may not do this.
    NotAllowed {
        /// ARN of who calls.
        user: String,
        /// What it asked for, e.g. `sagemaker:InvokeEndpoint`.
        operation: String,
        /// ARN of what it asked for, or `*`.
        resource: String,
        /// A rule forbids it, rather than none allowing it.
        explicit: bool,
    },
    /// Too many wrong signatures came from this address or for this key.
    TooManyFailures,
}

/// In which words and format a caller reads answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// SageMaker's control plane and the other services of JSON over `POST /`.
    AwsJson,
    /// SageMaker's runtime, under `/endpoints/`.
    Runtime,
    /// S3.
    S3,
    /// STS and CloudWatch's older clients: form in, XML out.
    Query,
    /// CloudWatch's newer clients: Smithy's RPC with CBOR.
    Cbor,
}

impl Dialect {
    /// The dialect of a request for that service; without a signature the service is not known.
    #[must_use]
    pub fn of(head: &Head<'_>, service: Option<&str>) -> Self {
        if service == Some(S3) {
            return Self::S3;
        }
        if head.text("smithy-protocol") == Some("rpc-v2-cbor") {
            return Self::Cbor;
        }
        if head.all(aws_json::TARGET_HEADER).next().is_some() {
            return Self::AwsJson;
        }
        if head.path.starts_with("/endpoints/") {
            return Self::Runtime;
        }
        let is_form =
            head.text("content-type").is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        if is_form || matches!(service, Some("sts" | "monitoring")) { Self::Query } else { Self::AwsJson }
    }
}

impl Dialect {
    /// A refusal in this dialect; its code is one that the dialect's services have.
    #[must_use]
    pub fn fault(self, (status, code): (u16, &'static str), message: &str, request_id: &str) -> Answer {
        let (content_type, body) = match self {
            Self::AwsJson => {
                let body = serde_json::json!({ "__type": code, "message": message }).to_string().into_bytes();
                (aws_json::CONTENT_TYPE, body)
            }
            Self::Runtime => ("application/json", FaultBody { message, ..FaultBody::default() }.to_json()),
            Self::S3 => {
                let message = escaped(message);
                let body = format!(
                    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>\
                     <RequestId>{request_id}</RequestId></Error>"
                );
                ("application/xml", body.into_bytes())
            }
            Self::Query => ("text/xml", query_fault(code, message, request_id)),
            Self::Cbor => {
                let mut body = vec![0xa2];
                for text in ["__type", code, "message", message] {
                    push_cbor_text(&mut body, text);
                }
                ("application/cbor", body)
            }
        };
        Answer { status, code, content_type, body }
    }
}

/// A refusal as it goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Error code, as clients compare it.
    pub code: &'static str,
    /// Media type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

/// Code of JSON services, of the query protocol, of S3, and S3's status.
type Codes = (&'static str, &'static str, &'static str, u16);

impl Denial {
    /// A signature that cannot be read.
    pub(crate) fn malformed(what: &str) -> Self {
        Self::Malformed(what.to_owned())
    }

    /// A name that cannot be kept, and where it came from.
    #[must_use]
    pub fn malformed_name(origin: &str) -> Self {
        Self::Malformed(format!("the name in {origin} is empty, longer than 256 bytes or not printable"))
    }

    /// Whether it counts as an attempt to get in with a wrong signature.
    #[must_use]
    pub fn is_failed_authentication(&self) -> bool {
        !matches!(self, Self::NotAllowed { .. } | Self::TooManyFailures)
    }

    fn codes(&self) -> Codes {
        match self {
            Self::Unsigned => {
                ("MissingAuthenticationTokenException", "MissingAuthenticationToken", "AccessDenied", 403)
            }
            Self::OldSignature => ("IncompleteSignatureException", "IncompleteSignature", "InvalidRequest", 400),
            Self::Malformed(_) | Self::UnusableCredential => {
                ("IncompleteSignatureException", "IncompleteSignature", "AuthorizationHeaderMalformed", 400)
            }
            Self::ScopeDate { .. } | Self::ScopeService { .. } | Self::ScopeRegion { .. } => {
                ("InvalidSignatureException", "SignatureDoesNotMatch", "AuthorizationHeaderMalformed", 400)
            }
            Self::HeaderNotSigned(_) | Self::HeaderAbsent(_) | Self::Expired => {
                ("InvalidSignatureException", "SignatureDoesNotMatch", "AccessDenied", 403)
            }
            Self::ExpiresTooLong => {
                ("InvalidSignatureException", "SignatureDoesNotMatch", "AuthorizationQueryParametersError", 400)
            }
            Self::Skewed { .. } => ("InvalidSignatureException", "SignatureDoesNotMatch", "RequestTimeTooSkewed", 403),
            Self::PayloadHashMissing => ("InvalidSignatureException", "SignatureDoesNotMatch", "InvalidRequest", 400),
            Self::PayloadHashUnusable => ("InvalidSignatureException", "SignatureDoesNotMatch", "InvalidArgument", 400),
            Self::PayloadDoesNotMatch { .. } => {
                ("InvalidSignatureException", "SignatureDoesNotMatch", "XAmzContentSHA256Mismatch", 400)
            }
            Self::UnknownKey => ("UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId", 403),
            Self::BadToken(_) | Self::TokenKeyUnknown => {
                ("UnrecognizedClientException", "InvalidClientTokenId", "InvalidToken", 403)
            }
            Self::SeveralCredentials => ("IncompleteSignatureException", "IncompleteSignature", "InvalidRequest", 400),
            Self::KeyExpired => ("ExpiredTokenException", "ExpiredToken", "ExpiredToken", 400),
            Self::SignatureDoesNotMatch => {
                ("InvalidSignatureException", "SignatureDoesNotMatch", "SignatureDoesNotMatch", 403)
            }
            Self::NotAllowed { .. } => ("AccessDeniedException", "AccessDenied", "AccessDenied", 403),
            Self::TooManyFailures => ("ThrottlingException", "Throttling", "SlowDown", 429),
        }
    }

    fn status(&self, dialect: Dialect) -> u16 {
        match (dialect, self) {
            (_, Self::TooManyFailures) => 429,
            (Dialect::AwsJson | Dialect::Cbor, _) => 400,
            (Dialect::Runtime | Dialect::Query, _) => 403,
            (Dialect::S3, _) => self.codes().3,
        }
    }

    /// What the caller reads.
    #[must_use]
    pub fn message(&self, dialect: Dialect) -> Cow<'static, str> {
        match self {
            Self::Unsigned if dialect == Dialect::S3 => "Access Denied".into(),
            Self::Unsigned => "Request is missing Authentication Token".into(),
            Self::OldSignature => "The authorization mechanism you have provided is not supported. Please use \
                                   AWS4-HMAC-SHA256."
                .into(),
            Self::Malformed(what) => format!("The signature cannot be used: {what}.").into(),
            Self::UnusableCredential => "Credential must have exactly 5 slash-delimited elements, e.g. \
                                         keyid/date/region/service/term, with a date of the form YYYYMMDD and a valid \
                                         terminator: 'aws4_request'."
                .into(),
            Self::ScopeDate { scope, day } => format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{scope}' != \
                 '{day}'."
            )
            .into(),
            Self::ScopeService { expected } => {
                format!("Credential should be scoped to correct service: '{expected}'.").into()
            }
            Self::ScopeRegion { expected } => {
                format!("Credential should be scoped to a valid region, not to one that is not served: {expected}.").into()
            }
            Self::HeaderNotSigned(name) => {
                format!("There were headers present in the request which were not signed: '{name}' must be a 'SignedHeader'.")
                    .into()
            }
            Self::HeaderAbsent(name) => format!("The header '{name}' is signed, but the request does not have it.").into(),
            Self::Skewed { .. } if dialect == Dialect::S3 => {
                "The difference between the request time and the current time is too large.".into()
            }
            Self::Skewed { at, limit, now, sign: '-' } => {
                format!("Signature expired: {at} is now earlier than {limit} ({now} - 15 min.)").into()
            }
            Self::Skewed { at, limit, now, .. } => {
                format!("Signature not yet current: {at} is still later than {limit} ({now} + 15 min.)").into()
            }
            Self::Expired if dialect == Dialect::S3 => "Request has expired".into(),
            Self::Expired => "Signature expired: the presigned request is past its time.".into(),
            Self::ExpiresTooLong => "X-Amz-Expires must be less than a week (in seconds); that is, the given \
                                     X-Amz-Expires must be less than 604800 seconds"
                .into(),
            Self::PayloadHashMissing => "Missing required header for this request: x-amz-content-sha256".into(),
            Self::PayloadHashUnusable => {
                "x-amz-content-sha256 must be the SHA-256 of the body, or a word that this service allows.".into()
            }
            Self::PayloadDoesNotMatch { is_s3: true } => {
                "The provided 'x-amz-content-sha256' header does not match what was computed.".into()
            }
            Self::UnknownKey if dialect == Dialect::S3 => {
                "The AWS Access Key Id you provided does not exist in our records.".into()
            }
            Self::UnknownKey => "The security token included in the request is invalid.".into(),
            Self::BadToken(why) => format!("The bearer token cannot be used: {why}.").into(),
            Self::TokenKeyUnknown => "The bearer token cannot be used: its issuer has no such key.".into(),
            Self::SeveralCredentials => "There are credentials of more than one kind in the request, or two of one kind; \
                                         use one of them."
                .into(),
            Self::KeyExpired => "The security token included in the request is expired".into(),
            Self::SignatureDoesNotMatch if dialect == Dialect::S3 => {
                "The request signature we calculated does not match the signature you provided. Check your key and \
                 signing method."
                    .into()
            }
            Self::SignatureDoesNotMatch | Self::PayloadDoesNotMatch { .. } => {
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
                 Access Key and signing method. Consult the service documentation for details."
                    .into()
            }
            Self::NotAllowed { user, operation, resource, explicit } => {
                let why = if *explicit {
                    "with an explicit deny in an identity-based policy".to_owned()
                } else {
                    format!("because no identity-based policy allows the {operation} action")
                };
                format!("User: {user} is not authorized to perform: {operation} on resource: {resource} {why}").into()
            }
            Self::TooManyFailures => "Rate exceeded: too many requests with wrong credentials. Try again later.".into(),
        }
    }

    /// The answer in the caller's dialect.
    #[must_use]
    pub fn answer(&self, dialect: Dialect, request_id: &str) -> Answer {
        let (json, query, s3, _) = self.codes();
        let message = self.message(dialect);
        let code = match dialect {
            Dialect::AwsJson | Dialect::Runtime | Dialect::Cbor => json,
            Dialect::S3 => s3,
            Dialect::Query => query,
        };
        dialect.fault((self.status(dialect), code), &message, request_id)
    }
}

/// The body of an error of the query protocol, whose fault the caller is.
#[must_use]
pub fn query_fault(code: &str, message: &str, request_id: &str) -> Vec<u8> {
    format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
         <Code>{}</Code><Message>{}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>",
        escaped(code),
        escaped(message)
    )
    .into_bytes()
}

/// Text that can stand in XML.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            letter if letter.is_control() => safe.push('\u{fffd}'),
            letter => safe.push(letter),
        }
    }
    safe
}

fn push_cbor_text(body: &mut Vec<u8>, text: &str) {
    const TEXT: u8 = 0x60;
    match (text.len(), u8::try_from(text.len()), u16::try_from(text.len())) {
        (0..24, Ok(length), _) => body.push(TEXT | length),
        (_, Ok(length), _) => body.extend([TEXT | 24, length]),
        (.., length) => {
            body.push(TEXT | 25);
            body.extend(length.expect("our bug: texts of refusals are short").to_be_bytes());
        }
    }
    body.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(denial: &Denial, dialect: Dialect) -> (u16, &'static str, String) {
        let answer = denial.answer(dialect, "id-1");
        (answer.status, answer.code, String::from_utf8_lossy(&answer.body).into_owned())
    }

    #[test]
    fn each_service_has_its_own_words_for_a_wrong_secret_and_an_unknown_key() {
        use Denial::{SignatureDoesNotMatch, UnknownKey};
        for (denial, dialect, status, code) in [
            (SignatureDoesNotMatch, Dialect::AwsJson, 400, "InvalidSignatureException"),
            (SignatureDoesNotMatch, Dialect::Runtime, 403, "InvalidSignatureException"),
            (SignatureDoesNotMatch, Dialect::S3, 403, "SignatureDoesNotMatch"),
            (SignatureDoesNotMatch, Dialect::Query, 403, "SignatureDoesNotMatch"),
            (UnknownKey, Dialect::AwsJson, 400, "UnrecognizedClientException"),
            (UnknownKey, Dialect::Runtime, 403, "UnrecognizedClientException"),
            (UnknownKey, Dialect::S3, 403, "InvalidAccessKeyId"),
            (UnknownKey, Dialect::Query, 403, "InvalidClientTokenId"),
            (Denial::Unsigned, Dialect::AwsJson, 400, "MissingAuthenticationTokenException"),
            (Denial::Unsigned, Dialect::Runtime, 403, "MissingAuthenticationTokenException"),
            (Denial::KeyExpired, Dialect::AwsJson, 400, "ExpiredTokenException"),
        ] {
            let (found_status, found_code, body) = answered(&denial, dialect);
            assert_eq!((found_status, found_code), (status, code), "{denial:?} {dialect:?}");
            assert!(body.contains(code) || dialect == Dialect::Runtime, "{body}");
        }
        assert_eq!(
            answered(&SignatureDoesNotMatch, Dialect::S3).2,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>SignatureDoesNotMatch</Code><Message>The request \
             signature we calculated does not match the signature you provided. Check your key and signing method.\
             </Message><RequestId>id-1</RequestId></Error>"
        );
        assert_eq!(
            answered(&UnknownKey, Dialect::Runtime).2,
            r#"{"Message":"The security token included in the request is invalid."}"#
        );
    }

    #[test]
    fn what_a_key_may_not_do_is_told_in_iams_words() {
        let denial = Denial::NotAllowed {
            user: "arn:aws:iam::000000000000:user/billing".into(),
            operation: "sagemaker:InvokeEndpoint".into(),
            resource: "arn:aws:sagemaker:us-east-1:000000000000:endpoint/<churn>".into(),
            explicit: false,
        };
        let (status, code, body) = answered(&denial, Dialect::Runtime);
        assert_eq!((status, code), (403, "AccessDeniedException"));
        assert_eq!(
            body,
            r#"{"Message":"User: arn:aws:iam::000000000000:user/billing is not authorized to perform: sagemaker:InvokeEndpoint on resource: arn:aws:sagemaker:us-east-1:000000000000:endpoint/<churn> because no identity-based policy allows the sagemaker:InvokeEndpoint action"}"#
        );
        assert!(answered(&denial, Dialect::Query).2.contains("endpoint/&lt;churn&gt;"));
        let cbor = denial.answer(Dialect::Cbor, "").body;
        assert_eq!(&cbor[..8], b"\xa2\x66__type");
        assert_eq!(&cbor[8..30], b"\x75AccessDeniedException");
        assert_eq!(&cbor[38..41], [0x78, 246, b'U']);
    }
}
