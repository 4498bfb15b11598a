//! A Parquet file to rows of cells, its columns by name.
//!
//! Numbers of all widths are numbers, also decimal ones; truths, times, lists and structures are the text that Arrow writes of
//! them; texts stay texts, whatever they look like.
//!
//! Invariant: rows come in the order of the file; a file that cannot be read is one bad record. Refuses to: flatten
//! structures.

use std::borrow::Cow;

use arrow_array::RecordBatch;
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{ArrowError, DataType};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::body::Row;
use super::cell::{Cell, Parsed, number};
use super::reader::Reader;
use super::sink::Sink;

/// Rows that are decoded at once.
const READ_ROWS: usize = 1024;

impl<S: Sink> Reader<S> {
    /// Reads a Parquet file; `source` names it in descriptions. Answers how many rows it has.
    pub fn parquet(&mut self, source: &str, bytes: &[u8]) -> u64 {
        let mut rows = 0;
        each_row(bytes, |row| {
            rows += 1;
            self.row(source, rows, row, 0);
        });
        rows
    }
}

/// Gives out the rows of a file, or why the next one is none and there are no more.
pub(super) fn each_row(bytes: &[u8], mut each: impl FnMut(Result<Row<'static>, String>)) {
    let file = Bytes::copy_from_slice(bytes);
    let opened = ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(|builder| builder.with_batch_size(READ_ROWS).build())
        .map_err(|error| error.to_string());
    let batches = match opened {
        Ok(batches) => batches,
        Err(reason) => return each(Err(format!("not Parquet: {reason}"))),
    };
    for batch in batches {
        let taken = batch.and_then(|batch| {
            let columns = Columns::of(&batch)?;
            (0..batch.num_rows()).for_each(|row| each(Ok(columns.row(row))));
            Ok(())
        });
        if let Err(error) = taken {
            return each(Err(error.to_string()));
        }
    }
}

struct Columns<'b> {
    names: Vec<Option<String>>,
    shown: Vec<(ArrayFormatter<'b>, Kind)>,
    batch: &'b RecordBatch,
}

#[derive(Clone, Copy)]
enum Kind {
    Number,
    Other,
}

impl<'b> Columns<'b> {
    fn of(batch: &'b RecordBatch) -> Result<Self, ArrowError> {
        const SHOWN: FormatOptions<'_> = FormatOptions::new().with_display_error(true);
        let schema = batch.schema_ref();
        let names = schema.fields().iter().map(|field| Some(field.name().clone())).collect();
        let shown = batch.columns().iter().map(|column| {
            let of = match column.data_type() {
                DataType::Dictionary(_, of) => of,
                of => of,
            };
            let kind = if of.is_numeric() { Kind::Number } else { Kind::Other };
            ArrayFormatter::try_new(column, &SHOWN).map(|shown| (shown, kind))
        });
        Ok(Self { names, shown: shown.collect::<Result<_, _>>()?, batch })
    }

    fn row(&self, row: usize) -> Row<'static> {
        let cells = self.shown.iter().zip(self.batch.columns()).map(|((shown, kind), column)| {
            if column.is_null(row) {
                return Cell::Missing;
            }
            let text = shown.value(row).to_string();
            match (kind, number(&text)) {
                (Kind::Number, Parsed::Number { value, integral }) => {
                    Cell::Number { value, integral, text: Cow::Owned(text) }
                }
                // As in CSV: nothing is written there.
                _ if text.is_empty() => Cell::Missing,
                _ => Cell::Text(Cow::Owned(text)),
            }
        });
        Row { names: self.names.clone(), cells: cells.collect() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int32Array, StringArray, TimestampSecondArray};
    use parquet::arrow::ArrowWriter;

    use crate::dataset::{Batch, Plan, Reader, Tally};

    fn read(bytes: &[u8]) -> (Vec<String>, Tally) {
        let mut types = Vec::new();
        let mut reader = Reader::new(Plan::default(), |batch: Batch| {
            types.extend(
                batch.rows.schema().fields().iter().map(|field| format!("{} {}", field.name(), field.data_type())),
            );
        });
        reader.parquet("a.parquet", bytes);
        let tally = reader.finish();
        (types, tally)
    }

    #[test]
    fn columns_keep_their_names_and_numbers_are_told_from_texts() {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("n", Arc::new(Int32Array::from(vec![Some(1), None, Some(3)]))),
            ("x", Arc::new(Float64Array::from(vec![0.5, 1.0, f64::MAX]))),
            ("zip", Arc::new(StringArray::from(vec!["00123", "7", ""]))),
            ("yes", Arc::new(BooleanArray::from(vec![true, false, true]))),
            ("at", Arc::new(TimestampSecondArray::from(vec![0, 1, 2]))),
        ];
        let batch = arrow_array::RecordBatch::try_from_iter(columns).unwrap();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        let bytes = writer.into_inner().unwrap();
        let (types, tally) = read(&bytes);
        assert_eq!(types, ["n Float64", "x Float64", "zip Utf8", "yes Utf8", "at Utf8"]);
        assert_eq!((tally.records, tally.rows, tally.bad), (3, 3, 0));
        let (_, tally) = read(&bytes[..bytes.len() - 9]);
        assert!(tally.bad == 1 && tally.described[0].reason.contains("not Parquet"), "{:?}", tally.described);
    }
}
