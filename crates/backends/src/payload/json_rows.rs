//! Gathering the cells of a JSON body while it is parsed, without building a tree of values.

use std::collections::HashMap;

use super::number;
use super::refusal::Refusal;
use super::table::{Cells, Table};

/// One scalar of the body.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scalar<'a> {
    Missing,
    Number(f64),
    Text(&'a str),
}

/// Rows without names, or the values of one named column.
#[derive(Debug)]
pub(super) struct Rows {
    cells: Cells,
    numbers: Vec<f64>,
    texts: Vec<(usize, Box<str>)>,
    rows: usize,
    /// Missing rows before the first, for a column that early objects left out; they count in `rows`.
    lead: usize,
    /// Dimensions of a row, from outside in, known once the first row is closed.
    shape: Vec<Option<usize>>,
    /// Levels of brackets around the scalars of a row; known from the first scalar on.
    depth: Option<usize>,
}

impl Rows {
    pub(super) fn new(cells: Cells) -> Self {
        Self { cells, numbers: Vec::new(), texts: Vec::new(), rows: 0, lead: 0, shape: Vec::new(), depth: None }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Cells of a row, once one is there.
    fn width(&self) -> usize {
        self.shape.iter().map(|length| length.unwrap_or(0)).product()
    }

    /// Takes a scalar that stands in `depth` levels of brackets within the current row.
    pub(super) fn push(&mut self, scalar: Scalar<'_>, depth: usize) -> Result<(), String> {
        if *self.depth.get_or_insert(depth) != depth {
            return Err(format!("row {} mixes single values and arrays", self.rows + 1));
        }
        let number = match scalar {
            Scalar::Missing => f64::NAN,
            Scalar::Number(number) => number,
            Scalar::Text(text) => {
                let number = number::read(text.as_bytes());
                if number.is_none() || self.cells == Cells::Verbatim {
                    self.texts.push((self.numbers.len(), text.into()));
                }
                number.unwrap_or(f64::NAN)
            }
        };
        self.numbers.push(number);
        Ok(())
    }

    /// Notes that an array of `length` items ended, which stood in `depth` levels of brackets within the current row.
    pub(super) fn close_array(&mut self, depth: usize, length: usize) -> Result<(), String> {
        if self.shape.len() <= depth {
            self.shape.resize(depth + 1, None);
        }
        match self.shape[depth] {
            None => self.shape[depth] = Some(length),
            Some(expected) if expected == length => {}
            Some(expected) if depth == 0 => {
                return Err(Refusal::Ragged { row: self.rows + 1, found: length, expected }.to_string());
            }
            Some(expected) => {
                return Err(format!(
                    "row {} has an inner array of {length} values where others have {expected}",
                    self.rows + 1
                ));
            }
        }
        Ok(())
    }

    pub(super) fn close_row(&mut self) {
        self.rows += 1;
    }

    /// Fills up with missing rows, where the width is known.
    fn pad(&mut self, rows: usize) {
        let missing = rows.saturating_sub(self.rows);
        self.numbers.resize(self.numbers.len() + missing * self.width(), f64::NAN);
        self.rows += missing;
    }

    pub(super) fn into_table(mut self) -> Result<Table, String> {
        if self.rows == 0 {
            return Err(Refusal::Empty.to_string());
        }
        let row_shape: Vec<usize> = self.shape.iter().map(|length| length.unwrap_or(0)).collect();
        let columns = row_shape.iter().product::<usize>();
        if self.lead > 0 {
            let before = self.lead * columns;
            self.numbers.splice(..0, std::iter::repeat_n(f64::NAN, before));
            self.texts.iter_mut().for_each(|(index, _)| *index += before);
        }
        if columns == 0 || self.numbers.len() != self.rows * columns {
            return Err(if columns == 0 { "the rows are empty".into() } else { "the rows are ragged".into() });
        }
        Ok(Table { rows: self.rows, columns, numbers: self.numbers, texts: self.texts, names: None, row_shape })
    }
}

/// Named columns, whether they came column by column or as objects.
#[derive(Debug)]
pub(super) struct Columns {
    cells: Cells,
    limit: usize,
    positions: HashMap<Box<str>, usize>,
    columns: Vec<(Box<str>, Rows)>,
    /// Complete rows, when the columns come as objects.
    rows: usize,
    /// Where the next key is expected: objects mostly keep the order of the first.
    next: usize,
}

impl Columns {
    pub(super) fn new(cells: Cells, limit: usize) -> Self {
        Self { cells, limit, positions: HashMap::new(), columns: Vec::new(), rows: 0, next: 0 }
    }

