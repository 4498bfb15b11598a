//! The cells of a line in which all are numbers, into a row of doubles.
//!
//! Invariant: what is read is what [`number`] says of each cell, on every processor. Refuses to: read text; such a line is
//! left to who can.

#[cfg(target_arch = "x86_64")]
mod eights;
#[cfg(target_arch = "x86_64")]
mod vector;

use super::cell::{Parsed, number, number_at};
#[cfg(target_arch = "x86_64")]
use crate::instructions::{Instructions, instructions};

/// A line of CSV without quotes, within the bytes around it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'b> {
    bytes: &'b [u8],
    start: usize,
    end: usize,
}

impl<'b> Line<'b> {
    /// The line `text`; `around` are bytes that it may be a part of.
    pub(super) fn of(text: &'b str, around: &'b [u8]) -> Self {
        let start = text.as_ptr().addr().wrapping_sub(around.as_ptr().addr());
        match start.checked_add(text.len()) {
            Some(end) if end <= around.len() => Self { bytes: around, start, end },
            _ => Self { bytes: text.as_bytes(), start: 0, end: text.len() },
        }
    }

    fn bytes(&self) -> &'b [u8] {
        &self.bytes[self.start..self.end]
    }
}

/// Reads the cells of the line into `row`, a missing one as NaN, and beside it 1 where a number was written as a whole one.
/// Answers how many there are; nothing where one is text or there are more than places. `ends` is room that is used again.
#[inline]
pub(super) fn read(line: Line<'_>, ends: &mut Vec<u32>, row: (&mut [f64], &mut [u8])) -> Option<usize> {
    #[cfg(target_arch = "x86_64")]
    match instructions() {
        Instructions::Newest => {
            #[expect(unsafe_code, reason = "the processor has just been asked for these instructions")]
            return unsafe { eights::read(line, ends, row) };
        }
        Instructions::Newer => {
            #[expect(unsafe_code, reason = "the processor has just been asked for these instructions")]
            return unsafe { vector::read(line, ends, row) };
        }
        Instructions::Common => {}
    }
    let _ = ends;
    plain(line.bytes(), row)
}

fn plain(line: &[u8], (row, whole): (&mut [f64], &mut [u8])) -> Option<usize> {
    let mut places = row.iter_mut().zip(whole);
    let (mut at, mut count) = (0, 0);
    while at <= line.len() {
        let (value, whole) = places.next()?;
        let end = match number_at(line, at) {
            Some((read, integral, end)) => {
                (*value, *whole) = (read, u8::from(integral));
                end
            }
            None => {
                let end = memchr::memchr(b',', &line[at..]).map_or(line.len(), |length| at + length);
                (*value, *whole) = careful(&line[at..end])?;
                end
            }
        };
        at = end + 1;
        count += 1;
    }
    Some(count)
}

/// A cell of any form but text.
#[cold]
fn careful(cell: &[u8]) -> Option<(f64, u8)> {
    if cell.is_empty() {
        return Some((f64::NAN, 0));
    }
    match number(std::str::from_utf8(cell).ok()?) {
        Parsed::Blank => Some((f64::NAN, 0)),
        Parsed::Number { value, integral } => Some((value, u8::from(integral))),
        Parsed::Text => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::instructions::tests::of_older;

    /// The row that a line makes in the middle of other bytes, bit for bit.
    fn row(line: &str, before: usize) -> Option<Vec<(u64, u8)>> {
        let around = format!("{}{line}{}", "7".repeat(before), ",8".repeat(before % 50));
        let mut row = (vec![-1.0; 70], vec![9; 70]);
        let line = Line::of(&around[before..before + line.len()], around.as_bytes());
        let count = read(line, &mut Vec::new(), (&mut row.0, &mut row.1))?;
        Some(row.0.iter().map(|value| value.to_bits()).zip(row.1).take(count).collect())
    }

    /// The same, of each cell alone and by the careful way.
    fn expected(line: &str) -> Option<Vec<(u64, u8)>> {
        let cells: Vec<&str> = line.split(',').collect();
        let read = |cell: &str| match number(cell) {
            Parsed::Blank => Some((f64::NAN.to_bits(), 0)),
            Parsed::Number { value, integral } => {
                assert_eq!(value.to_bits(), cell.trim().parse::<f64>().unwrap().to_bits(), "{cell}");
                Some((value.to_bits(), u8::from(integral)))
            }
            Parsed::Text => None,
        };
        (cells.len() <= 70).then_some(())?;
        cells.into_iter().map(read).collect()
    }

    fn agrees(line: &str, before: usize) -> bool {
        let expected = expected(line);
        row(line, before) == expected && of_older(|| row(line, before)).iter().all(|row| *row == expected)
    }

    #[test]
    fn numbers_at_the_edges_of_what_is_read_fast_are_read_right() {
        for cell in [
            "",
            " ",
            "0",
            "-0",
            "-0.0",
            ".5",
            "5.",
            ".",
            "-",
            "-.",
            "+1",
            "1e5",
            "-1e-5",
            "x",
            "1.2.3",
            "1-2",
            "--1",
            "/",
            ":",
            "1:2",
            "123456789012345",
            "1234567890123456",
            "-123456789012345",
            "0.12345678901234",
            "0.123456789012345",
            ".123456789012345",
            "00000000000000.1",
            "999999999999.999",
            "9007199254740993",
            "0.1234567890123456789",
            "1e999",
            "é",
            "1\u{e9}",
            "-inf",
            "nan",
        ] {
            for line in [cell.to_owned(), format!("{cell},{cell}"), format!("1.5,{cell},-2")] {
                for before in [0, 3, 16, 40] {
                    assert!(agrees(&line, before), "{line:?} behind {before}");
                }
            }
        }
        assert!(agrees(&vec!["1"; 70].join(","), 20) && agrees(&vec!["1"; 71].join(","), 20));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn rows_are_what_the_careful_way_reads_on_every_processor(
            cells in prop::collection::vec("-?[0-9]{0,9}(\\.[0-9]{0,9})?|[-+]?[0-9]{0,18}(\\.[0-9]{0,18})?([eE][-+]?[0-9]{1,3})?", 1..40),
            before in 0_usize..80,
        ) {
            prop_assert!(agrees(&cells.join(","), before), "{}", cells.join(","));
        }

        #[test]
        fn any_bytes_are_read_alike(line in "[-+.,0-9eE/: xé]{0,200}", before in 0_usize..80) {
            prop_assert!(agrees(&line, before), "{}", line);
        }

        #[test]
        fn doubles_come_back(values in prop::collection::vec(any::<f64>(), 1..20), small in prop::collection::vec(-1e6..1e6_f64, 1..20)) {
            let lines = [
                values.iter().filter(|value| value.is_finite()).map(f64::to_string).collect::<Vec<_>>().join(","),
                small.iter().map(f64::to_string).collect::<Vec<_>>().join(","),
                small.iter().map(|value| format!("{value:.5}")).collect::<Vec<_>>().join(","),
            ];
            for line in lines {
                prop_assert!(agrees(&line, 30), "{}", line);
            }
        }
    }
}
