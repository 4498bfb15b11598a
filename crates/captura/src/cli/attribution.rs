//! `captura attribution`: what each feature adds to an endpoint's answers, by Kernel SHAP, asked as any client asks; and whether
//! that has changed since a baseline.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use captura_monitor::attribution::NDCG_THRESHOLD;
use captura_monitor::attribution::{
    Aggregation, AttributionConfig, AttributionDrift, AttributionVerdict, Budget, ShapBaseline,
};
use captura_monitor::dataset::Scope;
use captura_monitor::job::{
    self, Attribution as AttributionRequest, AttributionError, AttributionSummary, JobError, Source,
};
use clap::{Args, ValueEnum};

use super::analysis::{Input, window, with_standing};
use super::quality::number;
use super::standing::Standing;
use super::{Outcome, Server, naming, note, say, table};
use crate::asking::EndpointModel;

/// Features of a label that the table shows; the JSON has all of them.
const SHOWN: usize = 40;

/// What each feature adds to an endpoint's answers (Kernel SHAP); exits 2 when features rank otherwise than at a baseline, 3
/// when it cannot tell
#[derive(Debug, Args)]
pub(crate) struct Attribution {
    /// Captures, or tables of the model's inputs: s3:// addresses, folders, files
    #[arg(required = true)]
    addresses: Vec<String>,
    /// The endpoint that is asked
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,
    /// A model: an endpoint is made for it, which captures nothing and goes when all is asked
    #[arg(long, value_name = "NAME", conflicts_with = "endpoint")]
    model_name: Option<String>,
    /// Clarify's analysis_config.json; the options below win over it
    #[arg(long, value_name = "FILE")]
    analysis_config: Option<String>,
    /// Column of a table that the model is not given
    #[arg(long, value_name = "COLUMN")]
    label: Option<String>,
    /// Further columns of a table that the model is not given, with commas between them
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    excluded_columns: Vec<String>,
    /// Names of the features, with commas between them, where the data has none
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    headers: Vec<String>,
    /// File of names, as other verbs take it: of it count the inputs, or a list of the features' names
    #[arg(long, value_name = "FILE", conflicts_with = "headers")]
    names: Option<PathBuf>,
    /// Rows that stand for a feature's absence: a table or captures [default: made of the data by clustering]
    #[arg(long, value_name = "URI")]
    shap_baseline: Option<String>,
    /// Into how many rows the data, or --shap-baseline, is clustered [default: 1, of the data]
    #[arg(long, value_name = "NUMBER")]
    num_clusters: Option<usize>,
    /// Subsets of the features that are asked about for a row [default: what the calls allow]
    #[arg(long, value_name = "NUMBER")]
    num_samples: Option<usize>,
    /// How rows' values become a feature's
    #[arg(long, value_enum)]
    agg_method: Option<AggMethod>,
    /// Explain log-odds of probabilities
    #[arg(long)]
    use_logit: bool,
    /// Of everything that is left to chance
    #[arg(long)]
    seed: Option<u64>,
    /// Media type of requests [default: text/csv]
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// Media type wanted back
    #[arg(long, value_name = "TYPE")]
    accept_type: Option<String>,
    /// A request in JSON with $records in it, or a line of JSON Lines with $features or $features_kvp
    #[arg(long, value_name = "TEXT")]
    content_template: Option<String>,
    /// A record of a request in JSON, with $features or $features_kvp in it
    #[arg(long, value_name = "TEXT")]
    record_template: Option<String>,
    /// Where the numbers are in an answer: a column from 0, or JMESPath
    #[arg(long, value_name = "PLACE")]
    probability: Option<String>,
    /// Names of the numbers that the model answers, with commas between them [default: label0, label1, …]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    label_headers: Vec<String>,
    /// Most calls to the endpoint
    #[arg(long, value_name = "NUMBER", default_value_t = Budget::default().calls)]
    calls: usize,
    /// Most rows of a call
    #[arg(long, value_name = "NUMBER", default_value_t = Budget::default().rows_per_call)]
    rows_per_call: usize,
    /// Most rows that are explained, chosen by chance
    #[arg(long, value_name = "NUMBER", default_value_t = Budget::default().rows)]
    rows: usize,
    /// Only captured calls from this time on
    #[arg(long, value_name = "TIME")]
    start_time: Option<String>,
    /// Only captured calls before this time
    #[arg(long, value_name = "TIME")]
    end_time: Option<String>,
    /// Only captured calls of this consumer; may be given several times
    #[arg(long, value_name = "NAME")]
    consumer: Vec<String>,
    /// analysis.json of a baseline, of Clarify's or our own making, or its folder
    #[arg(long, value_name = "FILE")]
    baseline: Option<String>,
    /// Score of the ranking (NDCG) below which it has drifted
    #[arg(long, value_name = "NUMBER", default_value_t = NDCG_THRESHOLD)]
    threshold: f64,
    /// The score alone decides, whatever chance may explain
    #[arg(long)]
    by_value: bool,
    /// Folder for analysis.json, attribution.json, explanations_shap/ and constraint_violations.json
    #[arg(long, value_name = "DIR")]
    out: String,
    /// Data directory whose buckets `s3://` addresses mean [default: ./captura-data]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Configuration file with the stores of other buckets [default: captura.toml, where there is one]
    #[arg(long)]
    config: Option<PathBuf>,
    #[command(flatten)]
    server: Server,
}

