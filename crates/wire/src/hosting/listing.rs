//! The one shape that all lists of hosting share.

use captura_names::{EndpointName, Timestamp, VariantName};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::aws_json::read_timestamp;

/// Input of the lists.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ListRequest {
    /// What the list is ordered by; creation time when absent.
    pub sort_by: Option<SortBy>,
    /// Which way; newest first when absent.
    pub sort_order: Option<SortOrder>,
    /// Where the page before ended.
    pub next_token: Option<String>,
    /// Longest page.
    pub max_results: Option<u32>,
    /// Only names that contain this.
    pub name_contains: Option<String>,
    /// Only what was created before.
    #[serde(deserialize_with = "moment")]
    pub creation_time_before: Option<Timestamp>,
    /// Only what was created at this time or after.
    #[serde(deserialize_with = "moment")]
    pub creation_time_after: Option<Timestamp>,
    /// Only what was last changed before; for what has a state.
    #[serde(deserialize_with = "moment")]
    pub last_modified_time_before: Option<Timestamp>,
    /// Only what was last changed at this time or after; for what has a state.
    #[serde(deserialize_with = "moment")]
    pub last_modified_time_after: Option<Timestamp>,
    /// Only this status; for what has one.
    pub status_equals: Option<String>,
    /// Only what shares this endpoint; inference components only.
    pub endpoint_name_equals: Option<EndpointName>,
    /// Only what shares this variant; inference components only.
    pub variant_name_equals: Option<VariantName>,
}

/// What a list is ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum SortBy {
    /// By name, without regard to case.
    Name,
    /// By time of creation.
    CreationTime,
    /// By status; for what has one.
    Status,
}

/// Which way a list is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum SortOrder {
    /// Smallest or oldest first.
    Ascending,
    /// Largest or newest first.
    Descending,
}

fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    read_timestamp(&value).map(Some).ok_or_else(|| serde::de::Error::custom(format!("{value} is no moment")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::hosting::{Operation, read};

    #[test]
    fn reads_filters_and_both_forms_of_time() {
        let input = json!({"SortBy": "Status", "SortOrder": "Ascending", "MaxResults": 3, "StatusEquals": "InService",
            "CreationTimeAfter": 1.5, "LastModifiedTimeBefore": "1970-01-01T00:00:02Z"});
        let input = input.as_object().expect("our bug: an object");
        Operation::ListEndpoints.check(input).unwrap();
        let list: ListRequest = read(input).unwrap();
        assert_eq!(list.sort_by, Some(SortBy::Status));
        assert_eq!(list.creation_time_after, Some(Timestamp::from_unix_us(1_500_000)));
        assert_eq!(list.last_modified_time_before, Some(Timestamp::from_unix_us(2_000_000)));
        assert_eq!(list.status_equals, Some("InService".to_owned()));
        assert_eq!(list.creation_time_before, None);
    }
}
