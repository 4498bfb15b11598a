//! What of a record is explained by itself: a feature, or a part of a text feature.
//!
//! Invariant: units are in the order of the features, and the parts of a text in theirs. A record of which every unit is kept
//! is the record as it came.

use std::borrow::Cow;
use std::ops::Range;

use captura_attribution::record::{Feature, Record};

use super::text::Cutting;

/// A feature, or a part of its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unit {
    feature: usize,
    part: Option<Range<usize>>,
}

/// A part of a text, for whoever reads the answer: its words, and where they begin, in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) text: String,
    pub(super) start: usize,
}

/// How the text features of records are cut.
#[derive(Debug, Clone)]
pub(super) struct Texts {
    pub(super) cutting: Cutting,
    /// Whether it is text, feature by feature.
    pub(super) are_texts: Vec<bool>,
}

impl Texts {
    /// The units of a record.
    pub(super) fn units(&self, record: &Record) -> Vec<Unit> {
        let mut units = Vec::new();
        for (feature, value) in record.iter().enumerate() {
            if self.are_texts.get(feature) == Some(&true) {
                let parts = self.cutting.cut(&value.as_cell());
                units.extend(parts.into_iter().map(|part| Unit { feature, part: Some(part) }));
            } else {
                units.push(Unit { feature, part: None });
            }
        }
        units
    }

    /// What the answer says of a record's units, feature by feature; nothing of a unit that is a whole feature.
    pub(super) fn told(record: &Record, units: &[Unit]) -> Vec<Vec<Option<Part>>> {
        let mut told = vec![Vec::new(); record.len()];
        for unit in units {
            let part = unit.part.clone().map(|part| {
                let text = record[unit.feature].as_cell();
                Part { text: text[part.clone()].to_owned(), start: text[..part.start].chars().count() }
            });
            told[unit.feature].push(part);
        }
        told
    }
}

impl Unit {
    /// Every feature of a record.
    pub(super) fn features(record: &Record) -> Vec<Self> {
        (0..record.len()).map(|feature| Self { feature, part: None }).collect()
    }

    /// Whether a record changes when the unit is replaced by that of any of these.
    pub(super) fn differs(&self, record: &Record, baseline: &[Record]) -> bool {
        let own = &record[self.feature];
        baseline.iter().any(|base| match &self.part {
            None => !own.is_same_as(&base[self.feature]),
            Some(part) => own.as_cell()[part.clone()] != *base[self.feature].as_cell(),
        })
    }
}

/// The record with the units that are not kept replaced: features by those of the base, parts of texts by the base's text.
pub(super) fn mixed<'a>(
    (record, units): (&'a Record, &[Unit]),
    base: &'a Record,
    is_kept: impl Fn(usize) -> bool,
) -> Vec<Cow<'a, Feature>> {
    let mut place = 0;
    let mut features = Vec::with_capacity(record.len());
    for (feature, own) in record.iter().enumerate() {
        let first = place;
        while units.get(place).is_some_and(|unit| unit.feature == feature) {
            place += 1;
        }
        let of_feature = &units[first..place];
        if let [Unit { part: None, .. }] = of_feature {
            features.push(Cow::Borrowed(if is_kept(first) { own } else { &base[feature] }));
            continue;
        }
        let (text, other) = (own.as_cell(), base[feature].as_cell());
        let (mut written, mut at) = (String::with_capacity(text.len()), 0);
        for (index, part) in of_feature.iter().filter_map(|unit| unit.part.as_ref()).enumerate() {
            written.push_str(&text[at..part.start]);
            written.push_str(if is_kept(first + index) { &text[part.clone()] } else { &other });
            at = part.end;
        }
        written.push_str(&text[at..]);
        features.push(Cow::Owned(own.with_text(written)));
    }
    features
}
