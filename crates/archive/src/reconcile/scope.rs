//! Which part of the story is asked for: one endpoint, a stretch of time, or all of it.
//!
//! Records belong to a stretch by when their call arrived. Objects are looked at whole where one of their records may
//! belong. What is wrong and cannot be told to be outside is no finding and no balance either: the proof then cannot tell.
//!
//! Invariant: nothing that belongs to what was asked for is left out; an object too many may be read.

use captura_capture::ledger::minutes::{MinuteQuery, MinuteRow, minute_of, read, time_of};
use captura_names::Timestamp;

use super::{FindingKind, Proof};
use crate::layout::CapturedKey;
use crate::manifest::{Manifest, ManifestObject};

/// How much earlier than the first record of an object another of its records may have arrived: records stand in the
/// order in which calls ended, and no call takes longer.
const DISORDER_MAX_US: i64 = 2 * 3_600_000_000;
/// Manifests tell times in whole seconds.
const SECOND_US: i64 = 1_000_000;

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// Only this endpoint.
    pub endpoint: Option<String>,
    /// Only calls that arrived at this time or later.
    pub from: Option<Timestamp>,
    /// Only calls that arrived before this time.
    pub to: Option<Timestamp>,
}

impl Scope {
    /// Whether a part is asked for by time.
    #[must_use]
    pub fn is_timed(&self) -> bool {
        self.from.is_some() || self.to.is_some()
    }

    pub(super) fn is_all(&self) -> bool {
        self.endpoint.is_none() && !self.is_timed()
    }

    pub(super) fn has_endpoint(&self, endpoint: &str) -> bool {
        self.endpoint.as_ref().is_none_or(|only| only == endpoint)
    }

    pub(super) fn has_time(&self, at: Timestamp) -> bool {
        self.may_have(Some(at), Some(at))
    }

    /// Whether something between these times may belong; a time that is not known excludes nothing.
    pub(super) fn may_have(&self, first: Option<Timestamp>, last: Option<Timestamp>) -> bool {
        let ends_before = last.zip(self.from).is_some_and(|(last, from)| last < from);
        let begins_after = first.zip(self.to).is_some_and(|(first, to)| first >= to);
        !ends_before && !begins_after
    }

    /// Whether records of an object may belong.
    pub(super) fn may_have_object(&self, manifest: &Manifest, object: &ManifestObject) -> bool {
        self.has_endpoint(&object.endpoint) && self.may_have(began(object), last_of(manifest))
    }

    /// Whether records of a segment may belong, as far as its manifest tells.
    pub(super) fn may_have_segment(&self, manifest: &Manifest) -> bool {
        let known = &manifest.accounts;
        let named = known.is_empty() || known.iter().any(|account| self.has_endpoint(&account.endpoint));
        let first = manifest.objects.iter().map(began).min().flatten();
        named && self.may_have(first, last_of(manifest))
    }

    /// Whether an object that no manifest knows may belong, by its address.
    pub(super) fn may_have_stray(&self, uri: &str) -> bool {
        let first = CapturedKey::parse(uri).map(|key| key.started_at.plus_us(-DISORDER_MAX_US));
        self.may_have(first, None)
    }

    /// Whether a file of a table may belong, by its address `…/endpoint=…/date=…/hour=…/…`.
    pub(super) fn may_have_part(&self, uri: &str) -> bool {
        self.has_part(uri).unwrap_or(true)
    }

    /// The same; nothing where the address does not tell.
    pub(super) fn has_part(&self, uri: &str) -> Option<bool> {
        let value = |name: &str| uri.split('/').find_map(|piece| piece.strip_prefix(name)?.strip_prefix('='));
        let hour = value("date").zip(value("hour"));
        let began = hour.and_then(|(date, hour)| Timestamp::parse(&format!("{date}T{hour}:00:00Z")).ok());
        let ended = began.map(|began| began.plus_us(3_600 * SECOND_US - 1));
        let endpoint = value("endpoint");
        let tells = (self.endpoint.is_none() || endpoint.is_some()) && (!self.is_timed() || began.is_some());
        let may = endpoint.is_none_or(|endpoint| self.has_endpoint(endpoint)) && self.may_have(began, ended);
        tells.then_some(may)
    }
}

