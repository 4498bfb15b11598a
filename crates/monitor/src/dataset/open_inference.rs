//! Bodies of the open inference protocol (KServe's version 2): tensors by name, whose first dimension is the row.
//!
//! ```text
//! {"inputs":  [{"name": "age", "shape": [2], "datatype": "FP32", "data": [25, 31]},
//!              {"name": "x", "shape": [2, 3], "datatype": "FP32", "data": [1, 2, 3, 4, 5, 6]}]}
//! {"outputs": [{"name": "score", "shape": [2, 1], "datatype": "FP32", "data": [0.5, 0.7]}]}
//! ```
//!
//! are two rows with the columns `age`, `x.0`, `x.1`, `x.2`, and two with `score`: a tensor of one value a row gives its
//! name to a column, a wider one its name and the place. Data may be flat, in row-major order, or nested as the shape is;
//! the protocol allows both.
//!
//! Invariant: a body becomes as many rows as every one of its tensors says, or none. Refuses to: read tensors whose data
//! travels beside the JSON.

use serde_json::{Map, Value};

use super::cell::Cell;
use super::json_rows::{JsonRows, NamedRow, cell};

/// Rows of a body, if it is one of this protocol.
pub(super) fn rows(members: &Map<String, Value>) -> Option<Result<JsonRows, String>> {
    let tensors = ["inputs", "outputs"].iter().find_map(|name| members.get(*name)?.as_array())?;
    let is_tensor = |value: &Value| value.get("shape").is_some_and(Value::is_array) && value.get("datatype").is_some();
    (!tensors.is_empty() && tensors.iter().all(is_tensor)).then(|| of_tensors(tensors))
}

fn of_tensors(tensors: &[Value]) -> Result<JsonRows, String> {
    let (mut names, mut columns): (Vec<String>, Vec<Tensor>) = (Vec::new(), Vec::new());
    for tensor in tensors {
        let tensor = Tensor::read(tensor)?;
        match tensor.width {
            1 => names.push(tensor.name.clone()),
            width => names.extend((0..width).map(|place| format!("{}.{place}", tensor.name))),
        }
        columns.push(tensor);
    }
    let count = columns[0].rows();
    if let Some(other) = columns.iter().find(|tensor| tensor.rows() != count) {
        let (first, rows) = (&columns[0].name, other.rows());
        return Err(format!("the tensor {first} has {count} rows, {} has {rows}", other.name));
    }
    let row = |row: usize| NamedRow {
        names: Some(names.clone()),
        cells: columns.iter().flat_map(|tensor| tensor.row(row)).cloned().collect(),
    };
    Ok(JsonRows { rows: (0..count).map(row).collect(), flat: false, whole: None })
}

struct Tensor {
    name: String,
    /// Cells of one row.
    width: usize,
    cells: Vec<Cell<'static>>,
}

impl Tensor {
    fn read(tensor: &Value) -> Result<Self, String> {
        let name = tensor.get("name").and_then(Value::as_str).unwrap_or("tensor").to_owned();
        let shape = tensor.get("shape").and_then(Value::as_array).into_iter().flatten();
        let shape: Option<Vec<usize>> =
            shape.map(|side| side.as_u64().and_then(|side| usize::try_from(side).ok())).collect();
        let shape = shape.ok_or_else(|| format!("the shape of the tensor {name} is no list of whole numbers"))?;
        let data = tensor.get("data").and_then(Value::as_array);
        let data = data.ok_or_else(|| format!("the tensor {name} has no data in the JSON"))?;
        let mut cells = Vec::new();
        unnest(data, shape.len().max(1), &mut cells)
            .map_err(|()| format!("the data of the tensor {name} nests deeper than its shape"))?;
        let count = shape.first().copied().unwrap_or(1);
        let width = shape.iter().skip(1).try_fold(1_usize, |product, side| product.checked_mul(*side));
        match width {
            Some(width) if width > 0 && count.checked_mul(width) == Some(cells.len()) => {
                Ok(Self { name, width, cells })
            }
            _ => Err(format!("the tensor {name} has {} values, which is not its shape {shape:?}", cells.len())),
        }
    }

    fn rows(&self) -> usize {
        self.cells.len() / self.width
    }

