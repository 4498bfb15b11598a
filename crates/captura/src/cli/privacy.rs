//! `captura privacy dry-run`: what rules of redaction would keep of a body, or of captures, without a server.
//!
//! Secrets are made up for the run, so nothing is written and pseudonyms are not those that a server would store.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use captura_archive::line::{Line, Side};
use captura_archive::reader::{Reader, Selection};
use captura_archive::{StoreSettings, Stores};
use captura_names::{EndpointName, EventId, InferenceId};
use captura_privacy::{Failed, Master, Redactor, Secrets, Step, Vault, rules_of};
use captura_route::{Caller, Clock, Consumer, Exchange, Field, FieldType, Invocation, ModelRequest, Signature};
use clap::{Args, Subcommand};
use serde_json::json;

use super::{Outcome, note, say, table};
use crate::config::Config;

/// Values shown of each rule.
const SHOWN_MAX: usize = 5;
/// Longest value that is shown whole, characters.
const SHOWN_CHARACTERS_MAX: usize = 60;

/// What rules of redaction do, without a server
#[derive(Debug, Args)]
pub(crate) struct Privacy {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show what would be stored, rule by rule; exits 2 when nothing would be kept of a body because rules do not fit it
    DryRun(Box<DryRun>),
    /// Print captures with every sealed value opened whose key there is
    Reveal {
        /// Captures: s3:// addresses, folders, files
        #[arg(required = true)]
        addresses: Vec<String>,
        /// The server's data directory, with the keys [default: ./captura-data]
        #[arg(long)]
        data_dir: Option<PathBuf>,
        /// The server's configuration file [default: captura.toml, where there is one]
        #[arg(long)]
        config: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct DryRun {
    /// The server's configuration file, with the rules [default: captura.toml, where there is one]
    #[arg(long)]
    config: Option<PathBuf>,
    /// Endpoint whose rules are asked
    #[arg(long, default_value = "endpoint")]
    endpoint: EndpointName,
    /// What is sent: a file, or `-` for stdin
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// Content type of the body
    #[arg(long, default_value = "text/csv")]
    content_type: String,
    /// What is answered: a file
    #[arg(long, value_name = "FILE")]
    answer: Option<PathBuf>,
    /// Content type of the answer
    #[arg(long, default_value = "text/csv")]
    answer_content_type: String,
    /// The caller's own id
    #[arg(long)]
    inference_id: Option<String>,
    /// Custom attributes of the call
    #[arg(long)]
    custom_attributes: Option<String>,
    /// Names of the model's inputs, in order, where it tells them
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    inputs: Vec<String>,
    /// Names of the model's outputs, in order, where it tells them
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    outputs: Vec<String>,
    /// Captures to try the rules on instead of a body: s3:// addresses, folders, files
    #[arg(long, value_name = "URI", conflicts_with_all = ["body", "answer"])]
    captures: Vec<String>,
    /// Most records of those
    #[arg(long, default_value_t = 1_000)]
    limit: usize,
    /// Data directory whose buckets `s3://` addresses mean [default: ./captura-data]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

/// One side as it travelled.
type Sent = (Option<String>, Bytes);

/// How many values a rule met, and some of them, before and after.
type Values = (u64, Vec<(String, String)>);

/// What was seen over all records.
#[derive(Default)]
struct Seen {
    records: u64,
    /// By side, rule and action: how many values, and some of them.
    rules: BTreeMap<(String, String, String), Values>,
    /// Why bodies would not be kept.
    withheld: BTreeMap<String, u64>,
    /// The first exchange as it would be stored.
    first: Option<serde_json::Value>,
}

impl Privacy {
    pub(crate) async fn run(self) -> anyhow::Result<Outcome> {
        match self.verb {
            Verb::DryRun(dry_run) => dry_run.run().await,
            Verb::Reveal { addresses, data_dir, config } => {
                let mut config = Config::read(config.as_deref())?;
                if let Some(data_dir) = data_dir {
                    config.server.data_dir = data_dir;
                }
                reveal(&config, &addresses).await
            }
        }
    }
}

/// Prints lines as they are captured, their sealed values opened; bodies that stand in BASE64 stay as they are.
async fn reveal(config: &Config, addresses: &[String]) -> anyhow::Result<Outcome> {
    let (_, keys) = crate::privacy::opened(config)?;
    let stores = StoreSettings { data_dir: config.server.data_dir.clone(), mappings: config.stores.clone() };
    let mut reader = Reader::open(&Stores::new(stores), addresses, &Selection::default()).await?;
    let (mut opened, mut closed) = (0, 0);
    while let Some(object) = reader.next().await {
        let object = object?;
        for line in object.bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let mut line: serde_json::Value =
                serde_json::from_slice(line).with_context(|| object.found.address.clone())?;
            for side in ["endpointInput", "endpointOutput"] {
                let Some(data) = line.pointer_mut(&format!("/captureData/{side}/data")) else { continue };
                let (text, found, left) = keys.open(data.as_str().unwrap_or_default());
                (opened, closed) = (opened + found, closed + left);
                *data = json!(text);
            }
            say(&line.to_string());
        }
    }
    note(&format!("{opened} values opened; {closed} stay closed, because their key is destroyed or another server's"));
    Ok(Outcome::Fine)
}

impl DryRun {
    async fn run(self) -> anyhow::Result<Outcome> {
        let config = Config::read(self.config.as_deref())?;
        let Some(set) = rules_of(&config.privacy, &self.endpoint) else {
            note(&format!("no [[privacy]] table is for {}; everything is stored as it travels", self.endpoint));
            return Ok(Outcome::Fine);
        };
        let vault = Vault::ephemeral(Arc::new(Master::ephemeral()?), Clock::system());
        let signature = signature(&self.inputs, &self.outputs);
        let secrets = Some(Secrets(Arc::new(vault)));
        let Some(redactor) = Redactor::new(set, &self.endpoint, signature.as_ref(), secrets) else {
            note("the rules keep everything as it travels");
            return Ok(Outcome::Fine);
        };
        let mut seen = Seen::default();
        if self.captures.is_empty() {
            let request = (Some(self.content_type.clone()), body(self.body.as_deref())?);
            let answer = match &self.answer {
                Some(path) => Some((Some(self.answer_content_type.clone()), body(Some(path))?)),
                None => None,
            };
            self.exchange(&redactor, &mut seen, (request, answer), None)?;
        } else {
            self.captured(&config, &redactor, &mut seen).await?;
        }
        seen.tell(&set.id(), self.json);
        Ok(if seen.withheld.is_empty() { Outcome::Fine } else { Outcome::Violates })
    }

    async fn captured(&self, config: &Config, redactor: &Redactor, seen: &mut Seen) -> anyhow::Result<()> {
        let data_dir = self.data_dir.clone().unwrap_or_else(|| config.server.data_dir.clone());
        let stores = Stores::new(StoreSettings { data_dir, mappings: config.stores.clone() });
        let mut reader = Reader::open(&stores, &self.captures, &Selection::default()).await?;
        let mut left = self.limit;
        while let Some(object) = reader.next().await {
            let object = object?;
            for text in object.bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                if left == 0 {
                    return Ok(());
                }
                left -= 1;
                let line = Line::parse(text).with_context(|| object.found.address.clone())?;
                let sent = |side: Option<Side>| side.map(|side| (side.content_type, side.body));
                let request = sent(line.input.clone()).unwrap_or_default();
                self.exchange(redactor, seen, (request, sent(line.output.clone())), Some(line))?;
            }
        }
        Ok(())
    }

    fn exchange(
        &self,
        redactor: &Redactor,
        seen: &mut Seen,
        (request, answer): (Sent, Option<Sent>),
        line: Option<Line>,
    ) -> anyhow::Result<()> {
        let (inference_id, custom_attributes) = match line {
            Some(line) => (line.inference_id, line.custom_attributes.map(|all| all.join(","))),
            None => (self.inference_id.clone(), self.custom_attributes.clone()),
        };
        let inference_id = inference_id.map(|id| InferenceId::parse(&id)).transpose().context("the inference id")?;
        let (content_type, body) = request;
        let invocation = Invocation {
            event_id: EventId::from_bytes([0; 16]),
            arrived_at: Clock::system().now(),
            consumer: Consumer::anonymous(),
            caller: Caller::default(),
            endpoint: self.endpoint.clone(),
            target_variant: None,
            inference_id,
            request: ModelRequest {
                body,
                content_type: content_type.map(String::into),
                custom_attributes: custom_attributes.map(String::into),
                ..ModelRequest::default()
            },
        };
        let (answer_content_type, answer) = answer.unwrap_or_default();
        let (outcome, steps) = redactor.dry_run(&Exchange {
            invocation: &invocation,
            answer: &answer,
            answer_content_type: answer_content_type.as_deref(),
            is_answered: true,
            is_answer_cut: false,
            keeps_request: true,
            keeps_answer: true,
        });
        seen.meet(steps, [("input", outcome.request), ("output", outcome.answer)]);
        let kept = outcome.kept;
        let text = |body: &Bytes| String::from_utf8_lossy(body).into_owned();
        seen.first.get_or_insert_with(|| {
            json!({
                "input": text(&kept.request),
                "output": text(&kept.answer),
                "customAttributes": kept.custom_attributes.as_deref(),
                "inferenceId": kept.inference_id.as_ref().map(InferenceId::as_str),
            })
        });
        Ok(())
    }
}

impl Seen {
    fn meet(&mut self, steps: Vec<Step>, withheld: [(&str, Option<Failed>); 2]) {
        self.records += 1;
        for step in steps {
            let rule = (step.side.to_owned(), step.rule, step.action.to_string());
            let (count, shown) = self.rules.entry(rule).or_default();
            *count += 1;
            if shown.len() < SHOWN_MAX {
                shown.push((step.before, step.after));
            }
        }
        for (side, failed) in withheld {
            if let Some(failed) = failed {
                *self.withheld.entry(format!("{side}: {failed}")).or_default() += 1;
            }
        }
    }

