//! Every setting of the server, in one typed file, each documented once.
//!
//! Invariant: a key that nobody knows is refused with the file, the line and the nearest known key, because a setting
//! that silently does nothing is worse than an error. Command-line options win over the file.
//! Refuses to: be spread over the environment.

pub(crate) mod auth;
mod processing;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use captura_archive::StoreMapping;
use captura_backends::container::{Capability, ContainerSettings, Pull};
use captura_backends::remote::RemoteHost;
use captura_control::{CaptureGuarantee, Guarantees};
use captura_privacy::RuleSet;
use captura_route::{Durability, WhenUnavailable};
use serde::Deserialize;

use crate::images::ImageLine;
use crate::tables::{self, Table};
use crate::units::{Size, Span, listen_address, some_bytes};

pub(crate) use auth::{Auth, AuthMode, ClientAuth, MetricsAccess, Tls};
pub(crate) use processing::Processing;

/// `captura.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) server: Server,
    pub(crate) auth: Auth,
    /// Absent: connections are not encrypted.
    pub(crate) tls: Option<Tls>,
    pub(crate) aws: Aws,
    pub(crate) limits: Limits,
    pub(crate) capture: Capture,
    pub(crate) models: Models,
    pub(crate) cloudwatch: Cloudwatch,
    pub(crate) logs: Logs,
    pub(crate) scaling: Scaling,
    pub(crate) serverless: Serverless,
    /// `[[notices]]`: webhooks that are told of events and alarms.
    pub(crate) notices: Vec<Notice>,
    /// `[[consumers]]`: who calls, and whose credentials are theirs.
    pub(crate) consumers: Vec<auth::Consumer>,
    pub(crate) docker: Docker,
    pub(crate) processing: Processing,
    /// `[[tables]]`: captured calls as columns.
    #[serde(deserialize_with = "tables::tables")]
    pub(crate) tables: Vec<Table>,
    /// `[[privacy]]`: what is kept of personal data, and for how long; the first table whose endpoints fit is taken.
    pub(crate) privacy: Vec<RuleSet>,
    pub(crate) vault: Vault,
    /// Buckets that live elsewhere than in the server's own folder, by bucket name.
    pub(crate) stores: BTreeMap<String, StoreMapping>,
}

/// `[server]`: where it listens and keeps its data.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Server {
    /// Address and port; port 0 picks a free one.
    #[serde(deserialize_with = "listen_address")]
    pub(crate) listen: SocketAddr,
    /// Catalog, journal and local buckets live here.
    pub(crate) data_dir: PathBuf,
    /// Host names by which clients may address the server, besides loopback names and the listen address.
    pub(crate) allowed_hosts: Vec<String>,
    /// How long a start waits for models that were in service before the door opens without them.
    pub(crate) start_patience: Span,
    /// How long in-flight calls may take to finish after SIGTERM.
    pub(crate) shutdown_deadline: Span,
    /// Where connections may come without encryption.
    pub(crate) plaintext: Plaintext,
}

/// Where connections may come without encryption.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Plaintext {
    /// From this machine only.
    #[default]
    Loopback,
    /// From anywhere: something in between encrypts, or nobody listens in.
    Allowed,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            data_dir: PathBuf::from("./captura-data"),
            allowed_hosts: Vec::new(),
            start_patience: Span(captura_control::Settings::DEFAULT_RECOVERY_TIMEOUT),
            shutdown_deadline: Span(Duration::from_secs(30)),
            plaintext: Plaintext::Loopback,
        }
    }
}

/// `[aws]`: what stands in ARNs.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Aws {
    /// Account, twelve digits.
    #[serde(deserialize_with = "twelve_digits")]
    pub(crate) account: String,
    /// Region of requests that name none.
    #[serde(deserialize_with = "not_empty")]
    pub(crate) region: String,
}

impl Default for Aws {
    fn default() -> Self {
        Self { account: "000000000000".into(), region: "us-east-1".into() }
    }
}

