//! `captura erase`: has a server erase a person, keeps the certificate, and checks one without a server.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Outcome, Server, note, say};
use crate::config::Config;
use crate::privacy;

/// Erase a person: destroy the keys that seal what is kept of them, with a certificate
#[derive(Debug, Args)]
pub(crate) struct Erase {
    /// Whom: the value that the rules' `subject` names
    #[arg(long, required_unless_present = "verify")]
    subject: Option<String>,
    /// At this endpoint only
    #[arg(long)]
    endpoint: Option<String>,
    /// Where the certificate goes [default: stdout]
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Check a certificate against the keys of a data directory, without a server; exits 2 when something speaks against it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["subject", "endpoint", "certificate"])]
    verify: Option<PathBuf>,
    /// The server's data directory, for --verify [default: ./captura-data]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// The server's configuration file, for --verify [default: captura.toml, where there is one]
    #[arg(long)]
    config: Option<PathBuf>,
    #[command(flatten)]
    server: Server,
}

impl Erase {
    pub(crate) async fn run(self) -> anyhow::Result<Outcome> {
        if let Some(path) = &self.verify {
            return self.verify(path);
        }
        let asked = json!({ "subject": self.subject, "endpoint": self.endpoint });
        let client = self.server.client()?;
        let headers = [("content-type", "application/json")];
        let reply = client.send(Method::POST, "/captura/v1/erasures", &headers, asked.to_string().into()).await?;
        match reply.status {
            StatusCode::OK => {}
            StatusCode::CONFLICT | StatusCode::NOT_FOUND => {
                note(&format!("nothing is erased: {}", reply.message()));
                return Ok(Outcome::Violates);
            }
            _ => bail!("{}", reply.message()),
        }
        let certificate: Value = serde_json::from_slice(&reply.body).context("the answer is no certificate")?;
        let text = serde_json::to_string_pretty(&certificate)?;
        match &self.certificate {
            Some(path) => {
                std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
            }
            None => say(&text),
        }
        let (records, keys) = (&certificate["records"], certificate["keys"].as_array().map_or(0, Vec::len));
        note(&format!("{keys} keys are destroyed; {records} records that they sealed are booked as erased"));
        if certificate["pendingSegments"].as_array().is_some_and(|pending| !pending.is_empty()) {
            note(
                "some records wait in the journal for their store; they cannot be opened either, and are counted when it takes them",
            );
        }
        Ok(Outcome::Fine)
    }

    fn verify(&self, path: &std::path::Path) -> anyhow::Result<Outcome> {
        let mut config = Config::read(self.config.as_deref())?;
        if let Some(data_dir) = &self.data_dir {
            config.server.data_dir.clone_from(data_dir);
        }
        let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let certificate: Value =
            serde_json::from_slice(&text).with_context(|| format!("{} is no JSON", path.display()))?;
        let (vault, keys) = privacy::opened(&config)?;
        match captura_privacy::verify(&certificate, vault.master(), &keys) {
            Ok(()) => {
                say("the certificate is this server's, and its keys are in no table");
                Ok(Outcome::Fine)
            }
            Err(why) => {
                say(&format!("the certificate does not hold: {why}"));
                Ok(Outcome::Violates)
            }
        }
    }
}
