//! The verb `drift`, and what `report` tells: data held against a reference, column by column, caller by caller, window
//! by window.
//!
//! One pass over the data, and over a reference made of captures; a second one where categories drifted, where there is a
//! watch of windows, or where there was no room for the values of all columns. Of very many columns there is a pass for each
//! group of them. Invariant: the same objects give the same examination. Refuses to: write anything.

use std::collections::{BTreeMap, BTreeSet};

use captura_archive::Stores;
use captura_names::Timestamp;
use serde::{Serialize, Serializer};

use super::crew::threads;
use super::passes::Grouping;
use super::reading::Limit;
use super::sides::{Side, Then};
use super::walk::{Question, walk};
use super::{JobError, Source, Summary};
use crate::artefact::Violation;
use crate::cause::mix::Split;
use crate::cause::{Callers, Cause, MAX_FEATURES};
use crate::dataset::Columns;
use crate::drift::compare::{DatasetDrift, Kind, Rule, Verdict};
use crate::drift::outline::Outline;
use crate::drift::windows::{Budget, Watched, Windows};

/// What to examine.
#[derive(Debug, Clone)]
pub struct Examine {
    /// The data.
    pub source: Source,
    /// What it is held against.
    pub against: Against,
    /// What counts as drift.
    pub rule: Rule,
    /// Windows and their budget of false alarms, when the data is to be watched window by window.
    pub budget: Option<Budget>,
    /// Whether a page is made of it, so that columns are outlined.
    pub is_pictured: bool,
}

/// What data is held against.
#[derive(Debug, Clone)]
pub enum Against {
    /// The `statistics.json` of a baseline, and its `constraints.json` where there is one.
    Baseline {
        /// Folder or prefix.
        folder: String,
        /// The captures it was made from, which tell who called then; may be empty.
        history: Vec<String>,
    },
    /// Other data: captures of another time, another variant, or the table a model was trained with.
    Data(Source),
    /// Nothing: the data is described, and not judged.
    Nothing,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Examination {
    /// The account of the data.
    pub data: Summary,
    /// Rows of the reference.
    pub reference_rows: u64,
    /// Time of the first and of the last call, when the records say.
    pub period: Option<Period>,
    /// Every column, compared.
    pub drift: DatasetDrift,
    /// What a baseline's constraints say; `None` without them.
    pub violations: Option<Vec<Violation>>,
    /// Of drifted columns: who, and since when.
    pub causes: Vec<Cause>,
    /// Of drifted columns: mix or behaviour. Empty when it is not known who called then.
    pub splits: Vec<Split>,
    /// Who called.
    pub consumers: Vec<ConsumerRows>,
    /// What the watch saw, when there was one.
    pub watched: Option<Watched>,
    /// What a page shows of the columns of `drift`, in their order; empty where none is made.
    #[serde(skip)]
    pub outlines: Vec<Outline>,
}

/// From the first to the last call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Period {
    /// First call.
    #[serde(serialize_with = "as_text")]
    pub from: Timestamp,
    /// Last call.
    #[serde(serialize_with = "as_text")]
    pub to: Timestamp,
}

/// A consumer's rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerRows {
    /// Who; `None` when the records do not say.
    pub consumer: Option<String>,
    /// Rows of the reference, when it is known who called then.
    pub reference: Option<u64>,
    /// Rows of the data.
    pub current: u64,
}

impl Examination {
    /// Whether anything drifted, broke a constraint or rang.
    #[must_use]
    pub fn is_alarming(&self) -> bool {
        self.drift.count(Verdict::Drifted) > 0
            || self.violations.as_ref().is_some_and(|violations| !violations.is_empty())
            || self.watched.as_ref().is_some_and(|watched| !watched.alarms.is_empty())
    }

    /// Whether there was nothing to hold the data against.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.reference_rows == 0
    }

    /// Whether not one column could be judged.
    #[must_use]
    pub fn cannot_tell(&self) -> bool {
        let untold = self.drift.count(Verdict::NotEnoughData) + self.drift.count(Verdict::NotComparable);
        untold == self.drift.columns.len()
    }
}

fn as_text<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

