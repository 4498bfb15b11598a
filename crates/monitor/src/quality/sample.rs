//! Batches of rows to outcomes: what was predicted, with which probability, and what was right.
//!
//! The rows of one call lie together; the label of a call must cover all of them. Invariant: every row ends as usable or
//! in one account of [`Left`]. A captured call that is read twice counts once. Refuses to: hold more than
//! [`MAX_ROWS_HELD`] rows.

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash as _, Hasher as _};
use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, TimestampMicrosecondType, UInt32Type};
use arrow_array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow_schema::DataType;
use captura_names::Timestamp;
use serde::Serialize;

use super::ProblemType;
use super::attributes::{Attribute, Attributes, resolve};
use super::outcomes::{Outcomes, Segment};
use crate::dataset::{Batch, Parsed, number, number_text};
use crate::estimate::FeatureRows;
use crate::labels::{Calls, Label, Labels, canonical};

/// Rows of one job; each costs about 40 bytes.
pub const MAX_ROWS_HELD: usize = 20_000_000;
/// Classes of one problem; further ones are none.
const MAX_CLASSES: usize = 100_000;
/// Values of one segment told apart; rows of further ones are one.
const MAX_SEGMENT_VALUES: usize = 100_000;
/// What further values of a segment are called.
const OTHER_VALUES: &str = "(other values)";
/// What rows without a value of a segment are called.
const NO_VALUE: &str = "(none)";
/// No class, number or probability.
const NONE: f64 = f64::NAN;

/// Rows that are not judged, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Left {
    /// The row has no prediction.
    pub no_prediction: u64,
    /// The prediction is no number, or the probability is none.
    pub bad_prediction: u64,
    /// The row has no label.
    pub no_label: u64,
    /// The label is no number.
    pub bad_label: u64,
    /// Captured calls that were there twice.
    pub repeated_calls: u64,
    /// Captured calls of another time than the one that was asked about.
    pub other_time_calls: u64,
}

/// Takes batches, gives outcomes.
#[derive(Debug)]
pub struct Sampler {
    attributes: Attributes,
    places: Places,
    classes: Names,
    consumers: Names,
    segments: Vec<(String, usize, Names)>,
    predicted: Vec<f64>,
    actual: Vec<f64>,
    scores: Vec<f64>,
    seen: HashSet<u64>,
    call: Option<Call>,
    calls: Calls,
    left: Left,
    features: FeatureRows,
    window: Option<Range<Timestamp>>,
    full: bool,
}

#[derive(Debug)]
struct Places {
    inference: Option<usize>,
    probability: Option<usize>,
    label: Option<usize>,
}

/// The call whose rows are being read.
#[derive(Debug)]
struct Call {
    time: Option<Timestamp>,
    label: Option<Label>,
    first_row: usize,
    left_out: bool,
}

/// Names by number, and the number of each row.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) names: Vec<String>,
    numbers: HashMap<String, u32>,
    pub(super) of_row: Vec<u32>,
}

impl Sampler {
    /// A sampler of rows with these columns. With `labels_in_rows` the label is a column, else it is looked up by call.
    ///
    /// # Errors
    /// When an attribute finds no column.
    pub fn new(attributes: &Attributes, names: &[String], labels_in_rows: bool) -> Result<Self, Attribute> {
        let place = |option, attribute: &Option<String>| {
            attribute.as_ref().map(|attribute| resolve(option, attribute, names)).transpose()
        };
        let inference = place("inference_attribute", &attributes.inference)?;
        let probability = place("probability_attribute", &attributes.probability)?;
        let label = if labels_in_rows { place("ground_truth_attribute", &attributes.ground_truth)? } else { None };
        let binary = attributes.problem == ProblemType::BinaryClassification;
        let missing = |option, reason: &str| Attribute { option, attribute: String::new(), reason: reason.to_owned() };
        if inference.is_none() && !attributes.labels_only && !(binary && probability.is_some()) {
            return Err(missing("inference_attribute", "say where the prediction is"));
        }
        let segments = attributes
            .segments
            .iter()
            .map(|name| resolve("segment", name, names).map(|place| (name.clone(), place, Names::default())));
        Ok(Self {
            places: Places { inference, probability, label },
            classes: Names::default(),
            consumers: Names::default(),
            segments: segments.collect::<Result<_, _>>()?,
            predicted: Vec::new(),
            actual: Vec::new(),
            scores: Vec::new(),
            seen: HashSet::new(),
            call: None,
            calls: Calls::default(),
            left: Left::default(),
            features: if attributes.features { FeatureRows::new(names, label) } else { FeatureRows::default() },
            window: None,
            full: false,
            attributes: attributes.clone(),
        })
    }

