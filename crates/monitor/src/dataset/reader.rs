//! Objects in, batches out.
//!
//! A reader is fed objects (captured lines or CSV), or pieces of them that end with a row, in any number, and hands full
//! batches to a sink. What it could not use it counts in the [`Tally`], with the first [`super::MAX_DESCRIBED`] described.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use captura_names::Timestamp;

use super::batch::{Batch, Builder, Call, Columns};
use super::body::{self, Body};
use super::cell::Cell;
use super::digits::Line;
use super::header::{Header, header_names};
use super::kept::{Kept, cells_of};
use super::layout::Layout;
use super::marks::Seen;
use super::naming::Naming;
use super::record::{CapturedRecord, Encoding, Side, Text};
use super::scanner::Scanner;
use super::scope::{Scope, is_own};
use super::sink::Sink;
use super::tally::{Matching, Tally};
use super::{MAX_COLUMNS, MAX_ROW_BYTES, csv_rows};

/// What is known about a data set before it is read.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Its columns, from a baseline or a signature. Without them the first good row decides.
    pub columns: Option<Columns>,
    /// Whether batches carry the call of each row.
    pub with_calls: bool,
    /// Which calls are wanted.
    pub scope: Scope,
    /// What columns are called that the data calls otherwise, or not at all.
    pub naming: Arc<Naming>,
    /// Names of the columns that batches have; all of them where nothing is said. Rows are taken or refused by all columns.
    pub only: Option<Arc<HashSet<String>>>,
}

/// Reads objects into batches.
pub struct Reader<S: Sink> {
    plan: Arc<Plan>,
    sink: S,
    state: Option<State>,
    tally: Tally,
    /// Whether columns stay as they are planned, whatever a header says.
    settled: bool,
    times: Times,
    scanner: Scanner,
    /// Rows of one width that are not in the account yet: most rows have the width of the one before.
    run: (usize, u64),
}

/// What became of a captured line.
enum Taken {
    Used,
    Unanswered,
    Outside,
}

struct State {
    builder: Builder,
    layout: Layout,
    /// Where not all columns are kept, those that are.
    kept: Option<Kept>,
}

impl<F: FnMut(Batch)> Reader<F> {
    /// Starts a data set; full batches go to `sink`, the last one at [`Reader::finish`].
    pub fn new(plan: impl Into<Arc<Plan>>, sink: F) -> Self {
        Self::into_sink(plan, sink)
    }
}

impl<S: Sink> Reader<S> {
    /// As [`Reader::new`], for sinks that hear of calls.
    pub fn into_sink(plan: impl Into<Arc<Plan>>, sink: S) -> Self {
        let plan = plan.into();
        let state = plan.columns.clone().map(|columns| State::new(columns, &plan));
        let (tally, times, scanner) = (Tally::default(), Times::default(), Scanner::default());
        Self { plan, sink, state, tally, settled: false, times, scanner, run: (0, 0) }
    }

    /// Goes on with a data set whose columns are settled: names in a header change nothing.
    #[must_use]
    pub fn going_on(mut self) -> Self {
        self.settled = true;
        self
    }

    /// Reads captured JSON lines; `source` names them in descriptions. Answers how many lines end in there.
    pub fn captures(&mut self, source: &str, bytes: &[u8]) -> u64 {
        self.captures_behind(0, source, bytes)
    }

    /// The same of lines behind so many others.
    pub(crate) fn captures_behind(&mut self, before: u64, source: &str, bytes: &[u8]) -> u64 {
        let (mut start, mut lines) = (0, 0);
        loop {
            let seen = self.scanner.look(&bytes[start..]);
            let line = &bytes[start..start + seen.length];
            if !line.trim_ascii_start().is_empty() {
                self.line(source, before + lines + 1, line, seen);
            }
            start += seen.length + 1;
            if start > bytes.len() {
                return lines;
            }
            lines += 1;
        }
    }

    fn line(&mut self, source: &str, number: u64, line: &[u8], seen: Seen) {
        self.tally.records += 1;
        match self.capture(line, seen) {
            Ok(Taken::Used) => self.tally.used += 1,
            Ok(Taken::Unanswered) => self.tally.unanswered += 1,
            Ok(Taken::Outside) => {
                self.tally.outside += 1;
                self.tally.records -= 1;
            }
            Err(reason) => self.tally.describe(source, number, reason),
        }
    }

    /// Reads a CSV file; `source` names it in descriptions. Answers how many rows it has, a header included.
    pub fn csv(&mut self, source: &str, bytes: &[u8], header: Header) -> u64 {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let has_header = header.is_at(bytes);
        let mut number = 0_u64;
        match csv_rows::plain_lines_of(bytes) {
            Some(lines) => {
                for line in lines {
                    number += 1;
                    self.csv_line((source, number), line, bytes, has_header && number == 1);
                }
            }
            None => csv_rows::each_careful_row(bytes, |cells| {
                number += 1;
                match cells {
                    Ok(cells) => self.csv_row((source, number), &cells, has_header && number == 1),
                    Err(reason) => {
                        self.tally.records += 1;
                        self.tally.describe(source, number, reason);
                    }
                }
            }),
        }
        number
    }

