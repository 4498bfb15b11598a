//! The task that makes what is follow what shall be: starts, drains, replaces.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::member::{Member, Set};
use super::{DRAIN_TIMEOUT, Instance, InstanceFactory, Keeping, Patience};
use crate::LoadError;

/// Instances of one model that start at the same time.
const STARTS_AT_ONCE: usize = 8;
/// Longest reason that is kept of a failed start, bytes.
const TROUBLE_MAX_BYTES: usize = 4 * 1024;

/// Keeps the instances of one model.
pub(super) struct Keeper {
    set: Arc<Set>,
    factory: Arc<dyn InstanceFactory>,
    desired: watch::Receiver<usize>,
    closing: watch::Receiver<bool>,
    patience: Patience,
    members: Vec<Arc<Member>>,
    starting: JoinSet<Result<Arc<dyn Instance>, LoadError>>,
    /// Each ends with its member.
    watching: JoinSet<(Arc<Member>, String)>,
    stopping: JoinSet<()>,
    /// Failures in a row.
    failures: u32,
    not_before: Instant,
}

impl Keeper {
    pub(super) fn new(
        set: Arc<Set>,
        factory: Arc<dyn InstanceFactory>,
        desired: watch::Receiver<usize>,
        keeping: Keeping,
        started: Vec<Arc<dyn Instance>>,
    ) -> Self {
        let mut keeper = Self {
            set,
            factory,
            desired,
            closing: keeping.closing,
            patience: keeping.patience,
            members: Vec::new(),
            starting: JoinSet::new(),
            watching: JoinSet::new(),
            stopping: JoinSet::new(),
            failures: 0,
            not_before: Instant::now(),
        };
        started.into_iter().for_each(|instance| keeper.admit(instance));
        keeper
    }

    /// Until nobody wants the model any more, or the server stops; then everything is stopped.
    pub(super) async fn run(&mut self) {
        loop {
            self.reconcile();
            let waits = self.lacking() > 0 && self.not_before > Instant::now();
            tokio::select! {
                changed = self.desired.changed() => if changed.is_err() { break },
                () = closing(&mut self.closing) => break,
                Some(started) = self.starting.join_next() => self.take_started(started),
                Some(ended) = self.watching.join_next() => self.take_ended(ended),
                Some(stopped) = self.stopping.join_next() => drop(stopped),
                () = tokio::time::sleep_until(self.not_before), if waits => {}
            }
        }
        self.starting.shutdown().await;
        for member in std::mem::take(&mut self.members) {
            self.retire(member);
        }
        self.set.replace(Vec::new());
        while self.stopping.join_next().await.is_some() {}
    }

    /// Instances that should be started, were it not for the wait.
    fn lacking(&self) -> usize {
        let coming = self.members.len() + self.starting.len();
        self.desired.borrow().saturating_sub(coming).min(STARTS_AT_ONCE.saturating_sub(self.starting.len()))
    }

    fn reconcile(&mut self) {
        let desired = *self.desired.borrow_and_update();
        if self.not_before <= Instant::now() {
            // After failures one try shows whether there is any sense in more.
            let most = if self.failures > 1 { 1_usize.saturating_sub(self.starting.len()) } else { STARTS_AT_ONCE };
            for _ in 0..self.lacking().min(most) {
                let factory = Arc::clone(&self.factory);
                self.starting.spawn(async move { factory.start().await });
            }
        }
        if self.members.len() + self.starting.len() > desired && !self.starting.is_empty() {
            // What is too many and not there yet is given up first, and what then lacks is started anew.
            self.starting.abort_all();
        }
        while self.members.len() > desired {
            let least = (0..self.members.len()).min_by_key(|index| self.members[*index].outstanding());
            let Some(index) = least else { break };
            let member = self.members.swap_remove(index);
            self.publish();
            self.retire(Arc::clone(&member));
            tracing::info!(instance = member.id(), "the instance is no longer wanted");
        }
    }

    fn take_started(&mut self, started: Result<Result<Arc<dyn Instance>, LoadError>, JoinError>) {
        match started {
            Ok(Ok(instance)) => {
                tracing::info!(instance = instance.id(), "a new instance takes calls");
                self.set.set_trouble(None);
                self.admit(instance);
            }
            Ok(Err(error)) => self.fail(error.to_string()),
            Err(join) if join.is_panic() => self.fail("our bug: the start of the instance panicked".to_owned()),
            // Given up, because it was too many.
            Err(_) => {}
        }
    }

    fn take_ended(&mut self, ended: Result<(Arc<Member>, String), JoinError>) {
        let Ok((member, why)) = ended else { return };
        let Some(index) = self.members.iter().position(|other| Arc::ptr_eq(other, &member)) else { return };
        self.members.swap_remove(index);
        self.publish();
        tracing::warn!(instance = member.id(), %why, "an instance is dead; another one takes its place");
        if member.since.elapsed() >= self.patience.proven_after {
            self.failures = 0;
        }
        self.wait_longer();
        self.retire(member);
    }

    fn fail(&mut self, mut why: String) {
        tracing::warn!(%why, "an instance could not be started");
        why.truncate(why.floor_char_boundary(TROUBLE_MAX_BYTES));
        self.set.set_trouble(Some(why));
        self.wait_longer();
    }

    fn wait_longer(&mut self) {
        self.failures = self.failures.saturating_add(1);
        self.not_before = Instant::now() + self.patience.wait_after(self.failures);
    }

    fn admit(&mut self, instance: Arc<dyn Instance>) {
        let member = Member::new(instance);
        self.members.push(Arc::clone(&member));
        self.publish();
        self.watching.spawn(async move {
            let why = tokio::select! {
                why = member.instance.ended() => why,
                () = member.retired.notified() => "it is no longer wanted".to_owned(),
            };
            (member, why)
        });
    }

    fn publish(&self) {
        self.set.replace(self.members.clone());
    }

    /// Lets a member finish its calls and stops it.
    fn retire(&mut self, member: Arc<Member>) {
        self.stopping.spawn(async move {
            // What hangs in a dead instance breaks by itself; a living one may finish.
            within(DRAIN_TIMEOUT, member.drained()).await;
            member.instance.stop().await;
            member.retired.notify_one();
        });
    }
}

async fn within(limit: Duration, work: impl Future<Output = ()>) {
    // Whoever is not finished by then is cut off.
    let _ = tokio::time::timeout(limit, work).await;
}

/// Waits until the server stops.
async fn closing(signal: &mut watch::Receiver<bool>) {
    if signal.wait_for(|closing| *closing).await.is_err() {
        std::future::pending().await
    }
}