/// The earliest time of a record of the object.
fn began(object: &ManifestObject) -> Option<Timestamp> {
    CapturedKey::parse(&object.uri).map(|key| key.started_at.plus_us(-DISORDER_MAX_US))
}

fn last_of(manifest: &Manifest) -> Option<Timestamp> {
    let last = Timestamp::parse(manifest.last_at.as_deref()?).ok()?;
    Some(last.plus_us(SECOND_US - 1))
}

impl Proof<'_> {
    /// Something is wrong, and whether it is of what was asked for cannot be told: a finding where all was asked for.
    pub(super) fn suspect(&mut self, kind: FindingKind, lsns: Vec<String>, place: &str, reason: impl Into<String>) {
        if self.scope.is_all() {
            return self.find(kind, lsns, place, reason);
        }
        let lsns = if lsns.is_empty() { String::new() } else { format!(" [{}]", lsns.join(", ")) };
        let reason = reason.into();
        self.doubts.push(format!("{place}: {reason}{lsns}; whether it belongs to what was asked for cannot be told"));
    }

    /// What the book counted in the minutes of the stretch, an account each.
    pub(super) fn count_minutes(&mut self, journal: &std::path::Path) -> Vec<MinuteRow> {
        if !self.scope.is_timed() {
            return Vec::new();
        }
        let from = self.scope.from.map_or(0, minute_of);
        // A minute that the stretch only touches is in it.
        let to = self.scope.to.map_or(i64::from(i32::MAX), |to| minute_of(to.plus_us(60 * SECOND_US - 1)));
        let query = MinuteQuery { from, to, step: i64::MAX, endpoint: self.scope.endpoint.clone() };
        let book = match read(journal, &query, None) {
            Ok(book) => book,
            Err(error) => {
                self.doubts.push(format!("the minutes of the ledger cannot be read: {error}"));
                return Vec::new();
            }
        };
        let kept_since = book.kept_since.as_deref().and_then(|since| Timestamp::parse(since).ok());
        if kept_since.is_none_or(|since| self.scope.from.is_some_and(|from| from < since)) {
            let since = book.kept_since.as_deref().unwrap_or("never");
            self.notes.push(format!("the ledger's minutes are kept since {since}; nothing is counted before"));
        }
        for row in book.rows.iter().filter(|row| row.imbalance() > 0) {
            let place = format!("{}/{}", row.endpoint, row.variant);
            let reason =
                format!("from {} up to {} its identities miss {}", time_of(from), time_of(to), row.imbalance());
            self.find(FindingKind::Account, Vec::new(), &place, reason);
        }
        book.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn a_stretch_has_its_beginning_and_not_its_end() {
        let scope = Scope {
            endpoint: Some("churn".into()),
            from: Some(at("2026-01-01T10:00:00Z")),
            to: Some(at("2026-01-01T11:00:00Z")),
        };
        for (time, belongs) in [("09:59:59", false), ("10:00:00", true), ("10:59:59", true), ("11:00:00", false)] {
            assert_eq!(scope.has_time(at(&format!("2026-01-01T{time}Z"))), belongs, "{time}");
        }
        assert!(scope.may_have(None, None) && scope.may_have(Some(at("2026-01-01T09:00:00Z")), None));
        assert!(scope.has_endpoint("churn") && !scope.has_endpoint("churn-2"));
    }

    #[test]
    fn addresses_of_tables_tell_endpoint_and_hour() {
        let scope = Scope { endpoint: Some("churn".into()), from: Some(at("2026-01-01T10:30:00Z")), to: None };
        let part = |endpoint: &str, hour: &str| {
            format!("s3://lake/x/data/endpoint={endpoint}/date=2026-01-01/hour={hour}/part-0.parquet")
        };
        assert!(scope.may_have_part(&part("churn", "10")) && scope.may_have_part(&part("churn", "11")));
        assert!(!scope.may_have_part(&part("churn", "09")) && !scope.may_have_part(&part("fraud", "10")));
        assert!(scope.may_have_part("s3://lake/x/part-0.parquet"), "what says nothing is not excluded");
    }
}
