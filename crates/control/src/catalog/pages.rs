//! Lists, page by page. A page begins after the last row of the one before, so it stays right while rows come and go.

use captura_names::{EndpointName, ResourceKind, Timestamp, VariantName};
use captura_wire::hosting::SortBy;
use rusqlite::{named_params, types};
use serde::{Deserialize, Serialize};

use super::{CatalogError, Work};

/// Which rows, in which order, from where.
#[derive(Debug, Clone)]
pub(crate) struct PageQuery {
    pub(crate) kind: ResourceKind,
    pub(crate) sort_by: SortBy,
    pub(crate) descending: bool,
    pub(crate) after: Option<Cursor>,
    pub(crate) limit: u32,
    pub(crate) name_contains: Option<String>,
    pub(crate) created_before: Option<Timestamp>,
    pub(crate) created_after: Option<Timestamp>,
    pub(crate) modified_before: Option<Timestamp>,
    pub(crate) modified_after: Option<Timestamp>,
    pub(crate) status: Option<String>,
    /// Only inference components of that endpoint.
    pub(crate) endpoint: Option<EndpointName>,
    /// Only inference components of that variant.
    pub(crate) variant: Option<VariantName>,
}

/// Where a page ended: the last row's sort key, and its name against ties.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    pub(crate) key: CursorKey,
    pub(crate) name: String,
}

/// A sort key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum CursorKey {
    /// A moment, microseconds.
    Integer(i64),
    /// A name or a status.
    Text(String),
}

/// One row of a list.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) region: String,
    pub(crate) created_at: Timestamp,
    /// Status, and when it last changed, of what has one.
    pub(crate) state: Option<(String, Timestamp)>,
    /// Endpoint and variant of an inference component.
    pub(crate) place: Option<(String, String)>,
    pub(crate) cursor: Cursor,
}

impl Work<'_> {
    /// The rows of one page.
    pub(crate) fn page(&self, query: &PageQuery) -> Result<Vec<Listed>, CatalogError> {
        let key = match query.sort_by {
            SortBy::Name => "r.name",
            SortBy::CreationTime => "r.created_us",
            SortBy::Status => "coalesce(s.status, j.status)",
        };
        let (comparison, direction) = if query.descending { ("<", "DESC") } else { (">", "ASC") };
        let sql = format!(
            "SELECT r.name, r.region, r.created_us, coalesce(s.status, j.status), coalesce(s.modified_us, j.modified_us), {key},
             json_extract(r.definition, '$.EndpointName'), json_extract(r.definition, '$.VariantName')
             FROM resource r LEFT JOIN endpoint_state s ON s.resource_id = r.id
               LEFT JOIN processing_job j ON j.resource_id = r.id
             WHERE r.kind = :kind
               AND (:name_contains IS NULL OR instr(lower(r.name), lower(:name_contains)) > 0)
               AND (:created_before IS NULL OR r.created_us < :created_before)
               AND (:created_after IS NULL OR r.created_us >= :created_after)
               AND (:modified_before IS NULL OR coalesce(s.modified_us, j.modified_us) < :modified_before)
               AND (:modified_after IS NULL OR coalesce(s.modified_us, j.modified_us) >= :modified_after)
               AND (:status IS NULL OR coalesce(s.status, j.status) = :status)
               AND (:endpoint IS NULL OR json_extract(r.definition, '$.EndpointName') = :endpoint COLLATE NOCASE)
               AND (:variant IS NULL OR json_extract(r.definition, '$.VariantName') = :variant)
               AND (:cursor_key IS NULL OR ({key}, r.name) {comparison} (:cursor_key, :cursor_name))
             ORDER BY {key} {direction}, r.name {direction} LIMIT :limit"
        );
        let cursor_key = query.after.as_ref().map(|cursor| match &cursor.key {
            CursorKey::Integer(number) => types::Value::Integer(*number),
            CursorKey::Text(text) => types::Value::Text(text.clone()),
        });
        let mut statement = self.transaction.prepare_cached(&sql)?;
        let rows = statement.query_map(
            named_params! {
                ":kind": query.kind.as_str(),
                ":name_contains": query.name_contains,
                ":created_before": query.created_before.map(Timestamp::unix_us),
                ":created_after": query.created_after.map(Timestamp::unix_us),
                ":modified_before": query.modified_before.map(Timestamp::unix_us),
                ":modified_after": query.modified_after.map(Timestamp::unix_us),
                ":status": query.status,
                ":endpoint": query.endpoint.as_ref().map(EndpointName::as_str),
                ":variant": query.variant.as_ref().map(VariantName::as_str),
                ":cursor_key": cursor_key,
                ":cursor_name": query.after.as_ref().map(|cursor| &cursor.name),
                ":limit": query.limit,
            },
            read_row,
        )?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn read_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Listed> {
    let name: String = row.get(0)?;
    let status: Option<String> = row.get(3)?;
    let modified_us: Option<i64> = row.get(4)?;
    let key = match row.get(5)? {
        types::Value::Integer(number) => CursorKey::Integer(number),
        types::Value::Text(text) => CursorKey::Text(text),
        other => return Err(rusqlite::Error::InvalidColumnType(5, "sort key".into(), other.data_type())),
    };
    Ok(Listed {
        cursor: Cursor { key, name: name.clone() },
        name,
        region: row.get(1)?,
        created_at: Timestamp::from_unix_us(row.get(2)?),
        state: status.zip(modified_us.map(Timestamp::from_unix_us)),
        place: row.get::<_, Option<String>>(6)?.zip(row.get(7)?),
    })
}
