//! How often each of some values was seen, of which there may be any number.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Most values that are kept apart.
const VALUES_MAX: usize = 32;
/// Longest value that is kept, bytes.
const VALUE_MAX_BYTES: usize = 256;

/// Values with how often they were seen. Those that were seen least give way to new ones, and their calls are counted
/// together: the counts always add up to the number of calls that had a value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// How often, by value.
    pub values: BTreeMap<String, u64>,
    /// How often a value was seen that is not kept.
    #[serde(default)]
    pub other: u64,
}

impl Counts {
    /// Counts one call with this value.
    pub(crate) fn count(&mut self, value: &str) {
        let value = cut(value);
        if let Some(count) = self.values.get_mut(value) {
            *count += 1;
            return;
        }
        if self.values.len() >= VALUES_MAX {
            let rarest = self.values.iter().min_by_key(|(_, count)| **count).map(|(value, _)| value.clone());
            self.other += rarest.and_then(|rarest| self.values.remove(&rarest)).unwrap_or_default();
        }
        self.values.insert(value.to_owned(), 1);
    }

    /// How many calls had a value.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.other + self.values.values().sum::<u64>()
    }
}

fn cut(value: &str) -> &str {
    &value[..value.floor_char_boundary(VALUE_MAX_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_often_stays_and_nothing_is_lost_from_the_sum() {
        let mut counts = Counts::default();
        for number in 0..10_000 {
            counts.count("often");
            counts.count(&format!("once {number}"));
        }
        assert_eq!((counts.values.len(), counts.total()), (VALUES_MAX, 20_000));
        assert_eq!(counts.values["often"], 10_000);
        counts.count(&"é".repeat(1_000));
        assert!(counts.values.keys().all(|value| value.len() <= VALUE_MAX_BYTES));
    }
}
