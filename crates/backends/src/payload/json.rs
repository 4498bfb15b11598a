//! JSON and JSON Lines bodies, read straight into rows by serde's visitors.
//!
//! Depth is limited by serde_json (128 levels); `NaN` as Python's `json` writes it is taken as missing.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::json_rows::{Columns, Rows, Scalar};
use super::refusal::Refusal;
use super::table::{Cells, Table};

const SHAPES: &str = "an array of rows, or an object with \"instances\", \"inputs\", \"dataframe_split\", \
                      \"dataframe_records\" or \"features\"";

const MIXED: &str = "the rows mix objects, arrays and single values";

/// Decodes one JSON document.
pub(super) fn decode(body: &[u8], cells: Cells) -> Result<Table, Refusal> {
    if body.trim_ascii().is_empty() {
        return Err(Refusal::Empty);
    }
    let read = |body: &[u8]| {
        let mut deserializer = serde_json::Deserializer::from_slice(body);
        let document = Document { cells, limit: super::cell_limit(body) };
        let table = document.deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(table)
    };
    with_nan_as_null(body, read).map_err(|error| Refusal::Json(error.to_string()))
}

/// Decodes one row a line.
pub(super) fn decode_lines(body: &[u8], cells: Cells) -> Result<Table, Refusal> {
    let mut gathered = Gathered::new(cells, super::cell_limit(body));
    let mut last = 0;
    for (index, line) in body.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        last = index + 1;
        let read = |line: &[u8]| {
            let mut deserializer = serde_json::Deserializer::from_slice(line);
            Item { gathered: &mut gathered, flat_is_row: false }.deserialize(&mut deserializer)?;
            deserializer.end()
        };
        with_nan_as_null(line, read).map_err(|error| Refusal::JsonLine { line: last, reason: error.to_string() })?;
    }
    if last == 0 {
        return Err(Refusal::Empty);
    }
    gathered.into_table().map_err(|reason| Refusal::JsonLine { line: last, reason })
}

/// Python writes missing numbers as bare `NaN`, which is not JSON. Only bodies that hold it pay for the second look.
fn with_nan_as_null<T>(
    body: &[u8],
    mut read: impl FnMut(&[u8]) -> Result<T, serde_json::Error>,
) -> Result<T, serde_json::Error> {
    if memchr::memmem::find(body, b"NaN").is_none() {
        return read(body);
    }
    let mut patched = Vec::with_capacity(body.len() + body.len() / 4);
    let (mut in_string, mut at) = (false, 0);
    while let Some(&byte) = body.get(at) {
        // What one step looks at: a whole NaN, an escape with the byte after it, or a single byte.
        let length = match byte {
            b'N' if !in_string && body[at..].starts_with(b"NaN") => {
                patched.extend_from_slice(b"null");
                at += 3;
                continue;
            }
            b'\\' if in_string => 2,
            _ => 1,
        };
        in_string ^= byte == b'"';
        let end = body.len().min(at + length);
        patched.extend_from_slice(&body[at..end]);
        at = end;
    }
    read(&patched)
}

/// What the items of a list turned out to be.
struct Gathered {
    rows: Rows,
    objects: Option<Columns>,
    /// Scalars of the one row that a flat list is.
    flat: usize,
    cells: Cells,
    limit: usize,
}

impl Gathered {
    fn new(cells: Cells, limit: usize) -> Self {
        Self { rows: Rows::new(cells), objects: None, flat: 0, cells, limit }
    }

    fn into_table(self) -> Result<Table, String> {
        match self.objects {
            Some(objects) => objects.into_table(),
            None => self.rows.into_table(),
        }
    }
}

/// The whole document.
#[derive(Clone, Copy)]
struct Document {
    cells: Cells,
    limit: usize,
}

