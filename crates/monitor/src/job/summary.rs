//! What a job tells the person who started it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::passes::Pass;
use crate::artefact::Violation;
use crate::cause::Cause;
use crate::dataset::{BadRecord, Matching};
use crate::notes;
use crate::violations::FeatureDrift;

/// The account of a job: `records = used + bad + unanswered`, and beside them `outside`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Objects read.
    pub objects: u64,
    /// Captured records, or rows of CSV files.
    pub records: u64,
    /// Records whose rows were analysed.
    pub used: u64,
    /// Records that could not be used.
    pub bad: u64,
    /// Calls that the model did not answer; there is nothing to analyse in them.
    pub unanswered: u64,
    /// Calls in the same objects that were not asked for.
    pub outside: u64,
    /// Rows analysed.
    pub rows: u64,
    /// The first bad records, at most a hundred.
    pub described: Vec<BadRecord>,
    /// Rows by their number of columns, those that did not fit included.
    pub widths: BTreeMap<usize, u64>,
    /// Names of the columns, in order.
    pub columns: Vec<String>,
    /// The column the model answers with, where the job was told.
    pub output_column: Option<String>,
    /// How the data found its columns.
    pub matching: Matching,
    /// Cells with a value as a share of all cells.
    pub completeness: f64,
    /// What a person should know.
    pub notes: Vec<String>,
    /// Addresses of the artefacts.
    pub written: Vec<String>,
}

/// The outcome of a check.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckSummary {
    /// The account of the data that was checked.
    pub data: Summary,
    /// What does not hold; empty when all is well.
    pub violations: Vec<Violation>,
    /// Every comparison with the baseline's distributions, drifted or not.
    pub drifts: Vec<FeatureDrift>,
    /// Of drifted features: who, and since when.
    pub causes: Vec<Cause>,
}

impl Summary {
    pub(super) fn of(pass: &Pass, written: Vec<String>) -> Self {
        let present = pass.profile.columns.iter().map(|column| column.present()).sum();
        Self::counting(pass, present, written)
    }

    /// The same, of which so many cells have a value.
    pub(super) fn counting(pass: &Pass, present: u64, written: Vec<String>) -> Self {
        let (tally, names) = (&pass.tally, &pass.tally.columns.names);
        let cells = tally.rows * names.len() as u64;
        let mut told = pass.notes.clone();
        if tally.bad > 0 {
            told.push(notes::UNUSABLE.say(&[&tally.bad.to_string(), &tally.records.to_string()]));
        }
        if pass.is_unpaired() {
            told.push(notes::UNPAIRED.say(&[&names.len().to_string()]));
            if pass.columns_given.is_some_and(|given| given + 1 == names.len()) {
                told.push(notes::ANSWER_FIRST.say(&[]));
            }
        } else if pass.columns_given.is_some() && tally.matching == Matching::ByPosition {
            told.push(notes::BY_POSITION.say(&[]));
        }
        if !tally.never_seen.is_empty() {
            told.push(notes::NEVER_SEEN.say(&[&tally.never_seen.join(", ")]));
        }
        let unused = pass.naming().unused(names.iter().map(String::as_str));
        if !unused.is_empty() {
            told.push(notes::NAMES_UNUSED.say(&[&unused.join(", ")]));
        }
        Self {
            objects: pass.objects,
            records: tally.records,
            used: tally.used,
            bad: tally.bad,
            unanswered: tally.unanswered,
            outside: tally.outside,
            rows: tally.rows,
            described: tally.described.clone(),
            widths: tally.widths.clone(),
            columns: names.clone(),
            output_column: None,
            matching: tally.matching,
            completeness: if cells == 0 { 1.0 } else { present as f64 / cells as f64 },
            notes: told,
            written,
        }
    }
}
