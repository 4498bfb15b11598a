//! Which records: a set of numbers, kept as runs.
//!
//! In JSON a set is `[skip, length, skip, length, …]`, each skip counted from the end of the run before, so that the
//! manifest of a segment shared by many endpoints stays a few bytes per run.
//!
//! Invariant: runs are ascending, not empty and do not touch each other.

use serde::{Deserialize, Serialize};

/// A set of record numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Vec<u64>", try_from = "Vec<u64>")]
pub struct Runs(Vec<Run>);

/// Numbers `first..=last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// First number.
    pub first: u64,
    /// Last number, included.
    pub last: u64,
}

impl Runs {
    /// Adds a number; `false` when it was there already.
    pub fn insert(&mut self, n: u64) -> bool {
        if let Some(last) = self.0.last_mut()
            && last.last.checked_add(1) == Some(n)
        {
            last.last = n;
            return true;
        }
        if self.0.last().is_none_or(|last| n > last.last) {
            self.0.push(Run { first: n, last: n });
            return true;
        }
        self.insert_between(n)
    }

    /// Out of order: rare, and therefore allowed to move runs.
    fn insert_between(&mut self, n: u64) -> bool {
        let at = self.0.partition_point(|run| run.last < n);
        let Some(next) = self.0.get(at).copied() else {
            self.0.push(Run { first: n, last: n });
            return true;
        };
        if next.first <= n {
            return false;
        }
        let joins_next = n + 1 == next.first;
        let joins_previous = at > 0 && self.0[at - 1].last + 1 == n;
        match (joins_previous, joins_next) {
            (true, true) => {
                self.0[at - 1].last = next.last;
                self.0.remove(at);
            }
            (true, false) => self.0[at - 1].last = n,
            (false, true) => self.0[at].first = n,
            (false, false) => self.0.insert(at, Run { first: n, last: n }),
        }
        true
    }

    /// Adds all of `first..=last` that are not there; answers those that were there already.
    pub fn insert_run(&mut self, run: Run) -> Runs {
        let mut known = Self::default();
        let free = self.0.last().is_none_or(|last| run.first > last.last);
        if free {
            match self.0.last_mut() {
                Some(last) if last.last + 1 == run.first => last.last = run.last,
                _ => self.0.push(run),
            }
            return known;
        }
        for n in run.first..=run.last {
            if !self.insert(n) {
                known.insert(n);
            }
        }
        known
    }

    /// The set of all numbers of `runs`, in whatever order they come, and the set of those that came more than once.
    #[must_use]
    pub fn gather(mut runs: Vec<Run>) -> (Self, Self) {
        runs.sort_unstable_by_key(|run| (run.first, run.last));
        let (mut all, mut twice) = (Self::default(), Self::default());
        for run in runs {
            match all.last() {
                Some(last) if run.first <= last => {
                    twice.insert_run(Run { first: run.first, last: run.last.min(last) });
                    if run.last > last {
                        all.insert_run(Run { first: last + 1, last: run.last });
                    }
                }
                _ => {
                    all.insert_run(run);
                }
            }
        }
        (all, twice)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many numbers.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().map(|run| run.last - run.first + 1).sum()
    }

    /// The runs, ascending.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.0
    }

    /// The smallest number.
    #[must_use]
    pub fn first(&self) -> Option<u64> {
        self.0.first().map(|run| run.first)
    }

    /// The largest number.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        self.0.last().map(|run| run.last)
    }

    /// All numbers, ascending.
    pub fn numbers(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().flat_map(|run| run.first..=run.last)
    }

    /// Whether the number is in the set.
    #[must_use]
    pub fn contains(&self, n: u64) -> bool {
        let at = self.0.partition_point(|run| run.last < n);
        self.0.get(at).is_some_and(|run| run.first <= n)
    }

    /// The numbers from 0 to the largest that are missing.
    #[must_use]
    pub fn gaps_from(&self, start: u64) -> Vec<Run> {
        let mut next = start;
        let mut gaps = Vec::new();
        for run in &self.0 {
            if run.first > next {
                gaps.push(Run { first: next, last: run.first - 1 });
            }
            next = next.max(run.last.saturating_add(1));
        }
        gaps
    }
}

