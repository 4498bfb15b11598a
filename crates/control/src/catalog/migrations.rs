//! Brings the file to the newest version, one step per version, each in one transaction with its number.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::OpenError;

/// Step n leads from version n to n + 1. Steps that have been released are never edited.
const STEPS: &[&str] = &[
    "
    CREATE TABLE resource (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        name TEXT NOT NULL COLLATE NOCASE,
        region TEXT NOT NULL,
        created_us INTEGER NOT NULL,
        definition TEXT NOT NULL,
        UNIQUE (kind, name)
    ) STRICT;
    CREATE TABLE endpoint_state (
        resource_id INTEGER PRIMARY KEY REFERENCES resource (id) ON DELETE CASCADE,
        status TEXT NOT NULL,
        failure_reason TEXT,
        modified_us INTEGER NOT NULL,
        current TEXT,
        pending TEXT
    ) STRICT;
    CREATE TABLE tag (
        resource_id INTEGER NOT NULL REFERENCES resource (id) ON DELETE CASCADE,
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (resource_id, key)
    ) STRICT;
",
    // How far traffic has moved to what is pending; before, there were no steps.
    "ALTER TABLE endpoint_state ADD COLUMN rollout TEXT;",
    // Notices that were not told for certain; before, a kill between a change and its notice lost it.
    "CREATE TABLE notice (id INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL) STRICT;",
    // Processing jobs; before, there were none.
    "
    CREATE TABLE processing_job (
        resource_id INTEGER PRIMARY KEY REFERENCES resource (id) ON DELETE CASCADE,
        status TEXT NOT NULL,
        modified_us INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        schedule_arn TEXT,
        started_us INTEGER,
        ended_us INTEGER,
        exit_message TEXT,
        failure_reason TEXT
    ) STRICT;
    CREATE INDEX processing_job_status ON processing_job (status);
",
    // Monitors; before, there were none.
    "
    CREATE TABLE monitoring_schedule (
        resource_id INTEGER PRIMARY KEY REFERENCES resource (id) ON DELETE CASCADE,
        status TEXT NOT NULL,
        wanted TEXT NOT NULL,
        failure_reason TEXT,
        modified_us INTEGER NOT NULL,
        due_us INTEGER,
        endpoint TEXT COLLATE NOCASE,
        monitoring_type TEXT NOT NULL,
        job_definition TEXT COLLATE NOCASE
    ) STRICT;
    CREATE TABLE monitoring_execution (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        schedule_id INTEGER NOT NULL,
        schedule TEXT NOT NULL COLLATE NOCASE,
        region TEXT NOT NULL,
        scheduled_us INTEGER NOT NULL,
        created_us INTEGER NOT NULL,
        modified_us INTEGER NOT NULL,
        status TEXT NOT NULL,
        monitoring_type TEXT NOT NULL,
        endpoint TEXT COLLATE NOCASE,
        job_definition TEXT COLLATE NOCASE,
        merge_job TEXT,
        processing_job TEXT,
        failure_reason TEXT,
        plan TEXT,
        UNIQUE (schedule_id, scheduled_us)
    ) STRICT;
    CREATE INDEX monitoring_execution_status ON monitoring_execution (status);
    CREATE TABLE monitoring_alert (
        schedule_id INTEGER NOT NULL REFERENCES resource (id) ON DELETE CASCADE,
        name TEXT NOT NULL COLLATE NOCASE,
        created_us INTEGER NOT NULL,
        modified_us INTEGER NOT NULL,
        status TEXT NOT NULL,
        datapoints INTEGER NOT NULL,
        period INTEGER NOT NULL,
        PRIMARY KEY (schedule_id, name)
    ) STRICT;
    CREATE TABLE monitoring_alert_change (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        schedule TEXT NOT NULL COLLATE NOCASE,
        alert TEXT NOT NULL COLLATE NOCASE,
        created_us INTEGER NOT NULL,
        status TEXT NOT NULL
    ) STRICT;
",
];

pub(super) fn run(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let known = STEPS.len() as i64;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sqlite)?;
    let found: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(sqlite)?;
    if found > known {
        return Err(OpenError::Newer { path: path.to_owned(), found, known });
    }
    for step in STEPS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        transaction.execute_batch(step).map_err(sqlite)?;
    }
    transaction.pragma_update(None, "user_version", known).map_err(sqlite)?;
    transaction.commit().map_err(sqlite)
}
