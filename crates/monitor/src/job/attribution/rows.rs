//! The rows to explain: what callers sent, or a table without its label.
//!
//! A random sample of them is kept, in random order, so that whatever a budget leaves out is left out by chance. Questions of
//! an earlier analysis that an endpoint has captured are no rows of callers and are passed over.
//!
//! Invariant: the same objects and seed give the same rows in the same order. Refuses to: guess which column is the label.

use captura_archive::Stores;
use captura_attribution::record::{Feature, Record};
use serde::Serialize;
use serde_json::Value;

use super::AttributionError;
use crate::attribution::{AttributionConfig, InvalidAttribution};
use crate::dataset::record::CapturedRecord;
use crate::dataset::{
    BadRecord, Body, Cell, MAX_DESCRIBED, Naming, Row, TableForm, each_table_row, is_captured, is_own, pairs,
};
use crate::dice::Dice;
use crate::job::passes::open;
use crate::job::pieces::is_captures;
use crate::job::{JobError, Source};

/// Stream of the sample's chance.
const SAMPLE_STREAM: u64 = 0x5a;

/// The account of the rows: `records = used + bad + unanswered + own`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct RowsAccount {
    /// Objects read.
    pub objects: u64,
    /// Captured records, or rows of tables.
    pub records: u64,
    /// Records whose rows could be explained.
    pub used: u64,
    /// Records that could not be used.
    pub bad: u64,
    /// Calls that the model did not answer.
    pub unanswered: u64,
    /// Calls of earlier analyses.
    pub own: u64,
    /// Rows that could be explained.
    pub rows: u64,
    /// The first bad records.
    pub described: Vec<BadRecord>,
}

/// Rows, and what they are made of.
pub(super) struct Gathered {
    pub(super) names: Vec<String>,
    pub(super) rows: Vec<Record>,
    /// Which row of the data each is.
    pub(super) places: Vec<u64>,
    pub(super) data: RowsAccount,
    pub(super) notes: Vec<String>,
}

/// Reads the source; at most `most` rows are kept.
pub(super) async fn gather(
    stores: &Stores,
    source: &Source,
    config: &AttributionConfig,
    most: usize,
) -> Result<Gathered, AttributionError> {
    let mut gathering = Gathering::new(config, most);
    for object in open(stores, source).await? {
        let bytes = object.fetch().await.map_err(JobError::from)?;
        gathering.account.objects += 1;
        if is_captures(&object.address, &bytes) && is_captured(&bytes) {
            gathering.captures(&object.address, &bytes, source);
        } else {
            gathering.table(&object.address, &bytes, source)?;
        }
    }
    gathering.finish()
}

struct Gathering<'a> {
    config: &'a AttributionConfig,
    most: usize,
    dice: Dice,
    names: Option<Vec<String>>,
    width: usize,
    /// With which row of the data each is.
    kept: Vec<(u64, Record)>,
    account: RowsAccount,
    notes: Vec<String>,
}

impl<'a> Gathering<'a> {
    fn new(config: &'a AttributionConfig, most: usize) -> Self {
        let dice = Dice::new(config.seed, SAMPLE_STREAM);
        Self {
            config,
            most: most.max(1),
            dice,
            names: None,
            width: 0,
            kept: Vec::new(),
            account: RowsAccount::default(),
            notes: Vec::new(),
        }
    }

    fn captures(&mut self, address: &str, bytes: &[u8], source: &Source) {
        for (line, bytes) in bytes.split(|&byte| byte == b'\n').enumerate() {
            if bytes.trim_ascii().is_empty() {
                continue;
            }
            match CapturedRecord::parse(bytes) {
                Ok(record) if !source.scope.covers(&record) => continue,
                Ok(record) => {
                    if let Err(reason) = self.capture(&record, &source.naming) {
                        self.describe(address, line as u64 + 1, reason);
                    }
                }
                Err(reason) => self.describe(address, line as u64 + 1, reason),
            }
            self.account.records += 1;
        }
    }

    fn capture(&mut self, record: &CapturedRecord<'_>, naming: &Naming) -> Result<(), String> {
        if is_own(record) {
            self.account.own += 1;
            return Ok(());
        }
        if !record.answered() {
            self.account.unanswered += 1;
            return Ok(());
        }
        let input = record.capture_data.endpoint_input.as_ref().ok_or("the request was not captured")?;
        let body = Body::of(input)?;
        let rows: Vec<_> = pairs(None, Some(&body))?.into_iter().filter_map(|pair| pair.1).collect();
        for mut row in rows {
            naming.name_input(&mut row);
            let names = (!row.names.is_empty()).then(|| row.names.into_iter().map(Option::unwrap_or_default).collect());
            self.push(names, row.cells.into_iter().map(feature).collect())?;
        }
        self.account.used += 1;
        Ok(())
    }

