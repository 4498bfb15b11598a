//! Why a request is refused: every reason of this room, and the one map from reasons to S3's codes.
//!
//! Refuses to: tell callers what the disk or another service said; that is for the log.

use std::io;

use http::{HeaderMap, HeaderValue, header};
use s3s::{S3Error, S3ErrorCode};

use crate::arrival::Broken;

/// What is returned here.
pub(crate) type Result<T, E = Refusal> = std::result::Result<T, E>;

/// A reason to refuse.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("The specified bucket does not exist")]
    NoSuchBucket,
    #[error("The specified bucket is not valid.")]
    BucketName,
    #[error("The bucket you tried to delete is not empty")]
    BucketNotEmpty,
    #[error("Your previous request to create the named bucket succeeded and you already own it.")]
    BucketOwned,
    #[error("The specified key does not exist.")]
    NoSuchKey,
    #[error("{0}")]
    Key(&'static str),
    #[error("{0}")]
    KeyTooLong(&'static str),
    #[error(
        "this key cannot be stored: objects are files here, and the key is a folder of another object's key, or has \
         another object as its folder"
    )]
    Clash,
    #[error("At least one of the pre-conditions you specified did not hold")]
    Precondition,
    #[error("Not Modified")]
    NotModified {
        /// The entity tag that the caller has.
        e_tag: String,
    },
    #[error("The requested range is not satisfiable")]
    Range,
    #[error("The requested partnumber is not satisfiable")]
    PartNumber,
    #[error(
        "The specified multipart upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."
    )]
    NoSuchUpload,
    #[error(
        "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity tag may not match the part's entity tag."
    )]
    Part,
    #[error("The list of parts was not in ascending order. Parts must be ordered by part number.")]
    PartOrder,
    #[error("Your proposed upload is smaller than the minimum allowed size")]
    PartTooSmall,
    #[error("Your proposed upload exceeds the maximum allowed size")]
    TooLarge,
    #[error("Your request was too big.")]
    DocumentTooLong,
    #[error("The {0} you specified did not match what we received.")]
    Digest(&'static str),
    #[error("The Content-MD5 you specified is not valid.")]
    DigestForm,
    #[error(transparent)]
    Body(#[from] Broken),
    #[error("{0}")]
    Request(String),
    #[error("{0}")]
    Argument(String),
    #[error("{0}")]
    Tag(&'static str),
    #[error("Your metadata headers exceed the maximum allowed metadata size")]
    MetadataTooLarge,
    #[error("The bucket does not allow ACLs")]
    Acl,
    #[error("{0}")]
    NotThere(String),
    #[error("We encountered an internal error. Please try again.")]
    Disk(#[from] io::Error),
    #[error("We encountered an internal error. Please try again.")]
    Store(#[source] object_store::Error),
    #[error("the bucket cannot be used: {0}")]
    Mapping(String),
}

impl Refusal {
    fn code(&self) -> S3ErrorCode {
        match self {
            Self::NoSuchBucket => S3ErrorCode::NoSuchBucket,
            Self::BucketName => S3ErrorCode::InvalidBucketName,
            Self::BucketNotEmpty => S3ErrorCode::BucketNotEmpty,
            Self::BucketOwned => S3ErrorCode::BucketAlreadyOwnedByYou,
            Self::NoSuchKey => S3ErrorCode::NoSuchKey,
            Self::KeyTooLong(_) => S3ErrorCode::KeyTooLongError,
            Self::Precondition => S3ErrorCode::PreconditionFailed,
            Self::NotModified { .. } => S3ErrorCode::NotModified,
            Self::Range => S3ErrorCode::InvalidRange,
            Self::PartNumber => S3ErrorCode::Custom("InvalidPartNumber".into()),
            Self::NoSuchUpload => S3ErrorCode::NoSuchUpload,
            Self::Part => S3ErrorCode::InvalidPart,
            Self::PartOrder => S3ErrorCode::InvalidPartOrder,
            Self::PartTooSmall => S3ErrorCode::EntityTooSmall,
            Self::TooLarge => S3ErrorCode::EntityTooLarge,
            Self::DocumentTooLong => S3ErrorCode::MaxMessageLengthExceeded,
            Self::Digest(_) => S3ErrorCode::BadDigest,
            Self::DigestForm => S3ErrorCode::InvalidDigest,
            Self::Body(Broken::Hash) => S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into()),
            Self::Body(Broken::Short) => S3ErrorCode::IncompleteBody,
            Self::Clash | Self::Request(_) | Self::Body(Broken::Framing(_)) => S3ErrorCode::InvalidRequest,
            Self::Key(_) | Self::Argument(_) => S3ErrorCode::InvalidArgument,
            Self::Tag(_) => S3ErrorCode::InvalidTag,
            Self::MetadataTooLarge => S3ErrorCode::MetadataTooLarge,
            Self::Acl => S3ErrorCode::AccessControlListNotSupported,
            Self::NotThere(_) => S3ErrorCode::NotImplemented,
            Self::Disk(_) | Self::Store(_) | Self::Mapping(_) => S3ErrorCode::InternalError,
        }
    }
}

impl From<Refusal> for S3Error {
    fn from(refusal: Refusal) -> Self {
        match &refusal {
            Refusal::Disk(error) => tracing::error!(%error, "the disk refuses an object"),
            Refusal::Store(error) => tracing::error!(%error, "a mapped bucket's service refuses"),
            refusal => tracing::debug!(%refusal, "S3 request refused"),
        }
        let mut error = S3Error::with_message(refusal.code(), refusal.to_string());
        match &refusal {
            // The library knows no status of codes that it does not know.
            Refusal::PartNumber => error.set_status_code(http::StatusCode::RANGE_NOT_SATISFIABLE),
            Refusal::Body(Broken::Hash) => error.set_status_code(http::StatusCode::BAD_REQUEST),
            Refusal::NotModified { e_tag } => {
                let mut headers = HeaderMap::new();
                headers.extend(HeaderValue::from_str(&format!("\"{e_tag}\"")).ok().map(|value| (header::ETAG, value)));
                error.set_headers(headers);
            }
            _ => {}
        }
        error
    }
}

/// What a store said, as a reason.
pub(crate) fn of_store(error: object_store::Error) -> Refusal {
    match error {
        object_store::Error::NotFound { .. } => Refusal::NoSuchKey,
        object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. } => Refusal::Precondition,
        object_store::Error::InvalidPath { .. } => Refusal::Key("this key cannot be stored here"),
        object_store::Error::NotImplemented { operation, .. } => {
            Refusal::NotThere(format!("the service that this bucket is mapped to does not do {operation}"))
        }
        error => Refusal::Store(error),
    }
}

/// What the folder of a bucket said, as a reason.
pub(crate) fn of_folder(error: object_store::Error) -> Refusal {
    let kind =
        std::error::Error::source(&error).and_then(|source| source.downcast_ref::<io::Error>()).map(io::Error::kind);
    match kind {
        Some(io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory | io::ErrorKind::DirectoryNotEmpty) => {
            Refusal::Clash
        }
        Some(io::ErrorKind::InvalidFilename) => Refusal::KeyTooLong("a part of this key is too long for a file's name"),
        _ => of_store(error),
    }
}
