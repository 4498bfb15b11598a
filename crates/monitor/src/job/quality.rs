//! The verb `quality`: captures and ground truth, or a table with labels, to metrics, constraints and violations.
//!
//! Ground truth is read first, its objects in the order in which they were filed; then the calls look their labels up.
//! Beside SageMaker's files it writes `quality.json` (maturity of the labels, calibration, estimates) and, where there are
//! enough labels to learn from, `estimator.json`, from which a later run with this folder as its baseline estimates
//! performance before labels arrive.
//!
//! Invariant: as of all jobs; labels that arrived after the moment that is asked about change nothing. Refuses to: answer
//! where no row has a label and nothing was learned before.

use std::collections::BTreeMap;
use std::ops::Range;

use captura_archive::Stores;
use captura_archive::layout::CapturedKey;
use captura_archive::reader::{Found, Selection, list};
use captura_names::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::files::{read_artefact, read_optional, write};
use super::passes::{Pass, open};
use super::{CONSTRAINTS, JobError, STATISTICS, Source, Summary, VIOLATIONS, below};
use crate::artefact::jackson;
use crate::bias::InvalidConfig;
use crate::calibration::CalibrationReport;
use crate::dataset::Columns;
use crate::estimate::{EstimateReport, Estimator};
use crate::labels::{LabelAccount, Labels, Maturity, Merger, TooManyLabels, arrival, merged_key};
use crate::quality::{
    Attribute, Attributes, Left, MAX_JUDGED_CLASSES, MAX_ROWS_HELD, Metric, Outcomes, ProblemType, QualityConstraints,
    QualityStatistics, QualityViolation, Sample, Sampler, SegmentQuality, When, by_segment,
};

/// Name of what SageMaker's files have no place for.
pub const QUALITY: &str = "quality.json";
/// Name of what estimates are made with.
pub const ESTIMATOR: &str = "estimator.json";

/// What to judge, and against what.
#[derive(Debug, Clone)]
pub struct Quality {
    /// Captures, or a table that has the label in a column.
    pub source: Source,
    /// Where everything is in a row.
    pub attributes: Attributes,
    /// Ground truth in SageMaker's layout: folders, prefixes or objects. Without any, and without a column of labels,
    /// the captures themselves are expected to be merged with it, as SageMaker's merge jobs write them.
    pub ground_truth: Vec<String>,
    /// Folder or prefix of a baseline's `constraints.json`, made by a model quality job, and of its `estimator.json` where
    /// it was made here.
    pub baseline: Option<String>,
    /// Folder or prefix for statistics, constraints and violations.
    pub out: String,
    /// Only captured calls of this time count.
    pub window: Option<Range<Timestamp>>,
    /// Folder or prefix for captures merged with their labels, as SageMaker's merge jobs write them.
    pub merge: Option<String>,
    /// Labels that arrived later do not count; else the last moment that the data knows of.
    pub as_of: Option<Timestamp>,
    /// Of the random samples behind standard deviations.
    pub seed: u64,
}

/// The outcome.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QualitySummary {
    /// The account of the rows.
    pub data: Summary,
    /// What is predicted.
    pub problem_type: ProblemType,
    /// Rows that were judged.
    pub judged: u64,
    /// Rows that were not, by reason.
    pub left: Left,
    /// What became of the ground truth records; absent for tables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<LabelAccount>,
    /// How ripe the labels are; absent for tables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maturity: Option<Maturity>,
    /// All metrics, in order; none where no row has a label.
    pub metrics: Vec<Metric>,
    /// The metrics that tell most, by consumer and by the columns that were asked for.
    pub by_segment: Vec<SegmentQuality>,
    /// How far probabilities can be trusted, where rows have them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration: Option<CalibrationReport>,
    /// What is to be expected of all rows, labelled or not, where the baseline had enough to learn from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimates: Option<EstimateReport>,
    /// What got worse than the baseline allows; empty when all is well, absent without a baseline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub violations: Option<Vec<QualityViolation>>,
}