    fn row(&self, row: usize) -> &[Cell<'static>] {
        &self.cells[row * self.width..(row + 1) * self.width]
    }
}

/// Values in row-major order, from lists as deep as `depth`, or from one flat list.
fn unnest(values: &[Value], depth: usize, cells: &mut Vec<Cell<'static>>) -> Result<(), ()> {
    values.iter().try_for_each(|value| match value {
        Value::Array(inner) if depth > 1 => unnest(inner, depth - 1, cells),
        Value::Array(_) | Value::Object(_) => Err(()),
        value => {
            cells.push(cell(value));
            Ok(())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::json_rows;
    use super::*;

    type Shown = Vec<(Vec<String>, Vec<String>)>;

    fn shown(text: &str) -> Result<Shown, String> {
        let show = |cell: &Cell<'_>| match cell {
            Cell::Missing => "-".to_owned(),
            Cell::Number { text, .. } => text.to_string(),
            Cell::Text(text) => format!("'{text}'"),
        };
        let rows = json_rows::rows(text)?.rows;
        Ok(rows.into_iter().map(|row| (row.names.unwrap(), row.cells.iter().map(show).collect())).collect())
    }

    fn row(names: &[&str], cells: &[&str]) -> (Vec<String>, Vec<String>) {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        (owned(names), owned(cells))
    }

    #[test]
    fn tensors_become_columns_flat_or_nested() {
        for data in ["[1, 2, 3, 4]", "[[1, 2], [3, 4]]"] {
            let body = format!(
                r#"{{"id": "7", "inputs": [{{"name": "x", "shape": [2, 2], "datatype": "FP32", "data": {data}}},
                    {{"name": "city", "shape": [2, 1], "datatype": "BYTES", "data": ["Faro", null]}}]}}"#
            );
            let names = ["x.0", "x.1", "city"];
            assert_eq!(shown(&body).unwrap(), [row(&names, &["1", "2", "'Faro'"]), row(&names, &["3", "4", "-"])]);
        }
        let answer = r#"{"model_name": "m", "outputs": [{"name": "score", "shape": [2], "datatype": "FP64", "data": [0.5, 0.25]}]}"#;
        assert_eq!(shown(answer).unwrap(), [row(&["score"], &["0.5"]), row(&["score"], &["0.25"])]);
    }

    #[test]
    fn tensors_that_do_not_fit_are_described() {
        let tensor = |name: &str, shape: &str, data: &str| {
            format!(r#"{{"name": "{name}", "shape": {shape}, "datatype": "FP32", "data": {data}}}"#)
        };
        let body = |tensors: &[String]| format!(r#"{{"inputs": [{}]}}"#, tensors.join(","));
        let short = shown(&body(&[tensor("x", "[2, 2]", "[1, 2, 3]")])).unwrap_err();
        assert_eq!(short, "the tensor x has 3 values, which is not its shape [2, 2]");
        let uneven = shown(&body(&[tensor("x", "[2]", "[1, 2]"), tensor("y", "[1]", "[1]")])).unwrap_err();
        assert_eq!(uneven, "the tensor x has 2 rows, y has 1");
        let deep = shown(&body(&[tensor("x", "[1]", "[[1]]")])).unwrap_err();
        assert!(deep.contains("deeper than its shape"), "{deep}");
        let empty = shown(&body(&[tensor("x", "[0, 0]", "[]")])).unwrap_err();
        assert!(empty.contains("0 values"), "{empty}");
        let huge = shown(&body(&[tensor("x", "[4611686018427387904, 8]", "[]")])).unwrap_err();
        assert!(huge.contains("0 values"), "{huge}");
        let beside =
            r#"{"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "parameters": {"binary_data_size": 4}}]}"#;
        assert!(shown(beside).unwrap_err().contains("no data in the JSON"));
    }

    #[test]
    fn other_bodies_with_inputs_are_left_to_others() {
        assert_eq!(json_rows::rows(r#"{"inputs": [[1, 2], [3, 4]]}"#).unwrap().rows.len(), 2);
        assert_eq!(json_rows::rows(r#"{"inputs": [{"shape": 1, "datatype": 2}]}"#).unwrap().rows.len(), 1);
    }
}
