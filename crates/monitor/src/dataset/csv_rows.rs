//! CSV text to rows of cells: commas, double quotes, `\n` or `\r\n`; quoted cells may hold all of them.
//!
//! Bodies of calls are mostly one short line without quotes, so that case borrows its cells; anything with a quote goes
//! through the `csv` crate. Blank lines are no rows. A quote that nothing closes would make one cell of all that follows, so
//! its line is no row, and the next line begins a row again. Refuses to: sniff other delimiters.

use std::borrow::Cow;
use std::ops::Range;

use crate::instructions::vectorised;

/// Bytes that are looked at together.
const LOOKED_AT_BYTES: usize = 1024;

/// Cells of one row, before classification.
pub(crate) type TextRow<'a> = Vec<Cow<'a, str>>;

/// The rows of a text without quotes, a line each; nothing of one with quotes.
pub(crate) fn plain_lines(text: &str) -> Option<Lines<'_>> {
    let has_quotes = memchr::memchr(b'"', text.as_bytes()).is_some();
    (!has_quotes).then(|| lines(text))
}

/// The same of the bytes of a file; nothing of what is no text.
pub(super) fn plain_lines_of(bytes: &[u8]) -> Option<Lines<'_>> {
    if !is_plain(bytes) {
        return std::str::from_utf8(bytes).ok().and_then(plain_lines);
    }
    #[expect(unsafe_code, reason = "ASCII is UTF-8, and was just looked for")]
    Some(lines(unsafe { std::str::from_utf8_unchecked(bytes) }))
}

/// The lines of a text that are not blank.
fn lines(text: &str) -> Lines<'_> {
    Lines { rest: Some(text) }
}

/// See [`lines`]. Ends of lines are searched for many bytes at once, which splitting by a character does not.
pub(crate) struct Lines<'t> {
    rest: Option<&'t str>,
}

impl<'t> Iterator for Lines<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        loop {
            let text = self.rest?;
            let end = memchr::memchr(b'\n', text.as_bytes());
            self.rest = end.map(|end| &text[end + 1..]);
            let line = end.map_or(text, |end| &text[..end]);
            let line = line.strip_suffix('\r').unwrap_or(line);
            if !line.is_empty() {
                return Some(line);
            }
        }
    }
}

vectorised! {
    /// Whether all is ASCII and there is no quote.
    fn is_plain(bytes: &[u8]) -> bool {
        let look = |bytes: &[u8]| bytes.iter().fold(0, |seen, &byte| seen | byte | u8::from(byte == b'"') << 7);
        let chunks = bytes.chunks_exact(LOOKED_AT_BYTES);
        let rest = look(chunks.remainder());
        rest < 0x80 && chunks.into_iter().all(|chunk| look(chunk) < 0x80)
    }
}

/// The cells of a line without quotes.
pub(crate) fn cells(line: &str) -> TextRow<'_> {
    line.split(',').map(Cow::Borrowed).collect()
}

/// Splits `text` into rows and calls `row` for each; stops at its first error.
///
/// # Errors
/// The error of `row`, or a description of what is not CSV.
pub(crate) fn each_row<'a>(
    text: &'a str,
    mut row: impl FnMut(TextRow<'a>) -> Result<(), String>,
) -> Result<(), String> {
    if let Some(mut lines) = plain_lines(text) {
        return lines.try_for_each(|line| row(cells(line)));
    }
    let mut outcome = Ok(());
    each_careful_row(text.as_bytes(), |cells| {
        if outcome.is_ok() {
            outcome = cells.and_then(&mut row);
        }
    });
    outcome
}

/// Calls `row` for each row of bytes that may have quotes, or be no text here and there: its cells, or why it is none.
pub(crate) fn each_careful_row<'a>(mut bytes: &[u8], mut row: impl FnMut(Result<TextRow<'a>, String>)) {
    loop {
        let open = unclosed_row(bytes);
        let closed = open.as_ref().map_or(bytes, |open| &bytes[..open.start]);
        let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(closed);
        let mut record = csv::ByteRecord::new();
        // Reading bytes that are there cannot fail.
        while reader.read_byte_record(&mut record).is_ok_and(|more| more) {
            let cell = |cell: &[u8]| Some(Cow::Owned(std::str::from_utf8(cell).ok()?.to_owned()));
            row(record.iter().map(cell).collect::<Option<_>>().ok_or_else(|| "the row is not UTF-8".to_owned()));
        }
        let Some(open) = open else { return };
        row(Err("a quote is opened in it that nothing closes".to_owned()));
        bytes = &bytes[open.end..];
    }
}