/// `[limits]`: how much a caller may ask for.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    /// Largest request body; SageMaker's own limit is the default.
    #[serde(deserialize_with = "some_bytes")]
    pub(crate) body_max: Size,
    /// Largest answer of a model outside this process that is read in one piece; SageMaker's own limit is the default.
    #[serde(deserialize_with = "some_bytes")]
    pub(crate) answer_max: Size,
    /// Memory for everything that comes from outside: bodies, answers, records on their way to the disk, uploads.
    #[serde(deserialize_with = "some_bytes")]
    pub(crate) memory_budget: Size,
    /// Calls at work in one variant; further ones are refused at once.
    pub(crate) max_concurrent_invocations_per_variant: u32,
    /// Open connections.
    pub(crate) max_connections: usize,
    /// Time in which a model must answer.
    pub(crate) model_timeout: Span,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_max: Size(6 * 1024 * 1024),
            answer_max: Size(6 * 1024 * 1024),
            memory_budget: Size(256 * 1024 * 1024),
            max_concurrent_invocations_per_variant: 1024,
            max_connections: 10_000,
            model_timeout: Span(Duration::from_secs(60)),
        }
    }
}

/// `[capture]`: how the log is kept.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Capture {
    /// A journal segment is sealed when its first record is this old.
    pub(crate) seal_after: Span,
    /// A journal segment is sealed at this size, 64 KiB at least.
    #[serde(deserialize_with = "segment_size")]
    pub(crate) seal_bytes: Size,
    /// Longest time between a record and its fdatasync in mode `ack-after-write`.
    pub(crate) sync_interval: Span,
    /// The journal stops growing here; further records are dropped or refused as `spool_full`.
    pub(crate) spool_max: Size,
    /// What gives way when the journal has reached that size: `stop`, further records; `evict_oldest`, the oldest records
    /// of destinations that fail, counted as `evicted`.
    pub(crate) on_full: OnFull,
    /// Records stop when the disk has less than this left.
    pub(crate) disk_min_free: Size,
    /// Records also stop while so much of the disk is used, percent, unless 5 GiB are free.
    #[serde(deserialize_with = "percent")]
    pub(crate) disk_stop_percent: u8,
    /// From here on the disk is reported as getting full, percent.
    #[serde(deserialize_with = "percent")]
    pub(crate) disk_alarm_percent: u8,
    /// How long a destination fails before segments that others share are let go without its records, which stay in the
    /// journal as parts of their own.
    pub(crate) carry_after: Span,
    /// Whether captured records carry captura's own key after SageMaker's.
    pub(crate) extension: bool,
    /// When a reply may leave: `ack-after-fsync`, `ack-after-write` (the default) or `best-effort`. The tag
    /// `captura:durability` of an endpoint configuration wins.
    pub(crate) durability: Option<Durability>,
    /// What happens to a call whose record cannot be kept: `refuse` (the default with `ack-after-fsync`) or `serve`. The tag
    /// `captura:when-unavailable` wins.
    pub(crate) when_unavailable: Option<WhenUnavailable>,
    /// `[[capture.endpoints]]`: the same for endpoints of some names; the first that fits decides.
    pub(crate) endpoints: Vec<CaptureRule>,
}

/// `[[capture.endpoints]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CaptureRule {
    /// Pattern of endpoint names, e.g. `audit-*`.
    pub(crate) names: String,
    pub(crate) durability: Option<Durability>,
    pub(crate) when_unavailable: Option<WhenUnavailable>,
}

impl Capture {
    /// How surely captures are kept where tags do not say.
    pub(crate) fn guarantees(&self) -> Guarantees {
        let rule = |rule: &CaptureRule| {
            let said = CaptureGuarantee { durability: rule.durability, when_unavailable: rule.when_unavailable };
            (rule.names.clone(), said)
        };
        Guarantees {
            rules: self.endpoints.iter().map(rule).collect(),
            default: CaptureGuarantee { durability: self.durability, when_unavailable: self.when_unavailable },
        }
    }
}

impl Default for Capture {
    fn default() -> Self {
        Self {
            seal_after: Span(Duration::from_secs(60)),
            seal_bytes: Size(64 * 1024 * 1024),
            sync_interval: Span(Duration::from_millis(100)),
            spool_max: Size(8 * 1024 * 1024 * 1024),
            on_full: OnFull::Stop,
            disk_min_free: Size(1024 * 1024 * 1024),
            disk_stop_percent: 85,
            disk_alarm_percent: 75,
            carry_after: Span(captura_archive::uploader::CARRY_AFTER),
            extension: true,
            durability: None,
            when_unavailable: None,
            endpoints: Vec::new(),
        }
    }
}

