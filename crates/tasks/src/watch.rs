//! One piece of work, watched: its panics are caught, counted and said, and followed by a pause.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use crate::Tasks;

/// The pause after the first panic; it doubles with each that follows.
pub(crate) const PAUSE_FIRST: Duration = Duration::from_millis(250);
/// The longest pause.
pub(crate) const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Work that has gone on for so long has proven itself: its next panic counts as a first one.
pub(crate) const PROVEN_AFTER: Duration = Duration::from_secs(60);

/// Watches one piece of work.
#[derive(Debug)]
pub struct Watch {
    tasks: Tasks,
    name: &'static str,
    /// Panics without a proof in between.
    in_a_row: u32,
}

/// Says that a task pauses, for as long as this lives.
struct Pausing<'a>(&'a Watch);

impl Watch {
    pub(crate) fn new(tasks: Tasks, name: &'static str) -> Self {
        Self { tasks, name, in_a_row: 0 }
    }

    /// Whether everything closes, so that work which ends in a panic now is not to be begun again.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.tasks.0.closing.is_closed()
    }

    /// Runs the work to its end. Nothing when it panicked; the pause is then over. Dropping the future drops the work.
    pub async fn survive<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let begun_at = Instant::now();
        let fell = {
            let mut work = pin!(work);
            // What the work has broken in its state it finds as after a kill; nothing else is shared.
            let polled = poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(done)) => Poll::Ready(Ok(done)),
                Err(panic) => Poll::Ready(Err(panic)),
            });
            match polled.await {
                Ok(done) => return Some(done),
                Err(panic) => panic,
            }
        };
        let wait = self.note(&*fell, begun_at.elapsed());
        let _pausing = Pausing::new(self);
        self.tasks.0.closing.pause(wait).await;
        None
    }

    /// The same on the calling thread.
    pub fn survive_blocking<T>(&mut self, work: impl FnOnce() -> T) -> Option<T> {
        let begun_at = Instant::now();
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(done) => Some(done),
            Err(panic) => {
                let wait = self.note(&*panic, begun_at.elapsed());
                let _pausing = Pausing::new(self);
                self.tasks.0.closing.pause_blocking(wait);
                None
            }
        }
    }

    /// Counts and says it; gives the pause that follows.
    fn note(&mut self, panic: &(dyn Any + Send), lasted: Duration) -> Duration {
        if lasted >= PROVEN_AFTER {
            self.in_a_row = 0;
        }
        let wait = PAUSE_FIRST.saturating_mul(1 << self.in_a_row.min(16)).min(PAUSE_MAX);
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.tasks.fell(self.name);
        tracing::error!(
            task = self.name,
            panic = words(panic),
            in_a_row = self.in_a_row,
            begun_again_in_ms = wait.as_millis() as u64,
            "our bug: a background task panicked; it is begun again"
        );
        wait
    }
}

impl<'a> Pausing<'a> {
    fn new(watch: &'a Watch) -> Self {
        watch.tasks.lock().entry(watch.name).or_default().pausing += 1;
        Self(watch)
    }
}

impl Drop for Pausing<'_> {
    fn drop(&mut self) {
        self.0.tasks.lock().entry(self.0.name).or_default().pausing -= 1;
    }
}

/// What the panic said.
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no words)")
}
