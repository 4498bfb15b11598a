//! Monitoring schedules, their executions, and their alerts.
//!
//! An execution is claimed by its row: schedule and scheduled time are unique together, so that of several that want to run
//! it one does. Rows of executions and of what became of alerts stay when their schedule goes.

use captura_names::{ResourceKind, Timestamp};
use captura_wire::hosting::MonitoringType;
use rusqlite::{ErrorCode, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{CatalogError, Work};

/// Most executions that are remembered; beyond, the oldest of those that have ended are forgotten.
const EXECUTIONS_MAX: i64 = 100_000;
/// Most changes of alerts that are remembered.
const ALERT_CHANGES_MAX: i64 = 100_000;

macro_rules! status {
    ($(#[$doc:meta])* $name:ident { $($(#[$each:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $name { $($(#[$each])* $variant),+ }

        impl $name {
            /// As clients read it.
            pub(crate) fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            fn parse(text: &str) -> Option<Self> {
                [$(Self::$variant),+].into_iter().find(|one| one.as_str() == text)
            }
        }
    };
}

status! {
    /// State of a schedule.
    ScheduleStatus {
        /// Something was asked for and is not so yet.
        Pending = "Pending",
        /// It cannot go on.
        Failed = "Failed",
        /// Executions begin when it is time.
        Scheduled = "Scheduled",
        /// None begin.
        Stopped = "Stopped",
    }
}

status! {
    /// State of an execution.
    ExecutionStatus {
        /// Claimed, and not begun.
        Pending = "Pending",
        /// Its jobs run.
        InProgress = "InProgress",
        /// What was asked holds.
        Completed = "Completed",
        /// It does not.
        CompletedWithViolations = "CompletedWithViolations",
        /// It cannot be said.
        Failed = "Failed",
        /// Its job is being stopped.
        Stopping = "Stopping",
        /// Its job was stopped.
        Stopped = "Stopped",
    }
}

impl ExecutionStatus {
    /// Whether nothing more comes.
    pub(crate) fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::InProgress | Self::Stopping)
    }
}

status! {
    /// State of an alert.
    AlertStatus {
        /// Too many of the newest executions were bad.
        InAlert = "InAlert",
        /// They were not.
        Ok = "OK",
    }
}

/// A schedule with its state.
#[derive(Debug, Clone)]
pub(crate) struct ScheduleRow {
    /// Its row; never used again for another one.
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) region: String,
    pub(crate) created_at: Timestamp,
    /// What was asked for.
    pub(crate) definition: Map<String, Value>,
    pub(crate) state: ScheduleState,
}

/// State of a schedule.
#[derive(Debug, Clone)]
pub(crate) struct ScheduleState {
    pub(crate) status: ScheduleStatus,
    /// What it becomes when nothing stands in the way.
    pub(crate) wanted: ScheduleStatus,
    pub(crate) failure_reason: Option<String>,
    pub(crate) modified_at: Timestamp,
    /// When the next execution is due.
    pub(crate) due_at: Option<Timestamp>,
    /// The endpoint that it looks at.
    pub(crate) endpoint: Option<String>,
    pub(crate) monitoring_type: MonitoringType,
    /// Its job definition, where it has one by name.
    pub(crate) job_definition: Option<String>,
}

/// What an execution does, as it was decided when it was claimed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// The job definition, or the inline one.
    pub(crate) definition: Map<String, Value>,
    /// Whether it is inline.
    pub(crate) is_inline: bool,
    /// Where the time that it looks at begins.
    pub(crate) start: Timestamp,
    /// Where that ends.
    pub(crate) end: Timestamp,
    /// Whether its report needs a folder of its own below that of the hour.
    pub(crate) is_finer_than_hours: bool,
}

/// An execution.
#[derive(Debug, Clone)]
pub(crate) struct ExecutionRow {
    pub(crate) id: i64,
    /// Row of its schedule, which may be gone.
    pub(crate) schedule_id: i64,
    pub(crate) schedule: String,
    pub(crate) region: String,
    pub(crate) scheduled_at: Timestamp,
    pub(crate) created_at: Timestamp,
    pub(crate) modified_at: Timestamp,
    pub(crate) status: ExecutionStatus,
    pub(crate) monitoring_type: MonitoringType,
    pub(crate) endpoint: Option<String>,
    pub(crate) job_definition: Option<String>,
    /// The job that merges captures with labels.
    pub(crate) merge_job: Option<String>,
    /// The job that analyses.
    pub(crate) processing_job: Option<String>,
    pub(crate) failure_reason: Option<String>,
    /// Nothing where it failed before there was a plan.
    pub(crate) plan: Option<Plan>,
}

