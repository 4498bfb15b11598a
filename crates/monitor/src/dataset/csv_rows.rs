//! CSV text to rows of cells: commas, double quotes, `\n` or `\r\n`; quoted cells may hold all of them.
//!
//! Bodies of calls are mostly one short line without quotes, so that case borrows its cells; anything with a quote goes
//! through the `csv` crate. Blank lines are no rows. Refuses to: sniff other delimiters.

use std::borrow::Cow;

/// Cells of one row, before classification.
pub(crate) type TextRow<'a> = Vec<Cow<'a, str>>;

/// The rows of a text without quotes, a line each; nothing of one with quotes.
pub(crate) fn plain_lines(text: &str) -> Option<impl Iterator<Item = &str>> {
    let has_quotes = memchr::memchr(b'"', text.as_bytes()).is_some();
    let mut rest = Some(text);
    // With a search for the end of a line that takes many bytes at once, which splitting by a character does not.
    let lines = std::iter::from_fn(move || {
        let text = rest?;
        let end = memchr::memchr(b'\n', text.as_bytes());
        rest = end.map(|end| &text[end + 1..]);
        let line = end.map_or(text, |end| &text[..end]);
        Some(line.strip_suffix('\r').unwrap_or(line))
    });
    (!has_quotes).then(|| lines.filter(|line| !line.is_empty()))
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
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(|error| error.to_string())? {
        row(record.iter().map(|cell| Cow::Owned(cell.to_owned())).collect())?;
    }
    Ok(())
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
    use super::rows;

    #[test]
    fn one_line_many_lines_and_quotes() {
        assert_eq!(rows("1,2,\n").unwrap(), [["1", "2", ""]]);
        assert_eq!(rows("1,a\r\n\r\n2,b").unwrap(), [["1", "a"], ["2", "b"]]);
        assert_eq!(rows("\"a,b\",\"say \"\"hi\"\"\"\n\"x\ny\",2\n").unwrap(), [["a,b", "say \"hi\""], ["x\ny", "2"]]);
        assert!(rows("").unwrap().is_empty());
    }
}
