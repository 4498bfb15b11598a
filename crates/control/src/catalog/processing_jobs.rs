//! Processing jobs: what was asked for is the resource; how far it has come is here.

use captura_names::{ResourceKind, Timestamp};
use captura_wire::hosting::{CreateProcessingJob, ProcessingJobStatus};
use rusqlite::{OptionalExtension, Row, params};

use super::{CatalogError, Work};

/// Most jobs that have ended and are remembered; beyond, the oldest are forgotten.
const ENDED_MAX: i64 = 20_000;

/// A processing job with its state.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct JobRow {
    /// Its row; never used again for another one.
    pub(crate) id: i64,
    /// Region of the request that created it.
    pub(crate) region: String,
    /// What was asked for, without its tags.
    pub(crate) request: CreateProcessingJob,
    /// When it was asked for.
    pub(crate) created_at: Timestamp,
    /// Its status.
    pub(crate) status: ProcessingJobStatus,
    /// When its state last changed.
    pub(crate) modified_at: Timestamp,
    /// How often it was begun.
    pub(crate) attempts: u32,
    /// The monitoring schedule that asked for it.
    pub(crate) schedule_arn: Option<String>,
    /// When it was begun.
    pub(crate) started_at: Option<Timestamp>,
    /// When it ended.
    pub(crate) ended_at: Option<Timestamp>,
    /// What the program left to be told.
    pub(crate) exit_message: Option<String>,
    /// Why it did not do what was asked.
    pub(crate) failure_reason: Option<String>,
}

/// The end of a job.
#[derive(Debug, Clone)]
pub(crate) struct JobChange {
    /// The job.
    pub(crate) id: i64,
    /// Its new status.
    pub(crate) to: ProcessingJobStatus,
    /// What the program left to be told.
    pub(crate) exit_message: Option<String>,
    /// Why it did not do what was asked.
    pub(crate) failure_reason: Option<String>,
    /// Now.
    pub(crate) at: Timestamp,
}

const COLUMNS: &str = "r.id, r.region, r.definition, r.created_us, j.status, j.modified_us, j.attempts, j.schedule_arn,
    j.started_us, j.ended_us, j.exit_message, j.failure_reason
    FROM resource r JOIN processing_job j ON j.resource_id = r.id";

