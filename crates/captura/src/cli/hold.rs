//! `captura hold`: what must not be erased and must not expire. It works on the files, with or without a server at work,
//! which reads them before it removes anything.

use std::path::PathBuf;

use captura_names::EndpointPattern;
use captura_privacy::{Hold, Holds};
use captura_route::Clock;
use clap::{Args, Subcommand};

use super::{Outcome, note, say, table};
use crate::config::Config;
use crate::privacy;

/// Legal holds: what must not be erased and must not expire
#[derive(Debug, Args)]
pub(crate) struct HoldVerb {
    #[command(subcommand)]
    verb: Verb,
    /// The server's data directory [default: ./captura-data]
    #[arg(long, global = true)]
    data_dir: Option<PathBuf>,
    /// The server's configuration file [default: captura.toml, where there is one]
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Hold a person, endpoints, or a person at endpoints
    Add {
        /// Whom: the value that the rules' `subject` names
        #[arg(long, required_unless_present = "endpoint")]
        subject: Option<String>,
        /// Name of an endpoint, or a pattern with *
        #[arg(long, value_parser = pattern)]
        endpoint: Option<EndpointPattern>,
        /// Why, for whoever is refused
        #[arg(long)]
        reason: String,
    },
    /// List holds, released ones too
    List,
    /// Let a hold go
    Release {
        /// Id of the hold
        id: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
}

fn pattern(text: &str) -> Result<EndpointPattern, String> {
    EndpointPattern::parse(text).map_err(|error| error.to_string())
}

impl HoldVerb {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        let mut config = Config::read(self.config.as_deref())?;
        if let Some(data_dir) = self.data_dir {
            config.server.data_dir = data_dir;
        }
        let (clock, holds) = (Clock::system(), Holds::new(&privacy::folder(&config.server.data_dir)));
        match self.verb {
            Verb::Add { subject, endpoint, reason } => {
                let subject = match subject {
                    Some(subject) => Some(privacy::vault(&config, &clock)?.master().subject(&subject)),
                    None => None,
                };
                let hold = holds.add(subject, endpoint, &reason, clock.now())?;
                note("nothing that it is about is erased or expires until it is released");
                tell(&[hold], self.json)?;
            }
            Verb::List => tell(&holds.all()?, self.json)?,
            Verb::Release { id, reason } => tell(&[holds.release(&id, &reason, clock.now())?], self.json)?,
        }
        Ok(Outcome::Fine)
    }
}

fn tell(holds: &[Hold], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        say(&serde_json::to_string(holds)?);
        return Ok(());
    }
    let mut rows = table(&["HOLD", "SUBJECT (KEYED HASH)", "ENDPOINT", "SINCE", "RELEASED", "REASON"]);
    for hold in holds {
        let released = hold.released.as_ref().map_or_else(String::new, |end| format!("{}: {}", end.at, end.reason));
        rows.add_row([
            hold.id.clone(),
            hold.subject.clone().unwrap_or_else(|| "everybody".into()),
            hold.endpoint.as_ref().map_or_else(|| "all".to_owned(), ToString::to_string),
            hold.since.clone(),
            released,
            hold.reason.clone(),
        ]);
    }
    say(&rows.to_string());
    Ok(())
}
