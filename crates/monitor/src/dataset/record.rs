//! One line of a captured object, as SageMaker or captura wrote it.
//!
//! ```text
//! {"captureData":{"endpointInput":{"observedContentType":…,"mode":"INPUT","data":…,"encoding":"CSV|JSON|BASE64"},
//!  "endpointOutput":{…}},"eventMetadata":{"eventId":…,"customAttributes":[…],"inferenceId":…,"inferenceTime":…},
//!  "eventVersion":"0","captura":{"lsn":…,"consumer":…,"outcome":"ok",…}}
//! ```
//!
//! The last member is captura's own and optional. Text is borrowed from the line wherever it has no escapes.
//! Invariant: whatever the bytes, parsing ends with a record or a reason. Refuses to: keep members it does not need.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};

use super::marks::Seen;
use super::scanner::Scanner;

/// Text borrowed from the line when it can be. (`Option<Cow<str>>` always copies in serde, so it is a type of its own.)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// How the body is written in `data`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "UPPERCASE")]
pub enum Encoding {
    /// The text itself, CSV.
    Csv,
    /// The text itself, JSON.
    Json,
    /// Base64 of the bytes. Also what a missing `encoding` means.
    #[default]
    Base64,
}

/// One side of the call.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Side<'a> {
    /// Media type with parameters.
    #[serde(borrow, default)]
    pub observed_content_type: Option<Text<'a>>,
    /// The body, as `encoding` says.
    #[serde(borrow)]
    pub data: Text<'a>,
    /// How `data` is written.
    #[serde(default)]
    pub encoding: Encoding,
}

/// A captured call.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CapturedRecord<'a> {
    /// What was sent and answered.
    #[serde(borrow)]
    pub capture_data: CaptureData<'a>,
    /// Which call it was.
    #[serde(borrow, default)]
    pub event_metadata: EventMetadata<'a>,
    /// Captura's own member.
    #[serde(borrow, default)]
    pub captura: Option<Extension<'a>>,
}

/// Both sides of a call.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CaptureData<'a> {
    /// The request, when it was captured.
    #[serde(borrow, default)]
    pub endpoint_input: Option<Side<'a>>,
    /// The answer, when it was captured.
    #[serde(borrow, default)]
    pub endpoint_output: Option<Side<'a>>,
}

/// Which call it was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventMetadata<'a> {
    /// The service's id.
    #[serde(borrow, default)]
    pub event_id: Option<Text<'a>>,
    /// The caller's id.
    #[serde(borrow, default)]
    pub inference_id: Option<Text<'a>>,
    /// UTC, whole seconds.
    #[serde(borrow, default)]
    pub inference_time: Option<Text<'a>>,
}

/// The members of captura's extension that analysis needs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Extension<'a> {
    /// Position in the log.
    #[serde(borrow, default)]
    pub lsn: Option<Text<'a>>,
    /// Who called.
    #[serde(borrow, default)]
    pub consumer: Option<Text<'a>>,
    /// How the call ended.
    #[serde(borrow, default)]
    pub outcome: Option<Text<'a>>,
}

impl<'a> CapturedRecord<'a> {
    /// Reads one line.
    ///
    /// # Errors
    /// Why it is no captured record.
    pub fn parse(line: &'a [u8]) -> Result<Self, String> {
        let mut scanner = Scanner::default();
        let seen = scanner.look(line);
        Self::parse_seen(line, seen, &mut scanner)
    }

    /// The same of a line that the scanner has looked at.
    #[inline]
    pub(super) fn parse_seen(line: &'a [u8], seen: Seen, scanner: &mut Scanner) -> Result<Self, String> {
        if let Some(record) = scanner.scan(line, seen) {
            return Ok(record);
        }
        serde_json::from_slice(line).map_err(|error| {
            let column = error.column();
            let text = error.to_string();
            let reason = text.split(" at line ").next().unwrap_or(&text);
            format!("not a captured record: {reason} at byte {column}")
        })
    }

    /// Whether the model answered: always true in AWS's records, which do not say.
    #[must_use]
    pub fn answered(&self) -> bool {
        let outcome = self.captura.as_ref().and_then(|extension| extension.outcome.as_ref());
        outcome.is_none_or(|outcome| outcome.0 == "ok")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AWS: &str = r#"{"captureData":{"endpointInput":{"observedContentType":"text/csv","mode":"INPUT","data":"1,2\n","encoding":"CSV"},"endpointOutput":{"observedContentType":"text/csv; charset=utf-8","mode":"OUTPUT","data":"0.0136","encoding":"CSV"}},"eventMetadata":{"eventId":"0d9f9a44-35b5-4ee0-92d5-2ea8a57e5f4e","inferenceTime":"2022-04-18T00:21:48Z"},"eventVersion":"0"}"#;

    #[test]
    fn reads_what_aws_writes_and_borrows_plain_text() {
        let record = CapturedRecord::parse(AWS.as_bytes()).unwrap();
        let input = record.capture_data.endpoint_input.as_ref().unwrap();
        assert_eq!((input.data.0.as_ref(), input.encoding), ("1,2\n", Encoding::Csv));
        let output = record.capture_data.endpoint_output.as_ref().unwrap();
        assert!(matches!(output.data.0, Cow::Borrowed("0.0136")));
        assert!(record.answered() && record.captura.is_none());
    }

    #[test]
    fn reads_our_extension_and_lenient_metadata() {
        let line = r#"{"captureData":{"endpointInput":{"data":"AAE="}},"eventMetadata":{"eventId":"x"},"captura":{"lsn":"00000001-1-7","consumer":"web","outcome":"timed_out","status":424}}"#;
        let record = CapturedRecord::parse(line.as_bytes()).unwrap();
        assert_eq!(record.capture_data.endpoint_input.as_ref().unwrap().encoding, Encoding::Base64);
        assert!(!record.answered());
        assert_eq!(record.captura.unwrap().consumer.unwrap().0, "web");
    }

    #[test]
    fn bad_lines_say_what_is_wrong_and_where() {
        let error = CapturedRecord::parse(b"{\"captureData\":7}").unwrap_err();
        assert!(error.contains("invalid type") && error.contains("byte 16"), "{error}");
        assert!(CapturedRecord::parse(b"\xff\xfe").is_err());
        assert!(CapturedRecord::parse(&AWS.as_bytes()[..200]).unwrap_err().contains("EOF"));
    }
}
