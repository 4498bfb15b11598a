//! Rows and columns of a request.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use captura_route::Field;

use super::number;
use super::refusal::{Refusal, shortened};

/// What is kept of each cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cells {
    /// Numbers; text only where it is not a number. For models that take numbers alone.
    Numbers,
    /// Numbers, and every cell's text as it came (`007` stays `007`). For models that take text too.
    Verbatim,
}

/// One cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// Blank, `null`, or NaN.
    Missing,
    /// A number.
    Number(f64),
    /// Text; under [`Cells::Verbatim`] it may read as a number.
    Text(&'a str),
}

/// A request as rows × columns. Every row is equally wide; at least one row.
#[derive(Debug, Clone, Default)]
pub struct Table {
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Row by row. NaN where a cell is missing or is text that is no number.
    pub(super) numbers: Vec<f64>,
    /// Text by cell, ascending.
    pub(super) texts: Vec<(usize, Box<str>)>,
    /// One per column. A name that stands at several neighbours is one value of several numbers.
    pub(super) names: Option<Vec<String>>,
    /// Dimensions of one row; their product is `columns`.
    pub(super) row_shape: Vec<usize>,
}

impl Table {
    /// Number of rows, at least 1.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Dimensions of one row as sent: empty for a list of scalars, `[columns]` for plain rows, more for nested arrays.
    #[must_use]
    pub fn row_shape(&self) -> &[usize] {
        &self.row_shape
    }

    /// Names of the columns, where the body names them. Neighbours of equal name hold one value of several numbers.
    #[must_use]
    pub fn names(&self) -> Option<&[String]> {
        self.names.as_deref()
    }

    /// All cells row by row; NaN where a cell is missing or is text that is no number.
    #[must_use]
    pub fn numbers(&self) -> &[f64] {
        &self.numbers
    }

    /// Whether any cell has text.
    #[must_use]
    pub fn has_text(&self) -> bool {
        !self.texts.is_empty()
    }

