//! The client side of SageMaker's container contract: `POST /invocations`, `GET /ping`.
//!
//! Whatever runs a model behind a socket (a supervised process, a container, a server that is there already) is reached
//! through a [`ContractClient`], which is a [`Backend`] by itself. Starting, stopping and replacing what listens there
//! is not its business; see [`crate::replicas`].
//!
//! Invariant: [`BackendError::Unavailable`] is said only while no byte of an answer has come, so whoever has another
//! instance may ask that one. Once a byte came, whatever goes wrong is the model's: [`BackendError::Model`]. Every call
//! has a connection of its own, driven by the calling task, and giving the call up closes it.
//! Refuses to: follow redirects, forward headers that SageMaker does not know, or read more of an answer than its limits.

mod address;
mod answer;
mod dial;
mod link;
mod models;
mod ping;
mod pool;
mod request;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use captura_route::{Backend, BackendError, Extras, Invoking, MemoryBudget, ModelRequest, StreamedAnswer, Streaming};
use http::{HeaderValue, Request};
use http_body_util::Full;
use hyper::Response;
use hyper::body::Incoming;

pub use self::address::Address;
use self::answer::Pieces;
pub use self::dial::RemoteAddress;
use self::link::{Broken, Link};
pub(crate) use self::models::LoadRefused;
pub use self::ping::Unhealthy;
use self::pool::Pool;

/// Port that a container listens on when nothing else was agreed.
pub const CONTAINER_PORT: u16 = 8080;
/// Longest time in which `/ping` must answer.
pub const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest time in which a connection must be accepted; the contract says 250 ms, and a loaded machine gets more.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Largest answer that is read in one piece: SageMaker's own limit of real-time answers.
const ANSWER_MAX_BYTES: usize = 6 * 1024 * 1024;

/// How much is read of an answer that comes in one piece; streamed ones have no limit but their caller's.
#[derive(Debug, Clone)]
pub struct AnswerLimits {
    /// The largest, bytes.
    pub max_bytes: usize,
    /// Memory that answers take their part of before they are read.
    pub memory: MemoryBudget,
}

impl Default for AnswerLimits {
    fn default() -> Self {
        Self { max_bytes: ANSWER_MAX_BYTES, memory: MemoryBudget::new(MemoryBudget::DEFAULT_BYTES) }
    }
}

/// How one server is spoken to.
#[derive(Debug, Clone)]
pub struct ContractSettings {
    /// Path, and query if any, of invocations.
    pub invocations_path: String,
    /// Path of the health check.
    pub ping_path: String,
    /// `Host` of the requests.
    pub host: String,
    /// How much is read of an answer.
    pub answers: AnswerLimits,
    /// Longest time in which a connection must be accepted.
    pub connect_timeout: Duration,
}

impl Default for ContractSettings {
    fn default() -> Self {
        Self {
            invocations_path: "/invocations".into(),
            ping_path: "/ping".into(),
            host: "localhost".into(),
            answers: AnswerLimits::default(),
            connect_timeout: CONNECT_TIMEOUT,
        }
    }
}

/// Speaks the contract with one server. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct ContractClient {
    inner: Arc<Inner>,
}

struct Inner {
    settings: ContractSettings,
    invocations: http::Uri,
    ping: http::Uri,
    host: HeaderValue,
    pool: Arc<Pool>,
}

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} can stand in no HTTP request")]
pub struct UnusableSettings(String);

impl ContractClient {
    /// A client of the server at `address`; nothing is connected yet.
    ///
    /// # Errors
    /// When a path or the host name of the settings can stand in no HTTP request.
    pub fn new(address: Address, settings: ContractSettings) -> Result<Self, UnusableSettings> {
        let uri = |path: &str| path.parse().map_err(|_| UnusableSettings(path.to_owned()));
        let host = HeaderValue::from_str(&settings.host).map_err(|_| UnusableSettings(settings.host.clone()))?;
        let (invocations, ping) = (uri(&settings.invocations_path)?, uri(&settings.ping_path)?);
        let pool = Arc::new(Pool::new(address, settings.connect_timeout));
        Ok(Self { inner: Arc::new(Inner { settings, invocations, ping, host, pool }) })
    }

    /// Where the server is.
    #[must_use]
    pub fn address(&self) -> &Address {
        self.inner.pool.address()
    }

