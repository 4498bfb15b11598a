//! `captura quality`: how good the answers were, once it is known what was right. Options have the names that
//! SageMaker's `ModelQualityMonitor` gives them.

use captura_monitor::calibration::{Brier, Calibration, CalibrationReport};
use captura_monitor::estimate::EstimateReport;
use captura_monitor::job::{self, Quality as QualityRequest, QualityError, QualitySummary};
use captura_monitor::labels::{LabelAccount, Maturity};
use captura_monitor::quality::{Attributes, ProblemType, SegmentQuality};
use captura_names::Timestamp;
use clap::{Args, ValueEnum};

use super::analysis::{Input, Wanted, tell, with_standing};
use super::{Outcome, note, say, table};

/// The kinds of problems, in SageMaker's words and in short.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Problem {
    #[value(name = "BinaryClassification", alias = "binary")]
    Binary,
    #[value(name = "MulticlassClassification", alias = "multiclass")]
    Multiclass,
    #[value(name = "Regression", alias = "regression")]
    Regression,
}

/// Metrics of predictions against ground truth; exits 2 when they are worse than a baseline, 3 when no row has a label
#[derive(Debug, Args)]
pub(crate) struct Quality {
    /// Captures, or tables that have the label in a column: s3:// addresses, folders, files
    #[arg(required = true)]
    addresses: Vec<String>,
    /// What the model predicts
    #[arg(long, visible_alias = "problem", value_enum, ignore_case = true, value_name = "TYPE")]
    problem_type: Problem,
    /// Column of the prediction: its name, its place (the answer's columns come first), or a path into a JSON answer
    #[arg(long, visible_alias = "inference", value_name = "COLUMN")]
    inference_attribute: Option<String>,
    /// Column of the probability: of the positive class, or with several classes of the predicted one
    #[arg(long, visible_alias = "probability", value_name = "COLUMN")]
    probability_attribute: Option<String>,
    /// Probability from which on a row counts as positive, where there is no --inference-attribute [default: 0.5]
    #[arg(long, value_name = "NUMBER")]
    probability_threshold_attribute: Option<f64>,
    /// Column of the label in a table; in ground truth records with several values, which of them
    #[arg(long, visible_alias = "ground-truth", value_name = "COLUMN")]
    ground_truth_attribute: Option<String>,
    /// Ground truth in SageMaker's layout (…/yyyy/mm/dd/hh/*.jsonl); without it, and without a column, captures that
    /// SageMaker has merged are expected
    #[arg(long, value_name = "URI")]
    ground_truth_input: Vec<String>,
    /// The positive class, where it is not 1
    #[arg(long, value_name = "LABEL")]
    positive_label: Option<String>,
    /// Column by whose values quality and calibration are told apart; may be given several times
    #[arg(long, value_name = "COLUMN")]
    segment: Vec<String>,
    /// Folder for captures merged with their labels, as SageMaker's merge jobs write them
    #[arg(long, value_name = "DIR")]
    merge: Option<String>,
    /// Only labels that had arrived by then count, and ages are seen from then [default: the last moment in the data]
    #[arg(long, value_name = "TIME")]
    as_of: Option<String>,
    /// Folder of an earlier run with labels: its constraints.json must hold, its estimator.json tells what to expect of
    /// rows without labels
    #[arg(long, value_name = "DIR")]
    baseline: Option<String>,
    /// Folder for statistics.json, constraints.json, constraint_violations.json, quality.json and estimator.json
    #[arg(long, value_name = "DIR")]
    out: String,
    /// Of the random samples behind standard deviations
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    wanted: Wanted,
    #[command(flatten)]
    input: Input,
}

