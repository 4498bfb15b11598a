//! Operations on whole objects.

use std::ops::Range;

use futures_util::TryStreamExt as _;
use http_body_util::StreamBody;
use s3s::dto::{
    CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, DeleteObjectInput, DeleteObjectOutput,
    DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ETagCondition, Error as ErrorDto, GetObjectInput,
    GetObjectOutput, HeadObjectInput, HeadObjectOutput, MetadataDirective, PutObjectInput, PutObjectOutput,
    Range as RangeDto, StreamingBlob, TaggingDirective,
};

use super::answers::{
    self, check_size, compare, described, given_checksum, kind, moment, refuse_unkept, tell_checksum, tell_object,
};
use super::{Desk, only_version, tags};
use crate::arrival::{Arrival, BodyError};
use crate::bucket::{Bucket, Opened};
use crate::condition::{ReadCondition, WriteCondition};
use crate::digest::{self, Algorithm, Checksum, Digested, Digests};
use crate::facts::{Described, Facts};
use crate::key::Key;
use crate::object::{Nothing, Object, Pieces, pieces, pour};
use crate::refusal::{Refusal, Result};

/// Most keys of one DeleteObjects, as S3 has it.
const DELETE_MAX: usize = 1000;

/// What is read of an object.
#[derive(Debug)]
struct Extent {
    range: Range<u64>,
    /// Of a part of it, the header that says which.
    content_range: Option<String>,
}

/// Which bytes a caller wants.
fn extent(object: &Object, range: Option<&RangeDto>, part_number: Option<i32>) -> Result<Extent> {
    let size = object.size_bytes;
    let range = match (range, part_number) {
        (Some(_), Some(_)) => {
            return Err(Refusal::Request("Cannot specify both Range header and partNumber query parameter".into()));
        }
        (None, None) => return Ok(Extent { range: 0..size, content_range: None }),
        (Some(range), None) => range.check(size).map_err(|_| Refusal::Range)?,
        (None, Some(number)) => part(object, number)?,
    };
    let last = range.end.saturating_sub(1);
    let content_range = (!range.is_empty()).then(|| format!("bytes {}-{last}/{size}", range.start));
    Ok(Extent { range, content_range })
}

fn part(object: &Object, number: i32) -> Result<Range<u64>> {
    let sizes = &object.facts.part_sizes;
    let index = usize::try_from(number).ok().and_then(|number| number.checked_sub(1)).ok_or(Refusal::PartNumber)?;
    if sizes.is_empty() && index == 0 {
        return Ok(0..object.size_bytes);
    }
    let size = sizes.get(index).ok_or(Refusal::PartNumber)?;
    let start = sizes[..index].iter().sum();
    Ok(start..start + size)
}

fn parts_count(object: &Object, part_number: Option<i32>) -> Option<i32> {
    part_number.and_then(|_| i32::try_from(object.facts.part_sizes.len()).ok()).filter(|count| *count > 0)
}

fn blob(pieces: Pieces) -> StreamingBlob {
    let frames = pieces.map_ok(http_body::Frame::data).map_err(|refusal| BodyError::from(refusal.to_string()));
    StreamingBlob::from(s3s::Body::http_body_unsync(StreamBody::new(frames)))
}

impl Desk {
    pub(super) async fn get_object(&self, input: GetObjectInput) -> Result<GetObjectOutput> {
        only_version(input.version_id.as_deref())?;
        let bucket = self.existing(&input.bucket).await?;
        let (object, opened) = bucket.open(&Key::find(&input.key)?).await?;
        let condition = ReadCondition {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
            if_modified_since: input.if_modified_since,
            if_unmodified_since: input.if_unmodified_since,
        };
        condition.check(&object)?;
        let extent = extent(&object, input.range.as_ref(), input.part_number)?;
        let mut output = GetObjectOutput::default();
        tell_object!(output, object);
        output.content_length = i64::try_from(extent.range.end - extent.range.start).ok();
        output.parts_count = parts_count(&object, input.part_number);
        output.tag_count = i32::try_from(object.facts.described.tags.len()).ok().filter(|count| *count > 0);
        if extent.content_range.is_none() && input.checksum_mode.is_some_and(|mode| mode.as_str() == "ENABLED") {
            tell_checksum!(output, &object.facts.checksum);
            output.checksum_type = kind(object.facts.checksum.as_ref());
        }
        output.content_range = extent.content_range;
        output.body = Some(blob(opened.read(extent.range).await?));
        Ok(output)
    }

