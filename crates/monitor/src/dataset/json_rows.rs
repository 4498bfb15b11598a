//! JSON bodies to rows of cells.
//!
//! | body | rows |
//! | --- | --- |
//! | `0.5`, `"a"` | one row, one cell |
//! | `[1, 2]` | one row (k rows of one cell when the other side has k rows, see `body`) |
//! | `[[1, 2], [3, 4]]`, `[{…}, {…}]` | a row each |
//! | `{"predictions": […]}`, `instances`, `inputs`, `dataframe_records` | as their value |
//! | `{"dataframe_split": {"columns": […], "data": […]}}` | named rows |
//! | `{"inputs": [{"name", "shape", "datatype", "data"}, …]}`, `outputs` | tensors of the open inference protocol, see `open_inference` |
//! | any other object | one row, a named cell per member, `a.b` for members inside members, `a.0` for lists |
//!
//! `{"features": […]}` with nothing else is a plain list. Nesting deeper than [`MAX_DEPTH`] is refused.

use std::borrow::Cow;

use serde_json::Value;

use super::cell::Cell;
use super::open_inference;

/// Members inside members that are still followed.
const MAX_DEPTH: usize = 16;
/// Members that only wrap the rows.
const WRAPPERS: [&str; 4] = ["predictions", "instances", "inputs", "dataframe_records"];

/// Cells of one row with their names, or without when the body has none.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NamedRow {
    pub(crate) names: Option<Vec<String>>,
    pub(crate) cells: Vec<Cell<'static>>,
}

/// Rows of a JSON body; `flat` when they came from one flat list, which may also mean one row per value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct JsonRows {
    pub(crate) rows: Vec<NamedRow>,
    pub(crate) flat: bool,
}

/// # Errors
/// A description of why the body holds no rows.
pub(crate) fn rows(text: &str) -> Result<JsonRows, String> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let mut next = || values.next().transpose().map_err(|error| format!("the body is not JSON: {error}"));
    let first = next()?.ok_or("the body is not JSON: it is empty")?;
    let mut all = of_value(&first, 0)?;
    // JSON Lines: one value after the other.
    while let Some(value) = next()? {
        all.rows.extend(of_value(&value, 0)?.rows);
        all.flat = false;
    }
    Ok(all)
}

fn of_value(value: &Value, depth: usize) -> Result<JsonRows, String> {
    match value {
        Value::Array(items) if items.iter().any(|item| item.is_array() || item.is_object()) => {
            let rows = items.iter().map(|item| row(item, depth + 1)).collect::<Result<Vec<_>, _>>()?;
            Ok(JsonRows { rows, flat: false })
        }
        Value::Array(items) => {
            let cells = items.iter().map(cell).collect();
            Ok(JsonRows { rows: vec![NamedRow { names: None, cells }], flat: true })
        }
        Value::Object(members) => {
            if let Some(rows) = open_inference::rows(members) {
                return rows;
            }
            if let Some(inner) = WRAPPERS.iter().find_map(|name| members.get(*name)) {
                if depth >= MAX_DEPTH {
                    return Err(too_deep());
                }
                return of_value(inner, depth + 1);
            }
            if let Some(split) = members.get("dataframe_split") {
                return split_rows(split, depth + 1);
            }
            Ok(JsonRows { rows: vec![row(value, depth)?], flat: false })
        }
        _ => Ok(JsonRows { rows: vec![row(value, depth)?], flat: true }),
    }
}

fn split_rows(split: &Value, depth: usize) -> Result<JsonRows, String> {
    let columns = split.get("columns").and_then(Value::as_array);
    let data = split.get("data").and_then(Value::as_array).ok_or("dataframe_split has no list \"data\"")?;
    let names: Option<Vec<String>> = columns.map(|columns| {
        columns.iter().map(|name| name.as_str().map_or_else(|| name.to_string(), str::to_owned)).collect()
    });
    let mut rows = Vec::with_capacity(data.len());
    for item in data {
        let mut row = row(item, depth)?;
        if let Some(names) = &names {
            if names.len() != row.cells.len() {
                return Err(format!(
                    "dataframe_split has {} columns but a row of {} values",
                    names.len(),
                    row.cells.len()
                ));
            }
            row.names = Some(names.clone());
        }
        rows.push(row);
    }
    Ok(JsonRows { rows, flat: false })
}

