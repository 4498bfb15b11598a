//! `captura profile`, `baseline`, `check`: the offline verbs over captures and CSV files. No server is needed, and
//! captures that AWS wrote are read like our own.

use std::num::NonZero;
use std::ops::Range;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use captura_archive::Stores;
use captura_archive::reader::Selection;
use captura_monitor::counted;
use captura_monitor::dataset::Scope;
use captura_monitor::job::{self, Check as CheckRequest, CheckSummary, JobError, LabelPosition, Source, Summary};
use captura_names::Timestamp;
use clap::Args;
use serde::Serialize;

use super::naming::{self, Names};
use super::scripts::Scripts;
use super::standing::{LedgerAt, Standing};
use super::{Outcome, note, say};
use crate::client::Client;
use crate::config::Config;
use crate::credentials::Credentials;

/// What an offline verb reads.
#[derive(Debug, Args)]
pub(super) struct Input {
    /// Data directory whose buckets `s3://` addresses mean [default: ./captura-data]
    #[arg(long)]
    pub(super) data_dir: Option<PathBuf>,
    /// Configuration file with the stores of other buckets [default: captura.toml, where there is one]
    #[arg(long)]
    pub(super) config: Option<PathBuf>,
    /// Server whose ledger tells on how many of the calls the report stands [default: the ledger in the data directory], and whose
    /// models name the columns of --endpoint where nothing else does
    #[arg(long)]
    pub(super) url: Option<String>,
    /// Threads that read; the outcome is the same [default: the machine's cores]
    #[arg(long, value_name = "N")]
    pub(super) threads: Option<NonZero<usize>>,
    /// Print JSON instead of text
    #[arg(long)]
    pub(super) json: bool,
}

/// What stays of an analysis, for the next one.
#[derive(Debug, Args)]
pub(super) struct Keeping {
    /// Keep profiles of captured hours beside them, and read only hours that are new or changed
    #[arg(long)]
    profiles: bool,
}

impl Keeping {
    /// The source, read so.
    pub(super) fn of(&self, source: Source) -> Source {
        Source { keeps_profiles: self.profiles, ..source }
    }
}

/// Where captures are, and the ledger of the calls that made them.
pub(super) struct Opened {
    pub(super) stores: Stores,
    data_dir: PathBuf,
    client: Option<Client>,
}

impl Input {
    pub(super) fn open(&self) -> anyhow::Result<Opened> {
        let config = Config::read(self.config.as_deref())?;
        let data_dir = self.data_dir.clone().unwrap_or(config.server.data_dir);
        let stores = crate::cloud::stores(&data_dir, config.stores);
        let credentials = || Credentials::of_environment(None);
        let client = self.url.as_deref().map(|url| Client::new(url, credentials()?)).transpose()?;
        Ok(Opened { stores, data_dir, client })
    }
}

impl Opened {
    /// The source with the names that its endpoint's models have, where a server can be asked and nobody names them otherwise.
    pub(super) async fn named(&self, source: Source) -> anyhow::Result<Source> {
        match &self.client {
            Some(client) => naming::of_models(source, client).await,
            None => Ok(source),
        }
    }

    pub(super) async fn standing(&self, source: &Source, records: u64) -> Standing {
        let ledger = self.client.as_ref().map_or(LedgerAt::Data(&self.data_dir), LedgerAt::Server);
        Standing::of(&self.stores, source, records, ledger).await
    }
}

/// Which of the captured calls an offline verb reads, and what their columns are called.
#[derive(Debug, Args)]
pub(super) struct Wanted {
    /// Only captured calls of this endpoint
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,
    /// Only captured calls that this variant answered
    #[arg(long, value_name = "NAME")]
    variant: Option<String>,
    /// Only captured calls from this time on, e.g. 2026-11-26T10:00:00Z
    #[arg(long, visible_alias = "from", value_name = "TIME")]
    start_time: Option<String>,
    /// Only captured calls before this time
    #[arg(long, visible_alias = "to", value_name = "TIME")]
    end_time: Option<String>,
    /// Only captured calls of this consumer; may be given several times
    #[arg(long, value_name = "NAME")]
    consumer: Vec<String>,
    #[command(flatten)]
    names: Names,
}

