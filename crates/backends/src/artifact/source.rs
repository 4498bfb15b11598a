//! Where a model's data is, parsed from its address.

use std::path::PathBuf;

use captura_names::S3Uri;

use super::ArtifactError;

/// Where a model's data is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// An object, or a prefix of objects.
    Store(S3Uri),
    /// A file or folder of this machine.
    Local(PathBuf),
}

impl Source {
    /// Parses an address: `s3://…`, and where allowed `file://…` or a plain path.
    pub(super) fn parse(url: &str, allow_file_urls: bool) -> Result<Self, ArtifactError> {
        if url.starts_with("s3://") {
            return match S3Uri::parse(url) {
                Ok(uri) => Ok(Self::Store(uri)),
                Err(error) => Err(ArtifactError::Address { url: url.to_owned(), reason: error.to_string() }),
            };
        }
        let path = match url.strip_prefix("file://") {
            // `file:///path` and `file://localhost/path`; other hosts are not this machine.
            Some(rest) => rest.strip_prefix("localhost").unwrap_or(rest),
            None if url.contains("://") => return Err(ArtifactError::Scheme { url: url.to_owned() }),
            None => url,
        };
        if !allow_file_urls {
            return Err(ArtifactError::LocalNotAllowed { url: url.to_owned() });
        }
        if url.starts_with("file://") && !path.starts_with('/') {
            let reason = "a file:// address has three slashes and an absolute path".into();
            return Err(ArtifactError::Address { url: url.to_owned(), reason });
        }
        let path = if url.starts_with("file://") { percent_decoded(path) } else { path.as_bytes().to_vec() };
        let path = String::from_utf8(path).ok().filter(|path| !path.is_empty() && !path.contains('\0'));
        path.map(|path| Self::Local(path.into()))
            .ok_or_else(|| ArtifactError::Address { url: url.to_owned(), reason: "it names no path in UTF-8".into() })
    }
}

/// `%20` and the like become bytes; a `%` that begins no such code stays.
fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = text.get(at + 1..at + 3).filter(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match code.filter(|_| bytes[at] == b'%').and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_become_sources() {
        let uri = S3Uri::parse("s3://models/churn/model.tar.gz").unwrap();
        assert_eq!(Source::parse("s3://models/churn/model.tar.gz", false).unwrap(), Source::Store(uri));
        for (url, path) in [
            ("/m/a.onnx", "/m/a.onnx"),
            ("m/a%20b", "m/a%20b"),
            ("file:///m/a%20b", "/m/a b"),
            ("file://localhost/m", "/m"),
            ("file:///100%/é", "/100%/é"),
        ] {
            assert_eq!(Source::parse(url, true).unwrap(), Source::Local(path.into()), "{url}");
        }
    }

    #[test]
    fn local_paths_need_the_operators_leave() {
        for url in ["/etc/passwd", "file:///etc/passwd", "a.onnx"] {
            let error = Source::parse(url, false).unwrap_err().to_string();
            assert!(error.contains("does not read local paths"), "{error}");
        }
    }

    #[test]
    fn other_addresses_are_refused() {
        for url in ["https://host/model.tar.gz", "gs://b/k", "s3://b", "file://host/x", "file://", "", "a\0b"] {
            assert!(Source::parse(url, true).is_err(), "{url:?}");
        }
    }
}
