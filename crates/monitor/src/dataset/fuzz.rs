//! The decoders over arbitrary bytes, for the fuzzer and for tests: each returns, whatever comes.
//!
//! Invariant: what a fast way reads is what the careful way reads of the same bytes. Refuses to: be used by the product.

use super::cell::{Parsed, number};
use super::digits::{self, Line};
use super::record::CapturedRecord;
use super::scanner::Scanner;
use super::{Batch, Header, Plan, Reader};

/// Most cells of a row that are compared.
const CELLS: usize = 64;

/// As captured lines and as CSV.
pub fn rows(bytes: &[u8]) {
    for header in [Header::Yes, Header::No, Header::Auto] {
        let mut rows = 0;
        let mut reader = Reader::new(Plan { with_calls: true, ..Plan::default() }, |batch: Batch| {
            rows += batch.rows.num_rows();
        });
        reader.captures("fuzz.jsonl", bytes);
        reader.csv("fuzz.csv", bytes, header);
        let tally = reader.finish();
        assert_eq!(tally.rows, rows as u64, "every row counted is in a batch");
    }
}

/// As captured lines, each by the scanner, which remembers the line before, and by the general parser.
pub fn lines(bytes: &[u8]) {
    let mut scanner = Scanner::default();
    let mut rest = bytes;
    loop {
        let seen = scanner.look(rest);
        let line = &rest[..seen.length];
        assert!(!line.contains(&b'\n'), "a line ends with the first end of a line");
        if let Some(scanned) = scanner.scan(line, seen) {
            let general: Option<CapturedRecord<'_>> = serde_json::from_slice(line).ok();
            assert_eq!(Some(scanned), general, "{}", line.escape_ascii());
        }
        match rest.get(seen.length + 1..) {
            Some(next) => rest = next,
            None => return,
        }
    }
}

/// As lines of numbers, each by the fast way in the middle of all bytes, and cell by cell.
pub fn numbers(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (mut row, mut whole, mut ends) = ([0.0; CELLS], [0; CELLS], Vec::new());
    for line in text.split('\n') {
        let read = digits::read(Line::of(line, bytes), &mut ends, (&mut row, &mut whole));
        let found = read.map(|count| row[..count].iter().map(|value| value.to_bits()).zip(whole).collect::<Vec<_>>());
        assert_eq!(found, cells(line), "{line:?}");
    }
}

/// The numbers of a line and whether they are whole ones; nothing where one is text or there are too many.
fn cells(line: &str) -> Option<Vec<(u64, u8)>> {
    let read = |cell| match number(cell) {
        Parsed::Blank => Some((f64::NAN.to_bits(), 0)),
        Parsed::Number { value, integral } => Some((value.to_bits(), u8::from(integral))),
        Parsed::Text => None,
    };
    let cells: Vec<&str> = line.split(',').collect();
    (cells.len() <= CELLS).then(|| cells.into_iter().map(read).collect())?
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_fast_ways_are_held_against_the_careful_ones() {
        super::lines(b"{\"captureData\":{}}\n\n{");
        super::numbers(b"1,-2.5,,1e3,.5\n7\nx,1\n\n0.1234567890123456789,");
        assert_eq!(super::cells("1,,x"), None);
        assert_eq!(super::cells("1,"), Some(vec![(1.0_f64.to_bits(), 1), (f64::NAN.to_bits(), 0)]));
    }
}