    /// Takes a line of a CSV file without quotes, in the bytes of that file.
    fn csv_line(&mut self, (source, number): (&str, u64), line: &str, file: &[u8], is_header: bool) {
        if !is_header && self.push_numbers(std::iter::once(line), file, line.len(), &Call::default()) {
            self.tally.records += 1;
            self.tally.used += 1;
        } else {
            self.csv_row((source, number), &csv_rows::cells(line), is_header);
        }
    }

    /// Takes a row of a CSV file.
    fn csv_row(&mut self, (source, number): (&str, u64), cells: &csv_rows::TextRow<'_>, is_header: bool) {
        if is_header {
            return self.csv_header(header_names(cells));
        }
        self.tally.records += 1;
        match self.row_of_texts(cells) {
            Ok(()) => self.tally.used += 1,
            Err(reason) => self.tally.describe(source, number, reason),
        }
    }

    /// Hands out the last batch and the account.
    pub fn finish(self) -> Tally {
        self.end().1
    }

    /// Hands out the last batch, and gives the sink back with the account.
    pub fn end(mut self) -> (S, Tally) {
        if self.run.1 > 0 {
            self.tally.count_width(self.run.0, self.run.1);
        }
        let Some(mut state) = self.state else { return (self.sink, self.tally) };
        if let Some(batch) = state.builder.take() {
            self.sink.batch(batch);
        }
        let built = state.builder.columns();
        let promoted = built.names.iter().zip(state.builder.promoted());
        self.tally.promoted = promoted.filter(|(_, promoted)| *promoted).map(|(name, _)| name.clone()).collect();
        self.tally.columns = state.kept.map_or_else(|| built.clone(), |kept| kept.into_all(&built));
        self.tally.strangers = std::mem::take(&mut state.layout.strangers);
        if state.layout.named.contains(&true) {
            self.tally.filled = state.layout.named;
            self.tally.never_seen = self.tally.unfilled();
        }
        (self.sink, self.tally)
    }

    fn capture(&mut self, line: &[u8], seen: Seen) -> Result<Taken, String> {
        let record = CapturedRecord::parse_seen(line, seen, &mut self.scanner)?;
        if S::HEARS && !is_own(&record) {
            let time = record.event_metadata.inference_time.as_ref();
            self.tally.times.note(time.and_then(|text| self.times.read(&text.0)));
        }
        if !self.plan.scope.has(&record) {
            return Ok(Taken::Outside);
        }
        if !record.answered() {
            return Ok(Taken::Unanswered);
        }
        let call = if S::HEARS || self.plan.with_calls { self.times.call_of(&record) } else { Call::default() };
        let sides = &record.capture_data;
        let has_both_sides = sides.endpoint_input.is_some() && sides.endpoint_output.is_some();
        let is_named_whole = self.plan.naming.is_of_whole_rows(has_both_sides);
        if is_named_whole && let Some(lines) = unescaped_lines(&record) {
            return self.push_lines(lines, line, call);
        }
        let (output, input) = body::bodies(&record)?;
        if is_named_whole && let Some(lines) = plain_lines(output.as_ref(), input.as_ref()) {
            return self.push_lines(lines, line, call);
        }
        let rows = body::paired(output.as_ref(), input.as_ref(), &self.plan.naming)?;
        self.push_rows(rows, line.len(), call).map(|()| Taken::Used)
    }

    /// Takes a row of lines, which may be parts of the record's own bytes.
    fn push_lines(&mut self, lines: [Option<&str>; 2], record: &[u8], call: Call<'_>) -> Result<Taken, String> {
        let lines = lines.into_iter().flatten();
        let bytes = record.len();
        if self.push_numbers(lines.clone(), record, bytes, &call) {
            return Ok(Taken::Used);
        }
        let width = lines.clone().map(cells_of).sum();
        self.check_row(width, bytes)?;
        let state = self.state_for(|| Columns::numbered(width))?;
        if width != state.width() {
            return Err(self.misfit(width, 1));
        }
        match state.kept.as_ref().and_then(|kept| kept.parts(lines.clone())) {
            Some(parts) => state.builder.push_lines(parts.into_iter(), call),
            None => state.builder.push_lines(lines, call),
        }
        self.end_record(width, 1, &call);
        Ok(Taken::Used)
    }

