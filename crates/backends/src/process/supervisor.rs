//! One process from its start to its end.

use std::fmt;
use std::process::ExitStatus;
use std::time::Duration;

use captura_route::Backend;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::bounds::Bounds;
use super::orphans::{kill_bearers, token};
use crate::artifact::Scratch;
use crate::http_contract::ContractClient;
use crate::logs::{LogSink, LogStream, Tail, read};
use crate::replicas::{Instance, Pending};

/// Time between SIGTERM and SIGKILL.
pub(super) const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a living instance is asked for its health.
const PING_PERIOD: Duration = Duration::from_secs(5);
/// So many unanswered health checks in a row, and it is replaced.
const PING_FAILURES_MAX: u32 = 3;
/// How long the last words of a dead process are waited for; its children may hold the stream open.
pub(super) const LAST_WORDS_TIMEOUT: Duration = Duration::from_millis(500);

/// A running process that speaks the container contract.
pub(super) struct ProcessInstance {
    id: String,
    client: ContractClient,
    /// Its last lines.
    pub(super) tail: Tail,
    /// Dropping it is asking to stop.
    stop: watch::Sender<bool>,
    ended: watch::Receiver<Option<String>>,
    /// Closed when nothing of it is left.
    gone: watch::Receiver<()>,
}

impl ProcessInstance {
    /// Takes a process that has just been started into its care. `closing` is held until nothing of it is left.
    pub(super) fn of(
        (id, child, place): (String, Child, (Scratch, Bounds)),
        client: ContractClient,
        log: &LogSink,
        closing: watch::Receiver<bool>,
    ) -> Self {
        let tail = Tail::default();
        let (stop, stopping) = watch::channel(false);
        let (end, ended) = watch::channel(None);
        let (left, gone) = watch::channel(());
        let words = |kind| (kind, (id.clone(), log.clone(), tail.clone()));
        let watched = Watched::new(child, place, words);
        tokio::spawn(async move {
            watched.watch(stopping, end).await;
            drop((left, closing));
        });
        Self { id, client, tail, stop, ended, gone }
    }

    /// Waits until the process has ended, and says how.
    pub(super) async fn exited(&self) -> String {
        let mut ended = self.ended.clone();
        let why = ended.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
        why.unwrap_or_else(|| "the server stops".to_owned())
    }

    pub(super) fn client(&self) -> &ContractClient {
        &self.client
    }
}

impl Instance for ProcessInstance {
    fn id(&self) -> &str {
        &self.id
    }

    fn backend(&self) -> &dyn Backend {
        &self.client
    }

    fn ended(&self) -> Pending<'_, String> {
        Box::pin(async {
            tokio::select! {
                why = self.exited() => why,
                why = self.client.unhealthy(PING_PERIOD, PING_FAILURES_MAX) => format!("it is not healthy: {why}"),
            }
        })
    }

    fn stop(&self) -> Pending<'_, ()> {
        self.stop.send_replace(true);
        let mut gone = self.gone.clone();
        Box::pin(async move { while gone.changed().await.is_ok() {} })
    }
}

impl fmt::Debug for ProcessInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessInstance").field("id", &self.id).field("client", &self.client).finish_non_exhaustive()
    }
}

/// The process, in the hands of its task. When that is dropped, so is every process of the group.
struct Watched {
    child: Child,
    group: Group,
    readers: Vec<JoinHandle<()>>,
    tail: Tail,
    /// Declared before the folder, which may be a disk of theirs.
    bounds: Bounds,
    folder: Scratch,
}

/// Killed when dropped.
pub(super) struct Group(Option<Pid>);

impl Group {
    /// The group that this process leads.
    pub(super) fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    /// Asks all of it to end.
    pub(super) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends all of it.
    pub(super) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // Gone is as good.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

impl Watched {
    fn new(
        mut child: Child,
        (folder, bounds): (Scratch, Bounds),
        words: impl Fn(LogStream) -> (LogStream, (String, LogSink, Tail)),
    ) -> Self {
        let group = Group::of(&child);
        let mut readers = Vec::new();
        let (_, (_, _, tail)) = words(LogStream::Stderr);
        if let Some(stream) = child.stdout.take() {
            let (kind, to) = words(LogStream::Stdout);
            readers.push(tokio::spawn(read(stream, kind, to)));
        }
        if let Some(stream) = child.stderr.take() {
            let (kind, to) = words(LogStream::Stderr);
            readers.push(tokio::spawn(read(stream, kind, to)));
        }
        Self { child, group, readers, tail, bounds, folder }
    }

    async fn watch(mut self, mut stopping: watch::Receiver<bool>, end: watch::Sender<Option<String>>) {
        let why = tokio::select! {
            // Nobody holds the handle any more: that is asking to stop, too.
            () = asked(&mut stopping) => {
                self.group.terminate();
                let _ = tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await;
                "it was stopped".to_owned()
            }
            status = self.child.wait() => status.map_or_else(|error| error.to_string(), describe),
        };
        self.group.kill();
        let _ = self.child.wait().await;
        let token = token(self.folder.path());
        let strays = tokio::task::spawn_blocking(move || kill_bearers(&token)).await.unwrap_or(0);
        if strays > 0 {
            tracing::debug!(strays, "processes of the instance had left its group");
        }
        for reader in &mut self.readers {
            if tokio::time::timeout(LAST_WORDS_TIMEOUT, &mut *reader).await.is_err() {
                reader.abort();
            }
        }
        end.send_replace(Some(with_last_words(&why, &self.tail)));
        self.bounds.release().await;
        let folder = self.folder;
        let _ = tokio::task::spawn_blocking(move || drop(folder)).await;
    }
}

async fn asked(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

pub(super) fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it exited with status {code}"),
        (None, Some(signal)) => format!("it was killed by signal {signal}"),
        (None, None) => "it ended".to_owned(),
    }
}

/// What happened, and what the process said last.
pub(super) fn with_last_words(what: &str, tail: &Tail) -> String {
    match tail.quoted() {
        Some(lines) => format!("{what}; its last lines: {lines}"),
        None => format!("{what}; it wrote nothing"),
    }
}