    fn table(&mut self, address: &str, bytes: &[u8], source: &Source) -> Result<(), AttributionError> {
        let (mut columns, mut wrong) = (None::<Columns>, None);
        each_table_row(TableForm::of(bytes, source.header), bytes, |line, row| {
            if wrong.is_some() {
                return;
            }
            self.account.records += 1;
            let row = match row {
                Ok(mut row) => {
                    source.naming.name_columns(row.names.iter_mut().flatten());
                    row
                }
                Err(reason) => return self.describe(address, line, reason),
            };
            // Lines of JSON may have other members than those before.
            let known = columns.take().filter(|known| row.names.is_empty() || known.sent == row.names);
            let known = match known.map_or_else(|| Columns::of(self.config, source.names.as_ref(), &row), Ok) {
                Ok(known) => columns.insert(known),
                Err(error) => {
                    wrong = Some(error);
                    return;
                }
            };
            if row.cells.len() != known.width {
                let reason = format!("the row has {} columns, the table {}", row.cells.len(), known.width);
                return self.describe(address, line, reason);
            }
            let record = known.kept.iter().map(|&place| feature(row.cells[place].clone())).collect();
            match self.push(Some(known.names.clone()), record) {
                Ok(()) => self.account.used += 1,
                Err(reason) => self.describe(address, line, reason),
            }
        });
        wrong.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Takes a row in; whether it is kept is left to chance.
    fn push(&mut self, names: Option<Vec<String>>, record: Record) -> Result<(), String> {
        if self.width == 0 {
            self.width = record.len();
            self.names.clone_from(&names);
        }
        let record = match (&self.names, names) {
            (Some(known), Some(given)) if *known != given => {
                let of = |name: &String| given.iter().position(|one| one == name).map(|place| record[place].clone());
                if !given.iter().any(|name| known.contains(name)) {
                    return Err("the row has none of the names of the first one".to_owned());
                }
                known.iter().map(|name| of(name).unwrap_or_else(|| Feature::Cell("".into()))).collect()
            }
            _ => record,
        };
        if record.len() != self.width {
            return Err(format!("the row has {} features, the first one {}", record.len(), self.width));
        }
        self.account.rows += 1;
        if self.kept.len() < self.most {
            self.kept.push((self.account.rows, record));
            return Ok(());
        }
        let seen = usize::try_from(self.account.rows).unwrap_or(usize::MAX);
        let place = self.dice.below(seen);
        if place < self.most {
            self.kept[place] = (self.account.rows, record);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Gathered, AttributionError> {
        if self.kept.is_empty() {
            let RowsAccount { records, bad, unanswered, own, described, .. } = self.account;
            if own > 0 {
                return Err(AttributionError::NothingExplained(format!(
                    "of {records} records {own} are calls of earlier attributions, and no other can be used"
                )));
            }
            let first = described.first().map_or_else(String::new, |bad| {
                format!("; the first unusable one is {} line {}: {}", bad.source, bad.line, bad.reason)
            });
            return Err(JobError::NoRows { records, bad, unanswered, outside: 0, first }.into());
        }
        for place in (1..self.kept.len()).rev() {
            let other = self.dice.below(place + 1);
            self.kept.swap(place, other);
        }
        if self.account.bad > 0 {
            self.notes.push(format!("{} of {} records could not be used", self.account.bad, self.account.records));
        }
        if self.account.own > 0 {
            self.notes.push(format!("{} calls of earlier attributions were passed over", self.account.own));
        }
        let names = self.names.take().unwrap_or_else(|| self.names_of_captures());
        let (places, rows) = self.kept.into_iter().unzip();
        Ok(Gathered { names, rows, places, data: self.account, notes: self.notes })
    }

    /// The configuration's names without the label's, where there are as many.
    fn names_of_captures(&mut self) -> Vec<String> {
        let left_out = |name: &String| self.config.label.as_ref() == Some(name) || self.config.excluded.contains(name);
        let names: Vec<String> = self.config.headers.iter().filter(|name| !left_out(name)).cloned().collect();
        if names.len() == self.width {
            return names;
        }
        if !names.is_empty() {
            self.notes.push(format!("headers name {} features, and callers send {}", names.len(), self.width));
        }
        (0..self.width).map(|place| format!("_c{place}")).collect()
    }

    fn describe(&mut self, source: &str, line: u64, reason: String) {
        self.account.bad += 1;
        if self.account.described.len() < MAX_DESCRIBED {
            self.account.described.push(BadRecord { source: source.to_owned(), line, reason });
        }
    }
}

/// Which columns of a table are features.
struct Columns {
    /// The names of the rows that it is for, as they are sent.
    sent: Vec<Option<String>>,
    width: usize,
    kept: Vec<usize>,
    names: Vec<String>,
}

impl Columns {
    fn of(config: &AttributionConfig, given: Option<&Vec<String>>, row: &Row<'_>) -> Result<Self, InvalidAttribution> {
        let width = row.cells.len();
        let told = given.into_iter().chain(std::iter::once(&config.headers)).find(|names| names.len() == width);
        let own: Option<Vec<String>> = row.names.iter().cloned().collect();
        let names = own.filter(|names| !names.is_empty()).or_else(|| told.cloned());
        let names = names.unwrap_or_else(|| (0..width).map(|place| format!("_c{place}")).collect());
        let mut left_out = Vec::new();
        for column in config.label.iter().chain(&config.excluded) {
            let place = names.iter().position(|name| name == column);
            match place.or_else(|| column.parse().ok().filter(|&place| place < width)) {
                Some(place) => left_out.push(place),
                // A table of features alone, as baselines are, has no label to leave out.
                None if config.headers.len() != width => {}
                None => {
                    return Err(InvalidAttribution(format!(
                        "names the column {column:?}, which the table does not have"
                    )));
                }
            }
        }
        let kept: Vec<usize> = (0..width).filter(|place| !left_out.contains(place)).collect();
        Ok(Self {
            sent: row.names.clone(),
            width,
            names: kept.iter().map(|&place| names[place].clone()).collect(),
            kept,
        })
    }
}

fn feature(cell: Cell<'_>) -> Feature {
    match cell {
        Cell::Missing => Feature::Cell("".into()),
        Cell::Number { text, .. } => Feature::Cell(text.into()),
        Cell::Text(text) => Feature::Json(Value::String(text.into_owned())),
    }
}
