//! Rows of a table one after the other, whatever it is written as, for whoever wants cells and not columns.
//!
//! Invariant: they are the rows of which the reader of data sets makes columns. Refuses to: tell captured lines from rows.

use super::body::Row;
use super::cell::Cell;
use super::header::{Header, header_names};
use super::{csv_rows, parquet, plain_json};

/// What a table is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableForm {
    /// Lines of cells.
    Csv(Header),
    /// Lines of objects or lists.
    JsonLines,
    /// Parquet.
    Parquet,
}

impl TableForm {
    /// What its first bytes say.
    #[must_use]
    pub fn of(bytes: &[u8], header: Header) -> Self {
        match bytes.trim_ascii_start() {
            [b'P', b'A', b'R', b'1', ..] => Self::Parquet,
            [b'{' | b'[', ..] => Self::JsonLines,
            _ => Self::Csv(header),
        }
    }
}

/// Gives out the rows of a table, each with its line or its place from 1, or why it is none.
pub fn each_table_row<'a>(form: TableForm, bytes: &'a [u8], mut each: impl FnMut(u64, Result<Row<'a>, String>)) {
    match form {
        TableForm::Csv(header) => csv(bytes, header, &mut each),
        TableForm::JsonLines => {
            for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
                if !line.trim_ascii().is_empty() {
                    each(number, plain_json::plain_row(line));
                }
            }
        }
        TableForm::Parquet => {
            let mut number = 0;
            parquet::each_row(bytes, |row| {
                number += 1;
                each(number, row);
            });
        }
    }
}

fn csv<'a>(bytes: &'a [u8], header: Header, each: &mut impl FnMut(u64, Result<Row<'a>, String>)) {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let (mut number, mut names) = (0, Vec::new());
    csv_rows::each_careful_row(bytes, |row| {
        number += 1;
        let cells = match row {
            Ok(cells) if number == 1 && header.is_at(bytes) => {
                names = header_names(&cells).into_iter().map(Some).collect();
                return;
            }
            Ok(cells) => cells,
            Err(reason) => return each(number, Err(reason)),
        };
        let names = if names.len() == cells.len() { names.clone() } else { Vec::new() };
        each(number, Ok(Row { names, cells: cells.into_iter().map(Cell::parse).collect() }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_told_apart_and_rows_have_the_names_that_the_file_has() {
        let read = |bytes: &'static [u8]| {
            let mut rows = Vec::new();
            each_table_row(TableForm::of(bytes, Header::Auto), bytes, |number, row| {
                let shown = row.map(|row| {
                    let names: Vec<&str> = row.names.iter().flatten().map(String::as_str).collect();
                    format!("{} of {}", row.cells.len(), names.join(" "))
                });
                rows.push((number, shown.unwrap_or_else(|reason| reason)));
            });
            rows
        };
        let two = |from: u64| vec![(from, "2 of a b".to_owned()), (from + 1, "2 of a b".to_owned())];
        assert_eq!(read(b"a,b\n1,2\n3,x\n"), two(2));
        assert_eq!(read(b"{\"a\":1,\"b\":2}\n{\"a\":3,\"b\":\"x\"}"), two(1));
        assert_eq!(read(b"1,2\n\n[1]"), [(1, "2 of ".to_owned()), (2, "1 of ".to_owned())]);
        assert!(read(b"PAR1 and nothing more")[0].1.contains("not Parquet"));
        assert!(read(b"1,\xff")[0].1.contains("not UTF-8"));
    }
}
