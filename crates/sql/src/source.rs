//! What is at an address: captures, an invocation table, or plain files.
//!
//! Invariant: the names of keys decide, and the first bytes of an object only where its name leaves it open.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::str::FromStr;

use captura_archive::Stores;
use captura_archive::layout::CapturedKey;
use captura_archive::reader::{Found, Selection, list_ending};
use captura_table::Kind;
use futures_util::TryStreamExt as _;
use object_store::ObjectStoreExt as _;

use crate::error::SqlError;

/// Keys that are looked at to tell what a folder or prefix holds.
const LOOKED_AT_MAX: usize = 1000;
/// Bytes of an object that are looked at where its name says nothing.
const PEEKED_BYTES: u64 = 64 << 10;

pub(crate) const CSV: [&str; 2] = [".csv", ".csv.gz"];
pub(crate) const JSON_LINES: [&str; 8] =
    [".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz", ".json", ".json.gz", ".jsonlines", ".jsonlines.gz"];
const PARQUET: &str = ".parquet";

/// An address, and the name that its table gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct From {
    /// The name, where one is given.
    pub name: Option<String>,
    /// The address.
    pub address: String,
}

/// `NAME=URI` or `URI`; a name is letters, digits and `_`, no digit first.
impl FromStr for From {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let is_name = |name: &str| {
            let letters = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
            name.chars().all(letters) && name.starts_with(|first: char| !first.is_ascii_digit())
        };
        let (name, address) = match text.split_once('=') {
            Some((name, address)) if is_name(name) => (Some(name.to_owned()), address),
            _ => (None, text),
        };
        Ok(Self { name, address: address.to_owned() })
    }
}

/// What an address holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Contents {
    /// Captured lines.
    Captures,
    /// Halves of an invocation table, by the folder that each stands in.
    Table(Kind, String),
    /// Parquet files.
    Parquet,
    /// CSV files.
    Csv,
    /// JSON Lines files.
    JsonLines,
}

impl Contents {
    fn in_words(&self) -> &'static str {
        match self {
            Self::Captures => "captured lines",
            Self::Table(..) => "an invocation table",
            Self::Parquet => "Parquet files",
            Self::Csv => "CSV files",
            Self::JsonLines => "JSON Lines files",
        }
    }
}

/// Tells what is at an address: one sort of thing, or both halves of a table.
///
/// # Errors
/// When there is nothing, or several things.
pub(crate) async fn look(stores: &Stores, address: &str) -> Result<Vec<Contents>, SqlError> {
    let place = stores.place(address)?;
    if !place.path.as_ref().is_empty() && place.store.head(&place.path).await.is_ok() {
        let found = list_ending(stores, address, &Selection::default(), &[]).await?;
        let found = found.first().ok_or_else(|| nothing(address))?;
        let contents = match by_name(&found.address) {
            Some(contents) => contents,
            None => by_first_bytes(found).await?,
        };
        return Ok(vec![contents]);
    }
    let base = &place.base;
    let prefix = Some(&place.path).filter(|path| !path.as_ref().is_empty());
    let mut listing = place.store.list(prefix);
    let (mut seen, mut open, mut looked_at) = (BTreeSet::new(), None, 0);
    let failed = |source| captura_archive::reader::ReadError::List { address: address.to_owned(), source };
    while let Some(meta) = listing.try_next().await.map_err(failed)? {
        looked_at += 1;
        if looked_at > LOOKED_AT_MAX {
            break;
        }
        let full = format!("{base}{}", meta.location);
        match by_name(&full) {
            Some(contents) => drop(seen.insert(contents)),
            None if is_json_lines(&full) && open.is_none() => open = Some(full),
            None => {}
        }
    }
    if let Some(address) = open.filter(|_| !seen.contains(&Contents::Captures)) {
        let found = list_ending(stores, &address, &Selection::default(), &[]).await?;
        seen.insert(by_first_bytes(found.first().ok_or_else(|| nothing(&address))?).await?);
    }
    let sorts: BTreeSet<&str> = seen.iter().map(Contents::in_words).collect();
    match sorts.len() {
        0 => Err(nothing(address)),
        1 => Ok(seen.into_iter().collect()),
        _ => {
            let sorts = sorts.into_iter().collect::<Vec<_>>().join(" and ");
            let reason = format!("it holds {sorts}; name a folder that holds one of them");
            Err(SqlError::Source { address: address.to_owned(), reason })
        }
    }
}

fn nothing(address: &str) -> SqlError {
    let reason = "no captured lines, Parquet, CSV or JSON Lines files are there".to_owned();
    SqlError::Source { address: address.to_owned(), reason }
}

fn is_json_lines(address: &str) -> bool {
    JSON_LINES.iter().any(|ending| address.ends_with(ending))
}

/// What a name tells; `None` where it may be captured lines or others.
fn by_name(address: &str) -> Option<Contents> {
    if CapturedKey::parse(address).is_some() {
        return Some(Contents::Captures);
    }
    if CSV.iter().any(|ending| address.ends_with(ending)) {
        return Some(Contents::Csv);
    }
    if address.ends_with(PARQUET) {
        return Some(match Kind::of_part(address) {
            Some((kind, folder)) => Contents::Table(kind, address[..folder].to_owned()),
            None => Contents::Parquet,
        });
    }
    None
}

/// What an object's first bytes tell.
async fn by_first_bytes(found: &Found) -> Result<Contents, SqlError> {
    let first = if found.size_bytes == 0 {
        return Ok(Contents::Csv);
    } else if found.is_gzip() {
        found.fetch().await?
    } else {
        found.range(0..found.size_bytes.min(PEEKED_BYTES)).await?
    };
    if first.starts_with(b"PAR1") {
        return Ok(Contents::Parquet);
    }
    let line = first.trim_ascii_start().split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(match line.first() {
        Some(b'{') if memchr::memmem::find(line, b"\"captureData\"").is_some() => Contents::Captures,
        Some(b'{' | b'[') => Contents::JsonLines,
        _ if is_json_lines(&found.address) => Contents::JsonLines,
        _ => Contents::Csv,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_before_addresses_and_addresses_may_hold_equals_signs() {
        let from = |text: &str| text.parse::<From>().map(|from| (from.name, from.address)).unwrap();
        assert_eq!(from("old=s3://a/b"), (Some("old".into()), "s3://a/b".into()));
        assert_eq!(from("s3://a/endpoint=x"), (None, "s3://a/endpoint=x".into()));
        assert_eq!(from("./a=b.csv"), (None, "./a=b.csv".into()));
        assert_eq!(from("1a=b.csv"), (None, "1a=b.csv".into()));
    }

    #[test]
    fn names_of_objects_tell_what_they_are() {
        let part = "/lake/rows/endpoint=churn/date=2022-04-18/hour=00/part-0.parquet";
        assert_eq!(by_name(part), Some(Contents::Table(Kind::Rows, "/lake/rows".into())));
        assert_eq!(by_name("/x/a.parquet"), Some(Contents::Parquet));
        assert_eq!(by_name("a.csv.gz"), Some(Contents::Csv));
        assert_eq!(by_name("a.jsonl"), None, "may be captured lines");
        let key = "churn/v/2022/04/18/00/20-48-871-55126149-826d-415a-967b-33fa7f4666f3.jsonl";
        assert_eq!(by_name(key), Some(Contents::Captures));
    }
}
