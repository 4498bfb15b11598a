//! State of endpoints: what is in service, and what is under way.

use captura_names::{EndpointName, ResourceKind, Timestamp};
use captura_wire::hosting::EndpointStatus;
use rusqlite::{OptionalExtension, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{CatalogError, Work};
use crate::deployment::Deployment;
use crate::rollout::Rollout;

/// An endpoint with its state.
#[derive(Debug, Clone)]
pub(crate) struct EndpointRow {
    /// Its row; never used again for another one.
    pub(crate) id: i64,
    /// Its name, case preserved.
    pub(crate) name: EndpointName,
    /// Region of the request that created it.
    pub(crate) region: String,
    /// When it was created.
    pub(crate) created_at: Timestamp,
    /// Its status.
    pub(crate) status: EndpointStatus,
    /// Why it failed, or why the last update did.
    pub(crate) failure_reason: Option<String>,
    /// When its state last changed.
    pub(crate) modified_at: Timestamp,
    /// What is, or at the last start was, in service.
    pub(crate) current: Option<Deployment>,
    /// What is under way.
    pub(crate) pending: Option<Deployment>,
    /// How far traffic has moved to it.
    pub(crate) rollout: Option<Rollout>,
}

/// A change of an endpoint's state.
#[derive(Debug, Clone)]
pub(crate) struct StateChange {
    /// The endpoint.
    pub(crate) id: i64,
    /// The status that it must have for the change to happen.
    pub(crate) from: EndpointStatus,
    /// Its new status.
    pub(crate) to: EndpointStatus,
    /// Its new failure reason.
    pub(crate) failure_reason: Option<String>,
    /// What is in service from now on.
    pub(crate) current: Option<Deployment>,
    /// What is under way from now on.
    pub(crate) pending: Option<Deployment>,
    /// How far traffic has moved to it.
    pub(crate) rollout: Option<Rollout>,
    /// Now.
    pub(crate) at: Timestamp,
}

impl StateChange {
    /// Another number of instances for what is in service; the endpoint stays InService.
    pub(crate) fn scaled(row: EndpointRow, current: Deployment, at: Timestamp) -> Self {
        Self {
            id: row.id,
            from: EndpointStatus::InService,
            to: EndpointStatus::InService,
            failure_reason: row.failure_reason,
            current: Some(current),
            pending: None,
            rollout: None,
            at,
        }
    }
}

pub(super) const COLUMNS: &str =
    "r.id, r.name, r.region, r.created_us, s.status, s.failure_reason, s.modified_us, s.current, s.pending,
    s.rollout
    FROM resource r JOIN endpoint_state s ON s.resource_id = r.id";

impl Work<'_> {
    /// Gives a new endpoint its first state: `Creating`, towards that deployment.
    pub(crate) fn begin_endpoint(&self, id: i64, pending: &Deployment, at: Timestamp) -> Result<(), CatalogError> {
        self.transaction.execute(
            "INSERT INTO endpoint_state (resource_id, status, modified_us, pending) VALUES (?1, ?2, ?3, ?4)",
            params![id, EndpointStatus::Creating.as_str(), at.unix_us(), to_text(pending)],
        )?;
        self.tell(id)
    }

    /// The endpoint of that name, case ignored.
    pub(crate) fn endpoint(&self, name: &str) -> Result<Option<EndpointRow>, CatalogError> {
        let sql = format!("SELECT {COLUMNS} WHERE r.kind = ?1 AND r.name = ?2");
        let mut statement = self.transaction.prepare_cached(&sql)?;
        let row = statement.query_row(params![ResourceKind::Endpoint.as_str(), name], |row| Ok(read_row(row)));
        row.optional()?.transpose()
    }

    /// The endpoint of that row.
    fn endpoint_of_row(&self, id: i64) -> Result<Option<EndpointRow>, CatalogError> {
        let mut statement =
            self.transaction.prepare_cached(&format!("SELECT {COLUMNS} WHERE r.kind = ?1 AND r.id = ?2"))?;
        statement
            .query_row(params![ResourceKind::Endpoint.as_str(), id], |row| Ok(read_row(row)))
            .optional()?
            .transpose()
    }

    /// Tells of an endpoint's state, when that is durable.
    fn tell(&self, id: i64) -> Result<(), CatalogError> {
        if let Some(endpoint) = self.endpoint_of_row(id)? {
            let notice = self.notices.state_change(&endpoint, &self.tags(id)?);
            self.keep_notice(&notice)?;
        }
        Ok(())
    }

    /// Every endpoint, oldest first. One that cannot be read is left out and logged: it must not keep the others from
    /// being served.
    pub(crate) fn endpoints(&self) -> Result<Vec<EndpointRow>, CatalogError> {
        let mut statement =
            self.transaction.prepare_cached(&format!("SELECT {COLUMNS} WHERE r.kind = ?1 ORDER BY r.id"))?;
        let rows = statement.query_map([ResourceKind::Endpoint.as_str()], |row| Ok(read_row(row)))?;
        let mut endpoints = Vec::new();
        for row in rows {
            match row? {
                Ok(endpoint) => endpoints.push(endpoint),
                Err(error) => tracing::error!(%error, "an endpoint of the catalog is left out"),
            }
        }
        Ok(endpoints)
    }

    /// Changes an endpoint's state; `false` when it no longer is in the state that the change starts from.
    pub(crate) fn change_endpoint(&self, change: &StateChange) -> Result<bool, CatalogError> {
        let changed = self.transaction.execute(
            "UPDATE endpoint_state SET status = ?3, failure_reason = ?4, current = ?5, pending = ?6, modified_us = ?7,
             rollout = ?8
             WHERE resource_id = ?1 AND status = ?2",
            params![
                change.id,
                change.from.as_str(),
                change.to.as_str(),
                change.failure_reason,
                change.current.as_ref().map(to_text),
                change.pending.as_ref().map(to_text),
                change.at.unix_us(),
                change.rollout.as_ref().map(to_text),
            ],
        )?;
        if changed > 0 && change.from != change.to {
            self.tell(change.id)?;
        }
        Ok(changed > 0)
    }
}

fn to_text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("our bug: a deployment holds only text, numbers and lists of them")
}

pub(super) fn read_row(row: &Row<'_>) -> Result<EndpointRow, CatalogError> {
    let id: i64 = row.get(0)?;
    let unreadable = |what: &'static str, reason: String| CatalogError::Unreadable { what, row: id, reason };
    let name: String = row.get(1)?;
    let status: String = row.get(4)?;
    Ok(EndpointRow {
        id,
        name: EndpointName::parse(&name).map_err(|error| unreadable("name", error.to_string()))?,
        region: row.get(2)?,
        created_at: Timestamp::from_unix_us(row.get(3)?),
        status: EndpointStatus::parse(&status).ok_or_else(|| unreadable("status", status))?,
        failure_reason: row.get(5)?,
        modified_at: Timestamp::from_unix_us(row.get(6)?),
        current: from_text(row.get(7)?).map_err(|reason| unreadable("current deployment", reason))?,
        pending: from_text(row.get(8)?).map_err(|reason| unreadable("pending deployment", reason))?,
        rollout: from_text(row.get(9)?).map_err(|reason| unreadable("place in a deployment", reason))?,
    })
}

fn from_text<T: DeserializeOwned>(text: Option<String>) -> Result<Option<T>, String> {
    text.map(|text| serde_json::from_str(&text).map_err(|error| error.to_string())).transpose()
}
