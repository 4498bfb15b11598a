//! The verb `attribution`: captured rows or a table, and a model that can be asked, to what each feature adds to its answers.
//!
//! The model is asked through a door ([`AskModel`]): this room knows no HTTP. Asking stops in good order when the budget ends;
//! what was explained by then is a random sample of the rows.
//!
//! Invariant: as of all jobs; never more calls than the budget has. Refuses to: answer when no row was explained.

mod asking;
mod dependence;
mod rows;

use std::borrow::Cow;

use captura_archive::Stores;
use captura_archive::reader::{Selection, list};
use captura_attribution::record::{Layout, Record, Shape, write as write_record};
use serde::Serialize;

pub use self::asking::{AskError, AskModel, ModelAnswer, Question};
use self::asking::{Asked, ask};
pub use self::dependence::{DependenceSummary, dependence};
pub use self::rows::RowsAccount;
use self::rows::{Gathered, gather};
use super::bias::{ANALYSIS, pretty, read_analysis};
use super::files::write;
use super::{JobError, Source, VIOLATIONS, below};
use crate::attribution::{
    AttributionConfig, AttributionDrift, AttributionViolation, AttributionViolations, Budget, Explained, Explaining,
    Explanations, Features, GlobalAttribution, InvalidAttribution, LabelExplanation, Labels, LocalValues, Ranking,
    Refused, Settings, ShapBaseline, Wording, clustered, drift, global, untold,
};
use crate::bias::Analysis;
pub use crate::dataset::OWN_INFERENCE_ID;

/// Name of what Clarify's file has no place for.
pub const ATTRIBUTION: &str = "attribution.json";
/// Name of the attributions row by row.
pub const LOCAL_VALUES: &str = "explanations_shap/out.csv";
/// Name of the baseline rows, where they were made of the data.
pub const SHAP_BASELINE: &str = "explanations_shap/baseline.csv";
/// Rows out of which a baseline is made.
const CLUSTERED_ROWS_MAX: usize = 2_000;
/// Most rows of a baseline: each is asked about with every subset.
const BASELINE_ROWS_MAX: usize = 1_000;
/// Most features of a row. A fit holds a square of them in memory.
const FEATURES_MAX: usize = 512;

/// What to explain, and against what.
#[derive(Debug, Clone)]
pub struct Attribution {
    /// Captures, or a table of the model's inputs.
    pub source: Source,
    /// What is asked, in Clarify's words.
    pub config: AttributionConfig,
    /// What may be asked of the model.
    pub budget: Budget,
    /// A baseline's `analysis.json`, or its folder.
    pub baseline: Option<String>,
    /// Score of the ranking below which it has drifted.
    pub threshold: f64,
    /// Whether the score alone decides, whatever chance may explain.
    pub by_value: bool,
    /// Folder or prefix for what is written.
    pub out: String,
}

/// The outcome.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttributionSummary {
    /// The account of the rows.
    pub data: RowsAccount,
    /// Rows that were explained, a random sample of all.
    pub explained: usize,
    /// Calls to the model.
    pub calls: usize,
    /// Whether the budget ended before all rows that were to be explained were.
    pub budget_ended: bool,
    /// Most subsets of the features that were asked about for a row.
    pub samples: usize,
    /// Whether those were all subsets, so that attributions are exact.
    pub exact: bool,
    /// Rows that stood for a feature's absence.
    pub baseline_rows: usize,
    /// By label.
    pub labels: Vec<LabelAttribution>,
    /// Rankings against the baseline's; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drifts: Option<Vec<AttributionDrift>>,
    /// Labels whose ranking has drifted; absent without a baseline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub violations: Option<Vec<AttributionViolation>>,
    /// In words, of which labels it cannot be told whether their ranking has drifted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub untold: Option<String>,
    /// What a person should know.
    pub notes: Vec<String>,
    /// Addresses of the artefacts.
    pub written: Vec<String>,
}

