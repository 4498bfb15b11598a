//! Operations on uploads in parts.

use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, ChecksumAlgorithm, ChecksumType, CommonPrefix,
    CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart, CopyPartResult,
    CreateMultipartUploadInput, CreateMultipartUploadOutput, Initiator, ListMultipartUploadsInput,
    ListMultipartUploadsOutput, ListPartsInput, ListPartsOutput, MultipartUpload, Owner, Part as PartDto, StorageClass,
    UploadPartCopyInput, UploadPartCopyOutput, UploadPartInput, UploadPartOutput,
};

use super::Desk;
use super::answers::{
    self, check_size, compare, described, given_checksum, kind, moment, refuse_unkept, tell_checksum,
};
use super::objects::Claims;
use crate::arrival::Arrival;
use crate::bucket::Room;
use crate::condition::{ReadCondition, WriteCondition};
use crate::digest::{self, Algorithm, Checksum, Digests};
use crate::disk::blocking;
use crate::facts::Facts;
use crate::key::Key;
use crate::listing::PAGE_MAX;
use crate::local::read;
use crate::object::{BODY_MAX_BYTES, Object, Pieces, pieces, pour};
use crate::refusal::{Refusal, Result};
use crate::uploads::{PART_NUMBER_MAX, Part, Upload, key_of};

/// Smallest part that is not the last, bytes, as S3 has it.
const PART_MIN_BYTES: u64 = 5 << 20;
/// After so long, a completion is answered bit by bit, so that its caller does not give up.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

