//! Threads that read pieces side by side, and hand in what they made of them in the order of the pieces.
//!
//! Invariant: what comes out does not depend on how many threads there are, nor on which of them was faster. At most
//! [`Crew::ahead`] pieces are read, waited for or not yet handed out. Refuses to: read objects.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Threads of one job at the most.
const MAX_THREADS: usize = 256;
/// Items for which it is worth to begin a thread.
const ITEMS_MIN: usize = 8;

/// Threads at work on pieces of `J`, each of which becomes an `R`.
pub(super) struct Crew<J, R> {
    work: Arc<dyn Fn(J) -> R + Send + Sync>,
    /// None where the work is done by who brings it.
    threads: Vec<JoinHandle<()>>,
    jobs: Option<SyncSender<(u64, J)>>,
    done: Receiver<(u64, std::thread::Result<R>)>,
    waiting: BTreeMap<u64, R>,
    /// Pieces that came in, and those that went out.
    taken: u64,
    given: u64,
}

/// As many threads as the machine has cores, where nobody says how many.
pub(super) fn threads(asked: Option<NonZero<usize>>) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, NonZero::get);
    asked.map_or_else(cores, NonZero::get).min(MAX_THREADS)
}

/// What becomes of items, in their order; by so many threads, where there are enough of them.
pub(super) fn each<T: Sync, R: Send>(threads: usize, items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = threads.min(items.len() / ITEMS_MIN);
    if threads <= 1 {
        return items.iter().map(work).collect();
    }
    let work = &work;
    std::thread::scope(|scope| {
        let parts = items.chunks(items.len().div_ceil(threads));
        let begin = |part: &'_ [T]| part.iter().map(work).collect::<Vec<R>>();
        let parts: Vec<_> = parts.map(|part| scope.spawn(move || begin(part))).collect();
        parts.into_iter().flat_map(|part| part.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}

impl<J: Send + 'static, R: Send + 'static> Crew<J, R> {
    /// A crew of so many threads; one alone is who brings the work.
    pub(super) fn of(threads: usize, work: impl Fn(J) -> R + Send + Sync + 'static) -> Self {
        let work: Arc<dyn Fn(J) -> R + Send + Sync> = Arc::new(work);
        let threads = if threads > 1 { threads } else { 0 };
        let (jobs, inbox) = sync_channel(threads + 1);
        let (outbox, done) = channel();
        let inbox = Arc::new(Mutex::new(inbox));
        let begin = |_| {
            let (work, inbox, outbox) = (Arc::clone(&work), Arc::clone(&inbox), outbox.clone());
            let run = move || work_on(&*work, &inbox, &outbox);
            std::thread::Builder::new().name("analysis".into()).spawn(run)
        };
        // Where the system gives no more threads, those that there are do.
        let threads: Vec<JoinHandle<()>> = (0..threads).map_while(|number| begin(number).ok()).collect();
        Self { work, threads, jobs: Some(jobs), done, waiting: BTreeMap::new(), taken: 0, given: 0 }
    }

    /// Pieces that may be on their way.
    pub(super) fn ahead(&self) -> u64 {
        self.threads.len() as u64 + 1
    }

    /// Takes a piece, and gives out what is ready, in the order of the pieces.
    pub(super) fn take(&mut self, job: J, mut give: impl FnMut(R)) {
        if self.threads.is_empty() {
            return give((self.work)(job));
        }
        let jobs = self.jobs.as_ref().expect("our bug: the inbox is open until the end");
        jobs.send((self.taken, job)).expect("our bug: threads end when the inbox is closed");
        self.taken += 1;
        while self.taken - self.given >= self.ahead() {
            self.wait(&mut give);
        }
    }

    /// Gives out the rest.
    pub(super) fn finish(mut self, mut give: impl FnMut(R)) {
        while self.given < self.taken {
            self.wait(&mut give);
        }
    }

    fn wait(&mut self, give: &mut impl FnMut(R)) {
        let (number, result) = self.done.recv().expect("our bug: a thread answers for every piece");
        // A panic is one here as well.
        let result = result.unwrap_or_else(|panic| resume_unwind(panic));
        self.waiting.insert(number, result);
        while let Some(result) = self.waiting.remove(&self.given) {
            give(result);
            self.given += 1;
        }
    }
}

impl<J, R> Drop for Crew<J, R> {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // What it may have panicked with was handed in.
            let _ = thread.join();
        }
    }
}

type Inbox<J> = Mutex<Receiver<(u64, J)>>;

fn work_on<J, R>(
    work: &(dyn Fn(J) -> R + Send + Sync),
    inbox: &Inbox<J>,
    outbox: &Sender<(u64, std::thread::Result<R>)>,
) {
    loop {
        let next = inbox.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((number, job)) = next else { return };
        let result = catch_unwind(AssertUnwindSafe(|| work(job)));
        if outbox.send((number, result)).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_comes_out_in_the_order_in_which_it_came_in() {
        for threads in [1, 2, 5] {
            let mut crew = Crew::of(threads, |number: u64| (0..(number * 7919) % 1000).sum::<u64>() + number);
            let alone: Vec<u64> =
                (0..200).map(|number: u64| (0..(number * 7919) % 1000).sum::<u64>() + number).collect();
            let mut found = Vec::new();
            for number in 0..200 {
                crew.take(number, |made| found.push(made));
            }
            crew.finish(|made| found.push(made));
            assert_eq!(found, alone, "{threads}");
        }
    }

    #[test]
    fn items_come_out_in_their_order_by_however_many_threads() {
        let items: Vec<usize> = (0..1000).collect();
        for threads in [1, 2, 3, 300] {
            assert_eq!(each(threads, &items, |item| item * 2), items.iter().map(|item| item * 2).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_panic_of_a_thread_is_one_of_who_waits_for_it() {
        let mut crew = Crew::of(2, |number: u64| assert_ne!(number, 1, "boom"));
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            (0..8).for_each(|number| crew.take(number, |()| ()));
            crew.finish(|()| ());
        }));
        assert!(outcome.is_err());
    }
}
