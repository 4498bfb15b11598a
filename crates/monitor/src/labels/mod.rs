//! Ground truth: what the right answers were, found for captured calls.
//!
//! ```text
//! {"groundTruthData":{"data":"1","encoding":"CSV"},"eventMetadata":{"eventId":"…"},"eventVersion":"0"}
//! ```
//!
//! Objects lie at `…/yyyy/mm/dd/hh/…`, by the hour in which the labels arrived. A label names a call by the caller's
//! inference id or by the service's event id; a call that has an inference id is looked for by it first.
//!
//! | a label that | counts so |
//! | --- | --- |
//! | comes late | whenever it comes; how late is told by [`Maturity`] |
//! | is missing | the call is left out of the metrics and shown as not labelled |
//! | comes again with the same value | once |
//! | comes again with another value | the one of the later hour, then of the later object, then of the later line |
//! | is empty | not at all; it takes nothing back |
//! | belongs to no captured call | not at all, counted as unmatched |
//! | covers another number of rows than its call | not at all, counted as misfit |
//! | arrived after the moment that is asked about | not at all, counted as not yet there |
//!
//! Invariant: `records = labels + repeated + corrected + empty + bad + not_yet`; labels do not depend on the order in
//! which objects are named. Refuses to: guess which of several values of one record is the label.

mod maturity;
mod merge;

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use captura_names::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::dataset::record::{Encoding, Text};
use crate::dataset::{BadRecord, MAX_DESCRIBED, Parsed, number, number_text};

pub use maturity::{Age, Calls, Delay, Maturity};
pub use merge::{Merger, merged_key};

/// Different calls that labels may name; each costs about 150 bytes.
pub const MAX_LABELS: usize = 20_000_000;
/// Labels are filed by the hour.
const HOUR_US: i64 = 3_600_000_000;

/// What became of the records of ground truth.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LabelAccount {
    /// Objects read.
    pub objects: u64,
    /// Records read.
    pub records: u64,
    /// Different calls that have a label.
    pub labels: u64,
    /// Records that said again what was known.
    pub repeated: u64,
    /// Records that replaced, or were replaced by, another value for the same call.
    pub corrected: u64,
    /// Records without a value.
    pub empty: u64,
    /// Records that could not be read.
    pub bad: u64,
    /// Records that arrived after the moment that was asked about.
    pub not_yet: u64,
    /// Labels whose call is not among the captures.
    pub unmatched: u64,
    /// Labels that cover another number of rows than their call has.
    pub misfit: u64,
    /// The first bad records.
    pub described: Vec<BadRecord>,
}

/// Values by row; `None` where a row has none.
type Values = Box<[Option<Box<str>>]>;

/// The right answers to one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// One per row of the call; `None` where a row has none.
    pub values: Values,
    /// End of the hour it was filed in, where its object's key tells.
    pub arrived: Option<Timestamp>,
    /// As it was sent, where labels are to be merged into captures.
    pub sent: Option<Box<Sent>>,
    matched: bool,
}

/// A label as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Its text.
    pub data: String,
    /// How that is written.
    pub encoding: Encoding,
}

/// All labels, by the id that they name.
#[derive(Debug, Default)]
pub struct Labels {
    by_id: HashMap<Box<str>, Label>,
    attribute: Option<String>,
    as_of: Option<Timestamp>,
    among_captures: bool,
    kept_as_sent: bool,
    latest: Option<Timestamp>,
    account: LabelAccount,
}

/// What a record of ground truth says.
struct Parts {
    id: Box<str>,
    values: Values,
    sent: Option<Box<Sent>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    #[serde(borrow, default)]
    ground_truth_data: Option<Data<'a>>,
    #[serde(borrow)]
    event_metadata: Metadata<'a>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    data: Text<'a>,
    #[serde(default = "csv")]
    encoding: Encoding,
}

fn csv() -> Encoding {
    Encoding::Csv
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(borrow)]
    event_id: Text<'a>,
}

impl Labels {
    /// No labels yet. `attribute` is the member or column of a record that holds the label, where it has several;
    /// `as_of` the moment that is asked about: what arrived after it does not count.
    #[must_use]
    pub fn new(attribute: Option<String>, as_of: Option<Timestamp>) -> Self {
        Self { attribute, as_of, ..Self::default() }
    }