impl Desk {
    pub(super) async fn create_upload(&self, input: CreateMultipartUploadInput) -> Result<CreateMultipartUploadOutput> {
        refuse_unkept!(input);
        let key = Key::parse(&input.key)?;
        let described = described!(input);
        check_size(&described)?;
        let algorithm = input.checksum_algorithm.as_ref().map(|name| Algorithm::parse(name.as_str())).transpose()?;
        let composite = is_composite(algorithm, input.checksum_type.as_ref())?;
        self.made(&input.bucket).await?;
        let upload = Upload {
            bucket: input.bucket.clone(),
            key: key.as_str().to_owned(),
            described,
            algorithm,
            composite,
            created: (self.now)(),
        };
        let uploads = self.uploads.clone();
        let id = blocking(move || uploads.create(&upload)).await?;
        Ok(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            checksum_algorithm: algorithm.map(|algorithm| ChecksumAlgorithm::from_static(algorithm.name())),
            checksum_type: algorithm.map(|_| checksum_type(composite)),
            ..Default::default()
        })
    }

    async fn upload(&self, id: &str, bucket: &str, key: &str) -> Result<Upload> {
        let (uploads, id, bucket, key) = (self.uploads.clone(), id.to_owned(), bucket.to_owned(), key.to_owned());
        blocking(move || uploads.find(&id, &bucket, &key)).await
    }

    async fn parts(&self, id: &str) -> Result<Vec<Part>> {
        let (uploads, id) = (self.uploads.clone(), id.to_owned());
        blocking(move || uploads.parts(&id)).await
    }

    pub(super) async fn upload_part(&self, input: UploadPartInput, arrival: &Arrival) -> Result<UploadPartOutput> {
        let upload = self.upload(&input.upload_id, &input.bucket, &input.key).await?;
        let named = input.checksum_algorithm.as_ref().map(|algorithm| algorithm.as_str());
        let mut claims = Claims::of(given_checksum!(input), named, input.content_md5.as_deref(), arrival)?;
        match (claims.algorithm, upload.algorithm) {
            (Some(part), Some(whole)) if part != whole => {
                return Err(Refusal::Request(format!(
                    "Checksum Type mismatch occurred, expected checksum Type: {}",
                    whole.name()
                )));
            }
            (None, whole) => claims.algorithm = whole,
            _ => {}
        }
        let taken = Taken { id: &input.upload_id, number: input.part_number, claims: &claims };
        let part = self.take_part(taken, pieces(input.body), arrival).await?;
        let mut output =
            UploadPartOutput { e_tag: Some(answers::e_tag(&digest::e_tag(part.md5))), ..Default::default() };
        tell_checksum!(output, &part.checksum);
        Ok(output)
    }

    async fn take_part(&self, taken: Taken<'_>, from: Pieces, arrival: &Arrival) -> Result<Part> {
        let number = taken.number;
        if !(1..=PART_NUMBER_MAX).contains(&number) {
            return Err(Refusal::Argument("Part number must be an integer between 1 and 10000, inclusive".into()));
        }
        let (uploads, id) = (self.uploads.clone(), taken.id.to_owned());
        let draft = blocking(move || uploads.draft(&id)).await?;
        let (draft, digested) = pour(from, draft, Digests::new(taken.claims.algorithm), BODY_MAX_BYTES).await?;
        taken.claims.check(&digested, arrival)?;
        let (uploads, id, now) = (self.uploads.clone(), taken.id.to_owned(), (self.now)());
        blocking(move || uploads.keep(&id, number, draft, (digested, now))).await
    }

    pub(super) async fn upload_part_copy(&self, input: UploadPartCopyInput) -> Result<UploadPartCopyOutput> {
        let upload = self.upload(&input.upload_id, &input.bucket, &input.key).await?;
        let condition = ReadCondition {
            if_match: input.copy_source_if_match,
            if_none_match: input.copy_source_if_none_match,
            if_modified_since: input.copy_source_if_modified_since,
            if_unmodified_since: input.copy_source_if_unmodified_since,
        };
        let (object, opened) = self.source(&input.copy_source, &condition).await?;
        let range = match &input.copy_source_range {
            None => 0..object.size_bytes,
            Some(range) => whole_range(range, &object)?,
        };
        let arrival = Arrival::default();
        let claims = Claims::of(None, upload.algorithm.map(Algorithm::name), None, &arrival)?;
        let taken = Taken { id: &input.upload_id, number: input.part_number, claims: &claims };
        let part = self.take_part(taken, opened.read(range).await?, &arrival).await?;
        let mut result = CopyPartResult {
            e_tag: Some(answers::e_tag(&digest::e_tag(part.md5))),
            last_modified: Some(moment(part.modified.unix_us().saturating_mul(1_000))),
            ..Default::default()
        };
        tell_checksum!(result, &part.checksum);
        Ok(UploadPartCopyOutput { copy_part_result: Some(result), ..Default::default() })
    }

    pub(super) async fn complete_upload(
        &self,
        input: CompleteMultipartUploadInput,
    ) -> Result<CompleteMultipartUploadOutput> {
        let desk = self.clone();
        let mut completing = Box::pin(async move { desk.complete(input).await });
        match tokio::time::timeout(ANSWER_WITHIN, &mut completing).await {
            Ok(done) => done,
            Err(_) => Ok(CompleteMultipartUploadOutput {
                future: Some(Box::pin(async move { Ok(completing.await?) })),
                ..Default::default()
            }),
        }
    }

    async fn complete(&self, input: CompleteMultipartUploadInput) -> Result<CompleteMultipartUploadOutput> {
        let id = input.upload_id.clone();
        let _one_at_a_time = self.completing(&id).await;
        let object = match self.upload(&id, &input.bucket, &input.key).await {
            Ok(upload) => {
                let object = self.join(&input, upload).await?;
                let uploads = self.uploads.clone();
                blocking(move || uploads.remove(&id)).await?;
                object
            }
            Err(Refusal::NoSuchUpload) => self.completed_before(&input).await?,
            Err(refusal) => return Err(refusal),
        };
        let mut output = CompleteMultipartUploadOutput {
            location: Some(format!("/{}/{}", input.bucket, input.key)),
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(answers::e_tag(&object.facts.e_tag)),
            ..Default::default()
        };
        tell_checksum!(output, &object.facts.checksum);
        output.checksum_type = kind(object.facts.checksum.as_ref());
        Ok(output)
    }

    /// A caller whose first answer was lost asks again, and is told the same.
    async fn completed_before(&self, input: &CompleteMultipartUploadInput) -> Result<Object> {
        let there = match self.existing(&input.bucket).await {
            Ok(bucket) => bucket.look(&Key::find(&input.key)?).await,
            Err(refusal) => Err(refusal),
        };
        let there = there.map_err(|_| Refusal::NoSuchUpload)?;
        if there.facts.upload_id.as_ref() == Some(&input.upload_id) { Ok(there) } else { Err(Refusal::NoSuchUpload) }
    }

    async fn join(&self, input: &CompleteMultipartUploadInput, upload: Upload) -> Result<Object> {
        let condition = WriteCondition::of(input.if_match.clone(), input.if_none_match.clone())?;
        let asked = input.multipart_upload.as_ref().and_then(|upload| upload.parts.as_deref()).unwrap_or_default();
        let parts = chosen(&self.parts(&input.upload_id).await?, asked)?;
        let size_bytes: u64 = parts.iter().map(|part| part.size_bytes).sum();
        if input.mpu_object_size.is_some_and(|size| u64::try_from(size) != Ok(size_bytes)) {
            return Err(Refusal::Request(
                "The provided 'x-amz-mp-object-size' header value does not match what was computed.".into(),
            ));
        }
        let key = key_of(&upload)?;
        let bucket = self.made(&input.bucket).await?;
        let whole = upload.algorithm.filter(|_| !upload.composite);
        let room = Room { spool: &self.spool, max_bytes: u64::MAX };
        let from = self.bytes_of(&input.upload_id, parts.clone());
        let (draft, digested) = bucket.draft(&key, from, Digests::new(whole), room).await?;
        let checksum = match upload.algorithm.filter(|_| upload.composite) {
            Some(algorithm) => Some(composite(algorithm, &parts)?),
            None => digested.checksum,
        };
        compare(given_checksum!(input).as_ref(), checksum.as_ref())?;
        let md5s: Vec<_> = parts.iter().map(|part| part.md5).collect();
        let facts = Facts {
            e_tag: digest::e_tag_of_parts(&md5s),
            described: upload.described,
            checksum,
            part_sizes: parts.iter().map(|part| part.size_bytes).collect(),
            upload_id: Some(input.upload_id.clone()),
        };
        bucket.place(draft, &key, facts, condition).await
    }

    fn bytes_of(&self, id: &str, parts: Vec<Part>) -> Pieces {
        let (uploads, id) = (self.uploads.clone(), id.to_owned());
        let files = stream::iter(parts).then(move |part| {
            let (uploads, id) = (uploads.clone(), id.clone());
            async move {
                let size_bytes = part.size_bytes;
                let file = blocking(move || uploads.open(&id, &part)).await?;
                Result::<Pieces>::Ok(read(file, 0..size_bytes))
            }
        });
        Box::pin(files.try_flatten())
    }

    pub(super) async fn abort_upload(&self, input: AbortMultipartUploadInput) -> Result<AbortMultipartUploadOutput> {
        self.upload(&input.upload_id, &input.bucket, &input.key).await?;
        let uploads = self.uploads.clone();
        blocking(move || uploads.remove(&input.upload_id)).await?;
        Ok(AbortMultipartUploadOutput::default())
    }

    pub(super) async fn list_parts(&self, input: ListPartsInput) -> Result<ListPartsOutput> {
        let upload = self.upload(&input.upload_id, &input.bucket, &input.key).await?;
        let max = usize::try_from(input.max_parts.unwrap_or(i32::MAX)).unwrap_or(0).min(PAGE_MAX);
        let after = input.part_number_marker.unwrap_or(0);
        let mut parts = self.parts(&input.upload_id).await?;
        parts.retain(|part| part.number > after);
        let truncated = parts.len() > max;
        parts.truncate(max);
        let next = parts.last().filter(|_| truncated).map(|part| part.number);
        Ok(ListPartsOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            checksum_algorithm: upload.algorithm.map(|algorithm| ChecksumAlgorithm::from_static(algorithm.name())),
            checksum_type: upload.algorithm.map(|_| checksum_type(upload.composite)),
            initiator: Some(Initiator { display_name: None, id: Some(self.account.clone()) }),
            owner: Some(Owner { display_name: None, id: Some(self.account.clone()) }),
            is_truncated: Some(truncated),
            max_parts: i32::try_from(max).ok(),
            next_part_number_marker: next,
            part_number_marker: Some(after),
            parts: Some(parts.iter().map(tell_part).collect()),
            storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
            ..Default::default()
        })
    }

    pub(super) async fn list_uploads(&self, input: ListMultipartUploadsInput) -> Result<ListMultipartUploadsOutput> {
        self.existing(&input.bucket).await?;
        if input.delimiter.as_deref().is_some_and(|delimiter| !delimiter.is_empty()) {
            return Err(Refusal::NotThere("a delimiter in listings of uploads".into()));
        }
        let (uploads, bucket) = (self.uploads.clone(), input.bucket.clone());
        let mut found = blocking(move || uploads.list(&bucket)).await?;
        let prefix = input.prefix.clone().unwrap_or_default();
        let key_marker = input.key_marker.clone().unwrap_or_default();
        let id_marker = input.upload_id_marker.clone();
        found.retain(|(id, upload)| {
            let same_key = upload.key == key_marker && id_marker.as_ref().is_some_and(|marker| id > marker);
            upload.key.starts_with(&prefix) && (upload.key > key_marker || same_key)
        });
        let max = usize::try_from(input.max_uploads.unwrap_or(i32::MAX)).unwrap_or(0).min(PAGE_MAX);
        let truncated = found.len() > max;
        found.truncate(max);
        let last = found.last().filter(|_| truncated).cloned();
        let told = found.into_iter().map(|(id, upload)| MultipartUpload {
            checksum_algorithm: upload.algorithm.map(|algorithm| ChecksumAlgorithm::from_static(algorithm.name())),
            checksum_type: upload.algorithm.map(|_| checksum_type(upload.composite)),
            initiated: Some(moment(upload.created.unix_us().saturating_mul(1_000))),
            key: Some(upload.key),
            storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
            upload_id: Some(id),
            ..Default::default()
        });
        Ok(ListMultipartUploadsOutput {
            bucket: Some(input.bucket),
            common_prefixes: None::<Vec<CommonPrefix>>,
            is_truncated: Some(truncated),
            key_marker: Some(key_marker),
            max_uploads: i32::try_from(max).ok(),
            next_key_marker: last.as_ref().map(|(_, upload)| upload.key.clone()),
            next_upload_id_marker: last.map(|(id, _)| id),
            prefix: input.prefix,
            upload_id_marker: input.upload_id_marker,
            uploads: Some(told.collect()),
            ..Default::default()
        })
    }
}

