//! Captures with their labels, as SageMaker's merge jobs write them.
//!
//! ```text
//! {"eventVersion":"0","groundTruthData":{"data":"1","encoding":"CSV"},"captureData":{"endpointInput":{"data":…,
//!  "encoding":…,"mode":…,"observedContentType":…},"endpointOutput":{…}},"eventMetadata":{"eventId":…,"inferenceId":…,
//!  "inferenceTime":…}}
//! ```
//!
//! Invariant: a captured record without a label, or without an answer, is in none; the same records give the same bytes
//! under the same keys. Refuses to: keep captura's own member, which SageMaker's readers do not know.

use std::collections::HashSet;
use std::ops::Range;

use captura_archive::layout::CapturedKey;
use captura_names::Timestamp;
use serde::Serialize;

use super::Labels;
use crate::dataset::record::{CapturedRecord, Encoding, Side};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MergedRecord<'a> {
    event_version: &'a str,
    ground_truth_data: GroundTruth<'a>,
    capture_data: Sides<'a>,
    event_metadata: Metadata<'a>,
}

#[derive(Serialize)]
struct GroundTruth<'a> {
    data: &'a str,
    encoding: Encoding,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sides<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint_input: Option<OneSide<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint_output: Option<OneSide<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OneSide<'a> {
    data: &'a str,
    encoding: Encoding,
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    observed_content_type: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inference_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inference_time: Option<&'a str>,
}

/// Merges captured objects, one after the other.
#[derive(Debug, Default)]
pub struct Merger {
    window: Option<Range<Timestamp>>,
    seen: HashSet<u64>,
}

impl Merger {
    /// A merger of calls of this time, or of all.
    #[must_use]
    pub fn within(window: Option<Range<Timestamp>>) -> Self {
        Self { window, seen: HashSet::new() }
    }

    /// The labelled records of a captured object as lines; a call that was there before is left out. Labels must be kept as
    /// they were sent.
    pub fn merge(&mut self, bytes: &[u8], labels: &Labels) -> String {
        let mut lines = String::new();
        for line in bytes.split(|&byte| byte == b'\n') {
            let Ok(record) = CapturedRecord::parse(line) else { continue };
            if !record.answered() || !self.wants(&record) {
                continue;
            }
            if let Some(text) = merged(&record, labels) {
                lines.push_str(&text);
                lines.push('\n');
            }
        }
        lines
    }

    fn wants(&mut self, record: &CapturedRecord<'_>) -> bool {
        let metadata = &record.event_metadata;
        let time = || Timestamp::parse(&metadata.inference_time.as_ref()?.0).ok();
        let inside = self.window.as_ref().is_none_or(|window| time().is_some_and(|time| window.contains(&time)));
        let fresh =
            |seen: &mut HashSet<u64>| metadata.event_id.as_ref().is_none_or(|id| seen.insert(fnv(0, id.0.as_bytes())));
        inside && fresh(&mut self.seen)
    }
}

fn merged(record: &CapturedRecord<'_>, labels: &Labels) -> Option<String> {
    let metadata = &record.event_metadata;
    let text = |text: &'_ Option<crate::dataset::record::Text<'_>>| text.as_ref().map(|text| text.0.to_string());
    let (event_id, inference_id) = (text(&metadata.event_id), text(&metadata.inference_id));
    let label = labels.get(inference_id.as_deref(), event_id.as_deref())?;
    let sent = label.sent.as_ref()?;
    let inference_time = text(&metadata.inference_time);
    let merged = MergedRecord {
        event_version: "0",
        ground_truth_data: GroundTruth { data: &sent.data, encoding: sent.encoding },
        capture_data: Sides {
            endpoint_input: record.capture_data.endpoint_input.as_ref().map(|side| one(side, "INPUT")),
            endpoint_output: record.capture_data.endpoint_output.as_ref().map(|side| one(side, "OUTPUT")),
        },
        event_metadata: Metadata {
            event_id: event_id.as_deref(),
            inference_id: inference_id.as_deref(),
            inference_time: inference_time.as_deref(),
        },
    };
    Some(serde_json::to_string(&merged).expect("our bug: a merged record is texts"))
}

fn one<'a>(side: &'a Side<'a>, mode: &'static str) -> OneSide<'a> {
    OneSide {
        data: side.data.0.as_ref(),
        encoding: side.encoding,
        mode,
        observed_content_type: side.observed_content_type.as_ref().map(|text| text.0.as_ref()),
    }
}

/// Where the merged records of a captured object's hour go, below the folder for merged records:
/// `{endpoint}/{variant}/yyyy/mm/dd/hh/part-00000-{id}.c000.jsonl`. The id is a function of the hour alone, so that merging
/// again replaces what was merged.
#[must_use]
pub fn merged_key(key: &CapturedKey) -> String {
    let folder = format!("{}/{}/{}", key.endpoint, key.variant, key.started_at.hour_path());
    let (a, b) = (fnv(0, folder.as_bytes()), fnv(1, folder.as_bytes()));
    format!(
        "{folder}/part-00000-{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}.c000.jsonl",
        a >> 32,
        (a >> 16) & 0xffff,
        a & 0xfff,
        b >> 52,
        b & 0xffff_ffff_ffff
    )
}

/// Fowler, Noll and Vo's hash (1a), which stays the same from version to version.
fn fnv(seed: u64, bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325 ^ seed, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}
