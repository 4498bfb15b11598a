//! The verb `bias`: a table or captures with ground truth to Clarify's `analysis.json`, and violations of a baseline's.
//!
//! Metrics before training look at all rows with a label, metrics after training at those that have a prediction too.
//! Intervals have no place in Clarify's file; they are in `bias.json` beside it.
//!
//! Invariant: as of all jobs. Refuses to: answer without a labelled row, or where no outcome counts as positive.

use std::ops::Range;

use captura_archive::Stores;
use captura_archive::reader::{Selection, list};
use captura_names::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::files::write;
use super::quality::{Gathered, Quality, QualityError, gather};
use super::{JobError, Source, Summary, VIOLATIONS, below};
use crate::bias::{
    Analysis, BiasConfig, BiasFinding, BiasMetrics, BiasViolation, Chosen, Counts, FacetConfig, FacetMetrics, Facets,
    FlipRows, InvalidConfig, MetricResult, Row, Stage, Values, check, description, flip_test, intervals, metrics,
    read_json,
};
use crate::labels::{LabelAccount, Labels, Maturity};
use crate::quality::{Attributes, Outcomes, ProblemType, Segment, resolve};

/// Name of the metrics.
pub const ANALYSIS: &str = "analysis.json";
/// Name of what Clarify's file has no place for.
pub const BIAS: &str = "bias.json";

/// What to look at, and against what.
#[derive(Debug, Clone)]
pub struct Bias {
    /// Captures, or a table that has the label in a column.
    pub source: Source,
    /// Facets, label and positive outcomes.
    pub config: BiasConfig,
    /// Column of the predicted outcome; without it and without `probability` only labels are looked at.
    pub inference: Option<String>,
    /// Column of the probability of the positive outcome.
    pub probability: Option<String>,
    /// Probability from which on an outcome is positive.
    pub threshold: Option<f64>,
    /// Ground truth in SageMaker's layout; without any the label is a column of the rows, or a part of merged records.
    pub ground_truth: Vec<String>,
    /// Whether the source is captures that were merged with their labels, as SageMaker's merge jobs write them.
    pub is_merged: bool,
    /// Member or column of ground truth records that holds the label, where they have several.
    pub ground_truth_attribute: Option<String>,
    /// A baseline's `analysis.json`, or its folder.
    pub baseline: Option<String>,
    /// Folder or prefix for what is written.
    pub out: String,
    /// Only captured calls of this time count.
    pub window: Option<Range<Timestamp>>,
    /// Labels that arrived later do not count.
    pub as_of: Option<Timestamp>,
    /// Of the intervals.
    pub seed: u64,
    /// Whether a metric violates by its value alone, whatever chance may explain.
    pub by_value: bool,
}

/// The outcome.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BiasSummary {
    /// The account of the rows.
    pub data: Summary,
    /// Rows with a label.
    pub labelled: u64,
    /// Rows with label and prediction.
    pub judged: u64,
    /// What became of the ground truth records; absent for tables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<LabelAccount>,
    /// How ripe the labels are; absent for tables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maturity: Option<Maturity>,
    /// Every metric with its interval.
    pub findings: Vec<BiasFinding>,
    /// What got worse than at the baseline; absent without one, and where nothing of it could be judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub violations: Option<Vec<BiasViolation>>,
}

/// Measures bias and writes the analysis and, with a baseline, violations.
///
/// # Errors
/// When something cannot be read or written, a column cannot be found, or there is nothing to measure.
pub async fn bias(stores: &Stores, request: &Bias) -> Result<BiasSummary, QualityError> {
    request.config.check()?;
    let baseline = match &request.baseline {
        Some(address) => Some(read_analysis(stores, address).await?),
        None => None,
    };
    let gathered = gather(stores, &request.as_quality()).await?;
    let Measured { analysis, findings, labelled, judged } = measure(request, &gathered)?;
    let mut notes = Vec::new();
    let violations = baseline.and_then(|baseline| {
        let found = check(&findings, &baseline, request.by_value);
        notes = found.notes;
        found.violations
    });
    let mut written = vec![write(stores, &below(&request.out, ANALYSIS), pretty(&analysis)).await?];
    if let Some(violations) = &violations {
        written.push(write(stores, &below(&request.out, VIOLATIONS), pretty(violations)).await?);
    }
    let Gathered { pass, outcomes, labels, as_of, .. } = gathered;
    let mut summary = BiasSummary {
        data: Summary::of(&pass, Vec::new()),
        labelled,
        judged,
        maturity: labels.as_ref().map(|_| outcomes.calls.maturity(as_of)),
        labels: labels.as_ref().map(Labels::account),
        findings,
        violations: violations.map(|found| found.violations),
    };
    summary.data.notes.append(&mut notes);
    written.push(write(stores, &below(&request.out, BIAS), pretty(&summary)).await?);
    summary.data.written = written;
    Ok(summary)
}

pub(super) fn pretty(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("our bug: artefacts are structs and lists that JSON can hold")
}

