//! The book at work: calls come in from all threads, one thread writes it down.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use captura_capture::journal::reader::SegmentReader;
use captura_capture::{SealedSegment, Seen, Witness};
use captura_tasks::Tasks;

use crate::book::{Book, Consumer, OTHERS, Total};
use crate::file::{self, BookError};

/// How often the book is written down at least, while there are calls.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);
/// Writing takes at most one part in so many of the time; a large book on a slow disk is written more rarely.
const FLUSH_SHARE: u32 = 20;
/// Most consumers with metrics of their own: those that called first. The others have theirs together.
const METERED_MAX: usize = 50;

/// All consumers. A cheap handle.
#[derive(Debug, Clone)]
pub struct Consumers(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    state: Mutex<State>,
    /// Held while the book is written, so that an older one never replaces a newer.
    writing: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    book: Book,
    is_dirty: bool,
}

impl Witness for Consumers {
    fn saw(&self, seen: &Seen<'_>) {
        let mut state = self.state();
        state.book.saw(seen);
        state.is_dirty = true;
    }
}

impl Consumers {
    /// Reads the book in that folder, or begins one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(folder: &Path) -> Result<Self, BookError> {
        let book = file::read(folder)?.unwrap_or_default();
        let state = Mutex::new(State { book, is_dirty: false });
        Ok(Self(Arc::new(Shared { folder: folder.to_owned(), state, writing: Mutex::default() })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the calls out of the journal that the book does not have, because the server was killed before it was written.
    /// Comes before the first call of this run of the server. Gives how many there were.
    ///
    /// # Errors
    /// When the book cannot be written. Segments that cannot be read are passed over: the journal has told of them.
    pub fn recover(&self, segments: &[SealedSegment], (node, epoch): (u32, u32)) -> Result<u64, BookError> {
        let mut recovered = 0;
        {
            let mut state = self.state();
            for segment in segments {
                if state.book.has_all_below(segment.node, segment.name.epoch, segment.end_n) {
                    continue;
                }
                let Ok(records) = SegmentReader::open(&segment.path) else { continue };
                for record in records.flatten() {
                    if !state.book.has(record.lsn) {
                        state.book.recover(&record);
                        recovered += 1;
                    }
                }
            }
            state.book.begin(node, epoch);
            state.is_dirty = true;
        }
        self.flush().map_err(|source| BookError::File { path: self.0.folder.clone(), source })?;
        Ok(recovered)
    }

    /// Writes the book down, if there is anything new in it. Must come before records leave the journal.
    ///
    /// # Errors
    /// When the disk fails; the book is as it was then, and written at the next time.
    pub fn flush(&self) -> io::Result<()> {
        let _writing = self.0.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = {
            let mut state = self.state();
            if !std::mem::take(&mut state.is_dirty) {
                return Ok(());
            }
            file::bytes(&state.book)
        };
        file::replace(&self.0.folder, &bytes).inspect_err(|_| self.state().is_dirty = true)
    }

    /// Begins to write the book down by itself; a panic on the way is counted, and the writing begun again.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(&self, tasks: &Tasks) -> io::Result<Flushing> {
        let (stop, stopped) = sync_channel(1);
        let (consumers, tasks) = (self.clone(), tasks.clone());
        let keep = move || tasks.run("consumers", || consumers.keep_flushing(&stopped));
        let thread = std::thread::Builder::new().name("consumers".into()).spawn(keep)?;
        Ok(Flushing { stop, thread })
    }

    fn keep_flushing(&self, stopped: &Receiver<()>) {
        let mut interval = FLUSH_INTERVAL;
        let mut has_failed = false;
        loop {
            let ends = !matches!(stopped.recv_timeout(interval), Err(RecvTimeoutError::Timeout));
            let begun = Instant::now();
            match self.flush() {
                Ok(()) => has_failed = false,
                Err(error) if !has_failed => {
                    has_failed = true;
                    tracing::warn!(%error, "the book of consumers cannot be written; a kill would lose calls without records");
                }
                Err(_) => {}
            }
            if ends {
                return;
            }
            interval = FLUSH_INTERVAL.max(begun.elapsed() * FLUSH_SHARE);
        }
    }

    /// All consumers as they are now, in the order in which they first called, and the sums over them.
    #[must_use]
    pub fn list(&self) -> (Vec<Consumer>, Total) {
        let state = self.state();
        (state.book.consumers.clone(), state.book.total())
    }

    /// Appends the metrics: OpenMetrics lines, without the closing `# EOF`.
    pub fn scrape(&self, text: &mut String) {
        let (mut lines, mut others) = (Vec::new(), None);
        for one in &self.state().book.consumers {
            if lines.len() < METERED_MAX && one.name != OTHERS {
                lines.push((escaped(&one.name), one.calls, one.errors));
            } else {
                let (calls, errors) = others.unwrap_or_default();
                others = Some((calls + one.calls, errors + one.errors));
            }
        }
        lines.extend(others.map(|(calls, errors): (u64, u64)| (OTHERS.to_owned(), calls, errors)));
        text.push_str(
            "# HELP captura_consumer_requests Concluded calls by consumer, since the book of consumers began.\n",
        );
        text.push_str("# TYPE captura_consumer_requests counter\n");
        for (name, calls, _) in &lines {
            let _ = writeln!(text, "captura_consumer_requests_total{{consumer=\"{name}\"}} {calls}");
        }
        text.push_str("# HELP captura_consumer_errors Of those, calls that the model did not answer.\n");
        text.push_str("# TYPE captura_consumer_errors counter\n");
        for (name, _, errors) in &lines {
            let _ = writeln!(text, "captura_consumer_errors_total{{consumer=\"{name}\"}} {errors}");
        }
    }
}

/// The value of a label.
fn escaped(name: &str) -> String {
    name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// The thread that writes the book down.
#[derive(Debug)]
pub struct Flushing {
    stop: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Flushing {
    /// Writes the book down once more, and ends.
    pub fn stop(self) {
        let _ = self.stop.try_send(());
        if self.thread.join().is_err() {
            tracing::error!("our bug: the book of consumers could not be closed");
        }
    }
}

#[cfg(test)]
mod tests;