    pub(super) async fn head_object(&self, input: HeadObjectInput) -> Result<HeadObjectOutput> {
        only_version(input.version_id.as_deref())?;
        let bucket = self.existing(&input.bucket).await?;
        let object = bucket.look(&Key::find(&input.key)?).await?;
        let condition = ReadCondition {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
            if_modified_since: input.if_modified_since,
            if_unmodified_since: input.if_unmodified_since,
        };
        condition.check(&object)?;
        let extent = extent(&object, input.range.as_ref(), input.part_number)?;
        let mut output = HeadObjectOutput::default();
        tell_object!(output, object);
        output.content_length = i64::try_from(extent.range.end - extent.range.start).ok();
        output.parts_count = parts_count(&object, input.part_number);
        if extent.content_range.is_none() && input.checksum_mode.is_some_and(|mode| mode.as_str() == "ENABLED") {
            tell_checksum!(output, &object.facts.checksum);
            output.checksum_type = kind(object.facts.checksum.as_ref());
        }
        output.content_range = extent.content_range;
        Ok(output)
    }

    pub(super) async fn put_object(&self, input: PutObjectInput, arrival: &Arrival) -> Result<PutObjectOutput> {
        refuse_unkept!(input);
        if input.write_offset_bytes.is_some() {
            return Err(Refusal::NotThere("appending to objects".into()));
        }
        let key = Key::parse_any(&input.key)?;
        let described = described!(input);
        check_size(&described)?;
        let condition = WriteCondition::of(input.if_match.clone(), input.if_none_match.clone())?;
        let named = input.checksum_algorithm.as_ref().map(|algorithm| algorithm.as_str());
        let claims = Claims::of(given_checksum!(input), named, input.content_md5.as_deref(), arrival)?;
        let bucket = self.made(&input.bucket).await?;
        let digests = Digests::new(claims.algorithm);
        let (draft, digested) = match key.is_folder() {
            true => (None, pour(pieces(input.body), Nothing, digests, 0).await.map_err(of_folder_with_bytes)?.1),
            false => {
                let (draft, digested) = bucket.draft(&key, pieces(input.body), digests, self.room()).await?;
                (Some(draft), digested)
            }
        };
        claims.check(&digested, arrival)?;
        let facts =
            Facts { e_tag: digest::e_tag(digested.md5), described, checksum: digested.checksum, ..Facts::default() };
        let object = match draft {
            Some(draft) => bucket.place(draft, &key, facts, condition).await?,
            None => bucket.place_folder(&key, facts, condition).await?,
        };
        let mut output = PutObjectOutput { e_tag: Some(answers::e_tag(&object.facts.e_tag)), ..Default::default() };
        tell_checksum!(output, &object.facts.checksum);
        output.checksum_type = kind(object.facts.checksum.as_ref());
        Ok(output)
    }

    pub(super) async fn copy_object(&self, input: CopyObjectInput) -> Result<CopyObjectOutput> {
        refuse_unkept!(input);
        let key = Key::parse(&input.key)?;
        let condition = ReadCondition {
            if_match: input.copy_source_if_match.clone(),
            if_none_match: input.copy_source_if_none_match.clone(),
            if_modified_since: input.copy_source_if_modified_since.clone(),
            if_unmodified_since: input.copy_source_if_unmodified_since.clone(),
        };
        let (source, opened) = self.source(&input.copy_source, &condition).await?;
        let described = described_copy(&input, &source)?;
        check_size(&described)?;
        let algorithm = match &input.checksum_algorithm {
            Some(algorithm) => Some(Algorithm::parse(algorithm.as_str())?),
            None => source.facts.checksum.as_ref().map(|checksum| checksum.algorithm),
        };
        let bucket = self.made(&input.bucket).await?;
        let from = opened.read(0..source.size_bytes).await?;
        let (draft, digested) = bucket.draft(&key, from, Digests::new(algorithm), self.room()).await?;
        let facts =
            Facts { e_tag: digest::e_tag(digested.md5), described, checksum: digested.checksum, ..Facts::default() };
        let object = bucket.place(draft, &key, facts, WriteCondition::Any).await?;
        let mut result = CopyObjectResult {
            e_tag: Some(answers::e_tag(&object.facts.e_tag)),
            last_modified: Some(moment(object.modified_ns)),
            ..Default::default()
        };
        tell_checksum!(result, &object.facts.checksum);
        result.checksum_type = kind(object.facts.checksum.as_ref());
        Ok(CopyObjectOutput { copy_object_result: Some(result), ..Default::default() })
    }

    /// Opens what is to be copied.
    pub(super) async fn source(&self, source: &CopySource, condition: &ReadCondition) -> Result<(Object, Opened)> {
        let CopySource::Bucket { bucket, key, version_id } = source else {
            return Err(Refusal::NotThere("copying from an access point".into()));
        };
        only_version(version_id.as_deref())?;
        let (object, opened) = self.existing(bucket).await?.open(&Key::find(key)?).await?;
        condition.check_source(&object)?;
        Ok((object, opened))
    }

    pub(super) async fn delete_object(&self, input: DeleteObjectInput) -> Result<DeleteObjectOutput> {
        only_version(input.version_id.as_deref())?;
        if input.if_match_size.is_some() || input.if_match_last_modified_time.is_some() {
            return Err(Refusal::NotThere("deletion on condition of size or time".into()));
        }
        let bucket = self.existing(&input.bucket).await?;
        delete(&bucket, &input.key, input.if_match).await?;
        Ok(DeleteObjectOutput::default())
    }