/// Why a job that judges predictions failed.
#[derive(Debug, thiserror::Error)]
pub enum QualityError {
    /// As every job.
    #[error(transparent)]
    Job(#[from] JobError),
    /// A column cannot be found, or its values are not what they should be.
    #[error(transparent)]
    Attribute(#[from] Attribute),
    /// There is more ground truth than is held at once.
    #[error(transparent)]
    TooManyLabels(#[from] TooManyLabels),
    /// There are more rows than are held at once.
    #[error("there are more than {MAX_ROWS_HELD} rows; narrow the captures")]
    TooManyRows,
    /// What is asked about bias cannot be answered.
    #[error(transparent)]
    Bias(#[from] InvalidConfig),
    /// Labels and predictions are hardly classes.
    #[error("labels and predictions have {0} different values, more than {MAX_JUDGED_CLASSES}; is it a Regression?")]
    TooManyClasses(usize),
    /// No row has both a prediction and a label.
    #[error("no row has both a prediction and a label: {0}")]
    NothingJudged(String),
}

impl From<captura_archive::reader::ReadError> for QualityError {
    fn from(error: captura_archive::reader::ReadError) -> Self {
        Self::Job(error.into())
    }
}

/// Everything that was read, before anything is judged.
pub(super) struct Gathered {
    pub(super) pass: Pass,
    pub(super) objects: Vec<Found>,
    pub(super) outcomes: Outcomes,
    pub(super) labels: Option<Labels>,
    pub(super) as_of: Option<Timestamp>,
}

/// Judges predictions and writes statistics, suggested constraints and, with a baseline, violations. Where no row has a
/// label yet, only estimates are written.
///
/// # Errors
/// When something cannot be read or written, an attribute finds no column, or nothing can be said.
pub async fn quality(stores: &Stores, request: &Quality) -> Result<QualitySummary, QualityError> {
    let problem = request.attributes.problem;
    let (constraints, estimator) = match &request.baseline {
        Some(folder) => (
            Some(constraints(stores, folder, problem).await?),
            read_optional::<Estimator>(stores, &below(folder, ESTIMATOR)).await?,
        ),
        None => (None, None),
    };
    let gathered = gather(stores, request).await?;
    if gathered.outcomes.classes.len() > MAX_JUDGED_CLASSES {
        return Err(QualityError::TooManyClasses(gathered.outcomes.classes.len()));
    }
    let sample = gathered.outcomes.sample();
    let judged = sample.rows() > 0;
    let metrics = if judged { sample.metrics(request.seed) } else { Vec::new() };
    let mut notes = gathered.notes(request, &sample);
    let mut or_note = |what: &str, reason: String| notes.push(format!("{what}: {reason}"));
    let estimates = estimator.and_then(|estimator| {
        let estimated = estimator.estimate(&gathered.outcomes, &metrics);
        estimated.map_err(|reason| or_note("no estimates", reason)).ok()
    });
    if !judged && estimates.is_none() {
        return Err(QualityError::NothingJudged(gathered.why_nothing()));
    }
    let calibration = CalibrationReport::of(&gathered.outcomes);
    let calibration = calibration.map_err(|reason| or_note("no calibration", reason)).ok().flatten();
    let violations = constraints.filter(|_| judged).map(|constraints| {
        let (found, unjudged) = constraints.check(&metrics);
        notes.extend(unjudged);
        found
    });
    let mut written = Vec::new();
    if judged {
        written = write_judged(stores, request, &gathered, &sample, &metrics).await?;
    }
    if let Some(violations) = &violations {
        written.push(write(stores, &below(&request.out, VIOLATIONS), jackson(violations)).await?);
    }
    if let (Some(folder), Some(labels)) = (&request.merge, &gathered.labels) {
        written.extend(merge(stores, folder, &gathered.objects, labels, request.window.clone()).await?);
    }
    let Gathered { pass, outcomes, labels, as_of, .. } = gathered;
    let mut summary = QualitySummary {
        data: Summary::of(&pass, Vec::new()),
        problem_type: problem,
        judged: sample.rows() as u64,
        left: outcomes.left,
        maturity: labels.as_ref().map(|_| outcomes.calls.maturity(as_of)),
        labels: labels.as_ref().map(Labels::account),
        metrics,
        by_segment: by_segment(&outcomes),
        calibration,
        estimates,
        violations: violations.map(|found| found.violations),
    };
    summary.data.notes.append(&mut notes);
    written.push(write(stores, &below(&request.out, QUALITY), jackson(&summary)).await?);
    summary.data.written = written;
    Ok(summary)
}

async fn constraints(stores: &Stores, folder: &str, problem: ProblemType) -> Result<QualityConstraints, JobError> {
    let address = below(folder, CONSTRAINTS);
    let file: Value = read_artefact(stores, &address).await?;
    QualityConstraints::parse(&file, problem).map_err(|reason| JobError::ReadArtefact { address, reason })
}

/// Reads labels and rows.
pub(super) async fn gather(stores: &Stores, request: &Quality) -> Result<Gathered, QualityError> {
    let Quality { attributes, ground_truth, as_of, window, .. } = request;
    let mut source = request.source.clone();
    source.selection.window = window.clone().or(source.selection.window);
    let source = &source;
    let labels_in_rows = ground_truth.is_empty() && attributes.ground_truth.is_some();
    let mut labels = match (labels_in_rows, ground_truth.is_empty()) {
        (true, _) => None,
        (false, true) => {
            // Merged captures carry their labels.
            let labels = Labels::new(attributes.ground_truth.clone(), *as_of).among_captures();
            Some(read_labels(stores, &source.addresses, labels).await?)
        }
        (false, false) => {
            let labels = Labels::new(attributes.ground_truth.clone(), *as_of).kept_as_sent(request.merge.is_some());
            Some(read_labels(stores, ground_truth, labels).await?)
        }
    };
    let objects = open(stores, source).await?;
    let pass = Pass::run(&objects, source, source.names.clone().map(Columns::named), false).await?;
    let names: Vec<String> = pass.profile.names().map(str::to_owned).collect();
    let mut sampler = Sampler::new(attributes, &names, labels_in_rows)?.within(window.clone());
    pass.again(&objects, source, |batch| sampler.take(&batch, labels.as_mut())).await?;
    if sampler.is_full() {
        return Err(QualityError::TooManyRows);
    }
    let outcomes = sampler.finish(labels.as_mut())?;
    let known = labels.as_ref().and_then(Labels::latest).max(outcomes.calls.latest());
    Ok(Gathered { pass, objects, outcomes, labels, as_of: as_of.or(known) })
}

/// Merges captures with their labels, an object for each hour of a variant; returns the folder where anything was merged.
async fn merge(
    stores: &Stores,
    folder: &str,
    objects: &[Found],
    labels: &Labels,
    window: Option<Range<Timestamp>>,
) -> Result<Option<String>, JobError> {
    let mut merger = Merger::within(window);
    let mut hours: BTreeMap<String, Vec<&Found>> = BTreeMap::new();
    for object in objects {
        if let Some(key) = object.key.clone().or_else(|| CapturedKey::parse(&object.address)) {
            hours.entry(merged_key(&key)).or_default().push(object);
        }
    }
    let mut anything = false;
    for (key, objects) in hours {
        let mut lines = String::new();
        for object in objects {
            lines.push_str(&merger.merge(&object.fetch().await?, labels));
        }
        if !lines.is_empty() {
            write(stores, &below(folder, &key), lines).await?;
            anything = true;
        }
    }
    Ok(anything.then(|| below(folder, "")))
}

async fn read_labels(stores: &Stores, addresses: &[String], mut labels: Labels) -> Result<Labels, QualityError> {
    let mut objects = Vec::new();
    for address in addresses {
        objects.extend(list(stores, address, &Selection::default()).await?);
    }
    // Later labels win, so they are read later.
    objects.sort_by_cached_key(|object| (arrival(&object.address), object.address.clone()));
    objects.dedup_by(|a, b| a.address == b.address);
    for object in &objects {
        labels.read(&object.address, &object.fetch().await?)?;
    }
    Ok(labels)
}

/// Writes what only labelled rows can tell.
async fn write_judged(
    stores: &Stores,
    request: &Quality,
    gathered: &Gathered,
    sample: &Sample,
    metrics: &[Metric],
) -> Result<Vec<String>, JobError> {
    let calls = &gathered.outcomes.calls;
    let when = When { start: calls.earliest(), end: calls.latest(), evaluation: gathered.as_of };
    let statistics = QualityStatistics::of(sample, metrics, when);
    let constraints = QualityConstraints::suggest(sample.problem(), metrics);
    let mut written = vec![
        write(stores, &below(&request.out, STATISTICS), jackson(&statistics)).await?,
        write(stores, &below(&request.out, CONSTRAINTS), jackson(&constraints)).await?,
    ];
    if let Ok(estimator) = Estimator::learn(&gathered.outcomes) {
        let text = serde_json::to_string(&estimator).expect("our bug: an estimator is numbers and names");
        written.push(write(stores, &below(&request.out, ESTIMATOR), text).await?);
    }
    Ok(written)
}

impl Gathered {
    /// In words, why no row could be judged.
    pub(super) fn why_nothing(&self) -> String {
        let left = self.outcomes.left;
        let rows = self.outcomes.predicted.len();
        let mut why = format!(
            "of {rows} rows {} have no prediction, {} a prediction that is none, {} no label, {} a label that is none",
            left.no_prediction, left.bad_prediction, left.no_label, left.bad_label
        );
        if let Some(account) = self.labels.as_ref().map(Labels::account) {
            why.push_str(&format!(
                "; {} labels are known, {} belong to none of these calls",
                account.labels, account.unmatched
            ));
            if let Some(bad) = account.described.first() {
                why.push_str(&format!("; {} line {}: {}", bad.source, bad.line, bad.reason));
            }
        }
        why
    }

    fn notes(&self, request: &Quality, sample: &Sample) -> Vec<String> {
        let mut notes = Vec::new();
        let left = self.outcomes.left;
        for (rows, what) in [
            (left.no_prediction, "rows have no prediction"),
            (left.bad_prediction, "rows have a prediction that is none"),
            (left.bad_label, "rows have a label that is none"),
            (left.repeated_calls, "captured calls were there twice and count once"),
            (left.other_time_calls, "captured calls are of another time"),
        ] {
            if rows > 0 {
                notes.push(format!("{rows} {what}"));
            }
        }
        if let Sample::Binary(binary) = sample
            && request.attributes.probability.is_some()
            && binary.scores.is_none()
        {
            notes.push("not every judged row has a probability, so there is no curve and no auc".to_owned());
        }
        notes
    }
}
