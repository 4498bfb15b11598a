//! Values of the drifted features by consumer, in a bounded space.

use std::collections::{BTreeMap, HashMap};

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use captura_names::Timestamp;

use super::{MAX_CONSUMERS, MAX_FEATURES, MAX_ROWS};
use crate::dataset::{Batch, Parsed, number};

/// Where rows of consumers beyond [`MAX_CONSUMERS`] are booked.
pub(super) const OTHER_CONSUMERS: &str = "(other consumers)";
/// Different texts of one feature told apart; the further ones are one category.
const MAX_TEXTS: usize = 4096;
/// Stands for a missing value in a column of numbers or of category numbers.
const MISSING: f64 = f64::NAN;

/// Collects, batch by batch, what finding causes needs.
#[derive(Debug)]
pub struct Collector {
    features: Vec<Feature>,
    consumers: BTreeMap<Option<String>, Rows>,
    rows: u64,
}

#[derive(Debug)]
struct Feature {
    name: String,
    /// Compared by category: values are numbers of `texts`.
    categorical: bool,
    numbers_of_texts: HashMap<String, usize>,
    texts: Vec<String>,
}

/// Rows of one consumer; `values[feature][row]`.
#[derive(Debug)]
struct Rows {
    seen: u64,
    stride: u64,
    keys: Vec<RowKey>,
    values: Vec<Vec<f64>>,
}

/// Which call a row came from.
#[derive(Debug, Clone)]
pub(super) struct RowKey {
    pub(super) time: Option<Timestamp>,
    pub(super) event_id: Option<Box<str>>,
    /// Place in the data set, which breaks ties of the whole-second times.
    place: u64,
}

/// The present values of one feature and one consumer, in the order of the calls.
pub(super) struct Series<'a> {
    pub(super) consumer: Option<String>,
    pub(super) values: Vec<f64>,
    /// Rows each value stands for.
    pub(super) weight: u64,
    keys: Vec<&'a RowKey>,
    texts: &'a [String],
}

impl Series<'_> {
    /// The call of the value at `place`.
    pub(super) fn key(&self, place: usize) -> &RowKey {
        self.keys[place]
    }

    pub(super) fn category(&self, value: f64) -> &str {
        self.texts.get(value as usize).map_or("", String::as_str)
    }
}

impl Collector {
    /// Collects for these features (name, whether compared by category); only the first [`MAX_FEATURES`].
    pub fn new(features: impl IntoIterator<Item = (String, bool)>) -> Self {
        let feature =
            |(name, categorical)| Feature { name, categorical, numbers_of_texts: HashMap::new(), texts: Vec::new() };
        Self {
            features: features.into_iter().take(MAX_FEATURES).map(feature).collect(),
            consumers: BTreeMap::new(),
            rows: 0,
        }
    }

