//! How many rows have the facet, the positive label, the positive prediction, by group.
//!
//! Invariant: counts in any order of rows are the same.

use std::collections::BTreeMap;

/// What counts of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Whether it has the facet (Clarify's disadvantaged side, `d`; all others are `a`).
    pub facet: bool,
    /// Whether its label is positive.
    pub actual: bool,
    /// Whether its prediction is positive; false where there is none.
    pub predicted: bool,
    /// Its value of the group variable, by number.
    pub group: u32,
}

/// Rows by what they have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Eight cells a group, at `4·facet + 2·actual + predicted`.
    pub(super) groups: Vec<[u64; 8]>,
}

/// The four cells of one side of a facet.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Side {
    pub(super) tp: f64,
    pub(super) fp: f64,
    pub(super) fn_: f64,
    pub(super) tn: f64,
}

impl Counts {
    /// Counts rows.
    #[must_use]
    pub fn of(rows: impl Iterator<Item = Row>) -> Self {
        let mut groups: BTreeMap<u32, [u64; 8]> = BTreeMap::new();
        for row in rows {
            let cell = 4 * usize::from(row.facet) + 2 * usize::from(row.actual) + usize::from(row.predicted);
            groups.entry(row.group).or_default()[cell] += 1;
        }
        Self { groups: groups.into_values().collect() }
    }

    /// All rows.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.groups.iter().flatten().sum()
    }

    pub(super) fn side(&self, facet: bool) -> Side {
        let sum =
            |cell: usize| self.groups.iter().map(|group| group[4 * usize::from(facet) + cell]).sum::<u64>() as f64;
        Side { tn: sum(0), fp: sum(1), fn_: sum(2), tp: sum(3) }
    }
}

impl Side {
    pub(super) fn rows(self) -> f64 {
        self.tp + self.fp + self.fn_ + self.tn
    }

    /// Rows with the positive label.
    pub(super) fn actual(self) -> f64 {
        self.tp + self.fn_
    }

    /// Rows with the positive prediction.
    pub(super) fn predicted(self) -> f64 {
        self.tp + self.fp
    }
}
