//! A page of a bucket's listing: keys in the order of their bytes, rolled up at a delimiter, from a place on.
//!
//! Invariant: the pages of a listing, one after the other, hold each key or common prefix once. The name that a page ends
//! with is where the next one goes on, so there is no state between them.

use crate::object::Object;

/// Most entries of a page, as S3 has it.
pub(crate) const PAGE_MAX: usize = 1000;

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query {
    pub(crate) prefix: String,
    /// Not empty.
    pub(crate) delimiter: Option<String>,
    /// Entries begin behind this name.
    pub(crate) after: String,
    pub(crate) max: usize,
}

/// One line of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    Object(String, Box<Object>),
    /// A common prefix.
    Prefix(String),
}

impl Entry {
    /// The key or prefix.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Object(name, _) | Self::Prefix(name) => name,
        }
    }
}

/// A page.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) entries: Vec<Entry>,
    /// Whether there is something behind it.
    pub(crate) truncated: bool,
}

/// How a walk through keys goes on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// With the next key.
    Next,
    /// With the next key that does not begin so.
    Skip(String),
    /// Not at all.
    Stop,
}

/// Makes a page of keys that are offered in order.
pub(crate) struct Gather {
    pub(crate) query: Query,
    page: Page,
}

impl Gather {
    pub(crate) fn new(query: Query) -> Self {
        Self { query, page: Page::default() }
    }

    /// Offers the next key; `look` is asked about it only if it comes onto the page, and gives nothing when the object is
    /// gone meanwhile.
    pub(crate) fn offer(&mut self, key: &str, look: impl FnOnce() -> Option<Object>) -> Flow {
        if self.query.max == 0 {
            return Flow::Stop;
        }
        let Some(rest) = key.strip_prefix(self.query.prefix.as_str()) else { return Flow::Next };
        let delimiter = self.query.delimiter.as_deref();
        if let Some((at, delimiter)) = delimiter.and_then(|delimiter| rest.find(delimiter).map(|at| (at, delimiter))) {
            let group = &key[..self.query.prefix.len() + at + delimiter.len()];
            return self.offer_group(group);
        }
        if key <= self.query.after.as_str() {
            return Flow::Next;
        }
        if self.is_full() {
            return Flow::Stop;
        }
        self.page.entries.extend(look().map(|object| Entry::Object(key.to_owned(), Box::new(object))));
        Flow::Next
    }

    /// Offers a common prefix under which there is an object.
    pub(crate) fn offer_group(&mut self, group: &str) -> Flow {
        if group > self.query.after.as_str() {
            if self.is_full() {
                return Flow::Stop;
            }
            self.page.entries.push(Entry::Prefix(group.to_owned()));
        }
        Flow::Skip(group.to_owned())
    }

    fn is_full(&mut self) -> bool {
        self.page.truncated = self.page.entries.len() >= self.query.max;
        self.page.truncated
    }

    pub(crate) fn page(self) -> Page {
        self.page
    }

    /// Whether a folder of keys, whose name ends in a slash, can hold any that are wanted.
    pub(crate) fn may_hold(&self, folder: &str) -> bool {
        let (prefix, after) = (self.query.prefix.as_str(), self.query.after.as_str());
        (folder.starts_with(prefix) || prefix.starts_with(folder)) && (folder > after || after.starts_with(folder))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::facts::Facts;

    fn object() -> Option<Object> {
        Some(Object { size_bytes: 0, modified_ns: 0, facts: Facts::default() })
    }

    fn names(keys: &BTreeSet<String>, query: &Query) -> Page {
        let mut gather = Gather::new(query.clone());
        let mut skip: Option<String> = None;
        for key in keys {
            if skip.as_deref().is_some_and(|skip| key.starts_with(skip)) {
                continue;
            }
            match gather.offer(key, object) {
                Flow::Next => {}
                Flow::Skip(group) => skip = Some(group),
                Flow::Stop => break,
            }
        }
        gather.page()
    }

    proptest! {
        #[test]
        fn pages_hold_each_name_once_and_in_order(
            keys in prop::collection::btree_set("[ab/]{1,6}", 0..30),
            prefix in "[ab/]{0,2}",
            delimiter in prop::option::of("[b/]"),
            max in 1_usize..5,
        ) {
            let mut expected = BTreeSet::new();
            for key in keys.iter().filter(|key| key.starts_with(&prefix)) {
                let at = delimiter.as_ref().and_then(|delimiter| key[prefix.len()..].find(delimiter));
                expected.insert(at.map_or(key.clone(), |at| key[..=prefix.len() + at].to_owned()));
            }
            let mut query = Query { prefix, delimiter, after: String::new(), max };
            let mut found = Vec::new();
            loop {
                let page = names(&keys, &query);
                prop_assert!(page.entries.len() <= max);
                found.extend(page.entries.iter().map(|entry| entry.name().to_owned()));
                if !page.truncated {
                    break;
                }
                query.after = found.last().unwrap().clone();
            }
            prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
        }
    }
}
