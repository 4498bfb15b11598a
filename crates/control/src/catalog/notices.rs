//! Notices that nobody has been told of for certain: written with the change that they tell of, gone when they were told.

use rusqlite::params;
use serde_json::Value;

use super::{CatalogError, Work};
use crate::notice::Notice;

/// Most notices that wait; with more, nobody takes them, and the oldest go.
const WAITING_MAX: i64 = 10_000;
/// Most notices that are read at a time.
const READ_MAX: i64 = 256;

impl Work<'_> {
    /// Keeps a notice until it is told.
    pub(super) fn keep_notice(&self, event: &Value) -> Result<(), CatalogError> {
        self.transaction.execute("INSERT INTO notice (event) VALUES (?1)", [event.to_string()])?;
        let oldest = self.transaction.last_insert_rowid() - WAITING_MAX;
        self.transaction.execute("DELETE FROM notice WHERE id <= ?1", [oldest])?;
        self.has_news.set(true);
        Ok(())
    }

    /// The oldest notices that were not told.
    pub(crate) fn untold(&self) -> Result<Vec<Notice>, CatalogError> {
        let mut statement = self.transaction.prepare_cached("SELECT id, event FROM notice ORDER BY id LIMIT ?1")?;
        let rows = statement.query_map([READ_MAX], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
        rows.map(|row| {
            let (id, text) = row?;
            let unreadable = |reason: String| CatalogError::Unreadable { what: "notice", row: id, reason };
            let event = serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
            Ok(Notice { id, event })
        })
        .collect()
    }

    /// Forgets the notices up to this one.
    pub(crate) fn told(&self, last: i64) -> Result<(), CatalogError> {
        self.transaction.execute("DELETE FROM notice WHERE id <= ?1", params![last])?;
        Ok(())
    }
}
