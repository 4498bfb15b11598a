//! The command line: one file per verb, each an argument struct and one function.
//!
//! Exit codes: 0 fine, 1 error, 2 the data violates what was asked, 3 cannot tell (or: the data directory is taken).
//! Refuses to: know more of a server than its public API.

mod analysis;
mod attribution;
mod bias;
mod consumers;
mod demo;
mod deploy;
mod drift;
mod endpoints;
mod erase;
mod hold;
mod invoke;
mod job;
mod keys;
mod ledger;
mod monitors;
mod naming;
mod privacy;
mod quality;
mod reconcile;
mod report;
mod scripts;
mod serve;
mod sql;
mod standing;
mod table;
mod tail;

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

pub(crate) use self::deploy::wait_in_service;
use crate::client::Client;
use crate::config::variable;
use crate::credentials::Credentials;

/// Model endpoints that remember every call.
#[derive(Debug, Parser)]
#[command(name = "captura", version, about, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the server
    Serve(serve::Serve),
    /// See the whole thing work on a real model: traffic, capture, planted drift, check, proof
    Demo(demo::Demo),
    /// Model, endpoint configuration and endpoint in one go
    Deploy(deploy::Deploy),
    /// One call; the answer goes to stdout, the rest to stderr
    Invoke(invoke::Invoke),
    /// List the endpoints
    Endpoints(endpoints::List),
    /// Describe one endpoint, with the model's inputs and outputs
    Endpoint(endpoints::Describe),
    /// Captured exchanges as they happen
    Tail(tail::Tail),
    /// The account book per endpoint and variant
    Ledger(ledger::Ledger),
    Consumers(consumers::Consumers),
    Monitors(monitors::Monitors),
    /// What rules of redaction do, without a server
    Privacy(privacy::Privacy),
    /// Erase a person (destroy the keys that seal what is kept of them) or single calls, with a certificate
    Erase(erase::Erase),
    /// Legal holds: what must not be erased and must not expire
    Hold(hold::HoldVerb),
    /// Access keys: who may call, and what they may do
    Keys(keys::Keys),
    /// Prove the account book against journal and objects, on a stopped server
    Reconcile(reconcile::Reconcile),
    /// The invocation table: merge its files, or make it of captures
    Table(table::Table),
    /// Statistics of captures or tables
    Profile(analysis::Profile),
    /// Statistics and suggested constraints of a baseline
    Baseline(analysis::Baseline),
    /// Hold captures against a baseline; exits 2 when there are violations
    Check(analysis::Check),
    Quality(quality::Quality),
    Bias(bias::Bias),
    Attribution(attribution::Attribution),
    #[command(hide = true)]
    Job(job::Job),
    /// Has the data changed, by how much, through whom, since when; exits 2 on drift
    Drift(drift::Drift),
    /// One self-contained HTML page: what changed, through whom, since when
    Report(report::Report),
    /// SQL over captures, the invocation table, CSV, JSON Lines and Parquet, with typed columns
    Sql(sql::Sql),
}

/// Where `captura serve` listens unless it is told otherwise.
const DEFAULT_URL: &str = "http://127.0.0.1:8080";

/// Which server a client verb talks to, and how it answers.
#[derive(Debug, Args)]
pub(crate) struct Server {
    /// URL of the server
    #[arg(long, env = "CAPTURA_URL", help = "URL of the server; else AWS_ENDPOINT_URL, else http://127.0.0.1:8080")]
    url: Option<String>,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    /// Access key id that calls carry; they are signed when AWS_SECRET_ACCESS_KEY holds its secret
    #[arg(long, env = "AWS_ACCESS_KEY_ID", hide_env_values = true)]
    access_key_id: Option<String>,
}

impl Server {
    fn client(&self) -> anyhow::Result<Client> {
        let url = self.url.clone().or_else(|| variable("AWS_ENDPOINT_URL"));
        let url = url.unwrap_or_else(|| DEFAULT_URL.to_owned());
        Client::new(&url, Credentials::of_environment(self.access_key_id.as_deref())?)
    }
}

/// How a verb ended, when it did its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Everything is as it should be.
    Fine,
    /// The data violates what was asked.
    Violates,
    /// The question cannot be answered, or the data directory belongs to another server.
    CannotTell,
}

/// Runs one verb.
pub(crate) fn run(cli: Cli) -> ExitCode {
    let outcome = match cli.verb {
        Verb::Serve(verb) => verb.run(),
        Verb::Demo(verb) => verb.run(),
        Verb::Deploy(verb) => block_on(verb.run()),
        Verb::Invoke(verb) => block_on(verb.run()),
        Verb::Endpoints(verb) => block_on(verb.run()),
        Verb::Endpoint(verb) => block_on(verb.run()),
        Verb::Tail(verb) => block_on(verb.run()),
        Verb::Ledger(verb) => block_on(verb.run()),
        Verb::Consumers(verb) => block_on(verb.run()),
        Verb::Monitors(verb) => block_on(verb.run()),
        Verb::Privacy(verb) => block_on(verb.run()),
        Verb::Erase(verb) => block_on(verb.run()),
        Verb::Hold(verb) => verb.run(),
        Verb::Keys(verb) => verb.run(),
        Verb::Reconcile(verb) => block_on(verb.run()),
        Verb::Table(verb) => block_on(verb.run()),
        Verb::Profile(verb) => block_on(verb.run()),
        Verb::Baseline(verb) => block_on(verb.run()),
        Verb::Check(verb) => block_on(verb.run()),
        Verb::Quality(verb) => block_on(verb.run()),
        Verb::Bias(verb) => block_on(verb.run()),
        Verb::Attribution(verb) => block_on(verb.run()),
        Verb::Job(verb) => block_on(verb.run()),
        Verb::Drift(verb) => block_on(verb.run()),
        Verb::Report(verb) => block_on(verb.run()),
        Verb::Sql(verb) => verb.run(),
    };
    match outcome {
        Ok(Outcome::Fine) => ExitCode::SUCCESS,
        Ok(Outcome::Violates) => ExitCode::from(2),
        Ok(Outcome::CannotTell) => ExitCode::from(3),
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn block_on(verb: impl Future<Output = anyhow::Result<Outcome>>) -> anyhow::Result<Outcome> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(verb)
}

/// Prints an error with its causes, most telling first.
fn complain(error: &anyhow::Error) {
    let mut text = format!("error: {error}");
    let mut last = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        // Libraries tend to repeat their source in their own text.
        if !last.contains(&cause) {
            let _ = write!(text, "\n  because {cause}");
            last = cause;
        }
    }
    note(&text);
}

/// Prints to stdout, ignoring a reader that went away (`captura tail | head`).
fn say(text: &str) {
    use std::io::Write as _;
    // Tables fill their last column with blanks, which nobody wants to copy.
    let lines: Vec<&str> = text.split('\n').map(|line| line.trim_end_matches(' ')).collect();
    let _ = writeln!(std::io::stdout(), "{}", lines.join("\n"));
}

/// Prints to stderr: notes that are not the answer.
fn note(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A table without borders, as terminals and scripts like it.
fn table(header: &[&str]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING).set_header(header);
    table
}
