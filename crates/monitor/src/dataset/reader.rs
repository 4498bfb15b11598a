//! Objects in, batches out.
//!
//! A reader is fed whole objects (captured lines or CSV) in any number and hands full batches to a sink. What it could
//! not use it counts in the [`Tally`], with the first [`MAX_DESCRIBED`] described.

use std::collections::BTreeMap;

use captura_names::Timestamp;
use serde::Serialize;

use super::batch::{Batch, Builder, Call, Columns};
use super::body::{self, Body};
use super::cell::Cell;
use super::layout::Layout;
use super::record::CapturedRecord;
use super::{MAX_COLUMNS, MAX_ROW_BYTES, csv_rows};

/// Bad records that are described one by one; all are counted.
pub const MAX_DESCRIBED: usize = 100;
/// Different row widths that are told apart; further ones count as the widest.
const MAX_WIDTHS: usize = 64;

/// Whether a CSV file begins with the names of its columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Header {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// It does when all cells of its first line are different texts, none of them empty or a number.
    #[default]
    Auto,
}

/// What is known about a data set before it is read.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Its columns, from a baseline or a signature. Without them the first good row decides.
    pub columns: Option<Columns>,
    /// Whether batches carry the call of each row.
    pub with_calls: bool,
}

/// How cells found their columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Matching {
    /// There was nothing to match with.
    #[default]
    Unmatched,
    /// By the place in the row, output columns first.
    ByPosition,
    /// By names in the header or in the bodies.
    ByName,
}

/// Why a record is not in the data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BadRecord {
    /// Object it stands in.
    pub source: String,
    /// Line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// The account of what was read: `records = used + bad + unanswered`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    /// Captured records, or rows of CSV files.
    pub records: u64,
    /// Records whose rows are in the data set.
    pub used: u64,
    /// Rows in the data set.
    pub rows: u64,
    /// Records that could not be used.
    pub bad: u64,
    /// Calls that the model did not answer; there is nothing to analyse in them.
    pub unanswered: u64,
    /// The first bad records.
    pub described: Vec<BadRecord>,
    /// Rows by their number of cells, those that did not fit included.
    pub widths: BTreeMap<usize, u64>,
    /// How cells found their columns.
    pub matching: Matching,
    /// Names that no column has, with their rows.
    pub strangers: BTreeMap<String, u64>,
    /// Columns that no row filled, when matched by name.
    pub never_seen: Vec<String>,
    /// Columns that turned out to hold text after numbers: read again with them declared as text for exact texts.
    pub promoted: Vec<String>,
    /// The columns, as they ended.
    pub columns: Columns,
}

/// Reads objects into batches.
pub struct Reader<F: FnMut(Batch)> {
    plan: Plan,
    sink: F,
    state: Option<State>,
    tally: Tally,
}

struct State {
    builder: Builder,
    layout: Layout,
}

impl<F: FnMut(Batch)> Reader<F> {
    /// Starts a data set; full batches go to `sink`, the last one at [`Reader::finish`].
    pub fn new(plan: Plan, sink: F) -> Self {
        let state = plan.columns.clone().map(|columns| State::new(columns, plan.with_calls));
        Self { plan, sink, state, tally: Tally::default() }
    }

    /// Reads captured JSON lines; `source` names them in descriptions.
    pub fn captures(&mut self, source: &str, bytes: &[u8]) {
        let mut start = 0;
        let ends = memchr::memchr_iter(b'\n', bytes).chain(std::iter::once(bytes.len()));
        for (index, end) in ends.enumerate() {
            let line = &bytes[start..end];
            start = end + 1;
            if line.trim_ascii().is_empty() {
                continue;
            }
            self.tally.records += 1;
            match self.capture(line) {
                Ok(true) => self.tally.used += 1,
                Ok(false) => self.tally.unanswered += 1,
                Err(reason) => self.describe(source, index as u64 + 1, reason),
            }
        }
    }

