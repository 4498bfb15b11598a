//! `s3://bucket/key`, the address of an object or of a prefix of objects.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An `s3://` address. Trailing slashes of the key are gone, so joining never makes `//` (contract 4.4).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct S3Uri {
    bucket: String,
    key: String,
}

/// Why a text is not an S3 address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidS3Uri {
    /// Does not begin with `s3://`.
    #[error("{0:?} does not begin with s3://")]
    Scheme(String),
    /// The bucket breaks S3's naming rules: 3 to 63 of lower-case letters, digits, dots and hyphens.
    #[error(
        "{0:?} is not a bucket name: 3 to 63 lower-case letters, digits, dots and hyphens, beginning and ending with a letter or digit"
    )]
    Bucket(String),
    /// The key holds an empty, `.` or `..` part, or a control character.
    #[error("{0:?} is not an object key here: empty, '.' and '..' parts and control characters are not allowed")]
    Key(String),
}

impl S3Uri {
    /// Parses an address.
    ///
    /// # Errors
    /// Says which part is wrong. Keys that a file system would read as a way out of the bucket are refused.
    pub fn parse(text: &str) -> Result<Self, InvalidS3Uri> {
        let rest = text.strip_prefix("s3://").ok_or_else(|| InvalidS3Uri::Scheme(text.to_owned()))?;
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        Self::new(bucket, key)
    }

    /// Builds an address from its parts; trailing slashes of `key` are dropped.
    ///
    /// # Errors
    /// As [`S3Uri::parse`].
    pub fn new(bucket: &str, key: &str) -> Result<Self, InvalidS3Uri> {
        let edge = |byte: Option<u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let inside = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-';
        if !(3..=63).contains(&bucket.len())
            || !edge(bucket.bytes().next())
            || !edge(bucket.bytes().last())
            || !bucket.bytes().all(inside)
            || bucket.contains("..")
        {
            return Err(InvalidS3Uri::Bucket(bucket.to_owned()));
        }
        let key = key.trim_end_matches('/');
        let bad_part = |part: &str| part.is_empty() || part == "." || part == "..";
        if !key.is_empty() && (key.split('/').any(bad_part) || key.chars().any(|c| c.is_control() || c == '\\')) {
            return Err(InvalidS3Uri::Key(key.to_owned()));
        }
        Ok(Self { bucket: bucket.to_owned(), key: key.to_owned() })
    }

    /// The bucket.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The key or prefix, without leading or trailing slash; empty for the bucket itself.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The address one level deeper.
    ///
    /// # Errors
    /// When `part` is not a valid piece of a key.
    pub fn join(&self, part: &str) -> Result<Self, InvalidS3Uri> {
        if self.key.is_empty() {
            Self::new(&self.bucket, part)
        } else {
            Self::new(&self.bucket, &format!("{}/{part}", self.key))
        }
    }
}

impl fmt::Display for S3Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            write!(f, "s3://{}", self.bucket)
        } else {
            write!(f, "s3://{}/{}", self.bucket, self.key)
        }
    }
}

impl Serialize for S3Uri {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for S3Uri {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strips_trailing_slashes_and_joins() {
        let uri = S3Uri::parse("s3://my-bucket/capture/").unwrap();
        assert_eq!((uri.bucket(), uri.key()), ("my-bucket", "capture"));
        assert_eq!(uri.join("churn/AllTraffic").unwrap().to_string(), "s3://my-bucket/capture/churn/AllTraffic");
        assert_eq!(S3Uri::parse("s3://my-bucket").unwrap().to_string(), "s3://my-bucket");
    }

    #[test]
    fn refuses_ways_out_of_the_bucket() {
        for bad in [
            "s3://b",
            "s3:///k",
            "s3://my-bucket/../x",
            "s3://my-bucket/a//b",
            "s3://my-bucket/a\0",
            "s3://../x",
            "s3://My-Bucket/k",
            "s3://my..bucket/k",
            "file:///x",
            "s3://my-bucket/a\\b",
        ] {
            assert!(S3Uri::parse(bad).is_err(), "{bad}");
        }
    }
}
