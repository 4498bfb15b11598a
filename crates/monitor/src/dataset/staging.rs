//! Rows of numbers on their way into columns.
//!
//! A row is written side by side; once there are a few rows each column takes its part of all of them. Written cell by cell
//! into columns, every number would go to another place in memory, and places as far apart as long columns are share a few
//! lines of the cache.
//!
//! Invariant: what is staged is of whole rows, in their order.

use super::column::Column;
use super::digits::{Line, read};

/// Numbers that are staged at the most, in rows of at least one and at most [`ROWS`].
const NUMBERS: usize = 1 << 17;
/// Rows that are moved together.
const ROWS: usize = 32;

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
}

impl Staging {
    pub(super) fn new(width: usize) -> Self {
        let rows_max = (NUMBERS / width.max(1)).clamp(1, ROWS);
        Self { width, rows_max, rows: 0, numbers: Vec::new(), whole: Vec::new(), ends: Vec::new() }
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
        let (mut numbers, mut whole) = ([0.0; ROWS], [0; ROWS]);
        for (place, column) in columns.iter_mut().enumerate() {
            let of_column = |cells: usize| (place..cells).step_by(self.width);
            for (to, from) in of_column(staged).enumerate() {
                (numbers[to], whole[to]) = (self.numbers[from], self.whole[from]);
            }
            column.push_numbers(&numbers[..self.rows], &whole[..self.rows]);
        }
        self.rows = 0;
    }
}