/// What gives way when the journal is full.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnFull {
    /// Further records, by the answer that their endpoint chose: refused or served and counted.
    #[default]
    Stop,
    /// The oldest records of destinations that fail.
    EvictOldest,
}

/// `[cloudwatch]`: metrics and alarms.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Cloudwatch {
    /// How often the metrics of endpoints are published. Below a minute they are kept by the second for three hours, and
    /// alarms with periods of 10, 20 and 30 seconds see them.
    #[serde(deserialize_with = "at_least_a_second")]
    pub(crate) publish_every: Span,
    /// Memory of all metrics; beyond it the oldest go.
    pub(crate) memory_max: Size,
    /// Metrics, each with its dimensions; beyond them those go that were silent for longest.
    pub(crate) metrics_max: usize,
    /// How often metrics are written down; a kill loses those since.
    #[serde(deserialize_with = "at_least_a_second")]
    pub(crate) flush_every: Span,
}

impl Default for Cloudwatch {
    fn default() -> Self {
        Self {
            publish_every: Span(Duration::from_secs(60)),
            memory_max: Size(256 * 1024 * 1024),
            metrics_max: 10_000,
            flush_every: Span(Duration::from_secs(5)),
        }
    }
}

/// `[logs]`: what models say.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Logs {
    /// A log stream keeps its latest words: at least this much of them, and at most twice as much.
    pub(crate) stream_max: Size,
}

impl Default for Logs {
    fn default() -> Self {
        Self { stream_max: Size(captura_logs::Settings::DEFAULT_GENERATION_MAX_BYTES) }
    }
}

/// `[serverless]`: variants whose models come with the calls.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Serverless {
    /// A variant that nobody called for so long gives its model up, and loads it with the next call, which waits. One with
    /// ProvisionedConcurrency keeps it.
    #[serde(deserialize_with = "at_least_a_second")]
    pub(crate) idle_after: Span,
}

impl Default for Serverless {
    fn default() -> Self {
        Self { idle_after: Span(captura_control::Settings::DEFAULT_SERVERLESS_IDLE_AFTER) }
    }
}

/// `[scaling]`: how the number of instances follows the load.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Scaling {
    /// The period in which load is measured: three busy ones scale out, fifteen quiet ones scale in. AWS's is a minute; a
    /// shorter one needs `[cloudwatch] publish_every` to be at most as long.
    #[serde(deserialize_with = "metric_period")]
    pub(crate) period: Span,
}

impl Default for Scaling {
    fn default() -> Self {
        Self { period: Span(captura_scaling::Settings::DEFAULT_PERIOD) }
    }
}

/// A webhook.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Notice {
    /// Where notices are posted, `http://…` or `https://…`.
    pub(crate) url: String,
    /// Patterns of topic ARNs and event sources that go there, e.g. `arn:aws:sns:*:alerts`, `aws.sagemaker`; all when absent.
    #[serde(default)]
    pub(crate) topics: Vec<String>,
    /// File of a secret; each notice then carries `x-captura-signature: sha256=<HMAC of the body>`.
    pub(crate) secret_file: Option<PathBuf>,
}

/// `[models]`: what runs a model.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Models {
    /// Image globs to backends, tried before the built-in ones.
    pub(crate) images: Vec<ImageLine>,
    /// Path of `libonnxruntime.so`.
    pub(crate) onnx_library: Option<PathBuf>,
    /// Whether models may name files of this machine (`file://…`); on by default for loopback listeners.
    pub(crate) allow_file_urls: Option<bool>,
    /// Hosts that models may name by URL as their image (`captura deploy NAME https://…`): `name`, `name:port`, or
    /// `*.domain` for everything below a domain that has a public address.
    #[serde(deserialize_with = "remote_hosts")]
    pub(crate) remote_hosts: Vec<RemoteHost>,
    /// Most models of a multi-model endpoint that one instance has loaded at the same time; 1,000 when nothing is said.
    /// What was used least recently makes room.
    #[serde(deserialize_with = "some_models")]
    pub(crate) loaded_max: Option<usize>,
    /// Folders of models that run as processes; every user must be able to pass through to it.
    pub(crate) process_dir: Option<PathBuf>,
}

/// `[vault]`: where the secret of pseudonyms and sealed values is.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Vault {
    /// File of the master key, mode 0600; made where there is none. `DATA_DIR/privacy/master.key` when nothing is said.
    pub(crate) master_key: Option<PathBuf>,
    /// A key management service that seals the master key instead of the file.
    pub(crate) kms: Option<Kms>,
}