    /// Asks `/ping` once, on a connection of its own.
    ///
    /// # Errors
    /// When it is not answered with 200 within [`PING_TIMEOUT`].
    pub async fn ping(&self) -> Result<(), Unhealthy> {
        let inner = &*self.inner;
        ping::ping(&inner.pool, request::ping(&inner.ping, &inner.host)).await
    }

    /// Asks `/ping` every `period` until it is answered. Whoever waits bounds the waiting.
    pub async fn healthy(&self, period: Duration) {
        while self.ping().await.is_err() {
            tokio::time::sleep(period).await;
        }
    }

    /// Asks `/ping` every `period` until `failures_max` in a row failed, and says how the last one did.
    pub async fn unhealthy(&self, period: Duration, failures_max: u32) -> Unhealthy {
        let mut failures = 0;
        loop {
            tokio::time::sleep(period).await;
            match self.ping().await {
                Ok(()) => failures = 0,
                Err(why) => {
                    failures += 1;
                    if failures >= failures_max {
                        return why;
                    }
                }
            }
        }
    }

    async fn call(&self, request: &ModelRequest) -> Result<(Link, Response<Incoming>), Broken> {
        let inner = &*self.inner;
        self.send(|| request::invocation(&inner.invocations, &inner.host, request)).await
    }

    /// Sends the request and waits for the head of the answer. A connection that was kept from an earlier call may have
    /// died meanwhile; the request then gets a second, new one. Where there is none,
    /// the call may have been taken over the first, and ended the server.
    async fn send(&self, new: impl Fn() -> Request<Full<Bytes>>) -> Result<(Link, Response<Incoming>), Broken> {
        let inner = &*self.inner;
        let mut before = None;
        if let Some(mut kept) = inner.pool.take() {
            match kept.send(new()).await {
                Ok(response) => return Ok((kept, response)),
                Err(Broken::Unanswered(why)) => {
                    inner.pool.forget();
                    before = Some(why);
                }
                Err(broken) => return Err(broken),
            }
        }
        let opened = inner.pool.open().await;
        let mut link = opened.map_err(|broken| before.map_or(broken, Broken::Unanswered))?;
        let response = link.send(new()).await?;
        Ok((link, response))
    }

    async fn collect(&self, link: &mut Link, body: &mut Incoming) -> Result<Bytes, Broken> {
        let AnswerLimits { max_bytes, memory } = &self.inner.settings.answers;
        link.collect(body, *max_bytes, memory).await
    }

    async fn whole(&self, request: &ModelRequest) -> Result<captura_route::Answer, BackendError> {
        let (mut link, response) = self.call(request).await?;
        let (parts, mut body) = response.into_parts();
        let body = self.collect(&mut link, &mut body).await?;
        self.inner.pool.give_back(link);
        answer::judge(&parts, body)
    }

    async fn pieces(&self, request: &ModelRequest) -> Result<StreamedAnswer, BackendError> {
        let (mut link, response) = self.call(request).await?;
        let (parts, mut body) = response.into_parts();
        if !parts.status.is_success() {
            let body = self.collect(&mut link, &mut body).await?;
            self.inner.pool.give_back(link);
            return answer::judge(&parts, body).map(StreamedAnswer::whole);
        }
        let head = answer::judge(&parts, Bytes::new())?;
        Ok(StreamedAnswer { head, chunks: Box::pin(Pieces::new(self.clone(), link, body)) })
    }
}

impl Backend for ContractClient {
    fn invoke<'a>(&'a self, request: &'a ModelRequest) -> Invoking<'a> {
        Box::pin(self.whole(request))
    }

    fn invoke_streaming<'a>(&'a self, request: &'a ModelRequest) -> Streaming<'a> {
        Box::pin(self.pieces(request))
    }

    fn extras(&self) -> Extras {
        // The contract has headers for sessions; a server that keeps none says so itself.
        Extras { sessions: true, ..Extras::default() }
    }
}

impl fmt::Debug for ContractClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.inner;
        f.debug_struct("ContractClient").field("address", inner.pool.address()).finish_non_exhaustive()
    }
}

impl From<Broken> for BackendError {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Unreached(why) => Self::Unavailable(why),
            Broken::Unanswered(why) => Self::WentAway(why),
            Broken::Garbled(message) => answer::garbled(message),
            Broken::TooLarge { limit_bytes } => answer::too_large(limit_bytes),
            Broken::NoMemory => Self::Unavailable("there is no memory for the model's answer now".into()),
        }
    }
}

#[cfg(test)]
mod tests;
