//! Cells of bodies as values of the type that the signature states.
//!
//! | type | taken | column |
//! | --- | --- | --- |
//! | Integral | `3`, `3.0`, `-7`, `true` | int64 |
//! | Fractional | `3`, `0.5`, `NaN`, `Infinity` | double |
//! | String | anything, as it was written | string |
//! | Boolean | `true`, `false`, `0`, `1` | boolean |
//!
//! A feature with a shape is a list of those, flat, row by row of the shape. Invariant: each row gives each column one
//! value; what cannot be taken is null, and said.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{BooleanBuilder, Float64Builder, Int64Builder, ListBuilder, StringBuilder};
use arrow_schema::{DataType, Field};
use captura_capture::record::FieldType;
use captura_monitor::dataset::{Cell, Row};

use crate::signature::{Cells, Feature, Places};

enum Column {
    Whole(Int64Builder),
    Double(Float64Builder),
    Text(StringBuilder),
    Boolean(BooleanBuilder),
    Wholes(ListBuilder<Int64Builder>),
    Doubles(ListBuilder<Float64Builder>),
    Texts(ListBuilder<StringBuilder>),
    Booleans(ListBuilder<BooleanBuilder>),
}

fn element(kind: FieldType) -> DataType {
    match kind {
        FieldType::Integral => DataType::Int64,
        FieldType::Fractional => DataType::Float64,
        FieldType::String => DataType::Utf8,
        FieldType::Boolean => DataType::Boolean,
    }
}

/// The columns of one side of a model.
pub(crate) struct Typed {
    /// `input` or `output`, for what is said of errors; empty where there are no sides.
    side: &'static str,
    places: Places,
    columns: Vec<Column>,
    kept: Vec<bool>,
    /// Whether every feature is one cell, so that a line of cells needs no other look.
    is_plain: bool,
    bytes: u64,
}

/// Cells that could not be taken, the first of them described.
#[derive(Debug, Default)]
struct Trouble(Option<String>);

impl Trouble {
    fn note(&mut self, feature: &Feature, cell: &Cell<'_>) {
        const SHOWN: usize = 40;
        let wanted = match feature.kind {
            FieldType::Integral => "whole number",
            FieldType::Fractional => "number",
            FieldType::Boolean => "truth",
            FieldType::String => "text",
        };
        let shown: String = text_of(cell).unwrap_or_default().chars().take(SHOWN).collect();
        self.0.get_or_insert_with(|| format!("{}: {shown:?} is no {wanted}", feature.name));
    }
}

impl Typed {
    pub(crate) fn new(side: &'static str, features: Vec<Feature>) -> Self {
        let columns = features.iter().map(column).collect();
        let kept = vec![true; features.len()];
        let is_plain = !features.iter().any(Feature::is_list);
        Self { side, places: Places::new(features), columns, kept, is_plain, bytes: 0 }
    }

    /// Fills only the columns that are `wanted`.
    pub(crate) fn keep(&mut self, wanted: impl Fn(&str) -> bool) {
        self.kept = self.places.features().iter().map(|feature| wanted(&feature.column)).collect();
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = Field> + '_ {
        let kept = self.places.features().iter().zip(&self.kept).filter(|(_, kept)| **kept);
        kept.map(|(feature, _)| {
            let element = element(feature.kind);
            let of = if feature.is_list() { DataType::new_list(element, true) } else { element };
            Field::new(&feature.column, of, true)
        })
    }