/// `[vault.kms]`: a service that speaks AWS KMS's protocol.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kms {
    /// Key that seals: an id, an ARN or an alias.
    pub(crate) key_id: String,
    /// Region of the key; that of the environment when nothing is said.
    pub(crate) region: Option<String>,
    /// URL of the service; AWS's in the region when nothing is said.
    pub(crate) endpoint: Option<String>,
}

/// `[docker]`: models as containers.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Docker {
    /// The unix socket of Docker's API.
    pub(crate) socket: Option<PathBuf>,
    /// When an image is pulled from its registry: `missing`, `always` or `never`.
    pub(crate) pull: Pull,
    /// Memory of one container.
    pub(crate) memory_max: Option<Size>,
    /// Processors of one container; all when nothing is said.
    pub(crate) cpus: Option<f64>,
    /// Processes and threads of one container.
    pub(crate) pids_max: Option<u32>,
    /// Folders that are empty, in memory and writable; a relative one lies in the image's working folder.
    pub(crate) scratch: Option<Vec<String>>,
    /// Size of each of those.
    pub(crate) scratch_max: Option<Size>,
    /// Folders of the image that each container gets a writable copy of.
    pub(crate) writable: Option<Vec<String>>,
    /// What root may do in a container beyond nothing, such as `SETUID` and `SETGID` for servers that change their user.
    pub(crate) capabilities: Vec<Capability>,
}

impl Docker {
    /// Said or not, for the containers of the server with this data directory.
    pub(crate) fn settings(&self, owner: String) -> ContainerSettings {
        let defaults = ContainerSettings::default();
        ContainerSettings {
            socket: self.socket.clone().unwrap_or(defaults.socket),
            pull: self.pull,
            memory_max_bytes: self.memory_max.as_ref().map_or(defaults.memory_max_bytes, |size| size.0),
            cpus: self.cpus,
            pids_max: self.pids_max.unwrap_or(defaults.pids_max),
            scratch: self.scratch.clone().unwrap_or(defaults.scratch),
            scratch_max_bytes: self.scratch_max.as_ref().map_or(defaults.scratch_max_bytes, |size| size.0),
            writable: self.writable.clone().unwrap_or(defaults.writable),
            capabilities: self.capabilities.clone(),
            owner,
        }
    }
}

/// The project's cache folder: `$XDG_CACHE_HOME/captura`, else `~/.cache/captura`.
#[expect(clippy::disallowed_methods, reason = "the environment enters here")]
pub(crate) fn cache_dir() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    base.unwrap_or_else(std::env::temp_dir).join("captura")
}

/// `ORT_DYLIB_PATH`, the variable by which programs are told where ONNX Runtime is.
#[expect(clippy::disallowed_methods, reason = "the environment enters here")]
pub(crate) fn onnx_library_of_environment() -> Option<PathBuf> {
    std::env::var_os("ORT_DYLIB_PATH").filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// A variable of the environment that is set and not empty.
#[expect(clippy::disallowed_methods, reason = "the environment enters here")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Breaks the promise that `CAPTURA_SABOTAGE` names, in builds that can.
#[cfg(feature = "sabotage")]
pub(crate) fn sabotage() -> anyhow::Result<()> {
    let Some(name) = variable("CAPTURA_SABOTAGE") else { return Ok(()) };
    captura_capture::sabotage::choose(&name).map_err(anyhow::Error::msg)?;
    tracing::error!(sabotage = name, "THIS BUILD BREAKS ITS PROMISES ON PURPOSE");
    Ok(())
}

/// Where models that run as processes have their folders: beside the cache, and where users of their own reach it when
/// this is root.
pub(crate) fn process_dir() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        PathBuf::from("/var/lib/captura/processes")
    } else {
        cache_dir().join("processes")
    }
}

/// What models' processes get of this environment: how programs are found and what language they speak, nothing else.
#[expect(clippy::disallowed_methods, reason = "the environment enters here")]
pub(crate) fn process_environment() -> BTreeMap<String, String> {
    const PASSED_ON: [&str; 4] = ["PATH", "LANG", "LC_ALL", "TZ"];
    let value = |name: &str| std::env::var(name).ok().map(|value| (name.to_owned(), value));
    PASSED_ON.into_iter().filter_map(value).collect()
}

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadConfigError {
    #[error("cannot read {path}: {source}", path = path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}:{line}: {message}", path = path.display())]
    Parse { path: PathBuf, line: usize, message: String },
}