    /// The cell at `row` and `column`, counted from 0; missing beyond the edges.
    #[must_use]
    pub fn cell(&self, row: usize, column: usize) -> Cell<'_> {
        if column >= self.columns || row >= self.rows {
            return Cell::Missing;
        }
        let index = row * self.columns + column;
        if let Ok(found) = self.texts.binary_search_by_key(&index, |(cell, _)| *cell) {
            return Cell::Text(&self.texts[found].1);
        }
        match self.numbers[index] {
            number if number.is_nan() => Cell::Missing,
            number => Cell::Number(number),
        }
    }

    /// The cell as text: as it came under [`Cells::Verbatim`], numbers printed shortest; `None` when missing.
    #[must_use]
    pub fn text(&self, row: usize, column: usize) -> Option<Cow<'_, str>> {
        match self.cell(row, column) {
            Cell::Missing => None,
            Cell::Text(text) => Some(Cow::Borrowed(text)),
            // `Display` prints 3.0 as "3", which is how a whole number came.
            Cell::Number(number) => Some(Cow::Owned(number.to_string())),
        }
    }

    /// The columns that carry `name`, a run of neighbours.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<Range<usize>> {
        let names = self.names.as_ref()?;
        let first = names.iter().position(|given| given == name)?;
        let width = names[first..].iter().take_while(|given| *given == name).count();
        Some(first..first + width)
    }

    /// The table in the order of the model's columns: by name when the body names its columns, else by position. Named
    /// columns that the model does not know are left out.
    ///
    /// # Errors
    /// When a column of the model is missing or holds several values a row, or the width does not fit.
    pub fn arrange(self, fields: &[Field]) -> Result<Self, Refusal> {
        let Some(names) = &self.names else {
            return if self.columns == fields.len() { Ok(self) } else { Err(self.wrong_width(fields.len())) };
        };
        if names.iter().map(String::as_str).eq(fields.iter().map(|field| field.name.as_str())) {
            return Ok(self);
        }
        let positions: HashMap<&str, usize> =
            names.iter().enumerate().map(|(position, name)| (name.as_str(), position)).collect();
        let order = fields
            .iter()
            .map(|Field { name, .. }| match positions.get(name.as_str()) {
                None => Err(self.missing(name)),
                // The map keeps the last of equal neighbours.
                Some(&last) if last > 0 && names[last - 1] == *name => {
                    Err(Refusal::SeveralValues { name: name.clone() })
                }
                Some(&position) => Ok(position),
            })
            .collect::<Result<Vec<usize>, Refusal>>()?;
        Ok(self.select(&order))
    }

    /// The rows, when each is `width` wide.
    ///
    /// # Errors
    /// When they are not.
    pub fn demand_width(&self, width: usize) -> Result<(), Refusal> {
        if self.columns == width { Ok(()) } else { Err(self.wrong_width(width)) }
    }

    /// Checks that the cells of these columns are numbers or missing. `names` are the model's names by position in
    /// `columns`, where it has any; the body's own names come second.
    ///
    /// # Errors
    /// Names the first cell that is not a number.
    pub fn demand_numbers(&self, columns: Range<usize>, names: &[Field]) -> Result<(), Refusal> {
        for (index, text) in &self.texts {
            let (row, column) = (index / self.columns, index % self.columns);
            if !columns.contains(&column) || number::read(text.as_bytes()).is_some() {
                continue;
            }
            let name = names
                .get(column - columns.start)
                .map(|field| field.name.clone())
                .or_else(|| self.names.as_ref().and_then(|names| names.get(column).cloned()));
            return Err(Refusal::NotANumber {
                row: row + 1,
                column: column + 1,
                name,
                text: shortened(text),
                hint: self.header_hint(row),
            });
        }
        Ok(())
    }

    /// The columns at these positions, in this order. Positions beyond the edge are our bug.
    #[must_use]
    pub fn select(&self, order: &[usize]) -> Self {
        let width = order.len();
        let mut numbers = Vec::with_capacity(self.rows * width);
        for row in self.numbers.chunks_exact(self.columns.max(1)) {
            numbers.extend(order.iter().map(|&column| row[column]));
        }
        let mut texts = Vec::new();
        if self.has_text() {
            let mut places: Vec<Vec<usize>> = vec![Vec::new(); self.columns];
            for (place, &column) in order.iter().enumerate() {
                places[column].push(place);
            }
            for (index, text) in &self.texts {
                let (row, column) = (index / self.columns, index % self.columns);
                texts.extend(places[column].iter().map(|place| (row * width + place, text.clone())));
            }
            texts.sort_unstable_by_key(|(index, _)| *index);
        }
        let names = self.names.as_ref().map(|names| order.iter().map(|&column| names[column].clone()).collect());
        Self { rows: self.rows, columns: width, numbers, texts, names, row_shape: vec![width] }
    }

    /// The rows with missing cells behind them until each is `width` wide; wider rows stay as they are.
    #[must_use]
    pub fn padded(self, width: usize) -> Self {
        if self.columns >= width || self.columns == 0 {
            return self;
        }
        let mut numbers = Vec::with_capacity(self.rows * width);
        for row in self.numbers.chunks_exact(self.columns) {
            numbers.extend_from_slice(row);
            numbers.resize(numbers.len() + width - self.columns, f64::NAN);
        }
        let moved = |index: usize| index / self.columns * width + index % self.columns;
        let texts = self.texts.into_iter().map(|(index, text)| (moved(index), text)).collect();
        Self { rows: self.rows, columns: width, numbers, texts, names: None, row_shape: vec![width] }
    }

    fn wrong_width(&self, expected: usize) -> Refusal {
        let hint = if self.columns == 1 && self.row_shape.is_empty() && self.rows == expected {
            "; a flat list is one value a row, so put the row into another pair of brackets".to_owned()
        } else if self.columns == expected + 1 {
            "; leave the label out".to_owned()
        } else {
            String::new()
        };
        Refusal::Width { found: self.columns, expected, hint }
    }

    fn missing(&self, name: &str) -> Refusal {
        let mut given: Vec<&str> = self.names.iter().flatten().map(String::as_str).take(8).collect();
        if self.columns > given.len() {
            given.push("…");
        }
        Refusal::MissingColumn { name: name.to_owned(), given: shortened(&given.join(", ")) }
    }

    /// When the whole first row is text, it is probably a header.
    fn header_hint(&self, row: usize) -> String {
        let all_text = (0..self.columns).all(|column| matches!(self.cell(0, column), Cell::Text(_)));
        if row == 0 && all_text && self.rows > 1 && self.names.is_none() {
            "; if the first line is a header, send content type \"text/csv; header=present\"".to_owned()
        } else {
            String::new()
        }
    }
}
