//! The verb `drift`, and what `report` tells: data held against a reference, column by column, caller by caller, window
//! by window.
//!
//! One pass over the data, and over a reference made of captures; a second one where categories drifted, where there is a
//! watch of windows, or where there was no room for the values of all columns. Invariant: the same objects give the same examination. Refuses to: write anything.

use std::collections::{BTreeMap, BTreeSet};

use captura_archive::Stores;
use captura_names::Timestamp;
use serde::{Serialize, Serializer};

use super::files::{read_artefact, read_optional};
use super::passes::{Pass, open};
use super::{CONSTRAINTS, JobError, STATISTICS, Source, Summary, below};
use crate::artefact::{Statistics, Violation};
use crate::cause::mix::Split;
use crate::cause::{Callers, Cause, Collector, MAX_FEATURES};
use crate::constraints::Constraints;
use crate::dataset::Columns;
use crate::drift::bursts::Marks;
use crate::drift::compare::{DatasetDrift, Kind, Reference, ReferenceColumn, Rule, Verdict, compare};
use crate::drift::sample::Sample;
use crate::drift::windows::{Budget, Watched, Windows};
use crate::profile::{DatasetProfile, InferredType};
use crate::violations::{Pairing, check as check_profile};

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
    /// The data's profile, for histograms.
    #[serde(skip)]
    pub profile: DatasetProfile,
    /// The reference, for histograms.
    #[serde(skip)]
    pub reference: KeptReference,
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

/// A reference that is kept.
#[derive(Debug, Clone, PartialEq)]
pub enum KeptReference {
    /// Of a baseline.
    File(Statistics),
    /// Of other data.
    Profile(DatasetProfile),
}

impl KeptReference {
    /// As what is compared with.
    #[must_use]
    pub fn reference(&self) -> Reference<'_> {
        match self {
            Self::File(statistics) => Reference::File(statistics),
            Self::Profile(profile) => Reference::Profile(profile),
        }
    }

    fn rows(&self) -> u64 {
        match self {
            Self::File(statistics) => statistics.dataset.item_count,
            Self::Profile(profile) => profile.rows,
        }
    }

    fn columns(&self) -> Columns {
        let columns = self.reference().columns();
        let is_text = |column: &&ReferenceColumn<'_>| match column {
            ReferenceColumn::File(feature) => feature.inferred_type == InferredType::String,
            ReferenceColumn::Profile(profile) => profile.inferred_type() == InferredType::String,
        };
        let names = columns.iter().map(|column| column.name().to_owned());
        Columns::named(names).with_text(columns.iter().filter(is_text).map(ReferenceColumn::name))
    }
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

/// What was read of the reference.
struct Then {
    kept: KeptReference,
    constraints: Option<Constraints>,
    /// Where it can be told who called, and how to read it.
    calls: Option<(Pass, Source)>,
}

/// Examines data.
///
/// # Errors
/// When objects cannot be read, there are no rows, the baseline cannot be used, or there are too many windows.
pub async fn examine(stores: &Stores, request: &Examine) -> Result<Examination, JobError> {
    let mut then = reference(stores, request).await?;
    let objects = open(stores, &request.source).await?;
    let known = then.kept.columns();
    let is_alone = matches!(request.against, Against::Nothing);
    let named = request.source.names.clone().map(Columns::named);
    let columns = if is_alone { named } else { Some(known) };
    let pass = Pass::listening(&objects, &request.source, columns, !is_alone).await?;
    if is_alone {
        let names: Vec<String> = pass.profile.names().map(str::to_owned).collect();
        then.kept = KeptReference::Profile(DatasetProfile::of_columns(&names));
    }
    let drift = compare(then.kept.reference(), &pass.profile, request.rule);
    let pairing = if pass.is_unpaired() { Pairing::Unknown } else { Pairing::ByName };
    let findings = then.constraints.as_ref().map(|constraints| {
        let statistics = match &then.kept {
            KeptReference::File(statistics) => Some(statistics),
            KeptReference::Profile(_) => None,
        };
        check_profile(&pass.profile, pairing, constraints, statistics)
    });
    let mut windows = request.budget.map(|budget| Windows::new(columns_to_watch(&then.kept), budget.window_us));
    let drifted: Vec<(String, bool)> = drift
        .worst_first()
        .into_iter()
        .filter(|column| column.verdict == Verdict::Drifted)
        .take(MAX_FEATURES)
        .map(|column| (column.feature.clone(), column.kind == Kind::Categories))
        .collect();
    let (callers, now) = pass.heard(&objects, &request.source, &drifted).await?;
    if let Some(windows) = &mut windows {
        pass.again(&objects, &request.source, |batch| windows.take(&batch)).await?;
    }
    let before = callers_then(stores, then.calls.take(), &drifted).await?;
    let columns = then.kept.reference().columns();
    let watched = match (windows, request.budget) {
        (Some(windows), Some(budget)) => Some(windows.watched(&columns, request.rule.tolerance, budget)?),
        _ => None,
    };
    let mut data = Summary::of(&pass, Vec::new());
    data.notes.extend(findings.as_ref().map(|findings| findings.notes.clone()).unwrap_or_default());
    let causes = causes(&then.kept, &now, &drifted, request.rule.tolerance);
    let split = |(feature, _): &(String, bool)| now.split(&before.as_ref()?.1, feature);
    Ok(Examination {
        data,
        reference_rows: then.kept.rows(),
        period: callers.period().map(|(from, to)| Period { from, to }),
        drift,
        violations: findings.map(|findings| findings.violations),
        causes,
        splits: drifted.iter().filter_map(split).collect(),
        consumers: consumers(&callers, before.as_ref().map(|(callers, _)| callers)),
        watched,
        profile: pass.profile,
        reference: then.kept,
    })
}