    /// Only calls of this time are wanted; those without a time are not.
    #[must_use]
    pub fn within(mut self, window: Option<Range<Timestamp>>) -> Self {
        self.window = window;
        self
    }

    /// Takes a batch; with labels it must carry its calls.
    pub fn take(&mut self, batch: &Batch, mut labels: Option<&mut Labels>) {
        let calls = batch.calls.as_ref().map(CallColumns::of);
        for row in 0..batch.rows.num_rows() {
            if self.predicted.len() >= MAX_ROWS_HELD {
                self.full = true;
                return;
            }
            if let (Some(calls), Some(labels)) = (&calls, labels.as_deref_mut()) {
                self.enter(calls, row, labels);
                if self.call.as_ref().is_some_and(|call| call.left_out) {
                    continue;
                }
            }
            self.push(&batch.rows, calls.as_ref(), row);
        }
    }

    /// Ends the rows before this one where it is of another call, and looks up the label of the new call.
    fn enter(&mut self, calls: &CallColumns<'_>, row: usize, labels: &mut Labels) {
        let event_id = text(calls.event_id, row);
        if self.call.is_some() && calls.row_of_call(row) > 0 {
            return;
        }
        self.leave(labels);
        let repeated = event_id.is_some_and(|id| !self.seen.insert(hash(id)));
        self.left.repeated_calls += u64::from(repeated);
        let time = calls.time(row);
        let inside = self.window.as_ref().is_none_or(|window| time.is_some_and(|time| window.contains(&time)));
        self.left.other_time_calls += u64::from(!repeated && !inside);
        // A label of a call that is left out belongs to a captured call all the same.
        let found = labels.find(text(calls.inference_id, row), event_id);
        let left_out = repeated || !inside;
        let label = found.filter(|_| !left_out).cloned();
        self.call = Some(Call { time, label, first_row: self.actual.len(), left_out });
    }

    /// Gives the rows of the last call their labels.
    fn leave(&mut self, labels: &mut Labels) {
        let Some(call) = self.call.take().filter(|call| !call.left_out) else { return };
        let rows = self.actual.len() - call.first_row;
        let label = call.label.filter(|label| {
            let fits = label.values.len() == rows;
            if !fits {
                labels.misfit();
            }
            fits
        });
        self.calls.push(call.time, label.as_ref().map(|label| label.arrived));
        for (offset, value) in label.iter().flat_map(|label| label.values.iter().enumerate()) {
            self.actual[call.first_row + offset] = value.as_deref().map_or(NONE, |value| self.outcome(value, false));
        }
    }

    fn push(&mut self, rows: &RecordBatch, calls: Option<&CallColumns<'_>>, row: usize) {
        let cell = |place: Option<usize>| place.and_then(|place| value(rows.column(place), row));
        let inference = cell(self.places.inference);
        let label = cell(self.places.label);
        let probability = cell(self.places.probability);
        let score = match &probability {
            Some(text) => finite(text),
            None => NONE,
        };
        let predicted = match (&inference, self.places.inference) {
            (Some(text), _) => self.outcome(text, true),
            // Which class is positive is known at the end; the score says which side of the threshold.
            (None, None) if probability.is_some() && score.is_nan() => {
                self.left.bad_prediction += 1;
                NONE
            }
            (None, None) if probability.is_some() => score,
            _ => {
                self.left.no_prediction += 1;
                NONE
            }
        };
        let actual = label.map_or(NONE, |text| self.outcome(&text, false));
        self.features.push(rows, row, self.actual.len());
        self.predicted.push(predicted);
        self.scores.push(score);
        self.actual.push(actual);
        let consumer = calls.and_then(|calls| text(calls.consumer, row));
        self.consumers.push(consumer.unwrap_or(NO_VALUE));
        for (_, place, names) in &mut self.segments {
            names.push(value(rows.column(*place), row).as_deref().unwrap_or(NO_VALUE));
        }
    }

