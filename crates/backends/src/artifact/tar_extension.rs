//! Extension headers of tar: entries that say something about the entry after them (GNU long names, PAX records).
//!
//! A PAX record is `LENGTH KEY=VALUE\n`, where LENGTH counts the whole record in decimal; values may hold any byte.

use std::io::Read;

use tar::{Entry, EntryType};

use super::Limits;
use super::extract::ExtractError;

/// What an extension header says about the entry after it, as far as it matters here.
#[derive(Debug, Default)]
pub(super) struct Extension {
    /// The entry's name.
    pub(super) name: Option<Vec<u8>>,
    /// The entry's size, bytes.
    pub(super) size: Option<u64>,
}

/// Reads an extension header; `None` when it says nothing about the next entry.
pub(super) fn read_extension(entry: &mut Entry<'_, impl Read>) -> Result<Option<Extension>, ExtractError> {
    let kind = entry.header().entry_type();
    if entry.size() > Limits::MAX_EXTENSION_BYTES {
        let max = Limits::MAX_EXTENSION_BYTES;
        return Err(ExtractError::Unsafe(format!("an extension header is longer than {max} bytes")));
    }
    let mut content = Vec::new();
    entry.read_to_end(&mut content).map_err(ExtractError::Damaged)?;
    if (content.len() as u64) < entry.size() {
        return Err(ExtractError::Unsafe("an extension header is cut off".into()));
    }
    if kind == EntryType::GNULongName {
        // C's way: the name ends at its NUL. Anything after it would be read by some and not by others.
        if content.last() == Some(&0) {
            content.pop();
        }
        return Ok(Some(Extension { name: Some(content), size: None }));
    }
    let extension = parse_pax(&content).map_err(ExtractError::Unsafe)?;
    if kind == EntryType::XGlobalHeader {
        // `git archive` writes one with a comment. One that renames or resizes all entries is read in many ways.
        if extension.name.is_some() || extension.size.is_some() {
            return Err(ExtractError::Unsafe("a global PAX header sets names or sizes".into()));
        }
        return Ok(None);
    }
    Ok(Some(extension))
}

fn parse_pax(mut rest: &[u8]) -> Result<Extension, String> {
    let malformed = || "a PAX header is malformed".to_owned();
    let mut extension = Extension::default();
    while !rest.is_empty() {
        let space = rest.iter().position(|byte| *byte == b' ').ok_or_else(malformed)?;
        let length = decimal(&rest[..space]).and_then(|length| usize::try_from(length).ok()).ok_or_else(malformed)?;
        if length <= space + 1 || length > rest.len() || rest[length - 1] != b'\n' {
            return Err(malformed());
        }
        let record = &rest[space + 1..length - 1];
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(malformed)?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        match key {
            b"path" if extension.name.is_none() => extension.name = Some(value.to_owned()),
            b"size" if extension.size.is_none() => extension.size = Some(decimal(value).ok_or_else(malformed)?),
            b"path" | b"size" => return Err("a PAX header says one thing twice".into()),
            b"linkpath" => return Err("a PAX header describes a link".into()),
            key if key.starts_with(b"GNU.sparse.") => return Err("a PAX header describes a sparse file".into()),
            _ => {}
        }
        rest = &rest[length..];
    }
    Ok(extension)
}

/// Digits only: `+5` and ` 5` mean 5 to some readers and nothing to others.
fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_by_their_length_even_with_newlines_in_a_value() {
        let extension = parse_pax(b"22 path=sub/model.onn\n16 SCHILY.x=\n\n\n\n11 size=42\n").unwrap();
        assert_eq!(extension.name.as_deref(), Some(&b"sub/model.onn"[..]));
        assert_eq!(extension.size, Some(42));
    }

    #[test]
    fn malformed_records_are_refused() {
        for bad in [
            &b"5 a=b\n"[..],
            b"99 a=b\n",
            b"x a=b\n",
            b"6 a=bc",
            b"6 abc\n",
            b"+6 a=b\n",
            b"3 \n",
            b"10 size=x\n",
            b"30 size=99999999999999999999999\n",
            b"16 linkpath=abc\n",
            b"20 GNU.sparse.major=1\n",
            b"9 path=a\n9 path=b\n",
        ] {
            assert!(parse_pax(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