    /// Takes a batch that carries its calls; without them the rows have no consumer, time or identity.
    pub fn take(&mut self, batch: &Batch) {
        let rows = batch.rows.num_rows();
        let values: Vec<Vec<f64>> = self
            .features
            .iter_mut()
            .map(|feature| match batch.rows.column_by_name(&feature.name) {
                Some(array) => feature.values(array),
                None => vec![MISSING; rows],
            })
            .collect();
        let texts = |name: &str| {
            batch.calls.as_ref().and_then(|calls| calls.column_by_name(name)).map(|a| a.as_string::<i32>())
        };
        let (event_ids, consumers) = (texts("event_id"), texts("consumer"));
        let times = batch.calls.as_ref().and_then(|calls| calls.column_by_name("inference_time"));
        let times = times.map(|array| array.as_primitive::<TimestampMicrosecondType>());
        for row in 0..rows {
            let text = |array: Option<&'_ arrow_array::StringArray>| {
                array.filter(|array| array.is_valid(row)).map(|array| array.value(row).to_owned())
            };
            let time = times.filter(|times| times.is_valid(row)).map(|times| Timestamp::from_unix_us(times.value(row)));
            let key = || RowKey { time, event_id: text(event_ids).map(String::into_boxed_str), place: self.rows };
            let consumer = text(consumers);
            let known = self.consumers.contains_key(&consumer) || self.consumers.len() < MAX_CONSUMERS;
            let consumer = if known { consumer } else { Some(OTHER_CONSUMERS.to_owned()) };
            let account = self.consumers.entry(consumer).or_insert_with(|| Rows::new(values.len()));
            account.push(key, values.iter().map(|values| values[row]));
            self.rows += 1;
        }
    }

    pub(super) fn is_categorical(&self, name: &str) -> bool {
        self.features.iter().any(|feature| feature.name == name && feature.categorical)
    }

    pub(super) fn feature(&self, name: &str) -> Option<usize> {
        self.features.iter().position(|feature| feature.name == name)
    }

    /// The series of every consumer, in the order of their names.
    pub(super) fn series(&self, feature: usize) -> Vec<Series<'_>> {
        let texts = &self.features[feature].texts;
        let series = |(consumer, rows): (&Option<String>, &'_ Rows)| {
            let mut order: Vec<usize> =
                (0..rows.keys.len()).filter(|&row| !rows.values[feature][row].is_nan()).collect();
            order.sort_by_key(|&row| (rows.keys[row].time, rows.keys[row].place));
            (consumer.clone(), order)
        };
        self.consumers
            .iter()
            .map(|entry| {
                let rows = entry.1;
                let (consumer, order) = series(entry);
                Series {
                    consumer,
                    values: order.iter().map(|&row| rows.values[feature][row]).collect(),
                    weight: rows.stride,
                    keys: order.iter().map(|&row| &rows.keys[row]).collect(),
                    texts,
                }
            })
            .collect()
    }
}

impl Feature {
    fn values(&mut self, array: &ArrayRef) -> Vec<f64> {
        if *array.data_type() == DataType::Float64 {
            let array = array.as_primitive::<Float64Type>();
            if !self.categorical {
                return array.iter().map(|value| value.unwrap_or(MISSING)).collect();
            }
            let texts = array.iter().map(|value| value.map(crate::dataset::number_text));
            return texts.map(|text| text.map_or(MISSING, |text| self.category(&text))).collect();
        }
        let array = array.as_string::<i32>();
        let value = |text: Option<&str>| match text {
            None => MISSING,
            Some(text) if self.categorical => self.category(text),
            Some(text) => match number(text) {
                Parsed::Number { value, .. } => value,
                Parsed::Blank | Parsed::Text => MISSING,
            },
        };
        array.iter().map(value).collect()
    }

    fn category(&mut self, text: &str) -> f64 {
        if let Some(&number) = self.numbers_of_texts.get(text) {
            return number as f64;
        }
        let number = self.texts.len();
        if number > MAX_TEXTS {
            return MAX_TEXTS as f64;
        }
        self.texts.push(text.to_owned());
        self.numbers_of_texts.insert(text.to_owned(), number);
        number as f64
    }
}

impl Rows {
    fn new(features: usize) -> Self {
        Self { seen: 0, stride: 1, keys: Vec::new(), values: vec![Vec::new(); features] }
    }

    fn push(&mut self, key: impl FnOnce() -> RowKey, values: impl Iterator<Item = f64>) {
        if self.seen.is_multiple_of(self.stride) {
            self.keys.push(key());
            self.values.iter_mut().zip(values).for_each(|(column, value)| column.push(value));
        }
        self.seen += 1;
        if self.keys.len() > MAX_ROWS {
            self.stride *= 2;
            keep_every_second(&mut self.keys);
            self.values.iter_mut().for_each(keep_every_second);
        }
    }
}

fn keep_every_second<T>(values: &mut Vec<T>) {
    let mut place = 0;
    values.retain(|_| {
        place += 1;
        place % 2 == 1
    });
}
