//! The verbs `profile`, `baseline` and `check`: objects in, artefacts out. The only place of this room with IO.
//!
//! A job reads its objects in the order of their addresses, whatever order they were asked for in, in pieces of bounded size
//! and by several threads. When
//! a pass shows that the columns were planned wrongly (a column of numbers turns out to hold text, most rows have
//! another width, bodies bring further names), it starts again with a better plan, at most [`MAX_PASSES`] times. Of very many
//! columns `profile`, `baseline` and examinations profile [`COLUMNS_AT_ONCE`] at a time; the other verbs hold the profiles of all.
//!
//! Invariant: an artefact is replaced as a whole or not at all; the same objects give the same bytes. Bad records are
//! counted and described in the summary, never fatal. Refuses to: judge an empty data set.

mod attribution;
mod bias;
mod crew;
mod examination;
mod files;
mod gathering;
mod keeping;
mod passes;
mod pieces;
mod preprocess;
mod quality;
mod reading;
mod sides;
mod summary;
mod walk;
mod writing;

use std::num::NonZero;
use std::ops::Range;
use std::sync::Arc;

use captura_archive::Stores;
use captura_archive::document::WriteError;
use captura_archive::reader::{ReadError, Selection};
use captura_names::Timestamp;

use crate::artefact::{ConstraintViolations, Statistics, jackson};
use crate::cause::Cause;
use crate::constraints::Constraints;
use crate::counted;
use crate::dataset::{Columns, Header, Naming, Scope};
use crate::drift::chance;
use crate::drift::windows::TooManyWindows;
use crate::profile::InferredType;
use crate::violations::{FeatureDrift, Pairing, check as check_profile};

pub use attribution::{
    ATTRIBUTION, AskError, AskModel, Attribution, AttributionError, AttributionSummary, DependenceSummary,
    LOCAL_VALUES, LabelAttribution, ModelAnswer, OWN_INFERENCE_ID, Question, RowsAccount, SHAP_BASELINE, attribution,
    attribution_config, dependence,
};
pub use bias::{ANALYSIS, BIAS, Bias, BiasSummary, bias, bias_config};
pub use examination::{Against, ConsumerRows, Examination, Examine, Period, examine};
pub use files::{CONSTRAINTS, STATISTICS, VIOLATIONS};
use files::{read_artefact, read_optional, write};
pub use passes::MAX_PASSES;
use passes::{Pass, open};
pub use pieces::PIECE_BYTES;
pub use preprocess::{PreprocessAccount, Preprocessed, RecordPreprocessor, preprocess};
pub use quality::{ESTIMATOR, QUALITY, Quality, QualityError, QualitySummary, quality};
pub use sides::COLUMNS_AT_ONCE;
pub use summary::{CheckSummary, Summary};
use writing::write_statistics;

/// Rows below which a check says how blunt it is.
const FEW_ROWS: u64 = 500;

/// What to read.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// Objects, folders or prefixes: `s3://…`, `file://…` or plain paths. CSV files must be named themselves; in folders
    /// only captured objects count.
    pub addresses: Vec<String>,
    /// Which captured objects below them.
    pub selection: Selection,
    /// Which of the calls in them.
    pub scope: Scope,
    /// Whether CSV files begin with the names of their columns.
    pub header: Header,
    /// Names of the columns, output columns first, e.g. from the model's signature. A header wins over them.
    pub names: Option<Vec<String>>,
    /// What columns are called that the data calls otherwise.
    pub naming: Arc<Naming>,
    /// Threads that read; as many as there are cores where nobody says. What comes out is the same.
    pub threads: Option<NonZero<usize>>,
    /// Whether profiles of captured hours are kept beside them and used again.
    pub keeps_profiles: bool,
    /// Columns that `profile`, `baseline` and examinations read at once; [`COLUMNS_AT_ONCE`] of CSV and all of JSON and Parquet where nobody says. What
    /// comes out is the same.
    pub columns_at_once: Option<NonZero<usize>>,
}