impl Config {
    /// Reads `path`; without one, `captura.toml` in the working folder if it is there, else the defaults.
    pub(crate) fn read(path: Option<&Path>) -> Result<Self, ReadConfigError> {
        let default_path = Path::new("captura.toml");
        let path = match path {
            Some(path) => path,
            None if default_path.exists() => default_path,
            None => return Ok(Self::default()),
        };
        let text =
            std::fs::read_to_string(path).map_err(|source| ReadConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, ReadConfigError> {
        toml::from_str(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            let line = text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1;
            // The key only: values may be secrets.
            let key = text.lines().nth(line - 1).and_then(|found| found.split_once('=')).map(|(key, _)| key.trim());
            let message = match (explain(error.message()), key) {
                (message, Some(key)) if !message.starts_with("unknown key") => format!("{key}: {message}"),
                (message, _) => message,
            };
            ReadConfigError::Parse { path: path.to_owned(), line, message }
        })
    }
}

fn some_models<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<usize>, D::Error> {
    match usize::deserialize(deserializer)? {
        0 => Err(serde::de::Error::custom("a multi-model endpoint must be able to load one model at least")),
        models => Ok(Some(models)),
    }
}

fn at_least_a_second<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
    let span = Span::deserialize(deserializer)?;
    if span.0 >= Duration::from_secs(1) {
        return Ok(span);
    }
    Err(serde::de::Error::custom("it must be a second at least"))
}

/// A period in which CloudWatch puts points together.
fn metric_period<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
    let span = Span::deserialize(deserializer)?;
    let seconds = span.0.as_secs();
    if span.0.subsec_nanos() == 0 && (matches!(seconds, 1 | 5 | 10 | 20 | 30) || (seconds > 0 && seconds % 60 == 0)) {
        return Ok(span);
    }
    Err(serde::de::Error::custom("it must be 1s, 5s, 10s, 20s, 30s or whole minutes"))
}

/// A size of journal segments with which the journal can work.
fn segment_size<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Size, D::Error> {
    const SEGMENT_MIN_BYTES: u64 = 64 << 10;
    let size = Size::deserialize(deserializer)?;
    if size.0 >= SEGMENT_MIN_BYTES {
        return Ok(size);
    }
    Err(serde::de::Error::custom("it must be 64KiB at least"))
}

fn percent<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    let percent = u8::deserialize(deserializer)?;
    if (1..=100).contains(&percent) { Ok(percent) } else { Err(serde::de::Error::custom("it must be from 1 to 100")) }
}

fn not_empty<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if !text.is_empty() {
        return Ok(text);
    }
    Err(serde::de::Error::custom("it cannot be empty"))
}

fn twelve_digits<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(text);
    }
    Err(serde::de::Error::custom(format!("{text:?} is no account; an account has twelve digits")))
}

fn remote_hosts<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<RemoteHost>, D::Error> {
    let hosts = Vec::<String>::deserialize(deserializer)?;
    hosts.iter().map(|host| host.parse().map_err(serde::de::Error::custom)).collect()
}

/// Turns the deserialiser's "unknown field `x`, expected one of `a`, `b`" into the nearest key first.
fn explain(message: &str) -> String {
    let Some(rest) = message.strip_prefix("unknown field ") else { return message.to_owned() };
    let mut words = rest.split('`').skip(1).step_by(2);
    let Some(unknown) = words.next() else { return message.to_owned() };
    let known: Vec<&str> = words.collect();
    match known.iter().min_by_key(|candidate| edit_distance(unknown, candidate)) {
        Some(nearest) => {
            format!("unknown key `{unknown}`; the nearest known key is `{nearest}` (known here: {})", known.join(", "))
        }
        None => format!("unknown key `{unknown}`; no keys are known here"),
    }
}

