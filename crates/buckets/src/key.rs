//! Names as they come from callers: of buckets, and of the objects in them.
//!
//! Objects are files, so a key is a path of names below the bucket's folder. Keys that a file system would read as
//! something else (`..`, empty parts, control characters, the names that staged objects hide under) name no object here:
//! reading them finds nothing, writing them is refused. A key that ends in a slash names a folder, which can be an object
//! without bytes, as S3's console makes them.
//!
//! Invariant: a [`Key`] stays below its bucket's folder, whatever joins it to that.

use captura_names::S3Uri;
use object_store::path::Path;

use crate::refusal::{Refusal, Result};

/// Longest key, bytes, as S3 has it.
const KEY_MAX_BYTES: usize = 1024;
/// Longest part of a key between slashes, bytes: file systems take 255, and a staged object's name is longer.
const PART_MAX_BYTES: usize = 240;
/// A `#` takes this much in the name of a staged object.
const SHARP_BYTES: usize = 3;

/// The key of an object that can be here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    text: String,
    path: Path,
}

impl Key {
    /// Parses a key that is to be written.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        if text.len() > KEY_MAX_BYTES {
            return Err(Refusal::KeyTooLong("Your key is too long"));
        }
        if text.ends_with('/') {
            return Err(Refusal::Key(
                "a key that ends with '/' is a folder here: put it without bytes, or not at all, as folders come with \
                 the objects in them",
            ));
        }
        for part in text.split('/') {
            check(part)?;
        }
        let last = text.rsplit('/').next().unwrap_or_default();
        if is_staged(last) {
            return Err(Refusal::Key(
                "a key cannot end with '#' and a number: objects that are still written are named so",
            ));
        }
        let path = Path::parse(text).map_err(|_| Refusal::Key("this key cannot be stored"))?;
        Ok(Self { text: text.to_owned(), path })
    }

    /// Parses a key that is to be written, where it may be that of a folder.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(crate) fn parse_any(text: &str) -> Result<Self> {
        match text.strip_suffix('/') {
            Some(name) => Ok(Self { text: text.to_owned(), ..Self::parse(name)? }),
            None => Self::parse(text),
        }
    }

    /// Parses a key that is to be read: one that cannot be written is not there.
    ///
    /// # Errors
    /// `NoSuchKey`.
    pub(crate) fn find(text: &str) -> Result<Self> {
        Self::parse_any(text).map_err(|_| Refusal::NoSuchKey)
    }

    /// Whether it names a folder.
    pub(crate) fn is_folder(&self) -> bool {
        self.text.ends_with('/')
    }

    /// The key.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The key as stores take it.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Whether a file of this name is an object that is still written, which listings hide.
pub(crate) fn is_staged(name: &str) -> bool {
    name.split_once('#').is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

fn check(part: &str) -> Result<()> {
    if part.is_empty() || part == "." || part == ".." {
        return Err(Refusal::Key("a key cannot have empty parts, '.' or '..' between slashes"));
    }
    if part.chars().any(|c| c.is_control() || c == '\\') {
        return Err(Refusal::Key("a key cannot hold control characters or backslashes"));
    }
    if part.len() + part.matches('#').count() * (SHARP_BYTES - 1) > PART_MAX_BYTES {
        return Err(Refusal::KeyTooLong("a part of a key between slashes may have 240 bytes"));
    }
    Ok(())
}

/// The address of a bucket.
///
/// # Errors
/// When the name breaks S3's rules.
pub(crate) fn bucket(name: &str) -> Result<S3Uri> {
    S3Uri::new(name, "").map_err(|_| Refusal::BucketName)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_lead_out_of_the_bucket_or_hide_are_refused() {
        let long = "x".repeat(241);
        let sharp = "#".repeat(81);
        let longest = "x/".repeat(512) + "x";
        for bad in [
            "", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/..", "a/./b", "a\0b", "a\nb", "a\\b", "..\\a",
            "a\u{7f}", "a\u{85}", "x#1", "a/x#007", &long, &sharp, &longest,
        ] {
            assert!(Key::parse(bad).is_err(), "{bad:?}");
            assert!(matches!(Key::find(bad), Err(Refusal::NoSuchKey)) || bad == "a/", "{bad:?}");
        }
    }

    #[test]
    fn a_folder_s_key_is_that_of_its_path_with_a_slash_behind() {
        let key = Key::parse_any("a/b/").unwrap();
        assert_eq!((key.as_str(), key.path().as_ref(), key.is_folder()), ("a/b/", "a/b", true));
        for bad in ["/", "//", "a//", "../", "a/../", "x#1/"] {
            assert!(Key::parse_any(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn every_other_key_is_kept_as_it_is() {
        for good in [
            "a",
            "a b/c+d",
            "é/日本語/🦀",
            "..a",
            "a..",
            ".hidden",
            "%2e%2e/x",
            "a%2Fb",
            "x#",
            "x#1a",
            "#1/x",
            "a:b*?\"<>|",
        ] {
            let key = Key::parse(good).unwrap();
            assert_eq!((key.as_str(), key.path().as_ref()), (good, good));
        }
    }
}