impl Quality {
    pub(crate) async fn run(self) -> anyhow::Result<Outcome> {
        let as_of = self.as_of.as_deref().map(Timestamp::parse).transpose()?;
        let problem = match self.problem_type {
            Problem::Binary => ProblemType::BinaryClassification,
            Problem::Multiclass => ProblemType::MulticlassClassification,
            Problem::Regression => ProblemType::Regression,
        };
        let opened = self.input.open()?;
        let request = QualityRequest {
            source: opened.named(self.wanted.source(&self.addresses, &self.input)?).await?,
            attributes: Attributes {
                inference: self.inference_attribute,
                probability: self.probability_attribute,
                threshold: self.probability_threshold_attribute,
                ground_truth: self.ground_truth_attribute,
                positive: self.positive_label,
                segments: self.segment,
                ..Attributes::of(problem)
            },
            ground_truth: self.ground_truth_input,
            baseline: self.baseline,
            out: self.out,
            window: self.wanted.window()?,
            merge: self.merge,
            as_of,
            seed: self.seed,
        };
        let found = match job::quality(&opened.stores, &request).await {
            Ok(found) => found,
            Err(error @ QualityError::NothingJudged(_)) => {
                note(&format!("error: {error}"));
                return Ok(Outcome::CannotTell);
            }
            Err(error) => return Err(error.into()),
        };
        let standing = opened.standing(&request.source, found.data.records).await;
        if self.input.json {
            say(&with_standing(&found, &standing)?);
        } else {
            tell(&found.data, &standing, false)?;
            say(&findings(&found));
        }
        Ok(match &found.violations {
            _ if found.judged == 0 => Outcome::CannotTell,
            Some(violations) if !violations.is_empty() => Outcome::Violates,
            _ => Outcome::Fine,
        })
    }
}

/// The whole answer in words and tables.
fn findings(found: &QualitySummary) -> String {
    let mut parts = Vec::new();
    if let (Some(labels), Some(maturity)) = (&found.labels, &found.maturity) {
        parts.push(ripeness(labels, maturity));
    }
    parts.push(format!("{} rows judged", found.judged));
    if !found.metrics.is_empty() {
        let mut metrics = table(&["METRIC", "VALUE", "+/-"]);
        for metric in &found.metrics {
            metrics.add_row([metric.name.to_owned(), number(metric.value), number(metric.standard_deviation)]);
        }
        parts.push(metrics.to_string());
    }
    parts.extend(found.by_segment.iter().map(by_segment));
    parts.extend(found.calibration.as_ref().map(calibrated));
    parts.extend(found.estimates.as_ref().map(estimated));
    if let Some(violations) = &found.violations {
        parts.push(match violations.len() {
            0 => "no violations".to_owned(),
            1 => "1 violation:".to_owned(),
            several => format!("{several} violations:"),
        });
        parts.extend(violations.iter().map(|violation| format!("  {}", violation.description)));
    }
    parts.join("\n")
}

/// What became of the labels, and how ripe they are.
pub(super) fn ripeness(labels: &LabelAccount, maturity: &Maturity) -> String {
    let mut line = format!(
        "{} of {} calls have a label ({:.2} %); {} ground truth records in {} objects",
        maturity.labelled,
        maturity.calls,
        maturity.share * 100.0,
        labels.records,
        labels.objects
    );
    for (count, what) in [
        (labels.repeated, "repeated"),
        (labels.corrected, "corrections"),
        (labels.empty, "empty"),
        (labels.not_yet, "not yet there"),
        (labels.bad, "unusable"),
    ] {
        if count > 0 {
            line.push_str(&format!(", {count} {what}"));
        }
    }
    if labels.unmatched > 0 {
        line.push_str(&format!("; {} labels belong to none of these calls", labels.unmatched));
    }
    if labels.misfit > 0 {
        line.push_str(&format!("; {} cover another number of rows than their call", labels.misfit));
    }
    let mut ages = table(&["AGE OF THE CALL", "CALLS", "LABELLED", "SHARE"]);
    for age in &maturity.by_age {
        let share = format!("{:.2} %", age.share * 100.0);
        ages.add_row([age.age.clone(), age.calls.to_string(), age.labelled.to_string(), share]);
    }
    line.push_str(&format!("\n{ages}"));
    if let Some(delay) = &maturity.delay {
        line.push_str(&format!(
            "\nlabels came within {} h (half of them), {} h (nine of ten), {} h (all)",
            delay.median_hours, delay.p90_hours, delay.max_hours
        ));
    }
    if let Some(bad) = labels.described.first() {
        line.push_str(&format!("\nunusable: {} line {}: {}", bad.source, bad.line, bad.reason));
    }
    line
}