    pub(super) async fn delete_objects(&self, input: DeleteObjectsInput) -> Result<DeleteObjectsOutput> {
        if input.delete.objects.len() > DELETE_MAX {
            return Err(Refusal::Request("one request deletes at most 1000 objects".into()));
        }
        let bucket = self.existing(&input.bucket).await?;
        let quiet = input.delete.quiet == Some(true);
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        for object in input.delete.objects {
            let condition = object.e_tag.clone().map(ETagCondition::ETag);
            let outcome = match only_version(object.version_id.as_deref()) {
                Ok(()) => delete(&bucket, &object.key, condition).await,
                Err(refusal) => Err(refusal),
            };
            match outcome {
                Ok(()) if quiet => {}
                Ok(()) => deleted.push(DeletedObject { key: Some(object.key), ..Default::default() }),
                Err(refusal) => {
                    let error = s3s::S3Error::from(refusal);
                    errors.push(ErrorDto {
                        code: Some(error.code().as_str().to_owned()),
                        key: Some(object.key),
                        message: error.message().map(str::to_owned),
                        version_id: None,
                    });
                }
            }
        }
        let errors = (!errors.is_empty()).then_some(errors);
        Ok(DeleteObjectsOutput { deleted: Some(deleted), errors, request_charged: None })
    }
}

/// What is said to bytes under the key of a folder.
fn of_folder_with_bytes(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::TooLarge => Refusal::Key("a key that ends with '/' is a folder here, and holds no bytes"),
        refusal => refusal,
    }
}

/// Deletes an object; what cannot be here is gone already.
async fn delete(bucket: &Bucket, key: &str, if_match: Option<ETagCondition>) -> Result<()> {
    let condition = if_match.map_or(WriteCondition::Any, WriteCondition::Is);
    match Key::find(key) {
        Ok(key) => bucket.remove(&key, condition).await,
        Err(_) if condition == WriteCondition::Any => Ok(()),
        Err(refusal) => Err(refusal),
    }
}

/// What a copy is told with: what its source is, unless it is to be replaced.
fn described_copy(input: &CopyObjectInput, source: &Object) -> Result<Described> {
    let said: Described = described!(input);
    let replaces = |directive: Option<&str>| match directive {
        None | Some("COPY") => Ok(false),
        Some("REPLACE") => Ok(true),
        Some(_) => Err(Refusal::Argument("Unknown metadata directive.".into())),
    };
    let replaces_metadata = replaces(input.metadata_directive.as_ref().map(MetadataDirective::as_str))?;
    let replaces_tags = replaces(input.tagging_directive.as_ref().map(TaggingDirective::as_str))?;
    if let CopySource::Bucket { bucket, key, .. } = &input.copy_source {
        let itself = **bucket == *input.bucket && **key == *input.key;
        if itself && !replaces_metadata && !replaces_tags && input.checksum_algorithm.is_none() {
            return Err(Refusal::Request(
                "This copy request is illegal because it is trying to copy an object to itself without changing the \
                 object's metadata, storage class, website redirect location or encryption attributes."
                    .into(),
            ));
        }
    }
    let before = source.facts.described.clone();
    let tags = if replaces_tags { tags::of_header(input.tagging.as_deref())? } else { before.tags.clone() };
    Ok(Described { tags, ..if replaces_metadata { said } else { before } })
}

/// What a caller says that its bytes have.
#[derive(Debug)]
pub(super) struct Claims {
    /// The checksum to take.
    pub(super) algorithm: Option<Algorithm>,
    checksum: Option<Checksum>,
    md5: Option<[u8; 16]>,
}

impl Claims {
    /// Out of headers; a trailer's value comes later.
    pub(super) fn of(
        checksum: Option<Checksum>,
        named: Option<&str>,
        md5: Option<&str>,
        arrival: &Arrival,
    ) -> Result<Self> {
        let named = named.map(Algorithm::parse).transpose()?;
        let algorithm = checksum.as_ref().map(|checksum| checksum.algorithm).or(arrival.trailing).or(named);
        Ok(Self { algorithm, checksum, md5: md5.map(digest::md5_of_header).transpose()? })
    }

    /// Compares it with what came.
    pub(super) fn check(&self, found: &Digested, arrival: &Arrival) -> Result<()> {
        if self.md5.is_some_and(|md5| md5 != found.md5) {
            return Err(Refusal::Digest("Content-MD5"));
        }
        compare(self.checksum.as_ref(), found.checksum.as_ref())?;
        let Some(algorithm) = arrival.trailing else { return Ok(()) };
        let value = arrival.trailing_value().ok_or_else(|| {
            Refusal::Request(format!("the trailer {} that was announced did not come", algorithm.header()))
        })?;
        compare(Some(&Checksum { algorithm, value }), found.checksum.as_ref())
    }
}