impl Wanted {
    /// The data at these addresses, as far as it is wanted.
    pub(super) fn source(&self, addresses: &[String], input: &Input) -> anyhow::Result<Source> {
        let window = self.window()?;
        let endpoint = self.endpoint.as_deref().map(str::parse).transpose().context("--endpoint")?;
        let variant = self.variant.as_deref().map(str::parse).transpose().context("--variant")?;
        self.names.of(Source {
            addresses: addresses.to_vec(),
            selection: Selection { window: window.clone(), endpoint, variant },
            scope: Scope { window, consumers: self.consumer.iter().cloned().collect() },
            threads: input.threads,
            ..Source::default()
        })
    }

    /// The same of another time, to compare with.
    pub(super) fn of_any_time(&self, addresses: &[String], input: &Input) -> anyhow::Result<Source> {
        let mut source = self.source(addresses, input)?;
        (source.selection.window, source.scope.window) = (None, None);
        Ok(source)
    }

    pub(super) fn window(&self) -> anyhow::Result<Option<Range<Timestamp>>> {
        window(self.start_time.as_deref(), self.end_time.as_deref())
    }
}

/// A window of time; an end that is not given is open.
pub(super) fn window(start: Option<&str>, end: Option<&str>) -> anyhow::Result<Option<Range<Timestamp>>> {
    if start.is_none() && end.is_none() {
        return Ok(None);
    }
    let or = |text: Option<&str>, open: &str| Timestamp::parse(text.unwrap_or(open));
    let start = or(start, "1970-01-01T00:00:00Z").context("--start-time")?;
    let end = or(end, "9998-12-31T23:59:59Z").context("--end-time")?;
    if start >= end {
        bail!("--start-time must be before --end-time: from {start} to {end} there is nothing");
    }
    Ok(Some(start..end))
}

/// Statistics of captures or tables
#[derive(Debug, Args)]
pub(crate) struct Profile {
    /// Captures, or tables as CSV, JSON Lines or Parquet: s3:// addresses, folders, files
    #[arg(required = true)]
    addresses: Vec<String>,
    /// Where the statistics go
    #[arg(long, value_name = "FILE")]
    out: String,
    #[command(flatten)]
    wanted: Wanted,
    #[command(flatten)]
    keeping: Keeping,
    #[command(flatten)]
    scripts: Scripts,
    #[command(flatten)]
    input: Input,
}

impl Profile {
    pub(crate) async fn run(self) -> anyhow::Result<Outcome> {
        let opened = self.input.open()?;
        let source = opened.named(self.keeping.of(self.wanted.source(&self.addresses, &self.input)?)).await?;
        let mut prepared = match self.scripts.prepare(&opened.stores, source.clone()).await? {
            Ok(prepared) => prepared,
            Err(outcome) => return Ok(outcome),
        };
        let done = job::profile(&opened.stores, &prepared.source, &self.out).await;
        let mut summary = match or_cannot_tell(done)? {
            Ok(summary) => summary,
            Err(outcome) => return Ok(outcome),
        };
        prepared.count(&mut summary);
        self.scripts.conclude(&self.out, None)?;
        let standing = opened.standing(&source, summary.records).await;
        tell(&summary, &standing, self.input.json)?;
        Ok(Outcome::Fine)
    }
}

