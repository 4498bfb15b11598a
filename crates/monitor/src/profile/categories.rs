//! Exact counts of the different texts of a column, as long as there are few.
//!
//! Invariant: the outcome depends on the values only: counts are given up exactly when there are more than
//! [`MAX_CATEGORIES`] different texts or one longer than [`MAX_CATEGORY_BYTES`], in whatever order they come.

use std::collections::{BTreeMap, HashMap};

use crate::stored::{Writer, Written};

/// Different texts counted exactly.
pub const MAX_CATEGORIES: usize = 1024;
/// Longest text that counts as a category, bytes.
pub const MAX_CATEGORY_BYTES: usize = 1024;

/// Counts by text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Categories {
    counts: HashMap<Box<str>, u64>,
    given_up: bool,
}

impl Categories {
    /// Counts one text.
    pub fn insert(&mut self, text: &str) {
        if self.given_up {
            return;
        }
        if let Some(count) = self.counts.get_mut(text) {
            *count += 1;
        } else if text.len() > MAX_CATEGORY_BYTES || self.counts.len() == MAX_CATEGORIES {
            self.give_up();
        } else {
            self.counts.insert(text.into(), 1);
        }
    }

    /// Stops counting: there are values that were not counted here.
    pub fn give_up(&mut self) {
        self.given_up = true;
        self.counts = HashMap::new();
    }

    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        if self.given_up || other.given_up {
            return self.give_up();
        }
        for (text, count) in &other.counts {
            *self.counts.entry(text.clone()).or_default() += count;
        }
        if self.counts.len() > MAX_CATEGORIES {
            self.give_up();
        }
    }

    /// The counts in the order of their texts; `None` when there were too many.
    #[must_use]
    pub fn counts(&self) -> Option<BTreeMap<&str, u64>> {
        (!self.given_up).then(|| self.counts.iter().map(|(text, &count)| (text.as_ref(), count)).collect())
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.maybe(self.counts(), |out, counts| {
            out.count(counts.len());
            for (text, count) in counts {
                out.text(text);
                out.number(count);
            }
        });
    }

    pub(crate) fn read(written: &mut Written<'_>) -> Option<Self> {
        let pair = |written: &mut Written<'_>| Some((written.text()?.into_boxed_str(), written.rows()?));
        let counts = written.maybe(|written| written.list(16, pair))?;
        let few = counts.as_ref().is_none_or(|counts| counts.len() <= MAX_CATEGORIES);
        few.then(|| Self { given_up: counts.is_none(), counts: counts.into_iter().flatten().collect() })
    }
}
