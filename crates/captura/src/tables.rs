//! `[[tables]]`: captured calls as columns, beside the captured objects.
//!
//! ```toml
//! [[tables]]
//! to = "s3://lake/captura"        # invocations/ and rows/ come below it
//! endpoints = ["churn-*"]         # all when absent
//! ```
//! Refuses to: put two tables into each other, where every call would be found twice.

use captura_archive::rendering::{ColumnNames, TablePlan};
use captura_names::{EndpointPattern, S3Uri};
use serde::{Deserialize, Deserializer};

/// A table.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    /// Where it is.
    pub(crate) to: S3Uri,
    /// Which endpoints are in it, `*` for any letters.
    #[serde(default = "all")]
    pub(crate) endpoints: Vec<EndpointPattern>,
    /// Whether bodies are in it as they travelled.
    #[serde(default = "yes")]
    pub(crate) bodies: bool,
    /// Whether it has a second part with a row for each row of a call, inputs and outputs decoded.
    #[serde(default = "yes")]
    pub(crate) rows: bool,
    /// How columns of inputs and outputs are named: `dotted` (`in.age`) or `plain` (`in_age`, for Athena and Hive).
    #[serde(default)]
    pub(crate) columns: ColumnNames,
    /// Key for server-side encryption of its files, where its store is S3.
    pub(crate) kms_key_id: Option<String>,
    /// Whether the small files of an hour are merged when it is over.
    #[serde(default = "yes")]
    pub(crate) compact: bool,
}

fn all() -> Vec<EndpointPattern> {
    vec![EndpointPattern::all()]
}

fn yes() -> bool {
    true
}

impl Table {
    pub(crate) fn plan(&self) -> TablePlan {
        let Self { to, endpoints, bodies, rows, columns, kms_key_id, compact: _ } = self.clone();
        TablePlan { to, endpoints, bodies, rows, columns, kms_key_id }
    }
}

/// Reads the tables of a configuration.
pub(crate) fn tables<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Table>, D::Error> {
    let tables = Vec::<Table>::deserialize(deserializer)?;
    for (at, table) in tables.iter().enumerate() {
        let inside = |outer: &S3Uri, inner: &S3Uri| {
            let (outer, inner) = (outer.to_string(), inner.to_string());
            let (outer, inner) = (outer.trim_end_matches('/'), inner.trim_end_matches('/'));
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let other = tables[..at].iter().find(|other| inside(&other.to, &table.to) || inside(&table.to, &other.to));
        if let Some(other) = other {
            let reason =
                format!("{} and {} are in each other; give every table a folder of its own", other.to, table.to);
            return Err(serde::de::Error::custom(reason));
        }
        if table.endpoints.is_empty() {
            let reason = format!("the table {} has no endpoints; leave the key out to have all of them", table.to);
            return Err(serde::de::Error::custom(reason));
        }
    }
    Ok(tables)
}
