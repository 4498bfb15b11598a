//! Listings of objects, in both versions.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::{
    CommonPrefix, EncodingType, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output,
    Object as ObjectDto, ObjectStorageClass, Owner,
};

use super::Desk;
use super::answers::{self, moment};
use crate::listing::{Entry, PAGE_MAX, Page, Query};
use crate::refusal::{Refusal, Result};

/// What `encoding-type=url` leaves as it is.
const URL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/').remove(b'*');

/// Names in answers, encoded if the caller asked for that.
#[derive(Clone, Copy)]
struct Names {
    url: bool,
}

impl Names {
    fn of(encoding: Option<&EncodingType>) -> Result<Self> {
        match encoding.map(EncodingType::as_str) {
            None => Ok(Self { url: false }),
            Some("url") => Ok(Self { url: true }),
            Some(_) => Err(Refusal::Argument("Invalid Encoding Method specified in Request".into())),
        }
    }

    fn tell(self, name: impl AsRef<str>) -> String {
        if self.url { utf8_percent_encode(name.as_ref(), URL).to_string() } else { name.as_ref().to_owned() }
    }
}

fn max_of(asked: Option<i32>) -> Result<usize> {
    let Some(asked) = asked else { return Ok(PAGE_MAX) };
    let asked = usize::try_from(asked)
        .map_err(|_| Refusal::Argument("Argument maxKeys must be an integer between 0 and 2147483647".into()))?;
    Ok(asked.min(PAGE_MAX))
}

fn tell(page: Page, names: Names, owner: Option<&Owner>) -> (Vec<ObjectDto>, Vec<CommonPrefix>) {
    let (mut contents, mut prefixes) = (Vec::new(), Vec::new());
    for entry in page.entries {
        match entry {
            Entry::Prefix(prefix) => prefixes.push(CommonPrefix { prefix: Some(names.tell(prefix)) }),
            Entry::Object(key, object) => {
                let checksum = object.facts.checksum.as_ref();
                contents.push(ObjectDto {
                    checksum_algorithm: checksum.map(|checksum| vec![checksum.algorithm.name().to_owned().into()]),
                    checksum_type: answers::kind(checksum),
                    e_tag: Some(answers::e_tag(&object.facts.e_tag)),
                    key: Some(names.tell(key)),
                    last_modified: Some(moment(object.modified_ns)),
                    owner: owner.cloned(),
                    restore_status: None,
                    size: i64::try_from(object.size_bytes).ok(),
                    storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
                });
            }
        }
    }
    (contents, prefixes)
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

impl Desk {
    fn owner(&self) -> Owner {
        Owner { display_name: None, id: Some(self.account.clone()) }
    }

    pub(super) async fn list_v2(&self, input: ListObjectsV2Input) -> Result<ListObjectsV2Output> {
        let names = Names::of(input.encoding_type.as_ref())?;
        let max = max_of(input.max_keys)?;
        let delimiter = input.delimiter.filter(|delimiter| !delimiter.is_empty());
        if input.continuation_token.as_deref() == Some("") {
            return Err(Refusal::Argument("The continuation token provided is incorrect".into()));
        }
        // A token is the name that the page before ended with.
        let after = input.continuation_token.clone().or_else(|| input.start_after.clone()).unwrap_or_default();
        let prefix = input.prefix.clone().unwrap_or_default();
        let query = Query { prefix, delimiter: delimiter.clone(), after, max };
        let page = self.existing(&input.bucket).await?.list(query).await?;
        let truncated = page.truncated;
        let next = page.entries.last().filter(|_| truncated).map(|entry| entry.name().to_owned());
        let owner = (input.fetch_owner == Some(true)).then(|| self.owner());
        let (contents, prefixes) = tell(page, names, owner.as_ref());
        Ok(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: Some(names.tell(input.prefix.unwrap_or_default())),
            max_keys: i32::try_from(max).ok(),
            key_count: i32::try_from(contents.len() + prefixes.len()).ok(),
            continuation_token: input.continuation_token,
            is_truncated: Some(truncated),
            next_continuation_token: next,
            contents: some(contents),
            common_prefixes: some(prefixes),
            delimiter: delimiter.map(|delimiter| names.tell(delimiter)),
            encoding_type: input.encoding_type,
            start_after: input.start_after.map(|after| names.tell(after)),
            request_charged: None,
        })
    }

    pub(super) async fn list_v1(&self, input: ListObjectsInput) -> Result<ListObjectsOutput> {
        let names = Names::of(input.encoding_type.as_ref())?;
        let max = max_of(input.max_keys)?;
        let delimiter = input.delimiter.filter(|delimiter| !delimiter.is_empty());
        let after = input.marker.clone().unwrap_or_default();
        let prefix = input.prefix.clone().unwrap_or_default();
        let query = Query { prefix, delimiter: delimiter.clone(), after, max };
        let page = self.existing(&input.bucket).await?.list(query).await?;
        let truncated = page.truncated;
        // Without a delimiter, clients go on from the last key.
        let wanted = truncated && delimiter.is_some();
        let next = page.entries.last().filter(|_| wanted).map(|entry| names.tell(entry.name()));
        let (contents, prefixes) = tell(page, names, Some(&self.owner()));
        Ok(ListObjectsOutput {
            name: Some(input.bucket),
            prefix: Some(names.tell(input.prefix.unwrap_or_default())),
            marker: Some(names.tell(input.marker.unwrap_or_default())),
            max_keys: i32::try_from(max).ok(),
            is_truncated: Some(truncated),
            contents: some(contents),
            common_prefixes: some(prefixes),
            delimiter: delimiter.map(|delimiter| names.tell(delimiter)),
            next_marker: next,
            encoding_type: input.encoding_type,
            request_charged: None,
        })
    }
}
