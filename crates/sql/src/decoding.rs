//! Records to batches in the columns that a question wants.
//!
//! Invariant: batches have the schema that was asked for, whatever object they come from; a column that an object's model
//! does not have is null. Refuses to: decode what no wanted column needs.

use std::collections::BTreeMap;
use std::sync::Arc;

use captura_archive::rendering::ColumnNames;
use captura_capture::record::{Field as Feature, Signature};
use captura_monitor::dataset::{Body, Naming, plain_row, record::Encoding};
use captura_table::Kind;
use captura_table::lines::{CapturedColumns, PlainColumns, Unread};
use datafusion::arrow::array::{
    ArrayRef, AsArray as _, Date32Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray, new_null_array,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimestampMicrosecondType};

use crate::pieces::{Framing, Object};

/// Folders of the table, which are columns as Hive's readers have them.
pub(crate) const ENDPOINT: &str = "endpoint";
pub(crate) const DATE: &str = "date";
pub(crate) const HOUR: &str = "hour";
pub(crate) const EVENT_TIME: &str = "event_time";
pub(crate) const VARIANT: &str = "variant";
const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;

/// What the objects of a table hold.
#[derive(Debug)]
pub(crate) enum Form {
    /// Captured lines, in one half of the invocation table's columns.
    Captured {
        kind: Kind,
        /// Of each endpoint; that of `""` is for all others.
        signatures: BTreeMap<String, Signature>,
        names: ColumnNames,
        naming: Arc<Naming>,
    },
    /// Rows of files.
    Plain { columns: Vec<Feature>, framing: Framing, has_header: bool },
}

impl Form {
    pub(crate) fn framing(&self) -> Framing {
        match self {
            Self::Captured { .. } => Framing::Lines,
            Self::Plain { framing, .. } => *framing,
        }
    }

    /// Whether files begin with the names of their columns.
    pub(crate) fn has_header(&self) -> bool {
        matches!(self, Self::Plain { has_header: true, .. })
    }

    /// All columns of the table.
    pub(crate) fn schema(&self) -> SchemaRef {
        let mut fields: Vec<Field> = Vec::new();
        match self {
            Self::Captured { kind, signatures, names, .. } => {
                for signature in signatures.values() {
                    for field in CapturedColumns::new(*kind, signature, *names).fields() {
                        if !fields.iter().any(|known| known.name() == field.name()) {
                            fields.push(field);
                        }
                    }
                }
                fields.push(Field::new(ENDPOINT, DataType::Utf8, true));
                fields.push(Field::new(DATE, DataType::Date32, true));
                fields.push(Field::new(HOUR, DataType::Int64, true));
            }
            Self::Plain { columns, .. } => fields = PlainColumns::new(columns).fields(),
        }
        Arc::new(Schema::new(fields))
    }

    /// Whether the wanted columns need bodies; files have none.
    pub(crate) fn needs_bodies(&self, wanted: &Schema) -> bool {
        let Self::Captured { kind, names, .. } = self else { return false };
        let none = Signature { inputs: Vec::new(), outputs: Vec::new() };
        CapturedColumns::new(*kind, &none, *names).keeping(|name| wanted.index_of(name).is_ok()).needs_bodies()
    }

    /// Whether records of both objects may stand in one batch.
    pub(crate) fn goes_on(&self, last: &Object, next: &Object) -> bool {
        match self {
            Self::Captured { .. } => endpoint(last) == endpoint(next),
            Self::Plain { .. } => true,
        }
    }

    /// Begins to decode records of an object.
    pub(crate) fn begin(&self, object: &Object, wanted: &SchemaRef) -> Decoder {
        let wants = |name: &str| wanted.index_of(name).is_ok();
        let with_time = wants(DATE) || wants(HOUR);
        let columns = match self {
            Self::Captured { kind, signatures, names, naming } => {
                let own = endpoint(object).and_then(|endpoint| signatures.get(endpoint)).or_else(|| signatures.get(""));
                let none = Signature { inputs: Vec::new(), outputs: Vec::new() };
                let columns = CapturedColumns::new(*kind, own.unwrap_or(&none), *names).called_by(naming);
                let columns = columns.keeping(|name| wants(name) || (with_time && name == EVENT_TIME));
                Columns::Captured(Box::new(columns))
            }
            Self::Plain { columns, framing, .. } => {
                let plain = PlainColumns::new(columns).keeping(wants);
                let names = columns.iter().map(|column| column.name.clone()).collect();
                Columns::Plain { columns: Box::new(plain), framing: *framing, names, header: None }
            }
        };
        Decoder { columns, wanted: Arc::clone(wanted), endpoint: endpoint(object).map(str::to_owned) }
    }
}

fn endpoint(object: &Object) -> Option<&str> {
    object.key.as_ref().map(|key| key.endpoint.as_str())
}

enum Columns {
    Captured(Box<CapturedColumns>),
    Plain {
        columns: Box<PlainColumns>,
        framing: Framing,
        names: Vec<String>,
        /// Names of this file's columns, where they stand in another order than the table's.
        header: Option<Vec<Option<String>>>,
    },
}