/// Who is asked.
enum Target {
    Endpoint(String),
    /// A model, by an endpoint of its own.
    Model(String),
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum AggMethod {
    MeanAbs,
    Median,
    MeanSq,
}

impl Attribution {
    pub(crate) async fn run(mut self) -> anyhow::Result<Outcome> {
        let (data_dir, config) = (self.data_dir.take(), self.config.take());
        let input = Input { data_dir, config, url: self.server.url.clone(), threads: None, json: self.server.json };
        let opened = input.open()?;
        let mut config = match &self.analysis_config {
            Some(address) => job::attribution_config(&opened.stores, address).await?,
            None => AttributionConfig { save_local_shap_values: true, ..AttributionConfig::default() },
        };
        let (client, target) = (self.server.client()?, self.target(&config)?);
        if let Target::Endpoint(name) = &target
            && config.headers.is_empty()
            && self.headers.is_empty()
            && self.names.is_none()
        {
            // AWS tells no signature.
            config.headers = naming::inputs_of(name, &client).await.unwrap_or_default();
        }
        let (json, held) = (self.server.json, self.baseline.is_some());
        let request = self.request(config)?;
        let model = match target {
            Target::Endpoint(name) => EndpointModel::new(client, name),
            Target::Model(name) => EndpointModel::of_model(client, &name).await?,
        };
        let done = tokio::select! {
            done = job::attribution(&opened.stores, &request, &model) => Some(done),
            _ = tokio::signal::ctrl_c() => None,
        };
        model.leave().await;
        let Some(done) = done else { bail!("interrupted") };
        let found = match done {
            Ok(mut found) => {
                found.notes.extend(model.note());
                found
            }
            Err(error @ (AttributionError::NothingExplained(_) | AttributionError::Job(JobError::NoRows { .. }))) => {
                note(&format!("error: {error}"));
                return Ok(Outcome::CannotTell);
            }
            Err(error) => return Err(error.into()),
        };
        let standing = opened.standing(&request.source, found.data.records).await;
        if json {
            say(&with_standing(&found, &standing)?);
        } else {
            tell(&found, &standing);
        }
        Ok(outcome(&found, held))
    }

    /// What is asked: the endpoint or the model that is named here, else in the configuration.
    fn target(&self, config: &AttributionConfig) -> anyhow::Result<Target> {
        let own = |endpoint: &Option<String>, model: &Option<String>| {
            let endpoint = endpoint.clone().map(Target::Endpoint);
            endpoint.or_else(|| model.clone().map(Target::Model))
        };
        let predictor = &config.predictor;
        let named = own(&self.endpoint, &self.model_name);
        named.or_else(|| own(&predictor.endpoint_name, &predictor.model_name)).context(
            "name what is asked: --endpoint NAME or --model-name NAME, or endpoint_name or model_name of the predictor",
        )
    }