/// Statistics and suggested constraints of a baseline
#[derive(Debug, Args)]
pub(crate) struct Baseline {
    /// Captures, or tables as CSV, JSON Lines or Parquet: s3:// addresses, folders, files
    #[arg(required = true)]
    addresses: Vec<String>,
    /// Folder for statistics.json and constraints.json
    #[arg(long, value_name = "DIR")]
    out: String,
    /// The first column is the label or prediction, as in captured rows
    #[arg(long, conflicts_with = "label_last")]
    label_first: bool,
    /// The last column is the label or prediction; it is moved to the front
    #[arg(long)]
    label_last: bool,
    #[command(flatten)]
    wanted: Wanted,
    #[command(flatten)]
    scripts: Scripts,
    #[command(flatten)]
    input: Input,
}

impl Baseline {
    pub(crate) async fn run(self) -> anyhow::Result<Outcome> {
        let label = match (self.label_first, self.label_last) {
            (true, _) => LabelPosition::First,
            (_, true) => LabelPosition::Last,
            _ => LabelPosition::AsIs,
        };
        let opened = self.input.open()?;
        let source = opened.named(self.wanted.source(&self.addresses, &self.input)?).await?;
        let mut prepared = match self.scripts.prepare(&opened.stores, source.clone()).await? {
            Ok(prepared) => prepared,
            Err(outcome) => return Ok(outcome),
        };
        let done = job::baseline(&opened.stores, &prepared.source, label, &self.out).await;
        let mut summary = match or_cannot_tell(done)? {
            Ok(summary) => summary,
            Err(outcome) => return Ok(outcome),
        };
        prepared.count(&mut summary);
        self.scripts.conclude(&self.out, None)?;
        let standing = opened.standing(&source, summary.records).await;
        tell(&summary, &standing, self.input.json)?;
        Ok(Outcome::Fine)
    }
}

/// Hold captures against a baseline; exits 2 when there are violations
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Captures, or tables as CSV, JSON Lines or Parquet: s3:// addresses, folders, files
    #[arg(required = true)]
    addresses: Vec<String>,
    /// Folder with the baseline's constraints.json and statistics.json
    #[arg(long, value_name = "DIR")]
    baseline: String,
    /// Folder for constraint_violations.json
    #[arg(long, value_name = "DIR")]
    out: String,
    /// Earlier captures: not checked, but searched for the moment when a drift began
    #[arg(long, value_name = "URI")]
    history: Vec<String>,
    #[command(flatten)]
    wanted: Wanted,
    #[command(flatten)]
    keeping: Keeping,
    #[command(flatten)]
    scripts: Scripts,
    #[command(flatten)]
    input: Input,
}

impl Check {
    pub(crate) async fn run(self) -> anyhow::Result<Outcome> {
        let opened = self.input.open()?;
        let asked = self.keeping.of(self.wanted.source(&self.addresses, &self.input)?);
        let mut prepared = match self.scripts.prepare(&opened.stores, asked.clone()).await? {
            Ok(prepared) => prepared,
            Err(outcome) => return Ok(outcome),
        };
        let history =
            self.scripts.prepare_beside(&opened.stores, self.wanted.of_any_time(&self.history, &self.input)?).await?;
        let request = CheckRequest {
            source: prepared.source.clone(),
            baseline: self.baseline,
            history: history.source.addresses.clone(),
            out: self.out,
        };
        let mut found = match or_cannot_tell(job::check(&opened.stores, &request).await)? {
            Ok(found) => found,
            Err(outcome) => return Ok(outcome),
        };
        prepared.count(&mut found.data);
        self.scripts.conclude(&request.out, Some(&request.baseline))?;
        let standing = opened.standing(&asked, found.data.records).await;
        if self.input.json {
            say(&with_standing(&found, &standing)?);
        } else {
            tell(&found.data, &standing, false)?;
            say(&findings(&found).join("\n"));
        }
        Ok(if found.violations.is_empty() { Outcome::Fine } else { Outcome::Violates })
    }
}

/// A summary as JSON, with what it stands on.
pub(super) fn with_standing(summary: &impl Serialize, standing: &Standing) -> anyhow::Result<String> {
    let mut json = serde_json::to_value(summary)?;
    json["standing"] = serde_json::to_value(standing)?;
    Ok(json.to_string())
}

