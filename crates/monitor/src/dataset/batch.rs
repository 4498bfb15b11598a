//! Rows into Arrow: a `Float64` column while every cell is a number, a `Utf8` column once a column is known to hold text.
//!
//! How a number was written (`3` or `3.0`) is lost in a double, so each column carries the counts of whole numbers,
//! fractions and texts beside it. A number column that meets its first text becomes text for the rest of the data set
//! and is reported in [`Builder::promoted`]: whoever needs exact texts of the rows before starts again with that column
//! declared as text, so that the outcome does not depend on where batches were cut.
//!
//! Invariant: all columns of a batch have the same length; the counts of a column and its nulls sum to that length.

use std::sync::Arc;

use arrow_array::builder::{StringBuilder, TimestampMicrosecondBuilder, UInt32Builder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use captura_names::Timestamp;
use serde::{Deserialize, Serialize};

use super::cell::Cell;
use super::column::Column;
use super::digits::Line;
use super::staging::Staging;
use crate::artefact::java_double;

/// Rows of one batch.
pub const BATCH_ROWS: usize = 8192;
/// Text of one batch, bytes; a batch is cut early beyond it. With [`super::MAX_ROW_BYTES`] it keeps Arrow's 32-bit
/// offsets from overflowing.
const BATCH_TEXT_BYTES: usize = 64 << 20;
/// Cells of one batch: with very many columns it has fewer rows, so that it stays below 32 MiB of numbers.
const BATCH_CELLS: usize = 4 << 20;
/// Rows of one batch at the least, however many columns there are.
const BATCH_ROWS_MIN: usize = 32;

/// The columns of a data set, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
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

impl Kinds {
    pub(super) fn count_number(&mut self, integral: bool) {
        *(if integral { &mut self.integral } else { &mut self.fractional }) += 1;
    }
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
pub struct Call<'a> {
    /// Identity.
    pub event_id: Option<&'a str>,
    /// The caller's own name for it.
    pub inference_id: Option<&'a str>,
    /// When it arrived.
    pub inference_time: Option<Timestamp>,
    /// Who called.
    pub consumer: Option<&'a str>,
    /// Which of the rows of the call it is, from 0.
    pub row: u32,
}

/// Collects rows into batches.
pub(crate) struct Builder {
    names: Vec<String>,
    schema: Arc<Schema>,
    columns: Vec<Column>,
    /// Whether a column holds text.
    has_text: bool,
    staging: Staging,
    rows: usize,
    rows_max: usize,
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
        Self {
            schema: schema_of(&columns),
            columns: columns.text.iter().map(|&text| Column::new(text)).collect(),
            has_text: columns.text.contains(&true),
            staging: Staging::new(columns.len()),
            rows: 0,
            rows_max: (BATCH_CELLS / columns.len().max(1)).clamp(BATCH_ROWS_MIN, BATCH_ROWS),
            text_bytes: 0,
            calls: with_calls.then(Calls::new),
            names: columns.names,
        }
    }

    /// The same, with as many rows in a batch as if there were so many columns.
    pub(crate) fn cut_as_of(mut self, width: usize) -> Self {
        self.rows_max = (BATCH_CELLS / width.max(1)).clamp(BATCH_ROWS_MIN, BATCH_ROWS);
        // Of very many columns, growing each little by little takes longer than filling them.
        self.columns.iter_mut().for_each(|column| column.expect(self.rows_max));
        self
    }

    /// Whether a column holds text, so that rows of numbers alone are not taken.
    pub(crate) fn has_text(&self) -> bool {
        self.has_text
    }

    /// How many columns there are.
    pub(crate) fn width(&self) -> usize {
        self.columns.len()
    }

    /// Names of the columns.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The columns, with those as text that have become it.
    pub(crate) fn columns(&self) -> Columns {
        Columns { names: self.names.clone(), text: self.columns.iter().map(Column::is_text).collect() }
    }

    /// Columns that turned out to hold text after numbers had been taken in.
    pub(crate) fn promoted(&self) -> Vec<bool> {
        self.columns.iter().map(Column::is_promoted).collect()
    }

    /// Adds a row of lines, one behind the other, where every cell and every column is of numbers and there is one for each;
    /// answers whether it was added.
    pub(crate) fn push_numbers<'b>(&mut self, lines: impl Iterator<Item = Line<'b>>, call: Call<'_>) -> bool {
        if self.has_text || !self.staging.take(lines) {
            return false;
        }
        if self.staging.is_full() {
            self.staging.move_into(&mut self.columns);
        }
        self.end_row(0, 0, call);
        true
    }

    /// Adds a row of lines of CSV without quotes, one behind the other; the caller has checked that there is a cell for each
    /// column.
    pub(crate) fn push_lines<'c>(&mut self, lines: impl Iterator<Item = &'c str>, call: Call<'_>) {
        self.staging.move_into(&mut self.columns);
        let mut columns = self.columns.iter_mut();
        let mut text_bytes = 0;
        for line in lines {
            let mut at = 0;
            while at <= line.len() {
                let column = columns.next().expect("our bug: rows are checked for their width before they are pushed");
                let (end, held) = column.push_at(line, at);
                at = end + 1;
                text_bytes += held;
            }
        }
        let left = columns.len();
        self.end_row(left, text_bytes, call);
    }

    /// Adds a row of cells as text; the caller has checked that there is one per column.
    pub(crate) fn push_texts<'c>(&mut self, cells: impl ExactSizeIterator<Item = &'c str>, call: Call<'_>) {
        self.staging.move_into(&mut self.columns);
        let left = self.columns.len().abs_diff(cells.len());
        let pushed = self.columns.iter_mut().zip(cells).map(|(column, text)| column.push_text_of(text)).sum();
        self.end_row(left, pushed, call);
    }

    /// Adds a row of classified cells; the caller has checked that there is one per column.
    pub(crate) fn push_cells<'c, 't: 'c>(
        &mut self,
        cells: impl ExactSizeIterator<Item = &'c Cell<'t>>,
        call: Call<'_>,
    ) {
        self.staging.move_into(&mut self.columns);
        let left = self.columns.len().abs_diff(cells.len());
        let mut has_text = self.has_text;
        let push = |(column, cell): (&mut Column, &'c Cell<'t>)| {
            has_text |= matches!(cell, Cell::Text(_));
            column.push(cell)
        };
        let pushed = self.columns.iter_mut().zip(cells).map(push).sum();
        self.has_text = has_text;
        self.end_row(left, pushed, call);
    }

    /// Whether a batch is full and should be taken.
    pub(crate) fn is_full(&self) -> bool {
        self.rows >= self.rows_max || self.text_bytes >= BATCH_TEXT_BYTES
    }

    /// Takes the rows collected so far; `None` when there are none.
    pub(crate) fn take(&mut self) -> Option<Batch> {
        if self.rows == 0 {
            return None;
        }
        let rows = self.rows;
        self.staging.move_into(&mut self.columns);
        let (arrays, kinds): (Vec<ArrayRef>, Vec<Kinds>) =
            self.columns.iter_mut().map(|column| column.take(rows)).unzip();
        if self.schema.fields().iter().zip(&arrays).any(|(field, array)| field.data_type() != array.data_type()) {
            self.schema = schema_of(&self.columns());
        }
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), arrays).expect("our bug: columns match the schema");
        (self.rows, self.text_bytes) = (0, 0);
        Some(Batch { rows, kinds, calls: self.calls.as_mut().map(Calls::finish) })
    }

    fn end_row(&mut self, left: usize, text_bytes: usize, call: Call<'_>) {
        assert_eq!(left, 0, "our bug: rows are checked for their width before they are pushed");
        self.rows += 1;
        self.text_bytes += text_bytes;
        self.has_text |= text_bytes > 0;
        if let Some(calls) = &mut self.calls {
            calls.push(call);
        }
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
