//! The cells of one column of a batch, as they come in.
//!
//! Invariant: a column of numbers holds finite numbers and, where a cell is missing, NaN; the counts of its kinds and its
//! missing cells sum to its length.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{ArrayRef, BooleanArray, Float64Array};

use super::batch::{Kinds, number_text};
use super::cell::{Cell, Parsed, number, number_at};
use super::staging::ROWS;

pub(super) struct Column {
    cells: Cells,
    kinds: Kinds,
    /// Whether it turned out to hold text after numbers had been taken in.
    promoted: bool,
    /// Cells of the last batch, as many as there are likely of the next one.
    expected: usize,
}

enum Cells {
    Numbers(Vec<f64>),
    Texts(StringBuilder),
}

impl Column {
    pub(super) fn new(text: bool) -> Self {
        let cells = if text { Cells::Texts(StringBuilder::new()) } else { Cells::Numbers(Vec::new()) };
        Self { cells, kinds: Kinds::default(), promoted: false, expected: 0 }
    }

    /// Makes room for so many cells when the first of a batch come.
    pub(super) fn expect(&mut self, cells: usize) {
        self.expected = cells;
    }

    pub(super) fn is_promoted(&self) -> bool {
        self.promoted
    }

    pub(super) fn is_text(&self) -> bool {
        matches!(self.cells, Cells::Texts(_))
    }

    /// Takes the cell that begins at `at` in a line of CSV without quotes; answers where it ends, and the bytes of text
    /// that are held for it.
    #[inline]
    pub(super) fn push_at(&mut self, line: &str, at: usize) -> (usize, usize) {
        if let Cells::Numbers(numbers) = &mut self.cells
            && let Some((value, integral, end)) = number_at(line.as_bytes(), at)
        {
            self.kinds.count_number(integral);
            numbers.push(value);
            return (end, 0);
        }
        let rest = &line[at..];
        let length = memchr::memchr(b',', rest.as_bytes()).unwrap_or(rest.len());
        (at + length, self.push_text_of(&rest[..length]))
    }

    /// Takes numbers, NaN where a cell is missing, of these kinds. The column holds numbers.
    pub(super) fn push_numbers(&mut self, numbers: &[f64], kinds: Kinds) {
        let Cells::Numbers(held) = &mut self.cells else {
            unreachable!("our bug: numbers are staged for a column of text")
        };
        self.kinds.integral += kinds.integral;
        self.kinds.fractional += kinds.fractional;
        if held.is_empty() {
            held.reserve_exact(self.expected);
        }
        match numbers.first_chunk::<ROWS>() {
            // Of a length that is known: copied in place, without a call.
            Some(all) if numbers.len() == ROWS => held.extend_from_slice(all),
            _ => held.extend_from_slice(numbers),
        }
    }

    /// Takes a cell as text, whatever it turns out to be; answers the bytes of text that are held for it.
    pub(super) fn push_text_of(&mut self, text: &str) -> usize {
        match number(text) {
            Parsed::Blank => self.push_missing(),
            Parsed::Number { value, integral } => self.push_number(value, integral, text),
            Parsed::Text => self.push_text(text),
        }
    }

    /// Takes a cell that is known; answers the bytes of text that are held for it.
    pub(super) fn push(&mut self, cell: &Cell<'_>) -> usize {
        match cell {
            Cell::Missing => self.push_missing(),
            Cell::Number { value, integral, text } => self.push_number(*value, *integral, text),
            Cell::Text(text) => self.push_text(text),
        }
    }

    /// The cells so far, and how they were written; `rows` is their number.
    pub(super) fn take(&mut self, rows: usize) -> (ArrayRef, Kinds) {
        let kinds = std::mem::take(&mut self.kinds);
        let array: ArrayRef = match &mut self.cells {
            Cells::Texts(texts) => Arc::new(texts.finish()),
            Cells::Numbers(numbers) => {
                self.expected = rows;
                let numbers = std::mem::take(numbers);
                let present = kinds.integral + kinds.fractional;
                Arc::new(if present == rows as u64 { Float64Array::from(numbers) } else { with_gaps(numbers) })
            }
        };
        (array, kinds)
    }

    fn push_missing(&mut self) -> usize {
        match &mut self.cells {
            Cells::Numbers(numbers) => numbers.push(f64::NAN),
            Cells::Texts(texts) => texts.append_null(),
        }
        0
    }

    fn push_number(&mut self, value: f64, integral: bool, text: &str) -> usize {
        self.kinds.count_number(integral);
        match &mut self.cells {
            Cells::Numbers(numbers) => {
                numbers.push(value);
                0
            }
            Cells::Texts(texts) => {
                texts.append_value(text);
                text.len()
            }
        }
    }

    fn push_text(&mut self, text: &str) -> usize {
        self.kinds.text += 1;
        if let Cells::Numbers(numbers) = &self.cells {
            let mut texts = StringBuilder::new();
            numbers.iter().for_each(|&number| texts.append_option((!number.is_nan()).then(|| number_text(number))));
            self.cells = Cells::Texts(texts);
            self.promoted = true;
        }
        if let Cells::Texts(texts) = &mut self.cells {
            texts.append_value(text);
        }
        text.len()
    }
}

fn with_gaps(numbers: Vec<f64>) -> Float64Array {
    let present = BooleanArray::from(numbers.iter().map(|number| !number.is_nan()).collect::<Vec<bool>>());
    Float64Array::new(numbers.into(), Some(present.values().clone().into()))
}
