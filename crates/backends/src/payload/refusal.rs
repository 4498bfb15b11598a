//! Why a request does not suit: the words that the caller reads.

use bytes::Bytes;
use captura_route::BackendError;

/// A request that does not suit. Rows and columns count from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The content type is none that can be decoded (415).
    #[error("content type {given:?} is not supported; send text/csv, application/json or application/jsonlines")]
    ContentType {
        /// As the caller sent it.
        given: String,
    },
    /// The type asked for is none that can be answered (406).
    #[error("cannot answer as {given:?}; accept text/csv, application/json or application/jsonlines")]
    Accept {
        /// As the caller sent it.
        given: String,
    },
    /// Nothing was sent.
    #[error("the body holds no rows; send at least one")]
    Empty,
    /// The body is not CSV.
    #[error("the body is not CSV: {0}")]
    Csv(String),
    /// The body is not JSON, or not of a shape that makes a table.
    #[error("the JSON body cannot be read: {0}")]
    Json(String),
    /// One line of a JSON Lines body cannot be read.
    #[error("line {line} of the JSON Lines body cannot be read: {reason}")]
    JsonLine {
        /// Which line.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// One line of a libsvm body cannot be read.
    #[error("line {line} of the libsvm body cannot be read: {reason}")]
    LibsvmLine {
        /// Which line.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// As a container that the model stands for words it, with its status.
    #[error("{message}")]
    Container {
        /// The container's status.
        status: u16,
        /// Its words.
        message: String,
    },
    /// Rows differ in width.
    #[error("row {row} has {found}, but row 1 has {expected}; every row needs the same columns", found = columns(*found), expected = columns(*expected))]
    Ragged {
        /// The first row that differs.
        row: usize,
        /// Its columns.
        found: usize,
        /// Columns of the first row.
        expected: usize,
    },
    /// The rows are too wide or too narrow for the model.
    #[error("the rows have {found}, but the model takes {expected}{hint}", found = columns(*found), expected = columns(*expected))]
    Width {
        /// Columns sent.
        found: usize,
        /// Columns of the model.
        expected: usize,
        /// More words, starting with `;`, or nothing.
        hint: String,
    },
    /// A column of the model is not among the named columns.
    #[error("column {name:?} is missing; the body names {given}")]
    MissingColumn {
        /// The model's name for it.
        name: String,
        /// What the body names, shortened.
        given: String,
    },
    /// A column is named twice.
    #[error("column {name:?} is named twice")]
    RepeatedColumn {
        /// The name.
        name: String,
    },
    /// A column is an array where the model takes one value.
    #[error("column {name:?} holds several values a row, but the model takes one")]
    SeveralValues {
        /// The name.
        name: String,
    },
    /// Text stands where the model needs a number.
    #[error("row {row}, column {column}{name}: {text:?} is not a number{hint}", name = in_brackets(name.as_deref()))]
    NotANumber {
        /// Which row.
        row: usize,
        /// Which column.
        column: usize,
        /// The column's name, where the model or the body names it.
        name: Option<String>,
        /// The text, shortened.
        text: String,
        /// More words, starting with `;`, or nothing.
        hint: String,
    },
    /// A number stands where the model cannot take it.
    #[error("row {row}, column {column}{name}: {reason}", name = in_brackets(name.as_deref()))]
    Value {
        /// Which row.
        row: usize,
        /// Which column.
        column: usize,
        /// The column's name, where the model or the body names it.
        name: Option<String>,
        /// What is wrong.
        reason: String,
    },
    /// The table would be far larger than its body.
    #[error("the body stands for more than {limit} cells; send fewer rows at a time")]
    TooManyCells {
        /// The limit.
        limit: usize,
    },
}

impl Refusal {
    /// The HTTP status of the refusal: 415, 406, a container's own, or 400.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::ContentType { .. } => 415,
            Self::Accept { .. } => 406,
            Self::Container { status, .. } => *status,
            _ => 400,
        }
    }
}

impl From<Refusal> for BackendError {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        Self::Model { status: refusal.status(), body: Bytes::copy_from_slice(message.as_bytes()), message }
    }
}

fn columns(count: usize) -> String {
    if count == 1 { "1 column".into() } else { format!("{count} columns") }
}

fn in_brackets(name: Option<&str>) -> String {
    name.map(|name| format!(" ({name})")).unwrap_or_default()
}

/// Text quoted in an error, cut at 60 characters: an error is a sentence, not an echo.
pub(super) fn shortened(text: &str) -> String {
    const LONGEST: usize = 60;
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(LONGEST).collect();
    short.push('…');
    short
}
