//! Columns to the bytes of a Parquet file, and back for merging.
//!
//! Snappy, because everything reads it and it needs no C code; timestamps are microseconds in UTC; strings are UTF-8.
//! Bodies have neither dictionary nor statistics: they are long, and seldom equal or compared.
//!
//! Invariant: same batches, same bytes.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::{RecordBatch, StringArray};
use arrow_schema::Schema;
use bytes::Bytes;
use captura_names::EventId;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::layout::Kind;

/// Version of the columns, in each file under the key `captura.version`. Version 1 had other names (`consumer`, `status`,
/// `request_size_bytes`, `request_body` and their like) and no `redaction_policy`.
pub(crate) const TABLE_VERSION: &str = "2";
const VERSION_KEY: &str = "captura.version";
/// Rows of a row group at most: what a reader takes in at once.
const ROW_GROUP_ROWS: usize = 128 * 1024;
/// Bytes of a row group at most, so that bodies do not make it large.
const ROW_GROUP_BYTES: usize = 64 << 20;
/// Rows that are read at once when files are merged.
const READ_ROWS: usize = 1024;
/// Columns that hold bodies.
const BODIES: [&str; 2] = ["request_raw", "response_raw"];

fn properties(kind: Kind, endpoint: &str) -> WriterProperties {
    let pair = |key: &str, value: &str| KeyValue::new(key.to_owned(), value.to_owned());
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by(concat!("captura ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .set_key_value_metadata(Some(vec![
            pair(VERSION_KEY, TABLE_VERSION),
            pair("captura.table", kind.as_str()),
            pair("captura.endpoint", endpoint),
        ]))
        // Every value is another one.
        .set_column_dictionary_enabled(ColumnPath::from("event_id"), false);
    for body in BODIES {
        let column = ColumnPath::from(body);
        properties = properties
            .set_column_dictionary_enabled(column.clone(), false)
            .set_column_statistics_enabled(column, EnabledStatistics::None);
    }
    properties.build()
}

/// A file in the making.
pub(crate) struct Writer(ArrowWriter<Vec<u8>>);

impl Writer {
    pub(crate) fn new(kind: Kind, endpoint: &str, schema: Arc<Schema>) -> Result<Self, ParquetError> {
        let options =
            ArrowWriterOptions::new().with_properties(properties(kind, endpoint)).with_skip_arrow_metadata(true);
        ArrowWriter::try_new_with_options(Vec::new(), schema, options).map(Self)
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), ParquetError> {
        self.0.write(batch)
    }

    pub(crate) fn finish(self) -> Result<Bytes, ParquetError> {
        self.0.into_inner().map(Bytes::from)
    }
}

/// Version of a file's columns.
pub(crate) fn version(bytes: Bytes) -> Result<Option<String>, ParquetError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let metadata = builder.metadata().file_metadata().key_value_metadata();
    let own = metadata.into_iter().flatten().find(|pair| pair.key == VERSION_KEY);
    Ok(own.and_then(|pair| pair.value.clone()))
}

/// Reads a file: its schema, and its rows batch by batch.
pub(crate) fn read(bytes: Bytes) -> Result<(Arc<Schema>, ParquetRecordBatchReader), ParquetError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?.with_batch_size(READ_ROWS);
    Ok((Arc::clone(builder.schema()), builder.build()?))
}

/// The file without the rows of these calls; `None` when it has none of them. Everything else stays as it was, in its order.
pub(crate) fn without(bytes: &Bytes, calls: &BTreeSet<EventId>) -> Result<Option<Bytes>, ParquetError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes.clone())?.with_batch_size(READ_ROWS);
    let metadata = builder.metadata().file_metadata().key_value_metadata().cloned().unwrap_or_default();
    let value = |name: &str| metadata.iter().find(|pair| pair.key == name).and_then(|pair| pair.value.clone());
    let no_table = || ParquetError::General("it is no file of an invocation table".into());
    let kind = value("captura.table").and_then(|name| Kind::ALL.into_iter().find(|kind| kind.as_str() == name));
    let (kind, endpoint) = kind.zip(value("captura.endpoint")).ok_or_else(no_table)?;
    let mut writer = Writer::new(kind, &endpoint, Arc::clone(builder.schema()))?;
    let mut taken = 0;
    for batch in builder.build()? {
        let batch = batch?;
        let ids = batch.column_by_name("event_id").and_then(|ids| ids.as_any().downcast_ref::<StringArray>());
        let ids = ids.ok_or_else(no_table)?;
        let is_meant = |row: usize| EventId::parse(ids.value(row)).is_some_and(|event_id| calls.contains(&event_id));
        let mut from = 0;
        for row in (0..batch.num_rows()).filter(|row| is_meant(*row)) {
            if row > from {
                writer.write(&batch.slice(from, row - from))?;
            }
            (from, taken) = (row + 1, taken + 1);
        }
        if from < batch.num_rows() {
            writer.write(&batch.slice(from, batch.num_rows() - from))?;
        }
    }
    if taken == 0 { Ok(None) } else { writer.finish().map(Some) }
}
