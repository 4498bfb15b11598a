//! A walk through a CSV body: cells that rules name change, every other byte stays.
//!
//! The delimiter is a comma, or where the first line has none, a semicolon or a tab, as the built-in models read it.
//! Blank lines are no rows. An empty cell stays empty: that a value is missing is no secret, and counts of missing values
//! stay true.
//!
//! Invariant: a body that two readers could cut differently is refused: quotes inside plain cells, text behind a closing
//! quote, rows of different lengths.

use std::borrow::Cow;

use crate::failed::Failed;
use crate::plan::{ByIndex, Hits, Plan};
use crate::walk::{Change, Visit};

const BOM: &str = "\u{feff}";

/// One cell: where it lies, and whether in quotes.
#[derive(Debug, Clone, Copy)]
struct Cell {
    start: usize,
    end: usize,
    quoted: bool,
}

pub(crate) fn walk(text: &str, header: bool, plan: &Plan, visit: &mut Visit<'_>) -> Result<String, Failed> {
    let begin = if text.starts_with(BOM) { BOM.len() } else { 0 };
    let mut scanner = Scanner { text, at: begin, delimiter: delimiter(&text[begin..]) };
    let mut out = String::with_capacity(text.len() + 64);
    let mut copied = 0;
    let mut cells: Vec<Cell> = Vec::new();
    let mut named: Option<ByIndex> = None;
    let (mut row, mut width) = (0, None);
    let mut hits = Hits::new(plan);
    while scanner.line(&mut cells)? {
        if let [only] = cells[..]
            && !only.quoted
            && text[only.start..only.end].trim().is_empty()
        {
            continue;
        }
        if *width.get_or_insert(cells.len()) != cells.len() {
            return Err(Failed::NotCsv("its rows have different lengths"));
        }
        if header && named.is_none() {
            let names: Vec<Cow<'_, str>> = cells.iter().map(|cell| content(text, *cell)).collect();
            named = Some(plan.named(names.iter().map(|name| &**name)));
            continue;
        }
        let columns = named.as_ref().unwrap_or(&plan.by_index);
        // One line of answers may be one for each row.
        let flat = plan.is_output && row == 0 && cells.len() > 1 && scanner.is_over();
        for (index, cell) in cells.iter().enumerate() {
            let rule = columns.get(index).copied().flatten();
            let rule = rule.or_else(|| columns.first().copied().flatten().filter(|_| flat));
            rule.into_iter().for_each(|rule| hits.hit(rule));
            if rule.is_none() && plan.otherwise.is_none() {
                continue;
            }
            let value = content(text, *cell);
            if value.is_empty() {
                continue;
            }
            let changed = match visit(rule, row, &value)? {
                Change::Keep => continue,
                Change::Empty => String::new(),
                Change::Text(text) => text,
            };
            out.push_str(&text[copied..cell.start]);
            out.push_str(&changed);
            copied = cell.end;
        }
        hits.close(plan, true)?;
        row += 1;
    }
    // Pointers are for JSON; a rule that has nothing to work on must say that it may.
    hits.close(plan, false)?;
    out.push_str(&text[copied..]);
    Ok(out)
}

fn delimiter(text: &str) -> u8 {
    let line = text.as_bytes().split(|byte| *byte == b'\n').next().unwrap_or_default();
    if line.contains(&b',') {
        return b',';
    }
    line.iter().copied().find(|byte| matches!(byte, b';' | b'\t')).unwrap_or(b',')
}

fn content(text: &str, cell: Cell) -> Cow<'_, str> {
    let raw = &text[cell.start..cell.end];
    if !cell.quoted {
        return raw.trim().into();
    }
    let inner = &raw[1..raw.len() - 1];
    if inner.contains('"') { inner.replace("\"\"", "\"").into() } else { inner.into() }
}

struct Scanner<'t> {
    text: &'t str,
    at: usize,
    delimiter: u8,
}

impl Scanner<'_> {
    /// Whether only blank lines are left.
    fn is_over(&self) -> bool {
        self.text[self.at..].trim().is_empty()
    }

    /// Reads the cells of a line; false at the end of the text.
    fn line(&mut self, cells: &mut Vec<Cell>) -> Result<bool, Failed> {
        cells.clear();
        let bytes = self.text.as_bytes();
        if self.at >= bytes.len() {
            return Ok(false);
        }
        loop {
            let start = self.at;
            let quoted = bytes.get(start) == Some(&b'"');
            if quoted {
                self.quoted()?;
            } else {
                while let Some(&byte) = bytes.get(self.at) {
                    if byte == self.delimiter || byte == b'\n' {
                        break;
                    }
                    if byte == b'"' {
                        return Err(Failed::NotCsv("a quote stands inside a plain cell"));
                    }
                    self.at += 1;
                }
            }
            let mut end = self.at;
            match bytes.get(self.at) {
                Some(&byte) if byte == self.delimiter => {
                    cells.push(Cell { start, end, quoted });
                    self.at += 1;
                    continue;
                }
                Some(b'\r') if bytes.get(self.at + 1) == Some(&b'\n') => self.at += 2,
                Some(b'\n') => self.at += 1,
                Some(_) => return Err(Failed::NotCsv("text stands behind a closing quote")),
                None => {}
            }
            if !quoted && end > start && bytes[end - 1] == b'\r' {
                end -= 1;
            }
            cells.push(Cell { start, end, quoted });
            return Ok(true);
        }
    }

    /// Passes a cell in quotes.
    fn quoted(&mut self) -> Result<(), Failed> {
        let bytes = self.text.as_bytes();
        self.at += 1;
        loop {
            match bytes.get(self.at) {
                None => return Err(Failed::NotCsv("a quote is not closed")),
                Some(b'"') if bytes.get(self.at + 1) == Some(&b'"') => self.at += 2,
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(_) => self.at += 1,
            }
        }
    }
}
