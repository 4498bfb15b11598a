//! Rows into Arrow: a `Float64` column while every cell is a number, a `Utf8` column once a column is known to hold text.
//!
//! How a number was written (`3` or `3.0`) is lost in a double, so each column carries the counts of whole numbers,
//! fractions and texts beside it. A number column that meets its first text becomes text for the rest of the data set
//! and is reported in [`Builder::promoted`]: whoever needs exact texts of the rows before starts again with that column
//! declared as text, so that the outcome does not depend on where batches were cut.
//!
//! Invariant: all columns of a batch have the same length; the counts of a column and its nulls sum to that length.

use std::sync::Arc;

use arrow_array::builder::{Float64Builder, StringBuilder, TimestampMicrosecondBuilder, UInt32Builder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use captura_names::Timestamp;

use super::cell::{Cell, Parsed, number};
use crate::artefact::java_double;

/// Rows of one batch.
pub const BATCH_ROWS: usize = 8192;
/// Text of one batch, bytes; a batch is cut early beyond it. With [`super::MAX_ROW_BYTES`] it keeps Arrow's 32-bit
/// offsets from overflowing.
const BATCH_TEXT_BYTES: usize = 64 << 20;

/// The columns of a data set, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Columns {
    /// Their names; different from each other.
    pub names: Vec<String>,
    /// Which of them are kept as text whatever their cells look like.
    pub text: Vec<bool>,
}

impl Columns {
    /// Columns of these names, none declared as text. Repeated names get `_2`, `_3`, ….
    #[must_use]
    pub fn named(names: impl IntoIterator<Item = String>) -> Self {
        let mut unique: Vec<String> = Vec::new();
        let mut taken = std::collections::HashSet::new();
        for name in names {
            let fresh = std::iter::once(name.clone())
                .chain((2..).map(|n| format!("{name}_{n}")))
                .find(|candidate| !taken.contains(candidate))
                .expect("our bug: numbers do not run out");
            taken.insert(fresh.clone());
            unique.push(fresh);
        }
        let text = vec![false; unique.len()];
        Self { names: unique, text }
    }

    /// `_c0`, `_c1`, …: what columns without a name are called.
    #[must_use]
    pub fn numbered(count: usize) -> Self {
        Self::named((0..count).map(|i| format!("_c{i}")))
    }

    /// Declares the columns of these names as text; names it does not have are ignored.
    #[must_use]
    pub fn with_text<'n>(mut self, names: impl IntoIterator<Item = &'n str>) -> Self {
        let wanted: std::collections::HashSet<&str> = names.into_iter().collect();
        for (name, text) in self.names.iter().zip(&mut self.text) {
            *text |= wanted.contains(name.as_str());
        }
        self
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

/// How the present cells of a column were written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kinds {
    /// Whole numbers.
    pub integral: u64,
    /// Numbers with fraction or exponent.
    pub fractional: u64,
    /// Anything else.
    pub text: u64,
}

/// A batch of rows.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The cells: `Float64` or `Utf8`, nullable.
    pub rows: RecordBatch,
    /// Per column, how its cells were written.
    pub kinds: Vec<Kinds>,
    /// Per row, the call it came from: `event_id`, `consumer`, `inference_id` (`Utf8`),
    /// `inference_time` (microseconds, UTC), and which row of the call it is, from 0, as `row_of_call`. Present when asked for.
    pub calls: Option<RecordBatch>,
}

/// The call a row came from.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Call<'a> {
    /// Identity.
    pub(super) event_id: Option<&'a str>,
    /// The caller's own name for it.
    pub(super) inference_id: Option<&'a str>,
    /// When it arrived.
    pub(super) inference_time: Option<Timestamp>,
    /// Who called.
    pub(super) consumer: Option<&'a str>,
    /// Which of the rows of the call it is, from 0.
    pub(super) row: u32,
}

enum Buffer {
    Number(Float64Builder),
    Text(StringBuilder),
}

/// Collects rows into batches.
pub(crate) struct Builder {
    columns: Columns,
    schema_changed: bool,
    schema: Arc<Schema>,
    buffers: Vec<Buffer>,
    kinds: Vec<Kinds>,
    promoted: Vec<bool>,
    rows: usize,
    text_bytes: usize,
    calls: Option<Calls>,
}

