//! One container, from its creation to its removal.
//!
//! Invariant: a container that was started is removed again, however its instance ends: stopped, dropped, never healthy,
//! or given up while it starts. Where the whole server dies, the next one of the same data directory removes it.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bollard::Docker;
use bollard::models::ContainerCreateBody;
use captura_route::Backend;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::error::ContainerError;
use super::output::{follow, last_words};
use super::specification::{Wanted, specification};
use super::{ContainerSettings, engine};
use crate::http_contract::{Address, ContractClient, ContractSettings};
use crate::logs::{LogSink, Tail};
use crate::multi_model::MultiModel;
use crate::replicas::{Instance, Pending};

/// How often a starting container is asked whether it is healthy.
const STARTING_PING_PERIOD: Duration = Duration::from_millis(250);
/// How often a healthy one is asked.
const PING_PERIOD: Duration = Duration::from_secs(5);
/// It is replaced when it fails so often in a row.
const PING_FAILURES_MAX: u32 = 3;

/// Held as long as a container exists or may come to: whoever closes Docker's door waits for all of them.
pub(super) type Token = watch::Receiver<()>;

/// How a container is started.
#[derive(Debug)]
pub(super) struct Start {
    /// Longest time until it is healthy.
    pub(super) timeout: Duration,
    pub(super) contract: ContractSettings,
    pub(super) log: LogSink,
    pub(super) token: Token,
}

/// A container whose server answers.
#[derive(Debug)]
pub(super) struct Container {
    client: ContractClient,
    /// Set when it has many models.
    many: Option<MultiModel>,
    life: Life,
}

/// A container that exists; dropping it stops and removes the container.
#[derive(Debug)]
pub(super) struct Life {
    docker: Docker,
    id: String,
    tail: Tail,
    /// Says how it ended, once it has.
    ended: watch::Receiver<Option<String>>,
    /// Absent when it is gone.
    token: Mutex<Option<Token>>,
}

impl Container {
    /// Starts a container and waits until it is healthy.
    pub(super) async fn launch(
        docker: &Docker,
        wanted: Wanted<'_>,
        settings: &ContainerSettings,
        Start { timeout, contract, log, token }: Start,
    ) -> Result<Self, ContainerError> {
        let began = Instant::now();
        let (image, made) = (&wanted.image.name, (specification(wanted, settings), wanted.port));
        let (life, address) = Life::start(docker.clone(), made, (log, token)).await?;
        let Some(address) = address else {
            return Err(life.ended_early().await);
        };
        tracing::info!(container = life.id, image, %address, "a container starts");
        let client = ContractClient::new(Address::Tcp(address), contract)
            .expect("our bug: the contract's own paths can stand in a request");
        let mut why = "it was not asked".to_owned();
        let healthy = async {
            while let Err(unhealthy) = client.ping().await {
                why = unhealthy.to_string();
                tokio::time::sleep(STARTING_PING_PERIOD).await;
            }
        };
        let is_healthy = tokio::select! {
            () = healthy => true,
            error = life.ended_early() => return Err(error),
            () = tokio::time::sleep_until(began + timeout) => false,
        };
        if !is_healthy {
            return Err(ContainerError::Unhealthy { timeout, why, said: last_words(&life.tail) });
        }
        let after_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(container = life.id, after_ms, "a container is healthy");
        Ok(Self { client, many: None, life })
    }

    /// Sends calls to one of many models instead of the only one.
    pub(super) fn serve_many(&mut self, many: impl FnOnce(ContractClient) -> MultiModel) {
        self.many = Some(many(self.client.clone()));
    }
}

impl Instance for Container {
    fn id(&self) -> &str {
        &self.life.id
    }

    fn backend(&self) -> &dyn Backend {
        match &self.many {
            Some(many) => many,
            None => &self.client,
        }
    }

    fn ended(&self) -> Pending<'_, String> {
        Box::pin(async {
            tokio::select! {
                how = self.life.how() => format!("the container {how}. {}", last_words(&self.life.tail)),
                why = self.client.unhealthy(PING_PERIOD, PING_FAILURES_MAX) => format!("the container is ill: {why}"),
            }
        })
    }

    fn stop(&self) -> Pending<'_, ()> {
        Box::pin(async {
            engine::stop(&self.life.docker, &self.life.id).await;
            drop(self.life.take_token());
        })
    }
}

impl Life {
    /// Makes and starts a container. A container whose start was given up meanwhile is removed as soon as it is there.
    pub(super) async fn start(
        docker: Docker,
        (body, port): (ContainerCreateBody, u16),
        (log, token): (LogSink, Token),
    ) -> Result<(Self, Option<SocketAddr>), ContainerError> {
        let (tell, told) = oneshot::channel();
        tokio::spawn(async move {
            let started = engine::start(&docker, body, port).await;
            drop(tell.send(started.map(|started| (Self::begin(docker, started.id, log, token), started.address))));
        });
        let shutting_down = |_| ContainerError::Engine { act: "start the container", reason: "the server ends".into() };
        told.await.map_err(shutting_down)?
    }

    fn begin(docker: Docker, id: String, log: LogSink, token: Token) -> Self {
        let (tell, ended) = watch::channel(None);
        let tail = Tail::default();
        let (watched, name, kept) = (docker.clone(), id.clone(), tail.clone());
        tokio::spawn(async move {
            // The output ends with the container.
            follow(&watched, &name, &log, &kept).await;
            // Nobody may be waiting any more.
            drop(tell.send(Some(how_it_ended(&watched, &name).await)));
        });
        Self { docker, id, tail, ended, token: Mutex::new(Some(token)) }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The last lines that it said.
    pub(super) fn last_lines(&self) -> Vec<String> {
        self.tail.lines()
    }

    fn take_token(&self) -> Option<Token> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Waits for the end, and says in words that follow "the container" how it came.
    pub(super) async fn how(&self) -> String {
        let mut ended = self.ended.clone();
        let how = ended.wait_for(Option::is_some).await.ok().and_then(|how| how.clone());
        how.unwrap_or_else(|| "is no longer watched".to_owned())
    }

    async fn ended_early(&self) -> ContainerError {
        ContainerError::Ended { how: self.how().await, said: last_words(&self.tail) }
    }
}

/// In words that follow "the container".
async fn how_it_ended(docker: &Docker, id: &str) -> String {
    loop {
        let Some(state) = engine::state(docker, id).await else { return "is gone".to_owned() };
        if state.running == Some(true) {
            // Its output was closed, or Docker lost it; it lives all the same.
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        }
        if state.oom_killed == Some(true) {
            return "was killed because it needed more memory than [docker] memory_max allows".to_owned();
        }
        let why = state.error.filter(|error| !error.is_empty()).map(|error| format!(": {error}")).unwrap_or_default();
        return format!("ended with status {}{why}", state.exit_code.unwrap_or(-1));
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let Some(token) = self.take_token() else { return };
        // Without a runtime the whole server is going down, and the next one removes what is left.
        if let Ok(runtime) = Handle::try_current() {
            let (docker, id) = (self.docker.clone(), std::mem::take(&mut self.id));
            runtime.spawn(async move {
                engine::remove(&docker, &id).await;
                drop(token);
            });
        }
    }
}
