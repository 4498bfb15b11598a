//! Several files into one, column by column.
//!
//! Columns are those of all files, in the order in which they first appear; a file that lacks one has nulls there. Columns
//! of the same name and another type do not go together.
//!
//! Invariant: all rows of all files, in their order. One batch of rows is in memory, beside the file that is made.

use std::sync::Arc;

use arrow_array::{RecordBatch, new_null_array};
use arrow_schema::{Field, Schema};
use bytes::Bytes;
use parquet::errors::ParquetError;

use crate::file::{TABLE_VERSION, Writer, read, version};
use crate::layout::Partition;

/// The columns of the files so far.
#[derive(Debug, Default)]
pub(crate) struct Merging {
    fields: Vec<Field>,
}

impl Merging {
    /// Adds the columns of a file; `false`, and nothing added, when they do not go with the others. Files whose columns have
    /// the names of another version stay as they are.
    pub(crate) fn takes(&mut self, bytes: Bytes) -> Result<bool, ParquetError> {
        if version(bytes.clone())?.as_deref() != Some(TABLE_VERSION) {
            return Ok(false);
        }
        let (schema, _) = read(bytes)?;
        let known = |field: &Field| self.fields.iter().find(|known| known.name() == field.name());
        let fits = |field: &Field| known(field).is_none_or(|known| known.data_type() == field.data_type());
        if !schema.fields().iter().all(|field| fits(field)) {
            return Ok(false);
        }
        let new: Vec<Field> =
            schema.fields().iter().filter(|field| known(field).is_none()).map(|field| (**field).clone()).collect();
        self.fields.extend(new);
        Ok(true)
    }

    /// Begins the file.
    pub(crate) fn writer(&self, partition: &Partition) -> Result<Writer, ParquetError> {
        Writer::new(partition.kind, &partition.endpoint, self.schema())
    }

    /// Adds the rows of a file.
    pub(crate) fn copy(&self, bytes: Bytes, writer: &mut Writer) -> Result<(), ParquetError> {
        let schema = self.schema();
        for batch in read(bytes)?.1 {
            let batch = batch?;
            let column = |field: &Arc<Field>| {
                let found = batch.column_by_name(field.name()).cloned();
                found.unwrap_or_else(|| new_null_array(field.data_type(), batch.num_rows()))
            };
            let columns = schema.fields().iter().map(column).collect();
            writer.write(&RecordBatch::try_new(Arc::clone(&schema), columns)?)?;
        }
        Ok(())
    }

    fn schema(&self) -> Arc<Schema> {
        Arc::new(Schema::new(self.fields.clone()))
    }
}
