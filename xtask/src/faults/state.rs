//! What was counted so far, in a file below the target folder.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// Counts of a test. Names that begin with `max ` are maxima, all others add up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Figures {
    pub(super) units: u64,
    pub(super) seeds: u64,
    pub(super) counts: BTreeMap<String, u64>,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} units", self.units)?;
        self.counts.iter().try_for_each(|(name, count)| write!(f, ", {name} {count}"))
    }
}

/// One test at one commit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) figures: Figures,
    /// From the first to the last, both used.
    pub(super) first_seed: u64,
    pub(super) last_seed: u64,
    pub(super) seconds: u64,
    pub(super) date: String,
    pub(super) machine: String,
    /// What broke, if something did.
    pub(super) broken: Option<String>,
}

impl Row {
    pub(super) fn of(seed: u64, figures: Figures, took: Duration) -> Self {
        let last_seed = seed + figures.seeds.max(1) - 1;
        Self { figures, first_seed: seed, last_seed, seconds: took.as_secs(), ..Self::default() }
    }

    pub(super) fn broken(seed: u64, what: &str) -> Self {
        let what = what.lines().next().unwrap_or_default();
        Self { first_seed: seed, last_seed: seed, broken: Some(format!("seed {seed}: {what}")), ..Self::default() }
    }

    fn merge(&mut self, other: Self) {
        self.figures.units += other.figures.units;
        self.figures.seeds += other.figures.seeds;
        for (name, count) in other.figures.counts {
            let known = self.figures.counts.entry(name.clone()).or_default();
            *known = if name.starts_with("max ") { count.max(*known) } else { *known + count };
        }
        self.last_seed = other.last_seed.max(self.last_seed);
        self.seconds += other.seconds;
        self.date = other.date;
        self.machine = other.machine;
        self.broken = other.broken.or(self.broken.take());
    }
}

/// All rows, by test and commit.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Rows(BTreeMap<String, BTreeMap<String, Row>>);

pub(super) struct State {
    path: PathBuf,
    rows: Rows,
}

impl State {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let rows = match std::fs::read_to_string(path) {
            Ok(text) => serde_json::from_str(&text).with_context(|| format!("cannot read {}", path.display()))?,
            Err(_) => Rows::default(),
        };
        Ok(Self { path: path.to_owned(), rows })
    }

    pub(super) fn row(&self, test: &str, commit: &str) -> Option<&Row> {
        self.rows.0.get(test)?.get(commit)
    }

    /// Tests, commits and rows.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&str, &str, &Row)> {
        self.rows
            .0
            .iter()
            .flat_map(|(test, rows)| rows.iter().map(|(commit, row)| (test.as_str(), commit.as_str(), row)))
    }

    /// The first seed that no run has used, at any commit.
    pub(super) fn next_seed(&self, test: &str) -> u64 {
        let rows = self.rows.0.get(test).into_iter().flat_map(BTreeMap::values);
        rows.map(|row| row.last_seed).max().unwrap_or(0) + 1
    }

    /// Adds what a run counted; only what an optimised build did is kept.
    pub(super) fn add(&mut self, test: &str, commit: &str, mut row: Row, keep: bool) -> Result<()> {
        let (date, machine) = super::here()?;
        (row.date, row.machine) = (date, machine);
        let rows = self.rows.0.entry(test.to_owned()).or_default();
        match rows.get_mut(commit) {
            Some(known) => known.merge(row),
            None => {
                rows.insert(commit.to_owned(), row);
            }
        }
        if !keep {
            return Ok(());
        }
        let new = self.path.with_extension("new");
        std::fs::write(&new, serde_json::to_vec_pretty(&self.rows)?)?;
        std::fs::rename(&new, &self.path).with_context(|| format!("cannot write {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_add_up_and_go_on_where_the_last_one_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let figures = |units, count| Figures {
            units,
            seeds: units,
            counts: [("lost".to_owned(), 1), ("max ms".to_owned(), count)].into(),
        };
        let mut state = State::open(&path).unwrap();
        assert_eq!(state.next_seed("T01"), 1);
        state.add("T01", "a", Row::of(1, figures(10, 7), Duration::from_secs(2)), true).unwrap();
        state.add("T01", "a", Row::of(11, figures(5, 3), Duration::from_secs(1)), true).unwrap();
        let state = State::open(&path).unwrap();
        let row = state.row("T01", "a").unwrap();
        assert_eq!((row.figures.units, row.first_seed, row.last_seed, row.seconds), (15, 1, 15, 3));
        assert_eq!((row.figures.counts["lost"], row.figures.counts["max ms"]), (2, 7));
        assert_eq!(state.next_seed("T01"), 16);
    }
}
