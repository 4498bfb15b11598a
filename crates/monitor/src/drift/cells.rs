//! Two samples in the same few cells: deciles of the reference for numbers, values for categories.
//!
//! Invariant: the counts of each side sum to its rows. Cells in which the smaller side expects fewer than
//! `SMALL_CELL` rows are put together, for the laws of chance hold for cells that are filled: a rare value that
//! appears is seen in what the rare values have together, one rare value that replaces another is not.

use std::collections::{BTreeMap, BTreeSet};

use super::sample::Numbers;

/// Parts that the reference's numbers are cut into, as equal as its values allow.
pub const PARTS: u64 = 10;
/// Expected rows below which a cell counts as small.
const SMALL_CELL: f64 = 5.0;

/// Counts of reference and current in cells.
#[derive(Debug, Clone, PartialEq)]
pub struct Cells {
    /// Reference and current, cell by cell.
    pub counts: Vec<[f64; 2]>,
    /// Rows of each side that a random sample would need to know as much.
    pub effective: [f64; 2],
}

impl Cells {
    /// Of numbers, cut at the deciles of the reference; equal deciles are one.
    #[must_use]
    pub fn of_numbers(reference: &Numbers, current: &Numbers) -> Self {
        let mut edges: Vec<f64> = Vec::new();
        let mut below = 0;
        for &(value, weight) in &reference.weighted {
            let part = |rows: u64| u128::from(rows) * u128::from(PARTS) / u128::from(reference.rows.max(1));
            let before = part(below);
            below += weight;
            if part(below) > before && below < reference.rows {
                edges.push(value);
            }
        }
        edges.dedup();
        let mut counts = vec![[0.0; 2]; edges.len() + 1];
        for (side, numbers) in [reference, current].into_iter().enumerate() {
            let mut cell = 0;
            for &(value, weight) in &numbers.weighted {
                while cell < edges.len() && value > edges[cell] {
                    cell += 1;
                }
                counts[cell][side] += weight as f64;
            }
        }
        Self { counts, effective: [reference.effective_rows(), current.effective_rows()] }.pooled()
    }

    /// Of categories.
    #[must_use]
    pub fn of_categories(reference: &BTreeMap<&str, u64>, current: &BTreeMap<&str, u64>) -> Self {
        let values: BTreeSet<&str> = reference.keys().chain(current.keys()).copied().collect();
        let count = |side: &BTreeMap<&str, u64>, value: &str| side.get(value).copied().unwrap_or(0) as f64;
        let counts: Vec<[f64; 2]> =
            values.into_iter().map(|value| [count(reference, value), count(current, value)]).collect();
        let effective = [0, 1].map(|side| counts.iter().map(|cell| cell[side]).sum());
        Self { counts, effective }.pooled()
    }

    /// Rows of one side.
    #[must_use]
    pub fn rows(&self, side: usize) -> f64 {
        self.counts.iter().map(|cell| cell[side]).sum()
    }

    fn pooled(mut self) -> Self {
        let rows = [self.rows(0), self.rows(1)];
        let smaller = rows[0].min(rows[1]);
        let expected = |cell: &[f64; 2]| (cell[0] + cell[1]) / (rows[0] + rows[1]).max(1.0) * smaller;
        self.counts.sort_by(|a, b| (b[0] + b[1]).total_cmp(&(a[0] + a[1])).then(b[0].total_cmp(&a[0])));
        let mut pool = [0.0; 2];
        while let Some(last) = self.counts.last() {
            let full = expected(last) >= SMALL_CELL;
            if full && (pool == [0.0; 2] || expected(&pool) >= SMALL_CELL) {
                break;
            }
            pool = [pool[0] + last[0], pool[1] + last[1]];
            self.counts.pop();
        }
        if pool != [0.0; 2] {
            self.counts.push(pool);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_cut_at_the_deciles_of_the_reference() {
        let reference = Numbers::of_values(&(0..1000).map(f64::from).collect::<Vec<_>>());
        let current = Numbers::of_values(&(0..500).map(|i| f64::from(i) + 250.0).collect::<Vec<_>>());
        let cells = Cells::of_numbers(&reference, &current);
        assert_eq!((cells.rows(0), cells.rows(1)), (1000.0, 500.0));
        assert!(cells.counts.iter().all(|cell| cell[0] == 100.0), "{cells:?}");
        assert_eq!(cells.counts.iter().filter(|cell| cell[1] == 100.0).count(), 4);
        let flat = Cells::of_numbers(&Numbers::of_values(&[7.0; 50]), &Numbers::of_values(&[7.0; 50]));
        assert_eq!(flat.counts, [[50.0, 50.0]]);
    }

    #[test]
    fn rare_values_share_a_cell() {
        let reference = BTreeMap::from([("a", 500), ("b", 480), ("c", 12), ("d", 8)]);
        let current = BTreeMap::from([("a", 52), ("b", 44), ("z", 4)]);
        let cells = Cells::of_categories(&reference, &current);
        assert_eq!(
            cells.counts,
            [[500.0, 52.0], [500.0, 48.0]],
            "the pool took the smallest full cell to be full itself"
        );
        let more = BTreeMap::from([("a", 520), ("b", 440), ("z", 40)]);
        let cells = Cells::of_categories(&reference, &more);
        assert_eq!(cells.counts, [[500.0, 520.0], [480.0, 440.0], [0.0, 40.0], [20.0, 0.0]]);
    }
}
