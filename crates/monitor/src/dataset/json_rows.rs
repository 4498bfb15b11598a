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
//! | `{"inputs": {"a": […], "b": […]}}`, lists of one length | a row for each place, as MLflow and TensorFlow Serving mean it |
//! | any other object | one row, a named cell per member, `a.b` for members inside members, `a.0` for lists |
//!
//! `{"features": […]}` with nothing else is a plain list. `NaN`, as Python writes it, is a missing value. Nesting deeper than [`MAX_DEPTH`] is refused.

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
    /// The same as one row, where lists by name were taken for columns and may as well be vectors.
    pub(crate) whole: Option<NamedRow>,
}

impl JsonRows {
    fn of(rows: Vec<NamedRow>, flat: bool) -> Self {
        Self { rows, flat, whole: None }
    }
}

/// # Errors
/// A description of why the body holds no rows.
pub(crate) fn rows(text: &str) -> Result<JsonRows, String> {
    let read = values(text);
    match without_nan(text).filter(|_| read.is_err()) {
        Some(text) => values(&text),
        None => read,
    }
}

/// The text with `null` for `NaN`, which is no JSON and comes from Python all the same; nothing where there is none.
pub(super) fn without_nan(text: &str) -> Option<String> {
    let mut clean = String::new();
    let (mut rest, mut is_text) = (text, false);
    while let Some(place) = rest.find(['"', 'N', '\\']) {
        let found = &rest[place..];
        let (kept, taken) = match found.as_bytes()[0] {
            b'"' => {
                is_text = !is_text;
                ("\"", 1)
            }
            b'N' if !is_text && found.starts_with("NaN") => ("null", 3),
            b'N' => ("N", 1),
            // What stands behind it is no quote.
            _ => {
                let taken = found.char_indices().nth(2).map_or(found.len(), |(place, _)| place);
                (&found[..taken], taken)
            }
        };
        clean.push_str(&rest[..place]);
        clean.push_str(kept);
        rest = &found[taken..];
    }
    clean.push_str(rest);
    (clean != text).then_some(clean)
}

fn values(text: &str) -> Result<JsonRows, String> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let mut next = || values.next().transpose().map_err(|error| format!("the body is not JSON: {error}"));
    let first = next()?.ok_or("the body is not JSON: it is empty")?;
    let mut all = of_value(&first, 0)?;
    // JSON Lines: one value after the other.
    while let Some(value) = next()? {
        all.rows.extend(of_value(&value, 0)?.rows);
        (all.flat, all.whole) = (false, None);
    }
    Ok(all)
}

fn of_value(value: &Value, depth: usize) -> Result<JsonRows, String> {
    match value {
        Value::Array(items) if items.iter().any(|item| item.is_array() || item.is_object()) => {
            let rows = items.iter().map(|item| row(item, depth + 1)).collect::<Result<Vec<_>, _>>()?;
            Ok(JsonRows::of(rows, false))
        }
        Value::Array(items) => {
            let cells = items.iter().map(cell).collect();
            Ok(JsonRows::of(vec![NamedRow { names: None, cells }], true))
        }
        Value::Object(members) => {
            if let Some(rows) = open_inference::rows(members) {
                return rows;
            }
            if let Some((name, inner)) = WRAPPERS.iter().find_map(|name| Some((*name, members.get(*name)?))) {
                if depth >= MAX_DEPTH {
                    return Err(too_deep());
                }
                if let Some(columns) = columns(inner).filter(|_| name == COLUMNAR) {
                    return rows_of_columns(inner, &columns, depth + 1);
                }
                return of_value(inner, depth + 1);
            }
            if let Some(split) = members.get("dataframe_split") {
                return split_rows(split, depth + 1);
            }
            Ok(JsonRows::of(vec![row(value, depth)?], false))
        }
        _ => Ok(JsonRows::of(vec![row(value, depth)?], true)),
    }
}

/// The member whose value may be columns by name.
const COLUMNAR: &str = "inputs";

/// Lists by name, all of one length: columns. One plain list alone is a row of values.
fn columns(value: &Value) -> Option<Vec<(&str, &[Value])>> {
    let members = value.as_object()?;
    let columns: Vec<(&str, &[Value])> = members
        .iter()
        .map(|(name, items)| Some((name.as_str(), items.as_array()?.as_slice())))
        .collect::<Option<_>>()?;
    let (_, first) = columns.first()?;
    let is_plain = columns.len() == 1 && !first.iter().any(|item| item.is_array() || item.is_object());
    let fits = columns.iter().all(|(_, items)| items.len() == first.len());
    (fits && !first.is_empty() && !is_plain).then_some(columns)
}

fn rows_of_columns(value: &Value, columns: &[(&str, &[Value])], depth: usize) -> Result<JsonRows, String> {
    let row_at = |place: usize| {
        let (mut names, mut cells) = (Vec::new(), Vec::new());
        for (name, items) in columns {
            flatten(&items[place], (*name).to_owned(), depth + 1, &mut |name, cell| {
                names.push(name);
                cells.push(cell);
            })?;
        }
        Ok(NamedRow { names: Some(names), cells })
    };
    let rows = (0..columns[0].1.len()).map(row_at).collect::<Result<Vec<_>, String>>()?;
    Ok(JsonRows { rows, flat: false, whole: Some(row(value, depth)?) })
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
    Ok(JsonRows::of(rows, false))
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
    fn lists_by_name_are_columns_below_inputs_and_nowhere_else() {
        let shown = |text: &str| {
            let rows = rows(text).unwrap();
            let names = |row: &NamedRow| row.names.clone().unwrap_or_default().join(" ");
            (rows.rows.iter().map(names).collect::<Vec<_>>(), rows.whole.as_ref().map(names))
        };
        let whole = Some("a.0 a.1 b.0 b.1".to_owned());
        assert_eq!(shown(r#"{"inputs":{"a":[1,2],"b":["x","y"]}}"#), (vec!["a b".to_owned(); 2], whole));
        assert_eq!(shown(r#"{"inputs":{"x":[[1,2],[3,4],[5,6]]}}"#).0, ["x.0 x.1"; 3]);
        assert_eq!(shown(r#"{"inputs":{"a":[1],"b":[2]}}"#).0, ["a b"]);
        for other in [r#"{"inputs":{"a":[1,2],"b":[1]}}"#, r#"{"inputs":{"a":"x","b":[1]}}"#, r#"{"a":[1],"b":[2]}"#] {
            assert_eq!(shown(other).1, None, "{other}");
        }
        assert_eq!(shape(r#"{"inputs":{"features":[1,2]}}"#), shape("[1,2]"));
    }

    #[test]
    fn not_a_number_is_a_missing_value_as_python_writes_it() {
        assert_eq!(shape(r#"{"a": NaN, "NaN": "NaN \"NaN"}"#)[0].1, ["-", "'NaN \"NaN'"]);
        assert_eq!(shape("[NaN, 1]\n[2, NaN]").len(), 2);
        for broken in ["[Nan]", "{\"a\": Infinity}", "[NaN", "{\"N"] {
            assert!(rows(broken).unwrap_err().contains("not JSON"), "{broken}");
        }
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
