//! Background work that outlives its own bugs: what panics is begun again, after a pause that grows, and counted.
//!
//! ```text
//! Tasks::spawn(name, state, work) → work(&mut state) ─ ends ─→ the task ends
//!                     ↑                     │ panics
//!                     └──── a pause ────────┘ counted, said in the log
//! ```
//! The state outlives the panic, so that a task goes on with the queue or the counters that it had; what it was in the
//! middle of is its own affair, as after a kill.
//!
//! Invariant: a panic is counted before the work is begun again; pauses end at once when everything closes, and what then
//! panics once more is not begun a third time. Refuses to: know what a task does, and to hide that it fell.

mod pause;
mod watch;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::JoinHandle;

use pause::Closing;
pub use watch::Watch;

/// A future that borrows the state of its task.
pub type Work<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// The tasks of a server. Clones are handles to the same ones.
#[derive(Debug, Clone, Default)]
pub struct Tasks(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    book: Mutex<BTreeMap<&'static str, Entry>>,
    closing: Closing,
}

/// What is known of the tasks of one name.
#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    panics: u64,
    pausing: u64,
}

/// How the tasks of one name stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// The name.
    pub task: &'static str,
    /// Panics since the start.
    pub panics: u64,
    /// How many wait to be begun again.
    pub pausing: u64,
}

impl Tasks {
    /// Runs `work` on the runtime until it ends; when it panics, it is begun again with the same state. Aborting the handle
    /// ends both.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn spawn<S: Send + 'static>(
        &self,
        name: &'static str,
        mut state: S,
        work: impl for<'a> Fn(&'a mut S) -> Work<'a> + Send + 'static,
    ) -> JoinHandle<()> {
        let mut watch = self.watch(name);
        tokio::spawn(async move {
            loop {
                let is_last = watch.is_closing();
                if watch.survive(work(&mut state)).await.is_some() || is_last {
                    return;
                }
            }
        })
    }

    /// Runs `work` on the calling thread until it ends; when it panics, it is begun again.
    pub fn run(&self, name: &'static str, mut work: impl FnMut()) {
        let mut watch = self.watch(name);
        loop {
            let is_last = watch.is_closing();
            if watch.survive_blocking(&mut work).is_some() || is_last {
                return;
            }
        }
    }

    /// For work that is begun again by somebody else.
    #[must_use]
    pub fn watch(&self, name: &'static str) -> Watch {
        self.lock().entry(name).or_default();
        Watch::new(self.clone(), name)
    }

    /// Counts a panic that somebody else has caught.
    pub fn fell(&self, name: &'static str) {
        self.lock().entry(name).or_default().panics += 1;
    }

    /// Everything closes: nothing pauses any more.
    pub fn close(&self) {
        self.0.closing.close();
    }

    /// How the tasks stand, by name.
    #[must_use]
    pub fn figures(&self) -> Vec<Figures> {
        let figures = |(task, entry): (&&'static str, &Entry)| {
            let Entry { panics, pausing } = *entry;
            Figures { task, panics, pausing }
        };
        self.lock().iter().map(figures).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Entry>> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