/// Decodes records of objects that go on from each other.
pub(crate) struct Decoder {
    columns: Columns,
    wanted: SchemaRef,
    endpoint: Option<String>,
}

impl Decoder {
    /// The first record of a CSV file, where it is a header.
    pub(crate) fn header(&mut self, record: &[u8]) {
        if let Columns::Plain { names, header, .. } = &mut self.columns {
            let own = header_names(record);
            *header = (own != *names).then(|| own.into_iter().map(Some).collect());
        }
    }

    /// Adds a record. Blank lines are none.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub(crate) fn push(&mut self, object: &Object, record: &[u8]) -> Result<(), String> {
        match &mut self.columns {
            Columns::Captured(columns) => {
                let variant = object.key.as_ref().map(|key| key.variant.as_str());
                columns.push(record, variant).map(|_| ())
            }
            Columns::Plain { columns, framing: Framing::Lines, .. } => columns.push(&plain_row(record)?),
            Columns::Plain { columns, header, .. } => {
                let text = std::str::from_utf8(record).map_err(|_| "the row is not UTF-8".to_owned())?;
                let Some(header) = header else {
                    let mut outcome = Ok(());
                    columns.push_csv(text, |_, reason| outcome = Err(reason));
                    return outcome;
                };
                let body = Body::travelled(Encoding::Csv, None, text.as_bytes())?;
                for (row, _) in captura_monitor::dataset::pairs(Some(&body), None)? {
                    let Some(mut row) = row else { continue };
                    if row.cells.len() != header.len() {
                        return Err(format!("the row has {} values, its header {}", row.cells.len(), header.len()));
                    }
                    row.names.clone_from(header);
                    columns.push(&row)?;
                }
                Ok(())
            }
        }
    }

    pub(crate) fn rows(&self) -> usize {
        match &self.columns {
            Columns::Captured(columns) => columns.rows(),
            Columns::Plain { columns, .. } => columns.rows(),
        }
    }

    pub(crate) fn size_bytes(&mut self) -> u64 {
        match &mut self.columns {
            Columns::Captured(columns) => columns.size_bytes(),
            Columns::Plain { columns, .. } => columns.size_bytes(),
        }
    }

    pub(crate) fn unread(&self) -> Unread {
        match &self.columns {
            Columns::Captured(columns) => columns.unread(),
            Columns::Plain { columns, .. } => columns.unread().clone(),
        }
    }

    /// Takes the rows, `None` when there are none.
    pub(crate) fn take(&mut self) -> Option<RecordBatch> {
        let rows = self.rows();
        if rows == 0 {
            return None;
        }
        let (fields, arrays) = match &mut self.columns {
            Columns::Captured(columns) => (columns.fields(), columns.take()),
            Columns::Plain { columns, .. } => (columns.fields(), columns.take()),
        };
        let made = |name: &str| fields.iter().position(|field| field.name() == name).map(|at| Arc::clone(&arrays[at]));
        let column = |field: &Arc<Field>| -> ArrayRef {
            if let Some(array) = made(field.name()) {
                return array;
            }
            match (field.name().as_str(), &self.endpoint, made(EVENT_TIME)) {
                (ENDPOINT, Some(endpoint), _) => {
                    Arc::new(StringArray::from_iter_values(std::iter::repeat_n(endpoint, rows)))
                }
                (DATE, _, Some(times)) => Arc::new(dates(&times)),
                (HOUR, _, Some(times)) => Arc::new(hours(&times)),
                _ => new_null_array(field.data_type(), rows),
            }
        };
        let columns = self.wanted.fields().iter().map(column).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.wanted), columns, &options);
        Some(batch.expect("our bug: columns are as the schema says"))
    }
}

fn dates(times: &ArrayRef) -> Date32Array {
    let times = times.as_primitive::<TimestampMicrosecondType>();
    times.iter().map(|at| at.map(|at| i32::try_from(at.div_euclid(DAY_US)).unwrap_or_default())).collect()
}

fn hours(times: &ArrayRef) -> Int64Array {
    let times = times.as_primitive::<TimestampMicrosecondType>();
    times.iter().map(|at| at.map(|at| at.rem_euclid(DAY_US) / HOUR_US)).collect()
}

/// The names in a CSV header; an empty one is called by its place, a repeated one gets `_2`, `_3`, ….
pub(crate) fn header_names(record: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(record.strip_prefix(b"\xef\xbb\xbf").unwrap_or(record));
    let body = Body::travelled(Encoding::Csv, None, text.as_bytes());
    let rows = body.as_ref().ok().and_then(|body| captura_monitor::dataset::pairs(Some(body), None).ok());
    let Some((Some(row), _)) = rows.unwrap_or_default().into_iter().next() else { return Vec::new() };
    let name = |(place, cell): (usize, &captura_monitor::dataset::Cell<'_>)| match cell {
        captura_monitor::dataset::Cell::Missing => format!("_c{place}"),
        captura_monitor::dataset::Cell::Number { text, .. } | captura_monitor::dataset::Cell::Text(text) => {
            text.trim().to_owned()
        }
    };
    captura_monitor::dataset::Columns::named(row.cells.iter().enumerate().map(name)).names
}
