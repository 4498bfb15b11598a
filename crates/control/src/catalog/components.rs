//! State of inference components: as of endpoints, with the endpoint that each shares.

use captura_names::{EndpointName, ResourceKind, VariantName};
use rusqlite::{OptionalExtension, params};
use serde_json::{Map, Value};

use super::endpoints::{COLUMNS, EndpointRow, read_row};
use super::{CatalogError, Work};

/// Member of a definition: what was said of the model before the update that is under way.
const SPECIFICATION_BEFORE: &str = "SpecificationBefore";

/// An inference component with its state.
#[derive(Debug, Clone)]
pub(crate) struct ComponentRow {
    /// Its state. A component is kept as a deployment of one variant.
    pub(crate) state: EndpointRow,
    /// The endpoint that it shares.
    pub(crate) endpoint: EndpointName,
    /// The variant whose instances it shares.
    pub(crate) variant: VariantName,
    /// What was asked for last.
    pub(crate) definition: Map<String, Value>,
}

impl ComponentRow {
    /// The definition of an update to that specification, which still says what was before.
    pub(crate) fn redefined(&self, specification: &Value) -> Map<String, Value> {
        let mut definition = self.definition.clone();
        let before = definition.insert("Specification".to_owned(), specification.clone());
        definition.insert(SPECIFICATION_BEFORE.to_owned(), before.unwrap_or_default());
        definition
    }

    /// The definition without what was before.
    pub(crate) fn settled(&self) -> Map<String, Value> {
        let mut definition = self.definition.clone();
        definition.shift_remove(SPECIFICATION_BEFORE);
        definition
    }

    /// What was said before the last update; nothing where that said nothing of the model.
    pub(crate) fn definition_before(&self) -> Option<Map<String, Value>> {
        let mut definition = self.definition.clone();
        let before = definition.shift_remove(SPECIFICATION_BEFORE)?;
        definition.insert("Specification".to_owned(), before);
        Some(definition)
    }
}

impl Work<'_> {
    /// The component of that name, case ignored.
    pub(crate) fn component(&self, name: &str) -> Result<Option<ComponentRow>, CatalogError> {
        let sql = format!("SELECT {COLUMNS} WHERE r.kind = ?1 AND r.name = ?2");
        let mut statement = self.transaction.prepare_cached(&sql)?;
        let kind = ResourceKind::InferenceComponent;
        let row = statement.query_row(params![kind.as_str(), name], |row| Ok(read_row(row))).optional()?.transpose()?;
        row.map(|state| self.with_place(state)).transpose()
    }

    /// Every component, oldest first. One that cannot be read is left out and logged.
    pub(crate) fn components(&self) -> Result<Vec<ComponentRow>, CatalogError> {
        let sql = format!("SELECT {COLUMNS} WHERE r.kind = ?1 ORDER BY r.id");
        let mut statement = self.transaction.prepare_cached(&sql)?;
        let rows = statement.query_map([ResourceKind::InferenceComponent.as_str()], |row| Ok(read_row(row)))?;
        let mut components = Vec::new();
        for row in rows {
            match row?.and_then(|state| self.with_place(state)) {
                Ok(component) => components.push(component),
                Err(error) => tracing::error!(%error, "an inference component of the catalog is left out"),
            }
        }
        Ok(components)
    }

    /// Names of the components that share an endpoint.
    pub(crate) fn shares_endpoint(&self, endpoint: &str) -> Result<bool, CatalogError> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM resource WHERE kind = ?1
             AND json_extract(definition, '$.EndpointName') = ?2 COLLATE NOCASE)",
        )?;
        Ok(statement.query_row(params![ResourceKind::InferenceComponent.as_str(), endpoint], |row| row.get(0))?)
    }

    /// Replaces what was asked for.
    pub(crate) fn redefine(&self, id: i64, definition: &Map<String, Value>) -> Result<(), CatalogError> {
        let text = Value::Object(definition.clone()).to_string();
        self.transaction.execute("UPDATE resource SET definition = ?2 WHERE id = ?1", params![id, text])?;
        Ok(())
    }

    fn with_place(&self, state: EndpointRow) -> Result<ComponentRow, CatalogError> {
        let unreadable = |reason: String| CatalogError::Unreadable { what: "definition", row: state.id, reason };
        let resource = self.find(ResourceKind::InferenceComponent, state.name.as_str())?;
        let definition = resource.map(|resource| resource.definition).unwrap_or_default();
        let member = |name: &str| definition.get(name).and_then(Value::as_str).unwrap_or_default();
        let endpoint = EndpointName::parse(member("EndpointName")).map_err(|error| unreadable(error.to_string()))?;
        let variant = VariantName::parse(member("VariantName")).map_err(|error| unreadable(error.to_string()))?;
        Ok(ComponentRow { state, endpoint, variant, definition })
    }
}