impl Work<'_> {
    /// Gives a new job its first state: it waits. The oldest of too many that have ended are forgotten.
    pub(crate) fn begin_processing_job(
        &self,
        id: i64,
        schedule_arn: Option<&str>,
        at: Timestamp,
    ) -> Result<(), CatalogError> {
        self.transaction.execute(
            "INSERT INTO processing_job (resource_id, status, modified_us, attempts, schedule_arn)
             VALUES (?1, ?2, ?3, 0, ?4)",
            params![id, ProcessingJobStatus::InProgress.as_str(), at.unix_us(), schedule_arn],
        )?;
        self.tell_of_job(id)?;
        self.transaction.execute(
            "DELETE FROM resource WHERE id IN (SELECT resource_id FROM processing_job WHERE ended_us IS NOT NULL
             ORDER BY resource_id DESC LIMIT -1 OFFSET ?1)",
            [ENDED_MAX],
        )?;
        Ok(())
    }

    /// The job of that name, case ignored.
    pub(crate) fn processing_job(&self, name: &str) -> Result<Option<JobRow>, CatalogError> {
        let sql = format!("SELECT {COLUMNS} WHERE r.kind = ?1 AND r.name = ?2");
        let mut statement = self.transaction.prepare_cached(&sql)?;
        let row = statement.query_row(params![ResourceKind::ProcessingJob.as_str(), name], |row| Ok(read_row(row)));
        row.optional()?.transpose()
    }

    /// Jobs that have not ended, oldest first. One that cannot be read is left out and logged.
    pub(crate) fn open_processing_jobs(&self) -> Result<Vec<JobRow>, CatalogError> {
        let sql = format!("SELECT {COLUMNS} WHERE j.status IN ('InProgress', 'Stopping') ORDER BY r.id");
        let mut statement = self.transaction.prepare_cached(&sql)?;
        let rows = statement.query_map([], |row| Ok(read_row(row)))?;
        let mut jobs = Vec::new();
        for row in rows {
            match row? {
                Ok(job) => jobs.push(job),
                Err(error) => tracing::error!(%error, "a processing job of the catalog is left out"),
            }
        }
        Ok(jobs)
    }

    /// How many jobs have not ended.
    pub(crate) fn count_open_processing_jobs(&self) -> Result<u32, CatalogError> {
        let mut statement = self
            .transaction
            .prepare_cached("SELECT count(*) FROM processing_job WHERE status IN ('InProgress', 'Stopping')")?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }

    /// A waiting job begins; `false` when it was stopped meanwhile.
    pub(crate) fn start_processing_job(&self, id: i64, at: Timestamp) -> Result<bool, CatalogError> {
        let changed = self.transaction.execute(
            "UPDATE processing_job SET attempts = attempts + 1, started_us = ?2, modified_us = ?2
             WHERE resource_id = ?1 AND status = 'InProgress'",
            params![id, at.unix_us()],
        )?;
        Ok(changed > 0)
    }

    /// A job shall end early; `false` when it has ended, or is asked already.
    pub(crate) fn stop_processing_job(&self, id: i64, at: Timestamp) -> Result<bool, CatalogError> {
        let changed = self.transaction.execute(
            "UPDATE processing_job SET status = 'Stopping', modified_us = ?2
             WHERE resource_id = ?1 AND status = 'InProgress'",
            params![id, at.unix_us()],
        )?;
        if changed > 0 {
            self.tell_of_job(id)?;
        }
        Ok(changed > 0)
    }

    /// A job has ended.
    pub(crate) fn end_processing_job(&self, change: &JobChange) -> Result<(), CatalogError> {
        let changed = self.transaction.execute(
            "UPDATE processing_job SET status = ?2, exit_message = ?3, failure_reason = ?4, ended_us = ?5,
             modified_us = ?5 WHERE resource_id = ?1 AND ended_us IS NULL",
            params![change.id, change.to.as_str(), change.exit_message, change.failure_reason, change.at.unix_us()],
        )?;
        if changed > 0 {
            self.tell_of_job(change.id)?;
        }
        Ok(())
    }

    /// Tells of a job's state, when that is durable. One that cannot be read is not told of, and logged where it is read next.
    fn tell_of_job(&self, id: i64) -> Result<(), CatalogError> {
        let sql = format!("SELECT {COLUMNS} WHERE r.id = ?1");
        let mut statement = self.transaction.prepare_cached(&sql)?;
        let row = statement.query_row([id], |row| Ok(read_row(row))).optional()?;
        if let Some(Ok(job)) = row {
            let notice = self.notices.job_state_change(&job, &self.tags(id)?);
            self.keep_notice(&notice)?;
        }
        Ok(())
    }
}

fn read_row(row: &Row<'_>) -> Result<JobRow, CatalogError> {
    let id: i64 = row.get(0)?;
    let unreadable = |what: &'static str, reason: String| CatalogError::Unreadable { what, row: id, reason };
    let definition: String = row.get(2)?;
    let status: String = row.get(4)?;
    let moment = |us: Option<i64>| us.map(Timestamp::from_unix_us);
    Ok(JobRow {
        id,
        region: row.get(1)?,
        request: serde_json::from_str(&definition).map_err(|error| unreadable("processing job", error.to_string()))?,
        created_at: Timestamp::from_unix_us(row.get(3)?),
        status: ProcessingJobStatus::parse(&status).ok_or_else(|| unreadable("status", status))?,
        modified_at: Timestamp::from_unix_us(row.get(5)?),
        attempts: row.get(6)?,
        schedule_arn: row.get(7)?,
        started_at: moment(row.get(8)?),
        ended_at: moment(row.get(9)?),
        exit_message: row.get(10)?,
        failure_reason: row.get(11)?,
    })
}
