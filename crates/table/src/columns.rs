//! Columns that every table has, filled row by row.
//!
//! Invariant: all columns have the same length, and stand in the order of their definition.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Float64Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_schema::{DataType, Field, TimeUnit};

use crate::call::{Call, Identity};

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    Text,
    Whole,
    Double,
    Boolean,
    Bytes,
    Time,
}

impl Type {
    fn data_type(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Whole => DataType::Int64,
            Self::Double => DataType::Float64,
            Self::Boolean => DataType::Boolean,
            Self::Bytes => DataType::Binary,
            Self::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }
}

/// Who called what, and how it ended: in both halves of a table.
const IDENTITY: [(&str, Type); 17] = [
    ("event_id", Type::Text),
    ("inference_id", Type::Text),
    ("lsn_node", Type::Whole),
    ("lsn_epoch", Type::Whole),
    ("lsn_n", Type::Whole),
    ("event_time", Type::Time),
    ("variant", Type::Text),
    ("model", Type::Text),
    ("endpoint_config", Type::Text),
    ("consumer_id", Type::Text),
    ("principal", Type::Text),
    ("source_address", Type::Text),
    ("user_agent", Type::Text),
    ("outcome", Type::Text),
    ("status_code", Type::Whole),
    ("sampling_probability", Type::Double),
    ("redaction_policy", Type::Text),
];

/// What a call took and how large it was, in the half with a row for each call.
const MEASURES: [(&str, Type); 9] = [
    ("target_model", Type::Text),
    ("custom_attributes", Type::Text),
    ("model_latency_us", Type::Whole),
    ("total_latency_us", Type::Whole),
    ("request_bytes", Type::Whole),
    ("response_bytes", Type::Whole),
    ("request_content_type", Type::Text),
    ("response_content_type", Type::Text),
    ("truncated", Type::Boolean),
];

const BODIES: [(&str, Type); 2] = [("request_raw", Type::Bytes), ("response_raw", Type::Bytes)];

enum Column {
    Text(StringBuilder),
    Whole(Int64Builder),
    Double(Float64Builder),
    Boolean(BooleanBuilder),
    Bytes(BinaryBuilder),
    Time(TimestampMicrosecondBuilder),
}

impl Column {
    // Without room to begin with: there may be many tables open with few rows each.
    fn new(of: Type) -> Self {
        match of {
            Type::Text => Self::Text(StringBuilder::with_capacity(0, 0)),
            Type::Whole => Self::Whole(Int64Builder::with_capacity(0)),
            Type::Double => Self::Double(Float64Builder::with_capacity(0)),
            Type::Boolean => Self::Boolean(BooleanBuilder::with_capacity(0)),
            Type::Bytes => Self::Bytes(BinaryBuilder::with_capacity(0, 0)),
            Type::Time => Self::Time(TimestampMicrosecondBuilder::with_capacity(0).with_timezone("UTC")),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Text(builder) => Arc::new(builder.finish()),
            Self::Whole(builder) => Arc::new(builder.finish()),
            Self::Double(builder) => Arc::new(builder.finish()),
            Self::Boolean(builder) => Arc::new(builder.finish()),
            Self::Bytes(builder) => Arc::new(builder.finish()),
            Self::Time(builder) => Arc::new(builder.finish()),
        }
    }
}

