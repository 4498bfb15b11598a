//! `captura table`: the invocation table by hand: merged, refilled, or made of captures. No server is needed.

use std::path::PathBuf;

use anyhow::Context as _;
use captura_archive::Stores;
use captura_archive::rendering::{ColumnNames, TablePlan};
use captura_names::S3Uri;
use captura_route::{Clock, Signature};
use captura_table::compact::{CompactError, Compactor, Hours, clock};
use captura_table::export::export;
use captura_table::refill::{RefillError, Refiller};
use clap::{Args, Subcommand};

use super::{Outcome, note, say};
use crate::config::Config;
use crate::tables::Table as Configured;

/// The invocation table: merge its files, or make it of captures that are there already
#[derive(Debug, Args)]
pub(crate) struct Table {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Merge the small files of hours that are over; the server does it by itself
    Compact(Compact),
    /// Make the parts that are owed, of the captured objects; the server does it by itself
    Refill(Refill),
    /// Make the table of captures, ours or those that SageMaker wrote
    Export(Export),
}

impl Table {
    pub(crate) async fn run(self) -> anyhow::Result<Outcome> {
        match self.verb {
            Verb::Compact(verb) => verb.run().await,
            Verb::Refill(verb) => verb.run().await,
            Verb::Export(verb) => verb.run().await,
        }
    }
}

/// Whose stores `s3://` addresses mean.
#[derive(Debug, Args)]
struct Input {
    /// The server's data directory [default: ./captura-data]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// The server's configuration file [default: captura.toml, where there is one]
    #[arg(long)]
    config: Option<PathBuf>,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

impl Input {
    fn read(&self) -> anyhow::Result<(PathBuf, Vec<Configured>, Stores)> {
        let config = Config::read(self.config.as_deref())?;
        let data_dir = self.data_dir.clone().unwrap_or(config.server.data_dir);
        let stores = crate::cloud::stores(&data_dir, config.stores);
        Ok((data_dir, config.tables, stores))
    }
}

#[derive(Debug, Args)]
struct Compact {
    /// Only the table at this address [default: all of the configuration]
    uri: Option<String>,
    /// Merge the files of the hour that is under way, too
    #[arg(long)]
    all_hours: bool,
    #[command(flatten)]
    input: Input,
}

impl Compact {
    async fn run(self) -> anyhow::Result<Outcome> {
        let (data_dir, tables, stores) = self.input.read()?;
        let wanted = self.uri.as_deref().map(|uri| uri.trim_end_matches('/'));
        let is_wanted =
            |table: &&Configured| wanted.is_none_or(|wanted| table.to.to_string().trim_end_matches('/') == wanted);
        let plans: Vec<TablePlan> = tables.iter().filter(is_wanted).map(Configured::plan).collect();
        if plans.is_empty() {
            let known: Vec<String> = tables.iter().map(|table| table.to.to_string()).collect();
            anyhow::bail!(
                "there is no such table in the configuration, which has {}; only tables that this data directory's server writes are merged",
                if known.is_empty() { "none".to_owned() } else { known.join(", ") }
            );
        }
        let journal = data_dir.join(captura_archive::reconcile::JOURNAL_FOLDER);
        anyhow::ensure!(journal.is_dir(), "there is no journal in {}", data_dir.display());
        let now = Clock::system();
        let compactor = Compactor::new(stores, journal, clock(move || now.now()));
        let hours = if self.all_hours { Hours::All } else { Hours::Closed };
        let summary = match compactor.pass(&plans, hours).await {
            Ok(summary) => summary,
            Err(error @ CompactError::Busy) => {
                note(&format!("error: {error}"));
                return Ok(Outcome::CannotTell);
            }
            Err(error) => return Err(error.into()),
        };
        if self.input.json {
            say(&serde_json::to_string(&summary)?);
        } else {
            let (parts, merged, hours) = (summary.parts, summary.merged, summary.hours);
            say(&format!("{parts} files became {merged}, in {hours} hours of endpoints that were looked at"));
            summary.errors.iter().for_each(|error| note(&format!("not merged: {error}")));
        }
        anyhow::ensure!(summary.errors.is_empty(), "not everything could be merged; what is left stays as it was");
        Ok(Outcome::Fine)
    }
}

#[derive(Debug, Args)]
struct Refill {
    #[command(flatten)]
    input: Input,
}

impl Refill {
    async fn run(self) -> anyhow::Result<Outcome> {
        let (data_dir, _, stores) = self.input.read()?;
        let journal = data_dir.join(captura_archive::reconcile::JOURNAL_FOLDER);
        anyhow::ensure!(journal.is_dir(), "there is no journal in {}", data_dir.display());
        let done = match Refiller::new(stores, journal).pass().await {
            Ok(done) => done,
            Err(error @ RefillError::Busy) => {
                note(&format!("error: {error}"));
                return Ok(Outcome::CannotTell);
            }
            Err(error) => return Err(error.into()),
        };
        if self.input.json {
            say(&serde_json::to_string(&done)?);
        } else {
            say(&format!(
                "{} of {} parts that were owed are there now, with {} records",
                done.parts, done.owed, done.records
            ));
            done.errors.iter().for_each(|error| note(&format!("still owed: {error}")));
        }
        Ok(if done.parts == done.owed { Outcome::Fine } else { Outcome::Violates })
    }
}

#[derive(Debug, Args)]
struct Export {
    /// Captured objects: s3:// addresses, folders, files
    #[arg(required = true)]
    addresses: Vec<String>,
    /// Folder or s3:// prefix of the table
    #[arg(long, value_name = "DIR")]
    to: String,
    /// The model's inputs and outputs, as JSON: {"inputs": [{"name": "age", "type": "Integral"}], "outputs": […]}
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    /// How columns of inputs and outputs are named: in.age, or in_age as Athena and Hive need it
    #[arg(long, value_enum, default_value = "dotted")]
    columns: Columns,
    /// Leave the bodies out
    #[arg(long)]
    no_bodies: bool,
    /// Leave out the half with a row for each row of a call
    #[arg(long)]
    no_rows: bool,
    #[command(flatten)]
    input: Input,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Columns {
    Dotted,
    Plain,
}

impl Export {
    async fn run(self) -> anyhow::Result<Outcome> {
        let (_, _, stores) = self.input.read()?;
        let signature = self.signature.map(|path| {
            let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            serde_json::from_slice::<Signature>(&text).with_context(|| format!("{} is no signature", path.display()))
        });
        let signature = signature.transpose()?;
        let columns = match self.columns {
            Columns::Dotted => ColumnNames::Dotted,
            Columns::Plain => ColumnNames::Plain,
        };
        let (bodies, rows) = (!self.no_bodies, !self.no_rows);
        let plan = TablePlan { bodies, rows, columns, ..TablePlan::new(S3Uri::parse("s3://export")?) };
        let exported = export(&stores, &self.addresses, (&plan, signature.as_ref()), &self.to).await?;
        if self.input.json {
            say(&serde_json::to_string(&exported)?);
            return Ok(Outcome::Fine);
        }
        say(&format!(
            "{} calls of {} captured objects are in {} files below {}",
            exported.calls, exported.objects, exported.files, self.to
        ));
        exported.described.iter().for_each(|bad| note(&format!("left out: {bad}")));
        Ok(Outcome::Fine)
    }
}
