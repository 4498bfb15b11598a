//! What became of the capture of one invocation, as the caller is told.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;

use captura_route::Durability;

use crate::capture::Handle;
use crate::journal::commit::Commit;
use crate::ledger::DropReason;
use crate::record::Lsn;
use crate::sabotage::{self, Sabotage};

/// Displays as the value of `x-captura-capture`: `written;lsn=0a1b2c3d-3-17`, `dropped;reason=disk_full`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Captured {
    /// On the disk: survives power loss.
    Durable(Lsn),
    /// Taken by the system: survives the death of the process.
    Written(Lsn),
    /// Accepted into a bounded queue.
    Queued(Lsn),
    /// Left out by the sample.
    SampledOut,
    /// Not kept, and why.
    Dropped(DropReason),
}

impl fmt::Display for Captured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Durable(lsn) => write!(f, "durable;lsn={lsn}"),
            Self::Written(lsn) => write!(f, "written;lsn={lsn}"),
            Self::Queued(lsn) => write!(f, "queued;lsn={lsn}"),
            Self::SampledOut => f.write_str("sampled-out"),
            Self::Dropped(reason) => write!(f, "dropped;reason={reason}"),
        }
    }
}

/// The promise of an answer to "is it captured?". Dropping it loses the answer, not the record.
#[derive(Debug)]
#[must_use = "the caller is to be told what became of the capture"]
pub struct Ticket(State);

#[derive(Debug)]
enum State {
    Settled(Captured),
    Waiting(Waiting),
}

/// A record that was handed in.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) handle: Arc<Handle>,
    pub(crate) commit: Arc<Commit>,
    pub(crate) lsn: Lsn,
    pub(crate) durability: Durability,
}

/// A record that nobody waits for is written all the same, by the keeper.
impl Drop for Waiting {
    fn drop(&mut self) {
        if self.commit.is_pending() {
            self.handle.shared.nudge_soon();
        }
    }
}

impl Ticket {
    pub(crate) fn settled(captured: Captured) -> Self {
        Self(State::Settled(captured))
    }

    /// Where the record stands in the log; nothing where there is none.
    pub(crate) fn lsn(&self) -> Option<Lsn> {
        match &self.0 {
            State::Settled(_) => None,
            State::Waiting(waiting) => Some(waiting.lsn),
        }
    }

    pub(crate) fn waiting(waiting: Waiting) -> Self {
        Self(State::Waiting(waiting))
    }

    /// Waits until the record is as durable as its policy asks. In mode `ack-after-write` the first caller to wait
    /// writes for all who handed in before.
    pub async fn captured(self) -> Captured {
        let waiting = match self.0 {
            State::Settled(Captured::Dropped(_)) if sabotage::is(Sabotage::HideDrops) => {
                return Captured::Queued(Lsn { node: 0, epoch: 0, n: 0 });
            }
            State::Settled(captured) => return captured,
            State::Waiting(waiting) => waiting,
        };
        if sabotage::is(Sabotage::AcknowledgeEarly) {
            waiting.handle.shared.nudge();
            return match waiting.durability {
                Durability::BestEffort => Captured::Queued(waiting.lsn),
                Durability::AckAfterWrite => Captured::Written(waiting.lsn),
                Durability::AckAfterFsync => Captured::Durable(waiting.lsn),
            };
        }
        match waiting.durability {
            Durability::BestEffort => Captured::Queued(waiting.lsn),
            Durability::AckAfterWrite => {
                // Calls that are ready to run hand in first, so that one write serves them all; alone, this costs a look
                // at an empty run queue.
                tokio::task::yield_now().await;
                if waiting.commit.is_pending() {
                    waiting.handle.shared.lead(false);
                }
                waiting.verdict(false, Captured::Written(waiting.lsn)).await
            }
            Durability::AckAfterFsync => {
                waiting.handle.shared.nudge();
                waiting.verdict(true, Captured::Durable(waiting.lsn)).await
            }
        }
    }
}

impl Waiting {
    async fn verdict(&self, durable: bool, captured: Captured) -> Captured {
        match poll_fn(|context| self.commit.poll(durable, context)).await {
            Ok(()) => captured,
            Err(reason) => Captured::Dropped(reason),
        }
    }
}
