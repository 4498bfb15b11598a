//! `captura profile`, `baseline`, `check`: the offline verbs over captures and CSV files. No server is needed, and
//! captures that AWS wrote are read like our own.

use std::num::NonZero;
use std::path::PathBuf;

use captura_archive::Stores;
use captura_monitor::job::{self, Check as CheckRequest, CheckSummary, JobError, LabelPosition, Source, Summary};
use clap::Args;
use serde::Serialize;

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
    /// Server whose ledger tells on how many of the calls the report stands [default: the ledger in the data directory]
    #[arg(long)]
    pub(super) url: Option<String>,
    /// Threads that read; the outcome is the same [default: the machine's cores]
    #[arg(long, value_name = "N")]
    pub(super) threads: Option<NonZero<usize>>,
    /// Print JSON instead of text
    #[arg(long)]
    pub(super) json: bool,
}

/// Where captures are, and the ledger of the calls that made them.
pub(super) struct Opened {
    pub(super) stores: Stores,
    data_dir: PathBuf,
    client: Option<Client>,
}

impl Input {
    /// What is at these addresses, read as this says.
    pub(super) fn source(&self, addresses: Vec<String>) -> Source {
        Source { addresses, threads: self.threads, ..Source::default() }
    }

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
    pub(super) async fn standing(&self, addresses: &[String], records: u64) -> Standing {
        let ledger = self.client.as_ref().map_or(LedgerAt::Data(&self.data_dir), LedgerAt::Server);
        Standing::of(&self.stores, addresses, records, ledger).await
    }
}

/// Statistics of captures or CSV files
#[derive(Debug, Args)]
pub(crate) struct Profile {
    /// Captured objects or CSV files: s3:// addresses, folders, files
    #[arg(required = true)]
    addresses: Vec<String>,
    /// Where the statistics go
    #[arg(long, value_name = "FILE")]
    out: String,
    #[command(flatten)]
    input: Input,
}

impl Profile {
    pub(crate) async fn run(self) -> anyhow::Result<Outcome> {
        let opened = self.input.open()?;
        let done = job::profile(&opened.stores, &self.input.source(self.addresses.clone()), &self.out).await;
        let summary = match or_cannot_tell(done)? {
            Ok(summary) => summary,
            Err(outcome) => return Ok(outcome),
        };
        let standing = opened.standing(&self.addresses, summary.records).await;
        tell(&summary, &standing, self.input.json)?;
        Ok(Outcome::Fine)
    }
}

/// Statistics and suggested constraints of a baseline
#[derive(Debug, Args)]
pub(crate) struct Baseline {
    /// A CSV file with a header, or captures
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
        let done = job::baseline(&opened.stores, &self.input.source(self.addresses.clone()), label, &self.out).await;
        let summary = match or_cannot_tell(done)? {
            Ok(summary) => summary,
            Err(outcome) => return Ok(outcome),
        };
        let standing = opened.standing(&self.addresses, summary.records).await;
        tell(&summary, &standing, self.input.json)?;
        Ok(Outcome::Fine)
    }
}

/// Hold captures against a baseline; exits 2 when there are violations
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Captured objects or CSV files
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
    input: Input,
}

impl Check {
    pub(crate) async fn run(self) -> anyhow::Result<Outcome> {
        let request = CheckRequest {
            source: self.input.source(self.addresses.clone()),
            baseline: self.baseline,
            history: self.history,
            out: self.out,
        };
        let opened = self.input.open()?;
        let found = match or_cannot_tell(job::check(&opened.stores, &request).await)? {
            Ok(found) => found,
            Err(outcome) => return Ok(outcome),
        };
        let standing = opened.standing(&self.addresses, found.data.records).await;
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
        "{} rows of {} columns from {} records in {} objects; {:.2} % of cells have a value",
        summary.rows,
        summary.columns.len(),
        summary.records,
        summary.objects,
        summary.completeness * 100.0
    ));
    say(&standing.in_words());
    if summary.unanswered > 0 {
        say(&format!("{} calls got no answer from the model and are left out", summary.unanswered));
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
    let causes = found.causes.iter().map(|cause| format!("  {cause}"));
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
