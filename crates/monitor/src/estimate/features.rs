//! A bounded sample of rows with their numbers, to learn and to estimate losses from.
//!
//! Invariant: every n-th row is in the sample, n a power of two, so it depends on the rows only. Refuses to: encode text.

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;

/// Rows of the sample; when it is full every second one goes.
pub const MAX_FEATURE_ROWS: usize = 20_000;
/// Columns that are looked at, in their order.
const MAX_FEATURES: usize = 256;

/// One row of the sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// Which row it is.
    pub row: usize,
    /// Its numbers; NaN for text and for nothing.
    pub values: Box<[f64]>,
}

/// The sample.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FeatureRows {
    /// Names of the columns.
    pub names: Vec<String>,
    /// The rows.
    pub rows: Vec<Features>,
    pub(super) places: Vec<usize>,
    pub(super) stride: usize,
}

impl FeatureRows {
    /// A sample of rows with these columns, without the column of the label.
    #[must_use]
    pub fn new(names: &[String], label: Option<usize>) -> Self {
        let places: Vec<usize> = (0..names.len()).filter(|&place| Some(place) != label).take(MAX_FEATURES).collect();
        let names = places.iter().map(|&place| names[place].clone()).collect();
        Self { names, rows: Vec::new(), places, stride: 1 }
    }

    /// Takes row `row` of a batch, which is the `number`-th of all.
    pub(crate) fn push(&mut self, batch: &RecordBatch, row: usize, number: usize) {
        if self.places.is_empty() || !number.is_multiple_of(self.stride) {
            return;
        }
        let value = |&place: &usize| {
            let array = batch.column(place);
            if *array.data_type() == DataType::Float64 && array.is_valid(row) {
                array.as_primitive::<Float64Type>().value(row)
            } else {
                f64::NAN
            }
        };
        self.rows.push(Features { row: number, values: self.places.iter().map(value).collect() });
        if self.rows.len() > MAX_FEATURE_ROWS {
            self.stride *= 2;
            self.rows.retain(|features| features.row.is_multiple_of(self.stride));
        }
    }
}
