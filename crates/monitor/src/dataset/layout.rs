//! Which cell of a row goes into which column.
//!
//! By name where the row has names that the columns know, the unnamed cells filling what is left in order; else by
//! position. Invariant: no two cells share a column.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};

use super::batch::Columns;
use super::cell::Cell;
use super::tally::count_stranger;

/// Names that fit no column which are still listed one by one.
pub(super) const MAX_STRANGERS: usize = 1000;

/// Finds places for cells; remembers the last answer, since calls of one endpoint look alike.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    /// Made when the first row with names comes.
    by_name: OnceCell<HashMap<String, usize>>,
    last_names: Vec<Option<String>>,
    last_places: Option<Vec<Option<usize>>>,
    /// Names seen in rows that no column has, with how many rows had them.
    pub(crate) strangers: BTreeMap<String, u64>,
    /// Columns that some row filled by name.
    pub(crate) named: Vec<bool>,
}

impl Layout {
    pub(crate) fn new(columns: &Columns) -> Self {
        Self { named: vec![false; columns.len()], ..Self::default() }
    }

    /// Lays a row with names out, one cell for each of the columns, absent ones missing. `None` when no name fits a column, so
    /// that the row can only be taken by position.
    pub(crate) fn place<'a>(
        &mut self,
        columns: &[String],
        names: &[Option<String>],
        cells: Vec<Cell<'a>>,
    ) -> Option<Vec<Cell<'a>>> {
        if self.last_names != names {
            self.last_places = self.places(columns, names);
            self.last_names = names.to_vec();
        }
        let places = self.last_places.as_ref()?;
        let mut row = vec![Cell::Missing; self.named.len()];
        for ((cell, place), name) in cells.into_iter().zip(places).zip(names) {
            match (place, name) {
                (Some(place), _) => {
                    row[*place] = cell;
                    self.named[*place] = true;
                }
                (None, Some(name)) => count_stranger(&mut self.strangers, name, 1),
                (None, None) => {}
            }
        }
        Some(row)
    }

    fn places(&self, columns: &[String], names: &[Option<String>]) -> Option<Vec<Option<usize>>> {
        let by_name = self.by_name.get_or_init(|| columns.iter().cloned().zip(0..).collect());
        let mut places: Vec<Option<usize>> = vec![None; names.len()];
        let mut taken = vec![false; self.named.len()];
        for (place, name) in places.iter_mut().zip(names) {
            let found = name.as_ref().and_then(|name| by_name.get(name)).copied();
            if let Some(found) = found.filter(|&found| !std::mem::replace(&mut taken[found], true)) {
                *place = Some(found);
            }
        }
        if places.iter().all(Option::is_none) {
            return None;
        }
        let mut free = (0..taken.len()).filter(|&column| !taken[column]);
        for (place, _) in places.iter_mut().zip(names).filter(|(_, name)| name.is_none()) {
            *place = free.next();
        }
        Some(places)
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    #[test]
    fn named_cells_find_their_columns_and_the_others_fill_up() {
        let columns = Columns::named(["p", "a", "b"].map(String::from));
        let mut layout = Layout::new(&columns);
        let mut place = |names: &[Option<String>], cells| layout.place(&columns.names, names, cells);
        let text = |text: &'static str| Cell::Text(Cow::Borrowed(text));
        let names = [None, Some("b".into()), Some("zzz".into()), Some("a".into())];
        let row = place(&names, vec![text("1"), text("2"), text("3"), text("4")]).unwrap();
        assert_eq!(row, [text("1"), text("4"), text("2")]);
        assert_eq!(place(&[Some("q".into())], vec![text("1")]), None);
        assert_eq!(layout.strangers.get("zzz"), Some(&1));
    }
}