    fn request(self, mut config: AttributionConfig) -> anyhow::Result<AttributionRequest> {
        if self.calls == 0 || self.rows_per_call == 0 || self.rows == 0 {
            bail!("--calls, --rows-per-call and --rows are 1 at least");
        }
        if !(self.threshold > 0.0 && self.threshold <= 1.0) {
            bail!("--threshold is above 0 and at most 1, not {}", self.threshold);
        }
        config.label = self.label.or(config.label);
        config.excluded.extend(self.excluded_columns);
        if !self.headers.is_empty() {
            config.headers = self.headers;
        }
        let naming = self.names.as_deref().map(naming::read).transpose()?.unwrap_or_default();
        if let Some(names) = naming.features().or(naming.columns()) {
            config.headers.clone_from(names);
        }
        if let Some(address) = self.shap_baseline {
            config.baseline = ShapBaseline::At(address);
        }
        config.num_clusters = self.num_clusters.or(config.num_clusters);
        config.num_samples = self.num_samples.or(config.num_samples);
        match self.agg_method {
            Some(AggMethod::MeanAbs) => config.agg_method = Aggregation::MeanAbs,
            Some(AggMethod::Median) => config.agg_method = Aggregation::Median,
            Some(AggMethod::MeanSq) => config.agg_method = Aggregation::MeanSq,
            None => {}
        }
        config.use_logit |= self.use_logit;
        config.seed = self.seed.unwrap_or(config.seed);
        let predictor = &mut config.predictor;
        predictor.content_type = self.content_type.or(predictor.content_type.take());
        predictor.accept_type = self.accept_type.or(predictor.accept_type.take());
        predictor.content_template = self.content_template.or(predictor.content_template.take());
        predictor.record_template = self.record_template.or(predictor.record_template.take());
        predictor.probability = self.probability.or(predictor.probability.take());
        if !self.label_headers.is_empty() {
            predictor.label_headers = self.label_headers;
        }
        let mut source = Source { addresses: self.addresses, naming: naming.into(), ..Source::default() };
        source.selection.window = window(self.start_time.as_deref(), self.end_time.as_deref())?;
        source.scope =
            Scope { window: source.selection.window.clone(), consumers: self.consumer.into_iter().collect() };
        let budget =
            Budget { calls: self.calls, rows_per_call: self.rows_per_call, rows: self.rows, ..Budget::default() };
        Ok(AttributionRequest {
            source,
            config,
            budget,
            baseline: self.baseline,
            threshold: self.threshold,
            by_value: self.by_value,
            out: self.out,
        })
    }
}

fn outcome(found: &AttributionSummary, held: bool) -> Outcome {
    let drifts = found.drifts.as_deref().unwrap_or_default();
    let any = |verdict: AttributionVerdict| drifts.iter().any(|drift| drift.verdict == verdict);
    if any(AttributionVerdict::Drifted) {
        Outcome::Violates
    } else if held && !drifts.iter().all(|drift| drift.verdict == AttributionVerdict::Stable) {
        Outcome::CannotTell
    } else {
        Outcome::Fine
    }
}

fn tell(found: &AttributionSummary, standing: &Standing) {
    standing.in_words().iter().for_each(|words| say(words));
    say(&format!(
        "{} of {} rows explained in {} calls, each by {} subsets of its features against {} baseline {}{}",
        found.explained,
        found.data.rows,
        found.calls,
        found.samples,
        found.baseline_rows,
        if found.baseline_rows == 1 { "row" } else { "rows" },
        if found.exact { ": every subset, so a row's values are exact" } else { "" }
    ));
    if found.budget_ended {
        note(
            "note: the budget of calls ended before all rows that were to be explained were; they are a random sample all the same",
        );
    }
    for bad in found.data.described.iter().take(5) {
        note(&format!("unusable: {} line {}: {}", bad.source, bad.line, bad.reason));
    }
    for line in &found.notes {
        note(&format!("note: {line}"));
    }
    for label in &found.labels {
        say(&format!("{}: {} where every feature is absent", label.label, number(label.expected_value)));
        let mut features: Vec<_> = label.features.iter().collect();
        features.sort_by(|one, other| other.value.abs().total_cmp(&one.value.abs()));
        let mut rows = table(&["FEATURE", "GLOBAL SHAP VALUE", "95 % INTERVAL", "ERROR OF ONE ROW"]);
        for feature in features.iter().take(SHOWN) {
            let interval = feature.interval.map_or("-".to_owned(), |[low, high]| format!("{low:.4} to {high:.4}"));
            let error =
                feature.local_deviation.map_or("not known".to_owned(), |deviation| format!("± {deviation:.1e}"));
            rows.add_row([feature.feature.clone(), number(feature.value), interval, error]);
        }
        say(&rows.to_string());
        if features.len() > SHOWN {
            say(&format!("and {} more, in the files", features.len() - SHOWN));
        }
    }
    for drift in found.drifts.iter().flatten() {
        say(&verdict(drift));
    }
    for violation in found.violations.iter().flatten() {
        say(&format!("violation: {}: {}", violation.label, violation.description));
    }
    for address in &found.written {
        say(&format!("wrote {address}"));
    }
}

fn verdict(drift: &AttributionDrift) -> String {
    let score = drift.ndcg.map_or("no score".to_owned(), |score| format!("NDCG {score:.4}"));
    let interval = drift.interval.map_or(String::new(), |[low, high]| format!(" ({low:.4} to {high:.4})"));
    let words = match drift.verdict {
        AttributionVerdict::Drifted => "features rank otherwise than at the baseline",
        AttributionVerdict::Stable => "features rank as at the baseline",
        AttributionVerdict::NotEnoughData => {
            "not enough data: more rows are needed to tell whether features rank as at the baseline"
        }
        AttributionVerdict::NotComparable => "the baseline has nothing to rank these features by",
    };
    format!("{}: {words}: {score}{interval}", drift.label)
}