async fn reference(stores: &Stores, request: &Examine) -> Result<Then, JobError> {
    match &request.against {
        Against::Baseline { folder, history } => {
            let statistics: Statistics = read_artefact(stores, &below(folder, STATISTICS)).await?;
            let constraints = read_optional(stores, &below(folder, CONSTRAINTS)).await?;
            let kept = KeptReference::File(statistics);
            let calls = if history.is_empty() {
                None
            } else {
                let mut source = Source { addresses: history.clone(), ..request.source.clone() };
                source.selection.window = None;
                source.scope.window = None;
                let objects = open(stores, &source).await?;
                Some((Pass::listening(&objects, &source, Some(kept.columns()), true).await?, source))
            };
            Ok(Then { kept, constraints, calls })
        }
        Against::Data(source) => {
            let objects = open(stores, source).await?;
            let names = source.names.clone().map(Columns::named);
            let mut pass = Pass::listening(&objects, source, names, false).await?;
            let kept = KeptReference::Profile(std::mem::take(&mut pass.profile));
            Ok(Then { kept, constraints: None, calls: Some((pass, source.clone())) })
        }
        Against::Nothing => {
            let kept = KeptReference::Profile(DatasetProfile::default());
            Ok(Then { kept, constraints: None, calls: None })
        }
    }
}

/// Who called when the reference was made, and what they sent; `None` when its records do not name anybody.
async fn callers_then(
    stores: &Stores,
    calls: Option<(Pass, Source)>,
    drifted: &[(String, bool)],
) -> Result<Option<(Callers, Collector)>, JobError> {
    let Some((pass, source)) = calls else { return Ok(None) };
    let objects = open(stores, &source).await?;
    let (callers, collector) = pass.heard(&objects, &source, drifted).await?;
    Ok(callers.rows().keys().any(Option::is_some).then_some((callers, collector)))
}

fn columns_to_watch(kept: &KeptReference) -> Vec<(String, Marks)> {
    let columns = kept.reference().columns();
    let watched = columns.iter().map(|column| (column.name().to_owned(), column.sample()));
    let watched = watched.filter(|(_, sample)| *sample != Sample::Unknown);
    watched.map(|(name, sample)| (name, Marks::of(&sample))).collect()
}

fn causes(kept: &KeptReference, now: &Collector, drifted: &[(String, bool)], tolerance: f64) -> Vec<Cause> {
    let made;
    let statistics = match kept {
        KeptReference::File(statistics) => statistics,
        KeptReference::Profile(profile) if drifted.is_empty() => {
            debug_assert!(profile.rows > 0 || drifted.is_empty(), "our bug: nothing drifts from nothing");
            return Vec::new();
        }
        KeptReference::Profile(profile) => {
            let columns = profile.columns.iter().filter(|column| drifted.iter().any(|(name, _)| *name == column.name));
            made = Statistics::of(&DatasetProfile { rows: profile.rows, columns: columns.cloned().collect() });
            &made
        }
    };
    drifted.iter().filter_map(|(feature, _)| now.cause(statistics.feature(feature)?, tolerance)).collect()
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