/// What features add to one of the numbers that the model answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LabelAttribution {
    /// Its name.
    pub label: String,
    /// Mean answer to the baseline.
    pub expected_value: f64,
    /// Feature by feature, in the order of the columns.
    pub features: Vec<GlobalAttribution>,
}

/// Why a job that explains failed.
#[derive(Debug, thiserror::Error)]
pub enum AttributionError {
    /// As every job.
    #[error(transparent)]
    Job(#[from] JobError),
    /// What is asked cannot be answered.
    #[error(transparent)]
    Config(#[from] InvalidAttribution),
    /// The model does not answer, or not as it should.
    #[error("the model cannot be asked: {0}")]
    Model(String),
    /// Nothing was explained.
    #[error("no row was explained: {0}")]
    NothingExplained(String),
}

impl From<Refused> for AttributionError {
    fn from(refused: Refused) -> Self {
        Self::Model(refused.0)
    }
}

impl From<captura_archive::reader::ReadError> for AttributionError {
    fn from(error: captura_archive::reader::ReadError) -> Self {
        Self::Job(error.into())
    }
}

/// Reads Clarify's `analysis_config.json`.
///
/// # Errors
/// When it cannot be read or asks for no attributions.
pub async fn attribution_config(stores: &Stores, address: &str) -> Result<AttributionConfig, AttributionError> {
    let file: serde_json::Value = super::bias::read_file(stores, address).await?;
    Ok(AttributionConfig::parse(&file)?)
}

/// Explains rows through `model`, and writes `analysis.json`, local values and, with a baseline, violations. Bias that an
/// `analysis.json` in the folder already tells of stays in it. Where partial dependence is asked for too, half of the calls are
/// for that.
///
/// # Errors
/// When something cannot be read or written, the model cannot be asked, or no row was explained.
pub async fn attribution(
    stores: &Stores,
    request: &Attribution,
    model: &dyn AskModel,
) -> Result<AttributionSummary, AttributionError> {
    let mut summary = shap(stores, &halved(request), model).await?;
    let asked = (&summary.labels[..], summary.calls);
    let DependenceSummary { calls, notes, .. } = dependence(stores, request, asked, model).await?;
    summary.calls += calls;
    summary.notes.extend(notes);
    Ok(summary)
}

/// The same with half of the calls, where there is another use for the others.
fn halved(request: &Attribution) -> Cow<'_, Attribution> {
    let mut halved = Cow::Borrowed(request);
    if request.config.dependence.is_some() {
        halved.to_mut().budget.calls = request.budget.calls.div_ceil(2);
    }
    halved
}

async fn shap(
    stores: &Stores,
    request: &Attribution,
    model: &dyn AskModel,
) -> Result<AttributionSummary, AttributionError> {
    let config = &request.config;
    let known = match &request.baseline {
        Some(address) => Some(read_analysis(stores, address).await?),
        None => None,
    };
    let of_data = config.baseline == ShapBaseline::OfData;
    let rows_kept = request.budget.rows.max(if of_data { CLUSTERED_ROWS_MAX } else { 0 });
    let mut gathered = gather(stores, &request.source, config, rows_kept).await?;
    let baseline = baseline_rows(stores, request, &gathered).await?;
    gathered.rows.truncate(request.budget.rows);
    let features = gathered.names.len();
    let samples = request.budget.samples(config.num_samples, features, gathered.rows.len(), baseline.len());
    let wording = Wording::of(&config.predictor, &gathered.names)?;
    let settings = Settings { samples, seed: config.seed, use_logit: config.use_logit };
    let mut explaining = Explaining::new(&gathered.rows, &baseline, &wording, settings);
    let asked = ask(&mut explaining, &wording, request, (model, 0)).await?;
    let (expected, mut explained) = explaining.finish();
    explained.sort_by_key(|one| gathered.places[one.row]);
    if explained.is_empty() {
        return Err(AttributionError::NothingExplained(asked.why_nothing(samples, baseline.len())));
    }
    let found = Found { gathered, baseline, samples, expected, explained, asked };
    found.conclude(stores, request, known).await
}

/// The rows that stand for a feature's absence.
async fn baseline_rows(
    stores: &Stores,
    request: &Attribution,
    gathered: &Gathered,
) -> Result<Vec<Record>, AttributionError> {
    let config = &request.config;
    let features = gathered.names.len();
    let rows = match &config.baseline {
        ShapBaseline::Rows(rows) => rows.clone(),
        ShapBaseline::OfData => clustered(&gathered.rows, config.num_clusters.unwrap_or(1), config.seed),
        ShapBaseline::At(address) => {
            let source = Source { addresses: vec![address.clone()], ..Source::default() };
            let read = gather(stores, &source, config, CLUSTERED_ROWS_MAX).await?;
            match config.num_clusters {
                Some(count) => clustered(&read.rows, count, config.seed),
                None if read.data.rows > BASELINE_ROWS_MAX as u64 => {
                    return Err(InvalidAttribution(format!(
                        "has a baseline of {} rows, and {BASELINE_ROWS_MAX} at most are asked about; make fewer of them with \
                         num_clusters",
                        read.data.rows
                    ))
                    .into());
                }
                None => read.rows,
            }
        }
    };
    if let Some(row) = rows.iter().find(|row| row.len() != features) {
        let found = row.len();
        return Err(
            InvalidAttribution(format!("has a baseline of {found} features, and the data has {features}")).into()
        );
    }
    if features == 0 || features > FEATURES_MAX {
        return Err(InvalidAttribution(format!(
            "is about {features} features; from 1 to {FEATURES_MAX} can be explained"
        ))
        .into());
    }
    Ok(rows)
}

/// Everything that was found out, before it is told.
struct Found {
    gathered: Gathered,
    baseline: Vec<Record>,
    samples: usize,
    expected: Vec<f64>,
    explained: Vec<Explained>,
    asked: Asked,
}

impl Found {
    async fn conclude(
        self,
        stores: &Stores,
        request: &Attribution,
        known: Option<Analysis>,
    ) -> Result<AttributionSummary, AttributionError> {
        let config = &request.config;
        let mut notes = self.gathered.notes.clone();
        let local = self.local(&config.predictor.label_headers, &mut notes);
        let globals = global(&local, config.agg_method, config.seed);
        let mut written = Vec::new();
        let at = |name: &str| below(&request.out, name);
        if config.save_local_shap_values {
            written.push(write(stores, &at(LOCAL_VALUES), local.csv()).await?);
        }
        if config.baseline == ShapBaseline::OfData {
            written.push(write(stores, &at(SHAP_BASELINE), table(&self.gathered.names, &self.baseline)).await?);
        }
        let mut analysis = read_beside(stores, &at(ANALYSIS)).await.unwrap_or_default();
        "1.0".clone_into(&mut analysis.version);
        let explanations = explanations(&local.labels, &self.expected, &globals);
        analysis.explanations = Some(explanations);
        written.push(write(stores, &at(ANALYSIS), pretty(&analysis)).await?);
        let drifts = match &known {
            Some(known) => Some(drifts(stores, request, known, &local, &mut notes).await),
            None => None,
        };
        let violations = drifts.as_ref().map(|drifts| AttributionViolations::of(drifts, request.threshold));
        if let Some(violations) = &violations {
            written.push(write(stores, &at(VIOLATIONS), pretty(violations)).await?);
        }
        let labels = local.labels.iter().zip(&self.expected).zip(globals);
        let mut summary = AttributionSummary {
            explained: self.explained.len(),
            calls: self.asked.calls,
            budget_ended: self.asked.ended,
            samples: self.samples,
            exact: self.explained.iter().all(is_exact),
            baseline_rows: self.baseline.len(),
            labels: labels
                .map(|((label, &expected_value), features)| LabelAttribution {
                    label: label.clone(),
                    expected_value,
                    features,
                })
                .collect(),
            data: self.gathered.data,
            untold: drifts.as_ref().and_then(|drifts| untold(drifts, self.explained.len())),
            drifts,
            violations: violations.map(|found| found.violations),
            notes,
            written: Vec::new(),
        };
        written.push(write(stores, &at(ATTRIBUTION), pretty(&summary)).await?);
        summary.written = written;
        Ok(summary)
    }

