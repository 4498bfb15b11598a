//! Rows sorted into windows of time, each window a sketch per watched column.
//!
//! Invariant: a row belongs to the window of the time of its call, in whatever order rows come; the same rows give the
//! same windows up to the sketches' error. Bound: [`MAX_SKETCHES`] windows times columns, then it refuses.
//! Rows whose record does not say when are counted apart.

use std::collections::BTreeMap;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, TimestampMicrosecondType, UInt32Type};
use arrow_schema::DataType;
use captura_names::Timestamp;
use serde::Serialize;

use super::bursts::{Blocks, Marks};
use super::compare::{MIN_ROWS, ReferenceColumn};
use super::sample::{Numbers, Sample};
use super::watch::{Alarm, Watch};
use crate::dataset::{Batch, Parsed, number, number_text};
use crate::profile::Categories;
use crate::sketch::Kll;

/// Windows times columns; a sketch is 16 KiB when it is full.
pub const MAX_SKETCHES: usize = 16_384;

/// How long windows are, and how many false alarms are fine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Length of a window.
    pub window_us: i64,
    /// Mean time between two false alarms, at the least.
    pub false_alarm_every_us: i64,
}

/// There are more windows than can be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the rows lie in more than {windows} windows, too many to watch {columns} columns in; choose longer windows")]
pub struct TooManyWindows {
    windows: usize,
    columns: usize,
}

/// Collects rows into windows.
#[derive(Debug)]
pub struct Windows {
    columns: Vec<(String, Marks)>,
    length_us: i64,
    windows: BTreeMap<i64, Vec<(Held, Blocks)>>,
    untimed: u64,
    overflown: bool,
}

#[derive(Debug)]
enum Held {
    Numbers(Kll),
    Categories(Categories),
}

/// What the watch saw.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Watched {
    /// Length of a window, seconds.
    pub window_seconds: f64,
    /// Mean time between two false alarms, at the least, seconds.
    pub false_alarm_every_seconds: f64,
    /// Windows with rows.
    pub windows: u64,
    /// Those with fewer rows than anything is said of.
    pub small_windows: u64,
    /// Columns that are watched.
    pub columns: usize,
    /// Rows whose record does not say when; they are in no window.
    pub untimed_rows: u64,
    /// Alarms, in order.
    pub alarms: Vec<TimedAlarm>,
}

/// An alarm, with its times.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TimedAlarm {
    /// End of the window in which it rings: when it could be known.
    pub at: String,
    /// The columns that ring.
    pub columns: Vec<TimedColumn>,
}

/// A column that rings.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TimedColumn {
    /// Its name.
    pub feature: String,
    /// Begin of the window in which the change most likely began.
    pub since: String,
    /// Its distance in the window that rings.
    pub distance: f64,
}

impl Windows {
    /// Of these columns, each with what is counted to tell how its rows come.
    #[must_use]
    pub fn new(columns: Vec<(String, Marks)>, length_us: i64) -> Self {
        Self { columns, length_us: length_us.max(1), windows: BTreeMap::new(), untimed: 0, overflown: false }
    }

    /// Takes a batch that carries its calls.
    pub fn take(&mut self, batch: &Batch) {
        let rows = batch.rows.num_rows();
        let times = batch.calls.as_ref().and_then(|calls| calls.column_by_name("inference_time"));
        let times = times.map(|times| times.as_primitive::<TimestampMicrosecondType>());
        let length_us = self.length_us;
        let places: Vec<Option<i64>> = (0..rows)
            .map(|row| times.filter(|times| times.is_valid(row)).map(|times| times.value(row).div_euclid(length_us)))
            .collect();
        self.untimed += places.iter().filter(|place| place.is_none()).count() as u64;
        for place in places.iter().flatten() {
            if self.windows.contains_key(place) {
                continue;
            }
            if (self.windows.len() + 1) * self.columns.len() > MAX_SKETCHES {
                self.overflown = true;
                continue;
            }
            let held = |(_, marks): &(String, Marks)| match marks {
                Marks::Among(_) => (Held::Categories(Categories::default()), Blocks::default()),
                Marks::Below(_) => (Held::Numbers(Kll::default()), Blocks::default()),
            };
            self.windows.insert(*place, self.columns.iter().map(held).collect());
        }
        let of_call = batch.calls.as_ref().and_then(|calls| calls.column_by_name("row_of_call"));
        let of_call = of_call.map(|rows| rows.as_primitive::<UInt32Type>());
        for (column, (name, marks)) in self.columns.iter().enumerate() {
            let Some(array) = batch.rows.column_by_name(name) else { continue };
            for (row, place) in places.iter().enumerate().filter(|(row, _)| array.is_valid(*row)) {
                let Some(held) = place.and_then(|place| self.windows.get_mut(&place)) else { continue };
                let begins = of_call.is_none_or(|rows| rows.value(row) == 0);
                let (held, blocks) = &mut held[column];
                if *array.data_type() == DataType::Float64 {
                    let value = array.as_primitive::<Float64Type>().value(row);
                    held.insert_number(value);
                    blocks.number(marks, value, begins);
                } else {
                    let value = array.as_string::<i32>().value(row);
                    held.insert_text(value);
                    match (marks, number(value)) {
                        (Marks::Below(_), Parsed::Number { value, .. }) => blocks.number(marks, value, begins),
                        _ => blocks.text(marks, value, begins),
                    }
                }
            }
        }
    }