/// Reads Clarify's `analysis_config.json`.
///
/// # Errors
/// When it cannot be read or asks nothing that can be answered.
pub async fn bias_config(stores: &Stores, address: &str) -> Result<BiasConfig, QualityError> {
    let file: serde_json::Value = read_file(stores, address).await?;
    Ok(BiasConfig::parse(&file)?)
}

pub(super) async fn read_analysis(stores: &Stores, address: &str) -> Result<Analysis, JobError> {
    let address = if address.ends_with(".json") { address.to_owned() } else { below(address, ANALYSIS) };
    read_file(stores, &address).await
}

/// Reads JSON that Python may have written.
pub(super) async fn read_file<T: DeserializeOwned>(stores: &Stores, address: &str) -> Result<T, JobError> {
    let failed = |reason: String| JobError::ReadArtefact { address: address.to_owned(), reason };
    let found = list(stores, address, &Selection::default()).await?;
    let [object] = &found[..] else { return Err(failed("it is a folder, not a file".into())) };
    let bytes = object.fetch().await?;
    let text = std::str::from_utf8(&bytes).map_err(|_| failed("it is not UTF-8".into()))?;
    read_json(text).map_err(|error| failed(format!("it is not what it should be: {error}")))
}

impl Bias {
    /// How rows and labels are read, which is as for model quality. Columns of facets and groups are segments.
    fn as_quality(&self) -> Quality {
        let by_probability = self.inference.is_none() && self.probability.is_some();
        let in_rows = self.ground_truth.is_empty() && !self.is_merged;
        let columns = self.config.facets.iter().map(|facet| facet.column.clone());
        // Captured rows begin with the answer, which the configuration's names call by the label.
        let names = (!in_rows).then(|| self.config.captured_names()).flatten();
        Quality {
            source: Source { names: self.source.names.clone().or(names), ..self.source.clone() },
            attributes: Attributes {
                problem: if by_probability {
                    ProblemType::BinaryClassification
                } else {
                    ProblemType::MulticlassClassification
                },
                inference: self.inference.clone(),
                probability: self.probability.clone(),
                threshold: self.threshold,
                ground_truth: if in_rows {
                    Some(self.config.label.clone())
                } else {
                    self.ground_truth_attribute.clone()
                },
                positive: self.config.positive.first().filter(|_| by_probability).cloned(),
                segments: columns.chain(self.config.group_variable.clone()).collect(),
                labels_only: self.inference.is_none() && self.probability.is_none(),
                features: true,
            },
            ground_truth: self.ground_truth.clone(),
            baseline: None,
            out: self.out.clone(),
            window: self.window.clone(),
            merge: None,
            as_of: self.as_of,
            seed: self.seed,
        }
    }

    fn predicts(&self) -> bool {
        self.inference.is_some() || self.probability.is_some()
    }
}

struct Measured {
    analysis: Analysis,
    findings: Vec<BiasFinding>,
    labelled: u64,
    judged: u64,
}

fn measure(request: &Bias, gathered: &Gathered) -> Result<Measured, QualityError> {
    let outcomes = &gathered.outcomes;
    let labelled: Vec<usize> = (0..outcomes.actual.len()).filter(|&row| !outcomes.actual[row].is_nan()).collect();
    let judged: Vec<usize> = outcomes.judged().collect();
    if labelled.is_empty() {
        return Err(QualityError::NothingJudged(gathered.why_nothing()));
    }
    let classes: Vec<u32> = labelled.iter().map(|&row| outcomes.actual[row] as u32).collect();
    let positive = Values { values: &outcomes.classes, of_row: &classes }.choose(&request.config.positive).remove(0);
    if !positive.chosen.contains(&true) {
        let named = request.config.positive.join(", ");
        return Err(InvalidConfig(format!("calls {named} positive, which neither labels nor predictions have")).into());
    }
    let names: Vec<String> = gathered.pass.profile.names().map(str::to_owned).collect();
    let (mut pre, mut post) = (Facets::default(), Facets::default());
    let mut findings = Vec::new();
    for (facet, segment) in request.config.facets.iter().zip(&outcomes.segments[1..]) {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for side in (Values { values: &segment.values, of_row: &segment.of_row }).choose(&facet.values) {
            if !side.chosen.contains(&true) {
                return Err(nobody(facet, segment).into());
            }
            let group = request.config.group_variable.as_ref().and_then(|_| outcomes.segments.last());
            let column = facet.column.as_str();
            let rows = Rows { request, column, outcomes, positive: &positive, segment, side: &side, group };
            let found = rows.findings(Stage::PreTraining, &labelled, None);
            before.push(facet_metrics(&side, &found));
            findings.extend(found);
            if request.predicts() && !judged.is_empty() {
                let flip = rows.flip(&names);
                let found = rows.findings(Stage::PostTraining, &judged, Some(flip));
                after.push(facet_metrics(&side, &found));
                findings.extend(found);
            }
        }
        pre.0.push((facet.column.clone(), before));
        post.0.push((facet.column.clone(), after));
    }
    let stage = |facets: Facets| BiasMetrics {
        label: request.config.label.clone(),
        facets,
        label_value_or_threshold: positive.value_or_threshold.clone(),
    };
    let analysis = Analysis {
        version: "1.0".to_owned(),
        post_training_bias_metrics: (request.predicts() && !judged.is_empty()).then(|| stage(post)),
        pre_training_bias_metrics: Some(stage(pre)),
        explanations: None,
    };
    Ok(Measured { analysis, findings, labelled: labelled.len() as u64, judged: judged.len() as u64 })
}

