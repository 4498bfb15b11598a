//! What the gateway can be told: every limit of the front door, by name, with its default.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use captura_names::EndpointName;
use captura_route::{Deferred, MemoryBudget, Redaction, Signature};
use captura_tasks::Tasks;
use captura_wire::sigv4::Verifier;
use futures_core::future::BoxFuture;
use http_body_util::combinators::UnsyncBoxBody;

use crate::tls::Tls;

/// Everything that is neither the runtime API nor `/ping` nor `/metrics`: the control plane and the rest, given by the
/// binary. Requests arrive whole, within the same limits as invocations.
pub type Door = Arc<dyn Fn(http::Request<Bytes>) -> BoxFuture<'static, http::Response<Bytes>> + Send + Sync>;

/// What goes wrong while a body that comes piece by piece is read or made.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A body that comes piece by piece.
pub type PiecewiseBody = UnsyncBoxBody<Bytes, BodyError>;

/// Everything that is signed for S3: objects are too large to be held, so bodies come and go piece by piece, and
/// no limit of the gateway's bounds their length, only the slowness of their caller.
pub type BucketDoor =
    Arc<dyn Fn(http::Request<PiecewiseBody>) -> BoxFuture<'static, http::Response<PiecewiseBody>> + Send + Sync>;

/// The ways out of the gateway to rooms that it does not know.
#[derive(Clone)]
pub struct Doors {
    /// To the control plane and the rest.
    pub other: Door,
    /// To the buckets; without one, requests for S3 go through the other door.
    pub buckets: Option<BucketDoor>,
}

/// To the queue of asynchronous invocations: keeps one, with its body, and says when it survives the server, or why it is
/// not kept.
pub type BacklogDoor = Arc<dyn Fn(Deferred, Bytes) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// The rules by which exchanges of an endpoint are redacted before they are kept, with what is known of its model's values;
/// none where it has none.
pub type Redactions = Arc<dyn Fn(&EndpointName, Option<&Signature>) -> Option<Arc<dyn Redaction>> + Send + Sync>;

/// Appends the metrics of other rooms to a scrape: OpenMetrics lines, without the closing `# EOF`.
pub type MoreMetrics = Arc<dyn Fn(&mut String) + Send + Sync>;

/// Limits and choices of the front door.
#[derive(Clone)]
pub struct Settings {
    /// Account that error texts name, twelve digits.
    pub account: String,
    /// Names under which this server may be addressed, without port; `*.` before a name stands for any one label or
    /// more. The address that it listens on is always allowed. A browser that was tricked into calling this server
    /// (DNS rebinding) uses another name.
    pub allowed_hosts: Vec<String>,
    /// Largest body of a request, bytes.
    pub body_max_bytes: u64,
    /// Largest head of a request, bytes: request line and headers. hyper adds a limit of its own of 100 headers.
    pub head_max_bytes: usize,
    /// Longest path and query, bytes.
    pub uri_max_bytes: usize,
    /// How long a head may take from its first byte, and a new connection from its start.
    pub head_timeout: Duration,
    /// How long a connection may stay open without a request.
    pub idle_timeout: Duration,
    /// Window in which a body that is still arriving must bring at least `body_window_min_bytes`.
    pub body_window: Duration,
    /// See `body_window`.
    pub body_window_min_bytes: u64,
    /// How long a caller may refuse to take its reply.
    pub write_stall_timeout: Duration,
    /// Most connections at one time; further ones get 503 and are closed.
    pub connections_max: usize,
    /// Memory for what comes from outside, in the whole process; bodies take their part before they are read.
    pub memory: MemoryBudget,
    /// Most calls in flight per variant.
    pub variant_concurrency_max: u32,
    /// How long a model may take; of an answer that comes piece by piece, until its first piece.
    pub model_timeout: Duration,
    /// How long a model may take between two pieces of its answer.
    pub stream_idle_timeout: Duration,
    /// How long an answer may take that comes piece by piece.
    pub stream_timeout: Duration,
    /// Most that is captured of an answer that comes piece by piece, bytes; the record of a longer one holds its begin
    /// and its size.
    pub stream_captured_max_bytes: u64,
    /// How long requests in flight may take once the server was asked to stop.
    pub drain_timeout: Duration,
    /// Keeps asynchronous invocations; without it they are refused.
    pub backlog: Option<BacklogDoor>,
    /// Rules of redaction; without them everything is kept as it travelled.
    pub redactions: Option<Redactions>,
    /// Metrics of other rooms.
    pub more_metrics: Option<MoreMetrics>,
    /// Who is asked whether a request may come in. Without one the door is open: any signature or none will do, and the
    /// access key id is the consumer.
    pub verifier: Option<Arc<dyn Verifier>>,
    /// Whether `/metrics` is answered without a signature where all else needs one.
    pub metrics_are_open: bool,
    /// Connections are encrypted with this; plain without.
    pub tls: Option<Tls>,
    /// Begins the listener again when it panics.
    pub tasks: Tasks,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            account: "000000000000".into(),
            allowed_hosts: ["localhost", "*.localhost", "127.0.0.1", "[::1]"].map(String::from).into(),
            body_max_bytes: 6 * 1024 * 1024,
            head_max_bytes: 64 * 1024,
            uri_max_bytes: 8 * 1024,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_window: Duration::from_secs(30),
            body_window_min_bytes: 30 * 1024,
            write_stall_timeout: Duration::from_secs(30),
            connections_max: 10_000,
            memory: MemoryBudget::new(MemoryBudget::DEFAULT_BYTES),
            variant_concurrency_max: 1_024,
            model_timeout: Duration::from_secs(60),
            stream_idle_timeout: Duration::from_secs(60),
            stream_timeout: Duration::from_secs(8 * 60),
            stream_captured_max_bytes: 6 * 1024 * 1024,
            drain_timeout: Duration::from_secs(30),
            backlog: None,
            redactions: None,
            more_metrics: None,
            verifier: None,
            metrics_are_open: false,
            tls: None,
            tasks: Tasks::default(),
        }
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("account", &self.account)
            .field("allowed_hosts", &self.allowed_hosts)
            .field("body_max_bytes", &self.body_max_bytes)
            .field("variant_concurrency_max", &self.variant_concurrency_max)
            .field("model_timeout", &self.model_timeout)
            .finish_non_exhaustive()
    }
}