/// Columns that are filled from left to right, a row at a time; those that nobody wants stay empty.
pub(crate) struct Sheet {
    defined: Vec<(&'static str, Type)>,
    columns: Vec<Column>,
    kept: Vec<bool>,
    at: usize,
    bytes: u64,
}

impl Sheet {
    pub(crate) fn new(defined: impl IntoIterator<Item = (&'static str, Type)>) -> Self {
        let defined: Vec<_> = defined.into_iter().collect();
        let columns = defined.iter().map(|(_, of)| Column::new(*of)).collect();
        let kept = vec![true; defined.len()];
        Self { defined, columns, kept, at: 0, bytes: 0 }
    }

    /// Fills only the columns that are `wanted`.
    pub(crate) fn keep(&mut self, wanted: impl Fn(&str) -> bool) {
        self.kept = self.defined.iter().map(|(name, _)| wanted(name)).collect();
    }

    pub(crate) fn identity() -> impl Iterator<Item = (&'static str, Type)> {
        IDENTITY.into_iter()
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = Field> + '_ {
        let kept = self.defined.iter().zip(&self.kept).filter(|(_, kept)| **kept);
        kept.map(|((name, of), _)| Field::new(*name, of.data_type(), true))
    }

    pub(crate) fn finish(&mut self) -> Vec<ArrayRef> {
        assert_eq!(self.at, 0, "our bug: rows are filled to their end");
        self.bytes = 0;
        self.columns.iter_mut().zip(&self.kept).filter(|(_, kept)| **kept).map(|(column, _)| column.finish()).collect()
    }

    /// About how much memory the rows take, bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The column whose turn it is, unless nobody wants it.
    fn next(&mut self, bytes: usize) -> Option<&mut Column> {
        let at = self.at;
        self.at = (at + 1) % self.columns.len();
        if !self.kept[at] {
            return None;
        }
        self.bytes += bytes as u64 + 4;
        Some(&mut self.columns[at])
    }

    pub(crate) fn text(&mut self, value: Option<&str>) {
        match self.next(value.map_or(0, str::len)) {
            Some(Column::Text(builder)) => builder.append_option(value),
            None => {}
            Some(_) => unreachable!("our bug: the column holds no text"),
        }
    }

    fn event_id(&mut self, value: Identity<'_>) {
        const LENGTH: usize = 36;
        let value = match value {
            Identity::Parsed(value) => value,
            Identity::Said(text) => return self.text(Some(text)),
        };
        match self.next(LENGTH) {
            Some(Column::Text(builder)) => {
                write!(builder, "{value}").expect("our bug: a builder takes every write");
                builder.append_value("");
            }
            None => {}
            Some(_) => unreachable!("our bug: the column holds no text"),
        }
    }

    pub(crate) fn whole(&mut self, value: Option<i64>) {
        match self.next(8) {
            Some(Column::Whole(builder)) => builder.append_option(value),
            None => {}
            Some(_) => unreachable!("our bug: the column holds no whole numbers"),
        }
    }

    fn count(&mut self, value: Option<u64>) {
        self.whole(value.map(|value| i64::try_from(value).unwrap_or(i64::MAX)));
    }

    fn double(&mut self, value: Option<f64>) {
        match self.next(8) {
            Some(Column::Double(builder)) => builder.append_option(value),
            None => {}
            Some(_) => unreachable!("our bug: the column holds no doubles"),
        }
    }

    fn boolean(&mut self, value: bool) {
        match self.next(1) {
            Some(Column::Boolean(builder)) => builder.append_value(value),
            None => {}
            Some(_) => unreachable!("our bug: the column holds no truths"),
        }
    }

    fn body(&mut self, value: Option<&[u8]>) {
        match self.next(value.map_or(0, <[u8]>::len)) {
            Some(Column::Bytes(builder)) => builder.append_option(value),
            None => {}
            Some(_) => unreachable!("our bug: the column holds no bytes"),
        }
    }

    fn time(&mut self, unix_us: i64) {
        match self.next(8) {
            Some(Column::Time(builder)) => builder.append_value(unix_us),
            None => {}
            Some(_) => unreachable!("our bug: the column holds no times"),
        }
    }

    /// Fills the columns of [`Sheet::identity`].
    pub(crate) fn push_identity(&mut self, call: &Call<'_>) {
        self.event_id(call.event_id);
        self.text(call.inference_id);
        self.whole(call.lsn.map(|lsn| i64::from(lsn.node)));
        self.whole(call.lsn.map(|lsn| i64::from(lsn.epoch)));
        self.count(call.lsn.map(|lsn| lsn.n));
        self.time(call.arrived_at.unix_us());
        self.text(call.variant);
        self.text(call.model);
        self.text(call.endpoint_config);
        self.text(call.consumer);
        self.text(call.principal);
        let address = call.source_address.filter(|_| self.kept[self.at]);
        self.text(address.map(|address| address.to_string()).as_deref());
        self.text(call.user_agent);
        self.text(call.outcome);
        self.whole(call.status.map(i64::from));
        self.double(call.sampling_probability);
        self.text(call.redaction_policy);
    }
}

/// A row for each call.
pub(crate) struct Calls {
    sheet: Sheet,
    bodies: bool,
}

impl Calls {
    pub(crate) fn new(bodies: bool) -> Self {
        let kept = BODIES.into_iter().filter(|_| bodies);
        Self { sheet: Sheet::new(IDENTITY.into_iter().chain(MEASURES).chain(kept)), bodies }
    }

    pub(crate) fn sheet(&mut self) -> &mut Sheet {
        &mut self.sheet
    }

    /// Whether a column is wanted that needs the bodies.
    pub(crate) fn needs_bodies(&self) -> bool {
        let needs = |name: &str| name == "truncated" || BODIES.iter().any(|(body, _)| *body == name);
        self.sheet.fields().any(|field| needs(field.name()))
    }

    pub(crate) fn push(&mut self, call: &Call<'_>) {
        self.sheet.push_identity(call);
        let sheet = &mut self.sheet;
        sheet.text(call.target_model);
        sheet.text(call.custom_attributes);
        sheet.count(call.model_latency_us);
        sheet.count(call.total_latency_us);
        sheet.count(call.request_size_bytes);
        sheet.count(call.response_size_bytes);
        sheet.text(call.request.and_then(|side| side.content_type));
        sheet.text(call.response.and_then(|side| side.content_type));
        sheet.boolean(call.truncated);
        if self.bodies {
            sheet.body(call.request.map(|side| side.body));
            sheet.body(call.response.map(|side| side.body));
        }
    }
}