    fn tell(&self, id: &str, as_json: bool) {
        if as_json {
            let rules = self.rules.iter().map(|((side, rule, action), (count, shown))| {
                let shown: Vec<_> =
                    shown.iter().map(|(before, after)| json!({ "before": before, "after": after })).collect();
                json!({ "side": side, "rule": rule, "action": action, "values": count, "shown": shown })
            });
            let told = json!({
                "redactionPolicy": id,
                "records": self.records,
                "rules": rules.collect::<Vec<_>>(),
                "withheld": self.withheld,
                "first": self.first,
            });
            say(&told.to_string());
            return;
        }
        let mut rows = table(&["SIDE", "RULE", "ACTION", "VALUES", "TRAVELS", "IS STORED"]);
        for ((side, rule, action), (count, shown)) in &self.rules {
            for (at, (before, after)) in shown.iter().enumerate() {
                let first = |text: &str| if at == 0 { text.to_owned() } else { String::new() };
                let after = if after.is_empty() { "(nothing)".to_owned() } else { short(after) };
                rows.add_row([
                    first(side),
                    first(rule),
                    first(action),
                    first(&count.to_string()),
                    short(before),
                    after,
                ]);
            }
        }
        say(&rows.to_string());
        for (why, count) in &self.withheld {
            say(&format!("NOT KEPT  {why} ({count} of {})", self.records));
        }
        if let Some(first) = &self.first {
            for (name, kept) in first.as_object().into_iter().flatten() {
                say(&format!("stored {name}: {}", kept.as_str().unwrap_or("(nothing)").trim_end()));
            }
        }
        say(&format!("rules {id}, {} exchanges looked at; pseudonyms and keys are made up for this run", self.records));
    }
}

fn short(text: &str) -> String {
    if text.chars().count() <= SHOWN_CHARACTERS_MAX {
        return text.to_owned();
    }
    let start: String = text.chars().take(SHOWN_CHARACTERS_MAX).collect();
    format!("{start}…")
}

fn signature(inputs: &[String], outputs: &[String]) -> Option<Signature> {
    let fields = |names: &[String]| -> Vec<Field> {
        let field = |name: &String| Field { name: name.clone(), kind: FieldType::String, shape: Vec::new() };
        names.iter().map(field).collect()
    };
    let known = !inputs.is_empty() || !outputs.is_empty();
    known.then(|| Signature { inputs: fields(inputs), outputs: fields(outputs) })
}

fn body(path: Option<&std::path::Path>) -> anyhow::Result<Bytes> {
    let Some(path) = path else { bail!("give --body FILE (`-` for stdin) or --captures URI") };
    if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).context("stdin")?;
        return Ok(bytes.into());
    }
    Ok(std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?.into())
}
