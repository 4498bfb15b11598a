//! The account of what was read, and of what was not.
//!
//! Invariant: `records = used + bad + unanswered`; accounts of the pieces of a data set, added in their order, are the account
//! of the whole.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use captura_names::Timestamp;
use serde::{Deserialize, Serialize};

use super::batch::Columns;
use super::layout::MAX_STRANGERS;

/// Bad records that are described one by one; all are counted.
pub const MAX_DESCRIBED: usize = 100;
/// Different row widths that are told apart; further ones count as the widest.
const MAX_WIDTHS: usize = 64;

/// How cells found their columns. The order is that of knowledge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadRecord {
    /// Object it stands in.
    pub source: String,
    /// Line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// The account of what was read: `records = used + bad + unanswered`, and beside them `outside`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
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
    /// Calls that nobody asked for, see [`Scope`](super::Scope): they are not among the records.
    pub outside: u64,
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
    /// Columns that some row filled by name; empty where no row had names.
    pub(crate) filled: Vec<bool>,
    /// When the captured records were made that were read, but for those that an analysis asked itself.
    pub(crate) times: Times,
}

/// Times of records, to tell whether all of them are of a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Times {
    /// The first and the last of them, microseconds since 1970.
    span_us: Option<(i64, i64)>,
    /// Records that do not say.
    unsaid: u64,
}

impl Times {
    pub(super) fn note(&mut self, time: Option<Timestamp>) {
        match time {
            None => self.unsaid += 1,
            Some(time) => {
                let at = time.unix_us();
                let (first, last) = self.span_us.unwrap_or((at, at));
                self.span_us = Some((first.min(at), last.max(at)));
            }
        }
    }

    fn add(&mut self, next: Self) {
        self.unsaid = self.unsaid.saturating_add(next.unsaid);
        self.span_us = match (self.span_us, next.span_us) {
            (Some(mine), Some(theirs)) => Some((mine.0.min(theirs.0), mine.1.max(theirs.1))),
            (mine, theirs) => mine.or(theirs),
        };
    }

    /// Whether all records are of the window, so that asking for it leaves none of them out.
    pub(crate) fn are_within(&self, window: &Range<Timestamp>) -> bool {
        let is_within = |(first, last): (i64, i64)| window.start.unix_us() <= first && last < window.end.unix_us();
        self.unsaid == 0 && self.span_us.is_none_or(is_within)
    }
}

impl Tally {
    /// Adds the account of the piece that comes next; in its object it begins behind so many lines.
    pub fn add(&mut self, next: Self, lines_before: u64) {
        if self.columns.is_empty() {
            self.columns = next.columns.clone();
        }
        self.records += next.records;
        self.used += next.used;
        self.rows += next.rows;
        self.bad += next.bad;
        self.unanswered += next.unanswered;
        self.outside += next.outside;
        let room = MAX_DESCRIBED.saturating_sub(self.described.len());
        let described = next.described.into_iter().take(room);
        self.described.extend(described.map(|bad| BadRecord { line: bad.line + lines_before, ..bad }));
        next.widths.into_iter().for_each(|(width, rows)| self.count_width(width, rows));
        self.matching = self.matching.max(next.matching);
        self.times.add(next.times);
        next.strangers.into_iter().for_each(|(name, rows)| count_stranger(&mut self.strangers, &name, rows));
        for (mine, theirs) in self.columns.text.iter_mut().zip(&next.columns.text) {
            *mine |= theirs;
        }
        if !next.promoted.is_empty() {
            let promoted: HashSet<&String> = self.promoted.iter().chain(&next.promoted).collect();
            self.promoted = self.columns.names.iter().filter(|name| promoted.contains(name)).cloned().collect();
        }
        if !next.filled.is_empty() {
            self.filled.resize(next.filled.len(), false);
            self.filled.iter_mut().zip(&next.filled).for_each(|(mine, theirs)| *mine |= theirs);
            self.never_seen = self.unfilled();
        }
    }

    /// Columns that no row filled by name; none where no row had names.
    pub(super) fn unfilled(&self) -> Vec<String> {
        let columns = self.columns.names.iter().zip(&self.filled);
        columns.filter(|(_, filled)| !**filled).map(|(name, _)| name.clone()).collect()
    }

    pub(super) fn count_width(&mut self, width: usize, rows: u64) {
        let known = self.widths.contains_key(&width) || self.widths.len() < MAX_WIDTHS;
        let width = if known { width } else { *self.widths.keys().next_back().expect("our bug: there are widths") };
        *self.widths.entry(width).or_default() += rows;
    }

    pub(super) fn describe(&mut self, source: &str, line: u64, reason: String) {
        self.bad += 1;
        if self.described.len() < MAX_DESCRIBED {
            self.described.push(BadRecord { source: source.to_owned(), line, reason });
        }
    }
}

/// Counts rows of a name that no column has, as long as there are not too many of them.
pub(super) fn count_stranger(strangers: &mut BTreeMap<String, u64>, name: &str, rows: u64) {
    if let Some(known) = strangers.get_mut(name) {
        *known += rows;
    } else if strangers.len() < MAX_STRANGERS {
        strangers.insert(name.to_owned(), rows);
    }
}
