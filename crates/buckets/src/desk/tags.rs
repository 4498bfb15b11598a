//! Tags of objects, kept with their other facts.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use s3s::dto::{
    DeleteObjectTaggingInput, DeleteObjectTaggingOutput, GetObjectTaggingInput, GetObjectTaggingOutput,
    PutObjectTaggingInput, PutObjectTaggingOutput, Tag,
};

use super::{Desk, only_version};
use crate::disk::blocking;
use crate::key::Key;
use crate::refusal::{Refusal, Result};

/// Most tags of an object, as S3 has it.
const TAGS_MAX: usize = 10;
/// Longest key and value of a tag, characters, as S3 has them.
const KEY_MAX_CHARS: usize = 128;
const VALUE_MAX_CHARS: usize = 256;

/// Tags as `x-amz-tagging` carries them: a query string.
pub(super) fn of_header(header: Option<&str>) -> Result<BTreeMap<String, String>> {
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        percent_decode_str(&text).decode_utf8().map(String::from).map_err(|_| Refusal::Tag("a tag is not text"))
    };
    let pairs = header.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((decode(key)?, decode(value)?))
    });
    check(pairs.collect::<Result<Vec<_>>>()?)
}

fn check(pairs: Vec<(String, String)>) -> Result<BTreeMap<String, String>> {
    if pairs.len() > TAGS_MAX {
        return Err(Refusal::Tag("Object tags cannot be greater than 10"));
    }
    let count = pairs.len();
    let tags: BTreeMap<_, _> = pairs.into_iter().collect();
    if tags.len() < count {
        return Err(Refusal::Tag("Cannot provide multiple Tags with the same key"));
    }
    for (key, value) in &tags {
        if key.is_empty() || key.chars().count() > KEY_MAX_CHARS {
            return Err(Refusal::Tag("The TagKey you have provided is invalid"));
        }
        if value.chars().count() > VALUE_MAX_CHARS {
            return Err(Refusal::Tag("The TagValue you have provided is invalid"));
        }
    }
    Ok(tags)
}

impl Desk {
    pub(super) async fn get_tags(&self, input: GetObjectTaggingInput) -> Result<GetObjectTaggingOutput> {
        only_version(input.version_id.as_deref())?;
        let bucket = self.existing(&input.bucket).await?;
        bucket.local("tags")?;
        let object = bucket.look(&Key::find(&input.key)?).await?;
        let tags = object.facts.described.tags.into_iter();
        let tag_set = tags.map(|(key, value)| Tag { key: Some(key), value: Some(value) }).collect();
        Ok(GetObjectTaggingOutput { tag_set, version_id: None })
    }

    pub(super) async fn put_tags(&self, input: PutObjectTaggingInput) -> Result<PutObjectTaggingOutput> {
        only_version(input.version_id.as_deref())?;
        let pairs = input.tagging.tag_set.into_iter();
        let pairs = pairs.map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default()));
        self.set_tags(&input.bucket, &input.key, check(pairs.collect())?).await?;
        Ok(PutObjectTaggingOutput::default())
    }

    pub(super) async fn delete_tags(&self, input: DeleteObjectTaggingInput) -> Result<DeleteObjectTaggingOutput> {
        only_version(input.version_id.as_deref())?;
        self.set_tags(&input.bucket, &input.key, BTreeMap::new()).await?;
        Ok(DeleteObjectTaggingOutput::default())
    }

    async fn set_tags(&self, bucket: &str, key: &str, tags: BTreeMap<String, String>) -> Result<()> {
        let local = self.existing(bucket).await?.local("tags")?.clone();
        let key = Key::find(key)?;
        blocking(move || local.describe(&key, |facts| facts.described.tags = tags)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_a_header_are_a_query() {
        let tags = of_header(Some("who=me+too&w%C3%A4r=%2F&empty=")).unwrap();
        assert_eq!(tags["who"], "me too");
        assert_eq!(tags["wär"], "/");
        assert_eq!(tags["empty"], "");
        assert!(of_header(Some("a=1&a=2")).is_err());
        assert!(of_header(Some("=1")).is_err());
        assert!(of_header(Some(&(0..11).map(|n| format!("{n}=&")).collect::<String>())).is_err());
        assert!(of_header(None).unwrap().is_empty());
    }
}