struct Calls {
    schema: Arc<Schema>,
    event_id: StringBuilder,
    inference_id: StringBuilder,
    consumer: StringBuilder,
    inference_time: TimestampMicrosecondBuilder,
    row_of_call: UInt32Builder,
}

impl Calls {
    fn new() -> Self {
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let schema = Schema::new(vec![
            Field::new("event_id", DataType::Utf8, true),
            Field::new("consumer", DataType::Utf8, true),
            Field::new("inference_time", time, true),
            Field::new("inference_id", DataType::Utf8, true),
            Field::new("row_of_call", DataType::UInt32, false),
        ]);
        Self {
            schema: Arc::new(schema),
            event_id: StringBuilder::new(),
            inference_id: StringBuilder::new(),
            consumer: StringBuilder::new(),
            inference_time: TimestampMicrosecondBuilder::new().with_timezone("UTC"),
            row_of_call: UInt32Builder::new(),
        }
    }

    fn push(&mut self, call: Call<'_>) {
        self.event_id.append_option(call.event_id);
        self.inference_id.append_option(call.inference_id);
        self.consumer.append_option(call.consumer);
        self.inference_time.append_option(call.inference_time.map(Timestamp::unix_us));
        self.row_of_call.append_value(call.row);
    }

    fn finish(&mut self) -> RecordBatch {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.event_id.finish()),
            Arc::new(self.consumer.finish()),
            Arc::new(self.inference_time.finish()),
            Arc::new(self.inference_id.finish()),
            Arc::new(self.row_of_call.finish()),
        ];
        RecordBatch::try_new(Arc::clone(&self.schema), columns).expect("our bug: calls match their schema")
    }
}

impl Builder {
    pub(crate) fn new(columns: Columns, with_calls: bool) -> Self {
        let count = columns.len();
        let mut builder = Self {
            schema: schema_of(&columns),
            schema_changed: false,
            buffers: Vec::new(),
            kinds: vec![Kinds::default(); count],
            promoted: vec![false; count],
            rows: 0,
            text_bytes: 0,
            calls: with_calls.then(Calls::new),
            columns,
        };
        builder.buffers = builder.fresh_buffers();
        builder
    }

    pub(crate) fn columns(&self) -> &Columns {
        &self.columns
    }

    /// Columns that turned out to hold text after numbers had been taken in.
    pub(crate) fn promoted(&self) -> &[bool] {
        &self.promoted
    }

