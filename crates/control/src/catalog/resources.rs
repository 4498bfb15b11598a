//! Rows that all kinds of resources share.

use captura_names::{ResourceKind, Timestamp};
use rusqlite::{ErrorCode, OptionalExtension, Row, params};
use serde_json::{Map, Value};

use super::{CatalogError, Work};

/// A resource as it was created.
#[derive(Debug, Clone)]
pub(crate) struct Resource {
    /// Its row; never used again for another one.
    pub(crate) id: i64,
    /// Its name, case preserved.
    pub(crate) name: String,
    /// Region of the request that created it.
    pub(crate) region: String,
    /// When it was created.
    pub(crate) created_at: Timestamp,
    /// The request that created it, without its tags.
    pub(crate) definition: Map<String, Value>,
}

/// A resource to be.
#[derive(Debug, Clone)]
pub(crate) struct NewResource {
    /// Its kind.
    pub(crate) kind: ResourceKind,
    /// Its name.
    pub(crate) name: String,
    /// Region of the request.
    pub(crate) region: String,
    /// Now.
    pub(crate) created_at: Timestamp,
    /// The request, without its tags.
    pub(crate) definition: Map<String, Value>,
}

impl Work<'_> {
    /// Inserts a resource; `None` when the name is taken.
    pub(crate) fn insert(&self, new: &NewResource) -> Result<Option<i64>, CatalogError> {
        let definition = Value::Object(new.definition.clone()).to_string();
        let inserted = self.transaction.execute(
            "INSERT INTO resource (kind, name, region, created_us, definition) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![new.kind.as_str(), new.name, new.region, new.created_at.unix_us(), definition],
        );
        match inserted {
            Ok(_) => Ok(Some(self.transaction.last_insert_rowid())),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The resource of that name, case ignored.
    pub(crate) fn find(&self, kind: ResourceKind, name: &str) -> Result<Option<Resource>, CatalogError> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT id, name, region, created_us, definition FROM resource WHERE kind = ?1 AND name = ?2",
        )?;
        let found = statement.query_row(params![kind.as_str(), name], read_resource).optional()?;
        found.map(|(resource, text)| with_definition(resource, &text)).transpose()
    }

    /// Removes a resource with its tags and its state; `false` when there was none.
    pub(crate) fn delete(&self, kind: ResourceKind, name: &str) -> Result<bool, CatalogError> {
        let deleted = self
            .transaction
            .execute("DELETE FROM resource WHERE kind = ?1 AND name = ?2", params![kind.as_str(), name])?;
        Ok(deleted > 0)
    }
}

fn read_resource(row: &Row<'_>) -> rusqlite::Result<(Resource, String)> {
    let resource = Resource {
        id: row.get(0)?,
        name: row.get(1)?,
        region: row.get(2)?,
        created_at: Timestamp::from_unix_us(row.get(3)?),
        definition: Map::new(),
    };
    Ok((resource, row.get(4)?))
}

fn with_definition(resource: Resource, text: &str) -> Result<Resource, CatalogError> {
    let definition = serde_json::from_str(text).map_err(|error| CatalogError::Unreadable {
        what: "definition",
        row: resource.id,
        reason: error.to_string(),
    })?;
    Ok(Resource { definition, ..resource })
}