/// For whom the model is how good.
fn by_segment(segment: &SegmentQuality) -> String {
    let names: Vec<&str> = segment
        .groups
        .iter()
        .map(|group| &group.metrics)
        .max_by_key(|metrics| metrics.len())
        .map_or_else(Vec::new, |metrics| metrics.iter().map(|metric| metric.name).collect());
    let mut header = vec![segment.column.to_uppercase(), "ROWS".to_owned()];
    header.extend(names.iter().map(|name| name.to_uppercase()));
    let mut groups = table(&header.iter().map(String::as_str).collect::<Vec<_>>());
    for group in &segment.groups {
        let value =
            |name: &&str| group.metrics.iter().find(|metric| metric.name == *name).map(|metric| number(metric.value));
        let mut row = vec![group.value.clone(), group.judged.to_string()];
        row.extend(names.iter().map(|name| value(name).unwrap_or_else(|| "too few".to_owned())));
        groups.add_row(row);
    }
    match segment.more {
        0 => groups.to_string(),
        more => format!("{groups}\n  and {more} more"),
    }
}

/// How far probabilities can be trusted.
fn calibrated(report: &CalibrationReport) -> String {
    let mut lines = vec![format!("calibration of the probability of {}", report.probability_of)];
    let Some(overall) = &report.overall else {
        lines.push("  not enough labelled rows to tell".to_owned());
        return lines.join("\n");
    };
    let Brier { score, reliability, resolution, uncertainty, within_bins } = overall.brier;
    lines.push(format!(
        "  expected error {:.4} (bins of equal width), {:.4} (of equal mass); mean {:.4}, came true {:.4}",
        overall.equal_width.expected_error,
        overall.equal_mass.expected_error,
        overall.mean_probability,
        overall.observed
    ));
    lines.push(format!(
        "  Brier score {score:.4} = reliability {reliability:.4} - resolution {resolution:.4} + uncertainty \
         {uncertainty:.4} + within bins {within_bins:.4}"
    ));
    let mut bins = table(&["FORECAST", "ROWS", "MEAN", "CAME TRUE", "95 % INTERVAL"]);
    for bin in &overall.equal_width.bins {
        bins.add_row([
            format!("{:.1} to {:.1}", bin.lower, bin.upper),
            bin.rows.to_string(),
            number(bin.mean_probability),
            number(bin.observed),
            format!("{:.4} to {:.4}", bin.interval[0], bin.interval[1]),
        ]);
    }
    lines.push(bins.to_string());
    for segment in &report.by_segment {
        let mut groups =
            table(&[&segment.column.to_uppercase(), "ROWS", "MEAN", "CAME TRUE", "EXPECTED ERROR", "BRIER"]);
        for group in &segment.groups {
            let told = |value: &dyn Fn(&Calibration) -> f64| {
                group.calibration.as_ref().map_or_else(|| "too few".to_owned(), |found| number(value(found)))
            };
            groups.add_row([
                group.value.clone(),
                group.rows.to_string(),
                told(&|found| found.mean_probability),
                told(&|found| found.observed),
                told(&|found| found.equal_width.expected_error),
                told(&|found| found.brier.score),
            ]);
        }
        lines.push(groups.to_string());
        if segment.more > 0 {
            lines.push(format!("  and {} more", segment.more));
        }
    }
    lines.join("\n")
}

/// What is to be expected of rows without labels, and what that is worth.
fn estimated(report: &EstimateReport) -> String {
    let mut lines = vec![format!(
        "estimated for all {} rows, {}, learned from {} labelled rows of the baseline",
        report.rows, report.method, report.learned_from
    )];
    let mut estimates = table(&["METRIC", "ESTIMATE", "95 % INTERVAL", "ON LABELLED ROWS", "THEIR LABELS SAY"]);
    for estimate in &report.estimates {
        let interval =
            if estimate.low.is_nan() { "-".to_owned() } else { format!("{:.4} to {:.4}", estimate.low, estimate.high) };
        let or_dash = |value: Option<f64>| number(value.unwrap_or(f64::NAN));
        estimates.add_row([
            estimate.metric.to_owned(),
            number(estimate.value),
            interval,
            or_dash(estimate.on_labelled_rows),
            or_dash(estimate.realized),
        ]);
    }
    lines.push(estimates.to_string());
    lines.push(format!(
        "  {:.2} % of the rows have a number that the baseline never had",
        report.beyond_baseline * 100.0
    ));
    lines.extend(report.limits.iter().map(|limit| format!("  limit: {limit}")));
    lines.join("\n")
}

/// A number for people; what is not defined is a dash.
pub(super) fn number(value: f64) -> String {
    if value.is_nan() { "-".to_owned() } else { format!("{value:.4}") }
}
