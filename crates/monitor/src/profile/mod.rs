//! Mergeable statistics of a window of rows.
//!
//! Invariant: `merge` adds counts exactly, sums within rounding, extremes exactly, and quantiles within the sketch's
//! error, whatever the order and grouping. Refuses to: see rows twice, keep rows.

mod categories;
mod column;
mod moments;

pub use categories::{Categories, MAX_CATEGORIES, MAX_CATEGORY_BYTES};
pub use column::{ColumnProfile, InferredType};
pub use moments::Moments;

use crate::dataset::Batch;
use crate::stored::{Writer, Written};

/// Columns whose sketches may keep room for what the next merge brings; of more of them it would be much.
const ROOMY_COLUMNS: usize = 512;

/// Statistics of every column of a data set.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DatasetProfile {
    /// Rows seen.
    pub rows: u64,
    /// Columns in order.
    pub columns: Vec<ColumnProfile>,
}

/// Two profiles do not describe the same columns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("profiles of different columns cannot be merged: [{}] and [{}]", mine.join(", "), theirs.join(", "))]
pub struct DifferentColumns {
    mine: Vec<String>,
    theirs: Vec<String>,
}

impl DatasetProfile {
    /// An empty profile of these columns.
    #[must_use]
    pub fn of_columns(names: &[String]) -> Self {
        Self { rows: 0, columns: names.iter().map(|name| ColumnProfile::new(name)).collect() }
    }

    /// An empty profile of the columns of these batches, which are about to come, and likely more of them.
    pub(crate) fn of_coming(batches: [&Batch; 2]) -> Self {
        let [first, second] = batches;
        let schema = first.rows.schema();
        let kinds = first.kinds.iter().zip(&second.kinds);
        let columns = schema.fields().iter().zip(kinds).map(|(field, (first, second))| {
            let numbers = [first, second].iter().map(|kinds| kinds.integral + kinds.fractional).sum();
            ColumnProfile::of_coming(field.name(), numbers)
        });
        Self { rows: 0, columns: columns.collect() }
    }

    /// Adds the rows of a batch. The first batch gives an empty profile its columns.
    ///
    /// # Panics
    /// When the batch has other columns: batches of one data set always have the same.
    pub fn update(&mut self, batch: &Batch) {
        let schema = batch.rows.schema();
        if self.columns.is_empty() {
            self.columns = schema.fields().iter().map(|field| ColumnProfile::new(field.name())).collect();
        }
        assert_eq!(
            self.columns.len(),
            batch.rows.num_columns(),
            "our bug: batches of one data set share their columns"
        );
        self.rows += batch.rows.num_rows() as u64;
        let mut numbers = Vec::new();
        for ((column, array), kinds) in self.columns.iter_mut().zip(batch.rows.columns()).zip(&batch.kinds) {
            column.update(array, *kinds, &mut numbers);
        }
    }

    /// Adds the rows of another profile. An empty profile without columns takes the other's.
    ///
    /// # Errors
    /// When the columns are named differently.
    pub fn merge(&mut self, other: &Self) -> Result<(), DifferentColumns> {
        if other.columns.is_empty() {
            return Ok(());
        }
        if self.columns.is_empty() {
            self.clone_from(other);
            return Ok(());
        }
        if !self.names().eq(other.names()) {
            let list = |profile: &Self| profile.names().map(str::to_owned).collect();
            return Err(DifferentColumns { mine: list(self), theirs: list(other) });
        }
        self.rows += other.rows;
        self.columns.iter_mut().zip(&other.columns).for_each(|(mine, theirs)| mine.merge(theirs));
        if self.columns.len() > ROOMY_COLUMNS {
            self.columns.iter_mut().for_each(|column| column.quantiles.shrink());
        }
        Ok(())
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.number(self.rows);
        out.count(self.columns.len());
        self.columns.iter().for_each(|column| column.write(out));
    }

    pub(crate) fn read(written: &mut Written<'_>) -> Option<Self> {
        Some(Self { rows: written.rows()?, columns: written.list(100, ColumnProfile::read)? })
    }

    /// Names of the columns.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str())
    }
}

#[cfg(test)]
mod tests;
