//! `captura bias`: whether labels and predictions differ between groups of people or things, in Clarify's metrics.

use captura_monitor::bias::{BiasConfig, BiasFinding, FacetConfig, description};
use captura_monitor::job::{self, Bias as BiasRequest, BiasSummary, QualityError};
use captura_names::Timestamp;
use clap::Args;

use super::analysis::{Input, Wanted, tell, with_standing};
use super::quality::{number, ripeness};
use super::{Outcome, note, say, table};

/// Bias of labels and predictions; exits 2 when it got worse than at a baseline, 3 when it cannot tell
#[derive(Debug, Args)]
pub(crate) struct Bias {
    /// Captures, or tables that have the label in a column: s3:// addresses, folders, files
    #[arg(required = true)]
    addresses: Vec<String>,
    /// Clarify's analysis_config.json; the options below win over it
    #[arg(long, value_name = "FILE")]
    analysis_config: Option<String>,
    /// The label: its column in a table, its name for captures
    #[arg(long, value_name = "COLUMN")]
    label: Option<String>,
    /// Positive outcomes, or as '>NUMBER' a threshold above which outcomes are positive; may be given several times
    #[arg(long, value_name = "VALUE")]
    label_values_or_threshold: Vec<String>,
    /// A facet: COLUMN, COLUMN=VALUE, COLUMN=VALUE,VALUE or 'COLUMN>THRESHOLD'; may be given several times
    #[arg(long, value_name = "COLUMN[=VALUES]")]
    facet: Vec<String>,
    /// Column whose values are the groups of conditional disparities
    #[arg(long, value_name = "COLUMN")]
    group_variable: Option<String>,
    /// Column of the predicted outcome
    #[arg(long, visible_alias = "inference", value_name = "COLUMN")]
    inference_attribute: Option<String>,
    /// Column of the probability of the positive outcome, where there is no --inference-attribute
    #[arg(long, visible_alias = "probability", value_name = "COLUMN")]
    probability_attribute: Option<String>,
    /// Probability from which on an outcome is positive [default: 0.5]
    #[arg(long, value_name = "NUMBER")]
    probability_threshold_attribute: Option<f64>,
    /// Ground truth of captures in SageMaker's layout (…/yyyy/mm/dd/hh/*.jsonl)
    #[arg(long, value_name = "URI")]
    ground_truth_input: Vec<String>,
    /// In ground truth records with several values, which of them is the label
    #[arg(long, value_name = "COLUMN")]
    ground_truth_attribute: Option<String>,
    /// Only labels that had arrived by then count [default: the last moment in the data]
    #[arg(long, value_name = "TIME")]
    as_of: Option<String>,
    /// analysis.json of a baseline, of Clarify's or our own making, or its folder
    #[arg(long, value_name = "FILE")]
    baseline: Option<String>,
    /// A metric violates by its value alone, whatever chance may explain
    #[arg(long)]
    by_value: bool,
    /// Folder for analysis.json, bias.json and constraint_violations.json
    #[arg(long, value_name = "DIR")]
    out: String,
    /// Of the intervals
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    wanted: Wanted,
    #[command(flatten)]
    input: Input,
}

impl Bias {
    pub(crate) async fn run(self) -> anyhow::Result<Outcome> {
        let opened = self.input.open()?;
        let config = match &self.analysis_config {
            Some(address) => job::bias_config(&opened.stores, address).await?,
            None => BiasConfig::default(),
        };
        let (json, held) = (self.input.json, self.baseline.is_some());
        let mut request = self.request(config)?;
        if request.config.headers.is_empty() {
            request.source = opened.named(request.source).await?;
        }
        let found = match job::bias(&opened.stores, &request).await {
            Ok(found) => found,
            Err(error @ QualityError::NothingJudged(_)) => {
                note(&format!("error: {error}"));
                return Ok(Outcome::CannotTell);
            }
            Err(error) => return Err(error.into()),
        };
        let standing = opened.standing(&request.source, found.data.records).await;
        if json {
            say(&with_standing(&found, &standing)?);
        } else {
            tell(&found.data, &standing, false)?;
            say(&findings(&found));
        }
        Ok(match &found.violations {
            Some(violations) if !violations.is_empty() => Outcome::Violates,
            None if held => Outcome::CannotTell,
            _ => Outcome::Fine,
        })
    }

    fn request(self, mut config: BiasConfig) -> anyhow::Result<BiasRequest> {
        if let Some(label) = self.label {
            config.label = label;
        }
        if !self.label_values_or_threshold.is_empty() {
            config.positive = self.label_values_or_threshold;
        }
        if !self.facet.is_empty() {
            config.facets = self.facet.iter().map(|facet| parse_facet(facet)).collect();
        }
        config.group_variable = self.group_variable.or(config.group_variable);
        Ok(BiasRequest {
            source: self.wanted.source(&self.addresses, &self.input)?,
            inference: self.inference_attribute,
            probability: self.probability_attribute,
            threshold: self.probability_threshold_attribute,
            ground_truth: self.ground_truth_input,
            is_merged: false,
            ground_truth_attribute: self.ground_truth_attribute,
            baseline: self.baseline,
            out: self.out,
            window: self.wanted.window()?,
            as_of: self.as_of.as_deref().map(Timestamp::parse).transpose()?,
            seed: self.seed,
            by_value: self.by_value,
            config,
        })
    }
}

fn parse_facet(text: &str) -> FacetConfig {
    if let Some((column, threshold)) = text.split_once('>').filter(|_| !text.contains('=')) {
        return FacetConfig { column: column.to_owned(), values: vec![format!(">{threshold}")] };
    }
    let (column, values) = text.split_once('=').unwrap_or((text, ""));
    let values = values.split(',').filter(|value| !value.is_empty()).map(str::to_owned).collect();
    FacetConfig { column: column.to_owned(), values }
}

/// Every metric with its interval, facet by facet.
fn findings(found: &BiasSummary) -> String {
    let mut parts = Vec::new();
    if let (Some(labels), Some(maturity)) = (&found.labels, &found.maturity) {
        parts.push(ripeness(labels, maturity));
    }
    parts.push(format!("{} rows with a label, {} of them with a prediction", found.labelled, found.judged));
    let sides =
        |a: &BiasFinding, b: &BiasFinding| (&a.facet, &a.value_or_threshold) == (&b.facet, &b.value_or_threshold);
    for side in found.findings.chunk_by(sides) {
        parts.push(format!("{} {} against all others", side[0].facet, side[0].value_or_threshold));
        let mut metrics = table(&["METRIC", "VALUE", "95 % INTERVAL", "WHAT IT IS"]);
        for finding in side {
            let interval = finding.interval.map_or("-".to_owned(), |[low, high]| format!("{low:.4} to {high:.4}"));
            let value = finding.value.map_or("-".to_owned(), number);
            let what = match &finding.error {
                Some(reason) => format!("{}: {reason}", description(&finding.metric)),
                None => description(&finding.metric).to_owned(),
            };
            metrics.add_row([finding.metric.clone(), value, interval, what]);
        }
        parts.push(metrics.to_string());
    }
    if let Some(violations) = &found.violations {
        parts.push(match violations.len() {
            0 => "no violations".to_owned(),
            1 => "1 violation:".to_owned(),
            several => format!("{several} violations:"),
        });
        parts.extend(violations.iter().map(|violation| {
            format!(
                "  {} {} ({}): {}",
                violation.facet, violation.facet_value, violation.metric_name, violation.description
            )
        }));
    }
    parts.join("\n")
}