    /// The number of a class, or a number; NaN where it is none, which is booked.
    fn outcome(&mut self, text: &str, prediction: bool) -> f64 {
        let outcome = match self.attributes.problem {
            ProblemType::Regression => finite(text),
            ProblemType::MulticlassClassification => self.classes.number(text, MAX_CLASSES),
            ProblemType::BinaryClassification if self.attributes.positive.is_none() => {
                // Answers in JSON say true where labels say 1.
                let is = |word| text.eq_ignore_ascii_case(word);
                let class = if is("true") {
                    "1"
                } else if is("false") {
                    "0"
                } else {
                    text
                };
                self.classes.number(class, MAX_CLASSES)
            }
            ProblemType::BinaryClassification => self.classes.number(text, MAX_CLASSES),
        };
        if outcome.is_nan() {
            *(if prediction { &mut self.left.bad_prediction } else { &mut self.left.bad_label }) += 1;
        }
        outcome
    }

    /// Whether rows beyond [`MAX_ROWS_HELD`] were not taken.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// All rows.
    ///
    /// # Errors
    /// When a binary problem has other classes than two, or nobody can tell which of them is positive.
    pub fn finish(mut self, labels: Option<&mut Labels>) -> Result<Outcomes, Attribute> {
        if let Some(labels) = labels {
            self.leave(labels);
        }
        let segment = |(column, names): (String, Names)| Segment { column, values: names.names, of_row: names.of_row };
        let segments = std::iter::once(("consumer".to_owned(), self.consumers))
            .chain(self.segments.into_iter().map(|(name, _, names)| (name, names)));
        let by_score = self.places.inference.is_none();
        Outcomes::new(
            &self.attributes,
            super::outcomes::Raw {
                classes: self.classes.names,
                predicted: self.predicted,
                actual: self.actual,
                scores: self.places.probability.map(|_| self.scores),
                by_score,
                segments: segments.map(segment).collect(),
                left: self.left,
                calls: self.calls,
                features: self.features,
            },
        )
    }
}

impl Names {
    fn number(&mut self, name: &str, most: usize) -> f64 {
        if let Some(&number) = self.numbers.get(name) {
            return f64::from(number);
        }
        if self.names.len() >= most {
            return NONE;
        }
        let number = self.names.len() as u32;
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        f64::from(number)
    }

    fn push(&mut self, name: &str) {
        let mut number = self.number(name, MAX_SEGMENT_VALUES);
        if number.is_nan() {
            number = self.number(OTHER_VALUES, MAX_SEGMENT_VALUES + 1);
        }
        self.of_row.push(number as u32);
    }
}

/// The columns of a batch that tell its calls.
struct CallColumns<'a> {
    event_id: Option<&'a StringArray>,
    inference_id: Option<&'a StringArray>,
    consumer: Option<&'a StringArray>,
    times: Option<&'a ArrayRef>,
    rows_of_calls: Option<&'a ArrayRef>,
}

impl<'a> CallColumns<'a> {
    fn of(calls: &'a RecordBatch) -> Self {
        let texts = |name: &str| calls.column_by_name(name).map(|array| array.as_string::<i32>());
        Self {
            event_id: texts("event_id"),
            inference_id: texts("inference_id"),
            consumer: texts("consumer"),
            times: calls.column_by_name("inference_time"),
            rows_of_calls: calls.column_by_name("row_of_call"),
        }
    }

    fn row_of_call(&self, row: usize) -> u32 {
        self.rows_of_calls.map_or(0, |rows| rows.as_primitive::<UInt32Type>().value(row))
    }

    fn time(&self, row: usize) -> Option<Timestamp> {
        let times = self.times?.as_primitive::<TimestampMicrosecondType>();
        times.is_valid(row).then(|| Timestamp::from_unix_us(times.value(row)))
    }
}

fn text(array: Option<&StringArray>, row: usize) -> Option<&str> {
    array.filter(|array| array.is_valid(row)).map(|array| array.value(row))
}

/// A cell as it is compared.
fn value(array: &ArrayRef, row: usize) -> Option<Box<str>> {
    if array.is_null(row) {
        None
    } else if *array.data_type() == DataType::Float64 {
        Some(number_text(array.as_primitive::<Float64Type>().value(row)).into())
    } else {
        canonical(array.as_string::<i32>().value(row))
    }
}

fn finite(text: &str) -> f64 {
    match number(text) {
        Parsed::Number { value, .. } => value,
        Parsed::Blank | Parsed::Text => NONE,
    }
}

/// Ids are compared by 64 bits: among twenty million calls, two share them by chance once in 90,000 jobs.
fn hash(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}
