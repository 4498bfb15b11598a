//! libsvm bodies: `label index:value index:value`, one row a line. The label may be left out and is not looked at, what is
//! not written is missing, a line without pairs is a row in which everything is.
//!
//! Rows stay sparse until they are asked for, so that a few bytes cannot stand for gigabytes.

use std::ops::Range;

use super::number;
use super::refusal::{Refusal, shortened};

/// Rows of a libsvm body.
#[derive(Debug, Default)]
pub struct SparseRows {
    /// Where the pairs of each row end.
    ends: Vec<usize>,
    pairs: Vec<(u32, f64)>,
}

impl SparseRows {
    /// Reads a body.
    ///
    /// # Errors
    /// Names the first line that is not libsvm.
    pub fn decode(body: &[u8]) -> Result<Self, Refusal> {
        let mut rows = Self::default();
        let body = body.trim_ascii();
        for (index, line) in body.split(|byte| *byte == b'\n').enumerate() {
            rows.line(line).map_err(|reason| Refusal::LibsvmLine { line: index + 1, reason })?;
        }
        if rows.pairs.is_empty() { Err(Refusal::Empty) } else { Ok(rows) }
    }

    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        for word in line.split(u8::is_ascii_whitespace) {
            let Some(colon) = memchr::memchr(b':', word) else { continue };
            let (index, value) = (&word[..colon], &word[colon + 1..]);
            let index = std::str::from_utf8(index).ok().and_then(|index| index.parse::<u32>().ok());
            let value = if value.is_empty() { None } else { number::read(value) };
            let Some(pair) = index.zip(value) else {
                return Err(format!("{:?} is no index:value", shortened(&String::from_utf8_lossy(word))));
            };
            self.pairs.push(pair);
        }
        let row = &mut self.pairs[self.ends.last().copied().unwrap_or(0)..];
        row.sort_by_key(|(index, _)| *index);
        if let Some(twice) = row.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(format!("index {} stands there twice", twice[0].0));
        }
        self.ends.push(self.pairs.len());
        Ok(())
    }

    /// Number of rows, at least 1.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.ends.len()
    }

    /// The smallest and the largest index of all rows.
    #[must_use]
    pub fn indices(&self) -> (usize, usize) {
        let smallest = self.pairs.iter().map(|(index, _)| *index).min().unwrap_or(0);
        let largest = self.pairs.iter().map(|(index, _)| *index).max().unwrap_or(0);
        (smallest as usize, largest as usize)
    }

    /// Some of the rows, `width` numbers each, NaN where nothing is written. The pair of index `first` comes first;
    /// indices outside are left out.
    #[must_use]
    pub fn dense(&self, rows: Range<usize>, first: usize, width: usize) -> Vec<f64> {
        let mut numbers = vec![f64::NAN; rows.len() * width];
        for (row, numbers) in rows.zip(numbers.chunks_exact_mut(width.max(1))) {
            let start = if row == 0 { 0 } else { self.ends[row - 1] };
            for (index, value) in &self.pairs[start..self.ends[row]] {
                let place = (*index as usize).checked_sub(first).and_then(|place| numbers.get_mut(place));
                if let Some(place) = place {
                    *place = *value;
                }
            }
        }
        numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_do_not_matter_and_what_is_not_written_is_missing() {
        let rows = SparseRows::decode(b"1 0:0.5 3:-2\n\n0\n2:1e3 1:0\r\n").unwrap();
        assert_eq!((rows.rows(), rows.indices()), (4, (0, 3)));
        let text = |numbers: Vec<f64>| format!("{numbers:?}");
        assert_eq!(text(rows.dense(0..1, 0, 4)), "[0.5, NaN, NaN, -2.0]");
        assert_eq!(text(rows.dense(1..3, 0, 2)), "[NaN, NaN, NaN, NaN]");
        assert_eq!(text(rows.dense(3..4, 1, 2)), "[0.0, 1000.0]");
    }

    #[test]
    fn what_is_not_libsvm_is_refused_with_its_line() {
        for (body, reason) in [
            ("1 0:1\n1 x:1", "line 2 of the libsvm body cannot be read: \"x:1\" is no index:value"),
            ("1 0:", "line 1 of the libsvm body cannot be read: \"0:\" is no index:value"),
            ("1 -1:2", "line 1 of the libsvm body cannot be read: \"-1:2\" is no index:value"),
            ("1 4294967296:2", "line 1 of the libsvm body cannot be read: \"4294967296:2\" is no index:value"),
            ("1 5:1 5:2", "line 1 of the libsvm body cannot be read: index 5 stands there twice"),
            ("1,2,3", "the body holds no rows; send at least one"),
            ("", "the body holds no rows; send at least one"),
        ] {
            assert_eq!(SparseRows::decode(body.as_bytes()).unwrap_err().to_string(), reason);
        }
    }
}