    fn local(&self, headers: &[String], notes: &mut Vec<String>) -> LocalValues {
        let outputs = self.expected.len();
        let numbered = || (0..outputs).map(|place| format!("label{place}")).collect();
        let labels = if headers.len() == outputs {
            headers.to_vec()
        } else {
            if !headers.is_empty() {
                notes.push(format!(
                    "label_headers has {} names, and the model answers {outputs} numbers",
                    headers.len()
                ));
            }
            numbered()
        };
        let deviations: Option<Vec<Vec<f64>>> = self.explained.iter().map(|one| one.deviations.clone()).collect();
        LocalValues {
            features: self.gathered.names.clone(),
            labels,
            rows: self.explained.iter().map(|one| one.added.clone()).collect(),
            deviations,
        }
    }
}

fn is_exact(one: &Explained) -> bool {
    one.deviations.as_ref().is_some_and(|deviations| deviations.iter().all(|&deviation| deviation == 0.0))
}

fn explanations(labels: &[String], expected: &[f64], globals: &[Vec<GlobalAttribution>]) -> Explanations {
    let label = |((label, &expected_value), features): ((&String, &f64), &Vec<GlobalAttribution>)| {
        let values = features.iter().map(|feature| (feature.feature.clone(), feature.value)).collect();
        (label.clone(), LabelExplanation { global_shap_values: Features(values), expected_value })
    };
    let kernel_shap = Labels(labels.iter().zip(expected).zip(globals).map(label).collect());
    Explanations { kernel_shap, ..Explanations::default() }
}

async fn drifts(
    stores: &Stores,
    request: &Attribution,
    known: &Analysis,
    local: &LocalValues,
    notes: &mut Vec<String>,
) -> Vec<AttributionDrift> {
    let config = &request.config;
    let address = request.baseline.as_deref().unwrap_or_default();
    let folder = address.strip_suffix(ANALYSIS).unwrap_or(address);
    let before = read_text(stores, &below(folder, LOCAL_VALUES)).await;
    let before = before.and_then(|text| LocalValues::read(&text, &local.features, &local.labels));
    if before.is_none() {
        notes.push(format!(
            "the baseline has no {LOCAL_VALUES} of these features, so how far chance reaches in it is not known; intervals are of \
             the new rows alone"
        ));
    }
    let ranking = Ranking {
        aggregation: config.agg_method,
        threshold: request.threshold,
        by_value: request.by_value,
        seed: config.seed,
    };
    let none = Explanations::default();
    drift(local, known.explanations.as_ref().unwrap_or(&none), before.as_ref(), &ranking)
}

/// The analysis that is already in the folder, where there is one.
async fn read_beside(stores: &Stores, address: &str) -> Option<Analysis> {
    crate::bias::read_json(&read_text(stores, address).await?).ok()
}

async fn read_text(stores: &Stores, address: &str) -> Option<String> {
    let found = list(stores, address, &Selection::default()).await.ok()?;
    let [object] = &found[..] else { return None };
    String::from_utf8(object.fetch().await.ok()?.to_vec()).ok()
}

fn table(names: &[String], rows: &[Record]) -> String {
    use captura_attribution::record::Feature;
    let mut body = Vec::new();
    let header: Record = names.iter().map(|name| Feature::Cell(name.as_str().into())).collect();
    for row in std::iter::once(&header).chain(rows) {
        write_record(row.iter(), Layout::Csv, &Shape::default(), &mut body);
        body.push(b'\n');
    }
    String::from_utf8_lossy(&body).into_owned()
}
