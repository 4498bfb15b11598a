//! Whether a CSV file begins with the names of its columns, and which they are.
//!
//! Invariant: two rows decide, whatever follows, so that every reading of a file says the same. Refuses to: take rows of texts for
//! names because they might be some.

use std::borrow::Cow;
use std::collections::HashSet;

use super::cell::{Parsed, number};
use super::csv_rows::{TextRow, first_rows};

/// Whether a CSV file begins with the names of its columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Header {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// It does when no cell of its first line is a number, and all are texts of their own or the line below has a number under
    /// one of them.
    #[default]
    Auto,
}

impl Header {
    /// Whether a CSV file with these bytes, without a mark of their order, begins with names.
    #[must_use]
    pub fn is_at(self, bytes: &[u8]) -> bool {
        match self {
            Self::Yes => true,
            Self::No => false,
            Self::Auto => is_header(&first_rows(bytes)),
        }
    }
}

/// Whether the first of these rows names the columns. Names may be missing or repeated (an index has none): then numbers below tell.
fn is_header(rows: &[TextRow<'_>]) -> bool {
    let Some(first) = rows.first() else { return false };
    let kinds = || first.iter().map(|cell| number(cell));
    if kinds().any(|kind| matches!(kind, Parsed::Number { .. })) {
        return false;
    }
    let mut seen = HashSet::new();
    let distinct = first.iter().all(|cell| !cell.trim().is_empty() && seen.insert(cell.trim()));
    let under =
        |(kind, below): (Parsed, &Cow<'_, str>)| kind == Parsed::Text && matches!(number(below), Parsed::Number { .. });
    distinct || rows.get(1).is_some_and(|second| kinds().zip(second).any(under))
}

/// The names that a first line has; a column that it does not name is called by its place.
pub(super) fn header_names(cells: &TextRow<'_>) -> Vec<String> {
    let name = |(place, cell): (usize, &Cow<'_, str>)| match cell.trim() {
        "" => format!("_c{place}"),
        name => name.to_owned(),
    };
    cells.iter().enumerate().map(name).collect()
}
