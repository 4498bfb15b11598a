//! A line of a JSON Lines file to a row of cells: an object's members by name, those inside others as `a.b` and those of
//! lists as `a.0`; a list's items by place.
//!
//! Invariant: whatever the bytes, the end is one row or a reason. Refuses to: take a member for a wrapper of rows, as
//! bodies of calls have them; a file's lines are rows.

use serde_json::Value;

use super::body::Row;
use super::json_rows::flatten;

/// Reads one line.
///
/// # Errors
/// Why it is no row.
pub fn plain_row(line: &[u8]) -> Result<Row<'static>, String> {
    let value: Value = serde_json::from_slice(line).map_err(|error| format!("not JSON: {error}"))?;
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
    use super::plain_row;
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
        assert_eq!(shown("[1, true, [2.5]]"), of("", "1 true 2.5"));
        for (line, words) in [("7", "neither"), ("{}", "no values"), ("{", "not JSON")] {
            assert!(shown(line).unwrap_err().contains(words), "{line}");
        }
    }
}
