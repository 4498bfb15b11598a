//! `captura keys`: makes, lists and revokes access keys and API keys in a data directory.
//!
//! It works on the files, with or without a server at work; a running one notices within a second. A secret is printed
//! once, to stdout, when its key is made.

use std::path::PathBuf;

use anyhow::Context as _;
use captura_keys::{ConsumerName, Created, Key, Kind, NewKey, Policy, Rule, Store};
use captura_names::Timestamp;
use captura_route::Clock;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Outcome, note, say, table};
use crate::config::Config;
use crate::units::Span;

/// Access keys: who may call, and what they may do
#[derive(Debug, Args)]
pub(crate) struct Keys {
    #[command(subcommand)]
    verb: Verb,
    /// The server's data directory [default: ./captura-data]
    #[arg(long, global = true)]
    data_dir: Option<PathBuf>,
    /// The server's configuration file, for its data directory [default: captura.toml, where there is one]
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a key; its secret is shown now and never again
    Create(Create),
    /// List the keys, without their secrets
    List,
    /// Let a key in no more
    Revoke {
        /// Access key id
        id: String,
    },
    /// Show what a key may do, as JSON
    ShowPolicy {
        /// Access key id
        id: String,
    },
}

#[derive(Debug, Args)]
struct Create {
    /// Make an API key, which is sent with each request, instead of an access key, which signs them. The server takes them
    /// where its configuration has [auth.api_keys]
    #[arg(long)]
    api_key: bool,
    /// Whose calls it signs: the consumer in every record [default: the key's id]
    #[arg(long, value_name = "NAME")]
    consumer: Option<ConsumerName>,
    /// A note for people
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
    /// What it may do, e.g. sagemaker:InvokeEndpoint:churn-* or s3:GetObject:captures/*; repeatable [default: everything]
    #[arg(long, value_name = "OPERATION[:RESOURCE]")]
    allow: Vec<Rule>,
    /// What it may not do all the same; repeatable
    #[arg(long, value_name = "OPERATION[:RESOURCE]")]
    deny: Vec<Rule>,
    /// What it may do, as a file: {"allow":[{"operations":[…],"resources":[…]}],"deny":[…]}
    #[arg(long, value_name = "FILE", conflicts_with_all = ["allow", "deny"])]
    policy: Option<PathBuf>,
    /// After how long it stops to work, e.g. 90d [default: never]
    #[arg(long, value_name = "SPAN", value_parser = span)]
    expires_in: Option<Span>,
}

fn span(text: &str) -> Result<Span, String> {
    Span::parse(text).ok_or_else(|| format!("{text:?} is no span of time like 12h or 90d"))
}

impl Keys {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        let data_dir = match self.data_dir {
            Some(data_dir) => data_dir,
            None => Config::read(self.config.as_deref())?.server.data_dir,
        };
        let (store, now) = (Store::new(&data_dir), Clock::system().now());
        match self.verb {
            Verb::Create(create) => create.run(&store, now, self.json)?,
            Verb::List => list(&store.keys()?, now, self.json),
            Verb::Revoke { id } => {
                let key = store.revoke(&id, now)?;
                if self.json {
                    say(&described(&key, now).to_string());
                } else {
                    note(&format!("{id} of {} is revoked; a running server lets it in no more", key.consumer));
                }
            }
            Verb::ShowPolicy { id } => {
                let keys = store.keys()?;
                let key = keys.iter().find(|key| key.id == id).with_context(|| format!("there is no key {id}"))?;
                say(&serde_json::to_string_pretty(&key.policy)?);
            }
        }
        Ok(Outcome::Fine)
    }
}

impl Create {
    fn run(self, store: &Store, now: Timestamp, as_json: bool) -> anyhow::Result<()> {
        let expires = self.expires_in.map(|span| now.plus_us(i64::try_from(span.0.as_micros()).unwrap_or(i64::MAX)));
        let kind = if self.api_key { Kind::ApiKey } else { Kind::AccessKey };
        let (policy, description) = (self.policy()?, self.description);
        let wished = NewKey { kind, policy, consumer: self.consumer, description, expires };
        let Created { key, secret } = store.create(wished, now)?;
        if as_json {
            let mut shown = described(&key, now);
            let member = if kind == Kind::ApiKey { "apiKey" } else { "secretAccessKey" };
            shown[member] = json!(secret.expose());
            say(&shown.to_string());
        } else if kind == Kind::ApiKey {
            note("the key is shown now and never again; send it with each request in the header x-api-key");
            say(&format!("CAPTURA_API_KEY={}", secret.expose()));
        } else {
            note("the secret is shown now and never again; `export $(captura keys create …)` sets both");
            say(&format!("AWS_ACCESS_KEY_ID={}\nAWS_SECRET_ACCESS_KEY={}", key.id, secret.expose()));
        }
        Ok(())
    }

    fn policy(&self) -> anyhow::Result<Policy> {
        if let Some(path) = &self.policy {
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            let wrong = || format!("{} is no policy", path.display());
            let policy: Policy = serde_json::from_str(&text).with_context(wrong)?;
            policy.check().with_context(wrong)?;
            return Ok(policy);
        }
        let mut policy = Policy { deny: self.deny.clone(), ..Policy::default() };
        if !self.allow.is_empty() {
            policy.allow = self.allow.clone();
        }
        Ok(policy)
    }
}

fn state(key: &Key, now: Timestamp) -> &'static str {
    match key {
        key if key.revoked.is_some() => "revoked",
        key if key.is_expired(now) => "expired",
        _ => "active",
    }
}

fn described(key: &Key, now: Timestamp) -> Value {
    json!({
        "accessKeyId": key.id,
        "kind": match key.kind() {
            Kind::AccessKey => "access-key",
            Kind::ApiKey => "api-key",
        },
        "consumer": key.consumer.as_str(),
        "description": key.description,
        "state": state(key, now),
        "created": key.created.to_string(),
        "expires": key.expires.map(|at| at.to_string()),
        "revoked": key.revoked.map(|at| at.to_string()),
        "policy": key.policy,
    })
}

fn list(keys: &[Key], now: Timestamp, as_json: bool) {
    if as_json {
        let keys: Vec<Value> = keys.iter().map(|key| described(key, now)).collect();
        say(&json!({ "keys": keys }).to_string());
        return;
    }
    let mut rows = table(&["KEY ID", "CONSUMER", "STATE", "CREATED", "MAY", "DESCRIPTION"]);
    for key in keys {
        let rules = |rules: &[Rule]| rules.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let mut may = rules(&key.policy.allow);
        if !key.policy.deny.is_empty() {
            may.push_str(&format!("; not {}", rules(&key.policy.deny)));
        }
        let (state, created) = (state(key, now).to_owned(), key.created.to_string());
        rows.add_row([key.id.clone(), key.consumer.to_string(), state, created, may, key.description.clone()]);
    }
    say(&rows.to_string());
}
