//! `captura reconcile`: proves the account book on a stopped server.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use captura_archive::reconcile::{Depth, Oracle, ReconcileError, Report, Scope, Verdict, reconcile_data_dir};
use captura_capture::ledger::minutes::MinuteRow;
use captura_names::Timestamp;
use clap::Args;

use super::ledger::time;
use super::{Outcome, note, say, table};
use crate::config::Config;

/// Prove the account book against journal and objects, on a stopped server
#[derive(Debug, Args)]
pub(crate) struct Reconcile {
    /// The server's data directory [default: ./captura-data]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// The server's configuration file, for its stores [default: captura.toml, where there is one]
    #[arg(long)]
    config: Option<PathBuf>,
    /// Only this endpoint
    #[arg(long)]
    endpoint: Option<String>,
    /// Only calls that arrived at this time or later, RFC 3339, e.g. 2026-11-26T14:00:00Z
    #[arg(long, value_parser = time)]
    from: Option<Timestamp>,
    /// Only calls that arrived before this time
    #[arg(long, value_parser = time)]
    to: Option<Timestamp>,
    /// Read every record and every line again
    #[arg(long)]
    deep: bool,
    /// What clients were told, a JSON line each: {"eventId", "lsn", "capture", "requestSha256", "responseSha256"}; with
    /// --endpoint or --from or --to also "endpoint" and "at", or a lost record cannot be told to belong
    #[arg(long)]
    oracle: Option<PathBuf>,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

impl Reconcile {
    pub(crate) async fn run(self) -> anyhow::Result<Outcome> {
        #[cfg(feature = "sabotage")]
        crate::config::sabotage()?;
        let config = Config::read(self.config.as_deref())?;
        let data_dir = self.data_dir.unwrap_or(config.server.data_dir);
        let stores = crate::cloud::stores(&data_dir, config.stores);
        let oracle = self.oracle.map(|path| {
            let file = File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
            Oracle::read(BufReader::new(file)).with_context(|| format!("{} is no oracle file", path.display()))
        });
        if self.from.zip(self.to).is_some_and(|(from, to)| from >= to) {
            bail!("--from is not before --to");
        }
        let scope = Scope { endpoint: self.endpoint, from: self.from, to: self.to };
        let is_timed = scope.is_timed();
        let depth = Depth { deep: self.deep, oracle: oracle.transpose()?, scope };
        let report = match reconcile_data_dir(&data_dir, &stores, depth).await {
            Ok(report) => report,
            Err(error @ ReconcileError::Running(_)) => {
                note(&format!("error: {error}"));
                return Ok(Outcome::CannotTell);
            }
            Err(error) => return Err(error.into()),
        };
        if self.json {
            say(&serde_json::to_string(&report)?);
        } else {
            say(&render(&report, is_timed));
        }
        Ok(match report.verdict {
            Verdict::Balanced => Outcome::Fine,
            Verdict::Imbalance => Outcome::Violates,
            Verdict::CannotTell => Outcome::CannotTell,
        })
    }
}

/// The table of accounts; of a stretch of time, what its minutes counted and what arrived in it.
fn render_accounts(report: &Report, is_timed: bool) -> String {
    let mut rows =
        table(&["ENDPOINT", "VARIANT", "INVOKED", "CAPTURED", "IN OBJECTS", "IN JOURNAL", "SAMPLED OUT", "DROPPED"]);
    for proof in &report.accounts {
        let account = &proof.account;
        let is_own = |row: &&MinuteRow| row.endpoint == account.endpoint && row.variant == account.variant;
        let [invoked, captured, sampled_out, dropped] = match report.minutes.iter().find(is_own) {
            Some(row) => [row.invoked, row.captured, row.sampled_out, row.dropped_total()],
            None if is_timed => [0; 4],
            None => [account.invoked, account.captured, account.sampled_out, account.dropped_total()],
        };
        if is_timed && invoked + captured + proof.found_in_objects + proof.found_in_journal == 0 {
            continue;
        }
        rows.add_row([
            account.endpoint.clone(),
            account.variant.clone(),
            invoked.to_string(),
            captured.to_string(),
            proof.found_in_objects.to_string(),
            proof.found_in_journal.to_string(),
            sampled_out.to_string(),
            dropped.to_string(),
        ]);
    }
    rows.to_string()
}

/// The proof in words: the table of accounts, what is wrong, what could not be looked at, the verdict.
pub(super) fn render(report: &Report, is_timed: bool) -> String {
    let mut lines = vec![render_accounts(report, is_timed)];
    if is_timed {
        lines.push(
            "what is counted is of whole minutes, by when calls ended; what was found is of calls that arrived in the time"
                .to_owned(),
        );
    }
    for finding in &report.findings {
        let lsns = if finding.lsns.is_empty() { String::new() } else { format!(" [{}]", finding.lsns.join(", ")) };
        lines.push(format!("WRONG  {}: {}{lsns}", finding.place, finding.reason));
    }
    lines.extend(report.notes.iter().map(|note| format!("NOTE   {note}")));
    lines.extend(report.doubts.iter().map(|doubt| format!("DOUBT  {doubt}")));
    lines.push(format!(
        "{} objects compared with their manifests, {} records read in the journal, {} acknowledged records found as told",
        report.objects_checked, report.records_read, report.acknowledged_found
    ));
    let tables = &report.tables;
    if tables.parts > 0 || !tables.owed.is_empty() {
        lines.push(format!(
            "{} parts of tables are there, in {} files; {} were given up because their destination failed",
            tables.parts,
            tables.files_checked,
            tables.owed.len()
        ));
        lines.extend(tables.owed.iter().map(|part| format!("OWED   {part}")));
    }
    lines.push(
        match report.verdict {
            Verdict::Balanced => "balanced: every invocation is accounted for",
            Verdict::Imbalance => "NOT balanced: see what is wrong above",
            Verdict::CannotTell => "cannot tell: see the doubts above",
        }
        .to_owned(),
    );
    lines.join("\n")
}