    /// The column of that name, made when it is new.
    pub(super) fn column(&mut self, name: &str) -> &mut Rows {
        let position = if self.columns.get(self.next).is_some_and(|(expected, _)| **expected == *name) {
            self.next
        } else if let Some(&known) = self.positions.get(name) {
            known
        } else {
            self.positions.insert(name.into(), self.columns.len());
            self.columns.push((name.into(), Rows::new(self.cells)));
            self.columns.len() - 1
        };
        self.next = position + 1;
        &mut self.columns[position].1
    }

    /// The column of that name for the next object's value; refuses a key that stands twice in one object.
    pub(super) fn value(&mut self, name: &str) -> Result<&mut Rows, String> {
        let rows = self.rows;
        let column = self.column(name);
        if column.rows() > rows {
            return Err(Refusal::RepeatedColumn { name: name.to_owned() }.to_string());
        }
        if column.rows() < rows {
            column.lead = rows;
            column.rows = rows;
        }
        Ok(column)
    }

    /// Ends an object; columns that it left out are missing in this row.
    pub(super) fn close_object(&mut self) -> Result<(), String> {
        self.rows += 1;
        self.next = 0;
        // An empty array is no cell, but filling it up takes time all the same.
        let width: usize = self.columns.iter().map(|(_, column)| column.width().max(1)).sum();
        if width.saturating_mul(self.rows) > self.limit {
            return Err(Refusal::TooManyCells { limit: self.limit }.to_string());
        }
        for (_, column) in &mut self.columns {
            column.pad(self.rows);
        }
        Ok(())
    }

    pub(super) fn into_table(self) -> Result<Table, String> {
        if self.columns.is_empty() {
            return Err(Refusal::Empty.to_string());
        }
        let single_features =
            matches!(self.columns.as_slice(), [(name, rows)] if **name == *"features" && rows.depth > Some(0));
        let mut names = Vec::new();
        let mut parts: Vec<Table> = Vec::new();
        for (name, column) in self.columns {
            let part = column.into_table().map_err(|reason| format!("column {name:?}: {reason}"))?;
            if let Some(first) = parts.first()
                && first.rows != part.rows
            {
                return Err(format!("column {:?} has {} values, but {name:?} has {}", names[0], first.rows, part.rows));
            }
            names.extend(std::iter::repeat_n(String::from(name), part.columns));
            parts.push(part);
        }
        if single_features {
            return Ok(parts.remove(0));
        }
        let rows = parts[0].rows;
        Ok(interleaved(&parts, rows, names))
    }
}

/// Columns side by side.
fn interleaved(parts: &[Table], rows: usize, names: Vec<String>) -> Table {
    let columns = names.len();
    let mut numbers = vec![0.0; rows * columns];
    let mut texts = Vec::new();
    let mut first = 0;
    for part in parts {
        for (row, values) in part.numbers.chunks_exact(part.columns).enumerate() {
            numbers[row * columns + first..][..part.columns].copy_from_slice(values);
        }
        texts.extend(part.texts.iter().map(|(index, text)| {
            let (row, column) = (index / part.columns, index % part.columns);
            (row * columns + first + column, text.clone())
        }));
        first += part.columns;
    }
    texts.sort_unstable_by_key(|(index, _)| *index);
    Table { rows, columns, numbers, texts, names: Some(names), row_shape: vec![columns] }
}