/// What was read and written.
pub(super) fn tell(summary: &Summary, standing: &Standing, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        say(&with_standing(summary, standing)?);
        return Ok(());
    }
    say(&format!(
        "{} of {} from {} in {}; {:.2} % of cells have a value",
        counted(summary.rows, "row"),
        counted(summary.columns.len() as u64, "column"),
        counted(summary.records, "record"),
        counted(summary.objects, "object"),
        summary.completeness * 100.0
    ));
    standing.in_words().iter().for_each(|words| say(words));
    if summary.outside > 0 {
        say(&format!("not asked for, and left out: {} in these objects", counted(summary.outside, "other call")));
    }
    if summary.unanswered > 0 {
        say(&format!("without an answer from the model, and left out: {}", counted(summary.unanswered, "call")));
    }
    for bad in summary.described.iter().take(5) {
        note(&format!("unusable: {} line {}: {}", bad.source, bad.line, bad.reason));
    }
    for line in &summary.notes {
        note(&format!("note: {line}"));
    }
    for address in &summary.written {
        say(&format!("wrote {address}"));
    }
    Ok(())
}

/// Violations in words, each drift with who drives it and since when.
pub(super) fn findings(found: &CheckSummary) -> Vec<String> {
    let count = match found.violations.len() {
        0 => return vec!["no violations".to_owned()],
        1 => "1 violation:".to_owned(),
        several => format!("{several} violations:"),
    };
    let violations = found.violations.iter().map(|violation| {
        format!("  {} ({}): {}", violation.feature_name, violation.constraint_check_type, violation.description)
    });
    let causes = found.causes.iter().filter(|cause| cause.is_telling()).map(|cause| format!("  {cause}"));
    std::iter::once(count).chain(violations).chain(causes).collect()
}

/// An empty window is no answer, which is something else than a failure.
pub(super) fn or_cannot_tell<T>(done: Result<T, JobError>) -> anyhow::Result<Result<T, Outcome>> {
    match done {
        Ok(done) => Ok(Ok(done)),
        Err(error @ JobError::NoRows { .. }) => {
            note(&format!("error: {error}"));
            Ok(Err(Outcome::CannotTell))
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(start: Option<&str>, end: Option<&str>) -> Wanted {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Wanted {
            endpoint: Some("churn".to_owned()),
            variant: None,
            start_time: owned(start),
            end_time: owned(end),
            consumer: vec!["clinic".to_owned()],
            names: Names::default(),
        }
    }

    fn input() -> Input {
        Input { data_dir: None, config: None, url: None, threads: None, json: false }
    }

    #[test]
    fn what_is_wanted_narrows_objects_and_the_calls_in_them() {
        let source =
            wanted(Some("2026-11-26T10:00:00Z"), None).source(&["s3://captures".to_owned()], &input()).unwrap();
        assert_eq!(source.selection.window, source.scope.window);
        assert_eq!(source.selection.endpoint.unwrap().to_string(), "churn");
        assert!(source.scope.consumers.contains("clinic") && source.names.is_none());
        let then = wanted(Some("2026-11-26T10:00:00Z"), None).of_any_time(&[], &input()).unwrap();
        assert!(then.selection.window.is_none() && then.scope.window.is_none());
        assert!(then.scope.consumers.contains("clinic"), "the same callers, at another time");
    }

    #[test]
    fn times_that_leave_nothing_are_refused_with_the_option_to_mend() {
        let ten = Some("2026-11-26T10:00:00Z");
        let said = |wanted: Wanted| format!("{:#}", wanted.source(&[], &input()).unwrap_err());
        assert!(said(wanted(ten, ten)).starts_with("--start-time must be before --end-time"));
        assert!(said(wanted(Some("ten"), None)).starts_with("--start-time: "));
        assert!(
            said(Wanted { endpoint: Some("no such name!".to_owned()), ..wanted(None, None) })
                .starts_with("--endpoint: ")
        );
    }
}