    /// Reads a CSV file; `source` names it in descriptions.
    pub fn csv(&mut self, source: &str, bytes: &[u8], header: Header) {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                self.tally.records += 1;
                let line = memchr::memchr_iter(b'\n', &bytes[..error.valid_up_to()]).count() as u64 + 1;
                return self.describe(source, line, "the file is not UTF-8".into());
            }
        };
        let mut number = 0_u64;
        let outcome = csv_rows::each_row(text, |cells| {
            number += 1;
            if number == 1 && is_header(&cells, header) {
                self.csv_header(cells.iter().map(|cell| cell.trim().to_owned()).collect());
                return Ok(());
            }
            self.tally.records += 1;
            match self.row_of_texts(&cells) {
                Ok(()) => self.tally.used += 1,
                Err(reason) => self.describe(source, number, reason),
            }
            Ok(())
        });
        if let Err(reason) = outcome {
            self.tally.records += 1;
            self.describe(source, number + 1, reason);
        }
    }

    /// Hands out the last batch and the account.
    pub fn finish(mut self) -> Tally {
        let Some(mut state) = self.state else { return self.tally };
        if let Some(batch) = state.builder.take() {
            (self.sink)(batch);
        }
        let columns = state.builder.columns();
        let of = |flags: &[bool], wanted: bool| -> Vec<String> {
            columns.names.iter().zip(flags).filter(|(_, flag)| **flag == wanted).map(|(name, _)| name.clone()).collect()
        };
        self.tally.promoted = of(&state.builder.promoted(), true);
        if state.layout.named.contains(&true) {
            self.tally.never_seen = of(&state.layout.named, false);
        }
        self.tally.strangers = std::mem::take(&mut state.layout.strangers);
        self.tally.columns = columns;
        self.tally
    }

    fn capture(&mut self, line: &[u8]) -> Result<bool, String> {
        let record = CapturedRecord::parse(line)?;
        if !record.answered() {
            return Ok(false);
        }
        let call = if self.plan.with_calls { call_of(&record) } else { Call::default() };
        let (output, input) = body::bodies(&record)?;
        if let Some(lines) = plain_lines(output.as_ref(), input.as_ref()) {
            let lines = lines.into_iter().flatten();
            let width = lines.clone().map(cells_of).sum();
            self.check_row(width, line.len())?;
            let State { builder, .. } = self.state_for(|| Columns::numbered(width))?;
            if width == builder.width() {
                builder.push_lines(lines, call);
                return self.end_record(width, 1).map(|()| true);
            }
            return Err(self.misfit(width, 1));
        }
        let rows = body::paired(output.as_ref(), input.as_ref())?;
        self.push_rows(rows, line.len(), call).map(|()| true)
    }

    fn push_rows(&mut self, rows: Vec<body::Row<'_>>, bytes: usize, call: Call<'_>) -> Result<(), String> {
        let first = rows.first().ok_or("the bodies hold no rows")?;
        let width = first.cells.len();
        self.check_row(width, bytes)?;
        let names = || first.names.iter().enumerate().map(|(i, name)| name.clone().unwrap_or_else(|| format!("_c{i}")));
        let columns = || if first.names.is_empty() { Columns::numbered(width) } else { Columns::named(names()) };
        let state = self.state_for(columns)?;
        let expected = state.builder.width();
        let mut placed: Vec<Vec<Cell<'_>>> = Vec::with_capacity(rows.len());
        let mut by_name = false;
        for row in rows {
            let laid = if row.names.is_empty() { None } else { state.layout.place(&row.names, row.cells.clone()) };
            by_name |= laid.is_some();
            let cells = laid.unwrap_or(row.cells);
            if cells.len() != expected {
                let width = cells.len();
                return Err(self.misfit(width, 1));
            }
            placed.push(cells);
        }
        let count = placed.len() as u64;
        for (row, cells) in (0..).zip(&placed) {
            state.builder.push_cells(cells.iter(), Call { row, ..call });
        }
        if by_name {
            self.tally.matching = Matching::ByName;
        }
        self.end_record(expected, count)
    }

    fn row_of_texts(&mut self, cells: &csv_rows::TextRow<'_>) -> Result<(), String> {
        let width = cells.len();
        self.check_row(width, cells.iter().map(|cell| cell.len()).sum())?;
        let State { builder, .. } = self.state_for(|| Columns::numbered(width))?;
        if width != builder.width() {
            return Err(self.misfit(width, 1));
        }
        builder.push_texts(cells.iter().map(AsRef::as_ref), Call::default());
        self.end_record(width, 1)
    }

    /// Names from a header: they win when nothing is known, or when they name at least one known column; else the
    /// known columns are kept by position.
    fn csv_header(&mut self, names: Vec<String>) {
        let with_calls = self.plan.with_calls;
        if names.len() > MAX_COLUMNS {
            return;
        }
        let fresh = Columns::named(names);
        match &mut self.state {
            None => {
                self.tally.matching = Matching::ByName;
                self.state = Some(State::new(fresh, with_calls));
            }
            Some(state) if self.tally.rows == 0 => {
                let known = state.builder.columns();
                if fresh.names.iter().any(|name| known.names.contains(name)) {
                    let text = known.names.iter().zip(&known.text).filter(|(_, text)| **text);
                    let columns = fresh.with_text(text.map(|(name, _)| name.as_str()));
                    self.tally.matching = Matching::ByName;
                    *state = State::new(columns, with_calls);
                }
            }
            Some(_) => {}
        }
    }

    fn check_row(&self, width: usize, bytes: usize) -> Result<(), String> {
        if width > MAX_COLUMNS {
            return Err(format!("the row has {width} columns, more than {MAX_COLUMNS}"));
        }
        if bytes > MAX_ROW_BYTES {
            return Err(format!("the row has {bytes} bytes, more than {MAX_ROW_BYTES}"));
        }
        Ok(())
    }

    fn state_for(&mut self, columns: impl FnOnce() -> Columns) -> Result<&mut State, String> {
        let with_calls = self.plan.with_calls;
        Ok(self.state.get_or_insert_with(|| State::new(columns(), with_calls)))
    }

    fn misfit(&mut self, width: usize, rows: u64) -> String {
        self.count_width(width, rows);
        let expected = self.state.as_ref().map_or(0, |state| state.builder.width());
        format!("the row has {width} columns, the data set {expected}")
    }

    fn end_record(&mut self, width: usize, rows: u64) -> Result<(), String> {
        self.count_width(width, rows);
        self.tally.rows += rows;
        if self.tally.matching == Matching::Unmatched {
            self.tally.matching = Matching::ByPosition;
        }
        if let Some(state) = self.state.as_mut()
            && state.builder.is_full()
            && let Some(batch) = state.builder.take()
        {
            (self.sink)(batch);
        }
        Ok(())
    }

    fn count_width(&mut self, width: usize, rows: u64) {
        let widths = &mut self.tally.widths;
        let known = widths.contains_key(&width) || widths.len() < MAX_WIDTHS;
        let width = if known { width } else { *widths.keys().next_back().expect("our bug: there are widths") };
        *widths.entry(width).or_default() += rows;
    }

    fn describe(&mut self, source: &str, line: u64, reason: String) {
        self.tally.bad += 1;
        if self.tally.described.len() < MAX_DESCRIBED {
            self.tally.described.push(BadRecord { source: source.to_owned(), line, reason });
        }
    }
}

