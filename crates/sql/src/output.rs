//! Answers as bytes: CSV, JSON Lines, Parquet; and as texts for a table that a person reads.

use std::io::Write;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::Compression;
use datafusion::parquet::file::properties::WriterProperties;

use crate::error::SqlError;

/// Rows of a row group of Parquet at most.
const ROW_GROUP_ROWS: usize = 128 * 1024;
/// Bytes of a row group of Parquet at most.
const ROW_GROUP_BYTES: usize = 64 << 20;
/// How times are written: RFC 3339.
const TIME_FORMAT: &str = "%Y-%m-%dT%H:%M:%S%.fZ";

/// A form of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// With a header; null is an empty cell.
    Csv,
    /// An object a line; null is a member that is there and null.
    Json,
    /// With Snappy.
    Parquet,
}

/// Writes batches of an answer.
pub struct Writer<W: Write + Send>(Form<W>);

enum Form<W: Write + Send> {
    Csv(Box<datafusion::arrow::csv::Writer<W>>),
    Json(Box<datafusion::arrow::json::LineDelimitedWriter<W>>),
    Parquet(Box<ArrowWriter<W>>),
}

impl<W: Write + Send> Writer<W> {
    /// Begins an answer of this schema.
    ///
    /// # Errors
    /// When the schema cannot be written in this form.
    pub fn new(format: Format, out: W, schema: &SchemaRef) -> Result<Self, SqlError> {
        Ok(Self(match format {
            Format::Csv => {
                let builder = datafusion::arrow::csv::WriterBuilder::new().with_header(true);
                let builder = builder.with_timestamp_tz_format(TIME_FORMAT.to_owned());
                let mut writer = builder.build(out);
                // So that an answer without rows has its header, too.
                writer.write(&RecordBatch::new_empty(std::sync::Arc::clone(schema))).map_err(failed)?;
                Form::Csv(Box::new(writer))
            }
            Format::Json => {
                let builder = datafusion::arrow::json::WriterBuilder::new().with_explicit_nulls(true);
                Form::Json(Box::new(builder.build::<_, datafusion::arrow::json::writer::LineDelimited>(out)))
            }
            Format::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::SNAPPY)
                    .set_created_by(concat!("captura ", env!("CARGO_PKG_VERSION")).to_owned())
                    .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
                    .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
                    .build();
                let schema = std::sync::Arc::clone(schema);
                Form::Parquet(Box::new(ArrowWriter::try_new(out, schema, Some(properties)).map_err(failed)?))
            }
        }))
    }

    /// Writes a batch.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), SqlError> {
        match &mut self.0 {
            Form::Csv(writer) => writer.write(batch).map_err(failed),
            Form::Json(writer) => writer.write(batch).map_err(failed),
            Form::Parquet(writer) => writer.write(batch).map_err(failed),
        }
    }

    /// Ends the answer.
    ///
    /// # Errors
    /// When the rest cannot be written.
    pub fn finish(self) -> Result<W, SqlError> {
        let mut out = match self.0 {
            Form::Csv(writer) => writer.into_inner(),
            Form::Json(mut writer) => {
                writer.finish().map_err(failed)?;
                writer.into_inner()
            }
            Form::Parquet(writer) => writer.into_inner().map_err(failed)?,
        };
        out.flush().map_err(failed)?;
        Ok(out)
    }
}

fn failed(error: impl std::fmt::Display) -> SqlError {
    SqlError::Write(error.to_string())
}

/// The cells of a batch as texts, at most `rows` rows; null is `NULL`.
///
/// # Errors
/// When a type cannot be shown.
pub fn texts(batch: &RecordBatch, rows: usize) -> Result<Vec<Vec<String>>, SqlError> {
    let options = FormatOptions::default().with_null("NULL").with_timestamp_tz_format(Some(TIME_FORMAT));
    let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options));
    let columns = columns.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let row = |row: usize| columns.iter().map(|column| column.value(row).to_string()).collect();
    Ok((0..batch.num_rows().min(rows)).map(row).collect())
}