/// Examines data.
///
/// # Errors
/// When objects cannot be read, there are no rows, the baseline cannot be used, or there are too many windows.
pub async fn examine(stores: &Stores, request: &Examine) -> Result<Examination, JobError> {
    let question = question(request);
    let mut then = Then::open(stores, request, question.at_once).await?;
    let mut now = data(stores, request, &then, question.at_once).await?;
    let is_alone = then.rows() == 0;
    let walked = walk(&mut then, &mut now, Question { is_alone, ..question }).await?;
    let mut windows = request.budget.map(|budget| Windows::new(walked.watched, budget.window_us));
    let drifted: Vec<(String, bool)> = walked
        .drift
        .worst_first()
        .into_iter()
        .filter(|column| column.verdict == Verdict::Drifted)
        .take(MAX_FEATURES)
        .map(|column| (column.feature.clone(), column.kind == Kind::Categories))
        .collect();
    let (callers, sent) = now.heard(&drifted).await?;
    if let Some(windows) = &mut windows {
        now.again(|batch| windows.take(&batch)).await?;
    }
    let before = then.callers(&drifted).await?;
    let watched = match (windows, request.budget) {
        (Some(windows), Some(budget)) => Some(windows.watched(&then.all(), request.rule.tolerance, budget)?),
        _ => None,
    };
    let mut data = Summary::counting(&now.pass, walked.present, Vec::new());
    data.notes.extend(walked.findings.as_ref().map(|findings| findings.notes.clone()).unwrap_or_default());
    let statistics = then.statistics_of(&drifted).await?;
    let cause = |(feature, _): &(String, bool)| sent.cause(statistics.feature(feature)?, request.rule.tolerance);
    let causes = drifted.iter().filter_map(cause).collect();
    let split = |(feature, _): &(String, bool)| sent.split(&before.as_ref()?.1, feature);
    let splits = drifted.iter().filter_map(split).collect();
    drop(statistics);
    Ok(Examination {
        data,
        reference_rows: then.rows(),
        period: callers.period().map(|(from, to)| Period { from, to }),
        drift: walked.drift,
        violations: walked.findings.map(|findings| findings.violations),
        causes,
        splits,
        consumers: consumers(&callers, before.as_ref().map(|(callers, _)| callers)),
        watched,
        outlines: walked.outlines,
    })
}

fn question(request: &Examine) -> Question {
    Question {
        rule: request.rule,
        is_pictured: request.is_pictured,
        is_watched: request.budget.is_some(),
        is_alone: false,
        threads: threads(request.source.threads),
        // A watch of windows looks at all columns together.
        at_once: if request.budget.is_some() { Limit::NONE } else { Limit::of(&request.source) },
    }
}

/// The data, as what it is held against knows its columns.
async fn data(stores: &Stores, request: &Examine, then: &Then, at_once: Limit) -> Result<Side, JobError> {
    let (columns, grouping) = match then {
        Then::Nothing => (request.source.names.clone().map(Columns::named), Grouping::AtMost(at_once, None)),
        Then::File { .. } | Then::Data(_) => {
            let known = then.known();
            let first = known.names.iter().take(at_once.columns).cloned().collect();
            let first = std::sync::Arc::new(first);
            let is_of_groups = then.is_of_groups(at_once);
            let grouping = if is_of_groups { Grouping::Only(first) } else { Grouping::AtMost(at_once, Some(first)) };
            (Some(known), grouping)
        }
    };
    Side::open(stores, request.source.clone(), (columns, !matches!(then, Then::Nothing)), grouping).await
}

/// Everyone who called, now or then; who calls most now first.
fn consumers(now: &Callers, then: Option<&Callers>) -> Vec<ConsumerRows> {
    let (now, then) = (now.rows(), then.map(Callers::rows));
    let names: BTreeSet<Option<&str>> = now.keys().chain(then.iter().flat_map(BTreeMap::keys)).copied().collect();
    let consumer = |name: Option<&str>| ConsumerRows {
        consumer: name.map(str::to_owned),
        reference: then.as_ref().map(|then| then.get(&name).copied().unwrap_or(0)),
        current: now.get(&name).copied().unwrap_or(0),
    };
    let mut all: Vec<ConsumerRows> = names.into_iter().map(consumer).collect();
    all.sort_by(|a, b| b.current.cmp(&a.current).then_with(|| a.consumer.cmp(&b.consumer)));
    all
}
