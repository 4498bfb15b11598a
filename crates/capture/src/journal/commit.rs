//! What became of a batch of records: written, durable, or dropped; and who wants to know.
//!
//! Invariant: a verdict is never taken back. `written` stays true when a later sync fails, because the bytes were taken
//! by the system and the journal goes on saving them.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::ledger::DropReason;

const WRITTEN: u32 = 1;
const DURABLE: u32 = 2;
const FAILED: u32 = 4;
const REASON_SHIFT: u32 = 8;

/// One batch, shared by its records' tickets.
#[derive(Debug, Default)]
pub(crate) struct Commit {
    verdict: AtomicU32,
    wants_sync: AtomicBool,
    waiting: Mutex<Vec<(u32, Waker)>>,
}

impl Commit {
    pub(crate) fn want_sync(&self) {
        self.wants_sync.store(true, Ordering::Relaxed);
    }

    pub(crate) fn wants_sync(&self) -> bool {
        self.wants_sync.load(Ordering::Relaxed)
    }

    pub(crate) fn is_pending(&self) -> bool {
        self.verdict.load(Ordering::Acquire) == 0
    }

    pub(crate) fn written(&self) {
        self.resolve(WRITTEN);
    }

    pub(crate) fn durable(&self) {
        self.resolve(DURABLE);
    }

    pub(crate) fn failed(&self, reason: DropReason) {
        self.resolve(FAILED | (reason as u32) << REASON_SHIFT);
    }

    fn resolve(&self, verdict: u32) {
        let before = self.verdict.fetch_or(verdict, Ordering::AcqRel);
        let known = before | verdict;
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut woken = Vec::new();
        waiting.retain_mut(|(needed, waker)| {
            let over = known & (*needed | FAILED) != 0;
            if over {
                woken.push(std::mem::replace(waker, Waker::noop().clone()));
            }
            !over
        });
        drop(waiting);
        woken.into_iter().for_each(Waker::wake);
    }

    fn verdict(&self, needed: u32) -> Option<Result<(), DropReason>> {
        let verdict = self.verdict.load(Ordering::Acquire);
        if verdict & needed != 0 {
            return Some(Ok(()));
        }
        let reason = DropReason::ALL[(verdict >> REASON_SHIFT) as usize % DropReason::ALL.len()];
        (verdict & FAILED != 0).then_some(Err(reason))
    }

    /// Ready when the batch is written, or durable where that is asked for, or lost.
    pub(crate) fn poll(&self, durable: bool, context: &mut Context<'_>) -> Poll<Result<(), DropReason>> {
        let needed = if durable { DURABLE } else { WRITTEN };
        if let Some(verdict) = self.verdict(needed) {
            return Poll::Ready(verdict);
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // Looked at again under the lock: the verdict may have come in between, and its waking is over then.
        if let Some(verdict) = self.verdict(needed) {
            return Poll::Ready(verdict);
        }
        waiting.push((needed, context.waker().clone()));
        Poll::Pending
    }
}