/// What to check, and against what.
#[derive(Debug, Clone, Default)]
pub struct Check {
    /// The data.
    pub source: Source,
    /// Folder or prefix of the baseline. Its `statistics.json` may be absent: then distributions are not compared.
    pub baseline: String,
    /// Earlier captures, e.g. those the baseline was made from: not checked, but looked into for the moment when a
    /// drift began, which may lie before the checked data. May be empty.
    pub history: Vec<String>,
    /// Folder or prefix for violations, statistics and suggested constraints.
    pub out: String,
}

/// Where a table for a baseline has the column that the model answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LabelPosition {
    /// The columns already have the order of captured rows, or there is no such column.
    #[default]
    AsIs,
    /// It is the first column, as in captured rows.
    First,
    /// It is the last column and is moved to the front.
    Last,
}

/// Why a job failed.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The objects cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// There is nothing to analyse, so nothing can be said.
    #[error("there are no rows to analyse: {}{}{first}", read_in_words(*records, *bad, *unanswered), others(*outside))]
    NoRows {
        /// Records read.
        records: u64,
        /// Records that could not be used.
        bad: u64,
        /// Calls that the model did not answer.
        unanswered: u64,
        /// Calls that were not asked for.
        outside: u64,
        /// The first bad record, described, with a separator in front; else empty.
        first: String,
    },
    /// An artefact of the baseline is not there or not what it should be.
    #[error("cannot use {address}: {reason}")]
    ReadArtefact {
        /// The file.
        address: String,
        /// Why not.
        reason: String,
    },
    /// A script of the user's did not do its work.
    #[error("{0}")]
    Script(String),
    /// There are more windows than can be held.
    #[error(transparent)]
    Windows(#[from] TooManyWindows),
    /// An artefact cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

fn read_in_words(records: u64, bad: u64, unanswered: u64) -> String {
    if records == 0 {
        return "no record was read".to_owned();
    }
    format!("{} read, {bad} of them unusable, {unanswered} without an answer", counted(records, "record"))
}

fn others(outside: u64) -> String {
    if outside == 0 {
        String::new()
    } else {
        format!("; {outside} others are not of the time or the consumers asked for, or are questions of an analysis")
    }
}

/// Profiles the source and writes its statistics to the file `out`.
///
/// # Errors
/// When objects cannot be read, there are no rows, or the file cannot be written.
pub async fn profile(stores: &Stores, source: &Source, out: &str) -> Result<Summary, JobError> {
    let objects = open(stores, source).await?;
    let mut pass = Pass::of_some(&objects, source).await?;
    let names = pass.tally.columns.names.clone();
    let made = write_statistics((stores, out), &mut pass, (&objects, source), &names).await?;
    Ok(Summary::counting(&pass, made.present, vec![out.to_owned()]))
}

/// Profiles the source, suggests constraints, and writes both into the folder or prefix `out`.
///
/// # Errors
/// As [`profile`].
pub async fn baseline(stores: &Stores, source: &Source, label: LabelPosition, out: &str) -> Result<Summary, JobError> {
    let objects = open(stores, source).await?;
    let mut pass = Pass::of_some(&objects, source).await?;
    let mut names = pass.tally.columns.names.clone();
    if label == LabelPosition::Last {
        names.rotate_right(1);
    }
    let statistics = below(out, STATISTICS);
    let made = write_statistics((stores, &statistics), &mut pass, (&objects, source), &names).await?;
    let constraints = write(stores, &below(out, CONSTRAINTS), jackson(&made.constraints)).await?;
    let mut summary = Summary::counting(&pass, made.present, vec![statistics, constraints]);
    summary.columns = names;
    summary.output_column = match label {
        LabelPosition::AsIs => None,
        LabelPosition::First | LabelPosition::Last => summary.columns.first().cloned(),
    };
    Ok(summary)
}

/// Checks data against a baseline and writes violations, statistics and suggested constraints.
///
/// # Errors
/// As [`profile`], and when the baseline or the history cannot be used.
pub async fn check(stores: &Stores, request: &Check) -> Result<CheckSummary, JobError> {
    let Check { source, baseline, out, .. } = request;
    let constraints: Constraints = read_artefact(stores, &below(baseline, CONSTRAINTS)).await?;
    let statistics: Option<Statistics> = read_optional(stores, &below(baseline, STATISTICS)).await?;
    let texts = constraints.features.iter().filter(|feature| feature.inferred_type == InferredType::String);
    let columns = Columns::named(constraints.features.iter().map(|feature| feature.name.clone()))
        .with_text(texts.map(|feature| feature.name.as_str()));
    let objects = open(stores, source).await?;
    let pass = Pass::listening(&objects, source, Some(columns), true).await?;
    let pairing = if pass.is_unpaired() { Pairing::Unknown } else { Pairing::ByName };
    let mut findings = check_profile(&pass.profile, pairing, &constraints, statistics.as_ref());
    if statistics.is_none() {
        findings.notes.push(format!("the baseline has no {STATISTICS}: distributions were not compared"));
    }
    if pass.profile.rows < FEW_ROWS
        && let Some(rows) = statistics.as_ref().map(|statistics| statistics.dataset.item_count).filter(|&rows| rows > 0)
    {
        findings.notes.push(format!(
            "only {} rows: by chance alone distances reach {:.2}, so the Robust method takes that off and smaller shifts \
             stay unseen",
            pass.profile.rows,
            chance(rows, pass.profile.rows)
        ));
    }
    let drifted: Vec<&FeatureDrift> = findings.drifts.iter().filter(|drift| drift.drifted).collect();
    let causes = match &statistics {
        Some(statistics) if !drifted.is_empty() => causes(stores, request, &pass, statistics, &drifted).await?,
        _ => Vec::new(),
    };
    let violations = ConstraintViolations { violations: findings.violations };
    let written = vec![
        write(stores, &below(out, STATISTICS), jackson(&Statistics::of(&pass.profile))).await?,
        write(stores, &below(out, CONSTRAINTS), jackson(&Constraints::suggest(&pass.profile))).await?,
        write(stores, &below(out, VIOLATIONS), jackson(&violations)).await?,
    ];
    let mut data = Summary::of(&pass, written);
    data.notes.append(&mut findings.notes);
    Ok(CheckSummary { data, violations: violations.violations, drifts: findings.drifts, causes })
}

async fn causes(
    stores: &Stores,
    request: &Check,
    pass: &Pass,
    statistics: &Statistics,
    drifted: &[&FeatureDrift],
) -> Result<Vec<Cause>, JobError> {
    let mut history = Source { addresses: request.history.clone(), ..request.source.clone() };
    // The window of the check bounds its history by its end alone; endpoint and variant do as well.
    let until = |window: Option<Range<Timestamp>>| window.map(|window| Timestamp::from_unix_us(0)..window.end);
    history.selection.window = until(history.selection.window);
    history.scope.window = until(history.scope.window);
    // Records say when to the second; within a second, what is earlier must be read earlier.
    let mut objects = open(stores, &history).await?;
    objects.extend(open(stores, &request.source).await?);
    let mut seen = std::collections::HashSet::new();
    objects.retain(|object| seen.insert(object.address.clone()));
    let features: Vec<(String, bool)> =
        drifted.iter().map(|drift| (drift.feature.clone(), drift.categorical)).collect();
    let (_, collector) = pass.heard(&objects, &history, &features).await?;
    let cause = |drift: &&FeatureDrift| {
        // The threshold of a chi-square test is a p-value; the same number serves as a distance here.
        collector.cause(statistics.feature(&drift.feature)?, drift.threshold)
    };
    Ok(drifted.iter().filter_map(cause).collect())
}

fn below(folder: &str, name: &str) -> String {
    format!("{}/{name}", folder.trim_end_matches('/'))
}