/// An execution to be claimed.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) scheduled_at: Timestamp,
    pub(crate) at: Timestamp,
    /// What it does, or why it cannot.
    pub(crate) plan: Result<Plan, String>,
}

/// An alert of a schedule.
#[derive(Debug, Clone)]
pub(crate) struct AlertRow {
    pub(crate) name: String,
    pub(crate) created_at: Timestamp,
    pub(crate) modified_at: Timestamp,
    pub(crate) status: AlertStatus,
    pub(crate) datapoints_to_alert: i64,
    pub(crate) evaluation_period: i64,
}

const SCHEDULE_COLUMNS: &str =
    "r.id, r.name, r.region, r.created_us, r.definition, m.status, m.wanted, m.failure_reason,
    m.modified_us, m.due_us, m.endpoint, m.monitoring_type, m.job_definition
    FROM resource r JOIN monitoring_schedule m ON m.resource_id = r.id";
pub(super) const EXECUTION_COLUMNS: &str = "e.id, e.schedule_id, e.schedule, e.region, e.scheduled_us, e.created_us,
    e.modified_us, e.status, e.monitoring_type, e.endpoint, e.job_definition, e.merge_job, e.processing_job,
    e.failure_reason, e.plan";

impl Work<'_> {
    /// Gives a new schedule its state and its alert.
    pub(crate) fn begin_schedule(&self, id: i64, state: &ScheduleState, alert: &str) -> Result<(), CatalogError> {
        self.transaction.execute(
            "INSERT INTO monitoring_schedule (resource_id, status, wanted, modified_us, endpoint, monitoring_type, job_definition)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                id,
                state.status.as_str(),
                state.wanted.as_str(),
                state.modified_at.unix_us(),
                state.endpoint,
                state.monitoring_type.as_str(),
                state.job_definition,
            ],
        )?;
        self.transaction.execute(
            "INSERT INTO monitoring_alert (schedule_id, name, created_us, modified_us, status, datapoints, period)
             VALUES (?1, ?2, ?3, ?3, ?4, 1, 1)",
            params![id, alert, state.modified_at.unix_us(), AlertStatus::Ok.as_str()],
        )?;
        Ok(())
    }

    /// The schedule of that name, case ignored.
    pub(crate) fn schedule(&self, name: &str) -> Result<Option<ScheduleRow>, CatalogError> {
        let sql = format!("SELECT {SCHEDULE_COLUMNS} WHERE r.kind = ?1 AND r.name = ?2");
        let mut statement = self.transaction.prepare_cached(&sql)?;
        let kind = ResourceKind::MonitoringSchedule.as_str();
        statement.query_row(params![kind, name], |row| Ok(read_schedule(row))).optional()?.transpose()
    }

    /// Every schedule that something may have to be done about. One that cannot be read is left out and logged: it must
    /// not keep the others.
    pub(crate) fn active_schedules(&self) -> Result<Vec<ScheduleRow>, CatalogError> {
        let sql = format!("SELECT {SCHEDULE_COLUMNS} WHERE m.status = 'Pending' OR m.due_us IS NOT NULL ORDER BY r.id");
        let mut statement = self.transaction.prepare_cached(&sql)?;
        let rows = statement.query_map([], |row| Ok(read_schedule(row)))?;
        readable(rows, "a monitoring schedule")
    }

    /// Writes a schedule's state.
    pub(crate) fn change_schedule(&self, id: i64, state: &ScheduleState) -> Result<(), CatalogError> {
        self.transaction.execute(
            "UPDATE monitoring_schedule SET status = ?2, wanted = ?3, failure_reason = ?4, modified_us = ?5, due_us = ?6,
             endpoint = ?7, monitoring_type = ?8, job_definition = ?9 WHERE resource_id = ?1",
            params![
                id,
                state.status.as_str(),
                state.wanted.as_str(),
                state.failure_reason,
                state.modified_at.unix_us(),
                state.due_at.map(Timestamp::unix_us),
                state.endpoint,
                state.monitoring_type.as_str(),
                state.job_definition,
            ],
        )?;
        Ok(())
    }

    /// Claims an execution; `false` when somebody has.
    pub(crate) fn claim(&self, schedule: &ScheduleRow, claim: &Claim) -> Result<bool, CatalogError> {
        let (status, reason, plan) = match &claim.plan {
            Ok(plan) => (ExecutionStatus::Pending, None, Some(to_text(plan))),
            Err(reason) => (ExecutionStatus::Failed, Some(reason), None),
        };
        let inserted = self.transaction.execute(
            "INSERT INTO monitoring_execution (schedule_id, schedule, region, scheduled_us, created_us, modified_us, status,
             monitoring_type, endpoint, job_definition, failure_reason, plan)
             VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            params![
                schedule.id,
                schedule.name,
                schedule.region,
                claim.scheduled_at.unix_us(),
                claim.at.unix_us(),
                status.as_str(),
                schedule.state.monitoring_type.as_str(),
                schedule.state.endpoint,
                schedule.state.job_definition,
                reason,
                plan,
            ],
        );
        match inserted {
            Ok(_) => {}
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        self.transaction.execute(
            "DELETE FROM monitoring_execution WHERE id <= ?1 AND status NOT IN ('Pending', 'InProgress', 'Stopping')",
            [self.transaction.last_insert_rowid() - EXECUTIONS_MAX],
        )?;
        Ok(true)
    }

    /// Executions that have not ended, oldest first.
    pub(crate) fn open_executions(&self) -> Result<Vec<ExecutionRow>, CatalogError> {
        let sql = format!(
            "SELECT {EXECUTION_COLUMNS} FROM monitoring_execution e
             WHERE e.status IN ('Pending', 'InProgress', 'Stopping') ORDER BY e.id"
        );
        let mut statement = self.transaction.prepare_cached(&sql)?;
        let rows = statement.query_map([], |row| Ok(read_execution(row)))?;
        readable(rows, "a monitoring execution")
    }

    /// Whether an execution of that schedule has not ended.
    pub(crate) fn has_open_execution(&self, schedule_id: i64) -> Result<bool, CatalogError> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT 1 FROM monitoring_execution
             WHERE schedule_id = ?1 AND status IN ('Pending', 'InProgress', 'Stopping') LIMIT 1",
        )?;
        Ok(statement.query_row([schedule_id], |_| Ok(())).optional()?.is_some())
    }

    /// The newest executions of a schedule, newest first.
    pub(crate) fn newest_executions(&self, schedule_id: i64, limit: i64) -> Result<Vec<ExecutionRow>, CatalogError> {
        let sql = format!(
            "SELECT {EXECUTION_COLUMNS} FROM monitoring_execution e WHERE e.schedule_id = ?1
             ORDER BY e.scheduled_us DESC LIMIT ?2"
        );
        let mut statement = self.transaction.prepare_cached(&sql)?;
        let rows = statement.query_map(params![schedule_id, limit], |row| Ok(read_execution(row)))?;
        readable(rows, "a monitoring execution")
    }

    /// Writes how far an execution has come.
    pub(crate) fn change_execution(&self, row: &ExecutionRow) -> Result<(), CatalogError> {
        self.transaction.execute(
            "UPDATE monitoring_execution SET status = ?2, modified_us = ?3, merge_job = ?4, processing_job = ?5,
             failure_reason = ?6 WHERE id = ?1",
            params![
                row.id,
                row.status.as_str(),
                row.modified_at.unix_us(),
                row.merge_job,
                row.processing_job,
                row.failure_reason,
            ],
        )?;
        Ok(())
    }

    /// The alerts of a schedule.
    pub(crate) fn alerts(&self, schedule_id: i64) -> Result<Vec<AlertRow>, CatalogError> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT name, created_us, modified_us, status, datapoints, period FROM monitoring_alert
             WHERE schedule_id = ?1 ORDER BY name",
        )?;
        let rows = statement.query_map([schedule_id], |row| {
            let status: String = row.get(3)?;
            Ok(AlertRow {
                name: row.get(0)?,
                created_at: Timestamp::from_unix_us(row.get(1)?),
                modified_at: Timestamp::from_unix_us(row.get(2)?),
                // Only what is written here stands there.
                status: AlertStatus::parse(&status).unwrap_or(AlertStatus::Ok),
                datapoints_to_alert: row.get(4)?,
                evaluation_period: row.get(5)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Writes an alert, and what became of it where its status is another one now.
    pub(crate) fn change_alert(&self, schedule: &ScheduleRow, alert: &AlertRow) -> Result<(), CatalogError> {
        let was = self.alerts(schedule.id)?.into_iter().find(|one| one.name == alert.name);
        self.transaction.execute(
            "UPDATE monitoring_alert SET modified_us = ?3, status = ?4, datapoints = ?5, period = ?6
             WHERE schedule_id = ?1 AND name = ?2",
            params![
                schedule.id,
                alert.name,
                alert.modified_at.unix_us(),
                alert.status.as_str(),
                alert.datapoints_to_alert,
                alert.evaluation_period,
            ],
        )?;
        if was.is_some_and(|was| was.status != alert.status) {
            self.transaction.execute(
                "INSERT INTO monitoring_alert_change (schedule, alert, created_us, status) VALUES (?1, ?2, ?3, ?4)",
                params![schedule.name, alert.name, alert.modified_at.unix_us(), alert.status.as_str()],
            )?;
            let oldest = self.transaction.last_insert_rowid() - ALERT_CHANGES_MAX;
            self.transaction.execute("DELETE FROM monitoring_alert_change WHERE id <= ?1", [oldest])?;
        }
        Ok(())
    }
}

fn to_text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("our bug: a plan holds only text, numbers and lists of them")
}

/// What can be read; what cannot is left out and logged.
fn readable<T>(
    rows: impl Iterator<Item = rusqlite::Result<Result<T, CatalogError>>>,
    what: &str,
) -> Result<Vec<T>, CatalogError> {
    let mut found = Vec::new();
    for row in rows {
        match row? {
            Ok(row) => found.push(row),
            Err(error) => tracing::error!(%error, "{what} of the catalog is left out"),
        }
    }
    Ok(found)
}

fn read_schedule(row: &Row<'_>) -> Result<ScheduleRow, CatalogError> {
    let id: i64 = row.get(0)?;
    let unreadable = |what: &'static str, reason: String| CatalogError::Unreadable { what, row: id, reason };
    let definition: String = row.get(4)?;
    let status = |index: usize| -> Result<ScheduleStatus, CatalogError> {
        let text: String = row.get(index)?;
        ScheduleStatus::parse(&text).ok_or_else(|| unreadable("status", text))
    };
    let moment = |us: Option<i64>| us.map(Timestamp::from_unix_us);
    Ok(ScheduleRow {
        id,
        name: row.get(1)?,
        region: row.get(2)?,
        created_at: Timestamp::from_unix_us(row.get(3)?),
        definition: serde_json::from_str(&definition).map_err(|error| unreadable("definition", error.to_string()))?,
        state: ScheduleState {
            status: status(5)?,
            wanted: status(6)?,
            failure_reason: row.get(7)?,
            modified_at: Timestamp::from_unix_us(row.get(8)?),
            due_at: moment(row.get(9)?),
            endpoint: row.get(10)?,
            monitoring_type: read_type(id, row.get(11)?)?,
            job_definition: row.get(12)?,
        },
    })
}

pub(super) fn read_execution(row: &Row<'_>) -> Result<ExecutionRow, CatalogError> {
    let id: i64 = row.get(0)?;
    let unreadable = |what: &'static str, reason: String| CatalogError::Unreadable { what, row: id, reason };
    let (status, plan): (String, Option<String>) = (row.get(7)?, row.get(14)?);
    Ok(ExecutionRow {
        id,
        schedule_id: row.get(1)?,
        schedule: row.get(2)?,
        region: row.get(3)?,
        scheduled_at: Timestamp::from_unix_us(row.get(4)?),
        created_at: Timestamp::from_unix_us(row.get(5)?),
        modified_at: Timestamp::from_unix_us(row.get(6)?),
        status: ExecutionStatus::parse(&status).ok_or_else(|| unreadable("status", status))?,
        monitoring_type: read_type(id, row.get(8)?)?,
        endpoint: row.get(9)?,
        job_definition: row.get(10)?,
        merge_job: row.get(11)?,
        processing_job: row.get(12)?,
        failure_reason: row.get(13)?,
        plan: plan
            .map(|text| serde_json::from_str(&text).map_err(|error| unreadable("plan", error.to_string())))
            .transpose()?,
    })
}

fn read_type(row: i64, text: String) -> Result<MonitoringType, CatalogError> {
    MonitoringType::of(&text).ok_or(CatalogError::Unreadable { what: "monitoring type", row, reason: text })
}
