//! Which of the captured calls belong to a data set.
//!
//! Objects hold calls of an hour and of everybody; a scope says record by record which of them are wanted. Invariant: a
//! record that does not say when it was, or who called, is outside of every scope that asks for it; what an analysis asked
//! (Kernel SHAP asks about rows that nobody sent) is outside of all. Refuses to: choose
//! objects; that is the selection of the archive's reader.

use std::collections::BTreeSet;
use std::ops::Range;

use captura_names::Timestamp;

use super::record::CapturedRecord;

/// Which calls are wanted; all of them by default. Rows of tables are no calls and always wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// Only calls of this time. Records have it to the second.
    pub window: Option<Range<Timestamp>>,
    /// Only calls of these consumers; of all when there are none.
    pub consumers: BTreeSet<String>,
}

/// What the inference ids of an analysis' own calls begin with.
pub const OWN_INFERENCE_ID: &str = "captura-attribution-";

/// Whether an analysis has asked, not a caller: such calls are about no data of anybody's, and are in no scope.
pub(crate) fn is_own(record: &CapturedRecord<'_>) -> bool {
    record.event_metadata.inference_id.as_ref().is_some_and(|id| id.0.starts_with(OWN_INFERENCE_ID))
}

impl Scope {
    /// Whether every call of a caller is wanted.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.window.is_none() && self.consumers.is_empty()
    }

    /// Whether this call is.
    #[must_use]
    pub fn has(&self, record: &CapturedRecord<'_>) -> bool {
        !is_own(record) && self.covers(record)
    }

    /// Whether it is of the time and of the consumers that are asked for, whoever asked it.
    pub(crate) fn covers(&self, record: &CapturedRecord<'_>) -> bool {
        let in_window = self.window.as_ref().is_none_or(|window| {
            let time = record.event_metadata.inference_time.as_ref();
            time.and_then(|text| Timestamp::parse(&text.0).ok()).is_some_and(|time| window.contains(&time))
        });
        let consumer = || record.captura.as_ref()?.consumer.as_ref();
        in_window
            && (self.consumers.is_empty() || consumer().is_some_and(|name| self.consumers.contains(name.0.as_ref())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_analysis_asked_is_in_no_scope() {
        let of = |id: &str| format!(r#"{{"captureData":{{}},"eventMetadata":{{"inferenceId":"{id}"}}}}"#);
        assert!(!has(&Scope::default(), &of("captura-attribution-7-1")));
        assert!(has(&Scope::default(), &of("attribution-7-1")) && has(&Scope::default(), &of("")));
    }

    fn record(time: &str, consumer: Option<&str>) -> String {
        let own = consumer.map_or_else(String::new, |name| format!(r#","captura":{{"consumer":"{name}"}}"#));
        format!(r#"{{"captureData":{{}},"eventMetadata":{{"inferenceTime":"{time}"}}{own}}}"#)
    }

    fn has(scope: &Scope, record: &str) -> bool {
        scope.has(&CapturedRecord::parse(record.as_bytes()).unwrap())
    }

    #[test]
    fn calls_are_told_apart_by_time_and_by_who_called() {
        let at = |text: &str| Timestamp::parse(text).unwrap();
        let window = Scope { window: Some(at("2026-11-26T10:00:00Z")..at("2026-11-26T11:00:00Z")), ..Scope::default() };
        assert!(has(&window, &record("2026-11-26T10:00:00Z", None)));
        assert!(!has(&window, &record("2026-11-26T11:00:00Z", None)));
        assert!(!has(&window, &record("", None)), "nobody knows when it was");
        let clinic = Scope { consumers: ["clinic".to_owned()].into(), ..Scope::default() };
        assert!(has(&clinic, &record("2026-11-26T10:00:00Z", Some("clinic"))));
        assert!(!has(&clinic, &record("2026-11-26T10:00:00Z", Some("insurer"))));
        assert!(!has(&clinic, &record("2026-11-26T10:00:00Z", None)), "nobody knows who called");
        assert!(Scope::default().is_everything() && has(&Scope::default(), &record("", None)));
        assert!(!window.is_everything() && !clinic.is_everything());
    }
}
