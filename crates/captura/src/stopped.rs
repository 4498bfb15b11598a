//! Journal and archive of a data directory whose server is stopped, opened for work that a server does otherwise.
//!
//! Invariant: it is a start and a stop as the server's, without anybody who calls: the lock is held, the journal recovers,
//! and what is done is in the book and on the disk after [`Stopped::close`].
//! Refuses to: work beside a running server.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use captura_archive::Archiving;
use captura_capture::Capture;
use captura_route::{Clock, Held, MemoryBudget};
use captura_tasks::Tasks;

use crate::config::Config;
use crate::privacy::{Erasers, Privacy};
use crate::{consumers, serve};

/// How long the archive may go on with what is sealed.
const ARCHIVE_DEADLINE: Duration = Duration::from_secs(30);

/// An open data directory.
pub(crate) struct Stopped {
    capture: Capture,
    archiving: Archiving,
    /// What erases.
    pub(crate) erasers: Erasers,
    _uploads_memory: Held,
}

impl Stopped {
    /// Opens the data directory of the configuration.
    pub(crate) fn open(config: &Arc<Config>) -> anyhow::Result<Self> {
        let data_dir = &config.server.data_dir;
        anyhow::ensure!(data_dir.exists(), "there is no data directory {}", data_dir.display());
        let (clock, tasks) = (Clock::system(), Tasks::default());
        let memory = MemoryBudget::new(config.limits.memory_budget.0);
        let (capture, consumers) = serve::open_capture(config, &memory, &clock)?;
        let stores = crate::cloud::stores(data_dir, config.stores.clone());
        let journal = consumers::counted(&capture, &consumers);
        let (uploader, uploads_memory) = serve::uploader(config, &memory, (journal, &stores), (&clock, &tasks))?;
        let archiving = uploader.start().context("the archive cannot begin its work")?;
        let erasers = Privacy::open(config, &clock)?.erasers(config, (&capture, &stores), &clock);
        Ok(Self { capture, archiving, erasers, _uploads_memory: uploads_memory })
    }

    /// Closes it as a server does.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        self.capture.close().await.context("the journal could not be closed cleanly")?;
        // What is not confirmed is still in the journal.
        let _ = self.archiving.stop(ARCHIVE_DEADLINE).await;
        Ok(())
    }
}
