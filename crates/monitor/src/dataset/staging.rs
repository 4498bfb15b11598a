//! Rows of numbers on their way into columns.
//!
//! A row is written side by side; once there are a few rows each column takes its part of all of them. Written cell by cell
//! into columns, every number would go to another place in memory, and places as far apart as long columns are share a few
//! lines of the cache.
//!
//! Invariant: what is staged is of whole rows, in their order.

use super::batch::Kinds;
use super::column::Column;
use super::digits::{Line, read};
use crate::instructions::vectorised;

/// Numbers that are staged at the most, in rows of at least one and at most [`ROWS`].
const NUMBERS: usize = 1 << 17;
/// Rows that are moved together.
pub(super) const ROWS: usize = 32;
/// Columns that are filled side by side: a line of the cache of each row.
const SIDE_BY_SIDE: usize = 8;

/// A few rows, in which every cell is a number or missing.
pub(super) struct Staging {
    width: usize,
    rows_max: usize,
    rows: usize,
    numbers: Vec<f64>,
    /// 1 for what was written as a whole number.
    whole: Vec<u8>,
    /// Room for the reader of lines.
    ends: Vec<u32>,
    /// Room for counts by column: of present numbers, and of whole ones among them.
    kinds: Vec<[u8; 2]>,
}

impl Staging {
    pub(super) fn new(width: usize) -> Self {
        let rows_max = (NUMBERS / width.max(1)).clamp(1, ROWS);
        Self { width, rows_max, rows: 0, numbers: Vec::new(), whole: Vec::new(), ends: Vec::new(), kinds: Vec::new() }
    }

    /// Takes a row of lines, one behind the other, if every cell of it is a number or missing and there is one for each
    /// column. There must be room for it.
    pub(super) fn take<'b>(&mut self, lines: impl Iterator<Item = Line<'b>>) -> bool {
        if self.numbers.is_empty() {
            self.numbers.resize(self.rows_max * self.width, 0.0);
            self.whole.resize(self.rows_max * self.width, 0);
        }
        let places = self.rows * self.width..(self.rows + 1) * self.width;
        let (numbers, whole) = (&mut self.numbers[places.clone()], &mut self.whole[places]);
        let mut at = 0;
        for line in lines {
            let Some(count) = read(line, &mut self.ends, (&mut numbers[at..], &mut whole[at..])) else { return false };
            at += count;
        }
        let fits = at == self.width;
        self.rows += usize::from(fits);
        fits
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows == self.rows_max
    }

    /// Moves what is staged into the columns.
    pub(super) fn move_into(&mut self, columns: &mut [Column]) {
        if self.rows == 0 {
            return;
        }
        let staged = self.rows * self.width;
        self.kinds.clear();
        self.kinds.resize(self.width, [0; 2]);
        for (numbers, whole) in self.numbers[..staged].chunks(self.width).zip(self.whole.chunks(self.width)) {
            count(numbers, whole, &mut self.kinds);
        }
        let mut side_by_side = [[0.0; ROWS]; SIDE_BY_SIDE];
        for (group, columns) in columns.chunks_mut(SIDE_BY_SIDE).enumerate() {
            let first = group * SIDE_BY_SIDE;
            for (row, numbers) in self.numbers[..staged].chunks(self.width).enumerate() {
                let numbers = &numbers[first..first + columns.len()];
                side_by_side.iter_mut().zip(numbers).for_each(|(column, number)| column[row] = *number);
            }
            for ((column, numbers), kinds) in columns.iter_mut().zip(&side_by_side).zip(&self.kinds[first..]) {
                let [present, whole] = kinds.map(u64::from);
                column.push_numbers(
                    &numbers[..self.rows],
                    Kinds { integral: whole, fractional: present - whole, text: 0 },
                );
            }
        }
        self.rows = 0;
    }
}

vectorised! {
    /// Counts by column what is present and what of it was written as a whole number.
    fn count(numbers: &[f64], whole: &[u8], kinds: &mut [[u8; 2]]) {
        for ((number, whole), [presents, wholes]) in numbers.iter().zip(whole).zip(kinds) {
            *presents = presents.wrapping_add(u8::from(!number.is_nan()));
            *wholes = wholes.wrapping_add(*whole);
        }
    }
}
