//! `captura profile`, `baseline`, `check`: the offline verbs over captures and CSV files. No server is needed, and
//! captures that AWS wrote are read like our own.

use std::path::PathBuf;

use captura_archive::{StoreSettings, Stores};
use captura_monitor::job::{self, Check as CheckRequest, CheckSummary, JobError, LabelPosition, Source, Summary};
use clap::Args;

use super::{Outcome, note, say};
use crate::config::Config;

/// What an offline verb reads.
#[derive(Debug, Args)]
struct Input {
    /// Data directory whose buckets `s3://` addresses mean [default: ./captura-data]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Configuration file with the stores of other buckets [default: captura.toml, where there is one]
    #[arg(long)]
    config: Option<PathBuf>,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

impl Input {
    fn stores(&self) -> anyhow::Result<Stores> {
        let config = Config::read(self.config.as_deref())?;
        let data_dir = self.data_dir.clone().unwrap_or(config.server.data_dir);
        Ok(Stores::new(StoreSettings { data_dir, mappings: config.stores }))
    }
}

fn source(addresses: Vec<String>) -> Source {
    Source { addresses, ..Source::default() }
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
        let done = job::profile(&self.input.stores()?, &source(self.addresses), &self.out).await;
        let summary = match or_cannot_tell(done)? {
            Ok(summary) => summary,
            Err(outcome) => return Ok(outcome),
        };
        tell(&summary, self.input.json)?;
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
        let done = job::baseline(&self.input.stores()?, &source(self.addresses), label, &self.out).await;
        let summary = match or_cannot_tell(done)? {
            Ok(summary) => summary,
            Err(outcome) => return Ok(outcome),
        };
        tell(&summary, self.input.json)?;
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
            source: source(self.addresses),
            baseline: self.baseline,
            history: self.history,
            out: self.out,
        };
        let found = match or_cannot_tell(job::check(&self.input.stores()?, &request).await)? {
            Ok(found) => found,
            Err(outcome) => return Ok(outcome),
        };
        if self.input.json {
            say(&serde_json::to_string(&found)?);
        } else {
            tell(&found.data, false)?;
            say(&findings(&found).join("\n"));
        }
        Ok(if found.violations.is_empty() { Outcome::Fine } else { Outcome::Violates })
    }
}

/// What was read and written.
fn tell(summary: &Summary, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        say(&serde_json::to_string(summary)?);
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
fn or_cannot_tell<T>(done: Result<T, JobError>) -> anyhow::Result<Result<T, Outcome>> {
    match done {
        Ok(done) => Ok(Ok(done)),
        Err(error @ JobError::NoRows { .. }) => {
            note(&format!("error: {error}"));
            Ok(Err(Outcome::CannotTell))
        }
        Err(error) => Err(error.into()),
    }
}
