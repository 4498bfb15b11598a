//! The catalog: what was asked for, and how far reality has followed. SQLite, in one file.
//!
//! Write-ahead log with `synchronous = FULL`: an answered intent survives power loss. There is one connection, behind a
//! mutex that is only taken on blocking threads; every act is one immediate transaction, so what an operation checks
//! still holds when it writes.
//!
//! Invariant: SQL stands in this folder and nowhere else. Refuses to: open with a library that may corrupt a
//! write-ahead log, or a file that a newer captura has written.
//!
//! ```text
//! resource        id, kind, name (unique per kind without regard to case), region, created_us, definition (JSON)
//! endpoint_state  resource_id, status, failure_reason, modified_us, current (JSON), pending (JSON),
//!                 rollout (JSON)
//! processing_job  resource_id, status, modified_us, attempts, schedule_arn, started_us, ended_us, exit_message,
//!                 failure_reason
//! tag             resource_id, key, value
//! notice          id, event (JSON)
//! monitoring_schedule      resource_id, status, wanted, failure_reason, modified_us, due_us, endpoint,
//!                          monitoring_type, job_definition
//! monitoring_execution     id, schedule_id and scheduled_us (unique together: the claim), schedule, region, created_us,
//!                          modified_us, status, monitoring_type, endpoint, job_definition, merge_job, processing_job,
//!                          failure_reason, plan (JSON)
//! monitoring_alert         schedule_id, name, created_us, modified_us, status, datapoints, period
//! monitoring_alert_change  id, schedule, alert, created_us, status
//! ```

mod components;
mod endpoints;
mod migrations;
mod monitoring;
mod monitoring_pages;
mod notices;
mod pages;
mod processing_jobs;
mod resources;
mod tags;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};

pub(crate) use components::ComponentRow;
pub(crate) use endpoints::{EndpointRow, StateChange};
pub(crate) use monitoring::{
    AlertStatus, Claim, ExecutionRow, ExecutionStatus, Plan, ScheduleRow, ScheduleState, ScheduleStatus,
};
pub(crate) use monitoring_pages::{Filter, Order};
pub(crate) use pages::{Cursor, Listed, PageQuery};
pub(crate) use processing_jobs::{JobChange, JobRow};
pub(crate) use resources::{NewResource, Resource};

use crate::notice::Notices;

/// Oldest SQLite whose write-ahead log is sound: before it, two checkpoints at once could corrupt the file.
const OLDEST_SQLITE: i32 = 3_051_003;
/// How long a statement waits for a lock that another process holds, e.g. a backup.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a catalog cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The SQLite in this program is too old.
    #[error("SQLite {found} may corrupt its write-ahead log; at least 3.51.3 is needed")]
    OldSqlite {
        /// Its version.
        found: &'static str,
    },
    /// A newer captura wrote the file.
    #[error("the catalog {path} has version {found}, this program knows up to {known}: run the captura that wrote it")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// Newest known version.
        known: i64,
    },
    /// SQLite refused.
    #[error("the catalog {path} cannot be opened: {source}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Its words.
        source: rusqlite::Error,
    },
}

/// Why an act on the catalog failed.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The catalog has been closed.
    #[error("the catalog is closed")]
    Closed,
    /// SQLite refused.
    #[error("the catalog failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A row does not hold what this program writes.
    #[error("the catalog holds an unreadable {what} in row {row}: {reason}")]
    Unreadable {
        /// What it should be.
        what: &'static str,
        /// Its row.
        row: i64,
        /// Why not.
        reason: String,
    },
}

/// The catalog. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Catalog {
    connection: Arc<Mutex<Option<Connection>>>,
    notices: Notices,
}

/// One transaction.
pub(crate) struct Work<'a> {
    transaction: Transaction<'a>,
    notices: &'a Notices,
    /// Whether there is something to tell once all this is durable.
    has_news: Cell<bool>,
}

impl Catalog {
    /// Opens the file, creating or migrating it.
    pub(crate) fn open(path: &Path, notices: Notices) -> Result<Self, OpenError> {
        if rusqlite::version_number() < OLDEST_SQLITE {
            return Err(OpenError::OldSqlite { found: rusqlite::version() });
        }
        let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
        let mut connection = Connection::open(path).map_err(sqlite)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(sqlite)?;
        let configure = || {
            connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.pragma_update(None, "foreign_keys", true)
        };
        configure().map_err(sqlite)?;
        migrations::run(&mut connection, path)?;
        Ok(Self { connection: Arc::new(Mutex::new(Some(connection))), notices })
    }

    /// Runs one act as a transaction on a blocking thread: committed when it returns `Ok`, else undone.
    pub(crate) async fn run<T, E>(&self, act: impl FnOnce(&Work<'_>) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<CatalogError> + Send + 'static,
    {
        let catalog = self.clone();
        let task = tokio::task::spawn_blocking(move || catalog.run_blocking(act));
        // The task ends in a panic only when `act` does, and is cancelled only when the runtime goes down.
        task.await.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(CatalogError::Closed.into()),
        })
    }

    fn run_blocking<T, E: From<CatalogError>>(&self, act: impl FnOnce(&Work<'_>) -> Result<T, E>) -> Result<T, E> {
        // A panic inside an act has rolled its transaction back, so the connection is still sound.
        let mut guard = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = guard.as_mut().ok_or(CatalogError::Closed)?;
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(CatalogError::from)?;
        let work = Work { transaction, notices: &self.notices, has_news: Cell::new(false) };
        let result = act(&work)?;
        let Work { transaction, has_news, .. } = work;
        transaction.commit().map_err(CatalogError::from)?;
        if has_news.get() {
            (self.notices.bell)();
        }
        Ok(result)
    }

    /// Closes the file; later acts fail with [`CatalogError::Closed`].
    pub(crate) async fn close(&self) {
        let catalog = self.clone();
        let closing = tokio::task::spawn_blocking(move || {
            let connection = catalog.connection.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(Err((_, error))) = connection.map(Connection::close) {
                tracing::warn!(%error, "the catalog did not close cleanly; it is recovered at the next start");
            }
        });
        if closing.await.is_err() {
            tracing::warn!("the runtime ended before the catalog was closed; it is recovered at the next start");
        }
    }
}