    /// Takes a row of lines where all is numbers and as wide as the data set, without looking for what may be wrong with it.
    fn push_numbers<'l>(
        &mut self,
        lines: impl Iterator<Item = &'l str>,
        around: &'l [u8],
        bytes: usize,
        call: &Call<'_>,
    ) -> bool {
        let state = self.state.as_mut().filter(|_| bytes <= MAX_ROW_BYTES);
        let Some(state) = state else { return false };
        let width = state.width();
        let State { builder, kept, .. } = state;
        let as_line = |line: &'l str| Line::of(line, around);
        let added = match kept {
            None => builder.push_numbers(lines.map(as_line), *call),
            Some(_) if builder.has_text() => false,
            Some(kept) => {
                let parts = kept.parts(lines);
                parts.is_some_and(|parts| builder.push_numbers(parts.into_iter().map(as_line), *call))
            }
        };
        if added {
            self.end_record(width, 1, call);
        }
        added
    }

    /// Takes a row of a file, or says why it is none.
    pub(super) fn row(&mut self, source: &str, number: u64, row: Result<body::Row<'_>, String>, bytes: usize) {
        self.tally.records += 1;
        let named = row.map(|mut row| {
            self.plan.naming.name_columns(row.names.iter_mut().flatten());
            row
        });
        match named.and_then(|row| self.push_rows(vec![row], bytes, Call::default())) {
            Ok(()) => self.tally.used += 1,
            Err(reason) => self.tally.describe(source, number, reason),
        }
    }

    fn push_rows(&mut self, rows: Vec<body::Row<'_>>, bytes: usize, call: Call<'_>) -> Result<(), String> {
        let first = rows.first().ok_or("the bodies hold no rows")?;
        let width = first.cells.len();
        self.check_row(width, bytes)?;
        let names = || first.names.iter().enumerate().map(|(i, name)| name.clone().unwrap_or_else(|| format!("_c{i}")));
        let columns = || if first.names.is_empty() { Columns::numbered(width) } else { Columns::named(names()) };
        let state = self.state_for(columns)?;
        let expected = state.width();
        let mut placed: Vec<Vec<Cell<'_>>> = Vec::with_capacity(rows.len());
        let mut by_name = false;
        for row in rows {
            let known = state.kept.as_ref().map_or_else(|| state.builder.names(), Kept::names);
            let place = |names| state.layout.place(known, names, row.cells.clone());
            let laid = Some(&row.names[..]).filter(|names| !names.is_empty()).and_then(place);
            by_name |= laid.is_some();
            let cells = laid.unwrap_or(row.cells);
            if cells.len() != expected {
                let width = cells.len();
                return Err(self.misfit(width, 1));
            }
            placed.push(cells);
        }
        let count = u32::try_from(placed.len()).map_err(|_| "the call has too many rows")?;
        for (row, cells) in (0..).zip(&placed) {
            let call = Call { row, ..call };
            match &state.kept {
                None => state.builder.push_cells(cells.iter(), call),
                Some(kept) => state.builder.push_cells(kept.of_row(cells).collect::<Vec<_>>().into_iter(), call),
            }
        }
        if by_name {
            self.tally.matching = Matching::ByName;
        }
        self.end_record(expected, count, &call);
        Ok(())
    }

    fn row_of_texts(&mut self, cells: &csv_rows::TextRow<'_>) -> Result<(), String> {
        let width = cells.len();
        self.check_row(width, cells.iter().map(|cell| cell.len()).sum())?;
        let state = self.state_for(|| Columns::numbered(width))?;
        if width != state.width() {
            return Err(self.misfit(width, 1));
        }
        let call = Call::default();
        match &state.kept {
            None => state.builder.push_texts(cells.iter().map(AsRef::as_ref), call),
            Some(kept) => {
                let cells: Vec<&str> = kept.of_row(cells).map(AsRef::as_ref).collect();
                state.builder.push_texts(cells.into_iter(), call);
            }
        }
        self.end_record(width, 1, &Call::default());
        Ok(())
    }

    /// Names from a header: they win when nothing is known, or when they name at least one known column; else the
    /// known columns are kept by position.
    fn csv_header(&mut self, mut names: Vec<String>) {
        self.plan.naming.name_columns(&mut names);
        if self.settled || names.len() > MAX_COLUMNS {
            return;
        }
        let fresh = Columns::named(names);
        match &mut self.state {
            None => {
                self.tally.matching = Matching::ByName;
                self.state = Some(State::new(fresh, &self.plan));
            }
            Some(state) if self.tally.rows == 0 => {
                let known = state.columns();
                if fresh.names.iter().any(|name| known.names.contains(name)) {
                    let text = known.names.iter().zip(&known.text).filter(|(_, text)| **text);
                    let columns = fresh.with_text(text.map(|(name, _)| name.as_str()));
                    self.tally.matching = Matching::ByName;
                    *state = State::new(columns, &self.plan);
                }
            }
            Some(_) => {}
        }
    }

    fn check_row(&self, width: usize, bytes: usize) -> Result<(), String> {
        if width == 0 {
            return Err("the row holds no values".to_owned());
        }
        if width > MAX_COLUMNS {
            return Err(format!("the row has {width} columns, more than {MAX_COLUMNS}"));
        }
        if bytes > MAX_ROW_BYTES {
            return Err(format!("the row has {bytes} bytes, more than {MAX_ROW_BYTES}"));
        }
        Ok(())
    }

    fn state_for(&mut self, columns: impl FnOnce() -> Columns) -> Result<&mut State, String> {
        let Self { state, plan, .. } = self;
        Ok(state.get_or_insert_with(|| State::new(columns(), plan)))
    }

    fn misfit(&mut self, width: usize, rows: u64) -> String {
        self.count_width(width, rows);
        let expected = self.state.as_ref().map_or(0, State::width);
        format!("the row has {width} columns, the data set {expected}")
    }

    fn count_width(&mut self, width: usize, rows: u64) {
        if self.run.0 != width {
            let (last, rows) = std::mem::replace(&mut self.run, (width, 0));
            if rows > 0 {
                self.tally.count_width(last, rows);
            }
        }
        self.run.1 += rows;
    }

    fn end_record(&mut self, width: usize, rows: u32, call: &Call<'_>) {
        self.sink.call(call, rows);
        self.count_width(width, rows.into());
        self.tally.rows += u64::from(rows);
        if self.tally.matching == Matching::Unmatched {
            self.tally.matching = Matching::ByPosition;
        }
        if let Some(state) = self.state.as_mut()
            && state.builder.is_full()
            && let Some(batch) = state.builder.take()
        {
            self.sink.batch(batch);
        }
    }
}

