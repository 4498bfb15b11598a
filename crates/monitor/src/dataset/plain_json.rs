//! A line of a JSON Lines file to a row of cells: an object's members by name, those inside others as `a.b` and those of
//! lists as `a.0`; a list's items by place.
//!
//! Invariant: whatever the bytes, the end is one row or a reason. Refuses to: take a member for a wrapper of rows, as
//! bodies of calls have them; a file's lines are rows.

use serde_json::Value;

use super::body::Row;
use super::json_rows::{flatten, without_nan};
use super::reader::Reader;
use super::sink::Sink;

impl<S: Sink> Reader<S> {
    /// Reads the lines of a JSON Lines file; `source` names it in descriptions. Answers how many lines end in there.
    pub fn json_lines(&mut self, source: &str, bytes: &[u8]) -> u64 {
        let mut lines = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if !line.trim_ascii().is_empty() {
                self.row(source, lines + 1, plain_row(line), line.len());
            }
            lines += u64::from(line.ends_with(b"\n"));
        }
        lines
    }
}

/// Bytes of a file in which a captured line is looked for.
const LOOKED_AT_BYTES: usize = 64 << 10;

/// Whether a JSON Lines file that begins like this holds captured lines and not rows.
#[must_use]
pub fn is_captured(begin: &[u8]) -> bool {
    // What cannot be told is taken for captures, which say what is wrong with it. A broken first line does not hide the others.
    let is_json = matches!(begin.trim_ascii_start().first(), Some(b'{' | b'['));
    let looked_at = &begin[..begin.len().min(LOOKED_AT_BYTES)];
    !is_json || memchr::memmem::find(looked_at, b"\"captureData\"").is_some()
}

/// Reads one line.
///
/// # Errors
/// Why it is no row.
pub fn plain_row(line: &[u8]) -> Result<Row<'static>, String> {
    let read = serde_json::from_slice(line).or_else(|error| {
        let clean = std::str::from_utf8(line).ok().and_then(without_nan).ok_or(error)?;
        serde_json::from_str(&clean)
    });
    let value: Value = read.map_err(|error| format!("not JSON: {error}"))?;
    let (mut names, mut cells) = (Vec::new(), Vec::new());
    match value {
        Value::Object(_) => flatten(&value, String::new(), 0, &mut |name, cell| {
            names.push(Some(name));
            cells.push(cell);
        })?,
        Value::Array(_) => flatten(&value, String::new(), 0, &mut |_, cell| cells.push(cell))?,
        _ => return Err("the line is neither an object nor a list".to_owned()),
    }
    if cells.is_empty() {
        return Err("the line holds no values".to_owned());
    }
    Ok(Row { names, cells })
}

#[cfg(test)]
mod tests {
    use super::{is_captured, plain_row};
    use crate::dataset::Cell;

    fn shown(line: &str) -> Result<(String, String), String> {
        let row = plain_row(line.as_bytes())?;
        let names: Vec<&str> = row.names.iter().map(|name| name.as_deref().unwrap_or("-")).collect();
        let cell = |cell: &Cell<'_>| match cell {
            Cell::Missing => "-".to_owned(),
            Cell::Number { text, .. } | Cell::Text(text) => text.to_string(),
        };
        Ok((names.join(" "), row.cells.iter().map(cell).collect::<Vec<_>>().join(" ")))
    }

    #[test]
    fn objects_are_flattened_by_name_and_lists_by_place() {
        let of = |names: &str, cells: &str| Ok((names.to_owned(), cells.to_owned()));
        assert_eq!(shown(r#"{"a":1,"b":{"c":"x","d":[2,null]}}"#), of("a b.c b.d.0 b.d.1", "1 x 2 -"));
        assert_eq!(shown(r#"{"id":7,"inputs":"text"}"#), of("id inputs", "7 text"), "no member is a wrapper");
        assert_eq!(shown(r#"{"a":NaN,"b":2}"#), of("a b", "- 2"), "as pandas and Python write what is missing");
        assert_eq!(shown("[1, true, [2.5]]"), of("", "1 true 2.5"));
        for (line, words) in [("7", "neither"), ("{}", "no values"), ("{", "not JSON")] {
            assert!(shown(line).unwrap_err().contains(words), "{line}");
        }
    }
    #[test]
    fn captured_lines_are_told_from_rows_even_behind_a_broken_one() {
        assert!(is_captured(b"{\"captureData\":{}}"));
        assert!(is_captured(b"{\"captureDa\n{\"captureData\":{}}\n"));
        assert!(is_captured(b"not json"), "captures say what is wrong with it");
        assert!(!is_captured(b"\n{\"age\":25}\n") && !is_captured(b"[1,2]"));
    }
}
