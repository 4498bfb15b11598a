//! What SciPy says, see `tests/data/make_drift_references.py`.

use serde_json::Value;

pub(crate) fn references() -> Value {
    serde_json::from_str(include_str!("../../tests/data/drift_references.json")).unwrap()
}

/// Rows of as many numbers as asked for.
pub(crate) fn numbers<const N: usize>(rows: &Value) -> Vec<[f64; N]> {
    let row = |row: &Value| list(row).try_into().unwrap();
    rows.as_array().unwrap().iter().map(row).collect()
}

pub(crate) fn list(values: &Value) -> Vec<f64> {
    values.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}