    /// Labels that stand in captured records, as SageMaker's merge jobs write them; captured records without are no
    /// ground truth records.
    #[must_use]
    pub fn among_captures(mut self) -> Self {
        self.among_captures = true;
        self
    }

    /// Labels that are kept as they were sent too, to be merged into captures.
    #[must_use]
    pub fn kept_as_sent(mut self, kept: bool) -> Self {
        self.kept_as_sent = kept;
        self
    }

    /// Reads an object. Objects must come in the order of [`arrival`], which makes later values win.
    ///
    /// # Errors
    /// When there are more labels than [`MAX_LABELS`].
    pub fn read(&mut self, source: &str, bytes: &[u8]) -> Result<(), TooManyLabels> {
        self.account.objects += 1;
        // Merged captures are filed by the hour of their calls.
        let filed = if self.among_captures { None } else { arrival(source) };
        let arrived = filed.map(|hour| hour.plus_us(HOUR_US));
        let late = self.as_of.zip(arrived).is_some_and(|(as_of, arrived)| arrived > as_of);
        for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
            if line.trim_ascii().is_empty() {
                continue;
            }
            self.account.records += 1;
            if late {
                self.account.not_yet += 1;
                continue;
            }
            match self.parse(line) {
                Ok(None) => self.account.records -= 1,
                Ok(Some(parsed)) if parsed.values.iter().all(Option::is_none) => self.account.empty += 1,
                Ok(Some(Parts { id, values, sent })) => {
                    self.take(id, Label { values, arrived, sent, matched: false })?
                }
                Err(reason) => self.describe(source, index as u64 + 1, reason),
            }
        }
        if !late {
            self.latest = self.latest.max(arrived);
        }
        Ok(())
    }

    /// The id and the values of a record; `None` for a captured record without any.
    fn parse(&self, line: &[u8]) -> Result<Option<Parts>, String> {
        let record: Record<'_> = serde_json::from_slice(line).map_err(|error| {
            let text = error.to_string();
            format!("not a ground truth record: {}", text.split(" at line ").next().unwrap_or(&text))
        })?;
        let data = match record.ground_truth_data {
            Some(data) => data,
            None if self.among_captures => return Ok(None),
            None => return Err("not a ground truth record: there is no groundTruthData".into()),
        };
        let id = record.event_metadata.event_id.0;
        if id.is_empty() {
            return Err("the event id is empty".into());
        }
        let values = match data.encoding {
            Encoding::Csv => self.of_csv(&data.data.0)?,
            Encoding::Json => self.of_json(&data.data.0)?,
            Encoding::Base64 => {
                let bytes = STANDARD.decode(data.data.0.as_bytes()).map_err(|error| format!("not BASE64: {error}"))?;
                self.of_csv(&String::from_utf8(bytes).map_err(|_| "the label is not UTF-8")?)?
            }
        };
        let sent = || Box::new(Sent { data: data.data.0.clone().into_owned(), encoding: data.encoding });
        Ok(Some(Parts { id: id.into(), values: values.into(), sent: self.kept_as_sent.then(sent) }))
    }

    /// A label per line; of lines with several cells the one that `attribute` counts from 0.
    fn of_csv(&self, text: &str) -> Result<Vec<Option<Box<str>>>, String> {
        let mut values = Vec::new();
        crate::dataset::each_csv_row(text, |cells| {
            let place = match (&cells[..], &self.attribute) {
                ([_], _) => 0,
                (_, Some(attribute)) => attribute.parse().map_err(|_| {
                    format!("the label has {} columns and {attribute:?} is no number of one", cells.len())
                })?,
                (_, None) => return Err(format!("the label has {} columns; say which one", cells.len())),
            };
            let cell = cells.get(place).ok_or_else(|| format!("the label has no column {place}"))?;
            values.push(canonical(cell));
            Ok(())
        })?;
        if values.is_empty() {
            values.push(None);
        }
        Ok(values)
    }

    /// A value, an object with one member or with the one that `attribute` names, or a list of such.
    fn of_json(&self, text: &str) -> Result<Vec<Option<Box<str>>>, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| format!("the label is not JSON: {error}"))?;
        match value {
            Value::Array(items) => items.iter().map(|item| self.of_value(item)).collect(),
            other => Ok(vec![self.of_value(&other)?]),
        }
    }

    fn of_value(&self, value: &Value) -> Result<Option<Box<str>>, String> {
        match value {
            Value::Null => Ok(None),
            Value::String(text) => Ok(canonical(text)),
            Value::Number(number) => Ok(canonical(&number.to_string())),
            Value::Bool(flag) => Ok(canonical(&flag.to_string())),
            Value::Array(_) => Err("the label is a list inside a list".into()),
            Value::Object(members) => {
                let named = self.attribute.as_ref().and_then(|attribute| members.get(attribute));
                let only = if members.len() == 1 { members.values().next() } else { None };
                let found = named.or(only);
                let inner = found.ok_or_else(|| format!("the label has {} members; say which one", members.len()))?;
                if inner.is_object() { Err("the label is an object".into()) } else { self.of_value(inner) }
            }
        }
    }

    fn take(&mut self, id: Box<str>, label: Label) -> Result<(), TooManyLabels> {
        if let Some(known) = self.by_id.get_mut(&id) {
            let again = known.values == label.values;
            *(if again { &mut self.account.repeated } else { &mut self.account.corrected }) += 1;
            if !again {
                *known = label;
            }
            return Ok(());
        }
        if self.by_id.len() >= MAX_LABELS {
            return Err(TooManyLabels);
        }
        self.by_id.insert(id, label);
        self.account.labels += 1;
        Ok(())
    }

    /// The label of a call, looked for by its inference id and then by its event id.
    pub fn find(&mut self, inference_id: Option<&str>, event_id: Option<&str>) -> Option<&Label> {
        let id = [inference_id, event_id].into_iter().flatten().find(|id| self.by_id.contains_key(*id))?;
        let label = self.by_id.get_mut(id)?;
        label.matched = true;
        Some(label)
    }

    /// The label of a call, as [`Labels::find`] finds it.
    #[must_use]
    pub fn get(&self, inference_id: Option<&str>, event_id: Option<&str>) -> Option<&Label> {
        [inference_id, event_id].into_iter().flatten().find_map(|id| self.by_id.get(id))
    }

    /// Books a label that does not fit its call.
    pub fn misfit(&mut self) {
        self.account.misfit += 1;
    }

    /// End of the last hour from which labels were read.
    #[must_use]
    pub fn latest(&self) -> Option<Timestamp> {
        self.latest
    }

    /// What became of the records, once all calls were looked up.
    #[must_use]
    pub fn account(&self) -> LabelAccount {
        let unmatched = self.by_id.values().filter(|label| !label.matched).count() as u64;
        LabelAccount { unmatched, ..self.account.clone() }
    }

    fn describe(&mut self, source: &str, line: u64, reason: String) {
        self.account.bad += 1;
        if self.account.described.len() < MAX_DESCRIBED {
            self.account.described.push(BadRecord { source: source.to_owned(), line, reason });
        }
    }
}

/// There are more labels than are held at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are labels for more than {MAX_LABELS} calls; narrow the ground truth")]
pub struct TooManyLabels;

/// A value as it is compared: numbers without a needless fraction, texts without blanks around them; `None` when empty.
#[must_use]
pub fn canonical(text: &str) -> Option<Box<str>> {
    match number(text) {
        Parsed::Blank => None,
        Parsed::Number { value, .. } => Some(number_text(value).into()),
        Parsed::Text => Some(text.trim()).filter(|text| !text.is_empty()).map(Into::into),
    }
}

/// Beginning of the hour in which an object was filed: `…/yyyy/mm/dd/hh/name`.
#[must_use]
pub fn arrival(address: &str) -> Option<Timestamp> {
    let mut parts = address.rsplit('/').skip(1);
    let (hour, day, month, year) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let digits = |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let all = digits(hour, 2) && digits(day, 2) && digits(month, 2) && digits(year, 4);
    all.then(|| Timestamp::parse(&format!("{year}-{month}-{day}T{hour}:00:00Z")).ok()).flatten()
}

#[cfg(test)]
mod tests;