    /// Adds a row of cells as text; the caller has checked that there is one per column.
    pub(crate) fn push_texts<'c>(&mut self, cells: impl Iterator<Item = &'c str>, call: Call<'_>) {
        let mut pushed = 0;
        for (column, text) in cells.enumerate() {
            match number(text) {
                Parsed::Blank => self.push_missing(column),
                Parsed::Number { value, integral } => self.push_number(column, value, integral, text),
                Parsed::Text => self.push_text(column, text),
            }
            pushed += 1;
        }
        self.end_row(pushed, call);
    }

    /// Adds a row of classified cells; the caller has checked that there is one per column.
    pub(crate) fn push_cells<'c, 't: 'c>(&mut self, cells: impl Iterator<Item = &'c Cell<'t>>, call: Call<'_>) {
        let mut pushed = 0;
        for (column, cell) in cells.enumerate() {
            match cell {
                Cell::Missing => self.push_missing(column),
                Cell::Number { value, integral, text } => self.push_number(column, *value, *integral, text),
                Cell::Text(text) => self.push_text(column, text),
            }
            pushed += 1;
        }
        self.end_row(pushed, call);
    }

    /// Whether a batch is full and should be taken.
    pub(crate) fn is_full(&self) -> bool {
        self.rows >= BATCH_ROWS || self.text_bytes >= BATCH_TEXT_BYTES
    }

    /// Takes the rows collected so far; `None` when there are none.
    pub(crate) fn take(&mut self) -> Option<Batch> {
        if self.rows == 0 {
            return None;
        }
        if std::mem::take(&mut self.schema_changed) {
            self.schema = schema_of(&self.columns);
        }
        let arrays = self
            .buffers
            .iter_mut()
            .map(|buffer| match buffer {
                Buffer::Number(builder) => Arc::new(builder.finish()) as ArrayRef,
                Buffer::Text(builder) => Arc::new(builder.finish()) as ArrayRef,
            })
            .collect();
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), arrays).expect("our bug: buffers match the schema");
        (self.rows, self.text_bytes) = (0, 0);
        let kinds = std::mem::replace(&mut self.kinds, vec![Kinds::default(); self.columns.len()]);
        Some(Batch { rows, kinds, calls: self.calls.as_mut().map(Calls::finish) })
    }

    fn push_missing(&mut self, column: usize) {
        match &mut self.buffers[column] {
            Buffer::Number(builder) => builder.append_null(),
            Buffer::Text(builder) => builder.append_null(),
        }
    }

    fn push_number(&mut self, column: usize, value: f64, integral: bool, text: &str) {
        let kinds = &mut self.kinds[column];
        *(if integral { &mut kinds.integral } else { &mut kinds.fractional }) += 1;
        match &mut self.buffers[column] {
            Buffer::Number(builder) => builder.append_value(value),
            Buffer::Text(builder) => {
                builder.append_value(text);
                self.text_bytes += text.len();
            }
        }
    }

    fn push_text(&mut self, column: usize, text: &str) {
        self.kinds[column].text += 1;
        if let Buffer::Number(builder) = &mut self.buffers[column] {
            let mut texts = StringBuilder::new();
            let numbers = builder.finish();
            numbers.iter().for_each(|number| texts.append_option(number.map(number_text)));
            self.buffers[column] = Buffer::Text(texts);
            self.promoted[column] = true;
            self.columns.text[column] = true;
            self.schema_changed = true;
        }
        if let Buffer::Text(builder) = &mut self.buffers[column] {
            builder.append_value(text);
            self.text_bytes += text.len();
        }
    }

    fn end_row(&mut self, pushed: usize, call: Call<'_>) {
        assert_eq!(pushed, self.columns.len(), "our bug: rows are checked for their width before they are pushed");
        self.rows += 1;
        if let Some(calls) = &mut self.calls {
            calls.push(call);
        }
    }

    fn fresh_buffers(&self) -> Vec<Buffer> {
        let buffer = |&text: &bool| {
            if text { Buffer::Text(StringBuilder::new()) } else { Buffer::Number(Float64Builder::new()) }
        };
        self.columns.text.iter().map(buffer).collect()
    }
}

fn schema_of(columns: &Columns) -> Arc<Schema> {
    let field =
        |(name, &text): (&String, &bool)| Field::new(name, if text { DataType::Utf8 } else { DataType::Float64 }, true);
    Arc::new(Schema::new(columns.names.iter().zip(&columns.text).map(field).collect::<Vec<_>>()))
}

/// Text of a number whose own text is gone: whole numbers without a fraction.
pub(crate) fn number_text(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 { format!("{}", value as i64) } else { java_double(value) }
}

#[cfg(test)]
mod tests {
    use arrow_array::Array;
    use arrow_array::cast::AsArray;
    use arrow_array::types::Float64Type;

    use super::*;

    #[test]
    fn numbers_become_doubles_and_keep_their_kinds() {
        let mut builder = Builder::new(Columns::numbered(2), false);
        for row in [["1", "2.5"], ["", "3"]] {
            builder.push_texts(row.into_iter(), Call::default());
        }
        let batch = builder.take().unwrap();
        let first = batch.rows.column(0).as_primitive::<Float64Type>();
        assert_eq!((first.value(0), first.is_null(1)), (1.0, true));
        assert_eq!(batch.kinds[1], Kinds { integral: 1, fractional: 1, text: 0 });
        assert!(builder.take().is_none());
    }

    #[test]
    fn the_first_text_turns_a_column_into_text_for_good() {
        let mut builder = Builder::new(Columns::numbered(1), false);
        for text in ["7", "2.0", "", "x"] {
            builder.push_texts([text].into_iter(), Call::default());
        }
        let batch = builder.take().unwrap();
        let texts: Vec<Option<&str>> = batch.rows.column(0).as_string::<i32>().iter().collect();
        assert_eq!(texts, [Some("7"), Some("2"), None, Some("x")]);
        assert_eq!(builder.promoted(), [true]);
        builder.push_texts(["007"].into_iter(), Call::default());
        assert_eq!(builder.take().unwrap().rows.column(0).as_string::<i32>().value(0), "007");
    }

    #[test]
    fn repeated_names_stay_apart() {
        let columns = Columns::named(["a", "a", "a_2", "b"].map(String::from));
        assert_eq!(columns.names, ["a", "a_2", "a_2_2", "b"]);
    }
}
