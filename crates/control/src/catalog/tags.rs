//! Tags of resources.

use captura_wire::hosting::Tag;
use rusqlite::params;

use super::{CatalogError, Work};

impl Work<'_> {
    /// The tags of a resource, ordered by key.
    pub(crate) fn tags(&self, resource: i64) -> Result<Vec<Tag>, CatalogError> {
        let mut statement =
            self.transaction.prepare_cached("SELECT key, value FROM tag WHERE resource_id = ?1 ORDER BY key")?;
        let rows = statement.query_map([resource], |row| Ok(Tag { key: row.get(0)?, value: row.get(1)? }))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Adds tags; a key that is there gets the new value.
    pub(crate) fn add_tags(&self, resource: i64, tags: &[Tag]) -> Result<(), CatalogError> {
        let mut statement = self.transaction.prepare_cached(
            "INSERT INTO tag (resource_id, key, value) VALUES (?1, ?2, ?3)
             ON CONFLICT (resource_id, key) DO UPDATE SET value = excluded.value",
        )?;
        for tag in tags {
            statement.execute(params![resource, tag.key, tag.value])?;
        }
        Ok(())
    }

    /// Takes tags off; keys that are not there are passed over.
    pub(crate) fn delete_tags(&self, resource: i64, keys: &[String]) -> Result<(), CatalogError> {
        let mut statement = self.transaction.prepare_cached("DELETE FROM tag WHERE resource_id = ?1 AND key = ?2")?;
        for key in keys {
            statement.execute(params![resource, key])?;
        }
        Ok(())
    }
}
