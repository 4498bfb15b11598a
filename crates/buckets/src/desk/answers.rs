//! Between the library's inputs and outputs and this room's words.

use s3s::dto::{ChecksumType, ETag, Timestamp};

use crate::digest::Checksum;
use crate::facts::Described;
use crate::refusal::{Refusal, Result};

/// Most bytes of a caller's own metadata, as S3 has it.
const METADATA_MAX_BYTES: usize = 2048;
/// The content type of what came without one, as S3 has it.
pub(super) const CONTENT_TYPE: &str = "binary/octet-stream";

/// Puts a checksum into the field of its algorithm.
macro_rules! tell_checksum {
    ($output:expr, $checksum:expr) => {
        if let Some(checksum) = $checksum {
            let value = Some(checksum.value.clone());
            match checksum.algorithm {
                $crate::digest::Algorithm::Crc32 => $output.checksum_crc32 = value,
                $crate::digest::Algorithm::Crc32c => $output.checksum_crc32c = value,
                $crate::digest::Algorithm::Crc64Nvme => $output.checksum_crc64nvme = value,
                $crate::digest::Algorithm::Sha1 => $output.checksum_sha1 = value,
                $crate::digest::Algorithm::Sha256 => $output.checksum_sha256 = value,
            }
        }
    };
}

/// The first checksum that a caller gives.
macro_rules! given_checksum {
    ($input:expr) => {
        [
            ($crate::digest::Algorithm::Crc32, &$input.checksum_crc32),
            ($crate::digest::Algorithm::Crc32c, &$input.checksum_crc32c),
            ($crate::digest::Algorithm::Crc64Nvme, &$input.checksum_crc64nvme),
            ($crate::digest::Algorithm::Sha1, &$input.checksum_sha1),
            ($crate::digest::Algorithm::Sha256, &$input.checksum_sha256),
        ]
        .into_iter()
        .find_map(|(algorithm, value)| Some($crate::digest::Checksum { algorithm, value: value.clone()? }))
    };
}

/// What a caller says of an object.
macro_rules! described {
    ($input:expr) => {
        $crate::facts::Described {
            content_type: $input.content_type.clone(),
            content_encoding: $input.content_encoding.clone(),
            content_language: $input.content_language.clone(),
            content_disposition: $input.content_disposition.clone(),
            cache_control: $input.cache_control.clone(),
            expires: $input.expires.clone().map(|moment| time::OffsetDateTime::from(moment).unix_timestamp()),
            metadata: $input.metadata.clone().unwrap_or_default().into_iter().collect(),
            tags: $crate::desk::tags::of_header($input.tagging.as_deref())?,
        }
    };
}

/// What a caller wants done with an object that is not done here.
macro_rules! refuse_unkept {
    ($input:expr) => {{
        if $input.sse_customer_algorithm.is_some() || $input.sse_customer_key.is_some() {
            return Err($crate::refusal::Refusal::NotThere("encryption with a key of the caller's own".into()));
        }
        if $input.object_lock_mode.is_some() || $input.object_lock_legal_hold_status.is_some() {
            return Err($crate::refusal::Refusal::NotThere("object lock".into()));
        }
        if $input.website_redirect_location.is_some() {
            return Err($crate::refusal::Refusal::NotThere("website redirects".into()));
        }
        let grants = [&$input.grant_full_control, &$input.grant_read, &$input.grant_read_acp, &$input.grant_write_acp];
        let acl = $input.acl.as_ref().map(|acl| acl.as_str());
        if grants.into_iter().any(Option::is_some)
            || acl.is_some_and(|acl| !matches!(acl, "private" | "bucket-owner-full-control"))
        {
            return Err($crate::refusal::Refusal::Acl);
        }
    }};
}

/// Tells what is known of an object, in an answer to a read.
macro_rules! tell_object {
    ($output:expr, $object:expr) => {{
        let described = &$object.facts.described;
        $output.accept_ranges = Some("bytes".into());
        $output.e_tag = Some($crate::desk::answers::e_tag(&$object.facts.e_tag));
        $output.last_modified = Some($crate::desk::answers::moment($object.modified_ns));
        $output.content_type =
            Some(described.content_type.clone().unwrap_or_else(|| $crate::desk::answers::CONTENT_TYPE.into()));
        $output.content_encoding = described.content_encoding.clone();
        $output.content_language = described.content_language.clone();
        $output.content_disposition = described.content_disposition.clone();
        $output.cache_control = described.cache_control.clone();
        $output.expires =
            described.expires.map(|seconds| $crate::desk::answers::moment(seconds.saturating_mul(1_000_000_000)));
        $output.metadata = (!described.metadata.is_empty()).then(|| described.metadata.clone().into_iter().collect());
    }};
}

pub(super) use {described, given_checksum, refuse_unkept, tell_checksum, tell_object};

/// An entity tag.
pub(crate) fn e_tag(text: &str) -> ETag {
    ETag::Strong(text.to_owned())
}

/// A moment.
pub(crate) fn moment(unix_ns: i64) -> Timestamp {
    let moment = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ns));
    moment.unwrap_or(time::OffsetDateTime::UNIX_EPOCH).into()
}

/// Whether a checksum is one of a whole or of parts.
pub(super) fn kind(checksum: Option<&Checksum>) -> Option<ChecksumType> {
    checksum.map(|checksum| ChecksumType::from_static(checksum.kind()))
}

/// Compares what a caller claims.
///
/// # Errors
/// When it claims something else.
pub(super) fn compare(claimed: Option<&Checksum>, found: Option<&Checksum>) -> Result<()> {
    match (claimed, found) {
        (Some(claimed), Some(found)) if claimed.algorithm == found.algorithm && claimed.value != found.value => {
            Err(Refusal::Digest(found.algorithm.name()))
        }
        _ => Ok(()),
    }
}

/// # Errors
/// When there is more metadata than S3 takes.
pub(super) fn check_size(described: &Described) -> Result<()> {
    let size: usize = described.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size > METADATA_MAX_BYTES { Err(Refusal::MetadataTooLarge) } else { Ok(()) }
}