impl State {
    fn new(columns: Columns, plan: &Plan) -> Self {
        let layout = Layout::new(&columns);
        let Some(only) = &plan.only else {
            return Self { layout, builder: Builder::new(columns, plan.with_calls), kept: None };
        };
        let kept = Kept::of(columns, only);
        // Batches are cut where those of all columns would be, since sums are rounded by batch.
        let builder = Builder::new(kept.columns(), plan.with_calls).cut_as_of(kept.width());
        Self { layout, builder, kept: Some(kept) }
    }

    fn width(&self) -> usize {
        self.kept.as_ref().map_or_else(|| self.builder.width(), Kept::width)
    }

    /// All columns, with those as text that have become it.
    fn columns(&self) -> Columns {
        let built = self.builder.columns();
        self.kept.clone().map_or_else(|| built.clone(), |kept| kept.into_all(&built))
    }
}

/// The lines of a call whose bodies are CSV and stand in the record without escapes: then there is neither a quote nor the end
/// of a line in them.
fn unescaped_lines<'b>(record: &'b CapturedRecord<'_>) -> Option<[Option<&'b str>; 2]> {
    let line = |side: &'b Option<Side<'_>>| match side {
        None => Some(None),
        Some(Side { data: Text(Cow::Borrowed(text)), encoding: Encoding::Csv, .. }) if !text.is_empty() => {
            Some(Some(*text))
        }
        Some(_) => None,
    };
    let lines = [line(&record.capture_data.endpoint_output)?, line(&record.capture_data.endpoint_input)?];
    lines.iter().any(Option::is_some).then_some(lines)
}

/// The lines of a call whose bodies are one plain CSV line each; a side that was not captured has none.
fn plain_lines<'b>(output: Option<&'b Body<'_>>, input: Option<&'b Body<'_>>) -> Option<[Option<&'b str>; 2]> {
    let line = |body: Option<&'b Body<'_>>| match body {
        Some(body) => body.plain_csv_line().map(Some),
        None => Some(None),
    };
    Some([line(output)?, line(input)?])
}

/// Times of calls, read once for all calls of a second.
#[derive(Default)]
struct Times {
    text: String,
    time: Option<Timestamp>,
}

impl Times {
    fn call_of<'a>(&mut self, record: &'a CapturedRecord<'a>) -> Call<'a> {
        let metadata = &record.event_metadata;
        Call {
            event_id: metadata.event_id.as_ref().map(|text| text.0.as_ref()),
            inference_id: metadata.inference_id.as_ref().map(|text| text.0.as_ref()),
            inference_time: metadata.inference_time.as_ref().and_then(|text| self.read(&text.0)),
            consumer: record.captura.as_ref().and_then(|own| own.consumer.as_ref()).map(|text| text.0.as_ref()),
            row: 0,
        }
    }

    fn read(&mut self, text: &str) -> Option<Timestamp> {
        if self.text != text {
            self.text.clear();
            self.text.push_str(text);
            self.time = Timestamp::parse(text).ok();
        }
        self.time
    }
}