/// The rows with which a file may begin: the first two, as far as they are text.
pub(crate) fn first_rows(bytes: &[u8]) -> Vec<TextRow<'static>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
    let rows = reader.byte_records().map_while(Result::ok).take(2);
    rows.map(|row| row.iter().map(|cell| Cow::Owned(String::from_utf8_lossy(cell).into_owned())).collect()).collect()
}

/// From where a row begins that has a quote which nothing closes, to behind the line of that quote.
fn unclosed_row(bytes: &[u8]) -> Option<Range<usize>> {
    let (mut from, mut row) = (0, 0);
    loop {
        let quote = opening_quote(bytes, from)?;
        if let Some(end) = memchr::memrchr(b'\n', &bytes[from..quote]) {
            row = from + end + 1;
        }
        let Some(closing) = closing_quote(bytes, quote + 1) else {
            let line = memchr::memchr(b'\n', &bytes[quote..]);
            return Some(row..line.map_or(bytes.len(), |end| quote + end + 1));
        };
        from = closing + 1;
    }
}

/// A quote at the beginning of a cell; others mean nothing.
pub(crate) fn opening_quote(bytes: &[u8], from: usize) -> Option<usize> {
    let quotes = memchr::memchr_iter(b'"', &bytes[from..]).map(|place| from + place);
    quotes.into_iter().find(|&quote| quote == 0 || matches!(bytes[quote - 1], b',' | b'\n' | b'\r'))
}

/// The quote that ends a cell; two of them are one in the text.
pub(crate) fn closing_quote(bytes: &[u8], mut from: usize) -> Option<usize> {
    loop {
        let quote = from + memchr::memchr(b'"', bytes.get(from..)?)?;
        if bytes.get(quote + 1) != Some(&b'"') {
            return Some(quote);
        }
        from = quote + 2;
    }
}

/// All rows of a body.
///
/// # Errors
/// A description of what is not CSV.
pub(crate) fn rows(text: &str) -> Result<Vec<TextRow<'_>>, String> {
    let mut rows = Vec::new();
    each_row(text, |row| {
        rows.push(row);
        Ok(())
    })?;
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::{each_careful_row, is_plain, rows};
    use crate::instructions::tests::of_older;

    #[test]
    fn texts_with_a_quote_or_another_character_than_ascii_are_not_plain() {
        for length in [0, 1, 100, 1024, 1025, 5000] {
            let mut bytes = vec![b'7'; length];
            assert!(is_plain(&bytes) && of_older(|| is_plain(&bytes)).iter().all(|plain| *plain));
            for place in [0, length / 2, length.saturating_sub(1)] {
                for odd in [b'"', 0x80, 0xC3] {
                    let Some(byte) = bytes.get_mut(place) else { continue };
                    *byte = odd;
                    assert!(!is_plain(&bytes) && of_older(|| is_plain(&bytes)).iter().all(|plain| !*plain));
                    bytes[place] = b'7';
                }
            }
        }
    }

    #[test]
    fn one_line_many_lines_and_quotes() {
        assert_eq!(rows("1,2,\n").unwrap(), [["1", "2", ""]]);
        assert_eq!(rows("1,a\r\n\r\n2,b").unwrap(), [["1", "a"], ["2", "b"]]);
        assert_eq!(rows("\"a,b\",\"say \"\"hi\"\"\"\n\"x\ny\",2\n").unwrap(), [["a,b", "say \"hi\""], ["x\ny", "2"]]);
        assert!(rows("").unwrap().is_empty());
    }

    #[test]
    fn a_quote_that_nothing_closes_and_bytes_that_are_no_text_cost_their_rows_alone() {
        let read = |bytes: &[u8]| {
            let mut rows = Vec::new();
            each_careful_row(bytes, |row| rows.push(row.map_or_else(|reason| reason, |cells| cells.join("|"))));
            rows
        };
        let open = "a quote is opened in it that nothing closes";
        assert_eq!(read(b"1,\"2\n3,4\n5,6"), [open, "3|4", "5|6"]);
        assert_eq!(read(b"a,\"b\nc\",\"d\n1,2\n"), [open, "1|2"], "the row of it began before its line");
        assert_eq!(read(b"\"a\"\n1,\"2"), ["a", open]);
        assert_eq!(read(b"1,caf\xe9\n2,\"x\"\n"), ["the row is not UTF-8", "2|x"]);
        assert_eq!(read(b"5\" pipe,1\n"), ["5\" pipe|1"]);
        assert!(rows("1,\"2").unwrap_err().contains("nothing closes"));
    }
}