    /// Runs the watch over the windows, in the order of time.
    ///
    /// # Errors
    /// When there are too many windows.
    pub fn watched(
        &self,
        reference: &[ReferenceColumn<'_>],
        tolerance: f64,
        budget: Budget,
    ) -> Result<Watched, TooManyWindows> {
        if self.overflown {
            return Err(TooManyWindows { windows: self.windows.len(), columns: self.columns.len() });
        }
        let windows_between = budget.false_alarm_every_us as f64 / budget.window_us as f64;
        let mut watch = Watch::new(reference, tolerance, windows_between);
        let places: Vec<Option<usize>> =
            watch.names().map(|name| self.columns.iter().position(|(own, _)| own == name)).collect();
        let mut watched = Watched {
            window_seconds: budget.window_us as f64 / 1e6,
            false_alarm_every_seconds: budget.false_alarm_every_us as f64 / 1e6,
            windows: self.windows.len() as u64,
            small_windows: 0,
            columns: places.len(),
            untimed_rows: self.untimed,
            alarms: Vec::new(),
        };
        let starts: Vec<i64> = self.windows.keys().copied().collect();
        for held in self.windows.values() {
            let samples: Vec<Sample<'_>> =
                places.iter().map(|place| place.map_or(Sample::Unknown, |place| held[place].0.sample())).collect();
            let blocks = places.iter().map(|place| place.map_or_else(Blocks::default, |place| held[place].1.clone()));
            watched.small_windows += u64::from(samples.iter().all(|sample| sample.rows() < MIN_ROWS));
            if let Some(alarm) = watch.window(&samples, blocks.collect()) {
                watched.alarms.push(self.timed(&alarm, &starts));
            }
        }
        Ok(watched)
    }

    fn timed(&self, alarm: &Alarm, starts: &[i64]) -> TimedAlarm {
        let begin = |window: u64| Timestamp::from_unix_us(starts[window as usize].saturating_mul(self.length_us));
        let column = |column: &super::watch::AlarmColumn| TimedColumn {
            feature: column.feature.clone(),
            since: begin(column.since).to_string(),
            distance: column.distance,
        };
        TimedAlarm {
            at: begin(alarm.window).plus_us(self.length_us).to_string(),
            columns: alarm.columns.iter().map(column).collect(),
        }
    }
}

impl Held {
    fn insert_number(&mut self, value: f64) {
        match self {
            Self::Numbers(sketch) => sketch.insert(value),
            Self::Categories(counts) => counts.insert(&number_text(value)),
        }
    }

    fn insert_text(&mut self, text: &str) {
        match self {
            Self::Numbers(sketch) => {
                if let Parsed::Number { value, .. } = number(text) {
                    sketch.insert(value);
                }
            }
            Self::Categories(counts) => counts.insert(text),
        }
    }

    fn sample(&self) -> Sample<'_> {
        match self {
            Self::Numbers(sketch) => Sample::Numbers(Numbers::of_sketch(sketch)),
            Self::Categories(counts) => counts.counts().map_or(Sample::Unknown, Sample::Categories),
        }
    }
}
