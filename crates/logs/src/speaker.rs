//! Saying without waiting: a bounded queue, and one thread that writes.
//!
//! Invariant: whoever speaks never waits for a disk. What does not fit into the queue is lost and counted, as is what cannot
//! be written.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use captura_tasks::Tasks;

use crate::store::Store;

/// Lines that wait to be written.
const WAITING_MAX: usize = 8_192;

/// A line on its way to its stream.
struct Line {
    group: Arc<str>,
    stream: String,
    message: String,
}

/// Says things in one group without waiting. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Speaker {
    group: Arc<str>,
    lines: SyncSender<Option<Line>>,
    store: Arc<Store>,
}

/// The thread that writes.
#[derive(Debug)]
pub struct Writing {
    lines: SyncSender<Option<Line>>,
    store: Arc<Store>,
    thread: JoinHandle<()>,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("group", &self.group).field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl Writing {
    pub(crate) fn start(store: Arc<Store>, tasks: Tasks) -> std::io::Result<Self> {
        let (lines, written) = sync_channel(WAITING_MAX);
        let keeper = Arc::clone(&store);
        let work = move || tasks.run("logs", || write(&keeper, &written));
        let thread = std::thread::Builder::new().name("logs".into()).spawn(work)?;
        Ok(Self { lines, store, thread })
    }

    /// A speaker in that group.
    #[must_use]
    pub fn speaker(&self, group: &str) -> Speaker {
        Speaker { group: group.into(), lines: self.lines.clone(), store: Arc::clone(&self.store) }
    }

    /// Waits until everything is written that was said before; what is said later is lost and counted. Blocks.
    pub fn close(self) {
        // The thread is gone only by a panic, which the hook has reported; what it had not written is lost.
        drop(self.lines.send(None));
        drop(self.thread.join());
    }
}

fn write(store: &Store, lines: &Receiver<Option<Line>>) {
    while let Ok(Some(line)) = lines.recv() {
        store.say(&line.group, &line.stream, &line.message);
    }
}

impl Speaker {
    /// A speaker in another group.
    #[must_use]
    pub fn in_group(&self, group: &str) -> Self {
        Self { group: group.into(), ..self.clone() }
    }

    /// Says a line in a stream, which comes into being.
    pub fn say(&self, stream: &str, message: String) {
        let line = Line { group: Arc::clone(&self.group), stream: stream.to_owned(), message };
        if self.lines.try_send(Some(line)).is_err() {
            self.store.lose(&self.group, stream, "more is said than can be written");
        }
    }
}
