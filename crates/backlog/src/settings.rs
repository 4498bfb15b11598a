//! Limits of the queue, and the ways out of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use captura_names::{EndpointName, S3Uri};
use captura_route::{Deferred, Served};
use captura_tasks::Tasks;
use futures_core::future::BoxFuture;
use object_store::ObjectStore;
use object_store::path::Path;
use serde_json::Value;

/// Settings of one queue. Every limit stands here.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Folder of the queue; made when it is missing.
    pub dir: PathBuf,
    /// Account that notices name, twelve digits.
    pub account: String,
    /// Most calls in the queue.
    pub entries_max: usize,
    /// Most bytes in the queue, payloads that came with their calls included.
    pub bytes_max: u64,
    /// Largest payload that is read from a store, bytes.
    pub input_max_bytes: u64,
    /// Most bytes of payloads in memory at a time; a larger payload than this is read alone.
    pub memory_max_bytes: u64,
    /// Most calls under way at a time, over all endpoints.
    pub running_max: usize,
    /// How often a call is begun that ended with the model's or the server's death each time.
    pub starts_max: u32,
    /// How long calls of an endpoint wait that was served and is gone.
    pub gone_after: Duration,
    /// How long calls wait after a start for an endpoint that this server has not seen yet: its models may still load.
    pub unseen_after: Duration,
    /// Pause before a call is tried again that could not be served, at first; it doubles with each attempt.
    pub pause_min: Duration,
    /// Longest such pause.
    pub pause_max: Duration,
    /// Begins the work again when it panics.
    pub tasks: Tasks,
}

impl Settings {
    /// The defaults, in a folder.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, account: impl Into<String>) -> Self {
        Self {
            dir: dir.into(),
            account: account.into(),
            entries_max: 100_000,
            bytes_max: 1 << 30,
            input_max_bytes: 1 << 30,
            memory_max_bytes: 512 << 20,
            running_max: 256,
            starts_max: 5,
            gone_after: Duration::from_secs(5),
            unseen_after: Duration::from_secs(15 * 60),
            pause_min: Duration::from_millis(500),
            pause_max: Duration::from_secs(30),
            tasks: Tasks::default(),
        }
    }
}

/// What a store is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Nothing comes into being.
    Read,
    /// A local bucket comes into being.
    Write,
}

/// How many calls of an endpoint may run at a time; nothing when it is not served.
pub type Lanes = Arc<dyn Fn(&EndpointName) -> Option<usize> + Send + Sync>;
/// Runs a call once.
pub type Run = Arc<dyn Fn(Arc<Deferred>, Bytes) -> BoxFuture<'static, Served> + Send + Sync>;
/// The store of an address, with a key for its encryption, and the place in it.
pub type Resolve = Arc<dyn Fn(&S3Uri, Option<&str>, Use) -> Result<(Arc<dyn ObjectStore>, Path), String> + Send + Sync>;
/// Takes a notice for a topic; done when it outlives this process. Refusals in words.
pub type Notify = Arc<dyn Fn(&str, Value) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// The ways out of the queue.
#[derive(Clone)]
pub struct Doors {
    /// To the models.
    pub lanes: Lanes,
    /// To the models.
    pub run: Run,
    /// To payloads and answers.
    pub resolve: Resolve,
    /// To whoever delivers notices.
    pub notify: Notify,
}
