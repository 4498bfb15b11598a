//! Records to objects: the seam behind which a format stands. Captured lines are one ([`crate::batch`]), tables another,
//! which the archive knows only from here.
//!
//! Invariant: what a renderer makes is a function of the records it was given and the plan it was made for.
//! Refuses to: know columns.

use std::collections::BTreeSet;
use std::fmt;

use bytes::Bytes;
use captura_capture::SegmentName;
use captura_capture::record::Record;
use captura_names::{EndpointName, EndpointPattern, EventId, S3Uri};
use serde::{Deserialize, Serialize};

use crate::batch::Rendered;

/// Turns the records of a segment into objects, in log order.
pub trait Renderer: Send {
    /// Adds a record; answers the objects that it completed.
    ///
    /// # Errors
    /// When the format cannot take what it was given; nothing of it can be relied on then.
    fn push(&mut self, record: &Record) -> Result<Vec<Rendered>, String>;

    /// Answers the objects that are still open, one at each call.
    ///
    /// # Errors
    /// As `push`.
    fn finish(&mut self) -> Result<Option<Rendered>, String>;
}

/// The format of tables.
pub trait TableFormat: Send + Sync + fmt::Debug {
    /// A renderer for one segment and one table.
    fn renderer(&self, plan: &TablePlan, segment: SegmentName) -> Box<dyn Renderer>;

    /// A file of a table without the rows of these calls; `None` when it has none of them.
    ///
    /// # Errors
    /// When it is no file of a table.
    fn without(&self, file: &Bytes, calls: &BTreeSet<EventId>) -> Result<Option<Bytes>, String>;
}

/// A table that is made beside captured objects. Stands in the plan of every segment, so that settings changed between two
/// attempts cannot change keys or bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TablePlan {
    /// Where it is.
    pub to: S3Uri,
    /// Which endpoints are in it.
    pub endpoints: Vec<EndpointPattern>,
    /// Whether bodies are in it as they travelled.
    pub bodies: bool,
    /// Whether it has a second part with a row for each row of a call, inputs and outputs decoded.
    pub rows: bool,
    /// How columns of inputs and outputs are named.
    pub columns: ColumnNames,
    /// Key for server-side encryption of its files, where its store is S3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
}

impl TablePlan {
    /// A table of all endpoints with everything in it.
    #[must_use]
    pub fn new(to: S3Uri) -> Self {
        let endpoints = vec![EndpointPattern::all()];
        Self { to, endpoints, bodies: true, rows: true, columns: ColumnNames::default(), kms_key_id: None }
    }

    /// Whether calls of the endpoint are in it.
    #[must_use]
    pub fn covers(&self, endpoint: &EndpointName) -> bool {
        self.endpoints.iter().any(|pattern| pattern.matches(endpoint))
    }
}

/// How columns of inputs and outputs are named.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ColumnNames {
    /// `in.Account Length`: the name as the model has it.
    #[default]
    Dotted,
    /// `in_account_length`: lower case letters, digits and underscores, which Athena and Hive need.
    Plain,
}
