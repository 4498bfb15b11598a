//! Statistics of one column.

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use serde::{Deserialize, Serialize};

use super::categories::Categories;
use super::moments::Moments;
use crate::dataset::{Kinds, Parsed, number};
use crate::sketch::{HyperLogLog, Kll, MANY_ROWS};
use crate::stored::{Writer, Written};

/// What a column holds, in Model Monitor's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum InferredType {
    /// Every present value is a whole number.
    Integral,
    /// Every present value is a number, at least one with a fraction.
    Fractional,
    /// At least one present value is text.
    String,
    /// No value is present.
    #[serde(other)]
    Unknown,
}

/// Mergeable statistics of one column. Numbers in a text column are in both the numeric and the textual part.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnProfile {
    /// Its name.
    pub name: String,
    /// Rows without a value.
    pub missing: u64,
    /// How the present values were written.
    pub kinds: Kinds,
    /// Moments of the numbers.
    pub moments: Moments,
    /// Quantiles of the numbers.
    pub quantiles: Kll,
    /// Exact counts of the values of a text column.
    pub categories: Categories,
    distinct_numbers: HyperLogLog,
    distinct_texts: HyperLogLog,
}

impl ColumnProfile {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            missing: 0,
            kinds: Kinds::default(),
            moments: Moments::default(),
            quantiles: Kll::default(),
            categories: Categories::default(),
            distinct_numbers: HyperLogLog::default(),
            distinct_texts: HyperLogLog::default(),
        }
    }

    /// An empty one into which this many numbers are about to come.
    pub(super) fn of_coming(name: &str, numbers: u64) -> Self {
        let quantiles = if numbers >= MANY_ROWS { Kll::of_many() } else { Kll::default() };
        Self { quantiles, ..Self::new(name) }
    }

    /// Adds the cells of a batch; `numbers` is room that all columns of the batch use in turn.
    pub(super) fn update(&mut self, array: &ArrayRef, kinds: Kinds, numbers: &mut Vec<f64>) {
        self.missing += array.null_count() as u64;
        self.kinds.integral += kinds.integral;
        self.kinds.fractional += kinds.fractional;
        self.kinds.text += kinds.text;
        numbers.clear();
        if *array.data_type() == DataType::Float64 {
            let array = array.as_primitive::<Float64Type>();
            if array.null_count() < array.len() {
                self.categories.give_up();
            }
            let Some(gaps) = array.nulls().filter(|gaps| gaps.null_count() > 0) else {
                self.distinct_numbers.insert_numbers(array.values());
                return self.take_numbers(array.values());
            };
            gaps.valid_slices().for_each(|(start, end)| numbers.extend_from_slice(&array.values()[start..end]));
            self.distinct_numbers.insert_numbers(numbers);
            return self.take_numbers(numbers);
        }
        for text in array.as_string::<i32>().iter().flatten() {
            if let Parsed::Number { value, .. } = number(text) {
                numbers.push(value);
            }
            self.distinct_texts.insert_text(text);
            self.categories.insert(text);
        }
        self.take_numbers(numbers);
    }

    fn take_numbers(&mut self, values: &[f64]) {
        self.moments.merge(&Moments::of(values));
        self.quantiles.insert_all(values);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.missing += other.missing;
        self.kinds.integral += other.kinds.integral;
        self.kinds.fractional += other.kinds.fractional;
        self.kinds.text += other.kinds.text;
        self.moments.merge(&other.moments);
        self.quantiles.merge(&other.quantiles);
        self.categories.merge(&other.categories);
        self.distinct_numbers.merge(&other.distinct_numbers);
        self.distinct_texts.merge(&other.distinct_texts);
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.text(&self.name);
        let Kinds { integral, fractional, text } = self.kinds;
        [self.missing, integral, fractional, text].into_iter().for_each(|count| out.number(count));
        self.moments.write(out);
        self.quantiles.write(out);
        self.categories.write(out);
        self.distinct_numbers.write(out);
        self.distinct_texts.write(out);
    }

    pub(crate) fn read(written: &mut Written<'_>) -> Option<Self> {
        Some(Self {
            name: written.text()?,
            missing: written.rows()?,
            kinds: Kinds { integral: written.rows()?, fractional: written.rows()?, text: written.rows()? },
            moments: Moments::read(written)?,
            quantiles: Kll::read(written)?,
            categories: Categories::read(written)?,
            distinct_numbers: HyperLogLog::read(written)?,
            distinct_texts: HyperLogLog::read(written)?,
        })
    }

    /// Rows with a value.
    #[must_use]
    pub fn present(&self) -> u64 {
        self.kinds.integral + self.kinds.fractional + self.kinds.text
    }

    /// Share of rows with a value; 1 of no rows.
    #[must_use]
    pub fn completeness(&self) -> f64 {
        let rows = self.present() + self.missing;
        if rows == 0 { 1.0 } else { self.present() as f64 / rows as f64 }
    }

    /// The type by Deequ's rules.
    #[must_use]
    pub fn inferred_type(&self) -> InferredType {
        match self.kinds {
            Kinds { text: 1.., .. } => InferredType::String,
            Kinds { fractional: 1.., .. } => InferredType::Fractional,
            Kinds { integral: 1.., .. } => InferredType::Integral,
            _ => InferredType::Unknown,
        }
    }

    /// Different values: exact for few texts, else an estimate with a standard error of 1.6 %.
    #[must_use]
    pub fn distinct(&self) -> u64 {
        match self.categories.counts() {
            Some(counts) => counts.len() as u64,
            None => (self.distinct_numbers.estimate() + self.distinct_texts.estimate()).min(self.present()),
        }
    }
}
