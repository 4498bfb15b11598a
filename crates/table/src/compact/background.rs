//! Compaction while the server runs, on a thread of its own that gives way to callers.
//!
//! Invariant: cut off anywhere, the next pass goes on. Refuses to: report to anybody but the log.

use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

use captura_archive::archiving::give_way;
use captura_archive::rendering::TablePlan;
use captura_tasks::Tasks;
use tokio::sync::watch;

use super::{CompactError, Compactor, Hours};
use crate::refill::{RefillError, Refiller};

/// Pause between two passes.
const EVERY: Duration = Duration::from_secs(5 * 60);
const THREAD_NAME: &str = "captura-table";

/// Compaction at work.
#[derive(Debug)]
pub struct Compacting {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Compacting {
    /// Begins with what an earlier run left, then looks at the last days again and again. Parts that are owed are made
    /// whether or not there are tables to compact.
    ///
    /// # Errors
    /// When the system gives no thread or runtime.
    pub fn start(compactor: Compactor, tables: Vec<TablePlan>, tasks: &Tasks) -> io::Result<Self> {
        let tasks = tasks.clone();
        let (stop, mut stopped) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().thread_name(THREAD_NAME).build()?;
        let thread = std::thread::Builder::new().name(THREAD_NAME.to_owned()).spawn(move || {
            give_way();
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    // A word that can no longer come means that nobody waits for the work either.
                    _ = stopped.wait_for(|stop| *stop) => {}
                    () = keep_at_work(&compactor, &tables, &tasks) => {}
                }
            });
            // A store that does not answer would hold up the end.
            runtime.shutdown_background();
        })?;
        Ok(Self { stop, thread })
    }

    /// Ends at once.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        let thread = self.thread;
        if !matches!(tokio::task::spawn_blocking(|| thread.join()).await, Ok(Ok(()))) {
            tracing::error!("our bug: compaction panicked; the next start goes on with it");
        }
    }
}

/// A panic is a cut like any other: the next pass goes on.
async fn keep_at_work(compactor: &Compactor, tables: &[TablePlan], tasks: &Tasks) {
    let refiller = compactor.refiller();
    let mut watch = tasks.watch("tables");
    while watch.survive(work(&refiller, compactor, tables)).await.is_none() && !watch.is_closing() {}
}

async fn work(refiller: &Refiller, compactor: &Compactor, tables: &[TablePlan]) {
    loop {
        refill(refiller).await;
        match compactor.pass(tables, Hours::Recent).await {
            Ok(summary) => {
                for error in &summary.errors {
                    tracing::warn!(error, "an hour of a table is not compacted; it is tried again");
                }
                if summary.merged > 0 {
                    tracing::info!(files = summary.merged, parts = summary.parts, "tables are compacted");
                }
            }
            Err(CompactError::Busy) => {}
            Err(error) => tracing::warn!(%error, "tables are not compacted; it is tried again"),
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Makes parts that were given up, as far as their destination takes them again.
async fn refill(refiller: &Refiller) {
    match refiller.pass().await {
        Ok(done) => {
            for error in &done.errors {
                tracing::warn!(error, "a part of a table is still owed; it is tried again");
            }
            if done.parts > 0 {
                tracing::info!(parts = done.parts, records = done.records, "parts of tables that were owed are there");
            }
        }
        Err(RefillError::Busy) => {}
        Err(error) => tracing::warn!(%error, "parts of tables are still owed; it is tried again"),
    }
}