impl captura_capture::Numbers for Runs {
    fn has(&self, n: u64) -> bool {
        self.contains(n)
    }

    fn count(&self) -> u64 {
        Self::count(self)
    }
}

impl From<Runs> for Vec<u64> {
    fn from(runs: Runs) -> Self {
        let mut next = 0;
        let mut flat = Self::with_capacity(runs.0.len() * 2);
        for run in runs.0 {
            flat.extend([run.first - next, run.last - run.first + 1]);
            next = run.last.saturating_add(1);
        }
        flat
    }
}

impl TryFrom<Vec<u64>> for Runs {
    type Error = &'static str;

    fn try_from(flat: Vec<u64>) -> Result<Self, Self::Error> {
        const BAD: &str = "runs are pairs of a skip and a length above zero";
        let mut next = 0_u64;
        let mut runs = Self::default();
        for pair in flat.chunks(2) {
            let &[skip, length] = pair else { return Err(BAD) };
            let first = next.checked_add(skip).ok_or(BAD)?;
            let last = length.checked_sub(1).and_then(|more| first.checked_add(more)).ok_or(BAD)?;
            if skip == 0 && !runs.0.is_empty() {
                return Err(BAD);
            }
            runs.0.push(Run { first, last });
            next = last.saturating_add(1);
        }
        Ok(runs)
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}..{}", self.first, self.last) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_as_a_set_and_round_trips(numbers in proptest::collection::vec(0_u64..60, 0..60), start in 0_u64..70) {
            let mut runs = Runs::default();
            let mut set = BTreeSet::new();
            for n in numbers {
                prop_assert_eq!(runs.insert(n), set.insert(n));
            }
            prop_assert_eq!(runs.numbers().collect::<Vec<_>>(), set.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(runs.count(), set.len() as u64);
            prop_assert!((0..70).all(|n| runs.contains(n) == set.contains(&n)));
            prop_assert!(runs.runs().windows(2).all(|pair| pair[0].last + 1 < pair[1].first));
            let json = serde_json::to_string(&runs).unwrap();
            prop_assert_eq!(serde_json::from_str::<Runs>(&json).unwrap(), runs.clone());
            let missing: Vec<u64> = runs.gaps_from(start).iter().flat_map(|gap| gap.first..=gap.last).collect();
            let last = set.last().copied().unwrap_or(0);
            let expected: Vec<u64> = (start..last).filter(|n| !set.contains(n)).collect();
            prop_assert_eq!(missing, expected);
            let known = runs.insert_run(Run { first: start, last: start + 5 });
            let expected: Vec<u64> = (start..=start + 5).filter(|n| !set.insert(*n)).collect();
            prop_assert_eq!(known.numbers().collect::<Vec<_>>(), expected);
            prop_assert_eq!(runs.count(), set.len() as u64);
        }
    }

    proptest! {
        #[test]
        fn gathering_finds_every_repetition(pairs in proptest::collection::vec((0_u64..50, 0_u64..6), 0..12)) {
            let runs: Vec<Run> = pairs.iter().map(|(first, more)| Run { first: *first, last: first + more }).collect();
            let mut counts = std::collections::BTreeMap::new();
            for n in runs.iter().flat_map(|run| run.first..=run.last) {
                *counts.entry(n).or_insert(0) += 1;
            }
            let (all, twice) = Runs::gather(runs);
            prop_assert_eq!(all.numbers().collect::<Vec<_>>(), counts.keys().copied().collect::<Vec<u64>>());
            let repeated: Vec<u64> = counts.iter().filter(|(_, count)| **count > 1).map(|(n, _)| *n).collect();
            prop_assert_eq!(twice.numbers().collect::<Vec<_>>(), repeated);
        }
    }

    #[test]
    fn malformed_runs_are_refused() {
        for bad in ["[1]", "[0,0]", "[0,1,0,1]", "[18446744073709551615,2]"] {
            assert!(serde_json::from_str::<Runs>(bad).is_err(), "{bad}");
        }
    }
}
