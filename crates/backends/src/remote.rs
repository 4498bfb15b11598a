//! Models behind servers that are there already: captura as a capturing gateway before any model server.
//!
//! Invariant: a URL comes from the operator's image table, or names a host that the operator has listed; it is compared
//! as it was parsed, never as text. A host that only a pattern lists is connected to at public addresses alone, checked
//! at every connection, as a name may point elsewhere the next time.
//! Refuses to: follow redirects, or send credentials of any kind.

mod host;
mod public;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use captura_route::Backend;

pub use self::host::{InvalidRemoteUrl, RemoteHost, RemoteUrl};
pub(crate) use self::public::is_public;
use crate::LoadError;
use crate::http_contract::{Address, AnswerLimits, ContractClient, ContractSettings, RemoteAddress};
use crate::replicas::{Instance, InstanceFactory, Pending};

/// Longest time in which a remote server must accept a connection, name look-up and TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a remote server is asked for its health, when the rule names a path for it.
const PING_PERIOD: Duration = Duration::from_secs(10);
/// While it does not answer at all.
const STARTUP_PING_PERIOD: Duration = Duration::from_millis(500);
/// So many unanswered health checks in a row, and it takes no calls until it answers again.
const PING_FAILURES_MAX: u32 = 3;
/// Longest wait for the first answered health check when nothing else is said.
pub(crate) const STARTUP_TIMEOUT: Duration = Duration::from_secs(60);

/// A line of the image table with `backend = "remote"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteRule {
    /// Where invocations go.
    pub url: RemoteUrl,
    /// Path of the health check; without one the server is taken to be healthy.
    pub ping: Option<String>,
}

/// Makes instances of a model that somebody else runs.
pub(crate) struct RemoteFactory {
    client: ContractClient,
    url: RemoteUrl,
    has_ping: bool,
    startup_timeout: Duration,
    /// Instances that were made: all are the same server, and are told apart by their numbers.
    made: AtomicUsize,
}

impl RemoteFactory {
    /// For the server at `rule.url`; `public_only` when its host is not listed by name.
    pub(crate) fn new(
        rule: &RemoteRule,
        public_only: bool,
        startup_timeout: Duration,
        answers: AnswerLimits,
    ) -> Result<Self, LoadError> {
        let settings = ContractSettings {
            invocations_path: rule.url.path().to_owned(),
            ping_path: rule.ping.clone().unwrap_or_else(|| "/ping".into()),
            host: rule.url.authority(),
            answers,
            connect_timeout: CONNECT_TIMEOUT,
        };
        let failed = |reason: String| LoadError::Start { reason: format!("{}: {reason}", rule.url) };
        let address = RemoteAddress::new(&rule.url, public_only).map_err(failed)?;
        let client = ContractClient::new(Address::Remote(Arc::new(address)), settings);
        let client = client.map_err(|error| failed(error.to_string()))?;
        Ok(Self {
            client,
            url: rule.url.clone(),
            has_ping: rule.ping.is_some(),
            startup_timeout,
            made: AtomicUsize::new(0),
        })
    }
}

impl InstanceFactory for RemoteFactory {
    fn start(&self) -> Pending<'_, Result<Arc<dyn Instance>, LoadError>> {
        Box::pin(async {
            if self.has_ping {
                let healthy = self.client.healthy(STARTUP_PING_PERIOD);
                if tokio::time::timeout(self.startup_timeout, healthy).await.is_err() {
                    let seconds = self.startup_timeout.as_secs();
                    let why = self.client.ping().await.err().map(|why| format!(": {why}")).unwrap_or_default();
                    let reason = format!("{} was not healthy within {seconds} s{why}", self.url);
                    return Err(LoadError::Start { reason });
                }
            }
            let id = match self.made.fetch_add(1, Ordering::Relaxed) {
                0 => self.url.to_string(),
                before => format!("{}#{}", self.url, before + 1),
            };
            let instance = Remote { id, client: self.client.clone(), has_ping: self.has_ping };
            Ok(Arc::new(instance) as Arc<dyn Instance>)
        })
    }
}

/// A server that somebody else runs.
struct Remote {
    id: String,
    client: ContractClient,
    has_ping: bool,
}

impl Instance for Remote {
    fn id(&self) -> &str {
        &self.id
    }

    fn backend(&self) -> &dyn Backend {
        &self.client
    }

    fn ended(&self) -> Pending<'_, String> {
        Box::pin(async {
            if !self.has_ping {
                return std::future::pending().await;
            }
            let why = self.client.unhealthy(PING_PERIOD, PING_FAILURES_MAX).await;
            format!("it is not healthy: {why}")
        })
    }

    fn stop(&self) -> Pending<'_, ()> {
        Box::pin(async {})
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("id", &self.id).finish_non_exhaustive()
    }
}
