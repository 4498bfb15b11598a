//! Lines as columns in memory, for whoever asks questions of them: captured lines in the columns of the table, and plain
//! rows (CSV, JSON Lines) in columns by their own names. Only the columns that are asked for are made.
//!
//! Invariant: the columns of a captured line are those that [`crate::export`] writes of it, in names, types and values.
//! Refuses to: find out what types there are; that is told by a signature.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_schema::Field;
use captura_archive::rendering::ColumnNames;
use captura_capture::record::{Field as Feature, Signature};
use captura_monitor::dataset::{Body, Naming, Row, pairs};

use crate::captured::Captured;
use crate::columns::Calls;
use crate::layout::Kind;
pub use crate::rows::Unread;
use crate::rows::{Rows, readable};
use crate::signature::features_as_named;
use crate::typed::Typed;

enum Half {
    Calls(Box<Calls>),
    Rows(Box<Rows>),
}

/// Captured lines of one model, in the columns of one half of the table.
pub struct CapturedColumns {
    half: Half,
    needs_bodies: bool,
    calls: usize,
}

impl CapturedColumns {
    /// The columns of `kind`; inputs and outputs as the signature says.
    #[must_use]
    pub fn new(kind: Kind, signature: &Signature, names: ColumnNames) -> Self {
        let half = match kind {
            Kind::Invocations => Half::Calls(Box::new(Calls::new(true))),
            Kind::Rows => Half::Rows(Box::new(Rows::new(Some(signature), names))),
        };
        Self { half, needs_bodies: true, calls: 0 }
    }

    /// Values are called by `naming` what the signature calls them.
    #[must_use]
    pub fn called_by(mut self, naming: &Arc<Naming>) -> Self {
        if let Half::Rows(rows) = &mut self.half {
            rows.call_by(Arc::clone(naming));
        }
        self
    }

    /// Makes only the columns that are `wanted`. Bodies that none of them needs are not decoded.
    #[must_use]
    pub fn keeping(mut self, wanted: impl Fn(&str) -> bool) -> Self {
        match &mut self.half {
            Half::Calls(calls) => {
                calls.sheet().keep(wanted);
                self.needs_bodies = calls.needs_bodies();
            }
            Half::Rows(rows) => rows.keep(wanted),
        }
        self
    }

    /// The columns that are made, in order.
    #[must_use]
    pub fn fields(&mut self) -> Vec<Field> {
        match &mut self.half {
            Half::Calls(calls) => calls.sheet().fields().collect(),
            Half::Rows(rows) => rows.fields(),
        }
    }

    /// Whether bodies are decoded.
    #[must_use]
    pub fn needs_bodies(&self) -> bool {
        self.needs_bodies
    }

    /// Adds a captured line of a variant. Answers whether it is a call: an erased record only keeps its place.
    ///
    /// # Errors
    /// Why it is no captured record; then nothing is added.
    pub fn push(&mut self, line: &[u8], variant: Option<&str>) -> Result<bool, String> {
        let Some(captured) = Captured::parse(line, self.needs_bodies)? else { return Ok(false) };
        let call = captured.call(variant);
        match &mut self.half {
            Half::Calls(calls) => {
                calls.push(&call);
                self.calls += 1;
            }
            Half::Rows(rows) => rows.push(&call),
        }
        Ok(true)
    }

    /// Rows that wait to be taken.
    #[must_use]
    pub fn rows(&self) -> usize {
        match &self.half {
            Half::Calls(_) => self.calls,
            Half::Rows(rows) => rows.len(),
        }
    }

    /// About how much memory they take, bytes.
    #[must_use]
    pub fn size_bytes(&mut self) -> u64 {
        match &mut self.half {
            Half::Calls(calls) => calls.sheet().bytes(),
            Half::Rows(rows) => rows.bytes(),
        }
    }

    /// Takes the rows, as columns in the order of [`CapturedColumns::fields`].
    #[must_use]
    pub fn take(&mut self) -> Vec<ArrayRef> {
        match &mut self.half {
            Half::Calls(calls) => {
                self.calls = 0;
                calls.sheet().finish()
            }
            Half::Rows(rows) => rows.finish(),
        }
    }