impl<'de> DeserializeSeed<'de> for Document {
    type Value = Table;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Table, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Document {
    type Value = Table;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SHAPES)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Table, A::Error> {
        ListOrColumns { document: self, flat_is_row: true }.visit_seq(list)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Table, A::Error> {
        let mut table: Option<(Cow<'_, str>, Table)> = None;
        let mut names: Option<Vec<String>> = None;
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            let read = match &*key {
                "instances" | "inputs" | "dataframe_records" | "data" => {
                    map.next_value_seed(ListOrColumns { document: self, flat_is_row: false })?
                }
                "features" => map.next_value_seed(ListOrColumns { document: self, flat_is_row: true })?,
                "dataframe_split" => map.next_value_seed(self)?,
                "columns" => {
                    names = Some(map.next_value()?);
                    continue;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if let Some((first, _)) = &table {
                return Err(A::Error::custom(format!("both {first:?} and {key:?} hold rows; send one of them")));
            }
            table = Some((key, read));
        }
        let (_, mut table) = table.ok_or_else(|| A::Error::custom(format!("no rows found; send {SHAPES}")))?;
        if let Some(names) = names {
            name_columns(&mut table, names).map_err(A::Error::custom)?;
        }
        Ok(table)
    }
}

fn name_columns(table: &mut Table, names: Vec<String>) -> Result<(), String> {
    if names.len() != table.columns {
        return Err(format!("\"columns\" names {}, but the rows have {}", names.len(), table.columns));
    }
    let mut seen = std::collections::HashSet::new();
    if let Some(name) = names.iter().find(|name| !seen.insert(name.as_str())) {
        return Err(Refusal::RepeatedColumn { name: name.clone() }.to_string());
    }
    table.names = Some(names);
    Ok(())
}

/// A list of rows, or an object of named columns.
struct ListOrColumns {
    document: Document,
    /// Whether a flat list of scalars is one row; else each scalar is a row.
    flat_is_row: bool,
}

impl<'de> DeserializeSeed<'de> for ListOrColumns {
    type Value = Table;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Table, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ListOrColumns {
    type Value = Table;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of rows or an object of named columns")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Table, A::Error> {
        let mut gathered = Gathered::new(self.document.cells, self.document.limit);
        let flat_is_row = self.flat_is_row;
        while list.next_element_seed(Item { gathered: &mut gathered, flat_is_row })?.is_some() {}
        if gathered.flat > 0 {
            gathered.rows.close_array(0, gathered.flat).map_err(A::Error::custom)?;
            gathered.rows.close_row();
        }
        gathered.into_table().map_err(A::Error::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Table, A::Error> {
        let mut columns = Columns::new(self.document.cells, self.document.limit);
        while let Some(name) = map.next_key::<Cow<'_, str>>()? {
            let rows = columns.value(&name).map_err(A::Error::custom)?;
            map.next_value_seed(ColumnValues(rows))?;
        }
        columns.into_table().map_err(A::Error::custom)
    }
}

/// The values of one named column: a list, or a scalar for a single row.
struct ColumnValues<'a>(&'a mut Rows);

impl<'de> DeserializeSeed<'de> for ColumnValues<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// One value within a row: a scalar, or an array of values.
struct Nested<'a> {
    rows: &'a mut Rows,
    /// Levels of brackets around it within the row.
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Nested<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// One item of a list of rows.
struct Item<'a> {
    gathered: &'a mut Gathered,
    flat_is_row: bool,
}

impl<'de> DeserializeSeed<'de> for Item<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// The scalars of JSON, each handed to the visitor's own `scalar`.
macro_rules! visit_scalars {
    () => {
        fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
            self.scalar(Scalar::Number(f64::from(u8::from(value))))
        }

        #[expect(clippy::cast_precision_loss, reason = "a table holds doubles; integers beyond 2^53 are rounded")]
        fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
            self.scalar(Scalar::Number(value as f64))
        }

        #[expect(clippy::cast_precision_loss, reason = "a table holds doubles; integers beyond 2^53 are rounded")]
        fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
            self.scalar(Scalar::Number(value as f64))
        }

        fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
            self.scalar(Scalar::Number(value))
        }

        fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
            self.scalar(Scalar::Text(value))
        }

        fn visit_unit<E: Error>(self) -> Result<(), E> {
            self.scalar(Scalar::Missing)
        }
    };
}

impl ColumnValues<'_> {
    fn scalar<E: Error>(self, scalar: Scalar<'_>) -> Result<(), E> {
        self.0.push(scalar, 0).map_err(E::custom)?;
        self.0.close_row();
        Ok(())
    }
}

impl<'de> Visitor<'de> for ColumnValues<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the values of a column")
    }

    visit_scalars!();

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Nested { rows: &mut *self.0, depth: 0 })?.is_some() {
            self.0.close_row();
        }
        Ok(())
    }
}

impl Nested<'_> {
    fn scalar<E: Error>(self, scalar: Scalar<'_>) -> Result<(), E> {
        self.rows.push(scalar, self.depth).map_err(E::custom)
    }
}

impl<'de> Visitor<'de> for Nested<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, text, true, false, null or an array of them")
    }

    visit_scalars!();

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let mut length = 0;
        while list.next_element_seed(Nested { rows: &mut *self.rows, depth: self.depth + 1 })?.is_some() {
            length += 1;
        }
        self.rows.close_array(self.depth, length).map_err(A::Error::custom)
    }
}

impl Item<'_> {
    fn scalar<E: Error>(self, scalar: Scalar<'_>) -> Result<(), E> {
        let Gathered { rows, objects, flat, .. } = self.gathered;
        if objects.is_some() || (self.flat_is_row && rows.rows() > 0) {
            return Err(E::custom(MIXED));
        }
        // A flat row's scalars stand in the list's own brackets.
        rows.push(scalar, usize::from(self.flat_is_row)).map_err(E::custom)?;
        if self.flat_is_row {
            *flat += 1;
        } else {
            rows.close_row();
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Item<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row")
    }

    visit_scalars!();

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<(), A::Error> {
        let Gathered { rows, objects, flat, .. } = self.gathered;
        if objects.is_some() || *flat > 0 {
            return Err(A::Error::custom(MIXED));
        }
        Nested { rows: &mut *rows, depth: 0 }.visit_seq(list)?;
        rows.close_row();
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Gathered { rows, objects, flat, cells, limit } = self.gathered;
        if rows.rows() > 0 || *flat > 0 {
            return Err(A::Error::custom(MIXED));
        }
        let objects = objects.get_or_insert_with(|| Columns::new(*cells, *limit));
        while let Some(name) = map.next_key::<Cow<'_, str>>()? {
            let column = objects.value(&name).map_err(A::Error::custom)?;
            map.next_value_seed(Nested { rows: &mut *column, depth: 0 })?;
            column.close_row();
        }
        objects.close_object().map_err(A::Error::custom)
    }
}