/// Values of a column that are named where none of them is the facet's.
const MAX_SHOWN: usize = 12;

/// Nobody has the facet.
fn nobody(facet: &FacetConfig, segment: &Segment) -> InvalidConfig {
    let (column, wanted) = (&facet.column, facet.values.join(", "));
    let mut values: Vec<&str> = segment.values.iter().map(String::as_str).collect();
    values.sort_unstable();
    let more = if values.len() > MAX_SHOWN { ", …" } else { "" };
    values.truncate(MAX_SHOWN);
    InvalidConfig(format!("asks for {column} {wanted}, which no row has; there are {}{more}", values.join(", ")))
}

/// The rows, seen from one side of one facet.
struct Rows<'a> {
    request: &'a Bias,
    column: &'a str,
    outcomes: &'a Outcomes,
    positive: &'a Chosen,
    segment: &'a Segment,
    side: &'a Chosen,
    group: Option<&'a Segment>,
}

impl Rows<'_> {
    fn row(&self, row: usize) -> Row {
        let positive = |class: f64| !class.is_nan() && self.positive.chosen[class as usize];
        Row {
            facet: self.side.chosen[self.segment.of_row[row] as usize],
            actual: positive(self.outcomes.actual[row]),
            predicted: positive(self.outcomes.predicted[row]),
            group: self.group.map_or(0, |group| group.of_row[row]),
        }
    }

    /// The wanted metrics of a stage by name, with their intervals.
    fn findings(&self, stage: Stage, rows: &[usize], flip: Option<Result<f64, &'static str>>) -> Vec<BiasFinding> {
        let counts = Counts::of(rows.iter().map(|&row| self.row(row)));
        let grouped = self.group.is_some();
        let mut found: Vec<_> = metrics(stage, &counts, grouped)
            .into_iter()
            .zip(intervals(stage, &counts, grouped, self.request.seed))
            .map(|((name, value), interval)| (name, value, interval))
            .collect();
        found.extend(flip.map(|value| ("FT", value, None)));
        found.sort_by_key(|metric| metric.0);
        let wanted = match stage {
            Stage::PreTraining => &self.request.config.pre_training,
            Stage::PostTraining => &self.request.config.post_training,
        };
        found.retain(|metric| wanted.is_empty() || wanted.iter().any(|name| name == metric.0));
        let finding = |(name, value, interval): (&'static str, Result<f64, &'static str>, _)| BiasFinding {
            facet: self.column.to_owned(),
            value_or_threshold: self.side.value_or_threshold.clone(),
            metric: name.to_owned(),
            value: value.ok(),
            interval,
            error: value.err().map(str::to_owned),
        };
        found.into_iter().map(finding).collect()
    }

    /// The flip test, on the sample of the rows' numbers without facet, label and prediction.
    fn flip(&self, names: &[String]) -> Result<f64, &'static str> {
        let attributes = [Some(self.column), self.request.inference.as_deref(), self.request.probability.as_deref()];
        let places = attributes.into_iter().flatten().filter_map(|name| resolve("facet", name, names).ok());
        let left_out: Vec<&String> = places.map(|place| &names[place]).collect();
        let features = &self.outcomes.features;
        let kept: Vec<usize> =
            (0..features.names.len()).filter(|&place| !left_out.contains(&&features.names[place])).collect();
        let numbers = |place: usize| features.rows.iter().any(|row| !row.values[place].is_nan());
        if kept.is_empty() || !kept.iter().all(|&place| numbers(place)) {
            return Err("it needs columns of numbers beside facet, label and prediction, and no columns of text");
        }
        let rows: Vec<(usize, Vec<f64>)> = features
            .rows
            .iter()
            .filter(|row| !self.outcomes.predicted[row.row].is_nan() && !self.outcomes.actual[row.row].is_nan())
            .map(|row| (row.row, kept.iter().map(|&place| row.values[place]).collect::<Vec<f64>>()))
            .filter(|(_, values)| values.iter().all(|value| !value.is_nan()))
            .collect();
        let side = |facet: bool| {
            rows.iter()
                .map(|(row, values)| (self.row(*row), values))
                .filter(|(row, _)| row.facet == facet)
                .map(|(row, values)| (&values[..], row.predicted))
                .collect()
        };
        flip_test(&FlipRows { without: side(false), with: side(true) }).ok_or("one side has no rows without gaps")
    }
}

fn facet_metrics(side: &Chosen, found: &[BiasFinding]) -> FacetMetrics {
    let metric = |finding: &BiasFinding| MetricResult {
        name: finding.metric.clone(),
        description: description(&finding.metric).to_owned(),
        value: finding.value,
        error: finding.error.clone(),
    };
    FacetMetrics { value_or_threshold: side.value_or_threshold.clone(), metrics: found.iter().map(metric).collect() }
}
