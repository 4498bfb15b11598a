//! The archive at work: threads of its own, so that callers come first.
//!
//! Rendering, hashing and writing objects costs about as much processor time as answering the calls they come from, and
//! nobody waits for it: a sealed segment is durable. On the server's own runtime that work took the callers' turns. It
//! runs on the thread `captura-archive`, whose nice value of 10 leaves it about a tenth of a processor that callers
//! want, and all of one that they do not.
//!
//! A peak that lasts would then starve the archive until the journal is full and records are dropped. So when the
//! journal holds more than a quarter of what it may, the uploader is handed to the thread `captura-archive!` of normal
//! priority, and handed back when it holds less than an eighth. There are two threads, because one that has lowered its
//! priority may not raise it again without privilege. Each has its own runtime, whose helpers for blocking work inherit
//! the priority; a runtime stays alive while the other works, because connections of stores live on it.
//!
//! Where priorities of single threads cannot be set (everywhere but on Linux) both are normal.
//!
//! A panic is a cut like any other: the uploader forgets what it knew, pauses, and finds its work again on the disk.
//!
//! Invariant: one thread at a time has the uploader; it changes hands only between two segments.

use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::journal::Backlog;
use crate::uploader::{Ended, Uploader};

const THREAD_NAME: &str = "captura-archive";
const HURRIED_THREAD_NAME: &str = "captura-archive!";
/// Nice value of the thread that gives way.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;
/// Above this share of what the journal may hold the archive hurries.
const HURRY_ABOVE: u64 = 4;
/// Below this share it gives way again.
const GIVE_WAY_BELOW: u64 = 8;

/// How much the archive insists on its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Callers come first.
    GivesWay,
    /// The journal fills: as urgent as the callers.
    Hurries,
}

impl Pace {
    /// The pace that the backlog asks for, after `self`. Between the two marks it stays.
    pub(crate) fn after(self, backlog: Backlog) -> Self {
        let Backlog { bytes, limit_bytes } = backlog;
        if bytes > limit_bytes / HURRY_ABOVE {
            Self::Hurries
        } else if bytes < limit_bytes / GIVE_WAY_BELOW {
            Self::GivesWay
        } else {
            self
        }
    }

    fn other(self) -> Self {
        match self {
            Self::GivesWay => Self::Hurries,
            Self::Hurries => Self::GivesWay,
        }
    }

    fn thread_name(self) -> &'static str {
        match self {
            Self::GivesWay => THREAD_NAME,
            Self::Hurries => HURRIED_THREAD_NAME,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Work,
    /// Archive once more what is sealed, then end.
    Finish,
    /// End at once.
    BreakOff,
}

/// How the archive ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// Everything that could be archived is.
    Finished,
    /// Time was over. What is not confirmed is still in the journal, and the next start goes on with it.
    BrokenOff,
    /// It panicked to the last, which is a bug of ours; the journal still has what was not confirmed.
    Panicked,
}

/// The uploader at work.
#[derive(Debug)]
pub struct Archiving {
    order: watch::Sender<Order>,
    /// Never gets anything; closes when the threads are done.
    done: mpsc::Receiver<()>,
    threads: Vec<JoinHandle<()>>,
}

/// What each of the two threads holds.
struct Shift {
    pace: Pace,
    inbox: mpsc::Receiver<Uploader>,
    other: mpsc::Sender<Uploader>,
    order: watch::Receiver<Order>,
    _done: mpsc::Sender<()>,
}

impl Uploader {
    /// Begins to upload, on threads of its own, until it is told to stop.
    ///
    /// # Errors
    /// When the system gives no thread or runtime.
    pub fn start(self) -> io::Result<Archiving> {
        let (order, orders) = watch::channel(Order::Work);
        let (done, all_done) = mpsc::channel(1);
        let (to_slow, slow) = mpsc::channel(1);
        let (to_fast, fast) = mpsc::channel(1);
        let first = to_slow.clone();
        let mut threads = Vec::new();
        for (pace, inbox, other) in [(Pace::GivesWay, slow, to_fast), (Pace::Hurries, fast, to_slow)] {
            let shift = Shift { pace, inbox, other, order: orders.clone(), _done: done.clone() };
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().thread_name(pace.thread_name()).build()?;
            let thread = std::thread::Builder::new().name(pace.thread_name().to_owned());
            threads.push(thread.spawn(move || shift.run(runtime))?);
        }
        if first.try_send(self).is_err() {
            unreachable!("our bug: the channel is new and empty");
        }
        Ok(Archiving { order, done: all_done, threads })
    }
}

impl Archiving {
    /// Archives once more what is sealed by now, for `deadline` at most, and ends.
    pub async fn stop(mut self, deadline: Duration) -> Stopped {
        self.order.send_replace(Order::Finish);
        let in_time = tokio::time::timeout(deadline, self.done.recv()).await.is_ok();
        if !in_time {
            self.order.send_replace(Order::BreakOff);
            self.done.recv().await;
        }
        // Both threads have let go of the channel, the last thing they do.
        let panicked = self.threads.into_iter().filter_map(|thread| thread.join().err()).count() > 0;
        match (panicked, in_time) {
            (true, _) => Stopped::Panicked,
            (false, true) => Stopped::Finished,
            (false, false) => Stopped::BrokenOff,
        }
    }
}

impl Shift {
    fn run(mut self, runtime: tokio::runtime::Runtime) {
        if self.pace == Pace::GivesWay {
            give_way();
        }
        let mut broken_off = self.order.clone();
        runtime.block_on(async {
            tokio::select! {
                biased;
                // An order that can no longer come means that nobody waits for the work either.
                _ = broken_off.wait_for(|order| *order == Order::BreakOff) => {}
                () = self.work() => {}
            }
        });
        // A store that does not answer would hold up the end.
        runtime.shutdown_background();
    }

    /// Takes turns with the other thread, until one of the two is done.
    async fn work(&mut self) {
        while let Some(mut uploader) = self.inbox.recv().await {
            let mut watch = uploader.watch();
            let ended = loop {
                let is_last = *self.order.borrow() != Order::Work;
                let finish = async {
                    let _ = self.order.clone().wait_for(|order| *order != Order::Work).await;
                };
                if let Some(ended) = watch.survive(uploader.shift(self.pace, finish)).await {
                    break Some(ended);
                }
                if is_last {
                    break None;
                }
                uploader.begin_anew();
            };
            match ended {
                Some(Ended::Finished) => break,
                None => {
                    self.inbox.close();
                    panic!("our bug: the archive panicked when it was to finish; the log says where");
                }
                Some(Ended::Pace) => {
                    tracing::debug!(pace = ?self.pace.other(), "the archive changes its pace");
                    if self.other.send(uploader).await.is_err() {
                        break;
                    }
                }
            }
        }
        self.inbox.close();
    }
}

/// Lets callers come first on this thread, and on those that it starts.
#[cfg(target_os = "linux")]
pub fn give_way() {
    let nice = rustix::process::getpriority_process(None).map_or(NICE, |now| now.max(NICE));
    if let Err(error) = rustix::process::setpriority_process(None, nice) {
        tracing::debug!(%error, "the archive works at normal priority");
    }
}

/// Priorities of single threads cannot be set here.
#[cfg(not(target_os = "linux"))]
pub fn give_way() {}

#[cfg(test)]
mod tests;
