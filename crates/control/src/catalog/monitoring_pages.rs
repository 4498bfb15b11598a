//! Lists of job definitions, schedules, executions and what became of alerts, page by page.

use captura_names::{ResourceKind, Timestamp};
use captura_wire::hosting::MonitoringType;
use rusqlite::types::Value as Sql;
use rusqlite::{Row, params_from_iter};

use super::monitoring::{EXECUTION_COLUMNS, ExecutionRow, read_execution};
use super::pages::{Cursor, CursorKey};
use super::{CatalogError, Work};

/// In which order, from where, and how much.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// Column that rows are ordered by.
    pub(crate) key: &'static str,
    pub(crate) descending: bool,
    pub(crate) after: Option<Cursor>,
    pub(crate) limit: u32,
}

/// Conditions on rows, and their values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    clauses: Vec<&'static str>,
    values: Vec<Sql>,
}

impl Filter {
    /// Adds a condition with one `?`, where there is a value for it.
    pub(crate) fn text(mut self, clause: &'static str, value: Option<impl Into<String>>) -> Self {
        if let Some(value) = value {
            self.clauses.push(clause);
            self.values.push(Sql::Text(value.into()));
        }
        self
    }

    /// The same with a moment.
    pub(crate) fn moment(mut self, clause: &'static str, value: Option<Timestamp>) -> Self {
        if let Some(value) = value {
            self.clauses.push(clause);
            self.values.push(Sql::Integer(value.unix_us()));
        }
        self
    }
}

/// A job definition in a list.
#[derive(Debug, Clone)]
pub(crate) struct ListedDefinition {
    pub(crate) name: String,
    pub(crate) region: String,
    pub(crate) created_at: Timestamp,
    pub(crate) endpoint: Option<String>,
}

/// A schedule in a list.
#[derive(Debug, Clone)]
pub(crate) struct ListedSchedule {
    pub(crate) name: String,
    pub(crate) region: String,
    pub(crate) created_at: Timestamp,
    pub(crate) modified_at: Timestamp,
    pub(crate) status: String,
    pub(crate) endpoint: Option<String>,
    pub(crate) monitoring_type: String,
    pub(crate) job_definition: Option<String>,
}

/// Something that became of an alert.
#[derive(Debug, Clone)]
pub(crate) struct ListedAlertChange {
    pub(crate) schedule: String,
    pub(crate) alert: String,
    pub(crate) created_at: Timestamp,
    pub(crate) status: String,
}

impl Work<'_> {
    /// A page of the job definitions of a type.
    pub(crate) fn job_definitions(
        &self,
        monitoring_type: MonitoringType,
        filter: Filter,
        order: &Order,
    ) -> Result<Vec<(ListedDefinition, Cursor)>, CatalogError> {
        let filter = filter.text("r.kind = ?", Some(monitoring_type.kind().as_str()));
        let endpoint =
            format!("json_extract(r.definition, '$.{}JobInput.EndpointInput.EndpointName')", monitoring_type.as_str());
        let select = format!("r.name, r.region, r.created_us, {endpoint} AS endpoint FROM resource r");
        self.listed((&select, "r.name"), filter, order, |row| {
            Ok(ListedDefinition {
                name: row.get(2)?,
                region: row.get(3)?,
                created_at: Timestamp::from_unix_us(row.get(4)?),
                endpoint: row.get(5)?,
            })
        })
    }

    /// A page of the schedules.
    pub(crate) fn schedules(
        &self,
        filter: Filter,
        order: &Order,
    ) -> Result<Vec<(ListedSchedule, Cursor)>, CatalogError> {
        let filter = filter.text("r.kind = ?", Some(ResourceKind::MonitoringSchedule.as_str()));
        let select = "r.name, r.region, r.created_us, m.modified_us, m.status, m.endpoint, m.monitoring_type,
             m.job_definition FROM resource r JOIN monitoring_schedule m ON m.resource_id = r.id";
        self.listed((select, "r.name"), filter, order, |row| {
            Ok(ListedSchedule {
                name: row.get(2)?,
                region: row.get(3)?,
                created_at: Timestamp::from_unix_us(row.get(4)?),
                modified_at: Timestamp::from_unix_us(row.get(5)?),
                status: row.get(6)?,
                endpoint: row.get(7)?,
                monitoring_type: row.get(8)?,
                job_definition: row.get(9)?,
            })
        })
    }

    /// A page of the executions.
    pub(crate) fn executions(
        &self,
        filter: Filter,
        order: &Order,
    ) -> Result<Vec<(ExecutionRow, Cursor)>, CatalogError> {
        // Columns of an execution are read by their place, which the two in front would move.
        let ids = self.listed(("e.id FROM monitoring_execution e", "printf('%020d', e.id)"), filter, order, |row| {
            row.get::<_, i64>(2)
        })?;
        let mut found = Vec::new();
        for (id, cursor) in ids {
            let sql = format!("SELECT {EXECUTION_COLUMNS} FROM monitoring_execution e WHERE e.id = ?1");
            let mut statement = self.transaction.prepare_cached(&sql)?;
            found.push((statement.query_row([id], |row| Ok(read_execution(row)))??, cursor));
        }
        Ok(found)
    }

    /// A page of what became of alerts.
    pub(crate) fn alert_changes(
        &self,
        filter: Filter,
        order: &Order,
    ) -> Result<Vec<(ListedAlertChange, Cursor)>, CatalogError> {
        let select = "a.schedule, a.alert, a.created_us, a.status FROM monitoring_alert_change a";
        self.listed((select, "printf('%020d', a.id)"), filter, order, |row| {
            Ok(ListedAlertChange {
                schedule: row.get(2)?,
                alert: row.get(3)?,
                created_at: Timestamp::from_unix_us(row.get(4)?),
                status: row.get(5)?,
            })
        })
    }

    /// Rows with what they are ordered by: the key, and the tie that makes it unique.
    fn listed<T>(
        &self,
        (select, tie): (&str, &str),
        mut filter: Filter,
        order: &Order,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<(T, Cursor)>, CatalogError> {
        let key = order.key;
        let (comparison, direction) = if order.descending { ("<", "DESC") } else { (">", "ASC") };
        let mut conditions: Vec<String> = filter.clauses.iter().map(ToString::to_string).collect();
        if let Some(after) = &order.after {
            conditions.push(format!("({key}, {tie}) {comparison} (?, ?)"));
            filter.values.push(match &after.key {
                CursorKey::Integer(number) => Sql::Integer(*number),
                CursorKey::Text(text) => Sql::Text(text.clone()),
            });
            filter.values.push(Sql::Text(after.name.clone()));
        }
        let conditions = if conditions.is_empty() { "1".to_owned() } else { conditions.join(" AND ") };
        let sql = format!(
            "SELECT {key}, {tie}, {select} WHERE {conditions} ORDER BY {key} {direction}, {tie} {direction} LIMIT {}",
            order.limit
        );
        let mut statement = self.transaction.prepare_cached(&sql)?;
        let rows = statement.query_map(params_from_iter(&filter.values), |row| {
            let key = match row.get(0)? {
                Sql::Integer(number) => CursorKey::Integer(number),
                Sql::Text(text) => CursorKey::Text(text),
                other => return Err(rusqlite::Error::InvalidColumnType(0, "sort key".into(), other.data_type())),
            };
            Ok((read(row)?, Cursor { key, name: row.get(1)? }))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