    pub(crate) fn finish(&mut self) -> impl Iterator<Item = ArrayRef> + '_ {
        self.bytes = 0;
        self.columns.iter_mut().zip(&self.kept).filter(|(_, kept)| **kept).map(|(column, _)| finished(column))
    }

    /// About how much memory the rows take, bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds a row; an absent one is nulls.
    ///
    /// # Errors
    /// What could not be taken; the row is there all the same.
    pub(crate) fn push(&mut self, row: Option<&Row<'_>>) -> Result<(), String> {
        let located = row.map(|row| self.places.locate(row));
        let (row, mut trouble) = match located {
            Some(Ok(())) => (row, Trouble(None)),
            Some(Err(reason)) => (None, Trouble(Some(reason))),
            None => (None, Trouble(None)),
        };
        let kept = self.columns.iter_mut().zip(&self.kept).enumerate().filter(|(_, (_, kept))| **kept);
        for (at, (column, _)) in kept {
            let feature = &self.places.features()[at];
            self.bytes += 16;
            match row {
                None => {
                    append(column, None, &mut |_| ());
                }
                Some(row) => {
                    let picked: &mut dyn Iterator<Item = &Cell<'_>> = match self.places.cells(at) {
                        Cells::Run(run) => &mut row.cells[run].iter(),
                        Cells::Picked(picked) => &mut picked.iter().map(|cell| &row.cells[*cell]),
                    };
                    self.bytes += append(column, Some(picked), &mut |cell| trouble.note(feature, cell));
                }
            }
        }
        self.told(trouble)
    }

    /// Whether a line of CSV without quotes has a cell for each feature.
    pub(crate) fn is_of(&self, line: &str) -> bool {
        self.is_plain && memchr::memchr_iter(b',', line.as_bytes()).count() + 1 == self.columns.len()
    }

    /// Adds a row that [`Typed::is_of`] this line, looking only at the cells that are wanted.
    ///
    /// # Errors
    /// As [`Typed::push`].
    pub(crate) fn push_line(&mut self, line: &str) -> Result<(), String> {
        let mut trouble = Trouble(None);
        let mut start = 0;
        let ends = memchr::memchr_iter(b',', line.as_bytes()).chain(std::iter::once(line.len()));
        for (at, end) in ends.enumerate() {
            let text = &line[std::mem::replace(&mut start, end + 1)..end];
            if self.kept[at] {
                let cell = Cell::parse(text.into());
                let feature = &self.places.features()[at];
                let mut once = std::iter::once(&cell);
                self.bytes += 16;
                self.bytes += append(&mut self.columns[at], Some(&mut once), &mut |cell| trouble.note(feature, cell));
            }
        }
        self.told(trouble)
    }

    fn told(&self, trouble: Trouble) -> Result<(), String> {
        match (trouble.0, self.side) {
            (None, _) => Ok(()),
            (Some(reason), "") => Err(reason),
            (Some(reason), side) => Err(format!("{side}: {reason}")),
        }
    }
}

fn column(feature: &Feature) -> Column {
    match (feature.kind, feature.is_list()) {
        (FieldType::Integral, false) => Column::Whole(Int64Builder::with_capacity(0)),
        (FieldType::Fractional, false) => Column::Double(Float64Builder::with_capacity(0)),
        (FieldType::String, false) => Column::Text(StringBuilder::with_capacity(0, 0)),
        (FieldType::Boolean, false) => Column::Boolean(BooleanBuilder::with_capacity(0)),
        (FieldType::Integral, true) => Column::Wholes(ListBuilder::with_capacity(Int64Builder::with_capacity(0), 0)),
        (FieldType::Fractional, true) => {
            Column::Doubles(ListBuilder::with_capacity(Float64Builder::with_capacity(0), 0))
        }
        (FieldType::String, true) => Column::Texts(ListBuilder::with_capacity(StringBuilder::with_capacity(0, 0), 0)),
        (FieldType::Boolean, true) => Column::Booleans(ListBuilder::with_capacity(BooleanBuilder::with_capacity(0), 0)),
    }
}

fn finished(column: &mut Column) -> ArrayRef {
    match column {
        Column::Whole(builder) => Arc::new(builder.finish()),
        Column::Double(builder) => Arc::new(builder.finish()),
        Column::Text(builder) => Arc::new(builder.finish()),
        Column::Boolean(builder) => Arc::new(builder.finish()),
        Column::Wholes(builder) => Arc::new(builder.finish()),
        Column::Doubles(builder) => Arc::new(builder.finish()),
        Column::Texts(builder) => Arc::new(builder.finish()),
        Column::Booleans(builder) => Arc::new(builder.finish()),
    }
}