impl State {
    fn new(columns: Columns, with_calls: bool) -> Self {
        Self { layout: Layout::new(&columns), builder: Builder::new(columns, with_calls) }
    }
}

/// How many cells there are in a line of CSV without quotes.
fn cells_of(line: &str) -> usize {
    // In sums of bytes, so that many are compared at once.
    let commas = |bytes: &[u8]| bytes.iter().fold(0_u8, |sum, &byte| sum.wrapping_add(u8::from(byte == b',')));
    line.as_bytes().chunks(COUNTED_BYTES).map(|chunk| usize::from(commas(chunk))).sum::<usize>() + 1
}

/// Bytes whose commas are counted in one byte.
const COUNTED_BYTES: usize = 128;

/// The lines of a call whose bodies are one plain CSV line each; a side that was not captured has none.
fn plain_lines<'b>(output: Option<&'b Body<'_>>, input: Option<&'b Body<'_>>) -> Option<[Option<&'b str>; 2]> {
    let line = |body: Option<&'b Body<'_>>| match body {
        Some(body) => body.plain_csv_line().map(Some),
        None => Some(None),
    };
    Some([line(output)?, line(input)?])
}

fn call_of<'a>(record: &'a CapturedRecord<'a>) -> Call<'a> {
    let metadata = &record.event_metadata;
    Call {
        event_id: metadata.event_id.as_ref().map(|text| text.0.as_ref()),
        inference_id: metadata.inference_id.as_ref().map(|text| text.0.as_ref()),
        inference_time: metadata.inference_time.as_ref().and_then(|text| Timestamp::parse(&text.0).ok()),
        consumer: record.captura.as_ref().and_then(|own| own.consumer.as_ref()).map(|text| text.0.as_ref()),
        row: 0,
    }
}

/// Whether a first line names the columns.
pub(crate) fn is_header(cells: &csv_rows::TextRow<'_>, header: Header) -> bool {
    match header {
        Header::Yes => true,
        Header::No => false,
        Header::Auto => {
            let mut seen = std::collections::HashSet::new();
            cells.iter().all(|cell| matches!(super::number(cell), super::Parsed::Text) && seen.insert(cell.trim()))
        }
    }
}
