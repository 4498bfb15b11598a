//! Shapes of tags.

use serde::{Deserialize, Serialize};

/// A tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tag {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// Input of `AddTags`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AddTags {
    /// Whose tags.
    pub resource_arn: String,
    /// What is added; a key that is there gets the new value.
    pub tags: Vec<Tag>,
}

/// Input of `ListTags`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListTags {
    /// Whose tags.
    pub resource_arn: String,
    /// Where the page before ended.
    pub next_token: Option<String>,
}

/// Input of `DeleteTags`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteTags {
    /// Whose tags.
    pub resource_arn: String,
    /// Which.
    pub tag_keys: Vec<String>,
}