    /// What could not be decoded of all lines so far.
    #[must_use]
    pub fn unread(&self) -> Unread {
        match &self.half {
            Half::Calls(_) => Unread::default(),
            Half::Rows(rows) => rows.unread().clone(),
        }
    }
}

/// The rows of a captured line's bodies, request and answer, for finding out what they hold and what that is called. Calls that
/// the model did not answer and erased ones have none.
///
/// # Errors
/// Why there are no rows in it.
pub fn each_row(
    line: &[u8],
    naming: &Naming,
    mut each: impl FnMut(Option<&Row<'_>>, Option<&Row<'_>>),
) -> Result<(), String> {
    let Some(captured) = Captured::parse(line, true)? else { return Ok(()) };
    let call = captured.call(None);
    let (input, _) = readable("input", call.request);
    let (output, _) = readable("output", call.response.filter(|_| call.answered() && !call.truncated));
    for (mut output, mut input) in pairs(output.as_ref(), input.as_ref())? {
        input.iter_mut().for_each(|row| naming.name_input(row));
        output.iter_mut().for_each(|row| naming.name_output(row));
        each(input.as_ref(), output.as_ref());
    }
    Ok(())
}

/// Plain rows in columns by their own names.
pub struct PlainColumns {
    typed: Typed,
    width: usize,
    count: usize,
    unread: Unread,
}

impl PlainColumns {
    /// Columns of these names and types.
    #[must_use]
    pub fn new(columns: &[Feature]) -> Self {
        let typed = Typed::new("", features_as_named(columns));
        Self { typed, width: columns.len(), count: 0, unread: Unread::default() }
    }

    /// Makes only the columns that are `wanted`.
    #[must_use]
    pub fn keeping(mut self, wanted: impl Fn(&str) -> bool) -> Self {
        self.typed.keep(wanted);
        self
    }

    /// The columns that are made, in order.
    #[must_use]
    pub fn fields(&self) -> Vec<Field> {
        self.typed.fields().collect()
    }

    /// Adds a row; its cells find their columns by name where it has names, else by place.
    ///
    /// # Errors
    /// When it has not as many cells as there are columns; then nothing is added.
    pub fn push(&mut self, row: &Row<'_>) -> Result<(), String> {
        if row.names.is_empty() && row.cells.len() != self.width {
            return Err(self.misfit(row.cells.len()));
        }
        let taken = self.typed.push(Some(row));
        self.end(taken);
        Ok(())
    }

    /// Adds the rows of CSV text.
    ///
    /// `bad` is told the number of each row, from 0, that has not as many cells as there are columns, and why.
    pub fn push_csv(&mut self, text: &str, mut bad: impl FnMut(usize, String)) {
        let is_plain = memchr::memchr(b'"', text.as_bytes()).is_none();
        if is_plain {
            let lines = text.lines().filter(|line| !line.is_empty());
            for (number, line) in lines.enumerate() {
                if self.typed.is_of(line) {
                    let taken = self.typed.push_line(line);
                    self.end(taken);
                } else {
                    bad(number, self.misfit(line.split(',').count()));
                }
            }
            return;
        }
        let body = Body::travelled(captura_monitor::dataset::record::Encoding::Csv, None, text.as_bytes());
        let rows = body.as_ref().map_err(String::clone).and_then(|body| pairs(Some(body), None));
        match rows {
            Ok(rows) => {
                for (number, row) in rows.into_iter().filter_map(|(row, _)| row).enumerate() {
                    if let Err(reason) = self.push(&row) {
                        bad(number, reason);
                    }
                }
            }
            Err(reason) => bad(0, reason),
        }
    }

    fn misfit(&self, cells: usize) -> String {
        format!("the row has {cells} values, the table {} columns", self.width)
    }

    fn end(&mut self, taken: Result<(), String>) {
        self.count += 1;
        self.unread.note(taken.err().as_deref());
    }

    /// Rows that wait to be taken.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.count
    }

    /// About how much memory they take, bytes.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.typed.bytes()
    }

    /// Takes the rows, as columns in the order of [`PlainColumns::fields`].
    #[must_use]
    pub fn take(&mut self) -> Vec<ArrayRef> {
        self.count = 0;
        self.typed.finish().collect()
    }

    /// What could not be taken of all rows so far.
    #[must_use]
    pub fn unread(&self) -> &Unread {
        &self.unread
    }
}
