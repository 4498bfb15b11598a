//! Predictions as bodies.
//!
//! ```text
//! text/csv               0.25            one row a line, outputs side by side, no line end after the last
//!                        0.75
//! application/json       {"predictions":[{"score":0.25},{"score":0.75}]}
//! application/jsonlines  {"score":0.25}
//!                        {"score":0.75}
//! ```
//! An output of several values a row is an array in JSON and that many cells in CSV. Numbers are printed shortest, so
//! that they read back as the same `f32` or `f64`. What JSON has no number for (NaN, infinities) is `null` there.

use bytes::Bytes;
use captura_route::Answer;

use super::media::Format;

/// What a model made of a table: one or more named outputs, with as many rows as the table.
#[derive(Debug, Clone, Default)]
pub struct Predictions {
    /// Rows of every output.
    pub rows: usize,
    /// The outputs, in the model's order.
    pub outputs: Vec<Output>,
}

/// One named output of a model.
#[derive(Debug, Clone)]
pub struct Output {
    /// Its name; a key in JSON.
    pub name: String,
    /// Dimensions of one row's value: empty for a scalar, `[classes]` for a probability each, and so on. JSON nests
    /// arrays accordingly.
    pub shape: Vec<usize>,
    /// The values row by row, `rows × product of shape` of them.
    pub values: Values,
    /// Names of the values of one row (classes of a map). JSON then writes an object instead of an array.
    pub keys: Option<Vec<String>>,
}

/// Values of an output, in the model's own type.
#[derive(Debug, Clone)]
pub enum Values {
    /// Single precision.
    F32(Vec<f32>),
    /// Double precision.
    F64(Vec<f64>),
    /// Whole numbers, labels.
    I64(Vec<i64>),
    /// Truth values.
    Bool(Vec<bool>),
    /// Text, labels.
    Text(Vec<String>),
}

impl Output {
    /// One number a row.
    #[must_use]
    pub fn scalar(name: &str, values: Values) -> Self {
        Self { name: name.to_owned(), shape: Vec::new(), values, keys: None }
    }

    /// `width` numbers a row.
    #[must_use]
    pub fn vector(name: &str, width: usize, values: Values) -> Self {
        Self { name: name.to_owned(), shape: vec![width], values, keys: None }
    }

    fn width(&self) -> usize {
        self.shape.iter().product()
    }
}

impl Values {
    /// Number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F64(values) => values.len(),
            Self::I64(values) => values.len(),
            Self::Bool(values) => values.len(),
            Self::Text(values) => values.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn write_csv(&self, index: usize, body: &mut Vec<u8>) {
        match self {
            Self::F32(values) => write_float(body, values.get(index).copied(), b"nan"),
            Self::F64(values) => write_float(body, values.get(index).copied(), b"nan"),
            Self::I64(values) => write_display(body, values.get(index)),
            Self::Bool(values) => write_display(body, values.get(index)),
            Self::Text(values) => write_csv_text(body, values.get(index).map_or("", String::as_str)),
        }
    }

    fn write_json(&self, index: usize, body: &mut Vec<u8>) {
        match self {
            Self::F32(values) => write_float(body, values.get(index).copied().filter(|v| v.is_finite()), b"null"),
            Self::F64(values) => write_float(body, values.get(index).copied().filter(|v| v.is_finite()), b"null"),
            Self::I64(values) => write_display(body, values.get(index)),
            Self::Bool(values) => write_display(body, values.get(index)),
            Self::Text(values) => write_json_text(body, values.get(index).map_or("", String::as_str)),
        }
    }
}

/// Writes predictions in a format.
#[must_use]
pub fn encode(predictions: &Predictions, format: Format) -> Answer {
    let cells: usize = predictions.outputs.iter().map(|output| output.values.len()).sum();
    let mut body = Vec::with_capacity(32 + cells * 14);
    match format {
        Format::Csv => write_csv(predictions, &mut body),
        Format::Json => {
            body.extend_from_slice(b"{\"predictions\":[");
            write_objects(predictions, b',', &mut body);
            body.extend_from_slice(b"]}");
        }
        Format::JsonLines => write_objects(predictions, b'\n', &mut body),
    }
    Answer { body: Bytes::from(body), content_type: Some(format.content_type().into()), ..Answer::default() }
}

fn write_csv(predictions: &Predictions, body: &mut Vec<u8>) {
    for row in 0..predictions.rows {
        if row > 0 {
            body.push(b'\n');
        }
        let mut first = true;
        for output in &predictions.outputs {
            let width = output.width();
            for index in row * width..(row + 1) * width {
                if !std::mem::take(&mut first) {
                    body.push(b',');
                }
                output.values.write_csv(index, body);
            }
        }
    }
}

fn write_objects(predictions: &Predictions, separator: u8, body: &mut Vec<u8>) {
    for row in 0..predictions.rows {
        if row > 0 {
            body.push(separator);
        }
        body.push(b'{');
        for (position, output) in predictions.outputs.iter().enumerate() {
            if position > 0 {
                body.push(b',');
            }
            write_json_text(body, &output.name);
            body.push(b':');
            let mut index = row * output.width();
            match &output.keys {
                Some(keys) => write_keyed(output, keys, index, body),
                None => write_nested(output, &output.shape, &mut index, body),
            }
        }
        body.push(b'}');
    }
}

fn write_nested(output: &Output, shape: &[usize], index: &mut usize, body: &mut Vec<u8>) {
    let Some((length, inner)) = shape.split_first() else {
        output.values.write_json(*index, body);
        *index += 1;
        return;
    };
    body.push(b'[');
    for item in 0..*length {
        if item > 0 {
            body.push(b',');
        }
        write_nested(output, inner, index, body);
    }
    body.push(b']');
}

fn write_keyed(output: &Output, keys: &[String], start: usize, body: &mut Vec<u8>) {
    body.push(b'{');
    for (offset, key) in keys.iter().take(output.width()).enumerate() {
        if offset > 0 {
            body.push(b',');
        }
        write_json_text(body, key);
        body.push(b':');
        output.values.write_json(start + offset, body);
    }
    body.push(b'}');
}

/// Shortest text that reads back as the same number; `absent` for NaN and for no number.
fn write_float<F: ryu::Float + PartialOrd>(body: &mut Vec<u8>, number: Option<F>, absent: &[u8]) {
    // `format` writes NaN, inf and -inf as words; only NaN differs between the formats.
    match number {
        #[expect(clippy::eq_op, reason = "NaN alone differs from itself, and ryu's trait has no is_nan")]
        Some(number) if number == number => body.extend_from_slice(ryu::Buffer::new().format(number).as_bytes()),
        _ => body.extend_from_slice(absent),
    }
}

fn write_display(body: &mut Vec<u8>, value: Option<impl std::fmt::Display>) {
    use std::io::Write as _;
    if let Some(value) = value {
        write!(body, "{value}").expect("our bug: writing to memory does not fail");
    }
}

fn write_json_text(body: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(body, text).expect("our bug: text is always JSON");
}

fn write_csv_text(body: &mut Vec<u8>, text: &str) {
    if !text.contains(['"', ',', '\n', '\r']) {
        body.extend_from_slice(text.as_bytes());
        return;
    }
    body.push(b'"');
    body.extend_from_slice(text.replace('"', "\"\"").as_bytes());
    body.push(b'"');
}