/// Levenshtein distance, two rows at a time.
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Config::parse(text, Path::new("captura.toml")).unwrap_err().to_string()
    }

    #[test]
    fn an_unknown_key_names_file_line_key_and_the_nearest_known_key() {
        let message = error("[server]\nlisten = \"127.0.0.1:0\"\n\n[capture]\nseal_byte = \"1MiB\"\n");
        assert!(
            message.starts_with("captura.toml:5: unknown key `seal_byte`; the nearest known key is `seal_bytes`"),
            "{message}"
        );
        let section = error("[captur]\n");
        assert!(section.contains("captura.toml:1") && section.contains("`capture`"), "{section}");
    }

    #[test]
    fn a_wrong_value_names_file_and_line() {
        let message = error("[capture]\nseal_after = \"soon\"\n");
        assert!(message.starts_with("captura.toml:2: "), "{message}");
        assert!(message.contains("\"soon\""), "{message}");
    }

    #[test]
    fn what_would_only_fail_later_is_refused_at_the_start() {
        assert_eq!(
            error("[aws]\naccount = \"12\"\n"),
            "captura.toml:2: account: \"12\" is no account; an account has twelve digits"
        );
        let listen = error("[server]\nlisten = \"nowhere\"\n");
        assert_eq!(
            listen,
            "captura.toml:2: listen: \"nowhere\" is no address with a port; write \"127.0.0.1:8080\" for this machine only \
             or \"0.0.0.0:8080\""
        );
        for (host, example) in [("localhost", "127.0.0.1:8080"), ("10.0.0.1", "10.0.0.1:8080"), ("::1", "[::1]:8080")] {
            let listen = error(&format!("[server]\nlisten = \"{host}\"\n"));
            assert!(listen.ends_with(&format!("is no address with a port; write \"{example}\"")), "{listen}");
        }
        assert_eq!(crate::units::address("localhost:0"), Ok(SocketAddr::from(([127, 0, 0, 1], 0))));
        for key in ["body_max", "answer_max", "memory_budget"] {
            let none = error(&format!("[limits]\n{key} = \"0\"\n"));
            assert_eq!(none, format!("captura.toml:2: {key}: with 0 bytes nothing could be asked or answered"));
        }
        assert!(error("[models]\nloaded_max = 0\n").contains("loaded_max: a multi-model endpoint"));
        let often = error("[cloudwatch]\npublish_every = \"10ms\"\n");
        assert_eq!(often, "captura.toml:2: publish_every: it must be a second at least");
        let segment = error("[capture]\nseal_bytes = \"0\"\n");
        assert_eq!(segment, "captura.toml:2: seal_bytes: it must be 64KiB at least");
        assert_eq!(error("[aws]\nregion = \"\"\n"), "captura.toml:2: region: it cannot be empty");
        let notice = error("[[notices]]\nurl = \"http://h/\"\ntopic = \"x\"\n");
        assert!(
            notice.starts_with("captura.toml:3: unknown key `topic`; the nearest known key is `topics`"),
            "{notice}"
        );
        let privacy = error("[[privacy]]\nendpoints = [\"*\"]\notherwize = \"drop\"\n");
        assert!(
            privacy.starts_with("captura.toml:3: unknown key `otherwize`; the nearest known key is `otherwise`"),
            "{privacy}"
        );
        let rule = error("[[privacy]]\nendpoints = [\"*\"]\ninput = [{ columns = [0], acton = \"drop\" }]\n");
        assert!(rule.contains("unknown key `acton`; the nearest known key is `action`"), "{rule}");
        let subject = error("[[privacy]]\nendpoints = [\"*\"]\ninput_body = \"encrypt\"\n");
        assert!(subject.contains("encrypt needs `subject`"), "{subject}");
        let store = error("[stores.captures]\nurl = \"ftp://host/x\"\n");
        assert!(store.starts_with("captura.toml:2: url: \"ftp://host/x\" is no folder"), "{store}");
        let relative = error("[stores.captures]\nurl = \"srv/x\"\n");
        assert!(relative.contains("is no folder (/…, file://…) and no s3://"), "{relative}");
    }

    #[test]
    fn tables_are_understood_and_never_in_each_other() {
        let config = Config::parse("[[tables]]\nto = \"s3://lake/captura\"\n", Path::new("captura.toml")).unwrap();
        let plan = config.tables[0].plan();
        assert!(plan.bodies && plan.rows && config.tables[0].compact);
        assert!(plan.covers(&captura_names::EndpointName::parse("any").unwrap()));
        let misspelt = error("[[tables]]\nto = \"s3://lake/x\"\nendpoint = [\"a\"]\n");
        assert!(misspelt.starts_with("captura.toml:3: unknown key `endpoint`; the nearest known key is `endpoints`"));
        let pattern = error("[[tables]]\nto = \"s3://lake/x\"\nendpoints = [\"a_b\"]\n");
        assert!(pattern.contains("\"a_b\" fits no endpoint"), "{pattern}");
        let nested = error("[[tables]]\nto = \"s3://lake/x\"\n[[tables]]\nto = \"s3://lake/x/y\"\n");
        assert!(nested.contains("s3://lake/x and s3://lake/x/y are in each other"), "{nested}");
        assert!(error("[[tables]]\nto = \"lake\"\n").starts_with("captura.toml:2: to: "));
    }

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let config = Config::parse("", Path::new("captura.toml")).unwrap();
        assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.limits.body_max.0, 6 * 1024 * 1024);
        assert_eq!(config.capture.seal_after.0, Duration::from_secs(60));
        assert_eq!(config.aws.account, "000000000000");
        assert_eq!(config.auth.mode, AuthMode::Open);
    }

    #[test]
    fn a_full_file_is_understood() {
        let text = r#"
            [server]
            listen = "127.0.0.1:0"
            data_dir = "/var/lib/captura"
            allowed_hosts = ["models.internal"]
            shutdown_deadline = "10s"
            [capture]
            seal_after = "500ms"
            seal_bytes = "1MiB"
            extension = false
            durability = "best-effort"
            [[capture.endpoints]]
            names = "audit-*"
            durability = "ack-after-fsync"
            [[models.images]]
            image = "mycompany/*"
            backend = "trees"
            [docker]
            pull = "never"
            memory_max = "1GiB"
            capabilities = ["SETUID", "SETGID"]
            [stores.captures]
            url = "s3://real-bucket/captures"
            options = { endpoint = "http://127.0.0.1:9000" }
        "#;
        let config = Config::parse(text, Path::new("captura.toml")).unwrap();
        assert_eq!(config.capture.seal_bytes.0, 1024 * 1024);
        let audit = captura_names::EndpointName::parse("audit-1").unwrap();
        let guarantee = config.capture.guarantees().of(&audit, CaptureGuarantee::default());
        assert_eq!(guarantee, (Durability::AckAfterFsync, WhenUnavailable::Refuse));
        assert_eq!(config.models.images[0].0.backend, captura_backends::BackendKind::Trees);
        let containers = config.docker.settings("/srv/data".into());
        assert_eq!((containers.memory_max_bytes, containers.capabilities.len()), (1 << 30, 2));
        assert_eq!(containers.socket, Path::new("/var/run/docker.sock"));
        assert_eq!(config.stores["captures"].options["endpoint"], "http://127.0.0.1:9000");
    }

    #[test]
    fn callers_are_understood() {
        let text = r#"
            [tls]
            certificate = "c"
            key = "k"
            client_ca = "ca"
            client_auth = "required"
            [auth]
            mode = "sigv4"
            [auth.api_keys]
            [auth.proxy]
            addresses = ["10.0.0.0/8"]
            consumer_header = "X-Forwarded-User"
            [[auth.jwt]]
            issuer = "https://login.example/"
            audience = ["captura"]
            jwks = "keys.json"
            rules = [{ scope = "admin", allow = ["*"] }]
            [[consumers]]
            name = "billing"
            match = ["jwt:https://login.example/#svc-billing"]
            contact = "billing@acme.example"
        "#;
        let config = Config::parse(text, Path::new("captura.toml")).unwrap();
        assert_eq!(config.auth.api_keys.unwrap().header, "x-api-key");
        assert_eq!(config.auth.proxy.unwrap().consumer_header.as_deref(), Some("x-forwarded-user"));
        assert_eq!((config.auth.jwt[0].consumer_claim.as_str(), config.auth.jwt[0].rules.len()), ("sub", 1));
        assert_eq!(config.consumers[0].principals.len(), 1);
        let proxy = error("[auth.proxy]\naddresses = [\"everywhere\"]\n");
        assert!(proxy.starts_with("captura.toml:2: addresses: \"everywhere\" is no address"), "{proxy}");
        let header = error("[auth.api_keys]\nheader = \"Authorization\"\n");
        assert!(header.contains("is no header that can carry this"), "{header}");
        let rule = error("[auth.certificates]\nallow = [\"everything\"]\n");
        assert!(rule.contains("is no OPERATION[:RESOURCE]"), "{rule}");
    }
}