/// A part on its way in.
#[derive(Clone, Copy)]
struct Taken<'a> {
    id: &'a str,
    number: i32,
    claims: &'a Claims,
}

fn checksum_type(composite: bool) -> ChecksumType {
    ChecksumType::from_static(if composite { ChecksumType::COMPOSITE } else { ChecksumType::FULL_OBJECT })
}

/// Which kind of checksum an upload has, by S3's own defaults.
fn is_composite(algorithm: Option<Algorithm>, asked: Option<&ChecksumType>) -> Result<bool> {
    let composite = match asked.map(ChecksumType::as_str) {
        None => algorithm != Some(Algorithm::Crc64Nvme),
        Some("COMPOSITE") => true,
        Some("FULL_OBJECT") => false,
        Some(_) => return Err(Refusal::Request("Value for x-amz-checksum-type header is invalid.".into())),
    };
    match algorithm {
        Some(algorithm) if composite && algorithm == Algorithm::Crc64Nvme || !composite && !algorithm.spans_parts() => {
            let kind = if composite { "COMPOSITE" } else { "FULL_OBJECT" };
            Err(Refusal::Request(format!(
                "The {kind} checksum type cannot be used with the {} checksum algorithm.",
                algorithm.name()
            )))
        }
        _ => Ok(composite),
    }
}

