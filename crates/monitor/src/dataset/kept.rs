//! Some of the columns of a data set, for readers of tables so wide that not all columns are profiled at once.
//!
//! Invariant: a row is taken or refused as it would be if all columns were kept; of one that is taken, exactly the cells of the
//! columns that are kept are looked at. One column is kept at least, so that rows are counted.

use std::collections::HashSet;
use std::ops::Range;

use super::batch::Columns;
use crate::instructions::vectorised;

/// Bytes whose commas are counted together, in one byte.
const COUNTED_BYTES: usize = 128;

/// The columns that are kept.
#[derive(Clone)]
pub(super) struct Kept {
    /// All columns; as text where they were declared so.
    all: Columns,
    /// Places of those that are kept, in order.
    ranges: Vec<Range<usize>>,
}

impl Columns {
    /// Those of these names, in their order; the first one where there is none of them.
    #[must_use]
    pub fn only(&self, names: &HashSet<String>) -> Self {
        let kept = Kept::of(self.clone(), names);
        kept.columns()
    }
}

impl Kept {
    pub(super) fn of(all: Columns, only: &HashSet<String>) -> Self {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for (place, _) in all.names.iter().enumerate().filter(|(_, name)| only.contains(*name)) {
            match ranges.last_mut() {
                Some(range) if range.end == place => range.end += 1,
                _ => ranges.push(place..place + 1),
            }
        }
        if ranges.is_empty() && !all.is_empty() {
            ranges.push(0..1);
        }
        Self { all, ranges }
    }

    /// How many columns rows have.
    pub(super) fn width(&self) -> usize {
        self.all.len()
    }

    pub(super) fn columns(&self) -> Columns {
        let names = self.of_row(&self.all.names).cloned().collect();
        Columns { names, text: self.of_row(&self.all.text).copied().collect() }
    }

    /// Names of all columns.
    pub(super) fn names(&self) -> &[String] {
        &self.all.names
    }

    /// All columns, with those of the kept ones as text that have become it.
    pub(super) fn into_all(mut self, kept: &Columns) -> Columns {
        for (place, text) in self.ranges.into_iter().flatten().zip(&kept.text) {
            self.all.text[place] = *text;
        }
        self.all
    }

    /// What a row has for the columns that are kept.
    pub(super) fn of_row<'r, T>(&self, row: &'r [T]) -> impl Iterator<Item = &'r T> {
        self.ranges.iter().cloned().flat_map(|range| &row[range])
    }

    /// The parts of a row of lines, one behind the other, that are of columns which are kept; nothing of a row of another
    /// width. A part is of cells that stand side by side, as in a line of their own.
    pub(super) fn parts<'l>(&self, lines: impl Iterator<Item = &'l str>) -> Option<Vec<&'l str>> {
        let mut parts = Vec::with_capacity(self.ranges.len() + 1);
        let mut ranges = self.ranges.iter().cloned();
        let mut next = ranges.next();
        let mut column = 0;
        for line in lines {
            let mut at = 0;
            column += loop {
                let rest = &line.as_bytes()[at..];
                let Some(range) = next.clone() else { break pass(rest, usize::MAX).1 + 1 };
                if column < range.start {
                    let (bytes, passed) = pass(rest, range.start - column);
                    if passed < range.start - column {
                        break passed + 1;
                    }
                    (at, column) = (at + bytes, range.start);
                    continue;
                }
                let (bytes, passed) = pass(rest, range.end - column);
                if passed < range.end - column {
                    // To the end of the line, which may be of less than the whole range.
                    parts.push(&line[at..]);
                    next = if passed + 1 < range.end - column { next } else { ranges.next() };
                    break passed + 1;
                }
                parts.push(&line[at..at + bytes - 1]);
                (at, column, next) = (at + bytes, range.end, ranges.next());
            };
        }
        (column == self.width()).then_some(parts)
    }
}

/// How many cells there are in a line of CSV without quotes.
pub(super) fn cells_of(line: &str) -> usize {
    pass(line.as_bytes(), usize::MAX).1 + 1
}

vectorised! {
    /// Passes over so many commas: how many bytes that are, and how many commas there were, fewer where the bytes end.
    fn pass(bytes: &[u8], commas: usize) -> (usize, usize) {
        let (mut at, mut passed) = (0, 0);
        let chunks = bytes.chunks_exact(COUNTED_BYTES);
        for chunk in chunks {
            // In sums of bytes, so that many are compared at once.
            let here = chunk.iter().fold(0_u8, |sum, &byte| sum.wrapping_add(u8::from(byte == b',')));
            if commas - passed <= usize::from(here) {
                break;
            }
            passed += usize::from(here);
            at += COUNTED_BYTES;
        }
        while passed < commas && at < bytes.len() {
            passed += usize::from(bytes[at] == b',');
            at += 1;
        }
        (at, passed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::instructions::tests::of_older;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        #[test]
        fn the_parts_of_a_row_are_the_cells_of_the_columns_that_are_kept(
            cells in prop::collection::vec("[0-9x.]{0,9}", 1..400),
            ends in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
            chosen in prop::collection::vec(any::<prop::sample::Index>(), 0..9),
            (from, count) in (any::<prop::sample::Index>(), 0_usize..300),
        ) {
            let all = Columns::numbered(cells.len());
            let from = from.index(cells.len());
            let run = from..(from + count).min(cells.len());
            let places: HashSet<usize> = chosen.iter().map(|place| place.index(cells.len())).chain(run).collect();
            let only = places.iter().map(|place| format!("_c{place}")).collect();
            let kept = Kept::of(all, &only);
            let mut bounds: Vec<usize> = ends.iter().map(|end| end.index(cells.len())).filter(|&end| end > 0).collect();
            bounds.extend([0, cells.len()]);
            bounds.sort_unstable();
            bounds.dedup();
            let lines: Vec<String> = bounds.windows(2).map(|bound| cells[bound[0]..bound[1]].join(",")).collect();
            let found = || kept.parts(lines.iter().map(String::as_str)).map(|parts| parts.join(","));
            let expected: Vec<&str> = kept.of_row(&cells).map(String::as_str).collect();
            prop_assert_eq!(found(), Some(expected.join(",")));
            prop_assert!(of_older(found).iter().all(|older| *older == found()));
            prop_assert_eq!(lines.iter().map(|line| cells_of(line)).sum::<usize>(), cells.len());
            prop_assert_eq!(kept.parts(lines.iter().map(String::as_str).chain([""])), None);
            prop_assert_eq!(kept.columns().len(), places.len().max(1));
        }
    }
}
