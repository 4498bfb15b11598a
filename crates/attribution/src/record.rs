//! Records apart from models: what a request holds, and how synthetic requests are written.
//!
//! Invariant: a feature that is not replaced is written as it was sent. Refuses to: guess at delimiters, or take a header for
//! a record.

use std::borrow::Cow;

use serde_json::Value;

use crate::jmespath::Expression;

/// Most values in the records of a call, or of a baseline: in memory each takes many times its bytes.
pub const VALUES_MAX: usize = 500_000;
/// What stands for the features in a template.
const PLACEHOLDERS: [&str; 2] = ["${features}", "$features"];

/// One feature's value.
#[derive(Debug, Clone, PartialEq)]
pub enum Feature {
    /// A cell of CSV, unquoted.
    Cell(Box<str>),
    /// A member of a JSON list.
    Json(Value),
}

/// A record: its features.
pub type Record = Vec<Feature>;

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Cells between commas, a line each.
    Csv,
    /// A JSON value a line.
    JsonLines,
}

/// How JSON records hold their features.
#[derive(Debug, Clone, Default)]
pub struct Shape {
    /// Where the features are in a record; a record is the list itself where nothing is said.
    pub features: Option<Expression>,
    /// What a record is written as.
    pub template: Option<Template>,
}

/// A JSON record with a place for its features.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    before: String,
    after: String,
}

impl Template {
    /// Reads a template with one `$features` in it.
    ///
    /// # Errors
    /// When there is not exactly one place for the features.
    pub fn parse(text: &str) -> Result<Self, String> {
        let one_place = || format!("needs exactly one {}", PLACEHOLDERS[1]);
        let found = PLACEHOLDERS.iter().find_map(|place| text.split_once(place)).ok_or_else(one_place)?;
        if PLACEHOLDERS.iter().any(|place| found.1.contains(place)) {
            return Err(one_place());
        }
        if text.contains('\n') {
            return Err("is one line".to_owned());
        }
        Ok(Self { before: found.0.to_owned(), after: found.1.to_owned() })
    }
}

impl Feature {
    /// Whether replacing one by the other changes nothing.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        match (self.number(), other.number()) {
            (Some(one), Some(other)) => one == other,
            (None, None) => self == other || self.as_cell() == other.as_cell(),
            _ => false,
        }
    }

    /// Whether it is a number, or a text that reads as one.
    #[must_use]
    pub fn is_number(&self) -> bool {
        self.number().is_some()
    }

    /// The same kind of feature with another text.
    #[must_use]
    pub fn with_text(&self, text: String) -> Self {
        match self {
            Self::Cell(_) => Self::Cell(text.into()),
            Self::Json(_) => Self::Json(Value::String(text)),
        }
    }

    /// Its number, where it is one.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Cell(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
            Self::Json(value) => value.as_f64(),
        }
    }

    /// As a cell of CSV before it is quoted.
    #[must_use]
    pub fn as_cell(&self) -> Cow<'_, str> {
        match self {
            Self::Cell(text) => Cow::Borrowed(text),
            Self::Json(Value::String(text)) => Cow::Borrowed(text),
            Self::Json(Value::Null) => Cow::Borrowed(""),
            Self::Json(other) => Cow::Owned(other.to_string()),
        }
    }

    fn write_cell(&self, body: &mut Vec<u8>) {
        let text = self.as_cell();
        if text.contains([',', '"', '\n', '\r']) {
            body.push(b'"');
            body.extend_from_slice(text.replace('"', "\"\"").as_bytes());
            body.push(b'"');
        } else {
            body.extend_from_slice(text.as_bytes());
        }
    }

    /// Writes it as a member of a JSON list.
    pub fn write_json(&self, body: &mut Vec<u8>) {
        let written = match self {
            Self::Json(value) => value.to_string(),
            Self::Cell(text) if text.is_empty() => "null".to_owned(),
            Self::Cell(text) => match serde_json::from_str::<serde_json::Number>(text.trim()) {
                Ok(_) => text.trim().to_owned(),
                Err(_) => Value::String(text.to_string()).to_string(),
            },
        };
        body.extend_from_slice(written.as_bytes());
    }
}