/// The parts that a caller names, in the order that it must name them in.
fn chosen(parts: &[Part], asked: &[CompletedPart]) -> Result<Vec<Part>> {
    if asked.is_empty() {
        return Err(Refusal::Request("You must specify at least one part".into()));
    }
    let mut chosen: Vec<Part> = Vec::with_capacity(asked.len());
    for wanted in asked {
        let number = wanted.part_number.ok_or(Refusal::Part)?;
        if chosen.last().is_some_and(|last| last.number >= number) {
            return Err(Refusal::PartOrder);
        }
        let part = parts.iter().find(|part| part.number == number).ok_or(Refusal::Part)?;
        if wanted.e_tag.as_ref().is_some_and(|e_tag| e_tag.value() != digest::e_tag(part.md5)) {
            return Err(Refusal::Part);
        }
        compare(given_checksum!(wanted).as_ref(), part.checksum.as_ref()).map_err(|_| Refusal::Part)?;
        chosen.push(part.clone());
    }
    let (_, others) = chosen.split_last().expect("our bug: at least one part was asked for");
    if others.iter().any(|part| part.size_bytes < PART_MIN_BYTES) {
        return Err(Refusal::PartTooSmall);
    }
    Ok(chosen)
}

fn composite(algorithm: Algorithm, parts: &[Part]) -> Result<Checksum> {
    let values = parts.iter().map(|part| part.checksum.as_ref().filter(|checksum| checksum.algorithm == algorithm));
    let values: Option<Vec<&str>> = values.map(|checksum| checksum.map(|checksum| checksum.value.as_str())).collect();
    digest::composite(algorithm, &values.ok_or(Refusal::Part)?)
}

fn whole_range(text: &str, object: &Object) -> Result<std::ops::Range<u64>> {
    let bad = || {
        Refusal::Argument("The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy".into())
    };
    let (first, last) = text.strip_prefix("bytes=").and_then(|range| range.split_once('-')).ok_or_else(bad)?;
    let (first, last): (u64, u64) = (first.parse().map_err(|_| bad())?, last.parse().map_err(|_| bad())?);
    if first > last || last >= object.size_bytes {
        return Err(Refusal::Range);
    }
    Ok(first..last + 1)
}

fn tell_part(part: &Part) -> PartDto {
    let mut told = PartDto {
        e_tag: Some(answers::e_tag(&digest::e_tag(part.md5))),
        last_modified: Some(moment(part.modified.unix_us().saturating_mul(1_000))),
        part_number: Some(part.number),
        size: i64::try_from(part.size_bytes).ok(),
        ..Default::default()
    };
    tell_checksum!(told, &part.checksum);
    told
}