fn row(value: &Value, depth: usize) -> Result<NamedRow, String> {
    match value {
        Value::Object(members) => {
            if members.len() == 1
                && let Some((_, Value::Array(items))) = members.iter().next()
                && !items.iter().any(|item| item.is_array() || item.is_object())
            {
                return Ok(NamedRow { names: None, cells: items.iter().map(cell).collect() });
            }
            let (mut names, mut cells) = (Vec::new(), Vec::new());
            flatten(value, String::new(), depth, &mut |name, cell| {
                names.push(name);
                cells.push(cell);
            })?;
            Ok(NamedRow { names: Some(names), cells })
        }
        Value::Array(_) => {
            let mut cells = Vec::new();
            flatten(value, String::new(), depth, &mut |_, cell| cells.push(cell))?;
            Ok(NamedRow { names: None, cells })
        }
        _ => Ok(NamedRow { names: None, cells: vec![cell(value)] }),
    }
}

pub(super) fn flatten(
    value: &Value,
    path: String,
    depth: usize,
    emit: &mut impl FnMut(String, Cell<'static>),
) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(too_deep());
    }
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(members) => {
            members.iter().try_for_each(|(name, value)| flatten(value, below(name), depth + 1, emit))
        }
        Value::Array(items) => {
            items.iter().enumerate().try_for_each(|(i, value)| flatten(value, below(&i.to_string()), depth + 1, emit))
        }
        _ => {
            emit(path, cell(value));
            Ok(())
        }
    }
}

fn too_deep() -> String {
    format!("the body is nested deeper than {MAX_DEPTH} levels")
}

pub(super) fn cell(value: &Value) -> Cell<'static> {
    match value {
        Value::Null => Cell::Missing,
        Value::String(text) => Cell::Text(Cow::Owned(text.clone())),
        Value::Number(number) => Cell::parse(Cow::Owned(number.to_string())),
        other => Cell::Text(Cow::Owned(other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> Vec<(Option<Vec<String>>, Vec<String>)> {
        let show = |cell: &Cell<'_>| match cell {
            Cell::Missing => "-".to_owned(),
            Cell::Number { value, .. } => value.to_string(),
            Cell::Text(text) => format!("'{text}'"),
        };
        rows(text).unwrap().rows.into_iter().map(|row| (row.names, row.cells.iter().map(show).collect())).collect()
    }

    #[test]
    fn every_form_of_the_table_becomes_rows() {
        let plain = |cells: &[&str]| (None, cells.iter().map(|&c| c.to_owned()).collect::<Vec<_>>());
        let named = |names: &[&str], cells: &[&str]| {
            (Some(names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>()), plain(cells).1)
        };
        assert_eq!(shape("0.5"), [plain(&["0.5"])]);
        assert_eq!(shape("[1, null, \"a\", true]"), [plain(&["1", "-", "'a'", "'true'"])]);
        assert_eq!(shape("[[1,2],[3,4]]"), [plain(&["1", "2"]), plain(&["3", "4"])]);
        assert_eq!(
            shape("{\"predictions\":[{\"score\":0.5},{\"score\":1}]}"),
            [named(&["score"], &["0.5"]), named(&["score"], &["1"])]
        );
        assert_eq!(
            shape("{\"instances\":[{\"features\":[1,2]},{\"features\":[3,4]}]}"),
            [plain(&["1", "2"]), plain(&["3", "4"])]
        );
        assert_eq!(
            shape("{\"a\":1,\"b\":{\"c\":\"x\",\"d\":[2,3]}}"),
            [named(&["a", "b.c", "b.d.0", "b.d.1"], &["1", "'x'", "2", "3"])]
        );
        assert_eq!(
            shape("{\"dataframe_split\":{\"columns\":[\"a\",\"b\"],\"data\":[[1,2]]}}"),
            [named(&["a", "b"], &["1", "2"])]
        );
    }

    #[test]
    fn deep_and_broken_bodies_are_described() {
        let deep = format!("[{}1{}]", "[".repeat(60), "]".repeat(60));
        assert!(rows(&deep).unwrap_err().contains("deeper than 16"));
        assert!(rows("{").unwrap_err().contains("not JSON"));
        let wrapped = format!("{}1{}", "{\"inputs\":".repeat(60), "}".repeat(60));
        assert!(rows(&wrapped).unwrap_err().contains("deeper than 16"));
    }
}
