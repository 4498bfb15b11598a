//! Names of groups and streams, and the folders they live in.

use captura_wire::aws_json::{Fault, FaultCode};

/// Longest name, characters, as on AWS.
const NAME_MAX_LENGTH: usize = 512;
/// Longest name of a folder, bytes: most file systems take no longer one.
const FOLDER_MAX_BYTES: usize = 255;

/// What a name is the name of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `[\.\-_/#A-Za-z0-9]+`
    Group,
    /// `[^:*]*`
    Stream,
}

/// Checks a name.
///
/// # Errors
/// `InvalidParameterException` in the service's words.
pub(crate) fn check(kind: Kind, name: &str) -> Result<(), Fault> {
    let (field, pattern) = match kind {
        Kind::Group => ("logGroupName", r"[\.\-_/#A-Za-z0-9]+"),
        Kind::Stream => ("logStreamName", "[^:*]*"),
    };
    let is_allowed = |letter: char| match kind {
        Kind::Group => letter.is_ascii_alphanumeric() || ".-_/#".contains(letter),
        Kind::Stream => letter != ':' && letter != '*' && !letter.is_control(),
    };
    let constraint = if name.is_empty() || !name.chars().all(is_allowed) {
        format!("Member must satisfy regular expression pattern: {pattern}")
    } else if name.chars().count() > NAME_MAX_LENGTH || folder(name).len() > FOLDER_MAX_BYTES {
        format!("Member must have length less than or equal to {NAME_MAX_LENGTH}")
    } else {
        return Ok(());
    };
    let shown: String = name.chars().take(NAME_MAX_LENGTH).collect();
    Err(Fault::new(
        FaultCode::InvalidParameterException,
        format!("1 validation error detected: Value '{shown}' at '{field}' failed to satisfy constraint: {constraint}"),
    ))
}

/// The folder of a name: everything but letters, digits, `-` and `_` percent-encoded, so that no name is a path.
pub(crate) fn folder(name: &str) -> String {
    use std::fmt::Write as _;
    let mut folder = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' {
            folder.push(char::from(byte));
        } else {
            let _ = write!(folder, "%{byte:02X}");
        }
    }
    folder
}

/// The name of a folder; nothing when it is none of ours.
pub(crate) fn of_folder(folder_name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(folder_name.len());
    let mut rest = folder_name.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok().filter(|name| folder(name) == folder_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_no_paths_and_come_back() {
        for name in ["/aws/sagemaker/Endpoints/churn", "AllTraffic/i-0123", "..", "ü b", "%2F"] {
            let folder = folder(name);
            assert!(!folder.contains('/') && !folder.contains('.'), "{folder}");
            assert_eq!(of_folder(&folder).as_deref(), Some(name));
        }
        for foreign in ["a/b", "%", "%zz", "a b"] {
            assert_eq!(of_folder(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn names_follow_the_services_patterns() {
        assert!(check(Kind::Group, "/aws/sagemaker/Endpoints/churn").is_ok());
        assert!(check(Kind::Stream, "AllTraffic/i-0 [1]").is_ok());
        for (kind, name) in [(Kind::Group, ""), (Kind::Group, "a b"), (Kind::Stream, "a:b"), (Kind::Stream, "a\nb")] {
            let fault = check(kind, name).unwrap_err();
            assert!(fault.message.contains("regular expression"), "{fault}");
        }
        assert!(check(Kind::Group, &"a".repeat(513)).is_err());
        assert!(check(Kind::Stream, &"é".repeat(100)).is_err(), "its folder would be too long");
    }
}