/// The records of a body.
///
/// # Errors
/// Says which record cannot be read, and why.
pub fn read(body: &[u8], layout: Layout, shape: &Shape) -> Result<Vec<Record>, String> {
    let mut left = VALUES_MAX;
    let mut records = Vec::new();
    let mut keep = |record: Record| {
        left = left.checked_sub(record.len()).ok_or_else(|| format!("there are more than {VALUES_MAX} values"))?;
        records.push(record);
        Ok(())
    };
    match layout {
        Layout::Csv => read_csv(body, &mut keep)?,
        Layout::JsonLines => read_lines(body, shape, &mut keep)?,
    }
    let Some(first) = records.first() else { return Err("there are no records".to_owned()) };
    if let Some(other) = records.iter().position(|record| record.len() != first.len()) {
        let (found, wanted) = (records[other].len(), first.len());
        return Err(format!("record {} has {found} features, but record 1 has {wanted}", other + 1));
    }
    Ok(records)
}

type Keep<'a> = dyn FnMut(Record) -> Result<(), String> + 'a;

fn read_csv(body: &[u8], keep: &mut Keep<'_>) -> Result<(), String> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(body);
    for (index, row) in reader.records().enumerate() {
        let row = row.map_err(|_| format!("record {} is not CSV in UTF-8", index + 1))?;
        keep(row.iter().map(|cell| Feature::Cell(cell.into())).collect())?;
    }
    Ok(())
}

fn read_lines(body: &[u8], shape: &Shape, keep: &mut Keep<'_>) -> Result<(), String> {
    let text = std::str::from_utf8(body).map_err(|_| "the records are not UTF-8".to_owned())?;
    for (index, line) in text.lines().filter(|line| !line.trim().is_empty()).enumerate() {
        keep(features_of(line, shape).map_err(|why| format!("record {}: {why}", index + 1))?)?;
    }
    Ok(())
}

fn features_of(line: &str, shape: &Shape) -> Result<Record, String> {
    let value: Value = serde_json::from_str(line).map_err(|error| format!("it is not JSON: {error}"))?;
    let features = match &shape.features {
        None => value,
        // A list of features alone is what baselines hold.
        Some(_) if value.is_array() => value,
        Some(path) => path.search(&value).map_err(|why| format!("FeaturesAttribute {path}: {why}"))?,
    };
    match features {
        Value::Array(features) => Ok(features.into_iter().map(Feature::Json).collect()),
        _ => Err(match &shape.features {
            None => "it is not a list of features; say with FeaturesAttribute where the list is".to_owned(),
            Some(path) => format!("FeaturesAttribute {path} finds no list of features"),
        }),
    }
}

/// Writes one record, without a line end.
pub fn write<'a>(features: impl Iterator<Item = &'a Feature>, layout: Layout, shape: &Shape, body: &mut Vec<u8>) {
    let begin = body.len();
    if let (Layout::JsonLines, Some(template)) = (layout, &shape.template) {
        body.extend_from_slice(template.before.as_bytes());
    }
    if layout == Layout::JsonLines {
        body.push(b'[');
    }
    for (index, feature) in features.enumerate() {
        if index > 0 {
            body.push(b',');
        }
        match layout {
            Layout::Csv => feature.write_cell(body),
            Layout::JsonLines => feature.write_json(body),
        }
    }
    if layout == Layout::JsonLines {
        body.push(b']');
    }
    if let (Layout::JsonLines, Some(template)) = (layout, &shape.template) {
        body.extend_from_slice(template.after.as_bytes());
    }
    if body.len() == begin {
        // A blank line would be no record.
        body.extend_from_slice(b"\"\"");
    }
}