type Picked<'c, 't> = &'c mut dyn Iterator<Item = &'c Cell<'t>>;
type Note<'n> = &'n mut dyn FnMut(&Cell<'_>);

/// Gives the column its value for one row; answers about how many bytes it took.
fn append(column: &mut Column, cells: Option<Picked<'_, '_>>, note: Note<'_>) -> u64 {
    match column {
        Column::Whole(builder) => builder.append_option(first(cells).and_then(|cell| taken(cell, whole, note))),
        Column::Double(builder) => builder.append_option(first(cells).and_then(|cell| taken(cell, double, note))),
        Column::Boolean(builder) => builder.append_option(first(cells).and_then(|cell| taken(cell, boolean, note))),
        Column::Text(builder) => {
            let text = first(cells).and_then(text_of);
            builder.append_option(text);
            return text.map_or(0, str::len) as u64;
        }
        Column::Wholes(list) => {
            return each(list, cells, |values, cell| values.append_option(taken(cell, whole, note)));
        }
        Column::Doubles(list) => {
            return each(list, cells, |values, cell| values.append_option(taken(cell, double, note)));
        }
        Column::Booleans(list) => {
            return each(list, cells, |values, cell| values.append_option(taken(cell, boolean, note)));
        }
        Column::Texts(list) => {
            return each(list, cells, |values, cell| values.append_option(text_of(cell)));
        }
    }
    0
}

fn first<'c, 't>(cells: Option<Picked<'c, 't>>) -> Option<&'c Cell<'t>> {
    cells.and_then(Iterator::next)
}

/// A list of all cells; null where there are none.
fn each<B: arrow_array::builder::ArrayBuilder>(
    list: &mut ListBuilder<B>,
    cells: Option<Picked<'_, '_>>,
    mut push: impl FnMut(&mut B, &Cell<'_>),
) -> u64 {
    let mut bytes = 0;
    for cell in cells.into_iter().flatten() {
        push(list.values(), cell);
        bytes += 8 + text_of(cell).map_or(0, str::len) as u64;
    }
    list.append(bytes > 0);
    bytes
}

fn taken<T>(cell: &Cell<'_>, take: fn(&Cell<'_>) -> Option<T>, note: Note<'_>) -> Option<T> {
    if matches!(cell, Cell::Missing) {
        return None;
    }
    let value = take(cell);
    if value.is_none() {
        note(cell);
    }
    value
}

fn whole(cell: &Cell<'_>) -> Option<i64> {
    match cell {
        Cell::Number { text, integral: true, .. } => text.trim().parse().ok(),
        // Exact in a double, and so in 64 bits.
        Cell::Number { value, .. } if value.fract() == 0.0 && value.abs() < 9e15 => Some(*value as i64),
        _ => truth(cell).map(i64::from),
    }
}

fn double(cell: &Cell<'_>) -> Option<f64> {
    match cell {
        Cell::Number { value, .. } => Some(*value),
        Cell::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
            "nan" => Some(f64::NAN),
            "inf" | "infinity" | "+inf" | "+infinity" => Some(f64::INFINITY),
            "-inf" | "-infinity" => Some(f64::NEG_INFINITY),
            _ => truth(cell).map(f64::from),
        },
        Cell::Missing => None,
    }
}

fn boolean(cell: &Cell<'_>) -> Option<bool> {
    match cell {
        Cell::Number { value: 0.0, .. } => Some(false),
        Cell::Number { value: 1.0, .. } => Some(true),
        _ => truth(cell),
    }
}

fn truth(cell: &Cell<'_>) -> Option<bool> {
    let Cell::Text(text) = cell else { return None };
    match text.trim().to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// A cell as it was written.
fn text_of<'c>(cell: &'c Cell<'_>) -> Option<&'c str> {
    match cell {
        Cell::Missing => None,
        Cell::Number { text, .. } | Cell::Text(text) => Some(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(text: &str) -> Cell<'_> {
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => {
                let integral = !text.contains(['.', 'e']);
                Cell::Number { value, integral, text: text.into() }
            }
            _ => Cell::Text(text.into()),
        }
    }

    #[test]
    fn values_are_taken_as_their_type_and_no_other() {
        for (text, expected) in [
            ("3", Some(3)),
            ("-7", Some(-7)),
            ("+7", Some(7)),
            ("3.0", Some(3)),
            ("9223372036854775807", Some(i64::MAX)),
            ("true", Some(1)),
            ("3.5", None),
            ("9223372036854775808", None),
            ("1e300", None),
            ("x", None),
        ] {
            assert_eq!(whole(&cell(text)), expected, "{text}");
        }
        for (text, expected) in [("3", Some(3.0)), ("-inf", Some(f64::NEG_INFINITY)), ("False", Some(0.0)), ("x", None)]
        {
            assert_eq!(double(&cell(text)), expected, "{text}");
        }
        assert!(double(&cell("NaN")).unwrap().is_nan());
        for (text, expected) in [("1", Some(true)), ("0.0", Some(false)), ("True", Some(true)), ("2", None)] {
            assert_eq!(boolean(&cell(text)), expected, "{text}");
        }
    }
}
