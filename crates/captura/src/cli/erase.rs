//! `captura erase`: has a server erase a person, or does it on the data directory of a stopped one; keeps the certificate,
//! and checks one without a server.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use captura_names::{EndpointName, EventId};
use captura_privacy::EraseError;
use clap::Args;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Outcome, Server, note, say};
use crate::config::Config;
use crate::erasing::{Target, erase};
use crate::privacy;
use crate::stopped::Stopped;

/// Erase a person (destroy the keys that seal what is kept of them) or single calls, with a certificate
#[derive(Debug, Args)]
pub(crate) struct Erase {
    /// Whom: the value that the rules' `subject` names
    #[arg(long, required_unless_present_any = ["verify", "event_id"])]
    subject: Option<String>,
    /// Instead of a person: this call, by its event id; may be given more than once
    #[arg(long, value_name = "ID", value_parser = event_id, conflicts_with_all = ["subject", "verify"])]
    event_id: Vec<EventId>,
    /// At this endpoint only
    #[arg(long)]
    endpoint: Option<String>,
    /// Where the certificate goes [default: stdout]
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Check a certificate against the keys of a data directory, without a server; exits 2 when something speaks against it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["subject", "endpoint", "certificate"])]
    verify: Option<PathBuf>,
    /// Erase on the data directory of a stopped server, instead of asking a running one
    #[arg(long, conflicts_with = "verify")]
    stopped: bool,
    /// The server's data directory, for --verify and --stopped [default: ./captura-data]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// The server's configuration file, for --verify and --stopped [default: captura.toml, where there is one]
    #[arg(long)]
    config: Option<PathBuf>,
    #[command(flatten)]
    server: Server,
}

fn event_id(text: &str) -> Result<EventId, String> {
    EventId::parse(text).ok_or_else(|| "it is no event id like 55126149-826d-415a-967b-33fa7f4666f3".to_owned())
}

impl Erase {
    pub(crate) async fn run(self) -> anyhow::Result<Outcome> {
        if let Some(path) = &self.verify {
            return self.verify(path);
        }
        let certificate = if self.stopped { self.on_stopped().await? } else { self.of_server().await? };
        let Some(certificate) = certificate else { return Ok(Outcome::Violates) };
        let text = serde_json::to_string_pretty(&certificate)?;
        match &self.certificate {
            Some(path) => {
                std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
            }
            None => say(&text),
        }
        let (records, keys) = (&certificate["records"], certificate["keys"].as_array().map_or(0, Vec::len));
        let waits = certificate["pendingSegments"].as_array().is_some_and(|pending| !pending.is_empty());
        if self.event_id.is_empty() {
            note(&format!("{keys} keys are destroyed; {records} records that they sealed are booked as erased"));
        } else {
            note(&format!("{records} records are taken out of their objects and tables, and booked as erased"));
        }
        match (waits, self.event_id.is_empty()) {
            (true, true) => note(
                "some records wait in the journal for their store; they cannot be opened either, and are counted when it takes them",
            ),
            (true, false) => {
                note("some records wait in the journal for their store; calls among them are erased when it takes them")
            }
            _ => {}
        }
        Ok(Outcome::Fine)
    }

    /// The certificate of a running server; nothing when it refuses, which is told.
    async fn of_server(&self) -> anyhow::Result<Option<Value>> {
        let events: Vec<String> = self.event_id.iter().map(ToString::to_string).collect();
        let asked = json!({ "subject": self.subject, "events": events, "endpoint": self.endpoint });
        let client = self.server.client()?;
        let headers = [("content-type", "application/json")];
        let reply = client.send(Method::POST, "/captura/v1/erasures", &headers, asked.to_string().into()).await;
        let reply = reply.context("no server answers; where it is stopped, give --stopped and its --data-dir")?;
        match reply.status {
            StatusCode::OK => serde_json::from_slice(&reply.body).context("the answer is no certificate").map(Some),
            StatusCode::CONFLICT | StatusCode::NOT_FOUND => {
                note(&format!("nothing is erased: {}", reply.message()));
                Ok(None)
            }
            _ => bail!("{}", reply.message()),
        }
    }

    /// The certificate of an erasure that is done here and now.
    async fn on_stopped(&self) -> anyhow::Result<Option<Value>> {
        let endpoint = self.endpoint.as_deref().map(EndpointName::parse).transpose()?;
        let target = match &self.subject {
            Some(subject) => Target::Subject(subject.clone()),
            None => Target::Events(self.event_id.iter().copied().collect()),
        };
        let stopped = Stopped::open(&Arc::new(self.config()?))?;
        let done = match stopped.erasers.get() {
            Ok(eraser) => Ok(erase(&eraser, &target, endpoint.as_ref()).await),
            Err(error) => Err(error),
        };
        let closed = stopped.close().await;
        let certificate = match done? {
            Ok(certificate) => Some(certificate),
            Err(error @ (EraseError::Held(_) | EraseError::NoKeys(_) | EraseError::NoCalls)) => {
                note(&format!("nothing is erased: {error}"));
                None
            }
            Err(error) => return Err(error.into()),
        };
        closed.map(|()| certificate)
    }

    fn config(&self) -> anyhow::Result<Config> {
        let mut config = Config::read(self.config.as_deref())?;
        if let Some(data_dir) = &self.data_dir {
            config.server.data_dir.clone_from(data_dir);
        }
        Ok(config)
    }

    fn verify(&self, path: &std::path::Path) -> anyhow::Result<Outcome> {
        let config = self.config()?;
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
