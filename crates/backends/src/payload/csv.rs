//! CSV bodies.
//!
//! A blank cell is missing, a blank line is no row, spaces around a cell do not count. The delimiter is a comma, or
//! where the first line has none, a semicolon or a tab.

use super::number;
use super::refusal::{Refusal, shortened};
use super::table::{Cells, Table};

/// Decodes a CSV body.
pub(super) fn decode(body: &[u8], header: bool, cells: Cells) -> Result<Table, Refusal> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let mut reading = Reading { header, cells, table: Table::default() };
    let delimiter = delimiter(body);
    if memchr::memchr(b'"', body).is_some() {
        reading.quoted(body, delimiter)?;
    } else {
        reading.plain(body, delimiter)?;
    }
    let mut table = reading.table;
    if table.rows == 0 {
        return Err(Refusal::Empty);
    }
    table.row_shape = vec![table.columns];
    Ok(table)
}

fn delimiter(body: &[u8]) -> u8 {
    let line = &body[..memchr::memchr(b'\n', body).unwrap_or(body.len())];
    if memchr::memchr(b',', line).is_some() {
        return b',';
    }
    memchr::memchr2(b';', b'\t', line).map_or(b',', |at| line[at])
}

struct Reading {
    /// Whether the next line names the columns.
    header: bool,
    cells: Cells,
    table: Table,
}

impl Reading {
    /// Without a quote anywhere, lines and delimiters can be cut blindly.
    fn plain(&mut self, body: &[u8], delimiter: u8) -> Result<(), Refusal> {
        let mut rest = body;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
            rest = rest.get(end + 1..).unwrap_or_default();
            if line.trim_ascii().is_empty() && delimiter != b'\t' || line.is_empty() {
                continue;
            }
            if self.table.numbers.capacity() == 0 {
                self.table.numbers.reserve(line.len() / 4 + 1);
            }
            self.line(line.split(|byte| *byte == delimiter))?;
        }
        Ok(())
    }

    fn quoted(&mut self, body: &[u8], delimiter: u8) -> Result<(), Refusal> {
        let mut reader =
            ::csv::ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(body);
        let mut record = ::csv::ByteRecord::new();
        while reader.read_byte_record(&mut record).map_err(|error| Refusal::Csv(error.to_string()))? {
            self.line(record.iter())?;
        }
        Ok(())
    }

    fn line<'a>(&mut self, cells: impl Iterator<Item = &'a [u8]>) -> Result<(), Refusal> {
        if self.header {
            self.header = false;
            return self.name_columns(cells);
        }
        let start = self.table.numbers.len();
        for cell in cells {
            self.cell(cell)?;
        }
        let found = self.table.numbers.len() - start;
        if self.table.rows == 0 {
            match &self.table.names {
                Some(names) if names.len() != found => {
                    return Err(Refusal::Csv(format!(
                        "the header names {} columns, but row 1 has {found}",
                        names.len()
                    )));
                }
                _ => self.table.columns = found,
            }
        } else if found != self.table.columns {
            return Err(Refusal::Ragged { row: self.table.rows + 1, found, expected: self.table.columns });
        }
        self.table.rows += 1;
        Ok(())
    }

    fn cell(&mut self, cell: &[u8]) -> Result<(), Refusal> {
        let number = number::read(cell);
        let blank = || cell.trim_ascii().is_empty();
        if number.is_none() || (self.cells == Cells::Verbatim && !blank()) {
            let text = std::str::from_utf8(cell)
                .map_err(|_| Refusal::Csv(format!("row {} holds text that is not UTF-8", self.table.rows + 1)))?;
            self.table.texts.push((self.table.numbers.len(), text.trim().into()));
        }
        self.table.numbers.push(number.unwrap_or(f64::NAN));
        Ok(())
    }

    fn name_columns<'a>(&mut self, cells: impl Iterator<Item = &'a [u8]>) -> Result<(), Refusal> {
        let mut names = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for cell in cells {
            let name = std::str::from_utf8(cell)
                .map_err(|_| Refusal::Csv("the header holds text that is not UTF-8".to_owned()))?
                .trim();
            if !seen.insert(name) {
                return Err(Refusal::RepeatedColumn { name: shortened(name) });
            }
            names.push(name.to_owned());
        }
        self.table.names = Some(names);
        Ok(())
    }
}
